//! The configuration of `agent-dispatch`.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{
    MAX_TTL_SECONDS, STORES, log, number, required, sdk_shortcut, shared_store, sink, trimmed,
    value_or_problem,
};
use super::{ConfigError, SinkConfig, StoreConfig};
use crate::dispatch::DispatchSettings;

/// What the environment of `agent-dispatch` says.
#[derive(Debug)]
pub struct DispatchConfig {
    /// Which agent gets the events (`AGENT_RUNTIME_ARN`).
    pub runtime: RuntimeArn,
    /// The endpoint of the agent (`AGENT_RUNTIME_QUALIFIER`). Without the variable it is `DEFAULT`.
    pub qualifier: String,
    /// Where records are kept (`DEDUP_STORE`).
    pub store: StoreConfig,
    /// The URL of the queue that the messages come from (`EVENT_QUEUE`).
    pub queue_url: String,
    /// The URL of the queue for messages that will never work (`DEAD_LETTER_QUEUE`). It is of the same type as the other.
    pub dead_letter_url: String,
    /// What is said about the steps.
    pub settings: DispatchSettings,
    /// Whether calls to DynamoDB and SQS may take the shortcut through the SDK (`SDK_SHORTCUT`). Without the variable they may.
    pub sdk_shortcut: bool,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

/// The ARN of an AgentCore Runtime, such as `arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/agent-AbC123`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeArn {
    arn: String,
    region: String,
}

impl RuntimeArn {
    /// The region of the agent, such as `eu-west-1`. The dispatcher may run in another one.
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl fmt::Display for RuntimeArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// What `AGENT_RUNTIME_ARN` may be, for the text of a problem.
const RUNTIME: &str = "arn:…:bedrock-agentcore:<region>:<account>:runtime/<id>";
/// What the two variables of queues may be, for the text of a problem.
const QUEUE: &str = "an SQS queue URL";

impl DispatchConfig {
    /// Reads the configuration. `lookup` gives the value of a variable; an empty value is as good as none.
    ///
    /// # Errors
    /// When a variable is missing or wrong. The error has all problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));
        let queue = |name: &str| required(name, QUEUE, get(name), queue);
        let seconds =
            |name: &str, default, max| number(name, get(name), default, 1, max).map(Duration::from_secs);

        let runtime = value_or_problem(
            &mut problems,
            required("AGENT_RUNTIME_ARN", RUNTIME, get("AGENT_RUNTIME_ARN"), runtime_arn),
        );
        let store = value_or_problem(
            &mut problems,
            required("DEDUP_STORE", STORES, get("DEDUP_STORE"), shared_store),
        );
        let queue_url = value_or_problem(&mut problems, queue("EVENT_QUEUE"));
        let dead_letter_url = value_or_problem(&mut problems, queue("DEAD_LETTER_QUEUE"));
        // A function runs for 15 minutes at the most, and needs ten seconds of them for other calls.
        let agent_timeout = value_or_problem(&mut problems, seconds("AGENT_TIMEOUT_SECONDS", 45, 890));
        // The default is five days. The queue keeps a message for less than that, and may hand it out again until then.
        let dedup_ttl =
            value_or_problem(&mut problems, seconds("DEDUP_TTL_SECONDS", 432_000, MAX_TTL_SECONDS));
        let max_attempts =
            value_or_problem(&mut problems, number("MAX_ATTEMPTS", get("MAX_ATTEMPTS"), 8, 1, 100));
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        let sdk_shortcut = value_or_problem(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));
        if let (Some(queue), Some(dead_letters)) = (&queue_url, &dead_letter_url) {
            problems.extend(mismatch(queue, dead_letters));
        }

        match (
            runtime,
            store,
            queue_url,
            dead_letter_url,
            agent_timeout,
            dedup_ttl,
            max_attempts,
            log,
            sdk_shortcut,
        ) {
            (
                Some(runtime),
                Some(store),
                Some(queue_url),
                Some(dead_letter_url),
                Some(agent_timeout),
                Some(dedup_ttl),
                Some(max_attempts),
                Some(log),
                Some(sdk_shortcut),
            ) if problems.is_empty() => {
                let max_attempts = u32::try_from(max_attempts).unwrap_or(u32::MAX);
                let qualifier = get("AGENT_RUNTIME_QUALIFIER").unwrap_or_else(|| "DEFAULT".to_owned());
                let settings = DispatchSettings { agent_timeout, dedup_ttl, max_attempts };
                Ok(Self {
                    runtime,
                    qualifier,
                    store,
                    queue_url,
                    dead_letter_url,
                    settings,
                    sdk_shortcut,
                    log,
                })
            }
            _ => Err(ConfigError { problems }),
        }
    }

    /// The name of the queue that the messages come from, such as `slack-events.fifo`: the last part of its URL.
    pub fn queue_name(&self) -> &str {
        self.queue_url.rsplit('/').next().unwrap_or_default()
    }
}

