//! What Slack sends, and what has to be done with it: from signed bytes to a [`Payload`]. All of it is pure.
//!
//! In reading order: this page has the words and [`classify`]; `event` reads the Events API, which is JSON; `interactive` reads
//! slash commands and interactions, which are forms; `form` and `json` are their parsers.
//!
//! Only the few fields that decide something are read, in one pass over the body. The body itself is forwarded as it came.
//! Slack's payloads have different shapes (`user` is an id in one event and an object in the next), so a field of an unexpected
//! shape counts as absent. It does not make a request malformed, but for `event` itself, which has to be an object.

mod event;
mod form;
mod interactive;
mod json;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::slack::signature::Verified;

/// A signed request, by what has to be done with it. [`classify`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload {
    /// Slack verifies the request URL and wants to read this text in the answer
    /// ([`url_verification`](https://docs.slack.dev/reference/events/url_verification/)).
    Challenge(String),
    /// Slack says that it held events back, because there were too many
    /// ([`app_rate_limited`](https://docs.slack.dev/reference/events/app_rate_limited/)). There is nothing to forward.
    RateLimited {
        /// The id of the workspace that had too many events; absent if the payload does not name it.
        team_id: Option<String>,
        /// The id of the app that they were for; absent if the payload does not name it.
        api_app_id: Option<String>,
    },
    /// A menu asks for its options and waits for them (`block_suggestion`). What reads the queue cannot answer in time.
    Suggestion {
        /// The id of the app that the menu belongs to; absent if the payload does not name it.
        api_app_id: Option<String>,
    },
    /// An event, a command or an interaction, which goes to the queue.
    Delivery(Box<Delivery>),
}

impl Payload {
    /// The id of the app that the payload is for; `None` if the payload does not name it.
    pub fn api_app_id(&self) -> Option<&str> {
        match self {
            Self::Challenge(_) => None,
            Self::RateLimited { api_app_id, .. } | Self::Suggestion { api_app_id } => api_app_id.as_deref(),
            Self::Delivery(delivery) => delivery.api_app_id.as_deref(),
        }
    }
}

/// What a delivery is: the attribute `kind` of a queue message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event of the [Events API](https://docs.slack.dev/apis/events-api/).
    Event,
    /// A slash command, such as `/weather` ([slash commands](https://docs.slack.dev/interactivity/implementing-slash-commands/)).
    Command,
    /// What a person did with a button, a menu, a modal or a shortcut
    /// ([interaction](https://docs.slack.dev/interactivity/handling-user-interaction/)).
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

    /// The kind with this value of the attribute; `None` if there is no such kind.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Command, Self::Interaction].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether Slack asks again when it gets no 200. It does that for events, and sends commands and interactions once.
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Event)
    }
}

/// What makes two events the same one (`DEDUP_KEY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupKey {
    /// Two events are the same if they have the same `event_id`.
    EventId,
    /// Two events are the same if they tell of the same message: an app that listens to mentions and to the channel gets both
    /// for one message. Events that tell of no message are compared by their `event_id`.
    Message,
}

/// An event, a command or an interaction, which is to be on the queue once.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whether it is an event, a command or an interaction.
    pub kind: Kind,
    /// The type of the event or interaction, such as `app_mention` or `block_actions`, or the name of the command, such as
    /// `/weather`; `unknown` if an event has none.
    pub event_type: String,
    /// The id that it is recorded under. An event has its `event_id`, such as `Ev0LAN670R`. A command or an interaction has its
    /// `trigger_id`, or the SHA-256 of its bytes where there is none, or what [`Delivery::identified_by`] was given.
    pub id: String,
    /// The id of the message that the event tells of, such as `A0F7YS25R:T061EG9R6:C0LAN2Q65:1515449522.000016`: with
    /// [`DedupKey::Message`] the event is recorded under it. Absent if the event tells of no message.
    pub message_key: Option<String>,
    /// The id of the workspace that the app is installed in, such as `T061EG9R6`; absent if the payload names none.
    pub team_id: Option<String>,
    /// The id of the app that it is for, such as `A0F7YS25R`; absent if the payload names none.
    pub api_app_id: Option<String>,
    /// Who wrote the message, if it is one.
    pub author: Author,
    /// The conversation that it belongs to.
    pub conversation: Conversation,
    /// What goes to the queue: of an event or an interaction the JSON exactly as Slack sent it, of a command its fields as a
    /// JSON object.
    pub body: String,
}

impl Delivery {
    /// Has a command or an interaction recorded under `delivery_id`, if there is one. An event keeps its own id.
    #[must_use]
    pub fn identified_by(mut self, delivery_id: Option<String>) -> Self {
        if let (Kind::Command | Kind::Interaction, Some(id)) = (self.kind, delivery_id) {
            self.id = record_id(id);
        }
        self
    }

