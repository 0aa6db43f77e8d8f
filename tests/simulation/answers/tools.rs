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
use super::approvals;
use super::audit;
use super::faults::Fault;
use super::rules::Rule;
use super::sim::{Node, Sim};
use super::usage;

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
    /// The calls that a person has approved, and that nobody has made.
    approved: Vec<Value>,
    /// The calls that a person has refused, or about which nobody has decided in time.
    refused: Vec<Value>,
}

impl Journal {
    fn beginning_at(next: u64) -> Self {
        Self { next, reached: BTreeSet::new(), approved: Vec::new(), refused: Vec::new() }
    }
}

impl One {
    /// Reaches the question's goals, with so many tokens. Returns false if the work is not its own any more, or a person is
    /// asked.
    pub(crate) async fn use_tools(&self, used: u64) -> bool {
        let sim = &self.sim;
        let has_tools = sim.settings.tools > 0 && sim.chance().per_mille(sim.settings.tools);
        // What a person has approved is called, whatever the model thinks.
        if !has_tools && (sim.settings.approvals.is_none() || self.handed_over() == 0) {
            return true;
        }
        let (goals, is_from_the_beginning) = {
            let mut chance = sim.chance();
            let ignorant = if sim.settings.approvals.is_some() { 100 } else { 300 };
            (chance.number(1..=3), chance.per_mille(ignorant))
        };
        let mut journal = Journal::beginning_at(1);
        let handed_over = self.handed_over();
        // Some agents know nothing of the journal, and do the same again from the beginning.
        if handed_over > 0 && !is_from_the_beginning {
            let Some(read) = self.read_journal(handed_over).await else { return false };
            journal = read;
            if !self.make_approved(&mut journal).await {
                return false;
            }
            if !has_tools {
                return true;
            }
        } else if handed_over > 0 {
            sim.ledger().ignores_its_journal(&self.record);
        }
        for goal in 1..=goals {
            while !journal.reached.contains(&goal) {
                if self.is_interrupted() {
                    return false;
                }
                let pause = sim.millis(100..=5_000);
                sleep(pause).await;
                if !self.reach(goal, is_from_the_beginning, used, &mut journal).await {
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
        let mut journal = Journal::beginning_at(handed_over + 1);
        let answer = self.ask("calls", json!({})).await?;
        for call in answer["calls"].as_array()? {
            self.sim.count(Fault::CallsHandedOver);
            self.take_note(call, &mut journal);
        }
        Some(journal)
    }

    /// Makes the calls that a person has approved, before the model thinks again. Returns false if the work is not its own any
    /// more.
    async fn make_approved(&self, journal: &mut Journal) -> bool {
        for call in std::mem::take(&mut journal.refused) {
            // A model may want it all the same.
            if self.sim.chance().per_mille(200) {
                self.sim.count(Fault::RefusedCallAskedForAgain);
                let more = json!({ "n": call["n"], "tool": call["tool"], "arguments": call["arguments"] });
                let Some(answer) = self.ask("call", more).await else { return false };
                assert_ne!(answer["outcome"], "ask first", "{call} was decided");
            }
        }
        for call in std::mem::take(&mut journal.approved) {
            let mut arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
            if self.sim.chance().per_mille(100) {
                // An agent that words it anew is told that this very call was approved, and no other.
                arguments["edited"] = true.into();
                arguments["goal"] = (arguments["goal"].as_u64().unwrap() + 10).into();
                let edited = arguments.to_string();
                let more = json!({ "n": call["n"], "tool": call["tool"], "arguments": edited });
                let Some(answer) = self.ask("call", more).await else { return false };
                if answer["outcome"] == "another call" {
                    self.sim.count(Fault::EditedCallStandsUnapproved);
                }
            }
            let Some(told) = self.call_until_known(&call).await else { return false };
            let mut told = if told["outcome"] == "another call" { told["call"].clone() } else { told };
            told["tool"] = call["tool"].clone();
            told["arguments"] = call["arguments"].clone();
            if told["outcome"] == "called" {
                self.sim.count(Fault::ApprovedCallMade);
            }
            self.take_note(&told, journal);
        }
        true
    }

    /// Asks for a call until it is known what came of it. `None` if the question is not its own any more.
    async fn call_until_known(&self, call: &Value) -> Option<Value> {
        let more = json!({ "n": call["n"], "tool": call["tool"], "arguments": call["arguments"] });
        let mut waited = Duration::ZERO;
        loop {
            let answer = self.ask("call", more.clone()).await?;
            if answer["outcome"] != "under way" {
                return Some(answer);
            }
            self.sim.count(Fault::CallUnderWay);
            if waited >= CALL_PATIENCE {
                return Some(json!({ "outcome": "unknown" }));
            }
            waited += UNDER_WAY_PAUSE;
            sleep(UNDER_WAY_PAUSE).await;
        }
    }

    /// Has a person asked about a call. What the answer is if nobody is; `None` if the turn is over.
    async fn suspend(&self, number: u64, used: u64) -> Option<Value> {
        self.sim.count(Fault::CallAskedFirst);
        // As soon as the message stands the next turn may begin, while this one still waits to hear of it.
        self.sim.ledger().is_disturbed(&self.record);
        let pause = self.sim.millis(0..=3_000);
        sleep(pause).await;
        let mut more = usage::report(Some(used));
        more["n"] = number.into();
        more["invocation"] = self.invocation.clone();
        let answer = self.ask("suspend", more).await?;
        match answer["outcome"].as_str().unwrap() {
            "suspended" => {
                self.sim.count(Fault::QuestionSuspended);
                None
            }
            "taken over" => {
                self.sim.count(Fault::SuspensionTakenOver);
                None
            }
            "not asked" => {
                self.sim.count(Fault::PersonNotAsked);
                Some(json!({ "outcome": "not called", "why": answer["why"] }))
            }
            _ => None,
        }
    }

    /// Makes one call. Returns false if the work is not its own any more.
    async fn reach(&self, goal: u64, is_from_the_beginning: bool, used: u64, journal: &mut Journal) -> bool {
        let number = journal.next;
        self.calls(number);
        // Two attempts seldom word a call alike.
        let wording = if is_from_the_beginning { 0 } else { self.sim.chance().number(0..=3) };
        let mut arguments = json!({ "question": self.record, "goal": goal, "n": number, "wording": wording });
        let asks = self.sim.settings.approvals.is_some() && goal % 2 == 1;
        if asks && !is_from_the_beginning && self.sim.chance().per_mille(20) {
            arguments["long"] = "x".repeat(4_000).into();
        }
        let tool = if asks { approvals::TOOL } else { TOOL };
        let call = json!({ "n": number, "tool": tool, "arguments": arguments.to_string() });
        if self.leaves_the_others() {
            // agent-settle gives the question back, to be answered alone.
            self.call_until_known(&call).await;
            return false;
        }
        let Some(mut told) = self.call_until_known(&call).await else { return false };
        if told["outcome"] == "ask first" {
            let Some(answer) = self.suspend(number, used).await else { return false };
            told = answer;
        }
        if told["why"] == "too_long_to_show" {
            self.sim.count(Fault::CallTooLongToShow);
        }
        journal.next += 1;
        if told["outcome"] == "another call" {
            self.sim.count(Fault::AnotherCallStands);
            told = told["call"].take();
        } else {
            told["arguments"] = arguments.to_string().into();
            told["tool"] = tool.into();
            told["n"] = number.into();
        }
        self.take_note(&told, journal);
        // A call that a person has approved meanwhile is made as soon as the agent hears of it.
        self.make_approved(journal).await
    }

    fn take_note(&self, call: &Value, journal: &mut Journal) {
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        let goal = arguments["goal"].as_u64().unwrap();
        if call["outcome"] != "approved" {
            self.sim.ledger().is_told_of_approved(&self.record, call);
        }
        let is_reached = match call["outcome"].as_str().unwrap() {
            "approved" => {
                journal.approved.push(call.clone());
                true
            }
            "not called" if matches!(call["why"].as_str(), Some("refused" | "lapsed")) => {
                journal.refused.push(call.clone());
                // Some models ask again in other words.
                self.sim.chance().per_mille(700)
            }
            "not called" => {
                self.sim.count(Fault::ToolNotCalled);
                false
            }
            "unknown" | "under way" => {
                self.sim.count(Fault::CallUnknown);
                !self.sim.is_off(Rule::UnknownIsNotRepeated)
            }
            "ask first" => false,
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
fn takes_effect(sim: &Arc<Sim>, tool: &str, arguments: &RawValue, after: Duration) {
    let (sim, tool, arguments) = (Arc::clone(sim), tool.to_owned(), arguments.get().to_owned());
    tokio::spawn(async move {
        sleep(after).await;
        sim.ledger().takes_effect(sim.at(), &tool, &arguments);
    });
}

impl AgentTools for Node {
    async fn call(&self, _tenant: Option<&str>, tool: &str, arguments: &RawValue, _: Moment) -> ToolOutcome {
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
            takes_effect(sim, tool, arguments, way);
            sleep(way + back).await;
            return ToolOutcome::Answered(json!({ "content": [] }));
        }
        match kind {
            0 => {
                sim.count(Fault::ToolCallTakenAndItsAnswerLost);
                takes_effect(sim, tool, arguments, way);
                sleep(way + back).await;
                unknown()
            }
            1 => {
                sim.count(Fault::ToolCallTakesEffectLate);
                takes_effect(sim, tool, arguments, late);
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
