//! The configuration: environment variables, parsed once into a [`Config`] that cannot be half right.

#[cfg(feature = "dispatch")]
mod dispatch;

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use crate::ingress::{BotEvents, Settings};
use crate::slack::payload::DedupKey;

#[cfg(feature = "dispatch")]
pub use dispatch::{DispatchConfig, RuntimeArn};

/// Slack waits this long for an answer.
const SLACK_LIMIT_MS: u64 = 3000;

/// Slack's last retry comes about six minutes after the first attempt, and is good, for whoever may replay it, for
/// five more. A shorter memory forgets in between.
pub const LAST_RETRY_AFTER: Duration = Duration::from_secs(6 * 60 + 30 + 5 * 60);

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// Where the signing secrets are.
    pub secret: SecretConfig,
    /// Where records are kept.
    pub store: StoreConfig,
    /// Where events go.
    pub sink: SinkConfig,
    /// What can be set about the steps.
    pub settings: Settings,
    /// `RUST_LOG`
    pub log: Targets,
}

/// What a redrive needs of it.
#[derive(Debug)]
pub struct RedriveConfig {
    /// Where events are parked.
    pub store: StoreConfig,
    /// Where they go.
    pub sink: SinkConfig,
    /// How long an event id is remembered once the event is sent.
    pub dedup_ttl: Duration,
    /// `RUST_LOG`
    pub log: Targets,
}

/// `SLACK_SIGNING_SECRET` or `SLACK_SIGNING_SECRET_ARN`.
pub enum SecretConfig {
    /// The secrets themselves.
    Inline(Vec<String>),
    /// A secret in Secrets Manager, by name or ARN.
    Managed(String),
}

impl fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(secrets) => write!(f, "Inline({} secrets)", secrets.len()),
            // An id is no secret; the secret in its place by mistake is.
            Self::Managed(_) => f.write_str("Managed(…)"),
        }
    }
}

/// `DEDUP_STORE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// `dynamodb:<table>`
    DynamoDb {
        /// Name or ARN.
        table: String,
    },
    /// `memory:`
    Memory,
    /// `redis://…` or `rediss://…`
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
}

/// The URL of a Redis server, which may hold a password.
#[cfg(feature = "redis")]
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(pub String);

#[cfg(feature = "redis")]
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// `EVENT_SINK`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    /// A queue's URL.
    Sqs {
        /// The URL.
        queue_url: String,
    },
    /// `stdout:`
    Stdout,
    /// A topic's ARN.
    #[cfg(feature = "sns")]
    Sns {
        /// The ARN.
        topic_arn: String,
    },
}

