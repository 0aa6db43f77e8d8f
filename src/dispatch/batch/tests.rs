use super::*;
use crate::time::trace::TraceHeader;
use serde_json::{Value, json};

const QUEUE: &str = "events.fifo";
const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

fn record(id: &str, body: &str, more: &Value) -> Value {
    let mut record = json!({
        "messageId": id,
        "receiptHandle": format!("handle of {id}"),
        "body": body,
        "attributes": { "ApproximateReceiveCount": "3", "SentTimestamp": "1545082649183", "SenderId": "AIDA" },
        "messageAttributes": { "kind": { "stringValue": "event", "dataType": "String", "binaryListValues": [] } },
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-2:123456789012:{QUEUE}"),
        "awsRegion": "us-east-2"
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

/// Reads an event from bytes, as the Lambda runtime does.
fn read_bytes(event: &[u8]) -> Result<Batch, String> {
    let event: SqsInvocation = serde_json::from_slice(event).map_err(|error| error.to_string())?;
    Batch::of(event, QUEUE).map_err(|error| error.to_string())
}

fn read(records: &[Value]) -> Result<Batch, String> {
    read_bytes(json!({ "Records": records }).to_string().as_bytes())
}

#[test]
fn a_record_is_read_with_what_the_dispatch_needs_of_it() {
    let attributes = json!({ "attributes": {
        "ApproximateReceiveCount": "2", "MessageGroupId": "T1:C1:1", "MessageDeduplicationId": "Ev1",
        "AWSTraceHeader": TRACE_HEADER
    } });
    let batch = read(&[record("m1", "{}", &attributes)]).unwrap();
    assert!(batch.is_fifo);
    let expected = QueueMessage {
        message_id: "m1".to_owned(),
        receipt_handle: "handle of m1".to_owned(),
        receive_count: 2,
        group: Some("T1:C1:1".to_owned()),
        trace: TraceHeader::parse(TRACE_HEADER),
        body: "{}".to_owned(),
        attributes: [("kind".to_owned(), "event".to_owned())].into(),
        notification: None,
    };
    assert_eq!(batch.messages, [expected]);
}

#[test]
fn what_a_topic_published_is_unwrapped_and_kept_as_it_was() {
    let envelope = json!({
        "Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:us-east-1:1:topic",
        "Message": r#"{"type":"event_callback"}"#, "Timestamp": "2026-11-24T00:00:00Z", "UnsubscribeURL": "https://x",
        "MessageAttributes": { "event_id": { "Type": "String", "Value": "Ev1" } }
    })
    .to_string();
    let batch = read(&[record("m1", &envelope, &json!({ "messageAttributes": {} }))]).unwrap();
    let message = &batch.messages[0];
    assert_eq!(message.published_body(), r#"{"type":"event_callback"}"#);
    assert_eq!(message.published_attributes()["event_id"], "Ev1");
    assert_eq!((message.body.as_str(), message.attributes.len()), (envelope.as_str(), 0));
}

#[test]
fn only_a_notification_without_attributes_of_its_own_is_unwrapped() {
    let wrapped = r#"{"Type":"Notification","Message":"{}","MessageAttributes":{}}"#;
    let none = json!({ "messageAttributes": {} });
    for (body, more) in [
        (wrapped, &json!({})),
        (r#"{"Type":"SubscriptionConfirmation","Message":"{}"}"#, &none),
        (r#"{"type":"Notification","message":"{}"}"#, &none),
        ("no JSON", &none),
    ] {
        let batch = read(&[record("m1", body, more)]).unwrap();
        assert_eq!(batch.messages[0].published_body(), body);
        assert_eq!(batch.messages[0].notification, None);
    }
}

#[test]
fn what_is_no_batch_of_the_queues_is_refused_as_a_whole() {
    for event in [
        &b"{}"[..],
        b"[]",
        br#"{"Records":[{"eventSource":"aws:sns"}]}"#,
        br#"{"Records":[{}]}"#,
        br#"{"Records":"xyzzy"}"#,
    ] {
        let refused = read_bytes(event).unwrap_err();
        assert!(refused.starts_with(&BatchError::NotSqs.to_string()), "{refused}");
        assert!(!refused.contains("xyzzy"), "{refused}");
    }
    let other = json!({ "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:others" });
    let refused = read(&[record("m1", "{}", &json!({})), record("m2", "{}", &other)]).unwrap_err();
    assert_eq!(refused, BatchError::OtherQueue("others".to_owned()).to_string());
    assert!(refused.contains("queue others") && refused.contains("EVENT_QUEUE"), "{refused}");
    assert!(BatchError::NotSqs.to_string().contains("SQS"));
}

#[test]
fn a_receive_count_that_cannot_be_read_is_the_first() {
    for attributes in [json!({}), json!({ "ApproximateReceiveCount": "many" })] {
        let batch = read(&[record("m1", "{}", &json!({ "attributes": attributes }))]).unwrap();
        assert_eq!(batch.messages[0].receive_count, 1);
    }
}

fn event(channel: &str) -> String {
    json!({ "type": "event_callback", "team_id": "T1", "event": { "type": "message", "channel": channel } })
        .to_string()
}

fn conversations(batch: Batch) -> Vec<Vec<String>> {
    let ids = |messages: Vec<QueueMessage>| messages.into_iter().map(|message| message.message_id).collect();
    batch.group_by_conversation().into_iter().map(ids).collect()
}

#[test]
fn on_a_fifo_queue_a_conversation_is_a_group_in_its_order() {
    let group = |group| json!({ "attributes": { "MessageGroupId": group } });
    let records = [
        record("1", &event("C1"), &group("a")),
        record("2", &event("C1"), &group("b")),
        record("3", "no JSON", &group("a")),
        record("4", &event("C2"), &group("b")),
    ];
    assert_eq!(conversations(read(&records).unwrap()), [["1", "3"], ["2", "4"]]);
}

#[test]
fn on_a_standard_queue_messages_go_by_their_conversation() {
    let team = json!({ "attributes": { "MessageGroupId": "T1" } });
    let records = [
        record("1", &event("D1"), &team),
        record("2", &event("D2"), &team),
        record("3", &event("D1"), &team),
        record("4", "no JSON", &team),
        record("5", "no JSON", &team),
    ];
    let batch = Batch { is_fifo: false, ..read(&records).unwrap() };
    assert_eq!(conversations(batch), [vec!["1", "3"], vec!["2"], vec!["4"], vec!["5"]]);
}

#[test]
fn the_response_names_what_has_to_stay_and_an_empty_one_nothing() {
    let json =
        |ids: &[&str]| serde_json::to_string(&response(ids.iter().map(|id| (*id).to_owned()))).unwrap();
    assert_eq!(json(&["m1"]), r#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#);
    assert_eq!(json(&[]), r#"{"batchItemFailures":[]}"#);
}
