//! What Slack sends, and what each thing is: from signed bytes to a [`Payload`]. Pure.
//!
//! Only the few fields that decide something are read, in one pass and without building a tree; the body
//! itself goes on as it came. Slack's payloads change shape between event types (`user` is an id in one
//! and an object in the next), so a field of an unexpected shape counts as absent and refuses nothing, but
//! for `event` itself, which is an object or not Slack's.

mod form;
mod json;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::signature::Verified;
use json::Slice;

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
    /// its bytes where there is none.
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
        Encoding::Json => classify_json(verified.into_body()),
        Encoding::Form => classify_form(&verified.into_body()),
    }
}

/// The outer object. A field that stands in it twice refuses the request: which of the two Slack's
/// signature meant, nobody can say.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "type")]
    envelope_type: Slice<'a>,
    #[serde(borrow, default)]
    challenge: Slice<'a>,
    #[serde(borrow, default)]
    event_id: Slice<'a>,
    #[serde(borrow, default)]
    team_id: Slice<'a>,
    #[serde(borrow, default)]
    enterprise_id: Slice<'a>,
    #[serde(borrow, default)]
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    authorizations: Slice<'a>,
    #[serde(borrow, default)]
    event: Event<'a>,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    #[serde(borrow, default)]
    user_id: Slice<'a>,
    #[serde(borrow, default)]
    is_bot: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    event_type: Slice<'a>,
    #[serde(borrow, default)]
    subtype: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    bot_id: Slice<'a>,
    #[serde(borrow, default)]
    app_id: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    channel_type: Slice<'a>,
    #[serde(borrow, default)]
    ts: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    /// `message_changed`: the message as it is now.
    #[serde(borrow, default)]
    message: Slice<'a>,
    /// `message_deleted`: the message as it was.
    #[serde(borrow, default)]
    previous_message: Slice<'a>,
    /// Reactions, pins, stars: what they are about.
    #[serde(borrow, default)]
    item: Slice<'a>,
    /// `assistant_thread_started` and its kin.
    #[serde(borrow, default)]
    assistant_thread: Slice<'a>,
}

impl Event<'_> {
    fn is_message(&self) -> bool {
        matches!(self.event_type.text().as_deref(), Some("message" | "app_mention"))
    }
}

#[derive(Deserialize)]
struct AssistantThread<'a> {
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
}

fn classify_json(body: Vec<u8>) -> Result<Payload, Malformed> {
    let body = String::from_utf8(body).map_err(|_| Malformed::Utf8)?;
    let envelope: Envelope<'_> = object(&body)?;
    match envelope.envelope_type.string().as_deref() {
        Some("event_callback") => {
            let delivery = event_delivery(&envelope)?;
            Ok(Payload::Delivery(Box::new(Delivery { body, ..delivery })))
        }
        Some("url_verification") => {
            let challenge = envelope.challenge.string();
            challenge
                .map(|challenge| Payload::Challenge(challenge.into_owned()))
                .ok_or(Malformed::MissingChallenge)
        }
        Some("app_rate_limited") => Ok(Payload::RateLimited {
            team_id: envelope.team_id.to_text(),
            api_app_id: envelope.api_app_id.to_text(),
        }),
        _ => Err(Malformed::Unsupported),
    }
}

/// A form is a slash command, or one field `payload` with the JSON of an interaction.
fn classify_form(body: &[u8]) -> Result<Payload, Malformed> {
    let mut form = form::parse(body)?;
    let hash = || hex::encode(Sha256::digest(body));
    if let Some(payload) = form.remove("payload") {
        return classify_interaction(payload, hash);
    }
    let field = |name: &str| form.get(name).filter(|value| !value.is_empty()).cloned();
    let delivery = Delivery {
        kind: Kind::Command,
        event_type: field("command").ok_or(Malformed::Unsupported)?,
        id: field("trigger_id").map_or_else(hash, record_id),
        message_key: None,
        team_id: field("team_id"),
        api_app_id: field("api_app_id"),
        author: Author::Person,
        conversation: Conversation {
            team: field("team_id").or_else(|| field("enterprise_id")),
            channel: field("channel_id"),
            thread: field("thread_ts"),
        },
        body: serde_json::to_string(&form).map_err(|_| Malformed::Json)?,
    };
    Ok(Payload::Delivery(Box::new(delivery)))
}

#[derive(Deserialize)]
struct Interaction<'a> {
    #[serde(borrow, default, rename = "type")]
    interaction_type: Slice<'a>,
    #[serde(borrow, default)]
    trigger_id: Slice<'a>,
    #[serde(borrow, default)]
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    team: Slice<'a>,
    #[serde(borrow, default)]
    enterprise: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    container: Slice<'a>,
    /// The message that has the button.
    #[serde(borrow, default)]
    message: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct Container<'a> {
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    #[serde(borrow, default)]
    message_ts: Slice<'a>,
}

