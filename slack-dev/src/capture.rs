//! `slack-dev capture`: writes the deliveries of a queue, of a dead-letter queue or of the lines of `stdout:` to a file.

use aws_sdk_sqs::types::Message;
use clap::Args;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::CommandError;
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

    /// The file to write, which must not exist yet; without this, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace what people wrote by placeholders, and remove tokens and response URLs. README.md lists what is replaced
    #[arg(long)]
    redact: bool,

    /// Delete the captured messages from the queue; without this they are given back at the end. Each capture counts as a
    /// receive towards the queue's `maxReceiveCount`. A FIFO queue hands out only the first messages of a conversation, ten
    /// at the most, until they are deleted
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

    /// A file of the lines that an ingress with EVENT_SINK=stdout: wrote; `-` is standard input
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let out: Box<dyn Output> = match &arguments.output {
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
    recorder.out.flush_to_disk()?;
    let Summary { captured, filtered, unreadable, unredacted, still_queued } = recorder.summary;
    // The summary goes to standard error, because standard output may be the file.
    eprint!("{captured} captured, {filtered} left out by filters");
    if unreadable > 0 {
        eprint!(", {unreadable} skipped because they are no messages");
    }
    if unredacted > 0 {
        eprint!(", {unredacted} left out because only a body that is JSON can be redacted");
    }
    eprintln!();
    if still_queued > 0 {
        eprintln!(
            "{still_queued} more are on the queue, behind others of their conversation: use --delete to capture them too"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The file or standard output that deliveries are written to.
trait Output: Write + Send {
    /// Returns when everything that was written has left this process: it is on the disk, or in standard output.
    fn flush_to_disk(&mut self) -> std::io::Result<()>;
}

impl Output for File {
    fn flush_to_disk(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
}

impl Output for std::io::Stdout {
    fn flush_to_disk(&mut self) -> std::io::Result<()> {
        self.flush()
    }
}

/// How many deliveries were written, and how many were left out for which reason.
#[derive(Default)]
struct Summary {
    captured: usize,
    filtered: usize,
    unreadable: usize,
    unredacted: usize,
    /// The messages that a FIFO queue did not hand out: while somebody holds some messages of a conversation, it hands out no
    /// others of that conversation.
    still_queued: u64,
}

/// Filters, redacts, counts and writes deliveries.
struct Recorder {
    out: Box<dyn Output>,
    filter: Filter,
    redact: bool,
    max: usize,
    summary: Summary,
}

impl Recorder {
    /// Writes the delivery unless the filter or the redaction leaves it out. Returns whether it was written.
    fn record(&mut self, delivery: Delivery) -> Result<bool, CommandError> {
        if !self.filter.matches(&delivery) {
            self.summary.filtered += 1;
            return Ok(false);
        }
        let delivery = if self.redact {
            // A delivery that cannot be redacted must not get into the file.
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

/// A line that the sink `stdout:` wrote. All four fields must be there, so that no other line passes for one.
#[derive(Deserialize)]
struct StdoutSinkLine {
    body: String,
    attributes: BTreeMap<String, String>,
    #[serde(rename = "deduplication_id")]
    _deduplication_id: String,
    #[serde(rename = "group_id")]
    _group_id: String,
}

fn from_log(path: &Path, recorder: &mut Recorder) -> Result<(), CommandError> {
    let mut log: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut line = Vec::new();
    while !recorder.is_full() && log.read_until(b'\n', &mut line)? > 0 {
        if let Ok(StdoutSinkLine { body, attributes, .. }) = serde_json::from_slice(&line) {
            recorder.record(Delivery::new(attributes, body, None))?;
        } else if !line.trim_ascii().is_empty() {
            recorder.summary.unreadable += 1;
        }
        line.clear();
    }
    Ok(())
}

/// How long SQS hides a received message from other receivers. If this process dies, SQS hands the message out again after
/// that.
const HIDDEN_SECONDS: i32 = 300;

async fn from_queue(queue: &Queue, delete: bool, recorder: &mut Recorder) -> Result<(), CommandError> {
    let mut receipts_to_give_back = HashMap::new();
    let received = tokio::select! {
        received = receive_all(queue, delete, recorder, &mut receipts_to_give_back) => received,
        // The messages that were received are given back below in this case too.
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    if received.is_ok() && queue.is_fifo() && !recorder.is_full() {
        // SQS does not count the messages that this process holds. If SQS does not tell the number, the messages are given
        // back all the same.
        recorder.summary.still_queued = queue.waiting().await.unwrap_or_default();
    }
    let receipts: Vec<_> = receipts_to_give_back.into_values().collect();
    let given_back = queue.give_back(&receipts).await;
    received.and(given_back)
}

/// Receives and records messages until the queue is empty or the recorder is full. `receipts_to_give_back` has the newest
/// receipt handle of each message, by its message id, that is to be given back to the queue at the end.
async fn receive_all(
    queue: &Queue,
    delete: bool,
    recorder: &mut Recorder,
    receipts_to_give_back: &mut HashMap<String, String>,
) -> Result<(), CommandError> {
    // One empty answer does not mean that the queue is empty; two in a row are taken to mean it.
    const EMPTY_POLLS_AT_THE_END: usize = 2;
    let mut empty = 0;
    while empty < EMPTY_POLLS_AT_THE_END && !recorder.is_full() {
        let messages = queue.receive(1, HIDDEN_SECONDS).await?;
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        let mut to_delete = Vec::new();
        for message in messages {
            let (Some(id), Some(receipt)) = (&message.message_id, &message.receipt_handle) else { continue };
            // A message that is received a second time was hidden for too short a time. Only its newest receipt handle is
            // valid.
            let is_new = receipts_to_give_back.insert(id.clone(), receipt.clone()).is_none();
            if is_new && !recorder.is_full() && recorder.record(delivery(message.clone()))? && delete {
                to_delete.push((id.clone(), receipt.clone()));
            }
        }
        if !to_delete.is_empty() {
            // A message is deleted from the queue only after it is in the file.
            recorder.out.flush_to_disk()?;
            let (ids, receipts): (Vec<_>, Vec<_>) = to_delete.into_iter().unzip();
            queue.delete(&receipts).await?;
            for id in ids {
                receipts_to_give_back.remove(&id);
            }
        }
    }
    Ok(())
}

/// The JSON in which SNS wraps a message for a subscription without raw message delivery.
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

/// The delivery in an SQS message, without the wrapping of SNS if the message came through a topic.
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
    fn a_body_that_is_no_notification_of_sns_is_kept_unchanged() {
        for body in [r#"{"Type":"Notification"}"#, r#"{"type":"event_callback"}"#, "text"] {
            assert_eq!(delivery(Message::builder().body(body).build()).body, body);
        }
    }
}
