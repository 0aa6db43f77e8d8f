//! What `agent-settle` asks of Slack, and what the answers mean: above all whether a message stands in Slack, certainly does
//! not, or whether nobody knows.
//!
//! In reading order:
//! 1. This page: the traits [`SlackTools`] and [`AgentTools`], and what their methods answer.
//! 2. [`agent_core`]: the tools of an AgentCore Gateway, by which Slack is called in production.
//! 3. `tool_call`: the request of one call of a tool, and what can be read from the Gateway's answer.
//! 4. [`installations`]: which target acts in which installation of the app.
//! 5. `slack_answer`: Slack's own answer in it, and what each of its errors means for a post.
//! 6. `search`: whether a page of messages has the one that is looked for.
//! 7. [`tools_gateway`]: the tools that the agent's model may use.
//! 8. `response_url`: what is posted there, and what the answers mean.
//! 9. [`prompts`]: what is suggested in the app's pane.
//! 10. [`stream`]: a message in which an answer is shown while it is being thought.
//! 11. [`slack_files`]: the download of a file.
//!
//! ```text
//! agent-settle ──▶ SlackTools ── tools/call, signed ──▶ AgentCore Gateway ── the bot's token ──▶ Slack
//!                       ├──────── respond ─────────────────────────────────────────────────────▶ hooks.slack.com
//!                       └──────── read_file ── the bot's token ────────────────────────────────▶ files.slack.com
//! ```
//!
//! Slack's `chat.postMessage` has no idempotency key. So a message carries a nonce in its metadata, by which it is found again
//! when nobody knows whether it was posted. Nothing here repeats a call: what a failure means is for the caller, who writes it
//! down before anything is tried again.
//!
//! This room imports `aws` (the signed call, the download, and how a stream of events is read), `slack` (the buttons
//! under an answer, what a file is, the tokens for a download) and `time`.

pub mod agent_core;
pub mod installations;
pub mod prompts;
mod response_url;
mod search;
mod slack_answer;
pub mod slack_files;
pub mod stream;
mod tool_call;
pub mod tools_gateway;

use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::slack::asker::Person;
use crate::slack::question::File;
use crate::time::clock::{Moment, UnixMillis};

use prompts::Prompts;
use stream::StreamTools;

/// The `event_type` of the metadata that every message of `agent-settle` carries.
pub const EVENT_TYPE: &str = "slack_ingress_answer";

/// Slack, as `agent-settle` uses it. Each call is over at `until`, and does not begin any more if that is past: a process may be
/// stopped for minutes between the decision to call and the call.
pub trait SlackTools: StreamTools + Send + Sync {
    /// Posts one message, once.
    fn post(&self, post: &Post<'_>, until: Moment) -> impl Future<Output = PostOutcome> + Send;

    /// Looks for a message of the app's own with this nonce.
    fn find(&self, search: &Search<'_>, until: Moment) -> impl Future<Output = FindOutcome> + Send;

    /// Reads what was said in a thread, or last in a channel.
    fn read(
        &self,
        conversation: &Conversation<'_>,
        until: Moment,
    ) -> impl Future<Output = ReadOutcome> + Send;

    /// Shows in a thread that the app works, or that it does not any more. Nothing else depends on it.
    fn set_status(
        &self,
        place: &StatusPlace<'_>,
        status: SessionStatus,
        until: Moment,
    ) -> impl Future<Output = StatusOutcome> + Send;

    /// Suggests prompts in the app's pane. Nothing depends on it, and it may be repeated.
    fn suggest(
        &self,
        pane: &Pane<'_>,
        prompts: &Prompts,
        until: Moment,
    ) -> impl Future<Output = StatusOutcome> + Send;

    /// Reads what Slack says of a person, in an installation. Nothing changes by it, and it may be repeated.
    fn person(
        &self,
        tenant: Option<&str>,
        user: &str,
        until: Moment,
    ) -> impl Future<Output = PersonOutcome> + Send;

    /// Reads who is in a user group, in an installation; `team` is the workspace, which Slack has to be told for an app that is installed
    /// in all of an organisation. Nothing changes by it, and it may be repeated.
    fn members(
        &self,
        tenant: Option<&str>,
        team: Option<&str>,
        group: &str,
        until: Moment,
    ) -> impl Future<Output = MembersOutcome> + Send;

    /// Reads the content of a file that came with a question of this installation. Nothing changes by it, and it may be repeated.
    fn read_file(
        &self,
        tenant: Option<&str>,
        file: &File,
        until: Moment,
    ) -> impl Future<Output = FileOutcome> + Send;

    /// Posts to the `response_url` of a command or an interaction, once. Only the asker sees what is posted there. A
    /// `response_url` works for 30 minutes and five posts, also where the app is no member. Nobody can ask later whether such
    /// a post was made.
    fn respond(
        &self,
        response_url: &str,
        text: &str,
        until: Moment,
    ) -> impl Future<Output = PostOutcome> + Send;
}

/// What came of the question who a person is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonOutcome {
    /// Slack has said it.
    Known(Person),
    /// It has not.
    Unknown {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
        /// Whether it may be asked later.
        retry: Retry,
    },
}

/// What came of the question who is in a user group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembersOutcome {
    /// Slack has said it: their ids.
    Known(Vec<String>),
    /// It has not.
    Unknown {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
        /// Whether it may be asked later.
        retry: Retry,
    },
}

/// What came of the reading of a file.
#[derive(Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// This is its content.
    Read {
        /// What it is called, if Slack says.
        name: Option<String>,
        /// Its media type, if Slack says.
        mimetype: Option<String>,
        /// All of it.
        content: Vec<u8>,
    },
    /// It was not read.
    Unreadable {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
        /// Whether it may be read later.
        retry: Retry,
    },
}

