//! The line of a request that the ingress answered.

use serde_json::json;

use super::{Context, Level, Line, cut};
use crate::slack::retries;
use crate::telemetry::report::ingress::{Outcome, Report};

/// The line of a request, without its end.
pub fn line(report: &Report, context: Context<'_>) -> String {
    let trail = &report.trail;
    let mut line = Line::new(context, level(&report.outcome, !trail.errors.is_empty()));
    line.field("outcome", json!(report.outcome.as_str()));
    line.field("reason", json!(report.outcome.reason()));
    if let Some(subject) = &trail.subject {
        line.field("kind", json!(subject.kind));
        line.field("type", json!(cut(&subject.event_type)));
        line.field("event_id", json!(cut(&subject.event_id)));
        line.field("team_id", json!(subject.team_id.as_deref().map(cut)));
        line.field("api_app_id", json!(subject.api_app_id.as_deref().map(cut)));
    }
    line.field("retry_num", json!(trail.attempt.retry_num));
    line.field("retry_reason", json!(trail.attempt.retry_reason.as_deref().map(cut)));
    if trail.attempt.retry_num.is_some() {
        line.count_by("Retries", "RetryReason", retry_reason(trail.attempt.retry_reason.as_deref()));
    }

    let also = [
        (trail.unguarded, "Unguarded"),
        (trail.lost, "Lost"),
        (trail.took_over, "LeaseTakeovers"),
        (context.cold_start, "ColdStarts"),
    ];
    let also = also.into_iter().filter_map(|(counts, name)| counts.then_some(name));
    for name in count(&report.outcome).into_iter().chain(also) {
        line.count(name);
    }
    let timings = &trail.timings;
    line.duration("VerifyTime", timings.verify);
    line.duration("RecordTime", timings.record);
    line.duration("SendTime", timings.send);
    line.duration("SettleTime", timings.settle);
    line.duration("AckTime", Some(timings.total));
    line.errors(&trail.errors);
    line.finish()
}

/// The metric that an outcome adds one to.
fn count(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
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
    }
}

/// The value of the dimension `RetryReason`. What Slack does not document becomes `other`.
fn retry_reason(given: Option<&str>) -> &'static str {
    retries::REASONS.into_iter().find(|&reason| Some(reason) == given).unwrap_or("other")
}

/// How serious an outcome is; `failed` says whether anything failed on the way to it.
fn level(outcome: &Outcome, failed: bool) -> Level {
    match outcome {
        Outcome::Unavailable(_) | Outcome::Parked | Outcome::TooLarge => Level::Error,
        Outcome::RateLimited | Outcome::Rejected(_) | Outcome::Malformed(_) => Level::Warn,
        _ if failed => Level::Warn,
        _ => Level::Info,
    }
}
