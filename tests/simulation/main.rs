//! A deterministic simulation of Slack, of several execution environments, of a store and of a queue, around
//! the real [`Ingress`](slack_ingress::ingress::Ingress) and the real
//! [`Redrive`](slack_ingress::redrive::Redrive).
//!
//! Time is virtual, everything that happens by chance comes from one seed, and so a seed is a whole history of
//! about fifteen minutes: Slack's deliveries with its 3 seconds and its retry schedule, commands that come
//! once, the redrive of every minute; clocks that disagree by up to 2 seconds; faults at every call to store
//! and queue, before the effect and after it, late and never; processes that die or stand still at any point
//! where they wait.
//!
//! ```sh
//! cargo test --test simulation -- --nocapture                     # DELIVERIES=… for more, FIRST_SEED=… for others
//! SEED=… cargo test --test simulation replay -- --nocapture       # one history, told
//! ```
//!
//! `slack.rs` plays Slack, `environment.rs` is where the code runs, `services.rs` what it calls and how that goes
//! wrong, `ledger.rs` what is known of the truth and the rules it is held to, `rules.rs` the rules switched off.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a simulation that cannot go on has failed"
)]

mod chance;
mod environment;
mod ledger;
mod rules;
mod services;
mod slack;
mod world;

use ledger::Tally;
use rules::Rule;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::World;

/// In all, of the suite's run.
const DELIVERIES: u64 = 1_000_000;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Runs the histories of the seeds from this one on until there were so many deliveries; on every core.
fn simulate(first: u64, deliveries: u64) -> (Tally, Vec<u64>) {
    let next = AtomicU64::new(first);
    let total = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while total.lock().unwrap().0.deliveries < deliveries {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = World::run(seed, None);
                    let (tally, failed) = &mut *total.lock().unwrap();
                    tally.add(&history.tally);
                    if !history.violations.is_empty() {
                        failed.push(seed);
                    }
                }
            });
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_doubled_that_need_not_be() {
    let deliveries = setting("DELIVERIES").unwrap_or(DELIVERIES);
    let (tally, failed) = simulate(setting("FIRST_SEED").unwrap_or(0), deliveries);
    println!("{tally}");
    if let Some(seed) = failed.iter().min() {
        println!("{}", World::tell(*seed, None));
        panic!("{} of the histories break a rule; SEED={seed} replays the one above", failed.len());
    }
    tally.expect_that_everything_happened();
}

/// With this one seed: what happened, told.
#[test]
fn replay() {
    let Some(seed) = setting("SEED") else { return };
    println!("{}", World::tell(seed, None));
    assert_eq!(World::run(seed, None).violations, [""; 0]);
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..50 {
        assert_eq!(World::tell(seed, None), World::tell(seed, None));
    }
}

/// The simulation is worth what it can find: with any one rule switched off, it must fail, and by the rule of
/// the ledger that is meant to see it.
#[test]
fn with_a_rule_switched_off_it_fails() {
    for rule in Rule::ALL {
        let seen_by = rule.seen_by();
        let found =
            (0..3000).map(|seed| (seed, World::run(seed, Some(rule)).violations)).find(|(_, violations)| {
                violations.iter().any(|violation| seen_by.iter().any(|name| violation.starts_with(name)))
            });
        let (seed, violations) = found.unwrap_or_else(|| panic!("{rule:?} is off, and nobody notices"));
        println!("{rule:?} is off: seed {seed}: {}", violations[0]);
    }
}
