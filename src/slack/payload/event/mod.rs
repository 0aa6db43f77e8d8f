//! The [Events API](https://docs.slack.dev/apis/events-api/): a JSON object, the envelope, with the event inside.
//!
//! In reading order: this page reads the envelope and says what makes two events one; `installation` says whose they are,
//! `place` to which conversation they belong, `author` whose act they tell of.

pub(in crate::slack) mod author;
mod installation;
mod place;

use serde::Deserialize;

#[cfg(feature = "dispatch")]
use super::Author;
use super::json::{Object, Slice};
use super::{
    Conversation, Delivery, Kind, Malformed, Payload, Place, first, is_direct, object, record_id, record_key,
};
use author::author;
use installation::{Authorization, Installation};
use place::place;

/// The outer object. A request in which one of these fields is there twice is refused, because readers differ in which of the
/// two they take.
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
    context_team_id: Slice<'a>,
    #[serde(borrow, default)]
    context_enterprise_id: Slice<'a>,
    #[serde(borrow, default)]
    is_enterprise_install: Slice<'a>,
    #[serde(borrow, default)]
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    authorizations: Slice<'a>,
    #[serde(borrow, default)]
    event: Object<Event<'a>>,
}

impl<'a> Envelope<'a> {
    /// The installations of the app that the event is for. Slack names one of them. One that is no object does not count.
    fn authorizations(&self) -> Vec<Authorization<'a>> {
        let all: Vec<Slice<'a>> = self.authorizations.read().unwrap_or_default();
        all.into_iter().filter_map(Slice::object).collect()
    }
}

/// The inner object. Slack has about a hundred types of it; these are the fields by which any of them says where it happened,
/// what it is about, and who did it.
#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    event_type: Slice<'a>,
    #[serde(borrow, default)]
    subtype: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    user_id: Slice<'a>,
    #[serde(borrow, default)]
    bot_id: Slice<'a>,
    #[serde(borrow, default)]
    app_id: Slice<'a>,
    #[serde(borrow, default)]
    bot_profile: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    /// In events about files, pins, metadata, calls and invitations: the channel.
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    /// In `channel_id_changed`: the channel as it is called from now on.
    #[serde(borrow, default)]
    new_channel_id: Slice<'a>,
    #[serde(borrow, default)]
    channel_type: Slice<'a>,
    #[serde(borrow, default)]
    ts: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    /// In events about links and metadata: the message that has them.
    #[serde(borrow, default)]
    message_ts: Slice<'a>,
    /// In a message that was edited: by whom and when.
    #[serde(borrow, default)]
    edited: Slice<'a>,
    /// In `message_changed`: the message as it is now.
    #[serde(borrow, default)]
    message: Slice<'a>,
    /// In `message_deleted`: the message as it was.
    #[serde(borrow, default)]
    previous_message: Slice<'a>,
    /// In `message_deleted`: the `ts` of the message, which may be all that is said of it.
    #[serde(borrow, default)]
    deleted_ts: Slice<'a>,
    /// In events about reactions, pins and stars: the message or file that they are about.
    #[serde(borrow, default)]
    item: Slice<'a>,
    /// In `assistant_thread_started` and `assistant_thread_context_changed`: where the thread is.
    #[serde(borrow, default)]
    assistant_thread: Slice<'a>,
    #[serde(borrow, default)]
    function_execution_id: Slice<'a>,
    /// In `workflow_step_execute`: the step, with the id of its execution.
    #[serde(borrow, default)]
    workflow_step: Slice<'a>,
    #[serde(borrow, default)]
    workflow_id: Slice<'a>,
    #[serde(borrow, default)]
    call_id: Slice<'a>,
    #[serde(borrow, default)]
    file_id: Slice<'a>,
    #[serde(borrow, default)]
    file: Slice<'a>,
    #[serde(borrow, default)]
    subteam_id: Slice<'a>,
    #[serde(borrow, default)]
    subteam: Slice<'a>,
    #[serde(borrow, default)]
    app_request: Slice<'a>,
    #[serde(borrow, default)]
    invite_request: Slice<'a>,
    #[serde(borrow, default)]
    invite: Slice<'a>,
}

