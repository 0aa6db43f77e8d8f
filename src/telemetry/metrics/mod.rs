//! From a report to one log line, which is also the metrics: CloudWatch reads them from the log ([Embedded Metric
//! Format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html)),
//! so that nobody waits for a call to CloudWatch.
//!
//! A file for each line: [`ingress`] for a request, [`redrive`] for a run, `dispatch` for a message. What all lines have is
//! here.
//!
//! No line has anything from a request that Slack did not sign, nor a secret, a signature, a token or the text of a message.
//! `docs/operate.md` describes every field and metric.

#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod redrive;
#[cfg(feature = "dispatch")]
pub mod rotation;
#[cfg(feature = "dispatch")]
pub mod settle;

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::time::clock::UnixMillis;

/// The CloudWatch namespace of all our metrics.
const NAMESPACE: &str = "SlackIngress";

/// A longer value is cut to this many characters. An id of Slack's has a few dozen.
const MAX_VALUE_CHARS: usize = 200;

/// Which invocation of which function a line is about. The binaries fill this in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The function's name on Lambda. It is a dimension of every metric.
    pub function_name: &'a str,
    /// The id that Lambda gave to the invocation.
    pub request_id: &'a str,
    /// The id of the trace that the line belongs to: the invocation's, or that of the message it is about. Absent if there is none.
    pub trace_id: Option<&'a str>,
    /// Whether the invocation is the first of its execution environment.
    pub cold_start: bool,
    /// When the line is written. CloudWatch takes it as the time of the metrics.
    pub now: UnixMillis,
}

/// The value of the field `level`.
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

/// The declaration of a metric, as the Embedded Metric Format has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// A line that is being written: the fields of the log, some of which are declared as metrics.
struct Line {
    timestamp: UnixMillis,
    fields: Map<String, Value>,
    /// The metrics that have one dimension, the function's name.
    metrics: Vec<Metric>,
    /// The declarations of metrics that have a second dimension.
    more_directives: Vec<Value>,
}

impl Line {
    /// Begins a line with the fields that every line has.
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
        line.field("trace_id", json!(context.trace_id));
        line.field("cold_start", json!(context.cold_start));
        line
    }

    /// Adds a field for the log, unless its value is `null`.
    fn field(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            self.fields.insert(name.to_owned(), value);
        }
    }

    /// Adds the field `errors`, unless there are none.
    fn errors(&mut self, errors: &[String]) {
        if !errors.is_empty() {
            self.field("errors", json!(errors));
        }
    }

    /// Adds a field, and declares it as a metric.
    fn metric(&mut self, name: &'static str, unit: &'static str, value: Value) {
        self.metrics.push(Metric { name, unit });
        self.field(name, value);
    }

    /// Adds a metric that counts something, with the value one.
    fn count(&mut self, name: &'static str) {
        self.metric(name, "Count", json!(1));
    }

    /// Adds a metric in milliseconds, unless the duration is absent.
    fn duration(&mut self, name: &'static str, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.metric(name, "Milliseconds", json!(millis(duration)));
        }
    }

    /// Adds a metric that counts something, with the value one. The field `dimension` is a dimension of it, beside the
    /// function's name.
    fn count_by(&mut self, name: &'static str, dimension: &'static str, value: &str) {
        self.more_directives.push(directive(&["FunctionName", dimension], &[Metric { name, unit: "Count" }]));
        self.field(dimension, json!(value));
        self.field(name, json!(1));
    }

    /// The line as JSON, without a line feed.
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

/// A duration in milliseconds, rounded to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The first [`MAX_VALUE_CHARS`] characters of `value`.
fn cut(value: &str) -> &str {
    let end = value.char_indices().nth(MAX_VALUE_CHARS).map_or(value.len(), |(index, _)| index);
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests;
