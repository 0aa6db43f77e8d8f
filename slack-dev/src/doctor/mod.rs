//! `slack-dev doctor`: checks the settings, the secrets, the endpoint and its signature check, the table, the queue and the
//! clocks. It changes nothing; the requests that it posts have no effect.

mod answered_by;
mod aws;
mod clock;
mod endpoint;
mod report;
mod settings;

use std::process::ExitCode;

use crate::CommandError;

use report::{Check, DoctorReport};
use settings::Settings;

/// Checks that everything is set up, and says what to do about each thing that is not.
///
/// It reads the variables of the function (SLACK_SIGNING_SECRET or _ARN, DEDUP_STORE, EVENT_SINK, …) from the environment, and
/// BOT_TOKEN_SECRET_ARN, the output of the agent's stack. What is not configured is skipped. It changes nothing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The endpoint that Slack is to post to
    #[arg(long)]
    url: Option<String>,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let report = DoctorReport::of(examine(&arguments, |name| std::env::var(name).ok()).await);
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(arguments: &Arguments, lookup: impl Fn(&str) -> Option<String>) -> Vec<Check> {
    let Settings { checks: mut all, secret, store, sink } = settings::examine(&lookup);
    let bot_token = lookup("BOT_TOKEN_SECRET_ARN").filter(|id| !id.trim().is_empty());
    let services =
        aws::Services::connect(secret.as_ref(), bot_token.as_deref(), store.as_ref(), sink.as_ref()).await;
    let (secret_checks, secrets) = aws::secret(&services, secret).await;
    all.extend(secret_checks);
    let (endpoint, bot_token, table, queue, slack) = tokio::join!(
        endpoint::examine(arguments.url.as_deref(), &secrets),
        aws::bot_token(&services, bot_token.as_deref()),
        aws::table(&services, store),
        aws::queue(&services, sink),
        clock::of_slack(&lookup),
    );
    let (endpoint_checks, endpoint_skew) = endpoint;
    all.extend(endpoint_checks);
    all.extend(bot_token);
    all.extend(table);
    all.extend(queue);
    all.push(clock::check("clock, Slack's", slack));
    // An AWS service's own clock is preferred. An endpoint on AWS has a good clock too.
    let aws = services.skew().or(endpoint_skew);
    all.push(clock::check(
        "clock, AWS's",
        aws.ok_or_else(|| clock::UnknownSkew::NotAsked("no AWS service was asked".to_owned())),
    ));
    all
}