impl Event<'_> {
    fn is_message(&self) -> bool {
        matches!(self.event_type.text().as_deref(), Some("message" | "app_mention"))
    }

    /// Whether it says what became of another message: `message_changed`, `message_deleted`, `message_replied`. Slack has been
    /// seen to leave out the subtype, and to leave out the other message.
    fn is_about_another_message(&self) -> bool {
        let subtype = self.subtype.text();
        matches!(subtype.as_deref(), Some("message_changed" | "message_deleted" | "message_replied"))
            || [self.message, self.previous_message, self.deleted_ts].into_iter().any(Slice::is_some)
    }

    /// The subtype of a `message`. A deletion is one whatever Slack calls it: when the first message of a thread is deleted, it
    /// is `message_changed`, with a tombstone as the message; and Slack has been seen to leave out the subtype. `slack::question`,
    /// which finds out what was deleted, goes by the same.
    fn message_subtype(&self) -> Option<String> {
        let subtype = self.subtype.to_text();
        let message: Option<Inner<'_>> = self.message.object();
        let is_deletion = message.is_some_and(|message| message.is_tombstone())
            || subtype.is_none() && self.deleted_ts.text().is_some();
        if is_deletion { Some("message_deleted".to_owned()) } else { subtype }
    }
}

/// The message or file inside of an event.
#[derive(Default, Deserialize)]
struct Inner<'a> {
    #[serde(borrow, default)]
    subtype: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    bot_id: Slice<'a>,
    #[serde(borrow, default)]
    app_id: Slice<'a>,
    #[serde(borrow, default)]
    bot_profile: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    ts: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    #[serde(borrow, default)]
    file: Slice<'a>,
}

impl Inner<'_> {
    /// Whether Slack has put it in the place of a deleted message that has replies.
    fn is_tombstone(&self) -> bool {
        self.subtype.text().as_deref() == Some("tombstone")
    }
}

pub(super) fn classify(body: Vec<u8>) -> Result<Payload, Malformed> {
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

pub(super) fn queued_conversation(body: &str) -> Result<Conversation, Malformed> {
    let envelope: Envelope<'_> = object(body)?;
    let installation = Installation::of(&envelope, &envelope.authorizations());
    let id = envelope.event_id.string().map(|id| record_id(id.into_owned()));
    Ok(place(&envelope.event.0, installation.tenant, id).conversation)
}

#[cfg(feature = "dispatch")]
pub(super) fn queued_author(body: &str) -> Result<Author, Malformed> {
    let envelope: Envelope<'_> = object(body)?;
    Ok(author(&envelope, &envelope.authorizations()))
}

/// The delivery of an event without its body, from which `envelope` still borrows.
fn event_delivery(envelope: &Envelope<'_>) -> Result<Delivery, Malformed> {
    let event = &envelope.event.0;
    let id = record_id(envelope.event_id.string().ok_or(Malformed::MissingEventId)?.into_owned());
    let authorizations = envelope.authorizations();
    let Installation { tenant, team_id } = Installation::of(envelope, &authorizations);
    let Place { conversation, direct_message } = place(event, tenant, Some(id.clone()));
    let event_type = event.event_type.to_text().unwrap_or_else(|| "unknown".to_owned());
    Ok(Delivery {
        kind: Kind::Event,
        subtype: if event_type == "message" { event.message_subtype() } else { None },
        event_type,
        id,
        message_key: message_key(envelope),
        team_id,
        api_app_id: envelope.api_app_id.to_text(),
        author: author(envelope, &authorizations),
        conversation,
        direct_message,
        is_control: false,
        body: String::new(),
    })
}

/// The id of the message that an event tells of: app, channel and `ts`. An app that is subscribed to mentions and to the channel
/// gets one message as two events, and both have these three. The workspace is not part of it, because a message in a shared
/// channel may come once for each.
///
/// A mention that was made by editing a message has the `ts` of that message and says something new, so `edited.ts` is part of
/// its id. An event with another message inside is one of its own and has no such id. A reply in a thread has a `ts` of its own,
/// and so another id.
fn message_key(envelope: &Envelope<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Edited<'a> {
        #[serde(borrow, default)]
        ts: Slice<'a>,
    }

    let event = &envelope.event.0;
    if !event.is_message() || event.is_about_another_message() {
        return None;
    }
    let mut parts = vec![envelope.api_app_id.to_text()?, event.channel.to_text()?, event.ts.to_text()?];
    if event.event_type.text().as_deref() == Some("app_mention") {
        parts.extend(event.edited.object::<Edited<'_>>().and_then(|edited| edited.ts.to_text()));
    }
    // A part with a colon is hashed, so that two messages never have one key.
    let parts: Vec<_> = parts.into_iter().map(record_id).collect();
    Some(record_key(parts.join(":")))
}

#[cfg(test)]
mod tests;
