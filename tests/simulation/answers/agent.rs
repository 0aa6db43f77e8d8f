//! Plays AgentCore and the agent: sessions with processes that claim, beat, think and answer through the real agent-settle, in the
//! way of the Python package `slack_agent`.

use serde_json::{Value, json};
use slack_ingress::dispatch::agent::{Agent, InvokeError, Replied};
use slack_ingress::dispatch::agent_call::AgentCall;
use slack_ingress::work::token::Tokens;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::faults::Fault;
use super::process::{In, Process, Program};
use super::rules::Rule;
use super::settle;
use super::sim::{Node, Sim, instant};
use super::{together, usage};

const BEAT: Duration = Duration::from_secs(10);
/// How long the agent asks again whether a question is its own, and how long it brings an answer.
const CLAIM_PATIENCE: Duration = Duration::from_secs(25);
const ANSWER_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The limit on thinking.
const THINKING_LIMIT: Duration = Duration::from_secs(900);
/// How long a token that has gone may be about to be replaced.
const NEW_TOKEN: Duration = Duration::from_secs(2);
/// How long after SIGTERM questions are given back, and when AgentCore ends the process.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(10);
const SIGKILL_AFTER: Duration = Duration::from_secs(15);
/// When AgentCore ends an idle session, and when any.
const IDLE: Duration = Duration::from_secs(15 * 60);
const LONGEST_SESSION: Duration = Duration::from_secs(8 * 60 * 60);

/// The sessions, each with its last process.
#[derive(Default)]
pub(crate) struct Sessions(BTreeMap<String, Arc<Machine>>);

/// A microVM with a process of the agent.
struct Machine {
    process: Arc<Process>,
    has_old_code: bool,
    works: Mutex<Works>,
}

#[derive(Default)]
struct Works {
    at_work: BTreeMap<String, Arc<Mutex<Work>>>,
    /// The records whose turn is to come, in order.
    line: VecDeque<u64>,
    next: u64,
    claims_under_way: BTreeMap<String, u32>,
    used_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Thinking,
    Ending,
    Over,
}

/// The work on one question.
struct Work {
    turn: u64,
    token: String,
    /// How many calls of tools earlier attempts have made, or may have.
    tool_calls: u64,
    /// The last call that it knows of: of an earlier attempt's, or its own.
    last_call: u64,
    /// The ids of the other questions that its answer answers, too.
    others: Vec<String>,
    phase: Phase,
    is_cancelled: bool,
}

/// What thinking comes to.
enum Thought {
    Text(String),
    ByItsOwnTools,
    Refusal(&'static str),
}

impl Agent for Node {
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        let sim = &self.sim;
        let (kind, way, back, late, cold) = {
            let mut chance = sim.chance();
            (
                chance.number(0..=7),
                chance.millis(10..=100),
                chance.millis(5..=50),
                // Some arrive as the message becomes visible again.
                chance.choose(&[45_000..=200_000, 80_000..=92_000]),
                chance.millis(800..=4_000),
            )
        };
        let not_now = |what: &str, is_conflict| {
            Err(InvokeError::NotNow { what: what.to_owned(), is_conflict, source: None })
        };
        let is_wrong = sim.goes_wrong(sim.settings.agent_core);
        sleep(way).await;
        let is_after_it_gave_up = is_wrong && kind == 3;
        if is_wrong {
            match kind {
                0 | 1 => {
                    sim.count(Fault::AgentCoreThrottles);
                    return not_now("ThrottlingException", false);
                }
                2 => {
                    sim.count(Fault::AgentCoreInConflict);
                    return not_now("RetryableConflictException", true);
                }
                3 => sim.count(Fault::InvocationAfterTheDispatcherGaveUp),
                _ => {}
            }
        }
        let (machine, is_new) = machine(sim, &call.session_id);
        let starts_in = if is_new { cold } else { Duration::ZERO };
        let late = sim.millis(late);
        let starts_in = starts_in + if is_after_it_gave_up { late } else { Duration::ZERO };
        let payload: Value = serde_json::from_slice(&call.payload).unwrap();
        let answer = deliver(sim, &machine, payload.clone(), starts_in);
        if sim.goes_wrong(sim.settings.twice) {
            sim.count(Fault::OneInvocationInTwoProcesses);
            let apart = sim.millis(0..=20_000);
            let second = new_machine(sim);
            drop(deliver(sim, &second, payload, starts_in + apart));
        }
        let answer = answer.await;
        sleep(back).await;
        if is_wrong && (4..=5).contains(&kind) {
            sim.count(Fault::AgentsAnswerLost);
            return Err(InvokeError::Failed { what: "no answer".to_owned(), source: None });
        }
        match answer {
            Ok(Ok(status)) => {
                Ok(Replied { body: json!({ "status": status }).to_string().into_bytes(), is_sse: false })
            }
            // What the container answers that is no 200, or the end of the connection.
            Ok(Err(what)) => Err(InvokeError::Failed { what: what.to_owned(), source: None }),
            Err(_) => Err(InvokeError::Failed { what: "the connection ended".to_owned(), source: None }),
        }
    }
}

