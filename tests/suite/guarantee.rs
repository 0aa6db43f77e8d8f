//! Checks that each event becomes one message although deliveries race, processes crash or freeze, and Slack retries. Uses the real
//! binary, DynamoDB Local and SQS.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;
use test_support::aws::Table;
use test_support::aws::proxy::{Fault, Gate};
use test_support::lambda::answers::{ask_again, ok};
use test_support::lambda::{Ended, reply};
use test_support::slack::{Request, event, mention};
use test_support::wait::{all, eventually};

use crate::support::stage::Stage;

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_becomes_one_message_with_its_attributes_and_a_forwarded_record() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    let before = SystemClock.now().as_millis();
    assert_eq!(lambda.post(&event("Ev1").retry(1, "http_timeout")).await, ok());

    stage.table.becomes("Ev1", "forwarded").await;
    let item = stage.table.item("Ev1").await.unwrap();
    let received_at: u64 = item["received_at"].parse().unwrap();
    assert!((before..=SystemClock.now().as_millis()).contains(&received_at));
    assert_eq!(item["expires_at"].parse::<u64>().unwrap(), received_at / 1000 + 3600);
    let lease: u64 = item["lease_until"].parse().unwrap();
    assert!((received_at + 6000..=received_at + 7000).contains(&lease), "the deadline of 5 s and 2 s more");

    let [message] = stage.queue.take_all().await.try_into().unwrap();
    assert_eq!(message.body.as_bytes(), mention("Ev1", "hello"));
    let mut attributes: Vec<_> = message.attributes.into_iter().collect();
    attributes.sort();
    let expected = [
        ("api_app_id", "A0MDYCDME"),
        ("conversation", "T061EG9R6:C0LAN2Q65:1515449522.000016"),
        ("event_id", "Ev1"),
        ("kind", "event"),
        ("received_at", &item["received_at"]),
        ("retry_num", "1"),
        ("retry_reason", "http_timeout"),
        ("team_id", "T061EG9R6"),
        ("type", "app_mention"),
    ];
    assert_eq!(attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(message.system["MessageGroupId"], "T061EG9R6:C0LAN2Q65:1515449522.000016");
    assert_eq!(message.system["MessageDeduplicationId"], "Ev1");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test"]
async fn four_deliveries_to_six_environments_at_once_are_one_message_in_each_of_200_rounds() {
    let stage = Stage::fifo().await;
    let mut environments = Vec::new();
    for _ in 0..6 {
        environments.push(stage.environment().await);
    }
    let mut expected = Vec::new();
    for round in 0..200 {
        let id = format!("Ev{round:04}");
        let first = event(&id);
        let deliveries = [
            first.clone(),
            first.clone().retry(1, "http_timeout"),
            first.clone().retry(2, "http_timeout"),
            first.clone().retry(3, "http_timeout"),
        ];
        // Each of the six environments gets all four deliveries: 24 invocations, of which six run at any time.
        let posts: Vec<_> = environments
            .iter()
            .flat_map(|lambda| deliveries.iter().map(|request| lambda.post(request)))
            .collect();
        let replies = all(posts).await;
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        assert!(
            statuses.contains(&200) && statuses.iter().all(|status| matches!(status, 200 | 503)),
            "{statuses:?}"
        );
        stage.table.becomes(&id, "forwarded").await;
        expected.push(id);
    }
    // The FIFO queue would drop second messages, so the number of sends is counted too. On a busy machine a call may time out
    // after 600 ms and be repeated up to twice, or another invocation may send in its place.
    let mut late = 0;
    for lambda in &environments {
        let reports = lambda.reports(4 * 200).await;
        late += reports.iter().filter(|report| report["SendTime"].as_f64() > Some(500.0)).count();
    }
    let sent = stage.sqs.calls("SendMessage");
    assert!((200..=200 + 3 * late).contains(&sent), "{sent} were sent, {late} late");
    let mut received = stage.queue.take_event_ids().await;
    received.sort();
    assert_eq!(received, expected);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn of_two_that_race_one_sends_and_the_other_says_200_only_after_it() {
    let stage = Stage::fifo().await;
    let (a, b) = (stage.environment().await, stage.environment().await);
    let gate = Gate::default();
    stage.sqs.once("SendMessage", Fault::HoldBefore(gate.clone()));

    let first = tokio::spawn(a.post(&event("Ev1")));
    stage.sqs.reached("SendMessage", 1).await;
    // The first invocation hangs in SendMessage. Nothing is on the queue yet, so the retry must not be answered with 200.
    assert_eq!(b.post(&event("Ev1").retry(1, "http_timeout")).await, ask_again());
    assert_eq!(stage.queue.take_event_ids().await, Vec::<String>::new());

    gate.open();
    assert_eq!(first.await.unwrap(), ok());
    stage.table.becomes("Ev1", "forwarded").await;
    assert_eq!(b.post(&event("Ev1").retry(2, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_a_kill_between_record_and_send_the_first_retry_after_the_lease_sends() {
    let stage = Stage::fifo().await;
    let (mut a, b) = (stage.environment().await, stage.environment().await);
    stage.sqs.once("SendMessage", Fault::Hang);
    let first = tokio::spawn(a.invoke(&event("Ev1").event()));
    stage.sqs.reached("SendMessage", 1).await;
    a.kill().await;
    assert!(matches!(first.await.unwrap(), Ended::Died));
    assert_eq!(stage.table.state("Ev1").await.as_deref(), Some("in_flight"));

    assert_eq!(b.post(&event("Ev1").retry(1, "connection_failed")).await, ask_again());
    stage.lease_over("Ev1").await;
    assert_eq!(b.post(&event("Ev1").retry(2, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
    stage.table.becomes("Ev1", "forwarded").await;
    assert_eq!(b.reports(2).await[1]["LeaseTakeovers"], 1);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_a_kill_between_send_and_answer_the_fifo_queue_drops_the_retrys_message() {
    let stage = Stage::fifo().await;
    let (mut a, b) = (stage.environment().await, stage.environment().await);
    let gate = Gate::default();
    stage.sqs.once("SendMessage", Fault::HoldAfter(gate.clone()));
    let first = tokio::spawn(a.invoke(&event("Ev1").event()));
    eventually("the message", async || (stage.queue.depth().await == 1).then_some(())).await;
    a.kill().await;
    assert!(matches!(first.await.unwrap(), Ended::Died));

    stage.lease_over("Ev1").await;
    assert_eq!(b.post(&event("Ev1").retry(2, "connection_failed")).await, ok());
    assert_eq!(stage.sqs.calls("SendMessage"), 2);
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_answer_does_not_wait_for_the_confirm_and_the_next_invocation_does() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    let gate = Gate::default();
    stage.dynamodb.once("UpdateItem", Fault::HoldBefore(gate.clone()));
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    stage.dynamodb.reached("UpdateItem", 1).await;
    assert_eq!(stage.table.state("Ev1").await.as_deref(), Some("in_flight"));
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"], "what was answered 200 is on the queue");

    // Lambda gives an environment the next invocation, or freezes it, only after it has asked for the next one.
    let next = tokio::spawn(lambda.post(&event("Ev2")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stage.dynamodb.calls("PutItem"), 1, "the next one has begun");
    gate.open();
    assert_eq!(next.await.unwrap(), ok());
    stage.table.becomes("Ev1", "forwarded").await;
    stage.table.becomes("Ev2", "forwarded").await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_a_kill_between_answer_and_confirm_the_event_stays_in_flight_until_the_lease_ends() {
    let stage = Stage::fifo().await;
    let (mut a, b) = (stage.environment().await, stage.environment().await);
    stage.dynamodb.once("UpdateItem", Fault::Hang);
    assert_eq!(a.post(&event("Ev1")).await, ok());
    stage.dynamodb.reached("UpdateItem", 1).await;
    a.kill().await;

    // If the 200 was lost and Slack retries, the retry must be answered with 503 until the lease ends.
    assert_eq!(b.post(&event("Ev1").retry(1, "connection_failed")).await, ask_again());
    stage.lease_over("Ev1").await;
    assert_eq!(b.post(&event("Ev1").retry(2, "connection_failed")).await, ok());
    assert_eq!(stage.sqs.calls("SendMessage"), 2);
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"], "and the queue keeps one");
    stage.table.becomes("Ev1", "forwarded").await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_frozen_owner_that_wakes_up_before_its_send_after_its_lease_does_not_send() {
    let stage = Stage::fifo().await;
    let (a, b) = (stage.environment().await, stage.environment().await);
    let gate = Gate::default();
    stage.dynamodb.once("PutItem", Fault::HoldAfter(gate.clone()));
    let first = tokio::spawn(a.invoke(&event("Ev1").event()));
    eventually("the record", async || stage.table.state("Ev1").await).await;
    a.signal("STOP").await;

    stage.lease_over("Ev1").await;
    assert_eq!(b.post(&event("Ev1").retry(2, "http_timeout")).await, ok());
    assert_eq!(stage.sqs.calls("SendMessage"), 1);

    // Its call to record the event succeeded long ago, but the answer reaches it only now.
    gate.open();
    tokio::time::sleep(Duration::from_millis(100)).await;
    a.signal("CONT").await;
    assert_eq!(reply(first.await.unwrap()), ask_again());
    assert_eq!(stage.sqs.calls("SendMessage"), 1);
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
    stage.table.becomes("Ev1", "forwarded").await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_frozen_owner_that_wakes_up_after_its_send_does_not_touch_the_next_owners_record() {
    let stage = Stage::fifo().await;
    let (a, b) = (stage.environment().await, stage.environment().await);
    let (first_send, second_send) = (Gate::default(), Gate::default());
    stage.sqs.once("SendMessage", Fault::HoldBefore(first_send.clone()));
    let first = tokio::spawn(a.invoke(&event("Ev1").event()));
    stage.sqs.reached("SendMessage", 1).await;
    a.signal("STOP").await;

    stage.lease_over("Ev1").await;
    stage.sqs.once("SendMessage", Fault::HoldBefore(second_send.clone()));
    let second = tokio::spawn(b.post(&event("Ev1").retry(2, "http_timeout")));
    stage.sqs.reached("SendMessage", 2).await;
    // The first owner wakes up while the second one sends. Its time is over, so it tries to delete the record.
    a.signal("CONT").await;
    assert_eq!(reply(first.await.unwrap()), ask_again());
    assert_eq!(
        stage.table.state("Ev1").await.as_deref(),
        Some("in_flight"),
        "the second one's record stands"
    );

    second_send.open();
    assert_eq!(second.await.unwrap(), ok());
    // The message that the first owner had sent arrives too. The queue drops it by its de-duplication id.
    first_send.open();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
    stage.table.becomes("Ev1", "forwarded").await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_record_that_has_expired_but_is_not_deleted_yet_is_no_duplicate() {
    let stage = Stage { table: Table::keeping_what_has_expired().await, ..Stage::fifo().await };
    let lambda = stage.environment().await;
    let now = SystemClock.now();
    stage.table.put("Ev1", "forwarded", now.as_millis() - 3_600_000, now.as_secs() - 1).await;
    stage.table.put("Ev2", "forwarded", now.as_millis() - 3_600_000, now.as_secs() + 60).await;
    assert_eq!(lambda.post(&event("Ev1")).await, ok());
    assert_eq!(lambda.post(&event("Ev2")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_parked_event_is_a_duplicate_and_not_sent_again() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    stage.table.put("Ev1", "parked", 0, u64::from(u32::MAX)).await;
    assert_eq!(lambda.post(&event("Ev1").retry(3, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, Vec::<String>::new());
    assert_eq!(stage.table.state("Ev1").await.as_deref(), Some("parked"));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn however_long_the_function_may_run_the_lease_is_over_before_slacks_second_retry() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    let ended = lambda.invoke_for(&event("Ev1").event(), Duration::from_secs(900)).await;
    assert_eq!(reply(ended), ok());
    let item = stage.table.item("Ev1").await.unwrap();
    let millis = |name: &str| item[name].parse::<u64>().unwrap();
    assert!(millis("lease_until") - millis("received_at") < 60_000);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_conversations_of_a_workspace_do_not_wait_for_each_other_and_a_thread_keeps_its_order() {
    use test_support::slack::mention_in;
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    for n in 0..5 {
        for channel in ["C1", "C2"] {
            let body = mention_in(channel, "1515449522.000016", &format!("Ev-{channel}-{n}"), "hello");
            assert_eq!(lambda.post(&Request::json(body)).await, ok());
        }
    }
    let received = stage.queue.take_event_ids().await;
    for channel in ["C1", "C2"] {
        let of_channel: Vec<_> = received.iter().filter(|id| id.contains(channel)).cloned().collect();
        let expected: Vec<_> = (0..5).map(|n| format!("Ev-{channel}-{n}")).collect();
        assert_eq!(of_channel, expected);
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_queue_holds_byte_for_byte_what_slack_sent_for_every_character_of_unicode() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    // Every character that JSON allows unescaped, without the two that SQS does not accept.
    let characters: Vec<char> =
        (' '..=char::MAX).filter(|c| !matches!(c, '"' | '\\' | '\u{fffe}' | '\u{ffff}')).collect();
    for (n, chunk) in characters.chunks(200_000).enumerate() {
        let id = format!("Ev{n}");
        let text: String = chunk.iter().collect();
        let body = format!(
            r#"{{"type":"event_callback","event_id":"{id}","event":{{"type":"message","text":"{text}","escaped":"\u00e9\ud83e\udd80\/"}}}}"#
        );
        assert_eq!(lambda.post(&Request::json(body.clone())).await, ok());
        let [message] = stage.queue.take_all().await.try_into().unwrap();
        assert!(message.body == body, "chunk {n} was changed on its way");
    }
    // SQS gets these two as escapes, which mean the same.
    let body = String::from_utf8(mention("Ev-refused", "\u{fffe} and \u{ffff}")).unwrap();
    assert_eq!(lambda.post(&Request::json(body.clone())).await, ok());
    let [message] = stage.queue.take_all().await.try_into().unwrap();
    assert_eq!(message.body, body.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff"));
}
