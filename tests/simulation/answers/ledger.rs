//! Records what really happened, also where no process knows it, and checks these rules:
//!
//! - **answered**: every accepted question is answered, or told and a dead letter, or was withdrawn; whatever the record says, the
//!   thread says the same.
//! - **twice**: no part of an answer stands twice, and no two texts stand for one question.
//! - **parts**: the parts of a text stand in their order.
//! - **order**: on a FIFO queue the texts of a conversation stand in the order in which its questions came.
//! - **letter**: a question that was told has its dead letter, with the reason that its record has; no other has one.
//! - **stop**: what was asked before a stop is not written down to be posted after the stop stands in the table; a question is
//!   withdrawn only for a stop or a deletion, and nothing is posted for it. Each is counted once.
//! - **unknown**: that an outcome is unknown is said only where Slack could not be asked.
//! - **attempts**: an attempt is a claim that was not given back; nobody gives up before the attempts or the time are used up.
//! - **alone**: nobody else works on a question while a process works on it that nothing has disturbed.
//! - **quiet**: the message of such a question does not come again and again.
//! - **left**: nothing is left on the queue.
//! - **done**: of the goals that a model reaches with tools for a question, each is reached once, over all attempts; a call that
//!   the agent is told was made was made.
//! - **stream**: of what was shown of an answer while it was being thought nothing is left beside the answer: it stands in its place.
//! - **asker**: nobody works on what a guest asks; a guest is told so, and not twice within a day; nobody else is.
//! - **approval**: nothing is called of a tool that asks first but what was approved, by whoever may, in time, to the letter as it
//!   was shown, and once; the first decision stands, and a click without effect changes nothing; that nobody has decided in time is
//!   said only then.
//! - **held**: while a person is asked, no message of the question is on the queue, and nobody works on it.
//! - **together**: each question is in exactly one answer: its own, or that of the question to which its record is joined.
//! - **trail**: where there is an audit trail, what is posted, what tools are called and who is worked for stands in it.
//! - **valid**: agent-settle understands every request.

use serde_json::Value;
use slack_ingress::slack::answer_text;
use slack_ingress::slack::approval::LAPSED;
use slack_ingress::slack::question::SlackTs;
use slack_ingress::work::journal::{Entry, ProposedCall};
use slack_ingress::work::record::{Declined, End, Record, State, Via};
use slack_ingress::work::stream::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::approvals::{self, Approvals, Shown, Wrongs};
use super::audit;
use super::faults::{Counts, Fault};
use super::process::Process;
use super::queue::Content;
use super::settings::Settings;
use super::sim::Sim;
use super::{together, usage};

/// What a text is that is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    question: String,
    generation: u32,
    part: u32,
    end: End,
    text: String,
    was_posted: bool,
    /// Of what was put into the message of a stream, too, nobody can find out whether it stands.
    could_not_be_asked: bool,
}

#[derive(Clone, Debug)]
struct Posted {
    at: Duration,
    generation: u32,
    part: u32,
    end: End,
    text: String,
    /// The message of a stream that it stands in, if it does.
    stream: Option<String>,
    /// Whether somebody has deleted it in Slack.
    is_deleted: bool,
}

/// What is known about one question.
#[derive(Clone, Debug, Default)]
struct Question {
    /// The key of its thread's stops.
    thread: String,
    asked_at: Option<SlackTs>,
    is_stop: bool,
    /// Whether somebody asks who may not.
    is_of_guest: bool,
    /// Whether it is the question that tells them.
    is_to_tell: bool,
    is_accepted: bool,
    /// Its conversation on the queue, and its place in it.
    group: Option<(String, u64)>,
    messages: u32,
    /// Whether its letter was sent back.
    is_sent_back: bool,
    /// How often it has started over, because its letter was sent back.
    generation: u32,
    posts: Vec<Posted>,
    /// The reasons of its letters, by generation.
    letters: Vec<(u32, Option<String>)>,
    is_deleted: bool,
    may_be_ignored: bool,
    was_dropped: bool,
    counted_stopped: bool,
    /// Whether it was ended for a stop before that was in the table: agent-settle heard of it from Slack.
    is_ahead_of_stop: bool,
    was_told_before_it_was_deleted: bool,
    expected_attempts: u32,
    first_received: Option<Duration>,
    record: Option<Record>,
    workers: Vec<Worker>,
    /// The calls of tools that took effect, by their goals.
    effects: BTreeMap<u64, Value>,
    /// Since when a person is asked.
    suspended_since: Option<Duration>,
    /// Whether an agent has not read what earlier attempts have called.
    ignores_its_journal: bool,
    /// Whether the answer to another question was to answer it.
    was_joined: bool,
}

#[derive(Clone, Debug)]
struct Worker {
    process: Arc<Process>,
    is_disturbed: bool,
    receives: u32,
}

/// What many histories counted together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) histories: u64,
    pub(crate) questions: u64,
    pub(crate) faults: Counts,
    ends: BTreeMap<String, u64>,
    posts: u64,
    receives: u64,
    effects: u64,
    letters_doubled: u64,
    suspensions: u64,
    clicks: u64,
    decisions: BTreeMap<&'static str, u64>,
}

/// The stops, by the keys of their threads.
#[derive(Debug, Default)]
struct Stops {
    /// When they were in the table.
    put: BTreeMap<String, Vec<(Duration, SlackTs)>>,
    /// When somebody pressed them, whether or not their events have come.
    pressed: BTreeMap<String, Vec<SlackTs>>,
}

/// What was really used of the agent.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// The tokens for each question that somebody has thought about.
    pub(crate) tokens: BTreeMap<String, u64>,
    /// The calls of tools that took effect.
    pub(crate) tool_calls: u64,
}

