//! Records what really happened, also where no process knows it, and checks these invariants:
//!
//! - **promise**: when the ingress answers 200, and ever after, the event is on the queue or parked.
//! - **fence**: a worker begins to send only while it owns the record, or without a record on the last attempt; a worker
//!   confirms, deletes or parks only a record that it owns.
//! - **double**: at most one message of an event has been confirmed; each other message has an excuse that the design allows
//!   ([`Excuse`]).
//! - **held**: a worker finds an event in flight only while another worker works on it; or until the lease ends, if that other
//!   worker died or froze, or if the services failed it when it was to settle the record.
//! - **last chance**: the last attempt is accepted unless both the store and the queue failed during it.
//! - **memory**: an event is recognised until its record expires, and no longer.
//! - **time**: an answer leaves within the ack budget, by the time of the simulation; and the report says how long it took.
//! - **order**: the redrive sends no event before an earlier one of its conversation that was parked when the run began.
//! - **group**: all messages of a conversation are in one FIFO group, whichever workspace a turn came from.
//!
//! The ledger is an independent second opinion on the library. It therefore states the longest lease, the lease's margin and the
//! outcomes that are a 200 itself, and does not take them from the library.

use slack_ingress::telemetry::report::ingress::RequestOutcome;
use slack_ingress::telemetry::report::ingress::RequestReport;
use slack_ingress::time::clock::UnixMillis;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::chance::Fault;

/// How far a process's clock may be ahead or behind that is nearly right. Two such clocks disagree by at most twice as much.
pub(crate) const MAX_SKEW: Duration = Duration::from_millis(MAX_SKEW_MILLIS);
/// [`MAX_SKEW`] in milliseconds.
pub(crate) const MAX_SKEW_MILLIS: u64 = 1000;
/// How far ahead a clock may still be after it was corrected.
const MAX_AHEAD: Duration = Duration::from_secs(2);
/// No lease is longer than this, however long the function may run.
const MAX_LEASE: Duration = Duration::from_secs(45);
/// A lease ends this long after the deadline of its owner.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// Why a message may be on the queue beside another of the same event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excuse {
    /// It was sent without a record on the last attempt, because the store failed.
    Unguarded,
    /// Its sender died, or was killed at its deadline, before it had confirmed the record.
    SenderDied,
    /// The queue's answer never reached its sender.
    AnswerLost,
    /// The store failed when its sender confirmed the record.
    ConfirmFailed,
}

/// Which function a worker belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Ingress,
    Redrive,
}

/// A worker on one event: an invocation of the ingress, or a run of the redrive. A run is one worker for each of its events.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    role: Role,
    invoked_at: Duration,
    /// When it asked for the record last, or else when it was invoked.
    began: Duration,
    deadline: Duration,
    is_last: bool,
    is_over: bool,
    died: bool,
    froze: bool,
    store_failed: bool,
    queue_failed: bool,
    /// The call that confirms, deletes or parks the record had a fault.
    settle_failed: bool,
    send_answered: bool,
    confirmed: bool,
    /// The store told this worker that another worker owns the record.
    found_it_held: bool,
    /// The store told this worker that the record is gone, in which it was to leave its event.
    found_it_gone: bool,
}

/// A message that a worker has sent to the queue.
#[derive(Clone, Debug)]
struct SentMessage {
    worker: String,
    unguarded: bool,
    /// The FIFO queue had the message's id already, and dropped the message.
    dropped_by_fifo: bool,
}

/// The state of an event's record in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    InFlight,
    Forwarded,
    Parked,
}

/// Everything that is known about one event. `promised` says that it was answered with 200.
#[derive(Clone, Debug, Default)]
struct Event {
    record: Option<(RecordState, String)>,
    /// Whether a last attempt left the event in the record that another worker owns.
    is_kept: bool,
    /// What the event has to keep its order in.
    conversation: String,
    /// When it was received, by its record.
    received_at: Option<UnixMillis>,
    /// Since when it is parked.
    parked_since: Option<Duration>,
    messages: Vec<SentMessage>,
    promised: bool,
    workers: BTreeMap<String, Worker>,
}

