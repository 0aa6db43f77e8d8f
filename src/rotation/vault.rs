//! The secrets in Secrets Manager, version by version.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::operation::update_secret_version_stage::UpdateSecretVersionStageError;

use crate::dedup::StoreError;

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// The text of a version of a secret.
pub struct Version {
    /// The version's id.
    pub id: String,
    /// Its text; empty if it has none.
    pub text: String,
}

/// Reads and writes versions of secrets.
#[derive(Clone, Debug)]
pub struct Vault {
    client: Client,
}

impl Vault {
    /// The secrets that this client reaches.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The current version; `None` if the secret has none.
    ///
    /// # Errors
    /// When Secrets Manager does not give it.
    pub async fn current(&self, secret: &str) -> Result<Option<Version>, StoreError> {
        self.version(secret, None).await
    }

    /// The version with this id; `None` if there is none.
    ///
    /// # Errors
    /// When Secrets Manager does not give it.
    pub async fn with_id(&self, secret: &str, id: &str) -> Result<Option<Version>, StoreError> {
        self.version(secret, Some(id)).await
    }

    async fn version(&self, secret: &str, id: Option<&str>) -> Result<Option<Version>, StoreError> {
        let get = self.client.get_secret_value().secret_id(secret).set_version_id(id.map(str::to_owned));
        match get.send().await {
            Ok(got) => Ok(Some(Version {
                id: got.version_id.unwrap_or_default(),
                text: got.secret_string.unwrap_or_default(),
            })),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => Ok(None),
            Err(error) => Err(StoreError::new("Secrets Manager GetSecretValue", error)),
        }
    }

    /// Stores a version under this id, which nobody reads as the current one yet. To store it again changes nothing.
    ///
    /// # Errors
    /// When it is unknown whether it is stored.
    pub async fn store(&self, secret: &str, id: &str, text: &str) -> Result<(), StoreError> {
        let put = self.client.put_secret_value().secret_id(secret).client_request_token(id);
        match put.secret_string(text).version_stages(PENDING).send().await {
            Ok(_) => Ok(()),
            // A version cannot be changed: there is one with this id already, and that one counts.
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), PutSecretValueError::ResourceExistsException(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::new("Secrets Manager PutSecretValue", error)),
        }
    }

    /// Makes the version `to` the current one if `from` still is. Returns false if another one is: somebody has put a token.
    ///
    /// # Errors
    /// When it is unknown which version is the current one.
    pub async fn promote(&self, secret: &str, from: &str, to: &str) -> Result<bool, StoreError> {
        let update = self.client.update_secret_version_stage().secret_id(secret).version_stage(CURRENT);
        match update.move_to_version_id(to).remove_from_version_id(from).send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if matches!(
                    error.err(),
                    UpdateSecretVersionStageError::InvalidParameterException(_)
                        | UpdateSecretVersionStageError::InvalidRequestException(_)
                ) =>
            {
                // Also if the SDK's first attempt took effect and its answer was lost.
                Ok(self.current(secret).await?.is_some_and(|current| current.id == to))
            }
            Err(error) => Err(StoreError::new("Secrets Manager UpdateSecretVersionStage", error)),
        }
    }
}
