//! A message of Slack's in which an answer is shown while it is being thought.
//!
//! Slack has three methods for it (<https://docs.slack.dev/reference/methods/chat.startStream>): one makes a message that is being
//! written, one appends to it, and one ends the writing. A message that is being written refuses to be changed otherwise, and one
//! that is not refuses to be appended to. After about five minutes Slack ends the writing by itself.

use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;

use super::agent_core::{AgentCoreGateway, Failure, arguments, done};
use super::slack_answer::code;
use super::{EVENT_TYPE, Post, Retry, SessionStatus};
use crate::slack::feedback;
use crate::time::clock::Moment;

/// What Slack answers to whoever writes into a message that nobody writes into any more.
const NOT_STREAMING: &str = "message_not_in_streaming_state";
/// What Slack answers if somebody has pressed stop.
const STOPPED_BY_USER: &str = "stopped_by_user";
/// What Slack answers if the message is not there any more, or was never the app's own.
const NO_SUCH_MESSAGE: [&str; 4] =
    ["message_not_found", "cant_update_message", "edit_window_closed", "cant_broadcast_message"];

/// Slack, as far as it shows an answer that is being thought. Each call is over at `until`, and does not begin any more if that is
/// past.
pub trait StreamTools: Send + Sync {
    /// Makes a message without a text, once, that text can be appended to.
    fn start_stream(&self, start: &StreamStart<'_>, until: Moment) -> impl Future<Output = Started> + Send;

    /// Appends to the message, once.
    fn append(
        &self,
        stream: &StreamPlace<'_>,
        addition: &Addition<'_>,
        until: Moment,
    ) -> impl Future<Output = Appended> + Send;

    /// Ends the writing. `status` is what the thread's session has then. It may be repeated.
    fn stop_stream(
        &self,
        stream: &StreamPlace<'_>,
        status: SessionStatus,
        until: Moment,
    ) -> impl Future<Output = Stopped> + Send;

    /// Puts a text into the message in the place of all that it has shown, buttons and nonce included. It may be repeated.
    fn replace(&self, ts: &str, post: &Post<'_>, until: Moment) -> impl Future<Output = Replaced> + Send;

    /// Deletes a message into which nobody has written. Nothing depends on it.
    fn delete_message(&self, stream: &StreamPlace<'_>, until: Moment) -> impl Future<Output = ()> + Send;
}

/// A message to be written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The id of the channel or direct message.
    pub channel: &'a str,
    /// The `ts` of the message whose thread it goes to.
    pub thread_ts: &'a str,
    /// To whom Slack shows the words as they come. Others see the message when it is finished.
    pub user: &'a str,
    /// The workspace of that person.
    pub team_id: Option<&'a str>,
}

/// A message that is being written into, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlace<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The id of the channel or direct message.
    pub channel: &'a str,
    /// The message's `ts`.
    pub ts: &'a str,
}

/// What is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition<'a> {
    /// Text in Markdown, made safe; at most 12,000 characters.
    Text(&'a str),
    /// A step of the work, which is shown as a line of its own. The same `id` again changes that line.
    Step {
        /// What the step is known by in this message.
        id: &'a str,
        /// What is shown; at most 256 characters.
        title: &'a str,
        /// How far it is.
        status: StepStatus,
    },
}

/// How far a step of the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// It is under way.
    InProgress,
    /// It is done.
    Complete,
    /// It has failed.
    Failed,
}

impl StepStatus {
    /// Slack's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Complete => "complete",
            Self::Failed => "error",
        }
    }
}

/// What became of the request for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It stands, and is empty.
    Message {
        /// Its `ts`.
        ts: String,
    },
    /// It certainly does not.
    Refused {
        /// Why, as a short code like that of [`PostOutcome::Refused`](super::PostOutcome::Refused).
        reason: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why, as a short code.
        reason: String,
    },
}

/// What became of an addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It stands, or nobody knows.
    Perhaps,
    /// It certainly does not, and may be tried again.
    Later {
        /// Why, as a short code.
        reason: String,
    },
    /// Nothing can be appended to the message any more.
    Over {
        /// Why, as a short code.
        reason: String,
    },
    /// Somebody has pressed stop.
    StoppedByUser,
}

/// What became of the end of the writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nobody writes into the message any more: from now on, or since a while.
    Yes,
    /// Somebody has pressed stop.
    ByUser,
    /// Nobody knows, or Slack has refused it for now.
    Perhaps(Trouble),
}

/// What became of a text that was to replace the message's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It stands.
    Yes,
    /// There is no such message.
    NoSuchMessage {
        /// Why, as a short code.
        reason: String,
    },
    /// Nobody knows, or Slack has refused it.
    Perhaps(Trouble),
}

/// Why something that may be repeated has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why, as a short code.
    pub reason: String,
    /// Whether another attempt may succeed. What nobody knows may be tried again later.
    pub retry: Retry,
    /// How long Slack or the Gateway asks to wait. Absent if it did not say.
    pub retry_after: Option<Duration>,
}

