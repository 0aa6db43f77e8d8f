//! Records in a DynamoDB table: partition key `event_id` (S), TTL attribute `expires_at`, and an index of what is parked.
//!
//! `record` is one conditional `PutItem`. When its condition fails, DynamoDB returns the item that is in the table, so that one
//! round trip tells *forwarded* from *in flight*. When it replaces an item, DynamoDB returns the old one, so that a lease
//! take-over is known without another read.
//!
//! A parked message is in its item as text. A message that is too long for an item is deflated.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::{PutItem, PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::update_item::{
    UpdateItem, UpdateItemError, UpdateItemInput, UpdateItemOutput,
};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use miniz_oxide::inflate;
use std::collections::HashMap;

use super::record::{Record, State, Verdict};
use super::shard::Shard;
use super::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use crate::aws::shortcut::{Operation, Repeat, Shortcut};
use crate::time::clock::{UnixMillis, UnixSeconds};

const EVENT_ID: &str = "event_id";
const STATE: &str = "state";
const OWNER: &str = "owner";
const LEASE_UNTIL: &str = "lease_until";
const EXPIRES_AT: &str = "expires_at";
const RECEIVED_AT: &str = "received_at";
/// Only the items that hold an event have this attribute. The index therefore has those items and no others. The value is the
/// name of the event's shard. Earlier versions wrote `1` for every event, which is [`Shard::EARLIER`].
const PARKED: &str = "parked";
const MESSAGE: &str = "message";

/// The index of the items that hold an event: partition key `parked` (S), sort key `received_at` (N), keys only.
const PARKED_INDEX: &str = "parked";

/// An item holds 400 KB, with the names of its attributes ([item
/// size](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)). All but the message, with the
/// longest possible id, has room in 4 KB.
const MAX_MESSAGE_BYTES: usize = (400 - 4) * 1024;

/// The fastest level. When an event is parked, its time is nearly over, and JSON becomes much smaller at any level.
const DEFLATE_LEVEL: u8 = 1;

/// More than any sink takes, even as JSON inside of JSON. An item that inflates to more is not ours.
const MAX_INFLATED_BYTES: usize = 8 * 1024 * 1024;

/// When a claim may be written, in DynamoDB's words. The clauses are those of [`super::record`]: no record or an expired one
/// (R1), or one in flight whose lease is over (R4) and that holds no event (R2). What it refuses is R2, R3 or R5, and
/// [`Record::verdict`] tells which.
const IS_FREE: &str = "attribute_not_exists(event_id) \
    OR expires_at <= :now_seconds \
    OR (#state = :in_flight AND lease_until < :now_millis AND attribute_not_exists(parked))";

/// When an owner may confirm (C1).
const CAN_BE_CONFIRMED: &str = "#owner = :owner";

/// When an owner may delete and the record holds no event (C2). A record that is gone already is as good as deleted.
const CAN_BE_DELETED: &str = "attribute_not_exists(event_id) \
    OR (#owner = :owner AND #state = :in_flight AND attribute_not_exists(parked))";

/// When an owner may delete and the record holds the event, so that it becomes parked instead (C2).
const IS_PARKED_BY_A_DELETE: &str = "#owner = :owner AND #state <> :forwarded AND attribute_exists(parked)";

/// When an owner may park (C3).
const CAN_BE_PARKED: &str = "#owner = :owner AND #state <> :forwarded";

/// When a claim may take an event that a record holds (C4).
const CAN_BE_TAKEN: &str = "attribute_exists(parked) AND (lease_until < :now_millis \
    OR (#state = :parked AND #owner = :owner AND lease_until = :lease_until))";

/// When an event may be left in a record (C5). What it refuses, [`Record::left`] tells apart.
const CAN_BE_LEFT: &str =
    "#state = :in_flight AND (expires_at > :now_seconds OR attribute_not_exists(expires_at))";

type Item = HashMap<String, AttributeValue>;

/// A store in one table, with one item for each record.
#[derive(Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
    shortcut: Shortcut,
    put_item: Operation<PutItemInput, PutItemOutput, PutItemError>,
    update_item: Operation<UpdateItemInput, UpdateItemOutput, UpdateItemError>,
}

