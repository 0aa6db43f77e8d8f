//! From a log or a queue to a file, and back.

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
    let said = slack_dev(&[&["capture", "-o", file.to_str().unwrap()], more].concat()).await;
    assert_eq!(said.code, 0, "{said:?}");
    file
}

/// The sink's lines, in a file, with a few beside them that are none.
fn log_of(ingress: &Ingress) -> PathBuf {
    let file = fresh_file("stdout.log");
    let log = format!("INFO starting lambda function\n{{\"level\":\"INFO\"}}\n\n{}", ingress.stdout());
    std::fs::write(&file, log).unwrap();
    file
}

/// An ingress that every fixture was played to.
async fn played() -> Ingress {
    let ingress = Ingress::local().await;
    let fixtures = fixtures();
    let files: Vec<_> = fixtures.iter().map(|file| file.to_str().unwrap()).collect();
    let said = slack_dev(&[&["play", "--url", &ingress.url], &files[..]].concat()).await;
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert!(files.len() > 25, "{}", files.len());
    assert_eq!(ingress.stdout().lines().count(), files.len());
    ingress
}

/// What does not change from one ingress to the next: all but the time.
fn timeless(delivery: &Value) -> Value {
    let mut delivery = delivery.clone();
    delivery.as_object_mut().unwrap().remove("received_at");
    delivery["attributes"].as_object_mut().unwrap().remove("received_at");
    delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_captured_and_replayed_is_the_same_byte_for_byte() {
    let first = played().await;
    let file = capture(&["--log", log_of(&first).to_str().unwrap()]).await;
    let second = Ingress::local().await;
    let said = slack_dev(&["replay", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
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
    assert_eq!(lines(&first, "deduplication_id"), lines(&second, "deduplication_id"));

    // It knows them now, unless they have new ids.
    let count = after.len();
    let said = slack_dev(&["replay", "-q", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!((said.code, second.stdout().lines().count()), (0, count));
    let said = slack_dev(&["replay", "-q", "--new-ids", file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!((said.code, second.stdout().lines().count()), (0, 2 * count), "{said:?}");

    // `play` takes the file too.
    let third = Ingress::local().await;
    let said = slack_dev(&["play", file.to_str().unwrap(), "--url", &third.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
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

    // An ingress takes what is left, under the same ids.
    let second = Ingress::local().await;
    let said = slack_dev(&["replay", redacted_file.to_str().unwrap(), "--url", &second.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let ids = |deliveries: &[Value]| -> BTreeSet<String> {
        // A modal that was closed goes by its bytes, and those are others now.
        let known = deliveries.iter().filter(|delivery| delivery["attributes"]["type"] != "view_closed");
        known.map(|delivery| delivery["attributes"]["event_id"].to_string()).collect()
    };
    let again = deliveries(&capture(&["--log", log_of(&second).to_str().unwrap()]).await);
    assert_eq!(ids(&again), ids(&all));
}

#[tokio::test]
async fn lines_that_are_no_messages_are_counted_and_a_file_is_not_written_over() {
    let log = fresh_file("strange.log");
    std::fs::write(&log, b"hello\n{\"body\":\"{}\"}\n\xff\xfe\n\n").unwrap();
    let file = fresh_file("strange.jsonl");
    let arguments = ["capture", "--log", log.to_str().unwrap(), "-o", file.to_str().unwrap()];
    let said = slack_dev_with(&arguments, &[]).await;
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains("0 captured") && said.stderr.contains("3 skipped"), "{said:?}");
    let said = slack_dev_with(&arguments, &[]).await;
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("strange.jsonl"), "{said:?}");
}

#[tokio::test]
async fn what_no_ingress_takes_is_counted_as_failed() {
    let file = fresh_file("broken.jsonl");
    let line = r#"{"version":1,"attributes":{"kind":"event","type":"x","event_id":"Ev1"},"body":"no JSON"}"#;
    std::fs::write(&file, line).unwrap();
    let ingress = Ingress::local().await;
    let said = slack_dev(&["replay", file.to_str().unwrap(), "--url", &ingress.url]).await;
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("1 failed") && said.stdout.contains("X-Slack-No-Retry"), "{said:?}");
}

/// Of what SQS adds to a message, only what its sender chose.
fn by_id(received: Vec<QueueMessage>) -> BTreeMap<String, QueueMessage> {
    let chosen = |mut message: QueueMessage| {
        let names = ["MessageGroupId", "MessageDeduplicationId"];
        message.system.retain(|name, _| names.contains(&name.as_str()));
        (message.attributes["event_id"].clone(), message)
    };
    received.into_iter().map(chosen).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs DynamoDB and SQS"]
async fn from_one_queue_to_another_it_is_the_same_message() {
    let (first, second) = (Queue::fifo().await, Queue::fifo().await);
    let ingress = Ingress::before(&first, &[]).await;
    let fixtures = fixtures();
    let files: Vec<_> = fixtures.iter().map(|file| file.to_str().unwrap()).collect();
    let said = slack_dev(&[&["play", "--url", &ingress.url], &files[..]].concat()).await;
    assert_eq!(said.code, 0, "{}", said.stdout);

    // Given back, as far as a FIFO queue lets us look; then taken.
    let looked_at = fresh_file("looked-at.jsonl");
    let said = slack_dev(&["capture", "-o", looked_at.to_str().unwrap(), "--queue-url", &first.url]).await;
    let seen = deliveries(&looked_at).len();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stderr.contains(&format!("{} more are on the queue", files.len() - seen)),
        "{seen}: {said:?}"
    );
    let file = capture(&["--queue-url", &first.url, "--delete"]).await;
    assert_eq!(deliveries(&file).len(), files.len());
    assert_eq!(first.take_all().await, []);

    let renamed = ["replay", file.to_str().unwrap(), "--queue-url", &second.url, "--new-ids"];
    let said = slack_dev_with(&renamed, &[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(second.take_all().await.len(), files.len());

    // The ids of group and de-duplication are the ingress's: what it sends is what the replay sends.
    let (third, fourth) = (Queue::fifo().await, Queue::fifo().await);
    let ingress = Ingress::before(&third, &[]).await;
    let said = slack_dev(&["replay", file.to_str().unwrap(), "--url", &ingress.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let said = slack_dev_with(&["replay", file.to_str().unwrap(), "--queue-url", &fourth.url], &[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let (mut sent, mut replayed) = (by_id(third.take_all().await), by_id(fourth.take_all().await));
    assert_eq!(sent.len(), files.len());
    for received in sent.values_mut().chain(replayed.values_mut()) {
        received.attributes.remove("received_at");
    }
    assert_eq!(sent, replayed);
}

#[tokio::test]
#[ignore = "needs SQS"]
async fn only_what_the_filter_matches_is_taken_off_the_queue() {
    // Each look is a receive, and after three a queue with a dead-letter queue would give the message up.
    let queue = Queue::create(false, &[(QueueAttributeName::RedrivePolicy, "")]).await;
    let file = fresh_file("two.jsonl");
    let line = |event_type: &str, id: &str| {
        let attributes = json!({"kind": "event", "type": event_type, "event_id": id});
        json!({"version": 1, "attributes": attributes, "body": r#"{"event":{}}"#})
    };
    std::fs::write(&file, format!("{}\n{}\n", line("message", "Ev1"), line("app_mention", "Ev2"))).unwrap();
    let said = slack_dev(&["replay", file.to_str().unwrap(), "--queue-url", &queue.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for _ in 0..2 {
        let looked_at = capture(&["--queue-url", &queue.url]).await;
        assert_eq!(deliveries(&looked_at).len(), 2, "it was given back");
    }
    let taken = capture(&["--queue-url", &queue.url, "--delete", "--type", "message"]).await;
    assert_eq!(deliveries(&taken).len(), 1);
    let left = queue.take_all().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].attributes["event_id"], "Ev2");
}
