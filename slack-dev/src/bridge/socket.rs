//! One connection: takes envelopes, acknowledges, answers pings, notices when nobody is there any more.

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
use super::envelope::{Ack, Envelope, Frame, Reason};
use super::tally::say;
use super::{Bridge, Stop};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type OnStop = Arc<dyn Fn(Stop) + Send + Sync>;

/// For TCP, TLS and the upgrade.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// This many pings without a sign of life, and the connection is dead.
const PINGS_MISSED: u32 = 3;
/// A retired connection is closed when nothing has come for this long: Slack does not repeat a command, and may have
/// sent one before it knew of the other connection.
const QUIET: Duration = Duration::from_millis(500);
/// But this is the last moment to take something from it.
const TAKING_LIMIT: Duration = Duration::from_secs(30);
/// Slack does not always answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// One that was open for so long, or has acknowledged something, was not refused.
const LASTED: Duration = Duration::from_secs(30);

/// What there is to know about a connection.
#[derive(Debug)]
pub(super) enum News {
    /// It will end soon, and takes deliveries until then.
    Refresh(&'static str),
    /// There is to be no other.
    Disabled,
    /// It is over.
    Lost(String),
}

/// The handle of an open connection.
pub(super) struct Link {
    news: mpsc::UnboundedReceiver<News>,
    retire: oneshot::Sender<()>,
    opened: Instant,
    has_acknowledged: Arc<AtomicBool>,
}

impl Link {
    /// Connects, and waits until Slack has said hello.
    pub(super) async fn open(
        url: SocketUrl,
        ping: Duration,
        bridge: Arc<Bridge>,
        on_stop: impl Fn(Stop) + Send + Sync + 'static,
        stopped: watch::Receiver<Option<Stop>>,
        running: mpsc::Sender<()>,
    ) -> Result<Self, OpenError> {
        // Acknowledgements are small, and Slack waits for them.
        let connecting = connect_async_with_config(url.as_str(), None, true);
        let (mut socket, _) = timeout(CONNECT_LIMIT, connecting)
            .await
            .map_err(|_| OpenError::later(format!("no WebSocket within {CONNECT_LIMIT:?}")))?
            .map_err(|error| OpenError::later(reason(&error)))?;
        let silence = ping * PINGS_MISSED;
        let first = timeout(silence, hello(&mut socket))
            .await
            .map_err(|_| OpenError::later(format!("no hello within {silence:?}")))??;
        let (to_link, news) = mpsc::unbounded_channel();
        let (retire, retired) = oneshot::channel();
        let has_acknowledged = Arc::new(AtomicBool::new(false));
        let connection = Connection {
            socket,
            bridge,
            on_stop: Arc::new(on_stop),
            news: to_link,
            has_acknowledged: Arc::clone(&has_acknowledged),
            ping,
            silence,
            heard: Instant::now(),
            handling: JoinSet::new(),
            under_way: 0,
            taking: true,
        };
        tokio::spawn(connection.run(first, retired, stopped, running));
        Ok(Self { news, retire, opened: Instant::now(), has_acknowledged })
    }

    pub(super) async fn news(&mut self) -> News {
        self.news.recv().await.unwrap_or_else(|| News::Lost("it ended".to_owned()))
    }

    /// Another has taken its place: it is closed once what it took is acknowledged and nothing more comes.
    pub(super) fn retire(self) {
        // It may have ended by itself.
        let _ = self.retire.send(());
    }

    pub(super) fn has_lasted(&self) -> bool {
        self.has_acknowledged.load(Ordering::Relaxed) || self.opened.elapsed() >= LASTED
    }
}

/// Reads up to Slack's hello. An envelope in its place is as good, and is kept.
async fn hello(socket: &mut Socket) -> Result<Option<Envelope>, OpenError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match Frame::parse(&text) {
                Frame::Hello => return Ok(None),
                Frame::Envelope(envelope) => return Ok(Some(envelope)),
                Frame::Disconnect(Reason::Disabled) => {
                    return Err(OpenError::Final(
                        "Socket Mode is switched off for this app (link_disabled)".to_owned(),
                    ));
                }
                Frame::Disconnect(Reason::Renew(name)) => {
                    return Err(OpenError::later(format!("Slack said {name} before hello")));
                }
                Frame::Disconnect(Reason::Other(name)) => {
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

/// An error of the WebSocket, which quotes neither addresses nor frames but for what a server refused the upgrade with.
fn reason(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            format!("the WebSocket was refused with {}", response.status().as_u16())
        }
        tungstenite::Error::Url(_) => "Slack's address is none of a WebSocket".to_owned(),
        // It quotes its cause already.
        error => error.to_string(),
    }
}

async fn stop_asked_for(stopped: &mut watch::Receiver<Option<Stop>>) {
    // With nobody left to ask, it is as good as asked for.
    let _ = stopped.wait_for(Option::is_some).await;
}

struct Connection {
    socket: Socket,
    bridge: Arc<Bridge>,
    on_stop: OnStop,
    news: mpsc::UnboundedSender<News>,
    has_acknowledged: Arc<AtomicBool>,
    ping: Duration,
    silence: Duration,
    /// When something came last, be it a pong.
    heard: Instant,
    handling: JoinSet<()>,
    /// Envelopes that were taken and neither acknowledged nor given up.
    under_way: usize,
    taking: bool,
}

/// How serving ends.
enum End {
    /// Nothing is under way any more, and nothing more is to be taken.
    Done,
    Lost(String),
}

/// What is sent back for an envelope. Dropped unused, it says so: nobody waits for ever for one that panicked.
struct Reply(Option<mpsc::UnboundedSender<Ack>>);

impl Reply {
    fn send(mut self, ack: Ack) {
        if let Some(replies) = self.0.take() {
            // The connection may be gone; then Slack sends it again.
            let _ = replies.send(ack);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(replies) = self.0.take() {
            let _ = replies.send(Ack::Withhold { sink_failed: false });
        }
    }
}

impl Connection {
    async fn run(
        mut self,
        first: Option<Envelope>,
        retired: oneshot::Receiver<()>,
        stopped: watch::Receiver<Option<Stop>>,
        running: mpsc::Sender<()>,
    ) {
        match self.serve(first, retired, stopped).await {
            End::Done => self.close().await,
            End::Lost(reason) => {
                if self.under_way > 0 {
                    say(&format!(
                        "{} under way cannot be acknowledged any more: Slack sends them again",
                        self.under_way
                    ));
                }
                // Nobody listens if it was retired.
                let _ = self.news.send(News::Lost(reason));
            }
        }
        while self.handling.join_next().await.is_some() {}
        drop(running);
    }

