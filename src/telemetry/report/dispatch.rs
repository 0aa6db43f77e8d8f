//! What is known of one message of the queue when the dispatcher is done with it, for this receive of it.

use std::time::Duration;

use super::Errors;
use crate::slack::question::Feedback;
use crate::time::trace::TraceHeader;

/// What became of a message in one invocation of the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The agent has the question. The message stays on the queue until the answer stands.
    Dispatched,
    /// The answer stood already.
    Duplicate,
    /// It asks nothing, or the agent has nothing to do for it.
    NoQuestion,
    /// Another message of the same question became a dead letter.
    Told,
    /// The question was stopped or deleted.
    Withdrawn,
    /// The message was a stop, and that has been said.
    Stop,
    /// The message was a deletion, and what was asked is withdrawn.
    Deletion,
    /// Somebody opened the app's pane, and agent-settle was asked to suggest its prompts.
    Pane,
    /// Somebody decided whether a tool may be called, and it changes nothing: others may decide, or somebody was earlier.
    NoEffect,
    /// Somebody said how good an answer was.
    Feedback,
    /// The message is in the dead-letter queue.
    DeadLettered,
    /// The agent failed on the question, or nobody knows whether it has it, or the dead-letter queue did not take the message.
    /// The message comes again.
    Failed,
    /// Nothing is known to be wrong with the message, and it comes again.
    Deferred(Deferral),
}

/// Why a message comes again though nothing is known to be wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// AgentCore throttles, has no capacity, finds the session busy, or cannot be reached or used; or the agent says "later".
    Agent,
    /// The store failed, so nobody knows whether somebody works on the question.
    Store,
    /// Nobody can say now whether the asker may ask; agent-settle's log says why.
    Asker,
    /// Somebody works on the question, or its text is being posted.
    InFlight,
    /// agent-settle was asked to post, or to tell the asker.
    Settle,
    /// An earlier message of the same conversation is not done, and this one must not overtake it.
    Behind,
    /// Too little of the invocation's time is left to hand the question over.
    Time,
}

impl MessageOutcome {
    /// Whether the message may be taken off the queue. SQS is told to keep all others.
    pub const fn is_done(self) -> bool {
        match self {
            Self::Duplicate
            | Self::NoQuestion
            | Self::Told
            | Self::Withdrawn
            | Self::Stop
            | Self::Deletion
            | Self::Pane
            | Self::NoEffect
            | Self::Feedback
            | Self::DeadLettered => true,
            Self::Dispatched | Self::Failed | Self::Deferred(_) => false,
        }
    }

    /// The value of the log's field `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Duplicate => "duplicate",
            Self::NoQuestion => "no_question",
            Self::Told => "told",
            Self::Withdrawn => "withdrawn",
            Self::Stop => "stop",
            Self::Deletion => "deletion",
            Self::Pane => "pane",
            Self::NoEffect => "no_effect",
            Self::Feedback => "feedback",
            Self::DeadLettered => "dead_lettered",
            Self::Failed => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

impl Deferral {
    /// The value of the log's field `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Store => "store",
            Self::Asker => "asker",
            Self::InFlight => "in_flight",
            Self::Settle => "settle",
            Self::Behind => "behind",
            Self::Time => "time",
        }
    }
}

/// One message. `dispatch::batch` makes the answer to Lambda from it, and `telemetry::metrics::dispatch` the log line.
#[derive(Clone, Debug)]
pub struct MessageReport {
    /// What became of the message.
    pub outcome: MessageOutcome,
    /// The id that SQS gave to the message.
    pub message_id: String,
    /// The handle that SQS gave to this receive of the message. Its visibility timeout is changed by it.
    pub receipt_handle: String,
    /// How often SQS has handed the message out, this time included.
    pub receive_count: u32,
    /// Those attributes of the message that the log may show, with their values: `kind`, `type`, `event_id`, `team_id` and
    /// `api_app_id`, as far as the message has them.
    pub shown_attributes: Vec<(&'static str, String)>,
    /// The AgentCore session of the conversation; absent if the message cannot be read.
    pub session_id: Option<String>,
    /// The id of the question that the message brings; absent if it brings none.
    pub question_id: Option<String>,
    /// The trace that the message was sent in; absent if it came without one.
    pub trace: Option<TraceHeader>,
    /// How long the event has waited since the ingress received it; absent if the message does not say when that was.
    pub waited: Option<Duration>,
    /// How long the agent took to answer; absent if it was not called.
    pub invoke: Option<Duration>,
    /// Whether nobody could be told in Slack that there will be no answer, so that the dead letter is what tells a person.
    pub is_untold: bool,
    /// What somebody said of an answer; absent if the message is something else.
    pub feedback: Option<Feedback>,
    /// After how long SQS hands the message out again; absent if that is left to the visibility that it has.
    pub put_off_for: Option<Duration>,
    /// Why the message goes to the dead-letter queue; absent if it does not.
    pub reason: Option<String>,
    /// What failed on the way.
    pub errors: Errors,
}
