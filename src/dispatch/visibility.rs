//! When a message that is not done comes again: its visibility time-out, which takes the place of waiting.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::telemetry::report::dispatch::MessageReport;

/// After the first receive.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// Of a session that is busy for hours; and whoever waits behind it.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// SQS takes so many in one call.
const MAX_ENTRIES: usize = 10;

/// How long a message that was received `receive_count` times stays away: 5 seconds, doubled each time, up to 15 minutes.
/// Up to a quarter less, by the message's id: what was refused together does not come together again.
pub fn back_off(receive_count: u32, message_id: &str) -> Duration {
    let doubled =
        FIRST_DELAY.saturating_mul(2_u32.saturating_pow(receive_count.saturating_sub(1))).min(LONGEST_DELAY);
    let spread = Sha256::digest(message_id).first().copied().map_or(0, u32::from);
    doubled - doubled * spread / (4 * 255)
}

/// A message, and how long nobody is to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedMessage {
    /// SQS's handle of this receive.
    pub receipt_handle: String,
    /// Whole seconds count.
    pub delay: Duration,
}

impl DelayedMessage {
    /// What SQS is asked for about a message, if it is asked for something.
    pub fn of(report: &MessageReport) -> Option<Self> {
        Some(Self { receipt_handle: report.receipt_handle.clone(), delay: report.put_off_for? })
    }
}

/// The queue, as far as its messages' visibility goes.
pub trait Visibility: Send + Sync {
    /// Puts off all of them. On an error, some may be.
    fn put_off(
        &self,
        messages: Vec<DelayedMessage>,
    ) -> impl Future<Output = Result<(), VisibilityError>> + Send;
}

/// The messages come when the queue's own visibility time-out is over.
#[derive(Debug)]
pub enum VisibilityError {
    /// The call failed.
    Failed(Box<dyn Error + Send + Sync>),
    /// SQS refused it for some of them: the code of the first.
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

/// An SQS queue.
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
    fn what_was_refused_together_does_not_come_together() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|n| back_off(8, &format!("message {n}")).as_secs()).collect();
        assert!(delays.len() > 50, "{}", delays.len());
        assert_eq!(back_off(8, "message 1"), back_off(8, "message 1"));
    }
}