impl DynamoDbStore {
    /// The store in the table with this name or ARN. `client` says how it is reached.
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        // Each write has a condition that names its owner. If its answer was lost, it can be repeated: the second write finds
        // the first one and gives the same answer.
        let shortcut = Shortcut::new(Repeat::Always);
        let config = client.config().to_builder().interceptor(shortcut.clone()).build();
        Self {
            client: Client::from_conf(config),
            table: table.into(),
            shortcut,
            put_item: Operation::new(&PutItem::new(), PutItemError::is_conditional_check_failed_exception),
            update_item: Operation::new(
                &UpdateItem::new(),
                UpdateItemError::is_conditional_check_failed_exception,
            ),
        }
    }

    /// Says whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). Without this call
    /// they may.
    #[must_use]
    pub fn with_shortcut(mut self, is_enabled: bool) -> Self {
        self.shortcut.enable(is_enabled);
        self
    }

    async fn get(&self, event_id: &str) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).key(EVENT_ID, string(event_id));
        let output = get.consistent_read(true).send().await;
        output.map(|output| output.item).map_err(|error| StoreError::new("DynamoDB GetItem", error))
    }

    /// What a delete does that found a record which is not to be deleted: if that is because it holds the event, the record
    /// becomes parked.
    async fn park_what_it_holds(&self, lease: &Lease) -> Result<Settled, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(lease.event_id()))
            .update_expression("SET #state = :parked")
            .condition_expression(IS_PARKED_BY_A_DELETE)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":parked", string(State::Parked.as_str()))
            .expression_attribute_values(":forwarded", string(State::Forwarded.as_str()))
            .expression_attribute_values(":owner", string(lease.owner()))
            .send()
            .await;
        settled(update)
    }
}