/// What one history counted, or many histories together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) histories: u64,
    /// In how many of them several apps are installed.
    pub(crate) of_several_apps: u64,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    answers: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    deaths: u64,
    freezes: u64,
    /// How many processes had a wall clock that was not even nearly right.
    wrong_clocks: u64,
    /// How many last attempts were to leave their event in a record that was gone.
    found_it_gone: u64,
    redriven: u64,
    takeovers: u64,
    unguarded: u64,
    lost_with_both_services_down: u64,
    doubled: BTreeMap<Excuse, u64>,
    dropped_by_fifo: u64,
}

/// Everything that really happened in one history, and the violations of the invariants.
#[derive(Default)]
pub(crate) struct Ledger {
    events: BTreeMap<String, Event>,
    /// The FIFO group of each conversation.
    groups: BTreeMap<String, String>,
    /// When each run of the redrive began.
    runs: BTreeMap<String, Duration>,
    pub(crate) totals: Totals,
    pub(crate) violations: Vec<String>,
    /// The narration so far, if one was asked for.
    pub(crate) narration: Option<String>,
}

impl Ledger {
    pub(crate) fn narrate(&mut self, at: Duration, who: &str, event: &str, what: fmt::Arguments<'_>) {
        use fmt::Write;
        if let Some(narration) = &mut self.narration {
            writeln!(narration, "{:>10.3} s  {who:<14} {event:<6} {what}", at.as_secs_f64()).unwrap();
        }
    }

    fn violation(&mut self, at: Duration, rule: &str, event: &str, what: fmt::Arguments<'_>) {
        self.narrate(at, "VIOLATION", event, format_args!("{rule}: {what}"));
        self.violations.push(format!("{rule}: {event} at {:.3} s: {what}", at.as_secs_f64()));
    }

    fn worker(&mut self, event: &str, worker: &str) -> &mut Worker {
        let event = self.events.entry(event.to_owned()).or_default();
        event.workers.get_mut(worker).unwrap_or_else(|| panic!("{worker} is unknown"))
    }

    /// A worker begins to work on an event.
    pub(crate) fn work_begins(
        &mut self,
        event: &str,
        worker: &str,
        role: Role,
        (invoked_at, deadline): (Duration, Duration),
        is_last: bool,
    ) {
        let new = Worker {
            role,
            invoked_at,
            began: invoked_at,
            deadline,
            is_last,
            is_over: false,
            died: false,
            froze: false,
            store_failed: false,
            queue_failed: false,
            settle_failed: false,
            send_answered: false,
            confirmed: false,
            found_it_held: false,
            found_it_gone: false,
        };
        self.events.entry(event.to_owned()).or_default().workers.entry(worker.to_owned()).or_insert(new);
    }

    /// A process freezes, and with it its work on every event.
    pub(crate) fn freezes(&mut self, worker: &str) {
        self.totals.freezes += 1;
        self.each(worker, |worker| worker.froze = true);
    }

    /// A process dies, and with it its work on every event.
    pub(crate) fn dies(&mut self, worker: &str) {
        self.totals.deaths += 1;
        self.each(worker, |worker| (worker.died, worker.is_over) = (true, true));
    }

    /// A run of the redrive ends.
    pub(crate) fn redrive_run_ends(&mut self, worker: &str, redriven: u64) {
        self.totals.redriven += redriven;
        self.each(worker, |worker| worker.is_over = true);
    }

    /// Changes this worker on each of its events.
    fn each(&mut self, name: &str, change: impl Fn(&mut Worker)) {
        self.events.values_mut().filter_map(|event| event.workers.get_mut(name)).for_each(change);
    }

    pub(crate) fn store_fails(&mut self, event: &str, worker: &str, fault: Fault, settles: bool) {
        *self.totals.faults.entry(fault).or_default() += 1;
        if !event.is_empty() {
            let worker = self.worker(event, worker);
            worker.store_failed = true;
            worker.settle_failed |= settles;
        }
    }

    pub(crate) fn queue_fails(&mut self, event: &str, worker: &str, fault: Fault) {
        *self.totals.faults.entry(fault).or_default() += 1;
        self.worker(event, worker).queue_failed = true;
    }