/// Everything that happened in one history, and the rules that it broke.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) faults: Counts,
    pub(crate) violations: Vec<String>,
    pub(crate) narration: Option<String>,
    questions: BTreeMap<String, Question>,
    /// The question of each event.
    events: BTreeMap<String, String>,
    intents: BTreeMap<String, Intent>,
    stops: Stops,
    in_group: BTreeMap<String, u64>,
    letters: Vec<Arc<Content>>,
    receives: u64,
    effects: u64,
    used: Used,
    pub(crate) approvals: Approvals,
}

/// The id of the question in the key of a record.
fn question_of(record: &str) -> &str {
    record.strip_prefix("dispatch#").unwrap_or(record)
}

/// Whether a text with this end asks a person.
const fn asks(end: &End) -> bool {
    matches!(end, End::Suspended(_))
}

impl Ledger {
    pub(crate) fn new(narration: bool) -> Self {
        Self { narration: narration.then(String::new), ..Self::default() }
    }

    pub(crate) fn say(&mut self, at: Duration, who: &str, what: &str, how: fmt::Arguments<'_>) {
        use fmt::Write;
        if let Some(narration) = &mut self.narration {
            writeln!(narration, "{:>10.3} s  {who:<14} {what:<28} {how}", at.as_secs_f64()).unwrap();
        }
    }

    fn violation(&mut self, at: Duration, rule: &str, question: &str, how: fmt::Arguments<'_>) {
        self.say(at, "VIOLATION", question, format_args!("{rule}: {how}"));
        self.violations.push(format!("{rule}: {question} at {:.3} s: {how}", at.as_secs_f64()));
    }

    fn question(&mut self, id: &str) -> &mut Question {
        self.questions.get_mut(id).unwrap_or_else(|| panic!("{id} is unknown"))
    }

    /// Somebody asks a question, or presses stop.
    pub(crate) fn is_asked(&mut self, id: &str, thread: &str, asked_at: SlackTs, is_stop: bool) {
        let asked_at = Some(asked_at);
        let question = Question { thread: thread.to_owned(), asked_at, is_stop, ..Question::default() };
        self.questions.insert(id.to_owned(), question);
    }

    pub(crate) fn is_asked_by_a_guest(&mut self, id: &str) {
        self.question(id).is_of_guest = true;
    }

    /// This question has the right to tell the guest.
    pub(crate) fn is_to_tell(&mut self, id: &str) {
        self.question(id).is_to_tell = true;
    }

    /// An event that brings this question is about to be sent.
    pub(crate) fn event(&mut self, event_id: &str, question: &str) {
        self.events.insert(event_id.to_owned(), question.to_owned());
    }

    pub(crate) fn question_of_event(&self, event_id: &str) -> Option<String> {
        self.events.get(event_id).cloned()
    }

    /// The question that a message is about, if it asks one or decides something about one.
    fn question_of_message(&self, content: &Content) -> Option<String> {
        let of_event = self.question_of_event(content.attribute("event_id").unwrap_or_default());
        of_event.or_else(|| approvals::decided_question(content))
    }

    fn approvals_are_wrong(&mut self, at: Duration, wrongs: Wrongs) {
        for (id, what) in wrongs {
            self.violation(at, "approval", &id, format_args!("{what}"));
        }
    }

    /// A message with buttons stands.
    pub(crate) fn is_shown(&mut self, at: Duration, shown: &Shown) {
        let wrongs = self.approvals.is_shown(shown);
        self.approvals_are_wrong(at, wrongs);
    }

    /// An entry was written in the place of a call that a person is asked about.
    pub(crate) fn asked_is_replaced(
        &mut self,
        at: Duration,
        asked: &ProposedCall,
        entry: &Entry,
        settings: &Settings,
    ) {
        let wrongs = self.approvals.is_replaced(asked, entry, settings);
        self.approvals_are_wrong(at, wrongs);
    }

    /// A click was said to change nothing, and has decided.
    pub(crate) fn changed_without_effect(&mut self, at: Duration, request: &Value) {
        let record = request["record"].as_str().unwrap_or_default().to_owned();
        self.violation(at, "approval", &record, format_args!("a click without effect has decided"));
    }

    /// The agent is told what came of a call, perhaps of one that a person was asked about.
    pub(crate) fn is_told_of_approved(&mut self, record: &str, call: &Value) {
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        self.approvals.is_told(question_of(record), text("tool"), text("arguments"));
    }

    pub(crate) fn ignores_its_journal(&mut self, record: &str) {
        self.question(question_of(record)).ignores_its_journal = true;
    }

    /// While a person is asked nothing is held, where nothing has gone wrong on the way.
    pub(crate) fn check_held(&mut self, at: Duration, left: &[Arc<Content>], settings: &Settings) {
        let wrong = [settings.queue, settings.store, settings.settle, settings.deaths, settings.pauses];
        if wrong.iter().any(|often| *often > 0) || settings.twice > 0 || settings.wrong_clocks > 0 {
            return;
        }
        let of_event = |content: &Arc<Content>| {
            self.question_of_event(content.attribute("event_id").unwrap_or_default())
        };
        let on_the_queue: BTreeSet<String> = left.iter().filter_map(of_event).collect();
        let mut held = Vec::new();
        for (id, question) in &self.questions {
            let is_long = question.suspended_since.is_some_and(|since| at > since + Duration::from_secs(120));
            if !is_long || question.messages != 1 || question.is_sent_back {
                continue;
            }
            if on_the_queue.contains(id) {
                held.push((id.clone(), "its message is on the queue"));
            }
            let lives = |worker: &Worker| !worker.process.is_dead() && worker.process.is_undisturbed();
            if question.workers.iter().any(lives) {
                held.push((id.clone(), "somebody works on it"));
            }
        }
        for (id, what) in held {
            self.violation(at, "held", &id, format_args!("a person is asked, and {what}"));
        }
    }

