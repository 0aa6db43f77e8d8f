//! A table of the audit trail of a test's own.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use std::collections::HashMap;

use super::sdk_config;
use crate::servers::{fresh_name, server};

/// A table as the stack with an agent creates it, but without TTL, and a client for it.
#[derive(Clone, Debug)]
pub struct AuditTable {
    /// Calls DynamoDB past any proxy.
    pub client: Client,
    /// Its name.
    pub name: String,
}

impl AuditTable {
    /// Creates the table.
    ///
    /// # Panics
    /// If DynamoDB refuses it.
    pub async fn create() -> Self {
        let client = Client::new(&sdk_config(&server("DYNAMODB_URL")));
        let name = fresh_name("audit");
        let key = |name: &str, key_type| {
            KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().expect("a key")
        };
        let mut table = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
        for (name, of_type) in [
            ("question_id", ScalarAttributeType::S),
            ("act", ScalarAttributeType::S),
            ("person", ScalarAttributeType::S),
            ("at", ScalarAttributeType::N),
        ] {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(of_type);
            table = table.attribute_definitions(attribute.build().expect("a definition"));
        }
        let index = GlobalSecondaryIndex::builder()
            .index_name("by_person")
            .key_schema(key("person", KeyType::Hash))
            .key_schema(key("at", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        table
            .key_schema(key("question_id", KeyType::Hash))
            .key_schema(key("act", KeyType::Range))
            .global_secondary_indexes(index.build().expect("an index"))
            .send()
            .await
            .expect("the table is created");
        Self { client, name }
    }

    /// All entries as they stand, by question and act; numbers and strings alike as strings.
    ///
    /// # Panics
    /// If the table cannot be read.
    pub async fn entries(&self) -> Vec<HashMap<String, String>> {
        let mut entries = Vec::new();
        let mut pages =
            self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.expect("the table is read");
            let text = |value: &AttributeValue| match value {
                AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
                other => panic!("neither S nor N: {other:?}"),
            };
            entries.push(item.iter().map(|(name, value)| (name.clone(), text(value))).collect());
        }
        entries.sort_by_key(|entry: &HashMap<String, String>| {
            (entry["question_id"].clone(), entry["act"].clone())
        });
        entries
    }
}
