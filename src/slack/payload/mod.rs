//! What Slack sends, and what has to be done with it: from signed bytes to a [`Payload`]. All of it is pure.
//!
//! In reading order: this page has the words and [`classify`]; `event` reads the Events API, which is JSON; `interactive` reads
//! slash commands and interactions, which are forms; `form` and `json` are their parsers. `docs/events.md` says of every type of
//! event and interaction to which conversation it belongs and whose act it is; a test holds that page to this code.
//!
//! Only the few fields that decide something are read, in one pass over the body. The body itself is forwarded as it came.
//! Slack's payloads have different shapes (`user` is an id in one event and an object in the next), so a field of an unexpected
//! shape counts as absent. It does not make a request malformed, but for `event` itself, which has to be an object.

pub(in crate::slack) mod event;
mod form;
mod interactive;
mod json;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::slack::apps::Apps;
use crate::slack::signature::{Signer, Verified};

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
    /// A menu asks for its options and waits for them: `block_suggestion`, `dialog_suggestion`, or an `interactive_message` that
    /// has no actions. What reads the queue cannot answer in time. All three take an empty list in the same shape,
    /// `{"options":[]}`.
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

    /// Whether this payload may have this signature: it names an app that the secret speaks for. Slack's shortcuts, and buttons
    /// and dialogs of the old style, name no app; theirs is the app whose secret signed them, if it is clear whose that is. Events
    /// always name theirs.
    pub fn may_be_signed_by(&self, signer: &Signer) -> bool {
        let need_not_name_it = match self {
            Self::Suggestion { .. } => true,
            Self::Delivery(delivery) => delivery.kind != Kind::Event,
            Self::Challenge(_) | Self::RateLimited { .. } => false,
        };
        signer.speaks_for(self.api_app_id())
            || need_not_name_it && self.api_app_id().is_none() && signer.sole_app().is_some()
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

/// What the conversation of a direct message is (`DM_CONVERSATION`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmConversation {
    /// The whole direct message is one conversation, but for its threads.
    Channel,
    /// Every message outside of a thread starts a conversation. It is for apps with `agent_view`, where Slack shows it so.
    Thread,
}

/// The events that never wait behind their conversation (`CONTROL_EVENTS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlEvents(Vec<String>);

impl ControlEvents {
    /// The events of these types. A subtype of `message`, such as `message_deleted`, counts as a type.
    pub fn new(types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(types.into_iter().map(Into::into).collect())
    }

    fn has(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.0.iter().any(|known| known == name))
    }
}

impl Default for ControlEvents {
    /// `agent_session_stopped`: somebody pressed stop, and the work that it stops must not be waited for.
    fn default() -> Self {
        Self::new(["agent_session_stopped"])
    }
}

/// An event, a command or an interaction, which is to be on the queue once.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whether it is an event, a command or an interaction.
    pub kind: Kind,
    /// The type of the event or interaction, such as `app_mention` or `block_actions`, or the name of the command, such as
    /// `/weather`; `unknown` if an event has none.
    pub event_type: String,
    /// The subtype of a `message` event, such as `message_deleted`; absent if it has none, or is no `message`. A deletion has
    /// `message_deleted`, even where Slack says `message_changed`, as it does of the first message of a thread.
    pub subtype: Option<String>,
    /// The id that it is recorded under. An event has its `event_id`, such as `Ev0LAN670R`. A command or an interaction has the
    /// SHA-256 of its bytes in hexadecimal digits, because Slack has sent different clicks with one `trigger_id`; or what
    /// [`Context::delivery_id`] says. Where several apps stand behind the function, the app's id is in front of it.
    pub id: String,
    /// The id of the message that the event tells of, such as `A0F7YS25R:C0LAN2Q65:1515449522.000016`: with
    /// [`DedupKey::Message`] the event is recorded under it. Absent if the event tells of no message.
    pub message_key: Option<String>,
    /// The id of the workspace that the app is installed in, such as `T061EG9R6`, which in a shared channel may be another one
    /// than the author's. If the app is installed in a whole organisation, it is the workspace that it happened in. Absent if the
    /// payload names none.
    pub team_id: Option<String>,
    /// The id of the app that it is for, such as `A0F7YS25R`; absent if the payload names none.
    pub api_app_id: Option<String>,
    /// Who wrote the message or did what the event tells of.
    pub author: Author,
    /// The conversation that it belongs to.
    pub conversation: Conversation,
    /// In a direct message outside of a thread, the `ts` of the message that it is about. With [`DmConversation::Thread`] that
    /// message starts a conversation. Absent everywhere else.
    pub direct_message: Option<String>,
    /// Whether it never waits behind its conversation ([`ControlEvents`]).
    pub is_control: bool,
    /// What goes to the queue: of an event or an interaction the JSON exactly as Slack sent it, of a command its fields as a
    /// JSON object.
    pub body: String,
}

