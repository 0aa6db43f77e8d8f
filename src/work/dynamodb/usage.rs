//! Counters and what questions have taken, as items of the same table: `dispatch#used:…` for a counter, and the key of the question's
//! record with `#used` for what its attempts have taken (`taken_by`) and given back (`given_back_by`).

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update, builders::UpdateBuilder};

use super::{DynamoDbWork, EVENT_ID, number_value, string};
use crate::dedup::StoreError;
use crate::time::clock::UnixMillis;
use crate::work::token::Token;
use crate::work::usage::{Amounts, Counter, KEPT_SECONDS, Taken, Unit, UsageStore};
use crate::work::{KEPT_SECONDS as RECORD_KEPT_SECONDS, PREFIX, RecordKey};

const TAKEN_BY: &str = "taken_by";
const OPERATION: &str = "DynamoDB TransactWriteItems";

/// How often a transaction is decided anew, because another attempt of the same question came in between.
const MAX_ROUNDS: usize = 4;

/// Why a transaction did not happen: the place of the first item whose condition did not hold.
enum Refused {
    At(usize),
    Failed(StoreError),
}

fn item_of(question: &RecordKey) -> String {
    format!("{}#used", question.as_str())
}

fn set_of(token: &Token) -> AttributeValue {
    AttributeValue::Ss(vec![token.as_str().to_owned()])
}

impl DynamoDbWork {
    fn update(&self, key: &str) -> UpdateBuilder {
        Update::builder().table_name(&self.table).key(EVENT_ID, string(key))
    }

    async fn transact(&self, updates: Vec<UpdateBuilder>) -> Result<(), Refused> {
        let failed = |error| Refused::Failed(error);
        let mut transaction = self.client.transact_write_items();
        for update in updates {
            let update = update.build().map_err(|error| failed(StoreError::new(OPERATION, error)))?;
            transaction = transaction.transact_items(TransactWriteItem::builder().update(update).build());
        }
        match transaction.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let of_condition = |reason: &aws_sdk_dynamodb::types::CancellationReason| {
                        reason.code() == Some("ConditionalCheckFailed")
                    };
                    match cancelled.cancellation_reasons().iter().position(of_condition) {
                        Some(place) => Err(Refused::At(place)),
                        // A conflict with another transaction, or too many of them.
                        None => Err(failed(StoreError::new(OPERATION, cancelled))),
                    }
                }
                error => Err(failed(StoreError::new(OPERATION, error))),
            },
            Err(error) => Err(failed(StoreError::new(OPERATION, error))),
        }
    }
}

impl UsageStore for DynamoDbWork {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Token,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        let key = item_of(question);
        for _ in 0..MAX_ROUNDS {
            let item = self.get(&key).await?;
            let taken_by = item.as_ref().and_then(|item| item.get(TAKEN_BY)?.as_ss().ok());
            if taken_by.is_some_and(|tokens| tokens.iter().any(|token| token == by.as_str())) {
                return Ok(Taken::Done);
            }
            // The question itself was counted by its first attempt.
            let amounts = if taken_by.is_some() { Amounts { questions: 0, ..*amounts } } else { *amounts };
            if let Some(scope) =
                counters.iter().find(|counter| never_fits(counter, &amounts)).map(|counter| counter.scope)
            {
                return Ok(Taken::Over(scope));
            }
            let condition = if taken_by.is_some() {
                "attribute_exists(taken_by) AND NOT contains(taken_by, :by_one)"
            } else {
                "attribute_not_exists(taken_by)"
            };
            let mut of_question = self
                .update(&key)
                .update_expression("SET expires_at = :expires_at ADD taken_by :by")
                .condition_expression(condition)
                .expression_attribute_values(":by", set_of(by))
                .expression_attribute_values(
                    ":expires_at",
                    number_value(now.as_secs() + RECORD_KEPT_SECONDS),
                );
            if taken_by.is_some() {
                of_question = of_question.expression_attribute_values(":by_one", string(by.as_str()));
            }
            let mut updates = vec![of_question];
            updates.extend(counters.iter().map(|counter| self.taking(counter, &amounts, now)));
            match self.transact(updates).await {
                Ok(()) => return Ok(Taken::Done),
                // Another attempt of the question has taken since, or this one, whose answer was lost.
                Err(Refused::At(0)) => {}
                Err(Refused::At(place)) => {
                    if let Some(counter) = counters.get(place.saturating_sub(1)) {
                        return Ok(Taken::Over(counter.scope));
                    }
                }
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::new(OPERATION, "other attempts took in between again and again"))
    }

    async fn give_back(
        &self,
        question: &RecordKey,
        by: &Token,
        counters: &[Counter],
        unused: &Amounts,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let of_question = self
            .update(&item_of(question))
            .update_expression("SET expires_at = :expires_at ADD given_back_by :by")
            .condition_expression("contains(taken_by, :by_one) AND NOT contains(given_back_by, :by_one)")
            .expression_attribute_values(":by", set_of(by))
            .expression_attribute_values(":by_one", string(by.as_str()))
            .expression_attribute_values(":expires_at", number_value(now.as_secs() + RECORD_KEPT_SECONDS));
        let mut updates = vec![of_question];
        updates.extend(counters.iter().map(|counter| self.giving_back(counter, unused)));
        match self.transact(updates).await {
            // It has given back before, or it has taken nothing.
            Ok(()) | Err(Refused::At(_)) => Ok(()),
            Err(Refused::Failed(error)) => Err(error),
        }
    }
}

/// Whether a limit is smaller than what is to be taken, whatever the counter says.
fn never_fits(counter: &Counter, amounts: &Amounts) -> bool {
    Unit::ALL.iter().any(|unit| counter.limits.of(*unit).is_some_and(|limit| limit < amounts.of(*unit)))
}

impl DynamoDbWork {
    fn taking(&self, counter: &Counter, amounts: &Amounts, now: UnixMillis) -> UpdateBuilder {
        let mut update = self
            .update(&format!("{PREFIX}{}", counter.key))
            .update_expression("SET expires_at = :expires_at ADD questions :questions, tokens :tokens, tool_calls :tool_calls")
            .expression_attribute_values(":expires_at", number_value(now.as_secs() + KEPT_SECONDS));
        let mut conditions = Vec::new();
        for unit in Unit::ALL {
            let name = unit.as_str();
            update = update.expression_attribute_values(format!(":{name}"), number_value(amounts.of(unit)));
            if let Some(limit) = counter.limits.of(unit).filter(|_| amounts.of(unit) > 0) {
                conditions.push(format!("(attribute_not_exists({name}) OR {name} <= :{name}_left)"));
                let left = limit.saturating_sub(amounts.of(unit));
                update = update.expression_attribute_values(format!(":{name}_left"), number_value(left));
            }
        }
        if conditions.is_empty() { update } else { update.condition_expression(conditions.join(" AND ")) }
    }

    fn giving_back(&self, counter: &Counter, unused: &Amounts) -> UpdateBuilder {
        let mut update = self
            .update(&format!("{PREFIX}{}", counter.key))
            .update_expression("ADD questions :questions, tokens :tokens, tool_calls :tool_calls");
        for unit in Unit::ALL {
            let less = match unused.of(unit) {
                0 => number_value(0),
                amount => AttributeValue::N(format!("-{amount}")),
            };
            update = update.expression_attribute_values(format!(":{}", unit.as_str()), less);
        }
        update
    }
}