    /// Has an event recorded under what `key` says.
    #[must_use]
    pub fn keyed_by(mut self, key: DedupKey) -> Self {
        if let (DedupKey::Message, Some(message_key)) = (key, self.message_key.take()) {
            self.id = message_key;
        }
        self
    }
}

/// Who wrote a message, as far as [`BotEvents`](crate::ingress::BotEvents) makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A person wrote it, or it is no message.
    Person,
    /// The app that the event is for wrote it.
    ThisApp,
    /// Another bot wrote it.
    OtherBot,
}

/// The conversation that a delivery belongs to. On a FIFO queue the messages of one conversation keep their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The id of the workspace; or of the organisation, or else of the app, where the payload names no workspace.
    pub team: Option<String>,
    /// The id of the channel, such as `C0LAN2Q65`. A modal is in no channel, and has the user's id here.
    pub channel: Option<String>,
    /// The thread, such as `1515449522.000016`: its `thread_ts`, or the `ts` of the message that a thread would start from.
    /// Absent in a direct message outside of a thread, because there the whole channel is one conversation.
    pub thread: Option<String>,
}

/// Why signed bytes are not what Slack sends. The answer is 400 for each, and Slack does not ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The content type is neither that of JSON nor that of a form.
    ContentType,
    /// The bytes are not UTF-8.
    Utf8,
    /// The text is no JSON object, or a field that decides something is in it twice.
    Json,
    /// The outer `type` is unknown, or the form is neither a command nor an interaction.
    Unsupported,
    /// A field is in the form twice.
    RepeatedField,
    /// The event has no `event_id`.
    MissingEventId,
    /// The `url_verification` has no `challenge`.
    MissingChallenge,
}

impl Malformed {
    /// The value of the log's field `reason`.
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

/// How the body of a request is encoded. Slack uses these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`: the Events API.
    Json,
    /// `application/x-www-form-urlencoded`: commands and interactions.
    Form,
}

impl Encoding {
    /// The encoding that a `Content-Type` header names, whatever its parameters are; `None` if it names neither.
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
/// Slack does not sign this check. It is the only question that is asked of unsigned bytes, and its answer has no effect.
pub fn is_ssl_check(encoding: Option<Encoding>, body: &[u8]) -> bool {
    encoding == Some(Encoding::Form) && body.split(|&b| b == b'&').any(|field| field == b"ssl_check=1")
}

/// Reads signed bytes: what they are, and what has to be done with them.
///
/// # Errors
/// [`Malformed`], when they are not what Slack sends.
pub fn classify(verified: Verified, encoding: Option<Encoding>) -> Result<Payload, Malformed> {
    match encoding.ok_or(Malformed::ContentType)? {
        Encoding::Json => event::classify(verified.into_body()),
        Encoding::Form => interactive::classify(&verified.into_body()),
    }
}

/// The conversation of a delivery that was on the queue, read from the `body` of its message. It is the same as
/// [`Delivery::conversation`] was.
///
/// # Errors
/// [`Malformed`], when the ingress did not put this body on the queue.
pub fn conversation(kind: Kind, body: &str) -> Result<Conversation, Malformed> {
    match kind {
        Kind::Event => event::queued_conversation(body),
        Kind::Command => interactive::queued_command_conversation(body),
        Kind::Interaction => interactive::queued_interaction_conversation(body),
    }
}

/// Reads a text that is one JSON object.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Malformed> {
    let json::Object(object) = serde_json::from_str(json).map_err(|_| Malformed::Json)?;
    Ok(object)
}

/// Whether a channel's id is that of a direct message. There the whole channel is one conversation, but for its threads.
fn is_direct(channel: &str) -> bool {
    channel.starts_with('D')
}

/// The key under which an id from a request is recorded. An id with a `:` or a `#` is replaced by its SHA-256. Slack's ids have
/// neither, but the keys of `DEDUP_KEY=message`, of the dispatcher and of a consumer's guard have: whoever may sign for one app
/// could otherwise claim such a key of another app.
fn record_id(id: String) -> String {
    if id.contains([':', '#']) { hex::encode(Sha256::digest(id)) } else { record_key(id) }
}

/// The key under which an id is recorded. An id of more than 1,024 bytes is replaced by its SHA-256, so that every store takes
/// it and different ids stay different. (DynamoDB takes 2,048 bytes; Slack's ids have a few dozen.)
fn record_key(id: String) -> String {
    const MAX_LEN: usize = 1024;
    if id.len() <= MAX_LEN { id } else { hex::encode(Sha256::digest(id)) }
}

#[cfg(test)]
mod tests;
