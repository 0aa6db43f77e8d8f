//! The configuration of the ingress.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{
    SINKS, STORES, dm_conversation, log, number, required, sdk_shortcut, sink, store, trimmed, ttl,
    value_or_problem,
};
use super::{ConfigError, SinkConfig, StoreConfig};
use crate::fast_path::rules::Rules;
use crate::ingress::{BotEvents, IngressSettings};
use crate::slack::payload::{ControlEvents, DedupKey};
use crate::slack::retries;
use crate::slack::secrets::text::{SecretText, SecretTextError};
use crate::slack::token_secrets::TokenSecrets;

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
    /// What is answered at once; absent if there are no rules.
    pub fast_path: Option<FastPathConfig>,
    /// Whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). Without the variable
    /// they may.
    pub sdk_shortcut: bool,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

/// The fast path, and what its calls need.
#[derive(Debug)]
pub struct FastPathConfig {
    /// The rules (`FAST_PATH`).
    pub rules: Rules,
    /// Where the bot tokens are (`SLACK_BOT_TOKEN_ARN`); absent if no rule opens a modal.
    pub bot_tokens: Option<TokenSecrets>,
    /// The address of Slack's Web API (`SLACK_API_URL`, for tests). Without the variable it is Slack's own.
    pub slack_api: String,
    /// The address of Lambda's API, if it is another than AWS's (`AWS_ENDPOINT_URL_LAMBDA`, or else `AWS_ENDPOINT_URL`).
    pub lambda: Option<String>,
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
        let fast_path = fast_path(&mut problems, get);

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
            ) if problems.is_empty() => {
                let settings = IngressSettings {
                    dedup_ttl: ttl,
                    dedup_key,
                    dm_conversation,
                    control_events,
                    bot_events,
                    ack_budget: Duration::from_millis(budget),
                };
                Ok(Self { secret, store, sink, settings, fast_path, sdk_shortcut, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// Reads `FAST_PATH` and what its rules need.
fn fast_path(problems: &mut Vec<String>, get: impl Fn(&str) -> Option<String>) -> Option<FastPathConfig> {
    let value = get("FAST_PATH")?;
    let text = if value.starts_with('{') {
        value
    } else {
        match std::fs::read_to_string(&value) {
            Ok(text) => text,
            Err(error) => {
                let what = "the JSON itself, or a file that can be read: beside `bootstrap`, or in a layer under /opt";
                problems.push(format!("FAST_PATH: {value:?}: {error}; expected {what}"));
                return None;
            }
        }
    };
    let rules = match Rules::parse(&text) {
        Ok(rules) => rules,
        Err(wrong) => {
            problems.extend(wrong.into_iter().map(|problem| format!("FAST_PATH: {problem}")));
            return None;
        }
    };
    // It is read only if a rule needs it.
    let bot_tokens = match get("SLACK_BOT_TOKEN_ARN").filter(|_| rules.need_bot_token()) {
        Some(value) => {
            let secrets = TokenSecrets::parse(&value).map_err(|why| format!("SLACK_BOT_TOKEN_ARN: {why}"));
            Some(value_or_problem(problems, secrets)?)
        }
        None if rules.need_bot_token() => {
            problems.push("SLACK_BOT_TOKEN_ARN is missing, and a rule of FAST_PATH opens a modal".to_owned());
            None
        }
        None => None,
    };
    let slack_api = get("SLACK_API_URL").unwrap_or_else(|| SLACK_API.to_owned());
    let lambda = get("AWS_ENDPOINT_URL_LAMBDA").or_else(|| get("AWS_ENDPOINT_URL"));
    Some(FastPathConfig { rules, bot_tokens, slack_api, lambda })
}

/// Slack's Web API.
const SLACK_API: &str = "https://slack.com/api";

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
