//! Many execution environments at once, and for long: nothing missing, nothing doubled, nothing that grows.
//!
//! Slack delivers as fast as it gets its answers; what became of it is counted on the queue itself. No time is
//! asserted: what was measured is printed.
//!
//! `make load` takes 100,000 events to each kind of queue, `make test` 1,000 (`LOAD_EVENTS`).

mod figures;
mod traffic;
mod vitals;

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
use figures::{Figures, Found};
use traffic::{Delivery, Kind, Slack};
use vitals::{Course, Vitals};

const ENVIRONMENTS: usize = 8;

/// An environment is looked at after every so many of its invocations, while it has nothing to do.
const SAMPLE_EVERY: usize = 5;

/// How much more memory an environment may hold at the end than after its warm-up, in KiB. It was 20 in 100,000
/// events; and 90 in 1,000, in which the heap still finds its size.
///
/// Between those two moments an environment sends a tenth of all events. So the long run finds a leak of 30
/// bytes an event, the short one of 3,000; and either one a descriptor.
const GROWTH_LIMIT: u64 = 256;

/// The most that can be set: where other work is done beside this, an emulator may be slow.
const ACK_BUDGET: Duration = Duration::from_secs(3);

/// So many receive the messages in the end.
const CONSUMERS: usize = 4;

#[tokio::test]
#[ignore = "needs servers: make load"]
async fn on_a_fifo_queue_each_event_is_there_once_and_nothing_grows() {
    load(Queue::fifo().await).await;
}

/// Nothing but our record keeps a second message from this one.
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
    let (answers, courses): (Vec<_>, Vec<_>) = served.into_iter().unzip();
    let answers: Vec<_> = answers.into_iter().flatten().collect();

    let acknowledged = acknowledged(events, &answers);
    let found = take_all(queue, events).await;
    let figures = Figures {
        queue: if is_fifo { "FIFO" } else { "standard" },
        start,
        answers: &answers,
        acknowledged: &acknowledged,
        found: &found,
        courses: &courses,
        sends: sqs.calls(),
    };
    println!("{figures}");

    assert!(acknowledged.iter().all(|acknowledged| *acknowledged), "Slack gave up on an event");
    assert_eq!(found.strangers, Vec::<String>::new(), "nobody sent that");
    assert_eq!(figures.missing(), 0);
    // A call that is given up may have taken effect. Then a FIFO queue is asked again, up to twice, and knows
    // the message; on a standard queue it may be twice. If no answer was late, none of this may happen.
    let late = figures.late();
    assert!(figures.doubled() <= if is_fifo { 0 } else { late }, "{} doubled", figures.doubled());
    assert!((events..=events + 2 * late).contains(&sqs.calls()), "{} messages sent", sqs.calls());
    for course in courses {
        assert!(course.growth() <= GROWTH_LIMIT, "memory grew: {course:?}");
        assert!(course.end.descriptors <= course.start.descriptors, "descriptors stay open: {course:?}");
    }
}

/// An answer, and when.
struct Answer {
    delivery: Delivery,
    status: u64,
    at: Instant,
    took: Duration,
}

/// One execution environment, until Slack has nothing more.
async fn serve(variables: HashMap<String, String>, slack: Arc<Slack>) -> (Vec<Answer>, Course) {
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
            (Kind::Slacks, 503) => assert_eq!(reply, answers::ask_again()),
            (Kind::Slacks, _) => assert_eq!(reply, answers::ok()),
        }
        slack.answered(delivery, status);
        answers.push(Answer { delivery, status, at, took: at - sent });
        if answers.len() % SAMPLE_EVERY == 0 {
            samples.push(Vitals::of(lambda.pid()));
        }
    }
    (answers, Course::of(&samples))
}

/// Of each event, whether Slack was told that it is on the queue.
fn acknowledged(events: usize, answers: &[Answer]) -> Vec<bool> {
    let mut acknowledged = vec![false; events];
    for answer in answers.iter().filter(|answer| answer.status == 200) {
        acknowledged[answer.delivery.event] = true;
    }
    acknowledged
}

/// Everything that is on the queue.
async fn take_all(queue: Queue, events: usize) -> Found {
    let mut found = Found { messages: vec![0; events], strangers: Vec::new() };
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
