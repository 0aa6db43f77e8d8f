//! Tests the bridge with a table and a queue of AWS's emulators, also when its process is killed.

use super::*;
use test_support::aws::{Queue, Table, VARIABLES, endpoints};

/// Creates a queue and a table, and returns the queue and the bridge's variables for both.
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
    // A message that a killed process has sent may still be under way.
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
async fn each_delivery_is_on_a_queue_once_wherever_a_connection_is_cut() {
    let cut = [ScriptStep::Hello, ScriptStep::Deliver(0), ScriptStep::Deliver(1), ScriptStep::Deliver(2)];
    let scripts: [(&str, Vec<ScriptStep>); 3] = [
        ("at once", vec![ScriptStep::Cut]),
        ("with the acknowledgements unread", vec![ScriptStep::WaitForUnread, ScriptStep::Cut]),
        ("after one was read", vec![ScriptStep::ReadUntilAcknowledged(1), ScriptStep::Cut]),
    ];
    for (context, end) in scripts {
        let (queue, variables) = stage().await;
        let (scratch, slack) = set_up(&format!("queue-{}", end.len())).await;
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
async fn a_bridge_that_is_killed_at_any_moment_and_restarted_loses_and_doubles_nothing() {
    // The kills hit before the record, between record and send, between send and acknowledgement, and between acknowledgement and
    // confirm.
    join_all([0_u64, 2, 4, 6, 8, 10, 14, 18, 25, 40].map(async |millis| {
        let (queue, variables) = stage().await;
        let (scratch, slack) = set_up(&format!("killed-{millis}")).await;
        one_of_each(&slack);
        slack.script([vec![ScriptStep::Hello]]);
        let bridge = Bridge::with(scratch, &slack, &[], &borrowed(&variables));
        slack.until("the first is delivered", |state| state.deliveries[0].was_sent()).await;
        sleep(Duration::from_millis(millis)).await;
        let scratch = bridge.kill().await;
        // A lease of the killed process ends after seven seconds. Until then the envelope is not acknowledged.
        let mut bridge = Bridge::with(scratch, &slack, &[], &borrowed(&variables));
        // The first process may have acknowledged everything.
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
