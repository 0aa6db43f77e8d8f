//! From a message to what the agent gets: the session and the payload. All of it is pure. `docs/invocation.schema.json`
//! describes the payload for agents.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use super::message::DEAD_LETTER_REASON;
use super::message::QueueMessage;
use crate::sink::message::conversation_key;
use crate::slack::payload::{self, Kind};

/// The version of the payload's schema. A payload of this version always has the fields that `docs/agent.md` describes.
const VERSION: u32 = 1;

/// One call of the agent, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCall {
    /// The id of the event, by which the dispatcher and the agent recognize it.
    pub event_id: String,
    /// The AgentCore session of the conversation: `slack-` and the 64 hexadecimal digits of its SHA-256. (AgentCore takes 33 to
    /// 256 characters.)
    pub session_id: String,
    /// The payload, as JSON.
    pub payload: Vec<u8>,
    /// The X-Ray trace header of the invocation that received the event; absent where tracing is off.
    pub trace_header: Option<String>,
}

/// Why a message can never be handed over: the ingress did not put it on the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidMessage {
    /// The attribute `kind` is missing, or is no kind of a delivery.
    Kind,
    /// The attribute `event_id` is missing or empty.
    EventId,
    /// The body is not the JSON that Slack sends for this kind.
    Body,
}

impl InvalidMessage {
    /// The reason in the dead-letter queue and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "the message's attribute kind is none of event, command and interaction",
            Self::EventId => "the message has no attribute event_id",
            Self::Body => "the message's body is not the JSON of its kind",
        }
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    version: u32,
    event_id: &'a str,
    attempt: u32,
    attributes: BTreeMap<&'a str, &'a str>,
    body: &'a RawValue,
}

impl AgentCall {
    /// The call that hands over the event of `message`.
    ///
    /// # Errors
    /// When the ingress did not put this message on the queue.
    pub fn of(message: &QueueMessage) -> Result<Self, InvalidMessage> {
        let attributes = message.published_attributes();
        let event_id =
            attributes.get("event_id").filter(|id| !id.is_empty()).ok_or(InvalidMessage::EventId)?;
        let conversation = conversation(message)?;
        // A message that was sent back from the dead-letter queue still has the reason. It is none of the agent's business.
        let is_the_agents = |name: &str| name != DEAD_LETTER_REASON;
        let payload = Payload {
            version: VERSION,
            event_id,
            attempt: message.receive_count,
            attributes: attributes
                .iter()
                .filter(|(name, _)| is_the_agents(name))
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            body: serde_json::from_str(message.published_body()).map_err(|_| InvalidMessage::Body)?,
        };
        Ok(Self {
            event_id: event_id.clone(),
            session_id: session_id_of(&conversation),
            payload: serde_json::to_vec(&payload).map_err(|_| InvalidMessage::Body)?,
            trace_header: message.trace_header.clone(),
        })
    }
}

/// The AgentCore session of the message's conversation; `None` if the message is invalid.
pub fn session_id(message: &QueueMessage) -> Option<String> {
    conversation(message).ok().map(|key| session_id_of(&key))
}

/// The session is named after the conversation and not after the message group: on a standard queue that is the workspace, and what
/// controls a conversation has a group of its own.
fn session_id_of(conversation: &str) -> String {
    format!("slack-{}", hex::encode(Sha256::digest(conversation)))
}

/// The message's conversation, as the ingress wrote it. A message that an earlier version queued does not have the attribute; its
/// conversation is read from the body.
fn conversation(message: &QueueMessage) -> Result<String, InvalidMessage> {
    let attributes = message.published_attributes();
    let kind = attributes.get("kind").and_then(|kind| Kind::parse(kind)).ok_or(InvalidMessage::Kind)?;
    let in_body = payload::conversation(kind, message.published_body()).map_err(|_| InvalidMessage::Body)?;
    let attribute = attributes.get("conversation").filter(|conversation| !conversation.is_empty());
    Ok(attribute.cloned().unwrap_or_else(|| conversation_key(&in_body)))
}

#[cfg(test)]
mod tests;
