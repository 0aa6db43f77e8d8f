//! When a message that is not done comes again: the dispatcher changes its [visibility
//! timeout](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::telemetry::report::dispatch::MessageReport;

/// The back-off after the first receive of a message.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest back-off. A message gets there when its session is busy for hours.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// SQS's limit on the entries of one `ChangeMessageVisibilityBatch`.
const MAX_ENTRIES: usize = 10;

/// How long a message that was received `receive_count` times is put off: 5 seconds after the first receive, then twice as long
/// after each, up to 15 minutes. The message's id takes up to a quarter off that, so that messages that were refused at the
/// same moment do not come again at the same moment.
pub fn back_off(receive_count: u32, message_id: &str) -> Duration {
    let doubled =
        FIRST_DELAY.saturating_mul(2_u32.saturating_pow(receive_count.saturating_sub(1))).min(LONGEST_DELAY);
    let spread = Sha256::digest(message_id).first().copied().map_or(0, u32::from);
    doubled - doubled * spread / (4 * 255)
}

/// A message, and how long SQS must not hand it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedMessage {
    /// The handle that SQS gave to this receive of the message.
    pub receipt_handle: String,
    /// After how long SQS hands the message out again, rounded down to whole seconds.
    pub delay: Duration,
}

impl DelayedMessage {
    /// The message of a report, if it is to be put off.
    pub fn of(report: &MessageReport) -> Option<Self> {
        Some(Self { receipt_handle: report.receipt_handle.clone(), delay: report.put_off_for? })
    }
}

/// A queue whose messages can be put off.
///
/// The caller may drop the future of a call at any time, when its budget is over. The call may have taken effect then, as after
/// an error.
pub trait Visibility: Send + Sync {
    /// Puts off all of these messages.
    ///
    /// # Errors
    /// When some of the messages are not put off, or are not known to be. The others are. A message that is not put off comes
    /// again when the queue's own visibility timeout is over, so nothing is lost.
    fn put_off(
        &self,
        messages: Vec<DelayedMessage>,
    ) -> impl Future<Output = Result<(), VisibilityError>> + Send;
}

/// Why some messages are not known to be put off.
#[derive(Debug)]
pub enum VisibilityError {
    /// A call failed, or its answer was lost. It may have put off its messages.
    Failed(Box<dyn Error + Send + Sync>),
    /// SQS refused to put off at least one message. The text is the error code of the first, such as `ReceiptHandleIsInvalid`.
    Refused(String),
}

impl fmt::Display for VisibilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(_) => f.write_str("SQS ChangeMessageVisibilityBatch"),
            Self::Refused(code) => write!(f, "SQS ChangeMessageVisibilityBatch refused some: {code}"),
        }
    }
}

impl Error for VisibilityError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(source) => Some(source.as_ref()),
            Self::Refused(_) => None,
        }
    }
}

/// A queue of SQS.
#[derive(Clone, Debug)]
pub struct SqsVisibility {
    client: Client,
    queue_url: String,
}

impl SqsVisibility {
    /// The queue at `queue_url`.
    pub fn new(client: Client, queue_url: impl Into<String>) -> Self {
        Self { client, queue_url: queue_url.into() }
    }
}

impl Visibility for SqsVisibility {
    async fn put_off(&self, messages: Vec<DelayedMessage>) -> Result<(), VisibilityError> {
        for messages in messages.chunks(MAX_ENTRIES) {
            let entries = messages.iter().enumerate().map(|(n, message)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(n.to_string())
                    .receipt_handle(&message.receipt_handle)
                    .visibility_timeout(i32::try_from(message.delay.as_secs()).unwrap_or(i32::MAX))
                    .build()
            });
            let entries =
                entries.collect::<Result<_, _>>().map_err(|error| VisibilityError::Failed(error.into()))?;
            let change = self.client.change_message_visibility_batch().queue_url(&self.queue_url);
            let changed = change.set_entries(Some(entries)).send().await;
            let changed = changed.map_err(|error| VisibilityError::Failed(error.into()))?;
            if let Some(refused) = changed.failed.first() {
                return Err(VisibilityError::Refused(refused.code.clone()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_receive_doubles_the_delay_up_to_a_quarter_of_an_hour() {
        for (receive_count, seconds) in
            [(0, 5), (1, 5), (2, 10), (3, 20), (7, 320), (8, 640), (9, 900), (10, 900), (u32::MAX, 900)]
        {
            let longest = Duration::from_secs(seconds);
            for id in ["a", "b", "c", "d", "e"] {
                let delay = back_off(receive_count, id);
                assert!(delay <= longest && delay >= longest * 3 / 4, "{receive_count} {id}: {delay:?}");
            }
        }
    }

    #[test]
    fn an_error_says_which_call_failed_and_why() {
        let failed = VisibilityError::Failed("connection reset".into());
        assert!(failed.to_string().contains("ChangeMessageVisibilityBatch"));
        assert_eq!(failed.source().map(ToString::to_string).as_deref(), Some("connection reset"));
        let refused = VisibilityError::Refused("ReceiptHandleIsInvalid".to_owned());
        assert!(refused.to_string().contains("refused some: ReceiptHandleIsInvalid"));
        assert!(refused.source().is_none());
    }

    #[test]
    fn what_was_refused_together_does_not_come_together() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|n| back_off(8, &format!("message {n}")).as_secs()).collect();
        assert!(delays.len() > 50, "{}", delays.len());
        assert_eq!(back_off(8, "message 1"), back_off(8, "message 1"));
    }
}