impl Store for DynamoDbStore {
    /// Makes a delete on a condition that no item fulfils. The function needs the right to delete anyway. A warm-up by a read
    /// would need the right to read, and that would open the texts of parked events.
    async fn warm_up(&self) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(EVENT_ID, string("warm-up"))
            .condition_expression("attribute_exists(event_id) AND attribute_not_exists(event_id)")
            .send()
            .await;
        match delete {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::new("DynamoDB DeleteItem", error)),
        }
    }

    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let input = || {
            PutItemInput::builder()
                .table_name(&self.table)
                .set_item(Some(item(claim)))
                .condition_expression(IS_FREE)
                .expression_attribute_names("#state", STATE)
                .expression_attribute_values(":in_flight", string(State::InFlight.as_str()))
                .expression_attribute_values(":now_millis", number(claim.received_at.as_millis()))
                .expression_attribute_values(":now_seconds", number(claim.received_at.as_secs()))
                .return_values(ReturnValue::AllOld)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        };
        let by_sdk = async || input().send_with(&self.client).await;
        let put = self.shortcut.call(&self.put_item, || input().build(), by_sdk).await;

        let new = |took_over| Recorded::New { lease: Lease::granted(claim), took_over };
        match put {
            Ok(output) => {
                let replaced = output.attributes.as_ref().and_then(parse_item);
                let verdict = replaced.map(|record| record.verdict(claim));
                Ok(new(verdict == Some(Verdict::Free { takes_over: true })))
            }
            Err(SdkError::ServiceError(refused)) if refused.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(failure) = refused.into_err() else {
                    return Err(StoreError::new("DynamoDB PutItem", "changed its mind"));
                };
                let standing = failure.item.as_ref().and_then(parse_item);
                match standing.map(|record| record.verdict(claim)) {
                    Some(Verdict::Own) => Ok(new(false)),
                    Some(Verdict::InFlight) => Ok(Recorded::InFlight),
                    Some(Verdict::Forwarded) => Ok(Recorded::Forwarded),
                    Some(Verdict::Parked) => Ok(Recorded::Parked),
                    // DynamoDB says that the record is not free, and by the rules it is: something else wrote this item.
                    Some(Verdict::Free { .. }) | None => Err(no_record("DynamoDB PutItem")),
                }
            }
            Err(error) => Err(StoreError::new("DynamoDB PutItem", error)),
        }
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        let input = || {
            UpdateItemInput::builder()
                .table_name(&self.table)
                .key(EVENT_ID, string(lease.event_id()))
                .update_expression(
                    "SET #state = :forwarded, expires_at = :expires_at REMOVE #parked, #message",
                )
                .condition_expression(CAN_BE_CONFIRMED)
                .expression_attribute_names("#state", STATE)
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_names("#parked", PARKED)
                .expression_attribute_names("#message", MESSAGE)
                .expression_attribute_values(":expires_at", number(lease.expires_at().as_secs()))
                .expression_attribute_values(":forwarded", string(State::Forwarded.as_str()))
                .expression_attribute_values(":owner", string(lease.owner()))
        };
        let by_sdk = async || input().send_with(&self.client).await;
        settled(self.shortcut.call(&self.update_item, || input().build(), by_sdk).await)
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(lease.event_id()))
            .condition_expression(CAN_BE_DELETED)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":in_flight", string(State::InFlight.as_str()))
            .expression_attribute_values(":owner", string(lease.owner()))
            .send()
            .await;
        match delete {
            Ok(_) => Ok(Settled::Done),
            Err(SdkError::ServiceError(refused))
                if matches!(refused.err(), DeleteItemError::ConditionalCheckFailedException(_)) =>
            {
                self.park_what_it_holds(&lease).await
            }
            Err(error) => Err(StoreError::new("DynamoDB DeleteItem", error)),
        }
    }

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        let message = packed(message)?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(lease.event_id()))
            .update_expression(
                "SET #state = :state, #parked = :parked, #message = :message REMOVE expires_at",
            )
            .condition_expression(CAN_BE_PARKED)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#parked", PARKED)
            .expression_attribute_names("#message", MESSAGE)
            .expression_attribute_values(":state", string(State::Parked.as_str()))
            .expression_attribute_values(":forwarded", string(State::Forwarded.as_str()))
            .expression_attribute_values(":parked", string(Shard::of(group).name()))
            .expression_attribute_values(":message", message)
            .expression_attribute_values(":owner", string(lease.owner()))
            .send()
            .await;
        settled(update)
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        let message = packed(message)?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(&claim.event_id))
            .update_expression(
                "SET #parked = if_not_exists(#parked, :parked), \
                    #message = if_not_exists(#message, :message) \
                 REMOVE expires_at",
            )
            .condition_expression(CAN_BE_LEFT)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#parked", PARKED)
            .expression_attribute_names("#message", MESSAGE)
            .expression_attribute_values(":in_flight", string(State::InFlight.as_str()))
            .expression_attribute_values(":now_seconds", number(claim.received_at.as_secs()))
            .expression_attribute_values(":parked", string(Shard::of(group).name()))
            .expression_attribute_values(":message", message)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match update {
            Ok(_) => Ok(Left::Kept),
            Err(SdkError::ServiceError(refused)) => match refused.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failure) => {
                    let Some(item) = failure.item else { return Ok(Left::Gone) };
                    match parse_item(&item).map(|record| record.left(claim.received_at)) {
                        Some(left @ (Left::Forwarded | Left::Parked | Left::Gone)) => Ok(left),
                        // By the rules the event may be left here, and DynamoDB says no: something else wrote this item.
                        Some(Left::Kept) | None => Err(no_record("DynamoDB UpdateItem")),
                    }
                }
                error => Err(StoreError::new("DynamoDB UpdateItem", error)),
            },
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        // An item's key in the index, which need not be there any more.
        let after = after.map(|after| {
            let key = [
                (PARKED, string(shard.name())),
                (RECEIVED_AT, number(after.received_at.as_millis())),
                (EVENT_ID, string(&after.event_id)),
            ];
            key.map(|(name, value)| (name.to_owned(), value)).into()
        });
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(PARKED_INDEX)
            .key_condition_expression("#parked = :parked")
            .expression_attribute_names("#parked", PARKED)
            .expression_attribute_values(":parked", string(shard.name()))
            .set_exclusive_start_key(after)
            .into_paginator()
            .page_size(i32::try_from(limit).unwrap_or(i32::MAX))
            .items()
            .send();
        let mut pending = Vec::new();
        while pending.len() < limit {
            let Some(keys) = pages.next().await else { break };
            let keys = keys.map_err(|error| StoreError::new("DynamoDB Query", error))?;
            pending.extend(parse_pending(&keys));
        }
        pending.truncate(limit);
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(&claim.event_id))
            .update_expression("SET #state = :parked, #owner = :owner, lease_until = :lease_until")
            .condition_expression(CAN_BE_TAKEN)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":parked", string(State::Parked.as_str()))
            .expression_attribute_values(":owner", string(&claim.owner))
            .expression_attribute_values(":now_millis", number(claim.received_at.as_millis()))
            .expression_attribute_values(":lease_until", number(claim.lease_until.as_millis()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match update {
            Ok(output) => {
                let message = output.attributes.as_ref().and_then(|item| item.get(MESSAGE)).map(unpacked);
                Ok(match message {
                    Some(Ok(message)) => Taken::Yours { lease: Lease::granted(claim), message },
                    Some(Err(unreadable)) => Taken::Unreadable(unreadable),
                    None => {
                        Taken::Unreadable(StoreError::new("DynamoDB UpdateItem", "the item has no message"))
                    }
                })
            }
            Err(SdkError::ServiceError(refused)) => match refused.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failure) => {
                    let standing = failure.item.as_ref().and_then(parse_item);
                    let holds_event = standing.is_some_and(|record| record.holds_event);
                    Ok(if holds_event { Taken::Held } else { Taken::NotParked })
                }
                error => Err(StoreError::new("DynamoDB UpdateItem", error)),
            },
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let item = self.get(event_id).await?;
        let record = item.as_ref().and_then(parse_item);
        Ok(record.is_some_and(|record| !record.has_expired(now)))
    }
}

