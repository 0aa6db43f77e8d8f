//! Checks the agent's Gateway: that it lists the tools, and that it reaches Slack with a token that Slack takes. One POST of
//! JSON-RPC each, signed, without a session
//! ([AWS](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-using-mcp-list.html)).

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime_api::http::Headers;
use serde_json::{Value, json};
use slack_ingress::aws::event_stream;
use slack_ingress::aws::signed_call::{Post, SignedCalls, TimeLimits};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::BTreeMap;
use std::time::Duration;

use super::report::Check;

const TOOLS: &str = "tools";
const TOOLS_TOKEN: &str = "tools, token";

const LIMITS: TimeLimits = TimeLimits { connect: Duration::from_secs(3), call: Duration::from_secs(20) };
/// The service that the Gateway's calls are signed for.
const SERVICE: &str = "bedrock-agentcore";
const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2025-06-18"),
];
/// The id of a request. One connection carries one.
const ID: u64 = 1;
/// A Gateway gives its list in pages. More than this has no end.
const MAX_PAGES: usize = 20;

/// The tools of the stack's own Gateway (cdk/tools/slack.openapi.json and slack_canvases.openapi.json).
const OF_THE_STACK: [&str; 5] = [
    "slack___post_to_slack",
    "slack___add_reaction",
    "canvases___create_canvas",
    "canvases___edit_canvas",
    FIND_SECTIONS,
];
/// The tool that only reads. It is asked about a canvas that there is not.
const FIND_SECTIONS: &str = "canvases___find_canvas_sections";
const TRELLO: &str = "trello___";

/// Slack's errors of a token that it does not take.
const BAD_TOKEN: [&str; 5] =
    ["invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"];

/// What the Gateway is to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// Whether the stack has made it, with the tools of Slack.
    pub(super) is_the_stacks: bool,
    pub(super) has_trello: bool,
    /// Whether the app is installed several times. Then this Gateway has no token: agent-settle calls another one.
    pub(super) are_several: bool,
}

pub(super) async fn examine(sdk: &SdkConfig, url: &str, expected: Expected) -> Vec<Check> {
    let gateway = match Gateway::new(sdk, url) {
        Ok(gateway) => gateway,
        Err(why) => return vec![Check::fail(TOOLS, why, "Set AWS_REGION, and credentials")],
    };
    let tools = match gateway.tools().await {
        Ok(tools) => tools,
        Err(problem) => return vec![problem.check(TOOLS)],
    };
    let has_canvases = tools.iter().any(|tool| tool == FIND_SECTIONS);
    let mut checks = vec![list_check(&tools, expected)];
    if expected.is_the_stacks && has_canvases {
        checks.push(if expected.are_several {
            let why = "with several installations this Gateway has no token, and agent-settle's are not called from here";
            Check::skip(TOOLS_TOKEN, why)
        } else {
            gateway.token_check().await
        });
    }
    checks
}

fn list_check(tools: &[String], expected: Expected) -> Check {
    let mut targets = BTreeMap::<&str, usize>::new();
    for tool in tools {
        *targets.entry(tool.split_once("___").map_or("", |(target, _)| target)).or_default() += 1;
    }
    let named: Vec<_> = targets.iter().map(|(target, count)| format!("{target} ({count})")).collect();
    let found = format!("{} by the agent's Gateway: {}", tools.len(), named.join(", "));
    let mut missing: Vec<_> = OF_THE_STACK
        .into_iter()
        .filter(|wanted| expected.is_the_stacks && !tools.iter().any(|tool| tool == wanted))
        .collect();
    if expected.has_trello && !tools.iter().any(|tool| tool.starts_with(TRELLO)) {
        missing.push("those of Trello");
    }
    if !missing.is_empty() || tools.is_empty() {
        let todo = "Look at the Gateway's targets (aws bedrock-agentcore-control list-gateway-targets): each must be READY; then \
                    deploy again";
        let missing = if missing.is_empty() { "any".to_owned() } else { missing.join(", ") };
        return Check::fail(TOOLS, format!("{found}; without {missing}"), todo);
    }
    Check::ok(TOOLS, found)
}

