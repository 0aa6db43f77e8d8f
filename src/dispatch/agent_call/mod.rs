//! From a message to what the agent gets: what it asks, the session and the payload. All of it is pure.
//! `docs/invocation.schema.json` describes the payload for agents.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use super::message::DEAD_LETTER_REASON;
use super::message::QueueMessage;
use crate::sink::message::conversation_key;
use crate::slack::payload::{self, DmConversation, Kind};
use crate::slack::question::{self, File, Meaning, Place, Question};
use crate::time::trace::TraceHeader;
use crate::work::RecordKey;
use crate::work::token::Token;

/// The version of the payload's schema. A payload of this version always has the fields that `docs/agent-protocol.md` describes.
/// It is part of the session's id, so that no session whose code knows only another version gets a call.
const VERSION: u32 = 2;

/// One call of the agent, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCall {
    /// The id of the event, under which the ingress recorded it.
    pub event_id: String,
    /// The AgentCore session of the conversation: `slack-` and the 64 hexadecimal digits of a SHA-256. (AgentCore takes 33 to
    /// 256 characters.)
    pub session_id: String,
    /// The payload, as JSON.
    pub payload: Vec<u8>,
    /// The trace that the call belongs to: the message's. Absent if that has none.
    pub trace: Option<TraceHeader>,
}

/// Why nothing can ever be done with a message: the ingress did not put it on the queue.
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

/// The id under which the ingress recorded the event of a message.
///
/// # Errors
/// When the message does not say.
pub fn event_id(message: &QueueMessage) -> Result<&str, InvalidMessage> {
    let id = message.published_attributes().get("event_id").filter(|id| !id.is_empty());
    id.map(String::as_str).ok_or(InvalidMessage::EventId)
}

/// What a message asks of the agent's side.
///
/// # Errors
/// When the ingress did not put this message on the queue.
pub fn asked(message: &QueueMessage, dm_conversation: DmConversation) -> Result<Meaning, InvalidMessage> {
    event_id(message)?;
    let (kind, attributes) = (kind(message)?, message.published_attributes());
    let asked = question::read(kind, message.published_body(), attributes, dm_conversation);
    asked.map_err(|_| InvalidMessage::Body)
}

#[derive(Serialize)]
struct Payload<'a> {
    version: u32,
    event_id: &'a str,
    attempt: u32,
    attributes: BTreeMap<&'a str, &'a str>,
    body: &'a RawValue,
    question: Option<QuestionPayload<'a>>,
    work: WorkPayload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<String>,
}

#[derive(Serialize)]
struct QuestionPayload<'a> {
    id: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FilePayload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_left_out: Option<usize>,
    place: Place,
}

/// A file without its URL: the agent has no token, and asks agent-settle for the content by the id.
#[derive(Serialize)]
struct FilePayload<'a> {
    id: &'a str,
    name: Option<&'a str>,
    mimetype: Option<&'a str>,
    size: Option<u64>,
}

#[derive(Serialize)]
struct WorkPayload<'a> {
    record: &'a str,
    token: &'a str,
}

impl AgentCall {
    /// The call that hands over the event of `message`, with the right to work on it.
    ///
    /// # Errors
    /// When the ingress did not put this message on the queue.
    pub fn of(
        message: &QueueMessage,
        question: Option<&Question>,
        key: &RecordKey,
        token: &Token,
    ) -> Result<Self, InvalidMessage> {
        let event_id = event_id(message)?;
        let conversation = conversation(message)?;
        // A message that was sent back from the dead-letter queue still has the reason. It is none of the agent's business.
        let is_the_agents = |name: &str| name != DEAD_LETTER_REASON;
        let payload = Payload {
            version: VERSION,
            event_id,
            attempt: message.receive_count,
            attributes: message
                .published_attributes()
                .iter()
                .filter(|(name, _)| is_the_agents(name))
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            body: serde_json::from_str(message.published_body()).map_err(|_| InvalidMessage::Body)?,
            question: question.map(|question| QuestionPayload {
                id: &question.id,
                text: &question.text,
                files: question.files.listed.iter().map(FilePayload::of).collect(),
                files_left_out: Some(question.files.left_out).filter(|left_out| *left_out > 0),
                place: question.place.shown_to_the_agent(),
            }),
            work: WorkPayload { record: key.as_str(), token: token.as_str() },
            trace_header: message.trace.as_ref().map(TraceHeader::header),
        };
        Ok(Self {
            event_id: event_id.to_owned(),
            session_id: session_id_of(&conversation),
            payload: serde_json::to_vec(&payload).map_err(|_| InvalidMessage::Body)?,
            trace: message.trace.clone(),
        })
    }
}

