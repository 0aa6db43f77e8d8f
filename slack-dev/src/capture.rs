//! `slack-dev capture`: from a queue, a dead-letter queue or the lines of `stdout:` to a file of deliveries.

use aws_sdk_sqs::types::Message;
use clap::Args;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::Trouble;
use crate::aws::{self, Queue};
use crate::delivery::Delivery;
use crate::filter::Filter;
use crate::redact::redact;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    filter: Filter,

    /// The file to write, which must not exist; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace what people wrote by placeholders, and drop tokens and response URLs. What it covers: README.md
    #[arg(long)]
    redact: bool,

    /// Take what is captured off the queue; without this it is given back at the end. Each capture counts as a receive
    /// towards the queue's `maxReceiveCount`. A FIFO queue shows only the first messages of a conversation, ten at
    /// the most, until they are taken
    #[arg(long, requires = "queue_url")]
    delete: bool,

    /// Stop after this many deliveries
    #[arg(long, value_name = "NUMBER")]
    max: Option<usize>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The queue or dead-letter queue to receive from, until it is empty
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,

    /// What an ingress with EVENT_SINK=stdout: wrote; `-` is standard input
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
    let out: Box<dyn Out> = match &arguments.output {
        Some(path) => {
            Box::new(File::create_new(path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let mut recorder = Recorder {
        out,
        filter: arguments.filter,
        redact: arguments.redact,
        max: arguments.max.unwrap_or(usize::MAX),
        summary: Summary::default(),
    };
    match (arguments.source.queue_url, arguments.source.log) {
        (Some(url), _) => from_queue(&Queue::at(&url).await, arguments.delete, &mut recorder).await?,
        (_, Some(path)) => from_log(&path, &mut recorder)?,
        (None, None) => return Err("neither a queue nor a log".into()),
    }
    recorder.out.settle()?;
    let Summary { captured, filtered, strange, unredacted, behind } = recorder.summary;
    // Standard output may be the file.
    eprint!("{captured} captured, {filtered} left out by filters");
    if strange > 0 {
        eprint!(", {strange} skipped that are no messages");
    }
    if unredacted > 0 {
        eprint!(", {unredacted} left out because a body that is no JSON cannot be redacted");
    }
    eprintln!();
    if behind > 0 {
        eprintln!(
            "{behind} more are on the queue, behind others of their conversation: --delete gets at them"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Where deliveries are written to.
trait Out: Write + Send {
    /// Makes sure that they are there.
    fn settle(&mut self) -> std::io::Result<()>;
}

impl Out for File {
    fn settle(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
}

impl Out for std::io::Stdout {
    fn settle(&mut self) -> std::io::Result<()> {
        self.flush()
    }
}

#[derive(Default)]
struct Summary {
    captured: usize,
    filtered: usize,
    strange: usize,
    unredacted: usize,
    /// A FIFO queue hands out no more of a conversation while some of it is looked at.
    behind: u64,
}

struct Recorder {
    out: Box<dyn Out>,
    filter: Filter,
    redact: bool,
    max: usize,
    summary: Summary,
}

impl Recorder {
    /// Whether it was wanted, and is written.
    fn record(&mut self, delivery: Delivery) -> Result<bool, Trouble> {
        if !self.filter.matches(&delivery) {
            self.summary.filtered += 1;
            return Ok(false);
        }
        let delivery = if self.redact {
            // What cannot be redacted must not get into the file.
            let Ok(redacted) = redact(delivery) else {
                self.summary.unredacted += 1;
                return Ok(false);
            };
            redacted
        } else {
            delivery
        };
        let mut line = serde_json::to_vec(&delivery)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.summary.captured += 1;
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.summary.captured >= self.max
    }
}

/// A line of the sink `stdout:`.
#[derive(Deserialize)]
struct Line {
    body: String,
    attributes: BTreeMap<String, String>,
    #[serde(rename = "deduplication_id")]
    _deduplication_id: String,
    #[serde(rename = "group_id")]
    _group_id: String,
}

fn from_log(path: &Path, recorder: &mut Recorder) -> Result<(), Trouble> {
    let mut log: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut line = Vec::new();
    while !recorder.is_full() && log.read_until(b'\n', &mut line)? > 0 {
        if let Ok(Line { body, attributes, .. }) = serde_json::from_slice(&line) {
            recorder.record(Delivery::new(attributes, body, None))?;
        } else if !line.trim_ascii().is_empty() {
            recorder.summary.strange += 1;
        }
        line.clear();
    }
    Ok(())
}

/// Nobody else gets a message while it is looked at; it comes back by itself if we die.
const HIDDEN_SECONDS: i32 = 300;

async fn from_queue(queue: &Queue, delete: bool, recorder: &mut Recorder) -> Result<(), Trouble> {
    let mut held = HashMap::new();
    let received = tokio::select! {
        received = receive_all(queue, delete, recorder, &mut held) => received,
        // What was received is given back all the same.
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    if received.is_ok() && queue.is_fifo() && !recorder.is_full() {
        // What is looked at is not counted there. To know it is no condition for giving back.
        recorder.summary.behind = queue.waiting().await.unwrap_or_default();
    }
    let receipts: Vec<_> = held.into_values().collect();
    let given_back = queue.give_back(&receipts).await;
    received.and(given_back)
}

/// Until a long poll finds nothing. `held` are the receipts, by message, of what is to be given back.
async fn receive_all(
    queue: &Queue,
    delete: bool,
    recorder: &mut Recorder,
    held: &mut HashMap<String, String>,
) -> Result<(), Trouble> {
    // SQS may answer a poll with nothing although there is something: two in a row are believed.
    const LAST_POLLS: usize = 2;
    let mut empty = 0;
    while empty < LAST_POLLS && !recorder.is_full() {
        let messages = queue.receive(1, HIDDEN_SECONDS).await?;
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        let mut taken = Vec::new();
        for message in messages {
            let (Some(id), Some(receipt)) = (&message.message_id, &message.receipt_handle) else { continue };
            // One that comes again was hidden too briefly; the newest receipt is the one that counts.
            let is_new = held.insert(id.clone(), receipt.clone()).is_none();
            if is_new && !recorder.is_full() && recorder.record(delivery(message.clone()))? && delete {
                taken.push((id.clone(), receipt.clone()));
            }
        }
        if !taken.is_empty() {
            // In the file before it is off the queue.
            recorder.out.settle()?;
            let (ids, receipts): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            queue.delete(&receipts).await?;
            for id in ids {
                held.remove(&id);
            }
        }
    }
    Ok(())
}

/// What SNS puts around a message for a subscription without raw message delivery.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    r#type: String,
    topic_arn: String,
    message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, NotificationAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotificationAttribute {
    value: String,
}

fn delivery(message: Message) -> Delivery {
    let (mut attributes, sent_at) = (aws::attributes(&message), aws::sent_at(&message));
    let mut body = message.body.unwrap_or_default();
    if let Ok(notification) = serde_json::from_str::<Notification>(&body)
        && notification.r#type == "Notification"
        && notification.topic_arn.starts_with("arn:")
    {
        body = notification.message;
        let inner = notification.message_attributes.into_iter();
        attributes.extend(inner.map(|(name, attribute)| (name, attribute.value)));
    }
    Delivery::new(attributes, body, sent_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_of_sns_is_unwrapped() {
        let body = r#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":"{\"event_id\":\"Ev1\"}","Timestamp":"2026-01-01T00:00:00.000Z","MessageAttributes":{"type":{"Type":"String","Value":"message"},"received_at":{"Type":"String","Value":"7"}}}"#;
        let delivery = delivery(Message::builder().body(body).build());
        assert_eq!(delivery.body, r#"{"event_id":"Ev1"}"#);
        assert_eq!(delivery.attribute("type"), Some("message"));
        assert_eq!(delivery.received_at, Some(7));
    }

    #[test]
    fn what_only_looks_like_a_notification_is_left_alone() {
        for body in [r#"{"Type":"Notification"}"#, r#"{"type":"event_callback"}"#, "text"] {
            assert_eq!(delivery(Message::builder().body(body).build()).body, body);
        }
    }
}
