//! What the stacks deploy and AWS bills although nobody uses it, counted in the CDK's snapshot templates: `deployed.json`. A test
//! counts again, so the file cannot fall behind the templates; `UPDATE=1` writes it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::CommandError;

/// What one template has.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    /// The metrics that its alarms look at. CloudWatch bills an alarm on an expression by its metrics.
    pub(super) alarm_metrics: u64,
    pub(super) alarms: u64,
    pub(super) dashboards: u64,
    pub(super) secrets: u64,
    pub(super) kms_keys: u64,
    /// How often an hour its schedules run functions.
    pub(super) scheduled_runs_an_hour: u64,
    /// The memory of its functions, in MB; zero if they differ.
    pub(super) function_memory_mb: u64,
    /// For how many days its log groups keep a line; zero if they differ.
    pub(super) log_retention_days: u64,
    /// How many functions Lambda polls a queue for.
    pub(super) polled_queues: u64,
    /// After how many idle seconds AgentCore ends a session: the stack's setting, or else the service's default. Zero without a
    /// Runtime.
    pub(super) session_idle_seconds: u64,
}

/// The names of the templates that are counted, without `.json`.
pub(super) const TEMPLATES: [&str; 4] = [HTTP_API, FUNCTION_URL, WITH_AGENT, AGENT];
const HTTP_API: &str = "default.SlackIngress";
const FUNCTION_URL: &str = "function-url.SlackIngress";
const WITH_AGENT: &str = "agent.SlackIngress";
const AGENT: &str = "agent.SlackIngressAgent";

/// The counts of all templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deployed(BTreeMap<String, Counts>);

impl Deployed {
    /// The counts as they were written down.
    pub(super) fn read() -> Result<Self, CommandError> {
        let counts: BTreeMap<String, Counts> = serde_json::from_str(include_str!("deployed.json"))?;
        match TEMPLATES.iter().find(|name| !counts.contains_key(**name)) {
            Some(name) => Err(format!("deployed.json has no {name}").into()),
            None => Ok(Self(counts)),
        }
    }

    /// The counts as the templates have them now, so that one run of `UPDATE=1` renews all that depends on them.
    #[cfg(test)]
    pub(super) fn counted() -> Self {
        Self(tests::counted())
    }

    fn of(&self, template: &str) -> Counts {
        self.0.get(template).copied().unwrap_or_default()
    }

    /// The ingress's stack. What a Function URL changes is the same with an agent behind it.
    pub(super) fn ingress(&self, is_function_url: bool, has_agent: bool) -> Counts {
        let plain = self.of(HTTP_API);
        let mut counts = if has_agent { self.of(WITH_AGENT) } else { plain };
        if is_function_url {
            let url = self.of(FUNCTION_URL);
            counts.alarm_metrics =
                (counts.alarm_metrics + url.alarm_metrics).saturating_sub(plain.alarm_metrics);
            counts.alarms = (counts.alarms + url.alarms).saturating_sub(plain.alarms);
        }
        counts
    }

