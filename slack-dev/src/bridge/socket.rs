//! One WebSocket connection: takes envelopes, sends acknowledgements, pings Slack, and notices when Slack is gone.

use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::api::{OpenError, SocketUrl};
use super::envelope::{Acknowledgement, DisconnectReason, Envelope, Frame};
use super::outcome_counts::log;
use super::{Bridge, Stop};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type OnStop = Arc<dyn Fn(Stop) + Send + Sync>;

/// How long connecting may take: TCP, TLS and the upgrade to a WebSocket.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A connection is given up if nothing is received for this many pings.
const PINGS_MISSED: u32 = 3;
/// A retired connection is closed when it has received nothing for this long. Slack may have sent a command on it before it knew
/// of the new connection, and Slack does not repeat a command.
const QUIET_BEFORE_CLOSE: Duration = Duration::from_millis(500);
/// A retired connection takes no envelopes after this, even if they keep coming.
const TAKING_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait for Slack's answer to a close, which does not always come.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// A connection that was open for this long counts as a success, as does one that has acknowledged an envelope.
const LASTED: Duration = Duration::from_secs(30);

/// What a connection reports to its supervisor.
#[derive(Debug)]
pub(super) enum ConnectionEvent {
    /// Slack will end the connection soon, for this reason. It takes envelopes until then.
    WillEnd(&'static str),
    /// Socket Mode was switched off for the app: no other connection can be opened.
    SocketModeDisabled,
    /// The connection has ended, for this reason.
    Lost(String),
}

/// The supervisor's handle of an open connection.
pub(super) struct ConnectionHandle {
    events: mpsc::UnboundedReceiver<ConnectionEvent>,
    retire: oneshot::Sender<()>,
    opened: Instant,
    has_acknowledged: Arc<AtomicBool>,
}

impl ConnectionHandle {
    /// Connects, waits for Slack's hello, and starts the task that serves the connection.
    ///
    /// `on_stop` is called if the bridge must stop. The task holds `running` until everything that it took is confirmed.
    pub(super) async fn open(
        url: SocketUrl,
        ping: Duration,
        bridge: Arc<Bridge>,
        on_stop: impl Fn(Stop) + Send + Sync + 'static,
        stopped: watch::Receiver<Option<Stop>>,
        running: mpsc::Sender<()>,
    ) -> Result<Self, OpenError> {
        // `true` sends each frame at once: acknowledgements are small, and Slack waits for them.
        let connecting = connect_async_with_config(url.as_str(), None, true);
        let (mut socket, _) = timeout(CONNECT_LIMIT, connecting)
            .await
            .map_err(|_| OpenError::later(format!("no WebSocket within {CONNECT_LIMIT:?}")))?
            .map_err(|error| OpenError::later(reason(&error)))?;
        let silence = ping * PINGS_MISSED;
        let first_envelope = timeout(silence, hello(&mut socket))
            .await
            .map_err(|_| OpenError::later(format!("no hello within {silence:?}")))??;
        let (to_handle, events) = mpsc::unbounded_channel();
        let (retire, retired) = oneshot::channel();
        let has_acknowledged = Arc::new(AtomicBool::new(false));
        let connection = Connection {
            socket,
            bridge,
            on_stop: Arc::new(on_stop),
            events: to_handle,
            has_acknowledged: Arc::clone(&has_acknowledged),
            ping,
            silence,
            last_heard: Instant::now(),
            handlers: JoinSet::new(),
            under_way: 0,
            is_taking: true,
        };
        tokio::spawn(connection.run(first_envelope, retired, stopped, running));
        Ok(Self { events, retire, opened: Instant::now(), has_acknowledged })
    }

    pub(super) async fn next_event(&mut self) -> ConnectionEvent {
        self.events.recv().await.unwrap_or_else(|| ConnectionEvent::Lost("it ended".to_owned()))
    }

    /// Closes the connection, because another one has taken its place, once every envelope that it took is acknowledged and no
    /// more envelopes come.
    pub(super) fn retire(self) {
        // Nobody receives this if the connection has ended by itself.
        let _ = self.retire.send(());
    }

