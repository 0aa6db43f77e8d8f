//! Runs one history: Slack sends questions, stops and deletions to the real ingress, and Lambda polls the queue for the real
//! dispatcher.

use serde_json::json;
use slack_ingress::dedup::memory::MemoryStore;
use slack_ingress::dispatch::batch::Batch;
use slack_ingress::dispatch::message::QueueMessage;
use slack_ingress::dispatch::reply::AgentProtocol;
use slack_ingress::dispatch::{AgentEvents, Dispatch, DispatchSettings};
use slack_ingress::ingress::{BotEvents, Inbound, Ingress, IngressSettings};
use slack_ingress::slack::answer_text;
use slack_ingress::slack::payload::{ControlEvents, DedupKey, DmConversation};
use slack_ingress::slack::question::SlackTs;
use slack_ingress::slack::retries::Attempt;
use slack_ingress::slack::secrets::SigningSecrets;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::telemetry::report::dispatch::{Deferral, MessageOutcome};
use slack_ingress::telemetry::report::ingress::RequestOutcome;
use slack_ingress::time::invocation::Invocation;
use slack_ingress::work::receive::Limits;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

use super::approvals::{self, Press, Shown};
use super::faults::Fault;
use super::ledger::Totals;
use super::process::{In, Process, Program};
use super::queue::{Content, Dropped};
use super::rules::Rule;
use super::settle::post_wait;
use super::sim::{GUEST, MEMBER, Node, Sim};
use super::together;
use crate::slack::SECRET;

const APP: &str = "A1";
const CHANNEL: &str = "C1";

/// How long nothing must be left on the queue until the history is over: longer than anything late takes.
const QUIET: Duration = Duration::from_secs(600);

/// How much longer than the time after which questions are given up a history may last.
const MARGIN: Duration = Duration::from_secs(12 * 3600);

/// What a history counted, which rules it broke, and its narration if one was asked for.
pub(crate) struct History {
    pub(crate) totals: Totals,
    pub(crate) violations: Vec<String>,
    narration: String,
}

/// Plays Slack and Lambda.
pub(crate) struct World {
    sim: Arc<Sim>,
    ingress: Ingress<MemoryStore, Node, Node>,
}

/// What somebody does in a thread.
#[derive(Clone, Debug)]
enum Act {
    Ask { number: u64, user: &'static str },
    AskAgainInAnotherMessage { number: u64, ts: String, user: &'static str },
    Stop,
    Delete { ts: String },
}

impl World {
    /// Runs the history of a seed.
    pub(crate) fn run(seed: u64) -> History {
        Self::history(seed, None, false, false)
    }

    /// Runs a history in which a rule matters, with that rule switched off if `is_off`.
    pub(crate) fn run_about(rule: Rule, is_off: bool, seed: u64) -> History {
        Self::history(seed, Some(rule), is_off, false)
    }

    /// Runs the history of a seed and returns what happened, line by line.
    pub(crate) fn narrate(seed: u64) -> String {
        Self::narrate_about(None, false, seed)
    }

    /// The same of a history in which a rule matters.
    pub(crate) fn narrate_about(rule: Option<Rule>, is_off: bool, seed: u64) -> String {
        let history = Self::history(seed, rule, is_off, true);
        format!("SEED={seed}\n{}{}\n", history.narration, history.violations.join("\n"))
    }

    fn history(seed: u64, rule: Option<Rule>, is_off: bool, narration: bool) -> History {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let sim = Sim::new(seed, rule, is_off, narration);
            let world = Arc::new(Self { ingress: ingress(&sim), sim: Arc::clone(&sim) });
            let polling = tokio::spawn(poll(Arc::clone(&sim)));
            let people = tokio::spawn(Arc::clone(&world).decide());
            world.play().await;
            world.end().await;
            sim.is_over.store(true, Ordering::Relaxed);
            polling.abort();
            people.abort();
            let mut ledger = sim.ledger();
            let at = sim.at();
            let left: Vec<Arc<Content>> = sim.queue.lock().unwrap().left().cloned().collect();
            left.iter().for_each(|content| ledger.is_left(at, content));
            ledger.check_limits(at, &sim);
            ledger.check_trail(at, &sim);
            ledger.check_end(at, &sim.settings, |text| answer_text::parts(text).len());
            ledger.check_together(at);
            ledger.check_streams(at, &sim.streams.lock().unwrap().with_words());
            History {
                totals: ledger.totals(),
                violations: ledger.violations.clone(),
                narration: ledger.narration.take().unwrap_or_default(),
            }
        })
    }

