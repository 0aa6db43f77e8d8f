//! An outage of the queue under load: every event is parked on its last attempt, and the redrive brings all of them back, each
//! conversation in its order.

use serde_json::{Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::aws::proxy::Fault;
use test_support::lambda::Ended;
use test_support::lambda::answers::ok;
use test_support::slack::{Request, mention_in};
use test_support::wait::all;
use tokio::time::sleep;

use super::ENVIRONMENTS;
use crate::support::ingress;
use crate::support::stage::Stage;

/// The conversations, over which the events are spread: fewer than events, so that there is an order to keep.
const CONVERSATIONS: usize = 100;

/// A run of the redrive ends with its function's time-out.
const REDRIVE_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs servers: make load"]
#[allow(clippy::print_stdout, reason = "the figures are for whoever runs it")]
async fn an_outage_of_the_queue_parks_every_event_and_the_redrive_brings_them_back_in_order() {
    let events = std::env::var("LOAD_EVENTS").map_or(1000, |events| events.parse().expect("a number"));
    let stage = Stage::fifo().await;
    stage.sqs.always("SendMessage", Fault::Refuse(503, "ServiceUnavailable"));

    let next = Arc::new(AtomicUsize::new(0));
    let began = SystemClock.instant();
    all((0..ENVIRONMENTS).map(|_| {
        let (next, mut variables) = (Arc::clone(&next), stage.variables());
        // An emulator on a busy machine may be slow.
        variables.insert("ACK_BUDGET_MS".to_owned(), "3000".to_owned());
        async move {
            let lambda = ingress::start(variables).await;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= events {
                    break;
                }
                let channel = format!("C{:04}", n % CONVERSATIONS);
                let body = mention_in(&channel, "1515449522.000016", &format!("Ev{n}"), "hello");
                let last = Request::json(body).retry(3, "http_error");
                assert_eq!(lambda.post(&last).await, ok(), "Ev{n}");
            }
        }
    }))
    .await;
    let parked_in = SystemClock.instant() - began;

    stage.sqs.heal();
    // The leases of the invocations that parked.
    sleep(Duration::from_secs(8)).await;
    let redrive = stage.redrive().await;
    let (mut runs, began) = (0, SystemClock.instant());
    loop {
        let Ended::Answered(summary) = redrive.invoke_for(&json!({}), REDRIVE_TIMEOUT).await else {
            panic!("the run does not end");
        };
        runs += 1;
        if summary["left"] == json!(0) {
            break;
        }
        assert!(runs < 100, "{summary}");
    }
    let redriven_in = SystemClock.instant() - began;
    let rate = |took: Duration| f64::from(u32::try_from(events).expect("fewer")) / took.as_secs_f64();
    println!(
        "{events} events while the queue is down: {:.0} a second parked by {ENVIRONMENTS} environments, {:.0} a second redriven, \
         in {runs} run(s)",
        rate(parked_in),
        rate(redriven_in)
    );

    let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut count = 0;
    for message in stage.queue.take_all().await {
        count += 1;
        let received_at = message.attributes["received_at"].parse::<u64>().expect("a number");
        received.entry(message.system["MessageGroupId"].clone()).or_default().push(json!(received_at));
    }
    assert_eq!(count, events, "each is on the queue once");
    for (conversation, times) in received {
        assert!(times.is_sorted_by_key(|time| time.as_u64()), "{conversation}: {times:?}");
    }
}
