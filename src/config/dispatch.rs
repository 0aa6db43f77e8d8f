//! The configuration of `agent-dispatch`.

use std::fmt;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::ConfigError;
use super::parse::{
    QUEUE, WORK_STORES, dm_conversation, log, number, one_of, queue, required, sdk_shortcut, trimmed,
    value_or_problem, who_may_ask, work_table,
};
use crate::dispatch::reply::AgentProtocol;
use crate::dispatch::{AgentEvents, DispatchSettings};
use crate::work::receive::Limits;

/// What the environment of `agent-dispatch` says.
#[derive(Debug)]
pub struct DispatchConfig {
    /// Which agent gets the events (`AGENT_RUNTIME_ARN`).
    pub runtime: RuntimeArn,
    /// The endpoint of the agent (`AGENT_RUNTIME_QUALIFIER`). Without the variable it is `DEFAULT`.
    pub qualifier: String,
    /// The name or the ARN of the table with the work records (`DEDUP_STORE`).
    pub table: String,
    /// The name or the ARN of the function that settles (`SETTLE_FUNCTION`).
    pub settle_function: String,
    /// The URL of the queue that the messages come from (`EVENT_QUEUE`).
    pub queue_url: String,
    /// The URL of the queue for messages that will never work (`DEAD_LETTER_QUEUE`). It is of the same type as the other.
    pub dead_letter_url: String,
    /// What is said about the steps.
    pub settings: DispatchSettings,
    /// Whether calls to the dead-letter queue may take the shortcut through the SDK (`SDK_SHORTCUT`). Without the variable they may.
    pub sdk_shortcut: bool,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

/// The ARN of an AgentCore Runtime, such as `arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/agent-AbC123`, or of a harness
/// (`harness/…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeArn {
    arn: String,
    region: String,
    is_of_harness: bool,
}

impl RuntimeArn {
    /// The region of the agent, such as `eu-west-1`. The dispatcher may run in another one.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it names AgentCore's managed loop.
    pub const fn is_of_harness(&self) -> bool {
        self.is_of_harness
    }
}

