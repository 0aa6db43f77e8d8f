//! What agent-settle answers. All of it is pure.

use serde_json::{Value, json};

use super::calls::{Called, JournalledCall};
use super::file::Content;
use super::thread::Said;
use super::together;
use crate::slack::question::{Place, Standing};
use crate::work::approval::Verdict;
use crate::work::record::BEAT;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a claim: the question is the claimer's.
    Claimed {
        /// Which attempt it is; 1 is the first.
        attempt: u32,
        /// The question's id.
        question_id: String,
        /// Where it was asked.
        place: Option<Place>,
        /// How many calls of tools earlier attempts have made, or may have.
        tool_calls: u32,
        /// How many tokens of a model this attempt may use; absent: as many as it likes.
        most_tokens: Option<u64>,
    },
    /// To a beat: the work goes on.
    GoOn,
    /// To a beat: the work is to end at once.
    Cancel {
        /// `stopped`, `deleted` or `gone`.
        why: &'static str,
    },
    /// To a sign, or to a piece of what is being thought: it is shown. A piece may have been lost on the way.
    Shown,
    /// To a sign, or to a piece of what is being thought: it is not shown, and nothing depends on it. No other piece will be, either.
    NotShown,
    /// To a piece of what is being thought: it is not shown, and may be sent once more.
    Later,
    /// To a sign: the question has ended, and the sign is taken back.
    Ended,
    /// The answer stands.
    Answered {
        /// Slack's `ts` of the last part, if there is one.
        ts: Option<String>,
    },
    /// The asker has been told that there will be no answer.
    Told,
    /// The text is kept, and others will post what is left of it.
    TakenOver,
    /// The question is free again.
    Released,
    /// To a suspension: the message stands that asks a person.
    Suspended,
    /// To a suspension: nobody is asked, and the call is not made.
    NotAsked {
        /// Why, as a short code.
        why: &'static str,
    },
    /// To a click: the question goes on by it.
    Decided {
        /// What was decided.
        verdict: Verdict,
        /// Whether the message with the buttons says so. If it does not yet, the same request `in_background` has it do so.
        is_shown: bool,
    },
    /// To a click: it changes nothing.
    NoEffect {
        /// `not_yours`, `decided`, `over`, `nobody_knows` or `gone`.
        why: &'static str,
    },
    /// To a reading: what was said before the question.
    Thread {
        /// The messages, oldest first.
        messages: Vec<Said>,
        /// Whether these are all.
        is_whole: bool,
        /// The other questions that stand in the thread, and may be answered together with this one; `None` if nobody asked for them.
        together: Option<Vec<Standing>>,
    },
    /// To a reading: it could not be read.
    Unreadable {
        /// Why, as a short code.
        why: String,
        /// Whether asking again may help.
        again: bool,
    },
    /// To a call of a tool.
    Called(Called),
    /// To a reading of the journal: the calls that were begun, in their order.
    Calls(Vec<JournalledCall>),
    /// To the reading of a file: what it contains.
    File(Content),
    /// To an admission: the asker may ask.
    Admitted,
    /// To an admission: the asker may not ask. They are told so once a day.
    TurnedAway,
    /// The token is not the record's. There is nothing to do.
    Gone,
    /// The request cannot be understood, or cannot be done.
    Invalid {
        /// Why, in words.
        why: &'static str,
    },
}

impl Answer {
    /// The value of `outcome`.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::GoOn => "go on",
            Self::Cancel { .. } => "cancel",
            Self::Shown => "shown",
            Self::NotShown => "not shown",
            Self::Later => "later",
            Self::Ended => "ended",
            Self::Answered { .. } => "answered",
            Self::Told => "told",
            Self::TakenOver => "taken over",
            Self::Released => "released",
            Self::Suspended => "suspended",
            Self::NotAsked { .. } => "not asked",
            Self::Decided { .. } => "decided",
            Self::NoEffect { .. } => "no effect",
            Self::Thread { .. } | Self::File(_) => "read",
            Self::Unreadable { .. } => "unreadable",
            Self::Called(called) => called.outcome(),
            Self::Calls(_) => "calls",
            Self::Admitted => "admitted",
            Self::TurnedAway => "turned away",
            Self::Gone => "gone",
            Self::Invalid { .. } => "invalid",
        }
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> Value {
        let outcome = self.outcome();
        match self {
            Self::Claimed { attempt, question_id, place, tool_calls, most_tokens } => json!({
                "outcome": outcome,
                "attempt": attempt,
                "question_id": question_id,
                "beat_seconds": BEAT.as_secs(),
                "place": place.as_ref().map(Place::shown_to_the_agent),
                "tool_calls": tool_calls,
                "most_tokens": most_tokens,
            }),
            Self::Decided { verdict, is_shown } => {
                json!({ "outcome": outcome, "verdict": verdict.as_str(), "is_shown": is_shown })
            }
            Self::Cancel { why }
            | Self::Invalid { why }
            | Self::NotAsked { why }
            | Self::NoEffect { why } => json!({ "outcome": outcome, "why": why }),
            Self::Unreadable { why, again } => json!({ "outcome": outcome, "why": why, "again": again }),
            Self::Thread { messages, is_whole, together } => {
                let messages: Vec<Value> = messages.iter().map(Said::to_json).collect();
                let mut answer = json!({ "outcome": outcome, "messages": messages, "is_whole": is_whole });
                if let (Some(together), Some(fields)) = (together, answer.as_object_mut()) {
                    fields.insert("together".to_owned(), together.iter().map(together::to_json).collect());
                }
                answer
            }
            Self::File(file) => file.to_json(outcome),
            Self::Called(called) => called.to_json(),
            Self::Calls(calls) => {
                let calls: Vec<Value> = calls.iter().map(JournalledCall::to_json).collect();
                json!({ "outcome": outcome, "calls": calls })
            }
            Self::Answered { ts } => json!({ "outcome": outcome, "ts": ts }),
            _ => json!({ "outcome": outcome }),
        }
    }
}
