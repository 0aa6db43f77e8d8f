//! The work on a question, from the queue to the answer: the work record, who may change it how, and SQS as its timer.
//!
//! **What is on the queue is answered once in its thread, or a person is told.** A message stays on the queue while somebody
//! works on its question, and comes again when nobody does: SQS is the timer and the retry, so there is no second store of work
//! and no sweeper. What is known of the work is in one DynamoDB item for each question. Two functions write it: `agent-dispatch`,
//! which receives the messages, and `agent-settle`, which acts for whoever works.
//!
//! ```text
//!            take                claim, beat               answer, refuse                    all parts stand
//!   free ───────────▶ in_flight ◀──────────┘ ───────────────────────────────▶ posting ───────────────────────▶ answered │ told
//!     ▲                │ ▲  └──▶ told: stopped, deleted                         │   ▲ part by part, each with a nonce
//!     └── release, ────┘ │                                                      └───┘         └▶ suspended: a person is asked
//!         not reached    └───────────────────── the click ──────────────────────────────────────────┘
//!   free ─▶ joined: the answer to another question of the thread answers this one too
//! ```
//!
//! In reading order:
//! 1. [`record`]: what is known of the work; [`token`]: the right to it.
//! 2. [`receive`]: what the dispatcher does with a message, by what the record says.
//! 3. [`operations`]: what agent-settle's operations do to the record.
//! 4. [`journal`]: the calls of tools that were made for a question.
//! 5. [`approval`]: what a person decides before a tool is called; [`lapse`]: what says that nobody has in time.
//! 6. [`stream`]: the message in which people see the answer while it is being thought.
//! 7. [`together`]: several questions of a thread that one answer answers.
//! 8. [`askers`]: what is known of those who ask.
//! 9. [`usage`]: how much people have used in a day, and how much they may.
//! 10. [`audit`]: the trail of who asked, what was done, and what was answered.
//! 11. [`update`]: how a decision becomes a write that nobody else's can come between.
//! 12. [`dynamodb`] and [`memory`]: where records are kept; `contract`: what each of them has to do (the cargo feature of that
//!     name). [`queue`]: what is done with a receive's handle.
//!
//! Every decision is a pure function from a record to a record, so the model checker and the simulation run the very rules that
//! the functions run.
//!
//! This room imports `dedup` (the error of a store), `slack` (the place of a question) and `time`. It belongs to the cargo
//! feature `dispatch`.

pub mod approval;
pub mod askers;
pub mod audit;
pub mod back_off;
#[cfg(feature = "contract")]
pub mod contract;
pub mod dynamodb;
pub mod journal;
pub mod lapse;
pub mod memory;
pub mod operations;
pub mod queue;
pub mod receive;
pub mod record;
pub mod stream;
pub mod together;
pub mod token;
pub mod transition;
pub mod update;
pub mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use crate::dedup::StoreError;
use crate::slack::question::SlackTs;
use crate::time::clock::UnixMillis;
use askers::AskerStore;
use audit::AuditStore;
use journal::{Entry, ProposedCall, ToolEnd};
use record::Record;
use token::Token;
use usage::UsageStore;

/// What the key of every item of this room begins with. The table is the ingress's, and none of its own keys has a `#`.
pub const PREFIX: &str = "dispatch#";

/// How long a record is kept after it was written last. It is longer than a message stays on a queue.
pub const KEPT_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The key of a work record: `dispatch#` and the question's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(String);

impl RecordKey {
    /// The key of the question with this id.
    pub fn of_question(id: &str) -> Self {
        Self(format!("{PREFIX}{id}"))
    }

    /// Reads a key that came from outside. `None` if it is none of a work record: the record of the ingress's, a stop's, an
    /// asker's, a counter's, or what belongs to a question beside its record, such as an entry of its journal.
    pub fn parse(key: &str) -> Option<Self> {
        let id = key.strip_prefix(PREFIX)?;
        (!id.is_empty()
            && !["stop:", "asker:", "used:"].iter().any(|other| id.starts_with(other))
            && !id.contains('#')
            && key.len() <= PREFIX.len() + 1024)
            .then(|| Self(key.to_owned()))
    }

    /// The key as the table has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of an entry of the question's journal. No question's id has a `#`, so it is no record's.
    pub fn of_call(&self, number: u32) -> String {
        format!("{}#{number}", self.0)
    }

    /// The key of what the agent was invoked with, while a person is asked.
    pub fn of_invocation(&self) -> String {
        format!("{}#invocation", self.0)
    }

