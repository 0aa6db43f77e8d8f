//! How a single variable is read. No problem quotes the value: somebody may have set a secret in the wrong variable.

use std::time::Duration;
use tracing_subscriber::filter::Targets;

#[cfg(feature = "redis")]
use super::RedisUrl;
use super::{SinkConfig, StoreConfig};
#[cfg(feature = "dispatch")]
use crate::slack::asker::WhoMayAsk;
use crate::slack::payload::DmConversation;

/// The value without white space around it; `None` if nothing is left.
pub(super) fn trimmed(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The largest time to live: ten years. Whoever sets a longer one has mistyped it.
pub(super) const MAX_TTL_SECONDS: u64 = 315_360_000;

/// What `DEDUP_STORE` may be, for the text of a problem.
pub(super) const STORES: &str = "dynamodb:<table>, redis://…, rediss://… or memory:";
/// What `EVENT_SINK` may be, for the text of a problem.
pub(super) const SINKS: &str = "an SQS queue URL, an SNS topic ARN or stdout:";

/// The value; or `None`, and its problem is added to `problems`.
pub(super) fn value_or_problem<T>(problems: &mut Vec<String>, parsed: Result<T, String>) -> Option<T> {
    parsed.map_err(|problem| problems.push(problem)).ok()
}

/// Reads a variable that has to be set. `choices` says what it may be, for the text of a problem.
pub(super) fn required<T>(
    name: &str,
    choices: &str,
    value: Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} is missing: set it to {choices}"))?;
    parse(&value).map_err(|problem| format!("{name}: {problem}; expected {choices}"))
}

/// Reads `DEDUP_STORE`.
pub(super) fn store(value: &str) -> Result<StoreConfig, String> {
    match value.split_once(':') {
        Some(("memory", "")) => Ok(StoreConfig::Memory),
        Some(("dynamodb", table)) if is_table(table) => Ok(StoreConfig::DynamoDb { table: table.to_owned() }),
        Some(("dynamodb", _)) => Err("that is no name of a DynamoDB table".to_owned()),
        Some(("redis" | "rediss", _)) => redis_store(value),
        _ => Err("no such store".to_owned()),
    }
}

/// Reads `DEDUP_STORE` for a function that has to see the records of another one.
pub(super) fn shared_store(value: &str) -> Result<StoreConfig, String> {
    match store(value)? {
        StoreConfig::Memory => Err("what is kept in memory is gone with its process".to_owned()),
        store => Ok(store),
    }
}

/// Checks the URL of a Redis server.
#[cfg(feature = "redis")]
pub(super) fn redis_store(url: &str) -> Result<StoreConfig, String> {
    // The parser's own error might quote the password.
    let parsed = redis::IntoConnectionInfo::into_connection_info(url);
    parsed.map_err(|_| "that is no URL of a Redis server".to_owned())?;
    Ok(StoreConfig::Redis(RedisUrl(url.to_owned())))
}

#[cfg(not(feature = "redis"))]
pub(super) fn redis_store(_url: &str) -> Result<StoreConfig, String> {
    Err("this build has no Redis store (cargo feature `redis`)".to_owned())
}

/// Whether this is the name of a DynamoDB table, which has 3 to 255 letters, digits, `_`, `-` and `.`; or its ARN, which ends
/// in the name.
pub(super) fn is_table(table: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let name = match table.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", partition, "dynamodb", region, account, resource]
            if [partition, region, account].iter().all(|part| !part.is_empty() && plain(part)) =>
        {
            resource.strip_prefix("table/").unwrap_or_default()
        }
        _ => table, // Anything else with a colon is no name.
    };
    (3..=255).contains(&name.len()) && plain(name)
}

/// Reads `EVENT_SINK`.
pub(super) fn sink(value: &str) -> Result<SinkConfig, String> {
    if value == "stdout:" {
        return Ok(SinkConfig::Stdout);
    }
    if value.starts_with("arn:") {
        return sns_sink(value);
    }
    let path = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let name = path.and_then(|path| path.split_once('/')).and_then(|(_, path)| path.rsplit('/').next());
    match name {
        Some(name) if !name.is_empty() => Ok(SinkConfig::Sqs { queue_url: value.to_owned() }),
        Some(_) => Err("the queue URL ends without a queue's name".to_owned()),
        None => Err("no such sink".to_owned()),
    }
}

