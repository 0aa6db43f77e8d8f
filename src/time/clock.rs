//! The only place that reads a clock.
//!
//! Two clocks, for two questions. *When is it?* is asked of the wall clock and shared between execution
//! environments through the store (leases, expiry, Slack's timestamp). *How long have we got?* is asked
//! of the monotonic clock and never leaves the process. `clippy.toml` forbids reading either elsewhere.

use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds since the Unix epoch, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// No time is later.
    pub const END_OF_TIME: Self = Self(u64::MAX);

    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The same time in whole seconds, rounded down.
    pub const fn in_seconds(self) -> UnixSeconds {
        UnixSeconds(self.as_secs())
    }

    /// This time plus `duration`; at the end of time it stays there.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long until `later`; zero if that is past.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Seconds since the Unix epoch, by the wall clock: the unit of DynamoDB's TTL and of Slack's timestamps. A type of its own, so
/// that nobody compares it with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// The time `seconds` seconds after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

/// What the steps ask about time, so that a test can answer.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixMillis;
    /// The monotonic clock, the one that Tokio's timers run by.
    fn instant(&self) -> Instant;
}

/// The machine's own clocks.
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
