//! A DynamoDB table of a test's own.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use std::collections::HashMap;

use super::sdk_config;
use crate::lambda::http_api::base64;
use crate::servers::{fresh_name, server};
use crate::wait::eventually;

/// What a table is made of. By default as in `template.yaml` and `cdk/lib`; a test that wants a wrong one changes a field.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The partition key.
    pub key: (&'static str, ScalarAttributeType),
    /// The sort key, a string; the stacks' table has none.
    pub sort_key: Option<&'static str>,
    /// The attribute that says when DynamoDB may delete an item.
    pub ttl: Option<&'static str>,
    /// The name of the index of parked events.
    pub index: Option<&'static str>,
}

impl Default for Schema {
    fn default() -> Self {
        let key = ("event_id", ScalarAttributeType::S);
        Self { key, sort_key: None, ttl: Some("expires_at"), index: Some("parked") }
    }
}

impl Schema {
    /// Creates the table.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn create(self) -> Table {
        let client = Client::new(&sdk_config(&server("DYNAMODB_URL")));
        let name = fresh_name("events");
        let attribute = |name: &str, of_type| {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(of_type);
            attribute.build().expect("a definition")
        };
        let key = |name: &str, key_type| {
            KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().expect("a key")
        };
        let (partition_key, key_type) = self.key;
        let mut table = client
            .create_table()
            .table_name(&name)
            .attribute_definitions(attribute(partition_key, key_type))
            .key_schema(key(partition_key, KeyType::Hash))
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
                .global_secondary_indexes(index.build().expect("an index"));
        }
        table.send().await.expect("the table is created");
        if let Some(attribute) = self.ttl {
            let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
            let update = client.update_time_to_live().table_name(&name);
            let update = update.time_to_live_specification(ttl.expect("a specification"));
            update.send().await.expect("the TTL is set");
        }
        Table { client, name }
    }
}

/// A table, and a client for it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Calls DynamoDB past any proxy.
    pub client: Client,
    /// Its name.
    pub name: String,
}

impl Table {
    /// A table as the stacks create it.
    pub async fn create() -> Self {
        Schema::default().create().await
    }

    /// The same table without TTL, for tests of what has expired: DynamoDB Local deletes such an item within a second,
    /// DynamoDB itself may leave it for two days.
    pub async fn keeping_what_has_expired() -> Self {
        Schema { ttl: None, ..Schema::default() }.create().await
    }

    /// The item under this key as it stands; numbers, strings and bytes alike as strings. [`None`]: there is none.
    ///
    /// # Panics
    /// If the table cannot be read, or the item has an attribute of another type.
    pub async fn item(&self, event_id: &str) -> Option<HashMap<String, String>> {
        let key = AttributeValue::S(event_id.to_owned());
        let got =
            self.client.get_item().table_name(&self.name).key("event_id", key).consistent_read(true).send();
        let item = got.await.expect("the item is read").item?;
        let text = |value: &AttributeValue| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
            AttributeValue::B(bytes) => base64(bytes.as_ref()),
            other => panic!("neither S nor N nor B: {other:?}"),
        };
        Some(item.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// The record's `state`. [`None`]: there is no record.
    pub async fn state(&self, event_id: &str) -> Option<String> {
        self.item(event_id).await.map(|item| item["state"].clone())
    }

    /// Waits until the record has this state: a record is confirmed after the answer.
    pub async fn becomes(&self, event_id: &str, state: &str) {
        eventually(state, async || (self.state(event_id).await.as_deref() == Some(state)).then_some(()))
            .await;
    }

    /// Sets an attribute of a record to a string.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn set(&self, event_id: &str, attribute: &str, value: &str) {
        self.update(event_id, attribute, "SET #attribute = :value", Some(value)).await;
    }

    /// Sets an attribute of a record to a number.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn set_number(&self, event_id: &str, attribute: &str, value: u64) {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("event_id", AttributeValue::S(event_id.to_owned()))
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()));
        update.send().await.expect("the item is written");
    }

    /// Removes an attribute from a record.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn remove(&self, event_id: &str, attribute: &str) {
        self.update(event_id, attribute, "REMOVE #attribute", None).await;
    }

    async fn update(&self, event_id: &str, attribute: &str, update: &str, value: Option<&str>) {
        let string = |value: &str| AttributeValue::S(value.to_owned());
        let values = value.map(|value| HashMap::from([(":value".to_owned(), string(value))]));
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("event_id", string(event_id))
            .update_expression(update)
            .expression_attribute_names("#attribute", attribute)
            .set_expression_attribute_values(values);
        update.send().await.expect("the item is written");
    }

    /// Puts a record as an earlier invocation may have left it: `lease_until` in milliseconds, `expires_at` in seconds,
    /// both since 1970.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn put(&self, event_id: &str, state: &str, lease_until: u64, expires_at: u64) {
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
