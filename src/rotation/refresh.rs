//! One call of Slack's `oauth.v2.access` with a refresh token.

use aws_config::SdkConfig;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

use crate::aws::signed_call::{CallError, Post, SignedCalls, TimeLimits};
use crate::slack::oauth::{self, Granted, NotGranted};
use crate::time::clock::{Clock, Moment, SystemClock};

const LIMITS: TimeLimits = TimeLimits { connect: Duration::from_secs(3), call: Duration::from_secs(8) };

/// What the app identifies itself with: `{"client_id": …, "client_secret": …}`. `Debug` does not show the secret.
#[derive(Clone, Deserialize)]
pub struct AppCredentials {
    client_id: String,
    client_secret: String,
}

impl AppCredentials {
    /// Reads the text of a secret.
    ///
    /// # Errors
    /// When it is no JSON object with both. The text quotes nothing of it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        serde_json::from_str(text)
            .ok()
            .filter(|it: &Self| !it.client_id.is_empty() && !it.client_secret.is_empty())
            .ok_or("the secret is no JSON object with client_id and client_secret")
    }
}

impl fmt::Debug for AppCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppCredentials({})", self.client_id)
    }
}

/// Why a call granted nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What that says of the refresh token.
    pub why: NotGranted,
    /// How long Slack wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<NotGranted> for Failed {
    fn from(why: NotGranted) -> Self {
        Self { why, retry_after: None }
    }
}

/// Slack's Web API, as far as it makes tokens.
#[derive(Clone, Debug)]
pub struct SlackOAuth {
    calls: SignedCalls,
    url: String,
}

impl SlackOAuth {
    /// The Web API at `base`, which is [`oauth::API_URL`] but for tests.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(aws: &SdkConfig, base: &str) -> Result<Self, &'static str> {
        let url = format!("{}/{}", base.trim_end_matches('/'), oauth::METHOD);
        Ok(Self { calls: SignedCalls::new(aws, LIMITS)?, url })
    }

    /// Asks once for a new token. The credentials and the refresh token go in the body, and in no URL that anybody logs.
    ///
    /// # Errors
    /// When none was granted: [`Failed::why`] says whether the refresh token may have been used.
    pub async fn refresh(
        &self,
        app: &AppCredentials,
        refresh_token: &str,
        until: Moment,
    ) -> Result<Granted, Failed> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", &app.client_id),
            ("client_secret", &app.client_secret),
            ("refresh_token", refresh_token),
        ];
        let form =
            fields.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = form.join("&");
        let post = Post { url: &self.url, service: None, headers: &headers, body: body.as_bytes() };
        // Before the call, so that the token is never taken to be good for longer than it is.
        let now = SystemClock.now();
        let unknown = |error: CallError| Failed::from(NotGranted::Unknown(error.code.to_owned()));
        let answer = match self.calls.post(post, self.calls.deadline(until), |_, _| false).await {
            Ok(answer) => answer,
            Err(error) if error.is_unsent => return Err(NotGranted::NotUsed(error.code.to_owned()).into()),
            Err(error) => return Err(unknown(error)),
        };
        let retry_after = answer.headers.get("retry-after").and_then(|it| it.trim().parse::<u16>().ok());
        let body = answer.body.map_err(unknown)?;
        oauth::read(answer.status, &body, now)
            .map_err(|why| Failed { why, retry_after: retry_after.map(|it| Duration::from_secs(it.into())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_credentials_are_read_whole_or_not_at_all_and_are_not_shown() {
        let read = AppCredentials::read(r#"{"client_id": "1.2", "client_secret": "xyzzy"}"#).unwrap();
        assert_eq!((read.client_id.as_str(), format!("{read:?}")), ("1.2", "AppCredentials(1.2)".to_owned()));
        for wrong in ["", "{}", r#"{"client_id": "xyzzy"}"#, r#"{"client_id": "1", "client_secret": ""}"#] {
            assert!(!AppCredentials::read(wrong).unwrap_err().contains("xyzzy"), "{wrong}");
        }
    }
}