    pub(crate) fn is_accepted(&mut self, event_id: &str) {
        if let Some(id) = self.question_of_event(event_id) {
            self.question(&id).is_accepted = true;
        }
    }

    /// The ingress puts a message on the queue.
    pub(crate) fn is_sent(&mut self, content: &Content) {
        let event_id = content.attribute("event_id").unwrap_or_default();
        let Some(id) = self.question_of_event(event_id) else { return };
        let place = self.in_group.entry(content.group.clone()).or_default();
        *place += 1;
        let place = *place;
        let question = self.question(&id);
        question.group.get_or_insert_with(|| (content.group.clone(), place));
        question.messages += 1;
    }

    /// Whether several messages bring the question of this event.
    pub(crate) fn is_in_several_messages(&self, event_id: &str) -> bool {
        self.events.get(event_id).is_some_and(|id| self.questions[id].messages > 1)
    }

    pub(crate) fn is_deleted(&mut self, id: &str) {
        self.question(id).is_deleted = true;
    }

    pub(crate) fn may_be_ignored(&mut self, id: &str) {
        self.question(id).may_be_ignored = true;
    }

    /// SQS's own limits took the message of an event off the queue.
    pub(crate) fn is_dropped(&mut self, content: &Content) {
        if let Some(id) = self.question_of_message(content) {
            self.question(&id).was_dropped = true;
        }
    }

    /// The dispatcher has received the message of an event.
    pub(crate) fn is_received(&mut self, at: Duration, event_id: &str, settings: &Settings) {
        self.receives += 1;
        let Some(id) = self.question_of_event(event_id) else { return };
        let question = self.question(&id);
        question.first_received.get_or_insert(at);
        let is_clear = settings.fifo && settings.queue == 0 && settings.store == 0 && question.messages == 1;
        let mut receives = 0;
        for worker in &mut question.workers {
            if is_clear && worker.is_at_work(settings) {
                worker.receives += 1;
                receives = receives.max(worker.receives);
            }
        }
        if receives > 4 {
            self.violation(at, "quiet", &id, format_args!("received {receives} times at work"));
        }
    }

    /// A process begins to work on a question.
    pub(crate) fn works(&mut self, at: Duration, record: &str, process: &Arc<Process>, settings: &Settings) {
        let id = question_of(record).to_owned();
        let question = self.question(&id);
        let is_of_guest = question.is_of_guest;
        let others = question.workers.iter().filter(|worker| worker.is_at_work(settings)).count();
        question.workers.push(Worker { process: Arc::clone(process), is_disturbed: false, receives: 0 });
        // Whoever stood still between the claim and the work hears of it at the first beat.
        if others > 0 && process.is_undisturbed() {
            let what = format_args!("{} begins while {others} work undisturbed", process.name);
            self.violation(at, "alone", &id, what);
        }
        if is_of_guest {
            self.violation(at, "asker", &id, format_args!("the agent works on what a guest asks"));
        }
    }

    /// Somebody thinks about a question, and the model uses these tokens.
    pub(crate) fn uses(&mut self, record: &str, tokens: u64) {
        *self.used.tokens.entry(question_of(record).to_owned()).or_default() += tokens;
    }

    pub(crate) fn works_no_more(&mut self, record: &str, process: &Arc<Process>) {
        let question = self.question(question_of(record));
        question.workers.retain(|worker| !Arc::ptr_eq(&worker.process, process));
    }

    /// A beat of those who work on the question has failed.
    pub(crate) fn is_disturbed(&mut self, record: &str) {
        self.question(question_of(record)).workers.iter_mut().for_each(|worker| worker.is_disturbed = true);
    }

    /// Somebody is about to write down what is to be posted.
    pub(crate) fn intends(&mut self, id: &str, record: &Record) {
        let State::Posting(posting) = &record.state else { return };
        let Some(nonce) = &posting.nonce else { return };
        let generation = self.question(id).generation;
        self.intents.entry(nonce.as_str().to_owned()).or_insert_with(|| Intent {
            question: id.to_owned(),
            generation,
            part: posting.part,
            end: posting.end.clone(),
            text: posting.text.clone(),
            was_posted: false,
            could_not_be_asked: posting.via == Via::Stream,
        });
    }