impl From<Failure> for Trouble {
    fn from(Failure { reason, retry, retry_after, .. }: Failure) -> Self {
        Self { reason, retry, retry_after }
    }
}

impl StreamPlace<'_> {
    fn arguments<const N: usize>(&self, more: [(&str, Option<Value>); N]) -> serde_json::Map<String, Value> {
        let mut all = arguments([("channel", Some(self.channel.into())), ("ts", Some(self.ts.into()))]);
        all.extend(arguments(more));
        all
    }
}

impl StreamTools for AgentCoreGateway {
    async fn start_stream(&self, start: &StreamStart<'_>, until: Moment) -> Started {
        let arguments = arguments([
            ("channel", Some(start.channel.into())),
            ("thread_ts", Some(start.thread_ts.into())),
            ("recipient_user_id", Some(start.user.into())),
            ("recipient_team_id", start.team_id.map(Value::from)),
        ]);
        let started = self.call(start.tenant, "start_stream", &arguments, self.deadline(until)).await;
        match done(started) {
            Ok(answer) => match answer.get("ts").and_then(Value::as_str) {
                Some(ts) => Started::Message { ts: ts.to_owned() },
                None => Started::Unknown { reason: "gateway_unreadable".to_owned() },
            },
            Err(Failure { is_certain: true, reason, .. }) => Started::Refused { reason },
            Err(Failure { reason, .. }) => Started::Unknown { reason },
        }
    }

    async fn append(&self, stream: &StreamPlace<'_>, addition: &Addition<'_>, until: Moment) -> Appended {
        let (text, chunks) = match *addition {
            Addition::Text(text) => (Some(Value::from(text)), None),
            Addition::Step { id, title, status } => {
                let step =
                    json!({ "type": "task_update", "id": id, "title": title, "status": status.as_str() });
                (None, Some(json!([step])))
            }
        };
        let arguments = stream.arguments([("markdown_text", text), ("chunks", chunks)]);
        match done(self.call(stream.tenant, "append_to_stream", &arguments, self.deadline(until)).await) {
            Ok(_) => Appended::Perhaps,
            Err(Failure { reason, .. }) if reason == code(STOPPED_BY_USER) => Appended::StoppedByUser,
            Err(Failure { is_certain: false, .. }) => Appended::Perhaps,
            Err(Failure { reason, retry: Retry::Later, .. }) => Appended::Later { reason },
            Err(Failure { reason, .. }) => Appended::Over { reason },
        }
    }

    async fn stop_stream(&self, stream: &StreamPlace<'_>, status: SessionStatus, until: Moment) -> Stopped {
        let arguments = stream.arguments([("session_status", Some(status.as_str().into()))]);
        match done(self.call(stream.tenant, "stop_stream", &arguments, self.deadline(until)).await) {
            Ok(_) => Stopped::Yes,
            Err(Failure { reason, .. }) if reason == code(NOT_STREAMING) => Stopped::Yes,
            Err(Failure { reason, .. }) if reason == code(STOPPED_BY_USER) => Stopped::ByUser,
            // The message is looked for when its text is replaced.
            Err(Failure { reason, .. }) if NO_SUCH_MESSAGE.map(code).contains(&reason) => Stopped::Yes,
            Err(failure) => Stopped::Perhaps(failure.into()),
        }
    }

    async fn replace(&self, ts: &str, post: &Post<'_>, until: Moment) -> Replaced {
        // Slack keeps the blocks of a message that is changed without any.
        let blocks = match post.feedback_for {
            Some(question_id) => feedback::blocks(post.text, question_id),
            None => feedback::text_blocks(post.text).into(),
        };
        let place = StreamPlace { tenant: post.tenant, channel: post.channel, ts };
        let arguments = place.arguments([
            ("text", Some(post.text.into())),
            ("blocks", Some(blocks)),
            ("metadata", Some(json!({ "event_type": EVENT_TYPE, "event_payload": { "nonce": post.nonce } }))),
        ]);
        match done(self.call(post.tenant, "update_message", &arguments, self.deadline(until)).await) {
            Ok(_) => Replaced::Yes,
            Err(Failure { reason, .. }) if NO_SUCH_MESSAGE.map(code).contains(&reason) => {
                Replaced::NoSuchMessage { reason }
            }
            // The writing has not ended yet, although it was asked to.
            Err(failure) if failure.reason == code("streaming_state_conflict") => {
                Replaced::Perhaps(Trouble { retry: Retry::Later, ..failure.into() })
            }
            Err(failure) => Replaced::Perhaps(failure.into()),
        }
    }

    async fn delete_message(&self, stream: &StreamPlace<'_>, until: Moment) {
        let arguments = stream.arguments([]);
        let _ = self.call(stream.tenant, "delete_message", &arguments, self.deadline(until)).await;
    }
}
