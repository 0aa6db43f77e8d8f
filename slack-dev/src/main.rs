//! `slack-dev`: a Slack to run on your own machine. Plays Slack, joins it, records it and plays it back.

mod aws;
mod bridge;
mod capture;
mod delivery;
mod doctor;
mod filter;
mod play;
mod redact;
mod replay;
mod slack;
mod storm;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// What a command may fail with, in words for whoever started it.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// A Slack to run on your own machine, for apps behind slack-ingress.
///
/// Secrets are read from the environment only: SLACK_SIGNING_SECRET for what is signed, SLACK_APP_TOKEN for the bridge.
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
    /// Post many events at once, with retries, forgeries and duplicates, and check what came of them
    Storm(storm::Arguments),
    /// Take deliveries from a queue, a dead-letter queue or the lines of `stdout:` into a file
    Capture(capture::Arguments),
    /// Put the deliveries of a file back: to an ingress, signed afresh, or straight on a queue
    Replay(replay::Arguments),
    /// Receive a real app's events through Socket Mode, without a public URL
    Bridge(bridge::Arguments),
    /// Check that everything is set up, and say what to do where it is not
    Doctor(doctor::Arguments),
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
    };
    done.unwrap_or_else(|trouble| {
        eprintln!("slack-dev: {}", with_causes(trouble.as_ref()));
        ExitCode::from(2)
    })
}

/// The error and its causes, in one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    slack_ingress::telemetry::report::with_causes(error)
}
