//! Messages on an SNS topic, standard or FIFO. The attributes can be used in subscription filter policies; a
//! queue that subscribes with raw message delivery gets what it would get from us directly.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;

use super::answered_only::AnsweredOnly;
use super::{SendError, Sink};
use crate::message::Message;

/// What SNS takes at the most, attributes included (Amazon SNS quotas, "Message size").
const MAX_BYTES: usize = 256 * 1024;

/// A topic.
#[derive(Clone, Debug)]
pub struct SnsSink {
    client: Client,
    topic_arn: String,
    fifo: bool,
}

impl SnsSink {
    /// The topic with this ARN; a FIFO topic's name ends in `.fifo`.
    pub fn new(client: &Client, topic_arn: impl Into<String>) -> Self {
        let topic_arn = topic_arn.into();
        let fifo = topic_arn.ends_with(".fifo");
        let client = if fifo { client.clone() } else { without_blind_retries(client) };
        Self { client, topic_arn, fifo }
    }
}

impl Sink for SnsSink {
    async fn warm_up(&self) -> Result<(), SendError> {
        let attributes = self.client.get_topic_attributes().topic_arn(&self.topic_arn).send();
        attributes.await.map(drop).map_err(|error| SendError::failed("SNS GetTopicAttributes", error))
    }

    async fn send(&self, message: Message) -> Result<(), SendError> {
        let attributes = message.attributes.into_iter().map(|(name, value)| {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            Ok((name.into_owned(), attribute.map_err(|error| SendError::failed(PUBLISH, error))?))
        });
        let request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .message(message.body)
            .set_message_attributes(Some(attributes.collect::<Result<_, SendError>>()?));
        let request = if self.fifo {
            request
                .message_group_id(message.conversation_group)
                .message_deduplication_id(message.deduplication_id)
        } else {
            // Handed on to subscribed standard queues, which are fair by it.
            request.message_group_id(message.team_group)
        };
        request.send().await.map(drop).map_err(publish_error)
    }

    fn max_bytes(&self) -> usize {
        MAX_BYTES
    }
}

const PUBLISH: &str = "SNS Publish";

fn publish_error(error: SdkError<PublishError>) -> SendError {
    let too_large = error.code() == Some("InvalidParameter")
        && error.message().is_some_and(|message| message.contains("too long"));
    if too_large { SendError::TooLarge } else { SendError::failed(PUBLISH, error) }
}

/// On a standard topic a publish that is repeated because its answer was lost is a second message.
fn without_blind_retries(client: &Client) -> Client {
    Client::from_conf(client.config().to_builder().retry_classifier(AnsweredOnly).build())
}
