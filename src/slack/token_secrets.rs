//! The bot tokens that a function reads itself, from the secrets that they were put into: agent-settle to download files, which no
//! tool of a Gateway does, and the ingress to open a modal.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::time::clock::{Clock, SystemClock};

/// For so long a token is used without another look at its secret. One that Slack refuses is looked up at once.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// Why nothing is done for an installation that no token is known for: nobody has put its token yet, or the payload has not named
/// it.
pub const NO_TOKEN_FOR_TENANT: &str = "no_token_for_tenant";

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

/// An installation, as tokens are looked up for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Under which name a secret with several tokens has its token: its tenant, or with several apps `<app>:<tenant>`. Absent if the
    /// payload names no tenant.
    name: Option<String>,
    /// Whether a token that does not say whose it is may be its.
    is_only: bool,
}

impl Installation {
    /// The installation in this tenant of the one app. `is_only` says whether the app has no other.
    pub fn of_tenant(tenant: Option<&str>, is_only: bool) -> Self {
        Self { name: tenant.map(str::to_owned), is_only }
    }

    /// The installation of one of several apps, each of which has a token of its own.
    pub fn of_app(app: &str, tenant: Option<&str>) -> Self {
        Self { name: tenant.map(|tenant| format!("{app}:{tenant}")), is_only: false }
    }
}

/// A bot token as text. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// Slack's tokens begin so. Right after a deployment the secret has a random value, which is none.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_token = text.starts_with("xox") && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }

    /// The header `authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

/// What stands in a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    One(TokenText),
    Named(BTreeMap<String, TokenText>),
}

