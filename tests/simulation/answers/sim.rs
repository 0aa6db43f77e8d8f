//! What all processes of a history share, and [`Node`]: the services as one process sees them, with what goes wrong on the way.

use serde_json::{Value, json};
use slack_ingress::dedup::StoreError;
use slack_ingress::dispatch::settler::{Settler, SettlerError};
use slack_ingress::gateway::prompts::Prompts;
use slack_ingress::gateway::{
    Conversation, FileOutcome, FindOutcome, MembersOutcome, Pane, PersonOutcome, Post, PostOutcome,
    ReadOutcome, Retry, Search, SessionStatus, SlackTools, StatusOutcome, StatusPlace,
};
use slack_ingress::sink::message::Message;
use slack_ingress::sink::{SendError, Sink};
use slack_ingress::slack::asker::{AskerKind, Person};
use slack_ingress::slack::question::{File, SlackTs};
use slack_ingress::time::clock::{Clock, Moment, UnixMillis};
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::work::askers::{AskerKey, AskerStore};
use slack_ingress::work::journal::{Entry, ProposedCall, ToolEnd};
use slack_ingress::work::lapse::Lapse;
use slack_ingress::work::memory::MemoryWork;
use slack_ingress::work::queue::{Queue, QueueError};
use slack_ingress::work::record::{Flight, Posting, Record, Sight, State};
use slack_ingress::work::stream::Stream;
use slack_ingress::work::token::{Token, Tokens};
use slack_ingress::work::{RecordKey, Seen, Stopped, WorkStore, Write, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::agent::Sessions;
use super::approvals::{self, Shown};
use super::faults::Fault;
use super::ledger::Ledger;
use super::process::{Process, Program};
use super::queue::{Changed, Content, SimulatedQueue};
use super::rules::Rule;
use super::settings::{Settings, SlackSearch};
use super::settle;
use super::slack::Posts;
use super::streams::Streams;
use super::together::Said;
use crate::chance::Chance;

/// When every history begins, by a clock that is right, in milliseconds since the epoch.
const BEGINNING: u64 = 1_800_000_000_000;

/// Who asks.
pub(crate) const MEMBER: &str = "U1";
pub(crate) const GUEST: &str = "U2";

/// How long a client waits for a service that does not answer.
const CLIENT_TIMEOUT: Duration = Duration::from_millis(2500);

/// How long agent-settle waits for a tool, and the Gateway for Slack.
pub(crate) const TOOL_TIMEOUT: Duration = Duration::from_secs(14);
pub(crate) const GATEWAY_TIMEOUT_MILLIS: u64 = 60_000;

#[allow(clippy::disallowed_methods, reason = "Tokio's clock, which is virtual here")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// What all processes of a history share.
pub(crate) struct Sim {
    pub(crate) settings: Settings,
    began: Instant,
    rule_off: Option<Rule>,
    is_narrated: bool,
    chance: Mutex<Chance>,
    ledger: Mutex<Ledger>,
    pub(crate) queue: Mutex<SimulatedQueue>,
    /// Notified when something on the queue has changed.
    pub(crate) queue_changed: Notify,
    pub(crate) store: MemoryWork,
    pub(crate) posts: Mutex<Posts>,
    pub(crate) streams: Mutex<Streams>,
    pub(crate) sessions: Mutex<Sessions>,
    /// What people have said in the threads.
    pub(crate) said: Mutex<Said>,
    /// The schedules that are to send a message, by their names.
    pub(crate) schedules: Mutex<BTreeSet<String>>,
    /// How many schedules and people are still to come.
    pub(crate) pending: AtomicU64,
    /// The messages with buttons that nobody has seen yet, and what is notified of them.
    pub(crate) shown: Mutex<Vec<Shown>>,
    pub(crate) is_shown: Notify,
    tokens: AtomicU64,
    processes: AtomicU64,
    pub(crate) is_over: AtomicBool,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sim")
    }
}

