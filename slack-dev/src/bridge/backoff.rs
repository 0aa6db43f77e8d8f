//! How long to wait before the next attempt to open a connection.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses of 1, 2, 4, 8, 16 and then 30 seconds. Each is shortened by a random part of up to a half, so that many clients do not
/// connect at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The pause before the next attempt. Each call makes the following pause longer.
    pub(super) fn pause(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full.mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

/// The pause that Slack asked for, and a random part of up to half a second more.
pub(super) fn pause_of(asked: Duration) -> Duration {
    asked + FIRST.mul_f64(fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_thirty_seconds_and_are_shortened_at_random() {
        let mut backoff = Backoff::default();
        for seconds in [1_u64, 2, 4, 8, 16, 30, 30, 30] {
            let full = Duration::from_secs(seconds);
            let pause = backoff.pause();
            assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
        }
        let firsts: Vec<_> = (0..20).map(|_| Backoff::default().pause()).collect();
        assert!(firsts.iter().any(|pause| *pause != firsts[0]), "always the same: {firsts:?}");
    }

    #[test]
    fn a_pause_that_slack_asked_for_is_never_shortened() {
        for asked in [0, 1, 45, 600].map(Duration::from_secs) {
            let pause = pause_of(asked);
            assert!(pause >= asked && pause <= asked + FIRST, "{pause:?}");
        }
    }
}
