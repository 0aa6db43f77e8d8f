//! Counts the calls that `slack-dev cost` and docs/cost.md reckon with. Those of a question are counted in `dispatch.rs`.

use futures_util::FutureExt;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
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

/// How often the calls are counted at most.
const MEASURES: usize = 10;

/// Measures several times, until it is what was expected: on a busy machine a call may be cut off, and is made again, or one is not
/// made at all that a measure waits for in vain. Returns what was measured last.
pub(crate) async fn measured(expected: &Value, measure: impl AsyncFn() -> Value) -> Value {
    for _ in 1..MEASURES {
        match AssertUnwindSafe(measure()).catch_unwind().await {
            Ok(measured) if measured == *expected => return measured,
            Ok(measured) => println!("measured once more: {measured}"),
            Err(_) => println!("measured once more: it panicked"),
        }
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
        let mut since = json!({ "dynamodb_writes": writes, "sqs_requests": sqs });
        // There are none, but for a write whose answer came too late: then the record is looked at.
        if reads > 0 {
            since["dynamodb_reads"] = json!(reads);
        }
        since
    };
    let lambda = stage.environment().await;
    tokio::join!(stage.dynamodb.reached("DeleteItem", 1), stage.sqs.reached("GetQueueAttributes", 1));
    let start = since();
    let of_first = lambda.post(&event("Ev1")).await;
    // The write that confirms comes after the answer.
    lambda.reports(1).await;
    let first = since();
    let of_duplicate = lambda.post(&event("Ev1")).await;
    lambda.reports(2).await;
    let duplicate = since();
    if [&of_first, &of_duplicate] != [&ok(), &ok()] {
        return json!(format!("{of_first:?}, {of_duplicate:?}"));
    }
    let redrive = stage.redrive().await;
    let ended = redrive.invoke_for(&json!({ "source": "aws.events" }), Duration::from_secs(60)).await;
    if !matches!(ended, Ended::Answered(_)) {
        return json!(format!("{ended:?}"));
    }
    let [_, _, queries, _] = calls(&stage.dynamodb, &stage.sqs);
    json!({
        "start": start, "event": first, "duplicate": duplicate, "redrive_run": since(), "dynamodb_queries": queries,
    })
}
