//! `slack-dev doctor`: checks the settings, the secrets, the endpoint and its signature check, the table, the queue and the
//! clocks; and of an agent the bot token, its scopes and the tools. It changes nothing, and the requests that it posts have no
//! effect, but for the question of `--ask`, which it posts into Slack and has the agent answer.

mod agent;
mod answered_by;
mod ask;
mod aws;
mod clock;
mod endpoint;
mod outputs;
mod report;
mod settings;
mod slack;
mod token;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::CommandError;

use agent::Agent;
use outputs::Outputs;
use report::{Check, DoctorReport};
use settings::Settings;

/// Checks that everything is set up, and says what to do about each thing that is not.
///
/// It reads the outputs of the stacks (--outputs), and the variables of the function (SLACK_SIGNING_SECRET or _ARN, DEDUP_STORE,
/// EVENT_SINK, …) from the environment, which come first; of the agent BOT_TOKEN_SECRET_ARN and TOOLS_GATEWAY_URL. What is not
/// configured is skipped. It changes nothing, but for what --ask says.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The endpoint that Slack is to post to; the default is the output RequestUrl
    #[arg(long)]
    url: Option<String>,

    /// The outputs of the stacks: cdk/outputs.json, or what `sam list stack-outputs --output json` prints (- for standard input)
    #[arg(long, value_name = "FILE")]
    outputs: Vec<PathBuf>,

    /// Ask the agent a question in this channel (C…), of which the bot is a member, and wait for the answer. A message that says
    /// that it is a test is posted there, and the answer into its thread
    #[arg(long, value_name = "CHANNEL", requires = "asker", value_parser = parse_id)]
    ask: Option<String>,

    /// In whose name --ask asks: a person's member id (U…), yours for instance
    #[arg(long = "as", id = "asker", value_name = "USER", requires = "ask", value_parser = parse_id)]
    asker: Option<String>,

    /// How long --ask waits for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(5..=3600))]
    wait: u64,

    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// An id of Slack's.
fn parse_id(id: &str) -> Result<String, String> {
    let is_id = id.len() > 1 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id { Ok(id.to_owned()) } else { Err("an id of Slack's is of A to Z and digits".to_owned()) }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let outputs = Outputs::read(&arguments.outputs)?;
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    // The secret itself in the environment comes before the ARN of the outputs, and both together are an error.
    let lookup = |name: &str| {
        let is_replaced = name == "SLACK_SIGNING_SECRET_ARN" && environment("SLACK_SIGNING_SECRET").is_some();
        environment(name).or_else(|| outputs.variable(name).filter(|_| !is_replaced))
    };
    let report = DoctorReport::of(examine(&arguments, &outputs, lookup).await);
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(
    arguments: &Arguments,
    outputs: &Outputs,
    lookup: impl Fn(&str) -> Option<String>,
) -> Vec<Check> {
    let Settings { checks: mut all, secret, store, sink } = settings::examine(&lookup, !outputs.is_empty());
    let url = arguments.url.as_deref().or(outputs.request_url());
    let agent = Agent::of(outputs, &lookup);
    let services = aws::Services::connect(
        outputs.region(),
        secret.as_ref(),
        agent.is_there(),
        store.as_ref(),
        sink.as_ref(),
    )
    .await;
    let work = services.table_of(store.as_ref()).map(|(client, table)| {
        let table = outputs.work_table().map_or(table, str::to_owned);
        (client, table)
    });
    let (secret_checks, secrets) = aws::secret(&services, secret).await;
    all.extend(secret_checks);
    let (endpoint, agents, table, queue, slack) = tokio::join!(
        endpoint::examine(url, &secrets),
        agent.examine(&services, &lookup),
        aws::table(&services, store),
        aws::queue(&services, sink),
        clock::of_slack(&lookup),
    );
    let (endpoint_checks, endpoint_skew) = endpoint;
    let (agent_checks, first) = agents;
    all.extend(endpoint_checks);
    all.extend(agent_checks);
    all.extend(table);
    all.extend(queue);
    if let (Some(channel), Some(user)) = (&arguments.ask, &arguments.asker) {
        let asking = agent::Asking { url, secrets: &secrets, channel, user, table: work };
        all.push(asking.ask(first.as_ref(), Duration::from_secs(arguments.wait)).await);
    }
    all.push(clock::check("clock, Slack's", slack));
    // An AWS service's own clock is preferred. An endpoint on AWS has a good clock too.
    let aws = services.skew().or(endpoint_skew);
    all.push(clock::check(
        "clock, AWS's",
        aws.ok_or_else(|| clock::UnknownSkew::NotAsked("no AWS service was asked".to_owned())),
    ));
    all
}
