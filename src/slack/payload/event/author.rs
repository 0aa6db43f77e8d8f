//! Whose act an event tells of.

use super::super::Author;
use super::super::json::Slice;
use super::{Authorization, Envelope, Event, Inner};
use serde::Deserialize;

/// Slackbot's user id, which is the same in every workspace. Its messages have no `bot_id`.
pub(in crate::slack) const SLACKBOT: &str = "USLACKBOT";

/// Who wrote the message that an event tells of, or did what it tells of.
pub(super) fn author(envelope: &Envelope<'_>, authorizations: &[Authorization<'_>]) -> Author {
    if envelope.event.0.is_message() {
        author_of_message(envelope, authorizations)
    } else {
        actor(envelope, authorizations)
    }
}

/// An edit or a deletion has the author of the message that it is about, because an agent that writes its answer by many edits
/// would otherwise get every edit as an event. That somebody joined or left a channel is no bot's message, whoever it was.
fn author_of_message(envelope: &Envelope<'_>, authorizations: &[Authorization<'_>]) -> Author {
    let event = &envelope.event.0;
    if matches!(
        event.subtype.text().as_deref(),
        Some("channel_join" | "channel_leave" | "group_join" | "group_leave")
    ) {
        return Author::Person;
    }
    let author_of = |message: &Inner<'_>| {
        let user = message.user.text();
        let profile: BotProfile<'_> = message.bot_profile.object().unwrap_or_default();
        if is_this_app(envelope, message.app_id)
            || is_this_app(envelope, profile.app_id)
            || is_own_bot_user(authorizations, user.as_deref())
        {
            Author::ThisApp
        } else if message.bot_id.text().is_some()
            || message.subtype.text().as_deref() == Some("bot_message")
            || user.as_deref() == Some(SLACKBOT)
        {
            Author::OtherBot
        } else {
            Author::Person
        }
    };
    let own = Inner {
        subtype: event.subtype,
        user: event.user,
        bot_id: event.bot_id,
        app_id: event.app_id,
        bot_profile: event.bot_profile,
        ..Inner::default()
    };
    match author_of(&own) {
        Author::Person => about(event).map_or(Author::Person, |it| author_of(&it)),
        bot => bot,
    }
}

/// The message that an edit or a deletion is about. When somebody deletes the first message of a thread, Slack writes a message
/// of Slackbot's in its place, and `previous_message` is what was deleted.
fn about<'a>(event: &Event<'a>) -> Option<Inner<'a>> {
    let message: Option<Inner<'a>> = event.message.object();
    message.filter(|message| !message.is_tombstone()).or_else(|| event.previous_message.object())
}

#[derive(Default, Deserialize)]
struct BotProfile<'a> {
    #[serde(borrow, default)]
    app_id: Slice<'a>,
}

/// Who did what is no message. Only what the app did itself, or Slackbot did, counts as a bot's: metadata, files and reactions of
/// other bots are how apps work together.
fn actor(envelope: &Envelope<'_>, authorizations: &[Authorization<'_>]) -> Author {
    let event = &envelope.event.0;
    let event_type = event.event_type.text().unwrap_or_default();
    if names_its_subject(&event_type) {
        return Author::Person;
    }
    let user = event.user.text().or_else(|| event.user_id.text());
    let by_metadata = event_type.starts_with("message_metadata_") && is_this_app(envelope, event.app_id);
    if by_metadata || is_own_bot_user(authorizations, user.as_deref()) {
        Author::ThisApp
    } else if user.as_deref() == Some(SLACKBOT) {
        Author::OtherBot
    } else {
        Author::Person
    }
}

/// Whether the event's `user` is whom it is about, and not who did it. That the app's bot user joined or left a channel is news
/// for the app: somebody else may have done it.
fn names_its_subject(event_type: &str) -> bool {
    matches!(event_type, "member_joined_channel" | "member_left_channel" | "team_join")
        || event_type.starts_with("user_")
        || event_type.starts_with("dnd_updated")
}

fn is_this_app(envelope: &Envelope<'_>, app_id: Slice<'_>) -> bool {
    let app_id = app_id.text();
    app_id.is_some() && app_id == envelope.api_app_id.text()
}

/// Whether `user` is the app's bot user. An authorization may also name the person who installed the app
/// (`is_bot: false`), and what that person does is not the app's.
fn is_own_bot_user(authorizations: &[Authorization<'_>], user: Option<&str>) -> bool {
    user.is_some()
        && authorizations.iter().any(|authorization| {
            !authorization.is_bot.is_false() && authorization.user_id.text().as_deref() == user
        })
}
