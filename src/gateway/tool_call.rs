//! One call of one tool, by MCP: a single POST of JSON-RPC, without a session, and what can be read from the Gateway's answer.
//! AWS [documents](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-using-mcp-call.html) such a call by
//! itself.
//!
//! What the Gateway makes of Slack's answer is only partly documented. So much is understood here, and little is taken for
//! certain: [`Called::NotDone`] is only what was refused before the tool was called, and what Slack itself says it did not do.

use aws_smithy_runtime_api::http::Headers;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::Retry;
use super::slack_answer::{is_rate_limit, retry_after_in, slack_answer};
use crate::aws::event_stream;
use crate::aws::signed_call::{Answer, CallError};

/// The newest version of MCP with this header that all Gateways understand.
pub(super) const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2025-06-18"),
];

/// The id of the request. One connection carries one.
const ID: u64 = 1;

/// JSON-RPC errors that say that the call was not understood, and so not made: parse error, invalid request, method not found,
/// invalid parameters (the code for a tool that does not exist, too).
const NOT_UNDERSTOOD: [i64; 4] = [-32700, -32600, -32601, -32602];

/// HTTP statuses of the 4xx that may come from behind the Gateway, when it has passed the call on: a time-out, a failed
/// dependency, a client that went away. Any other 4xx is the refusal of the call.
const PERHAPS_FROM_BEHIND: [u16; 3] = [408, 424, 499];

/// What became of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Called {
    /// Slack has answered; `ok` may be true or false.
    Answered { answer: Map<String, Value>, retry_after: Option<Duration> },
    /// Slack has certainly not done it.
    NotDone { reason: String, retry: Retry, retry_after: Option<Duration> },
    /// Nobody knows.
    Unknown { reason: String },
}

impl Called {
    fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    #[cfg(test)]
    fn not_done(reason: impl Into<String>, retry: Retry) -> Self {
        Self::NotDone { reason: reason.into(), retry, retry_after: None }
    }
}

/// The body of the call.
pub(super) fn request(tool: &str, arguments: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let params = Params { name: tool, arguments };
    let request = Request { jsonrpc: "2.0", id: ID, method: "tools/call", params };
    // It is strings and JSON alone, so it can always be written.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Serialize)]
struct Request<'a, A: ?Sized> {
    jsonrpc: &'a str,
    id: u64,
    method: &'a str,
    params: Params<'a, A>,
}

#[derive(Serialize)]
struct Params<'a, A: ?Sized> {
    name: &'a str,
    arguments: &'a A,
}

/// Whether what has come of a stream of events has the response in it. Such a stream need not end behind it.
pub(super) fn is_complete(headers: &Headers, bytes: &[u8]) -> bool {
    is_event_stream(headers) && bytes.ends_with(b"\n") && {
        let events = std::str::from_utf8(bytes).map(events).unwrap_or_default();
        response(events).is_some()
    }
}

/// How far a call came: whether it reached the tool.
pub(super) enum Reached {
    /// The tool has answered with this result.
    Tool(Value),
    /// The tool was certainly not called.
    NotTheTool { reason: String, retry: Retry, retry_after: Option<Duration> },
    /// Nobody knows.
    Unknown { reason: String },
}

impl Reached {
    fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    fn not_the_tool(reason: impl Into<String>, retry: Retry) -> Self {
        Self::NotTheTool { reason: reason.into(), retry, retry_after: None }
    }
}

/// What the Gateway's answer, or the lack of one, means for a call of Slack's.
pub(super) fn meaning(called: Result<Answer, CallError>) -> Called {
    match reached(called) {
        Reached::Tool(result) => meaning_of_result(&result),
        Reached::NotTheTool { reason, retry, retry_after } => Called::NotDone { reason, retry, retry_after },
        Reached::Unknown { reason } => Called::Unknown { reason },
    }
}

/// How far the call came, by the Gateway's answer or the lack of one.
pub(super) fn reached(called: Result<Answer, CallError>) -> Reached {
    let answer = match called {
        Ok(answer) => answer,
        Err(error) if error.is_unsent => return Reached::not_the_tool(error.code, Retry::Later),
        Err(error) => return Reached::unknown(error.code),
    };
    let reason = || format!("gateway_{}", answer.status);
    match answer.status {
        200 => {}
        429 => {
            let retry_after = retry_after(&answer.headers);
            return Reached::NotTheTool { reason: reason(), retry: Retry::Later, retry_after };
        }
        status if PERHAPS_FROM_BEHIND.contains(&status) => return Reached::unknown(reason()),
        402 | 409 => return Reached::not_the_tool(reason(), Retry::Later),
        413 => return Reached::not_the_tool(reason(), Retry::Never),
        400..=499 => {
            tell_why(&answer);
            return Reached::not_the_tool(reason(), Retry::AfterChange);
        }
        _ => return Reached::unknown(reason()),
    }
    let bytes = match answer.body {
        Ok(bytes) => bytes,
        Err(error) => return Reached::unknown(error.code),
    };
    match response(messages(&answer.headers, &bytes)) {
        Some(Response::Result(result)) => Reached::Tool(result),
        Some(Response::Error(code)) => {
            let reason = format!("gateway_rpc_{}", code.unsigned_abs());
            if NOT_UNDERSTOOD.contains(&code) {
                Reached::not_the_tool(reason, Retry::AfterChange)
            } else {
                Reached::unknown(reason)
            }
        }
        None => Reached::unknown("gateway_unreadable"),
    }
}

