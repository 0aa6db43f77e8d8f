use super::ingress::line;
use super::*;
use crate::slack::payload::Malformed;
use crate::slack::retries::Attempt;
use crate::slack::signature::Rejection;
use crate::telemetry::report::ingress::{
    Dependency, LoggedDelivery, RequestDetails, RequestOutcome, RequestReport, Timings,
};
use crate::telemetry::report::redrive::{RunReport, StillParked};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: UnixMillis = UnixMillis::from_millis(1_515_449_522_016);
const TRACE_ID: &str = "1-5759e988-bd862e3fe1be46a994272793";

fn report(outcome: RequestOutcome) -> RequestReport {
    let timings = Timings { total: Duration::from_micros(12_345), ..Timings::default() };
    RequestReport { outcome, details: RequestDetails { timings, ..RequestDetails::default() } }
}

fn retry(retry_num: Option<u32>, retry_reason: Option<&str>) -> RequestReport {
    let mut report = report(RequestOutcome::Accepted);
    report.details.attempt = Attempt { retry_num, retry_reason: retry_reason.map(str::to_owned) };
    report
}

fn delivery() -> LoggedDelivery {
    LoggedDelivery {
        kind: "event",
        event_type: "app_mention".to_owned(),
        event_id: "Ev0LAN670R".to_owned(),
        team_id: Some("T061EG9R6".to_owned()),
        api_app_id: None,
    }
}

fn logged_cold(report: &RequestReport, cold_start: bool) -> Value {
    let context = Context {
        function_name: "slack-ingress",
        request_id: "8476a536",
        trace_id: Some(TRACE_ID),
        cold_start,
        now: NOW,
    };
    let line = line(report, context);
    assert!(!line.contains('\n'), "{line}");
    serde_json::from_str(&line).unwrap()
}

fn logged(report: &RequestReport) -> Value {
    logged_cold(report, false)
}

/// The names of those metrics of a line that count something.
fn counted(line: &Value) -> BTreeSet<&str> {
    let metrics = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().iter();
    let metrics = metrics.flat_map(|directive| directive["Metrics"].as_array().unwrap());
    metrics
        .filter(|metric| metric["Unit"] == "Count")
        .map(|metric| metric["Name"].as_str().unwrap())
        .collect()
}

/// Checks that CloudWatch takes the line, by the specification of the Embedded Metric Format.
fn check_embedded_metric_format(line: &Value) {
    let aws = line["_aws"].as_object().unwrap();
    assert_eq!(aws["Timestamp"], NOW.as_millis());
    let directives = aws["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    for directive in directives {
        let fields: Vec<_> = directive.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["Dimensions", "Metrics", "Namespace"]);
        assert_eq!(directive["Namespace"], "SlackIngress");
        for set in directive["Dimensions"].as_array().unwrap() {
            let set = set.as_array().unwrap();
            assert!((1..=30).contains(&set.len()));
            for dimension in set {
                let value = line[dimension.as_str().unwrap()].as_str().unwrap();
                assert!((1..=1024).contains(&value.len()), "{dimension}");
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        let mut names = BTreeSet::new();
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(names.insert(name), "{name} stands twice");
            assert!(line[name].is_number(), "{name}");
            assert!(
                matches!(metric["Unit"].as_str(), Some("Count" | "Milliseconds" | "Seconds")),
                "{metric}"
            );
            assert_eq!(metric.as_object().unwrap().len(), 2, "{metric}");
        }
    }
}

