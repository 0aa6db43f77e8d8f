//! Where the token is put: into a secret of Secrets Manager that holds no other tenant's token, or into a file.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use slack_ingress::slack::bot_token::{BotToken, TokenKind};
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::slack::Slack;
use crate::CommandError;
use crate::aws::sdk_config;

/// The name of a secret that is created, before the tenant.
const NAME: &str = "slack-ingress/bot-token";

/// Where the token is to be put. It is looked for before anybody goes to Slack.
pub(super) enum Place {
    File(PathBuf),
    /// A secret that is there.
    Secret {
        client: Client,
        id: String,
    },
    /// A secret of the tenant's, which is created.
    New {
        client: Client,
    },
}

/// Where the token was put.
#[derive(Debug)]
pub(super) enum Kept {
    File(PathBuf),
    Put { arn: String },
    Created { arn: String },
}

impl Kept {
    pub(super) fn words(&self) -> String {
        match self {
            Self::File(path) => format!(
                "Its secret's text is in {}. Put it with `aws secretsmanager put-secret-value --secret-string file://…`, and \
                 remove the file.",
                path.display()
            ),
            Self::Put { arn } => format!("The token is in {arn}."),
            Self::Created { arn } => format!("The token is in {arn}, a new secret."),
        }
    }

    /// The ARN, if the secret is none that a stack has made.
    pub(super) fn created_arn(&self) -> Option<&str> {
        match self {
            Self::Created { arn } => Some(arn),
            Self::File(_) | Self::Put { .. } => None,
        }
    }
}

impl Place {
    pub(super) async fn find(
        secret_id: Option<String>,
        to_file: Option<PathBuf>,
    ) -> Result<Self, CommandError> {
        if let Some(path) = to_file {
            if path.exists() {
                return Err(format!("{} is there already", path.display()).into());
            }
            return Ok(Self::File(path));
        }
        let config = sdk_config().await;
        config.region().ok_or("AWS_REGION is not set, and no profile names a region")?;
        let client = Client::new(&config);
        match secret_id {
            Some(id) => {
                client.describe_secret().secret_id(&id).send().await.map_err(|error| why(&error))?;
                Ok(Self::Secret { client, id })
            }
            None => Ok(Self::New { client }),
        }
    }

    /// Puts the token there.
    pub(super) async fn keep(
        self,
        slack: &Slack,
        tenant: &str,
        token: &BotToken,
    ) -> Result<Kept, CommandError> {
        let text = token.to_json();
        match self {
            Self::File(path) => {
                write_for_oneself(&path, &text)?;
                Ok(Kept::File(path))
            }
            Self::Secret { client, id } => {
                let arn = put(&client, &id, slack, tenant, &text).await?;
                Ok(Kept::Put { arn })
            }
            Self::New { client } => {
                let name = format!("{NAME}/{tenant}");
                let create = client
                    .create_secret()
                    .name(&name)
                    .description(format!("the Slack app's bot token in {tenant}, put by slack-dev install"))
                    .secret_string(&text);
                match create.send().await {
                    Ok(created) => Ok(Kept::Created { arn: created.arn.unwrap_or(name) }),
                    // The app is installed again.
                    Err(error)
                        if error.as_service_error().is_some_and(|it| it.is_resource_exists_exception()) =>
                    {
                        let arn = put(&client, &name, slack, tenant, &text).await?;
                        Ok(Kept::Created { arn })
                    }
                    Err(error) => Err(why(&error).into()),
                }
            }
        }
    }
}

/// Puts a token into a secret that is there, if that has no other tenant's.
async fn put(
    client: &Client,
    id: &str,
    slack: &Slack,
    tenant: &str,
    text: &str,
) -> Result<String, CommandError> {
    let described = client.describe_secret().secret_id(id).send().await.map_err(|error| why(&error))?;
    let current = match client.get_secret_value().secret_id(id).send().await {
        Ok(current) => current.secret_string,
        Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => None,
        Err(error) => return Err(why(&error).into()),
    };
    let owner = match owner(described.description().unwrap_or_default(), current.as_deref()) {
        Owner::Nobody => None,
        Owner::Tenant(tenant) => Some(tenant),
        Owner::OfToken(token) => slack.tenant_of(&token).await?,
    };
    if let Some(other) = owner.filter(|owner| owner != tenant) {
        return Err(format!(
            "the secret is for {other}, and the app was installed in {tenant}: nothing was put. Begin anew with the \
             secret of {tenant}"
        )
        .into());
    }
    let put = client.put_secret_value().secret_id(id).secret_string(text);
    let put = put.send().await.map_err(|error| why(&error))?;
    Ok(put.arn.unwrap_or_else(|| id.to_owned()))
}

/// Whose a secret is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Tenant(String),
    /// Whose this bot token is.
    OfToken(String),
}

/// Whose a secret is, by the description that the stack gives one of several, and by what is in it.
fn owner(description: &str, current: Option<&str>) -> Owner {
    let described = description.strip_prefix("slack-ingress: the Slack app's bot token in ");
    if let Some(tenant) = described.and_then(|rest| rest.split(',').next()) {
        return Owner::Tenant(tenant.to_owned());
    }
    match current.and_then(|text| BotToken::read(text).ok()) {
        Some(BotToken { tenant: Some(tenant), .. }) => Owner::Tenant(tenant),
        Some(token) if matches!(token.kind(), TokenKind::Plain | TokenKind::Rotating) => {
            Owner::OfToken(token.token)
        }
        _ => Owner::Nobody,
    }
}

/// Writes a new file that only its owner can read.
fn write_for_oneself(path: &PathBuf, text: &str) -> Result<(), CommandError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(())
}

/// Why a call failed: the service's own code and message, or the error that kept the call from reaching it.
fn why<E: Error + ProvideErrorMetadata + 'static>(error: &SdkError<E>) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("Secrets Manager: {code}: {message}"),
        (Some(code), None) => format!("Secrets Manager: {code}"),
        _ => format!("Secrets Manager: {}", crate::with_causes(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_tenants_that_its_description_or_its_token_says() {
        let of_stack = "slack-ingress: the Slack app's bot token in T1, as {\"token\": \"xoxb-…\"}";
        let first = "slack-ingress: the Slack app's bot token, as {\"token\": \"xoxb-…\"}";
        let tenant = |tenant: &str| Owner::Tenant(tenant.to_owned());
        for (description, current, expected) in [
            (of_stack, Some(r#"{"token": "madeUp"}"#), tenant("T1")),
            (of_stack, None, tenant("T1")),
            (first, Some(r#"{"token": "madeUp"}"#), Owner::Nobody),
            (first, Some(r#"{"token": "xoxb-1"}"#), Owner::OfToken("xoxb-1".to_owned())),
            (first, Some(r#"{"token": "xoxe.xoxb-1", "tenant": "E1"}"#), tenant("E1")),
            ("", Some("not JSON"), Owner::Nobody),
            ("", None, Owner::Nobody),
        ] {
            assert_eq!(owner(description, current), expected, "{description} {current:?}");
        }
    }
}
