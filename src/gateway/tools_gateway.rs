//! The tools that the agent's model may use, by the Gateway that has them. It is another one than that of agent-settle's own tools.

use aws_config::SdkConfig;
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;

use super::agent_core::SERVICE;
use super::slack_answer::{is_rate_limit, refusal, slack_answer, texts};
use super::tool_call::{HEADERS, Reached, is_complete, reached, request};
use super::{AgentTools, ToolOutcome};
use crate::aws::signed_call::{self, SignedCalls, TimeLimits};
use crate::time::clock::Moment;

/// How long a call may take. agent-settle's own end comes a little later, and before the alarm on how long it runs.
pub const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_millis(2500), call: Duration::from_secs(24) };

/// Statuses of the 4xx that do not say that nothing was done: a time-out, a conflict, a failed dependency, too early, a client
/// that went away.
const PERHAPS_DONE: [u16; 5] = [408, 409, 424, 425, 499];

/// How much of an error's text is looked at. What is behind may quote what was sent.
const OWN_WORDS: usize = 200;

/// The tools of one Gateway.
#[derive(Debug)]
pub struct ToolsGateway {
    calls: SignedCalls,
    url: String,
}

impl ToolsGateway {
    /// The Gateway at `url`. It is in the region of the configuration, and called with its credentials.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(aws: &SdkConfig, url: &str) -> Result<Self, &'static str> {
        Ok(Self { calls: SignedCalls::new(aws, TIME_LIMITS)?, url: url.to_owned() })
    }
}

impl AgentTools for ToolsGateway {
    async fn call(&self, tool: &str, arguments: &RawValue, until: Moment) -> ToolOutcome {
        let body = request(tool, arguments);
        let post =
            signed_call::Post { url: &self.url, service: Some(SERVICE), headers: &HEADERS, body: &body };
        match reached(self.calls.post(post, self.calls.deadline(until), is_complete).await) {
            Reached::Tool(result) => meaning(result),
            Reached::NotTheTool { reason, .. } => ToolOutcome::NotCalled { reason },
            Reached::Unknown { reason } => ToolOutcome::Unknown { reason, result: None },
        }
    }
}

/// What a tool's result means. The Gateway reports as a tool's error also that the answer of the API behind it was lost, or that
/// the API has failed itself. So an error is taken for an answer only if it says that nothing was done.
fn meaning(result: Value) -> ToolOutcome {
    if !result.is_object() {
        return ToolOutcome::Unknown { reason: "gateway_unreadable".to_owned(), result: None };
    }
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    let slack_error = slack_answer(&result).and_then(|answer| {
        let is_ok = answer.get("ok") == Some(&Value::Bool(true));
        (!is_ok).then(|| answer.get("error").and_then(Value::as_str).unwrap_or_default().to_owned())
    });
    let is_certain = match slack_error {
        Some(error) => !error.is_empty() && refusal(&error).is_some(),
        None => !is_error || is_rate_limit(&result) || texts(&result).any(says_it_was_refused),
    };
    if is_certain {
        ToolOutcome::Answered(result)
    } else {
        ToolOutcome::Unknown { reason: "tool_error".to_owned(), result: Some(result) }
    }
}

/// Whether the text of an error says that the API has refused the request: whether the first HTTP status in it is one of the 4xx.
/// How the Gateway words that is not documented, so a number of three digits counts behind `HTTP`, `status`, `code`, `error` or a
/// bracket.
fn says_it_was_refused(text: &str) -> bool {
    let own: String = text.chars().take(OWN_WORDS).collect::<String>().to_ascii_lowercase();
    let mut before = String::new();
    for part in own.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_behind = before.ends_with(['[', '('])
            || ["http", "status", "code", "error"].iter().any(|it| last_word(&before) == *it);
        if word.len() == 3
            && is_behind
            && let Ok(status) = word.parse::<u16>()
        {
            return (400..500).contains(&status) && !PERHAPS_DONE.contains(&status);
        }
        before.push_str(part);
    }
    false
}

fn last_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).rfind(|word| !word.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(text: &str, is_error: bool) -> Value {
        json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
    }

    #[test]
    fn what_is_no_error_and_what_says_that_nothing_was_done_is_an_answer() {
        for result in [
            text("made", false),
            text(r#"{"ok": true, "ts": "1.2"}"#, false),
            text(r#"{"ok": false, "error": "channel_not_found"}"#, false),
            text(r#"The target answered with HTTP status 200: {"ok": false, "error": "invalid_auth"}"#, true),
            text("The target answered with HTTP status 401: invalid key", true),
            text("HTTP error 422: invalid value for name", true),
            text("OpenAPIClientException - [404: Not Found] no such card", true),
            text("Request failed with status code 400", true),
            text("429 Too Many Requests", true),
        ] {
            assert_eq!(meaning(result.clone()), ToolOutcome::Answered(result.clone()), "{result}");
        }
    }

    #[test]
    fn any_other_error_says_nothing_of_what_was_done() {
        let long = format!("{} HTTP status 400", "a ".repeat(OWN_WORDS));
        for result in [
            text("An internal error occurred. Please retry later.", true),
            text("Server disconnected without sending a response.", true),
            text("The target answered with HTTP status 503: 400 cards are too many, status 400", true),
            text("HTTP status 408", true),
            text("HTTP status 4001", true),
            text("401 cards were made, and then it failed", true),
            text(r#"{"ok": false, "error": "internal_error"}"#, false),
            text(r#"{"ok": false}"#, false),
            text(&long, true),
            json!({ "isError": true }),
        ] {
            let expected =
                ToolOutcome::Unknown { reason: "tool_error".to_owned(), result: Some(result.clone()) };
            assert_eq!(meaning(result.clone()), expected, "{result}");
        }
        let none = ToolOutcome::Unknown { reason: "gateway_unreadable".to_owned(), result: None };
        assert_eq!(meaning(json!("made")), none);
    }
}
