//! `slack-dev trace`: from the link of a message in Slack to what became of the question in it, and to its trace.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::json;
use slack_ingress::config::{IngressConfig, StoreConfig};
use slack_ingress::slack::question::SlackTs;
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis};
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::receive::{DELETED, OUTCOME_UNKNOWN, STOPPED, UNTOLD};
use slack_ingress::work::record::{Declined, Flight, Posting, Record, State};
use slack_ingress::work::{RecordKey, WorkStore};
use std::fmt::Write;
use std::process::ExitCode;

use crate::CommandError;
use crate::aws::sdk_config;

const NOT_FOUND: &str = "\
There is no work record of this message. That may mean:
- It asks nothing of the app (docs/agent.md, \"What a question is\"), or it is still on the queue. The ingress's log has its event.
- It is not the question: the link has to be the one of the question itself. Of another message of a thread, such as an answer, the
  question is found that began the thread, and there is none here.
- It was asked of another app, or the table of DEDUP_STORE is another app's.
- It is older than 30 days: so long is a record kept after it was written last.";

/// Say what became of the question in a message, and where its trace and its log lines are.
///
/// It reads the table that DEDUP_STORE names (dynamodb:TABLE) with your own credentials and changes nothing. No text is shown.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The message's link: in Slack, "Copy link" of the message that asks
    #[arg(value_name = "LINK", value_parser = Permalink::parse)]
    link: Permalink,

    /// The app's id, such as A0123456789; the default is the variable SLACK_APP_ID
    #[arg(long, value_parser = parse_id)]
    app: Option<String>,

    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// What is said before a question that the link does not name itself.
const OF_THE_THREAD: &str = "\
This message is no question. It stands in a thread, and this is the question that began it. For a later question of
the thread, give the link of that question.
";

/// The message that a link of Slack's names: `https://<workspace>.slack.com/archives/<channel>/p<ts without its dot>`. A reply's link
/// also has the thread (`?thread_ts=…&cid=…`). Whoever asks about an answer has its link, and not the question's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Permalink {
    channel: String,
    ts: SlackTs,
    /// The message that the thread begins with, if the link is that of a reply.
    thread_ts: Option<SlackTs>,
}

