//! Sends what is parked: the events that the queue did not take on Slack's last attempt. Only this file knows the order of a
//! run.
//!
//! ```text
//! list ─▶ for each event, in the order in which the ingress received them: take ─▶ send ─▶ confirm
//! ```
//!
//! A run may crash anywhere, may find the queue still down, and may run beside another run. `take` gives the same kind of lease
//! as an invocation of the ingress has: of two runs only one sends an event, and an event that a crashed run had taken is free
//! when its lease is over. If a run crashes between send and confirm, the next run sends the message again. A FIFO queue drops
//! the second one for five minutes, and the next run comes within one.
//!
//! In reading order: [`Redrive::run`], `redrive_one_list`, `redrive_event`. This room imports `dedup`, `sink`, `telemetry` (the
//! report) and `time`.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::dedup::settling::settle;
use crate::dedup::{Claim, LEASE_MARGIN, Lease, Pending, Store, Taken};
use crate::sink::message::Message;
use crate::sink::{SendError, Sink};
use crate::telemetry::report::redrive::{RunReport, StillParked};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};

/// How long one event may take. Nobody waits for a run, so there is time for a second attempt of each call.
pub const EVENT_BUDGET: Duration = Duration::from_secs(5);

/// How many parked events are listed at a time. A list has only their ids and times, and is about 100 KB.
pub const EVENTS_PER_LIST: usize = 1000;

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

/// What became of one parked event in a run.
enum EventOutcome {
    /// The event is on the queue, and its record says so.
    Forwarded,
    /// The event is not parked any more: another run sent it.
    NotParkedAnyMore,
    /// Another owner holds a live lease on the event, and may be sending it at this moment.
    HeldByAnother,
    /// An earlier event of the same conversation was not sent, and this one must not overtake it.
    WaitsForEarlierEvent,
    /// The store or the queue failed. The event stays parked for the next run.
    Failed {
        /// The conversation of an event that was not sent: its later events have to wait for this one. Absent if they need not.
        conversation: Option<String>,
    },
    /// The event cannot be read, or is larger than the queue takes. It stays parked, and no other event waits for it.
    Unsendable,
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
        let mut run = RunReport::default();
        let mut blocked = HashSet::new();
        while self.redrive_one_list(run_id, deadline, &mut blocked, &mut run).await {}
        run.total = self.clock.instant() - start;
        run
    }

    /// Lists what is parked and goes through the list. Returns whether to list again: the list was full, there may be more, and
    /// some of it has been sent.
    async fn redrive_one_list(
        &self,
        run_id: &str,
        deadline: UnixMillis,
        blocked: &mut HashSet<String>,
        run: &mut RunReport,
    ) -> bool {
        let until = self.clock.instant() + EVENT_BUDGET;
        let listed = match run_until(&self.clock, until, self.store.pending(EVENTS_PER_LIST)).await {
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
            // An event is not begun if there might be too little time to finish it.
            if self.clock.now().until(deadline) <= EVENT_BUDGET {
                left.push(event);
                break;
            }
            match self.redrive_event(event, run_id, deadline, blocked, run).await {
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
                // The events after it could belong to the same conversation, and must not overtake it.
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
        listed.len() == EVENTS_PER_LIST && forwarded > 0 && !stopped
    }

    /// Takes, sends and confirms one event.
    async fn redrive_event(
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
            // The parser's own error might quote the message.
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

    /// Confirms that an event is on the queue.
    async fn confirm(
        &self,
        lease: Lease,
        event: &Pending,
        budget: &Budget,
        run: &mut RunReport,
    ) -> EventOutcome {
        match settle(&self.clock, budget.settle_until(), self.store.confirm(lease)).await {
            Ok(()) => EventOutcome::Forwarded,
            Err(error) => {
                run.fail("confirm", &event.event_id, &error);
                EventOutcome::Failed { conversation: None }
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
