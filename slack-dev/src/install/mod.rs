//! `slack-dev install`: installs the app in a workspace or an organisation by Slack's OAuth flow, and puts the bot token where
//! the Gateways read it.
//!
//! ```text
//! the secret can be written? ─▶ authorize URL ─▶ redirect, with the right state ─▶ code for token ─▶ secret, not another tenant's
//! ```
//!
//! In reading order: [`run`]; `redirect`, what comes back from the browser; `slack`, what is asked of Slack; `secret`, where the
//! token is put. No token, no secret and no code is printed.

mod redirect;
mod secret;
mod slack;

use slack_ingress::slack::bot_token::{BotToken, TokenKind};
use slack_ingress::slack::oauth::Granted;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::CommandError;
use redirect::{Expected, RedirectUrl};
use secret::Place;
use slack::{App, Slack};

/// The bot scopes of the manifest of an agent that deploys its tools (`cdk/lib/ingress/manifest.ts`; a test compares).
const SCOPES: &str = "app_mentions:read,assistant:write,canvases:read,canvases:write,channels:history,chat:write,\
                      groups:history,im:history,mpim:history,reactions:write";

/// What the app's redirect URL is, unless another one is given. Nothing answers there: the address is copied.
const REDIRECT_URL: &str = "https://localhost:8765/slack/install";

/// Install the app in a workspace, and put its bot token where the Gateways read it.
///
/// The client secret is read from SLACK_CLIENT_SECRET, or from the first line of standard input. Slack's app must have the
/// redirect URL (OAuth & Permissions → Redirect URLs). Slack takes https only, so paste the address that the browser ends at; or
/// give the URL of a tunnel to --listen.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The app's client id (Basic Information); the default is the variable SLACK_CLIENT_ID
    #[arg(long)]
    client_id: Option<String>,

    /// Read the client secret from the first line of standard input
    #[arg(long)]
    client_secret_stdin: bool,

    /// One of the app's redirect URLs
    #[arg(long, value_parser = RedirectUrl::parse, default_value = REDIRECT_URL)]
    redirect_url: RedirectUrl,

    /// Take the redirect on this port of 127.0.0.1, to which a tunnel leads from the redirect URL
    #[arg(long, value_name = "PORT")]
    listen: Option<u16>,

    /// The bot scopes to ask for, separated by commas; the default is those of the agent's manifest
    #[arg(long, value_name = "SCOPES", default_value = SCOPES, hide_default_value = true)]
    scope: String,

    /// The workspace to install in (T…), if the browser is signed in to several
    #[arg(long)]
    team: Option<String>,

    /// Put the token into this secret of Secrets Manager, such as the output BotTokenSecretArn; by default a secret
    /// slack-ingress/bot-token/<tenant> is created
    #[arg(long, conflicts_with = "to_file")]
    secret_id: Option<String>,

    /// Write what belongs into the secret to a new file that only you can read, and call nothing of AWS's
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let Arguments { client_id, client_secret_stdin, redirect_url, listen, scope, team, secret_id, to_file } =
        arguments;
    let lookup =
        |name: &str| std::env::var(name).ok().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    let lines = redirect::lines_of_standard_input();
    let client_secret = if client_secret_stdin {
        lines.recv().ok().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
    } else {
        lookup("SLACK_CLIENT_SECRET")
    };
    let app = App {
        client_id: client_id.or_else(|| lookup("SLACK_CLIENT_ID")).ok_or(
            "which app? Give its client id by --client-id or SLACK_CLIENT_ID (Basic Information → App Credentials)",
        )?,
        client_secret: client_secret.ok_or(
            "the client secret is missing: give it in SLACK_CLIENT_SECRET, or on standard input with --client-secret-stdin",
        )?,
    };
    let slack = Slack::from_lookup(lookup)?;
    // Before anybody goes to Slack: a token that cannot be put is lost.
    let place = Place::find(secret_id, to_file).await?;

    let state = random()?;
    let url = slack::authorize_url(&app.client_id, redirect_url.as_str(), &scope, team.as_deref(), &state)?;
    println!(
        "Open this in a browser in which you are signed in to the workspace, and allow the app:\n\n{url}\n"
    );
    let expected = Expected { redirect_url: redirect_url.clone(), state };
    match listen {
        Some(port) => println!(
            "Waiting for the redirect on 127.0.0.1:{port}; or paste the address that the browser ends at:"
        ),
        None => println!(
            "The browser then says that it cannot reach {}. Copy the whole address from its address bar, paste it here and \
             press Enter:",
            redirect_url.host()
        ),
    }
    let code = redirect::wait(expected, listen, lines).await?;

    let granted = slack.exchange(&app, &code, redirect_url.as_str()).await?;
    let Granted { token, app_id, .. } = granted;
    let tenant = token.tenant.clone().ok_or("Slack granted a token and did not say of which workspace")?;
    let kept = place.keep(&slack, &tenant, &token).await?;
    println!(
        "Installed in {tenant}{}: {}.\n{}",
        app_id.map(|id| format!(" (app {id})")).unwrap_or_default(),
        token.kind().as_str(),
        kept.words()
    );
    println!("{}", next_steps(&tenant, &token, kept.created_arn()));
    Ok(ExitCode::SUCCESS)
}

