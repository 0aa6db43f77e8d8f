//! How much of the agent people have used in a day, and how much they may use: counters for each person, channel and installation, in
//! items of their own beside the work records.
//!
//! To *take* is to reserve: an attempt takes what it may use at most before it begins ([`UsageStore::take`]), and until it ends nobody
//! else can use that. When it ends, what it has used takes the place of what it has taken ([`UsageStore::replace_taken`]). What is taken
//! by an attempt that dies stays taken: nobody knows what it has used. So of many attempts at once no more begin than fit, and a counter
//! says at least what was used, as far as each attempt keeps within what it has taken, or tells what it has used beyond. Nobody makes it
//! do so: an agent may use more and die, or report less than it has used.
//!
//! An item for each question remembers who has taken what, from which counters, and who was refused, and changes in one transaction
//! with the counters: so a repeated request counts once, and has the same answer.
//!
//! Each attempt counts on the day on which it begins, and the question itself on the day of its first attempt.
//!
//! The tokens that are counted are those of a model. [`Token`], the right to work on a record, has nothing to do with them: here it says
//! which attempt it is that takes.

use std::future::Future;

use super::RecordKey;
use super::token::Token;
use crate::dedup::StoreError;
use crate::slack::question::Place;
use crate::slack::scope::Scope;
use crate::time::clock::UnixMillis;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// How long a counter is kept after something was taken last.
pub(super) const KEPT_SECONDS: u64 = 3 * SECONDS_A_DAY;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Questions that the agent has begun.
    Questions,
    /// Tokens of the model, in and out.
    Tokens,
    /// Calls of tools that are made through agent-settle: with our agent those that may change something.
    ToolCalls,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Questions, Self::Tokens, Self::ToolCalls];

    /// The word for it, in the table and in the log.
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

    /// The first unit whose sum of this amount and `more` is over its limit.
    pub(super) fn over(&self, more: &Self, limits: &Limits) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| {
            let wanted = more.of(*unit);
            let limit = limits.of(*unit).filter(|_| wanted > 0);
            limit.is_some_and(|limit| self.of(*unit).saturating_add(wanted) > limit)
        })
    }
}

/// How much may be used within a day. `None`: as much as anybody likes, and it is counted all the same.
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

    /// Sets the limit of one unit.
    pub const fn set(&mut self, unit: Unit, limit: u64) {
        match unit {
            Unit::Questions => self.questions = Some(limit),
            Unit::Tokens => self.tokens = Some(limit),
            Unit::ToolCalls => self.tool_calls = Some(limit),
        }
    }
}

/// One counter, and how far it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose use it counts.
    pub scope: Scope,
    /// Its key, `used:<scope>:<app>:<tenant>:<id>`, without the day and without what all keys of this room begin with.
    pub key: String,
    /// How far it may go within a day.
    pub limits: Limits,
}

impl Counter {
    /// The counter of one scope for a question that was asked at this place. `None` if the place does not say whose it is.
    pub fn of(scope: Scope, place: &Place, limits: Limits) -> Option<Self> {
        let of = place.counted_by(scope)?;
        Some(Self { scope, key: format!("used:{}:{of}", scope.as_str()), limits })
    }

    /// Its key on a day.
    pub(super) fn key_on(&self, day: u64) -> String {
        format!("{}:{day}", self.key)
    }
}

/// The day of UTC, as the number of days since 1 January 1970.
pub(super) const fn day_of(now: UnixMillis) -> u64 {
    now.as_secs() / SECONDS_A_DAY
}

/// What may be used within a day, by whom, and how many tokens one attempt at a question may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DailyLimits {
    /// The limits of each scope that has any.
    pub scopes: Vec<(Scope, Limits)>,
    /// How many tokens one attempt at a question may use, which are what it takes before it begins; a second attempt takes as many
    /// again. `None`: it may use any number, and takes none. What it reports is still counted for each scope that has a limit.
    pub tokens_a_question: Option<u64>,
}

impl DailyLimits {
    /// The counters of a question that was asked here: one for each scope that has any limit. It counts all units, and those for which
    /// it has no limit as well.
    pub fn counters(&self, place: Option<&Place>) -> Vec<Counter> {
        let of = |(scope, limits): &(Scope, Limits)| Counter::of(*scope, place?, *limits);
        self.scopes.iter().filter_map(of).collect()
    }

    /// What an attempt takes before it begins.
    pub fn of_an_attempt(&self) -> Amounts {
        Amounts { questions: 1, tokens: self.tokens_a_question.unwrap_or_default(), tool_calls: 0 }
    }
}

/// Who takes, so that the same one takes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taker {
    /// The attempt whose right to the question's record this is.
    Attempt(Token),
    /// The attempt at another question whose right this is, to which this question was given to be answered with it. What it uses is
    /// not this question's, and nothing that it reports can be counted here.
    Given(Token),
    /// The question's call of a tool with this number.
    ToolCall(u32),
}

impl Taker {
    /// Its word in the question's item.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Attempt(token) => token.as_str().to_owned(),
            Self::Given(token) => format!("given:{}", token.as_str()),
            Self::ToolCall(number) => format!("call:{number}"),
        }
    }
}

/// What came of taking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken, now or by the same taker before.
    Done,
    /// Nothing was taken, and the same taker will not take it later either: this scope would get over its limit of this unit.
    Over(Scope, Unit),
}

impl Taken {
    /// The word for it, by which the item of a question remembers who was refused; `None` if nobody was.
    pub(super) fn word(self) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Over(scope, unit) => Some(format!("over:{}:{}", scope.as_str(), unit.as_str())),
        }
    }

    /// Reads the word for it.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (scope, unit) = word.strip_prefix("over:")?.split_once(':')?;
        Some(Self::Over(Scope::parse(scope)?, Unit::ALL.into_iter().find(|it| it.as_str() == unit)?))
    }
}

/// The counters.
///
/// An error means that the outcome is unknown, and that the same request may be made again.
pub trait UsageStore: Send + Sync {
    /// Takes, which means reserves, these amounts from what each of the counters has left on the day of `now`. All or nothing; check and
    /// write are one atomic step. A question counts once, by its first attempt; tokens are taken by each.
    ///
    /// # Errors
    /// When it is unknown whether they were taken.
    fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Puts the model's tokens that were used into the place of those that `by` has taken, in the very counters that they were taken
    /// from: once, and only if it has taken at all. A counter that is not there any more stays so. Returns whether it was done now.
    ///
    /// # Errors
    /// When it is unknown whether it was done.
    fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        now: UnixMillis,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