    /// A record was written.
    pub(crate) fn is_written(
        &mut self,
        at: Duration,
        id: &str,
        before: Option<&Record>,
        after: &Record,
        process: &Arc<Process>,
        operation: &str,
    ) {
        let stops = self.questions.get(id).and_then(|question| self.stops.put.get(&question.thread));
        let stopped = stops.cloned().unwrap_or_default();
        if !self.questions.contains_key(id) {
            // A record that a deletion made of a question that never came.
            return;
        }
        let question = self.question(id);
        question.record = Some(after.clone());
        let was_claimed = match before.map(|record| &record.state) {
            Some(State::InFlight(flight)) => Some(flight.claimed_from.is_some()),
            _ => None,
        };
        let was_suspended = before.is_some_and(|record| match &record.state {
            State::Suspended { .. } => true,
            State::Posting(posting) => matches!(posting.end, End::Suspended(_)),
            _ => false,
        });
        let is_resumed = was_suspended && matches!(after.state, State::InFlight(_));
        let is_withdrawn_now = was_suspended
            && matches!(&after.state, State::Told { why, .. } if why == "stopped")
            && after.attempts == 0;
        if is_resumed || is_withdrawn_now {
            question.expected_attempts = 0;
            question.first_received = Some(at);
        }
        question.suspended_since = match after.state {
            State::Suspended { .. } => question.suspended_since.or(Some(at)),
            _ => None,
        };
        let is_early = is_resumed && before.is_some_and(|record| matches!(record.state, State::Posting(_)));
        match (&after.state, was_claimed) {
            _ if operation == "claim" && matches!(after.state, State::InFlight(_)) => {
                question.expected_attempts += 1;
            }
            (State::Free, Some(true)) => {
                question.expected_attempts = question.expected_attempts.saturating_sub(1);
            }
            _ => {}
        }
        let is_stopped = matches!(&after.state, State::Told { why, .. } if why == "stopped");
        let is_due = |(_, stop): &(Duration, SlackTs)| question.asked_at.as_ref() <= Some(stop);
        if is_stopped && !stopped.iter().any(is_due) {
            question.is_ahead_of_stop = true;
        }
        // What is written down of its stream after the end changes nothing else. A deletion keeps its letter from being answered.
        let is_deleted = matches!(&after.state, State::Told { why, .. } if why == "deleted");
        let starts_over = matches!(before.map(|record| &record.state), Some(State::Told { .. }))
            && before.is_some_and(|record| record.state != after.state)
            && !is_deleted;
        let was_told =
            matches!(before.map(|record| &record.state), Some(State::Told { told_for: Some(_), .. }));
        question.was_told_before_it_was_deleted |= was_told && is_deleted;
        let may_start_over = question.is_sent_back;
        if starts_over {
            question.generation += 1;
            question.expected_attempts = 0;
            question.first_received = Some(at);
        }
        let expected = question.expected_attempts;
        if is_early {
            self.faults.add_one(Fault::ClickBeforeItIsKnownToStand);
        }
        let question = self.question(id);
        let asked_at = question.asked_at.clone();
        let is_stop = question.is_stop;
        if starts_over && !may_start_over {
            self.violation(at, "twice", id, format_args!("it starts over, and nobody sent its letter back"));
        }
        if after.attempts != expected {
            let what = format_args!("{} are written, and there were {expected}", after.attempts);
            self.violation(at, "attempts", id, what);
        }
        let was_joined = before.is_some_and(|record| matches!(record.state, State::Joined { .. }));
        let is_joined_now = matches!(after.state, State::Joined { .. }) && !was_joined;
        if is_joined_now {
            self.question(id).was_joined = true;
            self.faults.add_one(Fault::OthersAnswered);
        }
        if after.is_alone && before.is_some_and(|record| !record.is_alone) {
            self.faults.add_one(Fault::OtherTakenMeanwhile);
        }
        let is_intent = was_claimed.is_some() && matches!(after.state, State::Posting(_)) || is_joined_now;
        if is_intent && !is_stop {
            let is_before =
                |(put, stop): &&(Duration, SlackTs)| *put < process.began && asked_at.as_ref() <= Some(stop);
            if let Some((put, _)) = stopped.iter().find(is_before) {
                let what = format_args!("to be posted, and stopped at {:.3} s", put.as_secs_f64());
                self.violation(at, "stop", id, what);
            }
        }
    }

    /// A stop stands in the table.
    pub(crate) fn stop_is_put(&mut self, at: Duration, thread: &str, stop: &SlackTs) {
        self.stops.put.entry(thread.to_owned()).or_default().push((at, stop.clone()));
    }

    pub(crate) fn is_counted_stopped(&mut self, id: &str) {
        self.question(id).counted_stopped = true;
    }

    /// Somebody has pressed stop; the event that says so may still have to come.
    pub(crate) fn stop_is_pressed(&mut self, thread: &str, stop: SlackTs) {
        self.stops.pressed.entry(thread.to_owned()).or_default().push(stop);
    }

    /// A text stands in the message of a stream, perhaps once more.
    pub(crate) fn is_replaced(&mut self, at: Duration, thread: &str, ts: &str, nonce: &str) {
        let Some(intent) = self.intents.get(nonce).cloned() else {
            return self.violation(at, "twice", thread, format_args!("a text that nobody has written down"));
        };
        let question = self.question(&intent.question);
        let is_it = |posted: &&Posted| posted.stream.as_deref() == Some(ts) && !posted.is_deleted;
        match question.posts.iter().find(is_it).cloned() {
            None => {
                self.is_posted(at, thread, nonce);
                let question = self.question(&intent.question);
                if let Some(posted) = question.posts.last_mut() {
                    posted.stream = Some(ts.to_owned());
                }
            }
            Some(stands) if stands.text == intent.text && intent.part == 0 => {}
            Some(_) => self.violation(
                at,
                "twice",
                &intent.question,
                format_args!("another text in the place of the answer"),
            ),
        }
    }

    /// The message of a stream is not there any more, and no text that stood in it.
    pub(crate) fn message_is_deleted(&mut self, ts: &str) {
        for posted in self.questions.values_mut().flat_map(|question| &mut question.posts) {
            posted.is_deleted |= posted.stream.as_deref() == Some(ts);
        }
    }

