//! The entries of a journal as items of the same table: the key of the question's record, `#`, and the number of the call.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::{EVENT_ID, EXPIRES_AT, Item, Reader, number_value, string, unreadable};
use crate::dedup::StoreError;
use crate::time::clock::UnixMillis;
use crate::work::KEPT_SECONDS;
use crate::work::journal::{Entry, ToolCall, ToolEnd};
use crate::work::token::Token;

const TOOL: &str = "tool";
const ARGUMENTS: &str = "arguments";
const NONCE: &str = "nonce";
const BEGUN_AT: &str = "begun_at";
const END: &str = "end";
const RESULT: &str = "result";
const WHY: &str = "why";

/// The value of `end` in the item of a [closed](Entry::Closed) number.
const CLOSED: &str = "closed";

/// How long an entry is kept that was not forgotten. It outlives the record that counts it: that is kept from its last write on,
/// and a question that was not answered may start over for as long as its dead letter is kept, which is two weeks.
const ENTRY_KEPT_SECONDS: u64 = 2 * KEPT_SECONDS;

fn expires_at(now: UnixMillis) -> AttributeValue {
    number_value(now.as_secs().saturating_add(ENTRY_KEPT_SECONDS))
}

pub(super) async fn begin(
    client: &Client,
    table: &str,
    key: &str,
    entry: &Entry,
    now: UnixMillis,
) -> Result<Option<Entry>, StoreError> {
    let mut item = item(entry);
    item.insert(EXPIRES_AT.to_owned(), expires_at(now));
    let mut update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .condition_expression("attribute_not_exists(event_id)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let mut set = Vec::new();
    for (n, (name, value)) in item.into_iter().enumerate() {
        set.push(format!("#a{n} = :a{n}"));
        update = update
            .expression_attribute_names(format!("#a{n}"), name)
            .expression_attribute_values(format!(":a{n}"), value);
    }
    match update.update_expression(format!("SET {}", set.join(", "))).send().await {
        Ok(_) => Ok(None),
        Err(SdkError::ServiceError(error)) => match error.into_err() {
            UpdateItemError::ConditionalCheckFailedException(failed) => {
                let stands = self::entry(failed.item().ok_or_else(|| unreadable(END))?)?;
                // The SDK repeats a write whose answer was lost, and the second one finds the first.
                Ok((stands != *entry).then_some(stands))
            }
            error => Err(StoreError::new("DynamoDB UpdateItem", error)),
        },
        Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
    }
}

pub(super) async fn end(
    client: &Client,
    table: &str,
    key: &str,
    nonce: &Token,
    end: &ToolEnd,
) -> Result<(), StoreError> {
    let mut update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .condition_expression("nonce = :nonce")
        .expression_attribute_values(":nonce", string(nonce.as_str()));
    let mut set = Vec::new();
    for (n, (name, value)) in words(end).into_iter().enumerate() {
        set.push(format!("#a{n} = :a{n}"));
        update = update
            .expression_attribute_names(format!("#a{n}"), name)
            .expression_attribute_values(format!(":a{n}"), string(&value));
    }
    let update = update.update_expression(format!("SET {}", set.join(", ")));
    match update.send().await {
        Ok(_) => Ok(()),
        Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(()),
        Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
    }
}

/// Replaces whatever stands there by a closed number.
pub(super) async fn forget(
    client: &Client,
    table: &str,
    key: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .update_expression("SET #end = :end, expires_at = :expires_at REMOVE #tool, arguments, nonce, begun_at, #result, why")
        // These are words of DynamoDB's own, or may become ones.
        .set_expression_attribute_names(Some(
            [("#end", END), ("#tool", TOOL), ("#result", RESULT)]
                .map(|(name, attribute)| (name.to_owned(), attribute.to_owned()))
                .into(),
        ))
        .expression_attribute_values(":end", string(CLOSED))
        .expression_attribute_values(":expires_at", expires_at(now));
    update.send().await.map(drop).map_err(|error| StoreError::new("DynamoDB UpdateItem", error))
}

/// The attributes of an end.
fn words(end: &ToolEnd) -> Vec<(&'static str, String)> {
    let (word, why, result) = match end {
        ToolEnd::Answered { result } => ("answered", None, Some(result)),
        ToolEnd::NotCalled { why } => ("not_called", Some(why), None),
        ToolEnd::Unknown { why, result } => ("unknown", Some(why), result.as_ref()),
    };
    let mut attributes = vec![(END, word.to_owned())];
    attributes.extend(why.map(|why| (WHY, why.clone())));
    attributes.extend(result.map(|result| (RESULT, result.clone())));
    attributes
}

fn item(entry: &Entry) -> Item {
    let mut item = Item::new();
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    match entry {
        Entry::Closed => {
            set(END, string(CLOSED));
        }
        Entry::Call(ToolCall { tool, arguments, nonce, begun_at, end }) => {
            set(TOOL, string(tool));
            set(ARGUMENTS, string(arguments));
            set(NONCE, string(nonce.as_str()));
            set(BEGUN_AT, number_value(begun_at.as_millis()));
            if let Some(end) = end {
                for (name, value) in words(end) {
                    set(name, string(&value));
                }
            }
        }
    }
    item
}

pub(super) fn entry(item: &Item) -> Result<Entry, StoreError> {
    let read = Reader(item);
    let text = |name: &'static str| read.text(name).ok_or_else(|| unreadable(name));
    let end = match read.text(END).as_deref() {
        Some(CLOSED) => return Ok(Entry::Closed),
        Some("answered") => Some(ToolEnd::Answered { result: text(RESULT)? }),
        Some("not_called") => Some(ToolEnd::NotCalled { why: text(WHY)? }),
        Some("unknown") => Some(ToolEnd::Unknown { why: text(WHY)?, result: read.text(RESULT) }),
        Some(_) => return Err(unreadable(END)),
        None => None,
    };
    Ok(Entry::Call(ToolCall {
        tool: text(TOOL)?,
        arguments: text(ARGUMENTS)?,
        nonce: read.token(NONCE)?.ok_or_else(|| unreadable(NONCE))?,
        begun_at: UnixMillis::from_millis(read.number(BEGUN_AT)?.ok_or_else(|| unreadable(BEGUN_AT))?),
        end,
    }))
}