impl Sim {
    /// Begins the history of a seed. If a rule is named, the history is one in which it matters; it is off if `is_off` says so.
    pub(crate) fn new(seed: u64, rule: Option<Rule>, is_off: bool, narration: bool) -> Arc<Self> {
        let mut chance = Chance::of(seed);
        let mut settings = Settings::draw(&mut chance);
        if let Some(rule) = rule {
            rule.make_it_matter(&mut settings);
        }
        let mut ledger = Ledger::new(narration);
        ledger.say(Duration::ZERO, "settings", "", format_args!("{settings:?}"));
        Arc::new(Self {
            settings,
            began: instant(),
            rule_off: rule.filter(|_| is_off),
            is_narrated: narration,
            chance: Mutex::new(chance),
            ledger: Mutex::new(ledger),
            queue: Mutex::default(),
            queue_changed: Notify::new(),
            store: MemoryWork::default(),
            posts: Mutex::default(),
            streams: Mutex::default(),
            sessions: Mutex::default(),
            said: Mutex::default(),
            schedules: Mutex::default(),
            pending: AtomicU64::new(0),
            shown: Mutex::default(),
            is_shown: Notify::new(),
            tokens: AtomicU64::new(1),
            processes: AtomicU64::new(1),
            is_over: AtomicBool::new(false),
        })
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// The time since the beginning of the history.
    pub(crate) fn at(&self) -> Duration {
        instant() - self.began
    }

    /// The time by a clock that is right.
    pub(crate) fn true_time(&self) -> UnixMillis {
        UnixMillis::from_millis(BEGINNING).after(self.at())
    }

    /// Lets something go on by itself. A panic in it breaks the history.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let sim = Arc::clone(self);
        tokio::spawn(async move {
            let caught = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
            if caught.is_err() {
                let at = sim.at();
                sim.ledger().panicked(at);
            }
        });
    }

    /// Whether things go wrong at this time of the history.
    pub(crate) fn has_faults(&self) -> bool {
        self.at() < self.settings.faults_until
    }

    /// Whether something goes wrong that does so this often of a thousand times.
    pub(crate) fn goes_wrong(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.has_faults() && self.chance().per_mille(per_mille)
    }

    pub(crate) fn is_off(&self, rule: Rule) -> bool {
        self.rule_off == Some(rule)
    }

    pub(crate) fn count(&self, fault: Fault) {
        self.ledger().faults.add_one(fault);
    }

    pub(crate) fn say(&self, who: &str, what: &str, how: Arguments<'_>) {
        if self.is_narrated {
            self.ledger().say(self.at(), who, what, how);
        }
    }

    /// The name of a new process.
    pub(crate) fn name(&self, program: &str) -> String {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        if self.is_narrated { format!("{program} {number}") } else { String::new() }
    }

    pub(crate) fn millis(&self, range: std::ops::RangeInclusive<u64>) -> Duration {
        self.chance().millis(range)
    }

    fn changed(&self) {
        self.queue_changed.notify_waiters();
    }

    /// Puts on the queue what somebody sends, unless a FIFO queue has had it.
    pub(crate) fn send(&self, content: Arc<Content>) {
        self.ledger().is_sent(&content);
        self.queue.lock().unwrap().send(content, self.at(), self.settings.fifo);
        self.changed();
    }

    /// Puts a dead letter back on the queue.
    pub(crate) fn send_back(&self, content: Arc<Content>) {
        self.queue.lock().unwrap().put(content, self.at());
        self.changed();
    }

    pub(crate) fn put_off(&self, handle: &str, delay: Duration) -> Changed {
        let mut faults = Vec::new();
        let changed = {
            let mut chance = self.chance();
            let mut queue = self.queue.lock().unwrap();
            queue.put_off(handle, delay, self.at(), self.settings.fifo, &mut chance, &mut faults)
        };
        faults.into_iter().for_each(|fault| self.count(fault));
        self.changed();
        changed
    }

    pub(crate) fn delete(&self, handle: &str) -> Changed {
        let mut faults = Vec::new();
        let changed = {
            let mut chance = self.chance();
            let mut queue = self.queue.lock().unwrap();
            queue.delete(handle, self.at(), self.settings.fifo, &mut chance, &mut faults)
        };
        faults.into_iter().for_each(|fault| self.count(fault));
        self.changed();
        changed
    }
}

/// The services as one process sees them, and its clock.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) sim: Arc<Sim>,
    pub(crate) process: Arc<Process>,
    /// The operation of agent-settle that the process runs; empty in other processes.
    pub(crate) operation: Arc<str>,
    /// The record that it is about; empty in other processes.
    pub(crate) record: Arc<str>,
    /// Which message the dispatcher has of which question.
    pub(crate) messages: Arc<BTreeMap<String, String>>,
}

/// What goes wrong with a call of the store or the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Before,
    After,
    HangsBefore,
    HangsAfter,
    Late,
}

impl Node {
    pub(crate) fn new(sim: &Arc<Sim>, process: Arc<Process>) -> Self {
        Self {
            sim: Arc::clone(sim),
            process,
            operation: "".into(),
            record: "".into(),
            messages: Arc::default(),
        }
    }

