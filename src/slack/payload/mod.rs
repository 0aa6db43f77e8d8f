//! What Slack sends, and what each thing is: from signed bytes to a [`Payload`]. Pure.
//!
//! Only the few fields that decide something are read, in one pass and without building a tree; the body
//! itself goes on as it came. Slack's payloads change shape between event types (`user` is an id in one
//! and an object in the next), so a field of an unexpected shape counts as absent and refuses nothing, but
//! for `event` itself, which is an object or not Slack's.

mod event;
mod form;
mod interactive;
mod json;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::slack::signature::Verified;

/// A signed request, by what has to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload {
    /// `url_verification`: answer with this challenge.
    Challenge(String),
    /// `app_rate_limited`: Slack held events back. Nothing to forward.
    RateLimited {
        /// The workspace that sent too much.
        team_id: Option<String>,
        /// The app.
        api_app_id: Option<String>,
    },
    /// `block_suggestion`: a menu wants its options now. Nothing behind a queue can give them.
    Suggestion {
        /// The app.
        api_app_id: Option<String>,
    },
    /// Something for the queue.
    Delivery(Box<Delivery>),
}

impl Payload {
    /// The app that this is for, if it says so.
    pub fn api_app_id(&self) -> Option<&str> {
        match self {
            Self::Challenge(_) => None,
            Self::RateLimited { api_app_id, .. } | Self::Suggestion { api_app_id } => api_app_id.as_deref(),
            Self::Delivery(delivery) => delivery.api_app_id.as_deref(),
        }
    }
}

/// What a delivery is, in the queue message's attribute `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event of the Events API.
    Event,
    /// A slash command.
    Command,
    /// A button, menu, modal or shortcut.
    Interaction,
}

impl Kind {
    /// The value of the attribute `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::Interaction => "interaction",
        }
    }

    /// The kind that this value of the attribute stands for.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Command, Self::Interaction].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether Slack asks again when it gets no 200. Only the Events API does.
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Event)
    }
}

/// What makes two events the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupKey {
    /// The same `event_id`.
    EventId,
    /// The same message, where the event is one; else the same `event_id`.
    Message,
}

/// One thing to be put on the queue once.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it is.
    pub kind: Kind,
    /// The inner type: `app_mention`, `message`, …, a command's name; `unknown` if there is none.
    pub event_type: String,
    /// What it is recorded under: the `event_id`, a command's or interaction's `trigger_id`, or the SHA-256 of
    /// its bytes where there is none; or what [`Delivery::identified_by`] has put in the place of these two.
    pub id: String,
    /// What the message that it tells of could be recorded under instead; see [`DedupKey::Message`].
    pub message_key: Option<String>,
    /// The workspace that the app is installed in.
    pub team_id: Option<String>,
    /// The app.
    pub api_app_id: Option<String>,
    /// Who caused it.
    pub author: Author,
    /// What it belongs to.
    pub conversation: Conversation,
    /// The JSON exactly as Slack sent it; a command's fields as an object.
    pub body: String,
}

impl Delivery {
    /// Recorded under the id that it was delivered with, if it is no event, which has an id of its own.
    #[must_use]
    pub fn identified_by(mut self, delivery_id: Option<String>) -> Self {
        if let (Kind::Command | Kind::Interaction, Some(id)) = (self.kind, delivery_id) {
            self.id = record_id(id);
        }
        self
    }

    /// Recorded under what `key` says.
    #[must_use]
    pub fn keyed_by(mut self, key: DedupKey) -> Self {
        if let (DedupKey::Message, Some(message_key)) = (key, self.message_key.take()) {
            self.id = message_key;
        }
        self
    }
}

/// Who wrote a message, as far as the loop guard cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A person, or nobody: anything that is not a bot's message.
    Person,
    /// This very app.
    ThisApp,
    /// Some other bot.
    OtherBot,
}

