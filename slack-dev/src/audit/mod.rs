//! `slack-dev audit`: what the audit trail holds of a person, or of a time. It works by the credentials of whoever starts it:
//! agent-settle itself can only add entries.
//!
//! `entries.rs`: an entry as JSON and as a line; `table.rs`: how the table is read, and what is deleted.

mod entries;
mod table;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use slack_ingress::slack::question::person_key;
use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::CommandError;
use crate::aws::sdk_config;
use entries::Entry;
use table::Trail;

/// Find, export or delete what the audit trail holds of a person, or export a time of it.
///
/// It uses your own credentials. docs/audit.md says what the trail holds, and what else is to be deleted of a person.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The table of the trail (the stack's output AuditTableName); the default is the variable AUDIT_TABLE
    #[arg(long, global = true)]
    table: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the entries of a person, without texts and arguments
    Find(Person),
    /// Delete the entries of a person; without --yes it says what it would delete
    Delete {
        #[command(flatten)]
        person: Person,

        /// Delete them
        #[arg(long)]
        yes: bool,
    },
    /// Write entries with everything that is in them, each as a line of JSON: of a person, of a time, or of both
    Export {
        /// The installation that the person asked in (the attribute tenant): an id of a workspace, or of an organisation
        #[arg(long, requires = "user", value_parser = id)]
        tenant: Option<String>,

        /// The person's id in Slack
        #[arg(long, requires = "tenant", value_parser = id)]
        user: Option<String>,

        /// From when on, such as 2026-11-01 or 2026-11-01T12:00:00Z; the default is the beginning
        #[arg(long, value_parser = time)]
        from: Option<u64>,

        /// Until when, with all of that day or second; the default is the end
        #[arg(long, value_parser = end)]
        to: Option<u64>,
    },
}

#[derive(clap::Args)]
struct Person {
    /// The installation that the person asked in (the attribute tenant): an id of a workspace, or of an organisation
    #[arg(long, value_parser = id)]
    tenant: String,

    /// The person's id in Slack
    #[arg(long, value_parser = id)]
    user: String,
}

impl Person {
    fn key(&self) -> String {
        person_key(&self.tenant, &self.user)
    }
}

/// An id of Slack's.
fn id(id: &str) -> Result<String, String> {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id { Ok(id.to_owned()) } else { Err("an id of Slack's is of A to Z and digits".to_owned()) }
}

/// A point in time, as milliseconds since 1970. A day alone is its beginning in UTC.
fn time(text: &str) -> Result<u64, String> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let millis = DateTime::from_str(&whole, Format::DateTime).ok().and_then(|time| time.to_millis().ok());
    millis.and_then(|millis| u64::try_from(millis).ok()).ok_or_else(|| {
        "it must be a day such as 2026-11-01, or a time such as 2026-11-01T12:00:00Z".to_owned()
    })
}

/// The end of a day or a second, as milliseconds since 1970.
fn end(text: &str) -> Result<u64, String> {
    let last = match text.split_once('T') {
        None => 24 * 60 * 60 * 1000 - 1,
        Some((_, of_day)) if !of_day.contains('.') => 999,
        Some(_) => 0,
    };
    time(text).map(|begin| begin.saturating_add(last))
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let variable = std::env::var("AUDIT_TABLE").ok().filter(|value| !value.trim().is_empty());
    let table = arguments.table.or(variable).ok_or(
        "which table? Give its name by --table or AUDIT_TABLE; the stack has it as its output AuditTableName",
    )?;
    let trail = Trail::new(aws_sdk_dynamodb::Client::new(&sdk_config().await), table);
    match arguments.command {
        Command::Find(person) => {
            let entries = trail.of_person(&person.key(), (0, u64::MAX)).await?;
            for entry in &entries {
                println!("{}", entry.line());
            }
            println!("{}", counted(&entries));
            Ok(if entries.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Delete { person, yes } => delete(&trail, &person.key(), yes).await,
        Command::Export { tenant, user, from, to } => {
            let when = (from.unwrap_or(0), to.unwrap_or(u64::MAX));
            if when.0 > when.1 {
                return Err("--from is later than --to".into());
            }
            let entries = match (tenant, user) {
                (Some(tenant), Some(user)) => trail.of_person(&person_key(&tenant, &user), when).await?,
                _ => trail.of_time(when).await?,
            };
            for entry in &entries {
                println!("{}", entry.json());
            }
            eprintln!("{}", counted(&entries));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn delete(trail: &Trail, person: &str, yes: bool) -> Result<ExitCode, CommandError> {
    if !yes {
        let entries = trail.of_person(person, (0, u64::MAX)).await?;
        println!("{}", counted(&entries));
        println!(
            "Nothing was deleted. --yes deletes them; what was exported to S3 stays until it expires there."
        );
        return Ok(if entries.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let deleted = trail.delete_person(person).await?;
    println!("{} deleted.", of(deleted, "entry was", "entries were"));
    println!(
        "What was exported to S3 stays until it expires there, and what DynamoDB can restore for 35 days. \
         docs/audit.md says what else is kept of a person."
    );
    Ok(ExitCode::SUCCESS)
}

fn of(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// How many there are, and from when.
fn counted(entries: &[Entry]) -> String {
    let questions: BTreeSet<&str> = entries.iter().map(Entry::question_id).collect();
    let (first, last) = (entries.first().map(Entry::at), entries.last().map(Entry::at));
    match (first, last) {
        (Some(first), Some(last)) => format!(
            "{} of {}, from {first} to {last}",
            of(entries.len(), "entry", "entries"),
            of(questions.len(), "question", "questions")
        ),
        _ => "no entries".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_point_in_time() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000));
        assert_eq!(time("1970-01-01T00:00:01.500Z"), Ok(1_500));
        for wrong in ["yesterday", "2026-13-01", "1969-12-31", ""] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_day_or_a_second_is_taken_with_all_of_it() {
        for (text, begin, last) in [
            ("2026-11-30", "2026-11-30T00:00:00Z", 86_399_999),
            ("2026-11-30T23:59:59Z", "2026-11-30T23:59:59Z", 999),
            ("2026-11-30T23:59:59.5Z", "2026-11-30T23:59:59.5Z", 0),
        ] {
            assert_eq!(end(text), time(begin).map(|begin| begin + last), "{text}");
        }
        assert!(end("yesterday").is_err());
    }
}
