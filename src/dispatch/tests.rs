use super::*;
use crate::dedup::StoreError;
use crate::sink::SendError;
use crate::sink::message::Message;
use crate::slack::approval::LAPSED;
use crate::slack::asker::AskerKind;
use crate::slack::question::SlackTs;
use crate::time::clock::UnixMillis;
use crate::time::trace::TraceHeader;
use crate::work::Stopped;
use crate::work::askers::{AskerKey, AskerStore};
use crate::work::audit::{AuditEntry, AuditStore};
use crate::work::journal::{Entry, ProposedCall, ToolEnd};
use crate::work::lapse::Lapse;
use crate::work::memory::MemoryWork;
use crate::work::operations::{self, Now};
use crate::work::queue::QueueError;
use crate::work::receive::{self, STOP_GRACE};
use crate::work::record::{ApprovalRef, Buttons, End, Flight, LEASE, Receive, Record, State};
use crate::work::token::Token;
use crate::work::transition::Transition;
use crate::work::update::update;
use crate::work::usage::{Amounts, Counter, Taken, Taker, UsageStore};
use crate::work::{Seen, Written};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

use super::agent::{InvokeError, Replied};
use super::agent_call::AgentCall;
use super::message::DEAD_LETTER_REASON;
use super::settler::SettlerError;
use super::withdrawal::stop_text;

/// 1531420618.500000 in Slack's words.
const NOW: u64 = 1_531_420_618_500;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a message is held whose invocation lasts a minute: that, or a lease if that is longer.
const HELD: Duration = LEASE;
const SETTINGS: DispatchSettings = DispatchSettings {
    agent_timeout: Duration::from_secs(45),
    limits: Limits { max_attempts: 3, give_up_after: Duration::from_secs(86_400), post_wait: LEASE },
    protocol: AgentProtocol::Work,
    events: AgentEvents::Questions,
    dm_conversation: DmConversation::Channel,
    who_may_ask: WhoMayAsk::EVERYBODY,
};

/// What the agent does with an event. One that is not listed it takes at once.
#[derive(Clone, Debug)]
enum Behaviour {
    NotNow,
    Conflict,
    Fails,
    Hangs,
    /// It answers so, after so long.
    Says(&'static str, Duration),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    Read,
    Write,
    Stop,
    DeadLetter,
    /// The receive is over.
    Over,
    PutOff,
    Settle,
    /// agent-settle is not told of a sign.
    Sign,
}

/// Clock, agent, agent-settle and queues, which behave as a test says. The store inside is the real one of memory.
#[derive(Default)]
struct World {
    past: AtomicU64,
    tokens: AtomicU64,
    store: MemoryWork,
    behaviours: Mutex<HashMap<&'static str, Behaviour>>,
    faults: Mutex<Vec<Fault>>,
    invoked: Mutex<Vec<String>>,
    payloads: Mutex<Vec<Value>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    dead_letters: Mutex<Vec<Message>>,
    put_off: Mutex<Vec<(String, Duration)>>,
    /// What agent-settle was asked: the operation and what came with it. A `sign` is kept apart.
    settled: Mutex<Vec<Value>>,
    signs: AtomicUsize,
    /// In which trace agent-settle was asked, each time.
    traces: Mutex<Vec<Option<String>>>,
    /// The titles that came with a `sign`.
    titles: Mutex<Vec<Value>>,
    /// What agent-settle answers to the next questions.
    answers: Mutex<Vec<Value>>,
    /// How many of the next calls with an answer fail.
    answers_lost: AtomicUsize,
}

impl World {
    fn pass(&self, duration: Duration) {
        self.past.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.lock().unwrap().contains(&fault)
    }

    fn store_result<T>(&self, fault: Fault, result: T) -> Result<T, StoreError> {
        if self.has(fault) { Err(StoreError::new("DynamoDB", "connection refused")) } else { Ok(result) }
    }

    fn settle(&self, request: &Value, trace: Option<&TraceHeader>) -> Result<(), SettlerError> {
        self.traces.lock().unwrap().push(trace.map(TraceHeader::header));
        if request["operation"] == "sign" {
            self.signs.fetch_add(1, Ordering::Relaxed);
            self.titles.lock().unwrap().extend(request.get("title").cloned());
            if self.has(Fault::Sign) {
                return Err(SettlerError::Function);
            }
            return Ok(());
        }
        self.settled.lock().unwrap().push(request.clone());
        if self.has(Fault::Settle) { Err(SettlerError::Function) } else { Ok(()) }
    }
}

impl Clock for Arc<World> {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(NOW + self.past.load(Ordering::Relaxed))
    }

    #[allow(clippy::disallowed_methods, reason = "Tokio's clock, which stands still in these tests")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

impl Tokens for Arc<World> {
    fn next(&self) -> Token {
        Token::from_bits(u128::from(self.tokens.fetch_add(1, Ordering::Relaxed)) + 1)
    }
}

impl AskerStore for Arc<World> {
    async fn kind(&self, key: &AskerKey, now: UnixMillis) -> Result<Option<AskerKind>, StoreError> {
        self.store.kind(key, now).await
    }

    async fn remember(&self, key: &AskerKey, kind: AskerKind, now: UnixMillis) -> Result<(), StoreError> {
        self.store.remember(key, kind, now).await
    }

    async fn may_tell(&self, key: &AskerKey, question_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.store.may_tell(key, question_id, now).await
    }
}

impl AuditStore for Arc<World> {
    async fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.store.put_audit(entry).await
    }
}

impl UsageStore for Arc<World> {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        self.store.take(question, by, counters, amounts, now).await
    }

    async fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.store.replace_taken(question, by, used_tokens, now).await
    }
}

impl WorkStore for Arc<World> {
    async fn read(&self, key: &RecordKey, now: UnixMillis) -> Result<Seen, StoreError> {
        self.store_result(Fault::Read, ())?;
        self.store.read(key, now).await
    }

    async fn write(
        &self,
        key: &RecordKey,
        seen: &Seen,
        record: &Record,
        now: UnixMillis,
    ) -> Result<Written, StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.write(key, seen, record, now).await
    }

    async fn write_together(
        &self,
        writes: &[crate::work::Write<'_>],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.store.write_together(writes, now).await
    }

    async fn stop(&self, key: &str) -> Result<Option<Stopped>, StoreError> {
        self.store_result(Fault::Stop, ())?;
        self.store.stop(key).await
    }

    async fn put_stop(&self, key: &str, at: &SlackTs, now: UnixMillis) -> Result<(), StoreError> {
        self.store_result(Fault::Stop, ())?;
        self.store.put_stop(key, at, now).await
    }

    async fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        id: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.count_stopped(key, stop, id, now).await
    }

    async fn read_call(&self, key: &RecordKey, number: u32) -> Result<Option<Entry>, StoreError> {
        self.store_result(Fault::Read, ())?;
        self.store.read_call(key, number).await
    }

    async fn forget_call(&self, key: &RecordKey, number: u32, now: UnixMillis) -> Result<(), StoreError> {
        self.store_result(Fault::Read, ())?;
        self.store.forget_call(key, number, now).await
    }

    async fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.begin_call(key, number, entry, now).await
    }

    async fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.replace_proposed(key, number, asked, entry, now).await
    }

    async fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.keep_invocation(key, invocation, now).await
    }

    async fn invocation(&self, key: &RecordKey) -> Result<Option<String>, StoreError> {
        self.store_result(Fault::Read, ())?;
        self.store.invocation(key).await
    }

    async fn forget_invocation(&self, key: &RecordKey, now: UnixMillis) -> Result<(), StoreError> {
        self.store_result(Fault::Read, ())?;
        self.store.forget_invocation(key, now).await
    }

    async fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> Result<(), StoreError> {
        self.store_result(Fault::Write, ())?;
        self.store.end_call(key, number, nonce, end).await
    }
}

