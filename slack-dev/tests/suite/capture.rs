//! Tests `slack-dev capture` and `slack-dev replay`: from a log or a queue to a file, and back.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use test_support::aws::{Queue, QueueMessage};

use crate::support::{Ingress, fixtures, fresh_file, slack_dev, slack_dev_with};

fn deliveries(file: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(file).unwrap();
    content.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn capture(more: &[&str]) -> PathBuf {
    let file = fresh_file("deliveries.jsonl");
    let output = slack_dev(&[&["capture", "-o", file.to_str().unwrap()], more].concat()).await;
    assert_eq!(output.code, 0, "{output:?}");
    file
}

/// A file with the lines of the sink `stdout:` and a few other lines.
fn log_of(ingress: &Ingress) -> PathBuf {
    let file = fresh_file("stdout.log");
    let log = format!("INFO starting lambda function\n{{\"level\":\"INFO\"}}\n\n{}", ingress.stdout());
    std::fs::write(&file, log).unwrap();
    file
}

/// An ingress that has received every fixture.
async fn played() -> Ingress {
    let ingress = Ingress::local().await;
    let fixtures = fixtures();
    let files: Vec<_> = fixtures.iter().map(|file| file.to_str().unwrap()).collect();
    let output = slack_dev(&[&["play", "--url", &ingress.url], &files[..]].concat()).await;
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(files.len() > 25, "{}", files.len());
    assert_eq!(ingress.stdout().lines().count(), files.len());
    ingress
}

/// The delivery without the time at which an ingress received it; and a command or an interaction without its id, because an
/// ingress knows it by the bytes of its form, and a queue has what is in the form and not the form itself.
fn timeless(delivery: &Value) -> Value {
    let mut delivery = delivery.clone();
    delivery.as_object_mut().unwrap().remove("received_at");
    let is_event = is_event(&delivery);
    let attributes = delivery["attributes"].as_object_mut().unwrap();
    attributes.remove("received_at");
    if !is_event {
        attributes.remove("event_id");
    }
    delivery
}

fn is_event(delivery: &Value) -> bool {
    delivery["attributes"]["kind"] == "event"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_and_replayed_deliveries_are_the_same_byte_for_byte() {
    let first = played().await;
    let file = capture(&["--log", log_of(&first).to_str().unwrap()]).await;
    let second = Ingress::local().await;
    let output = slack_dev(&["replay", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let again = capture(&["--log", log_of(&second).to_str().unwrap()]).await;
    let (before, after) = (deliveries(&file), deliveries(&again));
    assert_eq!(before.len(), fixtures().len());
    let lines = |ingress: &Ingress, key: &str| -> Vec<String> {
        let lines = ingress.stdout();
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()[key].to_string()).collect()
    };
    assert_eq!(
        before.iter().map(timeless).collect::<Vec<_>>(),
        after.iter().map(timeless).collect::<Vec<_>>()
    );
    assert_eq!(lines(&first, "body"), lines(&second, "body"));
    assert_eq!(lines(&first, "group_id"), lines(&second, "group_id"));
    let of_events = |ingress: &Ingress| -> Vec<String> {
        let ids = lines(ingress, "deduplication_id").into_iter().zip(&before);
        ids.filter(|(_, delivery)| is_event(delivery)).map(|(id, _)| id).collect()
    };
    assert_eq!(of_events(&first), of_events(&second));

    // The second ingress has seen these ids now, so it forwards only deliveries with new ids.
    let count = after.len();
    let output = slack_dev(&["replay", "-q", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!((output.code, second.stdout().lines().count()), (0, count));
    let output =
        slack_dev(&["replay", "-q", "--new-ids", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!((output.code, second.stdout().lines().count()), (0, 2 * count), "{output:?}");

    // `play` accepts the file too.
    let third = Ingress::local().await;
    let output = slack_dev(&["play", file.to_str().unwrap(), "--url", &third.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(lines(&first, "body"), lines(&third, "body"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_redaction_at_the_capture() {
    let ingress = played().await;
    let log = log_of(&ingress);
    let log = log.to_str().unwrap();
    let all = deliveries(&capture(&["--log", log]).await);

    let mentions = deliveries(&capture(&["--log", log, "--type", "app_mention"]).await);
    assert!(!mentions.is_empty() && mentions.len() < all.len());
    assert!(mentions.iter().all(|delivery| delivery["attributes"]["type"] == "app_mention"));
    assert_eq!(deliveries(&capture(&["--log", log, "--team", "T061EG9R6", "--since", "1"]).await).len(), {
        all.iter().filter(|delivery| delivery["attributes"]["team_id"] == "T061EG9R6").count()
    });
    assert_eq!(
        deliveries(&capture(&["--log", log, "--until", "2001-01-01T00:00:00Z"]).await),
        Vec::<Value>::new()
    );
    assert_eq!(deliveries(&capture(&["--log", log, "--max", "3"]).await), all[..3]);

    let redacted_file = capture(&["--log", log, "--redact"]).await;
    let redacted = deliveries(&redacted_file);
    assert_eq!(redacted.len(), all.len());
    let text = redacted.iter().map(|delivery| delivery["body"].as_str().unwrap()).collect::<String>();
    for written in ["steve", "Spengler", "Zürich", "Grüße", "hooks.slack.com", "gIkuvaNzQIHg97ATvDxqgjtO"]
    {
        assert!(!text.contains(written), "{written}");
    }
    assert!(redacted.iter().all(|delivery| delivery["redacted"] == true));

    // An ingress accepts the redacted deliveries, and the events under the same ids.
    let second = Ingress::local().await;
    let output = slack_dev(&["replay", redacted_file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let ids = |deliveries: &[Value]| -> BTreeSet<String> {
        // An ingress knows a command or an interaction by its bytes, which the redaction has changed.
        deliveries
            .iter()
            .filter(|delivery| is_event(delivery))
            .map(|delivery| delivery["attributes"]["event_id"].to_string())
            .collect()
    };
    let again = deliveries(&capture(&["--log", log_of(&second).to_str().unwrap()]).await);
    assert_eq!(ids(&again), ids(&all));
    assert_eq!(again.len(), all.len());
}

#[tokio::test]
async fn lines_that_are_no_messages_are_counted_and_a_file_is_not_written_over() {
    let log = fresh_file("strange.log");
    std::fs::write(&log, b"hello\n{\"body\":\"{}\"}\n\xff\xfe\n\n").unwrap();
    let file = fresh_file("strange.jsonl");
    let arguments = ["capture", "--log", log.to_str().unwrap(), "-o", file.to_str().unwrap()];
    let output = slack_dev_with(&arguments, &[]).await;
    assert_eq!(output.code, 0);
    assert!(output.stderr.contains("0 captured") && output.stderr.contains("3 skipped"), "{output:?}");
    let output = slack_dev_with(&arguments, &[]).await;
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("strange.jsonl"), "{output:?}");
}

#[tokio::test]
async fn a_delivery_that_the_ingress_refuses_counts_as_failed() {
    let file = fresh_file("broken.jsonl");
    let line = r#"{"version":1,"attributes":{"kind":"event","type":"x","event_id":"Ev1"},"body":"no JSON"}"#;
    std::fs::write(&file, line).unwrap();
    let ingress = Ingress::local().await;
    let output = slack_dev(&["replay", file.to_str().unwrap(), "--url", &ingress.url]).await;
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("1 failed") && output.stdout.contains("X-Slack-No-Retry"), "{output:?}");
}

/// The messages by their bodies, without the system attributes that SQS itself sets; and commands and interactions without their
/// ids, which an ingress makes of the bytes of their forms.
fn by_body(received: Vec<QueueMessage>) -> BTreeMap<String, QueueMessage> {
    let chosen = |mut message: QueueMessage| {
        let is_event = message.attributes["kind"] == "event";
        message
            .system
            .retain(|name, _| name == "MessageGroupId" || is_event && name == "MessageDeduplicationId");
        message.attributes.retain(|name, _| name != "received_at" && (is_event || name != "event_id"));
        (message.body.clone(), message)
    };
    received.into_iter().map(chosen).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs DynamoDB and SQS"]
async fn a_message_replayed_from_one_queue_to_another_is_the_same() {
    let (first, second) = (Queue::fifo().await, Queue::fifo().await);
    let ingress = Ingress::before(&first, &[]).await;
    let fixtures = fixtures();
    let files: Vec<_> = fixtures.iter().map(|file| file.to_str().unwrap()).collect();
    let output = slack_dev(&[&["play", "--url", &ingress.url], &files[..]].concat()).await;
    assert_eq!(output.code, 0, "{}", output.stdout);

    // First capture without deleting, which a FIFO queue allows for some of the messages only; then capture and delete all.
    let copied = fresh_file("looked-at.jsonl");
    let output = slack_dev(&["capture", "-o", copied.to_str().unwrap(), "--queue-url", &first.url]).await;
    let seen = deliveries(&copied).len();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains(&format!("{} more are on the queue", files.len() - seen)),
        "{seen}: {output:?}"
    );
    let file = capture(&["--queue-url", &first.url, "--delete"]).await;
    assert_eq!(deliveries(&file).len(), files.len());
    assert_eq!(first.take_all().await, []);

    let renamed = ["replay", file.to_str().unwrap(), "--queue-url", &second.url, "--new-ids"];
    let output = slack_dev_with(&renamed, &[]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(second.take_all().await.len(), files.len());

    // A replay to a queue sends the same message group ids and de-duplication ids as the ingress.
    let (third, fourth) = (Queue::fifo().await, Queue::fifo().await);
    let ingress = Ingress::before(&third, &[]).await;
    let output = slack_dev(&["replay", file.to_str().unwrap(), "--url", &ingress.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let output = slack_dev_with(&["replay", file.to_str().unwrap(), "--queue-url", &fourth.url], &[]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let (sent, replayed) = (by_body(third.take_all().await), by_body(fourth.take_all().await));
    assert_eq!(sent.len(), files.len());
    assert_eq!(sent, replayed);
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn only_messages_that_match_the_filter_are_deleted_from_the_queue() {
    // Each capture is a receive. After three receives a queue with a dead-letter queue would move the message there.
    let queue = Queue::create(false, &[(QueueAttributeName::RedrivePolicy, "")]).await;
    let file = fresh_file("two.jsonl");
    let line = |event_type: &str, id: &str| {
        let attributes = json!({"kind": "event", "type": event_type, "event_id": id});
        json!({"version": 1, "attributes": attributes, "body": r#"{"event":{}}"#})
    };
    std::fs::write(&file, format!("{}\n{}\n", line("message", "Ev1"), line("app_mention", "Ev2"))).unwrap();
    let output = slack_dev(&["replay", file.to_str().unwrap(), "--queue-url", &queue.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    for _ in 0..2 {
        let copied = capture(&["--queue-url", &queue.url]).await;
        assert_eq!(deliveries(&copied).len(), 2, "it was given back");
    }
    let taken = capture(&["--queue-url", &queue.url, "--delete", "--type", "message"]).await;
    assert_eq!(deliveries(&taken).len(), 1);
    let left = queue.take_all().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].attributes["event_id"], "Ev2");
}
