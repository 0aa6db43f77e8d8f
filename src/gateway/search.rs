//! Whether a page of messages, as `conversations.replies` and `conversations.history` give it, has the message with a nonce.

use serde_json::{Map, Value};
use std::time::Duration;

use super::EVENT_TYPE;
use crate::time::clock::UnixMillis;

/// How far before the decision to post messages are looked at: as far as the clocks of this machine and of Slack may differ.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// What a page shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The message, with this `ts`.
    Found(String),
    /// Not the message; there is another page, at this cursor.
    More(String),
    /// Not the message, and this is the last page.
    Last,
    /// Something is missing that a page has. It shows nothing.
    Unreadable,
}

/// What a page with `ok: true` shows. It is the last page only if nothing says that there are more.
pub(super) fn page(answer: &Map<String, Value>, nonce: &str) -> Page {
    let Some(messages) = answer.get("messages").and_then(Value::as_array) else { return Page::Unreadable };
    if let Some(message) = messages.iter().find(|message| is_it(message, nonce)) {
        return message
            .get("ts")
            .and_then(Value::as_str)
            .map_or(Page::Unreadable, |ts| Page::Found(ts.to_owned()));
    }
    match next_cursor(answer) {
        Some(cursor) => Page::More(cursor.to_owned()),
        None if has_more(answer) => Page::Unreadable,
        None => Page::Last,
    }
}

/// Where the next page begins, if Slack says so.
pub(super) fn next_cursor(answer: &Map<String, Value>) -> Option<&str> {
    let cursor = answer.get("response_metadata").and_then(|metadata| metadata.get("next_cursor")?.as_str());
    cursor.filter(|cursor| !cursor.is_empty())
}

/// Whether Slack says that this page is not the last.
pub(super) fn has_more(answer: &Map<String, Value>) -> bool {
    answer.get("has_more").and_then(Value::as_bool).unwrap_or(false)
}

/// Whether the message carries the nonce in our metadata, and an app wrote it. Only a program can give metadata to a message,
/// and nobody knows a nonce (128 random bits) before its message stands. So another message with the nonce can only be a later
/// copy, which proves the post as well. That an app wrote it is looked at because a message by somebody's own hand that some
/// client copied with all it had would be no post of ours. Which app it was is not: the caller does not know its own bot's id,
/// and Slack leaves `app_id` out of many messages.
fn is_it(message: &Value, nonce: &str) -> bool {
    let text = |pointer| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_by_an_app = !text("/bot_id").is_empty() || !text("/app_id").is_empty();
    is_by_an_app
        && text("/metadata/event_type") == EVENT_TYPE
        && text("/metadata/event_payload/nonce") == nonce
}

/// The time from which messages are looked at, as Slack writes it: seconds, a dot, microseconds.
pub(super) fn oldest(since: UnixMillis) -> String {
    let margin = u64::try_from(MARGIN.as_millis()).unwrap_or(u64::MAX);
    let millis = since.as_millis().saturating_sub(margin);
    format!("{}.{:06}", millis / 1000, millis % 1000 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn message() -> Value {
        json!({
            "type": "message", "ts": "1795554000.000100", "bot_id": "B1", "app_id": "A1", "text": "it",
            "metadata": { "event_type": "slack_ingress_answer", "event_payload": { "nonce": NONCE } },
        })
    }

    fn page_of(messages: &[Value], rest: Value) -> Page {
        let mut answer = json!({ "ok": true, "messages": messages });
        answer.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        page(answer.as_object().unwrap(), NONCE)
    }

    #[test]
    fn a_message_is_known_by_its_nonce_its_kind_and_its_app() {
        let other = json!({ "ts": "1.0", "bot_id": "B1", "text": NONCE });
        assert_eq!(page_of(&[other, message()], json!({})), Page::Found("1795554000.000100".to_owned()));
        for (key, value) in [
            ("/metadata/event_payload/nonce", json!("0123456789abcdef0123456789abcdeF")),
            ("/metadata/event_payload/nonce", json!(format!("{NONCE} "))),
            ("/metadata/event_type", json!("slack_ingress_answers")),
            ("/metadata", json!(NONCE)),
            ("/metadata", Value::Null),
        ] {
            let mut changed = message();
            *changed.pointer_mut(key).unwrap() = value;
            assert_eq!(page_of(&[changed], json!({})), Page::Last, "{key}");
        }
        for (bot, app, is_found) in [("B1", "", true), ("", "A1", true), ("", "", false)] {
            let mut changed = message();
            (changed["bot_id"], changed["app_id"]) = (json!(bot), json!(app));
            assert_eq!(page_of(&[changed], json!({})) != Page::Last, is_found, "{bot} {app}");
        }
    }

    #[test]
    fn a_page_is_the_last_only_if_nothing_says_that_there_are_more() {
        let more = json!({ "has_more": true, "response_metadata": { "next_cursor": "abc" } });
        for (rest, expected) in [
            (json!({}), Page::Last),
            (json!({ "has_more": false, "response_metadata": { "next_cursor": "" } }), Page::Last),
            (more, Page::More("abc".to_owned())),
            (json!({ "response_metadata": { "next_cursor": "abc" } }), Page::More("abc".to_owned())),
            (json!({ "has_more": true }), Page::Unreadable),
        ] {
            assert_eq!(page_of(&[], rest.clone()), expected, "{rest}");
        }
        assert_eq!(page(json!({ "ok": true }).as_object().unwrap(), NONCE), Page::Unreadable);
    }

    #[test]
    fn it_looks_from_five_minutes_before() {
        assert_eq!(oldest(UnixMillis::from_millis(1_795_554_300_123)), "1795554000.123000");
        assert_eq!(oldest(UnixMillis::from_millis(1)), "0.000000");
    }
}
