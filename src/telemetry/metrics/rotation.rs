//! The log line of a run of the token rotation.

use serde_json::json;

use super::{Context, Level, Line};
use crate::telemetry::report::rotation::{RotationReport, TokenOutcome, TokenReport};

/// The log line of a run as JSON, without a line feed. `TokensExpiring` and `TokensLost` are 0 when nothing is wrong: the alarm
/// on the first treats missing data as breaching. `TokenTimeLeft` is that of the token that expires first, and absent if none
/// does.
pub fn line(report: &RotationReport, context: Context<'_>) -> String {
    let count = |is: &dyn Fn(&TokenReport) -> bool| report.tokens.iter().filter(|it| is(it)).count();
    let refreshed = count(&|it| matches!(it.outcome, TokenOutcome::Refreshed | TokenOutcome::Finished));
    let failed = count(&|it| matches!(it.outcome, TokenOutcome::Failed { .. }));
    let lost = count(&|it| matches!(it.outcome, TokenOutcome::Lost { .. }));
    let expiring = count(&|it| it.is_expiring);
    let level = match (lost + expiring, failed) {
        (0, 0) => Level::Info,
        (0, _) => Level::Warn,
        _ => Level::Error,
    };
    let mut line = Line::new(context, level);
    line.metric("TokensRefreshed", "Count", json!(refreshed));
    line.metric("TokenRefreshFailures", "Count", json!(failed));
    line.metric("TokensLost", "Count", json!(lost));
    line.metric("TokensExpiring", "Count", json!(expiring));
    if let Some(left) = report.tokens.iter().filter_map(|it| it.left).min() {
        line.metric("TokenTimeLeft", "Seconds", json!(left.as_secs()));
    }
    line.duration("RotationTime", Some(report.total));
    let tokens = report.tokens.iter().map(|it| {
        let (outcome, why) = it.outcome.words();
        json!({ "secret": it.secret, "outcome": outcome, "why": why, "seconds_left": it.left.map(|left| left.as_secs()) })
    });
    line.field("tokens", tokens.collect());
    line.errors(&report.errors);
    line.finish()
}
