//! A stand-in for Slack's Web API, as far as an answer needs it, for the host of `response_url`s, and for that of files. It keeps
//! messages with their metadata and gives them back page by page, shows statuses, and fails on demand. Whoever asks for a file
//! without a good token gets the page of the login, with status 200, as at Slack.
//!
//! An error has status 200 and `ok: false`; only a rate limit has status 429. Each answer to the right token has its scopes in the
//! header `x-oauth-scopes`, as at Slack. Not checked: scopes, members of channels, the
//! rate, blocks but for the length of a section and the fields of feedback buttons. A thread is what was posted with its `ts`; a message that was never posted here may begin one.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Map, Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::{listen, response, serve};
use crate::plan::Plan;
use crate::wait::eventually;

/// The bot's token, unless a test says another.
pub const TOKEN: &str = "xoxb-made-up";

/// How often a `response_url` may be used.
const RESPONSES: usize = 5;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Slack refuses it with this error, and it has no effect.
    Error(&'static str),
    /// It has no effect, as there were too many; `Retry-After` says so many seconds.
    RateLimit(u16),
    /// It has no effect, and the answer has this status and no JSON.
    Status(u16),
    /// It takes effect, and Slack answers with this error all the same.
    ErrorAfter(&'static str),
    /// It has no effect, and the connection breaks.
    Break,
    /// It takes effect, and the connection breaks before the answer.
    LoseAnswer,
    /// It takes effect, and no answer comes.
    HangAfter,
}

/// A message that stands in Slack.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where it stands.
    pub channel: String,
    /// The thread that it stands in, if it does.
    pub thread_ts: Option<String>,
    /// Its text, as it was posted.
    pub text: String,
    /// What it is called.
    pub ts: String,
    /// Its metadata; null if it has none.
    pub metadata: Value,
    /// Whether the app has posted it.
    pub is_own: bool,
    /// Whether it is being written (`chat.startStream`).
    pub is_written: bool,
    /// Whether it is written by chunks; absent before the first addition, which says it.
    pub is_in_chunks: Option<bool>,
}

impl Message {
    /// The nonce in its metadata.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.metadata["event_payload"]["nonce"].as_str()
    }

    /// Adds to what is being written, or says by which code Slack refuses it.
    fn append(&mut self, arguments: &Map<String, Value>) -> Result<(), &'static str> {
        // The first addition says by which of the two a message is written.
        let (in_chunks, more) = match (text(arguments, "markdown_text"), arguments.get("chunks")) {
            (Some(more), None) => (false, more.to_owned()),
            (None, Some(Value::Array(chunks))) => {
                let texts = chunks.iter().filter(|chunk| chunk["type"] == "markdown_text");
                (true, texts.filter_map(|chunk| chunk["text"].as_str()).collect())
            }
            (Some(_), Some(_)) => return Err("cannot_provide_both_markdown_text_and_chunks"),
            _ => return Err("invalid_arguments"),
        };
        if more.chars().count() > 12_000 {
            return Err("msg_too_long");
        }
        if *self.is_in_chunks.get_or_insert(in_chunks) != in_chunks {
            return Err("streaming_mode_mismatch");
        }
        self.text.push_str(&more);
        Ok(())
    }
}

/// A status that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `agents.sessions.setStatus` or `assistant.threads.setStatus`.
    pub method: String,
    /// Where.
    pub channel: String,
    /// In which thread.
    pub thread_ts: String,
    /// What is shown.
    pub status: String,
}

/// What was posted to a `response_url`.
#[derive(Clone, Debug, PartialEq)]
pub struct Responded {
    /// Where to.
    pub url: String,
    /// The body.
    pub body: Value,
}

/// A request for the content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// The path.
    pub path: String,
    /// The header `authorization`; empty if there was none.
    pub authorization: String,
}

/// Slack. A clone is the same Slack.
#[derive(Clone)]
pub struct SlackApi {
    address: SocketAddr,
    slack: Arc<Slack>,
}

