//! How the function starts, and how it does not.

use std::collections::HashMap;

use crate::support::lambda::{run_to_end, variables};

fn with(more: &[(&str, &str)]) -> HashMap<String, String> {
    let mut variables = variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")]);
    variables.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

#[tokio::test]
async fn every_problem_of_the_configuration_is_told_in_one_message() {
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
async fn a_service_of_awss_without_a_region_stops_the_function() {
    let mut variables =
        with(&[("DEDUP_STORE", "dynamodb:events"), ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")]);
    variables.remove("AWS_REGION");
    let (status, stderr) = run_to_end(&variables).await;
    assert!(!status.success());
    assert!(stderr.contains("AWS_REGION"), "{stderr}");
}