    /// Has everybody ask, stop and delete. Returns when all of that has been sent.
    async fn play(self: &Arc<Self>) {
        let settings = self.sim.settings.clone();
        let mut acts = Vec::new();
        for number in 0..settings.questions {
            let (thread, at) = {
                let mut chance = self.sim.chance();
                (chance.number(1..=settings.threads), chance.millis(0..=settings.asked_within))
            };
            acts.push(tokio::spawn(Arc::clone(self).asks(number, thread, at)));
        }
        for act in acts {
            act.await.unwrap();
        }
    }

    /// Somebody asks, and perhaps regrets it.
    async fn asks(self: Arc<Self>, number: u64, thread: u64, at: Duration) {
        sleep(at).await;
        let settings = &self.sim.settings;
        let (doubled, stopped, deleted, apart, later, user) = {
            let mut chance = self.sim.chance();
            (
                chance.per_mille(settings.in_two_messages),
                chance.per_mille(settings.stopped),
                chance.per_mille(settings.deleted),
                chance.millis(0..=30_000),
                chance.choose(&[0..=1_000, 0..=10_000, 0..=120_000]),
                if chance.per_mille(settings.guests) { GUEST } else { MEMBER },
            )
        };
        let ts = self.sends(thread, Act::Ask { number, user }).await;
        if doubled {
            self.sim.count(Fault::OneQuestionInTwoMessages);
            let again = Act::AskAgainInAnotherMessage { number, ts: ts.clone(), user };
            let world = Arc::clone(&self);
            self.sim.spawn(async move {
                sleep(apart).await;
                world.sends(thread, again).await;
            });
        }
        let later = self.sim.millis(later);
        if stopped || deleted {
            sleep(later).await;
        }
        if stopped {
            self.sim.count(Fault::Stop);
            self.sends(thread, Act::Stop).await;
        }
        if deleted {
            self.sim.count(Fault::Deletion);
            self.sends(thread, Act::Delete { ts }).await;
        }
    }

    /// Slack sends an event until the ingress has taken it. Returns the event's `ts`.
    async fn sends(&self, thread: u64, act: Act) -> String {
        let now = self.sim.true_time();
        let micros = now.as_millis() % 1000 * 1000 + self.sim.chance().number(0..=999);
        let ts = format!("{}.{micros:06}", now.as_secs());
        let thread_ts = format!("1799999999.{thread:06}");
        let (event_id, event) = match &act {
            Act::Ask { number, .. } => (
                format!("Ev{number}"),
                json!({ "type": "app_mention", "ts": ts, "text": format!("question {number}") }),
            ),
            Act::AskAgainInAnotherMessage { number, ts, .. } => (
                format!("Ev{number}again"),
                json!({ "type": "app_mention", "ts": ts, "text": format!("question {number}") }),
            ),
            Act::Stop => (
                format!("Stop{ts}"),
                json!({ "type": "agent_session_stopped", "event_ts": ts, "streaming_message_ts": [] }),
            ),
            Act::Delete { ts: deleted } => (
                format!("Delete{ts}"),
                json!({
                    "type": "message", "subtype": "message_deleted", "hidden": true, "ts": ts,
                    "deleted_ts": deleted, "event_ts": ts, "channel_type": "channel",
                    "previous_message": {
                        "type": "message", "user": "U1", "ts": deleted, "thread_ts": thread_ts, "text": "?"
                    }
                }),
            ),
        };
        let mut body = json!({
            "type": "event_callback", "event_id": event_id, "team_id": "T1", "api_app_id": APP,
            "authorizations": [{ "team_id": "T1", "user_id": "UBOT", "is_bot": true }],
            "event": event
        });
        let event = body["event"].as_object_mut().unwrap();
        event.insert("channel".to_owned(), json!(CHANNEL));
        let user = match &act {
            Act::Ask { user, .. } | Act::AskAgainInAnotherMessage { user, .. } => user,
            Act::Stop | Act::Delete { .. } => MEMBER,
        };
        event.insert("user".to_owned(), json!(user));
        if !matches!(act, Act::Delete { .. }) {
            event.insert("thread_ts".to_owned(), json!(thread_ts));
        }
        self.note(&act, &event_id, &ts, &thread_ts);
        if matches!(act, Act::Stop) {
            let (thread, at) = (format!("{CHANNEL}:{thread_ts}"), self.sim.at());
            if self.sim.streams.lock().unwrap().press_stop(&thread, at) {
                self.sim.count(Fault::StreamStoppedByUser);
            }
            let stop_key = format!("stop:{APP}:{CHANNEL}:{thread_ts}");
            self.sim.ledger().stop_is_pressed(&stop_key, SlackTs::parse(&ts).unwrap());
        }
        self.sim.say("slack", &event_id, format_args!("sends {act:?}, {ts} in {thread_ts}"));
        self.deliver(&event_id, &body.to_string(), "application/json", &[0, 1, 60, 300]).await;
        ts
    }

