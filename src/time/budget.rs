//! How one invocation's time is shared out among its steps.
//!
//! Slack waits 3 seconds. Whatever a dependency does, the answer must leave before that, and a step that
//! is cut off must leave the ones after it time to clean up. So each step has a point, measured from the
//! start of the invocation, by which it is over:
//!
//! ```text
//! 0 %          25 %            50 %                    87 %        100 %
//! ├─ re-read ──┤               │                       │            │   the signing secret, only after a mismatch
//! ├─────────── record ─────────┤                       │            │   leaves a send its time when the store hangs
//! ├─────────────────────────── send ───────────────────┤            │   leaves time to undo
//! ├──────────────────────────────────────── confirm or delete ──────┤
//! ```
//!
//! A step that ends early gives its time to the next: the points are fixed, the durations are not.

use std::time::Duration;
use tokio::time::Instant;

/// Kept free before the invocation's own deadline, for the response to reach the Lambda service.
const RESPONSE_MARGIN: Duration = Duration::from_millis(50);

/// The points by which the steps of one invocation are over.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    start: Instant,
    total: Duration,
}

impl Budget {
    /// The budget of an invocation that started at `start`, may use `ack_budget`, and is killed after
    /// `remaining`. The shorter of the two holds.
    pub fn new(start: Instant, ack_budget: Duration, remaining: Duration) -> Self {
        let total = ack_budget.min(remaining.saturating_sub(RESPONSE_MARGIN));
        Self { start, total }
    }

    fn at_percent(&self, percent: u32) -> Instant {
        self.start + self.total * percent / 100
    }

    /// By when a re-read of the signing secret is over.
    pub fn reread_until(&self) -> Instant {
        self.at_percent(25)
    }

    /// By when the record is written, or given up.
    pub fn record_until(&self) -> Instant {
        self.at_percent(50)
    }

    /// By when the message is sent, or given up.
    pub fn send_until(&self) -> Instant {
        self.at_percent(87)
    }

    /// By when the record is confirmed or deleted, or left to its lease.
    pub fn settle_until(&self) -> Instant {
        self.at_percent(100)
    }
}

/// The time-outs of a single call to a service, cut so that one attempt that hangs leaves room for another.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeouts {
    /// For the TCP and TLS handshakes.
    pub connect: Duration,
    /// For one attempt, connecting included.
    pub attempt: Duration,
    /// For all attempts together.
    pub operation: Duration,
}

impl CallTimeouts {
    /// The time-outs that fit `ack_budget`: at the default of 2.5 s, 500 ms, 600 ms and 2.5 s.
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
        let points =
            [budget.reread_until(), budget.record_until(), budget.send_until(), budget.settle_until()];
        assert!(points.is_sorted_by(|a, b| a < b));
        assert_eq!(budget.settle_until() - start, Duration::from_millis(2500));
    }

    #[test]
    fn the_invocations_own_deadline_is_kept_when_it_comes_first() {
        let start = SystemClock.instant();
        let budget = Budget::new(start, Duration::from_millis(2500), Duration::from_millis(1050));
        assert_eq!(budget.settle_until() - start, Duration::from_secs(1));
        let over = Budget::new(start, Duration::from_millis(2500), Duration::ZERO);
        assert_eq!(over.settle_until(), start);
    }

    #[test]
    fn two_attempts_fit_into_the_time_of_a_record() {
        let CallTimeouts { connect, attempt, operation } =
            CallTimeouts::for_budget(Duration::from_millis(2500));
        assert_eq!([connect, attempt, operation], [500, 600, 2500].map(Duration::from_millis));
        assert!(attempt * 2 <= Duration::from_millis(1250));
    }
}
