//! What time it is at the beginning of an invocation, although the clock of the machine may be wrong.
//!
//! Leases are compared across execution environments, so a wrong clock is not its owner's problem alone. One that is behind
//! writes leases that are over for everybody else. One that is ahead takes over leases that are not over. Two others know the
//! time as well: API Gateway says when it received the request, and Slack has signed when it sent it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::time::clock::UnixMillis;

/// The own clock is taken at its word if it is not further than this ahead of API Gateway's. A request that takes longer from
/// there to the function is taken to have come sooner, which makes a lease end late and never early.
pub const TOLERATED: Duration = Duration::from_secs(2);

/// A time that differs from the own clock by more than this is not used: tools that imitate API Gateway put a constant in its
/// place. It is the five minutes for which a signature is good, since with a clock that is further off no signature verifies; and
/// ten seconds for what a request may take from API Gateway to the function.
const PLAUSIBLE: Duration = Duration::from_secs(310);

/// What time it is when the own clock says `own`, API Gateway received the request at `gateway`, and Slack sent it at
/// `signed_at`:
///
/// - If API Gateway's time is plausible, the own time, but not before API Gateway's and at most [`TOLERATED`] after it.
/// - Otherwise the own time; or Slack's, if that is plausible and later.
pub fn corrected(own: UnixMillis, gateway: Option<UnixMillis>, signed_at: Option<UnixMillis>) -> UnixMillis {
    match gateway.filter(|gateway| distance(own, *gateway) <= PLAUSIBLE) {
        Some(gateway) => own.clamp(gateway, gateway.after(TOLERATED)),
        // A load balancer says no time. Slack's is no later than now, and a replay's is earlier.
        None => {
            signed_at.filter(|signed_at| distance(own, *signed_at) <= PLAUSIBLE).map_or(own, |at| own.max(at))
        }
    }
}

fn distance(a: UnixMillis, b: UnixMillis) -> Duration {
    a.until(b).max(b.until(a))
}

/// The clock of this execution environment is so wrong that somebody should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongClock {
    /// It is this much behind API Gateway's clock or Slack's. The invocation went by theirs.
    Behind(Duration),
    /// It is this much ahead of API Gateway's clock. The invocation went by that.
    Ahead(Duration),
    /// It says that the invocation's time is over, and there is no other clock to ask. Nothing can be begun.
    PastTheDeadline(Duration),
}

/// What is wrong with a clock that says `own` when it is `now` and the invocation ends at `deadline`; `None` if it is near
/// enough.
pub fn wrong_clock(own: UnixMillis, now: UnixMillis, deadline: UnixMillis) -> Option<WrongClock> {
    if own.until(now) > TOLERATED {
        Some(WrongClock::Behind(own.until(now)))
    } else if now.until(own) > TOLERATED {
        Some(WrongClock::Ahead(now.until(own)))
    } else if now >= deadline {
        Some(WrongClock::PastTheDeadline(deadline.until(now)))
    } else {
        None
    }
}

impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(by) => {
                write!(f, "the clock of this execution environment is {} ms behind", by.as_millis())
            }
            Self::Ahead(by) => {
                write!(f, "the clock of this execution environment is {} ms ahead", by.as_millis())
            }
            Self::PastTheDeadline(by) => write!(
                f,
                "the clock of this execution environment is {} ms past the invocation's deadline: it is wrong, or the \
                 execution environment was stopped",
                by.as_millis()
            ),
        }
    }
}

impl Error for WrongClock {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A millisecond of the year 2027.
    fn at(millis: i64) -> UnixMillis {
        UnixMillis::from_millis(1_800_000_000_000_u64.saturating_add_signed(millis))
    }

    #[test]
    fn the_gateways_clock_bounds_the_own_one_on_both_sides() {
        for (own, expected) in [
            (-300_000, 0),
            (-60_000, 0),
            (-1, 0),
            (0, 0),
            (700, 700),
            (2_000, 2_000),
            (2_001, 2_000),
            (6_000, 2_000),
            (300_000, 2_000),
        ] {
            assert_eq!(corrected(at(own), Some(at(0)), None), at(expected), "{own}");
            assert_eq!(corrected(at(own), Some(at(0)), Some(at(-200_000))), at(expected), "{own}: a replay");
        }
    }

    #[test]
    fn a_gateways_time_that_cannot_be_is_not_used() {
        for gateway in [
            UnixMillis::from_millis(0),
            UnixMillis::from_millis(1_583_348_638_390),
            at(400_000),
            at(-400_000),
        ] {
            assert_eq!(corrected(at(0), Some(gateway), None), at(0), "{gateway:?}");
        }
    }

    #[test]
    fn without_a_gateways_time_it_is_not_before_slack_signed() {
        for (own, signed_at, expected) in
            [(-60_000, 0, 0), (-300_000, 0, 0), (0, -60_000, 0), (5, 5, 5), (-400_000, 0, -400_000)]
        {
            assert_eq!(corrected(at(own), None, Some(at(signed_at))), at(expected), "{own} {signed_at}");
        }
        assert_eq!(corrected(at(7), None, None), at(7));
    }

    #[test]
    fn a_clock_is_called_wrong_when_it_is_further_off_than_tolerated() {
        let second = Duration::from_secs(1);
        for (own, now, expected) in [
            (0, 2_000, None),
            (2_000, 0, None),
            (0, 3_000, Some(WrongClock::Behind(3 * second))),
            (3_000, 0, Some(WrongClock::Ahead(3 * second))),
            (4_999, 4_999, None),
            (5_000, 5_000, Some(WrongClock::PastTheDeadline(Duration::ZERO))),
            (6_000, 6_000, Some(WrongClock::PastTheDeadline(second))),
        ] {
            assert_eq!(wrong_clock(at(own), at(now), at(5_000)), expected, "{own} {now}");
        }
    }
}
