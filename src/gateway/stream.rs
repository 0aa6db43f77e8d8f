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
/// What Slack answers if the message is not there any more, or is not the app's own.
const NO_SUCH_MESSAGE: [&str; 2] = ["message_not_found", "message_not_owned_by_app"];
/// Errors of the token, of its scopes and of where the app is, which somebody can make good. With any other error, also one that
/// Slack will only come to have, the same message is never changed: then a new one says what was to stand in it.
const OF_ACCESS: [&str; 15] = [
    "not_authed",
    "invalid_auth",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "access_denied",
    "team_access_not_granted",
    "org_login_required",
    "enterprise_is_restricted",
    "ekm_access_denied",
    "not_in_channel",
    "channel_not_found",
];
/// What Slack answers if a message is still being written.
const STILL_WRITTEN: &str = "streaming_state_conflict";

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

    /// Ends the writing, after `last_words` if there are any: text in Markdown, made safe. `status` is what the thread's session has
    /// then. It may be repeated: what has ended takes no words any more.
    fn stop_stream(
        &self,
        stream: &StreamPlace<'_>,
        last_words: Option<&str>,
        status: SessionStatus,
        until: Moment,
    ) -> impl Future<Output = Stopped> + Send;

    /// Puts a text into the message in the place of all that it has shown, buttons and nonce included. It may be repeated.
    fn replace(&self, ts: &str, post: &Post<'_>, until: Moment) -> impl Future<Output = Replaced> + Send;

    /// Deletes the message, which nobody writes into any more. It may be repeated.
    fn delete_message(&self, stream: &StreamPlace<'_>, until: Moment)
    -> impl Future<Output = Deleted> + Send;
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
    /// It was sent: it stands, or nobody knows.
    Sent,
    /// It certainly does not, and may be tried again.
    Later {
        /// Why, as a short code.
        reason: String,
    },
    /// It certainly does not, and the same would be refused again. Others may be taken.
    Refused {
        /// Why, as a short code.
        reason: String,
    },
    /// Nobody writes into the message any more, or it is not there.
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
    /// Nobody knows, or Slack has refused it.
    NotYet(Trouble),
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
    /// The message stands and takes no text, or not this one.
    Never {
        /// Why, as a short code.
        reason: String,
    },
    /// Somebody writes into the message, although its end was asked for.
    StillWritten,
    /// Nobody knows, or Slack has refused it for now.
    NotYet(Trouble),
}

/// What became of a message that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// There is no such message: from now on, or since a while.
    Yes,
    /// Slack does not let it be deleted.
    Never {
        /// Why, as a short code.
        reason: String,
    },
    /// Nobody knows, or Slack has refused it for now.
    NotYet(Trouble),
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

fn text_chunk(text: &str) -> Value {
    json!({ "type": "markdown_text", "text": text })
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
        // Text goes as a chunk, too: a message that took `markdown_text` refuses every chunk after it, and the other way round
        // (`streaming_mode_mismatch`).
        let chunk = match *addition {
            Addition::Text(text) => text_chunk(text),
            Addition::Step { id, title, status } => {
                json!({ "type": "task_update", "id": id, "title": title, "status": status.as_str() })
            }
        };
        let arguments = stream.arguments([("chunks", Some(json!([chunk])))]);
        match done(self.call(stream.tenant, "append_to_stream", &arguments, self.deadline(until)).await) {
            Ok(_) => Appended::Sent,
            Err(Failure { reason, .. }) if reason == code(STOPPED_BY_USER) => Appended::StoppedByUser,
            Err(Failure { is_certain: false, .. }) => Appended::Sent,
            Err(Failure { reason, retry: Retry::Later, .. }) => Appended::Later { reason },
            Err(Failure { reason, .. }) if is_over(&reason) => Appended::Over { reason },
            Err(Failure { reason, .. }) => Appended::Refused { reason },
        }
    }

    async fn stop_stream(
        &self,
        stream: &StreamPlace<'_>,
        last_words: Option<&str>,
        status: SessionStatus,
        until: Moment,
    ) -> Stopped {
        // Without it Slack makes the session active.
        let status = Some(status).filter(|status| *status != SessionStatus::Active);
        let arguments = stream.arguments([
            ("chunks", last_words.map(|words| json!([text_chunk(words)]))),
            ("session_status", status.map(|status| status.as_str().into())),
        ]);
        match done(self.call(stream.tenant, "stop_stream", &arguments, self.deadline(until)).await) {
            Ok(_) => Stopped::Yes,
            Err(Failure { reason, .. }) if is_over(&reason) => Stopped::Yes,
            Err(Failure { reason, .. }) if reason == code(STOPPED_BY_USER) => Stopped::ByUser,
            Err(failure) => Stopped::NotYet(failure.into()),
        }
    }

    async fn replace(&self, ts: &str, post: &Post<'_>, until: Moment) -> Replaced {
        // Slack keeps the blocks of a message that is changed without any.
        let blocks = match (post.blocks, post.feedback_for) {
            (Some(blocks), _) => blocks.clone(),
            (None, Some(question_id)) => feedback::blocks(post.text, question_id),
            (None, None) => feedback::text_blocks(post.text).into(),
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
            Err(Failure { reason, .. }) if reason == code(STILL_WRITTEN) => Replaced::StillWritten,
            Err(failure) if failure.is_certain && !may_be_taken_later(&failure) => {
                Replaced::Never { reason: failure.reason }
            }
            Err(failure) => Replaced::NotYet(failure.into()),
        }
    }

    async fn delete_message(&self, stream: &StreamPlace<'_>, until: Moment) -> Deleted {
        let arguments = stream.arguments([]);
        match done(self.call(stream.tenant, "delete_message", &arguments, self.deadline(until)).await) {
            Ok(_) => Deleted::Yes,
            Err(Failure { reason, .. }) if NO_SUCH_MESSAGE.map(code).contains(&reason) => Deleted::Yes,
            Err(failure) if failure.is_certain && !may_be_taken_later(&failure) => {
                Deleted::Never { reason: failure.reason }
            }
            Err(failure) => Deleted::NotYet(failure.into()),
        }
    }
}

/// Whether Slack may take the same change of a message another time, after it has refused it.
fn may_be_taken_later(refused: &Failure) -> bool {
    match refused.retry {
        Retry::Later => true,
        Retry::Never => false,
        // What is not Slack's own refusal is the Gateway's.
        Retry::AfterChange => {
            !refused.reason.starts_with("slack_") || OF_ACCESS.map(code).contains(&refused.reason)
        }
    }
}

/// Whether nobody writes into the message any more, by what Slack has answered.
fn is_over(reason: &str) -> bool {
    reason == code(NOT_STREAMING) || NO_SUCH_MESSAGE.map(code).iter().any(|code| code == reason)
}
