//! `slack-dev storm`: sends many events at once, and checks that each of them arrived exactly once.

mod figures;
mod ledger;
mod plan;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::CommandError;
use crate::aws::Queue;
use crate::play::Target;
use crate::replay::parse_positive;
use crate::slack::{FailureReason, JSON, Post, Retry, RetrySchedule, Slack};
use figures::{AttemptCause, Figures};
use ledger::{DedupKey, Ledger, Sender};
use plan::{Plan, Plans, Repeat, Shares};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// How many messages to send
    #[arg(short = 'n', long, default_value_t = 1_000, value_name = "NUMBER", conflicts_with = "duration")]
    events: u64,

    /// How long to send, instead of how many
    #[arg(long, value_name = "SECONDS", value_parser = parse_positive)]
    duration: Option<f64>,

    /// Messages a second; without this, as fast as possible
    #[arg(long, value_name = "NUMBER", value_parser = parse_positive)]
    rate: Option<f64>,

    /// How many requests are under way at once
    #[arg(short, long, default_value_t = 32, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Share of the events that Slack sends again though they were acknowledged, or while they are being answered
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    retries: f64,

    /// Forged requests beside the events, as a share of their number: wrongly signed, stale, tampered with, unsigned
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    forgeries: f64,

    /// Share of the messages that come under two to four event ids
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    duplicates: f64,

    /// The ingress's DEDUP_KEY: whether one message under several ids is to arrive once
    #[arg(long, value_enum, default_value = "event_id", value_name = "KEY")]
    dedup_key: DedupKey,

    /// Send the same messages as an earlier run with this seed; their event ids are new all the same
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// The queue behind the ingress: what arrives is received, compared and deleted. Nobody else may receive from it
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,

    /// How long to wait, after the last message, for events that have not arrived
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_positive)]
    settle: f64,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0 to 1".to_owned()) }
}

/// What all tasks of a storm use.
struct Storm {
    slack: Slack,
    schedule: RetrySchedule,
    plans: Plans,
    figures: Mutex<Figures>,
    ledger: Mutex<Ledger>,
    /// Has a permit for each request that may be under way at once. An event that waits for its retry holds no permit.
    requests_under_way: Semaphore,
    bar: ProgressBar,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let schedule = arguments.target.schedule();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let shares = Shares {
        repeats: arguments.retries,
        duplicates: arguments.duplicates,
        forgeries: arguments.forgeries,
    };
    let plans = Plans::new(seed, shares);
    let storm = Arc::new(Storm {
        slack: arguments.target.slack()?,
        schedule,
        figures: Mutex::new(Figures::new(schedule)),
        ledger: Mutex::new(Ledger::new(plans.clone(), arguments.dedup_key)),
        plans,
        requests_under_way: Semaphore::new(arguments.concurrency.into()),
        bar: progress_bar(&arguments),
    });
    let (sent, is_over) = watch::channel(false);
    let receivers = match &arguments.queue_url {
        Some(url) => {
            let queue = Queue::at(url).await;
            // A queue that cannot be read is an error now and not after everything has been sent.
            queue.waiting().await?;
            receivers(&storm, &queue, arguments.settle, &is_over)
        }
        None => JoinSet::new(),
    };

    let start = Instant::now();
    send_all(&storm, &arguments, start).await;
    let took = start.elapsed();
    sent.send_replace(true);
    let queue_is_checked = !receivers.is_empty();
    for received in receivers.join_all().await {
        received?;
    }
    storm.bar.finish_and_clear();

