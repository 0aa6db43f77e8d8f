//! What `agent-dispatch` is told by its environment.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{
    MAX_TTL_SECONDS, STORES, keep, log, number, required, sdk_shortcut, shared_store, sink, trimmed,
};
use super::{ConfigError, SinkConfig, StoreConfig};
use crate::dispatch::DispatchSettings;

/// Everything that can be set.
#[derive(Debug)]
pub struct DispatchConfig {
    /// The agent.
    pub runtime: RuntimeArn,
    /// Its endpoint.
    pub qualifier: String,
    /// Where records are kept.
    pub store: StoreConfig,
    /// The URL of the queue that feeds it.
    pub queue_url: String,
    /// The URL of the queue for what will never work.
    pub dead_letter_url: String,
    /// What can be set about the steps.
    pub settings: DispatchSettings,
    /// `SDK_SHORTCUT`: whether calls to DynamoDB and SQS may take the shortcut through the SDK.
    pub sdk_shortcut: bool,
    /// `RUST_LOG`
    pub log: Targets,
}

/// The ARN of an AgentCore Runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeArn {
    arn: String,
    region: String,
}

impl RuntimeArn {
    /// Where it runs, which need not be where we do.
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl fmt::Display for RuntimeArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

const RUNTIME: &str = "arn:…:bedrock-agentcore:<region>:<account>:runtime/<id>";
const QUEUE: &str = "an SQS queue URL";

impl DispatchConfig {
    /// The configuration in the variables that `lookup` gives; an empty one is as good as none.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));
        let queue = |name: &str| required(name, QUEUE, get(name), queue);
        let seconds =
            |name: &str, default, max| number(name, get(name), default, 1, max).map(Duration::from_secs);

        let runtime = keep(
            &mut problems,
            required("AGENT_RUNTIME_ARN", RUNTIME, get("AGENT_RUNTIME_ARN"), runtime_arn),
        );
        let store = keep(&mut problems, required("DEDUP_STORE", STORES, get("DEDUP_STORE"), shared_store));
        let queue_url = keep(&mut problems, queue("EVENT_QUEUE"));
        let dead_letter_url = keep(&mut problems, queue("DEAD_LETTER_QUEUE"));
        // A function runs for 15 minutes at the most, and ten seconds of them are not the agent's.
        let agent_timeout = keep(&mut problems, seconds("AGENT_TIMEOUT_SECONDS", 45, 890));
        // Longer than the queue keeps a message: it may come again until then.
        let dedup_ttl = keep(&mut problems, seconds("DEDUP_TTL_SECONDS", 432_000, MAX_TTL_SECONDS));
        let max_attempts = keep(&mut problems, number("MAX_ATTEMPTS", get("MAX_ATTEMPTS"), 8, 1, 100));
        let log = keep(&mut problems, log(get("RUST_LOG")));
        let sdk_shortcut = keep(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));
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

    /// The queue's name: the end of its URL.
    pub fn queue_name(&self) -> &str {
        self.queue_url.rsplit('/').next().unwrap_or_default()
    }
}

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

fn queue(value: &str) -> Result<String, String> {
    match sink(value)? {
        SinkConfig::Sqs { queue_url } => Ok(queue_url),
        _ => Err("that is no queue".to_owned()),
    }
}

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
