//! Slack's own answer in the result of a tool, and what Slack's errors mean.

use serde_json::{Map, Value};
use std::time::Duration;

use super::Retry;

/// With these errors, Slack says, a part of what was asked for may have been done (`internal_error`, `fatal_error`), or Slack
/// was not itself (`service_unavailable`).
const PERHAPS_DONE: [&str; 3] = ["internal_error", "fatal_error", "service_unavailable"];

/// Errors that go away by themselves.
const LATER: [&str; 5] =
    ["ratelimited", "rate_limited", "message_limit_exceeded", "request_timeout", "team_added_to_org"];

/// Errors of a text or a place that no change makes good: with any other error somebody can put a token, add a scope, invite
/// the app, and the same post succeeds.
const NEVER: [&str; 18] = [
    "msg_too_long",
    "msg_blocks_too_long",
    "no_text",
    "invalid_blocks",
    "invalid_blocks_format",
    "markdown_text_conflict",
    "metadata_too_large",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "is_archived",
    "is_inactive",
    "thread_not_found",
    "thread_locked",
    "cannot_reply_to_message",
    "message_not_found",
    "cannot_dm_bot",
    "user_disabled",
    "user_is_bot",
];

/// Keys under which a Gateway may hand on the answer of what it called.
const WRAPPERS: [&str; 6] = ["body", "result", "response", "data", "output", "structuredContent"];

/// How deep an answer may be wrapped.
const MAX_DEPTH: usize = 4;

/// How much of an error's text is its own words. What is behind may quote what was sent.
const OWN_WORDS: usize = 200;

/// What an error of Slack's means: whether another attempt may succeed, or [`None`] if what was asked for may have been done.
pub(super) fn refusal(error: &str) -> Option<Retry> {
    if PERHAPS_DONE.contains(&error) {
        None
    } else if LATER.contains(&error) {
        Some(Retry::Later)
    } else if NEVER.contains(&error) {
        Some(Retry::Never)
    } else {
        Some(Retry::AfterChange)
    }
}

/// The short code of an error of Slack's. What looks like none is `slack_other`, so that nothing else gets into a metric.
pub(super) fn code(error: &str) -> String {
    let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if error.is_empty() || error.len() > 60 || !error.chars().all(is_code) {
        return "slack_other".to_owned();
    }
    format!("slack_{error}")
}

/// Slack's JSON answer: an object with a boolean `ok`. It may be the structured content or the text, wrapped in other objects
/// or behind words of the Gateway's. Of a text that is not JSON only the first object counts: what comes later may be quoted
/// from what was sent, and that may have been anything.
pub(super) fn slack_answer(result: &Value) -> Option<Map<String, Value>> {
    let structured = result.get("structuredContent").and_then(|content| unwrapped(content, MAX_DEPTH));
    structured.or_else(|| texts(result).find_map(|text| in_text(text, MAX_DEPTH)))
}

fn unwrapped(value: &Value, depth: usize) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Object(object) if object.get("ok").is_some_and(Value::is_boolean) => Some(object.clone()),
        Value::Object(object) => {
            WRAPPERS.iter().find_map(|key| object.get(*key).and_then(|value| unwrapped(value, depth)))
        }
        Value::String(text) => in_text(text, depth),
        _ => None,
    }
}

fn in_text(text: &str, depth: usize) -> Option<Map<String, Value>> {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return unwrapped(&value, depth);
    }
    let (_, object) = text.split_at_checked(text.find('{')?)?;
    let first = serde_json::Deserializer::from_str(object).into_iter::<Value>().next()?;
    unwrapped(&first.ok()?, depth)
}

/// Whether an error's own words say that Slack took no more calls (HTTP status 429).
pub(super) fn is_rate_limit(result: &Value) -> bool {
    const SAYINGS: [&str; 8] = [
        "status 429",
        "status: 429",
        "status code 429",
        "status code: 429",
        "http 429",
        "http error 429",
        "429 too many requests",
        "429: too many requests",
    ];
    texts(result).next().is_some_and(|text| {
        let own = text.split(['{', '[', '\'', '"']).next().unwrap_or_default();
        let own: String = own.chars().take(OWN_WORDS).collect::<String>().to_ascii_lowercase();
        SAYINGS.iter().any(|saying| own.contains(saying))
    })
}

/// The seconds to wait that are named anywhere in a result. AWS does not document whether and where the Gateway hands on
/// Slack's header, and to wait a little too long does no harm.
pub(super) fn retry_after_in(result: &Value) -> Option<Duration> {
    let everything = result.to_string().to_ascii_lowercase();
    everything.match_indices("retry").find_map(|(at, retry)| {
        let rest = everything.get(at + retry.len()..)?;
        let rest = rest.trim_start_matches(['-', '_', ' ']).strip_prefix("after")?;
        let digits = rest.find(|c: char| c.is_ascii_alphanumeric()).filter(|&distance| distance <= 8)?;
        let digits = rest.get(digits..)?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let seconds: u64 = digits.get(..end).filter(|digits| digits.len() <= 4)?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    })
}

/// The texts of a result.
pub(super) fn texts(result: &Value) -> impl Iterator<Item = &str> {
    let blocks = result.get("content").and_then(Value::as_array);
    blocks.into_iter().flatten().filter_map(|block| block.get("text")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_error_of_slacks_has_its_meaning() {
        for (error, meaning) in [
            ("internal_error", None),
            ("fatal_error", None),
            ("service_unavailable", None),
            ("ratelimited", Some(Retry::Later)),
            ("invalid_auth", Some(Retry::AfterChange)),
            ("token_revoked", Some(Retry::AfterChange)),
            ("missing_scope", Some(Retry::AfterChange)),
            ("not_in_channel", Some(Retry::AfterChange)),
            ("channel_not_found", Some(Retry::AfterChange)),
            ("msg_too_long", Some(Retry::Never)),
            ("is_archived", Some(Retry::Never)),
            ("an_error_of_tomorrow", Some(Retry::AfterChange)),
        ] {
            assert_eq!(refusal(error), meaning, "{error}");
        }
    }

    #[test]
    fn only_what_looks_like_a_code_becomes_one() {
        assert_eq!(code("not_in_channel"), "slack_not_in_channel");
        for error in ["", "Not In Channel", "a-b", "ä", &"x".repeat(61)] {
            assert_eq!(code(error), "slack_other");
        }
    }

    #[test]
    fn the_time_to_wait_is_found_wherever_it_stands() {
        for (result, seconds) in [
            (json!({ "content": [{ "text": "Retry-After: 30" }] }), Some(30)),
            (json!({ "content": [{ "text": "{\"retry_after\": 7}" }] }), Some(7)),
            (json!({ "structuredContent": { "retryAfter": "9" } }), Some(9)),
            (json!({ "_meta": { "headers": { "retry-after": ["5"] } } }), Some(5)),
            (json!({ "content": [{ "text": "retry after a while, at most 9 times" }] }), None),
            (json!({ "content": [{ "text": "please retry" }] }), None),
            (json!({ "content": [{ "text": "retry-after: 123456" }] }), None),
        ] {
            assert_eq!(retry_after_in(&result), seconds.map(Duration::from_secs), "{result}");
        }
    }

    #[test]
    fn what_is_wrapped_too_deep_is_not_looked_for() {
        let wrap = |times: usize| (0..times).fold(json!({ "ok": true }), |inner, _| json!({ "body": inner }));
        assert!(slack_answer(&json!({ "structuredContent": wrap(3) })).is_some());
        assert!(slack_answer(&json!({ "structuredContent": wrap(4) })).is_none());
    }
}
