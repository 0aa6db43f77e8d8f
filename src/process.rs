//! How a function's process begins and ends.

use std::process::ExitCode;

use crate::logging;
use crate::runtime::{Failure, RuntimeApi};

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