#[derive(Default)]
struct Slack {
    plan: Plan<Fault>,
    state: Mutex<State>,
}

struct State {
    token: String,
    /// The scopes that the token has, separated by commas.
    scopes: String,
    team: String,
    is_bot: bool,
    is_agent: bool,
    max_page: usize,
    messages: Vec<Message>,
    statuses: Vec<Status>,
    responded: Vec<Responded>,
    calls: Vec<(String, Map<String, Value>)>,
    /// File objects, with what is at their URLs.
    files: Vec<(Value, Vec<u8>)>,
    file_requests: Vec<FileRequest>,
    /// What is said of people, by their ids, who are not members.
    people: BTreeMap<String, Value>,
    groups: BTreeMap<String, Vec<String>>,
    lacks_files_scope: bool,
    files_redirect_to: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            token: TOKEN.to_owned(),
            scopes: String::new(),
            team: "T0STANDIN".to_owned(),
            is_bot: true,
            is_agent: true,
            max_page: 999,
            messages: Vec::new(),
            statuses: Vec::new(),
            responded: Vec::new(),
            calls: Vec::new(),
            files: Vec::new(),
            file_requests: Vec::new(),
            people: BTreeMap::new(),
            groups: BTreeMap::new(),
            lacks_files_scope: false,
            files_redirect_to: None,
        }
    }
}

impl SlackApi {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let slack = Arc::<Slack>::default();
        let served = Arc::clone(&slack);
        tokio::spawn(serve(listener, move |request| answer(request, Arc::clone(&served))));
        Self { address, slack }
    }

    /// The base of the API: it takes the place of `https://slack.com/api`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// What takes the place of `https://hooks.slack.com`.
    #[must_use]
    pub fn hooks_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The `response_url` of this name.
    #[must_use]
    pub fn response_url(&self, name: &str) -> String {
        format!("{}/commands/{name}", self.hooks_url())
    }

    /// Only this token is good from now on.
    pub fn accept_token(&self, token: &str) {
        token.clone_into(&mut self.state().token);
    }

    /// The scopes that the token has, separated by commas. It has none, unless a test says so.
    pub fn grant(&self, scopes: &str) {
        scopes.clone_into(&mut self.state().scopes);
    }

    /// The token is one of this workspace, and a bot's or a person's.
    pub fn belong_to(&self, team: &str, is_bot: bool) {
        let mut state = self.state();
        team.clone_into(&mut state.team);
        state.is_bot = is_bot;
    }

    /// The app itself writes a message into a thread.
    pub fn say_as_app(&self, channel: &str, thread_ts: &str, text: &str) {
        let message = json!({ "channel": channel, "thread_ts": thread_ts, "text": text });
        self.state().add(message.as_object().expect("an object"), true);
    }

    /// Whether the app is declared an agent. It is, unless a test says no.
    pub fn declare_agent(&self, is_agent: bool) {
        self.state().is_agent = is_agent;
    }

    /// No page has more messages than this.
    pub fn limit_pages(&self, messages: usize) {
        self.state().max_page = messages;
    }

    /// Of this person, who is no member of the workspace, Slack says this (`users.info`).
    pub fn introduce(&self, id: &str, user: Value) {
        self.state().people.insert(id.to_owned(), user);
    }

    /// These people are in this user group (`usergroups.users.list`).
    pub fn put_into_group(&self, group: &str, users: &[&str]) {
        self.state().groups.insert(group.to_owned(), users.iter().map(|id| (*id).to_owned()).collect());
    }

    /// The next call of this method (`chat.postMessage`, or `response_url`) fails so; several such are used up in order.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.slack.plan.once(method, fault);
    }

    /// The answers to the next posts get lost: they stand in Slack, and the connection breaks.
    pub fn drop_answers(&self, posts: usize) {
        (0..posts).for_each(|_| self.fail_next("chat.postMessage", Fault::LoseAnswer));
    }

    /// Every call of this method fails so, from now on.
    pub fn always(&self, method: &str, fault: Fault) {
        self.slack.plan.always(method, fault);
    }

    /// Somebody else writes a message. Returns its `ts`.
    pub fn say(&self, channel: &str, thread_ts: Option<&str>, text: &str) -> String {
        let message = json!({ "channel": channel, "thread_ts": thread_ts, "text": text });
        self.state().add(message.as_object().expect("an object"), false)
    }

    /// Slack ends the writing of a message by itself, as it does after five minutes.
    pub fn end_writing(&self, ts: &str) {
        self.state().end_writing(ts);
    }

    /// What takes the place of `https://files.slack.com`.
    #[must_use]
    pub fn files_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody uploads a file. Returns Slack's object of it.
    pub fn upload(&self, id: &str, name: &str, mimetype: &str, content: &[u8]) -> Value {
        let url = |way: &str| format!("{}/files-pri/T0-{id}{way}/{name}", self.files_url());
        let file = json!({
            "id": id, "name": name, "title": name, "mimetype": mimetype, "size": content.len(), "mode": "hosted",
            "is_external": false, "url_private": url(""), "url_private_download": url("/download"),
        });
        self.state().files.push((file.clone(), content.to_owned()));
        file
    }

    /// The token lacks the scope `files:read` from now on.
    pub fn take_files_scope(&self) {
        self.state().lacks_files_scope = true;
    }

    /// Every file is at another host from now on.
    pub fn redirect_files_to(&self, url: &str) {
        self.state().files_redirect_to = Some(url.to_owned());
    }

    /// The requests for the content of files, in order.
    #[must_use]
    pub fn file_requests(&self) -> Vec<FileRequest> {
        self.state().file_requests.clone()
    }

    /// The messages that the app has posted, in order.
    #[must_use]
    pub fn posts(&self) -> Vec<Message> {
        self.state().messages.iter().filter(|message| message.is_own).cloned().collect()
    }

    /// Waits until the app has posted so many messages.
    pub async fn posted(&self, count: usize) -> Vec<Message> {
        eventually("a post", async || Some(self.posts()).filter(|posts| posts.len() >= count)).await
    }

    /// The statuses that were set, in order.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.state().statuses.clone()
    }

    /// What was posted to `response_url`s, in order.
    #[must_use]
    pub fn responded(&self) -> Vec<Responded> {
        self.state().responded.clone()
    }

    /// The calls of this method with their arguments, in order, whatever became of them.
    #[must_use]
    pub fn calls(&self, method: &str) -> Vec<Map<String, Value>> {
        let calls = &self.state().calls;
        calls.iter().filter(|(called, _)| called == method).map(|(_, arguments)| arguments.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.slack.state.lock().expect("not poisoned")
    }
}

