//! What people may use in a day: an attempt takes, which means reserves, what it may use before it begins, and what it has used takes
//! the place of that in the end. Who asks when too little is left is told so, and the question is done.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::calls::Called;
use super::request::Invalid;
use super::tools::is_approved;
use super::{Call, Settle};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, SlackTools};
use crate::slack::answer_text;
use crate::slack::question::Place;
use crate::telemetry::report::settle::{OverLimit, TokensUsed};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::approval::Verdict;
use crate::work::journal::{Entry, ToolCall, ToolEnd};
use crate::work::operations::{self, Claimed, Now};
use crate::work::queue::Queue;
use crate::work::record::{Declined, End};
use crate::work::token::{Token, Tokens};
use crate::work::usage::{Amounts, Taken, Taker, Unit};

/// Reads `usage` of a request, which may be absent or null: then nobody knows what was used.
///
/// # Errors
/// When it is something else than two numbers.
pub(super) fn read_usage(fields: &Map<String, Value>) -> Result<Option<TokensUsed>, Invalid> {
    let Some(usage) = fields.get("usage").filter(|usage| !usage.is_null()) else { return Ok(None) };
    let number = |name: &str| usage.get(name).and_then(Value::as_u64).filter(|n| *n <= MOST_TOKENS);
    match (number("input_tokens"), number("output_tokens")) {
        (Some(input), Some(output)) => Ok(Some(TokensUsed { input, output })),
        _ => Err(Invalid("usage must be null, or have input_tokens and output_tokens, up to 10^12")),
    }
}

