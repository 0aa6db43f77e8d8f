//! One message of the queue, as SQS hands it over. All of it is pure.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::telemetry::report::Errors;
use crate::telemetry::report::dispatch::{MessageOutcome, MessageReport};
use crate::time::clock::UnixMillis;
use crate::time::trace::TraceHeader;
use crate::work::record::Receive;

/// The attribute of a message in the dead-letter queue that says why the dispatcher put it there.
pub const DEAD_LETTER_REASON: &str = "dead_letter_reason";

/// The attributes of a message that the log may show: its ids and types, and nothing that a person wrote.
const SHOWN: [&str; 5] = ["kind", "type", "event_id", "team_id", "api_app_id"];

/// One message, in one receive of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// The id that SQS gave to the message.
    pub message_id: String,
    /// The handle that SQS gave to this receive of the message. Its visibility timeout is changed by it.
    pub receipt_handle: String,
    /// How often SQS has handed the message out, this time included; 1 if SQS does not say.
    pub receive_count: u32,
    /// The message group (`MessageGroupId`): on a FIFO queue the conversation, on a standard queue the workspace. Absent if the
    /// sender set none.
    pub group: Option<String>,
    /// The trace that the message was sent in; absent if it came without one, or with one that is not well-formed.
    pub trace: Option<TraceHeader>,
    /// The body as it is on the queue.
    pub body: String,
    /// The string attributes as they are on the queue.
    pub attributes: BTreeMap<String, String>,
    /// What was published on a topic, if the queue is subscribed to one without [raw message
    /// delivery](https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html). Otherwise absent.
    pub notification: Option<Notification>,
}

/// What was published on a topic, taken out of the envelope that SNS puts around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The body as it was published.
    pub body: String,
    /// The string attributes as they were published.
    pub attributes: BTreeMap<String, String>,
}

impl QueueMessage {
    /// The body that the ingress sent, to the queue or to a topic.
    pub fn published_body(&self) -> &str {
        self.notification.as_ref().map_or(&self.body, |notification| &notification.body)
    }

    /// The string attributes that the ingress sent, to the queue or to a topic.
    pub fn published_attributes(&self) -> &BTreeMap<String, String> {
        self.notification.as_ref().map_or(&self.attributes, |notification| &notification.attributes)
    }

    /// This receive of the message.
    pub fn receive(&self) -> Receive {
        Receive { message_id: self.message_id.clone(), handle: self.receipt_handle.clone() }
    }

    /// Begins the report of this message. Until the outcome is known, it is [`MessageOutcome::Failed`].
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
            question_id: None,
            trace: self.trace.clone(),
            waited: received_at.map(|millis| UnixMillis::from_millis(millis).until(now)),
            invoke: None,
            is_untold: false,
            feedback: None,
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
            trace: system("AWSTraceHeader").as_deref().and_then(TraceHeader::parse),
            // A message that has the ingress's attributes itself is in no envelope: there is no topic, or it delivers raw
            // messages.
            notification: if attributes.contains_key("kind") { None } else { notification(&body) },
            body,
            attributes,
        })
    }
}

/// The envelope that SNS puts around a message. The type that `aws_lambda_events` has for it needs a dozen more fields, and a
/// crate for dates.
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

/// What is in the envelope of SNS; `None` if the body is no such envelope.
fn notification(body: &str) -> Option<Notification> {
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    let attributes = envelope.message_attributes.into_iter().map(|(name, attribute)| (name, attribute.value));
    (envelope.envelope_type == "Notification")
        .then(|| Notification { body: envelope.message, attributes: attributes.collect() })
}
