//! Tests `slack-dev storm`: that it sends what it should, and notices lost, doubled and forged events.

use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::aws::Queue;
use test_support::http::{Endpoint, ReceivedRequest, response};

use crate::support::{Ingress, slack_dev, slack_dev_shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ingress_takes_every_event_and_no_forgery() {
    let ingress = Ingress::local().await;
    let arguments = ["-n", "300", "--retries", "0.3", "--forgeries", "0.3", "--seed", "1", "--compressed=60"];
    let output = slack_dev(&[&["storm", "--json", "--url", &ingress.url], &arguments[..]].concat()).await;
    assert_eq!(output.code, 0, "{output:?}");
    let summary = output.json();
    assert_eq!(summary["acknowledged"], 300);
    let forgeries = &summary["forgeries"];
    assert!(forgeries["sent"].as_u64().unwrap() > 50);
    assert_eq!(forgeries["refused"], forgeries["sent"]);
    assert!(summary["repeats"].as_u64().unwrap() > 50);
    assert_eq!(summary["queue"], Value::Null);
    assert_eq!(ingress.stdout().lines().count(), 300);
}

#[tokio::test]
async fn an_app_that_fails_is_disabled_after_a_thousand_events() {
    let endpoint = Endpoint::start(async |_, _| response(500, &[], "")).await;
    let arguments = ["storm", "--json", "-n", "1000", "--compressed=1000", "--url", &endpoint.url];
    let output = slack_dev(&arguments).await;
    assert_eq!(output.code, 1);
    let summary = output.json();
    assert_eq!((&summary["failed"], &summary["attempts"]), (&Value::from(1000), &Value::from(4000)));
    assert_eq!(summary["retries"], 3000);
    assert!(summary["disabled_after_attempts"].as_u64().unwrap() >= 1000, "{summary}");
}

#[tokio::test]
async fn an_event_whose_first_attempt_fails_is_sent_again() {
    let endpoint = Endpoint::start(async |_, request| {
        let again = request.retry().is_some();
        response(if again { 200 } else { 503 }, &[], "")
    })
    .await;
    let output = slack_dev(&["storm", "--json", "-n", "50", "--url", &endpoint.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.json()["retries"], 50);
}

#[tokio::test]
async fn a_rate_and_a_duration_are_kept() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "")).await;
    let output =
        slack_dev(&["storm", "--json", "--rate", "50", "--duration", "2", "--url", &endpoint.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let events = output.json()["events"].as_u64().unwrap();
    assert!((80..=101).contains(&events), "{events}");
}

#[tokio::test]
async fn the_result_is_a_table_and_there_is_no_bar_without_a_terminal() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "")).await;
    let output = slack_dev(&["storm", "-n", "20", "--url", &endpoint.url]).await;
    for part in ["20 events", "acknowledged", "p50", "p99", "█", "no --queue-url"] {
        assert!(output.stdout.contains(part), "{part}: {output:?}");
    }
    assert_eq!(output.stderr, "");
}

