//! Calls `apps.connections.open`, which returns the address of a WebSocket. Each address is valid for one connection, and must
//! be kept as secret as the token.

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

use crate::CommandError;

/// The environment variable that holds the app-level token.
const TOKEN_VARIABLE: &str = "SLACK_APP_TOKEN";
/// The environment variable that replaces the address of Slack's Web API in tests.
pub(crate) const API_VARIABLE: &str = "SLACK_API_URL";
pub(crate) const API_URL: &str = "https://slack.com/api";

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after Slack has limited the rate without a `Retry-After`.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// A client of Slack's Web API with the app-level token.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// The address of a WebSocket. Its query has a ticket that lets its holder connect, so `Debug` does not print the address.
pub(super) struct SocketUrl(String);

impl SocketUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketUrl(…)")
    }
}

/// Why no connection could be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Slack would answer the same again: somebody has to change something first.
    Final(String),
    /// A later attempt may succeed, after `after` if Slack said when.
    Later { reason: String, after: Option<Duration> },
}

impl OpenError {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None }
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    url: Option<String>,
    error: Option<String>,
}

impl Api {
    pub(super) fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, CommandError> {
        let get =
            |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let token = get(TOKEN_VARIABLE).ok_or_else(|| {
            format!(
                "{TOKEN_VARIABLE} is not set. Make an app-level token with the scope connections:write (Basic \
                 Information → App-Level Tokens) and give it in the environment:\n    \
                 read -rs {TOKEN_VARIABLE} && export {TOKEN_VARIABLE}"
            )
        })?;
        if !token.starts_with("xapp-") {
            return Err(format!(
                "{TOKEN_VARIABLE} is no app-level token: those begin with xapp- (a bot's xoxb- token opens no Socket Mode)"
            )
            .into());
        }
        let base = get(API_VARIABLE).unwrap_or_else(|| API_URL.to_owned());
        if !is_safe(&base) {
            return Err(format!("{API_VARIABLE} must begin with https://, or lead to this machine").into());
        }
        let client = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            // A redirect could send the token to another server.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), token })
    }

    /// Asks Slack for the address of a new connection.
    pub(super) async fn open(&self) -> Result<SocketUrl, OpenError> {
        let request =
            self.client.post(format!("{}/apps.connections.open", self.base)).bearer_auth(&self.token);
        let response = request
            .send()
            .await
            .map_err(|error| OpenError::later(crate::with_causes(&error.without_url())))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = response
            .bytes()
            .await
            .map_err(|error| OpenError::later(crate::with_causes(&error.without_url())))?;
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        match (status, answer) {
            (StatusCode::TOO_MANY_REQUESTS, _) => Err(rate_limited(retry_after)),
            (_, Some(Answer { ok: true, url: Some(url), .. })) if self.may_connect(&url) => {
                Ok(SocketUrl(url))
            }
            (_, Some(Answer { ok: true, .. })) => Err(OpenError::later("Slack gave no wss:// address")),
            (_, Some(Answer { error: Some(error), .. })) => Err(refusal(&error, retry_after)),
            (status, _) => {
                Err(OpenError::later(format!("apps.connections.open answered {}", status.as_u16())))
            }
        }
    }

    /// Whether to connect to this address: it must have TLS unless the Web API is a test's on this machine.
    fn may_connect(&self, url: &str) -> bool {
        url.starts_with("wss://") || (url.starts_with("ws://") && self.base.starts_with("http://"))
    }
}

/// Whether the token may be sent to this address: it must have TLS or be on this machine.
pub(crate) fn is_safe(base: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base) else { return false };
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

fn rate_limited(after: Option<Duration>) -> OpenError {
    OpenError::Later {
        reason: "Slack limits the rate".to_owned(),
        after: Some(after.unwrap_or(RETRY_AFTER_DEFAULT)),
    }
}

/// Tells by the name of Slack's error whether a later attempt may succeed, or what the user has to change first.
fn refusal(error: &str, retry_after: Option<Duration>) -> OpenError {
    let name = error.escape_debug();
    match error {
        "ratelimited" | "rate_limited" => rate_limited(retry_after),
        "internal_error"
        | "fatal_error"
        | "request_timeout"
        | "service_unavailable"
        | "team_added_to_org" => {
            OpenError::Later { reason: format!("Slack answered {name}"), after: retry_after }
        }
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            OpenError::Final(format!(
                "Slack does not accept the token in {TOKEN_VARIABLE} ({name}): take one from Basic Information → App-Level Tokens"
            ))
        }
        "not_allowed_token_type" | "missing_scope" | "no_permission" => OpenError::Final(format!(
            "the token in {TOKEN_VARIABLE} may not open a connection ({name}): it must be an app-level one with the scope \
             connections:write"
        )),
        _ => OpenError::Final(format!(
            "Slack opens no connection ({name}): is Socket Mode switched on for this app?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(variables: &[(&str, &str)]) -> Result<Api, String> {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Api::from_lookup(lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_not_sent_where_others_could_read_it() {
        for base in
            ["https://slack.com/api", "http://127.0.0.1:8080", "http://localhost:1/api", "http://[::1]:1"]
        {
            assert!(is_safe(base), "{base}");
        }
        for base in [
            "http://slack.com/api",
            "http://127.0.0.1.example.com",
            "http://localhost@example.com",
            "slack.com",
            "",
        ] {
            assert!(!is_safe(base), "{base}");
        }
    }

    #[test]
    fn a_socket_without_tls_is_only_for_a_slack_on_this_machine() {
        let token = ("SLACK_APP_TOKEN", "xapp-1");
        let slack = api(&[token]).unwrap();
        let played = api(&[token, ("SLACK_API_URL", "http://127.0.0.1:8080/")]).unwrap();
        assert!(slack.may_connect("wss://wss-primary.slack.com/link/?ticket=1"));
        assert!(!slack.may_connect("ws://wss-primary.slack.com/link/?ticket=1"));
        assert!(
            played.may_connect("ws://127.0.0.1:1/link") && !played.may_connect("http://127.0.0.1:1/link")
        );
    }

    #[test]
    fn the_error_for_a_missing_or_wrong_token_names_the_variable_and_does_not_show_the_token() {
        assert!(api(&[]).err().unwrap().contains("SLACK_APP_TOKEN is not set"));
        let error = api(&[("SLACK_APP_TOKEN", "xoxb-xyzzy")]).err().unwrap();
        assert!(error.contains("no app-level token") && !error.contains("xyzzy"), "{error}");
    }

    #[test]
    fn only_errors_that_pass_by_themselves_are_tried_again() {
        for error in ["ratelimited", "internal_error", "service_unavailable"] {
            assert!(matches!(refusal(error, None), OpenError::Later { .. }), "{error}");
        }
        for error in ["invalid_auth", "not_allowed_token_type", "missing_scope", "one_of_tomorrow"] {
            assert!(matches!(refusal(error, None), OpenError::Final(_)), "{error}");
        }
        let asked = Some(Duration::from_secs(7));
        assert!(matches!(refusal("ratelimited", asked), OpenError::Later { after, .. } if after == asked));
    }
}
