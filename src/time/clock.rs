//! The only file that reads a clock; `clippy.toml` forbids it everywhere else.
//!
//! There are two clocks, for two questions. The wall clock says what time it is. Execution environments share its times through
//! the store: leases, expiry, Slack's timestamp. The monotonic clock says how much time is left, and its times never leave the
//! process.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A point in time by the wall clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The last point in time, for a deadline that never comes.
    pub const END_OF_TIME: Self = Self(u64::MAX);

    /// The point in time that is `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The point in time that is `seconds` seconds after the epoch, or [`UnixMillis::END_OF_TIME`] if that is past the last one.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The number of milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The number of whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The same point in time in whole seconds, rounded down.
    pub const fn in_seconds(self) -> UnixSeconds {
        UnixSeconds(self.as_secs())
    }

    /// The point in time in whole seconds, as `2026-11-28T12:00:00Z`.
    pub fn to_utc(self) -> String {
        let seconds = i64::try_from(self.as_secs()).unwrap_or(i64::MAX);
        // What is past the last year that can be written is written as nothing.
        DateTime::from_secs(seconds).fmt(Format::DateTime).unwrap_or_default()
    }

    /// The point in time that is `duration` later, or [`UnixMillis::END_OF_TIME`] if that is past the last one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long it is from this point in time until `later`; zero if `later` is not later.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A point in time by the wall clock, in whole seconds since the Unix epoch, as DynamoDB's TTL and Slack's timestamps have it.
/// It is a type of its own, so that nobody compares it with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// The point in time that is `seconds` seconds after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The number of seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

/// A point in time by both clocks of this machine. It is past as soon as one of them says so.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the monotonic clock.
    pub instant: Instant,
    /// By the wall clock, which may be wrong.
    pub wall: UnixMillis,
}

impl Moment {
    /// The earlier of two, by each clock.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { instant: self.instant.min(other.instant), wall: self.wall.min(other.wall) }
    }

    /// The point in time that is `duration` later, by each clock.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { instant: self.instant + duration, wall: self.wall.after(duration) }
    }
}

impl From<Instant> for Moment {
    /// A point in time by the monotonic clock alone.
    fn from(instant: Instant) -> Self {
        Self { instant, wall: UnixMillis::END_OF_TIME }
    }
}

/// What the steps ask about time. It is a trait so that a test can answer instead of the machine.
pub trait Clock: Send + Sync {
    /// What time it is, by the wall clock.
    fn now(&self) -> UnixMillis;
    /// What time it is, by the monotonic clock that Tokio's timers run by.
    fn instant(&self) -> Instant;

    /// What time it is, by both clocks.
    fn moment(&self) -> Moment {
        Moment { instant: self.instant(), wall: self.now() }
    }

    /// Whether a point in time is past by one of the clocks.
    fn is_past(&self, moment: Moment) -> bool {
        self.instant() >= moment.instant || self.now() > moment.wall
    }

    /// Waits until the monotonic clock says that it is `at`.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        sleep_until(at)
    }
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> UnixMillis {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(0).after(since_epoch)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}
