//! What the ingress is told by its environment.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{SINKS, STORES, keep, log, number, required, sdk_shortcut, sink, store, trimmed, ttl};
use super::{ConfigError, SinkConfig, StoreConfig};
use crate::ingress::{BotEvents, IngressSettings};
use crate::slack::payload::DedupKey;
use crate::slack::retries;

/// An answer that takes longer than Slack waits is none.
const MAX_ACK_BUDGET_MS: u64 = retries::ANSWER_LIMIT.as_secs() * 1000;

/// Everything about the ingress that can be set.
#[derive(Debug)]
pub struct IngressConfig {
    /// Where the signing secrets are.
    pub secret: SecretConfig,
    /// Where records are kept.
    pub store: StoreConfig,
    /// Where events go.
    pub sink: SinkConfig,
    /// What can be set about the steps.
    pub settings: IngressSettings,
    /// `SDK_SHORTCUT`: whether the calls that every event makes may take the shortcut through the SDK.
    pub sdk_shortcut: bool,
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

impl IngressConfig {
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
            keep(&mut problems, number("ACK_BUDGET_MS", get("ACK_BUDGET_MS"), 2500, 100, MAX_ACK_BUDGET_MS));
        let log = keep(&mut problems, log(get("RUST_LOG")));
        let dedup_key = keep(&mut problems, dedup_key(get("DEDUP_KEY")));
        let sdk_shortcut = keep(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));

        match (secret, store, sink, ttl, dedup_key, bot_events, budget, log, sdk_shortcut) {
            (
                Some(secret),
                Some(store),
                Some(sink),
                Some(ttl),
                Some(dedup_key),
                Some(bot_events),
                Some(budget),
                Some(log),
                Some(sdk_shortcut),
            ) => {
                let settings = IngressSettings {
                    dedup_ttl: ttl,
                    dedup_key,
                    bot_events,
                    ack_budget: Duration::from_millis(budget),
                };
                Ok(Self { secret, store, sink, settings, sdk_shortcut, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// Hexadecimal digits.
const SLACKS_SECRET_LEN: usize = 32;

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
