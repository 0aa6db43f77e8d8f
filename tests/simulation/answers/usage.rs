//! How much of the agent may be used in a day: the counters as each process sees them, what the agent's model uses, and the rules about
//! both.

use serde_json::{Value, json};
use slack_ingress::dedup::StoreError;
use slack_ingress::slack::scope::Scope;
use slack_ingress::time::clock::UnixMillis;
use slack_ingress::work::RecordKey;
use slack_ingress::work::usage::{Amounts, Counter, DailyLimits, Limits, Taken, Taker, Unit, UsageStore};

use super::ledger::Used;
use super::rules::Rule;
use super::sim::{Node, Sim, at_once};
use crate::chance::Chance;

/// How many tokens an attempt takes.
const TOKENS_A_QUESTION: u64 = 100;

/// Draws what may be used in a day.
pub(crate) fn draw(chance: &mut Chance) -> DailyLimits {
    let limits = Limits {
        questions: Some(chance.number(2..=20)),
        tokens: chance.per_mille(500).then(|| chance.number(TOKENS_A_QUESTION..=1_500)),
        tool_calls: chance.per_mille(500).then(|| chance.number(1..=10)),
    };
    DailyLimits { scopes: vec![(Scope::Workspace, limits)], tokens_a_question: Some(TOKENS_A_QUESTION) }
}

/// What a model uses for one thought.
pub(crate) fn uses(sim: &Sim) -> u64 {
    sim.chance().number(1..=TOKENS_A_QUESTION)
}

/// What the agent reports of it.
pub(crate) fn report(used: Option<u64>) -> Value {
    match used {
        Some(used) => json!({ "usage": { "input_tokens": used - used / 3, "output_tokens": used / 3 } }),
        None => json!({}),
    }
}

impl UsageStore for Node {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        let is_off = match by {
            Taker::Attempt(_) | Taker::Given(_) => self.sim.is_off(Rule::AttemptsTake),
            Taker::ToolCall(_) => self.sim.is_off(Rule::ToolCallsAreTaken),
        };
        if is_off {
            return Ok(Taken::Done);
        }
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (question, by, mut counters, amounts) =
            (question.clone(), by.clone(), counters.to_vec(), *amounts);
        if self.sim.is_off(Rule::LimitsHold) {
            counters.iter_mut().for_each(|counter| counter.limits = Limits::default());
        }
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.take(&question, &by, &counters, &amounts, now)).unwrap()
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (question, by) = (question.clone(), by.clone());
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.replace_taken(&question, &by, used_tokens, now)).unwrap()
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }
}

/// Compares the counters with the limits, and with what was really used. Returns what is wrong, with the question that it is about.
pub(crate) fn check(sim: &Sim, used: &Used) -> Vec<(String, String)> {
    let limits = &sim.settings.limits;
    let [(_, most)] = limits.scopes.as_slice() else { return Vec::new() };
    let mut wrong = Vec::new();
    let counters = sim.store.counters();
    let mut sum = Amounts::default();
    for (key, counted) in &counters {
        for unit in Unit::ALL {
            if most.of(unit).is_some_and(|most| counted.of(unit) > most) {
                wrong.push((key.clone(), format!("{} {}", counted.of(unit), unit.as_str())));
            }
        }
        sum.questions += counted.questions;
        sum.tokens += counted.tokens;
        sum.tool_calls += counted.tool_calls;
    }
    for (question, tokens) in &used.tokens {
        let taken: u64 = sim.store.takers(&RecordKey::of_question(question)).values().sum();
        if *tokens > taken {
            wrong.push((question.clone(), format!("used {tokens} tokens, and {taken} are counted")));
        }
    }
    let all = Amounts {
        questions: used.tokens.len() as u64,
        tokens: used.tokens.values().sum(),
        tool_calls: used.tool_calls,
    };
    for unit in Unit::ALL {
        let (really, counted) = (all.of(unit), sum.of(unit));
        if really > counted {
            wrong.push(("all".to_owned(), format!("{really} {}, and {counted} are counted", unit.as_str())));
        }
    }
    wrong
}