/// An answer: status, seconds of `Retry-After`, body.
type Answer = (u16, Option<u16>, Vec<u8>);

fn json_answer(body: &Value) -> Answer {
    (200, None, body.to_string().into_bytes())
}

fn error(code: &str) -> Answer {
    json_answer(&json!({ "ok": false, "error": code }))
}

async fn answer(request: Request<Incoming>, slack: Arc<Slack>) -> io::Result<Response<Full<Bytes>>> {
    let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| broken())?.to_bytes();
    let path = parts.uri.path().to_owned();
    if path.starts_with("/files-pri/") {
        let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let fault = slack.plan.next("files");
        let mut state = slack.state.lock().expect("not poisoned");
        return state.download(&path, authorization.unwrap_or_default(), fault).ok_or_else(broken);
    }
    let (name, arguments) = match path.strip_prefix("/api/") {
        Some(method) if parts.method == "GET" => {
            (method.to_owned(), query(parts.uri.query().unwrap_or_default()))
        }
        Some(method) => (method.to_owned(), serde_json::from_slice(&body).unwrap_or_default()),
        None => ("response_url".to_owned(), serde_json::from_slice(&body).unwrap_or_default()),
    };
    slack.state.lock().expect("not poisoned").calls.push((name.clone(), arguments.clone()));
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let scopes = Arc::<Mutex<Option<String>>>::default();
    let granted = Arc::clone(&scopes);
    // On a task of its own: what is on the wire happens, even if its client has given up by then.
    let served = tokio::spawn(async move {
        let effect = || {
            let mut state = slack.state.lock().expect("not poisoned");
            if name == "response_url" {
                state.respond(&format!("http://{host}{path}"), &arguments)
            } else if authorization.strip_prefix("Bearer ") == Some(&state.token) {
                *granted.lock().expect("not poisoned") = Some(state.scopes.clone());
                state.call(&name, &arguments)
            } else {
                error(if authorization.is_empty() { "not_authed" } else { "invalid_auth" })
            }
        };
        match slack.plan.next(&name) {
            None => Ok(effect()),
            Some(Fault::Error(code)) => Ok(error(code)),
            Some(Fault::RateLimit(seconds)) => Ok((429, Some(seconds), error("ratelimited").2)),
            Some(Fault::Status(status)) => Ok((status, None, b"no JSON".to_vec())),
            Some(Fault::ErrorAfter(code)) => {
                effect();
                Ok(error(code))
            }
            Some(Fault::Break) => Err(broken()),
            Some(Fault::LoseAnswer) => {
                effect();
                Err(broken())
            }
            Some(Fault::HangAfter) => {
                effect();
                std::future::pending().await
            }
        }
    });
    let (status, retry_after, body) = served.await.map_err(|_| broken())??;
    let retry_after = retry_after.map(|seconds| seconds.to_string());
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    let scopes = scopes.lock().expect("not poisoned").clone();
    headers.extend(scopes.as_deref().map(|scopes| ("x-oauth-scopes", scopes)));
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    Ok(response(status, &headers, body))
}