    /// A post stands in Slack.
    pub(crate) fn is_posted(&mut self, at: Duration, thread: &str, nonce: &str) {
        let Some(intent) = self.intents.get_mut(nonce) else {
            return self.violation(at, "twice", thread, format_args!("a post that nobody has written down"));
        };
        let was_posted = std::mem::replace(&mut intent.was_posted, true);
        let intent = intent.clone();
        let id = intent.question.clone();
        if was_posted {
            self.violation(at, "twice", &id, format_args!("one call is made twice"));
        }
        let question = self.question(&id);
        let is_of_this = |posted: &&Posted| {
            posted.generation == intent.generation
                && !posted.is_deleted
                && if asks(&intent.end) { posted.end == intent.end } else { !asks(&posted.end) }
        };
        let of_this: Vec<&Posted> = question.posts.iter().filter(is_of_this).collect();
        let is_another = of_this.iter().any(|posted| posted.text != intent.text);
        let is_again = of_this.iter().any(|posted| posted.part == intent.part);
        // Also a part has stood that somebody has deleted in Slack since.
        let has_stood = |part: u32| {
            let of_life =
                |posted: &&Posted| posted.generation == intent.generation && posted.text == intent.text;
            question.posts.iter().filter(of_life).any(|posted| posted.part == part)
        };
        let in_order = (0..intent.part).all(has_stood);
        let group = question.group.clone();
        question.posts.push(Posted {
            at,
            generation: intent.generation,
            part: intent.part,
            end: intent.end.clone(),
            text: intent.text.clone(),
            stream: None,
            is_deleted: false,
        });
        if is_another {
            self.violation(at, "twice", &id, format_args!("a second text"));
        } else if is_again {
            self.violation(at, "twice", &id, format_args!("part {} stands twice", intent.part));
        } else if !in_order {
            self.violation(at, "parts", &id, format_args!("part {} is out of its order", intent.part));
        }
        if let Some((group, place)) = group
            && intent.generation == 0
            // While a person is asked, others have their turn.
            && !self.approvals.has_suspended(&id)
        {
            let is_overtaken = |(_, other): &(&String, &Question)| {
                other.group.as_ref().is_some_and(|(its, at)| *its == group && *at > place)
                    && !other.posts.is_empty()
            };
            // An agent may ignore the one message of a question and answer the other.
            let dropped = self.questions[&id].was_dropped || self.questions[&id].may_be_ignored;
            let overtaking = self.questions.iter().find(is_overtaken).map(|(other, _)| other.clone());
            if let Some(other) = overtaking.filter(|_| !dropped && group.contains(':')) {
                self.violation(at, "order", &id, format_args!("after {other}, which came later"));
            }
        }
    }

    /// A call of a tool takes effect.
    pub(crate) fn takes_effect(&mut self, at: Duration, tool: &str, text: &str) {
        let arguments: &Value = &serde_json::from_str(text).unwrap();
        let id = question_of(arguments["question"].as_str().unwrap()).to_owned();
        if tool == approvals::TOOL {
            let wrongs = self.approvals.takes_effect(&id, tool, text);
            self.approvals_are_wrong(at, wrongs);
        }
        let goal = arguments["goal"].as_u64().unwrap();
        self.say(at, "tool", &id, format_args!("call {} for goal {goal}", arguments["n"]));
        self.effects += 1;
        self.used.tool_calls += 1;
        let before = self.question(&id).effects.insert(goal, arguments.clone());
        // An agent that has not read the journal may ask for a second approval, and a person may give it.
        let is_approved_again = tool == approvals::TOOL && self.questions[&id].ignores_its_journal;
        if let Some(before) = before.filter(|_| !is_approved_again) {
            self.violation(at, "done", &id, format_args!("goal {goal} by {before} and {arguments}"));
        }
    }

    /// The agent is told that a call was made.
    pub(crate) fn is_told_of(&mut self, at: Duration, arguments: &Value) {
        let id = question_of(arguments["question"].as_str().unwrap()).to_owned();
        let goal = arguments["goal"].as_u64().unwrap();
        if self.question(&id).effects.get(&goal) != Some(arguments) {
            self.violation(at, "done", &id, format_args!("goal {goal} is not reached by {arguments}"));
        }
    }

    pub(crate) fn cannot_be_asked(&mut self, nonce: &str) {
        if let Some(intent) = self.intents.get_mut(nonce) {
            intent.could_not_be_asked = true;
        }
    }

    pub(crate) fn invalid(&mut self, at: Duration, request: &Value) {
        let record = request["record"].as_str().unwrap_or_default().to_owned();
        self.violation(at, "valid", &record, format_args!("{} is invalid", request["operation"]));
    }

    /// Something of the history has panicked.
    pub(crate) fn panicked(&mut self, at: Duration) {
        self.violation(at, "valid", "", format_args!("a panic"));
    }

    /// How often the question of an event has started over.
    pub(crate) fn generation(&self, content: &Content) -> u32 {
        self.question_of_message(content).map_or(0, |id| self.questions[&id].generation)
    }

    /// A dead letter is in its queue, which was sent when the question had started over so often.
    pub(crate) fn letter(&mut self, at: Duration, generation: u32, content: Arc<Content>) {
        let reason = content.attribute("dead_letter_reason").map(str::to_owned);
        let event_id = content.attribute("event_id").unwrap_or_default();
        let id = self.question_of_message(&content).unwrap_or_default();
        self.say(at, "letter", &id, format_args!("{reason:?}"));
        let Some(question) = self.questions.get_mut(&id) else {
            return self.violation(at, "letter", event_id, format_args!("no question: {reason:?}"));
        };
        question.letters.push((generation, reason));
        self.letters.push(content);
    }

    /// The dead letters since the last time, for somebody who sends them back.
    pub(crate) fn take_letters(&mut self) -> Vec<Arc<Content>> {
        std::mem::take(&mut self.letters)
    }

    /// Somebody sends back the letter of a question. Not if its outcome is unknown, or it was sent back before.
    pub(crate) fn is_sent_back(&mut self, content: &Content) -> bool {
        let Some(id) = self.question_of_message(content) else { return false };
        let question = self.question(&id);
        let reason = question.letters.last().and_then(|(_, reason)| reason.clone());
        let Some(reason) = reason else { return false };
        if question.is_sent_back || reason == "outcome_unknown" {
            return false;
        }
        question.is_sent_back = true;
        self.faults.add_one(Fault::LetterSentBack);
        true
    }

