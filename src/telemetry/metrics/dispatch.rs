//! The line of a message that `agent-dispatch` was given.

use serde_json::{Map, Value, json};

use super::{Context, Metric, cut, directive, millis};
use crate::dispatch::report::{Outcome, Report};

/// The line of a message that the dispatch was given, without its end.
pub fn dispatch_line(report: &Report, context: Context<'_>) -> String {
    let count = match report.outcome {
        Outcome::Dispatched => "Dispatched",
        Outcome::Duplicate => "DispatchDuplicates",
        Outcome::DeadLettered => "DeadLettered",
        Outcome::Failed => "DispatchFailures",
        Outcome::Deferred(_) => "DispatchDeferred",
    };
    let also = [(report.took_over, "LeaseTakeovers"), (context.cold_start, "ColdStarts")];
    let counts: Vec<_> = [(true, count)].into_iter().chain(also).filter(|(counts, _)| *counts).collect();
    let durations: Vec<_> = [("QueueTime", report.waited), ("InvokeTime", report.invoke)]
        .into_iter()
        .filter_map(|(name, duration)| Some((name, duration?)))
        .collect();
    let metrics: Vec<Metric> = counts
        .iter()
        .map(|&(_, name)| Metric { name, unit: "Count" })
        .chain(durations.iter().map(|&(name, _)| Metric { name, unit: "Milliseconds" }))
        .collect();
    let level = match report.outcome {
        Outcome::DeadLettered | Outcome::Failed => "ERROR",
        _ if !report.errors.is_empty() => "WARN",
        _ => "INFO",
    };
    let reason = match report.outcome {
        Outcome::Deferred(deferral) => Some(deferral.as_str()),
        _ => report.reason.as_deref(),
    };

    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            line.insert(name.to_owned(), value);
        }
    };
    let directives = [directive(&["FunctionName"], &metrics)];
    put("_aws", json!({ "Timestamp": context.now.as_millis(), "CloudWatchMetrics": directives }));
    put("FunctionName", json!(context.function_name));
    put("level", json!(level));
    put("request_id", json!(context.request_id));
    put("cold_start", json!(context.cold_start));
    put("outcome", json!(report.outcome.as_str()));
    put("reason", json!(reason));
    for (name, value) in &report.subject {
        put(name, json!(cut(value)));
    }
    put("message_id", json!(report.message_id));
    put("attempt", json!(report.receive_count));
    put("session_id", json!(report.session_id));
    put("put_off_seconds", json!(report.put_off_for.map(|delay| delay.as_secs())));
    for (_, name) in counts {
        put(name, json!(1));
    }
    for (name, duration) in durations {
        put(name, json!(millis(duration)));
    }
    if !report.errors.is_empty() {
        put("errors", json!(report.errors));
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::batch::QueueMessage;
    use crate::dispatch::report::Deferral;
    use crate::time::clock::UnixMillis;
    use std::time::Duration;

    const NOW: UnixMillis = UnixMillis::from_millis(1_515_449_522_016);

    fn report(outcome: Outcome) -> Report {
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
        Report { outcome, ..Report::of(&message, NOW) }
    }

    fn logged(report: &Report, cold_start: bool) -> Value {
        let context =
            Context { function_name: "agent-dispatch", request_id: "8476a536", cold_start, now: NOW };
        serde_json::from_str(&dispatch_line(report, context)).unwrap()
    }

    #[test]
    fn a_message_has_its_line() {
        let report = Report {
            waited: Some(Duration::from_millis(1500)),
            invoke: Some(Duration::from_micros(12_345)),
            session_id: Some("slack-1".to_owned()),
            took_over: true,
            put_off_for: Some(Duration::from_millis(4900)),
            errors: vec!["invoke: word".to_owned()],
            ..report(Outcome::Failed)
        };
        let metrics = json!([
            { "Name": "DispatchFailures", "Unit": "Count" },
            { "Name": "LeaseTakeovers", "Unit": "Count" },
            { "Name": "ColdStarts", "Unit": "Count" },
            { "Name": "QueueTime", "Unit": "Milliseconds" },
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
            "cold_start": true,
            "outcome": "failed",
            "kind": "event",
            "event_id": "Ev1",
            "type": "t",
            "message_id": "m1",
            "attempt": 2,
            "session_id": "slack-1",
            "put_off_seconds": 4,
            "DispatchFailures": 1,
            "LeaseTakeovers": 1,
            "ColdStarts": 1,
            "QueueTime": 1500.0,
            "InvokeTime": 12.345,
            "errors": ["invoke: word"]
        });
        assert_eq!(logged(&report, true), expected);
    }

    #[test]
    fn each_outcome_has_its_count_its_level_and_its_reason() {
        let dead = Report { reason: Some("why".to_owned()), ..report(Outcome::DeadLettered) };
        let failing = Report { errors: vec!["confirm: gone".to_owned()], ..report(Outcome::Dispatched) };
        for (report, count, level, reason) in [
            (report(Outcome::Dispatched), "Dispatched", "INFO", Value::Null),
            (failing, "Dispatched", "WARN", Value::Null),
            (report(Outcome::Duplicate), "DispatchDuplicates", "INFO", Value::Null),
            (report(Outcome::Deferred(Deferral::Behind)), "DispatchDeferred", "INFO", json!("behind")),
            (report(Outcome::Deferred(Deferral::Agent)), "DispatchDeferred", "INFO", json!("agent")),
            (report(Outcome::Deferred(Deferral::Store)), "DispatchDeferred", "INFO", json!("store")),
            (report(Outcome::Deferred(Deferral::InFlight)), "DispatchDeferred", "INFO", json!("in_flight")),
            (report(Outcome::Deferred(Deferral::Time)), "DispatchDeferred", "INFO", json!("time")),
            (report(Outcome::Failed), "DispatchFailures", "ERROR", Value::Null),
            (dead, "DeadLettered", "ERROR", json!("why")),
        ] {
            let line = logged(&report, false);
            assert_eq!((&line[count], &line["level"], &line["reason"]), (&json!(1), &json!(level), &reason));
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 1);
            assert_eq!(line["outcome"], report.outcome.as_str());
        }
    }
}
