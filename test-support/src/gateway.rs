//! A stand-in for AgentCore Gateway in front of [`SlackApi`]: it takes signed `tools/call`s (and `tools/list`, whose pages have one
//! tool each), each a POST of JSON-RPC without a session, calls Slack with the bot's token, and answers as a test says. It is used by the Rust tests; the one in
//! `demo/stand_ins/gateway.py` is a whole MCP server for people and for the agent.
//!
//! Checked are the signature and what it is for, the headers that MCP wants, the name of the tool and the names of its
//! arguments. AWS documents the names of tools, and that a tool that failed returns a result with `isError`. It does not
//! document, and is guessed: the words of such an error, and that `ok: false` with status 200 is a result like any other. Not
//! checked: policies, the session token, limits, the types of arguments.

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;

use crate::aws::sigv4;
use crate::http::{listen, serve};
use crate::plan::Plan;
use crate::slack::api::{SlackApi, TOKEN};

type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// The target's name, before the three underscores.
pub const TARGET: &str = "slack";

/// How long the Gateway waits for Slack, unless a test says otherwise.
const TARGET_LIMIT: Duration = Duration::from_secs(60);

/// What is said of an error unless the Gateway's exception level is DEBUG.
const INTERNAL_ERROR: &str = "An internal error occurred. Please retry later.";

/// A tool: an operation of Slack's Web API.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name behind the target's.
    pub operation: &'static str,
    /// The method of Slack's Web API.
    pub method: &'static str,
    /// Whether it is called with GET, its arguments in the query.
    pub is_get: bool,
    /// The names of the arguments that it may have.
    pub arguments: &'static [&'static str],
}

/// The tools of the Gateway of `agent-settle`.
pub const SETTLE_TOOLS: [Tool; 15] = [
    Tool {
        operation: "post_to_slack",
        method: "chat.postMessage",
        is_get: false,
        arguments: &["channel", "text", "thread_ts", "blocks", "unfurl_links", "unfurl_media", "metadata"],
    },
    Tool {
        operation: "read_thread",
        method: "conversations.replies",
        is_get: true,
        arguments: &["channel", "ts", "oldest", "cursor", "limit", "include_all_metadata"],
    },
    Tool {
        operation: "read_channel",
        method: "conversations.history",
        is_get: true,
        arguments: &["channel", "oldest", "cursor", "limit", "include_all_metadata"],
    },
    Tool {
        operation: "set_session_status",
        method: "agents.sessions.setStatus",
        is_get: false,
        arguments: &["channel_id", "thread_ts", "status", "title"],
    },
    Tool {
        operation: "set_thread_status",
        method: "assistant.threads.setStatus",
        is_get: false,
        arguments: &["channel_id", "thread_ts", "status"],
    },
    Tool {
        operation: "set_thread_title",
        method: "assistant.threads.setTitle",
        is_get: false,
        arguments: &["channel_id", "thread_ts", "title"],
    },
    Tool {
        operation: "set_suggested_prompts",
        method: "assistant.threads.setSuggestedPrompts",
        is_get: false,
        arguments: &["channel_id", "thread_ts", "title", "prompts"],
    },
    Tool {
        operation: "start_stream",
        method: "chat.startStream",
        is_get: false,
        arguments: &["channel", "thread_ts", "recipient_user_id", "recipient_team_id"],
    },
    Tool {
        operation: "append_to_stream",
        method: "chat.appendStream",
        is_get: false,
        arguments: &["channel", "ts", "chunks"],
    },
    Tool {
        operation: "stop_stream",
        method: "chat.stopStream",
        is_get: false,
        arguments: &["channel", "ts", "chunks", "session_status"],
    },
    Tool {
        operation: "update_message",
        method: "chat.update",
        is_get: false,
        arguments: &["channel", "ts", "text", "blocks", "metadata"],
    },
    Tool { operation: "delete_message", method: "chat.delete", is_get: false, arguments: &["channel", "ts"] },
    Tool { operation: "read_user", method: "users.info", is_get: true, arguments: &["user"] },
    Tool {
        operation: "list_group_members",
        method: "usergroups.users.list",
        is_get: true,
        arguments: &["usergroup"],
    },
    Tool { operation: "read_file_info", method: "files.info", is_get: true, arguments: &["file"] },
];

/// The tools of the model's Gateway: what is posted there has no metadata.
pub const AGENT_TOOLS: [Tool; 1] = [Tool {
    operation: "post_to_slack",
    method: "chat.postMessage",
    is_get: false,
    arguments: &["channel", "text", "thread_ts", "blocks"],
}];

