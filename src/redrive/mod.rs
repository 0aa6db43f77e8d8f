//! Sends what is parked: the events that the queue did not take on Slack's last attempt. Only this file knows the order of a
//! run.
//!
//! ```text
//! for each shard, side by side: list ─▶ for each event, in the order of receipt: take ─▶ send ─▶ confirm
//! ```
//!
//! Within a shard the events are sent one after the other; the shards are sent at the same time. All events of a message group,
//! which is a conversation or what controls it, are in one shard ([`crate::dedup::shard`]), so the order within a group holds.
//! What holds up what, until the next run:
//!
//! - An event that could not be sent, because the queue or the time failed: the later events of its group.
//! - An event whose group is not known, because another owner holds it or the store did not hand it over: the later events of
//!   its shard, for one of them might be of the same group.
//! - A list that fails: what is not listed yet of its shard. It is then not known how many events are still parked.
//! - What earlier versions parked ([`Shard::EARLIER`]) is sent before the other shards. As long as a run does not come to the
//!   end of that shard, because of one of the last two: everything in the others.
//! - An event that no queue takes, or that nobody can read: nothing at all. It stays parked, and is reported with every run.
//! - Ten failures in a row, in whatever shards: all events.
//!
//! A run may crash anywhere, may find the queue still down, and may run beside another run. `take` gives the same kind of lease
//! as an invocation of the ingress has: of two runs only one sends an event, and an event that a crashed run had taken is free
//! when its lease is over. If a run crashes between send and confirm, the next run sends the message again. A FIFO queue drops
//! the second one for five minutes, and the next run comes within one.
//!
//! In reading order: [`Redrive::run`], `redrive_shard`, `redrive_event`. This room imports `dedup`, `sink`, `telemetry` (the
//! report) and `time`.

use futures_util::future::join_all;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::dedup::settling::settle;
use crate::dedup::shard::Shard;
use crate::dedup::{Claim, LEASE_MARGIN, Lease, Pending, Store, Taken};
use crate::sink::Sink;
use crate::sink::message::Message;
use crate::telemetry::report::redrive::{RunReport, StillParked};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};

/// How long one event may take. Nobody waits for a run, so there is time for a second attempt of each call.
pub const EVENT_BUDGET: Duration = Duration::from_secs(5);

/// How many parked events of a shard are listed at a time. A list has only their ids and times, and is about 25 KB; each shard
/// has one.
pub const EVENTS_PER_LIST: usize = 250;

/// How many shards are listed at the same time. Most runs find nothing, and must not open a connection for each shard to find
/// that out: on a small function a TLS handshake takes longer than ten queries.
const MAX_CONCURRENT_LISTS: usize = 4;

/// After this many failures in a row a run counts the queue as down, and leaves the other events to the next run.
const GIVE_UP_AFTER: u32 = 10;

/// The sequence, with the store, the queue (`Q`) and the clock that it uses.
#[derive(Debug)]
pub struct Redrive<S, Q, C> {
    store: S,
    sink: Q,
    clock: C,
    dedup_ttl: Duration,
}

/// One run, as all its shards see it.
struct Run<'a> {
    /// The fencing token of its leases.
    id: &'a str,
    deadline: UnixMillis,
    lists: Semaphore,
    progress: Mutex<Progress>,
}

/// What a run has done up to now.
#[derive(Default)]
struct Progress {
    report: RunReport,
    /// The message groups of which an event could not be sent.
    blocked: HashSet<String>,
    failures_in_a_row: u32,
    /// Whether there were so many of them that the queue counts as down.
    has_given_up: bool,
    /// How many of the events that were listed are still parked.
    still_parked: u64,
    /// When the first of them was received.
    oldest: Option<UnixMillis>,
    /// Whether a shard could not be listed, so that nobody knows how many events are parked in it.
    is_list_incomplete: bool,
}

