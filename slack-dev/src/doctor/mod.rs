//! Whether everything is set up: the settings, the endpoint, what it verifies, the table, the queue, the clocks. Changes
//! nothing anywhere; what it posts has no effect.

mod aws;
mod clock;
mod endpoint;
mod report;
mod settings;

use std::process::ExitCode;

use crate::Trouble;
use clock::Skew;
use report::{Check, Report};
use settings::Settings;

/// Checks that everything is set up, and says what to do where it is not.
///
/// It reads the variables of the function (SLACK_SIGNING_SECRET or _ARN, DEDUP_STORE, EVENT_SINK, …) from the environment. What is not
/// configured is skipped. It changes nothing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The endpoint that Slack is to post to
    #[arg(long)]
    url: Option<String>,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
    let report = Report::of(examine(&arguments, |name| std::env::var(name).ok()).await);
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(arguments: &Arguments, lookup: impl Fn(&str) -> Option<String>) -> Vec<Check> {
    let Settings { checks: mut all, secret, store, sink } = settings::examine(&lookup);
    let services = aws::Services::connect(secret.as_ref(), store.as_ref(), sink.as_ref()).await;
    let (secret_checks, secrets) = aws::secret(&services, secret).await;
    all.extend(secret_checks);
    let (endpoint, table, queue, slack) = tokio::join!(
        endpoint::examine(arguments.url.as_deref(), &secrets),
        aws::table(&services, store),
        aws::queue(&services, sink),
        clock::of_slack(&lookup),
    );
    let (endpoint_checks, endpoint_skew) = endpoint;
    all.extend(endpoint_checks);
    all.extend(table);
    all.extend(queue);
    all.push(clock::check("clock, Slack's", slack));
    // A service's answer says it best; an endpoint on AWS is as good.
    let aws = services.skew().or(endpoint_skew);
    all.push(clock::check(
        "clock, AWS's",
        aws.ok_or_else(|| clock::Unknown::NotAsked("nothing of AWS was asked".to_owned())),
    ));
    all
}

/// The time between two clocks: ours and another's, in seconds; positive when ours is ahead.
type MaybeSkew = Option<Skew>;
