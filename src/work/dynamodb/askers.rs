//! The people who ask as items of the same table: `dispatch#asker:<app>:<tenant>:<user>`.

use aws_sdk_dynamodb::error::SdkError;
use std::time::Duration;

use super::{DynamoDbWork, EVENT_ID, Reader, number_value, string};
use crate::dedup::StoreError;
use crate::slack::asker::AskerKind;
use crate::time::clock::UnixMillis;
use crate::work::PREFIX;
use crate::work::askers::{AskerKey, AskerStore, KEPT_SECONDS, KNOWN_FOR, TOLD_AGAIN_AFTER};

const KIND: &str = "kind";
const KNOWN_AT: &str = "known_at";

fn item_key(key: &AskerKey) -> String {
    format!("{PREFIX}{}", key.as_str())
}

/// The point in time that lies this long before `now`.
fn before(now: UnixMillis, duration: Duration) -> u64 {
    now.as_millis().saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl AskerStore for DynamoDbWork {
    async fn kind(&self, key: &AskerKey, now: UnixMillis) -> Result<Option<AskerKind>, StoreError> {
        let Some(item) = self.get(&item_key(key)).await? else { return Ok(None) };
        let read = Reader(&item);
        let is_fresh = read.number(KNOWN_AT)?.is_some_and(|at| at > before(now, KNOWN_FOR));
        Ok(read.text(KIND).filter(|_| is_fresh).and_then(|word| AskerKind::parse(&word)))
    }

    async fn remember(&self, key: &AskerKey, kind: AskerKind, now: UnixMillis) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(&item_key(key)))
            .update_expression("SET kind = :kind, known_at = :now, expires_at = :expires_at")
            .expression_attribute_values(":kind", string(kind.as_str()))
            .expression_attribute_values(":now", number_value(now.as_millis()))
            .expression_attribute_values(":expires_at", number_value(now.as_secs() + KEPT_SECONDS));
        update.send().await.map(drop).map_err(|error| StoreError::new("DynamoDB UpdateItem", error))
    }

    async fn may_tell(&self, key: &AskerKey, question_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(&item_key(key)))
            .update_expression("SET told_for = :question, told_at = :now, expires_at = :expires_at")
            .condition_expression(
                "attribute_not_exists(told_at) OR told_at <= :day_ago OR told_for = :question",
            )
            .expression_attribute_values(":question", string(question_id))
            .expression_attribute_values(":now", number_value(now.as_millis()))
            .expression_attribute_values(":day_ago", number_value(before(now, TOLD_AGAIN_AFTER)))
            .expression_attribute_values(":expires_at", number_value(now.as_secs() + KEPT_SECONDS));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(false)
            }
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }
}