/// What decides about a delivery beside its own bytes.
#[derive(Debug)]
pub struct Context<'a> {
    /// Whose signature it has.
    pub signer: &'a Signer,
    /// Whether one app or several stand behind the function.
    pub apps: Apps,
    /// The id that it was delivered under, which a command or an interaction is then recorded under. HTTP has none; in Socket
    /// Mode it is the `envelope_id`.
    pub delivery_id: Option<String>,
    /// `DEDUP_KEY`.
    pub dedup_key: DedupKey,
    /// `DM_CONVERSATION`.
    pub dm_conversation: DmConversation,
    /// `CONTROL_EVENTS`.
    pub control_events: &'a ControlEvents,
}

impl Delivery {
    /// Gives the delivery the id and the conversation that it has in this context.
    #[must_use]
    pub fn in_context(self, context: Context<'_>) -> Self {
        // The key of a message begins with its app already, so it comes after the others.
        self.signed_by(context.signer)
            .identified_by(context.delivery_id)
            .of_apps(context.apps)
            .keyed_by(context.dedup_key)
            .in_direct_messages(context.dm_conversation)
            .controlled_by(context.control_events)
    }

    /// A delivery that names no app is the app's whose secret signed it.
    fn signed_by(mut self, signer: &Signer) -> Self {
        self.api_app_id = self.api_app_id.or_else(|| signer.sole_app().map(str::to_owned));
        self
    }

    /// A command or an interaction is recorded under `delivery_id`, if there is one. An event keeps its own id.
    fn identified_by(mut self, delivery_id: Option<String>) -> Self {
        if let (Kind::Command | Kind::Interaction, Some(id)) = (self.kind, delivery_id) {
            self.id = record_id(id);
        }
        self
    }

    /// If several apps stand behind the function, each has its own ids and conversations: Slack gives one message the same
    /// `event_id` for every app that gets it.
    fn of_apps(mut self, apps: Apps) -> Self {
        if let (Apps::Several, Some(app)) = (apps, &self.api_app_id) {
            self.id = record_key(format!("{app}:{}", self.id));
            self.conversation.app = Some(app.clone());
        }
        self
    }

    /// An event is recorded under what `key` says.
    fn keyed_by(mut self, key: DedupKey) -> Self {
        if let (DedupKey::Message, Some(message_key)) = (key, self.message_key.take()) {
            self.id = message_key;
        }
        self
    }

    /// A direct message belongs to what `dm_conversation` says.
    fn in_direct_messages(mut self, dm_conversation: DmConversation) -> Self {
        if let (DmConversation::Thread, Some(ts)) = (dm_conversation, self.direct_message.take()) {
            self.conversation.thread = Some(ts);
        }
        self
    }

    /// An event of one of these types waits for nothing of its conversation.
    #[must_use]
    pub fn controlled_by(mut self, control_events: &ControlEvents) -> Self {
        self.is_control = self.kind == Kind::Event
            && (control_events.has(Some(&self.event_type)) || control_events.has(self.subtype.as_deref()));
        self
    }
}

/// Who wrote a message or did what an event tells of, as far as `BOT_EVENTS` makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A person, or nobody in particular. What another bot did that is no message counts as a person's.
    Person,
    /// The app that the event is for.
    ThisApp,
    /// Another bot wrote it; or it is Slackbot's.
    OtherBot,
}

