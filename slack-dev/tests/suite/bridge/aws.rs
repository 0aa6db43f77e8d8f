//! With the protocols of DynamoDB and SQS behind it, and a process that is killed.

use super::*;
use test_support::aws::{Queue, Table, VARIABLES, endpoints};

/// A queue, and what the bridge is given to reach it and a table.
async fn stage() -> (Queue, Vec<(String, String)>) {
    let (table, queue) = (Table::create().await, Queue::fifo().await);
    let store = format!("dynamodb:{}", table.name);
    let of_these = [("DEDUP_STORE", store.as_str()), ("EVENT_SINK", &queue.url)];
    let more = VARIABLES.into_iter().chain(of_these).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = endpoints().chain(more).collect();
    (queue, variables)
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

async fn assert_each_once_on(queue: &Queue, slack: &Slack, context: &str) {
    // A message of a process that was killed may still be on its way.
    let messages = queue.take_all_waiting(1).await;
    let state = slack.state();
    assert!(state.problems.is_empty(), "{context}: {:?}", state.problems);
    for delivery in &state.deliveries {
        let count = messages.iter().filter(|message| message.body.contains(&delivery.mark)).count();
        assert_eq!(count, 1, "{context}: {} is on the queue {count} times", delivery.mark);
    }
    assert_eq!(messages.len(), state.deliveries.len(), "{context}");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn on_a_queue_too_each_delivery_is_there_once_whatever_is_cut() {
    let cut = [Step::Hello, Step::Deliver(0), Step::Deliver(1), Step::Deliver(2)];
    let scripts: [(&str, Vec<Step>); 3] = [
        ("at once", vec![Step::Cut]),
        ("with the acknowledgements unread", vec![Step::Unread, Step::Cut]),
        ("after one was read", vec![Step::Ack(1), Step::Cut]),
    ];
    for (context, end) in scripts {
        let (queue, variables) = stage().await;
        let (scratch, slack) = scene(&format!("queue-{}", end.len())).await;
        one_of_each(&slack);
        slack.script([cut.into_iter().chain(end).collect()]);
        let mut bridge = Bridge::with(scratch, &slack, &[], &borrowed(&variables));
        slack.until_all_acknowledged().await;
        bridge.stop().await;
        assert_each_once_on(&queue, &slack, context).await;
    }
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn killed_at_any_moment_and_started_again_it_loses_nothing_and_doubles_nothing() {
    // Some before the record, some between record and send, send and acknowledgement, acknowledgement and confirm.
    join_all([0_u64, 2, 4, 6, 8, 10, 14, 18, 25, 40].map(async |millis| {
        let (queue, variables) = stage().await;
        let (scratch, slack) = scene(&format!("killed-{millis}")).await;
        one_of_each(&slack);
        slack.script([vec![Step::Hello]]);
        let bridge = Bridge::with(scratch, &slack, &[], &borrowed(&variables));
        slack.until("the first is delivered", |state| state.deliveries[0].sent_once()).await;
        sleep(Duration::from_millis(millis)).await;
        let scratch = bridge.kill().await;
        // A lease of the dead one is over after seven seconds; until then Slack is told to ask again.
        let mut bridge = Bridge::with(scratch, &slack, &[], &borrowed(&variables));
        // The first may have been done with all of it.
        slack
            .until("the second connects", |state| {
                state.connections.iter().filter(|one| one.hello.is_some()).count() > 1
            })
            .await;
        slack.until_all_acknowledged().await;
        bridge.stop().await;
        assert_each_once_on(&queue, &slack, &format!("killed after {millis} ms")).await;
    }))
    .await;
}
