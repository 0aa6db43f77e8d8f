//! Counters and what questions have taken, as items of the same table: `dispatch#used:<scope>:…:<day>` for a counter, and for what was
//! taken for a question the key of its record with `#used`. Such an item has `counted_on`, the day on which the question counts, and for
//! each taker one attribute that is written once: for an attempt `taken:<token>`, a map of the `tokens` and the keys of the counters
//! (`of`); for a call of a tool `taken:call:<n>`, a number; for whoever was refused, in the same place, `over:<scope>:<unit>`. What an
//! attempt has used is in `used:<token>`. (`<token>` is the attempt's right to the record; `tokens` are those of a model.)
//!
//! A transaction writes the question's item and the counters, each on a condition. If it is cancelled, DynamoDB says which item's
//! condition did not hold, and returns that item as it is. Whoever wrote in between is thereby known, and the next round, if there is
//! one, begins with what stands.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    builders::UpdateBuilder,
};
use std::time::Duration;

use super::{DynamoDbWork, EVENT_ID, Item, number_value, string, unreadable};
use crate::dedup::StoreError;
use crate::time::clock::UnixMillis;
use crate::work::usage::{Amounts, Counter, KEPT_SECONDS, Limits, Taken, Taker, Unit, UsageStore, day_of};
use crate::work::{KEPT_SECONDS as RECORD_KEPT_SECONDS, PREFIX, RecordKey};

const COUNTED_ON: &str = "counted_on";
const TOKENS: &str = "tokens";
const OF: &str = "of";
const OPERATION: &str = "DynamoDB TransactWriteItems";

/// How often a transaction is tried, because another one came in between. With the pauses between them that takes about a second.
const MAX_ROUNDS: u32 = 6;

/// The pause before a transaction is tried again. It doubles, and differs from one attempt to the other.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a transaction did not happen. But for [`Refused::Failed`], nothing of it is written.
enum Refused {
    /// The condition of the question's item did not hold.
    Question,
    /// The condition of the counter with this index did not hold; its item as it is, if there is one. The question's condition did.
    Counter(usize, Option<Item>),
    /// Another transaction wrote one of the items at the same time.
    Conflict,
    /// It failed otherwise, and may have happened all the same.
    Failed(StoreError),
}

impl Refused {
    fn failed(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(StoreError::new(OPERATION, source))
    }

    /// What it means that a transaction was cancelled for these reasons, one for each item in the order of [`DynamoDbWork::transact`].
    /// `None`: something else is the matter.
    fn of(reasons: &[CancellationReason]) -> Option<Self> {
        let has_code = |reason: &CancellationReason, code| reason.code() == Some(code);
        let failed = |reason: &CancellationReason| has_code(reason, "ConditionalCheckFailed");
        let (question, counters) = reasons.split_first()?;
        if failed(question) {
            return Some(Self::Question);
        }
        if let Some((index, reason)) = counters.iter().enumerate().find(|(_, reason)| failed(reason)) {
            return Some(Self::Counter(index, reason.item().cloned()));
        }
        let is_conflict = reasons.iter().any(|reason| has_code(reason, "TransactionConflict"));
        is_conflict.then_some(Self::Conflict)
    }
}

fn item_of(question: &RecordKey) -> String {
    format!("{}#used", question.as_str())
}

fn taken(word: &str) -> String {
    format!("taken:{word}")
}

