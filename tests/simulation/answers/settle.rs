//! Plays Lambda for agent-settle: whoever asks waits for the answer of one invocation; what is told is run later, again if it
//! fails, and sometimes twice.

use serde_json::{Value, json};
use slack_ingress::settle::request::Request;
use slack_ingress::settle::{Settle, SettleSettings};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::approvals;
use super::audit;
use super::faults::Fault;
use super::process::{In, Process, Program};
use super::rules::Rule;
use super::sim::{Node, Sim};
use super::together;

/// The function's time-out.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long Lambda waits before it runs again what failed.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// How long agent-settle waits before Slack is asked.
pub(crate) fn post_wait(sim: &Sim) -> Duration {
    Duration::from_secs(if sim.is_off(Rule::WaitBeforeAsking) { 0 } else { 90 })
}

/// Invokes agent-settle and waits for its answer. `None` if there is none.
pub(crate) async fn ask(sim: &Arc<Sim>, request: Value) -> Option<Value> {
    let (there, back, is_lost) = {
        let mut chance = sim.chance();
        (chance.millis(2..=20), chance.millis(1..=10), chance.per_mille(500))
    };
    let is_wrong = sim.goes_wrong(sim.settings.settle);
    sleep(there).await;
    if is_wrong && !is_lost {
        sim.count(Fault::SettleNotInvoked);
        return None;
    }
    let (answer, answered) = oneshot::channel();
    let invoked = Arc::clone(sim);
    sim.spawn(async move {
        let _ = answer.send(run(&invoked, request).await);
    });
    let answer = answered.await.ok().flatten();
    sleep(back).await;
    if is_wrong {
        sim.count(Fault::SettlesAnswerLost);
        return None;
    }
    answer
}

/// Has Lambda run agent-settle. `None` if it is unknown whether it will.
pub(crate) async fn tell(sim: &Arc<Sim>, request: Value) -> Option<()> {
    let (there, back, soon, is_lost) = {
        let mut chance = sim.chance();
        (chance.millis(2..=20), chance.millis(1..=10), chance.millis(5..=80), chance.per_mille(500))
    };
    let is_wrong = sim.goes_wrong(sim.settings.settle);
    sleep(there).await;
    if is_wrong && !is_lost {
        sim.count(Fault::SettleNotInvoked);
        return None;
    }
    let is_late = sim.goes_wrong(sim.settings.settle);
    let after = if is_late {
        sim.count(Fault::SettleRunsLate);
        sim.millis(1_000..=300_000)
    } else {
        soon
    };
    let is_twice = sim.goes_wrong(sim.settings.twice);
    if is_twice {
        sim.count(Fault::SettleRunsTwice);
    }
    for _ in 0..=u32::from(is_twice) {
        let (told, request, apart) = (Arc::clone(sim), request.clone(), sim.millis(0..=30_000));
        let after = if is_twice { after + apart } else { after };
        sim.spawn(async move {
            sleep(after).await;
            for again in AGAIN_AFTER.into_iter().map(Some).chain([None]) {
                if run(&told, request.clone()).await.is_some() {
                    return;
                }
                if let Some(again) = again {
                    sleep(again).await;
                }
            }
        });
    }
    sleep(back).await;
    if is_wrong {
        sim.count(Fault::SettlesAnswerLost);
        return None;
    }
    Some(())
}

/// One invocation of the real [`Settle`]. `None` if it died or failed.
async fn run(sim: &Arc<Sim>, request: Value) -> Option<Value> {
    let process = Process::start(sim, Program::Settle, sim.name("settle"));
    let node = Node {
        operation: request["operation"].as_str().unwrap_or_default().into(),
        record: request["record"].as_str().unwrap_or_default().into(),
        ..Node::new(sim, Arc::clone(&process))
    };
    let (limits, asking) = (sim.settings.limits.clone(), approvals::configured(sim));
    let audit = audit::rules(sim);
    let together = sim.settings.together.then(|| together::who_may_ask(sim));
    let settings =
        SettleSettings { limits, approvals: asking, audit, together, ..SettleSettings::new(post_wait(sim)) };
    let [store, queue, slack, tools, tokens, clock] = std::array::from_fn(|_| node.clone());
    let settle = Settle::new(store, queue, slack, Some(tools), tokens, clock, settings);
    let invoked = async {
        match Request::read(&request) {
            Ok(request) => settle.run(&request).await.0.ok().map(|answer| answer.to_json()),
            Err(invalid) => Some(json!({ "outcome": "invalid", "why": invalid.0 })),
        }
    };
    let answer = match timeout(TIMEOUT, In::new(sim, &process, invoked)).await {
        Ok(answer) => answer.flatten(),
        Err(_) => {
            sim.count(Fault::SettleKilledAtItsDeadline);
            process.die();
            None
        }
    };
    match &*node.operation {
        "suspend" if process.is_dead() => sim.count(Fault::SettleDiesAtASuspension),
        "decide" if process.is_dead() => sim.count(Fault::SettleDiesAtADecision),
        _ => {}
    }
    if answer.as_ref().is_some_and(|answer| answer["outcome"] == "invalid") {
        sim.ledger().invalid(sim.at(), &request);
    }
    if let Some(answer) = answer.as_ref().filter(|_| &*node.operation == "decide") {
        approvals::count(sim, &request, answer);
        if answer["outcome"] == "no effect" && process.has_decided.load(Ordering::Relaxed) {
            sim.ledger().changed_without_effect(sim.at(), &request);
        }
    }
    sim.say(
        &process.name,
        request["record"].as_str().unwrap_or_default(),
        format_args!(
            "{} is {}",
            node.operation,
            answer.as_ref().map_or("unknown", |answer| { answer["outcome"].as_str().unwrap_or_default() })
        ),
    );
    answer
}
