//! What is known when a piece of work is over: a request that the ingress answered, a run of the redrive, a message that the
//! dispatcher was given. The functions fill these in, [`crate::telemetry::metrics`] writes them down.

#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod redrive;

use std::error::Error;

/// An error and its causes in one line: each says only its own part.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
