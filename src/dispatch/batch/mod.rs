//! What Lambda's event source mapping hands over, and what it wants to hear of it. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;

use super::invocation;

/// Messages of one queue, in the order in which SQS gave them.
#[derive(Debug)]
pub struct Batch {
    /// Whether the queue keeps the order of a group.
    pub is_fifo: bool,
    /// The messages.
    pub messages: Vec<QueueMessage>,
}

/// One message of a queue's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// SQS's id of it.
    pub message_id: String,
    /// What its visibility is changed by.
    pub receipt_handle: String,
    /// How often SQS has handed it out, this time included.
    pub receive_count: u32,
    /// `MessageGroupId`
    pub group: Option<String>,
    /// The X-Ray trace that it was sent in.
    pub trace_header: Option<String>,
    /// The body as it stands on the queue.
    pub body: String,
    /// The string attributes as they stand on the queue.
    pub attributes: BTreeMap<String, String>,
    /// What was published, where the queue is subscribed to a topic without raw message delivery.
    pub notification: Option<Notification>,
}

/// What SNS wrapped up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What was published.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl QueueMessage {
    /// The body as it was put on the queue or the topic.
    pub fn published_body(&self) -> &str {
        self.notification.as_ref().map_or(&self.body, |notification| &notification.body)
    }

    /// The attributes as they were put on the queue or the topic.
    pub fn published_attributes(&self) -> &BTreeMap<String, String> {
        self.notification.as_ref().map_or(&self.attributes, |notification| &notification.attributes)
    }
}

impl Batch {
    /// The messages of the event that the queue named `queue_name` caused.
    ///
    /// # Errors
    /// When it is no event of SQS's, or another queue's: then nothing of it is done.
    pub fn read(event: &[u8], queue_name: &str) -> Result<Self, BatchError> {
        // The parser's own error might quote a message.
        let event: Event = serde_json::from_slice(event).map_err(|_| BatchError::NotSqs)?;
        let queue_of = |record: &Record| record.event_source_arn.rsplit(':').next().map(str::to_owned);
        if let Some(other) = event.records.iter().filter_map(queue_of).find(|name| name != queue_name) {
            return Err(BatchError::OtherQueue(other));
        }
        let messages = event.records.into_iter().map(QueueMessage::from).collect();
        Ok(Self { is_fifo: queue_name.ends_with(".fifo"), messages })
    }

    /// The messages by what they may not overtake each other in: the group of a FIFO queue. On a standard queue it is the
    /// conversation, for an agent's session does one thing at a time.
    pub fn into_lanes(self) -> Vec<Vec<QueueMessage>> {
        let mut lanes: Vec<Vec<QueueMessage>> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for message in self.messages {
            let key = match &message.group {
                Some(group) if self.is_fifo => group.clone(),
                _ => invocation::session_id(&message).unwrap_or_else(|| message.message_id.clone()),
            };
            let next = lanes.len();
            let index = *by_key.entry(key).or_insert(next);
            match lanes.get_mut(index) {
                Some(lane) => lane.push(message),
                None => lanes.push(vec![message]),
            }
        }
        lanes
    }
}

/// What Lambda wants to hear: which messages have to stay on the queue (partial batch response).
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl BatchResponse {
    /// These are not done.
    pub fn not_done(message_ids: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| ItemFailure { item_identifier };
        Self { batch_item_failures: message_ids.into_iter().map(failure).collect() }
    }
}

/// Why an invocation is no batch of this queue's. All of it comes again.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchError {
    /// It has no records of SQS's.
    NotSqs,
    /// They are of the queue with this name.
    OtherQueue(String),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSqs => f.write_str("the invocation's event is not one of an SQS event source mapping"),
            Self::OtherQueue(name) => {
                write!(f, "the messages are of the queue {name}, and EVENT_QUEUE is another")
            }
        }
    }
}

impl std::error::Error for BatchError {}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    attributes: SystemAttributes,
    #[serde(default)]
    message_attributes: BTreeMap<String, RecordAttribute>,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SystemAttributes {
    approximate_receive_count: Option<String>,
    message_group_id: Option<String>,
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordAttribute {
    string_value: Option<String>,
}

impl From<Record> for QueueMessage {
    fn from(record: Record) -> Self {
        let string = |(name, attribute): (String, RecordAttribute)| Some((name, attribute.string_value?));
        let attributes: BTreeMap<_, _> = record.message_attributes.into_iter().filter_map(string).collect();
        let SystemAttributes { approximate_receive_count, message_group_id, trace_header } =
            record.attributes;
        Self {
            message_id: record.message_id,
            receipt_handle: record.receipt_handle,
            receive_count: approximate_receive_count.and_then(|count| count.parse().ok()).unwrap_or(1),
            group: message_group_id,
            trace_header,
            // With attributes of its own it is what it looks like: raw message delivery, or no topic at all.
            notification: if attributes.contains_key("kind") { None } else { notification(&record.body) },
            body: record.body,
            attributes,
        }
    }
}

/// SNS's envelope, which it puts around what it delivers unless raw message delivery is on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    envelope_type: String,
    message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, EnvelopeAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnvelopeAttribute {
    value: String,
}

fn notification(body: &str) -> Option<Notification> {
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    let attributes = envelope.message_attributes.into_iter().map(|(name, attribute)| (name, attribute.value));
    (envelope.envelope_type == "Notification")
        .then(|| Notification { body: envelope.message, attributes: attributes.collect() })
}

#[cfg(test)]
mod tests;
