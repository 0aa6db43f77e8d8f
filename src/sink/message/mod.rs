//! What goes on the queue: a delivery, with the attributes that a consumer can route and de-duplicate by.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

use crate::slack::payload::{Conversation, Delivery};
use crate::time::clock::UnixMillis;

/// SQS and SNS limit group and de-duplication ids to this many characters.
const MAX_ID_LEN: usize = 128;

/// A string attribute and its value.
pub type Attribute = (Cow<'static, str>, String);

/// One message, the same for every sink.
///
/// Its serialised form stands in the store while it is parked, and is read by whatever version comes next: a
/// new field needs a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Slack's JSON. Byte for byte what Slack sent, but for the two characters that SQS refuses, which are
    /// written as JSON escapes.
    pub body: String,
    /// String attributes, none of them empty; nine at the most, of the ten that SQS allows.
    pub attributes: Vec<Attribute>,
    /// For a FIFO sink: the recorded id.
    pub deduplication_id: String,
    /// For a FIFO sink: the conversation, in which order is kept.
    pub conversation_group: String,
    /// For a standard sink: the team, so that a fair queue can keep a loud one from starving the others.
    pub team_group: String,
    /// The X-Ray trace that the invocation belongs to.
    pub trace_header: Option<String>,
}

/// What this attempt adds to a delivery.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the request came in.
    pub received_at: UnixMillis,
    /// `X-Slack-Retry-Num`
    pub retry_num: Option<u32>,
    /// `X-Slack-Retry-Reason`
    pub retry_reason: Option<String>,
    /// The X-Ray trace header.
    pub trace_header: Option<String>,
}

impl Message {
    /// The message for `delivery`.
    pub fn new(delivery: Delivery, arrival: Arrival) -> Self {
        let team_group = queue_id(team(&delivery.conversation));
        let conversation_group = queue_id(&conversation_key(&delivery.conversation));
        let deduplication_id = queue_id(&delivery.id);

        let attributes = [
            ("kind", Some(delivery.kind.as_str().to_owned())),
            ("type", Some(delivery.event_type)),
            ("event_id", Some(delivery.id)),
            ("received_at", Some(arrival.received_at.as_millis().to_string())),
            ("team_id", delivery.team_id),
            ("api_app_id", delivery.api_app_id),
            ("retry_num", arrival.retry_num.map(|num| num.to_string())),
            ("retry_reason", arrival.retry_reason),
        ];
        let mut attributes: Vec<Attribute> = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(name), value.filter(|value| !value.is_empty())?)))
            .collect();
        for (_, value) in &mut attributes {
            replace_refused_characters(value);
        }

        Self {
            body: escape_noncharacters(delivery.body),
            attributes,
            deduplication_id,
            conversation_group,
            team_group,
            trace_header: arrival.trace_header,
        }
    }

    /// Marks a message that was sent without a record, and so may be on the queue already.
    #[must_use]
    pub fn unguarded(mut self) -> Self {
        let (name, value) = UNGUARDED;
        self.attributes.push((Cow::Borrowed(name), value.to_owned()));
        self
    }

    /// The message as a store keeps it while it is parked.
    ///
    /// # Errors
    /// None that is known: strings are all it has.
    pub fn to_parked(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The message that a store kept.
    ///
    /// # Errors
    /// When it is none: something else wrote it, or a later version.
    pub fn from_parked(parked: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(parked)
    }

    /// Its size in bytes as SQS and SNS count it: the body, and every attribute's name, type and value.
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| attribute_size(name, value));
        self.body.len() + attributes.sum::<usize>()
    }

    /// What its size would be if it were [`Message::unguarded`].
    pub fn size_unguarded(&self) -> usize {
        let (name, value) = UNGUARDED;
        self.size() + attribute_size(name, value)
    }
}

const UNGUARDED: (&str, &str) = ("unguarded", "true");

fn attribute_size(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
}

fn team(conversation: &Conversation) -> &str {
    conversation.team.as_deref().unwrap_or("none")
}

/// What deliveries of one conversation have in common, and those of two have not.
pub fn conversation_key(conversation: &Conversation) -> String {
    let parts = [Some(team(conversation)), conversation.channel.as_deref(), conversation.thread.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(":")
}

/// `id` as SQS and SNS take it: up to 128 letters, digits and marks. Slack's ids are; another is replaced
/// by its SHA-256, so that different ones stay different.
fn queue_id(id: &str) -> String {
    let accepted = (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if accepted { id.to_owned() } else { hex::encode(Sha256::digest(id)) }
}

const NONCHARACTERS: [(char, &str); 2] = [('\u{fffe}', "\\ufffe"), ('\u{ffff}', "\\uffff")];

/// SQS refuses U+FFFE and U+FFFF (with every other character that XML 1.0 lacks, but those JSON cannot
/// hold unescaped). In valid JSON they stand inside strings only, so an escape says the same.
fn escape_noncharacters(body: String) -> String {
    NONCHARACTERS.into_iter().fold(body, |body, (character, escape)| {
        if body.contains(character) { body.replace(character, escape) } else { body }
    })
}

/// An attribute is not JSON: there, what SQS refuses becomes the replacement character.
pub(crate) fn replace_refused_characters(value: &mut String) {
    let refused = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}' | '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}');
    if value.contains(refused) {
        *value = value.replace(refused, "\u{fffd}");
    }
}

#[cfg(test)]
mod tests;
