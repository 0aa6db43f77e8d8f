//! `slack-dev`: a Slack to run on your own machine. It sends requests as Slack does, receives a real app's events, records
//! deliveries to a file and sends them again.

mod audit;
mod aws;
mod bridge;
mod capture;
mod cost;
mod delivery;
mod doctor;
mod fast_path;
mod filter;
mod install;
mod play;
mod redact;
mod replay;
mod slack;
mod storm;
mod trace;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// Why a command could not do its work, in words for the person who started it.
pub(crate) type CommandError = Box<dyn Error + Send + Sync>;

/// A Slack to run on your own machine, for apps behind slack-ingress.
///
/// Secrets are read from the environment only: SLACK_SIGNING_SECRET to sign requests, SLACK_APP_TOKEN for the bridge,
/// SLACK_CLIENT_SECRET to install the app.
#[derive(Parser)]
#[command(name = "slack-dev", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sign fixtures or files and post them as Slack does, with its time limit and its retries
    Play(play::Arguments),
    /// Post many events at once, with retries, forgeries and duplicates, and check that each event arrived once
    Storm(storm::Arguments),
    /// Write the deliveries of a queue, of a dead-letter queue or of the lines of `stdout:` to a file
    Capture(capture::Arguments),
    /// Send the deliveries of a file again: newly signed to an ingress, or straight to a queue
    Replay(replay::Arguments),
    /// Receive a real app's events through Socket Mode, without a public URL
    Bridge(bridge::Arguments),
    /// Check that everything is set up, and say what to do about each thing that is not
    Doctor(doctor::Arguments),
    /// Check the rules of what Slack is answered at once (FAST_PATH), before they are deployed
    FastPath(fast_path::Arguments),
    /// Install the app in a workspace by Slack's OAuth flow, and put its bot token where the Gateways read it
    Install(install::Arguments),
    /// Say what a month costs: the ingress, the agent behind it, and what they are watched with
    Cost(Box<cost::Arguments>),
    /// Say what became of the question in a message, and where its trace and its log lines are
    Trace(trace::Arguments),
    /// Find, export or delete what the audit trail holds of a person, or export a time of it
    Audit(audit::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Play(arguments) => play::run(arguments).await,
        Command::Storm(arguments) => storm::run(arguments).await,
        Command::Capture(arguments) => capture::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Bridge(arguments) => bridge::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::FastPath(arguments) => fast_path::run(arguments),
        Command::Install(arguments) => install::run(arguments).await,
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Trace(arguments) => trace::run(arguments).await,
        Command::Audit(arguments) => audit::run(arguments).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("slack-dev: {}", with_causes(error.as_ref()));
        ExitCode::from(2)
    })
}

/// The error and its causes on one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    slack_ingress::telemetry::report::with_causes(error)
}
