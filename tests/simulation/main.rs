//! A deterministic simulation of Slack, of several execution environments, of a store and of a queue, around
//! the real [`Ingress`](slack_ingress::ingress::Ingress) and the real
//! [`Redrive`](slack_ingress::redrive::Redrive).
//!
//! Time is virtual and every random choice comes from one seed, so each seed stands for one history of about fifteen minutes.
//! In a history Slack delivers events with its time limit and its retry schedule, and commands once each; the redrive runs every
//! minute; most clocks are within a second of the right time, and some are up to 290 seconds off; any call to the store or the
//! queue may fail before or after its effect, hang, or be late; and a process may die or freeze at any point where it waits, and
//! its monotonic clock may stand still meanwhile.
//!
//! ```sh
//! cargo test --test simulation -- --nocapture                     # DELIVERIES=… for more, FIRST_SEED=… for others
//! SEED=… cargo test --test simulation replay -- --nocapture       # one history, line by line
//! ```
//!
//! `world.rs` runs a history, `slack.rs` plays Slack, `environment.rs` runs the ingress and the redrive, `services.rs` plays the
//! store and the queue and makes calls to them fail, `chance.rs` makes the random choices, `ledger.rs` records what really
//! happened and checks the invariants, and `rules.rs` lists the rules of the design that can be switched off. `outage.rs` is a
//! scene of its own: the queue is down while there are ten thousand events a second.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a simulation that cannot go on has failed"
)]

#[cfg(feature = "dispatch")]
mod answers;
mod chance;
mod environment;
mod ledger;
mod outage;
mod rules;
mod services;
mod slack;
mod world;

use ledger::Totals;
use rules::Rule;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::World;

/// How many deliveries are simulated, in all histories together, unless the variable DELIVERIES says otherwise.
const DELIVERIES: u64 = 1_000_000;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Runs the histories of the seeds from `first` on, on every core, until there were at least `deliveries` deliveries. Returns the
/// totals and the seeds of the histories that broke an invariant.
fn simulate(first: u64, deliveries: u64) -> (Totals, Vec<u64>) {
    let next = AtomicU64::new(first);
    let total = Mutex::new((Totals::default(), Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while total.lock().unwrap().0.deliveries < deliveries {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = World::run(seed, None);
                    let (totals, failed) = &mut *total.lock().unwrap();
                    totals.add(&history.totals);
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
    let (totals, failed) = simulate(setting("FIRST_SEED").unwrap_or(0), deliveries);
    println!("{totals}");
    if let Some(seed) = failed.iter().min() {
        println!("{}", World::narrate(*seed, None));
        panic!("{} of the histories break an invariant; SEED={seed} replays the one above", failed.len());
    }
    totals.expect_that_everything_happened();
}

/// Prints the history of the seed in the variable SEED, line by line. Does nothing if SEED is not set.
#[test]
fn replay() {
    let Some(seed) = setting("SEED") else { return };
    println!("{}", World::narrate(seed, None));
    assert_eq!(World::run(seed, None).violations, [""; 0]);
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..50 {
        assert_eq!(World::narrate(seed, None), World::narrate(seed, None));
    }
}

/// Shows that the simulation can fail: with any one rule of the design switched off, some history must break an invariant that is
/// meant to notice it.
#[test]
fn with_any_rule_switched_off_an_invariant_is_broken() {
    for rule in Rule::ALL {
        let broken_invariants = rule.broken_invariants();
        let found =
            (0..3000).map(|seed| (seed, World::run(seed, Some(rule)).violations)).find(|(_, violations)| {
                violations
                    .iter()
                    .any(|violation| broken_invariants.iter().any(|name| violation.starts_with(name)))
            });
        let (seed, violations) =
            found.unwrap_or_else(|| panic!("{rule:?} is off, and no invariant is broken"));
        println!("{rule:?} is off: seed {seed}: {}", violations[0]);
    }
}
