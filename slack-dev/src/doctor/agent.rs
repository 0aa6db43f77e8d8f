//! The agent's side: the bot token of each installation, the tools, and a question.

use aws_sdk_dynamodb::Client;
use slack_ingress::slack::signature::SigningSecret;
use std::time::Duration;

use super::ask::{self, Question};
use super::aws::{self, Services};
use super::outputs::Outputs;
use super::report::Check;
use super::slack::SlackApi;
use super::token::{self, App, Bot};
use super::tools::{self, Expected};

/// What is known of the agent's stack.
pub(super) struct Agent {
    /// The secrets of the bot tokens; the tenant where the stack says whose it is, which it does not of the first.
    bot_tokens: Vec<(Option<String>, String)>,
    gateway_url: Option<String>,
    app: App,
    expected: Expected,
}

/// An installation whose token Slack takes.
pub(super) struct Installation {
    slack: SlackApi,
    bot: Bot,
}

impl Agent {
    pub(super) fn of(outputs: &Outputs, lookup: &impl Fn(&str) -> Option<String>) -> Self {
        let first = lookup("BOT_TOKEN_SECRET_ARN").map(|arn| (None, arn));
        let more = outputs.more_bot_tokens().map(|(tenant, arn)| (Some(tenant.to_owned()), arn.to_owned()));
        let bot_tokens: Vec<_> = first.into_iter().chain(more).collect();
        let expected = Expected {
            is_the_stacks: outputs.has_gateway(),
            has_trello: outputs.has_trello(),
            are_several: bot_tokens.len() > 1,
        };
        let app = App {
            is_agent_view: outputs.is_agent_view(),
            reads_files: outputs.reads_files(),
            asks_user_groups: outputs.asks_user_groups(),
            looks_people_up: outputs.looks_people_up(),
        };
        Self { bot_tokens, gateway_url: lookup("TOOLS_GATEWAY_URL"), app, expected }
    }

    /// Whether there is anything to ask AWS about.
    pub(super) fn is_there(&self) -> bool {
        !self.bot_tokens.is_empty() || self.gateway_url.is_some()
    }

    /// The checks, and the first installation whose token Slack takes.
    pub(super) async fn examine(
        &self,
        services: &Services,
        lookup: &impl Fn(&str) -> Option<String>,
    ) -> (Vec<Check>, Option<Installation>) {
        let (mut all, mut first) = (Vec::new(), None);
        for (tenant, secret) in &self.bot_tokens {
            let whose = tenant.as_ref().map(|tenant| format!("{tenant}: ")).unwrap_or_default();
            let (check, token) = aws::bot_token(services, secret, &whose).await;
            all.push(check);
            let Some(found) = token else { continue };
            let slack = match SlackApi::new(lookup, &found.token) {
                Ok(slack) => slack,
                Err(why) => {
                    all.push(Check::fail("bot token, Slack", why, "Set it right, or leave it out"));
                    continue;
                }
            };
            let tenant = tenant.as_deref().or(found.tenant.as_deref());
            let (checks, bot) = token::examine(&slack, self.app, tenant, &whose).await;
            all.extend(checks);
            first = first.or(bot.map(|bot| Installation { slack, bot }));
        }
        if let Some(url) = &self.gateway_url {
            match services.sdk("tools") {
                Ok(sdk) => all.extend(tools::examine(sdk, url, self.expected).await),
                Err(check) => all.push(check),
            }
        }
        (all, first)
    }
}

/// What `--ask` needs beside a token.
pub(super) struct Asking<'a> {
    pub(super) url: Option<&'a str>,
    pub(super) secrets: &'a [SigningSecret],
    pub(super) channel: &'a str,
    pub(super) user: &'a str,
    pub(super) table: Option<(Client, String)>,
}

impl Asking<'_> {
    pub(super) async fn ask(self, by: Option<&Installation>, limit: Duration) -> Check {
        let cannot = |why: &str, todo: &str| Check::fail(ask::CHECK, format!("cannot be asked: {why}"), todo);
        let Some(Installation { slack, bot }) = by else {
            return cannot(
                "there is no bot token that Slack takes",
                "See the checks of the bot token; give --outputs",
            );
        };
        let Some(url) = self.url else { return cannot("no --url", "Give --url or --outputs") };
        if self.secrets.is_empty() {
            return cannot("there is no signing secret", "Set SLACK_SIGNING_SECRET, or give --outputs");
        }
        let Self { secrets, channel, user, table, .. } = self;
        Question { url, secrets, slack, bot, channel, user, table, limit }.ask().await
    }
}
