//! How the time of one invocation is shared among its steps.
//!
//! Slack waits 3 seconds for an answer. The answer must leave before that, whatever a dependency does, and a step that is cut
//! off must leave time to those that clean up after it. For each step there is a point in time by which it is over, counted
//! from the start of the invocation:
//!
//! ```text
//! 0 %          25 %            50 %      70 %          87 %        100 %
//! ├─ re-read ──┤               │                       │            │   reads the signing secret again after a mismatch
//! ├─────────── record ─────────┤                       │            │   if the store hangs, there is time left to send
//! ├─────────── leave ────────────────────┤             │            │   only the last attempt; likewise
//! ├─────────────────────────── send ───────────────────┤            │   if the queue hangs, there is time left to undo
//! ├─────────────────────────── the fast path ────────────── 94 % ─┤ │   beside the send, where a rule calls somebody
//! ├───────────────────────────────────────────── delete or park ────┤
//! ```
//!
//! The points are fixed and the durations are not: a step that ends early leaves its time to the next one.

use std::time::Duration;
use tokio::time::Instant;

use crate::time::clock::{Moment, UnixMillis};

/// The steps end this long before Lambda kills the invocation, so that the answer can still reach the Lambda service.
const RESPONSE_MARGIN: Duration = Duration::from_millis(50);

/// A confirm that has not succeeded after this time will not: each call has a shorter timeout of its own.
const MAX_CONFIRM: Duration = Duration::from_secs(45);

/// The points in time by which the steps of one invocation are over.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    start: Instant,
    total: Duration,
    confirm_until: Instant,
    lease_until: UnixMillis,
}

impl Budget {
    /// The budget of an invocation that began at `start`. Its steps may take `ack_budget`, or until shortly before Lambda kills
    /// the invocation after `remaining`, whichever is shorter.
    pub fn new(start: Instant, ack_budget: Duration, remaining: Duration) -> Self {
        let remaining = remaining.saturating_sub(RESPONSE_MARGIN);
        Self {
            start,
            total: ack_budget.min(remaining),
            confirm_until: start + remaining.min(MAX_CONFIRM),
            lease_until: UnixMillis::END_OF_TIME,
        }
    }

    /// The same budget for an invocation whose lease is over at `lease_until`, by the wall clock of this machine. A step that
    /// only the holder of the lease may take does not begin after that, whatever the monotonic clock says.
    #[must_use]
    pub fn with_lease_until(self, lease_until: UnixMillis) -> Self {
        Self { lease_until, ..self }
    }

    fn at_percent(&self, percent: u32) -> Instant {
        self.start + self.total * percent / 100
    }

    /// The signing secret has been read again by then, or the read is cut off.
    pub fn reread_until(&self) -> Instant {
        self.at_percent(25)
    }

    /// The record is written by then, or the write is cut off.
    pub fn record_until(&self) -> Moment {
        Moment { instant: self.at_percent(50), wall: self.lease_until }
    }

    /// The event is left in another invocation's record by then, or the write is cut off.
    pub fn leave_until(&self) -> Instant {
        self.at_percent(70)
    }

    /// The message is sent by then, or the send is cut off.
    pub fn send_until(&self) -> Moment {
        Moment { instant: self.at_percent(87), wall: self.lease_until }
    }

    /// What the fast path calls has answered by then, or is cut off, so that the answer is not late for it. It runs beside the send.
    pub fn fast_path_until(&self) -> Moment {
        Moment { instant: self.at_percent(94), wall: UnixMillis::END_OF_TIME }
    }

    /// The record is deleted or parked by then, or it stays as it is until its lease is over. The answer depends on both.
    pub fn settle_until(&self) -> Instant {
        self.at_percent(100)
    }

    /// The record is confirmed by then, or it stays in flight until its lease is over. A confirm comes after the answer, so Slack's
    /// patience does not bound it, but only the end of the invocation: a record that is confirmed late is better than an event
    /// that is sent twice.
    pub fn confirm_until(&self) -> Instant {
        self.confirm_until
    }
}

/// The time-outs of one call to a service. They are short enough that an attempt that hangs leaves time for a second one.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeouts {
    /// How long the TCP and TLS handshakes may take.
    pub connect: Duration,
    /// How long one attempt may take, connecting included.
    pub attempt: Duration,
    /// How long all attempts may take together.
    pub operation: Duration,
}

impl CallTimeouts {
    /// The time-outs for a budget. For the default `ACK_BUDGET_MS` of 2,500 they are 500 ms, 600 ms and 2.5 s.
    pub fn for_budget(ack_budget: Duration) -> Self {
        Self { connect: ack_budget * 20 / 100, attempt: ack_budget * 24 / 100, operation: ack_budget }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::{Clock, SystemClock};

    #[test]
    fn the_steps_end_in_their_order_and_the_last_one_with_the_budget() {
        let start = SystemClock.instant();
        let budget = Budget::new(start, Duration::from_millis(2500), Duration::from_secs(10));
        let points = [
            budget.reread_until(),
            budget.record_until().instant,
            budget.leave_until(),
            budget.send_until().instant,
            budget.fast_path_until().instant,
            budget.settle_until(),
        ];
        assert_eq!(
            points.map(|point| point - start),
            [625, 1250, 1750, 2175, 2350, 2500].map(Duration::from_millis)
        );
    }

    #[test]
    fn the_invocations_own_deadline_is_kept_when_it_comes_first() {
        let start = SystemClock.instant();
        let budget = Budget::new(start, Duration::from_millis(2500), Duration::from_millis(1050));
        assert_eq!(budget.settle_until() - start, Duration::from_secs(1));
        let over = Budget::new(start, Duration::from_millis(2500), Duration::ZERO);
        assert_eq!((over.settle_until(), over.confirm_until()), (start, start));
    }

    #[test]
    fn a_confirm_has_the_rest_of_the_invocation_and_never_longer_than_its_bound() {
        let start = SystemClock.instant();
        for (remaining, expected) in [
            (Duration::from_millis(5050), Duration::from_secs(5)),
            (Duration::from_secs(900), Duration::from_secs(45)),
            (Duration::MAX, Duration::from_secs(45)),
        ] {
            let budget = Budget::new(start, Duration::from_millis(2500), remaining);
            assert_eq!(budget.confirm_until() - start, expected, "{remaining:?}");
        }
    }

    #[test]
    fn two_attempts_fit_into_the_time_of_a_record() {
        let CallTimeouts { connect, attempt, operation } =
            CallTimeouts::for_budget(Duration::from_millis(2500));
        assert_eq!([connect, attempt, operation], [500, 600, 2500].map(Duration::from_millis));
        assert!(attempt * 2 <= Duration::from_millis(1250));
    }
}