    /// The question's id.
    pub fn question_id(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or_default()
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record as it was read. Only who has it may write: a write takes effect if nobody has written since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The record; `None` if there is none, or it has expired.
    pub record: Option<Record>,
    /// What the store knows it by.
    pub version: Version,
}

/// Which write of a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// There was no item.
    Absent,
    /// An item that has no number: a dispatcher before work records wrote it.
    Unnumbered,
    /// The number of the write; the first is 1.
    Number(u64),
}

impl Version {
    /// The number of the next write.
    pub const fn next(self) -> u64 {
        match self {
            Self::Absent | Self::Unnumbered => 1,
            Self::Number(number) => number.saturating_add(1),
        }
    }
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The record is as it was to be.
    Done,
    /// Somebody has written since it was read, and this is what stands there. Nothing was changed.
    Changed(Box<Seen>),
}

/// A record to be written, if nobody has written it since it was read.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Its key.
    pub key: &'a RecordKey,
    /// What was read.
    pub seen: &'a Seen,
    /// What is to stand there.
    pub record: &'a Record,
}

/// What is known of the stops in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// When the last one was pressed.
    pub at: SlackTs,
    /// The questions that were ended so far, each with the stop that ended it.
    pub questions: BTreeMap<String, SlackTs>,
}

impl Stopped {
    /// How many questions the stop that was pressed at this time has ended so far.
    pub fn questions_of(&self, stop: &SlackTs) -> usize {
        self.questions.values().filter(|at| *at == stop).count()
    }
}

/// Where the work records are, and the stops.
///
/// An error means that the outcome is unknown. The caller may drop the future at any time, and it is unknown then, too.
pub trait WorkStore: AskerStore + UsageStore + AuditStore {
    /// Connects, and changes nothing. It is called once, at init.
    ///
    /// # Errors
    /// When the store cannot be reached. The function goes on: the first invocation tries again.
    fn warm_up(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Reads a record as it stands at `now`.
    ///
    /// # Errors
    /// When the store cannot be asked, or what stands there is no record.
    fn read(&self, key: &RecordKey, now: UnixMillis)
    -> impl Future<Output = Result<Seen, StoreError>> + Send;

    /// Writes a record, if nobody has written since `seen` was read. Check and write are one atomic step. The same write made
    /// again has the same answer.
    ///
    /// # Errors
    /// When it is unknown whether the record was written.
    fn write(
        &self,
        key: &RecordKey,
        seen: &Seen,
        record: &Record,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Writes several records, each if nobody has written it since it was read: all of them, or none. That is one atomic step. False:
    /// nothing was written by this call. Either somebody has written one of them since, or an earlier call has written these.
    ///
    /// # Errors
    /// When it is unknown whether they were written.
    fn write_together(
        &self,
        writes: &[Write<'_>],
        now: UnixMillis,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The stops in the thread with this [key](crate::slack::question::Place::stop_key).
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn stop(&self, key: &str) -> impl Future<Output = Result<Option<Stopped>, StoreError>> + Send;

    /// Writes down that somebody pressed stop at `at`, unless a later stop stands there.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn put_stop(
        &self,
        key: &str,
        at: &SlackTs,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Counts a question among those that the stop at `stop` has ended. A question counts once, for the earliest of the stops that
    /// it is counted for.
    ///
    /// # Errors
    /// When it is unknown whether it was counted.
    fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        question_id: &str,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What stands in the journal of the question with this key under `number`; `None` if nothing does.
    ///
    /// # Errors
    /// When the store cannot be asked, or what stands there is no entry.
    fn read_call(
        &self,
        key: &RecordKey,
        number: u32,
    ) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Closes a number of the journal for good, whatever stands there: the question has ended.
    ///
    /// # Errors
    /// When it is unknown whether it was closed.
    fn forget_call(
        &self,
        key: &RecordKey,
        number: u32,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes an entry into the journal of the question with this key, if none stands under `number`. Otherwise the answer is what
    /// stands there. Check and write are one atomic step. The same entry written again has the same answer.
    ///
    /// # Errors
    /// When it is unknown whether it was written, or what stands there is no entry.
    fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Puts `entry` in the place of a call that a person was asked about, if that stands as it was read. Otherwise the answer is what
    /// stands there. Check and write are one atomic step. The same entry put again has the same answer.
    ///
    /// # Errors
    /// When it is unknown whether it was written, or what stands there is no entry.
    fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Keeps what the agent was invoked with for the question with this key, in the place of what is kept.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What is kept of the agent's invocation; `None` if nothing is.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn invocation(&self, key: &RecordKey) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Forgets what is kept of the agent's invocation: the question has ended.
    ///
    /// # Errors
    /// When it is unknown whether it was forgotten.
    fn forget_invocation(
        &self,
        key: &RecordKey,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes down what came of the call that the invocation with this `nonce` has begun under `number`. If no such call stands
    /// there, nothing is written.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
