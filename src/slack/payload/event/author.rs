//! Whose act an event tells of.

use super::super::Author;
use super::super::json::{Object, Slice};
use super::{Authorization, Envelope, Inner};

/// Slackbot's user id, which is the same in every workspace. Its messages have no `bot_id`.
const SLACKBOT: &str = "USLACKBOT";

/// Who wrote the message that an event tells of, or did what it tells of.
pub(super) fn author(envelope: &Envelope<'_>, authorizations: &[Object<Authorization<'_>>]) -> Author {
    if envelope.event.0.is_message() {
        author_of_message(envelope, authorizations)
    } else {
        actor(envelope, authorizations)
    }
}

/// An edit or a deletion has the author of the message that it is about, because an agent that writes its answer by many edits
/// would otherwise get every edit as an event.
fn author_of_message(envelope: &Envelope<'_>, authorizations: &[Object<Authorization<'_>>]) -> Author {
    let event = &envelope.event.0;
    let author_of = |app_id: Slice<'_>, user: Slice<'_>, bot_id: Slice<'_>, subtype: Slice<'_>| {
        let user = user.text();
        if is_this_app(envelope, app_id) || is_own_bot_user(authorizations, user.as_deref()) {
            Author::ThisApp
        } else if bot_id.text().is_some()
            || subtype.text().as_deref() == Some("bot_message")
            || user.as_deref() == Some(SLACKBOT)
        {
            Author::OtherBot
        } else {
            Author::Person
        }
    };
    match author_of(event.app_id, event.user, event.bot_id, event.subtype) {
        Author::Person => {
            let about: Option<Inner<'_>> = event.message.object().or_else(|| event.previous_message.object());
            about.map_or(Author::Person, |it| author_of(it.app_id, it.user, it.bot_id, it.subtype))
        }
        bot => bot,
    }
}

/// Who did what is no message. Only what the app did itself, or Slackbot did, counts as a bot's: metadata, files and reactions of
/// other bots are how apps work together.
fn actor(envelope: &Envelope<'_>, authorizations: &[Object<Authorization<'_>>]) -> Author {
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
fn is_own_bot_user(authorizations: &[Object<Authorization<'_>>], user: Option<&str>) -> bool {
    user.is_some()
        && authorizations.iter().any(|Object(authorization)| {
            authorization.is_bot.read() != Some(false) && authorization.user_id.text().as_deref() == user
        })
}
