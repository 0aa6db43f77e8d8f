//! The contract of a [`Sink`] as a suite of tests for any implementation. `tests/suite/sinks.rs` runs it on every sink of this
//! crate.
//!
//! Whether a message arrived can only be seen by its consumer, so each scenario also takes an [`Inbox`], which reads what the
//! sink sent. Each function is one scenario. It needs an empty inbox, and panics when the sink breaks the contract.

#![allow(clippy::expect_used, reason = "a failed expectation is what a suite is for")]

use std::collections::BTreeMap;
use std::future::Future;

use super::{SendError, Sink};
use crate::sink::message::{Arrival, Message};
use crate::slack::payload::{Author, Conversation, Delivery, Kind};
use crate::time::clock::UnixMillis;

/// What a consumer of the queue sees.
pub trait Inbox: Send + Sync {
    /// Takes all messages from the queue, and returns them in the order in which the queue handed them out.
    fn drain(&self) -> impl Future<Output = Vec<Received>> + Send;
}

/// A message as its consumer sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// The body of the message.
    pub body: String,
    /// The string attributes of the message, by their names.
    pub attributes: BTreeMap<String, String>,
}

/// A message about the event `id` with this body, in this thread of a channel.
pub fn message(id: &str, thread: &str, body: &str) -> Message {
    let delivery = Delivery {
        kind: Kind::Event,
        event_type: "app_mention".to_owned(),
        subtype: None,
        id: id.to_owned(),
        message_key: None,
        team_id: Some("T0001".to_owned()),
        api_app_id: Some("A0001".to_owned()),
        author: Author::Person,
        conversation: Conversation {
            app: None,
            team: Some("T0001".to_owned()),
            channel: Some("C0001".to_owned()),
            thread: Some(thread.to_owned()),
        },
        direct_message: None,
        is_control: false,
        body: body.to_owned(),
    };
    let arrival = Arrival {
        received_at: UnixMillis::from_millis(1_700_000_000_000),
        retry_num: Some(1),
        retry_reason: Some("http_timeout".to_owned()),
        trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1".to_owned()),
    };
    Message::new(delivery, arrival)
}

async fn send(sink: &impl Sink, message: Message) {
    sink.send(&message).await.expect("the sink takes the message");
}

/// A message arrives once, with its body and all its attributes.
pub async fn a_message_arrives_whole(sink: &impl Sink, inbox: &impl Inbox) {
    let sent = message("Ev-whole", "1.0", r#"{"type":"event_callback","text":"Grüße 🦀"}"#);
    let attributes =
        sent.attributes.iter().map(|(name, value)| (name.clone().into_owned(), value.clone())).collect();
    let expected = Received { body: sent.body.clone(), attributes };
    send(sink, sent).await;
    assert_eq!(inbox.drain().await, [expected]);
}

/// A body arrives as it was sent, for every character of Unicode that JSON can hold. The two that SQS refuses arrive as JSON
/// escapes, which mean the same.
pub async fn a_body_keeps_every_character(sink: &impl Sink, inbox: &impl Inbox) {
    let all: Vec<char> = (' '..=char::MAX).filter(|c| !matches!(c, '"' | '\\')).collect();
    let bodies: Vec<String> = all
        .chunks(50_000)
        .map(|characters| format!("{{\"text\":\"{}\"}}", characters.iter().collect::<String>()))
        .collect();
    for (n, body) in bodies.iter().enumerate() {
        send(sink, message(&format!("Ev-unicode-{n}"), "1.0", body)).await;
    }
    let received = inbox.drain().await;
    assert_eq!(received.len(), bodies.len());
    let parse = |body: &str| serde_json::from_str::<serde_json::Value>(body).expect("the body is JSON");
    for body in &bodies {
        let same = received.iter().any(|received| {
            let escaped = body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
            received.body == escaped && parse(&received.body) == parse(body)
        });
        assert!(same, "a body of {} bytes was changed on its way", body.len());
    }
}

/// The sink takes a message of exactly [`Sink::max_bytes`], and answers [`SendError::TooLarge`] to a larger one.
pub async fn the_limit_is_the_limit(sink: &impl Sink, inbox: &impl Inbox) {
    let max = sink.max_bytes();
    let empty = message("Ev-limit", "1.0", "");
    let largest = message("Ev-limit", "1.0", &"x".repeat(max - empty.size()));
    assert_eq!(largest.size(), max);
    let body = largest.body.clone();
    send(sink, largest).await;
    let received: Vec<_> = inbox.drain().await.into_iter().map(|received| received.body.len()).collect();
    assert_eq!(received, [body.len()]);

    let larger = message("Ev-over", "1.0", &"x".repeat(max + 1));
    let refused = sink.send(&larger).await;
    assert!(matches!(refused, Err(SendError::TooLarge)), "{refused:?}");
    assert_eq!(inbox.drain().await, []);
}

/// A sink can be warmed up twice, and sends nothing by that.
pub async fn warming_up_sends_nothing(sink: &impl Sink, inbox: &impl Inbox) {
    for _ in 0..2 {
        sink.warm_up().await.expect("the sink can be reached");
    }
    assert_eq!(inbox.drain().await, []);
}

/// The messages of one conversation arrive in the order in which they were sent. This is for a sink that keeps the order.
pub async fn a_conversation_keeps_its_order(sink: &impl Sink, inbox: &impl Inbox) {
    let body = |thread: &str, n: usize| format!("{{\"thread\":\"{thread}\",\"n\":{n}}}");
    let threads = ["1.0", "2.0"];
    for n in 0..10 {
        for thread in threads {
            send(sink, message(&format!("Ev-order-{thread}-{n}"), thread, &body(thread, n))).await;
        }
    }
    let received = inbox.drain().await;
    for thread in threads {
        let mark = format!("\"{thread}\"");
        let of_thread: Vec<_> = received
            .iter()
            .map(|received| received.body.clone())
            .filter(|body| body.contains(&mark))
            .collect();
        let expected: Vec<_> = (0..10).map(|n| body(thread, n)).collect();
        assert_eq!(of_thread, expected);
    }
}

/// A message that is sent three times arrives once. This is for a sink that de-duplicates.
pub async fn a_repeated_message_comes_once(sink: &impl Sink, inbox: &impl Inbox) {
    for _ in 0..3 {
        send(sink, message("Ev-again", "1.0", "{}")).await;
    }
    assert_eq!(inbox.drain().await.len(), 1);
}