fn number_of(item: &Item, name: &str) -> u64 {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// What a counter's item says. A number below zero, which it has only if somebody has deleted the item by hand, is read as none.
fn amounts_of(item: Option<&Item>) -> Amounts {
    let of = |unit: Unit| item.map_or(0, |item| number_of(item, unit.as_str()));
    Amounts { questions: of(Unit::Questions), tokens: of(Unit::Tokens), tool_calls: of(Unit::ToolCalls) }
}

/// Waits before the next round, for a time that depends on who waits for which question.
async fn pause(round: u32, key: &str, word: &str) {
    let spread = key
        .bytes()
        .chain(word.bytes())
        .fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
        % 16;
    let pause = PAUSE.saturating_mul(2_u32.saturating_pow(round));
    tokio::time::sleep(pause.saturating_add(pause.saturating_mul(spread) / 16)).await;
}

impl DynamoDbWork {
    fn update(&self, key: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .key(EVENT_ID, string(key))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Makes all of these updates, or none.
    async fn transact(
        &self,
        of_question: UpdateBuilder,
        of_counters: impl Iterator<Item = UpdateBuilder>,
    ) -> Result<(), Refused> {
        let mut transaction = self.client.transact_write_items();
        for update in std::iter::once(of_question).chain(of_counters) {
            let update = update.build().map_err(Refused::failed)?;
            transaction = transaction.transact_items(TransactWriteItem::builder().update(update).build());
        }
        match transaction.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let refused = Refused::of(cancelled.cancellation_reasons());
                    Err(refused.unwrap_or_else(|| Refused::failed(cancelled)))
                }
                error => Err(Refused::failed(error)),
            },
            Err(error) => Err(Refused::failed(error)),
        }
    }

    /// The update of a counter by which these amounts are taken from it, on the condition that they fit.
    fn taking(&self, key: &str, limits: &Limits, amounts: &Amounts, now: UnixMillis) -> UpdateBuilder {
        let mut update = self
            .update(key)
            .update_expression(
                "SET expires_at = :expires_at ADD questions :questions, tokens :tokens, tool_calls :tool_calls",
            )
            .expression_attribute_values(":expires_at", number_value(now.as_secs() + KEPT_SECONDS));
        let mut conditions = Vec::new();
        for unit in Unit::ALL {
            let (name, wanted) = (unit.as_str(), amounts.of(unit));
            update = update.expression_attribute_values(format!(":{name}"), number_value(wanted));
            if let Some(limit) = limits.of(unit).filter(|_| wanted > 0) {
                conditions.push(format!("(attribute_not_exists({name}) OR {name} <= :{name}_left)"));
                update = update.expression_attribute_values(
                    format!(":{name}_left"),
                    number_value(limit.saturating_sub(wanted)),
                );
            }
        }
        if conditions.is_empty() { update } else { update.condition_expression(conditions.join(" AND ")) }
    }
}

impl UsageStore for DynamoDbWork {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        let (key, word) = (item_of(question), by.word());
        let name = taken(&word);
        let keys: Vec<String> =
            counters.iter().map(|counter| format!("{PREFIX}{}", counter.key_on(day_of(now)))).collect();
        for round in 0..MAX_ROUNDS {
            let item = self.get(&key).await?;
            if let Some(taken) = item.as_ref().and_then(|item| item.get(&name)) {
                return Ok(taken.as_s().ok().and_then(|word| Taken::parse(word)).unwrap_or(Taken::Done));
            }
            let is_counted = item.is_some_and(|item| item.contains_key(COUNTED_ON));
            let amounts = if is_counted { Amounts { questions: 0, ..*amounts } } else { *amounts };
            // A condition that no counter could fulfil is not written: there may be no counter yet.
            let never = |counter: &Counter| {
                Some(Taken::Over(counter.scope, Amounts::default().over(&amounts, &counter.limits)?))
            };
            if let Some(over) = counters.iter().find_map(never) {
                if self.refuse(&key, &name, over, now).await? {
                    return Ok(over);
                }
                continue;
            }
            let of_question = self.taking_for(&key, &name, by, &amounts, &keys, now);
            let of_counters = counters
                .iter()
                .zip(&keys)
                .map(|(counter, key)| self.taking(key, &counter.limits, &amounts, now));
            match self.transact(of_question, of_counters).await {
                Ok(()) => return Ok(Taken::Done),
                // Since the item was read, somebody else has taken for this question, or this very request, whose answer was lost.
                // The next round reads which.
                Err(Refused::Question) => {}
                Err(Refused::Conflict) => pause(round, &key, &word).await,
                Err(Refused::Counter(index, counted)) => {
                    let Some(counter) = counters.get(index) else { continue };
                    // If it fits all the same, the next round takes it.
                    if let Some(unit) = amounts_of(counted.as_ref()).over(&amounts, &counter.limits) {
                        let over = Taken::Over(counter.scope, unit);
                        if self.refuse(&key, &name, over, now).await? {
                            return Ok(over);
                        }
                    }
                }
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::new(OPERATION, "others wrote in between again and again"))
    }

