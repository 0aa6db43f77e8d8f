//! What is asked of Slack: the page where somebody allows the app, a token for its code, and whose a token is.

use serde::Deserialize;
use slack_ingress::slack::oauth::{self, Granted, NotGranted};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;

use crate::CommandError;
use crate::bridge::{API_URL, API_VARIABLE, is_safe};

const AUTHORIZE_URL: &str = "https://slack.com/oauth/v2/authorize";
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// What the app identifies itself with.
pub(super) struct App {
    pub(super) client_id: String,
    pub(super) client_secret: String,
}

/// The page where somebody allows the app.
pub(super) fn authorize_url(
    client_id: &str,
    redirect_url: &str,
    scope: &str,
    team: Option<&str>,
    state: &str,
) -> Result<String, CommandError> {
    let fields =
        [("client_id", client_id), ("scope", scope), ("redirect_uri", redirect_url), ("state", state)];
    let team = team.map(|team| ("team", team));
    Ok(reqwest::Url::parse_with_params(AUTHORIZE_URL, fields.into_iter().chain(team))?.into())
}

/// Slack's Web API.
pub(super) struct Slack {
    client: reqwest::Client,
    base: String,
}

#[derive(Deserialize)]
struct Whose {
    ok: bool,
    error: Option<String>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    #[serde(default)]
    is_enterprise_install: bool,
}

impl Slack {
    pub(super) fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, CommandError> {
        let base = lookup(API_VARIABLE).unwrap_or_else(|| API_URL.to_owned());
        if !is_safe(&base) {
            return Err(format!("{API_VARIABLE} must begin with https://, or lead to this machine").into());
        }
        let client = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            // A redirect could send the secret to another server.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    /// Exchanges a code for the bot's token.
    pub(super) async fn exchange(
        &self,
        app: &App,
        code: &str,
        redirect_url: &str,
    ) -> Result<Granted, CommandError> {
        let fields = [
            ("client_id", app.client_id.as_str()),
            ("client_secret", &app.client_secret),
            ("code", code),
            ("redirect_uri", redirect_url),
        ];
        let encoded = reqwest::Url::parse_with_params("form:", fields)?;
        let form = encoded.query().unwrap_or_default().to_owned();
        let now = SystemClock.now();
        let request = self.client.post(format!("{}/{}", self.base, oauth::METHOD));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.map_err(|error| crate::with_causes(&error.without_url()))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| crate::with_causes(&error.without_url()))?;
        oauth::read(status, &body, now).map_err(|not_granted| {
            let why = match &not_granted {
                NotGranted::NotUsed(why) | NotGranted::Unknown(why) => why,
                NotGranted::Spent => oauth::INVALID_REFRESH_TOKEN,
            };
            let hint = match why {
                "bad_client_secret" | "invalid_client_id" => {
                    ": look at the client id and the client secret under Basic Information"
                }
                "invalid_code" | "code_already_used" => {
                    ": a code is good once, and for ten minutes. Begin anew"
                }
                "bad_redirect_uri" | "redirect_uri_mismatch" => {
                    ": the app has another redirect URL (OAuth & Permissions → Redirect URLs)"
                }
                "no_bot_token" => ": ask for bot scopes, by --scope",
                _ => "",
            };
            format!("Slack granted no bot token ({why}){hint}").into()
        })
    }

    /// The tenant that a bot token belongs to; `None` if Slack does not accept the token any more.
    pub(super) async fn tenant_of(&self, token: &str) -> Result<Option<String>, CommandError> {
        let request = self.client.post(format!("{}/auth.test", self.base)).bearer_auth(token);
        let answer = request.send().await.map_err(|error| crate::with_causes(&error.without_url()))?;
        let body = answer.bytes().await.map_err(|error| crate::with_causes(&error.without_url()))?;
        let whose: Whose =
            serde_json::from_slice(&body).map_err(|_| "Slack's answer to auth.test cannot be read")?;
        if whose.ok {
            let tenant = if whose.is_enterprise_install { whose.enterprise_id } else { whose.team_id };
            return Ok(Some(tenant.ok_or("auth.test does not say whose the token is")?));
        }
        match whose.error.as_deref() {
            Some("invalid_auth" | "token_revoked" | "token_expired" | "account_inactive" | "not_authed") => {
                Ok(None)
            }
            other => Err(format!("auth.test: {}", other.unwrap_or("no error").escape_debug()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_slacks_and_what_it_is_told_is_encoded() {
        let url = authorize_url("1.2", "https://localhost:8765/a", "chat:write,im:history", Some("T1"), "5a")
            .unwrap();
        assert_eq!(
            url,
            "https://slack.com/oauth/v2/authorize?client_id=1.2&scope=chat%3Awrite%2Cim%3Ahistory\
             &redirect_uri=https%3A%2F%2Flocalhost%3A8765%2Fa&state=5a&team=T1"
        );
    }
}
