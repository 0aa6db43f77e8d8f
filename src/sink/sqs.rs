//! Messages on an SQS queue, standard or FIFO.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::builders::SendMessageInputBuilder;
use aws_sdk_sqs::operation::send_message::{
    SendMessage, SendMessageError, SendMessageInput, SendMessageOutput,
};
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName,
};

use super::refused_only::RefusedOnly;
use super::rejection::is_rejection;
use super::{SendError, Sink};
use crate::aws::shortcut::{Operation, Repeat, Shortcut};
use crate::sink::message::Message;
use crate::time::deadline::look_at_the_clock;
use crate::time::trace::TraceHeader;

/// What SQS takes at the most, attributes included (Amazon SQS quotas, "Message size").
const MAX_BYTES: usize = 1024 * 1024;

/// An SQS queue, standard or FIFO.
#[derive(Debug)]
pub struct SqsSink {
    client: Client,
    queue_url: String,
    fifo: bool,
    shortcut: Shortcut,
    send_message: Operation<SendMessageInput, SendMessageOutput, SendMessageError>,
}

impl SqsSink {
    /// The queue at `queue_url`; a FIFO queue's name ends in `.fifo`.
    pub fn new(client: &Client, queue_url: impl Into<String>) -> Self {
        let queue_url = queue_url.into();
        let fifo = queue_url.ends_with(".fifo");
        // On a standard queue a send that is repeated because its answer was lost is a second message. (A FIFO queue
        // knows the message by its de-duplication id.)
        let shortcut = Shortcut::new(if fifo { Repeat::Always } else { Repeat::IfRefused });
        let config = client.config().to_builder().interceptor(shortcut.clone());
        let config = if fifo { config } else { config.retry_classifier(RefusedOnly) };
        Self {
            client: Client::from_conf(config.build()),
            queue_url,
            fifo,
            shortcut,
            send_message: Operation::new(&SendMessage::new(), |_| false),
        }
    }

    /// Whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). They may, unless
    /// this says otherwise.
    #[must_use]
    pub fn with_shortcut(mut self, is_enabled: bool) -> Self {
        self.shortcut.enable(is_enabled);
        self
    }

    /// Sends the message with this trace header.
    async fn send_traced(&self, message: &Message, trace_header: Option<&str>) -> Result<(), SendError> {
        let input = || self.input(message, trace_header);
        let by_sdk = async || input()?.send_with(&self.client).await;
        let sent = self.shortcut.call(&self.send_message, || input()?.build(), by_sdk).await;
        sent.map(drop).map_err(send_error)
    }

    fn input(
        &self,
        message: &Message,
        trace_header: Option<&str>,
    ) -> Result<SendMessageInputBuilder, BuildError> {
        let attributes = message.attributes.iter();
        let attributes = attributes
            .map(|(name, value)| Ok((name.clone().into_owned(), string_attribute(value)?)))
            .collect::<Result<_, BuildError>>()?;
        let input = SendMessageInput::builder()
            .queue_url(&self.queue_url)
            .message_body(&message.body)
            .set_message_attributes(Some(attributes));
        let input = if self.fifo {
            input
                .message_group_id(&message.conversation_group)
                .message_deduplication_id(&message.deduplication_id)
        } else {
            input.message_group_id(&message.team_group)
        };
        Ok(match trace_header {
            Some(header) => input.message_system_attributes(
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                MessageSystemAttributeValue::builder().data_type("String").string_value(header).build()?,
            ),
            None => input,
        })
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

    /// SQS rejects a message for a trace header that it does not understand, and no trace is worth a message. So what is not
    /// well-formed is left out; and a message that is rejected with a header is sent once more without it.
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        // An earlier version may have parked the message, and its header has not been read then.
        let trace_header = message.trace_header.as_deref().and_then(TraceHeader::parse);
        let trace_header = trace_header.map(|trace| trace.header());
        match self.send_traced(message, trace_header.as_deref()).await {
            Err(SendError::Rejected { .. }) if trace_header.is_some() => {
                look_at_the_clock().await;
                // Boxed, because hardly any message needs it.
                Box::pin(self.send_traced(message, None)).await
            }
            sent => sent,
        }
    }

    fn max_bytes(&self) -> usize {
        MAX_BYTES
    }
}

fn string_attribute(value: &str) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build()
}

/// A queue may be set to take less than SQS does; only the text of its answer says so.
fn send_error(error: SdkError<SendMessageError>) -> SendError {
    let too_large = error.code() == Some("InvalidParameterValue")
        && error.message().is_some_and(|message| message.contains("shorter than"));
    if too_large {
        SendError::TooLarge
    } else if is_rejection(&error) {
        SendError::rejected("SQS SendMessage", error)
    } else {
        SendError::failed("SQS SendMessage", error)
    }
}
