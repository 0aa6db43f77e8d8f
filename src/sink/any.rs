//! The sink that the configuration names: one type for all that this build has, so that the functions need no `dyn`.

use super::message::Message;
#[cfg(feature = "sns")]
use super::sns::SnsSink;
use super::sqs::SqsSink;
use super::stdout::StdoutSink;
use super::{SendError, Sink};

/// The sinks that this build has.
#[derive(Debug)]
pub enum AnySink {
    /// A queue URL.
    Sqs(SqsSink),
    /// `stdout:`
    Stdout(StdoutSink),
    /// A topic's ARN.
    #[cfg(feature = "sns")]
    Sns(SnsSink),
}

impl Sink for AnySink {
    async fn warm_up(&self) -> Result<(), SendError> {
        match self {
            Self::Sqs(sink) => sink.warm_up().await,
            Self::Stdout(sink) => sink.warm_up().await,
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.warm_up().await,
        }
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        match self {
            Self::Sqs(sink) => sink.send(message).await,
            Self::Stdout(sink) => sink.send(message).await,
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.send(message).await,
        }
    }

    fn max_bytes(&self) -> usize {
        match self {
            Self::Sqs(sink) => sink.max_bytes(),
            Self::Stdout(sink) => sink.max_bytes(),
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.max_bytes(),
        }
    }
}
