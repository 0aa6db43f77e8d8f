//! Tests what happens when the queue fails on Slack's last attempt: the store parks the event, and the redrive sends it. Uses the
//! real binaries, DynamoDB Local and SQS.

use serde_json::{Value, json};
use std::time::Duration;
use test_support::aws::Queue;
use test_support::aws::proxy::{Fault, Gate};
use test_support::lambda::answers::{ask_again, ok};
use test_support::lambda::{Ended, Lambda, output, reply};
use test_support::slack::{Request, event, mention};

use crate::support::ingress::redrive_binary;
use crate::support::stage::Stage;

/// The ingress's time-out. A lease ends two seconds later.
const TIMEOUT: Duration = Duration::from_secs(3);

const REFUSE: Fault = Fault::Refuse(500, "com.amazonaws.sqs#InternalError");

/// Makes Slack's last attempt to deliver an event while the queue is down.
async fn park(stage: &Stage, lambda: &Lambda, request: Request) {
    stage.sqs.always("SendMessage", REFUSE);
    let last = request.retry(3, "http_error");
    assert_eq!(reply(lambda.invoke_for(&last.event(), TIMEOUT).await), ok());
    stage.sqs.heal();
}

/// Runs the redrive, and returns the summary that it answers with.
async fn run(redrive: &Lambda) -> Value {
    // The redrive ignores the content of EventBridge's event.
    let scheduled = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    match redrive.invoke_for(&scheduled, Duration::from_secs(60)).await {
        Ended::Answered(summary) => summary,
        other => panic!("{other:?}"),
    }
}

