//! Logs the outcome of each delivery and counts the outcomes. The log never has a message's text, a token or an address.

use slack_ingress::telemetry::logging;
use slack_ingress::telemetry::report::ingress::RequestOutcome;
use slack_ingress::telemetry::report::ingress::RequestReport;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Writes a line to the log on standard error. Standard output belongs to the sink `stdout:`.
pub(super) fn log(line: &str) {
    logging::write_line(&format!("bridge: {line}"));
}

/// How many deliveries had which outcome.
#[derive(Debug, Default)]
pub(super) struct OutcomeCounts {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl OutcomeCounts {
    /// Counts a delivery, and logs it.
    pub(super) fn count(&self, report: &RequestReport, took: Duration) {
        let name = report.outcome.as_str();
        let counts = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(name).or_default() += 1;
            line(&counts)
        };
        let mut text = name.to_owned();
        if let Some(reason) = report.outcome.reason() {
            text = format!("{text} ({reason})");
        }
        if let Some(delivery) = &report.details.delivery {
            // Both come from outside and are escaped, so that a log line stays one line.
            let (event_type, id) = (delivery.event_type.escape_debug(), delivery.event_id.escape_debug());
            text = format!("{text} {} {event_type} {id}", delivery.kind);
        }
        if let Some(num) = report.details.attempt.retry_num {
            text = format!("{text}, retry {num}");
        }
        text = format!("{text} in {} ms", took.as_millis());
        for error in report.details.errors.iter() {
            text = format!("{text}; {}", error.escape_debug());
        }
        match &report.outcome {
            RequestOutcome::Malformed(_) | RequestOutcome::TooLarge => {
                text = format!(
                    "warning: {text}; acknowledged and dropped, because another attempt would fail too"
                );
            }
            RequestOutcome::InFlight | RequestOutcome::Unavailable(_) | RequestOutcome::Rejected(_) => {
                text = format!("warning: {text}; not acknowledged");
            }
            _ => {}
        }
        log(&format!("{text} [{counts}]"));
    }

    /// The counts of all outcomes, for the log.
    pub(super) fn line(&self) -> String {
        line(&self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn line(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "nothing came".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
