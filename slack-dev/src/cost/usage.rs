//! What one event, one question and one run of the redrive use: `usage.json`. The calls are counted by tests of the real functions
//! (`tests/suite/cost.rs` and `tests/suite/dispatch.rs`), the bytes of log by the tests here.

use serde::Deserialize;

use crate::CommandError;

/// What of AWS each step uses.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Usage {
    /// An event that is put on the queue at its first delivery.
    pub(super) event: EventCalls,
    /// A delivery of an event that is on the queue already.
    pub(super) duplicate: EventCalls,
    /// The start of an execution environment.
    pub(super) start: StartCalls,
    pub(super) redrive_run: RedriveCalls,
    /// agent-settle finds out who asks: of each person not again within an hour.
    pub(super) admit: QuestionCalls,
    /// The dispatcher hands a question to the agent, and agent-settle shows the sign beside that.
    pub(super) hand_over_and_sign: QuestionCalls,
    pub(super) claim: QuestionCalls,
    /// A beat that renews nothing.
    pub(super) beat: QuestionCalls,
    pub(super) answer: QuestionCalls,
    /// An event that asks nothing, behind the queue.
    pub(super) no_question: QuestionCalls,
    pub(super) log_line_bytes: LogLineBytes,
    pub(super) metrics: MetricNames,
    /// A work record has at most so many bytes while no answer is in it.
    pub(super) largest_work_record_bytes: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventCalls {
    pub(super) dynamodb_writes: u64,
    pub(super) sqs_requests: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartCalls {
    pub(super) dynamodb_writes: u64,
    pub(super) sqs_requests: u64,
    pub(super) secret_calls: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveCalls {
    pub(super) dynamodb_queries: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionCalls {
    pub(super) invocations: u64,
    pub(super) dynamodb_reads: u64,
    pub(super) dynamodb_writes: u64,
    pub(super) sqs_requests: u64,
    pub(super) gateway_calls: u64,
}

/// The bytes of a line, with the 26 bytes that CloudWatch counts for each line.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct LogLineBytes {
    /// The ingress's, of an accepted event.
    pub(super) ingress: u64,
    /// A run of the redrive that finds nothing.
    pub(super) redrive: u64,
    /// The dispatcher's, of a question that was handed over.
    pub(super) dispatch: u64,
    /// agent-settle's, of an answer: its longest in a question without a failure.
    pub(super) settle: u64,
    /// The HTTP API's.
    pub(super) access: u64,
    /// Lambda's three lines of an invocation, together.
    pub(super) lambda: u64,
}

/// How many metrics of one's own are sent while all goes well. Each has the function's name as a dimension.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct MetricNames {
    /// With events.
    pub(super) event: u64,
    /// With questions.
    pub(super) question: u64,
    /// By the redrive, all the time.
    pub(super) redrive: u64,
}

impl Usage {
    pub(super) fn read() -> Result<Self, CommandError> {
        Ok(serde_json::from_str(include_str!("usage.json"))?)
    }

    /// With what is measured now, so that one run of `UPDATE=1` renews all that depends on it.
    #[cfg(test)]
    pub(super) fn measured(self) -> Self {
        Self { log_line_bytes: tests::log_line_bytes(), metrics: tests::metric_names(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use slack_ingress::slack::retries::Attempt;
    use slack_ingress::telemetry::metrics::{Context, dispatch, ingress, redrive, settle};
    use slack_ingress::telemetry::report::Errors;
    use slack_ingress::telemetry::report::dispatch::{MessageOutcome, MessageReport};
    use slack_ingress::telemetry::report::ingress::{
        LoggedDelivery, RequestDetails, RequestOutcome, RequestReport, Timings,
    };
    use slack_ingress::telemetry::report::redrive::{RunReport, StillParked};
    use slack_ingress::telemetry::report::settle::{Ended, SettleReport};
    use slack_ingress::time::clock::UnixMillis;
    use std::collections::BTreeSet;
    use std::time::Duration;

    /// What `PutLogEvents` counts for each line beside its text.
    const OVERHEAD: u64 = 26;
    const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
    const TRACE_ID: &str = "1-5759e988-bd862e3fe1be46a994272793";
    const QUESTION: &str = "A0MDYCDME:C0LAN2Q65:1515449522.000016";

    /// The longest name that CloudFormation gives a function has 64 characters; these have what they are called by.
    fn context(function_name: &str) -> Context<'_> {
        let now = UnixMillis::from_millis(1_515_449_522_016);
        Context { function_name, request_id: REQUEST_ID, trace_id: Some(TRACE_ID), cold_start: false, now }
    }

    fn micros(micros: u64) -> Option<Duration> {
        Some(Duration::from_micros(micros))
    }

    fn accepted() -> String {
        let timings = Timings {
            verify: micros(123),
            record: micros(4_123),
            send: micros(6_123),
            settle: micros(4_123),
            total: Duration::from_micros(11_345),
        };
        let delivery = LoggedDelivery {
            kind: "event",
            event_type: "app_mention".to_owned(),
            event_id: "Ev0LAN670R12".to_owned(),
            team_id: Some("T061EG9R6".to_owned()),
            api_app_id: Some("A0MDYCDME".to_owned()),
        };
        let details = RequestDetails {
            delivery: Some(delivery),
            attempt: Attempt::default(),
            timings,
            ..RequestDetails::default()
        };
        let report = RequestReport { outcome: RequestOutcome::Accepted, details };
        ingress::line(&report, context("SlackIngress-IngressFunctionCC445980-AbCdEfGhIjKl"))
    }

    fn found_nothing() -> String {
        let report = RunReport {
            still_parked: Some(StillParked { events: 0, oldest: Duration::ZERO }),
            total: Duration::from_micros(60_123),
            ..RunReport::default()
        };
        redrive::line(&report, context("SlackIngress-IngressRedriveFunctionAAEF3CA0-AbCdEfGhIjKl"))
    }

    fn handed_over() -> String {
        let attributes = [
            ("kind", "event"),
            ("type", "app_mention"),
            ("event_id", "Ev0LAN670R12"),
            ("team_id", "T061EG9R6"),
            ("api_app_id", "A0MDYCDME"),
        ];
        let report = MessageReport {
            outcome: MessageOutcome::Dispatched,
            message_id: "059f36b4-87a3-44ab-83d2-661975830a7d".to_owned(),
            receipt_handle: String::new(),
            receive_count: 1,
            shown_attributes: attributes.map(|(name, value)| (name, value.to_owned())).to_vec(),
            session_id: Some(format!("slack-{}", "0".repeat(64))),
            question_id: Some(QUESTION.to_owned()),
            trace: None,
            waited: micros(51_123),
            invoke: micros(412_345),
            is_untold: false,
            feedback: None,
            put_off_for: None,
            reason: None,
            errors: Errors::default(),
        };
        dispatch::line(&report, context("SlackIngressAgent-DispatchFunctionCD7C4A01-AbCdEfGhIjKl"))
    }

    fn settled(report: SettleReport) -> String {
        let report = SettleReport {
            question_id: Some(QUESTION.to_owned()),
            team_id: Some("T061EG9R6".to_owned()),
            unanswered_for: micros(10_123_456),
            ..report
        };
        settle::line(&report, context("SlackIngressAgent-SettleFunctionBF03AEAD-AbCdEfGhIjKl"))
    }

    /// The lines of agent-settle about a question for which all goes well: the sign, a claim, a beat, the answer.
    fn settlements() -> [String; 4] {
        [
            SettleReport {
                operation: "sign",
                outcome: Some("shown"),
                time_to_first_sign: micros(612_345),
                ..SettleReport::default()
            },
            SettleReport { operation: "claim", outcome: Some("claimed"), ..SettleReport::default() },
            SettleReport { operation: "beat", outcome: Some("go on"), ..SettleReport::default() },
            SettleReport {
                operation: "answer",
                outcome: Some("answered"),
                ended: Some(Ended::Answered),
                attempts: Some(1),
                time_to_answer: micros(20_123_456),
                ..SettleReport::default()
            },
        ]
        .map(settled)
    }

    /// The access log's line, by the format in the template. API Gateway writes every value as a text.
    fn access() -> String {
        let template = include_str!("../../../cdk/test/snapshot/templates/default.SlackIngress.json");
        let template: Value = serde_json::from_str(template).unwrap();
        let mut resources = template["Resources"].as_object().unwrap().values();
        let stage = resources.find(|it| it["Type"] == "AWS::ApiGatewayV2::Stage").expect("a stage");
        let format = stage["Properties"]["AccessLogSettings"]["Format"].as_str().expect("a format");
        let mut line = format.to_owned();
        for (variable, value) in [
            ("$context.requestId", "JKJaXmPLvHcESHA="),
            ("$context.requestTime", "10/Mar/2026:12:34:56 +0000"),
            ("$context.identity.sourceIp", "203.0.113.114"),
            ("$context.identity.userAgent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
            ("$context.apiId", "a1b2c3d4e5"),
            ("$context.integration.integrationStatus", "200"),
            ("$context.routeKey", "POST /slack/events"),
            ("$context.status", "200"),
            ("$context.error.message", "-"),
            ("$context.integrationErrorMessage", "-"),
            ("$context.integrationLatency", "16"),
            ("$context.responseLatency", "18"),
        ] {
            line = line.replace(&format!("\"{variable}\""), &format!("\"{value}\""));
        }
        assert!(!line.contains('$'), "teach this test the rest: {line}");
        line
    }

    /// Lambda's own lines, in its documented format: docs.aws.amazon.com/lambda/latest/dg/rust-logging.html.
    fn lambdas() -> [String; 3] {
        [
            format!("START RequestId: {REQUEST_ID} Version: $LATEST\n"),
            format!("END RequestId: {REQUEST_ID}\n"),
            format!(
                "REPORT RequestId: {REQUEST_ID}\tDuration: 16.12 ms\tBilled Duration: 17 ms\tMemory Size: 256 MB\t\
                 Max Memory Used: 26 MB\t\nXRAY TraceId: {TRACE_ID}\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n"
            ),
        ]
    }

    fn weight<'a>(lines: impl IntoIterator<Item = &'a String>) -> u64 {
        lines.into_iter().map(|line| line.len() as u64 + OVERHEAD).sum()
    }

    /// The metrics that lines declare, each with its dimensions.
    fn metrics<'a>(lines: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for line in lines {
            let line: Value = serde_json::from_str(line).unwrap();
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
                for metric in directive["Metrics"].as_array().unwrap() {
                    names.insert(format!(
                        "{} {} {}",
                        line["FunctionName"], metric["Name"], directive["Dimensions"]
                    ));
                }
            }
        }
        names
    }

    /// The bytes of the lines that the functions write.
    pub(super) fn log_line_bytes() -> LogLineBytes {
        LogLineBytes {
            ingress: weight([&accepted()]),
            redrive: weight([&found_nothing()]),
            dispatch: weight([&handed_over()]),
            settle: settlements().iter().map(|line| weight([line])).max().unwrap(),
            access: weight([&access()]),
            lambda: weight(&lambdas()),
        }
    }

    /// How many metrics the lines declare. Cold starts, which every function counts, are one more for each.
    pub(super) fn metric_names() -> MetricNames {
        let settlements = settlements();
        let question = [handed_over()].into_iter().chain(settlements).collect::<Vec<_>>();
        MetricNames {
            event: metrics([&accepted()]).len() as u64 + 1,
            question: metrics(&question).len() as u64 + 2,
            redrive: metrics([&found_nothing()]).len() as u64,
        }
    }

    /// Renews one line of `usage.json`, if that is wanted.
    fn renew(key: &str, value: &impl serde::Serialize) {
        if std::env::var_os("UPDATE").is_none() {
            return;
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cost/usage.json");
        // Both tests may write, each its own line.
        let _held = WRITING.lock().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let value = serde_json::to_string(value).unwrap();
        let value = value.replace(':', ": ").replace(',', ", ").replace('{', "{ ").replace('}', " }");
        let is_its = |line: &&str| line.starts_with(&format!("  \"{key}\": "));
        let old = text.lines().find(is_its).expect("the line");
        let comma = if old.ends_with(',') { "," } else { "" };
        std::fs::write(path, text.replace(old, &format!("  \"{key}\": {value}{comma}"))).unwrap();
    }

    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());

    /// `usage.json` as it is now, and not as it was compiled in.
    fn written() -> Usage {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cost/usage.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    const HINT: &str = "if this change is wanted: UPDATE=1 cargo test -p slack-dev --bins cost::";

    #[test]
    fn the_bytes_of_log_are_those_of_the_lines_that_the_functions_write() {
        renew("log_line_bytes", &log_line_bytes());
        assert_eq!(log_line_bytes(), written().log_line_bytes, "{HINT}");
    }

    #[test]
    fn the_metrics_are_those_that_the_lines_declare() {
        renew("metrics", &metric_names());
        assert_eq!(metric_names(), written().metrics, "{HINT}");
    }
}