/// The conversation that a delivery belongs to. On a FIFO queue the messages of one conversation keep their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The id of the app. It is there only where several apps stand behind the function.
    pub app: Option<String>,
    /// The id of the tenant, which is the installation and not the author's workspace: the organisation, if the app is installed
    /// in all of it, or else the workspace. Where the payload names neither, the app.
    pub team: Option<String>,
    /// The id of the channel, such as `C0LAN2Q65`. What is in no channel has the id of its subject here (the user, the file, the
    /// function's execution …), or else its own id, so that it waits for nothing else of its workspace.
    pub channel: Option<String>,
    /// The thread, such as `1515449522.000016`: its `thread_ts`, or the `ts` of the message that a thread would start from.
    /// Absent in a direct message outside of a thread, because there the whole channel is one conversation
    /// (but see [`DmConversation`]).
    pub thread: Option<String>,
}

/// Where something is, before the settings say what that means: a conversation, and [`Delivery::direct_message`].
struct Place {
    conversation: Conversation,
    direct_message: Option<String>,
}

impl Place {
    /// A place in a channel. `thread` is the thread that it is in; `starts` is the message that a thread would start from.
    fn in_channel(
        team: Option<String>,
        channel: String,
        is_direct: bool,
        thread: Option<String>,
        starts: Option<String>,
    ) -> Self {
        let is_outside = thread.is_none() && is_direct;
        let (thread, direct_message) = if is_outside { (None, starts) } else { (thread.or(starts), None) };
        let conversation = Conversation { app: None, team, channel: Some(channel), thread };
        Self { conversation, direct_message }
    }

    /// The place of what is in no channel: it orders with its subject only.
    fn of_subject(team: Option<String>, subject: Option<String>) -> Self {
        let conversation = Conversation { app: None, team, channel: subject, thread: None };
        Self { conversation, direct_message: None }
    }
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

/// All fields of a command or an interaction.
pub enum Fields {
    /// The fields of a slash command, texts all.
    Command(Value),
    /// The payload of an interaction.
    Interaction(Value),
}

/// All fields of a form, for whoever needs more of them than [`classify`] reads. `None` if it is neither a command nor an
/// interaction.
pub fn fields(verified: &Verified) -> Option<Fields> {
    interactive::fields(verified.body())
}

/// The conversation of a delivery, read from the `body` of its message: for messages that an earlier version queued, which have
/// no attribute `conversation`. It is that of one app, with [`DmConversation::Channel`]; where it was made from the hash of the
/// request's bytes, it has no channel.
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

/// Who wrote the message or did what an event on the queue tells of.
///
/// # Errors
/// [`Malformed`], when the ingress did not put this body on the queue.
#[cfg(feature = "dispatch")]
pub fn author(body: &str) -> Result<Author, Malformed> {
    event::queued_author(body)
}

/// The first of these fields that has a text.
fn first(slices: &[json::Slice<'_>]) -> Option<String> {
    slices.iter().copied().find_map(json::Slice::to_text)
}

/// Reads a text that is one JSON object.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Malformed> {
    let json::Object(object) = serde_json::from_str(json).map_err(|_| Malformed::Json)?;
    Ok(object)
}

/// Whether a channel's id is that of a direct message. There the whole channel is one conversation, but for its threads.
pub(crate) fn is_direct(channel: &str) -> bool {
    channel.starts_with('D')
}

/// Whether a team's id is that of an organisation, such as `E0ORG12345`. Slack has it in some fields that are for a workspace.
pub(crate) fn is_organisation(team: &str) -> bool {
    team.starts_with('E')
}

/// The key under which an id from a request is recorded. An id with a `:` or a `#` is replaced by its SHA-256. Slack's ids have
/// neither, but the keys of several apps, of `DEDUP_KEY=message`, of the dispatcher and of a consumer's guard have: whoever may sign for one app
/// could otherwise claim such a key of another app.
pub(super) fn record_id(id: String) -> String {
    if id.contains([':', '#']) { hex::encode(Sha256::digest(id)) } else { record_key(id) }
}

/// The key under which an id is recorded. An id of more than 1,024 bytes is replaced by its SHA-256, so that every store takes
/// it and different ids stay different. (DynamoDB takes 2,048 bytes; Slack's ids have a few dozen.)
pub(super) fn record_key(id: String) -> String {
    const MAX_LEN: usize = 1024;
    if id.len() <= MAX_LEN { id } else { hex::encode(Sha256::digest(id)) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod type_tables;
