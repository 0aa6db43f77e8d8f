//! Tests how the function starts, and which errors stop it.

use std::collections::HashMap;
use test_support::aws::proxy::Fault;
use test_support::lambda::answers::ok;
use test_support::lambda::variables;
use test_support::slack::event;

use crate::support::ingress::{self, run_to_end};
use crate::support::stage::Stage;

fn with(more: &[(&str, &str)]) -> HashMap<String, String> {
    let mut variables = variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")]);
    variables.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

#[tokio::test]
async fn one_error_message_names_every_problem_of_the_configuration() {
    let bad = HashMap::from(
        [
            ("DEDUP_STORE", "postgres:events"),
            ("EVENT_SINK", "kafka:events"),
            ("DEDUP_TTL_SECONDS", "an hour"),
            ("BOT_EVENTS", "some"),
            ("ACK_BUDGET_MS", "60000"),
            ("RUST_LOG", "slack_ingress=loud"),
            ("DEDUP_KEY", "text"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let (status, stderr) = run_to_end(&bad).await;
    assert!(!status.success());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for name in bad.keys().map(String::as_str).chain(["SLACK_SIGNING_SECRET"]) {
        assert!(stderr.contains(name), "{name} is not in {stderr}");
    }
}

#[tokio::test]
async fn each_bad_value_stops_the_function_and_no_message_quotes_it() {
    let bad = [
        ("DEDUP_STORE", ""),
        ("DEDUP_STORE", "dynamodb:"),
        ("DEDUP_STORE", "dynamodb:bad name"),
        ("EVENT_SINK", "https://sqs.us-east-1.amazonaws.com/123456789012/"),
        ("EVENT_SINK", "xyzzy-plugh"),
        ("DEDUP_TTL_SECONDS", "0"),
        ("DEDUP_TTL_SECONDS", "-1"),
        ("ACK_BUDGET_MS", "0"),
        ("ACK_BUDGET_MS", "3001"),
        ("BOT_EVENTS", "Drop"),
        ("SLACK_SIGNING_SECRET", " , "),
        ("SLACK_SIGNING_SECRET_ARN", "xyzzy-both-are-set"),
    ];
    for (name, value) in bad {
        let (status, stderr) = run_to_end(&with(&[(name, value)])).await;
        assert!(!status.success(), "{name}={value}");
        assert!(stderr.contains(name), "{name}={value}: {stderr}");
        assert!(!stderr.contains("xyzzy"), "{name}={value}: {stderr}");
    }
}

#[tokio::test]
async fn outside_of_lambda_the_program_says_what_it_is() {
    let (status, stderr) = run_to_end(&with(&[])).await;
    assert!(!status.success());
    assert!(stderr.contains("cargo lambda watch"), "{stderr}");
}

#[tokio::test]
async fn one_error_message_names_every_missing_variable_of_lambda() {
    let mut variables = with(&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")]);
    variables.retain(|name, _| !name.starts_with("AWS_LAMBDA_FUNCTION_"));
    let (status, stderr) = run_to_end(&variables).await;
    assert!(!status.success());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for name in ["NAME", "MEMORY_SIZE", "VERSION"].map(|end| format!("AWS_LAMBDA_FUNCTION_{end} is missing"))
    {
        assert!(stderr.contains(&name), "{name} is not in {stderr}");
    }
    variables.extend(with(&[
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
    ]));
    let (status, stderr) = run_to_end(&variables).await;
    assert!(
        !status.success() && stderr.contains("AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not a whole number"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_address_of_the_runtime_api_that_is_none_is_one_message() {
    for address in ["", "/x", "127.0.0.1:1 /"] {
        let mut variables = with(&[]);
        variables.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), address.to_owned());
        let (status, stderr) = run_to_end(&variables).await;
        assert!(!status.success(), "{address}");
        assert_eq!(stderr.lines().count(), 1, "{address}: {stderr}");
        assert!(stderr.contains("AWS_LAMBDA_RUNTIME_API is neither host and port nor a URL"), "{stderr}");
    }
}

#[tokio::test]
async fn an_aws_service_without_a_region_stops_the_function() {
    let mut variables =
        with(&[("DEDUP_STORE", "dynamodb:events"), ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")]);
    variables.remove("AWS_REGION");
    let (status, stderr) = run_to_end(&variables).await;
    assert!(!status.success());
    assert!(stderr.contains("AWS_REGION"), "{stderr}");
}

#[tokio::test]
async fn a_failed_init_is_reported_to_the_runtime_api() {
    let lambda = ingress::start(with(&[("ACK_BUDGET_MS", "0")])).await;
    let error = lambda.init_error().await;
    assert_eq!(error["errorType"], "Runtime.InitFailed");
    assert!(error["errorMessage"].as_str().unwrap().contains("ACK_BUDGET_MS"), "{error}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_first_event_uses_the_connections_that_the_warm_up_opened() {
    let stage = Stage::fifo().await;
    // An emulator's very first answer may take longer than a warm-up waits, so another environment makes the first call.
    stage.environment().await.is_ready().await;
    let connections_before = [stage.dynamodb.connections(), stage.sqs.connections()];
    let lambda = stage.environment().await;
    lambda.is_ready().await;
    let connections = || {
        let [dynamodb, sqs] = connections_before;
        [stage.dynamodb.connections() - dynamodb, stage.sqs.connections() - sqs]
    };
    assert_eq!(connections(), [1, 1]);
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    stage.table.becomes("Ev1", "forwarded").await;
    assert_eq!(connections(), [1, 1]);
    let calls = |operation| stage.dynamodb.calls(operation) + stage.sqs.calls(operation);
    let expected = [("PutItem", 1), ("SendMessage", 1), ("UpdateItem", 1)];
    assert_eq!(expected.map(|(operation, _)| (operation, calls(operation))), expected);
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_failed_warm_up_is_logged_and_events_are_served_all_the_same() {
    for fault in [Fault::Refuse(400, "AccessDeniedException"), Fault::Break, Fault::Hang] {
        let stage = Stage::fifo().await;
        stage.dynamodb.always("DeleteItem", fault.clone());
        stage.sqs.always("GetQueueAttributes", fault.clone());
        let lambda = stage.environment().await;
        assert_eq!(lambda.post(&event("Ev1")).await, ok(), "{fault:?}");
        assert_eq!(stage.queue.take_event_ids().await, ["Ev1"], "{fault:?}");
        for part in ["store", "sink"] {
            let is_told = |line: &String| line.contains("not warmed up") && line.contains(part);
            assert!(lambda.stderr().iter().any(is_told), "{fault:?}: {:#?}", lambda.stderr());
        }
    }
}