/// Whether Slack's own `{"ok": false, "error": …}` is in the result of a tool, as it is or as a text in it.
fn is_refusal_of_slacks(result: &str) -> bool {
    let bare: String = result.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect();
    bare.contains(r#""ok":false"#) && bare.contains(r#""error":""#)
}

/// Why a call of the Gateway came to nothing.
enum Problem {
    NoAnswer(String),
    Status(u16, String),
    Rpc(String),
}

impl Problem {
    fn check(self, check: &'static str) -> Check {
        match self {
            Self::NoAnswer(why) => Check::fail(
                check,
                format!("the Gateway does not answer: {why}"),
                "Look at its URL (the output GatewayUrl), at the region and at your credentials",
            ),
            Self::Status(status @ (401 | 403), why) => Check::fail(
                check,
                format!("the Gateway lets you not in: {status} {why}"),
                "You need bedrock-agentcore:InvokeGateway on the output GatewayArn, and the Gateway's region",
            ),
            Self::Status(status, why) => Check::fail(
                check,
                format!("the Gateway answers {status} {why}"),
                "Look at its URL (the output GatewayUrl), and at the Gateway's log",
            ),
            Self::Rpc(why) => Check::fail(
                check,
                format!("the Gateway answers with an error: {why}"),
                "Look at the Gateway's log; it must take the MCP version 2025-06-18",
            ),
        }
    }
}

struct Gateway<'a> {
    calls: SignedCalls,
    url: &'a str,
}

impl<'a> Gateway<'a> {
    fn new(sdk: &SdkConfig, url: &'a str) -> Result<Self, String> {
        // The region in the Gateway's URL is the right one, whatever the environment says.
        let sdk = match region_of(url) {
            Some(region) => sdk.to_builder().region(Region::new(region.to_owned())).build(),
            None => sdk.clone(),
        };
        Ok(Self { calls: SignedCalls::new(&sdk, LIMITS)?, url })
    }

    /// The names of all tools.
    async fn tools(&self) -> Result<Vec<String>, Problem> {
        let (mut tools, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let result = self.call("tools/list", &params).await?;
            let page = result.get("tools").and_then(Value::as_array);
            let page = page.ok_or_else(|| Problem::Rpc("no list of tools".to_owned()))?;
            tools.extend(page.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())));
            match result.get("nextCursor").and_then(Value::as_str).filter(|cursor| !cursor.is_empty()) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(tools),
            }
        }
        Err(Problem::Rpc("its list of tools has no end".to_owned()))
    }

    /// Whether Slack takes the token that the Gateway adds, by a call that changes nothing.
    async fn token_check(&self) -> Check {
        let arguments =
            json!({ "canvas_id": "F0000000000", "criteria": { "contains_text": "slack-dev doctor" } });
        let params = json!({ "name": FIND_SECTIONS, "arguments": arguments });
        let (result, is_error) = match self.call("tools/call", &params).await {
            Ok(result) => (result.to_string(), result.get("isError") == Some(&Value::Bool(true))),
            Err(problem) => return problem.check(TOOLS_TOKEN),
        };
        if let Some(error) = BAD_TOKEN.iter().find(|error| result.contains(*error)) {
            let todo = "Put the bot token again, with the command of the output PutTheBotToken. Is it good, as the check above says, \
                        the Gateway's credential provider has another secret or an older version: deploy again; docs/operate.md, \
                        AnswerFailures";
            return Check::fail(
                TOOLS_TOKEN,
                format!("Slack does not take the token that the Gateway adds: {error}"),
                todo,
            );
        }
        // Of a token that it takes Slack says that there is no such canvas, that the scope is missing, that canvases are off …
        if is_refusal_of_slacks(&result) {
            return Check::ok(TOOLS_TOKEN, "Slack takes the token that the Gateway adds");
        }
        let said: String = result.chars().take(160).collect();
        if is_error {
            return Check::fail(
                TOOLS_TOKEN,
                format!("the Gateway has not reached Slack: {said}"),
                "Look at its credential provider: can it read the secret with the bot token, and the secret's key?",
            );
        }
        Check::warn(
            TOOLS_TOKEN,
            format!("the Gateway did not say what Slack answered: {said}"),
            "Ask it a question with --ask",
        )
    }

    /// The result of a call by MCP.
    async fn call(&self, method: &str, params: &Value) -> Result<Value, Problem> {
        let body = json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": params }).to_string();
        let post = Post { url: self.url, service: Some(SERVICE), headers: &HEADERS, body: body.as_bytes() };
        let until = SystemClock.moment().after(LIMITS.call);
        let answer = self.calls.post(post, until, is_complete).await;
        let answer = answer.map_err(|error| Problem::NoAnswer(crate::with_causes(&error)))?;
        let bytes = answer.body.map_err(|error| Problem::NoAnswer(crate::with_causes(&error)))?;
        let text = String::from_utf8_lossy(&bytes);
        if answer.status != 200 {
            return Err(Problem::Status(answer.status, text.chars().take(160).collect()));
        }
        let response = response(&text).ok_or_else(|| Problem::Rpc("it cannot be read".to_owned()))?;
        match response.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(Problem::Rpc(response.get("error").unwrap_or(&Value::Null).to_string())),
        }
    }
}

