//! The log line of a request that the ingress answered.

use serde_json::json;

use super::{Context, Level, Line, cut};
use crate::slack::retries;
use crate::telemetry::report::ingress::{RequestOutcome, RequestReport};

/// The log line of a request as JSON, without a line feed.
pub fn line(report: &RequestReport, context: Context<'_>) -> String {
    let details = &report.details;
    let is_fast_path_failure = details.fast_path.as_ref().is_some_and(|done| done.outcome.is_failure());
    let has_failed = !details.errors.is_empty() || is_fast_path_failure;
    let mut line = Line::new(context, level(&report.outcome, has_failed));
    line.field("outcome", json!(report.outcome.as_str()));
    line.field("reason", json!(report.outcome.reason()));
    if let Some(delivery) = &details.delivery {
        line.field("kind", json!(delivery.kind));
        line.field("type", json!(cut(&delivery.event_type)));
        line.field("event_id", json!(cut(&delivery.event_id)));
        line.field("team_id", json!(delivery.team_id.as_deref().map(cut)));
        line.field("api_app_id", json!(delivery.api_app_id.as_deref().map(cut)));
    }
    if let Some(done) = &details.fast_path {
        line.field("fast_path", json!(cut(&done.rule)));
        line.field("fast_path_outcome", json!(done.outcome.as_str()));
        line.field("fast_path_error", json!(done.error.as_deref().map(cut)));
        if done.outcome.is_failure() {
            line.count("FastPathFailed");
        } else if report.outcome.takes_an_answer() {
            line.count("FastPathAnswered");
        }
        line.duration("FastPathTime", done.took);
    }
    line.field("retry_num", json!(details.attempt.retry_num));
    line.field("retry_reason", json!(details.attempt.retry_reason.as_deref().map(cut)));
    if details.attempt.retry_num.is_some() {
        line.count_by("Retries", "RetryReason", retry_reason(details.attempt.retry_reason.as_deref()));
    }

    let also = [
        (details.unguarded, "Unguarded"),
        (details.lost, "Lost"),
        (details.took_over, "LeaseTakeovers"),
        (context.cold_start, "ColdStarts"),
    ];
    let also = also.into_iter().filter_map(|(counts, name)| counts.then_some(name));
    for name in count(&report.outcome).into_iter().chain(also) {
        line.count(name);
    }
    let timings = &details.timings;
    line.duration("VerifyTime", timings.verify);
    line.duration("RecordTime", timings.record);
    line.duration("SendTime", timings.send);
    line.duration("SettleTime", timings.settle);
    line.duration("AckTime", Some(timings.total));
    line.errors(&details.errors);
    line.finish()
}

/// The metric that counts this outcome; absent for a challenge and for an `ssl_check`, which nobody counts.
fn count(outcome: &RequestOutcome) -> Option<&'static str> {
    match outcome {
        RequestOutcome::Accepted => Some("Accepted"),
        RequestOutcome::Parked => Some("Parked"),
        RequestOutcome::Duplicate | RequestOutcome::Kept => Some("Duplicates"),
        RequestOutcome::Ignored => Some("Ignored"),
        RequestOutcome::RateLimited => Some("RateLimited"),
        RequestOutcome::Suggestion => Some("Suggestions"),
        RequestOutcome::AnsweredAtOnce => Some("AnsweredAtOnce"),
        RequestOutcome::InFlight => Some("InFlight"),
        // So that the alarm on `Unavailable` sees panics, too.
        RequestOutcome::Unavailable(_) | RequestOutcome::Panicked => Some("Unavailable"),
        RequestOutcome::Rejected(_) | RequestOutcome::MethodNotAllowed => Some("Rejected"),
        RequestOutcome::Malformed(_) | RequestOutcome::TooLarge => Some("Malformed"),
        RequestOutcome::Challenge(_) | RequestOutcome::SslCheck => None,
    }
}

/// The value of the dimension `RetryReason`: the reason that the request gives, or `other` if Slack does not document it.
fn retry_reason(given: Option<&str>) -> &'static str {
    retries::REASONS.into_iter().find(|&reason| Some(reason) == given).unwrap_or("other")
}

/// The level of a line with this outcome. `failed` says whether a step failed on the way to it.
fn level(outcome: &RequestOutcome, failed: bool) -> Level {
    match outcome {
        RequestOutcome::Unavailable(_)
        | RequestOutcome::Panicked
        | RequestOutcome::Parked
        | RequestOutcome::TooLarge => Level::Error,
        RequestOutcome::RateLimited | RequestOutcome::Rejected(_) | RequestOutcome::Malformed(_) => {
            Level::Warn
        }
        _ if failed => Level::Warn,
        _ => Level::Info,
    }
}
