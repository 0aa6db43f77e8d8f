//! Tests what the log contains, and what it must never contain.

use serde_json::Value;
use slack_ingress::time::clock::{Clock, SystemClock};
use test_support::aws::proxy::Fault;
use test_support::aws::sigv4::OTHER_SECRET_KEY;
use test_support::lambda::answers::{ask_again, ok};
use test_support::lambda::variables;
use test_support::slack::{Request, SECRET, mention};

use crate::support::ingress;
use crate::support::stage::Stage;

const TEXT: &str = "the-text-of-a-message";
/// The verification token in `support::slack::mention`.
const TOKEN: &str = "ZZZZZZWSxiZZZ2yIvs3peJ";

fn signature(request: &Request) -> &str {
    let header = request.headers.iter().find(|(name, _)| name == "X-Slack-Signature");
    header.map(|(_, value)| value.trim_start_matches("v0=")).expect("it is signed")
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn no_secret_token_signature_or_text_is_logged_at_any_level() {
    let stage = Stage::fifo().await;
    let mut variables = stage.variables();
    variables.insert(
        "RUST_LOG".to_owned(),
        "trace,aws_smithy_runtime=trace,aws_sigv4=trace,lambda_runtime=trace,hyper=trace".to_owned(),
    );
    variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), OTHER_SECRET_KEY.to_owned());
    let lambda = ingress::start(variables).await;

    let good = Request::json(mention("Ev1", TEXT));
    let forged = good.clone().header("X-Slack-Signature", &format!("v0={}", "f".repeat(64)));
    let stale = Request::signed_with(
        SECRET,
        SystemClock.now().as_secs() - 400,
        "application/json",
        mention("Ev1", TEXT),
    );
    let malformed = Request::json(format!("{{\"type\":\"event_callback\",\"event\":\"{TEXT}\"}}"));
    let not_utf8 = Request::json([TEXT.as_bytes(), b"\xff"].concat());
    let unavailable = Request::json(mention("Ev2", TEXT));

    assert_eq!(lambda.post(&good).await, ok());
    for (request, status) in [(&forged, 401), (&stale, 401), (&malformed, 400), (&not_utf8, 400)] {
        assert_eq!(lambda.post(request).await.status, status);
    }
    stage.sqs.always("SendMessage", Fault::Refuse(400, "InvalidMessageContents"));
    stage.dynamodb.always("DeleteItem", Fault::Refuse(400, "ValidationException"));
    assert_eq!(lambda.post(&unavailable).await, ask_again());
    lambda.reports(6).await;

    let written = [lambda.stderr(), lambda.stdout()].concat().join("\n");
    for request in [&good, &forged, &stale, &malformed, &not_utf8, &unavailable] {
        assert!(!written.contains(signature(request)), "a signature: {written}");
    }
    for never in [SECRET, TOKEN, TEXT, OTHER_SECRET_KEY] {
        assert!(!written.contains(never), "{never}: {written}");
    }
}

