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

/// The description of a secret that a stack has made for a bot token begins with this.
const OF_THE_STACK: &str = "slack-ingress: the Slack app's bot token";

/// Where the token is to be put. It is looked for before anybody goes to Slack.
pub(super) enum Place {
    File(PathBuf),
    /// A secret that is there.
    Secret {
        secret: Secret,
        id: String,
    },
    /// A secret of the tenant's, which is created.
    New {
        secret: Secret,
    },
}

/// What writes a secret.
pub(super) struct Secret {
    client: Client,
    /// Whether a token may be replaced of which nobody can say whose it is.
    replace: bool,
}

/// Why a token was not put.
#[derive(Debug)]
pub(super) enum NotKept {
    /// The secret is another tenant's, or holds something else.
    Refused(String),
    /// It could be put there, and something failed.
    Failed(CommandError),
}

impl From<NotKept> for CommandError {
    fn from(not_kept: NotKept) -> Self {
        match not_kept {
            NotKept::Refused(why) => why.into(),
            NotKept::Failed(error) => error,
        }
    }
}

impl From<CommandError> for NotKept {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<String> for NotKept {
    fn from(error: String) -> Self {
        Self::Failed(error.into())
    }
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
    /// Looks whether the token can be put there, as far as that can be known before there is one.
    pub(super) async fn find(
        secret_id: Option<String>,
        to_file: Option<PathBuf>,
        team: Option<&str>,
        replace: bool,
        slack: &Slack,
    ) -> Result<Self, CommandError> {
        if let Some(path) = to_file {
            if path.exists() {
                return Err(format!("{} is there already", path.display()).into());
            }
            return Ok(Self::File(path));
        }
        let config = sdk_config().await;
        config.region().ok_or("AWS_REGION is not set, and no profile names a region")?;
        let secret = Secret { client: Client::new(&config), replace };
        if let Some(id) = secret_id {
            secret.check(&id, team, slack).await?;
            return Ok(Self::Secret { secret, id });
        }
        // There need not be one, but the credentials must be good.
        let name = format!("{NAME}/{}", team.unwrap_or("T0"));
        match secret.client.describe_secret().secret_id(&name).send().await {
            Ok(_) if team.is_some() => secret.check(&name, team, slack).await?,
            Ok(_) => {}
            Err(error)
                if matches!(error.code(), Some("ResourceNotFoundException" | "AccessDeniedException")) => {}
            Err(error) => return Err(why(&error).into()),
        }
        Ok(Self::New { secret })
    }

    /// Puts the token there.
    pub(super) async fn keep(&self, slack: &Slack, tenant: &str, token: &BotToken) -> Result<Kept, NotKept> {
        let text = token.to_json();
        match self {
            Self::File(path) => {
                write_for_oneself(path, &text)?;
                Ok(Kept::File(path.clone()))
            }
            Self::Secret { secret, id } => Ok(Kept::Put { arn: secret.put(id, slack, tenant, &text).await? }),
            Self::New { secret } => {
                let name = format!("{NAME}/{tenant}");
                let create = secret
                    .client
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
                        Ok(Kept::Created { arn: secret.put(&name, slack, tenant, &text).await? })
                    }
                    Err(error) => Err(why(&error).into()),
                }
            }
        }
    }

    /// Writes a token that could not be put to a new file, in the directory at hand or else in that for temporary ones, so that
    /// the installation is not in vain. Returns what to do with it.
    pub(super) fn rescue(
        &self,
        tenant: &str,
        token: &BotToken,
        random: &str,
    ) -> Result<String, CommandError> {
        let name = format!("slack-bot-token-{tenant}-{random}.json");
        let (text, here) = (token.to_json(), PathBuf::from(&name));
        let path = match write_for_oneself(&here, &text) {
            Ok(()) => here,
            Err(_) => {
                let path = std::env::temp_dir().join(&name);
                write_for_oneself(&path, &text)?;
                path
            }
        };
        let put = match self {
            Self::Secret { id, .. } => format!("aws secretsmanager put-secret-value --secret-id {id}"),
            Self::File(_) | Self::New { .. } => {
                format!("aws secretsmanager create-secret --name {NAME}/{tenant}")
            }
        };
        Ok(format!(
            "The token is in {path}, which only you can read. Put it with `{put} --secret-string file://{path}`, and remove the \
             file",
            path = path.display()
        ))
    }
}