/// Checks the ARN of an AgentCore Runtime.
fn runtime_arn(value: &str) -> Result<RuntimeArn, String> {
    match value.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "bedrock-agentcore", region, account, resource]
            if !region.is_empty()
                && !account.is_empty()
                && resource
                    .strip_prefix("runtime/")
                    .is_some_and(|id| !id.is_empty() && !id.contains('/')) =>
        {
            Ok(RuntimeArn { arn: value.to_owned(), region: (*region).to_owned() })
        }
        _ => Err("that is no ARN of an AgentCore Runtime".to_owned()),
    }
}

/// Checks the URL of a queue.
fn queue(value: &str) -> Result<String, String> {
    match sink(value)? {
        SinkConfig::Sqs { queue_url } => Ok(queue_url),
        _ => Err("that is no queue".to_owned()),
    }
}

/// Says what is wrong with the two queues together, if something is.
fn mismatch(queue: &str, dead_letters: &str) -> Option<String> {
    let is_fifo = |url: &str| url.ends_with(".fifo");
    if queue == dead_letters {
        return Some("EVENT_QUEUE and DEAD_LETTER_QUEUE are the same queue".to_owned());
    }
    (is_fifo(queue) != is_fifo(dead_letters))
        .then(|| "EVENT_QUEUE and DEAD_LETTER_QUEUE: one is a FIFO queue and the other is not".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const ARN: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/agent-AbC123";

    fn config(changes: &[(&str, &str)]) -> Result<DispatchConfig, Vec<String>> {
        let mut variables: HashMap<&str, &str> = [
            ("AGENT_RUNTIME_ARN", ARN),
            ("DEDUP_STORE", "dynamodb:events"),
            ("EVENT_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/events.fifo"),
            ("DEAD_LETTER_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/dead.fifo"),
        ]
        .into();
        variables.extend(changes.iter().copied());
        DispatchConfig::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
            .map_err(|error| error.problems)
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let config = config(&[]).unwrap();
        let DispatchSettings { agent_timeout, dedup_ttl, max_attempts } = config.settings;
        assert_eq!((agent_timeout.as_secs(), dedup_ttl.as_secs(), max_attempts), (45, 432_000, 8));
        assert_eq!((config.qualifier.as_str(), config.queue_name()), ("DEFAULT", "events.fifo"));
        assert_eq!((config.runtime.to_string().as_str(), config.runtime.region()), (ARN, "eu-west-1"));
    }

    #[test]
    fn what_is_set_counts() {
        let config = config(&[
            ("AGENT_RUNTIME_QUALIFIER", "blue"),
            ("AGENT_TIMEOUT_SECONDS", "890"),
            ("DEDUP_TTL_SECONDS", "60"),
            ("MAX_ATTEMPTS", "1"),
        ])
        .unwrap();
        let DispatchSettings { agent_timeout, dedup_ttl, max_attempts } = config.settings;
        assert_eq!((agent_timeout.as_secs(), dedup_ttl.as_secs(), max_attempts), (890, 60, 1));
        assert_eq!(config.qualifier, "blue");
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let problems = config(&[
            ("AGENT_RUNTIME_ARN", "agent"),
            ("DEDUP_STORE", "memory:"),
            ("EVENT_QUEUE", ""),
            ("DEAD_LETTER_QUEUE", "stdout:"),
            ("AGENT_TIMEOUT_SECONDS", "891"),
            ("DEDUP_TTL_SECONDS", "0"),
            ("MAX_ATTEMPTS", "many"),
            ("RUST_LOG", "=="),
        ])
        .unwrap_err();
        let names = [
            "AGENT_RUNTIME_ARN",
            "DEDUP_STORE",
            "EVENT_QUEUE",
            "DEAD_LETTER_QUEUE",
            "AGENT_TIMEOUT_SECONDS",
            "DEDUP_TTL_SECONDS",
            "MAX_ATTEMPTS",
            "RUST_LOG",
        ];
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(name), "{name}: {problem}");
        }
    }

    #[test]
    fn an_arn_is_that_of_a_runtime() {
        for arn in [
            "arn:aws:bedrock-agentcore:eu-west-1:123456789012:gateway/x",
            "arn:aws:bedrock-agentcore::123456789012:runtime/x",
            "arn:aws:bedrock-agentcore:eu-west-1::runtime/x",
            "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/",
            "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/x/runtime-endpoint/y",
            "arn:aws:bedrock:eu-west-1:123456789012:runtime/x",
        ] {
            assert_eq!(config(&[("AGENT_RUNTIME_ARN", arn)]).unwrap_err().len(), 1, "{arn}");
        }
    }

    #[test]
    fn the_two_queues_are_of_one_type_and_are_two() {
        let fifo = "https://sqs.us-east-1.amazonaws.com/1/events.fifo";
        let standard = "https://sqs.us-east-1.amazonaws.com/1/dead";
        assert_eq!(config(&[("DEAD_LETTER_QUEUE", standard)]).unwrap_err().len(), 1);
        assert_eq!(config(&[("DEAD_LETTER_QUEUE", fifo)]).unwrap_err().len(), 1);
        assert_eq!(config(&[("EVENT_QUEUE", standard)]).unwrap_err().len(), 1);
        let both = [
            ("EVENT_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/events"),
            ("DEAD_LETTER_QUEUE", standard),
        ];
        assert!(config(&both).is_ok());
    }
}