/// How answers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// JSON; Slack's answer is the text of the result.
    #[default]
    Json,
    /// JSON; Slack's answer is the structured content of the result.
    Structured,
    /// A stream of events that has a notification before the response, and ends behind it.
    Events,
    /// The same, but it does not end.
    OpenEvents,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused with this status, before any effect.
    Status(u16),
    /// It is refused with this status, before any effect, and is told to wait so many seconds.
    RetryAfter(u16, u16),
    /// It is answered with this error of JSON-RPC, before any effect.
    Rpc(i64),
    /// It is answered with the result of a tool that failed, in these words, before any effect.
    ToolError(&'static str),
    /// The connection breaks before any effect.
    Break,
    /// It takes effect, and the connection breaks before the answer.
    LoseAnswer,
    /// It takes effect, and the connection breaks in the middle of the answer.
    CutAnswer,
    /// Nothing happens, and no answer comes.
    Hang,
    /// It takes effect, and no answer comes.
    HangAfter,
    /// It takes effect, and the answer has this status.
    StatusAfter(u16),
    /// It takes effect, and the answer is this text, with status 200.
    AnswerAfter(&'static str),
    /// It takes effect, and the answer is longer than anybody reads.
    LongAnswer,
    /// It takes effect after this time.
    Delay(Duration),
}

/// A call that was let in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The tool's whole name.
    pub tool: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// The Gateway.
pub struct Gateway {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    slack_host: String,
    slack_path: String,
    tools: Vec<Tool>,
    others: Mutex<Vec<Other>>,
    plan: Plan<Fault>,
    settings: Mutex<Settings>,
    calls: Mutex<Vec<Call>>,
    refused: Mutex<Vec<&'static str>>,
}

/// Another target, which calls the Slack of another workspace with that one's token.
#[derive(Clone)]
struct Other {
    target: String,
    slack_host: String,
    slack_path: String,
    token: String,
}

#[derive(Clone)]
struct Settings {
    token: String,
    form: Form,
    is_debug: bool,
}

impl Gateway {
    /// A Gateway with these tools, on a free port.
    pub async fn start(slack: &SlackApi, tools: &[Tool]) -> Self {
        let (listener, address) = listen().await;
        let (slack_host, slack_path) = host_and_path(slack);
        let state = Arc::new(State {
            slack_host,
            slack_path,
            tools: tools.to_vec(),
            others: Mutex::default(),
            plan: Plan::default(),
            settings: Mutex::new(Settings {
                token: TOKEN.to_owned(),
                form: Form::default(),
                is_debug: false,
            }),
            calls: Mutex::default(),
            refused: Mutex::default(),
        });
        let served = Arc::clone(&state);
        tokio::spawn(serve(listener, move |request| answer(request, Arc::clone(&served))));
        Self { address, state }
    }

    /// The value of `GATEWAY_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Adds a target with the same tools, which calls this Slack with this token.
    pub fn add_target(&self, target: &str, slack: &SlackApi, token: &str) {
        let (slack_host, slack_path) = host_and_path(slack);
        let other = Other { target: target.to_owned(), slack_host, slack_path, token: token.to_owned() };
        self.state.others.lock().expect("not poisoned").push(other);
    }

    /// The token that Slack is called with from now on.
    pub fn put_token(&self, token: &str) {
        self.settings(|settings| token.clone_into(&mut settings.token));
    }

    /// How answers look from now on.
    pub fn answer_as(&self, form: Form) {
        self.settings(|settings| settings.form = form);
    }

    /// Whether an error says what went wrong. It does not, unless a test says so.
    pub fn debug(&self, is_debug: bool) {
        self.settings(|settings| settings.is_debug = is_debug);
    }

    /// The next call of this operation, such as `post_to_slack`, fails so; several such are used up in order.
    pub fn fail_next(&self, operation: &str, fault: Fault) {
        self.state.plan.once(operation, fault);
    }

    /// Every call of this operation fails so, from now on.
    pub fn always(&self, operation: &str, fault: Fault) {
        self.state.plan.always(operation, fault);
    }

    /// The calls of this operation that were let in, in order, whatever became of them.
    #[must_use]
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        let tool = format!("{TARGET}___{operation}");
        let calls = self.state.calls.lock().expect("not poisoned");
        calls.iter().filter(|call| call.tool == tool).cloned().collect()
    }

    /// Why requests were not let in, in order.
    #[must_use]
    pub fn refused(&self) -> Vec<&'static str> {
        self.state.refused.lock().expect("not poisoned").clone()
    }

    fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state.settings.lock().expect("not poisoned"));
    }
}