impl Agent for Arc<World> {
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        self.invoked.lock().unwrap().push(call.event_id.clone());
        self.payloads.lock().unwrap().push(serde_json::from_slice(&call.payload).unwrap());
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        // Lets other calls begin, if there are any.
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        let what = "word".to_owned();
        let behaviour = self.behaviours.lock().unwrap().get(call.event_id.as_str()).cloned();
        let (says, after) = match behaviour {
            Some(Behaviour::NotNow) => {
                return Err(InvokeError::NotNow { what, is_conflict: false, source: None });
            }
            Some(Behaviour::Conflict) => {
                return Err(InvokeError::NotNow { what, is_conflict: true, source: None });
            }
            Some(Behaviour::Fails) => return Err(InvokeError::Failed { what, source: None }),
            Some(Behaviour::Hangs) => std::future::pending().await,
            Some(Behaviour::Says(says, after)) => (says, after),
            None => (r#"{"status":"working"}"#, Duration::ZERO),
        };
        tokio::time::sleep(after).await;
        Ok(Replied { body: says.as_bytes().to_vec(), is_sse: says.starts_with("data:") })
    }
}

impl Settler for Arc<World> {
    async fn ask(&self, request: &Value, trace: Option<&TraceHeader>) -> Result<Value, SettlerError> {
        self.settle(request, trace)?;
        let is_lost = |left: usize| left.checked_sub(1);
        if request["operation"] == "answer"
            && self.answers_lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_lost).is_ok()
        {
            return Err(SettlerError::Function);
        }
        let scripted = {
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() { None } else { Some(answers.remove(0)) }
        };
        if let Some(answer) = scripted {
            return Ok(answer);
        }
        Ok(match request["operation"].as_str() {
            Some("claim") => {
                let read = |name: &str| request[name].as_str().unwrap();
                let [token, new] = ["token", "new"].map(|name| Token::parse(read(name)).unwrap());
                let key = RecordKey::parse(read("record")).unwrap();
                let claimed = update(self, self, &key, |record, now| {
                    operations::claim(record, &token, &new, Now { now, stopped_at: None })
                });
                assert!(matches!(claimed.await, Ok(operations::Claimed::Yours { .. })));
                json!({ "outcome": "claimed", "attempt": 1 })
            }
            Some("beat") => json!({ "outcome": "go on" }),
            _ => json!({ "outcome": "answered" }),
        })
    }

    async fn tell(&self, request: &Value, trace: Option<&TraceHeader>) -> Result<(), SettlerError> {
        self.settle(request, trace)
    }
}

impl Queue for Arc<World> {
    async fn put_off(&self, handle: &str, delay: Duration) -> Result<(), QueueError> {
        if self.has(Fault::Over) {
            return Err(QueueError::Over { code: "ReceiptHandleIsInvalid".to_owned() });
        }
        if self.has(Fault::PutOff) {
            return Err(QueueError::Unknown("connection reset".into()));
        }
        self.put_off.lock().unwrap().push((handle.to_owned(), delay));
        Ok(())
    }

    async fn put_at(&self, _: &Lapse, _: Option<&str>, _: UnixMillis) -> Result<(), QueueError> {
        unreachable!("only agent-settle asks a person")
    }

    async fn delete(&self, _: &str) -> Result<(), QueueError> {
        unreachable!("Lambda deletes what the dispatcher is done with")
    }
}

impl Sink for Arc<World> {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        if self.has(Fault::DeadLetter) {
            return Err(SendError::failed("SQS SendMessage", "connection reset"));
        }
        self.dead_letters.lock().unwrap().push(message.clone());
        Ok(())
    }

    fn max_bytes(&self) -> usize {
        1024 * 1024
    }
}

type Here = Arc<World>;

struct Scene {
    world: Here,
    dispatch: Dispatch<Here, Here, Here, Here, Here, Here, Here>,
    runs: AtomicU64,
}

impl Scene {
    fn new() -> Self {
        Self::with_settings(SETTINGS)
    }

    fn with_settings(settings: DispatchSettings) -> Self {
        let world = Here::default();
        let [store, queue, agent, settler, dead_letters, tokens, clock] =
            std::array::from_fn(|_| Arc::clone(&world));
        let dispatch = Dispatch::new(store, queue, agent, settler, dead_letters, tokens, clock, settings);
        Self { world, dispatch, runs: AtomicU64::new(0) }
    }