async fn storm(url: &str, queue: &Queue, more: &[&str]) -> (i32, Value) {
    let arguments = ["storm", "--json", "--settle", "4", "--url", url, "--queue-url", &queue.url];
    let output = slack_dev(&[&arguments[..], more].concat()).await;
    (output.code, output.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs DynamoDB and SQS"]
async fn with_repeats_forgeries_and_duplicates_no_event_is_missing_or_doubled() {
    for queue in [Queue::fifo().await, Queue::standard().await] {
        let ingress = Ingress::before(&queue, &[]).await;
        let (code, summary) = storm(
            &ingress.url,
            &queue,
            &[
                "-n",
                "600",
                "--retries",
                "0.34",
                "--forgeries",
                "0.1",
                "--duplicates",
                "0.1",
                "--compressed=60",
            ],
        )
        .await;
        assert_eq!(code, 0, "{summary}");
        assert!(summary["events"].as_u64().unwrap() > 600, "duplicates have ids of their own: {summary}");
        assert_eq!(summary["acknowledged"], summary["events"]);
        assert_eq!(summary["queue"]["arrived"], summary["events"]);
        assert!(summary["repeats"].as_u64().unwrap() > 150);
        assert!(summary["forgeries"]["refused"].as_u64().unwrap() > 30);
        assert_eq!(queue.take_all().await, []);
    }
}

/// The test that `make storm` runs to be watched: it shows the bar and the table, for as many events as STORM_EVENTS says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs DynamoDB and SQS"]
async fn to_be_watched() {
    let queue = Queue::standard().await;
    let ingress = Ingress::before(&queue, &[]).await;
    let events = std::env::var("STORM_EVENTS").unwrap_or_else(|_| "300".to_owned());
    let arguments = [
        "storm",
        "-n",
        &events,
        "--retries",
        "0.33",
        "--forgeries",
        "0.1",
        "--duplicates",
        "0.05",
        "--compressed",
    ];
    let more = ["--url", &ingress.url, "--queue-url", &queue.url];
    assert!(slack_dev_shown(&[&arguments[..], &more].concat()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs DynamoDB and SQS"]
async fn one_message_under_several_ids_arrives_once_where_the_message_is_the_key() {
    let duplicates = ["-n", "100", "--duplicates", "0.5", "--compressed=60", "--dedup-key", "message"];
    let queue = Queue::standard().await;
    let ingress = Ingress::before(&queue, &[("DEDUP_KEY", "message")]).await;
    let (code, summary) = storm(&ingress.url, &queue, &duplicates).await;
    assert_eq!((code, &summary["queue"]["arrived"]), (0, &Value::from(100)), "{summary}");

    // With the key `event_id` the ingress sends a message for each id, and the storm notices the second ones.
    let queue = Queue::standard().await;
    let ingress = Ingress::before(&queue, &[]).await;
    let (code, summary) = storm(&ingress.url, &queue, &duplicates).await;
    assert_eq!(code, 1);
    assert!(summary["queue"]["doubled"].as_u64().unwrap() > 20, "{summary}");
}

/// An app's endpoint that sends `sends(n, request)` messages to the queue for its `n`th request.
async fn endpoint_that_sends(queue: &Queue, sends: fn(u64, &ReceivedRequest) -> usize) -> Endpoint {
    let (queue, count) = (queue.clone(), Arc::new(AtomicU64::new(0)));
    Endpoint::start(move |_, request| {
        let (queue, n) = (queue.clone(), count.fetch_add(1, Ordering::Relaxed));
        async move {
            for _ in 0..sends(n, &request) {
                queue.send(std::str::from_utf8(&request.body).unwrap()).await;
            }
            response(if request.is_signed() || sends(n, &request) > 0 { 200 } else { 401 }, &[], "")
        }
    })
    .await
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn the_storm_fails_if_the_app_loses_events() {
    let queue = Queue::standard().await;
    let endpoint = endpoint_that_sends(&queue, |n, _| usize::from(!n.is_multiple_of(10))).await;
    let (code, summary) = storm(&endpoint.url, &queue, &["-n", "100"]).await;
    assert_eq!(code, 1);
    let findings = &summary["queue"];
    assert_eq!(
        (&findings["missing"], &findings["doubled"]),
        (&Value::from(10), &Value::from(0)),
        "{summary}"
    );
    assert_eq!(findings["missing_ids"].as_array().unwrap().len(), 10);
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn the_storm_fails_if_the_app_forwards_retries() {
    let queue = Queue::standard().await;
    let endpoint = endpoint_that_sends(&queue, |_, request| usize::from(request.is_signed())).await;
    let (code, summary) =
        storm(&endpoint.url, &queue, &["-n", "100", "--retries", "0.3", "--seed", "5"]).await;
    assert_eq!(code, 1);
    let findings = &summary["queue"];
    assert_eq!(findings["missing"], 0);
    assert!(findings["doubled"].as_u64().unwrap() > 15, "{summary}");
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn the_storm_fails_if_the_app_accepts_forgeries() {
    let queue = Queue::standard().await;
    let endpoint = endpoint_that_sends(&queue, |_, _| 1).await;
    let (code, summary) = storm(&endpoint.url, &queue, &["-n", "100", "--forgeries", "0.3"]).await;
    assert_eq!(code, 1);
    assert!(summary["queue"]["forged"].as_u64().unwrap() > 15, "{summary}");
    assert_eq!(summary["forgeries"]["accepted"], summary["forgeries"]["sent"]);
    assert_eq!(
        (&summary["queue"]["missing"], &summary["queue"]["doubled"]),
        (&Value::from(0), &Value::from(0))
    );
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn a_queue_that_does_not_exist_is_an_error_before_anything_is_sent() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "")).await;
    let url = format!("{}-not", Queue::standard().await.url);
    let output = slack_dev(&["storm", "-n", "5", "--url", &endpoint.url, "--queue-url", &url]).await;
    assert_eq!((output.code, endpoint.received().len()), (2, 0), "{output:?}");
    assert!(output.stderr.contains("does not exist"), "{output:?}");
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn messages_of_somebody_else_stay_on_the_queue() {
    let queue = Queue::standard().await;
    queue.send(r#"{"event_id":"Ev07MENTION1"}"#).await;
    let endpoint = endpoint_that_sends(&queue, |_, _| 1).await;
    let (code, summary) = storm(&endpoint.url, &queue, &["-n", "10"]).await;
    assert_eq!((code, &summary["queue"]["strangers"]), (0, &Value::from(1)), "{summary}");
}