impl<'a> FilePayload<'a> {
    fn of(file: &'a File) -> Self {
        let File { id, name, mimetype, size, url: _ } = file;
        Self { id, name: name.as_deref(), mimetype: mimetype.as_deref(), size: *size }
    }
}

/// The call by which a question goes on after a person was asked: the agent gets what it was invoked with when it asked, in the session
/// of the question, whatever message says that it goes on.
///
/// What is kept came from the agent, and may be another one's words. Which session is called does not depend on it: `recorded` is
/// the question's conversation by its record. Only of a record that an earlier version wrote is it read from what was kept.
///
/// # Errors
/// When nothing that can be read was kept.
pub fn resumed(
    message: &QueueMessage,
    invocation: &str,
    recorded: Option<&str>,
    key: &RecordKey,
    token: &Token,
) -> Result<AgentCall, InvalidMessage> {
    let mut payload: Map<String, Value> =
        serde_json::from_str(invocation).map_err(|_| InvalidMessage::Body)?;
    let event_id = event_id(message)?;
    let attributes = payload.get_mut("attributes").and_then(Value::as_object_mut);
    let attributes = attributes.ok_or(InvalidMessage::Body)?;
    if let Some(recorded) = recorded {
        attributes.insert("conversation".to_owned(), recorded.into());
    }
    let attributes =
        serde_json::from_value(Value::Object(attributes.clone())).map_err(|_| InvalidMessage::Body)?;
    let body = payload.get("body").map(Value::to_string).ok_or(InvalidMessage::Body)?;
    let asked = QueueMessage { attributes, body, ..QueueMessage::default() };
    let session_id = session_id_of(&conversation(&asked)?);
    let mut set = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    set("event_id", event_id.into());
    set("attempt", message.receive_count.into());
    set("work", json!({ "record": key.as_str(), "token": token.as_str() }));
    match &message.trace {
        Some(trace) => set("trace_header", trace.header().into()),
        None => payload.remove("trace_header"),
    };
    Ok(AgentCall {
        event_id: event_id.to_owned(),
        session_id,
        payload: serde_json::to_vec(&payload).map_err(|_| InvalidMessage::Body)?,
        trace: message.trace.clone(),
    })
}

/// The AgentCore session of the message's conversation; `None` if the message is invalid.
pub fn session_id(message: &QueueMessage) -> Option<String> {
    conversation(message).ok().map(|key| session_id_of(&key))
}

/// The session is named after the conversation and not after the message group: on a standard queue that is the workspace, and what
/// controls a conversation has a group of its own.
fn session_id_of(conversation: &str) -> String {
    format!("slack-{}", hex::encode(Sha256::digest(format!("{VERSION}:{conversation}"))))
}

/// The message's conversation, as the ingress wrote it; `None` if the message is invalid.
pub fn conversation_of(message: &QueueMessage) -> Option<String> {
    conversation(message).ok()
}

/// The message's conversation, as the ingress wrote it. A message that an earlier version queued does not have the attribute; its
/// conversation is read from the body.
fn conversation(message: &QueueMessage) -> Result<String, InvalidMessage> {
    let attributes = message.published_attributes();
    let kind = kind(message)?;
    let in_body = payload::conversation(kind, message.published_body()).map_err(|_| InvalidMessage::Body)?;
    let attribute = attributes.get("conversation").filter(|conversation| !conversation.is_empty());
    Ok(attribute.cloned().unwrap_or_else(|| conversation_key(&in_body)))
}

fn kind(message: &QueueMessage) -> Result<Kind, InvalidMessage> {
    let kind = message.published_attributes().get("kind");
    kind.and_then(|kind| Kind::parse(kind)).ok_or(InvalidMessage::Kind)
}

#[cfg(test)]
mod tests;