fn classify_interaction(payload: String, hash: impl FnOnce() -> String) -> Result<Payload, Malformed> {
    let interaction: Interaction<'_> = object(&payload)?;
    let event_type = interaction.interaction_type.to_text().ok_or(Malformed::Unsupported)?;
    let api_app_id = interaction.api_app_id.to_text();
    if event_type == "block_suggestion" {
        return Ok(Payload::Suggestion { api_app_id });
    }
    let message: Event<'_> = interaction.message.read().unwrap_or_default();
    let container: Container<'_> = interaction.container.read().unwrap_or_default();
    let first = |slices: &[Slice<'_>]| slices.iter().copied().find_map(Slice::to_text);
    let delivery = Delivery {
        kind: Kind::Interaction,
        event_type,
        id: interaction.trigger_id.to_text().map_or_else(hash, record_id),
        message_key: None,
        team_id: interaction.team.to_text(),
        api_app_id,
        author: Author::Person,
        conversation: Conversation {
            team: first(&[interaction.team, interaction.enterprise]),
            // A modal is in no channel: there the user is the conversation.
            channel: first(&[interaction.channel, container.channel_id, interaction.user]),
            thread: first(&[message.thread_ts, container.thread_ts, message.ts, container.message_ts]),
        },
        body: String::new(),
    };
    Ok(Payload::Delivery(Box::new(Delivery { body: payload, ..delivery })))
}

/// The outermost object. (An array would do for `serde`, its elements in the order of the fields.)
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Malformed> {
    if !json.trim_ascii_start().starts_with('{') {
        return Err(Malformed::Json);
    }
    serde_json::from_str(json).map_err(|_| Malformed::Json)
}

/// Everything of an event's delivery but its body, which is still borrowed from.
fn event_delivery(envelope: &Envelope<'_>) -> Result<Delivery, Malformed> {
    let event_type = envelope.event.event_type.to_text();
    Ok(Delivery {
        kind: Kind::Event,
        event_type: event_type.unwrap_or_else(|| "unknown".to_owned()),
        id: record_id(envelope.event_id.string().ok_or(Malformed::MissingEventId)?.into_owned()),
        message_key: message_key(envelope),
        team_id: envelope.team_id.to_text(),
        api_app_id: envelope.api_app_id.to_text(),
        author: author(envelope),
        conversation: conversation(envelope),
        body: String::new(),
    })
}

/// A store's key has its limits (DynamoDB: 2,048 bytes). Slack's ids are a few dozen; a longer one is replaced by
/// its SHA-256, so that different ones stay different.
fn record_id(id: String) -> String {
    const MAX_LEN: usize = 1024;
    if id.len() <= MAX_LEN { id } else { hex::encode(Sha256::digest(id)) }
}

/// The key of a message: app, team, channel and `ts`. An app that is subscribed to mentions and to the channel
/// gets one message as two events; both have these four.
///
/// An edit, a deletion and a `message_replied` carry another message inside and tell news of it. They are events
/// of their own, and so is a reply, which has a `ts` of its own.
fn message_key(envelope: &Envelope<'_>) -> Option<String> {
    let event = &envelope.event;
    if !event.is_message() || event.message.is_some() || event.previous_message.is_some() {
        return None;
    }
    let parts = [envelope.api_app_id, envelope.team_id, event.channel, event.ts];
    let parts: Option<Vec<_>> = parts.into_iter().map(Slice::text).collect();
    Some(parts?.join(":"))
}

/// Only messages have an author here: that a bot joined a channel or reacted is news, not an echo.
/// An edit or a deletion has the author of the message that it is about, because an agent that streams
/// its answer by editing it would otherwise hear every edit.
fn author(envelope: &Envelope<'_>) -> Author {
    let event = &envelope.event;
    if !event.is_message() {
        return Author::Person;
    }
    let about = event.message.read().or_else(|| event.previous_message.read());
    let author_of = |message: &Event<'_>| {
        let app = message.app_id.text();
        let user = message.user.text();
        if app.is_some() && app == envelope.api_app_id.text()
            || user.is_some_and(|user| is_own_bot_user(envelope.authorizations, &user))
        {
            Author::ThisApp
        } else if message.bot_id.text().is_some() || message.subtype.text().as_deref() == Some("bot_message")
        {
            Author::OtherBot
        } else {
            Author::Person
        }
    };
    match author_of(event) {
        Author::Person => about.as_ref().map_or(Author::Person, author_of),
        bot => bot,
    }
}

/// Whether `user` is the app's bot user. An authorization may also name the person who installed the app
/// (`is_bot: false`), and what that person writes is not the app's.
fn is_own_bot_user(authorizations: Slice<'_>, user: &str) -> bool {
    let authorizations: Vec<Authorization<'_>> = authorizations.read().unwrap_or_default();
    authorizations.iter().any(|authorization| {
        authorization.is_bot.read() != Some(false) && authorization.user_id.text().as_deref() == Some(user)
    })
}

fn conversation(envelope: &Envelope<'_>) -> Conversation {
    let event = &envelope.event;
    let about: Option<Event<'_>> =
        event.message.read().or_else(|| event.previous_message.read()).or_else(|| event.item.read());
    let about = about.unwrap_or_default();
    let assistant: Option<AssistantThread<'_>> = event.assistant_thread.read();
    let (assistant_channel, assistant_thread) =
        assistant.map_or_else(Default::default, |thread| (thread.channel_id, thread.thread_ts));

    let first = |slices: [Slice<'_>; 3]| slices.into_iter().find_map(Slice::to_text);
    let channel = first([event.channel, about.channel, assistant_channel]);
    let direct = event.channel_type.text().as_deref() == Some("im")
        || channel.as_deref().is_some_and(|channel| channel.starts_with('D'));
    let thread = first([event.thread_ts, about.thread_ts, assistant_thread]);
    Conversation {
        team: first([envelope.team_id, envelope.enterprise_id, envelope.api_app_id]),
        channel,
        thread: thread.or_else(|| {
            let starts_thread = !direct;
            starts_thread.then(|| first([about.ts, event.ts, Slice::default()])).flatten()
        }),
    }
}

#[cfg(test)]
mod tests;