    let queue = queue_is_checked.then(|| lock(&storm.ledger).findings());
    let summary = lock(&storm.figures).summary(seed, took, queue);
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(if summary.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress_bar(arguments: &Arguments) -> ProgressBar {
    let bar = match arguments.duration {
        Some(_) => ProgressBar::no_length(),
        None => ProgressBar::new(arguments.events),
    };
    let template = match arguments.duration {
        Some(_) => "{elapsed_precise} {spinner} {pos} messages, {per_sec:.0}  {msg}",
        None => "{elapsed_precise} [{bar:40}] {pos}/{len}, {per_sec:.0}, {eta} left  {msg}",
    };
    // The template is a constant. If it had a mistake, the bar would only look different.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// Sends messages until their number or the time is reached, and waits for the last answer. Ctrl-C ends both.
async fn send_all(storm: &Arc<Storm>, arguments: &Arguments, start: Instant) {
    let end = arguments.duration.map(|seconds| start + Duration::from_secs_f64(seconds));
    let most = if end.is_some() { u64::MAX } else { arguments.events };
    let mut tasks = JoinSet::new();
    let sending = async {
        for n in 0..most {
            if let Some(rate) = arguments.rate {
                let due = start + Duration::from_secs_f64(n as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
            }
            // Waiting for a permit here keeps the number of tasks small: an event begins only when a request may go out.
            drop(storm.requests_under_way.acquire().await);
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
            storm.spawn(&mut tasks, &storm.plans.get(n));
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    };
    tokio::select! {
        () = sending => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    // After a Ctrl-C, events may still wait minutes for their retry. They count neither as acknowledged nor as failed.
    tasks.shutdown().await;
}

impl Storm {
    fn spawn(self: &Arc<Self>, tasks: &mut JoinSet<()>, plan: &Plan) {
        for copy in 0..plan.copies {
            let (storm, plan) = (Arc::clone(self), plan.clone());
            tasks.spawn(async move { storm.event(&plan, copy).await });
        }
        if let Some(forgery) = plan.forgery {
            let (storm, n) = (Arc::clone(self), plan.n);
            tasks.spawn(async move {
                let body = storm.plans.body_of(&storm.plans.forged_id(n), n, 0);
                let post = Post { content_type: JSON, body: &body, retry: None };
                let permit = storm.requests_under_way.acquire().await;
                let attempt = storm.slack.forge(post, forgery).await;
                drop(permit);
                lock(&storm.figures).forgery(&attempt);
            });
        }
    }

    /// Delivers one event: with retries until the app acknowledges it or Slack would give it up, and with the repeats of its
    /// plan.
    async fn event(&self, plan: &Plan, copy: u8) {
        let body = self.plans.body(plan.n, copy);
        let first = self.attempt(&body, None, AttemptCause::First);
        let repeated = Retry { num: 1, reason: FailureReason::HttpTimeout };
        let (mut acknowledged, mut failure, mut num) = if plan.repeat == Some(Repeat::Meanwhile) {
            let (first, again) =
                tokio::join!(first, self.attempt(&body, Some(repeated), AttemptCause::Repeat));
            (first.is_ok() || again.is_ok(), again.err().or(first.err()), 2)
        } else {
            let first = first.await;
            (first.is_ok(), first.err(), 1)
        };
        let pauses = self.schedule.pauses();
        while let (false, Some(Failure { reason, is_final: false })) = (acknowledged, failure) {
            let Some(pause) = pauses.get(num - 1) else { break };
            tokio::time::sleep(*pause).await;
            let retry = Retry { num: num as u32, reason };
            let attempt = self.attempt(&body, Some(retry), AttemptCause::Retry).await;
            (acknowledged, failure, num) = (attempt.is_ok(), attempt.err(), num + 1);
        }
        if acknowledged {
            lock(&self.ledger).acknowledge(plan.n, copy);
            if let Some(Repeat::Afterwards(times)) = plan.repeat {
                for num in 1..=times {
                    // The event is acknowledged already, so the result of the repeat does not matter.
                    let repeated = Retry { num, ..repeated };
                    let _ = self.attempt(&body, Some(repeated), AttemptCause::Repeat).await;
                }
            }
        }
        let mut figures = lock(&self.figures);
        figures.event(acknowledged);
        if copy == 0 {
            self.bar.inc(1);
            self.bar.set_message(format!("{} failed", figures.failed));
        }
    }

    async fn attempt(&self, body: &[u8], retry: Option<Retry>, cause: AttemptCause) -> Result<(), Failure> {
        let permit = self.requests_under_way.acquire().await;
        let attempt = self.slack.post(Post { content_type: JSON, body, retry }).await;
        drop(permit);
        lock(&self.figures).attempt(cause, &attempt);
        match attempt.failure() {
            None => Ok(()),
            Some(reason) => Err(Failure { reason, is_final: attempt.forbids_retry() }),
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug)]
struct Failure {
    reason: FailureReason,
    /// The app answered with `X-Slack-No-Retry: 1`, so Slack does not send the event again.
    is_final: bool,
}

/// Starts the tasks that receive from the queue. One task would be slower than the senders, and the queue would grow.
fn receivers(
    storm: &Arc<Storm>,
    queue: &Queue,
    settle: f64,
    is_over: &watch::Receiver<bool>,
) -> JoinSet<Result<(), CommandError>> {
    const RECEIVERS: usize = 4;
    let settle = Duration::from_secs_f64(settle);
    let last = Arc::new(Mutex::new(Instant::now()));
    let mut tasks = JoinSet::new();
    for _ in 0..RECEIVERS {
        let (storm, queue, is_over, last) =
            (Arc::clone(storm), queue.clone(), is_over.clone(), Arc::clone(&last));
        tasks.spawn(async move { storm.receive(&queue, settle, &is_over, &last).await });
    }
    tasks
}

impl Storm {
    /// Receives, compares and deletes messages. Returns when everything has been sent and either everything acknowledged has
    /// arrived or nothing has arrived for as long as `settle`. `last` is when one of the receivers last received a message of
    /// this run.
    async fn receive(
        &self,
        queue: &Queue,
        settle: Duration,
        is_over: &watch::Receiver<bool>,
        last: &Mutex<Instant>,
    ) -> Result<(), CommandError> {
        const HIDDEN_SECONDS: i32 = 30;
        /// How long to wait for second messages of events when all events have arrived.
        const WAIT_FOR_DUPLICATES: Duration = Duration::from_secs(2);
        let mut over_since = None;
        loop {
            let messages = queue.receive(1, HIDDEN_SECONDS).await?;
            let mut receipts = Vec::new();
            {
                let mut ledger = lock(&self.ledger);
                for message in messages {
                    let id = message.message_id.unwrap_or_default();
                    // A message that somebody else sent stays on the queue and is hidden for a while.
                    if ledger.arrive(&id, message.body.as_deref().unwrap_or_default()) == Sender::ThisRun {
                        receipts.extend(message.receipt_handle);
                    }
                }
            }
            if !receipts.is_empty() {
                queue.delete(&receipts).await?;
                *lock(last) = Instant::now();
            }
            if *is_over.borrow() {
                let since = *over_since.get_or_insert_with(Instant::now);
                let quiet_since = since.max(*lock(last));
                let patience =
                    if lock(&self.ledger).is_complete() { WAIT_FOR_DUPLICATES.min(settle) } else { settle };
                if quiet_since.elapsed() >= patience {
                    return Ok(());
                }
                self.bar.set_message(format!("{} messages have arrived", lock(&self.ledger).messages()));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
