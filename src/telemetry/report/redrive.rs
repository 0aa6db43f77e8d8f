//! What is known of one run of the redrive when it is over.

use std::error::Error;
use std::time::Duration;

use super::with_causes;

/// The log line of a run keeps this many errors. More of them say nothing new.
pub const MAX_ERRORS: usize = 20;

/// What one run of the redrive did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Put on the queue and confirmed.
    pub redriven: u64,
    /// Not sent, or not known to be; or sent, and not confirmed.
    pub failed: u64,
    /// What is still parked; unknown when the store did not say.
    pub still_parked: Option<StillParked>,
    /// How long it took.
    pub total: Duration,
    /// What failed, with its causes, for the log only.
    pub errors: Vec<String>,
}

/// What is still parked, of what was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillParked {
    /// How many events: up to [`PAGE`], for so many are listed at a time.
    pub events: u64,
    /// For how long the one that was received first has been waiting.
    pub oldest: Duration,
}

impl RunReport {
    /// Whether nothing failed and nothing is left.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.still_parked.is_some_and(|parked| parked.events == 0)
    }

    /// Counts a failure of `step`, and keeps the error with its causes unless there are many already. `event_id` is empty
    /// where the step is about no single event.
    pub fn fail(&mut self, step: &str, event_id: &str, error: &(dyn Error + 'static)) {
        self.failed += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(format!("{step} {event_id}: {}", with_causes(error)));
        }
    }
}
