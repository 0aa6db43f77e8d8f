//! The one line that a piece of work leaves: a log entry that is also CloudWatch metrics, in the Embedded Metric Format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>),
//! so that no call to CloudWatch stands in the way of an answer.
//!
//! Nothing in it comes from a request that Slack did not sign. Neither a secret nor a signature, a token or a message's text
//! is in it.

#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod redrive;

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::time::clock::UnixMillis;

/// The CloudWatch namespace of all our metrics.
const NAMESPACE: &str = "SlackIngress";

/// Longer values are cut. An id of Slack's is a few dozen characters long.
const MAX_VALUE_CHARS: usize = 200;

/// Which invocation of which function a line is about.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The function's name: a dimension of every metric.
    pub function_name: &'a str,
    /// Lambda's request id of the invocation.
    pub request_id: &'a str,
    /// Whether the invocation is the first of its execution environment.
    pub cold_start: bool,
    /// When the line is written.
    pub now: UnixMillis,
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warn,
    Info,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
        }
    }
}

/// A metric, as the format declares it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// A line in the making: fields for the log, and among them metrics for CloudWatch.
struct Line {
    timestamp: UnixMillis,
    fields: Map<String, Value>,
    /// All with one dimension, the function's name.
    metrics: Vec<Metric>,
    /// Metrics with a dimension more.
    more_directives: Vec<Value>,
}

impl Line {
    /// A line with the fields that every line has.
    fn new(context: Context<'_>, level: Level) -> Self {
        let mut line = Self {
            timestamp: context.now,
            fields: Map::new(),
            metrics: Vec::new(),
            more_directives: Vec::new(),
        };
        line.field("FunctionName", json!(context.function_name));
        line.field("level", json!(level.as_str()));
        line.field("request_id", json!(context.request_id));
        line.field("cold_start", json!(context.cold_start));
        line
    }

    /// Adds a field for the log. `null` adds none.
    fn field(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            self.fields.insert(name.to_owned(), value);
        }
    }

    /// Adds the errors with their causes, if there are any.
    fn errors(&mut self, errors: &[String]) {
        if !errors.is_empty() {
            self.field("errors", json!(errors));
        }
    }

    /// Adds a field that is also a metric.
    fn metric(&mut self, name: &'static str, unit: &'static str, value: Value) {
        self.metrics.push(Metric { name, unit });
        self.field(name, value);
    }

    /// Adds one to a metric.
    fn count(&mut self, name: &'static str) {
        self.metric(name, "Count", json!(1));
    }

    /// Adds a duration as a metric, if it is known.
    fn duration(&mut self, name: &'static str, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.metric(name, "Milliseconds", json!(millis(duration)));
        }
    }

    /// Adds one to a metric that has the field `dimension` as a dimension beside the function's name.
    fn count_by(&mut self, name: &'static str, dimension: &'static str, value: &str) {
        self.more_directives.push(directive(&["FunctionName", dimension], &[Metric { name, unit: "Count" }]));
        self.field(dimension, json!(value));
        self.field(name, json!(1));
    }

    /// The line as text, without its end.
    fn finish(mut self) -> String {
        let mut directives = vec![directive(&["FunctionName"], &self.metrics)];
        directives.append(&mut self.more_directives);
        self.field(
            "_aws",
            json!({ "Timestamp": self.timestamp.as_millis(), "CloudWatchMetrics": directives }),
        );
        Value::Object(self.fields).to_string()
    }
}

fn directive(dimensions: &[&str], metrics: &[Metric]) -> Value {
    json!({ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics })
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The beginning of `value`, cut between two characters.
fn cut(value: &str) -> &str {
    let end = value.char_indices().nth(MAX_VALUE_CHARS).map_or(value.len(), |(index, _)| index);
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests;
