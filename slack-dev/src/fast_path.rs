//! `slack-dev fast-path check`: what is wrong with the rules of `FAST_PATH`, all of it at once, before anything is deployed.

use slack_ingress::fast_path::rules::Rules;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::CommandError;

/// Check the rules of what Slack is answered at once.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read a document of rules as the function does, and say what is wrong with it
    Check {
        /// The file with the JSON; the default is what the variable FAST_PATH has: a path, or the JSON itself
        file: Option<PathBuf>,
    },
}

/// Prints what the rules are, or what is wrong with them; then the status is 1.
pub(crate) fn run(
    Arguments { command: Command::Check { file } }: Arguments,
) -> Result<ExitCode, CommandError> {
    let text = match file {
        Some(file) => read(&file)?,
        None => match std::env::var("FAST_PATH") {
            Ok(text) if text.trim_start().starts_with('{') => text,
            Ok(path) => read(path.trim().as_ref())?,
            Err(_) => return Err("no file is given, and FAST_PATH is not set".into()),
        },
    };
    Ok(match Rules::parse(&text) {
        Ok(rules) => {
            println!("{}", count(rules.count(), "rule"));
            if rules.need_bot_token() {
                println!(
                    "a rule opens a modal: the function needs SLACK_BOT_TOKEN_ARN, and may read that secret"
                );
            }
            if rules.ask_functions() {
                println!("a rule asks a function: the ingress needs the right lambda:InvokeFunction for it");
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                println!("{problem}");
            }
            println!("{}", count(problems.len(), "problem"));
            ExitCode::FAILURE
        }
    })
}

fn read(path: &std::path::Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
