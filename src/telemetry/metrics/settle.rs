//! The log line of an invocation of `agent-settle`.

use serde_json::json;

use super::{Context, Level, Line, cut};
use crate::slack::approval::Verdict;
use crate::telemetry::report::settle::{Ended, OverLimit, SettleReport};

/// The log line of an invocation as JSON, without a line feed.
pub fn line(report: &SettleReport, context: Context<'_>) -> String {
    let level = if report.outcome_unknown || report.ended == Some(Ended::Untold) {
        Level::Error
    } else if report.failure.is_some() || !report.errors.is_empty() {
        Level::Warn
    } else {
        Level::Info
    };
    let mut line = Line::new(context, level);
    line.field("operation", json!(report.operation));
    line.field("outcome", json!(report.outcome));
    line.field("why", json!(report.why));
    line.field("question_id", json!(report.question_id.as_deref().map(cut)));
    line.field("team_id", json!(report.team_id.as_deref().map(cut)));
    line.field("not_shown", json!(report.not_shown.as_deref().map(cut)));
    let ended = report.ended.map(|ended| match ended {
        Ended::Answered => "Answered",
        Ended::Told => "Told",
        Ended::Untold => "Untold",
        Ended::Stopped => "Stopped",
        Ended::TurnedAway => "TurnedAway",
        Ended::OverLimit => "OverLimit",
        Ended::Suspended => "Suspended",
    });
    let decided = report.decided.map(|verdict| match verdict {
        Verdict::Approved => "CallsApproved",
        Verdict::Refused => "CallsRefused",
        Verdict::Lapsed => "CallsLapsed",
    });
    let also = [(report.outcome_unknown, "OutcomeUnknown"), (context.cold_start, "ColdStarts")];
    let also = also.into_iter().filter_map(|(counts, name)| counts.then_some(name));
    for name in ended.into_iter().chain(decided).chain(also) {
        line.count(name);
    }
    if let Some(attempts) = report.attempts {
        line.metric("Attempts", "Count", json!(attempts));
    }
    if report.joined > 0 {
        line.metric("AnsweredTogether", "Count", json!(report.joined));
    }
    line.duration("TimeToFirstSign", report.time_to_first_sign);
    line.duration("TimeToAnswer", report.time_to_answer);
    line.duration("OldestUnanswered", report.unanswered_for);
    if let Some(used) = report.used {
        line.field("input_tokens", json!(used.input));
        line.field("output_tokens", json!(used.output));
        line.metric("Tokens", "Count", json!(used.sum()));
    }
    if let Some(OverLimit { unit, scope }) = report.over_limit {
        line.count_by("LimitsReached", "Limit", &format!("{unit} of a {scope}"));
    }
    if let Some(reason) = &report.failure {
        // Once for all reasons, for the alarm, and once by its own.
        line.count("AnswerFailures");
        line.count_by("AnswerFailures", "Reason", cut(reason));
    }
    line.errors(&report.errors);
    line.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::report::settle::TokensUsed;
    use crate::time::clock::UnixMillis;
    use serde_json::Value;
    use std::time::Duration;

    const NOW: UnixMillis = UnixMillis::from_millis(1_515_449_522_016);

    fn logged(report: &SettleReport) -> Value {
        let context = Context {
            function_name: "agent-settle",
            request_id: "8476a536",
            trace_id: None,
            cold_start: true,
            now: NOW,
        };
        serde_json::from_str(&line(report, context)).unwrap()
    }

    fn report() -> SettleReport {
        SettleReport { operation: "answer", outcome: Some("answered"), ..SettleReport::default() }
    }

    #[test]
    fn an_answer_has_its_line() {
        let line = logged(&SettleReport {
            question_id: Some("A1:C1:1.2".to_owned()),
            ended: Some(Ended::Answered),
            attempts: Some(2),
            time_to_answer: Some(Duration::from_millis(4200)),
            unanswered_for: Some(Duration::from_millis(4000)),
            ..report()
        });
        let metrics = json!([
            { "Name": "Answered", "Unit": "Count" },
            { "Name": "ColdStarts", "Unit": "Count" },
            { "Name": "Attempts", "Unit": "Count" },
            { "Name": "TimeToAnswer", "Unit": "Milliseconds" },
            { "Name": "OldestUnanswered", "Unit": "Milliseconds" }
        ]);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"], metrics);
        for (name, value) in [
            ("level", json!("INFO")),
            ("operation", json!("answer")),
            ("outcome", json!("answered")),
            ("question_id", json!("A1:C1:1.2")),
            ("Answered", json!(1)),
            ("Attempts", json!(2)),
            ("TimeToAnswer", json!(4200.0)),
            ("OldestUnanswered", json!(4000.0)),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
    }

    #[test]
    fn each_end_has_its_count() {
        for (ended, name, level) in [
            (Ended::Answered, "Answered", "INFO"),
            (Ended::Told, "Told", "INFO"),
            (Ended::Untold, "Untold", "ERROR"),
            (Ended::Stopped, "Stopped", "INFO"),
            (Ended::TurnedAway, "TurnedAway", "INFO"),
            (Ended::OverLimit, "OverLimit", "INFO"),
            (Ended::Suspended, "Suspended", "INFO"),
        ] {
            let line = logged(&SettleReport { ended: Some(ended), ..report() });
            assert_eq!((&line[name], &line["level"]), (&json!(1), &json!(level)));
        }
        let line = logged(&SettleReport { outcome_unknown: true, ..report() });
        assert_eq!((&line["OutcomeUnknown"], &line["level"]), (&json!(1), &json!("ERROR")));
    }

    #[test]
    fn what_was_used_and_the_limit_that_was_reached_have_their_numbers() {
        let line = logged(&SettleReport {
            used: Some(TokensUsed { input: 900, output: 100 }),
            over_limit: Some(OverLimit { unit: "questions", scope: "person" }),
            ..report()
        });
        assert_eq!(
            (&line["Tokens"], &line["input_tokens"], &line["output_tokens"]),
            (&json!(1000), &json!(900), &json!(100))
        );
        assert_eq!((&line["LimitsReached"], &line["Limit"]), (&json!(1), &json!("questions of a person")));
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives[1]["Dimensions"], json!([["FunctionName", "Limit"]]));
    }

    #[test]
    fn a_failure_to_post_is_counted_once_and_once_by_its_reason() {
        let line = logged(&SettleReport { failure: Some("slack_invalid_auth".to_owned()), ..report() });
        assert_eq!((&line["Reason"], &line["level"]), (&json!("slack_invalid_auth"), &json!("WARN")));
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives[1]["Dimensions"], json!([["FunctionName", "Reason"]]));
        for directive in directives {
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!(metrics.contains(&json!({ "Name": "AnswerFailures", "Unit": "Count" })));
        }
    }
}
