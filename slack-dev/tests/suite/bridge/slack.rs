//! A stand-in for Slack's side of Socket Mode: `apps.connections.open` over HTTP, and the WebSockets behind it.
//!
//! It behaves as Slack's documentation says. Each address is valid for one connection. A delivery that is not acknowledged is sent
//! again on any open connection: an event in a new envelope with the number of its retry, a command or an interaction in the same
//! envelope. No document says that Slack repeats commands and interactions; the stand-in does, to test how the bridge recognises
//! them. Unlike Slack it repeats after one second and without end.

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use test_support::http::{accept, listen, response, serve};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Upgrade, Response as Upgraded,
};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) const TOKEN: &str = "xapp-1-A0F7YS25R-the-app-level-token";
const TICK: Duration = Duration::from_millis(10);
/// A delivery that is not acknowledged for this long is sent again.
const REPEAT: Duration = Duration::from_secs(1);
/// A step of a script that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// A step of the stand-in on one connection. After the last step of its script the connection delivers everything that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScriptStep {
    Hello,
    /// Sends this delivery's envelope.
    Deliver(usize),
    /// Sends the first half of the frame with this delivery's envelope.
    DeliverHalf(usize),
    /// Reads until this delivery is acknowledged.
    ReadUntilAcknowledged(usize),
    /// Waits, reading nothing, until this delivery's line is on the sink.
    WaitForLine(usize),
    /// Waits until there is something to read, and does not read it.
    WaitForUnread,
    /// Sends a `disconnect` with this reason.
    Disconnect(&'static str),
    /// Waits, reading nothing, until this many connections have been opened, including this one.
    WaitForConnections(usize),
    /// Reads for this many milliseconds.
    Read(u64),
    /// Reads nothing, and thus answers no ping, until the limit of a step.
    ReadNothing,
    /// Reads until the bridge closes it.
    ReadUntilClosed,
    /// Ends the TCP connection without closing the WebSocket.
    Cut,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    kind: &'static str,
    payload: Value,
    /// A text by which its line on the sink is found.
    pub(crate) mark: String,
    accepts_response_payload: bool,
    attempt: u32,
    envelope_ids: Vec<String>,
    sent: Option<(usize, Instant)>,
    pub(crate) acknowledged: Option<Acknowledged>,
}

impl Delivery {
    pub(crate) fn was_sent(&self) -> bool {
        self.sent.is_some()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) connection: usize,
    pub(crate) at: Instant,
    pub(crate) frame: Value,
    /// Whether its line was on the sink by then, if the sink is a file.
    pub(crate) was_on_sink: bool,
    pub(crate) attempt: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) hello: Option<Instant>,
    /// When the bridge closed the WebSocket.
    pub(crate) closed: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    /// Whether a `disconnect` was sent, after which only the script sends on it.
    leaving: bool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) connections: Vec<Connection>,
    scripts: VecDeque<Vec<ScriptStep>>,
    /// The next answers of `apps.connections.open`. When they are used up it gives addresses.
    refusals: VecDeque<(u16, Value, Option<u64>)>,
    pub(crate) asked: Vec<Instant>,
    tickets: BTreeMap<String, bool>,
    pub(crate) problems: Vec<String>,
    scheme: &'static str,
}