fn summary(redriven: u64, failed: u64, left: u64) -> Value {
    json!({ "redriven": redriven, "failed": failed, "left": left })
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_the_queue_does_not_take_on_the_last_attempt_is_parked_and_redriven() {
    let stage = Stage::fifo().await;
    let (lambda, redrive) = (stage.environment().await, stage.redrive().await);
    park(&stage, &lambda, event("Ev1")).await;
    let item = stage.table.item("Ev1").await.unwrap();
    assert_eq!((item["state"].as_str(), item["parked"].as_str()), ("parked", "s18"));
    assert!(!item.contains_key("expires_at"), "a parked event must not be deleted by TTL");
    assert_eq!(lambda.reports(1).await[0]["Parked"], 1);
    // If Slack delivers the event again, it is a duplicate.
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, [""; 0]);

    // A send of the invocation that parked the event may still be under way.
    assert_eq!(run(&redrive).await, summary(0, 0, 1));
    stage.lease_over("Ev1").await;
    let before = stage.sqs.calls("SendMessage");
    assert_eq!(run(&redrive).await, summary(1, 0, 0));
    let [message] = stage.queue.take_all().await.try_into().unwrap();
    assert_eq!(message.body.as_bytes(), mention("Ev1", "hello"));
    assert_eq!(message.attributes["retry_num"], "3");
    assert_eq!(message.attributes["received_at"], item["received_at"]);
    assert_eq!(message.system["MessageDeduplicationId"], "Ev1");
    assert_eq!(message.system["MessageGroupId"], "T061EG9R6:C0LAN2Q65:1515449522.000016");

    let item = stage.table.item("Ev1").await.unwrap();
    assert_eq!(item["state"], "forwarded");
    assert!(item.contains_key("expires_at") && !item.contains_key("parked") && !item.contains_key("message"));
    assert_eq!(run(&redrive).await, summary(0, 0, 0));
    assert_eq!(stage.sqs.calls("SendMessage") - before, 1);
    let reports = redrive.reports(3).await;
    let figures = |report: &Value| (report["Redriven"].clone(), report["ParkedEvents"].clone());
    let expected = [(json!(0), json!(1)), (json!(1), json!(0)), (json!(0), json!(0))];
    assert_eq!(reports.iter().map(figures).collect::<Vec<_>>(), expected);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn parked_events_stay_parked_while_the_queue_is_down_and_are_sent_afterwards() {
    let stage = Stage::with(Queue::standard().await).await;
    let (lambda, redrive) = (stage.environment().await, stage.redrive().await);
    for id in ["Ev1", "Ev2", "Ev3"] {
        park(&stage, &lambda, event(id)).await;
    }
    stage.lease_over("Ev3").await;
    stage.sqs.always("SendMessage", REFUSE);
    // All three events are of one conversation, so the second and the third wait for the first.
    assert_eq!(run(&redrive).await, summary(0, 1, 3));
    let report = redrive.reports(1).await.remove(0);
    assert_eq!((&report["level"], &report["ParkedEvents"]), (&json!("ERROR"), &json!(3)));
    assert!(report["OldestParkedAge"].as_u64().unwrap() >= 4, "{report}");
    stage.sqs.heal();
    stage.lease_over("Ev3").await;
    assert_eq!(run(&redrive).await, summary(3, 0, 0));
    let mut ids = stage.queue.take_event_ids().await;
    ids.sort();
    assert_eq!(ids, ["Ev1", "Ev2", "Ev3"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn events_that_the_queue_refuses_for_good_end_no_run_and_hold_up_nobody_not_even_their_conversation() {
    let stage = Stage::fifo().await;
    let (lambda, redrive) = (stage.environment().await, stage.redrive().await);
    let ids: Vec<String> = (10..22).map(|n| format!("Ev{n}")).collect();
    for id in &ids {
        park(&stage, &lambda, event(id)).await;
    }
    stage.lease_over("Ev21").await;
    stage.sqs.always("SendMessage", Fault::Refuse(400, "InvalidMessageContents"));
    // All are of one conversation, and more than the failures in a row after which a run ends. Each is tried all the same.
    assert_eq!(run(&redrive).await, summary(0, 12, 12));
    assert_eq!(redrive.reports(1).await[0]["unsendable"], 12);
    stage.sqs.heal();
    stage.lease_over("Ev21").await;
    assert_eq!(run(&redrive).await, summary(12, 0, 0));
    assert_eq!(stage.queue.take_event_ids().await, ids);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn two_runs_at_once_send_each_event_once() {
    let stage = Stage::with(Queue::standard().await).await;
    let lambda = stage.environment().await;
    let redrives = [stage.redrive().await, stage.redrive().await, stage.redrive().await];
    let ids: Vec<String> = (10..30).map(|n| format!("Ev{n}")).collect();
    for id in &ids {
        park(&stage, &lambda, event(id)).await;
    }
    stage.lease_over("Ev29").await;
    let before = stage.sqs.calls("SendMessage");
    let [first, second, third] = &redrives;
    let summaries = tokio::join!(run(first), run(second), run(third));
    let redriven = |summary: &Value| summary["redriven"].as_u64().unwrap();
    assert_eq!(redriven(&summaries.0) + redriven(&summaries.1) + redriven(&summaries.2), 20);
    assert_eq!(stage.sqs.calls("SendMessage") - before, 20);
    let mut received = stage.queue.take_event_ids().await;
    received.sort();
    assert_eq!(received, ids);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_a_run_that_dies_between_send_and_confirm_the_next_run_sends_again_and_the_fifo_queue_keeps_one()
 {
    let stage = Stage::fifo().await;
    let (lambda, mut redrive) = (stage.environment().await, stage.redrive().await);
    park(&stage, &lambda, event("Ev1")).await;
    stage.lease_over("Ev1").await;
    let before = stage.sqs.calls("SendMessage");
    stage.sqs.once("SendMessage", Fault::HoldAfter(Gate::default()));
    let running = redrive.invoke_for(&json!({}), Duration::from_secs(60));
    stage.sqs.reached("SendMessage", before + 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    redrive.kill().await;
    assert!(matches!(running.await, Ended::Died));
    assert_eq!(stage.table.state("Ev1").await.as_deref(), Some("parked"));

    stage.lease_over("Ev1").await;
    let redrive = stage.redrive().await;
    assert_eq!(run(&redrive).await, summary(1, 0, 0));
    assert_eq!(stage.sqs.calls("SendMessage") - before, 2);
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_too_large_for_an_item_is_parked_compressed_and_sent_unchanged() {
    let stage = Stage::fifo().await;
    let (lambda, redrive) = (stage.environment().await, stage.redrive().await);
    let body = mention("Ev1", &"Grüße 🦀, und \"noch\" eine Zeile\n".repeat(24_000));
    assert!((800_000..1_000_000).contains(&body.len()), "{}", body.len());
    park(&stage, &lambda, Request::json(body.clone())).await;
    stage.lease_over("Ev1").await;
    assert_eq!(run(&redrive).await, summary(1, 0, 0));
    let [message] = stage.queue.take_all().await.try_into().unwrap();
    assert!(message.body.as_bytes() == body);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_too_large_for_an_item_even_when_compressed_is_503_and_counted_as_lost() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(800_000).collect();
    stage.sqs.always("SendMessage", REFUSE);
    let last = Request::json(mention("Ev1", &noise)).retry(3, "http_error");
    assert_eq!(lambda.post(&last).await, ask_again());
    let report = lambda.reports(1).await.remove(0);
    assert_eq!((&report["Lost"], &report["level"]), (&json!(1), &json!("ERROR")), "{report}");
    assert!(report["errors"].to_string().contains("larger than an item holds"), "{report}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn with_both_services_down_the_last_attempt_is_lost_and_the_log_says_it() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    stage.sqs.always("SendMessage", REFUSE);
    stage.dynamodb.always("PutItem", Fault::Break);
    for (n, retry) in [None, Some(1), Some(2), Some(3)].into_iter().enumerate() {
        let request = retry.map_or_else(|| event("Ev1"), |num| event("Ev1").retry(num, "http_error"));
        assert_eq!(lambda.post(&request).await, ask_again());
        let report = lambda.reports(n + 1).await.remove(n);
        assert_eq!(report.get("Lost").is_some(), retry == Some(3), "{report}");
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn started_by_hand_the_redrive_runs_once_and_its_exit_code_tells_whether_events_are_still_parked() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    park(&stage, &lambda, event("Ev1")).await;
    stage.lease_over("Ev1").await;
    let by_hand = async || {
        let output = output(&redrive_binary(), &stage.redrive_variables()).await;
        let line: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        (line, output.status.code())
    };
    stage.sqs.always("SendMessage", REFUSE);
    assert_eq!(by_hand().await, (summary(0, 1, 1), Some(1)));
    stage.sqs.heal();
    stage.lease_over("Ev1").await;
    assert_eq!(by_hand().await, (summary(1, 0, 0), Some(0)));
    assert_eq!(by_hand().await, (summary(0, 0, 0), Some(0)));
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_redrive_without_its_table_or_queue_names_the_missing_variable() {
    let mut variables = Stage::fifo().await.redrive_variables();
    variables.remove("EVENT_SINK");
    variables.insert("DEDUP_STORE".to_owned(), "memory:".to_owned());
    let output = output(&redrive_binary(), &variables).await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        log.contains("EVENT_SINK is missing") && log.contains("DEDUP_STORE: what is kept in memory"),
        "{log}"
    );
}