    /// Checks what must hold at the end of the history.
    pub(crate) fn check_end(&mut self, at: Duration, settings: &Settings, parts: impl Fn(&str) -> usize) {
        let mut violations = Vec::new();
        for (id, question) in &self.questions {
            let broken = question.check(id, settings, &self.stops, &self.intents, &self.approvals, &parts);
            violations.extend(broken.into_iter().map(|(rule, what)| (rule, id.clone(), what)));
        }
        self.check_guests(&mut violations);
        for (rule, id, what) in violations {
            self.violation(at, rule, &id, format_args!("{what}"));
        }
    }

    /// A tool is called, and the trail does not say so.
    pub(crate) fn not_in_the_trail(&mut self, at: Duration, arguments: &Value) {
        let id = question_of(arguments["question"].as_str().unwrap()).to_owned();
        self.violation(at, "trail", &id, format_args!("{arguments} is called, and is not in it"));
    }

    /// Compares what was done with the trail.
    pub(crate) fn check_trail(&mut self, at: Duration, sim: &Sim) {
        let mut missing = Vec::new();
        for (id, question) in &self.questions {
            for posted in &question.posts {
                if !audit::has_text(sim, id, &posted.text) {
                    missing.push((id.clone(), format!("{:?} was posted", posted.text)));
                }
            }
            let was_claimed = question.record.as_ref().is_some_and(|record| record.attempts > 0);
            if was_claimed && !audit::has_asked(sim, id) {
                missing.push((id.clone(), "somebody has worked on it".to_owned()));
            }
        }
        for (id, what) in missing {
            self.violation(at, "trail", &id, format_args!("{what}, and is not in it"));
        }
    }

    /// Compares what may be used in a day with what was.
    pub(crate) fn check_limits(&mut self, at: Duration, sim: &Sim) {
        for (id, what) in usage::check(sim, &self.used) {
            self.violation(at, "limits", &id, format_args!("{what}"));
        }
        let is_limited = !sim.settings.limits.scopes.is_empty();
        let declined = |record: &Record| record.declined == Some(Declined::OverLimit);
        let over: Vec<String> = self
            .questions
            .iter()
            .filter(|(_, question)| question.record.as_ref().is_some_and(declined))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.faults.add_one(Fault::QuestionOverTheLimit);
            if !is_limited {
                self.violation(at, "limits", &id, format_args!("nothing is limited"));
            }
        }
    }

    /// What the guest was told of who may ask. There is one guest.
    fn check_guests(&self, violations: &mut Vec<(&'static str, String, String)>) {
        let mut told: Vec<(Duration, &String)> = Vec::new();
        for (id, question) in &self.questions {
            let refusals =
                question.posts.iter().filter(|posted| posted.end == End::Declined(Declined::Asker));
            told.extend(refusals.map(|posted| (posted.at, id)));
        }
        told.sort();
        for (_, id) in &told {
            if !self.questions[*id].is_of_guest {
                violations.push(("asker", (*id).clone(), "a member is turned away".to_owned()));
            }
        }
        for pair in told.windows(2) {
            // Clocks may be minutes off, and a post may be hours late.
            if pair[1].0 - pair[0].0 < Duration::from_secs(12 * 3600) {
                violations.push(("asker", pair[1].1.clone(), format!("told again after {}", pair[0].1)));
            }
        }
        let somebody_tells = self.questions.values().any(|question| question.is_to_tell);
        for (id, question) in &self.questions {
            let answered =
                question.record.as_ref().filter(|record| matches!(record.state, State::Answered { .. }));
            if answered.is_some_and(|record| {
                (record.declined == Some(Declined::Asker)) != question.is_of_guest && !question.is_stop
            }) {
                violations.push((
                    "asker",
                    id.clone(),
                    "its record does not say whether its asker was turned away".to_owned(),
                ));
            }
            if answered.is_some_and(|record| record.declined == Some(Declined::Asker)) && !somebody_tells {
                violations.push(("asker", id.clone(), "nobody was to tell the guest".to_owned()));
            }
            let is_done = matches!(
                question.record.as_ref().map(|record| &record.state),
                Some(State::Answered { ts: None, .. })
            );
            if question.is_to_tell && is_done && question.generation == 0 {
                violations.push((
                    "asker",
                    id.clone(),
                    "it was to tell the guest, and nothing was posted".to_owned(),
                ));
            }
        }
    }

    fn is_answered(&self, id: &str) -> bool {
        let record = self.questions.get(id).and_then(|question| question.record.as_ref());
        record.is_some_and(|record| matches!(record.state, State::Answered { .. }))
    }

    /// Checks that each question is in exactly one answer.
    pub(crate) fn check_together(&mut self, at: Duration) {
        let answers = |question: &Question| -> BTreeSet<String> {
            let stands = question.posts.iter().filter(|post| post.end == End::Answered && !post.is_deleted);
            stands.map(|post| post.text.clone()).collect()
        };
        let mut by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (leading, question) in self.questions.iter().filter(|(_, question)| !question.is_sent_back) {
            for text in answers(question) {
                for other in together::named(&text) {
                    by.entry(other.to_owned()).or_default().insert(leading.clone());
                }
            }
        }
        let mut wrong = Vec::new();
        for (id, question) in self.questions.iter().filter(|(_, question)| !question.is_sent_back) {
            let by = by.remove(id).unwrap_or_default();
            let own = usize::from(!answers(question).is_empty());
            if own + by.len() > 1 {
                wrong.push((id.clone(), format!("{own} answers of its own, and by those to {by:?}")));
            }
            match question.record.as_ref().map(|record| &record.state) {
                Some(State::Joined { to, .. }) => {
                    let leading = self.questions.get(to);
                    let state = leading.and_then(|leading| Some(&leading.record.as_ref()?.state));
                    let is_ended = match state {
                        Some(State::Answered { ts: Some(_), .. }) => by.contains(to),
                        Some(State::Answered { ts: None, .. }) => true,
                        _ => false,
                    };
                    // Of one that the agent has ignored no message is left that could tell anybody.
                    let is_excused = question.may_be_ignored
                        || leading.is_none_or(|leading| leading.was_dropped || leading.is_sent_back);
                    if !is_ended && !is_excused {
                        wrong.push((id.clone(), format!("joined to {to}, which is {state:?}")));
                    }
                }
                // Not all of an answer that nobody could post stands, and each of its questions has a letter.
                Some(State::Told { .. }) if by.iter().all(|leading| !self.is_answered(leading)) => {}
                state if !by.is_empty() => {
                    wrong.push((id.clone(), format!("answered by that to {by:?}, and it is {state:?}")));
                }
                _ => {}
            }
        }
        for (id, what) in wrong {
            self.violation(at, "together", &id, format_args!("{what:.300}"));
        }
    }

    /// Checks the messages in which something of an answer was shown, and nothing took its place.
    pub(crate) fn check_streams(&mut self, at: Duration, with_words: &[String]) {
        for ts in with_words {
            let of_this = |question: &&Question| {
                let record = question.record.as_ref();
                let stream = record.and_then(|record| record.stream.as_ref());
                stream.and_then(Stream::message).is_some_and(|message| message.ts == *ts)
            };
            let Some(question) = self.questions.values().find(of_this) else {
                // The record of a question that started over has forgotten it.
                if self.questions.values().all(|question| question.generation == 0) {
                    self.violation(at, "stream", ts, format_args!("words in a message that nobody knows"));
                }
                continue;
            };
            let is_answered = question.record.as_ref().is_some_and(|record| match &record.state {
                State::Answered { ts, .. } => ts.is_some(),
                State::Told { why, .. } => {
                    !["stopped", "deleted", "untold", "outcome_unknown"].contains(&why.as_str())
                }
                _ => false,
            });
            if is_answered && !question.was_dropped {
                let state = format!("{:?}", question.record.as_ref().map(|record| &record.state));
                self.violation(at, "stream", ts, format_args!("words beside the answer: {state:.200}"));
            }
        }
    }

    pub(crate) fn is_left(&mut self, at: Duration, content: &Content) {
        let event_id = content.attribute("event_id").unwrap_or_default();
        let id = self.question_of_message(content).unwrap_or_else(|| event_id.to_owned());
        let record = self.questions.get(&id).and_then(|question| question.record.clone());
        let state = format!("{:?}", record.map(|record| record.state));
        let state: String = state.chars().take(300).collect();
        self.violation(at, "left", &id, format_args!("on the queue: {state}"));
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        let asked = || self.questions.values().filter(|question| !question.is_stop);
        for question in asked() {
            *ends.entry(question.end()).or_default() += 1;
        }
        Totals {
            histories: 1,
            questions: u64::try_from(asked().count()).unwrap(),
            faults: self.faults.clone(),
            ends,
            posts: self.questions.values().map(|question| question.posts.len() as u64).sum(),
            receives: self.receives,
            effects: self.effects,
            letters_doubled: self.questions.values().map(Question::doubled_letters).sum(),
            suspensions: self.approvals.suspensions,
            clicks: self.approvals.clicks,
            decisions: self.approvals.decisions.clone(),
        }
    }
}

