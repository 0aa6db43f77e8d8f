//! The trail as items of a table of its own: partition key `question_id` (S), sort key `act` (S), TTL attribute `expires_at`. The
//! index `by_person` (`person` and `at`) is for people who look for somebody. The one right that this needs is `PutItem`.

use aws_sdk_dynamodb::error::SdkError;

use super::{DynamoDbWork, number_value, string};
use crate::dedup::StoreError;
use crate::work::audit::{AuditEntry, AuditStore, Field};

const OPERATION: &str = "DynamoDB PutItem";

impl AuditStore for DynamoDbWork {
    async fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let Some(table) = &self.audit_table else {
            return Err(StoreError::new(OPERATION, "no table is named for the audit trail"));
        };
        let mut put = self
            .client
            .put_item()
            .table_name(table)
            .item("question_id", string(&entry.question_id))
            .item("act", string(&entry.act))
            .condition_expression("attribute_not_exists(question_id)");
        for (name, field) in &entry.fields {
            let value = match field {
                Field::Text(text) => string(text),
                Field::Number(number) => number_value(*number),
            };
            put = put.item(*name, value);
        }
        match put.send().await {
            Ok(_) => Ok(()),
            // The same act was written down before, or this very write, whose answer was lost.
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            Err(error) => Err(StoreError::new(OPERATION, error)),
        }
    }
}