fn new_machine(sim: &Arc<Sim>) -> Arc<Machine> {
    Arc::new(Machine {
        process: Process::start(sim, Program::Agent, sim.name("agent")),
        has_old_code: sim.at() < sim.settings.old_code_until,
        works: Mutex::default(),
    })
}

/// The process of a session, and whether it is new.
fn machine(sim: &Arc<Sim>, session_id: &str) -> (Arc<Machine>, bool) {
    let mut sessions = sim.sessions.lock().unwrap();
    let at = sim.at();
    if let Some(machine) = sessions.0.get(session_id)
        && !machine.process.is_dead()
        && at < machine.process.began + LONGEST_SESSION
    {
        let mut works = machine.works.lock().unwrap();
        if !works.at_work.is_empty() || at < works.used_at + IDLE {
            works.used_at = at;
            return (Arc::clone(machine), false);
        }
    }
    let machine = new_machine(sim);
    machine.works.lock().unwrap().used_at = at;
    sessions.0.insert(session_id.to_owned(), Arc::clone(&machine));
    (machine, true)
}

type Reply = Result<&'static str, &'static str>;

/// Brings an invocation to a process after a while.
fn deliver(
    sim: &Arc<Sim>,
    machine: &Arc<Machine>,
    payload: Value,
    after: Duration,
) -> oneshot::Receiver<Reply> {
    let (answer, answered) = oneshot::channel();
    let (worked, machine) = (Arc::clone(sim), Arc::clone(machine));
    sim.spawn(async move {
        sleep(after).await;
        let process = Arc::clone(&machine.process);
        let handled = invoked(&worked, &machine, &payload);
        if let Some(reply) = In::new(&worked, &process, handled).await {
            let _ = answer.send(reply);
        }
    });
    answered
}

/// The entry point of the agent.
async fn invoked(sim: &Arc<Sim>, machine: &Arc<Machine>, payload: &Value) -> Reply {
    if machine.has_old_code {
        sim.count(Fault::OldAgentCodeRefuses);
        return Err("HTTP 400");
    }
    if machine.process.is_stopping() {
        sim.count(Fault::AgentSaysLater);
        return Ok("later");
    }
    let text = |name: &str| payload["work"][name].as_str().unwrap().to_owned();
    let (record, token) = (text("record"), text("token"));
    if payload["question"].is_null() {
        return Ok("ignored");
    }
    if sim.goes_wrong(sim.settings.agent_core) && sim.chance().per_mille(30) {
        sim.count(Fault::AgentIgnores);
        sim.ledger().may_be_ignored(payload["question"]["id"].as_str().unwrap());
        return Ok("ignored");
    }
    if sim.goes_wrong(sim.settings.agent_core) && sim.chance().per_mille(200) {
        sim.count(Fault::AgentSaysLater);
        return Ok("later");
    }
    let is_another = |other: &String| *other != record;
    let is_busy = || {
        let works = machine.works.lock().unwrap();
        works.at_work.keys().any(is_another) || works.claims_under_way.keys().any(is_another)
    };
    if sim.settings.together && is_busy() {
        sim.count(Fault::AgentIsBusy);
        return Ok("later");
    }
    // Claims of one record come one after another, so that only the first of them starts a work.
    while machine.works.lock().unwrap().claims_under_way.contains_key(&record) {
        sleep(Duration::from_millis(50)).await;
    }
    machine.works.lock().unwrap().claims_under_way.insert(record.clone(), 1);
    let reply = claim(sim, machine, &record, &token, payload).await;
    machine.works.lock().unwrap().claims_under_way.remove(&record);
    machine.process.changed.notify_waiters();
    reply
}