/// The arguments in a query, all as text.
fn query(query: &str) -> Map<String, Value> {
    let decoded = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, behind @ ..] = rest {
            let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| hex::decode(hex).ok());
            match hex {
                Some(byte) => (bytes.extend(byte), rest = &behind[2..]),
                None => (bytes.push(*first), rest = behind),
            };
        }
        String::from_utf8(bytes).expect("UTF-8")
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), Value::from(decoded(value)))).collect()
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Done, if each of these arguments is a text.
fn needs(names: &[&str], arguments: &Map<String, Value>) -> Answer {
    let has = |name: &&str| arguments.get(*name).is_some_and(is_text);
    if names.iter().all(has) { json_answer(&json!({ "ok": true })) } else { error("invalid_arguments") }
}

/// Whether these are blocks of the kinds that are known here, with what Slack documents of them.
fn are_blocks(blocks: &Value) -> bool {
    let is_button = |button: &Value| {
        let text = button["text"]["text"].as_str().unwrap_or_default();
        let value = button["value"].as_str().unwrap_or_default();
        button["text"]["type"] == "plain_text"
            && (1..=75).contains(&text.chars().count())
            && (1..=2000).contains(&value.chars().count())
    };
    let is_block = |block: &Value| match block["type"].as_str() {
        Some("section") => {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            block["text"]["type"] == "mrkdwn" && (1..=3000).contains(&text.chars().count())
        }
        Some("context_actions") => block["elements"].as_array().is_some_and(|elements| {
            let is_element = |element: &Value| {
                element["type"] == "feedback_buttons"
                    && ["positive_button", "negative_button"].iter().all(|name| is_button(&element[*name]))
            };
            (1..=5).contains(&elements.len()) && elements.iter().all(is_element)
        }),
        _ => false,
    };
    blocks.as_array().is_some_and(|blocks| (1..=50).contains(&blocks.len()) && blocks.iter().all(is_block))
}

