//! Work records as items of the ingress's table: partition key `event_id` (S), TTL attribute `expires_at`.
//!
//! A write replaces what this room knows of an item, on the condition that the item's `version`, `state` and `token` are those
//! that were read. When the condition fails, DynamoDB returns the item as it is. The two rights that this needs are `GetItem` and
//! `UpdateItem`.

mod askers;
mod audit;
mod journal;
mod usage;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use std::collections::{BTreeMap, HashMap};

use super::journal::{Entry, ProposedCall, ToolEnd};
use super::record::{
    ApprovalRef, Buttons, Declined, End, Flight, Posting, Receive, Record, Sight, State, Via,
};
use super::stream::{Stream, StreamMessage};
use super::token::Token;
use super::{KEPT_SECONDS, PREFIX, RecordKey, Seen, Stopped, Version, WorkStore, Write, Written};
use crate::dedup::StoreError;
use crate::slack::question::SlackTs;
use crate::time::clock::UnixMillis;

const EVENT_ID: &str = "event_id";
const VERSION: &str = "version";
const STATE: &str = "state";
const TOKEN: &str = "token";
const EXPIRES_AT: &str = "expires_at";
const STOPPED_AT: &str = "stopped_at";
const QUESTIONS: &str = "questions";
const RESPONSE_URL: &str = "response_url";
const STREAM: &str = "stream";
const DECLINED: &str = "declined";
const SUSPENDED: &str = "suspended";
const ASKED_CALL: &str = "asked_call";
const APPROVAL: &str = "approval";
const APP_USERS: &str = "app_users";
const TOGETHER: &str = "together";
const IS_ALONE: &str = "is_alone";
const JOINED: &str = "joined";
const JOINED_TO: &str = "joined_to";
const JOINED_SINCE: &str = "joined_since";

/// All attributes of a record but its key. A write sets those that the record has and removes the others.
const ATTRIBUTES: [&str; 49] = [
    VERSION,
    STATE,
    TOKEN,
    EXPIRES_AT,
    "attempts",
    "deferrals",
    "calls_in_vain",
    "tool_calls",
    "suspensions",
    "stream",
    "stream_nonce",
    "stream_ts",
    "stream_begun_at",
    "stream_by",
    "since",
    "trace_id",
    "conversation",
    "place",
    "asked_at",
    "files",
    DECLINED,
    "claimed_from",
    "lease_until",
    "message_id",
    "receipt_handle",
    "text",
    "end",
    "why",
    "part",
    "nonce",
    "intent_at",
    "via",
    "seen_nonce",
    "seen_by",
    "seen_handle",
    "seen_receives",
    "seen_at",
    "seen_waited",
    "ts",
    "told_for",
    ASKED_CALL,
    APPROVAL,
    APP_USERS,
    TOGETHER,
    IS_ALONE,
    JOINED_TO,
    JOINED_SINCE,
    // What a dispatcher before work records wrote.
    "owner",
    "received_at",
];

type Item = HashMap<String, AttributeValue>;

/// The work records in one table.
#[derive(Clone, Debug)]
pub struct DynamoDbWork {
    client: Client,
    table: String,
    /// The table of the audit trail; `None` if there is no trail.
    audit_table: Option<String>,
}

impl DynamoDbWork {
    /// The records in the table with this name or ARN.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), audit_table: None }
    }

    /// The same with an audit trail in the table with this name or ARN.
    #[must_use]
    pub fn with_audit(self, table: Option<String>) -> Self {
        Self { audit_table: table, ..self }
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        let get =
            self.client.get_item().table_name(&self.table).key(EVENT_ID, string(key)).consistent_read(true);
        let got = get.send().await.map_err(|error| StoreError::new("DynamoDB GetItem", error))?;
        Ok(got.item)
    }
}

impl DynamoDbWork {
    /// Updates the item of a stop on a condition. Where it does not hold, there is nothing to do.
    async fn update_stop(
        &self,
        key: &str,
        update: &str,
        condition: &str,
        value: AttributeValue,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(&format!("{PREFIX}{key}")))
            .update_expression(update)
            .condition_expression(condition)
            .expression_attribute_values(":value", value)
            .expression_attribute_values(":expires_at", expires_at(now));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }
}