/// What became of one parked event in a run.
enum EventOutcome {
    /// The event is on the queue, and its record says so.
    Forwarded,
    /// The event is on the queue, and the store failed to write that down.
    NotConfirmed,
    /// The event is not parked any more: another run sent it.
    NotParkedAnyMore,
    /// An earlier event of the same message group was not sent, and this one must not overtake it.
    WaitsForEarlierEvent,
    /// The event was not sent, and the later events of its message group have to wait for it.
    NotSent {
        /// The message group ([`Message::conversation_group`]).
        group: String,
    },
    /// Another owner holds a live lease on the event, and may be sending it at this moment. Its message group is not known.
    HeldByAnother,
    /// The store failed to hand the event over. Its message group is not known.
    NotTaken,
    /// The event cannot be read, or no queue takes it. It stays parked, and no other event waits for it.
    Unsendable,
}

impl Run<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing that holds the lock panics.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, step: &str, event_id: &str, error: &(dyn Error + 'static)) {
        self.progress().report.fail(step, event_id, error);
    }
}

impl Progress {
    /// Counts what became of an event. Returns whether the next event of its shard may be sent.
    fn count(&mut self, event: &Pending, outcome: EventOutcome) -> bool {
        match outcome {
            EventOutcome::Forwarded => {
                self.report.redriven += 1;
                self.failures_in_a_row = 0;
                true
            }
            EventOutcome::NotParkedAnyMore => true,
            EventOutcome::NotConfirmed => {
                self.count_as_parked([event]);
                self.fail_in_a_row();
                true
            }
            EventOutcome::WaitsForEarlierEvent => {
                self.count_as_parked([event]);
                true
            }
            EventOutcome::NotSent { group } => {
                self.count_as_parked([event]);
                self.blocked.insert(group);
                self.fail_in_a_row();
                true
            }
            EventOutcome::HeldByAnother => {
                self.count_as_parked([event]);
                false
            }
            EventOutcome::NotTaken => {
                self.count_as_parked([event]);
                self.fail_in_a_row();
                false
            }
            EventOutcome::Unsendable => {
                self.count_as_parked([event]);
                self.report.unsendable += 1;
                true
            }
        }
    }

    fn fail_in_a_row(&mut self) {
        self.failures_in_a_row += 1;
        self.has_given_up |= self.failures_in_a_row >= GIVE_UP_AFTER;
    }

    /// Counts events that stay parked.
    fn count_as_parked<'a>(&mut self, events: impl IntoIterator<Item = &'a Pending>) {
        for event in events {
            self.still_parked += 1;
            let first = self.oldest.map_or(event.received_at, |oldest| oldest.min(event.received_at));
            self.oldest = Some(first);
        }
    }
}

impl<S: Store, Q: Sink, C: Clock> Redrive<S, Q, C> {
    /// The sequence that sends what is parked in `store` to `sink`. A record counts for `dedup_ttl` after its event was sent.
    pub fn new(store: S, sink: Q, clock: C, dedup_ttl: Duration) -> Self {
        Self { store, sink, clock, dedup_ttl }
    }

    /// Sends what it can until `deadline`, when the process is killed. `run_id` is the fencing token of its leases, so no other
    /// run may have the same.
    pub async fn run(&self, run_id: &str, deadline: UnixMillis) -> RunReport {
        let start = self.clock.instant();
        let lists = Semaphore::new(MAX_CONCURRENT_LISTS);
        let run = Run { id: run_id, deadline, lists, progress: Mutex::default() };
        // What earlier versions parked is older than what is in the other shards, and may be of the same groups.
        if self.redrive_shard(Shard::EARLIER, &run).await {
            join_all(Shard::all().map(|shard| self.redrive_shard(shard, &run))).await;
        }
        let progress = run.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let waiting = |received_at: UnixMillis| received_at.until(self.clock.now());
        let still_parked = StillParked {
            events: progress.still_parked,
            oldest: progress.oldest.map(waiting).unwrap_or_default(),
        };
        RunReport {
            still_parked: (!progress.is_list_incomplete).then_some(still_parked),
            total: self.clock.instant() - start,
            ..progress.report
        }
    }

