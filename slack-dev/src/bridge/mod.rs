//! Socket Mode: Slack's deliveries through a WebSocket that this program opens, into the very steps of the function.
//!
//! ```text
//! api ─▶ socket ─▶ envelope ─▶ the ingress ─▶ acknowledged on the same socket ─▶ confirmed
//!  ▲        │
//!  └────────┴─ opened again: before the old one is closed when Slack announces that, after a pause when it is lost
//! ```
//!
//! An envelope is acknowledged when the ingress has a 200 for it, and so when the event is on the sink. Whatever is cut
//! before that, Slack has no acknowledgement of; what it sends again then, the store knows.

mod api;
mod backoff;
mod envelope;
mod socket;
mod tally;

use slack_ingress::config::{IngressConfig, SinkConfig};
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::telemetry::logging;
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::invocation::Invocation;
use slack_ingress::wiring::{self, DeployedIngress};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

use crate::Trouble;
pub(crate) use api::{API_URL, API_VARIABLE};
use api::{Api, OpenError};
use backoff::Backoff;
use envelope::{Ack, Envelope};
use socket::{Link, News};
use tally::{Tally, say};

/// How long an invocation of the function may take, by the deployment's own time-out: a record is leased for as long.
const INVOCATION: Duration = Duration::from_secs(5);

/// Slack's own limit on the connections of one app.
const MAX_CONNECTIONS: i64 = 10;