#[derive(Clone)]
pub(crate) struct Slack {
    pub(crate) api: String,
    socket_port: u16,
    sink: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Slack {
    /// Starts the stand-in. When a delivery is acknowledged it looks for the delivery's line in the file `sink`.
    pub(crate) async fn start(sink: PathBuf) -> Self {
        let ((api, api_address), (sockets, sockets_address)) = (listen().await, listen().await);
        let slack = Self {
            api: format!("http://{api_address}/api"),
            socket_port: sockets_address.port(),
            sink,
            state: Arc::new(Mutex::new(State { scheme: "ws", ..State::default() })),
        };
        let (for_api, for_sockets) = (slack.clone(), slack.clone());
        tokio::spawn(serve(api, move |request| {
            let answer = for_api.open(&request);
            async { Ok::<_, Infallible>(answer) }
        }));
        tokio::spawn(accept(sockets, move |stream| for_sockets.clone().connection(stream)));
        slack
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets the scripts of the next connections.
    pub(crate) fn script(&self, scripts: impl IntoIterator<Item = Vec<ScriptStep>>) {
        self.state().scripts.extend(scripts);
    }

    /// Answers the next call of `apps.connections.open` like this.
    pub(crate) fn refuse(&self, status: u16, body: Value, retry_after: Option<u64>) {
        self.state().refusals.push_back((status, body, retry_after));
    }

    /// Gives addresses with this scheme from now on.
    pub(crate) fn with_scheme(&self, scheme: &'static str) {
        self.state().scheme = scheme;
    }

    /// Adds a delivery, and returns its number.
    pub(crate) fn add_delivery(&self, kind: &'static str, payload: Value, mark: &str) -> usize {
        let mut state = self.state();
        state.deliveries.push(Delivery {
            kind,
            payload,
            mark: mark.to_owned(),
            accepts_response_payload: kind != "events_api",
            attempt: 0,
            envelope_ids: Vec::new(),
            sent: None,
            acknowledged: None,
        });
        state.deliveries.len() - 1
    }

    /// The ids of all envelopes in which the delivery was sent so far.
    pub(crate) fn envelope_ids(&self, number: usize) -> Vec<String> {
        self.state().deliveries[number].envelope_ids.clone()
    }

    pub(crate) fn acknowledged(&self, number: usize) -> Option<Acknowledged> {
        self.state().deliveries[number].acknowledged.clone()
    }

    /// Waits until `is_so` returns true. If it never does, fails with `what`.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let start = Instant::now();
        while !is_so(&self.state()) {
            assert!(start.elapsed() < LIMIT, "never: {what}; {:?}", self.state().problems);
            sleep(TICK).await;
        }
    }

    pub(crate) async fn until_all_acknowledged(&self) {
        self.until("all acknowledged", |state| state.deliveries.iter().all(|one| one.acknowledged.is_some()))
            .await;
    }

    /// Answers a call of `apps.connections.open`.
    fn open(&self, request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let mut state = self.state();
        state.asked.push(Instant::now());
        let answer = |status: u16, body: &Value, retry_after: Option<u64>| {
            let seconds = retry_after.map(|seconds| seconds.to_string());
            let headers: Vec<_> = seconds.iter().map(|seconds| ("retry-after", seconds.as_str())).collect();
            response(status, &headers, body.to_string())
        };
        let is_authorised = request
            .headers()
            .get(AUTHORIZATION)
            .is_some_and(|value| value.as_bytes() == format!("Bearer {TOKEN}").as_bytes());
        if (request.method().as_str(), request.uri().path()) != ("POST", "/api/apps.connections.open") {
            state.problems.push(format!("{} {}", request.method(), request.uri().path()));
        }
        if !is_authorised {
            return answer(200, &json!({ "ok": false, "error": "invalid_auth" }), None);
        }
        if let Some((status, body, retry_after)) = state.refusals.pop_front() {
            return answer(status, &body, retry_after);
        }
        let ticket = format!("ticket-{}", state.tickets.len());
        state.tickets.insert(ticket.clone(), false);
        let url = format!(
            "{}://127.0.0.1:{}/link/?ticket={ticket}&app_id=A0F7YS25R",
            state.scheme, self.socket_port
        );
        answer(200, &json!({ "ok": true, "url": url }), None)
    }

    #[allow(clippy::result_large_err, reason = "the library's own type")]
    async fn connection(self, stream: TcpStream) {
        let state = Arc::clone(&self.state);
        let check = |upgrade: &Upgrade, response: Upgraded| -> Result<Upgraded, ErrorResponse> {
            let ticket = upgrade
                .uri()
                .query()
                .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("ticket=")));
            let mut state = state.lock().unwrap();
            match ticket.and_then(|ticket| state.tickets.get_mut(ticket)) {
                Some(used) if !*used => {
                    *used = true;
                    Ok(response)
                }
                _ => {
                    state.problems.push("a ticket that was never given, or given up already".to_owned());
                    Err(Response::builder().status(403).body(None).unwrap())
                }
            }
        };
        let Ok(mut socket) = accept_hdr_async(stream, check).await else { return };
        let (number, script) = {
            let mut state = self.state();
            state.connections.push(Connection::default());
            (
                state.connections.len() - 1,
                state.scripts.pop_front().unwrap_or_else(|| vec![ScriptStep::Hello]),
            )
        };
        let done = self.play(&mut socket, number, &script).await;
        if done.is_some() {
            self.serve(&mut socket, number).await;
        }
        self.state().connections[number].ended = Some(Instant::now());
    }

    /// Runs a script. Returns [`None`] when the connection has ended.
    async fn play(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        number: usize,
        script: &[ScriptStep],
    ) -> Option<()> {
        for step in script {
            let start = Instant::now();
            let late = |what: &str| {
                if start.elapsed() > LIMIT {
                    self.state().problems.push(format!("connection {number}, {step:?}: never {what}"));
                }
                start.elapsed() > LIMIT
            };
            match *step {
                ScriptStep::Hello => {
                    let hello = json!({
                        "type": "hello", "num_connections": 1, "connection_info": { "app_id": "A0F7YS25R" },
                        "debug_info": { "host": "applink-1", "build_number": 10, "approximate_connection_time": 18060 },
                    });
                    socket.send(Message::text(hello.to_string())).await.ok()?;
                    self.state().connections[number].hello = Some(Instant::now());
                }
                ScriptStep::Deliver(which) => self.deliver(socket, number, which).await?,
                ScriptStep::DeliverHalf(which) => {
                    let frame = self.envelope(number, which);
                    let length = u16::try_from(frame.len()).unwrap();
                    let mut bytes = vec![0x81, 126];
                    bytes.extend(length.to_be_bytes());
                    bytes.extend(&frame.as_bytes()[..frame.len() / 2]);
                    socket.get_mut().write_all(&bytes).await.ok()?;
                    sleep(TICK).await;
                }
                ScriptStep::ReadUntilAcknowledged(which) => {
                    while self.acknowledged(which).is_none() && !late("acknowledged") {
                        self.read(socket, number, TICK).await?;
                    }
                }
                ScriptStep::WaitForLine(which) => {
                    while !self.is_on_sink(which) && !late("on the sink") {
                        sleep(TICK).await;
                    }
                }
                ScriptStep::WaitForUnread => {
                    socket.get_mut().peek(&mut [0]).await.ok()?;
                    sleep(TICK * 5).await;
                }
                ScriptStep::Disconnect(reason) => {
                    self.state().connections[number].leaving = true;
                    let frame = json!({ "type": "disconnect", "reason": reason, "debug_info": { "host": "applink-1" } });
                    socket.send(Message::text(frame.to_string())).await.ok()?;
                }
                ScriptStep::WaitForConnections(count) => {
                    while self.hellos() < count && !late("opened") {
                        sleep(TICK).await;
                    }
                }
                ScriptStep::Read(millis) => {
                    while start.elapsed() < Duration::from_millis(millis) {
                        self.read(socket, number, TICK).await?;
                    }
                }
                ScriptStep::ReadNothing => {
                    sleep(LIMIT).await;
                    return None;
                }
                ScriptStep::ReadUntilClosed => {
                    while !late("closed") {
                        self.read(socket, number, TICK).await?;
                    }
                }
                ScriptStep::Cut => return None,
            }
        }
        Some(())
    }

    /// Sends every delivery that is due, until the connection ends.
    async fn serve(&self, socket: &mut WebSocketStream<TcpStream>, number: usize) {
        loop {
            let due = {
                let state = self.state();
                let is_due = |one: &Delivery| {
                    one.acknowledged.is_none()
                        && one.sent.is_none_or(|(on, at)| {
                            state.connections[on].ended.is_some() || at.elapsed() > REPEAT
                        })
                };
                let may_send = !state.connections[number].leaving;
                may_send.then(|| state.deliveries.iter().position(is_due)).flatten()
            };
            let alive = match due {
                Some(which) => self.deliver(socket, number, which).await,
                None => self.read(socket, number, TICK).await,
            };
            if alive.is_none() {
                return;
            }
        }
    }

    async fn deliver(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        number: usize,
        which: usize,
    ) -> Option<()> {
        let frame = self.envelope(number, which);
        socket.send(Message::text(frame)).await.ok()
    }

    /// Makes the next envelope of a delivery, for this connection.
    fn envelope(&self, number: usize, which: usize) -> String {
        let mut state = self.state();
        let delivery = &mut state.deliveries[which];
        let is_event = delivery.kind == "events_api";
        if delivery.sent.is_some() {
            delivery.attempt += 1;
        }
        delivery.sent = Some((number, Instant::now()));
        let id = match delivery.envelope_ids.last() {
            Some(id) if !is_event => id.clone(),
            _ => format!("{which:08}-0000-4000-8000-{:012}", delivery.attempt),
        };
        delivery.envelope_ids.push(id.clone());
        let mut envelope = json!({
            "envelope_id": id, "type": delivery.kind, "payload": delivery.payload,
            "accepts_response_payload": delivery.accepts_response_payload,
        });
        if is_event {
            envelope["retry_attempt"] = json!(delivery.attempt);
            envelope["retry_reason"] = json!(if delivery.attempt == 0 { "" } else { "timeout" });
        }
        envelope.to_string()
    }

    /// Reads one message, or waits for `limit`. Returns [`None`] when the connection has ended.
    async fn read(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        number: usize,
        limit: Duration,
    ) -> Option<()> {
        match tokio::time::timeout(limit, socket.next()).await {
            Err(_) => Some(()),
            Ok(Some(Ok(Message::Text(text)))) => {
                self.take(number, &text);
                Some(())
            }
            Ok(Some(Ok(Message::Close(_)))) => {
                self.state().connections[number].closed = Some(Instant::now());
                // Reading on answers the close.
                let _ = socket.next().await;
                None
            }
            Ok(Some(Ok(_))) => Some(()),
            Ok(Some(Err(_)) | None) => None,
        }
    }

    fn take(&self, number: usize, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let id = frame["envelope_id"].as_str().unwrap_or_default().to_owned();
        let which = self.state().deliveries.iter().position(|one| one.envelope_ids.contains(&id));
        let Some(which) = which else {
            return self.state().problems.push(format!("acknowledged what was never sent: {text}"));
        };
        let was_on_sink = self.is_on_sink(which);
        let delivery = &mut self.state().deliveries[which];
        delivery.acknowledged.get_or_insert(Acknowledged {
            connection: number,
            at: Instant::now(),
            frame,
            was_on_sink,
            attempt: delivery.attempt,
        });
    }

    fn hellos(&self) -> usize {
        self.state().connections.iter().filter(|one| one.hello.is_some()).count()
    }

    fn is_on_sink(&self, which: usize) -> bool {
        let mark = self.state().deliveries[which].mark.clone();
        std::fs::read_to_string(&self.sink).is_ok_and(|lines| lines.contains(&mark))
    }
}
