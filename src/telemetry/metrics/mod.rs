//! The one line that an invocation leaves: a log entry, and CloudWatch metrics in the same breath
//! (Embedded Metric Format, so that no call to CloudWatch stands in the way of an answer).
//!
//! Nothing here comes from a request that Slack did not sign, and neither secret, signature, token nor text is
//! among it.

#[cfg(feature = "dispatch")]
mod dispatch;

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::redrive::Run;
use crate::telemetry::outcome::Outcome;
use crate::telemetry::report::{Report, Timings};
use crate::time::clock::UnixMillis;

#[cfg(feature = "dispatch")]
pub use dispatch::dispatch_line;

/// The CloudWatch namespace.
const NAMESPACE: &str = "SlackIngress";

/// Longer values are cut: an id of Slack's is a few dozen characters long.
const MAX_VALUE_CHARS: usize = 200;

/// Slack's reasons for a retry. A metric's dimension takes no other value, for each costs money.
const RETRY_REASONS: [&str; 6] =
    ["http_timeout", "too_many_redirects", "connection_failed", "ssl_error", "http_error", "unknown_error"];

/// Which invocation, of which function.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The function's name: a dimension of every metric.
    pub function_name: &'a str,
    /// The invocation.
    pub request_id: &'a str,
    /// Whether it is the first of its execution environment.
    pub cold_start: bool,
    /// When the line is written.
    pub now: UnixMillis,
}

/// The line of a run of the redrive, without its end. What is left is a metric also when it is nothing, and is
/// none when it is unknown: an alarm on it takes silence for trouble.
pub fn redrive_line(run: &Run, context: Context<'_>) -> String {
    let mut figures = vec![
        ("Redriven", "Count", json!(run.redriven)),
        ("RedriveFailures", "Count", json!(run.failed)),
        ("RedriveTime", "Milliseconds", json!(millis(run.total))),
    ];
    if let Some(left) = run.left {
        figures.push(("ParkedEvents", "Count", json!(left.events)));
        figures.push(("OldestParkedAge", "Seconds", json!(left.oldest.as_secs())));
    }
    let metrics: Vec<Metric> = figures.iter().map(|&(name, unit, _)| Metric { name, unit }).collect();
    let errors = (!run.errors.is_empty()).then(|| json!(run.errors));
    let fields = [
        (
            "_aws",
            json!({
                "Timestamp": context.now.as_millis(),
                "CloudWatchMetrics": [directive(&["FunctionName"], &metrics)]
            }),
        ),
        ("FunctionName", json!(context.function_name)),
        ("level", json!(if run.failed > 0 { "ERROR" } else { "INFO" })),
        ("request_id", json!(context.request_id)),
        ("cold_start", json!(context.cold_start)),
    ];
    let figures = figures.into_iter().map(|(name, _, figure)| (name, figure));
    let fields = fields.into_iter().chain(figures).chain(errors.map(|errors| ("errors", errors)));
    let line: Map<String, Value> = fields.map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Object(line).to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// The line, without its end.
pub fn line(report: &Report, context: Context<'_>) -> String {
    let trail = &report.trail;
    let counts = counts(report, context.cold_start);
    let durations = durations(&trail.timings);

    let metrics: Vec<Metric> = counts
        .iter()
        .map(|&name| Metric { name, unit: "Count" })
        .chain(durations.iter().map(|&(name, _)| Metric { name, unit: "Milliseconds" }))
        .collect();
    let mut directives = vec![directive(&["FunctionName"], &metrics)];
    let retry_reason = trail.attempt.retry_num.map(|_| retry_reason(report));
    if retry_reason.is_some() {
        let retries = [Metric { name: "Retries", unit: "Count" }];
        directives.push(directive(&["FunctionName", "RetryReason"], &retries));
    }

    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            line.insert(name.to_owned(), value);
        }
    };
    put("_aws", json!({ "Timestamp": context.now.as_millis(), "CloudWatchMetrics": directives }));
    put("FunctionName", json!(context.function_name));
    put("level", json!(level(&report.outcome, !trail.errors.is_empty())));
    put("request_id", json!(context.request_id));
    put("cold_start", json!(context.cold_start));
    put("outcome", json!(report.outcome.as_str()));
    put("reason", json!(report.outcome.reason()));
    if let Some(subject) = &trail.subject {
        put("kind", json!(subject.kind));
        put("type", json!(cut(&subject.event_type)));
        put("event_id", json!(cut(&subject.event_id)));
        put("team_id", json!(subject.team_id.as_deref().map(cut)));
        put("api_app_id", json!(subject.api_app_id.as_deref().map(cut)));
    }
    put("retry_num", json!(trail.attempt.retry_num));
    put("retry_reason", json!(trail.attempt.retry_reason.as_deref().map(cut)));
    put("RetryReason", json!(retry_reason));
    put("Retries", json!(retry_reason.map(|_| 1)));
    for name in counts {
        put(name, json!(1));
    }
    for (name, duration) in durations {
        put(name, json!(millis(duration)));
    }
    if !trail.errors.is_empty() {
        put("errors", json!(trail.errors));
    }
    Value::Object(line).to_string()
}

fn directive(dimensions: &[&str], metrics: &[Metric]) -> Value {
    json!({ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics })
}

/// What this invocation adds one to.
fn counts(report: &Report, cold_start: bool) -> Vec<&'static str> {
    let by_outcome = match report.outcome {
        Outcome::Accepted => Some("Accepted"),
        Outcome::Parked => Some("Parked"),
        Outcome::Duplicate => Some("Duplicates"),
        Outcome::Ignored => Some("Ignored"),
        Outcome::RateLimited => Some("RateLimited"),
        Outcome::Suggestion => Some("Suggestions"),
        Outcome::InFlight => Some("InFlight"),
        Outcome::Unavailable(_) => Some("Unavailable"),
        Outcome::Rejected(_) | Outcome::MethodNotAllowed => Some("Rejected"),
        Outcome::Malformed(_) | Outcome::TooLarge => Some("Malformed"),
        Outcome::Challenge(_) | Outcome::SslCheck => None,
    };
    let also = [
        (report.trail.unguarded, "Unguarded"),
        (report.trail.lost, "Lost"),
        (report.trail.took_over, "LeaseTakeovers"),
        (cold_start, "ColdStarts"),
    ];
    by_outcome
        .into_iter()
        .chain(also.into_iter().filter_map(|(counts, name)| counts.then_some(name)))
        .collect()
}

fn durations(timings: &Timings) -> Vec<(&'static str, Duration)> {
    let steps = [
        ("VerifyTime", timings.verify),
        ("RecordTime", timings.record),
        ("SendTime", timings.send),
        ("SettleTime", timings.settle),
        ("AckTime", Some(timings.total)),
    ];
    steps.into_iter().filter_map(|(name, duration)| Some((name, duration?))).collect()
}

fn retry_reason(report: &Report) -> &'static str {
    let given = report.trail.attempt.retry_reason.as_deref();
    RETRY_REASONS.into_iter().find(|&reason| Some(reason) == given).unwrap_or("other")
}

fn level(outcome: &Outcome, failed: bool) -> &'static str {
    match outcome {
        Outcome::Unavailable(_) | Outcome::Parked | Outcome::TooLarge => "ERROR",
        Outcome::RateLimited | Outcome::Rejected(_) | Outcome::Malformed(_) => "WARN",
        _ if failed => "WARN",
        _ => "INFO",
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn cut(value: &str) -> &str {
    let end = value.char_indices().nth(MAX_VALUE_CHARS).map_or(value.len(), |(index, _)| index);
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests;