    pub(crate) fn wrong(&self, per_mille: u32) -> Option<Wrong> {
        self.sim.goes_wrong(per_mille).then(|| {
            self.sim.chance().choose(&[
                Wrong::Before,
                Wrong::After,
                Wrong::HangsBefore,
                Wrong::HangsAfter,
                Wrong::Late,
            ])
        })
    }

    async fn way(&self) {
        let way = self.sim.millis(1..=15);
        sleep(way).await;
    }

    /// Makes a call that changes something. Once it is sent it takes effect, even if the caller dies or gives up. `None` if the
    /// caller hears nothing of it.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        wrong: Option<Wrong>,
        effect: impl FnOnce(&Arc<Sim>) -> T + Send + 'static,
    ) -> Option<T> {
        self.way().await;
        match wrong {
            None => {
                let result = effect(&self.sim);
                self.way().await;
                Some(result)
            }
            Some(Wrong::Before) => None,
            Some(Wrong::After) => {
                effect(&self.sim);
                self.way().await;
                None
            }
            Some(Wrong::HangsBefore) => {
                sleep(CLIENT_TIMEOUT).await;
                None
            }
            Some(Wrong::HangsAfter) => {
                effect(&self.sim);
                sleep(CLIENT_TIMEOUT).await;
                None
            }
            Some(Wrong::Late) => {
                let (sim, after) = (Arc::clone(&self.sim), self.sim.millis(500..=90_000));
                self.sim.spawn(async move {
                    sleep(after).await;
                    effect(&sim);
                });
                sleep(CLIENT_TIMEOUT).await;
                None
            }
        }
    }

    pub(crate) fn count_write(&self, wrong: Option<Wrong>) {
        let Some(wrong) = wrong else { return };
        self.sim.count(match wrong {
            Wrong::Before | Wrong::HangsBefore => Fault::WriteNotDone,
            Wrong::After | Wrong::HangsAfter => Fault::WriteDoneAndItsAnswerLost,
            Wrong::Late if self.process.program == Program::Dispatcher => Fault::LateWriteOfTheDispatchers,
            Wrong::Late => Fault::LateWriteOfSettles,
        });
    }

    fn count_queue(&self, wrong: Option<Wrong>) {
        let Some(wrong) = wrong else { return };
        self.sim.count(match wrong {
            Wrong::Before | Wrong::HangsBefore => Fault::QueueCallNotDone,
            _ => Fault::QueueCallDoneAndItsAnswerLost,
        });
    }

    /// Tells the ledger of a record that was `before`, if it was written since.
    fn is_written(&self, key: &RecordKey, before: &Seen, now: UnixMillis) {
        let (sim, id) = (&self.sim, key.question_id());
        let after = at_once(sim.store.read(key, now)).unwrap();
        let Some(record) = after.record.as_ref().filter(|_| before.version != after.version) else { return };
        let (name, operation) = (&self.process.name, &*self.operation);
        sim.say(name, id, format_args!("{operation} writes {}", state_of(record)));
        let at = sim.at();
        sim.ledger().is_written(at, id, before.record.as_ref(), record, &self.process, operation);
    }

    /// The record as it is written while a rule is off; `None` if it is not written at all.
    fn under_rules(&self, seen: &Seen, record: &Record) -> Option<Record> {
        let before = seen.record.as_ref().map(|record| &record.state);
        let mut record = record.clone();
        if self.sim.is_off(Rule::StreamIsWrittenDown) && matches!(record.stream, Some(Stream::Open(_))) {
            return None;
        }
        match (before, &mut record.state) {
            (Some(State::InFlight(was)), State::InFlight(flight)) => {
                let is_same = was.token == flight.token && was.receive == flight.receive;
                if is_same && self.sim.is_off(Rule::BeatsRenew) {
                    return None;
                }
                let is_moved = was.token == flight.token && was.receive != flight.receive;
                if is_moved && self.sim.is_off(Rule::NewHandleIsLeft) {
                    return None;
                }
                if &*self.operation == "claim" && self.sim.is_off(Rule::ClaimsHaveTheirOwnToken) {
                    *flight = Flight { token: was.token.clone(), claimed_from: None, ..flight.clone() };
                }
            }
            (Some(State::InFlight(was)), State::Free) => {
                let is_counted = was.claimed_from.is_some() && self.sim.is_off(Rule::GivenBackIsNoAttempt);
                record.attempts += u32::from(is_counted);
            }
            (_, State::Posting(Posting { nonce, .. })) if self.sim.is_off(Rule::NonceInTheRecord) => {
                *nonce = None;
            }
            (_, State::Told { told_for, .. }) if self.sim.is_off(Rule::ToldForItsMessage) => {
                *told_for = None;
            }
            _ => {}
        }
        Some(record)
    }
}