    async fn serve(
        &mut self,
        first: Option<Envelope>,
        mut retired: oneshot::Receiver<()>,
        mut stopped: watch::Receiver<Option<Stop>>,
    ) -> End {
        let (replies, mut to_send) = mpsc::unbounded_channel::<Ack>();
        let mut ticks = interval(self.ping);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // After retiring: when it is left, and the last moment to take something.
        let mut leaving: Option<(Instant, Instant)> = None;
        let mut may_retire = true;
        if let Some(envelope) = first {
            self.take(envelope, &replies);
        }
        loop {
            let is_idle = self.under_way == 0;
            let leave_at = leaving.map(|(quiet_at, _)| quiet_at);
            if is_idle && (!self.taking || leave_at.is_some_and(|at| Instant::now() >= at)) {
                return End::Done;
            }
            tokio::select! {
                frame = self.socket.next() => {
                    self.heard = Instant::now();
                    let text = match frame {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_))) | None => return End::Lost("Slack closed it".to_owned()),
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return End::Lost(reason(&error)),
                    };
                    match Frame::parse(&text) {
                        Frame::Envelope(envelope) => {
                            if let Some((quiet_at, last)) = &mut leaving {
                                *quiet_at = Instant::now() + QUIET;
                                self.taking &= Instant::now() < *last;
                            }
                            self.take(envelope, &replies);
                        }
                        Frame::Disconnect(Reason::Renew(name)) => drop(self.news.send(News::Refresh(name))),
                        Frame::Disconnect(Reason::Disabled) => drop(self.news.send(News::Disabled)),
                        Frame::Disconnect(Reason::Other(name)) => return End::Lost(format!("Slack ended it: {name}")),
                        Frame::Hello => {}
                        Frame::Unknown => say("warning: passed over a frame that is none of Slack's"),
                    }
                }
                Some(ack) = to_send.recv() => {
                    self.under_way -= 1;
                    if let Ack::Send(text) = ack {
                        if let Err(reason) = self.send(Message::text(text)).await {
                            return End::Lost(reason);
                        }
                        self.has_acknowledged.store(true, Ordering::Relaxed);
                    }
                }
                _ = ticks.tick() => {
                    if self.heard.elapsed() >= self.silence {
                        return End::Lost(format!("nothing was heard for {:?}", self.silence));
                    }
                    if let Err(reason) = self.send(Message::Ping(Bytes::new())).await {
                        return End::Lost(reason);
                    }
                }
                is_retired = &mut retired, if may_retire => {
                    may_retire = false;
                    if is_retired.is_ok() {
                        leaving = Some((Instant::now() + QUIET, Instant::now() + TAKING_LIMIT));
                    }
                }
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if is_idle && leave_at.is_some() => {}
                () = stop_asked_for(&mut stopped), if self.taking => self.taking = false,
                Some(_) = self.handling.join_next(), if !self.handling.is_empty() => {}
            }
        }
    }

    /// What comes when nothing is taken any more is neither handled nor acknowledged: Slack sends it again.
    fn take(&mut self, envelope: Envelope, replies: &mpsc::UnboundedSender<Ack>) {
        if !self.taking {
            return;
        }
        self.under_way += 1;
        let reply = Reply(Some(replies.clone()));
        let (bridge, on_stop) = (Arc::clone(&self.bridge), Arc::clone(&self.on_stop));
        let is_blocking = bridge.writes_to_stdout;
        let handle = async move {
            if let Some(stop) = bridge.handle(envelope, move |ack| reply.send(ack)).await {
                on_stop(stop);
            }
        };
        if is_blocking {
            // A reader of the lines may pause, as `less` does; the pings are to go on.
            let runtime = tokio::runtime::Handle::current();
            self.handling.spawn_blocking(move || runtime.block_on(handle));
        } else {
            self.handling.spawn(handle);
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