/// Whether what has come of a stream of events has the response in it. Such a stream need not end behind it.
fn is_complete(headers: &Headers, bytes: &[u8]) -> bool {
    headers.get("content-type").is_some_and(event_stream::is_event_stream)
        && bytes.ends_with(b"\n")
        && std::str::from_utf8(bytes).is_ok_and(|text| response(text).is_some())
}

/// The response in a body, which is JSON or a stream of events.
fn response(text: &str) -> Option<Value> {
    let whole = serde_json::from_str(text).ok();
    let events = event_stream::data(text).into_iter().filter_map(|data| serde_json::from_str(&data).ok());
    whole.into_iter().chain(events).find(|message: &Value| message.get("id") == Some(&json!(ID)))
}

/// The region in a Gateway's URL, `https://<id>.gateway.bedrock-agentcore.<region>.amazonaws.com/mcp`; `None` for any other's.
fn region_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?.split('/').next()?;
    let (_, rest) = host.split_once(".gateway.bedrock-agentcore.")?;
    rest.split_once(".amazonaws.com").map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;
    use std::path::Path;

    const STACK: Expected = Expected { is_the_stacks: true, has_trello: false, are_several: false };

    fn all() -> Vec<String> {
        OF_THE_STACK.map(str::to_owned).to_vec()
    }

    #[test]
    fn the_tools_are_the_operations_of_the_documents_that_the_stack_deploys() {
        let mut documented = Vec::new();
        for (target, document) in [("slack", "slack"), ("canvases", "slack_canvases")] {
            let path = format!("../cdk/tools/{document}.openapi.json");
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
            let json: Value = serde_json::from_str(&text).unwrap();
            for methods in json["paths"].as_object().unwrap().values() {
                for operation in methods.as_object().unwrap().values() {
                    documented.push(format!("{target}___{}", operation["operationId"].as_str().unwrap()));
                }
            }
        }
        assert_eq!(documented, all());
    }

    #[test]
    fn a_tool_that_is_missing_fails_and_one_more_does_not() {
        let status = |tools: &[String], expected| list_check(tools, expected).status;
        assert_eq!(status(&all(), STACK), Status::Ok);
        let more = [all(), vec!["weather___now".to_owned()]].concat();
        assert_eq!(
            list_check(&more, STACK).found,
            "6 by the agent's Gateway: canvases (3), slack (2), weather (1)"
        );
        let check = list_check(&all()[1..], STACK);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.ends_with("without slack___post_to_slack"), "{check:?}");
        assert_eq!(status(&all(), Expected { has_trello: true, ..STACK }), Status::Fail);
        let own = Expected { is_the_stacks: false, ..STACK };
        assert_eq!([status(&more[5..], own), status(&[], own)], [Status::Ok, Status::Fail]);
    }

    #[test]
    fn the_region_is_read_from_the_gateways_url() {
        let url = "https://slack-abc.gateway.bedrock-agentcore.eu-central-1.amazonaws.com/mcp";
        assert_eq!(region_of(url), Some("eu-central-1"));
        assert_eq!(region_of("http://127.0.0.1:8080/mcp"), None);
    }

    #[test]
    fn the_response_is_found_in_json_and_in_a_stream_of_events() {
        let json = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#;
        let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
        for text in [json.to_owned(), format!("data: {note}\n\nevent: message\ndata: {json}\n\n")] {
            assert!(response(&text).is_some_and(|response| response["result"].is_object()), "{text}");
        }
        assert!(response(note).is_none() && response("<html>").is_none());
    }
}
