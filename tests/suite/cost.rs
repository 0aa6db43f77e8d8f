//! Counts the calls that `slack-dev cost` and docs/cost.md reckon with. Those of a question are counted in `dispatch.rs`.

use serde_json::{Value, json};
use std::time::Duration;
use test_support::aws::proxy::Proxy;
use test_support::lambda::Ended;
use test_support::lambda::answers::ok;
use test_support::slack::event;

use crate::support::stage::Stage;

/// What the calculator reckons with for `step`, such as `event`.
pub(crate) fn reckoned(step: &str) -> Value {
    let usage = include_str!("../../slack-dev/src/cost/usage.json");
    let usage: Value = serde_json::from_str(usage).expect("JSON");
    usage[step].clone()
}

/// How often DynamoDB was read (by key), written and queried, and SQS called, so far.
pub(crate) fn calls(dynamodb: &Proxy, sqs: &Proxy) -> [usize; 4] {
    let sum = |proxy: &Proxy, operations: &[&str]| operations.iter().map(|name| proxy.calls(name)).sum();
    [
        sum(dynamodb, &["GetItem"]),
        sum(dynamodb, &["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"]),
        sum(dynamodb, &["Query", "Scan"]),
        sum(
            sqs,
            &[
                "SendMessage",
                "ReceiveMessage",
                "DeleteMessage",
                "ChangeMessageVisibility",
                "GetQueueAttributes",
                "GetQueueUrl",
            ],
        ),
    ]
}

/// Measures up to three times, until it is what was expected: on a busy machine a call may be cut off, and is made again. Returns
/// what was measured last.
pub(crate) async fn measured(expected: &Value, measure: impl AsyncFn() -> Value) -> Value {
    for _ in 0..2 {
        let measured = measure().await;
        if measured == *expected {
            return measured;
        }
        println!("measured once more: {measured}");
    }
    measure().await
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_a_duplicate_and_a_run_of_the_redrive_make_the_calls_that_their_price_is_reckoned_from() {
    let expected = json!({
        // That the secret is read with two calls is tested in `secrets.rs`.
        "start": {
            "dynamodb_writes": reckoned("start")["dynamodb_writes"],
            "sqs_requests": reckoned("start")["sqs_requests"],
        },
        "event": reckoned("event"),
        "duplicate": reckoned("duplicate"),
        "redrive_run": { "dynamodb_writes": 0, "sqs_requests": 0 },
        "dynamodb_queries": reckoned("redrive_run")["dynamodb_queries"],
    });
    assert_eq!(measured(&expected, ingress_and_redrive).await, expected);
}

async fn ingress_and_redrive() -> Value {
    let stage = Stage::fifo().await;
    let mut before = [0; 4];
    let mut since = || {
        let now = calls(&stage.dynamodb, &stage.sqs);
        let [reads, writes, _, sqs] = std::array::from_fn(|n| now[n] - before[n]);
        before = now;
        assert_eq!(reads, 0);
        json!({ "dynamodb_writes": writes, "sqs_requests": sqs })
    };
    let lambda = stage.environment().await;
    tokio::join!(stage.dynamodb.reached("DeleteItem", 1), stage.sqs.reached("GetQueueAttributes", 1));
    let start = since();
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    // The write that confirms comes after the answer.
    lambda.reports(1).await;
    let first = since();
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    lambda.reports(2).await;
    let duplicate = since();
    let redrive = stage.redrive().await;
    let ended = redrive.invoke_for(&json!({ "source": "aws.events" }), Duration::from_secs(60)).await;
    assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
    let [_, _, queries, _] = calls(&stage.dynamodb, &stage.sqs);
    json!({
        "start": start, "event": first, "duplicate": duplicate, "redrive_run": since(), "dynamodb_queries": queries,
    })
}