/// Everything that is wrong with the environment, at once.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// Each of them, in words that quote no value.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s): ", self.problems.len())?;
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The configuration in the variables that `lookup` gives; an empty one is as good as none.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));

        let secret =
            keep(&mut problems, secret(get("SLACK_SIGNING_SECRET"), get("SLACK_SIGNING_SECRET_ARN")));
        let store = keep(&mut problems, required("DEDUP_STORE", STORES, get("DEDUP_STORE"), store));
        let sink = keep(&mut problems, required("EVENT_SINK", SINKS, get("EVENT_SINK"), sink));
        let ttl = keep(&mut problems, ttl(get("DEDUP_TTL_SECONDS")));
        let bot_events = keep(&mut problems, bot_events(get("BOT_EVENTS")));
        let budget =
            keep(&mut problems, number("ACK_BUDGET_MS", get("ACK_BUDGET_MS"), 2500, 100, SLACK_LIMIT_MS));
        let log = keep(&mut problems, log(get("RUST_LOG")));
        let dedup_key = keep(&mut problems, dedup_key(get("DEDUP_KEY")));

        match (secret, store, sink, ttl, dedup_key, bot_events, budget, log) {
            (
                Some(secret),
                Some(store),
                Some(sink),
                Some(ttl),
                Some(dedup_key),
                Some(bot_events),
                Some(budget),
                Some(log),
            ) => {
                let settings = Settings {
                    dedup_ttl: ttl,
                    dedup_key,
                    bot_events,
                    ack_budget: Duration::from_millis(budget),
                };
                Ok(Self { secret, store, sink, settings, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

impl RedriveConfig {
    /// The configuration in the variables that `lookup` gives; an empty one is as good as none.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));

        let store = keep(&mut problems, required("DEDUP_STORE", STORES, get("DEDUP_STORE"), shared_store));
        let sink = keep(&mut problems, required("EVENT_SINK", SINKS, get("EVENT_SINK"), sink));
        let ttl = keep(&mut problems, ttl(get("DEDUP_TTL_SECONDS")));
        let log = keep(&mut problems, log(get("RUST_LOG")));

        match (store, sink, ttl, log) {
            (Some(store), Some(sink), Some(dedup_ttl), Some(log)) => Ok(Self { store, sink, dedup_ttl, log }),
            _ => Err(ConfigError { problems }),
        }
    }
}

fn trimmed(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Ten years: more is a slip of the pen.
const MAX_TTL_SECONDS: u64 = 315_360_000;

const STORES: &str = "dynamodb:<table>, redis://…, rediss://… or memory:";
const SINKS: &str = "an SQS queue URL, an SNS topic ARN or stdout:";

fn keep<T>(problems: &mut Vec<String>, parsed: Result<T, String>) -> Option<T> {
    parsed.map_err(|problem| problems.push(problem)).ok()
}

fn required<T>(
    name: &str,
    choices: &str,
    value: Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{name} is missing: set it to {choices}"))?;
    parse(&value).map_err(|problem| format!("{name}: {problem}; expected {choices}"))
}

/// Hexadecimal digits.
const SLACKS_SECRET_LEN: usize = 32;

/// No message here quotes a value: it might be the secret, in the wrong variable.
fn secret(inline: Option<String>, managed: Option<String>) -> Result<SecretConfig, String> {
    match (inline, managed) {
        (Some(inline), None) => {
            let secrets: Vec<_> = inline
                .split(',')
                .map(str::trim)
                .filter(|secret| !secret.is_empty())
                .map(str::to_owned)
                .collect();
            if secrets.is_empty() {
                return Err("SLACK_SIGNING_SECRET holds no secret".to_owned());
            }
            Ok(SecretConfig::Inline(secrets))
        }
        // Asked for by that name, it would be in AWS's refusal, and so in the log.
        (None, Some(id))
            if id.len() == SLACKS_SECRET_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            Err("SLACK_SIGNING_SECRET_ARN holds a signing secret and not the ARN or name of one".to_owned())
        }
        (None, Some(id)) => Ok(SecretConfig::Managed(id)),
        (None, None) => Err("SLACK_SIGNING_SECRET or SLACK_SIGNING_SECRET_ARN is missing".to_owned()),
        (Some(_), Some(_)) => {
            Err("SLACK_SIGNING_SECRET and SLACK_SIGNING_SECRET_ARN are both set: set one".to_owned())
        }
    }
}

fn store(value: &str) -> Result<StoreConfig, String> {
    match value.split_once(':') {
        Some(("memory", "")) => Ok(StoreConfig::Memory),
        Some(("dynamodb", table)) if is_table(table) => Ok(StoreConfig::DynamoDb { table: table.to_owned() }),
        Some(("dynamodb", _)) => Err("that is no name of a DynamoDB table".to_owned()),
        Some(("redis" | "rediss", _)) => redis_store(value),
        _ => Err("no such store".to_owned()),
    }
}

/// A store that a second process can see into.
fn shared_store(value: &str) -> Result<StoreConfig, String> {
    match store(value)? {
        StoreConfig::Memory => Err("what is kept in memory is gone with its process".to_owned()),
        store => Ok(store),
    }
}

#[cfg(feature = "redis")]
fn redis_store(url: &str) -> Result<StoreConfig, String> {
    // The parser's own error might quote the password.
    let parsed = redis::IntoConnectionInfo::into_connection_info(url);
    parsed.map_err(|_| "that is no URL of a Redis server".to_owned())?;
    Ok(StoreConfig::Redis(RedisUrl(url.to_owned())))
}

#[cfg(not(feature = "redis"))]
fn redis_store(_url: &str) -> Result<StoreConfig, String> {
    Err("this build has no Redis store (cargo feature `redis`)".to_owned())
}

/// A table's name is 3 to 255 letters, digits, `_`, `-` and `.`; an ARN ends in one.
fn is_table(table: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let name = match table.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", partition, "dynamodb", region, account, resource]
            if [partition, region, account].iter().all(|part| !part.is_empty() && plain(part)) =>
        {
            resource.strip_prefix("table/").unwrap_or_default()
        }
        _ => table, // which no ARN is: a name has no colon
    };
    (3..=255).contains(&name.len()) && plain(name)
}

fn sink(value: &str) -> Result<SinkConfig, String> {
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

/// `arn:<partition>:sns:<region>:<account>:<topic>`; one more part would be a subscription's.
#[cfg(feature = "sns")]
fn sns_sink(arn: &str) -> Result<SinkConfig, String> {
    match arn.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "sns", _, _, topic] if !topic.is_empty() => {
            Ok(SinkConfig::Sns { topic_arn: arn.to_owned() })
        }
        _ => Err("that is no ARN of an SNS topic".to_owned()),
    }
}

#[cfg(not(feature = "sns"))]
fn sns_sink(_arn: &str) -> Result<SinkConfig, String> {
    Err("this build has no SNS sink (cargo feature `sns`)".to_owned())
}

fn number(name: &str, value: Option<String>, default: u64, min: u64, max: u64) -> Result<u64, String> {
    let Some(value) = value else {
        return Ok(default);
    };
    match value.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("{name} is not a whole number from {min} to {max}")),
    }
}

fn ttl(value: Option<String>) -> Result<Duration, String> {
    number("DEDUP_TTL_SECONDS", value, 3600, 1, MAX_TTL_SECONDS).map(Duration::from_secs)
}

fn bot_events(value: Option<String>) -> Result<BotEvents, String> {
    match value.as_deref() {
        None | Some("drop") => Ok(BotEvents::Drop),
        Some("own") => Ok(BotEvents::DropOwn),
        Some("forward") => Ok(BotEvents::Forward),
        Some(_) => Err("BOT_EVENTS is none of drop, own and forward".to_owned()),
    }
}

fn dedup_key(value: Option<String>) -> Result<DedupKey, String> {
    match value.as_deref() {
        None | Some("event_id") => Ok(DedupKey::EventId),
        Some("message") => Ok(DedupKey::Message),
        Some(_) => Err("DEDUP_KEY is neither event_id nor message".to_owned()),
    }
}

fn log(value: Option<String>) -> Result<Targets, String> {
    let value = value.as_deref().unwrap_or("info");
    value.parse().map_err(|_| "RUST_LOG is no log filter".to_owned())
}

#[cfg(test)]
mod tests;
