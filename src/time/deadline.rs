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
    if clock.is_past(until) {
        return Err(StepError::TimedOut);
    }
    let (mut step, mut over) = (pin!(step), pin!(clock.sleep_until(until.instant)));
    poll_fn(|context| match step.as_mut().poll(context) {
        // An answer that has come counts, however late it is.
        Poll::Ready(result) => Poll::Ready(result.map_err(StepError::Failed)),
        Poll::Pending if clock.now() > until.wall => Poll::Ready(Err(StepError::TimedOut)),
        Poll::Pending => over.as_mut().poll(context).map(|()| Err(StepError::TimedOut)),
    })
    .await
}

/// Lets [`run_until`] look at the clock. A step that is about to make one more request, because the one before was refused, waits
/// for this first: it may have been stopped while it waited for the refusal, and its time may be over.
pub async fn look_at_the_clock() {
    let mut has_looked = false;
    poll_fn(|context| {
        if has_looked {
            return Poll::Ready(());
        }
        has_looked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::UnixMillis;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::time::Instant;

    /// A wall clock that a step can put forward, as if the machine had been paused.
    struct Paused(AtomicU64);

    impl Clock for Paused {
        fn now(&self) -> UnixMillis {
            UnixMillis::from_millis(self.0.load(Ordering::Relaxed))
        }

        #[allow(clippy::disallowed_methods, reason = "Tokio's clock, which stands still in this test")]
        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_was_stopped_makes_no_second_request_and_its_first_answer_counts() {
        for (paused, looks, requests, answers) in
            [(1000, true, 2, true), (1001, true, 1, false), (1001, false, 2, true)]
        {
            let (clock, sent) = (Paused(AtomicU64::new(0)), Cell::new(0));
            let step = async {
                sent.set(1);
                clock.0.store(paused, Ordering::Relaxed);
                if looks {
                    look_at_the_clock().await;
                }
                sent.set(2);
                Ok::<_, ()>(())
            };
            let wall = UnixMillis::from_millis(1000);
            let until = Moment { instant: clock.instant() + Duration::from_secs(60), wall };
            assert_eq!(run_until(&clock, until, step).await.is_ok(), answers, "{paused}");
            assert_eq!(sent.get(), requests, "{paused}");
        }
    }
}
