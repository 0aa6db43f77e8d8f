//! The configuration of the ingress.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{
    SINKS, STORES, dm_conversation, log, number, required, sdk_shortcut, sink, store, trimmed, ttl,
    value_or_problem,
};
use super::{ConfigError, SinkConfig, StoreConfig};
use crate::ingress::{BotEvents, IngressSettings};
use crate::slack::payload::{ControlEvents, DedupKey};
use crate::slack::retries;
use crate::slack::secrets::text::{SecretText, SecretTextError};

/// The largest `ACK_BUDGET_MS`: Slack does not wait longer for an answer.
const MAX_ACK_BUDGET_MS: u64 = retries::ANSWER_LIMIT.as_secs() * 1000;

/// What the environment of the ingress says.
#[derive(Debug)]
pub struct IngressConfig {
    /// Where the signing secrets come from.
    pub secret: SecretConfig,
    /// Where records are kept (`DEDUP_STORE`).
    pub store: StoreConfig,
    /// Where events go (`EVENT_SINK`).
    pub sink: SinkConfig,
    /// What is said about the steps.
    pub settings: IngressSettings,
    /// Whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). Without the variable
    /// they may.
    pub sdk_shortcut: bool,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

/// Where the signing secrets come from. Exactly one of the two variables has to be set.
pub enum SecretConfig {
    /// `SLACK_SIGNING_SECRET` has the secrets themselves: one app's, separated by commas, or a JSON object from app id to secret.
    Inline(SecretText),
    /// `SLACK_SIGNING_SECRET_ARN` has the name or the ARN of a secret in Secrets Manager.
    Managed(String),
}

impl fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(text) => write!(f, "Inline({text:?})"),
            // The id itself is no secret. It is not shown because somebody may have set the secret in its place.
            Self::Managed(_) => f.write_str("Managed(…)"),
        }
    }
}

impl IngressConfig {
    /// Reads the configuration. `lookup` gives the value of a variable. An empty value is as good as none, but for
    /// `CONTROL_EVENTS`, where it means that there are no such events.
    ///
    /// # Errors
    /// When a variable is missing or wrong. The error has all problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));

        let secret = value_or_problem(
            &mut problems,
            secret(get("SLACK_SIGNING_SECRET"), get("SLACK_SIGNING_SECRET_ARN")),
        );
        let store =
            value_or_problem(&mut problems, required("DEDUP_STORE", STORES, get("DEDUP_STORE"), store));
        let sink = value_or_problem(&mut problems, required("EVENT_SINK", SINKS, get("EVENT_SINK"), sink));
        let ttl = value_or_problem(&mut problems, ttl(get("DEDUP_TTL_SECONDS")));
        let bot_events = value_or_problem(&mut problems, bot_events(get("BOT_EVENTS")));
        let budget = value_or_problem(
            &mut problems,
            number("ACK_BUDGET_MS", get("ACK_BUDGET_MS"), 2500, 100, MAX_ACK_BUDGET_MS),
        );
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        let dedup_key = value_or_problem(&mut problems, dedup_key(get("DEDUP_KEY")));
        let dm_conversation = value_or_problem(&mut problems, dm_conversation(get("DM_CONVERSATION")));
        let control_events = value_or_problem(&mut problems, control_events(lookup("CONTROL_EVENTS")));
        let sdk_shortcut = value_or_problem(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));

        match (
            secret,
            store,
            sink,
            ttl,
            dedup_key,
            dm_conversation,
            control_events,
            bot_events,
            budget,
            log,
            sdk_shortcut,
        ) {
            (
                Some(secret),
                Some(store),
                Some(sink),
                Some(ttl),
                Some(dedup_key),
                Some(dm_conversation),
                Some(control_events),
                Some(bot_events),
                Some(budget),
                Some(log),
                Some(sdk_shortcut),
            ) => {
                let settings = IngressSettings {
                    dedup_ttl: ttl,
                    dedup_key,
                    dm_conversation,
                    control_events,
                    bot_events,
                    ack_budget: Duration::from_millis(budget),
                };
                Ok(Self { secret, store, sink, settings, sdk_shortcut, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// A signing secret of Slack's has this many hexadecimal digits.
const SLACKS_SECRET_LEN: usize = 32;

/// Reads the two variables of which one says where the signing secrets come from.
fn secret(inline: Option<String>, managed: Option<String>) -> Result<SecretConfig, String> {
    match (inline, managed) {
        (Some(inline), None) => {
            let text = SecretText::parse_list(&inline);
            text.map(SecretConfig::Inline).map_err(|error| match error {
                SecretTextError::Empty => "SLACK_SIGNING_SECRET holds no secret, or an empty one".to_owned(),
                SecretTextError::Malformed => {
                    "SLACK_SIGNING_SECRET begins like a JSON object and is none from api_app_id to signing secret".to_owned()
                }
            })
        }
        // If Secrets Manager were asked for a secret of this name, its refusal would quote it, and the log would have it.
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

/// Reads `BOT_EVENTS`. Without a value it is `drop`.
fn bot_events(value: Option<String>) -> Result<BotEvents, String> {
    match value.as_deref() {
        None | Some("drop") => Ok(BotEvents::Drop),
        Some("own") => Ok(BotEvents::DropOwn),
        Some("forward") => Ok(BotEvents::Forward),
        Some(_) => Err("BOT_EVENTS is none of drop, own and forward".to_owned()),
    }
}

/// Reads `DEDUP_KEY`. Without a value it is `event_id`.
fn dedup_key(value: Option<String>) -> Result<DedupKey, String> {
    match value.as_deref() {
        None | Some("event_id") => Ok(DedupKey::EventId),
        Some("message") => Ok(DedupKey::Message),
        Some(_) => Err("DEDUP_KEY is neither event_id nor message".to_owned()),
    }
}

/// Reads `CONTROL_EVENTS`, event types with commas between them. If it is not set, they are the default; if it is empty, there are
/// none.
fn control_events(value: Option<String>) -> Result<ControlEvents, String> {
    let Some(value) = value else { return Ok(ControlEvents::default()) };
    let types: Vec<_> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_type = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if types.iter().all(is_type) {
        Ok(ControlEvents::new(types))
    } else {
        Err("CONTROL_EVENTS is no list of event types, such as agent_session_stopped,message_deleted"
            .to_owned())
    }
}
