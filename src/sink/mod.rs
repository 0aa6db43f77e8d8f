//! Where events go: the queue.
//!
//! To add a sink, implement [`Sink`] and run the suite in `contract` (cargo feature of that name) on it.

pub mod any;
#[cfg(feature = "contract")]
pub mod contract;
pub mod message;
mod refused_only;
#[cfg(feature = "sns")]
pub mod sns;
pub mod sqs;
pub mod stdout;

use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::sink::message::Message;

/// Takes messages, durably.
pub trait Sink: Send + Sync {
    /// Connects, by the cheapest call that shows that the queue is there; sends nothing. Called once, at init, so
    /// that no request waits for it; nothing depends on it.
    fn warm_up(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        async { Ok(()) }
    }

    /// Puts the message on the queue. `Ok` means that it is durably there.
    fn send(&self, message: &Message) -> impl Future<Output = Result<(), SendError>> + Send;

    /// The largest [`Message::size`] it takes, in bytes.
    fn max_bytes(&self) -> usize;
}

/// Why a message is not known to be on the queue.
#[derive(Debug)]
pub enum SendError {
    /// It never will be: the sink does not take messages of this size.
    TooLarge,
    /// It may be, if only the answer was lost; it counts as not sent.
    Failed {
        /// The call that failed.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SendError {
    /// `what` failed, because of `source`.
    pub fn failed(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { what, source: source.into() }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the sink does not take messages of this size"),
            Self::Failed { what, .. } => f.write_str(what),
        }
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge => None,
            Self::Failed { source, .. } => Some(source.as_ref()),
        }
    }
}
