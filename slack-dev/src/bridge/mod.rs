//! `slack-dev bridge`: receives Slack's deliveries through Socket Mode, a WebSocket that this program opens, and passes them to
//! the same ingress that the function runs.
//!
//! ```text
//! api ─▶ socket ─▶ envelope ─▶ the ingress ─▶ acknowledged on the same socket ─▶ confirmed
//!  ▲        │
//!  └────────┴─ a new connection: opened before the old one ends if Slack announces the end, after a pause if it is lost
//! ```
//!
//! An envelope is acknowledged when the ingress answers 200, which it does once the event is in the sink. If the connection ends
//! before that, Slack has no acknowledgement and sends the event again, and the store recognises it.

mod api;
mod backoff;
mod envelope;
mod outcome_counts;
mod socket;

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

use crate::CommandError;
pub(crate) use api::{API_URL, API_VARIABLE, is_safe};
use api::{Api, OpenError};
use backoff::Backoff;
use envelope::{Acknowledgement, Envelope};
use outcome_counts::{OutcomeCounts, log};
use socket::{ConnectionEvent, ConnectionHandle};

/// How long the ingress may work on one envelope. It is the time-out of the deployed function; a record is leased for as long.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Slack's limit on the open connections of one app.
const MAX_CONNECTIONS: i64 = 10;