    /// Lists a shard page by page, and sends what is in it. Returns whether it came to the end: every event was sent, or stands
    /// in no other shard's way.
    async fn redrive_shard(&self, shard: Shard, run: &Run<'_>) -> bool {
        let mut last: Option<Pending> = None;
        loop {
            let Some(page) = self.list(shard, last.as_ref(), run).await else { return false };
            for (n, event) in page.iter().enumerate() {
                // An event is not begun if there might be too little time to finish it.
                let is_late = self.clock.now().until(run.deadline) <= EVENT_BUDGET;
                if is_late || run.progress().has_given_up {
                    run.progress().count_as_parked(page.iter().skip(n));
                    return false;
                }
                let outcome = self.redrive_event(event, run).await;
                if !run.progress().count(event, outcome) {
                    run.progress().count_as_parked(page.iter().skip(n + 1));
                    return false;
                }
            }
            if page.len() < EVENTS_PER_LIST {
                return true;
            }
            last = page.last().cloned();
        }
    }

    /// The next page of a shard; absent if the store could not be asked.
    async fn list(&self, shard: Shard, after: Option<&Pending>, run: &Run<'_>) -> Option<Vec<Pending>> {
        // Nobody closes the semaphore, so this is always a permit.
        let _permit = run.lists.acquire().await;
        let until = self.clock.instant() + EVENT_BUDGET;
        match run_until(&self.clock, until, self.store.pending(shard, after, EVENTS_PER_LIST)).await {
            Ok(page) => Some(page),
            Err(error) => {
                run.fail("list", "", &error);
                let mut progress = run.progress();
                progress.fail_in_a_row();
                progress.is_list_incomplete = true;
                None
            }
        }
    }

    /// Takes, sends and confirms one event.
    async fn redrive_event(&self, event: &Pending, run: &Run<'_>) -> EventOutcome {
        let now = self.clock.now();
        let budget = Budget::new(self.clock.instant(), EVENT_BUDGET, now.until(run.deadline))
            .with_lease_until(now.after(EVENT_BUDGET));
        let claim = Claim {
            event_id: event.event_id.clone(),
            owner: run.id.to_owned(),
            received_at: now,
            lease_until: now.after(EVENT_BUDGET).after(LEASE_MARGIN),
            expires_at: now.after(self.dedup_ttl).in_seconds(),
        };
        let taken = run_until(&self.clock, budget.record_until(), self.store.take(&claim)).await;
        let (lease, parked) = match taken {
            Ok(Taken::Yours { lease, message }) => (lease, message),
            Ok(Taken::Unreadable(error)) => {
                run.fail("read", &event.event_id, &error);
                return EventOutcome::Unsendable;
            }
            Ok(Taken::Held) => return EventOutcome::HeldByAnother,
            Ok(Taken::NotParked) => return EventOutcome::NotParkedAnyMore,
            Err(error) => {
                run.fail("take", &event.event_id, &error);
                return EventOutcome::NotTaken;
            }
        };
        let message = match Message::from_parked(&parked) {
            Ok(message) => message,
            // The parser's own error might quote the message.
            Err(error) => {
                let unreadable = Unreadable { line: error.line(), column: error.column() };
                run.fail("read", &event.event_id, &unreadable);
                return EventOutcome::Unsendable;
            }
        };
        let group = message.conversation_group.clone();
        if run.progress().blocked.contains(&group) {
            return EventOutcome::WaitsForEarlierEvent;
        }
        match run_until(&self.clock, budget.send_until(), self.sink.send(&message)).await {
            Ok(()) => self.confirm(lease, event, &budget, run).await,
            Err(error) => {
                run.fail("send", &event.event_id, &error);
                match error {
                    StepError::Failed(error) if error.is_due_to_the_message() => EventOutcome::Unsendable,
                    StepError::Failed(_) | StepError::TimedOut => EventOutcome::NotSent { group },
                }
            }
        }
    }

    /// Confirms that an event is on the queue.
    async fn confirm(&self, lease: Lease, event: &Pending, budget: &Budget, run: &Run<'_>) -> EventOutcome {
        match settle(&self.clock, budget.settle_until(), self.store.confirm(lease)).await {
            Ok(()) => EventOutcome::Forwarded,
            Err(error) => {
                run.fail("confirm", &event.event_id, &error);
                EventOutcome::NotConfirmed
            }
        }
    }
}

/// The parked text is no message that this version of the program can read.
#[derive(Debug)]
struct Unreadable {
    line: usize,
    column: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column } = self;
        write!(f, "the parked message is none of this version, from line {line}, column {column} on")
    }
}

impl Error for Unreadable {}

#[cfg(test)]
mod tests;