impl fmt::Debug for FileOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { content, .. } => write!(f, "Read({} bytes)", content.len()),
            Self::Unreadable { reason, retry } => write!(f, "Unreadable({reason}, {retry:?})"),
        }
    }
}

/// The tools that the agent's model may use.
pub trait AgentTools: Send + Sync {
    /// Calls a tool for a question of this installation, once, with an object as the arguments. The call is over at `until`, and does
    /// not begin any more if that is past.
    fn call(
        &self,
        tenant: Option<&str>,
        tool: &str,
        arguments: &RawValue,
        until: Moment,
    ) -> impl Future<Output = ToolOutcome> + Send;
}

/// What became of a call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolOutcome {
    /// The tool has answered: it has done it, or says that it has not.
    Answered(
        /// MCP's result: an object with `content` and `isError`.
        Value,
    ),
    /// The tool was certainly not called.
    NotCalled {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
    },
    /// Nobody knows whether it took effect.
    Unknown {
        /// Why, as a short code.
        reason: String,
        /// MCP's result, if there is one: an error that does not say that nothing was done.
        result: Option<Value>,
    },
}

/// A message to post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Post<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The id of the channel or direct message.
    pub channel: &'a str,
    /// The `ts` of the message whose thread it goes to. Absent: it goes to the channel itself.
    pub thread_ts: Option<&'a str>,
    /// The text as mrkdwn, made safe by [`answer_text`](crate::slack::answer_text).
    pub text: &'a str,
    /// What the message is found by afterwards: 32 lower-case hexadecimal digits, new for each call.
    pub nonce: &'a str,
    /// The id of the question that the message answers, if it gets the buttons by which people say whether the answer is good.
    pub feedback_for: Option<&'a str>,
    /// What is shown in the place of the text; absent: the text, and the buttons.
    pub blocks: Option<&'a Value>,
}

/// What became of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// It stands in Slack.
    Posted {
        /// The message's `ts`. Absent if the answer did not say, as a `response_url` never does.
        ts: Option<String>,
    },
    /// It was certainly not posted.
    Refused {
        /// Why, as a short code for metric and log: `slack_<Slack's error>`, `gateway_<HTTP status>`,
        /// `gateway_rpc_<code>`, `response_url_<HTTP status>`, `not_reached` and others. Of `[a-z0-9_]`.
        reason: String,
        /// Whether another attempt may succeed.
        retry: Retry,
        /// How long Slack or the Gateway asks to wait. Absent if it did not say.
        retry_after: Option<Duration>,
    },
    /// Nobody knows whether it stands in Slack.
    Unknown {
        /// Why, as a short code.
        reason: String,
    },
}

/// Whether an attempt that failed may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By itself, after a while.
    Later,
    /// When somebody has changed something: put a working token, invited the app, added a scope or a right.
    AfterChange,
    /// Never, with this text at this place: it is too long, or the channel is archived.
    Never,
}

/// A message to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The channel that it was to be posted to.
    pub channel: &'a str,
    /// The thread that it was to be posted in, if it was.
    pub thread_ts: Option<&'a str>,
    /// When it was decided to post it. Messages from five minutes before that are looked at, as clocks differ.
    pub since: UnixMillis,
    /// Its nonce.
    pub nonce: &'a str,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOutcome {
    /// The message stands in Slack.
    Found {
        /// Its `ts`.
        ts: String,
    },
    /// All messages since then were looked at, and it is not among them.
    NotFound,
    /// Slack did not show all messages. This says nothing about the one that is looked for.
    CannotAsk {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
        /// Whether it may be asked later.
        retry: Retry,
        /// How long Slack or the Gateway asks to wait. Absent if it did not say.
        retry_after: Option<Duration>,
    },
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The id of the channel or direct message.
    pub channel: &'a str,
    /// The `ts` of the message that begins the thread. Absent: the last messages of the channel itself.
    pub thread_ts: Option<&'a str>,
}

/// What a reading came to.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutcome {
    /// These messages stand there, as Slack gives them.
    Read {
        /// The messages, oldest first.
        messages: Vec<Value>,
        /// Whether these are all. In a channel earlier ones may be missing; a thread is read to its end or not at all.
        is_whole: bool,
    },
    /// Slack did not show them, or not all of a thread.
    Unreadable {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
        /// Whether they may be read later.
        retry: Retry,
    },
}

/// The thread in which a status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusPlace<'a> {
    /// The installation whose token is used.
    pub tenant: Option<&'a str>,
    /// The id of the channel or direct message.
    pub channel: &'a str,
    /// The `ts` of the message that begins the thread.
    pub thread_ts: &'a str,
    /// What the thread's session is called, if it has no title yet; absent: what Slack calls it.
    pub title: Option<&'a str>,
}

/// The app's pane: its direct message with one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pane<'a> {
    /// The installation of the app that acts.
    pub tenant: Option<&'a str>,
    /// The id of the direct message.
    pub channel: &'a str,
    /// The thread in it that was started, in an app with the older `assistant_view`. In any other app it must be absent: Slack
    /// then says that it has done it, and does not.
    pub thread_ts: Option<&'a str>,
}

/// The status of a Slack session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// The app works; Slack shows it, with a button to stop.
    Processing,
    /// The app does not work any more. It does not come by itself when the app posts.
    Active,
    /// The app waits for a person.
    Suspended,
}

impl SessionStatus {
    /// Slack's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// Whether a status is shown. No outcome of this is a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    /// It is.
    Shown,
    /// It is not, or nobody knows.
    NotShown {
        /// Why, as a short code like that of [`PostOutcome::Refused`].
        reason: String,
    },
}