fn host_and_path(slack: &SlackApi) -> (String, String) {
    let url = slack.url().replace("http://", "");
    let (host, path) = url.split_once('/').expect("a path");
    (host.to_owned(), format!("/{path}"))
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| broken())?.to_bytes();
    if let Some(reason) = refusal(&parts, &body) {
        state.refused.lock().expect("not poisoned").push(reason);
        return Ok(plain(403, &[], &json!({ "message": reason }).to_string()));
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return Ok(rpc_error(&Value::Null, -32700));
    };
    let settings = state.settings.lock().expect("not poisoned").clone();
    let id = message["id"].clone();
    if message["method"] == "tools/list" {
        return Ok(match state.plan.next("tools/list") {
            Some(Fault::Status(status)) => plain(status, &[], r#"{"message":"injected"}"#),
            Some(Fault::Rpc(code)) => rpc_error(&id, code),
            Some(_) => return Err(broken()),
            None => form(
                settings.form,
                &json!({ "jsonrpc": "2.0", "id": id, "result": listed(&state, &message) }),
            ),
        });
    }
    if message["method"] != "tools/call" {
        return Ok(rpc_error(&id, -32601));
    }
    let name = message["params"]["name"].as_str().unwrap_or_default().to_owned();
    let arguments = message["params"]["arguments"].as_object().cloned().unwrap_or_default();
    let (target, operation) = name.split_once("___").unwrap_or_default();
    let others = state.others.lock().expect("not poisoned").clone();
    let slack = match others.into_iter().find(|other| other.target == target) {
        Some(other) => Some(other),
        None if target == TARGET => Some(Other {
            target: TARGET.to_owned(),
            slack_host: state.slack_host.clone(),
            slack_path: state.slack_path.clone(),
            token: settings.token.clone(),
        }),
        None => None,
    };
    let tool = state.tools.iter().find(|tool| tool.operation == operation).copied();
    let (Some(tool), Some(slack)) = (tool, slack) else { return Ok(rpc_error(&id, -32602)) };
    if arguments.keys().any(|name| !tool.arguments.contains(&name.as_str())) {
        return Ok(rpc_error(&id, -32602));
    }
    state.calls.lock().expect("not poisoned").push(Call { tool: name, arguments: arguments.clone() });

    // On a task of its own: what is on the wire happens, even if its client has given up by then.
    let served = tokio::spawn(async move {
        let effect = || {
            let called = call_slack(&slack, tool, &arguments);
            async {
                match tokio::time::timeout(TARGET_LIMIT, called).await {
                    Ok(Ok((status, body))) => result(&settings, status, &body),
                    Ok(Err(error)) => failed(&settings, &error.to_string()),
                    Err(_) => failed(&settings, "the target took too long"),
                }
            }
        };
        let formed =
            |result: Value| form(settings.form, &json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        match state.plan.next(tool.operation) {
            None => Ok(formed(effect().await)),
            Some(Fault::Status(status)) => Ok(plain(status, &[], r#"{"message":"injected"}"#)),
            Some(Fault::RetryAfter(status, seconds)) => {
                Ok(plain(status, &[("retry-after", &seconds.to_string())], r#"{"message":"injected"}"#))
            }
            Some(Fault::Rpc(code)) => Ok(rpc_error(&id, code)),
            Some(Fault::ToolError(words)) => Ok(formed(error_result(words))),
            Some(Fault::Break) => Err(broken()),
            Some(Fault::LoseAnswer) => {
                effect().await;
                Err(broken())
            }
            Some(Fault::CutAnswer) => {
                effect().await;
                let response = Response::builder().header("content-type", "application/json");
                let pieces = [Ok("{\"jsonrpc\":\"2.0\",".into()), Err(broken())];
                Ok(response.body(pieces_of(pieces)).expect("a response"))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::HangAfter) => {
                effect().await;
                std::future::pending().await
            }
            Some(Fault::StatusAfter(status)) => {
                effect().await;
                Ok(plain(status, &[], r#"{"message":"injected"}"#))
            }
            Some(Fault::AnswerAfter(text)) => {
                effect().await;
                Ok(plain(200, &[("content-type", "application/json")], text))
            }
            Some(Fault::LongAnswer) => {
                effect().await;
                let long = json!({ "content": [{ "type": "text", "text": "x".repeat(2_000_000) }] });
                Ok(formed(long))
            }
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(formed(effect().await))
            }
        }
    });
    served.await.map_err(|_| broken())?
}

/// A page of the list of tools: the one that the cursor names.
fn listed(state: &State, message: &Value) -> Value {
    let others = state.others.lock().expect("not poisoned");
    let targets = std::iter::once(TARGET).chain(others.iter().map(|other| other.target.as_str()));
    let names: Vec<_> = targets
        .flat_map(|target| state.tools.iter().map(move |tool| format!("{target}___{}", tool.operation)))
        .collect();
    let page: usize =
        message["params"]["cursor"].as_str().map_or(0, |page| page.parse().expect("a cursor of ours"));
    let shown: Vec<_> =
        names.iter().skip(page).take(1).map(|name| json!({ "name": name, "inputSchema": {} })).collect();
    let mut result = json!({ "tools": shown });
    if page + 1 < names.len() {
        result["nextCursor"] = json!((page + 1).to_string());
    }
    result
}

/// Why a request is not let in.
fn refusal(parts: &Parts, body: &[u8]) -> Option<&'static str> {
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(reason) = sigv4::refusal(parts, body) {
        return Some(reason);
    }
    if !header("authorization").contains("/us-east-1/bedrock-agentcore/aws4_request") {
        return Some("it is signed for another service or region");
    }
    if parts.method != "POST" || parts.uri.path() != "/mcp" {
        return Some("it is no POST to /mcp");
    }
    let accept = header("accept");
    if !accept.contains("application/json") || !accept.contains("text/event-stream") {
        return Some("it does not accept both kinds of answers");
    }
    if header("content-type") != "application/json" {
        return Some("it is not JSON");
    }
    let versions = ["2025-03-26", "2025-06-18", "2025-11-25"];
    (!versions.contains(&header("mcp-protocol-version")))
        .then_some("it has no version of MCP that is supported")
}

/// Status and body of Slack's answer.
async fn call_slack(slack: &Other, tool: Tool, arguments: &Map<String, Value>) -> io::Result<(u16, String)> {
    let path = format!("{}/{}", slack.slack_path, tool.method);
    let request = Request::builder()
        .header("host", &slack.slack_host)
        .header("authorization", format!("Bearer {}", slack.token));
    let request = if tool.is_get {
        let pairs = arguments.iter().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}={}", encoded(name), encoded(&value))
        });
        let query: Vec<_> = pairs.collect();
        request.uri(format!("{path}?{}", query.join("&"))).body(Full::default())
    } else {
        let body = Value::from(arguments.clone()).to_string();
        let request =
            request.method("POST").uri(path).header("content-type", "application/json; charset=utf-8");
        request.body(Full::<Bytes>::from(body))
    };
    let stream = TcpStream::connect(&slack.slack_host).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
    tokio::spawn(connection);
    let response = sender.send_request(request.expect("a request")).await.map_err(|_| broken())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|_| broken())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The result of a tool, of which Slack has answered so.
fn result(settings: &Settings, status: u16, body: &str) -> Value {
    if status >= 300 {
        return failed(settings, &format!("The target answered with HTTP status {status}: {body}"));
    }
    match settings.form {
        Form::Structured => {
            let answer: Value = serde_json::from_str(body).unwrap_or_default();
            json!({ "content": [], "structuredContent": answer, "isError": false })
        }
        _ => json!({ "content": [{ "type": "text", "text": body }], "isError": false }),
    }
}

fn failed(settings: &Settings, cause: &str) -> Value {
    error_result(if settings.is_debug { cause } else { INTERNAL_ERROR })
}

fn error_result(words: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": words }], "isError": true })
}

fn rpc_error(id: &Value, code: i64) -> Response<Body> {
    let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": "injected" } });
    plain(200, &[("content-type", "application/json")], &error.to_string())
}

fn form(form: Form, message: &Value) -> Response<Body> {
    let json = [("content-type", "application/json")];
    if matches!(form, Form::Json | Form::Structured) {
        return plain(200, &json, &message.to_string());
    }
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
    let events = format!(": hello\n\ndata: {note}\n\nevent: message\ndata: {message}\n\n");
    let response = Response::builder().header("content-type", "text/event-stream");
    let (first, second) = events.split_at(events.len() / 2);
    let pieces = futures_util::stream::iter([Ok(first.to_owned().into()), Ok(second.to_owned().into())]);
    let frames = futures_util::StreamExt::map(pieces, |piece: io::Result<Bytes>| piece.map(Frame::data));
    let body = if form == Form::OpenEvents {
        BodyExt::boxed(StreamBody::new(futures_util::StreamExt::chain(
            frames,
            futures_util::stream::pending(),
        )))
    } else {
        BodyExt::boxed(StreamBody::new(frames))
    };
    response.body(body).expect("a response")
}

fn plain(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(pieces_of([Ok(body.to_owned().into())])).expect("a response")
}

fn pieces_of<const N: usize>(pieces: [io::Result<Bytes>; N]) -> Body {
    let frames = pieces.map(|piece| piece.map(Frame::data));
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}
