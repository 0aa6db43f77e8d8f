//! Counters and what questions have taken, as items of the same table: `dispatch#used:<scope>:…:<day>` for a counter, and for what was
//! taken for a question the key of its record with `#used`. Such an item has `counted_on`, the day on which the question counts, and for
//! each taker one attribute that is written once: for an attempt `taken:<token>`, a map of the `tokens` and the keys of the counters
//! (`of`); for a call of a tool `taken:call:<n>`, a number; for whoever was refused, in the same place, `over:<scope>:<unit>`. What an
//! attempt has used is in `used:<token>`.

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
use crate::work::token::Token;
use crate::work::usage::{Amounts, Counter, KEPT_SECONDS, Limits, Taken, Taker, Unit, UsageStore, day_of};
use crate::work::{KEPT_SECONDS as RECORD_KEPT_SECONDS, PREFIX, RecordKey};

const COUNTED_ON: &str = "counted_on";
const TOKENS: &str = "tokens";
const OF: &str = "of";
const OPERATION: &str = "DynamoDB TransactWriteItems";

/// How often a transaction is tried, because another one came in between.
const MAX_ROUNDS: u32 = 6;

/// The pause before a transaction is tried again. It doubles, and differs from one attempt to the other.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a transaction did not happen.
enum Refused {
    /// The condition of the item at this place did not hold; the item as it is, if there is one.
    At(usize, Option<Item>),
    /// Another transaction wrote one of the items at the same time.
    Conflict,
    Failed(StoreError),
}

fn item_of(question: &RecordKey) -> String {
    format!("{}#used", question.as_str())
}

fn taken(word: &str) -> String {
    format!("taken:{word}")
}

fn has_code(reason: &CancellationReason, code: &str) -> bool {
    reason.code() == Some(code)
}

fn number_of(item: &Item, name: &str) -> u64 {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// What a counter's item says. A number below zero, which it never has, counts as none.
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

    async fn transact(&self, updates: Vec<UpdateBuilder>) -> Result<(), Refused> {
        let mut transaction = self.client.transact_write_items();
        for update in updates {
            let update =
                update.build().map_err(|error| Refused::Failed(StoreError::new(OPERATION, error)))?;
            transaction = transaction.transact_items(TransactWriteItem::builder().update(update).build());
        }
        match transaction.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let reasons = cancelled.cancellation_reasons();
                    let failed = |reason: &CancellationReason| has_code(reason, "ConditionalCheckFailed");
                    Err(match reasons.iter().position(failed) {
                        Some(place) => {
                            Refused::At(place, reasons.get(place).and_then(|it| it.item().cloned()))
                        }
                        None if reasons.iter().any(|reason| has_code(reason, "TransactionConflict")) => {
                            Refused::Conflict
                        }
                        None => Refused::Failed(StoreError::new(OPERATION, cancelled)),
                    })
                }
                error => Err(Refused::Failed(StoreError::new(OPERATION, error))),
            },
            Err(error) => Err(Refused::Failed(StoreError::new(OPERATION, error))),
        }
    }

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
            let updates = std::iter::once(of_question).chain(of_counters).collect();
            match self.transact(updates).await {
                Ok(()) => return Ok(Taken::Done),
                // Somebody else has taken for this question since, or this very request, whose answer was lost.
                Err(Refused::At(0, _)) => {}
                Err(Refused::Conflict) => pause(round, &key, &word).await,
                Err(Refused::At(place, counted)) => {
                    let Some(counter) = counters.get(place - 1) else { continue };
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
        by: &Token,
        used_tokens: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let key = item_of(question);
        let (name, used) = (taken(by.as_str()), format!("used:{}", by.as_str()));
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
            let updates = std::iter::once(of_question).chain(of_counters).collect();
            match self.transact(updates).await {
                Ok(()) => return Ok(true),
                // Another request by the same token was quicker.
                Err(Refused::At(0, _)) => return Ok(false),
                // This counter has expired: its day is long over.
                Err(Refused::At(place, _)) => {
                    keys.remove(place.saturating_sub(1).min(keys.len().saturating_sub(1)));
                }
                Err(Refused::Conflict) => {
                    pause(round, &key, by.as_str()).await;
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
            Taker::Attempt(_) => AttributeValue::M(
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