impl WorkStore for DynamoDbWork {
    async fn warm_up(&self) -> Result<(), StoreError> {
        self.get(&format!("{PREFIX}warm-up")).await.map(|_| ())
    }

    async fn read(&self, key: &RecordKey, now: UnixMillis) -> Result<Seen, StoreError> {
        seen(self.get(key.as_str()).await?.as_ref(), now)
    }

    async fn write(
        &self,
        key: &RecordKey,
        expected: &Seen,
        record: &Record,
        now: UnixMillis,
    ) -> Result<Written, StoreError> {
        let number = expected.version.next();
        let Expressions { update, condition, names, values } = expressions(expected, record, now);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(EVENT_ID, string(key.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        match update.send().await {
            Ok(_) => Ok(Written::Done),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => {
                    let current = seen(failed.item(), now)?;
                    // The SDK repeats a write whose answer was lost, and the second one finds the first.
                    let is_done =
                        current.version == Version::Number(number) && current.record.as_ref() == Some(record);
                    Ok(if is_done { Written::Done } else { Written::Changed(Box::new(current)) })
                }
                error => Err(StoreError::new("DynamoDB UpdateItem", error)),
            },
            Err(error) => Err(StoreError::new("DynamoDB UpdateItem", error)),
        }
    }

    async fn write_together(&self, writes: &[Write<'_>], now: UnixMillis) -> Result<bool, StoreError> {
        const OPERATION: &str = "DynamoDB TransactWriteItems";
        let mut transaction = self.client.transact_write_items();
        for Write { key, seen, record } in writes {
            let Expressions { update, condition, names, values } = expressions(seen, record, now);
            let update = Update::builder()
                .table_name(&self.table)
                .key(EVENT_ID, string(key.as_str()))
                .update_expression(update)
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values))
                .build()
                .map_err(|error| StoreError::new(OPERATION, error))?;
            transaction = transaction.transact_items(TransactWriteItem::builder().update(update).build());
        }
        match transaction.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled)
                    if has_lost_a_race(cancelled.cancellation_reasons()) =>
                {
                    Ok(false)
                }
                error => Err(StoreError::new(OPERATION, error)),
            },
            Err(error) => Err(StoreError::new(OPERATION, error)),
        }
    }

    async fn stop(&self, key: &str) -> Result<Option<Stopped>, StoreError> {
        let Some(item) = self.get(&format!("{PREFIX}{key}")).await? else { return Ok(None) };
        let at = item.get(STOPPED_AT).and_then(|at| at.as_n().ok()).and_then(|at| SlackTs::parse(at));
        let mut questions = BTreeMap::new();
        for counted in item.get(QUESTIONS).and_then(|counted| counted.as_ss().ok()).into_iter().flatten() {
            if let Some((stop, id)) = counted.split_once(' ')
                && let Some(stop) = SlackTs::parse(stop)
            {
                let earliest = questions.entry(id.to_owned()).or_insert_with(|| stop.clone());
                *earliest = stop.min(earliest.clone());
            }
        }
        Ok(at.map(|at| Stopped { at, questions }))
    }

    async fn put_stop(&self, key: &str, at: &SlackTs, now: UnixMillis) -> Result<(), StoreError> {
        let value = AttributeValue::N(at.to_string());
        let set = "SET stopped_at = :value, expires_at = :expires_at";
        let is_later = "attribute_not_exists(stopped_at) OR stopped_at < :value";
        self.update_stop(key, set, is_later, value, now).await
    }

    async fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        question_id: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let value = AttributeValue::Ss(vec![format!("{stop} {question_id}")]);
        let add = "SET expires_at = :expires_at ADD questions :value";
        self.update_stop(key, add, "attribute_exists(stopped_at)", value, now).await
    }

    async fn read_call(&self, key: &RecordKey, number: u32) -> Result<Option<Entry>, StoreError> {
        self.get(&key.of_call(number)).await?.map(|item| journal::entry(&item)).transpose()
    }

    async fn forget_call(&self, key: &RecordKey, number: u32, now: UnixMillis) -> Result<(), StoreError> {
        journal::forget(&self.client, &self.table, &key.of_call(number), now).await
    }

    async fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        journal::begin(&self.client, &self.table, &key.of_call(number), entry, now).await
    }

    async fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        journal::replace_proposed(&self.client, &self.table, &key.of_call(number), asked, entry, now).await
    }

    async fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        journal::keep_invocation(&self.client, &self.table, &key.of_invocation(), invocation, now).await
    }

    async fn invocation(&self, key: &RecordKey) -> Result<Option<String>, StoreError> {
        Ok(self.get(&key.of_invocation()).await?.as_ref().and_then(journal::invocation))
    }

    async fn forget_invocation(&self, key: &RecordKey, now: UnixMillis) -> Result<(), StoreError> {
        journal::forget_invocation(&self.client, &self.table, &key.of_invocation(), now).await
    }

    async fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> Result<(), StoreError> {
        journal::end(&self.client, &self.table, &key.of_call(number), nonce, end).await
    }
}