/// More than any model reads in a day. A number that JSON cannot hold exactly is a mistake.
const MOST_TOKENS: u64 = 1_000_000_000_000;

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Takes one call of a tool. `None`: it is counted, or nothing limits it, and no limit keeps it from being made. The journal decides
    /// whether it is made now: a number under which a call stands is told what became of that call. Otherwise it is the end that the
    /// call has because of a limit.
    pub(super) async fn take_tool_call(
        &self,
        place: Option<&Place>,
        number: u32,
        call: &mut Call<'_>,
    ) -> Result<Option<ToolEnd>, StoreError> {
        let one = Amounts { tool_calls: 1, ..Amounts::default() };
        match self.take(place, &Taker::ToolCall(number), &one, call).await? {
            Taken::Done => Ok(None),
            Taken::Over(scope, unit) => {
                call.report.over_limit = Some(OverLimit { unit: unit.as_str(), scope: scope.as_str() });
                let why = format!("over_limit_of_{}", scope.as_str());
                Ok(Some(ToolEnd::NotCalled { why }))
            }
        }
    }

    /// What is answered about a call that a limit of the day refuses. One that a person has approved is over then, and its entry says
    /// so: a later attempt would otherwise find it approved, and might make it beside another one that a person was asked about
    /// since. The approval stays in the entry, because whoever looks for the click that decided still has to find it there.
    pub(super) async fn over_limit(
        &self,
        number: u32,
        tool: &str,
        arguments: &str,
        end: ToolEnd,
        call: &Call<'_>,
    ) -> Result<Answer, StoreError> {
        let stands = match self.store.read_call(call.key, number).await? {
            Some(Entry::Proposed(asked)) if is_approved(&asked, tool, arguments) => {
                let (nonce, begun_at) = (self.tokens.next(), self.clock.now());
                let over = ToolCall {
                    tool: tool.to_owned(),
                    arguments: arguments.to_owned(),
                    nonce,
                    begun_at,
                    approval: None,
                    end: Some(end.clone()),
                };
                self.begin_approved(number, over, &asked, call).await?
            }
            stands => stands,
        };
        // What was called before the day's limit was reached, or set, was called.
        let begun = stands.filter(|entry| !matches!(entry, Entry::Proposed(_)));
        let told = |entry: Entry| self.called(&entry, number, tool, arguments);
        Ok(Answer::Called(begun.map_or(Called::ended(end), told)))
    }

    /// Takes from the counters of a place; `Done` if it has none.
    async fn take(
        &self,
        place: Option<&Place>,
        by: &Taker,
        amounts: &Amounts,
        call: &Call<'_>,
    ) -> Result<Taken, StoreError> {
        let counters = self.settings.limits.counters(place);
        if counters.is_empty() {
            return Ok(Taken::Done);
        }
        self.store.take(call.key, by, &counters, amounts, self.clock.now()).await
    }

    /// Takes what an attempt may use, if this claim would make the question the claimer's. It does so before the claim is written, so
    /// that a claim which is refused is no attempt. If the claim is not written then, because somebody else's write came in between, what
    /// it has taken stays taken for an attempt that never begins. If there is not enough left, the asker is told so, and the question
    /// ends; to the claimer it is as if the question were somebody else's.
    ///
    /// `None`: no limit keeps the claim from being made. That does not say that it will be the claimer's: of a claim that would not be, or
    /// that stands already, nothing is taken, and the claim itself finds that out.
    pub(super) async fn take_for_claim(
        &self,
        new: &Token,
        now: Now<'_>,
        call: &mut Call<'_>,
    ) -> Result<Option<Answer>, StoreError> {
        if self.settings.limits.scopes.is_empty() {
            return Ok(None);
        }
        let record = self.read(call).await?;
        let claim = operations::claim(record.as_ref(), call.token, new, now);
        // A claim that stands is not written again, and has taken when it was.
        let (Some(_), Claimed::Yours { place, .. }) = (claim.write, claim.then) else { return Ok(None) };
        let amounts = self.settings.limits.of_an_attempt();
        let taken = self.take(place.as_ref(), &Taker::Attempt(new.clone()), &amounts, call).await?;
        let Taken::Over(scope, unit) = taken else { return Ok(None) };
        call.report.over_limit = Some(OverLimit { unit: unit.as_str(), scope: scope.as_str() });
        let text = match unit {
            Unit::Tokens => answer_text::over_limit_of_tokens(scope),
            // An attempt takes no calls of tools before it begins, so it is refused none here.
            Unit::Questions | Unit::ToolCalls => answer_text::over_limit_of_questions(scope),
        };
        let calls = record.map_or(0, |record| record.tool_calls);
        let text = match self.is_approved_and_not_made(calls, call).await? {
            true => format!("{text} {}", answer_text::APPROVED_AND_NOT_DONE),
            false => text.to_owned(),
        };
        self.end(Some(&text), End::Declined(Declined::OverLimit), call).await?;
        Ok(Some(Answer::Gone))
    }

    /// Whether a person has approved a call among so many of the question's that was not made.
    async fn is_approved_and_not_made(&self, calls: u32, call: &Call<'_>) -> Result<bool, StoreError> {
        for number in 1..=calls {
            let entry = self.store.read_call(call.key, number).await?;
            if matches!(entry, Some(Entry::Proposed(asked)) if asked.verdict() == Some(Verdict::Approved)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts what was used in the place of what was taken. If that fails twice, nobody knows whether it was done; if it was not, what was
    /// taken stays taken, and what was used beyond it is not counted. The answer to the request is the same in any case.
    ///
    /// Where nothing is counted, the metric has it from the call that has ended the attempt, so that it has it once.
    pub(super) async fn report_usage(&self, used: TokensUsed, call: &mut Call<'_>) {
        if self.settings.limits.scopes.is_empty() {
            call.report.used = Some(used).filter(|_| call.has_ended_attempt);
            return;
        }
        let by = Taker::Attempt(call.token.clone());
        let replace = async || self.store.replace_taken(call.key, &by, used.sum(), self.clock.now()).await;
        let mut replaced = replace().await;
        if replaced.is_err() {
            replaced = replace().await;
        }
        match replaced {
            Ok(true) => {
                call.is_usage_counted = true;
                call.report.used = Some(used);
            }
            // Perhaps the question has no counter: it may name no person, where only people have limits.
            Ok(false) if call.has_ended_attempt => match self.read(call).await {
                Ok(record) => {
                    let place = record.as_ref().and_then(|record| record.place.as_ref());
                    let is_counted = !self.settings.limits.counters(place).is_empty();
                    call.report.used = Some(used).filter(|_| !is_counted);
                }
                Err(error) => call.report.errors.add("usage", &error),
            },
            Ok(false) => {}
            Err(error) => call.report.errors.add("usage", &error),
        }
    }
}