impl fmt::Display for RuntimeArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// What `SETTLE_FUNCTION` may be, for the text of a problem.
const FUNCTION: &str = "the name or the ARN of the function agent-settle";
/// What `AGENT_RUNTIME_ARN` may be, for the text of a problem.
const RUNTIME: &str =
    "arn:…:bedrock-agentcore:<region>:<account>:runtime/<id>, or harness/<id> with AGENT_PROTOCOL=plain";

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
        let table = value_or_problem(
            &mut problems,
            required("DEDUP_STORE", WORK_STORES, get("DEDUP_STORE"), work_table),
        );
        let queue_url = value_or_problem(&mut problems, queue("EVENT_QUEUE"));
        let dead_letter_url = value_or_problem(&mut problems, queue("DEAD_LETTER_QUEUE"));
        let settle_function = value_or_problem(
            &mut problems,
            required("SETTLE_FUNCTION", FUNCTION, get("SETTLE_FUNCTION"), |value| Ok(value.to_owned())),
        );
        let protocol = value_or_problem(
            &mut problems,
            one_of(
                "AGENT_PROTOCOL",
                get("AGENT_PROTOCOL"),
                [("work", AgentProtocol::Work), ("plain", AgentProtocol::Plain)],
            ),
        );
        let events = value_or_problem(
            &mut problems,
            one_of(
                "AGENT_EVENTS",
                get("AGENT_EVENTS"),
                [("questions", AgentEvents::Questions), ("all", AgentEvents::All)],
            ),
        );
        let dm_conversation = value_or_problem(&mut problems, dm_conversation(get("DM_CONVERSATION")));
        let who_may_ask = value_or_problem(&mut problems, who_may_ask(get("WHO_MAY_ASK")));
        // A function runs for 15 minutes at the most, and needs a part of them for other calls.
        let longest = if protocol == Some(AgentProtocol::Plain) { 840 } else { 885 };
        let agent_timeout = value_or_problem(&mut problems, seconds("AGENT_TIMEOUT_SECONDS", 45, longest));
        let max_attempts =
            value_or_problem(&mut problems, number("MAX_ATTEMPTS", get("MAX_ATTEMPTS"), 3, 1, 100));
        // The queue keeps a message for 14 days, and the record is kept for longer.
        let give_up_after =
            value_or_problem(&mut problems, seconds("GIVE_UP_AFTER_SECONDS", 86_400, 13 * 86_400));
        let post_wait = value_or_problem(&mut problems, seconds("POST_WAIT_SECONDS", 90, 900));
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        let sdk_shortcut = value_or_problem(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));
        if let (Some(queue), Some(dead_letters)) = (&queue_url, &dead_letter_url) {
            problems.extend(mismatch(queue, dead_letters));
        }
        if runtime.as_ref().is_some_and(RuntimeArn::is_of_harness) {
            problems.extend(of_harness(protocol, events));
        }

        let limits = || {
            let max_attempts = u32::try_from(max_attempts?).unwrap_or(u32::MAX);
            Some(Limits { max_attempts, give_up_after: give_up_after?, post_wait: post_wait? })
        };
        let settings = || {
            Some(DispatchSettings {
                agent_timeout: agent_timeout?,
                limits: limits()?,
                protocol: protocol?,
                events: events?,
                dm_conversation: dm_conversation?,
                who_may_ask: who_may_ask?,
            })
        };
        match (runtime, table, queue_url, dead_letter_url, settle_function, settings(), log, sdk_shortcut) {
            (
                Some(runtime),
                Some(table),
                Some(queue_url),
                Some(dead_letter_url),
                Some(settle_function),
                Some(settings),
                Some(log),
                Some(sdk_shortcut),
            ) if problems.is_empty() => {
                let qualifier = get("AGENT_RUNTIME_QUALIFIER").unwrap_or_else(|| "DEFAULT".to_owned());
                Ok(Self {
                    runtime,
                    qualifier,
                    table,
                    settle_function,
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

/// Checks the ARN of an AgentCore Runtime or of a harness.
fn runtime_arn(value: &str) -> Result<RuntimeArn, String> {
    match value.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "bedrock-agentcore", region, account, resource]
            if !region.is_empty()
                && !account.is_empty()
                && matches!(
                    resource.split('/').collect::<Vec<_>>().as_slice(),
                    ["runtime" | "harness", id] if !id.is_empty()
                ) =>
        {
            let is_of_harness = resource.starts_with("harness/");
            Ok(RuntimeArn { arn: value.to_owned(), region: (*region).to_owned(), is_of_harness })
        }
        _ => Err("that is no ARN of an AgentCore Runtime or of a harness".to_owned()),
    }
}

/// Says what a harness cannot do that is wanted of it, if something is.
fn of_harness(protocol: Option<AgentProtocol>, events: Option<AgentEvents>) -> Vec<String> {
    let mut problems = Vec::new();
    if protocol == Some(AgentProtocol::Work) {
        problems.push("AGENT_PROTOCOL must be plain: a harness knows nothing of work records".to_owned());
    }
    if events == Some(AgentEvents::All) {
        problems.push("AGENT_EVENTS must be questions: a harness is told the words of a question".to_owned());
    }
    problems
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
    use crate::slack::asker::WhoMayAsk;
    use crate::slack::payload::DmConversation;
    use std::collections::HashMap;

    const ARN: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/agent-AbC123";

    fn config(changes: &[(&str, &str)]) -> Result<DispatchConfig, Vec<String>> {
        let mut variables: HashMap<&str, &str> = [
            ("AGENT_RUNTIME_ARN", ARN),
            ("DEDUP_STORE", "dynamodb:events"),
            ("EVENT_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/events.fifo"),
            ("DEAD_LETTER_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/dead.fifo"),
            ("SETTLE_FUNCTION", "agent-settle"),
        ]
        .into();
        variables.extend(changes.iter().copied());
        DispatchConfig::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
            .map_err(|error| error.problems)
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let config = config(&[]).unwrap();
        let DispatchSettings { agent_timeout, limits, protocol, events, dm_conversation, who_may_ask } =
            config.settings;
        assert_eq!(who_may_ask, WhoMayAsk::default());
        assert_eq!((agent_timeout.as_secs(), limits.max_attempts), (45, 3));
        assert_eq!((limits.give_up_after.as_secs(), limits.post_wait.as_secs()), (86_400, 90));
        assert_eq!((protocol, events), (AgentProtocol::Work, AgentEvents::Questions));
        assert_eq!(dm_conversation, DmConversation::Channel);
        assert_eq!((config.settle_function.as_str(), config.table.as_str()), ("agent-settle", "events"));
        assert_eq!((config.qualifier.as_str(), config.queue_name()), ("DEFAULT", "events.fifo"));
        assert_eq!((config.runtime.to_string().as_str(), config.runtime.region()), (ARN, "eu-west-1"));
    }

    #[test]
    fn what_is_set_counts() {
        let config = config(&[
            ("AGENT_RUNTIME_QUALIFIER", "blue"),
            ("AGENT_TIMEOUT_SECONDS", "840"),
            ("MAX_ATTEMPTS", "1"),
            ("GIVE_UP_AFTER_SECONDS", "3600"),
            ("POST_WAIT_SECONDS", "5"),
            ("AGENT_PROTOCOL", "plain"),
            ("AGENT_EVENTS", "all"),
            ("DM_CONVERSATION", "thread"),
            ("WHO_MAY_ASK", "members,guests,external,bots"),
            ("SETTLE_FUNCTION", "arn:aws:lambda:eu-west-1:1:function:settle"),
        ])
        .unwrap();
        let DispatchSettings { agent_timeout, limits, protocol, events, dm_conversation, who_may_ask } =
            config.settings;
        assert_eq!(who_may_ask, WhoMayAsk::EVERYBODY);
        assert_eq!((agent_timeout.as_secs(), limits.max_attempts), (840, 1));
        assert_eq!((limits.give_up_after.as_secs(), limits.post_wait.as_secs()), (3600, 5));
        assert_eq!((protocol, events), (AgentProtocol::Plain, AgentEvents::All));
        assert_eq!(dm_conversation, DmConversation::Thread);
        assert_eq!(config.settle_function, "arn:aws:lambda:eu-west-1:1:function:settle");
        assert_eq!(config.qualifier, "blue");
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let problems = config(&[
            ("AGENT_RUNTIME_ARN", "agent"),
            ("DEDUP_STORE", "memory:"),
            ("EVENT_QUEUE", ""),
            ("DEAD_LETTER_QUEUE", "stdout:"),
            ("SETTLE_FUNCTION", " "),
            ("AGENT_PROTOCOL", "fire and forget"),
            ("AGENT_EVENTS", "none"),
            ("DM_CONVERSATION", "user"),
            ("WHO_MAY_ASK", "guests"),
            ("AGENT_TIMEOUT_SECONDS", "886"),
            ("MAX_ATTEMPTS", "many"),
            ("GIVE_UP_AFTER_SECONDS", "0"),
            ("POST_WAIT_SECONDS", "901"),
            ("RUST_LOG", "=="),
        ])
        .unwrap_err();
        let names = [
            "AGENT_RUNTIME_ARN",
            "DEDUP_STORE",
            "EVENT_QUEUE",
            "DEAD_LETTER_QUEUE",
            "SETTLE_FUNCTION",
            "AGENT_PROTOCOL",
            "AGENT_EVENTS",
            "DM_CONVERSATION",
            "WHO_MAY_ASK",
            "AGENT_TIMEOUT_SECONDS",
            "MAX_ATTEMPTS",
            "GIVE_UP_AFTER_SECONDS",
            "POST_WAIT_SECONDS",
            "RUST_LOG",
        ];
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(name), "{name}: {problem}");
        }
    }

    #[test]
    fn a_plain_agent_has_less_time_because_its_answer_is_posted_in_the_same_invocation() {
        let seconds = |protocol, seconds| {
            config(&[("AGENT_PROTOCOL", protocol), ("AGENT_TIMEOUT_SECONDS", seconds)]).is_ok()
        };
        assert!(seconds("work", "885") && !seconds("plain", "885") && seconds("plain", "840"));
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
    fn a_harness_answers_questions_by_itself() {
        let arn =
            ("AGENT_RUNTIME_ARN", "arn:aws:bedrock-agentcore:eu-west-1:123456789012:harness/Assistant-x");
        let plain = ("AGENT_PROTOCOL", "plain");
        let config_of = config(&[arn, plain]).unwrap();
        assert!(config_of.runtime.is_of_harness() && config_of.runtime.region() == "eu-west-1");
        let problems = config(&[arn, ("AGENT_EVENTS", "all")]).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("AGENT_PROTOCOL must be plain"), "{problems:?}");
        assert!(!config(&[plain]).unwrap().runtime.is_of_harness());
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
