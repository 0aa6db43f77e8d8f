//! From a message to what the agent gets: the session and the payload. Pure.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use super::message::DEAD_LETTER_REASON;
use super::message::QueueMessage;
use crate::sink::message::conversation_key;
use crate::slack::payload::{self, Kind};

/// Of the payload's schema (docs/agent.md). A consumer may rely on the fields of its version.
const VERSION: u32 = 1;

/// A call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCall {
    /// What the event is known by.
    pub event_id: String,
    /// One for each conversation: `slack-` and 64 hexadecimal digits. (AgentCore wants 33 to 256 characters.)
    pub session_id: String,
    /// JSON.
    pub payload: Vec<u8>,
    /// The X-Ray trace that the event came in.
    pub trace_header: Option<String>,
}

/// Why a message cannot be handed over, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidMessage {
    /// Its attribute `kind` is missing, or names none.
    Kind,
    /// It has no attribute `event_id`.
    EventId,
    /// Its body is no JSON object as Slack sends it.
    Body,
}

impl InvalidMessage {
    /// For the dead-letter queue and the log.
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
    /// The call for `message`.
    ///
    /// # Errors
    /// When the message is none of the ingress's.
    pub fn of(message: &QueueMessage) -> Result<Self, InvalidMessage> {
        let attributes = message.published_attributes();
        let event_id =
            attributes.get("event_id").filter(|id| !id.is_empty()).ok_or(InvalidMessage::EventId)?;
        let conversation = conversation(message)?;
        let own = |name: &str| name != DEAD_LETTER_REASON; // of an earlier life
        let payload = Payload {
            version: VERSION,
            event_id,
            attempt: message.receive_count,
            attributes: attributes
                .iter()
                .filter(|(name, _)| own(name))
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

/// The session that `message` belongs to, if it belongs to one.
pub fn session_id(message: &QueueMessage) -> Option<String> {
    conversation(message).ok().map(|key| session_id_of(&key))
}

/// Of the conversation, and not of the queue's group: on a standard queue that is the team.
fn session_id_of(conversation: &str) -> String {
    format!("slack-{}", hex::encode(Sha256::digest(conversation)))
}

fn conversation(message: &QueueMessage) -> Result<String, InvalidMessage> {
    let kind = message.published_attributes().get("kind").and_then(|kind| Kind::parse(kind));
    let conversation = payload::conversation(kind.ok_or(InvalidMessage::Kind)?, message.published_body());
    Ok(conversation_key(&conversation.map_err(|_| InvalidMessage::Body)?))
}

#[cfg(test)]
mod tests;
