//! The batch of messages that Lambda's event source mapping hands over, and the answer to it, a
//! [partial batch response](https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html). All of it is pure.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::collections::HashMap;
use std::fmt;

use super::agent_call;
use super::message::QueueMessage;

/// The event of an invocation, as Lambda hands it over. Nobody has looked at its records yet.
#[derive(Debug)]
pub struct SqsInvocation(SqsEvent);

impl<'de> Deserialize<'de> for SqsInvocation {
    /// Reads an event. The error says nothing of it: the parser's own might quote a message, and Lambda logs it.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        SqsEvent::deserialize(input).map(Self).map_err(|_| D::Error::custom(BatchError::NotSqs))
    }
}

/// Messages of one queue, in the order in which SQS handed them out.
#[derive(Debug)]
pub struct Batch {
    /// Whether it is a FIFO queue, which keeps the order of the messages of a group.
    pub is_fifo: bool,
    /// The messages: ten at the most, unless the event source mapping says otherwise.
    pub messages: Vec<QueueMessage>,
}

impl Batch {
    /// The messages of an event from the queue with this name, such as `slack-events.fifo`.
    ///
    /// # Errors
    /// When one of the records is not from SQS, or is from another queue. Then none of the messages is handed over.
    pub fn of(SqsInvocation(event): SqsInvocation, queue_name: &str) -> Result<Self, BatchError> {
        let mut messages = Vec::with_capacity(event.records.len());
        for record in event.records {
            let arn = record.event_source_arn.as_deref().ok_or(BatchError::NotSqs)?;
            let queue = arn.rsplit(':').next().unwrap_or_default();
            if queue != queue_name {
                return Err(BatchError::OtherQueue(queue.to_owned()));
            }
            messages.push(QueueMessage::of(record).ok_or(BatchError::NotSqs)?);
        }
        Ok(Self { is_fifo: queue_name.ends_with(".fifo"), messages })
    }

    /// Divides the messages into groups. The messages of a group are handed over one after the other. On a FIFO queue it is
    /// SQS's message group, whose order has to be kept. On a standard queue it is the conversation, because an agent's session
    /// does one thing at a time; but a stop waits for nothing.
    pub fn group_by_conversation(self) -> Vec<Vec<QueueMessage>> {
        let mut conversations: Vec<Vec<QueueMessage>> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for message in self.messages {
            let key = match &message.group {
                Some(group) if self.is_fifo => group.clone(),
                _ if is_stop(&message) => message.message_id.clone(),
                _ => agent_call::session_id(&message).unwrap_or_else(|| message.message_id.clone()),
            };
            let next = conversations.len();
            let index = *by_key.entry(key).or_insert(next);
            match conversations.get_mut(index) {
                Some(conversation) => conversation.push(message),
                None => conversations.push(vec![message]),
            }
        }
        conversations
    }
}

fn is_stop(message: &QueueMessage) -> bool {
    message.published_attributes().get("type").is_some_and(|event_type| event_type == "agent_session_stopped")
}

/// The partial batch response which says that the messages with these ids have to stay on the queue.
pub fn response(not_done: impl IntoIterator<Item = String>) -> SqsBatchResponse {
    let failure = |message_id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = message_id;
        failure
    };
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = not_done.into_iter().map(failure).collect();
    response
}

/// Why an event is no batch of this queue. All its messages come again.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The event has no records, or one of them is not from SQS.
    NotSqs,
    /// One of the records is from the queue with this name.
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

#[cfg(test)]
mod tests;