    fn note(&self, act: &Act, event_id: &str, ts: &str, thread_ts: &str) {
        let mut ledger = self.sim.ledger();
        let stop_key = format!("stop:{APP}:{CHANNEL}:{thread_ts}");
        let at = SlackTs::parse(ts).unwrap();
        match act {
            Act::Ask { user, .. } => {
                self.sim.said.lock().unwrap().add(thread_ts, ts, user);
                let id = format!("{APP}:{CHANNEL}:{ts}");
                ledger.is_asked(&id, &stop_key, at, false);
                if *user == GUEST {
                    ledger.is_asked_by_a_guest(&id);
                }
                ledger.event(event_id, &id);
            }
            Act::AskAgainInAnotherMessage { ts, .. } => {
                ledger.event(event_id, &format!("{APP}:{CHANNEL}:{ts}"));
            }
            Act::Stop => {
                ledger.is_asked(event_id, &stop_key, at.next(), true);
                ledger.event(event_id, event_id);
            }
            Act::Delete { ts } => {
                self.sim.said.lock().unwrap().delete(thread_ts, ts);
                ledger.is_deleted(&format!("{APP}:{CHANNEL}:{ts}"));
            }
        }
    }

    /// Has people decide about what they are asked, for ever.
    async fn decide(self: Arc<Self>) {
        loop {
            let is_shown = self.sim.is_shown.notified();
            let mut is_shown = pin!(is_shown);
            is_shown.as_mut().enable();
            let messages = std::mem::take(&mut *self.sim.shown.lock().unwrap());
            if messages.is_empty() {
                is_shown.await;
            }
            for shown in messages {
                for press in approvals::presses(&self.sim) {
                    self.sim.pending.fetch_add(1, Ordering::Relaxed);
                    let (world, shown) = (Arc::clone(&self), shown.clone());
                    self.sim.spawn(async move {
                        sleep(press.after).await;
                        world.clicks(&shown, &press).await;
                        world.sim.pending.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                self.sim.pending.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Somebody presses a button. Slack sends that once.
    async fn clicks(&self, shown: &Shown, press: &Press) {
        let now = self.sim.true_time();
        let number = self.sim.chance().number(0..=u64::MAX);
        let at = format!("{}.{:06}", now.as_secs(), now.as_millis() % 1000 * 1000);
        self.sim.say("slack", shown.question(), format_args!("{} presses {:?}", press.user, press.verdict));
        self.sim.ledger().approvals.is_clicked(shown, press);
        let interaction = approvals::interaction(shown, press, APP, &at, number).to_string();
        let encoded = percent_encoding::utf8_percent_encode(&interaction, percent_encoding::NON_ALPHANUMERIC);
        let body = format!("payload={encoded}");
        self.deliver(&format!("click{number}"), &body, "application/x-www-form-urlencoded", &[0]).await;
    }

    async fn deliver(&self, event_id: &str, body: &str, content_type: &str, pauses: &[u64]) {
        for (retry, pause) in pauses.iter().copied().enumerate() {
            sleep(Duration::from_secs(pause)).await;
            let retry_num = u32::try_from(retry).ok().filter(|retry| *retry > 0);
            let now = self.sim.true_time();
            let timestamp = now.as_secs().to_string();
            let inbound = Inbound {
                signature: Some(SigningSecret::new(SECRET).sign(&timestamp, body.as_bytes())),
                timestamp: Some(timestamp),
                content_type: Some(content_type.to_owned()),
                attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "http_error".to_owned()) },
                delivery_id: None,
                gateway_time: Some(now),
                body: body.as_bytes().to_vec(),
            };
            let request_id = self.sim.name("request");
            let request_id = format!("{request_id}{event_id}.{retry}");
            let deadline = now.after(Duration::from_secs(5));
            let invocation = Invocation { request_id, deadline, trace_header: None };
            let report = self.ingress.handle(inbound, invocation).await;
            // What is parked comes back by the redrive, which is in the simulation of the door.
            if matches!(report.outcome, RequestOutcome::Accepted | RequestOutcome::Duplicate) {
                self.sim.ledger().is_accepted(event_id);
            }
            if crate::ledger::is_200(&report.outcome) {
                return;
            }
        }
    }

    /// Waits until nothing is left on the queue, or for longer than anything may take.
    async fn end(&self) {
        let sim = &self.sim;
        let settings = &sim.settings;
        let in_turn = if settings.token_put_at == Duration::MAX { settings.questions * 2 } else { 1 };
        let given_up = settings.give_up_after * u32::try_from(in_turn).unwrap();
        let latest = settings.faults_until + given_up + MARGIN;
        let mut quiet_since = None;
        while sim.at() < latest {
            sleep(Duration::from_secs(30)).await;
            self.send_letters_back();
            let left: Vec<Arc<Content>> = sim.queue.lock().unwrap().left().cloned().collect();
            sim.ledger().check_held(sim.at(), &left, settings);
            if sim.pending.load(Ordering::Relaxed) > 0 || !sim.queue.lock().unwrap().is_empty() {
                quiet_since = None;
                continue;
            }
            let since = *quiet_since.get_or_insert(sim.at());
            if sim.at() >= since + QUIET && !sim.sessions.lock().unwrap().are_at_work() {
                return;
            }
        }
    }

    /// A person has seen to what was wrong, and sends the dead letters back.
    fn send_letters_back(&self) {
        let sim = &self.sim;
        if !sim.settings.letters_are_sent_back || sim.has_faults() {
            return;
        }
        let letters = sim.ledger().take_letters();
        for letter in letters {
            if sim.ledger().is_sent_back(&letter) {
                sim.say("somebody", "", format_args!("sends back {:?}", letter.attribute("event_id")));
                sim.send_back(letter);
            }
        }
    }
}

fn ingress(sim: &Arc<Sim>) -> Ingress<MemoryStore, Node, Node> {
    let control_events: &[&str] = if sim.settings.deletions_are_control {
        &["agent_session_stopped", "message_deleted"]
    } else {
        &["agent_session_stopped"]
    };
    let settings = IngressSettings {
        dedup_ttl: Duration::from_secs(3600),
        dedup_key: DedupKey::EventId,
        dm_conversation: DmConversation::Channel,
        control_events: ControlEvents::new(control_events.iter().copied()),
        bot_events: BotEvents::Drop,
        ack_budget: Duration::from_millis(2500),
    };
    let node = Node::new(sim, Process::start(sim, Program::Ingress, sim.name("ingress")));
    let secrets = SigningSecrets::fixed([SigningSecret::new(SECRET)]);
    Ingress::new(secrets, MemoryStore::new(), node.clone(), node, settings)
}

/// Polls the queue, as Lambda's event source mapping does, and invokes the dispatcher.
async fn poll(sim: Arc<Sim>) {
    loop {
        let changed = sim.queue_changed.notified();
        let mut changed = pin!(changed);
        changed.as_mut().enable();
        let at = sim.at();
        let twice = !sim.settings.fifo && sim.goes_wrong(sim.settings.twice / 4);
        let mut dropped = Dropped::default();
        let messages = {
            let mut chance = sim.chance();
            let max = usize::try_from(chance.number(1..=sim.settings.batch_size as u64)).unwrap();
            let mut queue = sim.queue.lock().unwrap();
            queue.receive(at, max, &sim.settings, twice, &mut chance, &mut dropped)
        };
        for content in dropped.by_retention {
            sim.count(Fault::RetentionReached);
            sim.ledger().is_dropped(&content);
        }
        for content in dropped.by_receive_count {
            sim.count(Fault::MaxReceiveCountReached);
            sim.ledger().is_dropped(&content);
        }
        if messages.is_empty() {
            let next = sim.queue.lock().unwrap().next_visible(at);
            let wait = next.map_or(Duration::from_secs(3600), |next| next - at);
            let _ = timeout(wait, changed).await;
            continue;
        }
        if twice {
            sim.count(Fault::StandardMessageGivenOutTwice);
        }
        sim.spawn(invoke(Arc::clone(&sim), messages));
        let pause = sim.millis(1..=20);
        sleep(pause).await;
    }
}

/// Invokes the dispatcher with a batch, and takes off the queue what it says is done.
async fn invoke(sim: Arc<Sim>, messages: Vec<QueueMessage>) {
    for message in &messages {
        let event_id = message.attributes.get("event_id").map(String::as_str).unwrap_or_default();
        sim.say("queue", event_id, format_args!("gives out {}", message.receipt_handle));
        sim.ledger().is_received(sim.at(), event_id, &sim.settings);
    }
    if sim.goes_wrong(sim.settings.twice) {
        sim.count(Fault::OneReceiveRunTwice);
        let (again, messages, apart) = (Arc::clone(&sim), messages.clone(), sim.millis(0..=70_000));
        sim.spawn(async move {
            sleep(apart).await;
            dispatch(&again, messages).await;
        });
    }
    let handles: BTreeMap<String, String> =
        messages.iter().map(|message| (message.message_id.clone(), message.receipt_handle.clone())).collect();
    let Some(done) = dispatch(&sim, messages).await else { return };
    let back = sim.millis(1..=30);
    sleep(back).await;
    for message_id in done {
        let changed = sim.delete(&handles[&message_id]);
        sim.say("lambda", "", format_args!("deletes {message_id}: {changed:?}"));
    }
}

/// One invocation of the real [`Dispatch`]. Returns the ids of the messages that are done; `None` if it died.
async fn dispatch(sim: &Arc<Sim>, messages: Vec<QueueMessage>) -> Option<Vec<String>> {
    let process = Process::start(sim, Program::Dispatcher, sim.name("dispatcher"));
    let question = |message: &QueueMessage| {
        let event_id = message.attributes.get("event_id")?;
        Some((sim.ledger().question_of_event(event_id)?, message.message_id.clone()))
    };
    let node = Node {
        messages: Arc::new(messages.iter().filter_map(question).collect()),
        ..Node::new(sim, Arc::clone(&process))
    };
    let settings = &sim.settings;
    let dispatch_settings = DispatchSettings {
        agent_timeout: settings.agent_timeout,
        limits: Limits {
            max_attempts: settings.max_attempts,
            give_up_after: settings.give_up_after,
            post_wait: post_wait(sim),
        },
        protocol: AgentProtocol::Work,
        events: AgentEvents::Questions,
        dm_conversation: DmConversation::Channel,
        who_may_ask: together::who_may_ask(sim),
    };
    let dispatch = Dispatch::new(
        node.clone(),
        node.clone(),
        node.clone(),
        node.clone(),
        node.clone(),
        node.clone(),
        node.clone(),
        dispatch_settings,
    );
    // Lambda says the deadline by the clock of the machine that the process is on.
    let deadline = slack_ingress::time::clock::Clock::now(&node).after(settings.dispatch_timeout);
    let request_id = process.name.clone();
    let invocation = Invocation { request_id, deadline, trace_header: None };
    let batch = Batch { is_fifo: settings.fifo, messages };
    let run = In::new(sim, &process, dispatch.run(batch, &invocation));
    let Ok(reports) = timeout(settings.dispatch_timeout, run).await else {
        sim.count(Fault::DispatcherDies);
        process.die();
        return None;
    };
    let reports = reports?;
    let mut done = Vec::new();
    for report in reports {
        sim.say(
            &process.name,
            &report.message_id,
            format_args!(
                "{} {:?}, put off for {:?}, {:?}",
                report.outcome.as_str(),
                report.outcome,
                report.put_off_for,
                report.errors
            ),
        );
        let event_id = report.shown_attributes.iter().find(|(name, _)| *name == "event_id");
        if report.outcome == MessageOutcome::Deferred(Deferral::InFlight)
            && report.put_off_for.is_some()
            && event_id.is_some_and(|(_, id)| sim.ledger().is_in_several_messages(id))
        {
            sim.count(Fault::BystandersPutOff);
        }
        let is_at_work = report.outcome == MessageOutcome::Dispatched && sim.is_off(Rule::NotDoneWhileAtWork);
        let is_held = report.outcome == MessageOutcome::Duplicate && sim.is_off(Rule::SuspensionHoldsNothing);
        if report.outcome.is_done() && !is_held || is_at_work {
            done.push(report.message_id);
        }
    }
    Some(done)
}