/// Receives a real app's events through Socket Mode, without a public URL.
///
/// The app-level token (scope `connections:write`) is read from SLACK_APP_TOKEN. DEDUP_STORE, EVENT_SINK, DEDUP_KEY, BOT_EVENTS and
/// the others are the function's, with `memory:` and `stdout:` where they are not set; a signing secret is not needed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many connections to hold open; Slack spreads an app's deliveries over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MAX_CONNECTIONS))]
    connections: u8,

    /// How often to ask whether a connection is still alive; one that is silent for three times as long is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    ping_seconds: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
    let mut end_signals = EndSignals::listen()?;
    let lookup = |name: &str| std::env::var(name).ok();
    let (api, bridge) = match set_up(lookup).await {
        Ok(parts) => parts,
        Err(trouble) => {
            say(&crate::with_causes(trouble.as_ref()));
            return Ok(ExitCode::FAILURE);
        }
    };
    let (stop, stopped) = watch::channel(None);
    let (running, mut all_done) = mpsc::channel::<()>(1);
    let supervisor = Supervisor {
        api,
        bridge: Arc::new(bridge),
        ping: Duration::from_secs(arguments.ping_seconds),
        stop,
        stopped,
    };
    let supervisor = Arc::new(supervisor);
    let slots: Vec<_> = (1..=arguments.connections)
        .map(|_| tokio::spawn(Arc::clone(&supervisor).keep_one_open(running.clone())))
        .collect();
    drop(running);

    let mut stopped = supervisor.stopped.clone();
    tokio::select! {
        signal = end_signals.next() => {
            say(&format!("{signal}: takes nothing new and finishes what is under way"));
            supervisor.stop(Stop::AskedFor);
        }
        _ = stopped.wait_for(Option::is_some) => {}
    }
    let finish = async {
        for slot in slots {
            // A slot that panicked has said so; the others are still to be waited for.
            let _ = slot.await;
        }
        // Each connection holds a sender until what it took is confirmed.
        all_done.recv().await;
    };
    tokio::select! {
        () = finish => {}
        _ = end_signals.next() => {
            say("asked a second time: ends at once; what was not acknowledged, Slack sends again");
            // Not by returning: the runtime would wait for what hangs.
            std::process::exit(130);
        }
    }
    say(&format!("ended: {}", supervisor.bridge.tally.line()));
    let outcome = supervisor.stopped.borrow().clone();
    Ok(match outcome {
        Some(Stop::For(reason)) => {
            say(&reason);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

async fn set_up(lookup: impl Fn(&str) -> Option<String>) -> Result<(Api, Bridge), Trouble> {
    let api = Api::from_lookup(&lookup)?;
    // A secret of this process's own: only it can sign what it hands to the steps.
    let secret = random_secret()?;
    let config = IngressConfig::from_lookup(|name| match name {
        "SLACK_SIGNING_SECRET" => Some(secret.clone()),
        "SLACK_SIGNING_SECRET_ARN" => None,
        "DEDUP_STORE" => Some(or_default(lookup(name), "memory:")),
        "EVENT_SINK" => Some(or_default(lookup(name), "stdout:")),
        _ => lookup(name),
    })?;
    logging::init(&config.log)?;
    let writes_to_stdout = config.sink == SinkConfig::Stdout;
    let ingress = wiring::ingress(config).await.map_err(|error| crate::with_causes(error.as_ref()))?;
    let bridge = Bridge {
        ingress,
        secret: SigningSecret::new(&secret),
        writes_to_stdout,
        name: format!("bridge-{:016x}", fastrand::u64(..)),
        invocations: AtomicU64::new(0),
        tally: Tally::default(),
    };
    Ok((api, bridge))
}

fn or_default(value: Option<String>, default: &str) -> String {
    value.filter(|value| !value.trim().is_empty()).unwrap_or_else(|| default.to_owned())
}

fn random_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Ctrl-C, or what a supervisor of processes sends. Listened for from the start: either would end the process at once
/// otherwise, with what it has taken.
struct EndSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl EndSignals {
    #[cfg(unix)]
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for one, and gives its name.
    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}

/// Why everything ends.
#[derive(Clone, Debug)]
enum Stop {
    AskedFor,
    /// Going on would be of no use.
    For(String),
}

/// The way from an envelope to its acknowledgement.
struct Bridge {
    ingress: DeployedIngress,
    secret: SigningSecret,
    writes_to_stdout: bool,
    /// The beginning of each owner's name in the store, so that those of two processes differ.
    name: String,
    invocations: AtomicU64,
    tally: Tally,
}

impl Bridge {
    /// Takes the envelope through the steps, has it acknowledged, and confirms.
    async fn handle(&self, envelope: Envelope, acknowledge: impl FnOnce(Ack) + Send) -> Option<Stop> {
        let start = Instant::now();
        let now = SystemClock.now();
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let invocation = Invocation {
            request_id: format!("{}-{number}", self.name),
            deadline: now.after(INVOCATION),
            trace_header: None,
        };
        let id = envelope.id.clone();
        let wants_payload = envelope.accepts_response_payload;
        let answered = self.ingress.answer(envelope.signed(&self.secret, now), invocation).await;
        let ack = Ack::of(&answered.report().outcome, id, wants_payload);
        let is_given_up = self.writes_to_stdout && ack.is_for_the_sink();
        acknowledge(ack);
        let took = start.elapsed();
        let report = self.ingress.finish(answered).await;
        self.tally.count(&report, took);
        is_given_up.then(|| Stop::For("standard output takes no more lines: ends".to_owned()))
    }
}

/// Keeps the connections.
struct Supervisor {
    api: Api,
    bridge: Arc<Bridge>,
    ping: Duration,
    stop: watch::Sender<Option<Stop>>,
    stopped: watch::Receiver<Option<Stop>>,
}

impl Supervisor {
    /// The first reason is the one that counts.
    fn stop(&self, reason: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            stop.get_or_insert(reason);
            is_first
        });
    }

    /// Has one connection open at any time, as far as it can; two while Slack exchanges them.
    async fn keep_one_open(self: Arc<Self>, running: mpsc::Sender<()>) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.keep_opening(&running) => {}
            _ = stopped.wait_for(Option::is_some) => {}
        }
    }

    async fn keep_opening(self: &Arc<Self>, running: &mpsc::Sender<()>) {
        let mut backoff = Backoff::default();
        // Taking still, while the one that is to replace it is being opened.
        let mut old: Option<Link> = None;
        let mut opened = 0_u64;
        loop {
            let mut link = match self.open(running).await {
                Ok(link) => link,
                Err(OpenError::Final(reason)) => return self.stop(Stop::For(reason)),
                Err(OpenError::Later { reason, after }) => {
                    let pause = match after {
                        Some(asked) => backoff::pause_of(asked),
                        None => backoff.pause(),
                    };
                    say(&format!("no connection: {reason}; tries again in {:.1} s", pause.as_secs_f64()));
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            opened += 1;
            say(&format!(
                "connected{}",
                if opened == 1 { String::new() } else { format!(" (number {opened})") }
            ));
            if let Some(old) = old.take() {
                old.retire();
            }
            match link.news().await {
                News::Refresh(reason) => {
                    say(&format!("Slack is about to close the connection ({reason}): opens another first"));
                    let has_lasted = link.has_lasted();
                    old = Some(link);
                    if has_lasted {
                        backoff = Backoff::default();
                    } else {
                        // One that asks for its replacement at once must not be replaced without a pause, for ever.
                        tokio::time::sleep(backoff.pause()).await;
                    }
                }
                News::Disabled => {
                    return self.stop(Stop::For(
                        "Socket Mode was switched off for this app (link_disabled): switch it on under Settings → \
                         Socket Mode, then start again"
                            .to_owned(),
                    ));
                }
                News::Lost(reason) => {
                    if link.has_lasted() {
                        backoff = Backoff::default();
                    }
                    let pause = backoff.pause();
                    say(&format!("connection lost: {reason}; opens another in {:.1} s", pause.as_secs_f64()));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn open(self: &Arc<Self>, running: &mpsc::Sender<()>) -> Result<Link, OpenError> {
        let url = self.api.open().await?;
        let supervisor = Arc::clone(self);
        let running = running.clone();
        Link::open(
            url,
            self.ping,
            Arc::clone(&self.bridge),
            move |stop| supervisor.stop(stop),
            self.stopped.clone(),
            running,
        )
        .await
    }
}
