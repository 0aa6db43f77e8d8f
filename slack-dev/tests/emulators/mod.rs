//! Tables, queues and secrets on the emulators that `tests/servers.py` starts: DynamoDB Local and MiniStack.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const REGION: &str = "us-east-1";

/// The address of one of them.
pub(crate) fn url(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: this test needs tests/servers.py"))
}

/// The variables by which a process finds them.
pub(crate) fn variables() -> Vec<(String, String)> {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        of("AWS_REGION", REGION),
        of("AWS_ACCESS_KEY_ID", "test"),
        of("AWS_SECRET_ACCESS_KEY", "test"),
        of("AWS_ENDPOINT_URL_DYNAMODB", &url("DYNAMODB_URL")),
        of("AWS_ENDPOINT_URL_SQS", &url("SQS_URL")),
    ]
}

fn credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests"))
}

/// No two tests have the same.
pub(crate) fn name(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A table, right in everything unless it is made otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) key: (&'static str, ScalarAttributeType),
    pub(crate) sort_key: Option<&'static str>,
    pub(crate) ttl: Option<&'static str>,
    pub(crate) index: Option<&'static str>,
}

impl Default for Table {
    fn default() -> Self {
        let key = ("event_id", ScalarAttributeType::S);
        Self { key, sort_key: None, ttl: Some("expires_at"), index: Some("parked") }
    }
}

impl Table {
    /// Its name.
    pub(crate) async fn create(self) -> String {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials())
            .endpoint_url(url("DYNAMODB_URL"))
            .http_client(http_client());
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        let name = name("events");
        let attribute = |name: &str, of: ScalarAttributeType| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(of).build().unwrap()
        };
        let key = |name: &str, of: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(of).build().unwrap()
        };
        let mut table = client
            .create_table()
            .table_name(&name)
            .attribute_definitions(attribute(self.key.0, self.key.1.clone()))
            .key_schema(key(self.key.0, KeyType::Hash))
            .billing_mode(BillingMode::PayPerRequest);
        if let Some(sort_key) = self.sort_key {
            table = table
                .attribute_definitions(attribute(sort_key, ScalarAttributeType::S))
                .key_schema(key(sort_key, KeyType::Range));
        }
        if let Some(index) = self.index {
            let index = GlobalSecondaryIndex::builder()
                .index_name(index)
                .key_schema(key("parked", KeyType::Hash))
                .key_schema(key("received_at", KeyType::Range))
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
            table = table
                .attribute_definitions(attribute("parked", ScalarAttributeType::S))
                .attribute_definitions(attribute("received_at", ScalarAttributeType::N))
                .global_secondary_indexes(index.build().unwrap());
        }
        table.send().await.unwrap();
        if let Some(attribute) = self.ttl {
            let ttl =
                TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build().unwrap();
            client
                .update_time_to_live()
                .table_name(&name)
                .time_to_live_specification(ttl)
                .send()
                .await
                .unwrap();
        }
        name
    }
}

/// A queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    client: aws_sdk_sqs::Client,
    pub(crate) url: String,
}

impl Queue {
    pub(crate) async fn create(name: &str, attributes: &[(QueueAttributeName, &str)]) -> Self {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials())
            .endpoint_url(url("SQS_URL"))
            .http_client(http_client());
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        let attributes: HashMap<_, _> =
            attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
        let created =
            client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap();
        Self { client, url: created.queue_url.unwrap() }
    }

    #[allow(dead_code, reason = "one of the two test programs needs it")]
    pub(crate) async fn arn(&self) -> String {
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::QueueArn);
        asked.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone()
    }

    #[allow(dead_code, reason = "one of the two test programs needs it")]
    pub(crate) async fn delete(&self) {
        self.client.delete_queue().queue_url(&self.url).send().await.unwrap();
    }

    /// Takes what comes within a second of the last.
    #[allow(dead_code, reason = "one of the two test programs needs it")]
    pub(crate) async fn take_all(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let asked = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10)
                .wait_time_seconds(1);
            let received =
                asked.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default();
            if received.is_empty() {
                return all;
            }
            for message in received {
                let event_id = message.message_attributes.unwrap()["event_id"].string_value.clone().unwrap();
                all.push((event_id, message.body.unwrap()));
                let receipt = message.receipt_handle.unwrap();
                self.client
                    .delete_message()
                    .queue_url(&self.url)
                    .receipt_handle(receipt)
                    .send()
                    .await
                    .unwrap();
            }
        }
    }
}

fn http_client() -> aws_sdk_sqs::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}