async fn claim(
    sim: &Arc<Sim>,
    machine: &Arc<Machine>,
    record: &str,
    token: &str,
    invocation: &Value,
) -> Reply {
    let node = Node::new(sim, Arc::clone(&machine.process));
    let new = node.next().as_str().to_owned();
    let request = request("claim", record, token, json!({ "new": new }));
    let new = if sim.is_off(Rule::ClaimsHaveTheirOwnToken) { token.to_owned() } else { new };
    let Some(claimed) = ask_again(sim, &request, CLAIM_PATIENCE).await else { return Err("HTTP 503") };
    if claimed["outcome"] != "claimed" {
        return Ok("duplicate");
    }
    let tool_calls = claimed["tool_calls"].as_u64().unwrap();
    {
        let mut works = machine.works.lock().unwrap();
        if let Some(work) = works.at_work.get(record) {
            let mut work = work.lock().unwrap();
            let is_interrupted =
                work.is_cancelled || machine.process.is_stopping() && work.phase != Phase::Ending;
            // Another process may have made calls meanwhile that this work knows nothing of.
            let knows_all = tool_calls <= work.last_call;
            // What it says for several questions was not taken: the question was given back, to be thought about alone.
            let is_apart = work.phase == Phase::Ending && !work.others.is_empty();
            let knows_all = knows_all && !is_apart;
            if work.phase != Phase::Over && !is_interrupted && knows_all {
                work.token = new;
                machine.process.changed.notify_waiters();
                return Ok("working");
            }
            if !knows_all {
                work.is_cancelled = true;
                machine.process.changed.notify_waiters();
            }
        }
        if !machine.process.is_stopping() {
            let turn = works.next;
            works.next += 1;
            works.line.push_back(turn);
            let (phase, others) = (Phase::Waiting, Vec::new());
            let work = Work {
                turn,
                token: new,
                tool_calls,
                last_call: tool_calls,
                others,
                phase,
                is_cancelled: false,
            };
            let work = Arc::new(Mutex::new(work));
            works.at_work.insert(record.to_owned(), Arc::clone(&work));
            drop(works);
            begin(sim, machine, record, invocation, &work);
            return Ok("working");
        }
    }
    let release = self::request("release", record, &new, usage::report(Some(0)));
    ask_again(sim, &release, GIVE_BACK_PATIENCE / 2).await;
    Ok("duplicate")
}

fn begin(sim: &Arc<Sim>, machine: &Arc<Machine>, record: &str, invocation: &Value, work: &Arc<Mutex<Work>>) {
    let at = sim.at();
    sim.ledger().works(at, record, &machine.process, &sim.settings);
    let one = One {
        sim: Arc::clone(sim),
        machine: Arc::clone(machine),
        record: record.to_owned(),
        invocation: invocation.clone(),
        work: Arc::clone(work),
    };
    let beating = one.clone();
    let process = Arc::clone(&machine.process);
    let beats = In::new(sim, &process, async move { beating.beat().await });
    let runs = In::new(sim, &process, async move { one.run().await });
    sim.spawn(async move {
        beats.await;
    });
    sim.spawn(async move {
        runs.await;
    });
}

/// The work on one question, from the claim to its end.
#[derive(Clone)]
pub(crate) struct One {
    pub(crate) sim: Arc<Sim>,
    machine: Arc<Machine>,
    pub(crate) record: String,
    /// What the process was invoked with.
    pub(crate) invocation: Value,
    work: Arc<Mutex<Work>>,
}

impl One {
    pub(crate) fn is_interrupted(&self) -> bool {
        let work = self.work.lock().unwrap();
        work.is_cancelled || self.machine.process.is_stopping() && work.phase != Phase::Ending
    }

    /// Ends the work without an answer, as a beat may say.
    pub(crate) fn cancel(&self) {
        self.work.lock().unwrap().is_cancelled = true;
        self.machine.process.changed.notify_waiters();
    }

    fn phase(&self) -> Phase {
        self.work.lock().unwrap().phase
    }

    /// Enters the next phase, unless the work is interrupted.
    fn enter(&self, phase: Phase) -> bool {
        if self.is_interrupted() {
            return false;
        }
        self.work.lock().unwrap().phase = phase;
        true
    }

