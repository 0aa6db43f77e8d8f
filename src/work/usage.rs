//! How much of the agent people have used in a day, and how much they may use: counters for each person, channel and installation, in
//! items of their own beside the work records.
//!
//! An attempt takes what it may use at most before it begins ([`UsageStore::take`]), and gives back what it has not used when it
//! ends ([`UsageStore::give_back`]). What is taken by an attempt that dies stays taken: nobody knows what it has used. So a counter
//! never says less than what was used, however many attempts run at once. An item for each question remembers which attempts have
//! taken and given back, and changes in one transaction with the counters, so that a repeated request counts once.

use std::future::Future;

use super::RecordKey;
use super::token::Token;
use crate::dedup::StoreError;
use crate::slack::question::Place;
use crate::time::clock::UnixMillis;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// How long a counter is kept after it changed last.
pub(super) const KEPT_SECONDS: u64 = 3 * SECONDS_A_DAY;

/// Whose use is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Who asked.
    Person,
    /// Where it was asked.
    Channel,
    /// The installation of the app: a workspace, or an organisation.
    Workspace,
}

impl Scope {
    /// All of them, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Person, Self::Channel, Self::Workspace];

    /// The word for it, in the configuration and in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Channel => "channel",
            Self::Workspace => "workspace",
        }
    }

    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Questions that the agent has begun.
    Questions,
    /// Tokens of the model, in and out.
    Tokens,
    /// Calls of tools that change something.
    ToolCalls,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Questions, Self::Tokens, Self::ToolCalls];

    /// The word for it, in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Questions => "questions",
            Self::Tokens => "tokens",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// An amount of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Questions.
    pub questions: u64,
    /// Tokens.
    pub tokens: u64,
    /// Calls of tools.
    pub tool_calls: u64,
}

impl Amounts {
    /// The amount of one unit.
    pub const fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Questions => self.questions,
            Unit::Tokens => self.tokens,
            Unit::ToolCalls => self.tool_calls,
        }
    }

    /// Adds as much.
    pub(super) const fn add(&mut self, more: &Self) {
        self.questions = self.questions.saturating_add(more.questions);
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.tool_calls = self.tool_calls.saturating_add(more.tool_calls);
    }

    /// Takes as much off.
    pub(super) const fn take_off(&mut self, less: &Self) {
        self.questions = self.questions.saturating_sub(less.questions);
        self.tokens = self.tokens.saturating_sub(less.tokens);
        self.tool_calls = self.tool_calls.saturating_sub(less.tool_calls);
    }
}

/// How much may be used within a day. `None`: as much as anybody likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Questions.
    pub questions: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
    /// Calls of tools.
    pub tool_calls: Option<u64>,
}

impl Limits {
    /// The limit of one unit.
    pub const fn of(&self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Questions => self.questions,
            Unit::Tokens => self.tokens,
            Unit::ToolCalls => self.tool_calls,
        }
    }

    /// Whether anything is limited.
    pub const fn is_any(&self) -> bool {
        self.questions.is_some() || self.tokens.is_some() || self.tool_calls.is_some()
    }
}

/// One counter, and how far it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose use it counts.
    pub scope: Scope,
    /// Its key without what all keys of this room begin with: `used:<scope>:<app>:<tenant>:<id>:<day>`. The day is that of UTC, as the
    /// number of days since 1 January 1970.
    pub key: String,
    /// How far it may go.
    pub limits: Limits,
}

impl Counter {
    /// The counter of one scope for a question that was asked at this place, on the day of `now`. `None` if the place does not say whose
    /// it is.
    pub fn of(scope: Scope, place: &Place, limits: Limits, now: UnixMillis) -> Option<Self> {
        let of = place.counted_by(scope)?;
        let day = now.as_secs() / SECONDS_A_DAY;
        Some(Self { scope, key: format!("used:{}:{of}:{day}", scope.as_str()), limits })
    }
}

/// What came of an attempt to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken, now or by the same request before.
    Done,
    /// Nothing was taken: this scope would get over a limit.
    Over(Scope),
}

/// The counters.
///
/// An error means that the outcome is unknown, and that the same request may be made again.
pub trait UsageStore: Send + Sync {
    /// Takes these amounts from what each of the counters has left, for the attempt with this token. All or nothing; check and write
    /// are one atomic step. A question counts once, by its first attempt; tokens and tool calls are taken by each.
    ///
    /// # Errors
    /// When it is unknown whether they were taken.
    fn take(
        &self,
        question: &RecordKey,
        by: &Token,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Gives back what the attempt with this token has taken and not used. An attempt gives back once, and only if it has taken.
    ///
    /// # Errors
    /// When it is unknown whether it was given back.
    fn give_back(
        &self,
        question: &RecordKey,
        by: &Token,
        counters: &[Counter],
        unused: &Amounts,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
