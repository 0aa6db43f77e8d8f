//! The log: JSON lines on standard error, which Lambda hands to CloudWatch Logs. The metric lines of
//! [`crate::telemetry::metrics`] go through here, and beside them warnings, what happens at init, and panics.

use serde_json::json;
use std::io::Write;
use std::panic::PanicHookInfo;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The target that `tracing` gives to the events of our own code.
const OURS: &str = "slack_ingress";

/// The most that a library may log. Below this level the libraries log the bodies, headers and signatures that go through them.
const LIBRARIES: LevelFilter = LevelFilter::WARN;

/// Writes `line` to the log as it is, and ends it. It is one write, so that the lines of several threads or processes on one
/// pipe stay whole.
pub fn write_line(line: &str) {
    // If standard error is gone, there is nobody left to report that to.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Logs the problem that ends the process, as `{"level":"ERROR","message":"…"}`. The problem must quote no secret.
pub fn write_problem(problem: &str) {
    write_line(&json!({ "level": "ERROR", "message": problem }).to_string());
}

/// Logs a panic: where it happened and not its message, because that may quote the data that caused it. The binaries set this
/// as the panic hook.
pub fn write_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    write_line(&json!({ "level": "ERROR", "message": "panic", "location": location }).to_string());
}

/// Starts the log. `filter` is what `RUST_LOG` says, such as `info` or `warn,slack_ingress=debug`; it counts for our own code,
/// and a library logs warnings and errors at the most, whatever the filter says.
///
/// # Errors
/// When the process has started a log already.
pub fn init(filter: &Targets) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(restrain(filter)).try_init()
}

/// The filter with every target but our own held to [`LIBRARIES`].
fn restrain(filter: &Targets) -> Targets {
    let default = filter.default_level().unwrap_or(LevelFilter::OFF);
    let restrained = Targets::new().with_default(default.min(LIBRARIES)).with_target(OURS, default);
    filter.iter().fold(restrained, |restrained, (target, level)| {
        let is_ours = target == OURS || target.starts_with("slack_ingress::");
        restrained.with_target(target, if is_ours { level } else { level.min(LIBRARIES) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn enabled(filter: &str, target: &str, level: Level) -> bool {
        restrain(&filter.parse().unwrap()).would_enable(target, &level)
    }

    #[test]
    fn the_filter_is_kept_for_our_own_code() {
        assert!(enabled("info", "slack_ingress", Level::INFO));
        assert!(!enabled("info", "slack_ingress::ingress", Level::DEBUG));
        assert!(enabled("trace", "slack_ingress::ingress", Level::TRACE));
        assert!(enabled("warn,slack_ingress::ingress=trace", "slack_ingress::ingress", Level::TRACE));
        assert!(!enabled("off", "slack_ingress", Level::ERROR));
    }

    #[test]
    fn no_filter_makes_a_library_say_what_goes_through_it() {
        for filter in ["trace", "debug", "aws_smithy_runtime=trace", "hyper=trace,info"] {
            for target in ["aws_smithy_runtime::client", "aws_sigv4", "lambda_runtime", "hyper"] {
                assert!(!enabled(filter, target, Level::INFO), "{filter} {target}");
            }
        }
        assert!(enabled("trace", "aws_config", Level::WARN));
        assert!(!enabled("error", "aws_config", Level::WARN));
    }
}