    /// Slack is going to send an event of this conversation.
    pub(crate) fn slack_sends(&mut self, event: &str, conversation: &str) {
        conversation.clone_into(&mut self.events.entry(event.to_owned()).or_default().conversation);
    }

    /// A message is in this FIFO group. All of its conversation have to be.
    pub(crate) fn message_is_in_group(&mut self, at: Duration, event: &str, group: &str) {
        let conversation = self.events[event].conversation.clone();
        let known = self.groups.entry(conversation.clone()).or_insert_with(|| group.to_owned()).clone();
        if known != group {
            self.violation(at, "group", event, format_args!("{conversation} is in {known} and in {group}"));
        }
    }

    /// The record of an event says that it was received at this time.
    pub(crate) fn is_received(&mut self, event: &str, received_at: UnixMillis) {
        self.events.entry(event.to_owned()).or_default().received_at = Some(received_at);
    }

    /// A run of the redrive begins.
    pub(crate) fn redrive_run_begins(&mut self, at: Duration, run: &str) {
        self.runs.insert(run.to_owned(), at);
    }

    /// Checks that a run of the redrive lets no event overtake another one of its conversation.
    fn check_order(&mut self, at: Duration, event: &str, run: &str) {
        let (Some(sent), Some(&began)) = (self.events.get(event), self.runs.get(run)) else { return };
        let is_overtaken = |(name, other): &(&String, &Event)| {
            *name != event
                && other.conversation == sent.conversation
                && other.messages.is_empty()
                && other.received_at < sent.received_at
                && matches!(other.record, Some((RecordState::Parked, _)))
                && other.parked_since.is_some_and(|since| since < began)
        };
        if let Some(overtaken) = self.events.iter().find(is_overtaken).map(|(name, _)| name.clone()) {
            self.violation(at, "order", event, format_args!("{run} sends it before {overtaken}"));
        }
    }

    /// A last attempt has left the event in the record that another worker owns.
    pub(crate) fn event_is_left(&mut self, event: &str) {
        self.events.entry(event.to_owned()).or_default().is_kept = true;
    }

    /// Whether the record holds the event, beside its state.
    pub(crate) fn is_kept(&self, event: &str) -> bool {
        self.events.get(event).is_some_and(|event| event.is_kept)
    }

    /// A process has started whose wall clock is ahead by this much; behind, if it is negative.
    pub(crate) fn process_starts(&mut self, ahead_millis: i64) {
        self.totals.wrong_clocks += u64::from(ahead_millis.unsigned_abs() > MAX_SKEW_MILLIS);
    }

    /// The record is gone in which a worker was to leave its event.
    pub(crate) fn found_it_gone(&mut self, event: &str, worker: &str) {
        self.totals.found_it_gone += 1;
        self.worker(event, worker).found_it_gone = true;
    }

    /// A worker has written the record of an event; `state` is `None` if it has deleted it.
    pub(crate) fn record_is_written(&mut self, event: &str, worker: &str, state: Option<RecordState>) {
        let record = state.map(|state| (state, worker.to_owned()));
        let truth = self.events.entry(event.to_owned()).or_default();
        truth.record = record;
        // A record in flight is written anew only if it holds no event.
        truth.is_kept &= state == Some(RecordState::InFlight);
        if state == Some(RecordState::Forwarded) {
            self.worker(event, worker).confirmed = true;
        }
    }

    /// A worker has confirmed, deleted or parked the record of an event. `settled` has the record's new state; it is `None` if
    /// the store refused because the record is not the worker's any more.
    pub(crate) fn record_is_settled(
        &mut self,
        at: Duration,
        event: &str,
        worker: &str,
        settled: Option<Option<RecordState>>,
    ) {
        let Some(state) = settled else {
            self.worker(event, worker).found_it_held = true;
            return;
        };
        if let Some(owner) = self.owner(event)
            && owner != worker
        {
            self.violation(at, "fence", event, format_args!("{worker} settles a record that {owner} owns"));
        }
        self.record_is_written(event, worker, state);
        if state == Some(RecordState::Parked) {
            self.events.entry(event.to_owned()).or_default().parked_since.get_or_insert(at);
        }
    }

