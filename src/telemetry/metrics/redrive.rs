//! The log line of a run of the redrive.

use serde_json::json;

use super::{Context, Level, Line};
use crate::telemetry::report::redrive::RunReport;

/// The log line of a run as JSON, without a line feed. `ParkedEvents` and `OldestParkedAge` are 0 when nothing is parked, and
/// absent when the store could not be listed: the alarm treats missing data as breaching.
pub fn line(report: &RunReport, context: Context<'_>) -> String {
    let level = if report.failed > 0 { Level::Error } else { Level::Info };
    let mut line = Line::new(context, level);
    line.metric("Redriven", "Count", json!(report.redriven));
    line.metric("RedriveFailures", "Count", json!(report.failed));
    if report.unsendable > 0 {
        line.field("unsendable", json!(report.unsendable));
    }
    line.duration("RedriveTime", Some(report.total));
    if let Some(parked) = report.still_parked {
        line.metric("ParkedEvents", "Count", json!(parked.events));
        line.metric("OldestParkedAge", "Seconds", json!(parked.oldest.as_secs()));
    }
    line.errors(&report.errors);
    line.finish()
}
