//! Where the signing secrets come from, and how they change without a deploy.
//!
//! A secret in Secrets Manager is read at init, and again when a signature does not match: the secret may have been rotated.
//! Both the current and the previous version count, so that a rotation refuses no request of Slack's
//! ([versions of a secret](https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html)).

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::slack::apps::Apps;
use crate::slack::signature::SigningSecret;

/// After a signature that does not match the secret is read again, and at most once in this time: anybody can send a forgery.
const REREAD_INTERVAL: Duration = Duration::from_secs(60);

/// The secrets that a signature may be made with at this moment.
#[derive(Debug)]
pub struct SigningSecrets {
    current: Mutex<Current>,
    source: Option<SecretsManager>,
}

#[derive(Debug)]
struct Current {
    secrets: Arc<[SigningSecret]>,
    reread_at: Option<Instant>,
}

impl SigningSecrets {
    /// Secrets that never change, from `SLACK_SIGNING_SECRET`.
    pub fn fixed(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        let secrets = secrets.into_iter().collect();
        Self { current: Mutex::new(Current { secrets, reread_at: None }), source: None }
    }

    /// Secrets that [`SigningSecrets::load`] reads from `source`. Before that there are none.
    pub fn managed(source: SecretsManager) -> Self {
        Self { source: Some(source), ..Self::fixed([]) }
    }

    /// The secrets as they were read last.
    pub fn current(&self) -> Arc<[SigningSecret]> {
        Arc::clone(&self.lock().secrets)
    }

    /// Whether the secrets are those of one app or of several. Before any secret was read it is [`Apps::One`].
    pub fn apps(&self) -> Apps {
        let secrets = self.current();
        let mut apps: Vec<_> = secrets.iter().filter_map(SigningSecret::app).collect();
        apps.sort_unstable();
        apps.dedup();
        if apps.len() > 1 { Apps::Several } else { Apps::One }
    }

    /// Reads the secrets from Secrets Manager, unless they are fixed.
    ///
    /// # Errors
    /// When Secrets Manager does not give them, or what it gives is no signing secret. The secrets stay as they were.
    pub async fn load(&self) -> Result<(), SecretError> {
        if let Some(source) = &self.source {
            // The future is boxed because its two SDK calls are 20 KB of state, which hardly any invocation needs.
            let secrets = Box::pin(source.read()).await?;
            self.lock().secrets = secrets.into();
        }
        Ok(())
    }

    /// Reads the secrets again, because none of them signed a request at `now`. It does that at most once a minute, unless
    /// there are no secrets yet. Returns whether it read them.
    ///
    /// # Errors
    /// When Secrets Manager does not give them, or what it gives is no signing secret. The old ones stay.
    pub async fn reload(&self, now: Instant) -> Result<bool, SecretError> {
        let due = self.source.is_some() && self.claim_reload(now);
        if due {
            self.load().await?;
        }
        Ok(due)
    }

    /// Whether this caller is to read the secrets again. The time is kept before the read and not after it, so that nobody else
    /// reads them while a slow read is under way.
    fn claim_reload(&self, now: Instant) -> bool {
        let mut current = self.lock();
        let due = current.secrets.is_empty()
            || current.reread_at.is_none_or(|reread_at| now.duration_since(reread_at) >= REREAD_INTERVAL);
        if due {
            current.reread_at = Some(now);
        }
        due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret in AWS Secrets Manager.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    secret_id: String,
}

impl SecretsManager {
    /// The secret with this name or ARN.
    pub fn new(client: Client, secret_id: impl Into<String>) -> Self {
        Self { client, secret_id: secret_id.into() }
    }

    /// Reads the current version and, where there is one, the version before it.
    async fn read(&self) -> Result<Vec<SigningSecret>, SecretError> {
        let (current, previous) =
            tokio::join!(self.read_version("AWSCURRENT"), self.read_version("AWSPREVIOUS"));
        let mut secrets = current?.ok_or(SecretError::NoCurrentVersion)?;
        // Without the previous version, only what Slack signed before the rotation does not verify.
        secrets.extend(previous.ok().flatten().unwrap_or_default());
        Ok(secrets)
    }

