//! What Lambda's event source mapping hands over, and what it wants to hear of it. Pure.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::collections::HashMap;
use std::fmt;

use super::agent_call;
use super::message::QueueMessage;

/// An event of SQS's, as Lambda hands it over.
#[derive(Debug)]
pub struct SqsInvocation(SqsEvent);

impl<'de> Deserialize<'de> for SqsInvocation {
    /// The parser's own error might quote a message, and Lambda logs it.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        SqsEvent::deserialize(input).map(Self).map_err(|_| D::Error::custom(BatchError::NotSqs))
    }
}

/// Messages of one queue, in the order in which SQS gave them.
#[derive(Debug)]
pub struct Batch {
    /// Whether the queue keeps the order of the messages of a group.
    pub is_fifo: bool,
    /// The messages of the batch, ten at the most unless the mapping is set otherwise.
    pub messages: Vec<QueueMessage>,
}

impl Batch {
    /// The messages of an event that the queue named `queue_name` caused.
    ///
    /// # Errors
    /// When a record is none of SQS's, or of another queue. Then nothing of the batch is done.
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

    /// The messages in groups; within a group no message may overtake another. On a FIFO queue that is SQS's own group. On a
    /// standard queue it is the conversation, because an agent's session does one thing at a time.
    pub fn group_by_conversation(self) -> Vec<Vec<QueueMessage>> {
        let mut conversations: Vec<Vec<QueueMessage>> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for message in self.messages {
            let key = match &message.group {
                Some(group) if self.is_fifo => group.clone(),
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

/// The partial batch response: these messages have to stay on the queue.
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

/// Why an invocation's event is no batch of this queue. All of it comes again.
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

#[cfg(test)]
mod tests;