    /// It is about to ask for the call with this number.
    pub(crate) fn calls(&self, number: u64) {
        let mut work = self.work.lock().unwrap();
        work.last_call = work.last_call.max(number);
    }

    /// Ends the work if other questions were to be answered with this one: no new token is taken for it.
    pub(crate) fn leaves_the_others(&self) -> bool {
        let has_others = !self.given().is_empty();
        if has_others {
            // As soon as it is given back the next attempt may begin, while this one still waits to hear of it.
            self.sim.ledger().is_disturbed(&self.record);
            self.cancel();
        }
        has_others
    }

    /// How many calls of tools earlier attempts have made, or may have.
    pub(crate) fn handed_over(&self) -> u64 {
        self.work.lock().unwrap().tool_calls
    }

    /// The other questions that its answer answers, too.
    fn given(&self) -> Vec<String> {
        self.work.lock().unwrap().others.clone()
    }

    pub(crate) fn token(&self) -> String {
        self.work.lock().unwrap().token.clone()
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let changed = self.machine.process.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }

    async fn beat(&self) {
        loop {
            sleep(BEAT).await;
            if self.phase() == Phase::Over || self.work.lock().unwrap().is_cancelled {
                return;
            }
            let token = self.token();
            let Some(answer) = settle::ask(&self.sim, request("beat", &self.record, &token, json!({}))).await
            else {
                self.sim.ledger().is_disturbed(&self.record);
                continue;
            };
            if answer["outcome"] == "cancel" {
                if answer["why"] == "gone" && self.is_replaced(&token).await {
                    continue;
                }
                let mut work = self.work.lock().unwrap();
                if matches!(work.phase, Phase::Waiting | Phase::Thinking) {
                    work.is_cancelled = true;
                    self.machine.process.changed.notify_waiters();
                    return;
                }
            }
        }
    }

    /// Whether there is another token than this one, which has gone, or will be within a moment.
    pub(crate) async fn is_replaced(&self, token: &str) -> bool {
        let is_over = || self.token() != token || self.is_interrupted() || self.phase() == Phase::Over;
        let _ = timeout(NEW_TOKEN, self.until(is_over)).await;
        let is_claimed =
            || is_over() || !self.machine.works.lock().unwrap().claims_under_way.contains_key(&self.record);
        self.until(is_claimed).await;
        self.token() != token
    }

    async fn run(&self) {
        let turn = self.work.lock().unwrap().turn;
        self.until(|| {
            self.machine.works.lock().unwrap().line.front() == Some(&turn) || self.is_interrupted()
        })
        .await;
        let has_begun = self.enter(Phase::Thinking);
        let thought = if has_begun { self.think().await } else { None };
        match thought {
            Some((thought, used)) if self.enter(Phase::Ending) => self.end(thought, used).await,
            thought => {
                // What a thought has used that was interrupted nobody knows.
                let used = if has_begun { thought.map(|(_, used)| used) } else { Some(0) };
                let is_cancelled = self.work.lock().unwrap().is_cancelled;
                if self.machine.process.is_stopping() && !is_cancelled || is_cancelled && used.is_some() {
                    self.work.lock().unwrap().phase = Phase::Over;
                    let release = request("release", &self.record, &self.token(), usage::report(used));
                    ask_again(&self.sim, &release, GIVE_BACK_PATIENCE).await;
                }
            }
        }
        self.work.lock().unwrap().phase = Phase::Over;
        let mut works = self.machine.works.lock().unwrap();
        works.line.retain(|other| *other != turn);
        if works.at_work.get(&self.record).is_some_and(|work| Arc::ptr_eq(work, &self.work)) {
            works.at_work.remove(&self.record);
        }
        works.used_at = self.sim.at();
        drop(works);
        self.sim.ledger().works_no_more(&self.record, &self.machine.process);
        self.machine.process.changed.notify_waiters();
    }

