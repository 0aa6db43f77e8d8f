//! The outputs of the stacks, in place of variables: the file that `cdk deploy --outputs-file` writes, and what
//! `sam list stack-outputs --output json` and `aws cloudformation describe-stacks` print.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::CommandError;

/// The prefix of the outputs that name the secrets of bot tokens. That of the first installation has nothing behind it, those of
/// further ones have the tenant.
const BOT_TOKEN_SECRET: &str = "BotTokenSecretArn";

/// The outputs of all stacks, by name.
#[derive(Debug, Default)]
pub(super) struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// Reads files; `-` is standard input.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, CommandError> {
        let mut all = Self::default();
        for path in paths {
            let text = if path.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(path)
            };
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            let json: Value = serde_json::from_str(&text)
                .map_err(|error| format!("{}: no JSON: {error}", path.display()))?;
            all.collect(&json)?;
        }
        if !paths.is_empty() && all.0.is_empty() {
            return Err("no outputs of a stack in what --outputs names".into());
        }
        Ok(all)
    }

    /// Takes what `json` has: objects with `OutputKey` and `OutputValue`, wherever they are; and else the texts in the object of
    /// each stack.
    fn collect(&mut self, json: &Value) -> Result<(), CommandError> {
        match json {
            Value::Array(items) => items.iter().try_for_each(|item| self.collect(item)),
            Value::Object(fields) => match (fields.get("OutputKey"), fields.get("OutputValue")) {
                (Some(Value::String(name)), Some(Value::String(value))) => self.add(name, value),
                _ if fields.contains_key("StackId") => {
                    fields.get("Outputs").map_or(Ok(()), |outputs| self.collect(outputs))
                }
                _ => fields.iter().try_for_each(|(name, value)| match value {
                    Value::String(text) => self.add(name, text),
                    inner => self.collect(inner),
                }),
            },
            _ => Ok(()),
        }
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), CommandError> {
        match self.0.insert(name.to_owned(), value.to_owned()) {
            Some(other) if other != value && name == "RequestUrl" => {
                Err("the outputs are those of several ingresses: give those of one and of its agent".into())
            }
            _ => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The region of the stacks, by the ARN of a secret.
    pub(super) fn region(&self) -> Option<&str> {
        let arn = self.get("SigningSecretArn").or(self.get(BOT_TOKEN_SECRET))?;
        arn.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn request_url(&self) -> Option<&str> {
        self.get("RequestUrl")
    }

    /// The value that the stack gives this variable of the functions.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let owned = |output: &str| self.get(output).map(str::to_owned);
        match name {
            "SLACK_SIGNING_SECRET_ARN" => owned("SigningSecretArn"),
            "DEDUP_STORE" => self.get("TableName").map(|table| format!("dynamodb:{table}")),
            "EVENT_SINK" => owned("QueueUrl"),
            "BOT_TOKEN_SECRET_ARN" => owned(BOT_TOKEN_SECRET),
            "TOOLS_GATEWAY_URL" => owned("GatewayUrl"),
            _ => None,
        }
    }

    /// The table with the work records, if it is another one than the ingress's: with two regions they share one.
    pub(super) fn work_table(&self) -> Option<&str> {
        self.get("GuardTableName")
    }

    /// The tenants of the installations after the first, and the secrets of their tokens.
    pub(super) fn more_bot_tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, arn)| {
            let tenant = name.strip_prefix(BOT_TOKEN_SECRET).filter(|tenant| !tenant.is_empty())?;
            Some((tenant, arn.as_str()))
        })
    }

    /// Whether the app is an agent in Slack. So it is unless the stack says no.
    pub(super) fn is_agent_view(&self) -> bool {
        self.get("AgentView") != Some("false")
    }

    pub(super) fn reads_files(&self) -> bool {
        self.get("ReadsFiles") == Some("true")
    }

    /// Whether the members of a user group decide about a tool. No stack of before approvals says so.
    pub(super) fn asks_user_groups(&self) -> bool {
        self.get("AsksUserGroups") == Some("true")
    }

    /// Whether Slack has to be asked who somebody is. It need not be if guests and people of another company may ask. `None`: the stack
    /// is of a version that lets everybody ask, or there are no outputs.
    pub(super) fn looks_people_up(&self) -> Option<bool> {
        let may = self.get("WhoMayAsk")?;
        Some(!["guests", "external"].iter().all(|kind| may.split(',').any(|it| it == *kind)))
    }

    pub(super) fn has_trello(&self) -> bool {
        self.get("TrelloSecretArn").is_some()
    }

    /// Whether the stack itself has made the Gateway with the agent's tools.
    pub(super) fn has_gateway(&self) -> bool {
        self.get("GatewayUrl").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(json: &Value) -> Outputs {
        let mut outputs = Outputs::default();
        outputs.collect(json).unwrap();
        outputs
    }

    #[test]
    fn the_outputs_are_read_in_each_form_that_a_tool_writes() {
        let cdk = of(&json!({
            "SlackIngress": { "RequestUrl": "https://x/slack/events", "TableName": "t", "QueueUrl": "https://sqs.x/q" },
            "SlackIngressAgent": {
                "BotTokenSecretArn": "arn:1", "BotTokenSecretArnT0789GHI": "arn:2", "GatewayUrl": "https://g/mcp",
                "AgentView": "false", "ReadsFiles": "true", "AsksUserGroups": "true", "WhoMayAsk": "members,guests,external",
            },
        }));
        assert_eq!(cdk.request_url(), Some("https://x/slack/events"));
        assert_eq!(cdk.variable("DEDUP_STORE").as_deref(), Some("dynamodb:t"));
        assert_eq!(cdk.work_table(), None);
        let of_two = of(&json!({ "SlackIngress": { "TableName": "t", "GuardTableName": "g" } }));
        assert_eq!(of_two.work_table(), Some("g"));
        assert_eq!(cdk.variable("EVENT_SINK").as_deref(), Some("https://sqs.x/q"));
        assert_eq!(cdk.variable("BOT_TOKEN_SECRET_ARN").as_deref(), Some("arn:1"));
        assert_eq!(cdk.more_bot_tokens().collect::<Vec<_>>(), [("T0789GHI", "arn:2")]);
        assert_eq!((cdk.looks_people_up(), of_two.looks_people_up()), (Some(false), None));
        assert!(cdk.asks_user_groups() && !of_two.asks_user_groups());
        assert!(!cdk.is_agent_view() && cdk.reads_files() && cdk.has_gateway() && !cdk.has_trello());

        let pair = json!({ "OutputKey": "SigningSecretArn", "OutputValue": "arn:s", "Description": "words" });
        let sam = of(&json!([pair]));
        let described = of(&json!({ "Stacks": [{
            "StackId": "arn:stack", "StackName": "slack", "Outputs": [pair], "Parameters": [{ "ParameterKey": "TableName" }],
        }] }));
        for outputs in [sam, described] {
            assert_eq!(outputs.variable("SLACK_SIGNING_SECRET_ARN").as_deref(), Some("arn:s"));
            assert_eq!((outputs.0.len(), outputs.is_agent_view()), (1, true), "{outputs:?}");
        }
    }

    #[test]
    fn the_region_is_that_of_a_secret() {
        let of = |arn: &str| of(&json!({ "Stack": { "SigningSecretArn": arn } })).region().map(str::to_owned);
        assert_eq!(
            of("arn:aws:secretsmanager:eu-central-1:123456789012:secret:x").as_deref(),
            Some("eu-central-1")
        );
        assert_eq!(
            of("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x").as_deref(),
            Some("cn-north-1")
        );
        assert_eq!((of("a-name"), Outputs::default().region()), (None, None));
    }

    #[test]
    fn the_outputs_of_two_ingresses_are_refused() {
        let two = json!({ "One": { "RequestUrl": "https://x/slack/events" }, "Two": { "RequestUrl": "https://y/slack/events" } });
        assert!(Outputs::default().collect(&two).is_err());
    }
}
