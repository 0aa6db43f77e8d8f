//! SQS queues of a test's own.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName as Name,
};
use slack_ingress::sink::contract::{Inbox, Received};
use std::collections::{BTreeMap, HashMap};

use super::sdk_config;
use crate::servers::{fresh_name, server};

/// How long the stacks' queue keeps a message, in seconds.
pub const FOUR_DAYS: &str = "345600";
/// How long their dead-letter queue keeps one, in seconds.
pub const FOURTEEN_DAYS: &str = "1209600";

/// A queue, and a client for it.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Calls SQS past any proxy.
    pub client: Client,
    /// Its URL.
    pub url: String,
}

/// A message as its consumer sees it, with what SQS adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// Its body.
    pub body: String,
    /// The attributes that its sender gave it.
    pub attributes: BTreeMap<String, String>,
    /// The attributes that SQS gave it, by their names in SQS's API.
    pub system: BTreeMap<String, String>,
}

impl Queue {
    /// A FIFO queue as the stacks create it, with its dead-letter queue.
    pub async fn fifo() -> Self {
        Self::create(true, &[]).await
    }

    /// A standard queue as the stacks create it, with its dead-letter queue.
    pub async fn standard() -> Self {
        Self::create(false, &[]).await
    }

    /// A queue as the stacks create it (`template.yaml`, `cdk/lib`), but for what is `changed`. An attribute that is changed to the
    /// empty string is left out. A `RedrivePolicy` of the caller's comes without a dead-letter queue of ours.
    ///
    /// # Panics
    /// If SQS refuses it.
    pub async fn create(is_fifo: bool, changed: &[(Name, &str)]) -> Self {
        let mut attributes: HashMap<_, _> = common(is_fifo);
        attributes.insert(Name::VisibilityTimeout, "1800".to_owned());
        attributes.insert(Name::MessageRetentionPeriod, FOUR_DAYS.to_owned());
        if changed.iter().all(|(name, _)| *name != Name::RedrivePolicy) {
            let dead_letters = Self::dead_letters(is_fifo, FOURTEEN_DAYS).await;
            attributes.insert(Name::RedrivePolicy, dead_letters.redrive_policy().await);
        }
        attributes.extend(changed.iter().map(|(name, value)| (name.clone(), (*value).to_owned())));
        attributes.retain(|_, value| !value.is_empty());
        Self::named("events", is_fifo, attributes).await
    }

    /// A dead-letter queue that keeps messages for so many seconds.
    ///
    /// # Panics
    /// If SQS refuses it.
    pub async fn dead_letters(is_fifo: bool, retention: &str) -> Self {
        let mut attributes = common(is_fifo);
        attributes.insert(Name::MessageRetentionPeriod, retention.to_owned());
        Self::named("dead", is_fifo, attributes).await
    }

    async fn named(what: &str, is_fifo: bool, attributes: HashMap<Name, String>) -> Self {
        let client = Client::new(&sdk_config(&server("SQS_URL")));
        let name = format!("{}{}", fresh_name(what), if is_fifo { ".fifo" } else { "" });
        let created = client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
        let url = created.expect("the queue is created").queue_url.expect("its URL");
        Self { client, url }
    }

    /// The `RedrivePolicy` of a queue whose dead letters come here after three receives.
    pub async fn redrive_policy(&self) -> String {
        let arn = self.arn().await;
        serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": "3" }).to_string()
    }

    /// Its ARN.
    pub async fn arn(&self) -> String {
        self.attribute(Name::QueueArn).await
    }

    /// How many messages are there to be received.
    ///
    /// # Panics
    /// If SQS says no number.
    pub async fn depth(&self) -> usize {
        self.attribute(Name::ApproximateNumberOfMessages).await.parse().expect("a number")
    }

    /// How many messages were received and are neither deleted nor visible again.
    ///
    /// # Panics
    /// If SQS says no number.
    pub async fn in_flight(&self) -> usize {
        self.attribute(Name::ApproximateNumberOfMessagesNotVisible).await.parse().expect("a number")
    }

    async fn attribute(&self, name: Name) -> String {
        let attributes =
            self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let attributes = attributes.send().await.expect("the queue answers").attributes.expect("attributes");
        attributes[&name].clone()
    }

    /// Sends a message that is nothing but this body.
    ///
    /// # Panics
    /// If SQS refuses it.
    pub async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.expect("it is sent");
    }

    /// Takes everything off the queue that is there to be received.
    pub async fn take_all(&self) -> Vec<QueueMessage> {
        self.take_all_waiting(0).await
    }

    /// Takes everything off the queue, until nothing has come for so many seconds.
    ///
    /// # Panics
    /// If SQS does not give the messages out, or does not delete them.
    pub async fn take_all_waiting(&self, seconds: i32) -> Vec<QueueMessage> {
        let mut all = Vec::new();
        loop {
            let received = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10)
                .wait_time_seconds(seconds)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await
                .expect("the queue answers");
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return all;
            }
            self.delete_messages(&messages).await;
            all.extend(messages.into_iter().map(QueueMessage::from));
        }
    }

    /// The ids of the events on the queue, taken off it.
    pub async fn take_event_ids(&self) -> Vec<String> {
        let messages = self.take_all().await;
        messages.into_iter().map(|message| message.attributes["event_id"].clone()).collect()
    }

    async fn delete_messages(&self, messages: &[Message]) {
        let entry = |(n, message): (usize, &Message)| {
            let receipt = message.receipt_handle.as_ref().expect("a receipt handle");
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(receipt);
            entry.build().expect("an entry")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let delete = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let deleted = delete.send().await.expect("the messages are deleted");
        assert!(deleted.failed.is_empty(), "{:?}", deleted.failed);
    }

    /// Deletes the queue itself.
    ///
    /// # Panics
    /// If SQS does not.
    pub async fn delete(&self) {
        self.client.delete_queue().queue_url(&self.url).send().await.expect("the queue is deleted");
    }
}

/// What the stacks give to a queue and to its dead-letter queue alike.
fn common(is_fifo: bool) -> HashMap<Name, String> {
    let fifo = [
        (Name::FifoQueue, "true"),
        (Name::DeduplicationScope, "messageGroup"),
        (Name::FifoThroughputLimit, "perMessageGroupId"),
    ];
    let always = [
        (Name::SqsManagedSseEnabled, "true"),
        // SQS's default, which the stacks leave as it is; the emulators' is an older one.
        (Name::MaximumMessageSize, "1048576"),
    ];
    let fifo = fifo.into_iter().filter(|_| is_fifo);
    fifo.chain(always).map(|(name, value)| (name, value.to_owned())).collect()
}

impl From<Message> for QueueMessage {
    fn from(message: Message) -> Self {
        let attributes = message.message_attributes.unwrap_or_default().into_iter();
        let system = message.attributes.unwrap_or_default().into_iter();
        Self {
            body: message.body.expect("a body"),
            attributes: attributes
                .map(|(name, value)| (name, value.string_value.expect("a string")))
                .collect(),
            system: system.map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
        }
    }
}

impl Inbox for Queue {
    async fn drain(&self) -> Vec<Received> {
        let messages = self.take_all().await.into_iter();
        messages.map(|message| Received { body: message.body, attributes: message.attributes }).collect()
    }
}
