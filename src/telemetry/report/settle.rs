//! What is known of one invocation of agent-settle when it is over.

use std::time::Duration;

use super::Errors;
use crate::slack::approval::Verdict;

/// How a question ended in an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its answer stands.
    Answered,
    /// The asker has been told that there will be none.
    Told,
    /// There will be none, and nobody could be told in Slack: the dead letter tells a person.
    Untold,
    /// Somebody had pressed stop.
    Stopped,
    /// The asker may not ask. They are told so once a day.
    TurnedAway,
    /// Too little was left of what may be used in the day, and the asker has been told so.
    OverLimit,
    /// A person is asked whether a tool may be called. The question goes on with their click.
    Suspended,
}

/// A limit of a day that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// What is limited: `questions`, `tokens` or `tool_calls`.
    pub unit: &'static str,
    /// Of whom: `person`, `channel` or `workspace`.
    pub scope: &'static str,
}

/// What an attempt at a question has used of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokensUsed {
    /// The tokens that the model has read, those of a cache included.
    pub input: u64,
    /// The tokens that it has written.
    pub output: u64,
}

impl TokensUsed {
    /// All of them.
    pub const fn sum(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// One invocation. `telemetry::metrics::settle` makes the log line of it.
#[derive(Clone, Debug, Default)]
pub struct SettleReport {
    /// The operation, such as `claim`; `invalid` if the request is none.
    pub operation: &'static str,
    /// What it came to, such as `claimed`; absent if it failed inside.
    pub outcome: Option<&'static str>,
    /// The question's id; absent if the request is invalid.
    pub question_id: Option<String>,
    /// The workspace that the question was asked in, if the record says so.
    pub team_id: Option<String>,
    /// The code of why, where there is one: of a refusal, a cancelled beat, an invalid request.
    pub why: Option<String>,
    /// How the question ended, if it did in this invocation.
    pub ended: Option<Ended>,
    /// How many attempts the question took, if it ended.
    pub attempts: Option<u32>,
    /// How many other questions of the thread the answer answers, too, which was written down in this invocation.
    pub joined: usize,
    /// From Slack's request until the sign stood that somebody works on it; absent if it was not shown now.
    pub time_to_first_sign: Option<Duration>,
    /// From Slack's request until the last part of the answer stood; absent if it does not now.
    pub time_to_answer: Option<Duration>,
    /// How long the question has been without an answer; absent if that was not looked at.
    pub unanswered_for: Option<Duration>,
    /// Why something was not posted: `slack_invalid_auth`, `gateway_403`, or the code of a refusal.
    pub failure: Option<String>,
    /// The limit of a day that was reached, if one was: it kept a question from being begun, or a call of a tool from being made. Each
    /// request that is refused says so.
    pub over_limit: Option<OverLimit>,
    /// What the attempt has used that ended with this invocation; absent if it goes on, or nobody knows.
    pub used: Option<TokensUsed>,
    /// What a person has decided about a call, or that nobody has in time; absent if nothing was decided now.
    pub decided: Option<Verdict>,
    /// Whether the outcome of a post is unknown, and nobody can find it out.
    pub outcome_unknown: bool,
    /// Why the sign that somebody works could not be shown or taken back; nothing depends on it.
    pub not_shown: Option<String>,
    /// What failed on the way.
    pub errors: Errors,
}
