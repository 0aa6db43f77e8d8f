//! A stand-in for Slack's side of Socket Mode: `apps.connections.open` over HTTP, and the WebSockets behind it.
//!
//! It does what the documentation says that Slack does: each address is good for one connection; what is not
//! acknowledged is sent again, on whichever connection is open, an event in a new envelope with its retry counted, a
//! command or an interaction in the same one. (Of those two no document says that they are sent again at all; here they
//! are, so that the bridge's own key is put to the test.) It repeats after a second and without end, which Slack does not.

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
/// What was sent and not acknowledged for so long is sent again.
const REPEAT: Duration = Duration::from_secs(1);
/// A step of a script that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// What a connection does, in this order; after the last step it serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Hello,
    /// Sends this delivery's envelope.
    Deliver(usize),
    /// Sends the first half of its frame.
    Half(usize),
    /// Reads until this delivery is acknowledged.
    Ack(usize),
    /// Waits, reading nothing, until this delivery's line is on the sink.
    Line(usize),
    /// Waits, reading nothing, until there is something to read after what was read.
    Unread,
    /// Says that the connection will end, or that there is to be none.
    Disconnect(&'static str),
    /// Waits, reading nothing, until so many connections have been opened, this one counted.
    Opened(usize),
    /// Reads for so many milliseconds.
    Read(u64),
    /// Reads nothing, answers no ping.
    Deaf,
    /// Reads until the bridge closes it.
    Closed,
    /// The TCP connection ends without a close.
    Cut,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    kind: &'static str,
    payload: Value,
    /// What its line on the sink has in it.
    pub(crate) mark: String,
    accepts_response_payload: bool,
    attempt: u32,
    envelope_ids: Vec<String>,
    sent: Option<(usize, Instant)>,
    pub(crate) acknowledged: Option<Acknowledged>,
}

impl Delivery {
    pub(crate) fn sent_once(&self) -> bool {
        self.sent.is_some()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) connection: usize,
    pub(crate) at: Instant,
    pub(crate) frame: Value,
    /// Whether its line was on the sink by then, where that is a file.
    pub(crate) was_on_sink: bool,
    pub(crate) attempt: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) hello: Option<Instant>,
    /// When the bridge's close came.
    pub(crate) closed: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    /// No more is sent on it of itself.
    leaving: bool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) connections: Vec<Connection>,
    scripts: VecDeque<Vec<Step>>,
    /// Answers of `apps.connections.open`, before it gives addresses.
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
    /// One that looks into `sink` for the lines when something is acknowledged.
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

    /// The scripts of the first connections.
    pub(crate) fn script(&self, scripts: impl IntoIterator<Item = Vec<Step>>) {
        self.state().scripts.extend(scripts);
    }

    /// The next calls are answered like this.
    pub(crate) fn refuse(&self, status: u16, body: Value, retry_after: Option<u64>) {
        self.state().refusals.push_back((status, body, retry_after));
    }

    /// Gives addresses with this scheme.
    pub(crate) fn with_scheme(&self, scheme: &'static str) {
        self.state().scheme = scheme;
    }

    /// Something to be delivered; its number.
    pub(crate) fn has(&self, kind: &'static str, payload: Value, mark: &str) -> usize {
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

    /// Its envelopes' ids so far.
    pub(crate) fn envelope_ids(&self, number: usize) -> Vec<String> {
        self.state().deliveries[number].envelope_ids.clone()
    }

    pub(crate) fn acknowledged(&self, number: usize) -> Option<Acknowledged> {
        self.state().deliveries[number].acknowledged.clone()
    }

    /// Waits until `is_so`, and says what was waited for if it never is.
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

    /// `apps.connections.open`
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
            (state.connections.len() - 1, state.scripts.pop_front().unwrap_or_else(|| vec![Step::Hello]))
        };
        let done = self.play(&mut socket, number, &script).await;
        if done.is_some() {
            self.serve(&mut socket, number).await;
        }
        self.state().connections[number].ended = Some(Instant::now());
    }

    /// [`None`] when the connection is over.
    async fn play(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        number: usize,
        script: &[Step],
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
                Step::Hello => {
                    let hello = json!({
                        "type": "hello", "num_connections": 1, "connection_info": { "app_id": "A0F7YS25R" },
                        "debug_info": { "host": "applink-1", "build_number": 10, "approximate_connection_time": 18060 },
                    });
                    socket.send(Message::text(hello.to_string())).await.ok()?;
                    self.state().connections[number].hello = Some(Instant::now());
                }
                Step::Deliver(which) => self.deliver(socket, number, which).await?,
                Step::Half(which) => {
                    let frame = self.envelope(number, which);
                    let length = u16::try_from(frame.len()).unwrap();
                    let mut bytes = vec![0x81, 126];
                    bytes.extend(length.to_be_bytes());
                    bytes.extend(&frame.as_bytes()[..frame.len() / 2]);
                    socket.get_mut().write_all(&bytes).await.ok()?;
                    sleep(TICK).await;
                }
                Step::Ack(which) => {
                    while self.acknowledged(which).is_none() && !late("acknowledged") {
                        self.read(socket, number, TICK).await?;
                    }
                }
                Step::Line(which) => {
                    while !self.is_on_sink(which) && !late("on the sink") {
                        sleep(TICK).await;
                    }
                }
                Step::Unread => {
                    socket.get_mut().peek(&mut [0]).await.ok()?;
                    sleep(TICK * 5).await;
                }
                Step::Disconnect(reason) => {
                    self.state().connections[number].leaving = true;
                    let frame = json!({ "type": "disconnect", "reason": reason, "debug_info": { "host": "applink-1" } });
                    socket.send(Message::text(frame.to_string())).await.ok()?;
                }
                Step::Opened(count) => {
                    while self.hellos() < count && !late("opened") {
                        sleep(TICK).await;
                    }
                }
                Step::Read(millis) => {
                    while start.elapsed() < Duration::from_millis(millis) {
                        self.read(socket, number, TICK).await?;
                    }
                }
                Step::Deaf => {
                    sleep(LIMIT).await;
                    return None;
                }
                Step::Closed => {
                    while !late("closed") {
                        self.read(socket, number, TICK).await?;
                    }
                }
                Step::Cut => return None,
            }
        }
        Some(())
    }

    /// Sends what is due, until the connection is over.
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

    /// The next envelope of a delivery, for this connection.
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

    /// Reads for a while. [`None`] when the connection is over.
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
                // Answers the close.
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