    pub(super) fn has_lasted(&self) -> bool {
        self.has_acknowledged.load(Ordering::Relaxed) || self.opened.elapsed() >= LASTED
    }
}

/// Reads frames until Slack's hello. An envelope in its place counts as the hello, and is returned.
async fn hello(socket: &mut Socket) -> Result<Option<Envelope>, OpenError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match Frame::parse(&text) {
                Frame::Hello => return Ok(None),
                Frame::Envelope(envelope) => return Ok(Some(envelope)),
                Frame::Disconnect(DisconnectReason::SocketModeDisabled) => {
                    return Err(OpenError::Final(
                        "Socket Mode is switched off for this app (link_disabled)".to_owned(),
                    ));
                }
                Frame::Disconnect(DisconnectReason::ConnectionWillEnd(name)) => {
                    return Err(OpenError::later(format!("Slack said {name} before hello")));
                }
                Frame::Disconnect(DisconnectReason::Other(name)) => {
                    return Err(OpenError::later(format!("Slack ended it: {name}")));
                }
                Frame::Unknown => {}
            },
            Some(Ok(Message::Close(_))) | None => return Err(OpenError::later("it was closed before hello")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(OpenError::later(reason(&error))),
        }
    }
}

/// Describes an error of the WebSocket without the address and without the content of frames. Of a refused upgrade it gives only
/// the status.
fn reason(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            format!("the WebSocket was refused with {}", response.status().as_u16())
        }
        tungstenite::Error::Url(_) => "the address that Slack gave is not that of a WebSocket".to_owned(),
        // The text of these errors has their cause already.
        error => error.to_string(),
    }
}

async fn stop_asked_for(stopped: &mut watch::Receiver<Option<Stop>>) {
    // An error means that the supervisor is gone, which ends the connection too.
    let _ = stopped.wait_for(Option::is_some).await;
}

/// An open connection and the envelopes that it has taken.
struct Connection {
    socket: Socket,
    bridge: Arc<Bridge>,
    on_stop: OnStop,
    events: mpsc::UnboundedSender<ConnectionEvent>,
    has_acknowledged: Arc<AtomicBool>,
    ping: Duration,
    silence: Duration,
    /// When the last frame was received, a pong included.
    last_heard: Instant,
    handlers: JoinSet<()>,
    /// The number of envelopes that were taken and for which it is not yet decided whether they are acknowledged.
    under_way: usize,
    /// Whether new envelopes are taken.
    is_taking: bool,
}

/// Why a connection is no longer served.
enum End {
    /// No envelope is under way, and no more are to be taken.
    Done,
    Lost(String),
}

/// Passes the acknowledgement of one envelope to its connection. If it is dropped unused, because the handler panicked, it passes
/// [`Acknowledgement::Withhold`], so that the connection does not wait for ever.
struct Reply(Option<mpsc::UnboundedSender<Acknowledgement>>);

impl Reply {
    fn send(mut self, acknowledgement: Acknowledgement) {
        if let Some(replies) = self.0.take() {
            // If the connection is gone, Slack sends the envelope again.
            let _ = replies.send(acknowledgement);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(replies) = self.0.take() {
            let _ = replies.send(Acknowledgement::Withhold { sink_failed: false });
        }
    }
}

impl Connection {
    async fn run(
        mut self,
        first_envelope: Option<Envelope>,
        retired: oneshot::Receiver<()>,
        stopped: watch::Receiver<Option<Stop>>,
        running: mpsc::Sender<()>,
    ) {
        match self.serve(first_envelope, retired, stopped).await {
            End::Done => self.close().await,
            End::Lost(reason) => {
                if self.under_way > 0 {
                    log(&format!(
                        "{} under way cannot be acknowledged any more: Slack sends them again",
                        self.under_way
                    ));
                }
                // Nobody receives this if the connection was retired.
                let _ = self.events.send(ConnectionEvent::Lost(reason));
            }
        }
        while self.handlers.join_next().await.is_some() {}
        drop(running);
    }