impl AskerStore for Node {
    async fn kind(&self, key: &AskerKey, now: UnixMillis) -> Result<Option<AskerKind>, StoreError> {
        let is_wrong = self.sim.goes_wrong(self.sim.settings.store);
        self.way().await;
        if is_wrong {
            self.sim.count(Fault::ReadFailed);
            return Err(StoreError::new("the store", "cannot be read"));
        }
        let kind = self.sim.store.kind(key, now).await?;
        self.way().await;
        Ok(kind)
    }

    async fn remember(&self, key: &AskerKey, kind: AskerKind, now: UnixMillis) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let key = key.clone();
        let done = self.call(wrong, move |sim| at_once(sim.store.remember(&key, kind, now)).unwrap());
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn may_tell(&self, key: &AskerKey, question_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (key, id) = (key.clone(), question_id.to_owned());
        let done = self.call(wrong, move |sim| {
            let may = at_once(sim.store.may_tell(&key, &id, now)).unwrap();
            if may {
                sim.ledger().is_to_tell(&id);
            }
            may || sim.is_off(Rule::OneTellingADay)
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }
}

impl WorkStore for Node {
    async fn read(&self, key: &RecordKey, now: UnixMillis) -> Result<Seen, StoreError> {
        let is_wrong = self.sim.goes_wrong(self.sim.settings.store);
        self.way().await;
        if is_wrong {
            self.sim.count(Fault::ReadFailed);
            return Err(StoreError::new("the store", "cannot be read"));
        }
        let mut seen = self.sim.store.read(key, now).await?;
        self.way().await;
        if self.sim.is_off(Rule::SameMessageOnly)
            && self.process.program == Program::Dispatcher
            && let Some(Record { state: State::Posting(Posting { sight: Some(sight), .. }), .. }) =
                &mut seen.record
            && let Some(message_id) = self.messages.get(key.question_id())
        {
            let mut receive = sight.receive.clone();
            receive.message_id.clone_from(message_id);
            receive.handle = "another".to_owned();
            *sight = Sight { receive, receives: 0, ..sight.clone() };
        }
        if self.sim.is_off(Rule::OnlyTheFreeAreJoined)
            && &*self.operation == "answer"
            && key.as_str() != &*self.record
            && let Some(record) = &mut seen.record
        {
            *record = Record { tool_calls: 0, suspensions: 0, stream: None, ..record.with(State::Free) };
        }
        Ok(seen)
    }

    async fn write(
        &self,
        key: &RecordKey,
        seen: &Seen,
        record: &Record,
        now: UnixMillis,
    ) -> Result<Written, StoreError> {
        let Some(written) = self.under_rules(seen, record) else {
            self.way().await;
            return Ok(Written::Done);
        };
        // What is posted bears the nonce that the caller has, whatever is written.
        self.sim.ledger().intends(key.question_id(), record);
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (node, key, seen) = (self.clone(), key.clone(), seen.clone());
        let done = self.call(wrong, move |sim| {
            let before = at_once(sim.store.read(&key, now)).unwrap();
            let expected = if sim.is_off(Rule::WritesAreConditional) { &before } else { &seen };
            let result = at_once(sim.store.write(&key, expected, &written, now)).unwrap();
            node.is_written(&key, &before, now);
            result
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn write_together(&self, writes: &[Write<'_>], now: UnixMillis) -> Result<bool, StoreError> {
        writes.iter().for_each(|write| self.sim.ledger().intends(write.key.question_id(), write.record));
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let mut writes: Vec<(RecordKey, Seen, Record)> = writes
            .iter()
            .map(|write| (write.key.clone(), write.seen.clone(), write.record.clone()))
            .collect();
        if self.sim.is_off(Rule::OthersAreJoined) {
            writes.truncate(1);
        }
        let node = self.clone();
        let done = self.call(wrong, move |sim| {
            let before: Vec<Seen> =
                writes.iter().map(|(key, ..)| at_once(sim.store.read(key, now)).unwrap()).collect();
            let expected =
                writes.iter().zip(&before).enumerate().map(|(n, ((key, seen, record), before))| {
                    let is_blind = n > 0 && sim.is_off(Rule::OnlyTheFreeAreJoined);
                    Write { key, seen: if is_blind { before } else { seen }, record }
                });
            let expected: Vec<Write<'_>> = expected.collect();
            let result = at_once(sim.store.write_together(&expected, now)).unwrap();
            for ((key, ..), before) in writes.iter().zip(&before) {
                node.is_written(key, before, now);
            }
            result
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn stop(&self, key: &str) -> Result<Option<Stopped>, StoreError> {
        let is_wrong = self.sim.goes_wrong(self.sim.settings.store);
        self.way().await;
        if is_wrong {
            self.sim.count(Fault::ReadFailed);
            return Err(StoreError::new("the store", "cannot be read"));
        }
        if self.sim.is_off(Rule::StopReadAtIntent) && ["answer", "refuse"].contains(&&*self.operation) {
            return Ok(None);
        }
        self.sim.store.stop(key).await
    }

    async fn put_stop(&self, key: &str, at: &SlackTs, now: UnixMillis) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (key, at) = (key.to_owned(), at.clone());
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.put_stop(&key, &at, now)).unwrap();
            let now = sim.at();
            sim.ledger().stop_is_put(now, &key, &at);
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        question_id: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (key, stop, question_id) = (key.to_owned(), stop.clone(), question_id.to_owned());
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.count_stopped(&key, &stop, &question_id, now)).unwrap();
            sim.ledger().is_counted_stopped(&question_id);
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn read_call(&self, key: &RecordKey, number: u32) -> Result<Option<Entry>, StoreError> {
        let is_wrong = self.sim.goes_wrong(self.sim.settings.store);
        self.way().await;
        if is_wrong {
            self.sim.count(Fault::ReadFailed);
            return Err(StoreError::new("the store", "cannot be read"));
        }
        let entry = self.sim.store.read_call(key, number).await?;
        self.way().await;
        Ok(self.read_under_rules(entry))
    }

    async fn forget_call(&self, key: &RecordKey, number: u32, now: UnixMillis) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let key = key.clone();
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.forget_call(&key, number, now)).unwrap();
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (node, key, entry) = (self.clone(), key.clone(), entry.clone());
        let done = self.call(wrong, move |sim| {
            if entry == Entry::Closed
                && sim.is_off(Rule::JournalIsClosed)
                && !sim.store.has_call(&key, number)
            {
                return None;
            }
            let stands = at_once(sim.store.begin_call(&key, number, &entry, now)).unwrap();
            if let (None, Entry::Proposed(asked)) = (&stands, &entry) {
                sim.ledger().approvals.is_asked(key.question_id(), asked);
            }
            let is_begun = matches!(entry, Entry::Call(_)) && sim.is_off(Rule::OneBeginsACall);
            node.found_under_rules(stands, &entry).filter(|_| !is_begun)
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (node, key, mut asked, entry) = (self.clone(), key.clone(), asked.clone(), entry.clone());
        let done = self.call(wrong, move |sim| {
            match at_once(sim.store.read_call(&key, number)).unwrap() {
                Some(Entry::Proposed(stands)) if node.replaces_anything() => asked = stands,
                Some(Entry::Call(_)) if sim.is_off(Rule::ApprovedIsCalledOnce) => return None,
                _ => {}
            }
            let stands = at_once(sim.store.replace_proposed(&key, number, &asked, &entry, now)).unwrap();
            if stands.is_none() {
                let decides = matches!(&entry, Entry::Proposed(asked) if asked.verdict().is_some());
                node.process.has_decided.fetch_or(decides, Ordering::Relaxed);
                sim.say(&node.process.name, key.question_id(), format_args!("entry {number}: {entry:?}"));
                sim.ledger().asked_is_replaced(sim.at(), &asked, &entry, &sim.settings);
            }
            stands
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (key, invocation) = (key.clone(), invocation.to_owned());
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.keep_invocation(&key, &invocation, now)).unwrap();
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn invocation(&self, key: &RecordKey) -> Result<Option<String>, StoreError> {
        let is_wrong = self.sim.goes_wrong(self.sim.settings.store);
        self.way().await;
        if is_wrong {
            self.sim.count(Fault::ReadFailed);
            return Err(StoreError::new("the store", "cannot be read"));
        }
        self.sim.store.invocation(key).await
    }

    async fn forget_invocation(&self, key: &RecordKey, now: UnixMillis) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let key = key.clone();
        let done = self.call(wrong, move |sim| at_once(sim.store.forget_invocation(&key, now)).unwrap());
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }

    async fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> Result<(), StoreError> {
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let (key, nonce, end) = (key.clone(), nonce.clone(), end.clone());
        let done = self.call(wrong, move |sim| {
            at_once(sim.store.end_call(&key, number, &nonce, &end)).unwrap();
        });
        done.await.ok_or_else(|| StoreError::new("the store", "has not answered"))
    }
}

/// What a future comes to that never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("the memory does not wait")
}

/// The last digits of a token, which differ.
fn short(token: &str) -> &str {
    token.get(26..).unwrap_or(token)
}

fn state_of(record: &Record) -> String {
    let attempts = record.attempts;
    match &record.state {
        State::Free => format!("free, attempts {attempts}"),
        State::InFlight(flight) => format!(
            "in_flight, attempts {attempts}, token {}, {}, {}",
            flight.token.as_ref().map_or("none", |token| short(token.as_str())),
            flight.receive.handle,
            if flight.claimed_from.is_some() { "claimed" } else { "not claimed" }
        ),
        State::Posting(posting) => format!(
            "posting, part {}, token {}, nonce {}, {}, seen {:?}",
            posting.part,
            short(posting.token.as_str()),
            posting.nonce.as_ref().map_or("none", |nonce| short(nonce.as_str())),
            posting.receive.handle,
            posting
                .sight
                .as_ref()
                .map(|sight| (&sight.receive.handle, sight.at.as_millis().saturating_sub(BEGINNING))),
        ),
        State::Suspended { asking, ts, .. } => {
            format!("suspended, call {}, approval {}, {ts:?}", asking.number, short(asking.approval.as_str()))
        }
        State::Answered { ts, .. } => format!("answered {ts:?}"),
        State::Joined { to, .. } => format!("joined to {to}"),
        State::Told { why, told_for, .. } => format!("told {why} for {told_for:?}"),
    }
}

impl Queue for Node {
    async fn put_off(&self, handle: &str, delay: Duration) -> Result<(), QueueError> {
        let sim = &self.sim;
        if &*self.operation == "beat" && sim.is_off(Rule::BeatsRenew) {
            return Ok(());
        }
        if &*self.operation == "refuse" && delay.is_zero() && sim.is_off(Rule::ToldMakesVisible) {
            return self.delete(handle).await;
        }
        let wrong = self.wrong(sim.settings.queue);
        self.count_queue(wrong);
        let (name, called) = (self.process.name.clone(), handle.to_owned());
        let changed = self
            .call(wrong, move |sim| {
                let changed = sim.put_off(&called, delay);
                sim.say(&name, "", format_args!("puts off {called} for {delay:?}: {changed:?}"));
                changed
            })
            .await;
        answer_of(changed)
    }

    async fn put_at(
        &self,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), QueueError> {
        self.schedule(lapse, conversation, at).await
    }

    async fn delete(&self, handle: &str) -> Result<(), QueueError> {
        if ["suspend", "post"].contains(&&*self.operation) && self.sim.is_off(Rule::SuspensionHoldsNothing) {
            return Ok(());
        }
        let wrong = self.wrong(self.sim.settings.queue);
        self.count_queue(wrong);
        let (name, called) = (self.process.name.clone(), handle.to_owned());
        let changed = self
            .call(wrong, move |sim| {
                let changed = sim.delete(&called);
                sim.say(&name, "", format_args!("deletes {called}: {changed:?}"));
                changed
            })
            .await;
        answer_of(changed)
    }
}

fn answer_of(changed: Option<Changed>) -> Result<(), QueueError> {
    match changed {
        Some(Changed::Ok) => Ok(()),
        Some(Changed::Refused) => Err(QueueError::Over { code: "InvalidParameterValue".to_owned() }),
        None => Err(QueueError::Unknown("no answer".into())),
    }
}

/// Of the ingress's process it is the queue, and of the dispatcher's the dead-letter queue.
impl Sink for Node {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let is_letter = self.process.program == Program::Dispatcher;
        let wrong = self.wrong(self.sim.settings.queue);
        if is_letter && wrong.is_some() {
            self.sim.count(Fault::DeadLetterQueueFails);
        }
        let content = Content::of(message, self.sim.settings.fifo);
        let generation = self.sim.ledger().generation(&content);
        let sent = self.call(wrong, move |sim| {
            if is_letter {
                let at = sim.at();
                sim.ledger().letter(at, generation, content);
            } else {
                sim.send(content);
            }
        });
        sent.await.ok_or_else(|| SendError::failed("the queue", "no answer"))
    }

    fn max_bytes(&self) -> usize {
        1024 * 1024
    }
}

impl Settler for Node {
    async fn ask(&self, request: &Value, _: Option<&TraceHeader>) -> Result<Value, SettlerError> {
        settle::ask(&self.sim, request.clone()).await.ok_or(SettlerError::Function)
    }

    async fn tell(&self, request: &Value, _: Option<&TraceHeader>) -> Result<(), SettlerError> {
        settle::tell(&self.sim, request.clone()).await.ok_or_else(|| SettlerError::Failed("no answer".into()))
    }
}

impl SlackTools for Node {
    async fn post(&self, post: &Post<'_>, _: Moment) -> PostOutcome {
        let (sim, settings) = (&self.sim, &self.sim.settings);
        let (way, back, late, kind) = {
            let mut chance = sim.chance();
            (
                chance.millis(20..=300),
                chance.millis(20..=100),
                chance.millis(1_000..=GATEWAY_TIMEOUT_MILLIS),
                if settings.posts_are_late { 2 } else { chance.number(0..=6) },
            )
        };
        let unknown = || PostOutcome::Unknown { reason: "no_answer".to_owned() };
        let refused = |reason: &str, retry, retry_after| PostOutcome::Refused {
            reason: reason.to_owned(),
            retry,
            retry_after,
        };
        if sim.at() < settings.token_put_at {
            sim.count(Fault::SlackRefusesTheToken);
            sleep(way).await;
            return refused("slack_invalid_auth", Retry::AfterChange, None);
        }
        let thread = format!("{}:{}", post.channel, post.thread_ts.unwrap_or_default());
        let nonce = post.nonce.to_owned();
        let (channel, thread_ts) = (post.channel.to_owned(), post.thread_ts.unwrap_or_default().to_owned());
        let blocks = post.blocks.cloned();
        let stands = |sim: &Arc<Sim>, after: Duration| {
            let (sim, who) = (Arc::clone(sim), self.process.name.clone());
            tokio::spawn(async move {
                sleep(after).await;
                let at = sim.at();
                let ts = sim.posts.lock().unwrap().add(&thread, &nonce, sim.true_time());
                sim.say(&who, "", format_args!("posts {} into {thread}", short(&nonce)));
                sim.ledger().is_posted(at, &thread, &nonce);
                if let Some(shown) = blocks.and_then(|blocks| Shown::read(&channel, &thread_ts, &ts, &blocks))
                {
                    sim.ledger().is_shown(at, &shown);
                    sim.pending.fetch_add(1, Ordering::Relaxed);
                    sim.shown.lock().unwrap().push(shown);
                    sim.is_shown.notify_waiters();
                }
                ts
            })
        };
        if !sim.goes_wrong(settings.slack) {
            let ts = stands(sim, way).await.unwrap();
            sleep(back).await;
            return PostOutcome::Posted { ts: Some(ts) };
        }
        match kind {
            0 | 1 => {
                sim.count(Fault::PostTakenAndItsAnswerLost);
                let _ = stands(sim, way).await;
                sleep(if kind == 0 { back } else { TOOL_TIMEOUT - way }).await;
                unknown()
            }
            2 | 3 => {
                sim.count(Fault::PostTakesEffectLate);
                drop(stands(sim, late));
                sleep(if kind == 2 { back } else { TOOL_TIMEOUT }).await;
                unknown()
            }
            4 => {
                sim.count(Fault::PostLostOnTheWay);
                sleep(TOOL_TIMEOUT).await;
                unknown()
            }
            5 => {
                sim.count(Fault::SlackLimitsTheRate);
                sleep(way).await;
                refused("slack_ratelimited", Retry::Later, Some(late))
            }
            _ => {
                sleep(way).await;
                if sim.chance().per_mille(150) {
                    sim.count(Fault::SlackRefusesForGood);
                    return refused("slack_is_archived", Retry::Never, None);
                }
                sim.count(Fault::SlackRefuses);
                refused("slack_request_timeout", Retry::Later, None)
            }
        }
    }

    async fn person(&self, tenant: Option<&str>, user: &str, _: Moment) -> PersonOutcome {
        let way = self.sim.millis(20..=300);
        sleep(way).await;
        if self.sim.goes_wrong(self.sim.settings.slack) {
            self.sim.count(Fault::PersonCannotBeRead);
            return PersonOutcome::Unknown { reason: "slack_ratelimited".to_owned(), retry: Retry::Later };
        }
        let person = json!({ "id": user, "team_id": tenant, "is_restricted": user == GUEST });
        PersonOutcome::Known(Person::read(person.as_object().unwrap()))
    }

    async fn members(&self, _: Option<&str>, _: Option<&str>, _group: &str, _: Moment) -> MembersOutcome {
        let way = self.sim.millis(20..=300);
        sleep(way).await;
        if self.sim.goes_wrong(self.sim.settings.slack) {
            self.sim.count(Fault::GroupCannotBeRead);
            return MembersOutcome::Unknown { reason: "slack_ratelimited".to_owned(), retry: Retry::Later };
        }
        MembersOutcome::Known(approvals::members())
    }

    /// No question of the simulation has a file.
    async fn read_file(&self, _: Option<&str>, _: &File, _: Moment) -> FileOutcome {
        FileOutcome::Unreadable { reason: "files_are_off".to_owned(), retry: Retry::AfterChange }
    }

    async fn find(&self, search: &Search<'_>, _: Moment) -> FindOutcome {
        let (sim, way) = (&self.sim, self.sim.millis(20..=300));
        let cannot = |reason: &str, retry| {
            sim.ledger().cannot_be_asked(search.nonce);
            FindOutcome::CannotAsk { reason: reason.to_owned(), retry, retry_after: None }
        };
        sleep(way).await;
        match sim.settings.asking {
            SlackSearch::NeverAllowed => {
                sim.count(Fault::SlackCannotBeAskedForGood);
                return cannot("slack_missing_scope", Retry::AfterChange);
            }
            SlackSearch::DownUntil(until) if sim.at() < until => {
                sim.count(Fault::SlackCannotBeAskedNow);
                return cannot("slack_internal_error", Retry::Later);
            }
            _ => {}
        }
        if sim.goes_wrong(sim.settings.slack) {
            sim.count(Fault::SlackCannotBeAskedNow);
            return cannot("slack_ratelimited", Retry::Later);
        }
        let thread = format!("{}:{}", search.channel, search.thread_ts.unwrap_or_default());
        let found = sim.posts.lock().unwrap().find(&thread, search.nonce, search.since);
        let found = found.filter(|_| !sim.is_off(Rule::NonceInThePost));
        sim.say(
            &self.process.name,
            "",
            format_args!("looks for {}: {}", short(search.nonce), found.is_some()),
        );
        sleep(way).await;
        found.map_or(FindOutcome::NotFound, |ts| FindOutcome::Found { ts })
    }

    async fn read(&self, conversation: &Conversation<'_>, _: Moment) -> ReadOutcome {
        let (sim, way) = (&self.sim, self.sim.millis(20..=300));
        sleep(way).await;
        if sim.goes_wrong(sim.settings.slack) {
            sim.count(Fault::SlackCannotBeAskedNow);
            let reason = "slack_ratelimited".to_owned();
            return ReadOutcome::Unreadable { reason, retry: Retry::Later };
        }
        let thread_ts = conversation.thread_ts.unwrap_or_default();
        ReadOutcome::Read { messages: sim.said.lock().unwrap().of(thread_ts), is_whole: true }
    }

    async fn set_status(&self, _: &StatusPlace<'_>, _: SessionStatus, _: Moment) -> StatusOutcome {
        let way = self.sim.millis(20..=200);
        if self.sim.goes_wrong(self.sim.settings.slack) {
            self.sim.count(Fault::StatusFails);
            sleep(way * 50).await;
            return StatusOutcome::NotShown { reason: "no_answer".to_owned() };
        }
        sleep(way).await;
        StatusOutcome::Shown
    }

    async fn suggest(&self, _: &Pane<'_>, _: &Prompts, _: Moment) -> StatusOutcome {
        unreachable!("nobody here opens the pane")
    }

    /// Whoever clicks is told what came of it; no question has a `response_url`.
    async fn respond(&self, response_url: &str, text: &str, _: Moment) -> PostOutcome {
        assert!(text.contains("nothing"), "{text} is not what a click is told");
        let way = self.sim.millis(20..=300);
        sleep(way).await;
        self.sim.say(&self.process.name, response_url, format_args!("tells whoever clicked: {text}"));
        PostOutcome::Posted { ts: None }
    }
}

impl Tokens for Node {
    fn next(&self) -> Token {
        Token::from_bits(u128::from(self.sim.tokens.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Clock for Node {
    fn now(&self) -> UnixMillis {
        let now = self.sim.true_time().as_millis();
        UnixMillis::from_millis(now.saturating_add_signed(self.process.ahead))
    }

    fn instant(&self) -> Instant {
        instant() - self.process.stood_still()
    }

    /// While the process is paused, its timers stand still with its monotonic clock.
    async fn sleep_until(&self, at: Instant) {
        while let Some(left) = at.checked_duration_since(self.instant()).filter(|left| !left.is_zero()) {
            sleep_until(instant() + left).await;
        }
    }
}