impl Secret {
    /// Checks that what is in a secret may be replaced by a token of this tenant; absent: it is not known yet which one.
    async fn check(&self, id: &str, tenant: Option<&str>, slack: &Slack) -> Result<(), NotKept> {
        let described =
            self.client.describe_secret().secret_id(id).send().await.map_err(|error| why(&error))?;
        let current = match self.client.get_secret_value().secret_id(id).send().await {
            Ok(current) if current.secret_string.is_none() && current.secret_binary.is_none() => None,
            Ok(current) => Some(current.secret_string.unwrap_or_default()),
            Err(error) if error.as_service_error().is_some_and(|it| it.is_resource_not_found_exception()) => {
                None
            }
            Err(error) => return Err(why(&error).into()),
        };
        let refused = |why: String| Err(NotKept::Refused(format!("{why}: nothing was put")));
        let owner = match owner(described.description().unwrap_or_default(), current.as_deref()) {
            Owner::Nobody => return Ok(()),
            Owner::Tenant(owner) => owner,
            Owner::OfToken(token) => match slack.tenant_of(&token).await? {
                Some(owner) => owner,
                None if self.replace => return Ok(()),
                None => {
                    return refused(
                        "the secret holds a bot token that Slack does not take any more, so nobody knows whose it was. Is it \
                         the right secret? Then say --replace"
                            .to_owned(),
                    );
                }
            },
            Owner::SomethingElse => {
                return refused(
                    "the secret holds something that is no bot token, such as a signing secret. Name another one".to_owned(),
                );
            }
        };
        match tenant.filter(|tenant| **tenant != owner) {
            Some(tenant) => refused(format!(
                "the secret is for {owner}, and the app is for {tenant} here. Begin anew with the secret of {tenant}"
            )),
            None => Ok(()),
        }
    }

    /// Puts a token into a secret that is there.
    async fn put(&self, id: &str, slack: &Slack, tenant: &str, text: &str) -> Result<String, NotKept> {
        self.check(id, Some(tenant), slack).await?;
        let put = self.client.put_secret_value().secret_id(id).secret_string(text);
        let put = put.send().await.map_err(|error| why(&error))?;
        Ok(put.arn.unwrap_or_else(|| id.to_owned()))
    }
}

/// Whose a secret is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Tenant(String),
    /// Whose this bot token is.
    OfToken(String),
    /// It is no secret for a bot token.
    SomethingElse,
}

/// Whose a secret is, by the description that the stack gives one of several, and by what is in it.
fn owner(description: &str, current: Option<&str>) -> Owner {
    let of_stack = description.strip_prefix(OF_THE_STACK);
    let described = of_stack.and_then(|rest| rest.strip_prefix(" in ")?.split(',').next());
    if let Some(tenant) = described {
        return Owner::Tenant(tenant.to_owned());
    }
    let Some(text) = current else { return Owner::Nobody };
    match BotToken::read(text) {
        Ok(token) if matches!(token.kind(), TokenKind::Plain | TokenKind::Rotating) => match token.tenant {
            Some(tenant) => Owner::Tenant(tenant),
            None => Owner::OfToken(token.token),
        },
        // The random value of the stack, or what somebody has put there by mistake.
        _ if of_stack.is_some() => Owner::Nobody,
        _ => Owner::SomethingElse,
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
            (first, Some("not JSON"), Owner::Nobody),
            ("", Some("not JSON"), Owner::SomethingElse),
            ("", Some(r#"{"token": "madeUp"}"#), Owner::SomethingElse),
            ("", Some(r#"{"client_id": "1", "client_secret": "2"}"#), Owner::SomethingElse),
            ("slack-ingress: the Slack app's credentials", Some(r#"{"token": "x"}"#), Owner::SomethingElse),
            // A binary value.
            ("", Some(""), Owner::SomethingElse),
            ("", None, Owner::Nobody),
        ] {
            assert_eq!(owner(description, current), expected, "{description} {current:?}");
        }
    }
}