/// What an update says about the record: if its condition failed, it changed nothing, because another owner has the record.
fn settled<T>(update: Result<T, SdkError<UpdateItemError>>) -> Result<Settled, StoreError> {
    match update {
        Ok(_) => Ok(Settled::Done),
        Err(SdkError::ServiceError(refused))
            if matches!(refused.err(), UpdateItemError::ConditionalCheckFailedException(_)) =>
        {
            Ok(Settled::Lost)
        }
        Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
    }
}

fn no_record(what: &'static str) -> StoreError {
    StoreError::new(what, "the table holds an item that is no record")
}

fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn item(claim: &Claim) -> Item {
    [
        (EVENT_ID, string(&claim.event_id)),
        (STATE, string(State::InFlight.as_str())),
        (OWNER, string(&claim.owner)),
        (LEASE_UNTIL, number(claim.lease_until.as_millis())),
        (EXPIRES_AT, number(claim.expires_at.as_secs())),
        (RECEIVED_AT, number(claim.received_at.as_millis())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The message as the value of an attribute: as text, or deflated if the text is too long for an item.
fn packed(message: &str) -> Result<AttributeValue, StoreError> {
    if message.len() <= MAX_MESSAGE_BYTES {
        return Ok(string(message));
    }
    let deflated = miniz_oxide::deflate::compress_to_vec(message.as_bytes(), DEFLATE_LEVEL);
    if deflated.len() > MAX_MESSAGE_BYTES {
        return Err(StoreError::new("parking", "the message is larger than an item holds, deflated too"));
    }
    Ok(AttributeValue::B(Blob::new(deflated)))
}

fn unpacked(message: &AttributeValue) -> Result<String, StoreError> {
    let unreadable = |why: String| StoreError::new("the parked message is unreadable", why);
    match message {
        AttributeValue::S(message) => Ok(message.clone()),
        AttributeValue::B(deflated) => {
            let bytes = inflate::decompress_to_vec_with_limit(deflated.as_ref(), MAX_INFLATED_BYTES);
            String::from_utf8(bytes.map_err(|error| unreadable(error.to_string()))?)
                .map_err(|error| unreadable(error.utf8_error().to_string()))
        }
        _ => Err(unreadable("neither text nor bytes".to_owned())),
    }
}

fn parse_pending(keys: &Item) -> Option<Pending> {
    Some(Pending {
        event_id: keys.get(EVENT_ID)?.as_s().ok()?.clone(),
        received_at: UnixMillis::from_millis(keys.get(RECEIVED_AT)?.as_n().ok()?.parse().ok()?),
    })
}

/// The record in an item. A time that is missing reads as long past. An item without a known `state` is no record of ours.
fn parse_item(item: &Item) -> Option<Record> {
    let string = |name| item.get(name)?.as_s().ok();
    let number = |name| item.get(name)?.as_n().ok()?.parse().ok();
    let millis = |name| UnixMillis::from_millis(number(name).unwrap_or_default());
    Some(Record {
        state: State::parse(string(STATE)?)?,
        owner: string(OWNER).cloned().unwrap_or_default(),
        received_at: millis(RECEIVED_AT),
        lease_until: millis(LEASE_UNTIL),
        expires_at: number(EXPIRES_AT).map(UnixSeconds::from_secs),
        holds_event: item.contains_key(PARKED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(bytes: &[u8]) -> AttributeValue {
        AttributeValue::B(Blob::new(miniz_oxide::deflate::compress_to_vec(bytes, DEFLATE_LEVEL)))
    }

    #[test]
    fn a_message_is_text_as_long_as_an_item_holds_it_and_is_deflated_from_there_on() {
        // An item holds 400 KiB, and 396 of them are for the message.
        for (len, is_text) in [(1, true), (405_504, true), (405_505, false)] {
            let message = "x".repeat(len);
            let packed = packed(&message).unwrap();
            assert_eq!(packed.is_s(), is_text, "{len}");
            assert!(unpacked(&packed).unwrap() == message, "{len}");
        }
    }

    #[test]
    fn a_message_that_no_item_holds_is_an_error_and_not_an_item_for_dynamodb_to_refuse() {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(800_000).collect();
        assert!(packed(&noise).is_err());
    }

    #[test]
    fn what_no_message_was_packed_as_is_an_error_and_not_a_message() {
        for value in [
            AttributeValue::B(Blob::new("not deflated")),
            deflated(b"\xff"),
            deflated(&vec![b'x'; MAX_INFLATED_BYTES + 1]),
            number(1),
            AttributeValue::Null(true),
        ] {
            assert!(unpacked(&value).is_err());
        }
    }
}
