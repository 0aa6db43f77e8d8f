//! The configuration of `token-rotation`.

use tracing_subscriber::filter::Targets;

use super::ConfigError;
use super::parse::{WORK_STORES, log, required, trimmed, value_or_problem, work_table};
use crate::slack::oauth::API_URL;

/// What the environment of `token-rotation` says.
#[derive(Debug)]
pub struct RotationConfig {
    /// The name or the ARN of the table with the claims (`DEDUP_STORE`).
    pub table: String,
    /// The secrets with the bot tokens, by ARN or name (`BOT_TOKEN_SECRETS`).
    pub bot_tokens: Vec<String>,
    /// The secret with the app's client id and client secret (`APP_CREDENTIALS_SECRET`).
    pub app: String,
    /// The address of Slack's Web API (`SLACK_API_URL`, for tests). Without the variable it is Slack's own.
    pub slack_api: String,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

/// What `BOT_TOKEN_SECRETS` may be, for the text of a problem.
const SECRETS: &str = "the ARNs or names of secrets, separated by commas, each once";
/// What `APP_CREDENTIALS_SECRET` may be.
const SECRET: &str = "the ARN or the name of a secret";

impl RotationConfig {
    /// Reads the configuration. `lookup` gives the value of a variable; an empty value is as good as none.
    ///
    /// # Errors
    /// When a variable is missing or wrong. The error has all problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));
        let table = value_or_problem(
            &mut problems,
            required("DEDUP_STORE", WORK_STORES, get("DEDUP_STORE"), work_table),
        );
        let bot_tokens = value_or_problem(
            &mut problems,
            required("BOT_TOKEN_SECRETS", SECRETS, get("BOT_TOKEN_SECRETS"), secrets),
        );
        let app = value_or_problem(
            &mut problems,
            required("APP_CREDENTIALS_SECRET", SECRET, get("APP_CREDENTIALS_SECRET"), secret),
        );
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        let slack_api = get("SLACK_API_URL").unwrap_or_else(|| API_URL.to_owned());
        match (table, bot_tokens, app, log) {
            (Some(table), Some(bot_tokens), Some(app), Some(log)) => {
                Ok(Self { table, bot_tokens, app, slack_api, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// Checks the name or the ARN of a secret, by the characters that they may have.
fn secret(value: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&byte);
    // Somebody may have put a token in the place of its secret.
    if value.is_empty() || !value.bytes().all(is_known) || value.starts_with("xox") {
        return Err("that is no name of a secret".to_owned());
    }
    Ok(value.to_owned())
}

fn secrets(value: &str) -> Result<Vec<String>, String> {
    let mut secrets = Vec::new();
    for one in value.split(',') {
        let one = secret(one.trim())?;
        // Two names of one secret do no harm: its refresh token is claimed once. CDK refuses the same one twice, too.
        if secrets.contains(&one) {
            return Err("a secret stands twice".to_owned());
        }
        secrets.push(one);
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: [(&str, &str); 3] = [
        ("DEDUP_STORE", "dynamodb:slack-events"),
        ("BOT_TOKEN_SECRETS", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf, b/c"),
        ("APP_CREDENTIALS_SECRET", "slack/app"),
    ];

    fn config(name: &str, value: &str) -> Result<RotationConfig, ConfigError> {
        RotationConfig::from_lookup(|wanted| {
            let right = RIGHT.iter().find(|(known, _)| *known == wanted).map(|(_, value)| *value);
            if wanted == name { Some(value) } else { right }.map(str::to_owned)
        })
    }

    #[test]
    fn the_secrets_are_a_list_and_slack_is_slack() {
        let config = config("", "").unwrap();
        assert_eq!(config.bot_tokens.len(), 2);
        assert_eq!((config.bot_tokens[1].as_str(), config.app.as_str()), ("b/c", "slack/app"));
        assert_eq!(
            (config.table.as_str(), config.slack_api.as_str()),
            ("slack-events", "https://slack.com/api")
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_a_token_is_not_quoted() {
        for (name, value) in [
            ("DEDUP_STORE", "memory:"),
            ("BOT_TOKEN_SECRETS", " "),
            ("BOT_TOKEN_SECRETS", "a,"),
            ("BOT_TOKEN_SECRETS", "a,a"),
            ("BOT_TOKEN_SECRETS", "xoxb-xyzzy"),
            ("APP_CREDENTIALS_SECRET", "xyzzy xyzzy"),
        ] {
            let problems = config(name, value).unwrap_err().problems().join(" ");
            assert!(problems.contains(name) && !problems.contains("xyzzy"), "{problems}");
        }
        assert_eq!(RotationConfig::from_lookup(|_| None).unwrap_err().problems().len(), 3);
    }
}