impl Worker {
    fn is_at_work(&self, settings: &Settings) -> bool {
        // With a clock that is minutes ahead, a dispatcher takes a lease for over that is not.
        !self.is_disturbed
            && settings.wrong_clocks == 0
            && !self.process.is_dead()
            && !self.process.is_stopping()
            && self.process.is_undisturbed()
    }
}

impl Question {
    fn end(&self) -> String {
        if !self.is_accepted {
            return "not accepted".to_owned();
        }
        match self.record.as_ref().map(|record| &record.state) {
            Some(State::Answered { .. }) if self.posts.iter().any(|posted| posted.text == LAPSED) => {
                "answered: nobody has decided in time".to_owned()
            }
            Some(State::Joined { .. }) => "answered with another one".to_owned(),
            Some(State::Told { why, .. }) => format!("told: {why}"),
            Some(State::Answered { .. }) => "answered".to_owned(),
            _ if self.may_be_ignored => "ignored by the agent".to_owned(),
            _ if self.was_dropped => "dropped by the queue's own limits".to_owned(),
            _ => "lost".to_owned(),
        }
    }

    fn doubled_letters(&self) -> u64 {
        let generations: BTreeSet<u32> = self.letters.iter().map(|(generation, _)| *generation).collect();
        (self.letters.len() - generations.len()) as u64
    }