impl Content {
    /// Reads a token, `{"token": "xoxb-…"}`, or an object from tenant to token. `None` if there is no token in it.
    fn parse(text: &str) -> Option<Self> {
        if let Some(token) = TokenText::parse(text) {
            return Some(Self::One(token));
        }
        let object: Map<String, Value> = serde_json::from_str(text).ok()?;
        let token = |value: &Value| value.as_str().and_then(TokenText::parse);
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
pub struct NoToken {
    /// Why, as a short code.
    pub reason: &'static str,
    /// Whether there may be one later although nobody changes anything.
    pub is_temporary: bool,
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

    /// The token that acts for this installation, and whether it was read some time ago. No other one's takes its place.
    ///
    /// # Errors
    /// When there is no token for the installation, or its secret cannot be read.
    pub async fn of(&self, installation: &Installation) -> Result<(TokenText, bool), NoToken> {
        let name = installation.name.as_deref();
        let secret = secret_of(&self.secrets, name).ok_or(NO_TOKEN)?;
        let known = self.lock().get(secret).cloned();
        let (content, was_known) = match known {
            Some((read_at, content)) if is_fresh(read_at) => (content, true),
            // One that was good some minutes ago is better than none while Secrets Manager does not answer.
            Some((_, old)) => match self.read(secret).await {
                Err(NoToken { is_temporary: true, .. }) => (old, true),
                read => (self.keep(secret, read?), false),
            },
            None => (self.keep(secret, self.read(secret).await?), false),
        };
        let token = token_of(&self.secrets, &content, name, installation.is_only).ok_or(NO_TOKEN)?;
        Ok((token, was_known))
    }

    fn keep(&self, secret: &str, content: Content) -> Content {
        self.lock().insert(secret.to_owned(), (SystemClock.instant(), content.clone()));
        content
    }

    /// Reads all of the secrets, so that nobody waits for one later. What cannot be read now is read when it is needed.
    pub async fn read_all(&self) {
        let secrets: Vec<&String> = match &self.secrets {
            TokenSecrets::One(secret) => vec![secret],
            TokenSecrets::Named(secrets) => secrets.values().collect(),
        };
        for secret in secrets {
            if let Ok(content) = self.read(secret).await {
                self.keep(secret, content);
            }
        }
    }

    /// Has the secrets read again, because Slack refuses a token.
    pub fn forget(&self) {
        self.lock().clear();
    }

    async fn read(&self, secret: &str) -> Result<Content, NoToken> {
        match self.client.get_secret_value().secret_id(secret).send().await {
            Ok(value) => value
                .secret_string()
                .and_then(Content::parse)
                .ok_or(NoToken { reason: "no_bot_token", is_temporary: false }),
            Err(SdkError::ServiceError(refused)) => {
                tracing::warn!(
                    code = refused.err().meta().code(),
                    "the secret of the bot token cannot be read"
                );
                let is_gone = refused.err().is_resource_not_found_exception()
                    || refused.err().meta().code() == Some("AccessDeniedException");
                Err(NoToken { reason: "no_bot_token", is_temporary: !is_gone })
            }
            Err(_) => Err(NoToken { reason: "secrets_manager_unreached", is_temporary: true }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, Content)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_TOKEN: NoToken = NoToken { reason: NO_TOKEN_FOR_TENANT, is_temporary: false };

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
    is_only_installation: bool,
) -> Option<TokenText> {
    match (content, secrets) {
        (Content::Named(tokens), _) => tokens.get(tenant?).cloned(),
        (Content::One(token), TokenSecrets::Named(_)) => Some(token.clone()),
        (Content::One(token), TokenSecrets::One(_)) => is_only_installation.then(|| token.clone()),
    }
}

/// What `SLACK_BOT_TOKEN_ARN` has to be.
const EXPECTED: &str = r#"the ARN or the name of a secret, or {"T0123ABC": "<ARN>", "E0456DEF": "<ARN>"}"#;

impl TokenSecrets {
    /// Reads `SLACK_BOT_TOKEN_ARN`: the name or ARN of a secret, or a JSON object from tenant to that.
    ///
    /// # Errors
    /// What is wrong with it. The text quotes no value: somebody may have put a token there.
    pub fn parse(value: &str) -> Result<Self, String> {
        let wrong = |text: String| Err(format!("{text}; expected {EXPECTED}"));
        if !value.starts_with('{') {
            return if is_secret_id(value) {
                Ok(Self::One(value.to_owned()))
            } else {
                wrong("that is no ARN and no name of a secret".to_owned())
            };
        }
        let Ok(secrets) = serde_json::from_str::<BTreeMap<String, String>>(value) else {
            return wrong("that is no JSON object of texts".to_owned());
        };
        let mut taken = BTreeSet::new();
        for (index, (tenant, secret)) in secrets.iter().enumerate() {
            let entry = index + 1;
            if !is_tenant(tenant) {
                return wrong(format!(
                    "entry {entry} is not for the id of a workspace (T…) or of an organisation (E…)"
                ));
            }
            if !is_secret_id(secret) {
                return wrong(format!("what {tenant} has is no ARN and no name of a secret"));
            }
            if !taken.insert(secret) {
                return wrong(format!("{tenant} has the secret of another installation, and so its token"));
            }
        }
        if secrets.is_empty() {
            return wrong("it names no installation".to_owned());
        }
        Ok(Self::Named(secrets))
    }
}

/// Whether a text can be the ARN or the name of a secret, and is no token that somebody has put in its place.
fn is_secret_id(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&byte);
    !text.is_empty() && !text.starts_with("xox") && text.len() <= 2048 && text.bytes().all(is_known)
}

/// Whether a text can be the id of a workspace or of an organisation.
pub fn is_tenant(text: &str) -> bool {
    text.strip_prefix(['T', 'E']).is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(tenant, value)| ((*tenant).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_secret_has_one_token_or_one_for_each_tenant() {
        let one = |token: &str| Some(Content::One(TokenText::parse(token).unwrap()));
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
        let one = Content::parse("xoxb-1").unwrap();
        let each = Content::parse(r#"{"T1": "xoxb-1", "T2": "xoxb-2"}"#).unwrap();
        let shared = TokenSecrets::One("bot".to_owned());
        let separate = TokenSecrets::Named(named(&[("T1", "a"), ("T2", "b")]));
        let token = |secrets, content, tenant, is_only| {
            token_of(secrets, content, tenant, is_only).map(|TokenText(token)| token)
        };
        let is = |token: &str| Some(token.to_owned());
        assert_eq!(token(&shared, &each, Some("T2"), false), is("xoxb-2"));
        // It is not said whose it is.
        assert_eq!(token(&shared, &one, Some("T1"), false), None);
        assert_eq!(token(&shared, &one, Some("T1"), true), is("xoxb-1"));
        assert_eq!(token(&shared, &one, None, true), is("xoxb-1"));
        for stranger in [None, Some("T9")] {
            assert_eq!(token(&shared, &each, stranger, true), None);
        }
        // Of several apps none takes a token that does not say whose it is, whether or not the payload names a tenant.
        for tenant in [None, Some("T1")] {
            let Installation { name, is_only } = Installation::of_app("A1", tenant);
            for content in [&one, &each] {
                assert_eq!(token_of(&shared, content, name.as_deref(), is_only), None);
            }
        }
        assert_eq!(token(&separate, &one, Some("T1"), false), is("xoxb-1"));
        assert_eq!(secret_of(&separate, Some("T2")), Some("b"));
        for stranger in [None, Some("T3")] {
            assert_eq!(secret_of(&separate, stranger), None);
        }
    }
}
