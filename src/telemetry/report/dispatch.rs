//! What is known of one message of the queue when the dispatcher is done with it, for this receive.

use std::error::Error;
use std::time::Duration;

use super::with_causes;

/// How a message ended, for this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The agent has it.
    Dispatched,
    /// The agent had it before.
    Duplicate,
    /// It is in the dead-letter queue.
    DeadLettered,
    /// The agent failed on it, or may have; or the dead-letter queue did. It comes again.
    Failed,
    /// It was not its turn. It comes again.
    Deferred(Deferral),
}

/// Why a message has to come again, through no fault of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// AgentCore throttles, has no room, finds the session busy, or cannot be reached or used.
    Agent,
    /// The store failed, so nobody knows whether the agent has had it.
    Store,
    /// Another invocation holds it, or died holding it.
    InFlight,
    /// A message of its conversation before it is not done.
    Behind,
    /// Too little of the invocation's time was left.
    Time,
}

impl MessageOutcome {
    /// Whether it is to be taken off the queue.
    pub const fn is_done(self) -> bool {
        match self {
            Self::Dispatched | Self::Duplicate | Self::DeadLettered => true,
            Self::Failed | Self::Deferred(_) => false,
        }
    }

    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
            Self::Failed => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

impl Deferral {
    /// The reason in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Store => "store",
            Self::InFlight => "in_flight",
            Self::Behind => "behind",
            Self::Time => "time",
        }
    }
}

/// One message, for the answer to Lambda and for the log.
#[derive(Clone, Debug)]
pub struct MessageReport {
    /// How it ended.
    pub outcome: MessageOutcome,
    /// SQS's id.
    pub message_id: String,
    /// SQS's handle of this receive.
    pub receipt_handle: String,
    /// How often SQS has handed it out.
    pub receive_count: u32,
    /// Of the ingress's attributes, what the log may show: `kind`, `type`, `event_id`, `team_id`, `api_app_id`.
    pub shown_attributes: Vec<(&'static str, String)>,
    /// The agent's session.
    pub session_id: Option<String>,
    /// From Slack's request to this run.
    pub waited: Option<Duration>,
    /// What the agent's answer took.
    pub invoke: Option<Duration>,
    /// An earlier owner's lease had run out: it may have called the agent.
    pub took_over: bool,
    /// When it comes again, if that is not left to the queue.
    pub put_off_for: Option<Duration>,
    /// Why it is a dead letter.
    pub reason: Option<String>,
    /// What failed on the way, with its causes.
    pub errors: Vec<String>,
}

impl MessageReport {
    /// Keeps an error of `step` and its causes.
    pub fn note(&mut self, step: &str, error: &(dyn Error + 'static)) {
        self.errors.push(format!("{step}: {}", with_causes(error)));
    }
}
