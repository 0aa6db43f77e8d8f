//! Runs several execution environments at once for a long time, and checks that no event is missing or doubled and that no
//! process uses more and more memory or file descriptors.
//!
//! The simulated Slack sends the next delivery as soon as it has an answer. The messages are counted on the queue itself. Times
//! are measured and printed, but not asserted.
//!
//! `make load` sends 100,000 events to each kind of queue, `make test` 1,000 (`LOAD_EVENTS`). `outage.rs` has as many while the
//! queue is down.

mod figures;
mod outage;
mod resources;
mod traffic;

use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use test_support::aws::meter::Meter;
use test_support::aws::{Queue, Table};
use test_support::lambda::answers;
use test_support::lambda::variables;
use test_support::servers::server;
use test_support::wait::all;
use tokio::time::Instant;

use crate::support::ingress;
use figures::{Figures, QueueContents};
use resources::{ResourceGrowth, ResourceUse};
use traffic::{Delivery, Kind, Slack};

const ENVIRONMENTS: usize = 8;

/// The memory and the file descriptors of an environment are read after every five of its invocations, while it is idle.
const SAMPLE_EVERY: usize = 5;

/// How much more memory, in KiB, an environment may use at the end than after its warm-up. Measured: 20 with 100,000 events, and 90
/// with 1,000 events, during which the heap still grows to its usual size.
///
/// Between these two moments an environment sends a tenth of all events. The long run therefore notices a leak of 30 bytes an
/// event, the short run a leak of 3,000. Both notice a file descriptor that stays open.
const GROWTH_LIMIT: u64 = 256;

/// The largest ACK_BUDGET_MS that can be set, because an emulator on a busy machine may be slow.
const ACK_BUDGET: Duration = Duration::from_secs(3);

/// How many tasks receive the messages from the queue at the end.
const CONSUMERS: usize = 4;

#[tokio::test]
#[ignore = "needs servers: make load"]
async fn on_a_fifo_queue_each_event_is_there_once_and_nothing_grows() {
    load(Queue::fifo().await).await;
}

/// A standard queue does not de-duplicate: only the record in the store prevents a second message.
#[tokio::test]
#[ignore = "needs servers: make load"]
async fn on_a_standard_queue_each_event_is_there_once_and_nothing_grows() {
    load(Queue::standard().await).await;
}

#[allow(clippy::print_stdout, reason = "the figures are for whoever runs it")]
async fn load(queue: Queue) {
    let is_fifo = queue.url.ends_with(".fifo");
    let events = std::env::var("LOAD_EVENTS").map_or(1000, |events| events.parse().expect("a number"));
    let table = Table::create().await;
    let sqs = Meter::start(&server("SQS_URL"), "AmazonSQS.SendMessage").await;
    let variables = variables([
        ("DEDUP_STORE", &format!("dynamodb:{}", table.name)),
        ("EVENT_SINK", &queue.url),
        ("AWS_ENDPOINT_URL_DYNAMODB", &server("DYNAMODB_URL")),
        ("AWS_ENDPOINT_URL_SQS", &sqs.url()),
        ("ACK_BUDGET_MS", &ACK_BUDGET.as_millis().to_string()),
    ]);

    let slack = Arc::new(Slack::with(events));
    let start = SystemClock.instant();
    let served = all((0..ENVIRONMENTS).map(|_| serve(variables.clone(), Arc::clone(&slack)))).await;
    let (answers, growths): (Vec<_>, Vec<_>) = served.into_iter().unzip();
    let answers: Vec<_> = answers.into_iter().flatten().collect();

    let acknowledged = acknowledged(events, &answers);
    let found = take_all(queue, events).await;
    let figures = Figures {
        queue: if is_fifo { "FIFO" } else { "standard" },
        start,
        answers: &answers,
        acknowledged: &acknowledged,
        found: &found,
        growths: &growths,
        sends: sqs.calls(),
    };
    println!("{figures}");

    assert!(acknowledged.iter().all(|acknowledged| *acknowledged), "Slack gave up on an event");
    assert_eq!(found.strangers, Vec::<String>::new(), "nobody sent that");
    assert_eq!(figures.missing(), 0);
    // A call that timed out may have taken effect. The client repeats it up to twice on a FIFO queue, which drops the repeated
    // message; on a standard queue the message may then be there twice. If no answer was late, neither may happen.
    let late = figures.late();
    assert!(figures.doubled() <= if is_fifo { 0 } else { late }, "{} doubled", figures.doubled());
    assert!((events..=events + 2 * late).contains(&sqs.calls()), "{} messages sent", sqs.calls());
    for growth in growths {
        assert!(growth.memory() <= GROWTH_LIMIT, "memory grew: {growth:?}");
        assert!(growth.end.descriptors <= growth.start.descriptors, "descriptors stay open: {growth:?}");
    }
}

/// The answer to a delivery, when it came, and how long it took.
struct Answer {
    delivery: Delivery,
    status: u64,
    at: Instant,
    took: Duration,
}

/// Runs one execution environment until Slack has nothing more to deliver.
async fn serve(variables: HashMap<String, String>, slack: Arc<Slack>) -> (Vec<Answer>, ResourceGrowth) {
    let lambda = ingress::start(variables).await;
    let (mut answers, mut samples) = (Vec::new(), Vec::new());
    while let Some(delivery) = slack.next().await {
        let request = delivery.request();
        let sent = SystemClock.instant();
        let reply = lambda.post(&request).await;
        let at = SystemClock.instant();
        let status = reply.status;
        match (delivery.kind, status) {
            (Kind::Forged, _) => assert_eq!(reply, answers::unauthorized()),
            (Kind::Genuine, 503) => assert_eq!(reply, answers::ask_again()),
            (Kind::Genuine, _) => assert_eq!(reply, answers::ok()),
        }
        slack.answered(delivery, status);
        answers.push(Answer { delivery, status, at, took: at - sent });
        if answers.len() % SAMPLE_EVERY == 0 {
            samples.push(ResourceUse::of(lambda.pid()));
        }
    }
    (answers, ResourceGrowth::of(&samples))
}

/// For each event, whether any delivery of it was answered with 200.
fn acknowledged(events: usize, answers: &[Answer]) -> Vec<bool> {
    let mut acknowledged = vec![false; events];
    for answer in answers.iter().filter(|answer| answer.status == 200) {
        acknowledged[answer.delivery.event] = true;
    }
    acknowledged
}

/// Receives everything that is on the queue.
async fn take_all(queue: Queue, events: usize) -> QueueContents {
    let mut found = QueueContents { messages: vec![0; events], strangers: Vec::new() };
    let taken = all((0..CONSUMERS).map(|_| {
        let queue = queue.clone();
        async move { queue.take_all().await }
    }));
    for message in taken.await.into_iter().flatten() {
        let event = message.attributes["event_id"].strip_prefix("Ev").and_then(|event| event.parse().ok());
        match event.filter(|event| *event < events) {
            Some(event) if message.body.as_bytes() == traffic::true_body(event) => found.messages[event] += 1,
            _ => found.strangers.push(message.body),
        }
    }
    found
}
