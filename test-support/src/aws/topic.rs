//! SNS topics of a test's own.

use slack_ingress::sink::contract::{Inbox, Received};

use super::{Queue, sdk_config};
use crate::servers::{fresh_name, server};

/// What a subscription is told, so that the queue gets the message itself and no envelope around it.
const RAW: [(&str, &str); 1] = [("RawMessageDelivery", "true")];

/// A topic, and a queue that is subscribed to it.
pub struct Topic {
    /// Calls SNS past any proxy.
    pub client: aws_sdk_sns::Client,
    /// Its ARN.
    pub arn: String,
    /// The queue.
    pub queue: Queue,
}

impl Topic {
    /// A FIFO topic and queue.
    pub async fn fifo() -> Self {
        Self::create(true, &RAW).await
    }

    /// A standard topic and queue.
    pub async fn standard() -> Self {
        Self::create(false, &RAW).await
    }

    /// A standard topic whose subscription has a filter policy.
    pub async fn filtered(policy: &str) -> Self {
        Self::create(false, &[RAW[0], ("FilterPolicy", policy)]).await
    }

    /// A FIFO topic whose queue gets each message in SNS's envelope, as it does where the subscription says nothing.
    pub async fn in_envelopes() -> Self {
        Self::create(true, &[]).await
    }

    async fn create(is_fifo: bool, subscription: &[(&str, &str)]) -> Self {
        let client = aws_sdk_sns::Client::new(&sdk_config(&server("MINISTACK_URL")));
        let queue = if is_fifo { Queue::fifo().await } else { Queue::standard().await };
        let name = format!("{}{}", fresh_name("topic"), if is_fifo { ".fifo" } else { "" });
        let attributes = is_fifo.then(|| [("FifoTopic".to_owned(), "true".to_owned())].into());
        let created = client.create_topic().name(name).set_attributes(attributes).send().await;
        let arn = created.expect("the topic is created").topic_arn.expect("its ARN");
        let subscribe = client.subscribe().topic_arn(&arn).protocol("sqs").endpoint(queue.arn().await);
        let subscribe = subscription
            .iter()
            .fold(subscribe, |subscribe, &(name, value)| subscribe.attributes(name, value));
        subscribe.send().await.expect("the queue is subscribed");
        Self { client, arn, queue }
    }
}

impl Inbox for Topic {
    async fn drain(&self) -> Vec<Received> {
        self.queue.drain().await
    }
}