/// What is left to do.
fn next_steps(tenant: &str, token: &BotToken, created: Option<&str>) -> String {
    let rotating = token.kind() == TokenKind::Rotating;
    let (option, hint) = if rotating {
        (
            " -c rotatingTokens=true",
            "\nThe token is good for twelve hours. Deploy with rotatingTokens=true, and run the command of the output \
             PutTheAppCredentials, before they are over.",
        )
    } else {
        ("", "")
    };
    let deploy = match created {
        Some(arn) => format!(
            "If it is the first workspace:\n    make deploy CONTEXT=\"-c agent=true -c workspace={tenant} -c botTokenSecretArn={arn}{option}\"\n\
             If it is one more, beside the first, FIRST:\n    make deploy CONTEXT=\"-c agent=true -c workspace=FIRST -c moreWorkspaces={tenant}={arn}{option}\"\n\
             Give all other settings as before."
        ),
        None => {
            "If a stack made the secret, nothing is to be deployed: the Gateway reads it with the next call."
                .to_owned()
        }
    };
    format!("{deploy}{hint}")
}

/// 128 bits that nobody can guess.
fn random() -> Result<String, CommandError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_scopes_are_those_of_the_agents_manifest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cdk/lib/ingress/manifest.ts");
        let manifest = std::fs::read_to_string(path).unwrap();
        let is_scope = |word: &&str| {
            let (area, right) = word.split_once(':').unwrap_or_default();
            let is_word =
                |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            is_word(area) && ["read", "write", "history"].contains(&right)
        };
        // What stands between two quotation marks there, each once.
        let mut wanted: Vec<_> = manifest.split('\'').filter(is_scope).collect();
        wanted.sort_unstable();
        wanted.dedup();
        assert_eq!(SCOPES.split(',').collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_next_step_names_the_tenant_and_the_secret_and_says_when_a_token_expires() {
        let token = |token: &str| BotToken {
            token: token.to_owned(),
            refresh_token: None,
            expires_at: None,
            tenant: None,
        };
        let plain = next_steps("T1", &token("xoxb-xyzzy"), Some("arn:1"));
        assert!(
            plain.contains("-c moreWorkspaces=T1=arn:1\"") && !plain.contains("rotatingTokens"),
            "{plain}"
        );
        let rotating = next_steps("T1", &token("xoxe.xoxb-xyzzy"), Some("arn:1"));
        assert!(
            rotating.contains("-c rotatingTokens=true") && rotating.contains("twelve hours"),
            "{rotating}"
        );
        let put = next_steps("T1", &token("xoxb-xyzzy"), None);
        assert!(put.contains("nothing is to be deployed"), "{put}");
        assert!(![plain, rotating, put].concat().contains("xyzzy"));
    }
}