impl State {
    fn call(&mut self, method: &str, arguments: &Map<String, Value>) -> Answer {
        match method {
            "auth.test" => {
                let mut whose = json!({
                    "ok": true, "url": "https://standin.slack.com/", "team": "Stand-in", "user": "standin",
                    "team_id": self.team, "user_id": "U0STANDIN", "is_enterprise_install": false,
                });
                if self.is_bot {
                    whose["bot_id"] = json!("B0STANDIN");
                }
                json_answer(&whose)
            }
            "chat.postMessage" => self.post(arguments),
            "conversations.history" | "conversations.replies" => self.read(method, arguments),
            "chat.startStream" => self.start_stream(arguments),
            "chat.appendStream" | "chat.stopStream" | "chat.update" | "chat.delete" => {
                self.change(method, arguments)
            }
            "agents.sessions.setStatus" if !self.is_agent => error("not_authorized"),
            "agents.sessions.setStatus" | "assistant.threads.setStatus" => self.show(method, arguments),
            "assistant.threads.setTitle" => needs(&["channel_id", "thread_ts", "title"], arguments),
            "assistant.threads.setSuggestedPrompts" => match arguments.get("prompts") {
                Some(Value::Array(prompts))
                    if (1..=4).contains(&prompts.len())
                        && prompts.iter().all(|it| is_text(&it["title"]) && is_text(&it["message"])) =>
                {
                    needs(&["channel_id"], arguments)
                }
                _ => error("invalid_arguments"),
            },
            "users.info" => {
                let id = text(arguments, "user").unwrap_or_default();
                let member =
                    json!({ "id": id, "team_id": "T061EG9R6", "is_bot": false, "is_restricted": false });
                let user = self.people.get(id).cloned().unwrap_or(member);
                json_answer(&json!({ "ok": true, "user": user }))
            }
            "usergroups.users.list" => {
                let members = text(arguments, "usergroup").and_then(|group| self.groups.get(group));
                let found = members.map(|users| json_answer(&json!({ "ok": true, "users": users })));
                found.unwrap_or_else(|| error("no_such_subteam"))
            }
            "files.info" if self.lacks_files_scope => error("missing_scope"),
            "files.info" => {
                let found =
                    self.files.iter().find(|(file, _)| file["id"].as_str() == text(arguments, "file"));
                let found = found.map(|(file, _)| json!({ "ok": true, "file": file, "comments": [] }));
                found.map_or_else(|| error("file_not_found"), |found| json_answer(&found))
            }
            _ => error("unknown_method"),
        }
    }

    /// What is at the URL of a file; [`None`] if the connection is to break.
    fn download(
        &mut self,
        path: &str,
        authorization: &str,
        fault: Option<Fault>,
    ) -> Option<Response<Full<Bytes>>> {
        let asked = FileRequest { path: path.to_owned(), authorization: authorization.to_owned() };
        self.file_requests.push(asked);
        match fault {
            None => {}
            Some(Fault::Status(status)) => return Some(response(status, &[], b"".to_vec())),
            Some(_) => return None,
        }
        if let Some(url) = &self.files_redirect_to {
            return Some(response(302, &[("location", url)], b"".to_vec()));
        }
        let is_good = authorization.strip_prefix("Bearer ") == Some(&self.token);
        if !is_good || self.lacks_files_scope {
            let page = b"<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in</body></html>";
            return Some(response(200, &[("content-type", "text/html; charset=utf-8")], page.to_vec()));
        }
        let is_at = |file: &Value, name: &str| file[name].as_str().is_some_and(|url| url.ends_with(path));
        let found = self
            .files
            .iter()
            .find(|(file, _)| is_at(file, "url_private") || is_at(file, "url_private_download"));
        let Some((file, content)) = found else { return Some(response(404, &[], b"".to_vec())) };
        let mimetype = file["mimetype"].as_str().unwrap_or_default();
        Some(response(200, &[("content-type", mimetype)], content.clone()))
    }

