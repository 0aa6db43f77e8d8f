//! The [Events API](https://docs.slack.dev/apis/events-api/): a JSON object, the envelope, with the event inside.

use serde::Deserialize;

use super::json::{Object, Slice};
use super::{
    Author, Conversation, Delivery, Kind, Malformed, Payload, is_direct, object, record_id, record_key,
};

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
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    authorizations: Slice<'a>,
    #[serde(borrow, default)]
    event: Object<Event<'a>>,
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
    /// In `message_changed`: the message as it is now.
    #[serde(borrow, default)]
    message: Slice<'a>,
    /// In `message_deleted`: the message as it was.
    #[serde(borrow, default)]
    previous_message: Slice<'a>,
    /// In events about reactions, pins and stars: the message or file that they are about.
    #[serde(borrow, default)]
    item: Slice<'a>,
    /// In `assistant_thread_started` and `assistant_thread_context_changed`: where the thread is.
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
    Ok(conversation(&object(body)?))
}

/// The delivery of an event without its body, from which `envelope` still borrows.
fn event_delivery(envelope: &Envelope<'_>) -> Result<Delivery, Malformed> {
    let event_type = envelope.event.0.event_type.to_text();
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

/// The id of the message that an event tells of: app, team, channel and `ts`. An app that is subscribed to mentions and to the
/// channel gets one message as two events, and both have these four.
///
/// An edit, a deletion and a `message_replied` have another message inside and say what became of it. These are events of their
/// own and have no such id. A reply in a thread has a `ts` of its own, and so another id.
fn message_key(envelope: &Envelope<'_>) -> Option<String> {
    let event = &envelope.event.0;
    if !event.is_message() || event.message.is_some() || event.previous_message.is_some() {
        return None;
    }
    let parts = [envelope.api_app_id, envelope.team_id, event.channel, event.ts];
    let parts: Option<Vec<_>> = parts.into_iter().map(Slice::text).collect();
    Some(record_key(parts?.join(":")))
}

/// Who wrote the message that an event tells of. Only a message can make a bot answer itself: that a bot joined a channel, or
/// reacted, counts as a person's. An edit or a deletion has the author of the message that it is about, because an agent that
/// writes its answer by many edits would otherwise get every edit as an event.
fn author(envelope: &Envelope<'_>) -> Author {
    let event = &envelope.event.0;
    if !event.is_message() {
        return Author::Person;
    }
    let about = event.message.object().or_else(|| event.previous_message.object());
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
    let authorizations: Vec<Object<Authorization<'_>>> = authorizations.read().unwrap_or_default();
    authorizations.iter().any(|Object(authorization)| {
        authorization.is_bot.read() != Some(false) && authorization.user_id.text().as_deref() == Some(user)
    })
}

fn conversation(envelope: &Envelope<'_>) -> Conversation {
    let event = &envelope.event.0;
    let about: Option<Event<'_>> =
        event.message.object().or_else(|| event.previous_message.object()).or_else(|| event.item.object());
    let about = about.unwrap_or_default();
    let assistant: Option<AssistantThread<'_>> = event.assistant_thread.object();
    let (assistant_channel, assistant_thread) =
        assistant.map_or_else(Default::default, |thread| (thread.channel_id, thread.thread_ts));

    let first = |slices: [Slice<'_>; 3]| slices.into_iter().find_map(Slice::to_text);
    let channel = first([event.channel, about.channel, assistant_channel]);
    let direct =
        event.channel_type.text().as_deref() == Some("im") || channel.as_deref().is_some_and(is_direct);
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
