//! Sending what is parked: the events that the queue did not take on Slack's last attempt.
//!
//! ```text
//! list ─▶ for each, the first received first: take ─▶ send ─▶ confirm
//! ```
//!
//! A run may crash anywhere, meet a queue that is still down, and run beside another. The lease that `take`
//! gives is what an invocation of the ingress has: of two runs one sends, and what a dead one had taken is
//! free again when its lease is over. A run that dies between send and confirm leaves a message that is sent
//! once more; a FIFO queue knows it again for five minutes, and the next run comes within one.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::dedup::{Claim, LEASE_MARGIN, Lease, Pending, Settled, Store, Taken};
use crate::sink::message::Message;
use crate::sink::{SendError, Sink};
use crate::telemetry::report::redrive::{RunReport, StillParked};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};

/// How long one event may take; nobody waits for it, so each call has a second chance.
pub const EVENT_BUDGET: Duration = Duration::from_secs(5);

/// How many are listed at a time. Keys only: about 100 KB.
pub const PAGE: usize = 1000;

/// After this many failures in a row the queue counts as down, and the rest is left to the next run.
const GIVE_UP_AFTER: u32 = 10;

/// What is parked, and where it goes.
#[derive(Debug)]
pub struct Redrive<S, Q, C> {
    store: S,
    sink: Q,
    clock: C,
    dedup_ttl: Duration,
}

/// What became of one event.
enum EventOutcome {
    /// It is on the queue, and its record says so.
    Forwarded,
    /// Another run was faster.
    NotParkedAnyMore,
    /// Somebody holds it who may be sending it right now.
    HeldByAnother,
    /// An earlier one of its conversation was not sent, so this one must wait.
    WaitsForEarlierEvent,
    /// A service failed: it stays for the next run.
    Failed {
        /// If it was not sent, the others of this conversation wait for it.
        conversation: Option<String>,
    },
    /// It cannot be read, or no queue takes it: it stays, and nothing waits for it.
    Unsendable,
}

impl<S: Store, Q: Sink, C: Clock> Redrive<S, Q, C> {
    /// From `store` to `sink`; an id is remembered for `dedup_ttl` after its event was sent.
    pub fn new(store: S, sink: Q, clock: C, dedup_ttl: Duration) -> Self {
        Self { store, sink, clock, dedup_ttl }
    }

    /// Sends what it can until `deadline`, when the process is killed. `run_id` is the fencing token of its
    /// leases: no other run may have the same.
    pub async fn run(&self, run_id: &str, deadline: UnixMillis) -> RunReport {
        let start = self.clock.instant();
        let mut run = RunReport::default();
        let mut blocked = HashSet::new();
        while self.page(run_id, deadline, &mut blocked, &mut run).await {}
        run.total = self.clock.instant() - start;
        run
    }

    /// Goes through a list of what is parked. Whether to list again: there was more than a list holds, and this
    /// one has become shorter.
    async fn page(
        &self,
        run_id: &str,
        deadline: UnixMillis,
        blocked: &mut HashSet<String>,
        run: &mut RunReport,
    ) -> bool {
        let until = self.clock.instant() + EVENT_BUDGET;
        let listed = match run_until(&self.clock, until, self.store.pending(PAGE)).await {
            Ok(listed) => listed,
            Err(error) => {
                run.fail("list", "", &error);
                run.still_parked = None;
                return false;
            }
        };
        let mut left = Vec::new();
        let mut failures_in_a_row = 0;
        let mut forwarded = 0;
        let mut events = listed.iter();
        for event in events.by_ref() {
            // Nothing is begun that might not be finished.
            if self.clock.now().until(deadline) <= EVENT_BUDGET {
                left.push(event);
                break;
            }
            match self.redrive(event, run_id, deadline, blocked, run).await {
                EventOutcome::Forwarded => {
                    forwarded += 1;
                    failures_in_a_row = 0;
                }
                EventOutcome::NotParkedAnyMore => {}
                EventOutcome::WaitsForEarlierEvent | EventOutcome::Unsendable => left.push(event),
                EventOutcome::Failed { conversation } => {
                    left.push(event);
                    blocked.extend(conversation);
                    failures_in_a_row += 1;
                    if failures_in_a_row == GIVE_UP_AFTER {
                        break;
                    }
                }
                // To pass it would be to overtake it.
                EventOutcome::HeldByAnother => {
                    left.push(event);
                    break;
                }
            }
        }
        let stopped = events.len() > 0;
        left.extend(events);
        run.redriven += forwarded;
        let waiting = |event: &&Pending| event.received_at.until(self.clock.now());
        run.still_parked = Some(StillParked {
            events: u64::try_from(left.len()).unwrap_or(u64::MAX),
            oldest: left.first().map(waiting).unwrap_or_default(),
        });
        listed.len() == PAGE && forwarded > 0 && !stopped
    }

    async fn redrive(
        &self,
        event: &Pending,
        run_id: &str,
        deadline: UnixMillis,
        blocked: &HashSet<String>,
        run: &mut RunReport,
    ) -> EventOutcome {
        let now = self.clock.now();
        let budget = Budget::new(self.clock.instant(), EVENT_BUDGET, now.until(deadline));
        let claim = Claim {
            event_id: event.event_id.clone(),
            owner: run_id.to_owned(),
            received_at: now,
            lease_until: now.after(EVENT_BUDGET).after(LEASE_MARGIN),
            expires_at: now.after(self.dedup_ttl).in_seconds(),
        };
        let taken = run_until(&self.clock, budget.record_until(), self.store.take(&claim)).await;
        let (lease, parked) = match taken {
            Ok(Taken::Yours { lease, message }) => (lease, message),
            Ok(Taken::Held) => return EventOutcome::HeldByAnother,
            Ok(Taken::NotParked) => return EventOutcome::NotParkedAnyMore,
            Err(error) => {
                run.fail("take", &event.event_id, &error);
                return EventOutcome::Failed { conversation: None };
            }
        };
        let message = match Message::from_parked(&parked) {
            Ok(message) => message,
            // The parser's own error might quote the text.
            Err(error) => {
                run.fail("read", &event.event_id, &Unreadable { line: error.line(), column: error.column() });
                return EventOutcome::Unsendable;
            }
        };
        let conversation = message.conversation_group.clone();
        if blocked.contains(&conversation) {
            return EventOutcome::WaitsForEarlierEvent;
        }
        match run_until(&self.clock, budget.send_until(), self.sink.send(&message)).await {
            Ok(()) => self.confirm(lease, event, &budget, run).await,
            Err(error) => {
                run.fail("send", &event.event_id, &error);
                match error {
                    StepError::Failed(SendError::TooLarge) => EventOutcome::Unsendable,
                    _ => EventOutcome::Failed { conversation: Some(conversation) },
                }
            }
        }
    }

    async fn confirm(
        &self,
        lease: Lease,
        event: &Pending,
        budget: &Budget,
        run: &mut RunReport,
    ) -> EventOutcome {
        match run_until(&self.clock, budget.settle_until(), self.store.confirm(lease)).await {
            Ok(Settled::Done) => return EventOutcome::Forwarded,
            Ok(Settled::Lost) => run.fail("confirm", &event.event_id, &LeaseLost),
            Err(error) => run.fail("confirm", &event.event_id, &error),
        }
        EventOutcome::Failed { conversation: None }
    }
}

/// The record is a later run's by now.
#[derive(Debug)]
struct LeaseLost;

impl fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease was lost to a later run")
    }
}

impl Error for LeaseLost {}

/// What is parked is no message of this version.
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