#[test]
fn a_line_says_all_that_is_known() {
    let line = logged_cold(
        &RequestReport {
            outcome: RequestOutcome::Unavailable(Dependency::Sink),
            details: RequestDetails {
                delivery: Some(LoggedDelivery { api_app_id: Some("A0F7YS25R".to_owned()), ..delivery() }),
                attempt: Attempt { retry_num: Some(1), retry_reason: Some("http_timeout".to_owned()) },
                took_over: true,
                timings: Timings {
                    verify: Some(Duration::from_micros(15)),
                    record: Some(Duration::from_millis(4)),
                    send: Some(Duration::from_nanos(1_234_567_890)),
                    settle: Some(Duration::ZERO),
                    total: Duration::from_millis(1_240),
                },
                errors: vec!["send: SQS SendMessage: dispatch failure".to_owned()].into(),
                ..RequestDetails::default()
            },
        },
        true,
    );
    check_embedded_metric_format(&line);
    let mut fields = line.as_object().unwrap().clone();
    fields.remove("_aws");
    let expected = json!({
        "FunctionName": "slack-ingress",
        "level": "ERROR",
        "request_id": "8476a536",
        "trace_id": TRACE_ID,
        "cold_start": true,
        "outcome": "unavailable",
        "reason": "sink",
        "kind": "event",
        "type": "app_mention",
        "event_id": "Ev0LAN670R",
        "team_id": "T061EG9R6",
        "api_app_id": "A0F7YS25R",
        "retry_num": 1,
        "retry_reason": "http_timeout",
        "RetryReason": "http_timeout",
        "Retries": 1,
        "Unavailable": 1,
        "LeaseTakeovers": 1,
        "ColdStarts": 1,
        "VerifyTime": 0.015,
        "RecordTime": 4.0,
        "SendTime": 1_234.568,
        "SettleTime": 0.0,
        "AckTime": 1_240.0,
        "errors": ["send: SQS SendMessage: dispatch failure"]
    });
    assert_eq!(Value::Object(fields), expected);
}

#[test]
fn what_is_not_known_is_absent() {
    let line = logged(&report(RequestOutcome::SslCheck));
    check_embedded_metric_format(&line);
    let fields: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["AckTime", "FunctionName", "_aws", "cold_start", "level", "outcome", "request_id", "trace_id"];
    assert_eq!(fields, BTreeSet::from(expected));
    assert_eq!(line["cold_start"], false);
}

#[test]
fn each_outcome_counts_once_under_its_name_and_has_its_level() {
    let cases = [
        (RequestOutcome::Accepted, Some("Accepted"), "accepted", "INFO"),
        (RequestOutcome::Parked, Some("Parked"), "parked", "ERROR"),
        (RequestOutcome::Duplicate, Some("Duplicates"), "duplicate", "INFO"),
        (RequestOutcome::Kept, Some("Duplicates"), "kept", "INFO"),
        (RequestOutcome::Ignored, Some("Ignored"), "ignored", "INFO"),
        (RequestOutcome::RateLimited, Some("RateLimited"), "app_rate_limited", "WARN"),
        (RequestOutcome::Suggestion, Some("Suggestions"), "suggestion", "INFO"),
        (RequestOutcome::InFlight, Some("InFlight"), "in_flight", "INFO"),
        (RequestOutcome::Unavailable(Dependency::Secret), Some("Unavailable"), "unavailable", "ERROR"),
        (RequestOutcome::Unavailable(Dependency::Store), Some("Unavailable"), "unavailable", "ERROR"),
        (RequestOutcome::Unavailable(Dependency::Sink), Some("Unavailable"), "unavailable", "ERROR"),
        (RequestOutcome::Panicked, Some("Unavailable"), "panicked", "ERROR"),
        (RequestOutcome::Rejected(Rejection::Stale), Some("Rejected"), "rejected", "WARN"),
        (RequestOutcome::MethodNotAllowed, Some("Rejected"), "method_not_allowed", "INFO"),
        (RequestOutcome::Malformed(Malformed::Utf8), Some("Malformed"), "malformed", "WARN"),
        (RequestOutcome::TooLarge, Some("Malformed"), "too_large", "ERROR"),
        (RequestOutcome::Challenge("c".to_owned()), None, "challenge", "INFO"),
        (RequestOutcome::SslCheck, None, "ssl_check", "INFO"),
    ];
    for (outcome, metric, name, level) in cases {
        let line = logged(&report(outcome));
        check_embedded_metric_format(&line);
        assert_eq!(counted(&line), metric.into_iter().collect(), "{name}");
        assert!(metric.is_none_or(|metric| line[metric] == 1), "{name}");
        assert_eq!((&line["outcome"], &line["level"]), (&json!(name), &json!(level)));
    }
}

