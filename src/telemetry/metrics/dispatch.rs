//! The log line of a message that SQS gave to `agent-dispatch`.

use serde_json::json;

use super::{Context, Level, Line, cut};
use crate::telemetry::report::dispatch::{MessageOutcome, MessageReport};

/// The log line of a message as JSON, without a line feed.
pub fn line(report: &MessageReport, context: Context<'_>) -> String {
    let (count, level) = match report.outcome {
        MessageOutcome::Dispatched => ("Dispatched", Level::Info),
        MessageOutcome::Duplicate | MessageOutcome::Told => ("DispatchDuplicates", Level::Info),
        MessageOutcome::NoQuestion => ("NoQuestion", Level::Info),
        MessageOutcome::Withdrawn => ("Withdrawn", Level::Info),
        MessageOutcome::Stop | MessageOutcome::Deletion => ("Withdrawals", Level::Info),
        MessageOutcome::Pane => ("PanesOpened", Level::Info),
        MessageOutcome::NoEffect => ("ClicksWithoutEffect", Level::Info),
        MessageOutcome::Feedback if report.feedback.as_ref().is_some_and(|it| it.rating.is_good) => {
            ("FeedbackGood", Level::Info)
        }
        MessageOutcome::Feedback => ("FeedbackBad", Level::Info),
        MessageOutcome::DeadLettered => ("DeadLettered", Level::Error),
        MessageOutcome::Failed => ("DispatchFailures", Level::Error),
        MessageOutcome::Deferred(_) => ("DispatchDeferred", Level::Info),
    };
    let level = if level == Level::Info && !report.errors.is_empty() { Level::Warn } else { level };
    let reason = match report.outcome {
        MessageOutcome::Deferred(deferral) => Some(deferral.as_str()),
        _ => report.reason.as_deref(),
    };

    let mut line = Line::new(context, level);
    line.field("outcome", json!(report.outcome.as_str()));
    line.field("reason", json!(reason));
    for (name, value) in &report.shown_attributes {
        line.field(name, json!(cut(value)));
    }
    let rated = report.feedback.as_ref().and_then(|feedback| feedback.rating.question_id.as_deref());
    line.field("question_id", json!(report.question_id.as_deref().or(rated).map(cut)));
    if let Some(feedback) = &report.feedback {
        // Who it was is not logged, as nowhere else.
        line.field("feedback", json!(if feedback.rating.is_good { "good" } else { "bad" }));
        line.field("channel", json!(feedback.channel.as_deref().map(cut)));
        line.field("answer_ts", json!(feedback.message_ts.as_deref().map(cut)));
    }
    line.field("message_id", json!(report.message_id));
    line.field("attempt", json!(report.receive_count));
    line.field("session_id", json!(report.session_id));
    line.field("put_off_seconds", json!(report.put_off_for.map(|delay| delay.as_secs())));
    let also = [(report.is_untold, "Untold"), (context.cold_start, "ColdStarts")];
    let also = also.into_iter().filter_map(|(counts, name)| counts.then_some(name));
    for name in [count].into_iter().chain(also) {
        line.count(name);
    }
    line.duration("QueueTime", report.waited);
    // A question that comes again has no answer yet.
    line.duration("OldestUnanswered", report.waited.filter(|_| !report.outcome.is_done()));
    line.duration("InvokeTime", report.invoke);
    line.errors(&report.errors);
    line.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::message::QueueMessage;
    use crate::slack::feedback::Rating;
    use crate::slack::question::Feedback;
    use crate::telemetry::report::dispatch::Deferral;
    use crate::time::clock::UnixMillis;
    use serde_json::Value;
    use std::time::Duration;

    const NOW: UnixMillis = UnixMillis::from_millis(1_515_449_522_016);

    fn report(outcome: MessageOutcome) -> MessageReport {
        let attributes =
            [("kind", "event"), ("event_id", "Ev1"), ("type", "t"), ("retry_reason", "not for the log")];
        let message = QueueMessage {
            message_id: "m1".to_owned(),
            receipt_handle: "handle".to_owned(),
            receive_count: 2,
            body: "the text".to_owned(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..QueueMessage::default()
        };
        MessageReport { outcome, ..message.report(NOW) }
    }

    fn logged(report: &MessageReport, cold_start: bool) -> Value {
        let context = Context {
            function_name: "agent-dispatch",
            request_id: "8476a536",
            trace_id: Some("1-2-3"),
            cold_start,
            now: NOW,
        };
        serde_json::from_str(&line(report, context)).unwrap()
    }

    #[test]
    fn a_message_has_its_line() {
        let report = MessageReport {
            waited: Some(Duration::from_millis(1500)),
            invoke: Some(Duration::from_micros(12_345)),
            session_id: Some("slack-1".to_owned()),
            question_id: Some("A1:C1:1.2".to_owned()),
            is_untold: true,
            put_off_for: Some(Duration::from_millis(4900)),
            errors: vec!["invoke: word".to_owned()].into(),
            ..report(MessageOutcome::Failed)
        };
        let metrics = json!([
            { "Name": "DispatchFailures", "Unit": "Count" },
            { "Name": "Untold", "Unit": "Count" },
            { "Name": "ColdStarts", "Unit": "Count" },
            { "Name": "QueueTime", "Unit": "Milliseconds" },
            { "Name": "OldestUnanswered", "Unit": "Milliseconds" },
            { "Name": "InvokeTime", "Unit": "Milliseconds" }
        ]);
        let expected = json!({
            "_aws": {
                "Timestamp": 1_515_449_522_016_u64,
                "CloudWatchMetrics": [
                    { "Namespace": "SlackIngress", "Dimensions": [["FunctionName"]], "Metrics": metrics }
                ]
            },
            "FunctionName": "agent-dispatch",
            "level": "ERROR",
            "request_id": "8476a536",
            "trace_id": "1-2-3",
            "cold_start": true,
            "outcome": "failed",
            "kind": "event",
            "event_id": "Ev1",
            "type": "t",
            "question_id": "A1:C1:1.2",
            "message_id": "m1",
            "attempt": 2,
            "session_id": "slack-1",
            "put_off_seconds": 4,
            "DispatchFailures": 1,
            "Untold": 1,
            "ColdStarts": 1,
            "QueueTime": 1500.0,
            "OldestUnanswered": 1500.0,
            "InvokeTime": 12.345,
            "errors": ["invoke: word"]
        });
        assert_eq!(logged(&report, true), expected);
    }

    fn given(is_good: bool) -> MessageReport {
        let feedback = Feedback {
            rating: Rating { is_good, question_id: Some("A1:C1:1.2".to_owned()) },
            channel: Some("C1".to_owned()),
            message_ts: Some("3.4".to_owned()),
        };
        MessageReport { feedback: Some(feedback), ..report(MessageOutcome::Feedback) }
    }

    #[test]
    fn feedback_has_one_line_that_says_of_which_answer_it_is() {
        for (is_good, rating) in [(true, "good"), (false, "bad")] {
            let line = logged(&given(is_good), false);
            let fields =
                ["outcome", "feedback", "question_id", "channel", "answer_ts"].map(|name| &line[name]);
            assert_eq!(fields, ["feedback", rating, "A1:C1:1.2", "C1", "3.4"]);
        }
    }

    #[test]
    fn each_outcome_has_its_count_its_level_and_its_reason() {
        let dead = MessageReport { reason: Some("why".to_owned()), ..report(MessageOutcome::DeadLettered) };
        let failing = MessageReport {
            errors: vec!["confirm: gone".to_owned()].into(),
            ..report(MessageOutcome::Dispatched)
        };
        for (report, count, level, reason) in [
            (report(MessageOutcome::Dispatched), "Dispatched", "INFO", Value::Null),
            (failing, "Dispatched", "WARN", Value::Null),
            (report(MessageOutcome::Duplicate), "DispatchDuplicates", "INFO", Value::Null),
            (report(MessageOutcome::Deferred(Deferral::Behind)), "DispatchDeferred", "INFO", json!("behind")),
            (report(MessageOutcome::Deferred(Deferral::Agent)), "DispatchDeferred", "INFO", json!("agent")),
            (report(MessageOutcome::Deferred(Deferral::Store)), "DispatchDeferred", "INFO", json!("store")),
            (
                report(MessageOutcome::Deferred(Deferral::InFlight)),
                "DispatchDeferred",
                "INFO",
                json!("in_flight"),
            ),
            (report(MessageOutcome::Deferred(Deferral::Time)), "DispatchDeferred", "INFO", json!("time")),
            (report(MessageOutcome::Told), "DispatchDuplicates", "INFO", Value::Null),
            (report(MessageOutcome::NoQuestion), "NoQuestion", "INFO", Value::Null),
            (report(MessageOutcome::Withdrawn), "Withdrawn", "INFO", Value::Null),
            (report(MessageOutcome::Stop), "Withdrawals", "INFO", Value::Null),
            (report(MessageOutcome::Deletion), "Withdrawals", "INFO", Value::Null),
            (report(MessageOutcome::Deferred(Deferral::Settle)), "DispatchDeferred", "INFO", json!("settle")),
            (report(MessageOutcome::Pane), "PanesOpened", "INFO", Value::Null),
            (given(true), "FeedbackGood", "INFO", Value::Null),
            (given(false), "FeedbackBad", "INFO", Value::Null),
            (report(MessageOutcome::Failed), "DispatchFailures", "ERROR", Value::Null),
            (dead, "DeadLettered", "ERROR", json!("why")),
        ] {
            let line = logged(&report, false);
            assert_eq!((&line[count], &line["level"], &line["reason"]), (&json!(1), &json!(level), &reason));
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 1);
            assert_eq!(line["outcome"], report.outcome.as_str());
        }
    }
}