    /// The worker that owns the record of an event.
    pub(crate) fn owner(&self, event: &str) -> Option<String> {
        Some(self.events.get(event)?.record.as_ref()?.1.clone())
    }

    /// A worker asks the store for the record. Its lease would begin now.
    pub(crate) fn asks_for_record(&mut self, at: Duration, event: &str, worker: &str) {
        self.worker(event, worker).began = at;
    }

    /// The store has told a worker that the event is in flight.
    pub(crate) fn found_in_flight(&mut self, at: Duration, event: &str, by: &str) {
        let Some(holder) = self.owner(event) else {
            return self.violation(
                at,
                "held",
                event,
                format_args!("{by} finds it in flight, but nobody owns its record"),
            );
        };
        // The store compares the lease with the time at which the worker asked, by the worker's own clock, however late the
        // question arrived.
        let asked = self.worker(event, by).began;
        // A request that API Gateway received long ago is treated as if it had come in time: a lease then lasts longer.
        let asks_late = self.worker(event, by).froze;
        self.worker(event, by).found_it_held = true;
        let worker = self.worker(event, &holder).clone();
        let lease_ends = worker.deadline.min(worker.began + MAX_LEASE + MAX_AHEAD) + LEASE_MARGIN;
        let excused = worker.died || worker.froze || worker.settle_failed || worker.store_failed;
        let still_leased = asked <= lease_ends + MAX_AHEAD;
        if holder == by || worker.is_over && !asks_late && !(excused && still_leased) {
            self.violation(
                at,
                "held",
                event,
                format_args!("{by} finds it in flight, but {holder} has ended"),
            );
        }
    }

    /// A worker begins to send an event to the queue.
    pub(crate) fn sending_begins(&mut self, at: Duration, event: &str, worker: &str, unguarded: bool) {
        let role = self.worker(event, worker).role;
        let expected = match role {
            Role::Ingress => RecordState::InFlight,
            Role::Redrive => RecordState::Parked,
        };
        let record = self.events[event].record.clone();
        if !unguarded && record.as_ref().is_none_or(|(state, owner)| *state != expected || owner != worker) {
            self.violation(
                at,
                "fence",
                event,
                format_args!("{worker} sends although the record is {record:?}"),
            );
        }
    }

    /// The queue has received a message.
    pub(crate) fn message_is_sent(
        &mut self,
        at: Duration,
        event: &str,
        worker: &str,
        unguarded: bool,
        dropped_by_fifo: bool,
    ) {
        let message = SentMessage { worker: worker.to_owned(), unguarded, dropped_by_fifo };
        if !dropped_by_fifo {
            self.check_order(at, event, worker);
        }
        self.events.entry(event.to_owned()).or_default().messages.push(message);
        self.totals.unguarded += u64::from(unguarded);
        self.totals.dropped_by_fifo += u64::from(dropped_by_fifo);
    }

    /// The queue's answer has reached the sender.
    pub(crate) fn send_is_answered(&mut self, event: &str, worker: &str) {
        self.worker(event, worker).send_answered = true;
    }

    /// An invocation of the ingress has ended, after the work that follows its answer.
    pub(crate) fn invocation_ends(&mut self, event: &str, worker: &str) {
        self.worker(event, worker).is_over = true;
    }

    /// An invocation of the ingress is about to send its answer to Slack.
    pub(crate) fn answer_is_ready(
        &mut self,
        at: Duration,
        event: &str,
        worker: &str,
        report: &RequestReport,
        budget: Duration,
    ) {
        let RequestReport { outcome, details } = report;
        *self.totals.answers.entry(outcome.as_str()).or_default() += 1;
        self.totals.takeovers += u64::from(details.took_over);
        let ended = self.worker(event, worker).clone();
        let acknowledged = is_200(outcome);
        if acknowledged {
            let truth = self.events.get_mut(event).unwrap();
            truth.promised = true;
            if !truth.is_durable() {
                self.violation(
                    at,
                    "promise",
                    event,
                    format_args!("{worker} answers 200, but the event is neither on the queue nor parked"),
                );
            }
        }
        // Another worker may be faster at claiming what is gone, and at taking over what cannot be parked in time.
        let excused = ended.found_it_gone || ended.queue_failed || ended.store_failed;
        let may_be_refused =
            ended.froze || *outcome == RequestOutcome::InFlight && ended.found_it_held && excused;
        if ended.is_last && !acknowledged && !may_be_refused {
            if ended.store_failed && ended.queue_failed {
                self.totals.lost_with_both_services_down += 1;
            } else {
                self.violation(
                    at,
                    "last chance",
                    event,
                    format_args!("{worker} answers {}", outcome.as_str()),
                );
            }
        }
        // Tokio's timers fire on whole milliseconds.
        let (took, tick) = (at - ended.invoked_at, Duration::from_millis(1));
        let reported = details.timings.total;
        if !ended.froze && (took > budget + tick || took.abs_diff(reported) > tick) {
            let what = format_args!("{worker} took {took:?} of {budget:?}, and reports {reported:?}");
            self.violation(at, "time", event, what);
        }
    }

