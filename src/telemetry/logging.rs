//! The log beside the metric line: what happens at init, and warnings. JSON lines on standard error.

use serde_json::json;
use std::io::Write;
use std::panic::PanicHookInfo;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Our own code, by the target of its events.
const OURS: &str = "slack_ingress";

/// The libraries log what goes through them below this level: bodies, headers, signatures.
const LIBRARIES: LevelFilter = LevelFilter::WARN;

/// Writes a line to the log as it is: in one write, so that lines of different threads or processes on one
/// pipe stay whole.
pub fn write_line(line: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Logs the one problem that ends the process.
pub fn write_problem(problem: &str) {
    write_line(&json!({ "level": "ERROR", "message": problem }).to_string());
}

/// For the hook that is called at a panic: logs where, and not what, for the message of a panic may quote the
/// data that caused it.
pub fn write_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    write_line(&json!({ "level": "ERROR", "message": "panic", "location": location }).to_string());
}

/// Starts the log with the filter that `RUST_LOG` describes.
///
/// # Errors
/// When there is a log already.
pub fn init(filter: &Targets) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(restrain(filter)).try_init()
}

/// `filter` for our own code; for every other target no more than [`LIBRARIES`], whatever it asks for.
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
