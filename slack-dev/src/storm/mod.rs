//! `slack-dev storm`: many events at once, and whether each of them arrived, once.

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

use crate::Trouble;
use crate::aws::Queue;
use crate::play::Target;
use crate::replay::rate;
use crate::slack::{JSON, Post, Reason, Retry, Schedule, Slack};
use figures::{Cause, Figures};
use ledger::{DedupKey, Ledger, Owner};
use plan::{Plan, Plans, Repeat, Shares};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// How many messages
    #[arg(short = 'n', long, default_value_t = 1_000, value_name = "NUMBER", conflicts_with = "duration")]
    events: u64,

    /// For so many seconds, instead of a number
    #[arg(long, value_name = "SECONDS", value_parser = rate)]
    duration: Option<f64>,

    /// Messages a second; as fast as it goes without it
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<f64>,

    /// How many are on their way at once
    #[arg(short, long, default_value_t = 32, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Share of the events that Slack sends again though they were acknowledged, or while they are being answered
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = share)]
    retries: f64,

    /// Forged requests beside the events, as a share of their number: wrongly signed, stale, tampered with, unsigned
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = share)]
    forgeries: f64,

    /// Share of the messages that come under two to four event ids
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = share)]
    duplicates: f64,

    /// The ingress's DEDUP_KEY: whether one message under several ids is to arrive once
    #[arg(long, value_enum, default_value = "event_id", value_name = "KEY")]
    dedup_key: DedupKey,

    /// The same dice as in an earlier run; the event ids are new ones all the same
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// The queue behind the ingress: what arrives is received, compared and deleted. Nobody else must be receiving
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,

    /// How long to wait for what has not arrived, after the last message
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = rate)]
    settle: f64,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("from 0 to 1".to_owned()) }
}