    fn post(&mut self, arguments: &Map<String, Value>) -> Answer {
        let is_metadata = |metadata: &Value| {
            metadata["event_type"].as_str().is_some_and(|kind| !kind.is_empty())
                && metadata["event_payload"].is_object()
        };
        match (text(arguments, "channel"), text(arguments, "text")) {
            (None | Some(""), _) => return error("channel_not_found"),
            (_, None | Some("")) => return error("no_text"),
            (_, Some(text)) if text.chars().count() > 40_000 => return error("msg_too_long"),
            _ => {}
        }
        if arguments.get("metadata").is_some_and(|metadata| !is_metadata(metadata)) {
            return error("invalid_metadata_format");
        }
        if arguments.get("blocks").is_some_and(|blocks| !are_blocks(blocks)) {
            return error("invalid_blocks");
        }
        let ts = self.add(arguments, true);
        let message = self.messages.last().map(|message| shown(message, true));
        json_answer(&json!({ "ok": true, "channel": arguments["channel"], "ts": ts, "message": message }))
    }

    fn start_stream(&mut self, arguments: &Map<String, Value>) -> Answer {
        match (text(arguments, "thread_ts"), text(arguments, "recipient_user_id")) {
            (None, _) => return error("invalid_thread_ts"),
            (_, None) => return error("missing_recipient_user_id"),
            _ => {}
        }
        let ts = self.add(arguments, true);
        if let Some(message) = self.messages.last_mut() {
            message.is_written = true;
        }
        json_answer(&json!({ "ok": true, "channel": arguments["channel"], "ts": ts }))
    }

    /// Changes a message of the app's. One that is being written takes nothing but additions and its end, and one that is not
    /// takes neither.
    fn change(&mut self, method: &str, arguments: &Map<String, Value>) -> Answer {
        let ts = text(arguments, "ts").unwrap_or_default().to_owned();
        let is_it = |message: &&mut Message| message.ts == ts && message.is_own;
        let Some(message) = self.messages.iter_mut().find(is_it) else { return error("message_not_found") };
        match (method, message.is_written) {
            ("chat.appendStream", true) => match message.append(arguments) {
                Ok(()) => {}
                Err(code) => return error(code),
            },
            ("chat.stopStream", true) => {
                let has_words = ["markdown_text", "chunks"].iter().any(|name| arguments.contains_key(*name));
                match if has_words { message.append(arguments) } else { Ok(()) } {
                    Ok(()) => message.is_written = false,
                    Err(code) => return error(code),
                }
            }
            ("chat.appendStream" | "chat.stopStream", false) => {
                return error("message_not_in_streaming_state");
            }
            ("chat.update", true) => return error("streaming_state_conflict"),
            ("chat.delete", true) => return error("cant_delete_message"),
            ("chat.update", false) => match (text(arguments, "text"), arguments.get("blocks")) {
                (_, Some(blocks)) if !are_blocks(blocks) => return error("invalid_blocks"),
                (None | Some(""), _) => return error("no_text"),
                (Some(text), _) if text.chars().count() > 4000 => return error("msg_too_long"),
                (Some(text), _) => {
                    text.clone_into(&mut message.text);
                    message.metadata = arguments.get("metadata").cloned().unwrap_or_default();
                }
            },
            _ => self.messages.retain(|message| message.ts != ts),
        }
        json_answer(&json!({ "ok": true, "channel": arguments.get("channel"), "ts": ts }))
    }

    /// Slack ends the writing of a message by itself.
    fn end_writing(&mut self, ts: &str) {
        self.messages.iter_mut().filter(|it| it.ts == ts).for_each(|message| message.is_written = false);
    }

    /// Adds a message, and returns its `ts`: the time, and later than that of any other.
    fn add(&mut self, arguments: &Map<String, Value>, is_own: bool) -> String {
        let ts = format!("{}.{:06}", SystemClock.now().as_secs(), self.messages.len() + 1);
        self.messages.push(Message {
            channel: text(arguments, "channel").unwrap_or_default().to_owned(),
            thread_ts: text(arguments, "thread_ts").map(str::to_owned),
            text: text(arguments, "text").unwrap_or_default().to_owned(),
            ts: ts.clone(),
            metadata: arguments.get("metadata").cloned().unwrap_or_default(),
            is_own,
            is_written: false,
            is_in_chunks: None,
        });
        ts
    }

