//! The bot token of an installation, as it stands in its secret, and the kinds of tokens that Slack makes.
//!
//! An app with token rotation gets tokens that expire after twelve hours, and with each a refresh token that is good once
//! ([token rotation](https://docs.slack.dev/authentication/using-token-rotation)).

use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

use crate::time::clock::UnixMillis;

/// Slack's tokens expire twelve hours after they were made. One that says that it has more than this left was put by hand, with
/// milliseconds for instance, and says nothing.
const LONGEST_LEFT: Duration = Duration::from_secs(13 * 3600);

/// What a token is, by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `xoxb-…`: a bot's, which does not expire.
    Plain,
    /// `xoxe.xoxb-…`: a bot's, which expires twelve hours after it was made.
    Rotating,
    /// `xoxe-…`: what a new token is got for, once. It is good for nothing else.
    Refresh,
    /// `xoxp-…` or `xoxe.xoxp-…`: a person's, or one for the app's configuration.
    User,
    /// `xapp-…`: the app's own, for Socket Mode.
    App,
    /// None of these.
    Unknown,
}

impl TokenKind {
    /// The kind of this token.
    pub fn of(token: &str) -> Self {
        let kinds = [
            ("xoxb-", Self::Plain),
            ("xoxe.xoxb-", Self::Rotating),
            ("xoxe-", Self::Refresh),
            ("xoxp-", Self::User),
            ("xoxe.xoxp-", Self::User),
            ("xapp-", Self::App),
        ];
        kinds
            .into_iter()
            .find(|(prefix, _)| token.starts_with(prefix))
            .map_or(Self::Unknown, |(_, kind)| kind)
    }

    /// The kind in words, for the log and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "a bot token that does not expire",
            Self::Rotating => "a rotating bot token",
            Self::Refresh => "a refresh token",
            Self::User => "a user token",
            Self::App => "an app-level token",
            Self::Unknown => "no token of Slack's",
        }
    }
}

/// What stands in the secret of an installation: `{"token": …}`, and for a rotating token `refresh_token`, `expires_at` (seconds
/// since 1970) and `tenant`. The Gateway reads `token` alone. `Debug` shows neither token.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken {
    /// The token that Slack is called with.
    pub token: String,
    /// What the next token is got for; absent if the token does not rotate.
    pub refresh_token: Option<String>,
    /// When the token expires, in seconds since 1970; absent if it does not, or nobody has said.
    pub expires_at: Option<u64>,
    /// The workspace (`T…`) or the organisation (`E…`) that it belongs to; absent if nobody has said.
    pub tenant: Option<String>,
}

impl BotToken {
    /// Reads the text of a secret.
    ///
    /// # Errors
    /// When it is no JSON object with a `token`. The text quotes nothing of it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let secret: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| "the secret is no JSON object")?;
        let of = |name: &str| secret.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Ok(Self {
            token: of("token").ok_or("the secret has no token")?.to_owned(),
            refresh_token: of("refresh_token").map(str::to_owned),
            expires_at: secret.get("expires_at").and_then(Value::as_u64),
            tenant: of("tenant").map(str::to_owned),
        })
    }

    /// The text of a secret with it.
    pub fn to_json(&self) -> String {
        let mut secret = Map::from_iter([("token".to_owned(), json!(self.token))]);
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                secret.insert(name.to_owned(), value);
            }
        };
        add("refresh_token", self.refresh_token.as_ref().map(|it| json!(it)));
        add("expires_at", self.expires_at.map(|it| json!(it)));
        add("tenant", self.tenant.as_ref().map(|it| json!(it)));
        Value::Object(secret).to_string()
    }

    /// What the token is.
    pub fn kind(&self) -> TokenKind {
        TokenKind::of(&self.token)
    }

    /// How long the token is still good: zero if it has expired, absent if nobody has said when it does, or something that
    /// cannot be.
    pub fn left(&self, now: UnixMillis) -> Option<Duration> {
        self.expires_at.map(|at| now.until(UnixMillis::from_secs(at))).filter(|left| *left <= LONGEST_LEFT)
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expires_at, tenant, .. } = self;
        let kind = self.kind();
        write!(f, "BotToken({kind:?}, expires_at: {expires_at:?}, tenant: {tenant:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_prefix_says_what_it_is() {
        for (token, kind) in [
            ("xoxb-1-2", TokenKind::Plain),
            ("xoxe.xoxb-1-2", TokenKind::Rotating),
            ("xoxe-1-2", TokenKind::Refresh),
            ("xoxp-1", TokenKind::User),
            ("xoxe.xoxp-1", TokenKind::User),
            ("xapp-1", TokenKind::App),
            ("xoxb", TokenKind::Unknown),
            (" xoxb-1", TokenKind::Unknown),
            ("k3JhX0madeUp", TokenKind::Unknown),
            ("", TokenKind::Unknown),
        ] {
            assert_eq!(TokenKind::of(token), kind, "{token}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_was_written_and_the_gateways_key_is_token() {
        let rotating = BotToken {
            token: "xoxe.xoxb-1".to_owned(),
            refresh_token: Some("xoxe-1".to_owned()),
            expires_at: Some(1_795_554_000),
            tenant: Some("T1".to_owned()),
        };
        assert_eq!(BotToken::read(&rotating.to_json()), Ok(rotating.clone()));
        let plain = BotToken::read(r#"{"token": "xoxb-1"}"#).unwrap();
        assert_eq!(plain.to_json(), r#"{"token":"xoxb-1"}"#);
        for wrong in ["", "xoxb-1", "[]", "{}", r#"{"token": ""}"#, r#"{"token": 1}"#] {
            assert!(!BotToken::read(wrong).unwrap_err().contains("xoxb"), "{wrong}");
        }
        assert!(!format!("{rotating:?} {plain:?}").contains("xox"), "{rotating:?}");
    }

    #[test]
    fn an_expired_token_has_no_time_left_and_a_plain_one_has_no_time_at_all() {
        let token = |expires_at| BotToken {
            token: "xoxe.xoxb-1".to_owned(),
            refresh_token: None,
            expires_at,
            tenant: None,
        };
        let now = UnixMillis::from_secs(1_000);
        assert_eq!(token(Some(1_060)).left(now), Some(Duration::from_secs(60)));
        assert_eq!(token(Some(940)).left(now), Some(Duration::ZERO));
        assert_eq!(token(None).left(now), None);
        assert_eq!(token(Some(1_000 + 13 * 3600 + 1)).left(now), None);
        assert_eq!(token(Some(1_000_000)).left(now), None);
    }
}