/// What every task shares.
struct Storm {
    slack: Slack,
    schedule: Schedule,
    plans: Plans,
    figures: Mutex<Figures>,
    ledger: Mutex<Ledger>,
    /// One for each attempt that is on its way; an event that waits for its retry has none.
    on_their_way: Semaphore,
    bar: ProgressBar,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
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
        on_their_way: Semaphore::new(arguments.concurrency.into()),
        bar: progress_bar(&arguments),
    });
    let (sent, is_over) = watch::channel(false);
    let receivers = match &arguments.queue_url {
        Some(url) => {
            let queue = Queue::at(url).await;
            // One that cannot be asked is found out now, and not when everything has been sent.
            queue.waiting().await?;
            receivers(&storm, &queue, arguments.settle, &is_over)
        }
        None => JoinSet::new(),
    };

    let start = Instant::now();
    send_all(&storm, &arguments, start).await;
    let took = start.elapsed();
    sent.send_replace(true);
    let looked_at = !receivers.is_empty();
    for received in receivers.join_all().await {
        received?;
    }
    storm.bar.finish_and_clear();

    let queue = looked_at.then(|| locked(&storm.ledger).verdict());
    let summary = locked(&storm.figures).summary(seed, took, queue);
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
    // The template is a constant; what a typing error in it costs is the looks.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// Sends until the number, the time or somebody's Ctrl-C says that it is enough, and waits for the last answer.
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
            // Not more tasks than are needed: an event begins when an earlier one has got its answer.
            drop(storm.on_their_way.acquire().await);
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
    // What is left after a Ctrl-C may wait for minutes for its retry. It counts neither as acknowledged nor as failed.
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
                let permit = storm.on_their_way.acquire().await;
                let attempt = storm.slack.forge(post, forgery).await;
                drop(permit);
                locked(&storm.figures).forgery(&attempt);
            });
        }
    }

    /// One event, until it is acknowledged and has been repeated, or Slack would give it up.
    async fn event(&self, plan: &Plan, copy: u8) {
        let body = self.plans.body(plan.n, copy);
        let first = self.attempt(&body, None, Cause::First);
        let repeated = Retry { num: 1, reason: Reason::HttpTimeout };
        let (mut acknowledged, mut failure, mut num) = if plan.repeat == Some(Repeat::Meanwhile) {
            let (first, again) = tokio::join!(first, self.attempt(&body, Some(repeated), Cause::Repeat));
            (first.is_ok() || again.is_ok(), again.err().or(first.err()), 2)
        } else {
            let first = first.await;
            (first.is_ok(), first.err(), 1)
        };
        let waits = self.schedule.waits();
        while let (false, Some(Failure { reason, is_final: false })) = (acknowledged, failure) {
            let Some(wait) = waits.get(num - 1) else { break };
            tokio::time::sleep(*wait).await;
            let retry = Retry { num: num as u32, reason };
            let attempt = self.attempt(&body, Some(retry), Cause::Retry).await;
            (acknowledged, failure, num) = (attempt.is_ok(), attempt.err(), num + 1);
        }
        if acknowledged {
            locked(&self.ledger).acknowledge(plan.n, copy);
            if let Some(Repeat::Afterwards(times)) = plan.repeat {
                for num in 1..=times {
                    // What becomes of it does not matter: the event is acknowledged.
                    let repeated = Retry { num, ..repeated };
                    let _ = self.attempt(&body, Some(repeated), Cause::Repeat).await;
                }
            }
        }
        let mut figures = locked(&self.figures);
        figures.event(acknowledged);
        if copy == 0 {
            self.bar.inc(1);
            self.bar.set_message(format!("{} failed", figures.failed));
        }
    }

    async fn attempt(&self, body: &[u8], retry: Option<Retry>, cause: Cause) -> Result<(), Failure> {
        let permit = self.on_their_way.acquire().await;
        let attempt = self.slack.post(Post { content_type: JSON, body, retry }).await;
        drop(permit);
        locked(&self.figures).attempt(cause, &attempt);
        match attempt.failure() {
            None => Ok(()),
            Some(reason) => Err(Failure { reason, is_final: attempt.forbids_retry() }),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    reason: Reason,
    /// Slack is told not to ask again.
    is_final: bool,
}

/// Several, or the queue would grow while it is looked at.
fn receivers(
    storm: &Arc<Storm>,
    queue: &Queue,
    settle: f64,
    is_over: &watch::Receiver<bool>,
) -> JoinSet<Result<(), Trouble>> {
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
    /// Until everything has been sent and has arrived, or nothing has come for as long as `settle`. `last` is when
    /// anybody received something.
    async fn receive(
        &self,
        queue: &Queue,
        settle: Duration,
        is_over: &watch::Receiver<bool>,
        last: &Mutex<Instant>,
    ) -> Result<(), Trouble> {
        const HIDDEN_SECONDS: i32 = 30;
        /// For a second message of what is there already.
        const QUIET: Duration = Duration::from_secs(2);
        let mut over_since = None;
        loop {
            let messages = queue.receive(1, HIDDEN_SECONDS).await?;
            let mut receipts = Vec::new();
            {
                let mut ledger = locked(&self.ledger);
                for message in messages {
                    let id = message.message_id.unwrap_or_default();
                    // What others sent stays on the queue, hidden for a while.
                    if ledger.arrive(&id, message.body.as_deref().unwrap_or_default()) == Owner::ThisRun {
                        receipts.extend(message.receipt_handle);
                    }
                }
            }
            if !receipts.is_empty() {
                queue.delete(&receipts).await?;
                *locked(last) = Instant::now();
            }
            if *is_over.borrow() {
                let since = *over_since.get_or_insert_with(Instant::now);
                let quiet_since = since.max(*locked(last));
                let patience = if locked(&self.ledger).is_complete() { QUIET.min(settle) } else { settle };
                if quiet_since.elapsed() >= patience {
                    return Ok(());
                }
                self.bar.set_message(format!("{} messages have arrived", locked(&self.ledger).messages()));
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
