//! One message of the queue, as SQS hands it over. Pure.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::telemetry::report::Errors;
use crate::telemetry::report::dispatch::{MessageOutcome, MessageReport};
use crate::time::clock::UnixMillis;

/// The attribute of a message in the dead-letter queue that says why the dispatcher put it there.
pub const DEAD_LETTER_REASON: &str = "dead_letter_reason";

/// The attributes of the ingress that the log may show.
const SHOWN: [&str; 5] = ["kind", "type", "event_id", "team_id", "api_app_id"];

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

    /// The report of a message that nothing has been done about yet.
    pub fn report(&self, now: UnixMillis) -> MessageReport {
        let attributes = self.published_attributes();
        let shown = |name: &'static str| Some((name, attributes.get(name)?.clone()));
        let received_at = attributes.get("received_at").and_then(|millis| millis.parse().ok());
        MessageReport {
            outcome: MessageOutcome::Failed,
            message_id: self.message_id.clone(),
            receipt_handle: self.receipt_handle.clone(),
            receive_count: self.receive_count,
            shown_attributes: SHOWN.into_iter().filter_map(shown).collect(),
            session_id: None,
            waited: received_at.map(|millis| UnixMillis::from_millis(millis).until(now)),
            invoke: None,
            took_over: false,
            put_off_for: None,
            reason: None,
            errors: Errors::default(),
        }
    }

    /// The message in a record of an SQS event source mapping; `None` if the record lacks what SQS always sends.
    pub(super) fn of(mut record: SqsMessage) -> Option<Self> {
        let body = record.body?;
        let string = |(name, attribute): (String, aws_lambda_events::sqs::SqsMessageAttribute)| {
            Some((name, attribute.string_value?))
        };
        let attributes: BTreeMap<_, _> = record.message_attributes.into_iter().filter_map(string).collect();
        let mut system = |name| record.attributes.remove(name);
        Some(Self {
            message_id: record.message_id?,
            receipt_handle: record.receipt_handle?,
            receive_count: system("ApproximateReceiveCount")
                .and_then(|count| count.parse().ok())
                .unwrap_or(1),
            group: system("MessageGroupId"),
            trace_header: system("AWSTraceHeader"),
            // A message with the ingress's attributes is what it looks like: raw message delivery, or no topic at all.
            notification: if attributes.contains_key("kind") { None } else { notification(&body) },
            body,
            attributes,
        })
    }
}

/// The envelope that SNS puts around what it delivers unless raw message delivery is on. `aws_lambda_events` has a type for
/// it, too, which wants a dozen fields more, and a crate for dates.
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
