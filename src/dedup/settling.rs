//! The last step about a record: it is confirmed, deleted or parked, and both sequences log in the same words when that
//! fails.

use std::error::Error;
use std::fmt;
use std::future::Future;
use tokio::time::Instant;

use super::{Settled, StoreError};
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};

/// Why a record is not known to say what became of its event.
#[derive(Debug)]
pub enum SettleError {
    /// Another owner has taken the record over, and this call changed nothing.
    LeaseLost,
    /// The store failed, or the time was over. It is unknown whether the record was changed.
    Unknown(StepError<StoreError>),
}

/// Runs `settling`, which is a call of [`Store::confirm`](super::Store::confirm), [`Store::delete`](super::Store::delete) or
/// [`Store::park`](super::Store::park), and cuts it off at `until`.
///
/// # Errors
/// When the record was not changed, or is not known to be. A record that stays in flight is free when its lease is over.
pub async fn settle(
    clock: &impl Clock,
    until: Instant,
    settling: impl Future<Output = Result<Settled, StoreError>>,
) -> Result<(), SettleError> {
    match run_until(clock, until, settling).await {
        Ok(Settled::Done) => Ok(()),
        Ok(Settled::Lost) => Err(SettleError::LeaseLost),
        Err(error) => Err(SettleError::Unknown(error)),
    }
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseLost => f.write_str("the lease was lost to a later invocation"),
            Self::Unknown(error) => error.fmt(f),
        }
    }
}

impl Error for SettleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::LeaseLost => None,
            Self::Unknown(error) => error.source(),
        }
    }
}
