//! What is known of one run of the redrive when it is over.

use std::error::Error;
use std::time::Duration;

use super::Errors;

/// A report keeps this many errors. When a service is down, one event after the other fails in the same way.
pub const MAX_ERRORS: usize = 20;

/// What one run of the redrive did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// How many events were put on the queue and confirmed.
    pub redriven: u64,
    /// How many steps failed. Their events were not sent, or are not known to be, or were sent and not confirmed.
    pub failed: u64,
    /// How many events were not sent and never will be, because nobody can read them or no queue takes them. They stay parked, and
    /// each of them is among the failed steps too.
    pub unsendable: u64,
    /// What is still parked; absent when the store could not be listed.
    pub still_parked: Option<StillParked>,
    /// How long the run took.
    pub total: Duration,
    /// What failed, up to [`MAX_ERRORS`] lines.
    pub errors: Errors,
}

/// How much is still parked when a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillParked {
    /// How many of the events that the run has listed. There are more if it ended before it had listed them all, because the
    /// queue was down or the time was over.
    pub events: u64,
    /// How long the event that was received first has been waiting; zero if none is parked.
    pub oldest: Duration,
}

impl RunReport {
    /// Whether nothing failed, and it is known that nothing is parked any more.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.still_parked.is_some_and(|parked| parked.events == 0)
    }

    /// Counts a failure of `step`, and keeps the error unless there are [`MAX_ERRORS`] already. `event_id` is empty for a step
    /// that is about no single event.
    pub fn fail(&mut self, step: &str, event_id: &str, error: &(dyn Error + 'static)) {
        self.failed += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.add(&format!("{step} {event_id}"), error);
        }
    }
}
