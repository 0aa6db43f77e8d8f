//! The entries of a journal as items of the same table: the key of the question's record, `#`, and the number of the call.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use std::collections::HashMap;

use super::{EVENT_ID, EXPIRES_AT, Item, Reader, number_value, string, unreadable};
use crate::dedup::StoreError;
use crate::time::clock::UnixMillis;
use crate::work::KEPT_SECONDS;
use crate::work::approval::{Approval, Decision, Verdict, Who};
use crate::work::journal::{Entry, ProposedCall, ToolCall, ToolEnd};
use crate::work::token::Token;

const TOOL: &str = "tool";
const ARGUMENTS: &str = "arguments";
const NONCE: &str = "nonce";
const BEGUN_AT: &str = "begun_at";
const END: &str = "end";
const RESULT: &str = "result";
const WHY: &str = "why";
const APPROVAL: &str = "approval";
const WHO: &str = "who";
const ASKED_AT: &str = "asked_at";
const UNTIL: &str = "until";
const VERDICT: &str = "verdict";
const DECIDED_BY: &str = "decided_by";
const CLICK: &str = "click";
const DECIDED_AT: &str = "decided_at";

/// All attributes of an entry but its key and its expiry.
const ATTRIBUTES: [&str; 15] = [
    TOOL, ARGUMENTS, NONCE, BEGUN_AT, END, RESULT, WHY, APPROVAL, WHO, ASKED_AT, UNTIL, VERDICT, DECIDED_BY,
    CLICK, DECIDED_AT,
];

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

