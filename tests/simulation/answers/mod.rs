//! The part behind the queue, in the same spirit: a deterministic simulation of SQS, of Lambda, of AgentCore with an agent, and of
//! Slack, around the real [`Dispatch`](slack_ingress::dispatch::Dispatch), the real
//! [`Settle`](slack_ingress::settle::Settle) and the real rules of the work record. The messages are those that the real
//! [`Ingress`](slack_ingress::ingress::Ingress) makes of Slack's requests.
//!
//! A history has up to two dozen questions and goes on until nothing is left on the queue, which may be a virtual day. Things go
//! wrong for up to an hour and a half of it; `faults.rs` names all that does, and a run counts how often each did.
//!
//! ```sh
//! cargo test --test simulation answers -- --nocapture               # QUESTIONS=… for more, FIRST_SEED=… for others
//! SEED=… cargo test --test simulation answers::replay -- --nocapture
//! ```
//!
//! `world.rs` runs a history: it plays Slack, which sends questions, stops and deletions, and Lambda, which polls the queue.
//! `queue.rs` plays SQS, `agent.rs` AgentCore and the agent, `settle.rs` Lambda for agent-settle, `slack.rs` what stands in Slack,
//! `tools.rs` an agent's model with tools and the API behind them, `streams.rs` messages that are being written,
//! `together.rs` the questions that stand in a thread and are answered together, `usage.rs` what may be used in a day, `approvals.rs` the people who are asked before a tool is called, `audit.rs` the audit trail.
//! `sim.rs` has the services as each process sees them, with what goes wrong on the way; `process.rs` pauses processes, and lets
//! them die. `settings.rs` draws what a history is like. `ledger.rs` records what really happened and checks the rules, and
//! `rules.rs` lists the rules of the protocol that can be switched off.

mod agent;
mod approvals;
mod audit;
mod faults;
mod ledger;
mod process;
mod queue;
mod rules;
mod settings;
mod settle;
mod sim;
mod slack;
mod streams;
mod together;
mod tools;
mod usage;
mod world;

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::setting;
use ledger::Totals;
use rules::Rule;
use world::World;

/// How many questions are asked, in all histories together, unless the variable QUESTIONS says otherwise.
const QUESTIONS: u64 = 40_000;

/// In how many histories a rule that is off must be noticed.
const HISTORIES_WITHOUT_A_RULE: u64 = 6_000;

/// How many histories of the same kind must go well with the rule, before the one in which it is missed.
const HISTORIES_WITH_A_RULE: u64 = 50;

/// In a run with fewer questions some of the rarest faults may not happen.
const QUESTIONS_FOR_ALL_FAULTS: u64 = 20_000;

/// Runs the histories of the seeds from `first` on, on every core, until there were at least so many questions. Returns the totals
/// and the seeds of the histories that broke a rule, with the first violation of each.
fn simulate(first: u64, questions: u64) -> (Totals, Vec<(u64, String)>) {
    let next = AtomicU64::new(first);
    let total = Mutex::new((Totals::default(), Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while total.lock().unwrap().0.questions < questions {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = World::run(seed);
                    let (totals, failed) = &mut *total.lock().unwrap();
                    totals.add(&history.totals);
                    failed.extend(history.violations.into_iter().next().map(|first| (seed, first)));
                }
            });
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn every_question_is_answered_once_or_somebody_is_told() {
    let questions = setting("QUESTIONS").unwrap_or(QUESTIONS);
    let (totals, mut failed) = simulate(setting("FIRST_SEED").unwrap_or(0), questions);
    println!("{totals}");
    failed.sort();
    if let Some((seed, _)) = failed.first() {
        println!("{}", World::narrate(*seed));
        for (seed, violation) in failed.iter().take(40) {
            println!("SEED={seed}: {violation}");
        }
        panic!("{} of the histories break a rule; SEED={seed} replays the one above", failed.len());
    }
    if questions >= QUESTIONS_FOR_ALL_FAULTS {
        assert_eq!(totals.faults.missing(), [], "these faults never happened");
    }
}

/// Prints the history of the seed in the variable SEED, line by line. Does nothing if SEED is not set. With the name of a rule in
/// RULE it is the history in which that rule matters, and with OFF=1 the rule is switched off.
#[test]
fn replay() {
    let Some(seed) = setting("SEED") else { return };
    let named = std::env::var("RULE").ok();
    let rule = Rule::ALL.into_iter().find(|rule| named.as_deref() == Some(format!("{rule:?}").as_str()));
    println!("{}", World::narrate_about(rule, setting("OFF") == Some(1), seed));
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..20 {
        assert_eq!(World::narrate(seed), World::narrate(seed));
    }
}

/// Shows that the simulation can fail: with any one rule of the protocol switched off, some history must break a rule of the
/// ledger that is meant to notice it.
#[test]
fn with_any_rule_of_the_protocol_switched_off_it_is_noticed() {
    let rules = Mutex::new(Rule::ALL.to_vec());
    let unnoticed = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while let Some(rule) = { rules.lock().unwrap().pop() } {
                    match first_violation(rule) {
                        Some((seed, violation)) => {
                            println!("{rule:?} is off: seed {seed}: {violation:.150}");
                            // It is the rule that was missing, and not what such a history is like.
                            let first = seed.saturating_sub(HISTORIES_WITH_A_RULE);
                            for seed in first..=seed {
                                let violations = World::run_about(rule, false, seed).violations;
                                assert_eq!(violations, [""; 0], "{rule:?} is on, seed {seed}");
                            }
                        }
                        None => unnoticed.lock().unwrap().push(rule),
                    }
                }
            });
        }
    });
    assert_eq!(unnoticed.into_inner().unwrap(), [], "these rules are off, and nobody notices");
}

/// The first seed in whose history it is noticed that a rule is off, and what is noticed.
fn first_violation(rule: Rule) -> Option<(u64, String)> {
    (0..HISTORIES_WITHOUT_A_RULE).find_map(|seed| {
        let violations = World::run_about(rule, true, seed).violations;
        let is_meant = |violation: &String| rule.broken().iter().any(|name| violation.starts_with(name));
        violations.into_iter().find(is_meant).map(|violation| (seed, violation))
    })
}