/// What the result of a tool means.
fn meaning_of_result(result: &Value) -> Called {
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    let retry_after = retry_after_in(result);
    match slack_answer(result) {
        // An error that quotes a success contradicts itself.
        Some(answer) if is_error && answer.get("ok") == Some(&Value::Bool(true)) => {
            Called::unknown("gateway_tool_error")
        }
        Some(answer) => Called::Answered { answer, retry_after },
        None if is_error && is_rate_limit(result) => {
            Called::NotDone { reason: "slack_ratelimited".to_owned(), retry: Retry::Later, retry_after }
        }
        // So the Gateway also reports that it could not get at the token, or does not say what failed.
        None if is_error => Called::unknown("gateway_tool_error"),
        None => Called::unknown("gateway_unreadable"),
    }
}

/// Puts AWS's own words into the log, which name the right or the resource that is missing. The tool was not called, so they
/// do not quote it.
fn tell_why(answer: &Answer) {
    if let (401 | 403 | 404, Ok(body)) = (answer.status, &answer.body) {
        let message = serde_json::from_slice::<Value>(body).ok();
        let message = message.as_ref().and_then(|body| body.get("message").or(body.get("Message"))?.as_str());
        let message: String = message.unwrap_or("no message").chars().take(300).collect();
        tracing::warn!(status = answer.status, message, "the Gateway refused the call");
    }
}

/// `Retry-After` in whole seconds; absent if there is none, or a date.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds: u16 = headers.get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// The response to the call.
enum Response {
    Result(Value),
    Error(i64),
}

/// The response among the messages. Others are notifications, which a server may send before it.
fn response(messages: Vec<Value>) -> Option<Response> {
    messages.into_iter().find_map(|mut message| {
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let is_ours = id == json!(ID) || id == json!(ID.to_string());
        if let Some(error) = message.get("error") {
            // A request that could not be read is answered without its id.
            return (is_ours || id.is_null())
                .then(|| Response::Error(error.get("code").and_then(Value::as_i64).unwrap_or(0)));
        }
        let result = message.get_mut("result").map(Value::take)?;
        is_ours.then_some(Response::Result(result))
    })
}

fn is_event_stream(headers: &Headers) -> bool {
    headers.get("content-type").is_some_and(event_stream::is_event_stream)
}

/// The JSON-RPC messages in an answer: the answer itself, a batch of them, or the events of a stream.
fn messages(headers: &Headers, bytes: &[u8]) -> Vec<Value> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    if is_event_stream(headers) {
        return events(text);
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(messages)) => messages,
        Ok(message) => vec![message],
        Err(_) => events(text),
    }
}