/// Puts an entry in the place of a call that stands there as it was asked.
pub(super) async fn replace_proposed(
    client: &Client,
    table: &str,
    key: &str,
    asked: &ProposedCall,
    entry: &Entry,
    now: UnixMillis,
) -> Result<Option<Entry>, StoreError> {
    let mut item = item(entry);
    item.insert(EXPIRES_AT.to_owned(), expires_at(now));
    let mut update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .expression_attribute_values(":approval", string(asked.approval.id.as_str()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for (n, name) in ATTRIBUTES.iter().chain([&EXPIRES_AT]).enumerate() {
        update = update.expression_attribute_names(format!("#a{n}"), *name);
        match item.remove(*name) {
            Some(value) => {
                set.push(format!("#a{n} = :a{n}"));
                update = update.expression_attribute_values(format!(":a{n}"), value);
            }
            None => remove.push(format!("#a{n}")),
        }
    }
    let index = |name: &str| ATTRIBUTES.iter().position(|attribute| *attribute == name).unwrap_or_default();
    let (approval, nonce, verdict, click) = (index(APPROVAL), index(NONCE), index(VERDICT), index(CLICK));
    let mut condition = format!("#a{approval} = :approval AND attribute_not_exists(#a{nonce})");
    match &asked.approval.decision {
        None => condition.push_str(&format!(" AND attribute_not_exists(#a{verdict})")),
        Some(decision) => {
            condition.push_str(&format!(" AND #a{verdict} = :verdict AND #a{click} = :click"));
            update = update
                .expression_attribute_values(":verdict", string(decision.verdict.as_str()))
                .expression_attribute_values(":click", string(&decision.click));
        }
    }
    let expression = format!("SET {} REMOVE {}", set.join(", "), remove.join(", "));
    match update.update_expression(expression).condition_expression(condition).send().await {
        Ok(_) => Ok(None),
        Err(SdkError::ServiceError(error)) => match error.into_err() {
            UpdateItemError::ConditionalCheckFailedException(failed) => {
                // Nothing is left of an entry that has expired: nothing can be done by it.
                let stands = match failed.item().filter(|item| !item.is_empty()) {
                    Some(item) => self::entry(item)?,
                    None => Entry::Closed,
                };
                Ok((stands != *entry).then_some(stands))
            }
            error => Err(StoreError::new("DynamoDB UpdateItem", error)),
        },
        Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
    }
}

/// The item of what an agent was invoked with.
const INVOCATION: &str = "invocation";

pub(super) async fn keep_invocation(
    client: &Client,
    table: &str,
    key: &str,
    invocation: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .update_expression("SET #invocation = :invocation, expires_at = :expires_at")
        .expression_attribute_names("#invocation", INVOCATION)
        .expression_attribute_values(":invocation", string(invocation))
        .expression_attribute_values(":expires_at", expires_at(now));
    update.send().await.map(drop).map_err(|error| StoreError::new("DynamoDB UpdateItem", error))
}

/// Nothing is deleted from the table, for which this room has no right: what was kept is taken out of its item.
pub(super) async fn forget_invocation(
    client: &Client,
    table: &str,
    key: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .update_expression("SET expires_at = :expires_at REMOVE #invocation")
        .expression_attribute_names("#invocation", INVOCATION)
        .expression_attribute_values(":expires_at", expires_at(now));
    update.send().await.map(drop).map_err(|error| StoreError::new("DynamoDB UpdateItem", error))
}

pub(super) fn invocation(item: &Item) -> Option<String> {
    Reader(item).text(INVOCATION)
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
    // Some of the names are words of DynamoDB's own, or may become ones.
    let mut names = HashMap::from([("#end".to_owned(), END.to_owned())]);
    let mut remove = Vec::new();
    for name in ATTRIBUTES.iter().filter(|name| **name != END) {
        names.insert(format!("#{name}"), (*name).to_owned());
        remove.push(format!("#{name}"));
    }
    let update = client
        .update_item()
        .table_name(table)
        .key(EVENT_ID, string(key))
        .update_expression(format!("SET #end = :end, expires_at = :expires_at REMOVE {}", remove.join(", ")))
        .set_expression_attribute_names(Some(names))
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
        Entry::Proposed(ProposedCall { tool, arguments, approval }) => {
            set(TOOL, string(tool));
            set(ARGUMENTS, string(arguments));
            for (name, value) in attributes_of(approval) {
                set(name, value);
            }
        }
        Entry::Call(ToolCall { tool, arguments, nonce, begun_at, approval, end }) => {
            set(TOOL, string(tool));
            set(ARGUMENTS, string(arguments));
            for (name, value) in approval.iter().flat_map(attributes_of) {
                set(name, value);
            }
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

fn attributes_of(approval: &Approval) -> Vec<(&'static str, AttributeValue)> {
    let mut attributes = vec![
        (APPROVAL, string(approval.id.as_str())),
        (WHO, string(&approval.who.to_text())),
        (ASKED_AT, number_value(approval.asked_at.as_millis())),
        (UNTIL, number_value(approval.until.as_millis())),
    ];
    if let Some(Decision { verdict, by, click, at }) = &approval.decision {
        attributes.push((VERDICT, string(verdict.as_str())));
        attributes.extend(by.as_ref().map(|by| (DECIDED_BY, string(by))));
        attributes.push((CLICK, string(click)));
        attributes.push((DECIDED_AT, number_value(at.as_millis())));
    }
    attributes
}

fn approval(read: &Reader<'_>) -> Result<Option<Approval>, StoreError> {
    let Some(id) = read.token(APPROVAL)? else { return Ok(None) };
    let time = |name: &'static str| -> Result<UnixMillis, StoreError> {
        read.number(name)?.map(UnixMillis::from_millis).ok_or_else(|| unreadable(name))
    };
    let who = read.text(WHO).as_deref().and_then(Who::parse).ok_or_else(|| unreadable(WHO))?;
    let decision = match read.text(VERDICT) {
        None => None,
        Some(word) => Some(Decision {
            verdict: Verdict::parse(&word).ok_or_else(|| unreadable(VERDICT))?,
            by: read.text(DECIDED_BY),
            click: read.text(CLICK).ok_or_else(|| unreadable(CLICK))?,
            at: time(DECIDED_AT)?,
        }),
    };
    Ok(Some(Approval { id, who, asked_at: time(ASKED_AT)?, until: time(UNTIL)?, decision }))
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
    let (tool, arguments, approval) = (text(TOOL)?, text(ARGUMENTS)?, approval(&read)?);
    let (nonce, approval) = match (read.token(NONCE)?, approval) {
        (None, Some(approval)) => return Ok(Entry::Proposed(ProposedCall { tool, arguments, approval })),
        (nonce, approval) => (nonce.ok_or_else(|| unreadable(NONCE))?, approval),
    };
    Ok(Entry::Call(ToolCall {
        tool,
        arguments,
        nonce,
        approval,
        begun_at: UnixMillis::from_millis(read.number(BEGUN_AT)?.ok_or_else(|| unreadable(BEGUN_AT))?),
        end,
    }))
}
