//! Messages on an SNS topic, standard or FIFO. The attributes can be used in subscription filter policies; a
//! queue that subscribes with raw message delivery gets what it would get from us directly.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::builders::PublishInputBuilder;
use aws_sdk_sns::operation::publish::{Publish, PublishError, PublishInput, PublishOutput};
use aws_sdk_sns::types::MessageAttributeValue;

use super::refused_only::RefusedOnly;
use super::rejection::is_rejection;
use super::{SendError, Sink};
use crate::aws::shortcut::{Operation, Repeat, Shortcut};
use crate::sink::message::Message;

/// What SNS takes at the most, attributes included (Amazon SNS quotas, "Message size").
const MAX_BYTES: usize = 256 * 1024;

/// An SNS topic, standard or FIFO.
#[derive(Debug)]
pub struct SnsSink {
    client: Client,
    topic_arn: String,
    fifo: bool,
    shortcut: Shortcut,
    publish: Operation<PublishInput, PublishOutput, PublishError>,
}

impl SnsSink {
    /// The topic with this ARN; a FIFO topic's name ends in `.fifo`.
    pub fn new(client: &Client, topic_arn: impl Into<String>) -> Self {
        let topic_arn = topic_arn.into();
        let fifo = topic_arn.ends_with(".fifo");
        // On a standard topic a publish that is repeated because its answer was lost is a second message.
        let shortcut = Shortcut::new(if fifo { Repeat::Always } else { Repeat::IfRefused });
        let config = client.config().to_builder().interceptor(shortcut.clone());
        let config = if fifo { config } else { config.retry_classifier(RefusedOnly) };
        Self {
            client: Client::from_conf(config.build()),
            topic_arn,
            fifo,
            shortcut,
            publish: Operation::new(&Publish::new(), |_| false),
        }
    }

    /// Whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). They may, unless
    /// this says otherwise.
    #[must_use]
    pub fn with_shortcut(mut self, is_enabled: bool) -> Self {
        self.shortcut.enable(is_enabled);
        self
    }

    fn input(&self, message: &Message) -> Result<PublishInputBuilder, BuildError> {
        let attributes = message.attributes.iter().map(|(name, value)| {
            let attribute =
                MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
            Ok((name.clone().into_owned(), attribute))
        });
        let input = PublishInput::builder()
            .topic_arn(&self.topic_arn)
            .message(&message.body)
            .set_message_attributes(Some(attributes.collect::<Result<_, BuildError>>()?));
        Ok(if self.fifo {
            input
                .message_group_id(&message.conversation_group)
                .message_deduplication_id(&message.deduplication_id)
        } else {
            // Handed on to subscribed standard queues, which are fair by it.
            input.message_group_id(&message.team_group)
        })
    }
}

impl Sink for SnsSink {
    async fn warm_up(&self) -> Result<(), SendError> {
        let attributes = self.client.get_topic_attributes().topic_arn(&self.topic_arn).send();
        attributes.await.map(drop).map_err(|error| SendError::failed("SNS GetTopicAttributes", error))
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let by_sdk = async || self.input(message)?.send_with(&self.client).await;
        let sent = self.shortcut.call(&self.publish, || self.input(message)?.build(), by_sdk).await;
        sent.map(drop).map_err(publish_error)
    }

    fn max_bytes(&self) -> usize {
        MAX_BYTES
    }
}

fn publish_error(error: SdkError<PublishError>) -> SendError {
    let too_large = error.code() == Some("InvalidParameter")
        && error.message().is_some_and(|message| message.contains("too long"));
    if too_large {
        SendError::TooLarge
    } else if is_rejection(&error) {
        SendError::rejected("SNS Publish", error)
    } else {
        SendError::failed("SNS Publish", error)
    }
}
