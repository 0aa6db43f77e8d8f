//! Where the signing secrets come from, and how they change without a deploy.
//!
//! A secret in Secrets Manager is read at init, and again when a signature does not match: the secret may have been rotated.
//! Both the current and the previous version count, so that a rotation refuses no request of Slack's
//! ([versions of a secret](https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html)); [`text`] says
//! which of them for which app.

pub mod text;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::slack::apps::Apps;
use crate::slack::signature::SigningSecret;

use text::{InForce, SecretText, SecretTextError};

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
    /// Absent until secrets were read for the first time.
    apps: Option<Apps>,
    reread_at: Option<Instant>,
}

impl SigningSecrets {
    /// Secrets that never change, from `SLACK_SIGNING_SECRET`.
    pub fn fixed(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        let fixed = Self::none(None);
        fixed.take_over(InForce::of(secrets));
        fixed
    }

    /// Secrets that [`SigningSecrets::load`] reads from `source`. Before that there are none.
    pub fn managed(source: SecretsManager) -> Self {
        Self::none(Some(source))
    }

    fn none(source: Option<SecretsManager>) -> Self {
        let current = Current { secrets: Arc::new([]), apps: None, reread_at: None };
        Self { current: Mutex::new(current), source }
    }

    /// The secrets as they were read last.
    pub fn current(&self) -> Arc<[SigningSecret]> {
        Arc::clone(&self.lock().secrets)
    }

    /// Whether the secrets are those of one app or of several. It is decided when they are read for the first time; before
    /// that it is [`Apps::One`].
    pub fn apps(&self) -> Apps {
        self.lock().apps.unwrap_or(Apps::One)
    }

    /// Reads the secrets from Secrets Manager, unless they are fixed.
    ///
    /// # Errors
    /// When Secrets Manager does not give them, or what it gives is no signing secret. The secrets stay as they were.
    pub async fn load(&self) -> Result<(), SecretError> {
        if let Some(source) = &self.source {
            // The future is boxed because its two SDK calls are 20 KB of state, which hardly any invocation needs.
            let in_force = Box::pin(source.read()).await?;
            self.take_over(in_force);
        }
        Ok(())
    }

    /// Puts secrets into force that were read just now, if they may follow those of before ([`InForce::may_follow`]).
    fn take_over(&self, in_force: InForce) {
        if in_force.current_is_ignored {
            tracing::error!(
                "the signing secret's current version is one plain secret, and the version before it has the secrets of \
                 several apps. The plain one does not count: put a JSON object from api_app_id to signing secret"
            );
        }
        let mut current = self.lock();
        if !in_force.may_follow(current.apps) {
            tracing::error!(
                "the signing secret changed from one app's to several apps', or back: deploy the function to put it into \
                 force. Until then the secrets of before stay in force"
            );
            return;
        }
        current.apps.get_or_insert(in_force.apps);
        current.secrets = in_force.secrets.into();
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
    async fn read(&self) -> Result<InForce, SecretError> {
        let (current, previous) =
            tokio::join!(self.read_version("AWSCURRENT"), self.read_version("AWSPREVIOUS"));
        let current = current?.ok_or(SecretError::NoCurrentVersion)?;
        // Without the previous version, only what Slack signed before the rotation does not verify.
        let previous = previous.ok().flatten();
        Ok(InForce::of_versions(&current, previous.as_ref()))
    }

    async fn read_version(&self, stage: &str) -> Result<Option<SecretText>, SecretError> {
        let value =
            self.client.get_secret_value().secret_id(&self.secret_id).version_stage(stage).send().await;
        match value {
            Ok(output) => {
                let text = output.secret_string.ok_or(SecretError::Binary)?;
                SecretText::parse(&text).map(Some).map_err(SecretError::Text)
            }
            Err(SdkError::ServiceError(refused)) if refused.err().is_resource_not_found_exception() => {
                Ok(None)
            }
            Err(error) => Err(SecretError::Unavailable(Box::new(error))),
        }
    }
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
    /// There is no signing secret in the text.
    Text(SecretTextError),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "Secrets Manager GetSecretValue",
            Self::NoCurrentVersion => "the signing secret does not exist in Secrets Manager",
            Self::Binary => "the signing secret in Secrets Manager is binary, not text",
            Self::Text(_) => "the secret in Secrets Manager",
        })
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error.as_ref()),
            Self::Text(error) => Some(error),
            Self::NoCurrentVersion | Self::Binary => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(text: &str) -> InForce {
        InForce::of(SecretText::parse(text).unwrap().signing_secrets())
    }

    fn apps_of(secrets: &SigningSecrets) -> Vec<Option<String>> {
        secrets.current().iter().map(|secret| secret.app().map(str::to_owned)).collect()
    }

    #[test]
    fn whether_it_is_one_app_or_several_is_decided_by_what_is_read_first() {
        let (one, two) = (Some("A1".to_owned()), Some("A2".to_owned()));
        for (first, apps) in [
            ("plain", Apps::One),
            (r#"{"A1":"one"}"#, Apps::One),
            (r#"{"A1":"one","A2":"two"}"#, Apps::Several),
        ] {
            let secrets = SigningSecrets::none(None);
            assert_eq!(secrets.apps(), Apps::One);
            secrets.take_over(in_force(first));
            assert_eq!(secrets.apps(), apps, "{first}");
        }

        let secrets = SigningSecrets::fixed(in_force(r#"{"A1":"one"}"#).secrets);
        secrets.take_over(in_force(r#"{"A1":"one","A2":"two"}"#));
        assert_eq!((apps_of(&secrets), secrets.apps()), (vec![one.clone()], Apps::One), "wants a deployment");
        secrets.take_over(in_force("plain"));
        assert_eq!((apps_of(&secrets), secrets.apps()), (vec![None], Apps::One), "is one app's, too");

        let secrets = SigningSecrets::fixed(in_force(r#"{"A1":"one","A2":"two"}"#).secrets);
        secrets.take_over(in_force("plain"));
        assert_eq!((apps_of(&secrets), secrets.apps()), (vec![one, two.clone()], Apps::Several));
        secrets.take_over(in_force(r#"{"A2":"two"}"#));
        assert_eq!((apps_of(&secrets), secrets.apps()), (vec![two], Apps::Several), "the key stays as it is");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_quotes_nothing() {
        let text = SecretError::Text(SecretTextError::Empty);
        assert_eq!(text.source().map(ToString::to_string), Some(SecretTextError::Empty.to_string()));
        assert!(text.to_string().contains("Secrets Manager"));
        assert!(SecretError::NoCurrentVersion.to_string().contains("does not exist"));
        assert!(SecretError::Binary.to_string().contains("binary") && SecretError::Binary.source().is_none());
    }
}
