//! How a function's process begins, serves, and ends.

use std::process::ExitCode;

use crate::lambda::runtime::{Event, Failure, RuntimeApi};
use crate::telemetry::logging;
use crate::telemetry::report::with_causes;
use crate::time::clock::{Clock, SystemClock};

/// In Lambda, and in what plays it, the address of the Runtime API.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Runs `work`, which gets the Runtime API if there is one, to its end. What ends it is logged, and told to the
/// Runtime API.
pub async fn run(work: impl AsyncFnOnce(Option<&RuntimeApi>) -> Result<(), String>) -> ExitCode {
    std::panic::set_hook(Box::new(logging::write_panic));
    let runtime = std::env::var(RUNTIME_API).ok().map(|address| RuntimeApi::at(&address));
    let Err(problem) = work(runtime.as_ref()).await else { return ExitCode::SUCCESS };
    logging::write_problem(&problem);
    if let Some(runtime) = runtime {
        // It takes that only from a function that has not asked for an invocation yet; for all others there is
        // the log.
        let _ = runtime.fail_init(Failure { error_type: "Runtime.InitFailed", message: &problem }).await;
    }
    ExitCode::FAILURE
}

/// Serves one invocation after the other: `handle` makes of each its answer, as JSON, and what is left to do when the answer
/// is on its way, which `finish` does. Nobody waits for that; and as long as we do not ask for the next invocation, Lambda
/// does not freeze the environment. `handle` is also told whether the invocation is the process's first.
///
/// An invocation that `handle` cannot read is a failed one, and the next is served.
///
/// # Errors
/// When the Runtime API is gone.
pub async fn serve<T>(
    runtime: &RuntimeApi,
    handle: impl AsyncFn(Event, bool) -> Result<(Vec<u8>, T), String>,
    finish: impl AsyncFn(T),
) -> Result<(), String> {
    let mut cold_start = true;
    loop {
        let event = runtime.next(|| SystemClock.now()).await.map_err(|error| with_causes(&error))?;
        let request_id = event.request_id.clone();
        let responded = match handle(event, cold_start).await {
            Ok((answer, left)) => {
                let responded = runtime.respond(&request_id, answer).await;
                finish(left).await;
                responded
            }
            Err(problem) => {
                logging::write_problem(&problem);
                let failure = Failure { error_type: "Function.EventUnreadable", message: &problem };
                runtime.fail(&request_id, failure).await
            }
        };
        if let Err(error) = responded {
            tracing::error!(request_id, error = with_causes(&error), "the answer was not taken");
        }
        cold_start = false;
    }
}