/// The JSON in the events of a stream.
fn events(text: &str) -> Vec<Value> {
    event_stream::data(text).iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> Result<Answer, CallError> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        Ok(Answer { status, headers: all, body: Ok(body.as_bytes().to_vec()) })
    }

    fn result(result: &Value) -> Called {
        meaning(answer(200, &[], &json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string()))
    }

    fn text(text: &str, is_error: bool) -> Called {
        result(&json!({ "content": [{ "type": "text", "text": text }], "isError": is_error }))
    }

    fn ok(called: &Called) -> Option<bool> {
        match called {
            Called::Answered { answer, .. } => answer["ok"].as_bool(),
            _ => None,
        }
    }

    #[test]
    fn slacks_answer_is_found_however_the_gateway_wraps_it() {
        let slack = json!({ "ok": true, "ts": "1.2" });
        let wrapped = json!({ "statusCode": 200, "body": slack.to_string() }).to_string();
        for given in
            [slack.to_string(), format!("  {slack}\n"), json!(slack.to_string()).to_string(), wrapped]
        {
            assert_eq!(ok(&text(&given, false)), Some(true), "{given}");
        }
        assert_eq!(ok(&result(&json!({ "content": [], "structuredContent": slack }))), Some(true));
        assert_eq!(
            ok(&result(&json!({ "content": [], "structuredContent": { "result": slack } }))),
            Some(true)
        );
        let refusal =
            r#"The target answered with HTTP status 200: {"ok": false, "error": "invalid_auth"} (end)"#;
        assert_eq!(ok(&text(refusal, true)), Some(false));
    }

    #[test]
    fn an_error_that_only_quotes_the_call_says_nothing_of_its_outcome() {
        for quote in [
            r#"timed out: {"channel": "C1", "text": "{\"ok\": false, \"error\": \"ratelimited\"}"}"#,
            r#"timed out: {'channel': 'C1', 'text': '{"ok": false, "error": "ratelimited"}'}"#,
            r#"timed out: {'channel': 'C1', 'text': 'what is HTTP 429? Too many requests'}"#,
            r#"failed: {"ok": true, "ts": "1.2"}"#,
            "An internal error occurred. Please retry later.",
            "",
        ] {
            assert_eq!(text(quote, true), Called::unknown("gateway_tool_error"), "{quote}");
        }
        for unreadable in ["", "posted", "[]", "{\"okay\": true}", "{\"ok\": \"true\"}", "null"] {
            assert_eq!(text(unreadable, false), Called::unknown("gateway_unreadable"), "{unreadable}");
        }
    }

    #[test]
    fn a_rate_limit_is_a_refusal() {
        for (given, seconds) in [
            ("HTTP error 429: Too Many Requests - {'ok': False}", None),
            ("The target answered with status code 429, Retry-After: 30", Some(30)),
            ("The target answered with HTTP status 429: retry_after=7", Some(7)),
        ] {
            let retry_after = seconds.map(Duration::from_secs);
            let reason = "slack_ratelimited".to_owned();
            assert_eq!(text(given, true), Called::NotDone { reason, retry: Retry::Later, retry_after });
        }
    }

    #[test]
    fn a_refusal_of_the_gateways_is_certain_and_a_failure_of_its_is_not() {
        for (status, retry) in [
            (400, Retry::AfterChange),
            (401, Retry::AfterChange),
            (402, Retry::Later),
            (403, Retry::AfterChange),
            (404, Retry::AfterChange),
            (409, Retry::Later),
            (413, Retry::Never),
            (429, Retry::Later),
        ] {
            let expected = Called::not_done(format!("gateway_{status}"), retry);
            assert_eq!(meaning(answer(status, &[], r#"{"message": "no"}"#)), expected);
        }
        for status in [202, 204, 302, 408, 424, 499, 500, 502, 503, 504] {
            let expected = Called::unknown(format!("gateway_{status}"));
            assert_eq!(meaning(answer(status, &[], r#"{"message": "no"}"#)), expected);
        }
        let limited = meaning(answer(429, &[("retry-after", "12")], ""));
        assert!(matches!(limited, Called::NotDone { retry_after: Some(after), .. } if after.as_secs() == 12));
    }

    #[test]
    fn a_call_that_was_not_understood_was_not_made() {
        let rpc = |code: i64, id: Value| {
            let error = json!({ "code": code, "message": "no" });
            meaning(answer(200, &[], &json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()))
        };
        for code in NOT_UNDERSTOOD {
            for id in [json!(1), json!("1"), Value::Null] {
                let expected = Called::not_done(format!("gateway_rpc_{}", -code), Retry::AfterChange);
                assert_eq!(rpc(code, id), expected);
            }
        }
        for code in [-32603_i64, -32000, -32002, 0, 500] {
            let expected = Called::unknown(format!("gateway_rpc_{}", code.unsigned_abs()));
            assert_eq!(rpc(code, json!(1)), expected);
        }
        assert_eq!(rpc(-32602, json!(2)), Called::unknown("gateway_unreadable"), "another call's");
    }

    #[test]
    fn the_response_is_found_in_a_stream_of_events() {
        const SSE: [(&str, &str); 1] = [("content-type", "text/event-stream; charset=utf-8")];
        let response =
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"ok\":true}"}]}}"#;
        let (first, second) = response.split_once(',').unwrap();
        let note = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        for body in [
            format!("data: {response}\n\n"),
            format!("event: message\r\nid: 7\r\ndata:{response}\r\n\r\n"),
            format!(": hello\n\ndata: {note}\n\nevent: message\ndata: {response}\n\n: bye\n\n"),
            format!("data: {response}"),
            format!("data: {first},\ndata: {second}\n\n"),
        ] {
            assert_eq!(ok(&meaning(answer(200, &SSE, &body))), Some(true), "{body}");
            assert_eq!(ok(&meaning(answer(200, &[], &body))), Some(true), "without its content type: {body}");
        }
        let headers = answer(200, &SSE, "").unwrap().headers;
        let whole = format!("data: {note}\n\ndata: {response}\n\n");
        let known: Vec<_> =
            (0..=whole.len()).filter(|&end| is_complete(&headers, &whole.as_bytes()[..end])).collect();
        // A line that has come whole is enough, for it cannot be JSON and go on.
        assert_eq!(known, [whole.len() - 1, whole.len()]);
        assert!(!is_complete(&Headers::new(), response.as_bytes()), "JSON ends with the body");
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for body in
            ["", "{", "[]", "data: {\n\n", "<html>", r#"{"id": 1}"#, r#"{"id": 2, "result": {}}"#, "\u{0}"]
        {
            assert_eq!(meaning(answer(200, &[], body)), Called::unknown("gateway_unreadable"), "{body}");
        }
        let invalid = Answer { status: 200, headers: Headers::new(), body: Ok(vec![0xff, 0xfe]) };
        assert_eq!(meaning(Ok(invalid)), Called::unknown("gateway_unreadable"));
    }
}
