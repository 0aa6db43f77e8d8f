//! The `response_url` of a command or an interaction: what is posted there, and what the answers mean.
//! <https://docs.slack.dev/interactivity/handling-user-interaction/#message_responses>

use serde_json::{Value, json};

use super::slack_answer::{code, refusal};
use super::tool_call::retry_after;
use super::{PostOutcome, Retry};
use crate::aws::signed_call::{Answer, CallError};

/// Whether a `response_url` is one of Slack's. It came with a signed request; but it is kept in a table for minutes, and what
/// is posted to it is the answer to somebody's question.
pub(super) fn is_slacks(response_url: &str, hooks_base: &str) -> bool {
    response_url.strip_prefix(hooks_base).is_some_and(|path| path.starts_with('/'))
}

/// The body of the post: only the asker sees it, and the message that a button stands in stays as it is.
pub(super) fn request(text: &str) -> Vec<u8> {
    let body = json!({
        "response_type": "ephemeral", "replace_original": false, "text": text, "unfurl_links": false, "unfurl_media": false,
    });
    body.to_string().into_bytes()
}

/// What became of the post.
pub(super) fn meaning(called: Result<Answer, CallError>) -> PostOutcome {
    let refused = |reason: String, retry, retry_after| PostOutcome::Refused { reason, retry, retry_after };
    let answer = match called {
        Ok(answer) => answer,
        Err(error) if error.is_unsent => return refused(error.code.to_owned(), Retry::Later, None),
        Err(error) => return PostOutcome::Unknown { reason: error.code.to_owned() },
    };
    let reason = format!("response_url_{}", answer.status);
    match answer.status {
        200 => {}
        429 => return refused(reason, Retry::Later, retry_after(&answer.headers)),
        408 => return PostOutcome::Unknown { reason },
        // It was used too often (`used_url`), or 30 minutes are over (`expired_url`).
        400..=499 => return refused(reason, Retry::Never, None),
        _ => return PostOutcome::Unknown { reason },
    }
    // The answer is `ok` as text, or JSON.
    let body = answer.body.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    let error =
        body.as_ref().filter(|body| body["ok"] == false).map(|body| body["error"].as_str().unwrap_or(""));
    match error.map(|error| (refusal(error), code(error))) {
        None => PostOutcome::Posted { ts: None },
        Some((None, reason)) => PostOutcome::Unknown { reason },
        Some((Some(Retry::Later), reason)) => refused(reason, Retry::Later, None),
        Some((Some(_), reason)) => refused(reason, Retry::Never, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_url_is_slacks_only_at_slacks_host() {
        let base = "https://hooks.slack.com";
        assert!(is_slacks("https://hooks.slack.com/commands/T1/2/x", base));
        for other in [
            "https://hooks.slack.com",
            "https://hooks.slack.com.example.com/commands",
            "https://hooks.slack.com@example.com/",
            "https://hooks.slack.com:444/",
            "http://hooks.slack.com/commands",
            "https://example.com/https://hooks.slack.com/",
            "",
        ] {
            assert!(!is_slacks(other, base), "{other}");
        }
    }
}