#[test]
fn a_reason_is_named_in_the_log() {
    for (outcome, reason) in [
        (RequestOutcome::Unavailable(Dependency::Store), "store"),
        (RequestOutcome::Rejected(Rejection::Mismatch), "signature_mismatch"),
        (RequestOutcome::Rejected(Rejection::OtherApp), "other_app"),
        (RequestOutcome::Malformed(Malformed::RepeatedField), "repeated_field"),
        (RequestOutcome::Malformed(Malformed::MissingEventId), "missing_event_id"),
    ] {
        assert_eq!(logged(&report(outcome))["reason"], reason);
    }
}

#[test]
fn what_an_operator_must_know_besides_is_counted_too() {
    let mut report = report(RequestOutcome::Accepted);
    report.details.unguarded = true;
    report.details.took_over = true;
    report.details.lost = true;
    let line = logged_cold(&report, true);
    check_embedded_metric_format(&line);
    let expected = ["Accepted", "ColdStarts", "LeaseTakeovers", "Lost", "Unguarded"];
    assert_eq!(counted(&line), BTreeSet::from(expected));
}

fn redriven(run: &RunReport) -> Value {
    let context = Context {
        function_name: "redrive",
        request_id: "8476a536",
        trace_id: None,
        cold_start: false,
        now: NOW,
    };
    let line: Value = serde_json::from_str(&redrive::line(run, context)).unwrap();
    check_embedded_metric_format(&line);
    line
}

#[test]
fn a_run_of_the_redrive_has_its_line() {
    let line = redriven(&RunReport {
        redriven: 2,
        failed: 3,
        unsendable: 1,
        still_parked: Some(StillParked { events: 4, oldest: Duration::from_millis(61_999) }),
        total: Duration::from_micros(12_345),
        errors: vec!["send Ev1: SQS SendMessage: dispatch failure".to_owned()].into(),
    });
    let mut fields = line.as_object().unwrap().clone();
    fields.remove("_aws");
    let expected = json!({
        "FunctionName": "redrive",
        "level": "ERROR",
        "request_id": "8476a536",
        "cold_start": false,
        "Redriven": 2,
        "RedriveFailures": 3,
        "unsendable": 1,
        "ParkedEvents": 4,
        "OldestParkedAge": 61,
        "RedriveTime": 12.345,
        "errors": ["send Ev1: SQS SendMessage: dispatch failure"]
    });
    assert_eq!(Value::Object(fields), expected);
}

#[test]
fn a_run_that_found_nothing_says_so_in_every_metric() {
    let line = redriven(&RunReport {
        still_parked: Some(StillParked { events: 0, oldest: Duration::ZERO }),
        ..RunReport::default()
    });
    assert_eq!(counted(&line), BTreeSet::from(["ParkedEvents", "RedriveFailures", "Redriven"]));
    assert_eq!((&line["ParkedEvents"], &line["OldestParkedAge"]), (&json!(0), &json!(0)));
    assert_eq!((&line["level"], line.get("errors")), (&json!("INFO"), None));
}

#[test]
fn a_run_that_could_not_look_does_not_say_that_nothing_is_parked() {
    let line = redriven(&RunReport { failed: 1, still_parked: None, ..RunReport::default() });
    assert_eq!(counted(&line), BTreeSet::from(["RedriveFailures", "Redriven"]));
    assert_eq!((line.get("ParkedEvents"), line.get("OldestParkedAge")), (None, None));
}

#[test]
fn retries_are_counted_by_slacks_own_reasons_and_no_others() {
    let known = [
        "http_timeout",
        "too_many_redirects",
        "connection_failed",
        "ssl_error",
        "http_error",
        "unknown_error",
    ];
    let cases = known.map(|reason| (Some(reason), reason)).into_iter().chain([
        (Some("HTTP_TIMEOUT"), "other"),
        (Some("http_timeout "), "other"),
        (Some("other"), "other"),
        (Some("costs-money-1"), "other"),
        (None, "other"),
    ]);
    for (given, dimension) in cases {
        let line = logged(&retry(Some(2), given));
        check_embedded_metric_format(&line);
        assert_eq!((&line["RetryReason"], &line["Retries"]), (&json!(dimension), &json!(1)), "{given:?}");
        assert_eq!(line["retry_reason"], json!(given));
        let directive = &line["_aws"]["CloudWatchMetrics"][1];
        assert_eq!(directive["Dimensions"], json!([["FunctionName", "RetryReason"]]));
        assert_eq!(directive["Metrics"], json!([{ "Name": "Retries", "Unit": "Count" }]));
    }
}

