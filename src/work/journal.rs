//! The journal of a question's tool calls: what was begun, and what came of it. A tool that changes something is called by
//! agent-settle and written down here, so that whoever takes the question over after a death makes no call twice.
//!
//! ```text
//! the record counts n ─▶ entry n: open ─▶ the call ─▶ entry n: its end
//!                          │                 └─▶ never written: nobody knows, once agent-settle's time is over
//!                          └─▶ who reads the journal closes what is counted and not begun: it will not be begun any more
//! ```
//!
//! A call that a person decides about has its entry before it is begun ([`approval`](super::approval)).
//!
//! The record's number is the first half of the promise: only the holder of its token raises it, and a claim tells the new holder
//! how far it went. The entry is the second half: it is written only where none stands, so of two that begin the same call one
//! does, and a call that the reader has closed is not made by a process that wakes up late.

use std::time::Duration;

use super::approval::{Approval, Verdict};
use super::token::Token;
use crate::time::clock::UnixMillis;

/// Most calls of one question, over all attempts. So the whole journal fits into one answer of a Lambda function.
pub const MAX_CALLS: u32 = 40;

/// The longest arguments, in bytes of JSON.
pub const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// The longest arguments and result together.
pub const MAX_BYTES: usize = 100 * 1024;

/// How long a call may be under way before nobody will write its end: agent-settle's time-out, and a second for the clocks.
pub const UNDER_WAY: Duration = Duration::from_secs(31);

/// What stands in the journal under a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The number is closed: nothing is begun under it any more. Whoever read the journal found it counted and not begun; or the
    /// question has ended, and what its tools were told is not kept.
    Closed,
    /// A call that is begun when a person has approved it, and not before.
    Proposed(ProposedCall),
    /// A call that was begun; or one that a person has approved and that a limit of the day has refused, which has an end at once.
    Call(ToolCall),
}

/// A call that a person is asked about, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedCall {
    /// The Gateway's name of the tool.
    pub tool: String,
    /// Its arguments, to the letter as they were shown.
    pub arguments: String,
    /// What the person is asked, and what they have decided.
    pub approval: Approval,
}

impl ProposedCall {
    /// Whether it is a call of this tool with these arguments.
    pub fn is_of(&self, tool: &str, arguments: &str) -> bool {
        self.tool == tool && self.arguments == arguments
    }

    /// What was decided about it.
    pub fn verdict(&self) -> Option<Verdict> {
        self.approval.decision.as_ref().map(|decision| decision.verdict)
    }
}

/// A call that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The Gateway's name of the tool: `<target>___<operation>`.
    pub tool: String,
    /// Its arguments: a JSON object, to the letter as it came. The same arguments are the same text.
    pub arguments: String,
    /// The mark of the invocation that makes it.
    pub nonce: Token,
    /// When it was begun.
    pub begun_at: UnixMillis,
    /// The approval that it was made by; absent if it needed none.
    pub approval: Option<Approval>,
    /// What came of it; `None` as long as nobody has written that down.
    pub end: Option<ToolEnd>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// The tool has answered. It may have answered with an error.
    Answered {
        /// MCP's result, as JSON.
        result: String,
    },
    /// The tool was certainly not called.
    NotCalled {
        /// Why, as a short code.
        why: String,
    },
    /// Nobody knows whether the call took effect.
    Unknown {
        /// Why, as a short code.
        why: String,
        /// MCP's result, as JSON, if the tool has answered with an error that does not say that it did nothing.
        result: Option<String>,
    },
}

/// The reason of an unknown outcome: the invocation that made the call has written nothing down, and its time is over.
pub const DIED: &str = "died";

impl ToolCall {
    /// What is known of it at `now`; `None` as long as it may still be under way.
    pub fn end_at(&self, now: UnixMillis) -> Option<ToolEnd> {
        let is_over = self.begun_at.until(now) >= UNDER_WAY;
        self.end.clone().or_else(|| is_over.then(|| ToolEnd::Unknown { why: DIED.to_owned(), result: None }))
    }

    /// Whether it is a call of this tool with these arguments.
    pub fn is_of(&self, tool: &str, arguments: &str) -> bool {
        self.tool == tool && self.arguments == arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_end_a_call_is_under_way_until_its_time_is_over() {
        let begun_at = UnixMillis::from_millis(1_000_000);
        let open = ToolCall {
            tool: "trello___create_card".to_owned(),
            arguments: "{}".to_owned(),
            nonce: Token::from_bits(1),
            begun_at,
            approval: None,
            end: None,
        };
        let just_before = begun_at.after(UNDER_WAY - Duration::from_millis(1));
        assert_eq!(open.end_at(just_before), None);
        assert_eq!(
            open.end_at(begun_at.after(UNDER_WAY)),
            Some(ToolEnd::Unknown { why: DIED.to_owned(), result: None })
        );
        let end = ToolEnd::Answered { result: "{}".to_owned() };
        let ended = ToolCall { end: Some(end.clone()), ..open };
        assert_eq!(ended.end_at(just_before), Some(end.clone()));
        assert_eq!(ended.end_at(begun_at.after(UNDER_WAY * 9)), Some(end));
    }
}
