//! AWS with the developer's own credentials: the configuration, and an SQS queue whose messages are read, deleted and given back.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::CommandError;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// SQS's limit on the messages of one call.
const BATCH: usize = 10;

/// The configuration for calls with the developer's own credentials. It allows more time than the function's.
pub(crate) async fn sdk_config() -> SdkConfig {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_timeout(CALL_LIMIT).build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .region(region)
        .timeout_config(timeouts)
        .load()
        .await
}

/// An SQS queue and the client that calls it.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    pub(crate) async fn at(url: &str) -> Self {
        let http_client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let mut config = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        // The region in the queue's URL is the right one, whatever the environment says.
        if let Some(region) = region_of(url) {
            config = config.region(Region::new(region.to_owned()));
        }
        Self { client: Client::new(&config.load().await), url: url.to_owned() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Receives up to ten messages. Waits up to `wait_seconds` for the first one. SQS hides the received messages from other
    /// receivers for `hidden_seconds`.
    pub(crate) async fn receive(
        &self,
        wait_seconds: i32,
        hidden_seconds: i32,
    ) -> Result<Vec<Message>, CommandError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH as i32)
            .wait_time_seconds(wait_seconds)
            .visibility_timeout(hidden_seconds)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send();
        Ok(received.await?.messages.unwrap_or_default())
    }

    /// How many messages can be received now, by SQS's own estimate.
    pub(crate) async fn waiting(&self) -> Result<u64, CommandError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let attributes = asked.send().await?.attributes.unwrap_or_default();
        Ok(attributes.get(&name).and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.url.ends_with(".fifo")
    }

    /// Deletes the messages with these receipt handles.
    pub(crate) async fn delete(&self, receipts: &[String]) -> Result<(), CommandError> {
        for receipts in receipts.chunks(BATCH) {
            let entry = |(n, receipt): (usize, &String)| {
                DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(receipt).build()
            };
            let entries: Result<_, _> = receipts.iter().enumerate().map(entry).collect();
            let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries?));
            if let Some(failed) = request.send().await?.failed.first() {
                let why = failed.message.as_deref().unwrap_or(&failed.code);
                return Err(format!("SQS did not delete a message: {why}").into());
            }
        }
        Ok(())
    }

    /// Makes the messages with these receipt handles visible to other receivers again at once.
    pub(crate) async fn give_back(&self, receipts: &[String]) -> Result<(), CommandError> {
        for receipts in receipts.chunks(BATCH) {
            let entry = |(n, receipt): (usize, &String)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(n.to_string());
                entry.receipt_handle(receipt).visibility_timeout(0).build()
            };
            let entries: Result<_, _> = receipts.iter().enumerate().map(entry).collect();
            let request = self.client.change_message_visibility_batch().queue_url(&self.url);
            if let Some(failed) = request.set_entries(Some(entries?)).send().await?.failed.first() {
                let why = failed.message.as_deref().unwrap_or(&failed.code);
                return Err(format!("SQS did not give a message back: {why}").into());
            }
        }
        Ok(())
    }
}

/// The string attributes of a message.
pub(crate) fn attributes(message: &Message) -> BTreeMap<String, String> {
    let attributes = message.message_attributes.iter().flatten();
    attributes.filter_map(|(name, value)| Some((name.clone(), value.string_value.clone()?))).collect()
}

/// When the queue took a message, in milliseconds since 1970.
pub(crate) fn sent_at(message: &Message) -> Option<u64> {
    message.attributes.as_ref()?.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()
}

/// The region in a queue's URL, `https://sqs.<region>.amazonaws.com/…`; `None` for an emulator's URL.
fn region_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://sqs.")?.split('/').next()?;
    host.split_once(".amazonaws.com").map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_the_queues_url() {
        assert_eq!(region_of("https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo"), Some("eu-west-1"));
        assert_eq!(region_of("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"), Some("cn-north-1"));
        assert_eq!(region_of("http://127.0.0.1:4566/000000000000/q"), None);
    }
}