    /// Checks what must hold once the faults are over and all work is done: nothing is parked any more, and every event that was
    /// answered with 200 is on the queue.
    pub(crate) fn check_the_end(&mut self, at: Duration, still_parked: usize) {
        if still_parked > 0 {
            self.violation(at, "promise", "", format_args!("{still_parked} are still parked"));
        }
        for (name, event) in std::mem::take(&mut self.events) {
            self.totals.events += 1;
            if event.promised && event.messages.is_empty() {
                self.violation(
                    at,
                    "promise",
                    &name,
                    format_args!("it was answered with 200 but is not on the queue"),
                );
            }
            self.count_doubles(at, &name, &event);
            self.events.insert(name, event);
        }
    }

    fn count_doubles(&mut self, at: Duration, name: &str, event: &Event) {
        let mut doubles =
            event.messages.iter().filter(|message| !message.dropped_by_fifo).count().saturating_sub(1);
        let mut confirmed = 0;
        for (n, message) in event.messages.iter().enumerate() {
            if !message.dropped_by_fifo
                && event.messages[..n].iter().any(|earlier| earlier.worker == message.worker)
            {
                self.violation(at, "double", name, format_args!("{} sent it twice", message.worker));
            }
            let worker = &event.workers[&message.worker];
            let excuse = if message.unguarded {
                Excuse::Unguarded
            } else if worker.confirmed {
                confirmed += 1;
                continue;
            } else if worker.died {
                Excuse::SenderDied
            } else if !worker.send_answered && (worker.queue_failed || worker.froze) {
                Excuse::AnswerLost
            } else if worker.settle_failed || worker.froze {
                Excuse::ConfirmFailed
            } else {
                if event.messages.len() > 1 {
                    let what = format_args!(
                        "{} messages, and {} has no excuse",
                        event.messages.len(),
                        message.worker
                    );
                    self.violation(at, "double", name, what);
                }
                continue;
            };
            if !message.dropped_by_fifo && doubles > 0 {
                doubles -= 1;
                *self.totals.doubled.entry(excuse).or_default() += 1;
            }
        }
        if confirmed > 1 {
            self.violation(at, "double", name, format_args!("{confirmed} were confirmed"));
        }
    }

    /// The events that are on the queue, and for each whether its record says that it was forwarded.
    pub(crate) fn forwarded(&self) -> Vec<(String, bool)> {
        let says_so = |event: &Event| matches!(event.record, Some((RecordState::Forwarded, _)));
        let on_queue = self.events.iter().filter(|(_, event)| !event.messages.is_empty());
        on_queue.map(|(name, event)| (name.clone(), says_so(event))).collect()
    }

    /// How often an event has been sent to the queue.
    pub(crate) fn messages_of(&self, event: &str) -> usize {
        self.events[event].messages.len()
    }

    /// An event was delivered once more. It must be new if its record has expired (`is_new`), and a duplicate otherwise.
    pub(crate) fn deliver_again(
        &mut self,
        at: Duration,
        event: &str,
        before: usize,
        outcome: &RequestOutcome,
        is_new: bool,
    ) {
        let expected =
            if is_new { (RequestOutcome::Accepted, before + 1) } else { (RequestOutcome::Duplicate, before) };
        let messages = self.messages_of(event);
        if (outcome, messages) != (&expected.0, expected.1) {
            let what = format_args!(
                "it should be new: {is_new}; it is {}, with {messages} messages",
                outcome.as_str()
            );
            self.violation(at, "memory", event, what);
        }
    }
}