    async fn serve(
        &mut self,
        first_envelope: Option<Envelope>,
        mut retired: oneshot::Receiver<()>,
        mut stopped: watch::Receiver<Option<Stop>>,
    ) -> End {
        let (replies, mut to_send) = mpsc::unbounded_channel::<Acknowledgement>();
        let mut ticks = interval(self.ping);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Once the connection is retired: when it is closed if nothing comes, and until when it takes envelopes.
        let mut leaving: Option<(Instant, Instant)> = None;
        let mut may_retire = true;
        if let Some(envelope) = first_envelope {
            self.take(envelope, &replies);
        }
        loop {
            let is_idle = self.under_way == 0;
            let leave_at = leaving.map(|(quiet_at, _)| quiet_at);
            if is_idle && (!self.is_taking || leave_at.is_some_and(|at| Instant::now() >= at)) {
                return End::Done;
            }
            tokio::select! {
                frame = self.socket.next() => {
                    self.last_heard = Instant::now();
                    let text = match frame {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_))) | None => return End::Lost("Slack closed it".to_owned()),
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return End::Lost(reason(&error)),
                    };
                    match Frame::parse(&text) {
                        Frame::Envelope(envelope) => {
                            if let Some((quiet_at, last)) = &mut leaving {
                                *quiet_at = Instant::now() + QUIET_BEFORE_CLOSE;
                                self.is_taking &= Instant::now() < *last;
                            }
                            self.take(envelope, &replies);
                        }
                        Frame::Disconnect(DisconnectReason::ConnectionWillEnd(name)) => drop(self.events.send(ConnectionEvent::WillEnd(name))),
                        Frame::Disconnect(DisconnectReason::SocketModeDisabled) => drop(self.events.send(ConnectionEvent::SocketModeDisabled)),
                        Frame::Disconnect(DisconnectReason::Other(name)) => return End::Lost(format!("Slack ended it: {name}")),
                        Frame::Hello => {}
                        Frame::Unknown => log("warning: passed over a frame that is none of Slack's"),
                    }
                }
                Some(acknowledgement) = to_send.recv() => {
                    self.under_way -= 1;
                    if let Acknowledgement::Send(text) = acknowledgement {
                        if let Err(reason) = self.send(Message::text(text)).await {
                            return End::Lost(reason);
                        }
                        self.has_acknowledged.store(true, Ordering::Relaxed);
                    }
                }
                _ = ticks.tick() => {
                    if self.last_heard.elapsed() >= self.silence {
                        return End::Lost(format!("nothing was heard for {:?}", self.silence));
                    }
                    if let Err(reason) = self.send(Message::Ping(Bytes::new())).await {
                        return End::Lost(reason);
                    }
                }
                is_retired = &mut retired, if may_retire => {
                    may_retire = false;
                    if is_retired.is_ok() {
                        leaving = Some((Instant::now() + QUIET_BEFORE_CLOSE, Instant::now() + TAKING_LIMIT));
                    }
                }
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if is_idle && leave_at.is_some() => {}
                () = stop_asked_for(&mut stopped), if self.is_taking => self.is_taking = false,
                Some(_) = self.handlers.join_next(), if !self.handlers.is_empty() => {}
            }
        }
    }

    /// Starts to handle an envelope. If no more envelopes are taken it does nothing, and Slack sends the envelope again.
    fn take(&mut self, envelope: Envelope, replies: &mpsc::UnboundedSender<Acknowledgement>) {
        if !self.is_taking {
            return;
        }
        self.under_way += 1;
        let reply = Reply(Some(replies.clone()));
        let (bridge, on_stop) = (Arc::clone(&self.bridge), Arc::clone(&self.on_stop));
        let is_blocking = bridge.writes_to_stdout;
        let handle = async move {
            if let Some(stop) =
                bridge.handle(envelope, move |acknowledgement| reply.send(acknowledgement)).await
            {
                on_stop(stop);
            }
        };
        if is_blocking {
            // Whoever reads standard output may stop reading, as `less` does. The handler then blocks, and the pings go on.
            let runtime = tokio::runtime::Handle::current();
            self.handlers.spawn_blocking(move || runtime.block_on(handle));
        } else {
            self.handlers.spawn(handle);
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        match timeout(self.silence, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| reason(&error)),
            Err(_) => Err(format!("it took nothing for {:?}", self.silence)),
        }
    }

    async fn close(&mut self) {
        let closing = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(CLOSE_LIMIT, closing).await;
    }
}
