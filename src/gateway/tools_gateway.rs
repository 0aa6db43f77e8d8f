//! The tools that the agent's model may use, by the Gateway that has them. It is another one than that of agent-settle's own tools.
//!
//! With several installations of the app there is a second Gateway, which the agent may not call: any code in the agent's machine
//! has its role, so a Gateway that it may call must not have the tokens of several tenants. A tool of the target `slack` is then
//! called there, by the target that the question's own installation has: `slack-t0123abc`.

use aws_config::SdkConfig;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

use super::agent_core::SERVICE;
use super::installations::Installations;
use super::slack_answer::{is_rate_limit, refusal, slack_answer, texts};
use super::tool_call::{HEADERS, Reached, is_complete, reached, request};
use super::{AgentTools, ToolOutcome};
use crate::aws::signed_call::{self, SignedCalls, TimeLimits};
use crate::slack::token_secrets::NO_TOKEN_FOR_TENANT;
use crate::time::clock::Moment;

/// How long a call may take. agent-settle's own end comes a little later, and before the alarm on how long it runs.
pub const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_millis(2500), call: Duration::from_secs(24) };

/// Statuses of the 4xx that do not say that nothing was done: a time-out, a conflict, a failed dependency, too early, a client
/// that went away.
const PERHAPS_DONE: [u16; 5] = [408, 409, 424, 425, 499];

/// How much of an error's text is looked at. What is behind may quote what was sent.
const OWN_WORDS: usize = 200;

/// What stands between a target and an operation in the name of a tool. No target has an underscore in its name.
const SEPARATOR: &str = "___";

/// The tools that each installation has with a token of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceTools {
    /// The Gateway that has them. The agent may not call it.
    pub url: String,
    /// The targets whose tools are there, as the model knows them: `slack`. Those of an installation are called
    /// `<target>-<tenant in lower case>`.
    pub targets: Vec<String>,
}

/// The tools of the agent's Gateway, and those of each installation.
#[derive(Debug)]
pub struct ToolsGateway {
    calls: SignedCalls,
    url: String,
    installations: Installations,
    by_workspace: Option<WorkspaceTools>,
}

impl ToolsGateway {
    /// The Gateway at `url`, which the agent may call too, and what each of the `installations` has by itself. The Gateways are
    /// in the region of the configuration, and called with its credentials.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(
        aws: &SdkConfig,
        url: &str,
        installations: Installations,
        by_workspace: Option<WorkspaceTools>,
    ) -> Result<Self, &'static str> {
        Ok(Self {
            calls: SignedCalls::new(aws, TIME_LIMITS)?,
            url: url.to_owned(),
            installations,
            by_workspace,
        })
    }

    /// The Gateway that a tool is called at for this tenant, and its name there; `None` for an installation that is not known.
    fn way<'a>(&'a self, tenant: Option<&str>, tool: &'a str) -> Option<(&'a str, Cow<'a, str>)> {
        self.installations.target(tenant)?;
        let own = self.by_workspace.as_ref().zip(tool.split_once(SEPARATOR));
        Some(match own.filter(|(own, (target, _))| own.targets.iter().any(|it| it == target)) {
            Some((own, (target, operation))) => {
                let tenant = tenant?.to_ascii_lowercase();
                (&own.url, Cow::Owned(format!("{target}-{tenant}{SEPARATOR}{operation}")))
            }
            None => (&self.url, Cow::Borrowed(tool)),
        })
    }
}

impl AgentTools for ToolsGateway {
    async fn call(
        &self,
        tenant: Option<&str>,
        tool: &str,
        arguments: &RawValue,
        until: Moment,
    ) -> ToolOutcome {
        let Some((url, tool)) = self.way(tenant, tool) else {
            return ToolOutcome::NotCalled { reason: NO_TOKEN_FOR_TENANT.to_owned() };
        };
        let body = request(&tool, arguments);
        let post = signed_call::Post { url, service: Some(SERVICE), headers: &HEADERS, body: &body };
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

    const AGENTS: &str = "https://agents/mcp";
    const WORKSPACES: &str = "https://workspaces/mcp";

    fn tools(installations: &str, by_workspace: bool) -> ToolsGateway {
        let aws = test_support::aws::sdk_config("http://127.0.0.1:1");
        let targets = vec!["slack".to_owned(), "canvases".to_owned()];
        let own = WorkspaceTools { url: WORKSPACES.to_owned(), targets };
        let installations = Installations::parse(installations).unwrap();
        ToolsGateway::new(&aws, AGENTS, installations, by_workspace.then_some(own)).unwrap()
    }

    #[test]
    fn a_tool_of_slacks_is_called_by_the_target_of_the_questions_own_installation() {
        let tools = tools(r#"{"T1": "slack", "E2": "slack-e2"}"#, true);
        for (tenant, tool, url, name) in [
            ("T1", "slack___post_to_slack", WORKSPACES, "slack-t1___post_to_slack"),
            ("E2", "slack___post_to_slack", WORKSPACES, "slack-e2___post_to_slack"),
            ("E2", "canvases___create_canvas", WORKSPACES, "canvases-e2___create_canvas"),
            ("E2", "trello___create_card", AGENTS, "trello___create_card"),
            // Names that somebody makes up to get another's target stay at the agent's Gateway, which does not have them.
            ("E2", "slack-t1___post_to_slack", AGENTS, "slack-t1___post_to_slack"),
            ("E2", "slack", AGENTS, "slack"),
            ("E2", "slack-t1", AGENTS, "slack-t1"),
            ("E2", "___slack-t1___post_to_slack", AGENTS, "___slack-t1___post_to_slack"),
            // What comes behind the first separator does not change the target.
            ("E2", "slack___slack-t1___post_to_slack", WORKSPACES, "slack-e2___slack-t1___post_to_slack"),
        ] {
            assert_eq!(tools.way(Some(tenant), tool), Some((url, Cow::Borrowed(name))), "{tenant} {tool}");
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

    #[test]
    fn for_an_installation_that_is_not_known_no_tool_is_called_at_all() {
        for by_workspace in [true, false] {
            let tools = tools(r#"{"T1": "slack"}"#, by_workspace);
            for stranger in [None, Some("T2"), Some("t1")] {
                for tool in ["slack___post_to_slack", "trello___create_card"] {
                    assert_eq!(tools.way(stranger, tool), None, "{stranger:?} {tool}");
                }
            }
        }
    }
}
