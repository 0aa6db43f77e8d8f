//! The queue: what is put on it, and how.
//!
//! In reading order: this page has the trait [`Sink`]; [`message`] has what is put on the queue, the same for every sink;
//! [`stdout`] is the plainest sink, [`sqs`] the one of production, `sns` another; [`any`] is the one that the configuration
//! names.
//!
//! ```text
//! slack::payload::Delivery ──▶ message::Message ──▶ Sink::send ──▶ SQS, SNS or standard output
//! ```
//!
//! This room imports `aws` (the shortcut), `slack` (what a delivery is) and `time`, and no store.
//!
//! To add a sink, implement [`Sink`] and run the suite in `contract` (cargo feature of that name) on it.

pub mod any;
#[cfg(feature = "contract")]
pub mod contract;
pub mod message;
mod refused_only;
mod rejection;
#[cfg(feature = "sns")]
pub mod sns;
pub mod sqs;
pub mod stdout;

use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::sink::message::Message;

/// A queue, or what stands in its place.
///
/// The caller may drop the future of a call at any time, when its budget is over. It is then unknown whether the call took
/// effect, as after an error.
pub trait Sink: Send + Sync {
    /// Connects, by the cheapest call that shows that the queue is there, and sends nothing. It is called once, at init, so
    /// that no request waits for it.
    ///
    /// # Errors
    /// When the queue cannot be reached or used. The function logs that and goes on: the first request connects.
    fn warm_up(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Puts the message on the queue. `Ok` means that it is there for certain, and stays there if anything of ours fails.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] and [`SendError::Rejected`] when the message is not on the queue, and never will be as long as
    /// the queue stays as it is. [`SendError::Failed`] when the outcome is unknown: the message may be on the queue, and only
    /// the answer was lost. The same message sent again must then do no harm on a queue that de-duplicates, by
    /// [`Message::deduplication_id`].
    fn send(&self, message: &Message) -> impl Future<Output = Result<(), SendError>> + Send;

    /// The largest [`Message::size`] that the queue takes, in bytes. The ingress does not even record a larger message.
    fn max_bytes(&self) -> usize;
}

/// Why a message is not known to be on the queue.
#[derive(Debug)]
pub enum SendError {
    /// The message is not on the queue for certain, and never will be: it is larger than the queue takes.
    TooLarge,
    /// The message is not on the queue for certain, and never will be as it is: the service works, and rejects this message for
    /// what is in it.
    Rejected {
        /// The call that was to bring the message, such as `SQS SendMessage`.
        what: &'static str,
        /// What the service says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The call failed, or its answer was lost. The message may be on the queue, and counts as not sent.
    Failed {
        /// The call that failed, such as `SQS SendMessage`.
        what: &'static str,
        /// Why the call failed.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SendError {
    /// The service rejected the message that the call named `what` brought, because of `source`.
    pub fn rejected(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Rejected { what, source: source.into() }
    }

    /// Whether the message itself is the reason: the queue takes others, but not this one, however often it is sent. So no
    /// other message need wait for it.
    pub fn is_due_to_the_message(&self) -> bool {
        match self {
            Self::TooLarge | Self::Rejected { .. } => true,
            Self::Failed { .. } => false,
        }
    }

    /// The call named `what` failed, because of `source`.
    pub fn failed(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { what, source: source.into() }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the sink does not take messages of this size"),
            Self::Rejected { what, .. } | Self::Failed { what, .. } => f.write_str(what),
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge => None,
            Self::Rejected { source, .. } | Self::Failed { source, .. } => Some(source.as_ref()),
        }
    }
}
