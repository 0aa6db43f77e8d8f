//! Tables, queues and secrets of a test's own, in the emulators.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName};
use slack_ingress::sink::contract::{Inbox, Received};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::server;

/// A name that no other test has, nor a run before this one against the same servers.
pub(crate) fn fresh_name(what: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let (run, n) = (SystemClock.now().as_millis(), COUNTER.fetch_add(1, Ordering::Relaxed));
    format!("{what}-{run}-{n}")
}

/// A client's configuration for the service at this URL.
pub(crate) fn sdk_config(url: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// A table as the stacks create it.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) name: String,
}

impl Table {
    pub(crate) async fn create() -> Self {
        let client = aws_sdk_dynamodb::Client::new(&sdk_config(&server("DYNAMODB_URL")));
        let name = fresh_name("events");
        let attribute = |name: &str, of_type| {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(of_type);
            attribute.build().expect("a definition")
        };
        let key = |name: &str, key_type| {
            KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().expect("a key")
        };
        let parked = GlobalSecondaryIndex::builder()
            .index_name("parked")
            .key_schema(key("parked", KeyType::Hash))
            .key_schema(key("received_at", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        client
            .create_table()
            .table_name(&name)
            .attribute_definitions(attribute("event_id", ScalarAttributeType::S))
            .attribute_definitions(attribute("parked", ScalarAttributeType::S))
            .attribute_definitions(attribute("received_at", ScalarAttributeType::N))
            .key_schema(key("event_id", KeyType::Hash))
            .global_secondary_indexes(parked.build().expect("an index"))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .expect("the table is created");
        Self { client, name }
    }

    /// The item as it stands, numbers, strings and bytes alike as strings.
    pub(crate) async fn item(&self, event_id: &str) -> Option<HashMap<String, String>> {
        let key = AttributeValue::S(event_id.to_owned());
        let got =
            self.client.get_item().table_name(&self.name).key("event_id", key).consistent_read(true).send();
        let item = got.await.expect("the item is read").item?;
        let text = |value: &AttributeValue| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
            AttributeValue::B(bytes) => super::slack::base64(bytes.as_ref()),
            other => panic!("neither S nor N nor B: {other:?}"),
        };
        Some(item.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// The record's `state`, if there is a record.
    pub(crate) async fn state(&self, event_id: &str) -> Option<String> {
        self.item(event_id).await.map(|item| item["state"].clone())
    }

    /// Waits until the record has this state: a confirm comes after the answer.
    pub(crate) async fn becomes(&self, event_id: &str, state: &str) {
        super::eventually(state, async || {
            (self.state(event_id).await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// Puts a record as an earlier invocation may have left it.
    pub(crate) async fn put(&self, event_id: &str, state: &str, lease_until: u64, expires_at: u64) {
        let number = |value: u64| AttributeValue::N(value.to_string());
        let string = |value: &str| AttributeValue::S(value.to_owned());
        let put = self.client.put_item().table_name(&self.name);
        put.item("event_id", string(event_id))
            .item("state", string(state))
            .item("owner", string("an-earlier-invocation"))
            .item("lease_until", number(lease_until))
            .item("expires_at", number(expires_at))
            .item("received_at", number(1))
            .send()
            .await
            .expect("the item is written");
    }
}

/// A queue, standard or FIFO.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) url: String,
}

/// A message as its consumer sees it, with what SQS adds.
#[derive(Clone, Debug)]
pub(crate) struct QueueMessage {
    pub(crate) body: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) system: HashMap<String, String>,
}

impl Queue {
    pub(crate) async fn fifo() -> Self {
        Self::create(&format!("{}.fifo", fresh_name("queue")), &[(QueueAttributeName::FifoQueue, "true")])
            .await
    }

    pub(crate) async fn standard() -> Self {
        Self::create(&fresh_name("queue"), &[]).await
    }

    pub(crate) async fn create(name: &str, attributes: &[(QueueAttributeName, &str)]) -> Self {
        let client = aws_sdk_sqs::Client::new(&sdk_config(&server("SQS_URL")));
        let largest = [(QueueAttributeName::MaximumMessageSize, "1048576")];
        let attributes: HashMap<_, _> = largest
            .iter()
            .chain(attributes)
            .map(|(name, value)| (name.clone(), (*value).to_owned()))
            .collect();
        let created = client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
        let url = created.expect("the queue is created").queue_url.expect("its URL");
        Self { client, url }
    }

    #[cfg(feature = "sns")]
    async fn arn(&self) -> String {
        let attributes = self.client.get_queue_attributes().queue_url(&self.url);
        let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await;
        let attributes = attributes.expect("the queue answers").attributes.expect("attributes");
        attributes[&QueueAttributeName::QueueArn].clone()
    }

    /// How many messages are there to be received.
    pub(crate) async fn depth(&self) -> usize {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let attributes =
            self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let attributes = attributes.send().await.expect("the queue answers").attributes.expect("attributes");
        attributes[&name].parse().expect("a number")
    }

    /// Takes everything off the queue.
    pub(crate) async fn take_all(&self) -> Vec<QueueMessage> {
        let mut all = Vec::new();
        loop {
            let received = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await
                .expect("the queue answers");
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return all;
            }
            self.delete(&messages).await;
            for message in messages {
                all.push(QueueMessage {
                    body: message.body.expect("a body"),
                    attributes: message
                        .message_attributes
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(name, value)| (name, value.string_value.expect("a string")))
                        .collect(),
                    system: message
                        .attributes
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(name, value)| (name.as_str().to_owned(), value))
                        .collect(),
                });
            }
        }
    }

    async fn delete(&self, messages: &[aws_sdk_sqs::types::Message]) {
        let entry = |(n, message): (usize, &aws_sdk_sqs::types::Message)| {
            let receipt = message.receipt_handle.as_ref().expect("a receipt handle");
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(receipt);
            entry.build().expect("an entry")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let delete = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let deleted = delete.send().await.expect("the messages are deleted");
        assert!(deleted.failed.is_empty(), "{:?}", deleted.failed);
    }

    /// The ids of the events on the queue, taken off it.
    pub(crate) async fn take_event_ids(&self) -> Vec<String> {
        let messages = self.take_all().await;
        messages.into_iter().map(|message| message.attributes["event_id"].clone()).collect()
    }
}

impl Inbox for Queue {
    async fn drain(&self) -> Vec<Received> {
        let messages = self.take_all().await;
        messages
            .into_iter()
            .map(|message| Received {
                body: message.body,
                attributes: message.attributes.into_iter().collect(),
            })
            .collect()
    }
}

/// What the subscription has to be told for the queue to get what it would get from us directly.
#[cfg(feature = "sns")]
const RAW: [(&str, &str); 1] = [("RawMessageDelivery", "true")];

#[cfg(feature = "sns")]
/// A topic, and a queue that is subscribed to it.
pub(crate) struct Topic {
    pub(crate) client: aws_sdk_sns::Client,
    pub(crate) arn: String,
    pub(crate) queue: Queue,
}

#[cfg(feature = "sns")]
impl Topic {
    pub(crate) async fn fifo() -> Self {
        let topic = format!("{}.fifo", fresh_name("topic"));
        Self::create(&topic, &[("FifoTopic", "true")], Queue::fifo().await, &RAW).await
    }

    pub(crate) async fn standard() -> Self {
        Self::create(&fresh_name("topic"), &[], Queue::standard().await, &RAW).await
    }

    /// A standard topic whose subscription has a filter policy.
    pub(crate) async fn filtered(policy: &str) -> Self {
        let subscription = [RAW[0], ("FilterPolicy", policy)];
        Self::create(&fresh_name("topic"), &[], Queue::standard().await, &subscription).await
    }

    /// A FIFO topic whose subscription gets what SNS makes of a message, unless it is told not to.
    #[cfg(feature = "dispatch")]
    pub(crate) async fn in_envelopes() -> Self {
        let topic = format!("{}.fifo", fresh_name("topic"));
        Self::create(&topic, &[("FifoTopic", "true")], Queue::fifo().await, &[]).await
    }

    async fn create(
        name: &str,
        attributes: &[(&str, &str)],
        queue: Queue,
        subscription: &[(&str, &str)],
    ) -> Self {
        let client = aws_sdk_sns::Client::new(&sdk_config(&server("MINISTACK_URL")));
        let attributes =
            attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let created = client.create_topic().name(name).set_attributes(Some(attributes)).send().await;
        let arn = created.expect("the topic is created").topic_arn.expect("its ARN");
        let subscribe = client.subscribe().topic_arn(&arn).protocol("sqs").endpoint(queue.arn().await);
        let subscribe = subscription
            .iter()
            .fold(subscribe, |subscribe, &(name, value)| subscribe.attributes(name, value));
        subscribe.send().await.expect("the queue is subscribed");
        Self { client, arn, queue }
    }
}

#[cfg(feature = "sns")]
impl Inbox for Topic {
    async fn drain(&self) -> Vec<Received> {
        self.queue.drain().await
    }
}
