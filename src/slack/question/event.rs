//! Messages, mentions, stops, deletions and opened panes.

use serde_json::Value;

use super::{Context, Files, Meaning, Pane, Question, SlackTs, Stop, is_direct, said, text};
use crate::slack::payload::Author;

/// The subtypes of a message that somebody wrote. All others report that something happened.
pub(super) const WRITTEN: [&str; 3] = ["file_share", "thread_broadcast", "me_message"];

/// What an event asks.
pub(super) fn asked(context: &Context<'_>, author: Author) -> Meaning {
    let event = &context.json["event"];
    match event["type"].as_str() {
        Some("agent_session_stopped") => stop(context, event),
        Some("app_home_opened") if event["tab"].as_str() == Some("messages") => {
            pane(context, &event["channel"], &Value::Null)
        }
        Some("assistant_thread_started") => {
            let thread = &event["assistant_thread"];
            pane(context, &thread["channel_id"], &thread["thread_ts"])
        }
        Some("app_mention" | "message") => {
            if let Some(deleted) = deleted_ts(event) {
                return match text(&event["channel"]) {
                    Some(channel) => {
                        Meaning::Deletion { question_id: context.question_id(&channel, &deleted) }
                    }
                    None => Meaning::Nothing,
                };
            }
            match author {
                Author::ThisApp => Meaning::Nothing,
                // What a bot writes asks something only if it mentions the app: two bots would talk for ever otherwise.
                Author::OtherBot if event["type"].as_str() != Some("app_mention") => Meaning::Nothing,
                Author::OtherBot | Author::Person => message(context, event, author),
            }
        }
        _ => Meaning::Nothing,
    }
}

/// The message that was deleted, if the event says that one was. Slack has been seen to leave out the subtype; and in place of
/// the first message of a thread it puts a tombstone.
fn deleted_ts(event: &Value) -> Option<String> {
    let subtype = event["subtype"].as_str();
    let inner = &event["message"];
    if inner["subtype"].as_str() == Some("tombstone") {
        return text(&inner["ts"]);
    }
    let is_deletion =
        subtype == Some("message_deleted") || subtype.is_none() && text(&event["deleted_ts"]).is_some();
    if !is_deletion {
        return None;
    }
    text(&event["deleted_ts"]).or_else(|| text(&event["previous_message"]["ts"]))
}

/// A message that somebody wrote. One that is about another message (`message_changed`, `message_replied`), or hidden, is none.
fn message(context: &Context<'_>, event: &Value, author: Author) -> Meaning {
    let is_written = match event["subtype"].as_str() {
        None => true,
        Some("bot_message") => author == Author::OtherBot,
        Some(subtype) => WRITTEN.contains(&subtype),
    };
    let is_about_another =
        ["message", "previous_message", "deleted_ts"].iter().any(|name| !event[*name].is_null());
    let is_hidden = event["hidden"].as_bool() == Some(true);
    let (Some(channel), Some(ts)) = (text(&event["channel"]), text(&event["ts"])) else {
        return Meaning::Nothing;
    };
    if !is_written || is_about_another || is_hidden {
        return Meaning::Nothing;
    }
    let is_direct = is_direct(&channel, event["channel_type"].as_str());
    let thread_ts = context.thread(is_direct, text(&event["thread_ts"]), Some(ts.clone()));
    let place =
        context.place(channel.clone(), thread_ts, text(&event["user"]), asked_at(context, event, &ts));
    let app_users = app_users(context.json);
    let text = said::by(event, &app_users);
    let files = Files::of(event);
    let is_shared = context.json["is_ext_shared_channel"].as_bool();
    // In a shared channel, `team` may be the workspace that the event is sent to.
    let of_author = self::text(&event["user_team"]).map(|team| (team, true));
    let team = of_author.or_else(|| Some((self::text(&event["team"])?, is_shared != Some(true))));
    let asker = context.asker(author, team, is_shared);
    let id = context.question_id(&channel, &ts);
    Meaning::Question(Box::new(Question { id, text, files, place, asker, app_users }))
}

/// The pane that was opened. In an app with `agent_view` prompts belong to the direct message, and with a thread Slack would not
/// show them; with the older `assistant_view` they belong to the thread that was started.
fn pane(context: &Context<'_>, channel: &Value, thread_ts: &Value) -> Meaning {
    match text(channel) {
        Some(channel) => {
            let tenant = context.tenant.clone();
            Meaning::Pane(Pane { tenant, channel, thread_ts: text(thread_ts) })
        }
        None => Meaning::Nothing,
    }
}

/// When it was asked: of a mention that an edit has added, when that was.
fn asked_at(context: &Context<'_>, event: &Value, ts: &str) -> SlackTs {
    let of = |value: &Value| value.as_str().and_then(SlackTs::parse);
    of(&event["edited"]["ts"])
        .or_else(|| of(&event["event_ts"]))
        .or_else(|| SlackTs::parse(ts))
        .unwrap_or_else(|| context.received_at())
}

fn stop(context: &Context<'_>, event: &Value) -> Meaning {
    let (Some(channel), Some(thread_ts)) = (text(&event["channel"]), text(&event["thread_ts"])) else {
        return Meaning::Nothing;
    };
    let stopped_at =
        event["event_ts"].as_str().and_then(SlackTs::parse).unwrap_or_else(|| context.received_at());
    let place = context.place(channel, Some(thread_ts), text(&event["user"]), stopped_at.clone());
    Meaning::Stop(Box::new(Stop { id: context.recorded_id(), place, stopped_at }))
}

/// The app's own users in the workspaces that the event was sent for.
fn app_users(envelope: &Value) -> Vec<String> {
    let authorizations = envelope["authorizations"].as_array().into_iter().flatten();
    let bots = authorizations.filter(|authorization| authorization["is_bot"].as_bool() != Some(false));
    bots.filter_map(|authorization| text(&authorization["user_id"])).collect()
}
