//! Runs one step of a sequence, such as a call to a store or a queue, and cuts it off at a point in time.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::time::clock::{Clock, Moment};

/// Why a step did not succeed.
#[derive(Debug)]
pub enum StepError<E> {
    /// The step returned this error.
    Failed(E),
    /// The step was cut off, or its time was over before it began. It is unknown whether a step that was cut off took effect.
    TimedOut,
}

/// Runs `step`, and drops it if it is not over at `until`.
///
/// If `until` is past already, the step does not even begin: a process that was stopped must not wake up and send an event that
/// another invocation has taken over since. The monotonic clock is always asked; the wall clock too, if `until` is a [`Moment`]
/// with a time by it. Then either of them can end the step: the monotonic clock stands still while a virtual machine is paused,
/// and the wall clock may be set back.
///
/// # Errors
/// When the step failed, was cut off, or did not begin.
pub async fn run_until<T, E>(
    clock: &impl Clock,
    until: impl Into<Moment>,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, StepError<E>> {
    let until = until.into();
    if clock.instant() >= until.instant || clock.now() > until.wall {
        return Err(StepError::TimedOut);
    }
    let (mut step, mut over) = (pin!(step), pin!(clock.sleep_until(until.instant)));
    poll_fn(|context| match step.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.map_err(StepError::Failed)),
        Poll::Pending => over.as_mut().poll(context).map(|()| Err(StepError::TimedOut)),
    })
    .await
}

impl<E: fmt::Display> fmt::Display for StepError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut => f.write_str("no answer within the time that is left for it"),
        }
    }
}

impl<E: Error> Error for StepError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::TimedOut => None,
        }
    }
}
