//! How the table of the trail is read, and what is deleted from it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::time::Duration;

use super::entries::Entry;
use crate::CommandError;

/// The index by which a person's entries are found (cdk/lib/agent/audit.ts).
const BY_PERSON: &str = "by_person";

/// How many entries are read or deleted at once.
const AT_ONCE: usize = 16;

/// An index shows a write a moment after it. So often in a row it must show nothing more of a person.
const EMPTY_LOOKS: u32 = 2;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

type Item = HashMap<String, AttributeValue>;

/// The trail in one table.
pub(super) struct Trail {
    client: Client,
    table: String,
}

impl Trail {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// The entries of a person that were written within a time, the oldest first.
    pub(super) async fn of_person(&self, person: &str, when: (u64, u64)) -> Result<Vec<Entry>, CommandError> {
        let keys = self.keys_of(person).await?;
        let entries: Vec<Option<Entry>> = stream::iter(keys)
            .map(|key| async move {
                let get =
                    self.client.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
                Ok::<_, CommandError>(get.send().await?.item.as_ref().map(Entry::read))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(sorted(entries.into_iter().flatten().filter(|entry| entry.is_within(when)).collect()))
    }

    /// All entries that were written within a time, the oldest first. The whole table is read for it.
    pub(super) async fn of_time(&self, when: (u64, u64)) -> Result<Vec<Entry>, CommandError> {
        let mut items = self.client.scan().table_name(&self.table).into_paginator().items().send();
        let mut entries = Vec::new();
        while let Some(item) = items.next().await {
            entries.push(Entry::read(&item?));
        }
        entries.retain(|entry| entry.is_within(when));
        Ok(sorted(entries))
    }

    /// Deletes the entries of a person, and looks again until there are none, also of those that were written meanwhile. Returns how
    /// many there were.
    pub(super) async fn delete_person(&self, person: &str) -> Result<usize, CommandError> {
        let (mut deleted, mut empty) = (0_usize, 0);
        while empty < EMPTY_LOOKS {
            let keys = self.keys_of(person).await?;
            let gone: Vec<bool> = stream::iter(keys)
                .map(|key| async move {
                    let delete = self.client.delete_item().table_name(&self.table).set_key(Some(key));
                    let old =
                        delete.return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld).send().await?;
                    Ok::<_, CommandError>(old.attributes.is_some())
                })
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let count = gone.into_iter().filter(|gone| *gone).count();
            deleted = deleted.saturating_add(count);
            empty = if count == 0 { empty + 1 } else { 0 };
            if empty < EMPTY_LOOKS {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(deleted)
    }

    /// The keys of a person's entries.
    async fn keys_of(&self, person: &str) -> Result<Vec<Item>, CommandError> {
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_PERSON)
            .key_condition_expression("person = :person")
            .expression_attribute_values(":person", AttributeValue::S(person.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut keys = Vec::new();
        while let Some(item) = items.next().await {
            let mut item = item?;
            item.retain(|name, _| matches!(name.as_str(), "question_id" | "act"));
            keys.push(item);
        }
        Ok(keys)
    }
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_cached_key(Entry::order);
    entries
}