    /// Thinks. Returns what comes of it, and the tokens that it has used; `None` if it is interrupted.
    async fn think(&self) -> Option<(Thought, u64)> {
        let others = self.others().await;
        self.work.lock().unwrap().others.clone_from(&others);
        let used = usage::uses(&self.sim);
        self.sim.ledger().uses(&self.record, used);
        if !self.use_tools(used).await {
            return None;
        }
        let (takes, thought) = self.draw(&others);
        let is_shown = self.sim.chance().per_mille(self.sim.settings.streams);
        let shown = async {
            if is_shown {
                self.show().await;
            }
            std::future::pending::<()>().await;
        };
        let interrupted = async {
            tokio::select! {
                // Otherwise it would be chance which of them is looked at first, and a seed would be several histories.
                biased;
                () = self.until(|| self.is_interrupted()) => {}
                () = shown => {}
            }
        };
        let took = timeout(takes.min(THINKING_LIMIT), interrupted).await;
        if took.is_ok() {
            return None;
        }
        if takes > THINKING_LIMIT {
            self.sim.count(Fault::AgentThinksTooLong);
            return Some((Thought::Refusal("took_too_long"), used));
        }
        Some((thought, used))
    }

    fn draw(&self, others: &[String]) -> (Duration, Thought) {
        let sim = &self.sim;
        let (takes, kind) = {
            let mut chance = sim.chance();
            let is_long = chance.per_mille(sim.settings.long_thoughts);
            let range = if is_long { 60_000..=1_100_000 } else { 200..=40_000 };
            (chance.millis(range), chance.number(0..=99))
        };
        let mut text = together::text(&self.record, &self.token(), others);
        let thought = match kind {
            0 => {
                sim.count(Fault::AgentFails);
                Thought::Refusal("thinking_failed")
            }
            1 => Thought::Refusal("no_answer"),
            2 => {
                sim.count(Fault::AgentAnswersByItsOwnTools);
                Thought::ByItsOwnTools
            }
            3..=7 => {
                let line = format!("\n\n{}", "x".repeat(2_500));
                (0..=kind - 3).for_each(|_| text.push_str(&line));
                Thought::Text(text)
            }
            _ => Thought::Text(text),
        };
        (takes, thought)
    }

    async fn end(&self, thought: Thought, used: u64) {
        if !self.given().is_empty() {
            // It may be given back, and the next attempt begin, while this one still waits to hear of it.
            self.sim.ledger().is_disturbed(&self.record);
        }
        loop {
            let token = self.token();
            let (operation, mut more) = match &thought {
                Thought::Text(text) => ("answer", json!({ "text": text, "together": self.given() })),
                Thought::ByItsOwnTools => ("answer", json!({ "text": null, "together": self.given() })),
                Thought::Refusal(why) => ("refuse", json!({ "why": why })),
            };
            let report = usage::report(Some(used));
            more.as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
            let request = request(operation, &self.record, &token, more);
            let Some(answer) = ask_again(&self.sim, &request, ANSWER_PATIENCE).await else { return };
            if answer["outcome"] != "gone" {
                return;
            }
            if !self.given().is_empty() && self.token() == token {
                // Perhaps it was given back, because one of the others is somebody else's by now: the same answer would be, too.
                self.work.lock().unwrap().phase = Phase::Over;
                return;
            }
            if !self.is_replaced(&token).await {
                return;
            }
        }
    }
}

pub(crate) fn request(operation: &str, record: &str, token: &str, more: Value) -> Value {
    let mut request = json!({ "version": 1, "operation": operation, "record": record, "token": token });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// Asks agent-settle until the outcome is known. `None` if no other call could begin within the patience.
pub(crate) async fn ask_again(sim: &Arc<Sim>, request: &Value, patience: Duration) -> Option<Value> {
    let deadline: Instant = instant() + patience;
    let mut pause = Duration::from_millis(500);
    loop {
        if let Some(answer) = settle::ask(sim, request.clone()).await {
            return Some(answer);
        }
        if instant() + pause > deadline {
            return None;
        }
        sleep_until(instant() + pause).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

/// Ends the process some time after SIGTERM, as AgentCore does.
pub(crate) fn end_after_sigterm(process: &Arc<Process>) {
    let process = Arc::clone(process);
    tokio::spawn(async move {
        sleep(SIGKILL_AFTER).await;
        process.die();
        process.changed.notify_waiters();
    });
}

impl Sessions {
    /// Whether some process works on a question.
    pub(crate) fn are_at_work(&self) -> bool {
        self.0
            .values()
            .any(|machine| !machine.process.is_dead() && !machine.works.lock().unwrap().at_work.is_empty())
    }
}