#[tokio::test]
async fn every_invocation_leaves_one_line_that_cloudwatch_reads_as_metrics() {
    let lambda = ingress::start(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "stdout:"),
        ("RUST_LOG", "off"),
    ]))
    .await;
    let request = Request::json(mention("Ev1", "hello"));
    lambda.post(&request).await;
    lambda.post(&request.clone().retry(1, "http_timeout")).await;
    lambda.post(&request.clone().retry(2, "a-reason-of-tomorrow")).await;
    lambda.post(&request.header("X-Slack-Signature", "v0=00").retry(3, "http_error")).await;

    let reports = lambda.reports(4).await;
    assert_eq!(lambda.stderr().len(), 4, "one line each, and no other");
    for report in &reports {
        let directives = report["_aws"]["CloudWatchMetrics"].as_array().expect("directives");
        for directive in directives {
            for metric in directive["Metrics"].as_array().expect("metrics") {
                let name = metric["Name"].as_str().expect("a name");
                assert!(report[name].is_number(), "{name} in {report}");
            }
            for dimension in directive["Dimensions"][0].as_array().expect("dimensions") {
                assert!(report[dimension.as_str().expect("a name")].is_string(), "{dimension} in {report}");
            }
        }
        assert!(report["AckTime"].as_f64().expect("a duration") > 0.0);
        assert!(report["request_id"].is_string());
    }
    let [first, retry, odd, forged] = <[Value; 4]>::try_from(reports).expect("four");
    assert_eq!((&first["outcome"], &first["Accepted"]), (&"accepted".into(), &1.into()));
    assert_eq!((&first["cold_start"], &first["ColdStarts"]), (&true.into(), &1.into()));
    assert_eq!((&first["kind"], &first["type"]), (&"event".into(), &"app_mention".into()));
    assert_eq!(first["event_id"], "Ev1");
    for step in ["VerifyTime", "RecordTime", "SendTime", "SettleTime"] {
        assert!(first[step].is_number(), "{step}");
    }
    assert_eq!((&retry["outcome"], &retry["Duplicates"]), (&"duplicate".into(), &1.into()));
    assert_eq!((&retry["cold_start"], &retry["ColdStarts"]), (&false.into(), &Value::Null));
    assert_eq!((&retry["retry_num"], &retry["retry_reason"]), (&1.into(), &"http_timeout".into()));
    assert_eq!((&retry["Retries"], &retry["RetryReason"]), (&1.into(), &"http_timeout".into()));
    assert_eq!(
        (&odd["retry_reason"], &odd["RetryReason"]),
        (&"a-reason-of-tomorrow".into(), &"other".into())
    );
    assert_eq!((&forged["outcome"], &forged["Rejected"]), (&"rejected".into(), &1.into()));
    assert_eq!(
        (&forged["event_id"], &forged["Retries"]),
        (&Value::Null, &Value::Null),
        "nothing unsigned is told"
    );
}

/// The header is Lambda's, but what Lambda took it from may be a stranger's.
#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_message_and_the_line_have_the_invocations_trace_if_it_is_well_formed() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    let trace_id = "1-67891233-abcdef012345678912345678";
    let whole = format!("Root={trace_id};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:fbeed4f3:0");
    let root = format!("Root={trace_id}");
    let strangers = format!("Self=1-2-3;Root={trace_id};Parent=x;CalledFrom=a%0Ab\"c");
    let cases = [
        ("Ev1", Some(whole.as_str()), Some(whole.as_str())),
        ("Ev2", Some(strangers.as_str()), Some(root.as_str())),
        ("Ev3", Some("Root=1-67891233-abcdef0123456789\"12345678"), None),
        ("Ev4", Some("Root=;;=;Sampled"), None),
        ("Ev5", None, None),
    ];
    for (number, (event_id, header, expected)) in (1..).zip(cases) {
        lambda.trace(header);
        assert_eq!(lambda.post(&Request::json(mention(event_id, TEXT))).await, ok());
        let [message] = stage.queue.take_all().await.try_into().expect("one message");
        assert_eq!(message.attributes["event_id"], event_id);
        assert_eq!(message.system.get("AWSTraceHeader").map(String::as_str), expected, "{header:?}");
        let report = lambda.reports(number).await.pop().expect("a line");
        assert_eq!(report["event_id"], event_id);
        assert_eq!(report["trace_id"].as_str(), expected.map(|_| trace_id), "{report}");
    }
}

#[tokio::test]
async fn a_memory_too_short_for_slacks_retries_is_warned_of() {
    let short = [("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:"), ("DEDUP_TTL_SECONDS", "60")];
    let lambda = ingress::start(variables(short)).await;
    lambda.post(&Request::json(mention("Ev1", "hello"))).await;
    lambda.reports(1).await;
    assert!(
        lambda.stderr().iter().any(|line| line.contains("\"WARN\"") && line.contains("DEDUP_TTL_SECONDS"))
    );
}