impl Permalink {
    fn parse(link: &str) -> Result<Self, String> {
        const SHAPE: &str = "it must be https://<workspace>.slack.com/archives/<channel>/p<16 digits>";
        let path = link.trim().strip_prefix("https://").and_then(|rest| rest.split(['?', '#']).next());
        let mut parts = path.ok_or(SHAPE)?.trim_end_matches('/').split('/');
        let host = parts.next().unwrap_or_default();
        let is_slacks =
            host == "slack.com" || host.ends_with(".slack.com") || host.ends_with(".slack-gov.com");
        let (archives, channel, message, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        let digits = message.and_then(|message| message.strip_prefix('p')).ok_or(SHAPE)?;
        // Six digits stand behind the dot.
        let (seconds, micros) =
            digits.len().checked_sub(6).and_then(|dot| digits.split_at_checked(dot)).ok_or(SHAPE)?;
        if !is_slacks || archives != Some("archives") || more.is_some() || digits.len() != 16 {
            return Err(SHAPE.to_owned());
        }
        let query = link.split_once('?').map_or("", |(_, query)| query);
        let thread_ts = query.split(['&', '#']).find_map(|pair| pair.strip_prefix("thread_ts="));
        let ts = SlackTs::parse(&format!("{seconds}.{micros}")).ok_or(SHAPE)?;
        Ok(Self {
            channel: parse_id(channel.unwrap_or_default()).map_err(|_| SHAPE)?,
            thread_ts: thread_ts.and_then(SlackTs::parse).filter(|thread_ts| *thread_ts != ts),
            ts,
        })
    }
}

/// An id of Slack's, of an app or a channel.
fn parse_id(id: &str) -> Result<String, String> {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id { Ok(id.to_owned()) } else { Err("an id of Slack's is of A to Z and digits".to_owned()) }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let app = match (arguments.app, variable("SLACK_APP_ID")) {
        (Some(app), _) => app,
        (None, Some(app)) => parse_id(app.trim()).map_err(|problem| format!("SLACK_APP_ID: {problem}"))?,
        (None, None) => {
            return Err("whose question? Give the app's id by --app or SLACK_APP_ID; \
                Slack shows it under Basic Information, and each log line has it as api_app_id"
                .into());
        }
    };
    let table = table(&variable)?;
    let config = sdk_config().await;
    let region = config.region().ok_or("AWS_REGION is not set, and no profile names a region")?.to_string();
    let store = DynamoDbWork::new(aws_sdk_dynamodb::Client::new(&config), table);

    let Permalink { channel, ts, thread_ts } = arguments.link;
    let key_of = |ts: &SlackTs| RecordKey::of_question(&format!("{app}:{channel}:{ts}"));
    let now = SystemClock.now();
    let (mut key, mut is_of_the_thread) = (key_of(&ts), false);
    let mut record = store.read(&key, now).await?.record;
    if let (None, Some(thread_ts)) = (&record, &thread_ts) {
        let first = key_of(thread_ts);
        record = store.read(&first, now).await?.record;
        if record.is_some() {
            (key, is_of_the_thread) = (first, true);
        }
    }
    let found = Found { question_id: key.question_id(), region: &region, now };
    if is_of_the_thread && !arguments.json {
        println!("{OF_THE_THREAD}");
    }
    match record {
        Some(record) if arguments.json => println!("{}", found.to_json(&record)),
        Some(record) => print!("{}", found.to_words(&record)),
        None => {
            if arguments.json {
                println!("{}", json!({ "version": 1, "question_id": found.question_id, "state": "absent" }));
            } else {
                println!("question  {}\n\n{NOT_FOUND}", found.question_id);
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The table of `DEDUP_STORE`, read by the function's own rules.
fn table(variable: &impl Fn(&str) -> Option<String>) -> Result<String, CommandError> {
    let config = IngressConfig::from_lookup(|name| match name {
        "DEDUP_STORE" => variable(name),
        "SLACK_SIGNING_SECRET" => Some("placeholder".to_owned()),
        "EVENT_SINK" => Some("stdout:".to_owned()),
        _ => None,
    });
    match config.map(|config| config.store) {
        Ok(StoreConfig::DynamoDb { table }) => Ok(table),
        Ok(_) => Err("DEDUP_STORE is no table of DynamoDB, and work records are nowhere else".into()),
        Err(error) => Err(error.to_string().into()),
    }
}

/// A question that was found, and what is needed to speak of it.
struct Found<'a> {
    question_id: &'a str,
    region: &'a str,
    now: UnixMillis,
}

impl Found<'_> {
    fn to_words(&self, record: &Record) -> String {
        let mut words = String::new();
        let mut line = |name: &str, value: &str| {
            // A String takes whatever is written to it.
            let _ = writeln!(words, "{name:<9} {value}");
        };
        line("question", self.question_id);
        if let Some(place) = &record.place {
            let who = place.user.as_deref().map(|user| format!(" by {user}")).unwrap_or_default();
            line("asked", &format!("{}{who}", utc(place.asked_at.as_millis())));
        }
        line("received", &format!("{} for the first time, by the dispatcher", utc(record.since.as_millis())));
        line("attempts", &attempts(record));
        line("state", &state(record, self.now));
        let none = "none: its messages came without one, or an earlier version took them";
        line("trace", record.trace_id.as_deref().unwrap_or(none));
        if let Some(trace_id) = &record.trace_id {
            line("X-Ray", &self.console(trace_id));
        }
        line("logs", "in CloudWatch Logs Insights, over the functions' log groups and the agent's:");
        let _ = writeln!(words, "\n{}", self.query(record));
        words
    }

    fn to_json(&self, record: &Record) -> serde_json::Value {
        let (name, why, ts) = match &record.state {
            State::Free => ("free", None, None),
            State::InFlight(_) => ("in_flight", None, None),
            State::Posting(_) => ("posting", None, None),
            State::Suspended { ts, .. } => ("suspended", None, ts.as_deref()),
            State::Answered { ts, .. } => ("answered", record.declined.map(Declined::as_str), ts.as_deref()),
            State::Joined { .. } => ("joined", None, None),
            State::Told { why, .. } => ("told", Some(why.as_str()), None),
        };
        json!({
            "version": 1,
            "question_id": self.question_id,
            "state": name,
            "why": why,
            "answer_ts": ts,
            "attempts": record.attempts,
            "asked_at": record.place.as_ref().map(|place| place.asked_at.to_string()),
            "received_at": record.since.as_millis(),
            "trace_id": record.trace_id,
            "xray_url": record.trace_id.as_deref().map(|trace_id| self.console(trace_id)),
            "logs_insights_query": self.query(record),
        })
    }

    /// The trace in the CloudWatch console. X-Ray knows it only if the trace was sampled, and for 30 days.
    fn console(&self, trace_id: &str) -> String {
        let region = self.region;
        format!(
            "https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#xray:traces/{trace_id}"
        )
    }

    /// The dispatcher's and agent-settle's lines have the question's id also where they have no trace; the agent's have it at the
    /// beginning of their message.
    fn query(&self, record: &Record) -> String {
        let id = self.question_id;
        let trace = record.trace_id.as_ref().map(|trace_id| format!("trace_id = \"{trace_id}\" or "));
        format!(
            "filter {}question_id = \"{id}\" or message like \"{id}: \"\n\
            | sort @timestamp\n\
            | display @timestamp, FunctionName, operation, outcome, reason, why, message, errors.0, request_id",
            trace.unwrap_or_default()
        )
    }
}

fn attempts(record: &Record) -> String {
    let mut words = match record.attempts {
        0 => "none that counts: no agent has claimed it, or what was claimed was given back".to_owned(),
        1 => "1".to_owned(),
        more => format!("{more}: all but the last came to nothing"),
    };
    if record.deferrals > 0 {
        let _ = write!(words, "; put off {} time(s) in a row", record.deferrals);
    }
    if record.calls_in_vain > 0 {
        let _ =
            write!(words, "; {} call(s) of the agent in a row of which nothing came", record.calls_in_vain);
    }
    words
}

/// What became of the question, in words.
pub(crate) fn state(record: &Record, now: UnixMillis) -> String {
    match &record.state {
        State::Free => "it waits on the queue: nobody works on it now, and it is tried again".to_owned(),
        State::InFlight(flight) => in_flight(flight, now),
        State::Posting(Posting { part, nonce: Some(_), intent_at, .. }) => format!(
            "its text is on the way to Slack (part {}, since {}); if that is minutes ago, nobody knows whether it stands, and \
            agent-settle finds out",
            part + 1,
            utc(intent_at.as_millis())
        ),
        State::Posting(Posting { part, nonce: None, .. }) => format!(
            "its text waits to be posted (part {}): Slack or the Gateway has refused it so far, and agent-settle's log says why",
            part + 1
        ),
        State::Suspended { ts, .. } => {
            let at = ts.as_ref().map_or(String::new(), |ts| format!(", by the message {ts}"));
            format!("it waits for a person, who is asked whether a tool may be called{at}; it goes on with their click")
        }
        State::Answered { ts, .. } if record.declined == Some(Declined::OverLimit) => {
            let at = ts.as_ref().map_or("in private".to_owned(), |ts| format!("by the message {ts}"));
            format!("not answered: too little was left of what may be used on its day, and the asker was told so {at}")
        }
        State::Answered { ts: None, .. } if record.declined.is_some() => {
            "not answered: the asker may not ask; they were told by another question of the day or in private, or are a bot".to_owned()
        }
        State::Answered { ts: Some(ts), .. } if record.declined.is_some() => {
            format!("not answered: the asker may not ask, and the message {ts} tells them")
        }
        State::Answered { ts: None, .. } => "answered, by tools of the agent's own".to_owned(),
        State::Answered { ts: Some(ts), .. } => {
            let at = SlackTs::parse(ts).map(|ts| format!(", at {}", utc(ts.as_millis()))).unwrap_or_default();
            format!("answered: the last part stands as the message {ts}{at}")
        }
        State::Joined { to, .. } => {
            format!("answered together with another question of its thread, and it ends as that one does: {to}")
        }
        State::Told { why, told_for, .. } => match why.as_str() {
            STOPPED => "withdrawn: somebody pressed stop".to_owned(),
            DELETED => "withdrawn: its message was deleted".to_owned(),
            UNTOLD => {
                "not answered, and nobody could be told so in Slack: it is a dead letter (untold)".to_owned()
            }
            OUTCOME_UNKNOWN => {
                "nobody can find out whether its answer stands: it is a dead letter (outcome_unknown)"
                    .to_owned()
            }
            why => {
                let letter = if told_for.is_some() { "; it is a dead letter" } else { "" };
                format!("not answered, and whoever asked was told so: {why}{letter}")
            }
        },
    }
}

fn in_flight(flight: &Flight, now: UnixMillis) -> String {
    let until = utc(flight.lease_until.as_millis());
    let is_over = flight.lease_until < now;
    match (&flight.claimed_from, is_over) {
        (Some(_), false) => {
            format!("an agent works on it, or did until a moment ago; its lease lasts until {until}")
        }
        (Some(_), true) => {
            format!("the agent that worked on it is gone: its lease ended {until}, and it is tried again")
        }
        (None, false) => {
            format!("handed to the agent, which has not claimed it yet; it is tried again after {until}")
        }
        (None, true) => format!("no agent has claimed it until {until}; it is tried again"),
    }
}

/// A point in time, such as `2026-11-27T13:00:00.5Z`.
fn utc(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    DateTime::from_millis(millis).fmt(Format::DateTime).unwrap_or_else(|_| millis.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_a_channel_and_a_message() {
        let read = |link: &str| Permalink::parse(link).map(|link| format!("{} {}", link.channel, link.ts));
        let expected = Ok("C0LAN2Q65 1515449522.000016".to_owned());
        for link in [
            "https://acme.slack.com/archives/C0LAN2Q65/p1515449522000016",
            "https://acme.slack.com/archives/C0LAN2Q65/p1515449522000016/",
            " https://acme.enterprise.slack.com/archives/C0LAN2Q65/p1515449522000016\n",
            "https://acme.slack.com/archives/C0LAN2Q65/p1515449522000016?thread_ts=1515449500.000001&cid=C0LAN2Q65",
        ] {
            assert_eq!(read(link), expected, "{link}");
        }
        assert_eq!(
            read("https://acme.slack.com/archives/D024BE91L/p1515449522999999").as_deref(),
            Ok("D024BE91L 1515449522.999999")
        );
    }

    #[test]
    fn what_is_no_link_of_a_message_is_refused() {
        for link in [
            "",
            "C0LAN2Q65",
            "http://acme.slack.com/archives/C0LAN2Q65/p1515449522000016",
            "https://slack.example.com/archives/C0LAN2Q65/p1515449522000016",
            "https://notslack.com/archives/C0LAN2Q65/p1515449522000016",
            "https://acme.slack.com/archives/C0LAN2Q65",
            "https://acme.slack.com/archives/C0LAN2Q65/1515449522000016",
            "https://acme.slack.com/archives/C0LAN2Q65/p151544952200001",
            "https://acme.slack.com/archives/C0LAN2Q65/p15154495220000166",
            "https://acme.slack.com/archives/C0LAN2Q65/p151544952200001x",
            "https://acme.slack.com/archives/C0LAN2Q65/p15154495220000ü",
            "https://acme.slack.com/archives/c0:lan/p1515449522000016",
            "https://acme.slack.com/archives//p1515449522000016",
            "https://acme.slack.com/files/C0LAN2Q65/p1515449522000016",
            "https://acme.slack.com/archives/C0LAN2Q65/p1515449522000016/more",
        ] {
            assert!(Permalink::parse(link).is_err(), "{link}");
        }
    }
}