#[test]
fn a_first_attempt_is_no_retry() {
    for reason in [None, Some("http_timeout")] {
        let line = logged(&retry(None, reason));
        check_embedded_metric_format(&line);
        assert_eq!(counted(&line), BTreeSet::from(["Accepted"]));
        assert_eq!((line.get("Retries"), line.get("RetryReason")), (None, None));
    }
}

#[test]
fn a_long_value_is_cut_between_characters() {
    for character in ["x", "ü", "語", "🗼"] {
        let value = character.repeat(MAX_VALUE_CHARS);
        assert_eq!(cut(&value), value);
        assert_eq!(cut(&format!("{value}{character}")), value);
    }
    let mut report = retry(Some(1), Some(&"🗼".repeat(5_000)));
    report.details.delivery = Some(LoggedDelivery {
        event_type: "語".repeat(5_000),
        event_id: "é".repeat(5_000),
        team_id: Some("x".repeat(5_000)),
        api_app_id: Some("y".repeat(5_000)),
        ..delivery()
    });
    let line = logged(&report);
    for field in ["type", "event_id", "team_id", "api_app_id", "retry_reason"] {
        assert_eq!(line[field].as_str().unwrap().chars().count(), MAX_VALUE_CHARS, "{field}");
    }
}

#[test]
fn errors_are_listed_and_a_success_with_errors_is_a_warning() {
    let mut report = report(RequestOutcome::Accepted);
    report.details.errors =
        vec!["confirm: DynamoDB UpdateItem".to_owned(), "second \"one\"\n".to_owned()].into();
    let line = logged(&report);
    assert_eq!(line["errors"], json!(["confirm: DynamoDB UpdateItem", "second \"one\"\n"]));
    assert_eq!(line["level"], "WARN");
}

#[test]
fn a_challenge_is_not_logged() {
    let line = logged(&report(RequestOutcome::Challenge("3eZbrw1aBm2rZgRNFdxV".to_owned())));
    assert!(!line.to_string().contains("3eZbrw1aBm2rZgRNFdxV"));
}

fn any_duration() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((0..=u64::MAX).prop_map(Duration::from_nanos))
}

proptest! {
    #[test]
    fn every_line_is_one_line_of_json_that_cloudwatch_understands(
        outcome in prop::sample::select(vec![
            RequestOutcome::Accepted,
            RequestOutcome::Challenge("c".to_owned()),
            RequestOutcome::Unavailable(Dependency::Store),
            RequestOutcome::Rejected(Rejection::MissingHeader),
        ]),
        delivery in prop::option::of(any::<(String, String, Option<String>, Option<String>)>()),
        (retry_num, retry_reason) in any::<(Option<u32>, Option<String>)>(),
        [verify, record, send, settle] in prop::array::uniform4(any_duration()),
        (took_over, unguarded, cold_start) in any::<(bool, bool, bool)>(),
        errors in prop::collection::vec(any::<String>(), 0..3),
    ) {
        let delivery = delivery.map(|(event_type, event_id, team_id, api_app_id)| {
            LoggedDelivery { kind: "event", event_type, event_id, team_id, api_app_id }
        });
        let timings = Timings { verify, record, send, settle, total: Duration::from_secs(1) };
        let attempt = Attempt { retry_num, retry_reason };
        let details = RequestDetails { encoding: None, delivery, attempt, took_over, unguarded, lost: false, fast_path: None, timings, errors: errors.into() };
        check_embedded_metric_format(&logged_cold(&RequestReport { outcome, details }, cold_start));
    }
}