    fn where_it(self, behaviours: &[(&'static str, Behaviour)]) -> Self {
        self.world.behaviours.lock().unwrap().extend(behaviours.iter().cloned());
        self
    }

    fn failing(self, faults: &[Fault]) -> Self {
        self.world.faults.lock().unwrap().extend(faults);
        self
    }

    fn heal(&self) {
        self.world.faults.lock().unwrap().clear();
        self.world.behaviours.lock().unwrap().clear();
    }

    async fn run(&self, messages: Vec<QueueMessage>) -> Vec<MessageReport> {
        self.run_for(MINUTE, true, messages).await
    }

    async fn run_for(
        &self,
        time: Duration,
        is_fifo: bool,
        messages: Vec<QueueMessage>,
    ) -> Vec<MessageReport> {
        let request_id = format!("run {}", self.runs.fetch_add(1, Ordering::Relaxed));
        let invocation =
            Invocation { request_id, deadline: self.world.now().after(time), trace_header: None };
        let mut reports = self.dispatch.run(Batch { is_fifo, messages }, &invocation).await;
        reports.sort_by(|a, b| a.message_id.cmp(&b.message_id));
        reports
    }

    async fn one(&self, message: QueueMessage) -> MessageReport {
        let time = self.dispatch.settings.time_for_a_question().max(MINUTE);
        let [report] = self.run_for(time, true, vec![message]).await.try_into().unwrap();
        report
    }

    fn invoked(&self) -> Vec<String> {
        let mut invoked = std::mem::take(&mut *self.world.invoked.lock().unwrap());
        invoked.sort();
        invoked
    }

    fn put_off(&self) -> Vec<(String, Duration)> {
        std::mem::take(&mut *self.world.put_off.lock().unwrap())
    }

    /// The operations that agent-settle was asked for, and why or with which text.
    fn settled(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.world.settled.lock().unwrap());
        let shown = |request: &Value| {
            let more = request["why"].as_str().or(request["text"].as_str()).unwrap_or_default();
            format!("{} {more}", request["operation"].as_str().unwrap()).trim().to_owned()
        };
        asked.iter().map(shown).collect()
    }

    async fn record(&self, channel: &str) -> Record {
        let key = key(channel);
        self.world.store.read(&key, self.world.now()).await.unwrap().record.unwrap()
    }

    /// The token that the agent was given last.
    fn token(&self) -> Token {
        let payloads = self.world.payloads.lock().unwrap();
        Token::parse(payloads.last().unwrap()["work"]["token"].as_str().unwrap()).unwrap()
    }

    /// The agent claims the question of this channel, with the token that it was given last.
    async fn claim(&self, channel: &str) {
        let (key, token, new) = (key(channel), self.token(), self.world.next());
        let claimed = update(&self.world, &self.world, &key, |record, now| {
            operations::claim(record, &token, &new, Now { now, stopped_at: None })
        });
        assert!(matches!(claimed.await.unwrap(), operations::Claimed::Yours { .. }));
    }
}

const TS: &str = "1531420618.000100";

fn key(channel: &str) -> RecordKey {
    RecordKey::of_question(&format!("A1:{channel}:{TS}"))
}

fn body(event_id: &str, event: &Value) -> QueueMessage {
    let attributes =
        [("kind", "event"), ("event_id", event_id), ("received_at", "1531420618000"), ("api_app_id", "A1")];
    QueueMessage {
        message_id: format!("message of {event_id}"),
        receipt_handle: format!("handle of {event_id}"),
        receive_count: 1,
        group: Some(event["channel"].as_str().unwrap().to_owned()),
        attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: json!({
            "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": event_id, "event": event
        })
        .to_string(),
        ..QueueMessage::default()
    }
}

/// A mention in a channel of its own.
fn message(event_id: &str, channel: &str) -> QueueMessage {
    let text = "how far are we?";
    body(
        event_id,
        &json!({ "type": "app_mention", "channel": channel, "ts": TS, "user": "U1", "text": text }),
    )
}

/// A later mention in the same channel and thread.
fn later(event_id: &str, channel: &str, seconds: u64) -> QueueMessage {
    let ts = format!("{}.000200", 1_531_420_618 + seconds);
    let event = json!({
        "type": "app_mention", "channel": channel, "ts": ts, "event_ts": ts, "thread_ts": TS, "user": "U1",
        "text": "and now?"
    });
    body(event_id, &event)
}

fn stop(event_id: &str, channel: &str, ts: &str) -> QueueMessage {
    let event = json!({
        "type": "agent_session_stopped", "channel": channel, "thread_ts": TS, "user": "U1", "event_ts": ts
    });
    let message = body(event_id, &event);
    QueueMessage { group: Some(format!("{channel}:control")), ..message }
}

fn deletion(event_id: &str, channel: &str) -> QueueMessage {
    let event = json!({
        "type": "message", "subtype": "message_deleted", "channel": channel, "deleted_ts": TS,
        "ts": "1531420620.000300", "event_ts": "1531420620.000300", "hidden": true
    });
    body(event_id, &event)
}

/// The same message, received once more.
fn again(receive_count: u32, message: QueueMessage) -> QueueMessage {
    let receipt_handle = format!("{} {receive_count}", message.receipt_handle);
    QueueMessage { receive_count, receipt_handle, ..message }
}

fn outcomes(reports: &[MessageReport]) -> Vec<MessageOutcome> {
    reports.iter().map(|report| report.outcome).collect()
}

use MessageOutcome::{
    DeadLettered, Deferred, Deletion, Dispatched, Duplicate, Failed, NoQuestion, Stop as Stops, Withdrawn,
};

#[tokio::test(start_paused = true)]
async fn a_question_is_handed_over_and_its_message_stays_on_the_queue() {
    let scene = Scene::new();
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!((report.outcome, report.put_off_for), (Dispatched, None));
    assert!(!report.outcome.is_done(), "its answer does not stand yet");
    assert_eq!(report.waited, Some(SECOND / 2));
    assert_eq!(scene.put_off(), [("handle of Ev1".to_owned(), HELD)]);
    assert_eq!(scene.world.signs.load(Ordering::Relaxed), 1);
    let payload = scene.world.payloads.lock().unwrap()[0].clone();
    assert_eq!((&payload["version"], &payload["question"]["id"]), (&json!(2), &json!(format!("A1:C1:{TS}"))));
    assert_eq!(payload["work"]["record"], format!("dispatch#A1:C1:{TS}"));
    let State::InFlight(Flight { token, lease_until, receive, .. }) = scene.record("C1").await.state else {
        panic!("it is in flight")
    };
    assert_eq!((token, receive), (Some(scene.token()), message("Ev1", "C1").receive()));
    assert_eq!(lease_until, scene.world.now().after(HELD));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_called_twice_while_somebody_works() {
    let scene = Scene::new();
    scene.one(message("Ev1", "C1")).await;
    scene.claim("C1").await;
    scene.put_off();
    // Lambda runs one receive twice.
    assert_eq!(scene.one(message("Ev1", "C1")).await.put_off_for, None);
    // The message's visibility ended before the work did: whoever beats finds the new handle.
    let report = scene.one(again(2, message("Ev1", "C1"))).await;
    assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::InFlight), Some(LEASE + SECOND)));
    assert_eq!(scene.record("C1").await.receive().unwrap().handle, "handle of Ev1 2");
    // Another message of the same question waits, and changes nothing.
    let report = scene.one(message("Ev2", "C1")).await;
    let put_off = Some(2 * LEASE + SECOND);
    assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::InFlight), put_off));
    assert_eq!(scene.record("C1").await.receive().unwrap().handle, "handle of Ev1 2");
    assert_eq!(scene.invoked(), ["Ev1"]);
    // Whoever worked is dead.
    scene.world.pass(LEASE + SECOND);
    assert_eq!(scene.one(message("Ev2", "C1")).await.outcome, Dispatched);
    assert_eq!(scene.invoked(), ["Ev2"]);
}

