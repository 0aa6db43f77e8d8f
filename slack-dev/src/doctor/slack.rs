//! Slack's Web API, as the doctor calls it with the bot's token. The token goes nowhere else, and is never shown.

use reqwest::RequestBuilder;
use reqwest::header::RETRY_AFTER;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::bridge::{API_URL, API_VARIABLE, is_safe};

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after Slack has limited the rate without a `Retry-After`.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// Whether an address is one of Slack's, or of this machine.
fn is_slacks_or_local(base: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base) else { return false };
    let Some(host) = url.host_str() else { return false };
    ["localhost", "127.0.0.1", "[::1]", "slack.com", "slack-gov.com"].contains(&host)
        || [".slack.com", ".slack-gov.com"].iter().any(|domain| host.ends_with(domain))
}

pub(super) struct SlackApi {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// What Slack answered to a call that it made.
pub(super) struct Reply {
    pub(super) body: Map<String, Value>,
    /// The token's scopes: the header `x-oauth-scopes`
    /// ([slack-go/slack #1076](https://github.com/slack-go/slack/issues/1076)). Absent if Slack did not say.
    pub(super) scopes: Option<Vec<String>>,
}

/// Why a call was not made.
#[derive(Debug)]
pub(super) enum NotDone {
    /// Slack refused it with this error.
    Error(String),
    /// There were too many calls; after this time another one may be made.
    RateLimited(Duration),
    /// No answer of Slack's came.
    NoAnswer(String),
}

impl NotDone {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Error(error) => error.clone(),
            Self::RateLimited(_) => "Slack limits the rate".to_owned(),
            Self::NoAnswer(why) => format!("no answer of Slack's: {why}"),
        }
    }
}

impl Reply {
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let field = self.body.get(first)?;
        let inner = if rest.is_empty() { Some(field) } else { field.pointer(&format!("/{rest}")) };
        inner?.as_str().filter(|text| !text.is_empty())
    }
}

impl SlackApi {
    /// # Errors
    /// When the variable that replaces Slack's address names one that a token must not be sent to.
    pub(super) fn new(lookup: &impl Fn(&str) -> Option<String>, token: &str) -> Result<Self, String> {
        let base = lookup(API_VARIABLE).unwrap_or_else(|| API_URL.to_owned());
        // The token may be the one of production, out of its secret.
        if !is_safe(base.trim()) || !is_slacks_or_local(base.trim()) {
            return Err(format!("{API_VARIABLE} must be an address of Slack's, or lead to this machine"));
        }
        let client = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            // A redirect could send the token to another server.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| crate::with_causes(&error))?;
        Ok(Self { client, base: base.trim().trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// Whose the token is, and what it may.
    pub(super) async fn auth_test(&self) -> Result<Reply, NotDone> {
        self.send(self.client.post(self.url("auth.test"))).await
    }

    /// Posts a message.
    pub(super) async fn post(&self, channel: &str, text: &str) -> Result<Reply, NotDone> {
        let body = json!({ "channel": channel, "text": text, "unfurl_links": false, "unfurl_media": false });
        let request = self.client.post(self.url("chat.postMessage"));
        self.send(request.header("content-type", "application/json; charset=utf-8").body(body.to_string()))
            .await
    }

    /// The first messages of a thread. They are as many as Slack lets an app read that is distributed outside of its Marketplace.
    pub(super) async fn replies(&self, channel: &str, ts: &str) -> Result<Reply, NotDone> {
        let fields = [("channel", channel), ("ts", ts), ("limit", "15")];
        let url = reqwest::Url::parse_with_params(&self.url("conversations.replies"), fields);
        self.send(self.client.get(url.map_err(|error| NotDone::NoAnswer(error.to_string()))?)).await
    }

    fn url(&self, method: &str) -> String {
        format!("{}/{method}", self.base)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, NotDone> {
        let no_answer = |error: reqwest::Error| NotDone::NoAnswer(crate::with_causes(&error.without_url()));
        let answer = request.bearer_auth(&self.token).send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if status == 429 {
            let after = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok());
            return Err(NotDone::RateLimited(after.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)));
        }
        let scopes = header("x-oauth-scopes")
            .map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).collect());
        let bytes = answer.bytes().await.map_err(no_answer)?;
        let body: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|_| NotDone::NoAnswer(format!("status {status}, and no JSON")))?;
        match (body.get("ok"), body.get("error").and_then(Value::as_str)) {
            (Some(Value::Bool(true)), _) => Ok(Reply { body, scopes }),
            (_, Some("ratelimited")) => Err(NotDone::RateLimited(RETRY_AFTER_DEFAULT)),
            (_, Some(error)) => Err(NotDone::Error(error.escape_debug().to_string())),
            _ => Err(NotDone::NoAnswer(format!("status {status}, without ok"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_slack_or_to_this_machine_alone() {
        for (base, is_allowed) in [
            ("https://slack.com/api", true),
            ("https://slack-gov.com/api", true),
            ("https://acme.slack.com/api", true),
            ("http://127.0.0.1:7000/api", true),
            ("http://slack.com/api", false),
            ("https://slack.com.example.com/api", false),
            ("https://notslack.com/api", false),
            ("https://example.com/api", false),
        ] {
            let api = SlackApi::new(&|name| (name == API_VARIABLE).then(|| base.to_owned()), "xoxb-1");
            assert_eq!(api.is_ok(), is_allowed, "{base}");
        }
    }
}
