//! The sink that `EVENT_SINK` names. It is one type for all the sinks of this build, so that the sequences need no `dyn`.

use super::message::Message;
#[cfg(feature = "sns")]
use super::sns::SnsSink;
use super::sqs::SqsSink;
use super::stdout::StdoutSink;
use super::{SendError, Sink};

/// One of the sinks that this build has. Each call goes to the sink inside.
#[derive(Debug)]
pub enum AnySink {
    /// `EVENT_SINK` is the URL of an SQS queue.
    Sqs(SqsSink),
    /// `EVENT_SINK` is `stdout:`.
    Stdout(StdoutSink),
    /// `EVENT_SINK` is the ARN of an SNS topic.
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