#[tokio::test(start_paused = true)]
async fn after_its_attempts_the_asker_is_told_and_the_letter_has_the_reason() {
    let scene = Scene::new();
    for attempt in 1..=3 {
        assert_eq!(scene.one(again(attempt, message("Ev1", "C1"))).await.outcome, Dispatched);
        scene.claim("C1").await;
        scene.world.pass(LEASE + SECOND);
    }
    assert_eq!((scene.invoked().len(), scene.settled().len()), (3, 0));
    assert_eq!(scene.one(again(4, message("Ev1", "C1"))).await.outcome, Deferred(Deferral::Settle));
    assert_eq!((scene.invoked().len(), scene.settled()), (0, vec!["refuse gave_up".to_owned()]));
    let told = |record: Option<&Record>, _| {
        let told_for = Some("message of Ev1".to_owned());
        let told = State::Told { why: "gave_up".to_owned(), told_for, token: None };
        Transition::write(record.unwrap().with(told), ())
    };
    update(&scene.world, &scene.world, &key("C1"), told).await.unwrap();
    let report = scene.one(again(5, message("Ev1", "C1"))).await;
    assert_eq!(
        (report.outcome, report.reason.as_deref(), report.is_untold),
        (DeadLettered, Some("gave_up"), false)
    );
    let letter = scene.world.dead_letters.lock().unwrap().remove(0);
    assert_eq!(letter.attributes.last().unwrap(), &("dead_letter_reason".into(), "gave_up".to_owned()));
    // Another message of the question is done; the letter, sent back, begins anew.
    assert_eq!(scene.one(message("Ev2", "C1")).await.outcome, MessageOutcome::Told);
    let mut sent_back = QueueMessage { message_id: "sent back".to_owned(), ..message("Ev1", "C1") };
    sent_back.attributes.insert(DEAD_LETTER_REASON.to_owned(), "gave_up".to_owned());
    assert_eq!(scene.one(sent_back).await.outcome, Dispatched);
    assert_eq!(scene.record("C1").await.attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_certainly_has_not_is_put_off_and_never_given_up_before_its_time() {
    let later = Behaviour::Says(r#"{"status":"later"}"#, Duration::ZERO);
    for behaviour in [Behaviour::NotNow, Behaviour::Conflict, later] {
        let scene = Scene::new().where_it(&[("Ev1", behaviour.clone())]);
        for count in 1..=20 {
            let report = scene.one(again(count, message("Ev1", "C1"))).await;
            assert_eq!(report.outcome, Deferred(Deferral::Agent), "{behaviour:?}");
            assert_eq!(report.put_off_for, Some(back_off(count, "message of Ev1")));
        }
        let record = scene.record("C1").await;
        assert_eq!((record.attempts, record.state), (0, State::Free));
        let tries = if matches!(behaviour, Behaviour::Conflict) { 3 } else { 1 };
        assert_eq!(scene.invoked().len(), 20 * tries);
        scene.world.pass(SETTINGS.limits.give_up_after);
        assert_eq!(scene.one(again(21, message("Ev1", "C1"))).await.outcome, Deferred(Deferral::Settle));
        assert_eq!(scene.settled(), ["refuse gave_up"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_may_have_is_left_to_its_lease() {
    let unknown = Behaviour::Says(r#"{"status":"accepted"}"#, Duration::ZERO);
    for behaviour in [Behaviour::Fails, Behaviour::Hangs, unknown] {
        let scene = Scene::new().where_it(&[("Ev1", behaviour.clone())]);
        let report = scene.one(message("Ev1", "C1")).await;
        assert_eq!((report.outcome, report.put_off_for), (Failed, None), "{behaviour:?}");
        assert!(matches!(scene.record("C1").await.state, State::InFlight(_)));
        let report = scene.one(again(2, message("Ev1", "C1"))).await;
        assert_eq!(report.outcome, Deferred(Deferral::InFlight));
        assert_eq!(scene.invoked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_ignores_is_done() {
    let ignored = Behaviour::Says(r#"{"status":"ignored"}"#, Duration::ZERO);
    let scene = Scene::new().where_it(&[("Ev1", ignored)]);
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, NoQuestion);
    assert_eq!(scene.record("C1").await.state, State::Free);
}

#[tokio::test(start_paused = true)]
async fn what_asks_nothing_is_done_without_a_call_unless_the_agent_wants_all() {
    let reaction = || body("Ev1", &json!({ "type": "reaction_added", "channel": "C1", "user": "U1" }));
    let scene = Scene::new();
    assert_eq!(scene.one(reaction()).await.outcome, NoQuestion);
    assert_eq!((scene.invoked().len(), scene.put_off().len()), (0, 0));
    let scene = Scene::with_settings(DispatchSettings { events: AgentEvents::All, ..SETTINGS });
    assert_eq!(scene.one(reaction()).await.outcome, Dispatched);
    let payload = scene.world.payloads.lock().unwrap()[0].clone();
    assert_eq!((&payload["question"], &payload["work"]["record"]), (&Value::Null, &json!("dispatch#Ev1")));
}

#[tokio::test(start_paused = true)]
async fn conversations_go_side_by_side_and_a_conversation_in_its_order() {
    let scene = Scene::new();
    let messages = (0..30).map(|n| message(&format!("Ev{n:02}"), &format!("C{n}"))).collect();
    let reports = scene.run(messages).await;
    assert!(outcomes(&reports).iter().all(|outcome| *outcome == Dispatched));
    assert_eq!(scene.world.most_at_once.load(Ordering::Relaxed), 10);
}

#[tokio::test(start_paused = true)]
async fn on_a_fifo_queue_the_next_question_of_a_conversation_waits_for_the_answer() {
    let scene = Scene::new();
    let reports = scene.run(vec![message("Ev1", "C1"), later("Ev2", "C1", 1), message("Ev3", "C2")]).await;
    assert_eq!(outcomes(&reports), [Dispatched, Deferred(Deferral::Behind), Dispatched]);
    assert_eq!(
        reports[1].put_off_for,
        Some(Duration::ZERO),
        "SQS keeps it back while the first is invisible"
    );
    assert_eq!(scene.invoked(), ["Ev1", "Ev3"]);

    let scene = Scene::new();
    let reports = scene.run_for(MINUTE, false, vec![message("Ev1", "C1"), later("Ev2", "C1", 1)]).await;
    assert_eq!(outcomes(&reports), [Dispatched, Dispatched], "a standard queue keeps no order");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_question_that_cannot_be_counted_comes_again_with_a_back_off() {
    let scene = Scene::new();
    scene.one(stop("Ev9", "C1", "1531420630.000000")).await;
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Withdrawn);
    let scene = scene.failing(&[Fault::Write]);
    for count in [2, 9] {
        let report = scene.one(again(count, message("Ev1", "C1"))).await;
        let put_off = Some(back_off(count, "message of Ev1"));
        assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::Store), put_off));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_was_asked_before_it_and_says_how_many() {
    let scene = Scene::new();
    scene.one(message("Ev1", "C1")).await;
    let stop = |count| again(count, stop("Ev9", "C1", "1531420630.000000"));
    let report = scene.one(stop(1)).await;
    assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::InFlight), Some(STOP_GRACE)));
    // The one that waits is stopped when it comes, and what is asked later is not.
    assert_eq!(scene.one(later("Ev2", "C1", 1)).await.outcome, Withdrawn);
    assert_eq!(scene.one(later("Ev3", "C1", 100)).await.outcome, Dispatched);
    // The one at work is stopped when its lease is over, at the latest.
    scene.world.pass(LEASE + SECOND);
    assert_eq!(scene.one(again(2, message("Ev1", "C1"))).await.outcome, Withdrawn);
    assert_eq!(
        scene.one(again(3, message("Ev1", "C1"))).await.outcome,
        Withdrawn,
        "counted once all the same"
    );
    assert_eq!(scene.one(stop(2)).await.outcome, Deferred(Deferral::Settle));
    assert_eq!(scene.settled(), ["answer Stopped: 2 questions."]);
    assert_eq!(scene.invoked(), ["Ev1", "Ev3"]);
    let posted = |record: Option<&Record>, _| {
        let answered = State::Answered { ts: None, token: None };
        Transition::write(record.unwrap().with(answered), ())
    };
    update(&scene.world, &scene.world, &RecordKey::of_question("Ev9"), posted).await.unwrap();
    assert_eq!(scene.one(stop(3)).await.outcome, Stops);
}

#[tokio::test(start_paused = true)]
async fn each_of_two_stops_says_how_many_it_ended_itself() {
    let scene = Scene::new();
    let first = |count| again(count, stop("Ev8", "C1", "1531420630.000000"));
    let second = |count| again(count, stop("Ev9", "C1", "1531420640.000000"));
    scene.one(first(1)).await;
    scene.one(message("Ev1", "C1")).await;
    scene.one(later("Ev2", "C1", 1)).await;
    // Asked after the first stop, and before the second.
    scene.one(second(1)).await;
    assert_eq!(scene.one(later("Ev3", "C1", 15)).await.outcome, Withdrawn);
    scene.world.pass(STOP_GRACE + SECOND);
    for (stop, says) in
        [(first(2), "answer Stopped: 2 questions."), (second(2), "answer Stopped: 1 question.")]
    {
        assert_eq!(scene.one(stop).await.outcome, Deferred(Deferral::Settle));
        assert_eq!(scene.settled().last().map(String::as_str), Some(says));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_which_nobody_can_be_told_is_given_up_like_a_question() {
    let scene = Scene::new();
    let stop = |count| again(count, stop("Ev9", "C1", "1531420630.000000"));
    scene.one(stop(1)).await;
    scene.world.pass(SETTINGS.limits.give_up_after);
    let report = scene.one(stop(2)).await;
    assert_eq!((report.outcome, report.outcome.is_done()), (Deferred(Deferral::Settle), false));
    assert_eq!(scene.settled(), ["refuse gave_up"], "its letter follows when that is written down");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_withdraws_its_question_at_work_waiting_or_not_there_yet() {
    let scene = Scene::new();
    scene.one(message("Ev1", "C1")).await;
    scene.put_off();
    assert_eq!(scene.one(deletion("Ev8", "C1")).await.outcome, Deletion);
    assert_eq!(scene.put_off(), [("handle of Ev1".to_owned(), Duration::ZERO)]);
    assert_eq!(scene.world.signs.load(Ordering::Relaxed), 2, "shown, and taken back");
    assert_eq!(scene.one(again(2, message("Ev1", "C1"))).await.outcome, Withdrawn);
    assert_eq!(scene.one(deletion("Ev9", "C2")).await.outcome, Deletion);
    assert_eq!(scene.one(message("Ev2", "C2")).await.outcome, Withdrawn);
    assert_eq!(scene.invoked(), ["Ev1"]);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_waits_is_posted_on_and_the_agent_is_not_called() {
    let scene = Scene::new();
    scene.one(message("Ev1", "C1")).await;
    let (key, token, nonce) = (key("C1"), scene.token(), scene.world.next());
    let end = End::Answered;
    let intent = update(&scene.world, &scene.world, &key, |record, now| {
        operations::intend(record, &token, Some("42"), &end, &nonce, Now { now, stopped_at: None })
    });
    assert!(matches!(intent.await.unwrap(), operations::Intent::Post(_)));
    let refused = update(&scene.world, &scene.world, &key, |record, _| operations::refused(record, &nonce));
    assert!(refused.await.unwrap().is_some());
    assert_eq!(scene.one(again(2, message("Ev1", "C1"))).await.outcome, Deferred(Deferral::Settle));
    assert_eq!((scene.settled(), scene.invoked().len()), (vec!["post".to_owned()], 1));
    // Nothing was posted for a day.
    scene.world.pass(SETTINGS.limits.give_up_after);
    let report = scene.one(again(3, message("Ev1", "C1"))).await;
    assert_eq!(
        (report.outcome, report.reason.as_deref(), report.is_untold),
        (DeadLettered, Some("untold"), true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_dispatcher_handed_over_is_not_handed_over_again() {
    let former = RecordKey::of_question("Ev1");
    let write = async |scene: &Scene, state| {
        let record = Record::new(None, scene.world.now()).with(state);
        let write = |_: Option<&Record>, _| Transition::write(record.clone(), ());
        update(&scene.world, &scene.world, &former, write).await.unwrap();
    };
    let scene = Scene::new();
    write(&scene, State::Answered { ts: None, token: None }).await;
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Duplicate);
    let scene = Scene::new();
    let lease_until = scene.world.now().after(MINUTE);
    let receive = Receive { message_id: String::new(), handle: String::new() };
    write(&scene, State::InFlight(Flight { token: None, claimed_from: None, lease_until, receive })).await;
    assert_eq!(scene.one(message("Ev1", "C1")).await.put_off_for, Some(MINUTE + SECOND));
    scene.world.pass(MINUTE + SECOND);
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
}

/// A later question of the thread whose record says that the answer to the first one answers it, too.
#[tokio::test(start_paused = true)]
async fn a_question_that_another_answer_answers_is_done_when_that_stands() {
    let scene = Scene::new();
    let second = || message("Ev2", "C2");
    let leading = key("C1");
    let write = async |key: &RecordKey, state: State| {
        let write = |record: Option<&Record>, now| {
            let record = record.cloned().unwrap_or_else(|| Record::new(None, now));
            Transition::write(record.with(state.clone()), ())
        };
        update(&scene.world, &scene.world, key, write).await.unwrap();
    };
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
    let since = scene.world.store.read(&leading, scene.world.now()).await.unwrap().record.unwrap().since;
    let joined = || State::Joined { to: leading.question_id().to_owned(), since };
    write(&key("C2"), joined()).await;
    write(&leading, State::Answered { ts: Some("1.2".to_owned()), token: None }).await;
    assert_eq!(scene.one(again(2, second())).await.outcome, Duplicate);
    // Nobody has worked on it.
    assert_eq!(scene.invoked(), ["Ev1"]);
    let told = State::Told { why: "untold".to_owned(), told_for: Some("m1".to_owned()), token: None };
    write(&leading, told).await;
    assert!(matches!(scene.one(again(3, second())).await.outcome, DeadLettered));
    // The first one has started over.
    write(&key("C2"), State::Joined { to: leading.question_id().to_owned(), since: since.after(SECOND) })
        .await;
    assert_eq!(scene.one(again(4, second())).await.outcome, Dispatched);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_read_is_a_dead_letter_at_once_and_stays_if_no_queue_takes_it() {
    let unreadable = || QueueMessage { body: "no JSON".to_owned(), ..message("Ev1", "C1") };
    let scene = Scene::new().failing(&[Fault::DeadLetter]);
    let report = scene.one(unreadable()).await;
    assert_eq!((report.outcome, report.errors.len()), (Failed, 1));
    assert_eq!(scene.put_off().len(), 1);
    scene.heal();
    let report = scene.one(unreadable()).await;
    let reason = Some("the message's body is not the JSON of its kind");
    assert_eq!((report.outcome, report.reason.as_deref()), (DeadLettered, reason));
    assert!(report.is_untold, "nobody knows whom to tell");
    assert_eq!(scene.invoked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn with_the_store_down_the_agent_is_not_called() {
    for fault in [Fault::Read, Fault::Write, Fault::Stop] {
        let scene = Scene::new().failing(&[fault]);
        let report = scene.one(again(7, message("Ev1", "C1"))).await;
        assert_eq!(report.outcome, Deferred(Deferral::Store), "{fault:?}");
        assert_eq!(report.put_off_for, Some(back_off(7, "message of Ev1")));
        assert_eq!(scene.invoked(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_over_is_left_alone() {
    let scene = Scene::new().failing(&[Fault::Over]);
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Deferred(Deferral::InFlight));
    assert_eq!(scene.invoked(), [""; 0]);
    // Where nobody knows whether it is held, the record decides.
    let scene = Scene::new().failing(&[Fault::PutOff]);
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!((report.outcome, report.errors.len()), (Dispatched, 1));
}

#[tokio::test(start_paused = true)]
async fn what_agent_settle_does_not_hear_is_said_again_at_the_next_receive() {
    let scene = Scene::new().failing(&[Fault::Settle]);
    scene.one(message("Ev1", "C1")).await;
    scene.world.pass(SETTINGS.limits.give_up_after);
    for count in 2..5 {
        let report = scene.one(again(count, message("Ev1", "C1"))).await;
        assert_eq!((report.outcome, report.errors.len()), (Deferred(Deferral::Settle), 1));
        scene.world.pass(LEASE + SECOND);
    }
    assert_eq!(scene.settled(), ["refuse gave_up"; 3]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_that_might_not_be_finished() {
    let needed = SETTINGS.time_for_a_question();
    let scene = Scene::new();
    let report =
        scene.run_for(needed - Duration::from_millis(1), true, vec![message("Ev1", "C1")]).await.remove(0);
    let put_off = Some(back_off(1, "message of Ev1"));
    assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::Time), put_off));
    assert_eq!(scene.invoked().len(), 0);
    assert_eq!(outcomes(&scene.run_for(needed, true, vec![message("Ev1", "C1")]).await), [Dispatched]);
    // The question may go on by a decision, and by what says that nobody has decided, if somebody has.
    let waiting = Scene::waits_for_a_person().await;
    for goes_on in [click("0a1b"), lapse()] {
        let reports = waiting.run_for(needed - Duration::from_millis(1), true, vec![goes_on]).await;
        assert_eq!(outcomes(&reports), [Deferred(Deferral::Time)]);
    }
    assert!(waiting.settled().is_empty());
    // What needs no agent needs less time.
    let unreadable = || QueueMessage { body: "no JSON".to_owned(), ..message("Ev2", "C2") };
    let reports = scene.run_for(RESERVE - Duration::from_millis(1), true, vec![unreadable()]).await;
    assert_eq!(outcomes(&reports), [Deferred(Deferral::Time)]);
    assert_eq!(outcomes(&scene.run_for(RESERVE, true, vec![unreadable()]).await), [DeadLettered]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_cut_off_at_its_time_out() {
    let scene = Scene::new().where_it(&[("Ev1", Behaviour::Hangs)]);
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!((report.outcome, report.invoke), (Failed, Some(SETTINGS.agent_timeout)));
}

const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_for_a_message_belongs_to_the_trace_that_it_was_sent_in() {
    let traced = || QueueMessage { trace: TraceHeader::parse(TRACE_HEADER), ..message("Ev1", "C1") };
    for scene in [
        // A sign; a sign, beats, and an answer; a refusal.
        Scene::new(),
        plain().where_it(&[("Ev1", Behaviour::Says(r#""42""#, 35 * SECOND))]),
        Scene::with_settings(DispatchSettings {
            limits: Limits { give_up_after: Duration::ZERO, ..SETTINGS.limits },
            ..SETTINGS
        }),
    ] {
        let report = scene.one(traced()).await;
        assert_eq!(report.trace, TraceHeader::parse(TRACE_HEADER));
        assert_eq!(report.question_id.as_deref(), Some(key("C1").question_id()));
        let traces = std::mem::take(&mut *scene.world.traces.lock().unwrap());
        assert!(!traces.is_empty());
        assert!(traces.iter().all(|trace| trace.as_deref() == Some(TRACE_HEADER)), "{traces:?}");
        let trace_id = "1-5759e988-bd862e3fe1be46a994272793";
        assert_eq!(scene.record("C1").await.trace_id.as_deref(), Some(trace_id));
    }
}

fn plain() -> Scene {
    Scene::with_settings(DispatchSettings { protocol: AgentProtocol::Plain, ..SETTINGS })
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_an_agent_that_knows_nothing_is_posted_for_it() {
    for (says, answer) in [
        (r#"{"result":"42"}"#, "answer 42"),
        ("data: \"4\"\n\ndata: \"2\"\n\n", "answer 42"),
        // It has answered with tools of its own.
        ("{}", "answer"),
    ] {
        let scene = plain().where_it(&[("Ev1", Behaviour::Says(says, 35 * SECOND))]);
        assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched, "{says}");
        assert_eq!(scene.settled(), ["claim", "beat", "beat", "beat", answer]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_agent_that_fails_is_tried_again_after_its_lease() {
    let says = |says| Behaviour::Says(says, Duration::ZERO);
    let error_in_a_stream = says("data: {\"error\": \"out of tokens\"}\n\n");
    for behaviour in [Behaviour::Fails, says(r#"{"error":"x"}"#), error_in_a_stream] {
        let scene = plain().where_it(&[("Ev1", behaviour.clone())]);
        let report = scene.one(message("Ev1", "C1")).await;
        assert_eq!((report.outcome, report.put_off_for), (Failed, None), "{behaviour:?}");
        assert_eq!(scene.settled(), ["claim"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_plain_agent_says_about_an_event_without_a_place_is_posted_nowhere() {
    let settings = DispatchSettings { protocol: AgentProtocol::Plain, events: AgentEvents::All, ..SETTINGS };
    let scene = Scene::with_settings(settings)
        .where_it(&[("Ev1", Behaviour::Says(r#"{"result":"I saw it"}"#, Duration::ZERO))]);
    let reaction = body("Ev1", &json!({ "type": "reaction_added", "channel": "C1", "user": "U1" }));
    assert_eq!(scene.one(reaction).await.outcome, Dispatched);
    let answer = scene.world.settled.lock().unwrap().last().cloned().unwrap();
    assert_eq!((&answer["operation"], &answer["text"]), (&json!("answer"), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_plain_agent_is_asked_about_until_its_outcome_is_known() {
    let scene = plain().where_it(&[("Ev1", Behaviour::Says(r#""42""#, Duration::ZERO))]);
    scene.world.answers_lost.store(3, Ordering::Relaxed);
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
    assert_eq!(scene.settled(), ["claim", "answer 42", "answer 42", "answer 42", "answer 42"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_called_is_no_attempt_of_a_plain_agents_either() {
    let scene = plain().where_it(&[("Ev1", Behaviour::NotNow)]);
    let report = scene.one(message("Ev1", "C1")).await;
    let put_off = Some(back_off(1, "message of Ev1"));
    assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::Agent), put_off));
    assert_eq!((scene.record("C1").await.state, scene.record("C1").await.attempts), (State::Free, 0));
}

#[tokio::test(start_paused = true)]
async fn a_plain_agent_is_cut_off_by_a_stop_and_not_by_an_error() {
    let scene = plain().where_it(&[("Ev1", Behaviour::Hangs)]);
    let go_on = json!({ "outcome": "go on" });
    let cancel = json!({ "outcome": "cancel", "why": "stopped" });
    scene.world.answers.lock().unwrap().extend([json!({ "outcome": "claimed" }), go_on, Value::Null, cancel]);
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!((report.outcome, report.invoke), (Deferred(Deferral::InFlight), Some(30 * SECOND)));
    assert_eq!(scene.settled(), ["claim", "beat", "beat", "beat"]);
}

#[tokio::test(start_paused = true)]
async fn a_plain_agent_is_not_called_for_a_question_that_is_somebody_elses() {
    let scene = plain();
    scene.world.answers.lock().unwrap().push(json!({ "outcome": "gone" }));
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Deferred(Deferral::InFlight));
    // Nobody knows whether it was claimed, and nobody was called: that is no attempt.
    let scene = plain().failing(&[Fault::Settle]);
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!(
        (report.outcome, report.put_off_for),
        (Deferred(Deferral::Agent), Some(back_off(1, "message of Ev1")))
    );
    assert_eq!((scene.record("C1").await.state, scene.record("C1").await.attempts), (State::Free, 0));
    assert_eq!(scene.invoked(), [""; 0]);
}

#[test]
fn only_what_is_over_for_good_is_done() {
    let done = [Duplicate, DeadLettered, NoQuestion, MessageOutcome::Told, Withdrawn, Stops, Deletion];
    let deferrals = [
        Deferral::Agent,
        Deferral::Store,
        Deferral::InFlight,
        Deferral::Settle,
        Deferral::Behind,
        Deferral::Time,
    ];
    assert!(done.into_iter().all(MessageOutcome::is_done));
    assert!(!deferrals.into_iter().map(Deferred).chain([Dispatched, Failed]).any(MessageOutcome::is_done));
}

#[test]
fn a_stop_says_how_many_questions_it_ended() {
    assert_eq!(
        [0, 1, 2].map(stop_text),
        [
            "Stopped: whatever was asked here until now. An answer that was ready may still come.",
            "Stopped: 1 question.",
            "Stopped: 2 questions."
        ]
    );
}

fn opened(event_id: &str) -> QueueMessage {
    let event = json!({ "type": "app_home_opened", "channel": "D1", "tab": "messages", "user": "U1" });
    body(event_id, &event)
}

#[tokio::test(start_paused = true)]
async fn an_opened_pane_has_prompts_suggested_and_is_done_whatever_comes_of_it() {
    for faults in [&[][..], &[Fault::Settle], &[Fault::Read, Fault::Write, Fault::Stop]] {
        let scene = Scene::new().failing(faults);
        let report = scene.one(opened("Ev1")).await;
        assert_eq!((report.outcome, report.outcome.is_done()), (MessageOutcome::Pane, true), "{faults:?}");
        let asked = json!({ "version": 1, "operation": "prompts", "tenant": "T1", "channel": "D1", "thread_ts": null });
        assert_eq!(*scene.world.settled.lock().unwrap(), [asked]);
        assert!(scene.invoked().is_empty() && scene.put_off().is_empty());
        // It comes again, and the same is suggested again.
        assert_eq!(scene.one(again(2, opened("Ev1"))).await.outcome, MessageOutcome::Pane);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_gets_all_events_gets_an_opened_pane_too() {
    let scene = Scene::with_settings(DispatchSettings { events: AgentEvents::All, ..SETTINGS });
    assert_eq!(scene.one(opened("Ev1")).await.outcome, Dispatched);
    assert_eq!((scene.settled(), scene.invoked()), (vec!["prompts".to_owned()], vec!["Ev1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_click_under_an_answer_reaches_neither_the_agent_nor_a_record() {
    for events in [AgentEvents::Questions, AgentEvents::All] {
        let scene = Scene::with_settings(DispatchSettings { events, ..SETTINGS }).failing(&[
            Fault::Read,
            Fault::Write,
            Fault::Settle,
        ]);
        let click = json!({
            "type": "block_actions", "channel": { "id": "C1" }, "container": { "message_ts": "9.000100" },
            "response_url": "https://hooks.slack.com/x",
            "actions": [{
                "type": "feedback_buttons", "action_id": "slack_ingress_feedback", "value": "good A1:C1:1.2"
            }],
        });
        let mut message = QueueMessage { body: click.to_string(), ..message("0a1b", "C1") };
        message.attributes.insert("kind".to_owned(), "interaction".to_owned());
        let report = scene.one(message).await;
        assert_eq!((report.outcome, report.outcome.is_done()), (MessageOutcome::Feedback, true));
        let feedback = report.feedback.unwrap();
        assert!(feedback.rating.is_good && feedback.message_ts.as_deref() == Some("9.000100"));
        assert!(scene.invoked().is_empty() && scene.settled().is_empty() && scene.put_off().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_sign_brings_the_first_words_of_a_message_and_of_nothing_else() {
    let scene = Scene::new();
    scene.one(message("Ev1", "C1")).await;
    let command = json!({
        "command": "/ask", "channel_id": "C2", "user_id": "U1", "text": "what nobody else sees",
        "response_url": "https://hooks.slack.com/x"
    });
    let mut by_command = QueueMessage { body: command.to_string(), ..message("0a1b", "C2") };
    by_command.attributes.insert("kind".to_owned(), "command".to_owned());
    assert_eq!(scene.one(by_command).await.outcome, Dispatched);
    assert_eq!(*scene.world.titles.lock().unwrap(), [json!("how far are we?"), Value::Null]);
}

/// A question's id names no tenant, because a message in a shared channel is one question.
#[tokio::test(start_paused = true)]
async fn of_two_installations_with_one_channel_and_one_ts_the_second_neither_gets_nor_changes_the_firsts_work()
 {
    let of = |event_id: &str, tenant: &str| {
        let message = message(event_id, "C1");
        QueueMessage { body: message.body.replace(r#""T1""#, &format!("{tenant:?}")), ..message }
    };
    let tenant = async |scene: &Scene| {
        let record = scene.world.store.read(&key("C1"), scene.world.now()).await.unwrap().record.unwrap();
        record.place.unwrap().tenant
    };
    let scene = Scene::new();
    assert_eq!(scene.one(of("Ev1", "T1")).await.outcome, Dispatched);
    assert_eq!(scene.one(of("Ev2", "T2")).await.outcome, Duplicate);
    // Nobody has claimed it, and its lease is over: the copy does not take it even so.
    scene.world.pass(MINUTE * 60);
    assert_eq!(scene.one(of("Ev2", "T2")).await.outcome, Duplicate);
    assert_eq!((scene.invoked(), tenant(&scene).await.as_deref()), (vec!["Ev1".to_owned()], Some("T1")));
    assert_eq!(scene.one(again(2, of("Ev1", "T1"))).await.outcome, Dispatched);
    assert_eq!((scene.invoked(), tenant(&scene).await.as_deref()), (vec!["Ev1".to_owned()], Some("T1")));
}

/// Members alone may ask; what agent-settle says of an asker.
fn with_admission(answer: &Value) -> Scene {
    let scene = Scene::with_settings(DispatchSettings { who_may_ask: WhoMayAsk::default(), ..SETTINGS });
    scene.world.answers.lock().unwrap().push(answer.clone());
    scene
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_called_for_whoever_may_ask() {
    let scene = with_admission(&json!({ "outcome": "admitted" }));
    assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
    let asked = scene.world.settled.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    for (name, value) in [
        ("operation", json!("admit")),
        ("record", json!(format!("dispatch#A1:C1:{TS}"))),
        ("who_may_ask", json!("members")),
        ("is_bot", json!(false)),
        ("home", json!("unknown")),
    ] {
        assert_eq!(asked[0][name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_whom_slack_has_said_lately_that_they_may_ask_nobody_asks_again() {
    for (kind, asks) in [(AskerKind::Member, 0), (AskerKind::Guest, 1)] {
        let admitted = json!({ "outcome": "admitted" });
        let scene = with_admission(&admitted);
        assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
        let key = AskerKey::of(&scene.record("C1").await.place.unwrap()).unwrap();
        scene.world.store.remember(&key, kind, scene.world.now()).await.unwrap();
        scene.world.answers.lock().unwrap().push(admitted);
        assert_eq!(scene.one(message("Ev2", "C2")).await.outcome, Dispatched);
        assert_eq!(scene.world.settled.lock().unwrap().len(), 1 + asks, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_not_called_for_who_may_not_ask_and_agent_settle_ends_the_question() {
    for outcome in ["turned away", "taken over", "gone"] {
        let scene = with_admission(&json!({ "outcome": outcome }));
        let report = scene.one(message("Ev1", "C1")).await;
        assert_eq!((report.outcome, report.put_off_for), (Deferred(Deferral::Settle), None), "{outcome}");
        assert!(scene.invoked().is_empty());
        assert_eq!(scene.world.signs.load(Ordering::Relaxed), 0, "nobody works on it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_while_nobody_can_say_who_asks() {
    let scene =
        with_admission(&json!({ "outcome": "unreadable", "why": "slack_ratelimited", "again": true }));
    let report = scene.one(message("Ev1", "C1")).await;
    assert_eq!(report.outcome, Deferred(Deferral::Asker));
    assert!(report.put_off_for.is_some() && scene.invoked().is_empty());
    let record = scene.record("C1").await;
    assert_eq!((record.state, record.attempts), (State::Free, 0), "it is no attempt");
    let failing = with_admission(&json!({})).failing(&[Fault::Settle]);
    let report = failing.one(message("Ev1", "C1")).await;
    assert_eq!(report.outcome, Deferred(Deferral::Asker));
    assert!(report.errors.iter().any(|error| error.starts_with("admit")) && failing.invoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_bot_asks_is_no_question_unless_bots_may_ask() {
    let bot = || {
        let event = json!({
            "type": "app_mention", "subtype": "bot_message", "bot_id": "B2", "channel": "C1", "ts": TS, "text": "hi"
        });
        body("Ev1", &event)
    };
    for (words, outcome) in
        [("members,guests,external", NoQuestion), ("members,guests,external,bots", Dispatched)]
    {
        let who_may_ask = WhoMayAsk::read(words).unwrap();
        let scene = Scene::with_settings(DispatchSettings { who_may_ask, ..SETTINGS });
        assert_eq!(scene.one(bot()).await.outcome, outcome, "{words}");
        assert!(scene.world.settled.lock().unwrap().is_empty());
    }
}

const APPROVAL: &str = "0123456789abcdef0123456789abcdef";

/// A click that approves the first call of the question in channel C1.
fn click(event_id: &str) -> QueueMessage {
    let click = json!({
        "type": "block_actions", "user": { "id": "U7" }, "team": { "id": "T1" }, "api_app_id": "A1",
        "channel": { "id": "C1" }, "container": { "message_ts": "9.000100", "channel_id": "C1" },
        "message": { "ts": "9.000100", "thread_ts": TS }, "response_url": "https://hooks.slack.com/x",
        "actions": [{
            "type": "button", "action_id": "slack_ingress_approve", "value": format!("1 {APPROVAL} A1:C1:{TS}"),
        }],
    });
    let mut message = QueueMessage { body: click.to_string(), ..message(event_id, "C1") };
    message.attributes.insert("kind".to_owned(), "interaction".to_owned());
    message
}

/// The message that says that nobody has decided in time.
fn lapse() -> QueueMessage {
    let body = json!({ "n": 1, "approval": APPROVAL, "question_id": format!("A1:C1:{TS}") });
    let mut message = QueueMessage { body: body.to_string(), ..message("lapse", "C1") };
    message.attributes.insert("kind".to_owned(), "lapse".to_owned());
    message
}

impl Scene {
    /// A question in channel C1 that waits for a person.
    async fn waits_for_a_person() -> Self {
        let scene = Self::new();
        assert_eq!(scene.one(message("Ev1", "C1")).await.outcome, Dispatched);
        let invocation = scene.world.payloads.lock().unwrap().remove(0).to_string();
        scene.world.store.keep_invocation(&key("C1"), &invocation, scene.world.now()).await.unwrap();
        let asking = ApprovalRef { number: 1, approval: Token::parse(APPROVAL).unwrap() };
        let ts = Some("9.000100".to_owned());
        let suspended = State::Suspended { asking, ts, token: Token::from_bits(99) };
        update(&scene.world, &scene.world, &key("C1"), |record, _| {
            Transition::write(record.unwrap().with(suspended.clone()), ())
        })
        .await
        .unwrap();
        scene.world.invoked.lock().unwrap().clear();
        scene.put_off();
        scene
    }

    fn settle_answers(&self, answer: &Value) {
        self.world.answers.lock().unwrap().push(answer.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_click_that_decides_goes_on_with_the_question_by_its_own_message() {
    let scene = Scene::waits_for_a_person().await;
    scene.settle_answers(&json!({ "outcome": "decided", "verdict": "approved" }));
    let report = scene.one(click("0a1b")).await;
    let report_session = report.session_id.clone();
    assert_eq!((report.outcome, report.question_id), (Dispatched, Some(format!("A1:C1:{TS}"))));
    let asked = scene.world.settled.lock().unwrap()[0].clone();
    for (name, value) in [
        ("operation", "decide"),
        ("record", key("C1").as_str()),
        ("approval", APPROVAL),
        ("verdict", "approved"),
        ("by", "U7"),
        ("click", "0a1b"),
        ("tenant", "T1"),
        ("channel", "C1"),
        ("message_ts", "9.000100"),
        ("response_url", "https://hooks.slack.com/x"),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    // In the session of the question, whatever message brings it.
    assert_eq!(report_session, agent_call::session_id(&message("Ev1", "C1")));
    // The agent gets what it was invoked with, and a new right to the record, which holds the click's message.
    let payload = scene.world.payloads.lock().unwrap().last().unwrap().clone();
    assert_eq!(
        (&payload["question"]["id"], &payload["event_id"]),
        (&json!(format!("A1:C1:{TS}")), &json!("0a1b"))
    );
    assert_eq!(payload["body"]["event_id"], "Ev1");
    let State::InFlight(Flight { token, receive, .. }) = scene.record("C1").await.state else {
        panic!("it is in flight")
    };
    assert_eq!((token, receive), (Some(scene.token()), click("0a1b").receive()));
    // The question's own message, if SQS still has it, has nothing to do while somebody works.
    assert_eq!(scene.one(again(2, message("Ev1", "C1"))).await.outcome, Deferred(Deferral::InFlight));
}

#[tokio::test(start_paused = true)]
async fn a_click_without_effect_is_done_and_one_that_nobody_can_judge_comes_again() {
    let scene = Scene::waits_for_a_person().await;
    let before = scene.record("C1").await;
    scene.settle_answers(&json!({ "outcome": "no effect", "why": "not_yours" }));
    let report = scene.one(click("0a1b")).await;
    assert_eq!((report.outcome, report.outcome.is_done()), (MessageOutcome::NoEffect, true));
    for answer in [
        json!({ "outcome": "unreadable", "why": "slack_ratelimited", "again": true }),
        // An agent-settle of another version does not understand the request. The decision is kept until one does.
        json!({ "outcome": "invalid", "why": "n must be a number from 1" }),
    ] {
        scene.settle_answers(&answer);
        let report = scene.one(click("0a1b")).await;
        assert_eq!(report.outcome, Deferred(Deferral::Settle));
        let outcome = answer["outcome"].as_str().unwrap();
        assert!(format!("{:?}", report.errors).contains(&format!("agent-settle answered: {outcome}")));
    }
    assert_eq!((scene.invoked(), scene.record("C1").await), (vec![], before.clone()));
    let failing = scene.failing(&[Fault::Settle]);
    assert_eq!(failing.one(again(2, click("0a1b"))).await.outcome, Deferred(Deferral::Settle));
    assert_eq!(failing.record("C1").await, before);
}

#[tokio::test(start_paused = true)]
async fn a_click_whose_button_is_none_of_ours_asks_nobody() {
    let scene = Scene::waits_for_a_person().await;
    for (ours, none_of_ours) in
        [(APPROVAL, "short".to_owned()), ("A1:C1:", "stop:A1:C1:".to_owned()), ("A1:C1:", "A".repeat(1100))]
    {
        let mut other = click("0a1b");
        other.body = other.body.replace(ours, &none_of_ours);
        assert_ne!(other.body, click("0a1b").body);
        assert_eq!(scene.one(other).await.outcome, MessageOutcome::NoEffect, "{none_of_ours}");
    }
    assert!(scene.settled().is_empty() && scene.invoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn when_nobody_has_decided_in_time_that_is_said_and_the_agent_is_not_called() {
    let scene = Scene::waits_for_a_person().await;
    scene.settle_answers(&json!({ "outcome": "decided", "verdict": "lapsed" }));
    assert_eq!(scene.one(lapse()).await.outcome, Deferred(Deferral::Settle));
    assert_eq!(scene.settled(), ["decide".to_owned(), format!("answer {LAPSED}")]);
    assert!(scene.invoked().is_empty());
    let State::InFlight(Flight { receive, .. }) = scene.record("C1").await.state else {
        panic!("it is in flight")
    };
    assert_eq!(receive, lapse().receive());
    // Somebody has decided, and the message that says so is gone: this one carries the question on, in its session.
    let scene = Scene::waits_for_a_person().await;
    scene.settle_answers(&json!({ "outcome": "decided", "verdict": "approved" }));
    let report = scene.one(lapse()).await;
    assert_eq!(
        (report.outcome, report.session_id),
        (Dispatched, agent_call::session_id(&message("Ev1", "C1")))
    );
    // Somebody was earlier.
    let scene = Scene::waits_for_a_person().await;
    scene.settle_answers(&json!({ "outcome": "no effect", "why": "decided" }));
    assert!(scene.one(lapse()).await.outcome.is_done());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_waits_for_a_person_needs_no_message() {
    let scene = Scene::waits_for_a_person().await;
    for _again in 0..2 {
        let report = scene.one(again(2, message("Ev1", "C1"))).await;
        assert_eq!((report.outcome, report.outcome.is_done()), (Duplicate, true));
    }
    let signs = || scene.world.signs.load(Ordering::Relaxed);
    let before = signs();
    for _again in 0..2 {
        assert_eq!(scene.one(deletion("Ev9", "C1")).await.outcome, Deletion);
        let record = scene.record("C1").await;
        assert!(matches!(record.state, State::Told { why, .. } if why == receive::DELETED));
        // agent-settle finds there what was asked, and where. It is told again if the message comes again: after the first time the
        // dispatcher may have died.
        let Buttons { asking, ts } = record.buttons.expect("they stand");
        assert_eq!((asking.approval.as_str(), ts.as_deref()), (APPROVAL, Some("9.000100")));
    }
    assert_eq!(signs(), before + 2);
    assert_eq!(scene.one(deletion("Ev9", "C404")).await.outcome, Deletion);
    assert_eq!(signs(), before + 2, "most messages that people delete have asked nothing");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_not_done_before_it_is_cleared_up_after() {
    let scene = Scene::waits_for_a_person().await.failing(&[Fault::Sign]);
    let report = scene.one(deletion("Ev9", "C1")).await;
    assert_eq!(report.outcome, Deferred(Deferral::Settle));
    assert!(report.put_off_for.is_some());
    scene.heal();
    assert_eq!(scene.one(again(2, deletion("Ev9", "C1"))).await.outcome, Deletion);
}

#[tokio::test(start_paused = true)]
async fn the_turn_after_a_decision_is_in_the_questions_own_session_whatever_the_agent_has_said() {
    let scene = Scene::waits_for_a_person().await;
    let kept = json!({ "attributes": { "kind": "event", "conversation": "T1:C_VICTIM:1.2" }, "body": {} });
    let key = key("C1");
    scene.world.store.keep_invocation(&key, &kept.to_string(), UnixMillis::from_millis(NOW)).await.unwrap();
    scene.settle_answers(&json!({ "outcome": "decided", "verdict": "approved" }));
    let report = scene.one(click("0a1b")).await;
    assert_eq!(report.session_id, agent_call::session_id(&message("Ev1", "C1")));
    let payload = scene.world.payloads.lock().unwrap().last().unwrap().clone();
    assert_ne!(payload["attributes"]["conversation"], "T1:C_VICTIM:1.2");
}