    fn check(
        &self,
        id: &str,
        settings: &Settings,
        stops: &Stops,
        intents: &BTreeMap<String, Intent>,
        approvals: &Approvals,
        parts: &impl Fn(&str) -> usize,
    ) -> Vec<(&'static str, String)> {
        let mut violations = Vec::new();
        let mut broken = |rule, what: String| violations.push((rule, what));
        if !self.is_accepted {
            return violations;
        }
        let last: Vec<&Posted> = self
            .posts
            .iter()
            .filter(|posted| posted.generation == self.generation && !asks(&posted.end))
            .collect();
        let letters: Vec<Option<&str>> = self
            .letters
            .iter()
            .filter(|(generation, _)| *generation == self.generation)
            .map(|(_, reason)| reason.as_deref())
            .collect();
        // Also what somebody has deleted was told.
        let stood: BTreeSet<u32> = last.iter().map(|posted| posted.part).collect();
        let all_stand = last.first().is_some_and(|posted| stood.len() == parts(&posted.text));
        let state = self.record.as_ref().map(|record| &record.state);
        match state {
            Some(State::Answered { ts, .. }) => {
                let declined = self.record.as_ref().and_then(|record| record.declined);
                if self.is_of_guest && declined != Some(Declined::Asker) {
                    broken("asker", "a guest is answered".to_owned());
                }
                let end = declined.map_or(End::Answered, End::Declined);
                if ts.is_some() && !(all_stand && last.iter().all(|posted| posted.end == end)) {
                    broken("answered", format!("it says so, and {} posts stand", last.len()));
                }
                if !letters.is_empty() && !self.was_dropped {
                    broken("letter", "answered, and a dead letter".to_owned());
                }
                if last.iter().any(|posted| posted.text == LAPSED) && !approvals.has_lapsed(id) {
                    broken("approval", "it is said that nobody has decided, and that is not so".to_owned());
                }
                // Whoever has used up what they may, or has not read the journal, makes no call.
                if declined.is_none() && !self.ignores_its_journal && self.generation == 0 {
                    for call in approvals.not_made(id) {
                        broken("approval", format!("approved, and neither made nor told of: {call}"));
                    }
                }
            }
            Some(State::Joined { .. }) => {
                if !last.is_empty() {
                    broken("together", format!("joined, and {} posts of its own stand", last.len()));
                }
                if self.is_of_guest {
                    broken("asker", "a guest is answered with another one".to_owned());
                }
                if !letters.is_empty() && !self.was_dropped {
                    broken("letter", "joined, and a dead letter".to_owned());
                }
            }
            Some(State::Told { why, .. }) if why == "stopped" || why == "deleted" => {
                let mut put = stops.put.get(&self.thread).into_iter().flatten();
                let mut pressed = stops.pressed.get(&self.thread).into_iter().flatten();
                let is_due = match why.as_str() {
                    // agent-settle may have heard of it before the event came.
                    "stopped" => {
                        put.any(|(_, stop)| self.asked_at.as_ref() <= Some(stop))
                            || pressed.any(|stop| self.asked_at.as_ref() <= Some(stop))
                    }
                    _ => self.is_deleted,
                };
                if !is_due {
                    broken("stop", format!("{why}, and nobody did that"));
                }
                if !last.is_empty() && !self.was_told_before_it_was_deleted {
                    broken("stop", format!("{why}, and something was posted"));
                }
                if !letters.is_empty() && !self.was_dropped && !self.was_told_before_it_was_deleted {
                    broken("letter", format!("{why}, and a dead letter"));
                }
                // The message waits for the stop for a while, and the stop may come later than that. The message of a question that one
                // agent ignored is done, while another one may work on it: a dispatcher that was paused called that one.
                let may_be_missed =
                    self.is_ahead_of_stop || self.was_dropped || self.is_stop || self.may_be_ignored;
                if why == "stopped" && !self.counted_stopped && !may_be_missed {
                    broken("stop", "stopped, and not counted".to_owned());
                }
            }
            Some(State::Told { why, .. }) => {
                if letters.is_empty() && !self.was_dropped {
                    broken("letter", format!("told {why}, and no dead letter"));
                }
                if let Some(other) = letters.iter().find(|reason| **reason != Some(why))
                    && !self.was_dropped
                {
                    broken("letter", format!("told {why}, and the letter says {other:?}"));
                }
                if why == "outcome_unknown" && !self.was_joined {
                    let mut own = intents.values().filter(|intent| intent.question == id);
                    if !own.any(|intent| intent.could_not_be_asked) {
                        broken("unknown", "and Slack could be asked".to_owned());
                    }
                } else if why != "untold" && why != "outcome_unknown" && !all_stand {
                    broken("answered", format!("told {why}, and {} posts stand", last.len()));
                }
                if why == answer_text::CANNOT_BE_ASKED && approvals.is_waiting(id) {
                    broken(
                        "approval",
                        "it is said that nobody can be asked, and the buttons stand".to_owned(),
                    );
                }
                if why == "gave_up" {
                    let attempts = self.record.as_ref().map_or(0, |record| record.attempts);
                    let last_post = last.last().map_or(Duration::ZERO, |posted| posted.at);
                    let waited = last_post.saturating_sub(self.first_received.unwrap_or_default());
                    // A clock may be minutes off, at the first receive and at the last.
                    let waited = waited + Duration::from_secs(600);
                    if attempts < settings.max_attempts && waited < settings.give_up_after {
                        broken("attempts", format!("given up after {attempts} attempts"));
                    }
                }
            }
            _ if self.may_be_ignored || self.was_dropped => {}
            other => {
                let other = format!("{other:?}");
                broken("answered", format!("neither answered nor told: {:.200}", other));
            }
        }
        violations
    }
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.questions += other.questions;
        self.posts += other.posts;
        self.receives += other.receives;
        self.effects += other.effects;
        self.letters_doubled += other.letters_doubled;
        self.faults.add(&other.faults);
        self.suspensions += other.suspensions;
        self.clicks += other.clicks;
        for (verdict, times) in &other.decisions {
            *self.decisions.entry(verdict).or_default() += times;
        }
        for (end, times) in &other.ends {
            *self.ends.entry(end.clone()).or_default() += times;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, questions, faults, ends, posts, receives, effects, letters_doubled, .. } = self;
        let Self { suspensions, clicks, decisions, .. } = self;
        writeln!(
            f,
            "{questions} questions in {histories} histories, {receives} receives, {posts} posts, {effects} calls of tools, {} faults",
            faults.total()
        )?;
        writeln!(f, "{suspensions} messages with buttons, {clicks} clicks, decided {decisions:?}")?;
        for (end, times) in ends {
            writeln!(f, "  {end:<38} {times:>9}")?;
        }
        writeln!(f, "  {:<38} {letters_doubled:>9}", "letters that came twice")?;
        write!(f, "faults:\n{faults}")
    }
}