impl Event {
    /// Whether the event is on the queue, or the store holds it.
    fn is_durable(&self) -> bool {
        !self.messages.is_empty() || self.is_kept || matches!(self.record, Some((RecordState::Parked, _)))
    }
}

/// Whether the ingress answers 200 to a delivery with this outcome.
pub(crate) fn is_200(outcome: &RequestOutcome) -> bool {
    matches!(
        outcome,
        RequestOutcome::Accepted | RequestOutcome::Duplicate | RequestOutcome::Parked | RequestOutcome::Kept
    )
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        fn add_all<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *to.entry(*key).or_default() += count;
            }
        }
        self.histories += other.histories;
        self.of_several_apps += other.of_several_apps;
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.deaths += other.deaths;
        self.freezes += other.freezes;
        self.wrong_clocks += other.wrong_clocks;
        self.found_it_gone += other.found_it_gone;
        self.redriven += other.redriven;
        self.takeovers += other.takeovers;
        self.unguarded += other.unguarded;
        self.lost_with_both_services_down += other.lost_with_both_services_down;
        self.dropped_by_fifo += other.dropped_by_fifo;
        add_all(&mut self.answers, &other.answers);
        add_all(&mut self.faults, &other.faults);
        add_all(&mut self.doubled, &other.doubled);
    }

    /// Fails if an answer, a fault or an excuse hardly ever happened, because then the simulation shows nothing about it.
    pub(crate) fn expect_that_everything_happened(&self) {
        /// A record is gone when an event is to be left in it about once in a hundred thousand deliveries.
        const ENOUGH_FOR_WHAT_IS_RARE: u64 = 1_000_000;
        let often = self.deliveries / 1000;
        for answer in ["accepted", "duplicate", "in_flight", "kept", "parked", "unavailable"] {
            assert!(self.answers.get(answer).is_some_and(|&count| count > often), "{answer}: {self}");
        }
        for fault in Fault::ALL {
            assert!(self.faults.get(&fault).is_some_and(|&count| count > often), "{fault:?}: {self}");
        }
        for excuse in [Excuse::Unguarded, Excuse::SenderDied, Excuse::AnswerLost, Excuse::ConfirmFailed] {
            assert!(self.doubled.get(&excuse).is_some_and(|&count| count > 0), "{excuse:?}: {self}");
        }
        for count in [
            self.deaths,
            self.freezes,
            self.redriven,
            self.takeovers,
            self.unguarded,
            self.dropped_by_fifo,
            self.of_several_apps,
            self.wrong_clocks,
        ] {
            assert!(count > often, "{self}");
        }
        assert!(self.found_it_gone > 0 || self.deliveries < ENOUGH_FOR_WHAT_IS_RARE, "{self}");
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, events, deliveries, deaths, freezes, redriven, takeovers, .. } = self;
        let faults: u64 = self.faults.values().sum();
        let doubled: u64 = self.doubled.values().sum();
        writeln!(f, "{histories} histories, {events} events, {deliveries} deliveries")?;
        writeln!(f, "  answers: {:?}", self.answers)?;
        writeln!(f, "  faults: {faults}, {:?}", self.faults)?;
        writeln!(f, "  histories of several apps: {}", self.of_several_apps)?;
        writeln!(
            f,
            "  processes that died: {deaths}, that froze: {freezes}, whose clock was wrong: {}",
            self.wrong_clocks
        )?;
        writeln!(f, "  events that were to be left in a record that was gone: {}", self.found_it_gone)?;
        writeln!(
            f,
            "  leases taken over: {takeovers}, sent unguarded: {}, redriven: {redriven}",
            self.unguarded
        )?;
        writeln!(f, "  on the queue twice, each with an excuse: {doubled}, {:?}", self.doubled)?;
        writeln!(f, "  second messages that the FIFO queue dropped: {}", self.dropped_by_fifo)?;
        write!(
            f,
            "  never accepted, both services failed the last attempt: {}",
            self.lost_with_both_services_down
        )
    }
}
