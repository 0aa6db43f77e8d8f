//! The bot tokens by which files are downloaded. A Gateway has the same tokens, and shows them to nobody; but no tool of a Gateway
//! downloads a file, so agent-settle reads them itself, from the secrets that they were put into.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use super::Retry;
use super::installations::{Installations, NO_TOKEN_FOR_TENANT};
use crate::time::clock::{Clock, SystemClock};

/// For so long a token is used without another look at its secret. One that Slack refuses is looked up at once.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// The key of the one token in a secret's JSON object, as the Gateways need it.
const KEY: &str = "token";

/// Which secrets have the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSecrets {
    /// The secret with this name or ARN has the token, or the tokens of all installations.
    One(String),
    /// From tenant to the secret that has the token of this tenant alone.
    Named(BTreeMap<String, String>),
}

/// A bot token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BotToken(String);

impl BotToken {
    /// Slack's tokens begin so. Right after a deployment the secret has a random value, which is none.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_token = text.starts_with("xox") && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }

    /// The header `authorization`.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken(…)")
    }
}

/// What stands in a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    One(BotToken),
    Named(BTreeMap<String, BotToken>),
}

impl Content {
    /// Reads a token, `{"token": "xoxb-…"}`, or an object from tenant to token. `None` if there is no token in it.
    fn parse(text: &str) -> Option<Self> {
        if let Some(token) = BotToken::parse(text) {
            return Some(Self::One(token));
        }
        let object: Map<String, Value> = serde_json::from_str(text).ok()?;
        let token = |value: &Value| value.as_str().and_then(BotToken::parse);
        if let Some(one) = object.get(KEY) {
            return token(one).map(Self::One);
        }
        let tokens = object.iter().filter_map(|(tenant, value)| Some((tenant.clone(), token(value)?)));
        let tokens: BTreeMap<_, _> = tokens.collect();
        (!tokens.is_empty()).then_some(Self::Named(tokens))
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoToken {
    /// Why, as a short code.
    pub(super) reason: &'static str,
    /// Whether there may be one later.
    pub(super) retry: Retry,
}

/// The tokens, which are read when they are needed.
#[derive(Debug)]
pub struct BotTokens {
    client: Client,
    secrets: TokenSecrets,
    read: Mutex<BTreeMap<String, (Instant, Content)>>,
}

impl BotTokens {
    /// The tokens in these secrets.
    pub fn new(client: Client, secrets: TokenSecrets) -> Self {
        Self { client, secrets, read: Mutex::default() }
    }

    /// The token that acts for this tenant, and whether it was read some time ago. No other tenant's takes its place.
    pub(super) async fn of(
        &self,
        tenant: Option<&str>,
        installations: &Installations,
    ) -> Result<(BotToken, bool), NoToken> {
        let secret = secret_of(&self.secrets, tenant).ok_or(NO_TOKEN)?;
        let known =
            self.lock().get(secret).filter(|(read_at, _)| is_fresh(*read_at)).map(|(_, it)| it.clone());
        let was_known = known.is_some();
        let content = match known {
            Some(content) => content,
            None => {
                let content = self.read(secret).await?;
                self.lock().insert(secret.to_owned(), (SystemClock.instant(), content.clone()));
                content
            }
        };
        let token = token_of(&self.secrets, &content, tenant, installations).ok_or(NO_TOKEN)?;
        Ok((token, was_known))
    }

    /// Has the secrets read again, because Slack refuses a token.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    async fn read(&self, secret: &str) -> Result<Content, NoToken> {
        match self.client.get_secret_value().secret_id(secret).send().await {
            Ok(value) => value
                .secret_string()
                .and_then(Content::parse)
                .ok_or(NoToken { reason: "no_bot_token", retry: Retry::AfterChange }),
            Err(SdkError::ServiceError(refused)) => {
                tracing::warn!(
                    code = refused.err().meta().code(),
                    "the secret of the bot token cannot be read"
                );
                let is_gone = refused.err().is_resource_not_found_exception()
                    || refused.err().meta().code() == Some("AccessDeniedException");
                let retry = if is_gone { Retry::AfterChange } else { Retry::Later };
                Err(NoToken { reason: "no_bot_token", retry })
            }
            Err(_) => Err(NoToken { reason: "secrets_manager_unreached", retry: Retry::Later }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, Content)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_TOKEN: NoToken = NoToken { reason: NO_TOKEN_FOR_TENANT, retry: Retry::AfterChange };

fn is_fresh(read_at: Instant) -> bool {
    SystemClock.instant().duration_since(read_at) < KEPT
}

fn secret_of<'a>(secrets: &'a TokenSecrets, tenant: Option<&str>) -> Option<&'a str> {
    match secrets {
        TokenSecrets::One(secret) => Some(secret),
        TokenSecrets::Named(secrets) => secrets.get(tenant?).map(String::as_str),
    }
}

/// The token of this tenant in what stands in its secret. A token that does not say whose it is counts for a tenant if its secret
/// is that tenant's alone, or if the app has no other installation.
fn token_of(
    secrets: &TokenSecrets,
    content: &Content,
    tenant: Option<&str>,
    installations: &Installations,
) -> Option<BotToken> {
    installations.target(tenant)?;
    match (content, secrets) {
        (Content::Named(tokens), _) => tokens.get(tenant?).cloned(),
        (Content::One(token), TokenSecrets::Named(_)) => Some(token.clone()),
        (Content::One(token), TokenSecrets::One(_)) => {
            (installations.targets().count() == 1).then(|| token.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(tenant, value)| ((*tenant).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_secret_has_one_token_or_one_for_each_tenant() {
        let one = |token: &str| Some(Content::One(BotToken::parse(token).unwrap()));
        assert_eq!(Content::parse("xoxb-1\n"), one("xoxb-1"));
        assert_eq!(Content::parse(r#"{"token": "xoxb-1"}"#), one("xoxb-1"));
        let Some(Content::Named(tokens)) =
            Content::parse(r#"{"T1": "xoxb-1", "E2": "xoxe.xoxb-2", "T3": 7}"#)
        else {
            panic!()
        };
        assert_eq!(tokens.keys().collect::<Vec<_>>(), ["E2", "T1"]);
        // The random value of a new secret, and what is no token at all.
        for text in
            ["", "{}", r#"{"token": "Ab3dE"}"#, "Ab3dE", "xoxb 1", r#"["xoxb-1"]"#, r#"{"T1": "Ab3dE"}"#]
        {
            assert_eq!(Content::parse(text), None, "{text}");
        }
        let shown = format!("{:?}", Content::parse("xoxb-secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn no_tenant_gets_the_token_of_another() {
        let two = Installations::parse(r#"{"T1": "slack", "T2": "slack-t2"}"#).unwrap();
        let single = Installations::parse(r#"{"T1": "slack"}"#).unwrap();
        let anywhere = Installations::One("slack".to_owned());
        let one = Content::parse("xoxb-1").unwrap();
        let each = Content::parse(r#"{"T1": "xoxb-1", "T2": "xoxb-2", "T9": "xoxb-9"}"#).unwrap();
        let shared = TokenSecrets::One("bot".to_owned());
        let separate = TokenSecrets::Named(named(&[("T1", "a"), ("T2", "b")]));
        let token = |secrets, content, tenant, installations| {
            token_of(secrets, content, tenant, installations).map(|BotToken(token)| token)
        };
        let is = |token: &str| Some(token.to_owned());
        assert_eq!(token(&shared, &each, Some("T2"), &two), is("xoxb-2"));
        // It is not said whose it is.
        assert_eq!(token(&shared, &one, Some("T1"), &two), None);
        assert_eq!(token(&shared, &one, Some("T1"), &single), is("xoxb-1"));
        assert_eq!(token(&shared, &one, None, &anywhere), is("xoxb-1"));
        // One whom nothing is ever done for.
        assert_eq!(token(&shared, &each, Some("T9"), &two), None);
        assert_eq!(token(&shared, &one, Some("T9"), &single), None);
        assert_eq!(token(&shared, &each, None, &two), None);
        assert_eq!(token(&separate, &one, Some("T1"), &two), is("xoxb-1"));
        assert_eq!(secret_of(&separate, Some("T2")), Some("b"));
        for stranger in [None, Some("T3")] {
            assert_eq!(secret_of(&separate, stranger), None);
        }
    }
}
