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
use secret::{NotKept, Place};
use slack::{App, Slack};

/// The bot scopes of the manifest of an agent that deploys its tools (`cdk/lib/ingress/manifest.ts`; a test compares).
pub(crate) const SCOPES: &str = "app_mentions:read,assistant:write,canvases:read,canvases:write,channels:history,chat:write,\
                      groups:history,im:history,mpim:history,reactions:write,users:read";

/// What the manifest has besides if files are read, if a user group decides about tools, and if there is a slash command.
pub(crate) const FILES_SCOPE: &str = "files:read";
pub(crate) const GROUPS_SCOPE: &str = "usergroups:read";
const COMMAND_SCOPE: &str = "commands";

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

    /// Ask for the scope too that an agent needs that reads files (files=true)
    #[arg(long)]
    files: bool,

    /// Ask for the scope too that an agent needs of which a user group decides about tools (approvals)
    #[arg(long)]
    groups: bool,

    /// Ask for the scope too that an app needs that has a slash command
    #[arg(long)]
    command: bool,

    /// The workspace to install in (T…), or the organisation (E…) for all of it; a token of another one is not kept
    #[arg(long)]
    team: Option<String>,

    /// Put the token into this secret of Secrets Manager, such as the output BotTokenSecretArn; by default a secret
    /// named slack-ingress/bot-token/ and the tenant is created
    #[arg(long, conflicts_with = "to_file")]
    secret_id: Option<String>,

    /// Replace a token in the secret that Slack does not take any more, so that nobody can say whose it was
    #[arg(long)]
    replace: bool,

    /// Write what belongs into the secret to a new file that only you can read, and call nothing of AWS's
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

impl Arguments {
    /// The scopes to ask for.
    fn scopes(&self) -> String {
        let more = [(self.files, FILES_SCOPE), (self.groups, GROUPS_SCOPE), (self.command, COMMAND_SCOPE)];
        let more = more.into_iter().filter_map(|(is_wanted, scope)| is_wanted.then_some(scope));
        std::iter::once(self.scope.as_str()).chain(more).collect::<Vec<_>>().join(",")
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let scope = arguments.scopes();
    let Arguments { client_id, client_secret_stdin, redirect_url, listen, team, secret_id, .. } = arguments;
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
    let place = Place::find(secret_id, arguments.to_file, team.as_deref(), arguments.replace, &slack).await?;

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
    let Granted { token, app_id, scope: granted_scopes } = granted;
    let tenant = token.tenant.clone().ok_or("Slack granted a token and did not say of which workspace")?;
    if let Some(team) = team.filter(|team| *team != tenant) {
        return Err(format!(
            "the app was installed in {tenant}, and not in {team} as --team says: nothing was put"
        )
        .into());
    }
    let kept = match place.keep(&slack, &tenant, &token).await {
        Ok(kept) => kept,
        // A token that Slack has granted is not thrown away because of a session that has expired.
        Err(NotKept::Failed(error)) => {
            let advice = place.rescue(&tenant, &token, &random()?)?;
            return Err(format!("{}. {advice}", crate::with_causes(error.as_ref())).into());
        }
        Err(refused) => return Err(refused.into()),
    };
    println!(
        "Installed in {tenant}{}: {}.\n{}",
        app_id.map(|id| format!(" (app {id})")).unwrap_or_default(),
        token.kind().as_str(),
        kept.words()
    );
    if let Some(missing) = missing(&scope, &granted_scopes) {
        println!("Not granted, although it was asked for: {missing}. Without these, what needs them fails.");
    }
    println!("{}", next_steps(&tenant, &token, kept.created_arn()));
    Ok(ExitCode::SUCCESS)
}

/// The scopes that were asked for and not granted.
fn missing(asked: &str, granted: &str) -> Option<String> {
    let granted: Vec<_> = granted.split(',').map(str::trim).collect();
    let missing: Vec<_> =
        asked.split(',').map(str::trim).filter(|it| !it.is_empty() && !granted.contains(it)).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
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
        // The strings in an array of that file, but those that something is compared with, and the names that it spreads.
        let array = |begin: &str| {
            let (_, rest) = manifest.split_once(begin).unwrap_or_else(|| panic!("no {begin}"));
            // An array that is spread ends in `])`.
            let end = ["];", "].sort();"].into_iter().filter_map(|end| rest.find(end)).min();
            rest.get(..end.expect("its end")).expect("a boundary").to_owned()
        };
        let strings = |text: &str| {
            let pieces: Vec<_> = text.split('\'').collect();
            let strings = pieces.windows(2).step_by(2).filter(|it| !it[0].trim_end().ends_with("==="));
            strings.map(|it| it[1].to_owned()).collect::<Vec<_>>()
        };
        let mut wanted = strings(&array("const scopes = ["));
        let scopes = array("const scopes = [");
        let is_name = |it: &&str| it.starts_with(|first: char| first.is_ascii_uppercase());
        for name in scopes.split("...").filter(is_name).map(|it| it.split([',', ']']).next().unwrap()) {
            wanted.extend(strings(&array(&format!("const {name} = ["))));
        }
        wanted.sort_unstable();
        let mut all: Vec<_> = SCOPES.split(',').chain([FILES_SCOPE, GROUPS_SCOPE, COMMAND_SCOPE]).collect();
        all.sort_unstable();
        assert_eq!(all, wanted);
        assert_eq!(missing(SCOPES, &wanted.join(",")), None);
        assert_eq!(missing("a:read,commands", "a:read"), Some("commands".to_owned()));
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
