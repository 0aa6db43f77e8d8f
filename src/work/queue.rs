//! What is done with the handle of a receive: the message is put off, made visible, or deleted; and how a message gets on the
//! queue later. Whoever holds the handle may do
//! so, in any process that has the right to
//! ([`ChangeMessageVisibility`](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html)).

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::lapse::{Lapse, Schedules};
use crate::time::clock::UnixMillis;

/// SQS's limit on a visibility timeout, which counts from the receive.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// A queue whose receives can be put off and deleted.
///
/// The caller may drop the future of a call at any time. The call may have taken effect then, as after an error.
pub trait Queue: Send + Sync {
    /// Has the message come again after `delay`, rounded up to whole seconds, and not before.
    ///
    /// # Errors
    /// When the handle no longer counts, or it is unknown whether the message was put off.
    fn put_off(&self, handle: &str, delay: Duration) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Has the queue get a message at that time, once, which says that nobody has decided about a call. The same one asked for again is
    /// the same one.
    ///
    /// # Errors
    /// When it is unknown whether the queue will get it.
    fn put_at(
        &self,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: UnixMillis,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Takes the message off the queue. A message that is gone already is as good as deleted.
    ///
    /// # Errors
    /// When the handle no longer counts, or it is unknown whether the message was deleted.
    fn delete(&self, handle: &str) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Why a receive is not known to be put off or deleted.
#[derive(Debug)]
pub enum QueueError {
    /// The handle no longer counts: the receive's visibility is over, or the message was deleted.
    Over {
        /// SQS's error code.
        code: String,
    },
    /// The call failed, or its answer was lost.
    Unknown(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over { code } => write!(f, "the receive is over: {code}"),
            Self::Unknown(_) => f.write_str("SQS"),
        }
    }
}

impl Error for QueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Over { .. } => None,
            Self::Unknown(source) => Some(source.as_ref()),
        }
    }
}

/// A queue of SQS.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    queue_url: String,
    /// `None` where no tool asks a person.
    schedules: Option<Schedules>,
}

impl SqsQueue {
    /// The queue at `queue_url`.
    pub fn new(client: Client, queue_url: impl Into<String>) -> Self {
        Self { client, queue_url: queue_url.into(), schedules: None }
    }

    /// The same, with what puts messages on it later.
    #[must_use]
    pub fn with_schedules(self, schedules: Option<Schedules>) -> Self {
        Self { schedules, ..self }
    }
}

impl Queue for SqsQueue {
    async fn put_off(&self, handle: &str, delay: Duration) -> Result<(), QueueError> {
        let change =
            self.client.change_message_visibility().queue_url(&self.queue_url).receipt_handle(handle);
        let changed = change.visibility_timeout(whole_seconds(delay)).send().await;
        changed.map(|_| ()).map_err(meaning)
    }

    async fn put_at(
        &self,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), QueueError> {
        match &self.schedules {
            Some(schedules) => schedules.make(&self.queue_url, lapse, conversation, at).await,
            None => Err(QueueError::Unknown("there is no SCHEDULE_GROUP".into())),
        }
    }

    async fn delete(&self, handle: &str) -> Result<(), QueueError> {
        let delete = self.client.delete_message().queue_url(&self.queue_url).receipt_handle(handle);
        delete.send().await.map(|_| ()).map_err(meaning)
    }
}

fn whole_seconds(delay: Duration) -> i32 {
    let delay = delay.min(MAX_VISIBILITY);
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// What an error of SQS's means. The codes are those of the two operations, and of the queue that takes a handle for a bad
/// parameter once its time is over.
fn meaning<E>(error: SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let is_over = |code: &str| {
        ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"]
            .iter()
            .any(|name| code.ends_with(name))
    };
    match code {
        Some(code) if is_over(&code) => QueueError::Over { code },
        _ => QueueError::Unknown(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_and_no_longer_than_sqs_takes() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([seconds(0), seconds(1), seconds(1000), seconds(1001)], [0, 1, 1, 2]);
        assert_eq!(whole_seconds(Duration::MAX), 43_200);
    }
}