/// Where a delivery belongs: deliveries of one conversation keep their order on a FIFO queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The workspace, or the organisation where there is none.
    pub team: Option<String>,
    /// The channel.
    pub channel: Option<String>,
    /// The thread: `thread_ts`, or the `ts` of the message that a thread would start from. Absent in a
    /// direct message outside of any thread: there the whole channel is one conversation.
    pub thread: Option<String>,
}

/// Why signed bytes are not what Slack sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Neither JSON nor a form by its content type.
    ContentType,
    /// Not UTF-8.
    Utf8,
    /// Not JSON, or one of the fields that matter stands there twice.
    Json,
    /// An outer `type` that this program does not know, or a form that is neither command nor interaction.
    Unsupported,
    /// A form with a field that stands twice.
    RepeatedField,
    /// An event without an `event_id`.
    MissingEventId,
    /// A `url_verification` without a `challenge`.
    MissingChallenge,
}

impl Malformed {
    /// The reason's name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::Utf8 => "not_utf8",
            Self::Json => "not_json",
            Self::Unsupported => "unsupported_type",
            Self::RepeatedField => "repeated_field",
            Self::MissingEventId => "missing_event_id",
            Self::MissingChallenge => "missing_challenge",
        }
    }
}

/// The two encodings that Slack uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
}

impl Encoding {
    /// The encoding that a `Content-Type` header names; its parameters do not matter.
    pub fn of(content_type: Option<&str>) -> Option<Self> {
        let essence = content_type?.split(';').next()?.trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Some(Self::Form)
        } else {
            None
        }
    }
}

/// Whether these bytes are Slack's check of our TLS certificate: a form with the field `ssl_check=1`.
///
/// The one question that unsigned bytes may be asked, because the answer has no effect.
pub fn is_ssl_check(encoding: Option<Encoding>, body: &[u8]) -> bool {
    encoding == Some(Encoding::Form) && body.split(|&b| b == b'&').any(|field| field == b"ssl_check=1")
}

/// What a signed request is.
///
/// # Errors
/// [`Malformed`], when Slack would not send this.
pub fn classify(verified: Verified, encoding: Option<Encoding>) -> Result<Payload, Malformed> {
    match encoding.ok_or(Malformed::ContentType)? {
        Encoding::Json => event::classify(verified.into_body()),
        Encoding::Form => interactive::classify(&verified.into_body()),
    }
}

/// Where a queued delivery belongs, read from its `body` again: [`Delivery::conversation`], as it was.
///
/// # Errors
/// [`Malformed`], when it is not what was queued.
pub fn conversation(kind: Kind, body: &str) -> Result<Conversation, Malformed> {
    match kind {
        Kind::Event => event::queued_conversation(body),
        Kind::Command => interactive::queued_command_conversation(body),
        Kind::Interaction => interactive::queued_interaction_conversation(body),
    }
}

/// The outermost object.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Malformed> {
    let json::Object(object) = serde_json::from_str(json).map_err(|_| Malformed::Json)?;
    Ok(object)
}

/// Whether a channel's id is that of a direct message, which is one conversation but for its threads.
fn is_direct(channel: &str) -> bool {
    channel.starts_with('D')
}

/// An id that Slack gave, as it is recorded. Slack's have neither `:` nor `#`, and the keys of `DEDUP_KEY=message` and
/// of a consumer's guard have: one that has is replaced by its SHA-256, so that whoever may sign for one app cannot
/// take such a key of another's.
fn record_id(id: String) -> String {
    if id.contains([':', '#']) { hex::encode(Sha256::digest(id)) } else { record_key(id) }
}

/// A store's key has its limits (DynamoDB: 2,048 bytes). Slack's ids are a few dozen; a longer one is replaced by
/// its SHA-256, so that different ones stay different.
fn record_key(id: String) -> String {
    const MAX_LEN: usize = 1024;
    if id.len() <= MAX_LEN { id } else { hex::encode(Sha256::digest(id)) }
}

#[cfg(test)]
mod tests;