fn string(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number_value(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn expires_at(now: UnixMillis) -> AttributeValue {
    number_value(now.as_secs().saturating_add(KEPT_SECONDS))
}

/// Whether a transaction was cancelled because somebody else has written one of its items, or was about to.
fn has_lost_a_race(reasons: &[CancellationReason]) -> bool {
    let is_one = |code: &str| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code);
    reasons.iter().filter_map(CancellationReason::code).any(is_one)
}

/// How a record is written over what was read.
struct Expressions {
    update: String,
    condition: String,
    names: HashMap<String, String>,
    values: Item,
}

fn expressions(expected: &Seen, record: &Record, now: UnixMillis) -> Expressions {
    let item = item(record, expected.version.next(), now);
    let (mut names, mut values) = (HashMap::new(), Item::new());
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for (n, name) in ATTRIBUTES.iter().enumerate() {
        names.insert(format!("#a{n}"), (*name).to_owned());
        match item.get(*name) {
            Some(value) => {
                set.push(format!("#a{n} = :a{n}"));
                values.insert(format!(":a{n}"), value.clone());
            }
            None => remove.push(format!("#a{n}")),
        }
    }
    let mut condition = Vec::new();
    let mut require = |name: &str, value: Option<AttributeValue>| {
        let n = condition.len();
        let index = ATTRIBUTES.iter().position(|attribute| *attribute == name).unwrap_or_default();
        condition.push(match &value {
            Some(_) => format!("#a{index} = :c{n}"),
            None => format!("attribute_not_exists(#a{index})"),
        });
        values.extend(value.map(|value| (format!(":c{n}"), value)));
    };
    let expected_item = expected.record.as_ref().map(|record| self::item(record, 0, now)).unwrap_or_default();
    match expected.version {
        Version::Absent => {
            require(VERSION, None);
            require(STATE, None);
        }
        // Of such a record's states only `in_flight` is ever written over, and a dispatcher of that time may be about to
        // confirm it.
        Version::Unnumbered => {
            require(VERSION, None);
            if let Some(state) = expected_item.get(STATE) {
                require(STATE, Some(state.clone()));
            }
        }
        Version::Number(number) => require(VERSION, Some(number_value(number))),
    }
    // The version says it all. That the state and the token are also those that were read is for whoever writes an item by
    // hand, and forgets the version.
    if expected.record.is_some() && matches!(expected.version, Version::Number(_)) {
        require(STATE, expected_item.get(STATE).cloned());
        require(TOKEN, expected_item.get(TOKEN).cloned());
    }
    Expressions {
        update: format!("SET {} REMOVE {}", set.join(", "), remove.join(", ")),
        condition: condition.join(" AND "),
        names,
        values,
    }
}

/// What stands in the table.
fn seen(item: Option<&Item>, now: UnixMillis) -> Result<Seen, StoreError> {
    // A read of an item that is not there gives none, a failed condition on one gives one without attributes.
    let Some(item) = item.filter(|item| !item.is_empty()) else {
        return Ok(Seen { record: None, version: Version::Absent });
    };
    let read = Reader(item);
    let version = read.number(VERSION)?.map_or(Version::Unnumbered, Version::Number);
    let has_expired = read.number(EXPIRES_AT)?.is_some_and(|at| at <= now.as_secs());
    let record = if has_expired { None } else { Some(record(&read)?) };
    Ok(Seen { record, version })
}

/// The item of a record.
fn item(record: &Record, version: u64, now: UnixMillis) -> Item {
    let mut item = Item::new();
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    let asking = match &record.state {
        State::Suspended { asking, .. } | State::Posting(Posting { end: End::Suspended(asking), .. }) => {
            Some(asking)
        }
        _ => record.buttons.as_ref().map(|buttons| &buttons.asking),
    };
    if let Some(ApprovalRef { number, approval }) = asking {
        set(ASKED_CALL, number_value((*number).into()));
        set(APPROVAL, string(approval.as_str()));
    }
    set(VERSION, number_value(version));
    set(EXPIRES_AT, expires_at(now));
    set("attempts", number_value(record.attempts.into()));
    set("deferrals", number_value(record.deferrals.into()));
    set("calls_in_vain", number_value(record.calls_in_vain.into()));
    if record.tool_calls > 0 {
        set("tool_calls", number_value(record.tool_calls.into()));
    }
    if record.suspensions > 0 {
        set("suspensions", number_value(record.suspensions.into()));
    }
    let mut set_message = |state: &str, message: &StreamMessage| {
        set("stream", string(state));
        set("stream_ts", string(&message.ts));
        set("stream_begun_at", number_value(message.begun_at.as_millis()));
        set("stream_by", string(message.by.as_str()));
    };
    match &record.stream {
        None => {}
        Some(Stream::Begun(nonce)) => {
            set("stream", string("begun"));
            set("stream_nonce", string(nonce.as_str()));
        }
        Some(Stream::Open(message)) => set_message("open", message),
        Some(Stream::Closed(message)) => set_message("closed", message),
        Some(Stream::Deleting(message)) => set_message("deleting", message),
        Some(Stream::NoneAnyMore) => {
            set("stream", string("none"));
        }
    }
    set("since", number_value(record.since.as_millis()));
    if let Some(trace_id) = &record.trace_id {
        set("trace_id", string(trace_id));
    }
    if let Some(conversation) = &record.conversation {
        set("conversation", string(conversation));
    }
    if let Some(place) = &record.place {
        set("asked_at", string(&place.asked_at.to_string()));
        // A place is strings alone, so it can always be written.
        set("place", string(&serde_json::to_string(place).unwrap_or_default()));
    }
    if let Some(declined) = record.declined {
        set(DECLINED, string(declined.as_str()));
    }
    if !record.files.is_empty() {
        set("files", string(&serde_json::to_string(&record.files).unwrap_or_default()));
    }
    if !record.app_users.is_empty() {
        set(APP_USERS, string(&record.app_users.join(",")));
    }
    if !record.together.is_empty() {
        set(TOGETHER, string(&serde_json::to_string(&record.together).unwrap_or_default()));
    }
    if record.is_alone {
        set(IS_ALONE, AttributeValue::Bool(true));
    }
    let state = match &record.state {
        State::Free => "free",
        State::InFlight(Flight { token, claimed_from, lease_until, receive }) => {
            if let Some(token) = token {
                set(TOKEN, string(token.as_str()));
            }
            if let Some(token) = claimed_from {
                set("claimed_from", string(token.as_str()));
            }
            set("lease_until", number_value(lease_until.as_millis()));
            set("message_id", string(&receive.message_id));
            set("receipt_handle", string(&receive.handle));
            "in_flight"
        }
        State::Posting(posting) => {
            set(TOKEN, string(posting.token.as_str()));
            set("message_id", string(&posting.receive.message_id));
            set("receipt_handle", string(&posting.receive.handle));
            set("text", string(&posting.text));
            set("part", number_value(posting.part.into()));
            set("intent_at", number_value(posting.intent_at.as_millis()));
            match posting.via {
                Via::Channel => {}
                Via::Stream => {
                    set("via", string(STREAM));
                }
                Via::ResponseUrl => {
                    set("via", string(RESPONSE_URL));
                }
            }
            match &posting.end {
                End::Answered => set("end", string("answered")),
                End::Declined(declined) => set("end", string(declined.as_str())),
                End::Suspended(_) => set("end", string(SUSPENDED)),
                End::Told { why } => {
                    set("why", string(why));
                    set("end", string("told"))
                }
            };
            if let Some(nonce) = &posting.nonce {
                set("nonce", string(nonce.as_str()));
            }
            if let Some(sight) = &posting.sight {
                set("seen_nonce", string(sight.nonce.as_str()));
                set("seen_by", string(&sight.receive.message_id));
                set("seen_handle", string(&sight.receive.handle));
                set("seen_receives", number_value(sight.receives.into()));
                set("seen_at", number_value(sight.at.as_millis()));
                if sight.has_waited {
                    set("seen_waited", AttributeValue::Bool(true));
                }
            }
            "posting"
        }
        State::Answered { ts, token } => {
            if let Some(ts) = ts {
                set("ts", string(ts));
            }
            if let Some(token) = token {
                set(TOKEN, string(token.as_str()));
            }
            "answered"
        }
        State::Suspended { asking: _, ts, token } => {
            if let Some(ts) = ts {
                set("ts", string(ts));
            }
            set(TOKEN, string(token.as_str()));
            SUSPENDED
        }
        State::Joined { to, since } => {
            set(JOINED_TO, string(to));
            set(JOINED_SINCE, number_value(since.as_millis()));
            JOINED
        }
        State::Told { why, told_for, token } => {
            set("why", string(why));
            if let Some(message_id) = told_for {
                set("told_for", string(message_id));
            }
            if let Some(ts) = record.buttons.as_ref().and_then(|buttons| buttons.ts.as_deref()) {
                set("ts", string(ts));
            }
            if let Some(token) = token {
                set(TOKEN, string(token.as_str()));
            }
            "told"
        }
    };
    set(STATE, string(state));
    item
}

/// The record of an item.
fn record(read: &Reader<'_>) -> Result<Record, StoreError> {
    let receive = || -> Result<Receive, StoreError> {
        Ok(Receive {
            message_id: read.text("message_id").unwrap_or_default(),
            handle: read.text("receipt_handle").unwrap_or_default(),
        })
    };
    let asking = || -> Result<ApprovalRef, StoreError> {
        let number = read.number(ASKED_CALL)?.and_then(|number| u32::try_from(number).ok());
        Ok(ApprovalRef {
            number: number.ok_or_else(|| unreadable(ASKED_CALL))?,
            approval: read.token(APPROVAL)?.ok_or_else(|| unreadable(APPROVAL))?,
        })
    };
    let state = match read.text(STATE).as_deref() {
        Some("free") => State::Free,
        Some("in_flight") => State::InFlight(Flight {
            token: read.token(TOKEN)?,
            claimed_from: read.token("claimed_from")?,
            lease_until: UnixMillis::from_millis(read.number("lease_until")?.unwrap_or_default()),
            receive: receive()?,
        }),
        Some("posting") => State::Posting(Posting {
            token: read.token(TOKEN)?.ok_or_else(|| unreadable(TOKEN))?,
            receive: receive()?,
            text: read.text("text").ok_or_else(|| unreadable("text"))?,
            end: match read.text("end").as_deref() {
                Some("told") => End::Told { why: read.text("why").unwrap_or_default() },
                Some(SUSPENDED) => End::Suspended(asking()?),
                word => word.and_then(Declined::parse).map_or(End::Answered, End::Declined),
            },
            part: u32::try_from(read.number("part")?.unwrap_or_default()).map_err(|_| unreadable("part"))?,
            nonce: read.token("nonce")?,
            intent_at: UnixMillis::from_millis(read.number("intent_at")?.unwrap_or_default()),
            via: match read.text("via").as_deref() {
                Some(RESPONSE_URL) => Via::ResponseUrl,
                Some(STREAM) => Via::Stream,
                _ => Via::Channel,
            },
            sight: match (read.token("seen_nonce")?, read.text("seen_by")) {
                (Some(nonce), Some(message_id)) => Some(Sight {
                    nonce,
                    receive: Receive { message_id, handle: read.text("seen_handle").unwrap_or_default() },
                    receives: u32::try_from(read.number("seen_receives")?.unwrap_or_default())
                        .map_err(|_| unreadable("seen_receives"))?,
                    at: UnixMillis::from_millis(read.number("seen_at")?.unwrap_or_default()),
                    has_waited: read.is_set("seen_waited"),
                }),
                _ => None,
            },
        }),
        // `forwarded` is the word of a dispatcher before work records: the agent had taken the event.
        Some("answered" | "forwarded") => State::Answered { ts: read.text("ts"), token: read.token(TOKEN)? },
        Some(SUSPENDED) => State::Suspended {
            asking: asking()?,
            ts: read.text("ts"),
            token: read.token(TOKEN)?.ok_or_else(|| unreadable(TOKEN))?,
        },
        Some(JOINED) => State::Joined {
            to: read.text(JOINED_TO).ok_or_else(|| unreadable(JOINED_TO))?,
            since: UnixMillis::from_millis(
                read.number(JOINED_SINCE)?.ok_or_else(|| unreadable(JOINED_SINCE))?,
            ),
        },
        Some("told") => State::Told {
            why: read.text("why").unwrap_or_default(),
            told_for: read.text("told_for"),
            token: read.token(TOKEN)?,
        },
        _ => return Err(unreadable(STATE)),
    };
    let small = |name: &'static str| -> Result<u32, StoreError> {
        Ok(u32::try_from(read.number(name)?.unwrap_or_default()).unwrap_or(u32::MAX))
    };
    let since = match read.number("since")? {
        Some(since) => since,
        None => read.number("received_at")?.unwrap_or_default(),
    };
    Ok(Record {
        attempts: small("attempts")?,
        deferrals: small("deferrals")?,
        calls_in_vain: small("calls_in_vain")?,
        tool_calls: small("tool_calls")?,
        suspensions: small("suspensions")?,
        stream: stream(read)?,
        since: UnixMillis::from_millis(since),
        trace_id: read.text("trace_id"),
        conversation: read.text("conversation"),
        place: match read.text("place") {
            Some(place) => Some(serde_json::from_str(&place).map_err(|_| unreadable("place"))?),
            None => None,
        },
        files: match read.text("files") {
            Some(files) => serde_json::from_str(&files).map_err(|_| unreadable("files"))?,
            None => Vec::new(),
        },
        app_users: match read.text(APP_USERS) {
            Some(users) => users.split(',').map(str::to_owned).collect(),
            None => Vec::new(),
        },
        together: match read.text(TOGETHER) {
            Some(others) => serde_json::from_str(&others).map_err(|_| unreadable(TOGETHER))?,
            None => Vec::new(),
        },
        is_alone: read.is_set(IS_ALONE),
        declined: read.text(DECLINED).as_deref().and_then(Declined::parse),
        buttons: match &state {
            State::Told { .. } if read.number(ASKED_CALL)?.is_some() => {
                Some(Buttons { asking: asking()?, ts: read.text("ts") })
            }
            _ => None,
        },
        state,
    })
}