    async fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let key = item_of(question);
        let (name, used) = (taken(&by.word()), format!("used:{}", by.word()));
        let Some(item) = self.get(&key).await? else { return Ok(false) };
        let Some(AttributeValue::M(was_taken)) = item.get(&name).filter(|_| !item.contains_key(&used)) else {
            return Ok(false);
        };
        let more = i128::from(used_tokens) - i128::from(number_of(was_taken, TOKENS));
        let keys = was_taken.get(OF).and_then(|keys| keys.as_l().ok()).ok_or_else(|| unreadable(OF))?;
        let mut keys: Vec<&str> = keys.iter().filter_map(|key| key.as_s().ok()).map(String::as_str).collect();
        let mut round = 0;
        while round < MAX_ROUNDS {
            let of_question = self
                .update(&key)
                .update_expression("SET #used = :used, expires_at = :expires_at")
                .condition_expression("attribute_exists(#taken) AND attribute_not_exists(#used)")
                .expression_attribute_names("#taken", &name)
                .expression_attribute_names("#used", &used)
                .expression_attribute_values(":used", number_value(used_tokens))
                .expression_attribute_values(":expires_at", kept_with_record(now));
            let of_counters = keys.iter().map(|key| {
                self.update(key)
                    .update_expression("ADD tokens :more")
                    .condition_expression("attribute_exists(tokens)")
                    .expression_attribute_values(":more", AttributeValue::N(more.to_string()))
            });
            match self.transact(of_question, of_counters).await {
                Ok(()) => return Ok(true),
                // Another request by the same token was quicker.
                Err(Refused::Question) => return Ok(false),
                // This counter has expired: its day is long over. The others are told without it.
                Err(Refused::Counter(index, _)) if index < keys.len() => {
                    keys.remove(index);
                }
                Err(Refused::Counter(..)) => return Err(unreadable(OF)),
                Err(Refused::Conflict) => {
                    pause(round, &key, &by.word()).await;
                    round += 1;
                }
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::new(OPERATION, "others wrote in between again and again"))
    }
}

fn kept_with_record(now: UnixMillis) -> AttributeValue {
    number_value(now.as_secs() + RECORD_KEPT_SECONDS)
}

impl DynamoDbWork {
    /// The update of the question's item by which it is taken.
    fn taking_for(
        &self,
        key: &str,
        name: &str,
        by: &Taker,
        amounts: &Amounts,
        keys: &[String],
        now: UnixMillis,
    ) -> UpdateBuilder {
        let value = match by {
            Taker::Attempt(_) | Taker::Given(_) => AttributeValue::M(
                [
                    (TOKENS.to_owned(), number_value(amounts.tokens)),
                    (OF.to_owned(), AttributeValue::L(keys.iter().map(|key| string(key)).collect())),
                ]
                .into(),
            ),
            Taker::ToolCall(_) => number_value(1),
        };
        let update = self
            .update(key)
            .expression_attribute_names("#taken", name)
            .expression_attribute_values(":taken", value)
            .expression_attribute_values(":expires_at", kept_with_record(now));
        if amounts.questions == 0 {
            return update
                .update_expression("SET #taken = :taken, expires_at = :expires_at")
                .condition_expression("attribute_not_exists(#taken)");
        }
        update
            .update_expression("SET #taken = :taken, #counted_on = :day, expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#taken) AND attribute_not_exists(#counted_on)")
            .expression_attribute_names("#counted_on", COUNTED_ON)
            .expression_attribute_values(":day", number_value(day_of(now)))
    }

    /// Writes down that a taker was refused, so that a second run of the same request has the same answer. False if something stands in
    /// that place already.
    async fn refuse(&self, key: &str, name: &str, over: Taken, now: UnixMillis) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(key))
            .update_expression("SET #taken = :over, expires_at = :expires_at")
            .condition_expression("attribute_not_exists(#taken)")
            .expression_attribute_names("#taken", name)
            .expression_attribute_values(":over", string(&over.word().unwrap_or_default()))
            .expression_attribute_values(":expires_at", kept_with_record(now));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(false)
            }
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The question's reason is the first one, and it goes before those of the counters.
    #[test]
    fn a_cancelled_transaction_says_whose_condition_did_not_hold() {
        let reason = |code: &str| {
            let item = [(EVENT_ID.to_owned(), string(code))].into();
            CancellationReason::builder().code(code).set_item(Some(item)).build()
        };
        let word = |codes: &[&str]| {
            let reasons: Vec<_> = codes.iter().map(|code| reason(code)).collect();
            match Refused::of(&reasons) {
                Some(Refused::Question) => "question".to_owned(),
                Some(Refused::Counter(index, item)) => format!("counter {index}, item {}", item.is_some()),
                Some(Refused::Conflict) => "conflict".to_owned(),
                Some(Refused::Failed(_)) | None => "unknown".to_owned(),
            }
        };
        let (none, failed, conflict) = ("None", "ConditionalCheckFailed", "TransactionConflict");
        for (codes, expected) in [
            (vec![failed, none, failed], "question"),
            (vec![none, failed, none], "counter 0, item true"),
            (vec![conflict, none, failed], "counter 1, item true"),
            (vec![none, none, conflict], "conflict"),
            (vec!["ThrottlingError", none, none], "unknown"),
            (vec![], "unknown"),
        ] {
            assert_eq!(word(&codes), expected, "{codes:?}");
        }
    }
}
