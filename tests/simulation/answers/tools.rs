//! Plays what an agent's model does with tools, and the API behind them. A model wants to reach a few goals, each by one call that
//! changes something. It thinks anew in each attempt, so it may word its call differently; what it is told of earlier calls it
//! takes for done.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use slack_ingress::gateway::{AgentTools, ToolOutcome};
use slack_ingress::time::clock::Moment;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use super::agent::{One, ask_again, request};
use super::audit;
use super::faults::Fault;
use super::rules::Rule;
use super::sim::{Node, Sim};

const TOOL: &str = "trello___create_card";
/// How long the agent asks again what came of a call, and how long it waits before it asks again.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
const UNDER_WAY_PAUSE: Duration = Duration::from_secs(2);
/// How long the Gateway waits for the API at most, and agent-settle for the Gateway.
const API_TIMEOUT_MILLIS: u64 = 60_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(24);

/// What the agent knows of the calls of one question.
struct Journal {
    /// The number of the next call.
    next: u64,
    /// The goals that were reached, or may have been.
    reached: BTreeSet<u64>,
}

impl One {
    /// Reaches the question's goals. Returns false if the work is not its own any more.
    pub(crate) async fn use_tools(&self) -> bool {
        let sim = &self.sim;
        if sim.settings.tools == 0 || !sim.chance().per_mille(sim.settings.tools) {
            return true;
        }
        let (goals, is_from_the_beginning) = {
            let mut chance = sim.chance();
            (chance.number(1..=3), chance.per_mille(300))
        };
        let mut journal = Journal { next: 1, reached: BTreeSet::new() };
        let handed_over = self.handed_over();
        // Some agents know nothing of the journal, and do the same again from the beginning.
        if handed_over > 0 && !is_from_the_beginning {
            let Some(read) = self.read_journal(handed_over).await else { return false };
            journal = read;
        }
        for goal in 1..=goals {
            while !journal.reached.contains(&goal) {
                if self.is_interrupted() {
                    return false;
                }
                let pause = sim.millis(100..=5_000);
                sleep(pause).await;
                if !self.reach(goal, is_from_the_beginning, &mut journal).await {
                    return false;
                }
                if journal.next > 30 {
                    return true;
                }
            }
        }
        true
    }

    async fn read_journal(&self, handed_over: u64) -> Option<Journal> {
        let mut journal = Journal { next: handed_over + 1, reached: BTreeSet::new() };
        let answer = self.ask("calls", json!({})).await?;
        for call in answer["calls"].as_array()? {
            self.sim.count(Fault::CallsHandedOver);
            self.take_note(call, &mut journal);
        }
        Some(journal)
    }

    /// Makes one call. Returns false if the work is not its own any more.
    async fn reach(&self, goal: u64, is_from_the_beginning: bool, journal: &mut Journal) -> bool {
        let number = journal.next;
        // Two attempts seldom word a call alike.
        let wording = if is_from_the_beginning { 0 } else { self.sim.chance().number(0..=3) };
        let arguments = json!({ "question": self.record, "goal": goal, "n": number, "wording": wording });
        let call = json!({ "n": number, "tool": TOOL, "arguments": arguments.to_string() });
        let mut waited = Duration::ZERO;
        let mut told = loop {
            let Some(answer) = self.ask("call", call.clone()).await else { return false };
            if answer["outcome"] != "under way" {
                break answer;
            }
            self.sim.count(Fault::CallUnderWay);
            if waited >= CALL_PATIENCE {
                break json!({ "outcome": "unknown" });
            }
            waited += UNDER_WAY_PAUSE;
            sleep(UNDER_WAY_PAUSE).await;
        };
        journal.next += 1;
        if told["outcome"] == "another call" {
            self.sim.count(Fault::AnotherCallStands);
            told = told["call"].take();
        } else {
            told["arguments"] = arguments.to_string().into();
        }
        self.take_note(&told, journal);
        true
    }

    fn take_note(&self, call: &Value, journal: &mut Journal) {
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        let goal = arguments["goal"].as_u64().unwrap();
        let is_reached = match call["outcome"].as_str().unwrap() {
            "not called" => {
                self.sim.count(Fault::ToolNotCalled);
                false
            }
            "unknown" | "under way" => {
                self.sim.count(Fault::CallUnknown);
                !self.sim.is_off(Rule::UnknownIsNotRepeated)
            }
            _ => {
                self.sim.ledger().is_told_of(self.sim.at(), &arguments);
                true
            }
        };
        if is_reached {
            journal.reached.insert(goal);
        }
    }

    /// Asks agent-settle. `None` if the question is not its own any more, or nothing is known after all this time.
    async fn ask(&self, operation: &str, more: Value) -> Option<Value> {
        loop {
            let token = self.token();
            let request = request(operation, &self.record, &token, more.clone());
            let answer = ask_again(&self.sim, &request, CALL_PATIENCE).await;
            let Some(answer) = answer else {
                // For a model a call is unknown that nobody says anything about.
                return (operation == "call").then(|| json!({ "outcome": "unknown" }));
            };
            if answer["outcome"] != "gone" {
                return Some(answer);
            }
            if !self.is_replaced(&token).await {
                return None;
            }
        }
    }
}

/// The call takes effect after a while, whoever waits for it.
fn takes_effect(sim: &Arc<Sim>, arguments: &RawValue, after: Duration) {
    let (sim, arguments) = (Arc::clone(sim), serde_json::from_str::<Value>(arguments.get()).unwrap());
    tokio::spawn(async move {
        sleep(after).await;
        sim.ledger().takes_effect(sim.at(), &arguments);
    });
}

impl AgentTools for Node {
    async fn call(&self, _tenant: Option<&str>, _tool: &str, arguments: &RawValue, _: Moment) -> ToolOutcome {
        let sim = &self.sim;
        let said = serde_json::from_str::<Value>(arguments.get()).unwrap();
        if !audit::has_call(sim, &said) {
            sim.ledger().not_in_the_trail(sim.at(), &said);
        }
        let (way, back, late, kind) = {
            let mut chance = sim.chance();
            (
                chance.millis(20..=800),
                chance.millis(20..=100),
                chance.millis(1_000..=API_TIMEOUT_MILLIS),
                chance.number(0..=4),
            )
        };
        let unknown = || ToolOutcome::Unknown { reason: "no_answer".to_owned(), result: None };
        if !sim.goes_wrong(sim.settings.slack) {
            takes_effect(sim, arguments, way);
            sleep(way + back).await;
            return ToolOutcome::Answered(json!({ "content": [] }));
        }
        match kind {
            0 => {
                sim.count(Fault::ToolCallTakenAndItsAnswerLost);
                takes_effect(sim, arguments, way);
                sleep(way + back).await;
                unknown()
            }
            1 => {
                sim.count(Fault::ToolCallTakesEffectLate);
                takes_effect(sim, arguments, late);
                sleep(CALL_TIMEOUT).await;
                unknown()
            }
            2 => {
                sim.count(Fault::ToolCallLostOnTheWay);
                sleep(CALL_TIMEOUT).await;
                unknown()
            }
            _ => {
                sim.count(Fault::ToolNotReached);
                sleep(way).await;
                ToolOutcome::NotCalled { reason: "not_reached".to_owned() }
            }
        }
    }
}