fn stream(read: &Reader<'_>) -> Result<Option<Stream>, StoreError> {
    let message = || -> Result<StreamMessage, StoreError> {
        let ts = read.text("stream_ts").ok_or_else(|| unreadable("stream_ts"))?;
        let begun_at = read.number("stream_begun_at")?.ok_or_else(|| unreadable("stream_begun_at"))?;
        let by = read.token("stream_by")?.ok_or_else(|| unreadable("stream_by"))?;
        Ok(StreamMessage { ts, begun_at: UnixMillis::from_millis(begun_at), by })
    };
    Ok(match read.text("stream").as_deref() {
        None => None,
        Some("begun") => {
            Some(Stream::Begun(read.token("stream_nonce")?.ok_or_else(|| unreadable("stream_nonce"))?))
        }
        Some("open") => Some(Stream::Open(message()?)),
        Some("closed") => Some(Stream::Closed(message()?)),
        Some("deleting") => Some(Stream::Deleting(message()?)),
        Some("none") => Some(Stream::NoneAnyMore),
        Some(_) => return Err(unreadable("stream")),
    })
}

/// Reads the attributes of an item.
struct Reader<'a>(&'a Item);

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name)?.as_s().ok().cloned()
    }

    fn token(&self, name: &'static str) -> Result<Option<Token>, StoreError> {
        self.text(name).map(|digits| Token::parse(&digits).ok_or_else(|| unreadable(name))).transpose()
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).and_then(|value| value.as_bool().ok()).copied().unwrap_or_default()
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, StoreError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let number = value.as_n().ok().and_then(|digits| digits.parse().ok());
        number.map(Some).ok_or_else(|| unreadable(name))
    }
}

fn unreadable(attribute: &'static str) -> StoreError {
    StoreError::new("DynamoDB item", format!("the attribute {attribute} is not one of a work record"))
}

#[cfg(test)]
mod tests;