/// Receives a real app's events through Socket Mode, without a public URL.
///
/// The app-level token (scope `connections:write`) is read from SLACK_APP_TOKEN. DEDUP_STORE, EVENT_SINK, DEDUP_KEY, BOT_EVENTS and
/// the others mean the same as for the function. DEDUP_STORE is `memory:` and EVENT_SINK is `stdout:` if they are not set; a signing
/// secret is not needed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many connections to hold open; Slack spreads an app's deliveries over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MAX_CONNECTIONS))]
    connections: u8,

    /// How often to ping a connection; if nothing is received for three times as long, the connection is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    ping_seconds: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let mut end_signals = EndSignals::listen()?;
    let lookup = |name: &str| std::env::var(name).ok();
    let (api, bridge) = match set_up(lookup).await {
        Ok(parts) => parts,
        Err(error) => {
            log(&crate::with_causes(error.as_ref()));
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
            log(&format!("{signal}: takes nothing new and finishes what is under way"));
            supervisor.stop(Stop::Requested);
        }
        _ = stopped.wait_for(Option::is_some) => {}
    }
    let finish = async {
        for slot in slots {
            // A slot that panicked has printed its panic. The other slots are still waited for.
            let _ = slot.await;
        }
        // Each connection holds a sender until every event that it took is confirmed.
        all_done.recv().await;
    };
    tokio::select! {
        () = finish => {}
        _ = end_signals.next() => {
            log("second signal: ends at once; Slack sends again what was not acknowledged");
            // Returning from here would make the runtime wait for tasks that hang.
            std::process::exit(130);
        }
    }
    log(&format!("ended: {}", supervisor.bridge.outcome_counts.line()));
    let outcome = supervisor.stopped.borrow().clone();
    Ok(match outcome {
        Some(Stop::Because(reason)) => {
            log(&reason);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

async fn set_up(lookup: impl Fn(&str) -> Option<String>) -> Result<(Api, Bridge), CommandError> {
    let api = Api::from_lookup(&lookup)?;
    // The ingress accepts only signed requests. Nobody but this process knows this secret, so only the bridge can sign them.
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
        outcome_counts: OutcomeCounts::default(),
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

/// Ctrl-C and SIGTERM. The bridge listens for both from the start, because otherwise either would end the process at once,
/// before it has finished the envelopes that it took.
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

    /// Waits for the next signal, and returns its name.
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

/// Why the bridge stops.
#[derive(Clone, Debug)]
enum Stop {
    /// The user asked for it with a signal.
    Requested,
    /// For this reason the bridge cannot do its work any more.
    Because(String),
}

/// Passes envelopes to the ingress and turns its answers into acknowledgements.
struct Bridge {
    ingress: DeployedIngress,
    secret: SigningSecret,
    writes_to_stdout: bool,
    /// The beginning of each lease owner's name in the store, so that the names of two processes differ.
    name: String,
    invocations: AtomicU64,
    outcome_counts: OutcomeCounts,
}

impl Bridge {
    /// Passes the envelope to the ingress, passes the acknowledgement to `acknowledge`, and then confirms the record. Returns why
    /// the bridge must stop, if standard output is the sink and accepts no more lines.
    async fn handle(
        &self,
        envelope: Envelope,
        acknowledge: impl FnOnce(Acknowledgement) + Send,
    ) -> Option<Stop> {
        let start = Instant::now();
        let now = SystemClock.now();
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let invocation = Invocation {
            request_id: format!("{}-{number}", self.name),
            deadline: now.after(INVOCATION_TIMEOUT),
            trace_header: None,
        };
        let id = envelope.id.clone();
        let wants_payload = envelope.accepts_response_payload;
        let answered = self.ingress.answer(envelope.signed(&self.secret, now), invocation).await;
        let acknowledgement = Acknowledgement::of(answered.report(), id, wants_payload);
        let is_given_up = self.writes_to_stdout && acknowledgement.is_for_the_sink();
        acknowledge(acknowledgement);
        let took = start.elapsed();
        let report = self.ingress.finish(answered).await;
        self.outcome_counts.count(&report, took);
        is_given_up.then(|| Stop::Because("standard output takes no more lines: ends".to_owned()))
    }
}

/// Keeps the connections open, and stops all of them.
struct Supervisor {
    api: Api,
    bridge: Arc<Bridge>,
    ping: Duration,
    stop: watch::Sender<Option<Stop>>,
    stopped: watch::Receiver<Option<Stop>>,
}

impl Supervisor {
    /// Stops the bridge. If it has been stopped already, the first reason is kept.
    fn stop(&self, reason: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            stop.get_or_insert(reason);
            is_first
        });
    }

    /// Keeps one connection open until the bridge stops. While Slack replaces a connection there are two.
    async fn keep_one_open(self: Arc<Self>, running: mpsc::Sender<()>) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.keep_opening(&running) => {}
            _ = stopped.wait_for(Option::is_some) => {}
        }
    }

    async fn keep_opening(self: &Arc<Self>, running: &mpsc::Sender<()>) {
        let mut backoff = Backoff::default();
        // A connection that still takes envelopes while its replacement is being opened.
        let mut old: Option<ConnectionHandle> = None;
        let mut opened = 0_u64;
        loop {
            let mut connection = match self.open(running).await {
                Ok(connection) => connection,
                Err(OpenError::Final(reason)) => return self.stop(Stop::Because(reason)),
                Err(OpenError::Later { reason, after }) => {
                    let pause = match after {
                        Some(asked) => backoff::pause_of(asked),
                        None => backoff.pause(),
                    };
                    log(&format!("no connection: {reason}; tries again in {:.1} s", pause.as_secs_f64()));
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            opened += 1;
            log(&format!(
                "connected{}",
                if opened == 1 { String::new() } else { format!(" (number {opened})") }
            ));
            if let Some(old) = old.take() {
                old.retire();
            }
            match connection.next_event().await {
                ConnectionEvent::WillEnd(reason) => {
                    log(&format!("Slack is about to close the connection ({reason}): opens another first"));
                    let has_lasted = connection.has_lasted();
                    old = Some(connection);
                    if has_lasted {
                        backoff = Backoff::default();
                    } else {
                        // If each new connection announces its end at once, there must be a pause before the next one.
                        tokio::time::sleep(backoff.pause()).await;
                    }
                }
                ConnectionEvent::SocketModeDisabled => {
                    return self.stop(Stop::Because(
                        "Socket Mode was switched off for this app (link_disabled): switch it on under Settings → \
                         Socket Mode, then start again"
                            .to_owned(),
                    ));
                }
                ConnectionEvent::Lost(reason) => {
                    if connection.has_lasted() {
                        backoff = Backoff::default();
                    }
                    let pause = backoff.pause();
                    log(&format!("connection lost: {reason}; opens another in {:.1} s", pause.as_secs_f64()));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn open(self: &Arc<Self>, running: &mpsc::Sender<()>) -> Result<ConnectionHandle, OpenError> {
        let url = self.api.open().await?;
        let supervisor = Arc::clone(self);
        let running = running.clone();
        ConnectionHandle::open(
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
