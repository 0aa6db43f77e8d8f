//! Runs the contract of the trait `Sink` against every sink, and tests what is special to each sink.

use slack_ingress::sink::contract::{self, Inbox, Received, message};
use slack_ingress::sink::message::Message;
#[cfg(feature = "sns")]
use slack_ingress::sink::sns::SnsSink;
use slack_ingress::sink::sqs::SqsSink;
use slack_ingress::sink::stdout::StdoutSink;
use slack_ingress::sink::{SendError, Sink};
use std::io::Write;
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::types::QueueAttributeName;
#[cfg(feature = "sns")]
use test_support::aws::Topic;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{Queue, sdk_config};
use test_support::lambda::TRACE_HEADER;
use test_support::servers::server;

/// Keeps the lines that a sink `stdout:` wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Inbox for Written {
    async fn drain(&self) -> Vec<Received> {
        let written = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        let lines = String::from_utf8(written).expect("UTF-8");
        lines
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("one JSON object a line");
                Received {
                    body: line["body"].as_str().expect("a body").to_owned(),
                    attributes: serde_json::from_value(line["attributes"].clone()).expect("attributes"),
                }
            })
            .collect()
    }
}

async fn stdout() -> (StdoutSink<Written>, Written) {
    let written = Written::default();
    (StdoutSink::to(written.clone()), written)
}

async fn sqs_fifo() -> (SqsSink, Queue) {
    let queue = Queue::fifo().await;
    (SqsSink::new(&queue.client, &queue.url), queue)
}

async fn sqs_standard() -> (SqsSink, Queue) {
    let queue = Queue::standard().await;
    (SqsSink::new(&queue.client, &queue.url), queue)
}

#[cfg(feature = "sns")]
async fn sns_fifo() -> (SnsSink, Topic) {
    let topic = Topic::fifo().await;
    (SnsSink::new(&topic.client, &topic.arn), topic)
}

#[cfg(feature = "sns")]
async fn sns_standard() -> (SnsSink, Topic) {
    let topic = Topic::standard().await;
    (SnsSink::new(&topic.client, &topic.arn), topic)
}

macro_rules! holds_the_contract {
    ($attribute:tt $sink:ident: $($scenario:ident)*) => {
        mod $sink {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #$attribute
                async fn $scenario() {
                    let (sink, inbox) = super::$sink().await;
                    super::contract::$scenario(&sink, &inbox).await;
                }
            )*
        }
    };
}

holds_the_contract! { [doc = "needs no server"] stdout:
    a_message_arrives_whole
    a_body_keeps_every_character
    warming_up_sends_nothing
    a_conversation_keeps_its_order
}

holds_the_contract! { [ignore = "needs MiniStack: make test"] sqs_fifo:
    a_message_arrives_whole
    a_body_keeps_every_character
    warming_up_sends_nothing
    the_limit_is_the_limit
    a_conversation_keeps_its_order
    a_repeated_message_comes_once
}

// A standard queue promises neither order nor a single delivery.
holds_the_contract! { [ignore = "needs MiniStack: make test"] sqs_standard:
    a_message_arrives_whole
    a_body_keeps_every_character
    warming_up_sends_nothing
    the_limit_is_the_limit
}

#[cfg(feature = "sns")]
holds_the_contract! { [ignore = "needs MiniStack: make test"] sns_fifo:
    a_message_arrives_whole
    a_body_keeps_every_character
    warming_up_sends_nothing
    the_limit_is_the_limit
    a_conversation_keeps_its_order
    a_repeated_message_comes_once
}

#[cfg(feature = "sns")]
holds_the_contract! { [ignore = "needs MiniStack: make test"] sns_standard:
    a_message_arrives_whole
    a_body_keeps_every_character
    warming_up_sends_nothing
    the_limit_is_the_limit
}