    async fn read_version(&self, stage: &str) -> Result<Option<Vec<SigningSecret>>, SecretError> {
        let value =
            self.client.get_secret_value().secret_id(&self.secret_id).version_stage(stage).send().await;
        match value {
            Ok(output) => {
                let text = output.secret_string.ok_or(SecretError::Binary)?;
                parse(text.trim()).map(Some)
            }
            Err(SdkError::ServiceError(refused)) if refused.err().is_resource_not_found_exception() => {
                Ok(None)
            }
            Err(error) => Err(SecretError::Unavailable(Box::new(error))),
        }
    }
}

/// The signing secrets in the text of a secret. The text is one signing secret, or a JSON object from app id to signing secret,
/// such as `{"A0F7YS25R":"8f742231b10e8888abcd99yyyzzz85a5"}`.
fn parse(text: &str) -> Result<Vec<SigningSecret>, SecretError> {
    if !text.starts_with('{') {
        return if text.is_empty() { Err(SecretError::Empty) } else { Ok(vec![SigningSecret::new(text)]) };
    }
    // The parser's own error would quote the secret.
    let by_app: BTreeMap<String, String> = serde_json::from_str(text).map_err(|_| SecretError::Malformed)?;
    if by_app.is_empty() || by_app.values().any(|secret| secret.trim().is_empty()) {
        return Err(SecretError::Empty);
    }
    Ok(by_app.iter().map(|(app, secret)| SigningSecret::of_app(app, secret.trim())).collect())
}

/// Why there is no signing secret. No text of these quotes one.
#[derive(Debug)]
pub enum SecretError {
    /// Secrets Manager failed, did not answer, or refused the call. The next request may succeed.
    Unavailable(Box<SdkError<GetSecretValueError>>),
    /// There is no secret with this name, or none of its versions is current.
    NoCurrentVersion,
    /// The secret is binary, and a signing secret is text.
    Binary,
    /// The text is empty, or names no app, or the secret of an app is empty.
    Empty,
    /// The text begins like a JSON object, and is none from app ids to signing secrets.
    Malformed,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "Secrets Manager GetSecretValue",
            Self::NoCurrentVersion => "the signing secret does not exist in Secrets Manager",
            Self::Binary => "the signing secret in Secrets Manager is binary, not text",
            Self::Empty => "the signing secret in Secrets Manager is empty",
            Self::Malformed => {
                "the signing secret in Secrets Manager is no JSON object from api_app_id to signing secret"
            }
        })
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::signature::{self, SignatureHeaders};
    use crate::time::clock::UnixMillis;

    /// Which of the apps A1, A2 and none the signature speaks for that was made with `signer`, where `text` is the secret's
    /// text.
    fn speaks_for(text: &str, signer: &str) -> Vec<Option<&'static str>> {
        let (timestamp, body) = ("1531420618", b"{}");
        let signature = SigningSecret::new(signer).sign(timestamp, body);
        let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(timestamp) };
        let now = UnixMillis::from_millis(1_531_420_618_000);
        let verified = signature::verify(headers, body.into(), &parse(text).unwrap(), now);
        let apps = [Some("A1"), Some("A2"), None].into_iter();
        verified.map_or_else(|_| Vec::new(), |v| apps.filter(|app| v.signer().speaks_for(*app)).collect())
    }

    #[test]
    fn a_text_is_one_secret_that_is_no_apps_in_particular() {
        let everybody = [Some("A1"), Some("A2"), None];
        for text in ["8f742231b10e8888abcd99yyyzzz85a5", "a,b", "[\"a\"]", "\"a\"", "x{}", "a b"] {
            assert_eq!(speaks_for(text, text), everybody, "{text}");
            assert_eq!(speaks_for(text, "another"), []);
        }
    }

    #[test]
    fn an_object_is_a_secret_for_each_app() {
        let text = r#"{ "A1": "one", "A2": " two\n" }"#;
        assert_eq!(speaks_for(text, "one"), [Some("A1")]);
        assert_eq!(speaks_for(text, "two"), [Some("A2")]);
        for signer in [text, "three", "", "A1", " two\n"] {
            assert_eq!(speaks_for(text, signer), [], "{signer}");
        }
        assert_eq!(speaks_for(r#"{"A1":"same","A2":"same"}"#, "same"), [Some("A1"), Some("A2")]);
    }

    #[test]
    fn a_secret_that_signs_nothing_is_an_error_and_not_one_that_anybody_could_guess() {
        for text in ["", "{}", r#"{"A1":""}"#, r#"{"A1":"one","A2":" \t"}"#] {
            assert!(matches!(parse(text), Err(SecretError::Empty)), "{text}");
        }
    }

    #[test]
    fn what_begins_like_an_object_and_is_none_is_an_error_that_quotes_nothing() {
        for text in [
            "{",
            r#"{"A1":"xyzzy""#,
            r#"{"A1":"xyzzy"} x"#,
            r#"{"A1":17}"#,
            r#"{"A1":null}"#,
            r#"{"A1":["xyzzy"]}"#,
            r#"{"A1":{"secret":"xyzzy"}}"#,
            "{A1: xyzzy}",
            "{'A1':'xyzzy'}",
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, SecretError::Malformed), "{text}");
            assert!(!format!("{error} {error:?}").contains("xyzzy"), "{text}");
            assert!(error.source().is_none(), "{text}");
        }
    }
}