    /// A page: of a channel the newest messages first, of a thread the oldest, and on each page the message that began it.
    fn read(&self, method: &str, arguments: &Map<String, Value>) -> Answer {
        let (Some(channel), oldest) = (text(arguments, "channel"), text(arguments, "oldest").unwrap_or("0"))
        else {
            return error("channel_not_found");
        };
        let seconds = |ts: &str| ts.parse::<f64>().expect("a ts");
        let is_new = |message: &&Message| seconds(&message.ts) > seconds(oldest);
        let mut messages: Vec<&Message> = self.messages.iter().filter(|it| it.channel == channel).collect();
        let mut page: Vec<&Message> = Vec::new();
        if method == "conversations.history" {
            messages.retain(|message| message.thread_ts.is_none());
            messages.reverse();
        } else {
            let Some(thread) = text(arguments, "ts") else { return error("thread_not_found") };
            page.extend(messages.iter().find(|message| message.ts == thread));
            messages.retain(|message| message.thread_ts.as_deref() == Some(thread));
        }
        messages.retain(is_new);
        let begin: usize = match text(arguments, "cursor").map(|cursor| cursor.strip_prefix("page:")) {
            None => 0,
            Some(cursor) => match cursor.and_then(|begin| begin.parse().ok()) {
                Some(begin) => begin,
                None => return error("invalid_cursor"),
            },
        };
        let limit =
            arguments.get("limit").map_or("100".to_owned(), |limit| limit.to_string().replace('"', ""));
        let end = begin + limit.parse::<usize>().expect("a number").min(self.max_page);
        page.extend(messages.iter().skip(begin).take(end - begin));
        let has_more = end < messages.len();
        let with_metadata =
            arguments.get("include_all_metadata").is_some_and(|with| with == "true" || *with == true);
        let page: Vec<_> = page.into_iter().map(|message| shown(message, with_metadata)).collect();
        let cursor = if has_more { format!("page:{end}") } else { String::new() };
        json_answer(&json!({
            "ok": true, "messages": page, "has_more": has_more,
            "response_metadata": { "next_cursor": cursor },
        }))
    }

    fn show(&mut self, method: &str, arguments: &Map<String, Value>) -> Answer {
        let argument = |name| text(arguments, name).map(str::to_owned);
        let (Some(channel), Some(thread_ts), Some(status)) =
            (argument("channel_id"), argument("thread_ts"), argument("status"))
        else {
            return error("invalid_arguments");
        };
        const STATUSES: [&str; 4] = ["active", "processing", "suspended", "closed"];
        let is_short = text(arguments, "title").is_none_or(|title| title.chars().count() <= 200);
        if method.starts_with("agents.") && !(is_short && STATUSES.contains(&status.as_str())) {
            return error("invalid_arguments");
        }
        self.statuses.push(Status { method: method.to_owned(), channel, thread_ts, status });
        json_answer(&json!({ "ok": true }))
    }

    fn respond(&mut self, url: &str, arguments: &Map<String, Value>) -> Answer {
        if self.responded.iter().filter(|responded| responded.url == url).count() == RESPONSES {
            return (404, None, br#"{"ok":false,"error":"used_url"}"#.to_vec());
        }
        if text(arguments, "text").is_none_or(str::is_empty) {
            return (500, None, b"no_text".to_vec());
        }
        self.responded.push(Responded { url: url.to_owned(), body: Value::from(arguments.clone()) });
        (200, None, b"ok".to_vec())
    }
}

/// A message as Slack shows it to an app.
fn shown(message: &Message, with_metadata: bool) -> Value {
    let mut shown = json!({ "type": "message", "text": message.text, "ts": message.ts });
    if message.is_own {
        shown["bot_id"] = json!("B0STANDIN");
        shown["app_id"] = json!("A0STANDIN");
    } else {
        shown["user"] = json!("U0SOMEBODY");
    }
    if let Some(thread_ts) = &message.thread_ts {
        shown["thread_ts"] = json!(thread_ts);
    }
    if with_metadata && !message.metadata.is_null() {
        shown["metadata"] = message.metadata.clone();
    }
    shown
}