#[cfg(feature = "sns")]
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_subscription_can_filter_by_the_attributes() {
    let topic = Topic::filtered(r#"{"type":["app_mention"],"team_id":["T0001"]}"#).await;
    let sink = SnsSink::new(&topic.client, &topic.arn);
    let mut other_type = message("Ev1", "1.0", "{}");
    for (name, value) in &mut other_type.attributes {
        if *name == "type" {
            *value = "reaction_added".to_owned();
        }
    }
    sink.send(&other_type).await.unwrap();
    sink.send(&message("Ev2", "1.0", "{}")).await.unwrap();
    assert_eq!(topic.queue.take_event_ids().await, ["Ev2"]);
}

#[cfg(feature = "sns")]
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_send_whose_answer_is_lost_is_repeated_on_a_fifo_topic_only() {
    for (topic, calls, sent) in [(Topic::fifo().await, 2, true), (Topic::standard().await, 1, false)] {
        let proxy = Proxy::start(&server("MINISTACK_URL")).await;
        let client = aws_sdk_sns::Client::new(&sdk_config(&proxy.url()));
        let sink = SnsSink::new(&client, &topic.arn);
        // The SDK makes the first call, the shortcut the second.
        for (n, id) in ["Ev1", "Ev2"].into_iter().enumerate() {
            proxy.once("Publish", Fault::LoseAnswer);
            assert_eq!(sink.send(&message(id, "1.0", "{}")).await.is_ok(), sent);
            assert_eq!(proxy.calls("Publish"), (n + 1) * calls);
            assert_eq!(topic.queue.take_event_ids().await, [id]);
        }
    }
}

fn traced() -> Message {
    Message { trace_header: Some(TRACE_HEADER.to_owned()), ..message("Ev1", "1.0", "{}") }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_fifo_message_has_its_event_as_deduplication_id_and_its_conversation_as_group() {
    let (sink, queue) = sqs_fifo().await;
    sink.send(&traced()).await.unwrap();
    let [message] = queue.take_all().await.try_into().unwrap();
    assert_eq!(message.system["MessageDeduplicationId"], "Ev1");
    assert_eq!(message.system["MessageGroupId"], "T0001:C0001:1.0");
    assert_eq!(message.system["AWSTraceHeader"], TRACE_HEADER);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_standard_message_has_its_team_as_group_so_that_the_queue_is_fair() {
    let (sink, queue) = sqs_standard().await;
    sink.send(&traced()).await.unwrap();
    let [message] = queue.take_all().await.try_into().unwrap();
    assert_eq!(message.system["MessageGroupId"], "T0001");
    assert_eq!(message.system.get("MessageDeduplicationId"), None);
    assert_eq!(message.system["AWSTraceHeader"], TRACE_HEADER);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_malformed_trace_header_is_left_out_and_the_message_is_sent() {
    let (sink, queue) = sqs_fifo().await;
    sink.send(&Message { trace_header: Some("none".to_owned()), ..traced() }).await.unwrap();
    let [message] = queue.take_all().await.try_into().unwrap();
    assert_eq!(message.system.get("AWSTraceHeader"), None);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_trace_header_that_sqs_refuses_costs_the_header_and_not_the_message() {
    for queue in [Queue::fifo().await, Queue::standard().await] {
        let proxy = Proxy::start(&server("SQS_URL")).await;
        let client = aws_sdk_sqs::Client::new(&sdk_config(&proxy.url()));
        let sink = SqsSink::new(&client, &queue.url);
        // The SDK sends the first message, the shortcut the second; and what the shortcut is refused, the SDK tries once more.
        for (id, refusals, calls) in [("Ev1", 1, 2), ("Ev2", 2, 5)] {
            for _ in 0..refusals {
                proxy.once("SendMessage", Fault::Refuse(400, "InvalidParameterValue"));
            }
            sink.send(&Message { deduplication_id: id.to_owned(), ..traced() }).await.unwrap();
            assert_eq!(proxy.calls("SendMessage"), calls);
        }
        let messages = queue.take_all().await;
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|message| !message.system.contains_key("AWSTraceHeader")));

        // Without a header there is nothing to leave out; and what failed is not sent without it.
        proxy.always("SendMessage", Fault::Refuse(400, "InvalidParameterValue"));
        let refused = sink.send(&message("Ev3", "1.0", "{}")).await;
        assert!(matches!(refused, Err(SendError::Rejected { .. })), "{refused:?}");
        let before = proxy.calls("SendMessage");
        proxy.always("SendMessage", Fault::Refuse(403, "AccessDenied"));
        let failed = sink.send(&traced()).await;
        assert!(matches!(failed, Err(SendError::Failed { .. })), "{failed:?}");
        assert!(proxy.calls("SendMessage") <= before + 2);
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_message_over_a_queues_own_size_limit_is_too_large() {
    let queue = Queue::create(true, &[(QueueAttributeName::MaximumMessageSize, "1024")]).await;
    let sink = SqsSink::new(&queue.client, &queue.url);
    let refused = sink.send(&message("Ev1", "1.0", &"x".repeat(2000))).await;
    assert!(matches!(refused, Err(SendError::TooLarge)), "{refused:?}");
}

/// Two sinks, each behind a proxy. The first is new, so the SDK makes its call; the second is warmed up, so the shortcut does.
async fn behind_proxy(queue: &Queue) -> [(SqsSink, Proxy); 2] {
    let sink = async || {
        let proxy = Proxy::start(&server("MINISTACK_URL")).await;
        let client = aws_sdk_sqs::Client::new(&sdk_config(&proxy.url()));
        (SqsSink::new(&client, &queue.url), proxy)
    };
    let (new, warm) = (sink().await, sink().await);
    warm.0.warm_up().await.expect("MiniStack answers");
    [new, warm]
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_send_whose_answer_is_lost_is_repeated_on_a_fifo_queue_and_the_message_is_there_once() {
    let queue = Queue::fifo().await;
    for (n, (sink, proxy)) in behind_proxy(&queue).await.into_iter().enumerate() {
        let id = format!("Ev{n}");
        proxy.once("SendMessage", Fault::LoseAnswer);
        sink.send(&message(&id, "1.0", "{}")).await.unwrap();
        assert_eq!(proxy.calls("SendMessage"), 2);
        assert_eq!(queue.take_event_ids().await, [id]);
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_send_whose_answer_is_lost_is_an_error_on_a_standard_queue_because_a_repeat_would_be_a_second_message()
 {
    let queue = Queue::standard().await;
    for (sink, proxy) in behind_proxy(&queue).await {
        proxy.once("SendMessage", Fault::LoseAnswer);
        assert!(matches!(sink.send(&message("Ev1", "1.0", "{}")).await, Err(SendError::Failed { .. })));
        assert_eq!(proxy.calls("SendMessage"), 1);
        assert_eq!(queue.take_event_ids().await, ["Ev1"]);
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_throttled_send_is_repeated_and_an_unavailable_one_only_where_the_queue_deduplicates() {
    for (queue, repeats_a_5xx) in [(Queue::fifo().await, true), (Queue::standard().await, false)] {
        for (n, (sink, proxy)) in behind_proxy(&queue).await.into_iter().enumerate() {
            let id = format!("Ev{n}");
            proxy.once("SendMessage", Fault::Refuse(400, "ThrottlingException"));
            sink.send(&message(&id, "1.0", "{}")).await.unwrap();
            assert_eq!(queue.take_event_ids().await, [id]);

            let id = format!("Ev{n}-unavailable");
            proxy.once("SendMessage", Fault::Refuse(503, "ServiceUnavailable"));
            let sent = sink.send(&message(&id, "1.0", "{}")).await;
            assert_eq!(sent.is_ok(), repeats_a_5xx);
            let expected = if repeats_a_5xx { vec![id] } else { Vec::new() };
            assert_eq!(queue.take_event_ids().await, expected);
        }
    }
}
