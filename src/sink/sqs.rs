//! Messages on an SQS queue, standard or FIFO.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName,
};

use super::answered_only::AnsweredOnly;
use super::{SendError, Sink};
use crate::message::Message;

/// What SQS takes at the most, attributes included (Amazon SQS quotas, "Message size").
const MAX_BYTES: usize = 1024 * 1024;

/// A queue.
#[derive(Clone, Debug)]
pub struct SqsSink {
    client: Client,
    queue_url: String,
    fifo: bool,
}

impl SqsSink {
    /// The queue at `queue_url`; a FIFO queue's name ends in `.fifo`.
    pub fn new(client: &Client, queue_url: impl Into<String>) -> Self {
        let queue_url = queue_url.into();
        let fifo = queue_url.ends_with(".fifo");
        let client = if fifo { client.clone() } else { without_blind_retries(client) };
        Self { client, queue_url, fifo }
    }
}

impl Sink for SqsSink {
    async fn warm_up(&self) -> Result<(), SendError> {
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send();
        attributes.await.map(drop).map_err(|error| SendError::failed("SQS GetQueueAttributes", error))
    }

    async fn send(&self, message: Message) -> Result<(), SendError> {
        let request = self
            .client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(message.body)
            .set_message_attributes(Some(
                message
                    .attributes
                    .into_iter()
                    .map(|(name, value)| Ok((name.into_owned(), string_attribute(value)?)))
                    .collect::<Result<_, SendError>>()?,
            ));
        let request = if self.fifo {
            request
                .message_group_id(message.conversation_group)
                .message_deduplication_id(message.deduplication_id)
        } else {
            request.message_group_id(message.team_group)
        };
        // SQS refuses a message for a trace header that is none, and no trace is worth a message.
        let request = match message.trace_header {
            Some(header) if header.starts_with("Root=") => request.message_system_attributes(
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                MessageSystemAttributeValue::builder()
                    .data_type("String")
                    .string_value(header)
                    .build()
                    .map_err(|error| SendError::failed("SQS SendMessage", error))?,
            ),
            _ => request,
        };
        request.send().await.map(drop).map_err(send_error)
    }

    fn max_bytes(&self) -> usize {
        MAX_BYTES
    }
}

fn string_attribute(value: String) -> Result<MessageAttributeValue, SendError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|error| SendError::failed("SQS SendMessage", error))
}

/// A queue may be set to take less than SQS does; only the message of its refusal says so.
fn send_error(error: SdkError<SendMessageError>) -> SendError {
    let too_large = error.code() == Some("InvalidParameterValue")
        && error.message().is_some_and(|message| message.contains("shorter than"));
    if too_large { SendError::TooLarge } else { SendError::failed("SQS SendMessage", error) }
}

/// On a standard queue a send that is repeated because its answer was lost is a second message.
/// (A FIFO queue knows the message by its de-duplication id, so there every retry is harmless.)
fn without_blind_retries(client: &Client) -> Client {
    let config = client.config().to_builder().retry_classifier(AnsweredOnly).build();
    Client::from_conf(config)
}