/// Checks the ARN of a topic, `arn:<partition>:sns:<region>:<account>:<topic>`. The ARN of a subscription has one part more.
#[cfg(feature = "sns")]
pub(super) fn sns_sink(arn: &str) -> Result<SinkConfig, String> {
    match arn.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "sns", _, _, topic] if !topic.is_empty() => {
            Ok(SinkConfig::Sns { topic_arn: arn.to_owned() })
        }
        _ => Err("that is no ARN of an SNS topic".to_owned()),
    }
}

#[cfg(not(feature = "sns"))]
pub(super) fn sns_sink(_arn: &str) -> Result<SinkConfig, String> {
    Err("this build has no SNS sink (cargo feature `sns`)".to_owned())
}

/// Reads a whole number from `min` to `max`; without a value it is `default`.
pub(super) fn number(
    name: &str,
    value: Option<String>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, String> {
    let Some(value) = value else {
        return Ok(default);
    };
    match value.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("{name} is not a whole number from {min} to {max}")),
    }
}

/// Reads `DEDUP_TTL_SECONDS`. Without a value it is an hour.
pub(super) fn ttl(value: Option<String>) -> Result<Duration, String> {
    number("DEDUP_TTL_SECONDS", value, 3600, 1, MAX_TTL_SECONDS).map(Duration::from_secs)
}

/// Reads `DM_CONVERSATION`. Without a value it is `channel`.
pub(super) fn dm_conversation(value: Option<String>) -> Result<DmConversation, String> {
    match value.as_deref() {
        None | Some("channel") => Ok(DmConversation::Channel),
        Some("thread") => Ok(DmConversation::Thread),
        Some(_) => Err("DM_CONVERSATION is neither channel nor thread".to_owned()),
    }
}

/// Reads `SDK_SHORTCUT`. Without a value it is `on`.
pub(super) fn sdk_shortcut(value: Option<String>) -> Result<bool, String> {
    match value.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err("SDK_SHORTCUT is neither on nor off".to_owned()),
    }
}

/// Reads `RUST_LOG`. Without a value it is `info`.
pub(super) fn log(value: Option<String>) -> Result<Targets, String> {
    let value = value.as_deref().unwrap_or("info");
    value.parse().map_err(|_| "RUST_LOG is no log filter".to_owned())
}

/// Reads a variable that is one of two words. Without a value it is the first.
#[cfg(feature = "dispatch")]
pub(super) fn one_of<T: Copy>(name: &str, value: Option<String>, words: [(&str, T); 2]) -> Result<T, String> {
    let [(first, default), (second, _)] = words;
    match value {
        None => Ok(default),
        Some(value) => words
            .into_iter()
            .find_map(|(word, meaning)| (word == value).then_some(meaning))
            .ok_or_else(|| format!("{name} is neither {first} nor {second}")),
    }
}

/// Reads `WHO_MAY_ASK`. Without the variable it is members alone.
#[cfg(feature = "dispatch")]
pub(super) fn who_may_ask(value: Option<String>) -> Result<WhoMayAsk, String> {
    const ASKERS: &str = "members, or members with some of guests, external and bots, divided by commas";
    let Some(value) = value else { return Ok(WhoMayAsk::default()) };
    WhoMayAsk::read(&value).map_err(|why| format!("WHO_MAY_ASK must be {ASKERS}; {why}"))
}

/// Checks the URL of an SQS queue.
#[cfg(feature = "dispatch")]
pub(super) fn queue(value: &str) -> Result<String, String> {
    match sink(value)? {
        SinkConfig::Sqs { queue_url } => Ok(queue_url),
        _ => Err("that is no queue".to_owned()),
    }
}

/// Checks the name of the table with the work records, which are in DynamoDB and nowhere else.
#[cfg(feature = "dispatch")]
pub(super) fn work_table(value: &str) -> Result<String, String> {
    match store(value)? {
        StoreConfig::DynamoDb { table } => Ok(table),
        _ => Err("the records of the agent's work are kept in DynamoDB only".to_owned()),
    }
}

/// What `DEDUP_STORE` may be where the records of the agent's work are kept, for the text of a problem.
#[cfg(feature = "dispatch")]
pub(super) const WORK_STORES: &str = "dynamodb:<table>";

/// What the variable of a queue may be, for the text of a problem.
#[cfg(feature = "dispatch")]
pub(super) const QUEUE: &str = "an SQS queue URL";