    /// The agent's stack.
    pub(super) fn agent(&self) -> Counts {
        self.of(AGENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::path::Path;

    /// Counts the resources of a template.
    fn count(template: &Value) -> Counts {
        let mut counts = Counts::default();
        let (mut memories, mut retentions) = (Vec::new(), Vec::new());
        let resources = template["Resources"].as_object().expect("resources").values();
        for (kind, properties) in
            resources.map(|it| (it["Type"].as_str().expect("a type"), &it["Properties"]))
        {
            match kind {
                "AWS::CloudWatch::Alarm" => {
                    counts.alarms += 1;
                    counts.alarm_metrics += match properties["Metrics"].as_array() {
                        Some(metrics) => {
                            metrics.iter().filter(|metric| metric.get("MetricStat").is_some()).count() as u64
                        }
                        None => 1,
                    };
                }
                "AWS::CloudWatch::Dashboard" => counts.dashboards += 1,
                "AWS::SecretsManager::Secret" => counts.secrets += 1,
                "AWS::KMS::Key" => counts.kms_keys += 1,
                "AWS::Events::Rule" | "AWS::Scheduler::Schedule" => {
                    let rate = properties["ScheduleExpression"].as_str().expect("an expression");
                    let (number, unit) = rate
                        .strip_prefix("rate(")
                        .and_then(|rate| rate.strip_suffix(')')?.split_once(' '))
                        .expect(rate);
                    let every: u64 = number.parse().expect("a number");
                    counts.scheduled_runs_an_hour += match unit {
                        "minute" | "minutes" => 60 / every,
                        other => panic!("rate({number} {other}): teach this test to count it"),
                    };
                }
                "AWS::Lambda::Function" => {
                    memories.push(properties["MemorySize"].as_u64().expect("a memory"))
                }
                "AWS::Logs::LogGroup" => {
                    retentions.push(properties["RetentionInDays"].as_u64().expect("a retention"))
                }
                "AWS::Lambda::EventSourceMapping" => counts.polled_queues += 1,
                "AWS::BedrockAgentCore::Runtime" => {
                    let idle = &properties["LifecycleConfiguration"]["IdleRuntimeSessionTimeout"];
                    // https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_LifecycleConfiguration.html
                    counts.session_idle_seconds = idle.as_u64().unwrap_or(900);
                }
                _ => {}
            }
        }
        let same = |values: Vec<u64>| match values.as_slice() {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => *first,
            _ => 0,
        };
        (counts.function_memory_mb, counts.log_retention_days) = (same(memories), same(retentions));
        counts
    }

    pub(super) fn counted() -> BTreeMap<String, Counts> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let of_template = |name: &str| {
            let file = root.join(format!("../cdk/test/snapshot/templates/{name}.json"));
            let text =
                std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            (name.to_owned(), count(&serde_json::from_str(&text).expect("JSON")))
        };
        TEMPLATES.into_iter().map(of_template).collect()
    }

    #[test]
    fn the_counts_are_those_of_the_templates_that_the_cdk_makes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = format!("{}\n", serde_json::to_string_pretty(&counted()).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(root.join("src/cost/deployed.json"), &text).unwrap();
        }
        let written = std::fs::read_to_string(root.join("src/cost/deployed.json")).unwrap();
        assert_eq!(text, written, "if this change is wanted: UPDATE=1 cargo test -p slack-dev --bins cost::");
    }

    /// So that the test above cannot count nothing.
    #[test]
    fn a_template_is_counted_by_what_aws_bills() {
        let template = serde_json::json!({ "Resources": {
            "A": { "Type": "AWS::CloudWatch::Alarm", "Properties": { "MetricName": "Errors" } },
            "B": { "Type": "AWS::CloudWatch::Alarm", "Properties": { "Metrics": [
                { "Expression": "a + b" }, { "MetricStat": {} }, { "MetricStat": {} },
            ] } },
            "C": { "Type": "AWS::CloudWatch::Dashboard", "Properties": {} },
            "D": { "Type": "AWS::SecretsManager::Secret", "Properties": {} },
            "E": { "Type": "AWS::KMS::Key", "Properties": {} },
            "F": { "Type": "AWS::Events::Rule", "Properties": { "ScheduleExpression": "rate(15 minutes)" } },
            "G": { "Type": "AWS::Lambda::Function", "Properties": { "MemorySize": 256 } },
            "H": { "Type": "AWS::Logs::LogGroup", "Properties": { "RetentionInDays": 30 } },
            "I": { "Type": "AWS::BedrockAgentCore::Runtime", "Properties": { "LifecycleConfiguration": {} } },
            "J": { "Type": "AWS::Lambda::EventSourceMapping", "Properties": {} },
        } });
        let expected = Counts {
            alarm_metrics: 3,
            alarms: 2,
            dashboards: 1,
            secrets: 1,
            kms_keys: 1,
            scheduled_runs_an_hour: 4,
            function_memory_mb: 256,
            log_retention_days: 30,
            polled_queues: 1,
            session_idle_seconds: 900,
        };
        assert_eq!(count(&template), expected);
    }
}
