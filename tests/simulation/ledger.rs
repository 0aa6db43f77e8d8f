//! What is known of the truth, whoever else knows it, and the rules that it is held to:
//!
//! - **promise**: at the instant of a 200, and ever after, the event is on the queue or parked.
//! - **fence**: who begins to send holds the record, or knows that there is none; who settles it holds it.
//! - **double**: of all messages of an event, at most one has been confirmed; each other has an excuse that the
//!   design knows (`Excuse`).
//! - **held**: an event is in flight as long as somebody works on it, or died over it and no longer than the
//!   lease; or the services failed him when he said that he was done.
//! - **last chance**: the last attempt is accepted unless store and queue both failed it.
//! - **memory**: an id is remembered for its time, and no longer.
//! - **time**: an answer leaves within the ack budget.

use slack_ingress::telemetry::report::ingress::RequestOutcome;
use slack_ingress::telemetry::report::ingress::RequestReport;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::chance::Fault;

/// Half of what clocks disagree by at the most, either way.
pub(crate) const MAX_SKEW_MILLIS: u64 = 1000;
pub(crate) const MAX_SKEW: Duration = Duration::from_millis(MAX_SKEW_MILLIS);
const MAX_LEASE: Duration = Duration::from_secs(45);
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// Why a message may be on the queue beside another of the same event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excuse {
    /// It was sent without a record, on the last attempt, because the store failed.
    Unguarded,
    /// Its sender died, or was killed at its deadline, before the confirm was through.
    SenderDied,
    /// Its sender never heard that it was on the queue.
    AnswerLost,
    /// The store failed when it was to be confirmed.
    ConfirmFailed,
}

/// The part of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Ingress,
    Redrive,
}

/// Who works on an event: one invocation of the ingress; or a run of the redrive, for each of its events.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    role: Role,
    began: Duration,
    deadline: Duration,
    is_last: bool,
    is_over: bool,
    died: bool,
    froze: bool,
    store_failed: bool,
    queue_failed: bool,
    /// The call that settles the record went wrong.
    settle_failed: bool,
    send_answered: bool,
    confirmed: bool,
    /// It was told that the event is another's.
    found_it_held: bool,
}

/// A message as it was put on the queue.
#[derive(Clone, Debug)]
struct Put {
    worker: String,
    unguarded: bool,
    /// The FIFO queue knew its id, and did not put it there again.
    swallowed: bool,
}

/// What the record of an event is in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    InFlight,
    Forwarded,
    Parked,
}

#[derive(Clone, Debug, Default)]
struct Event {
    record: Option<(Standing, String)>,
    puts: Vec<Put>,
    promised: bool,
    workers: BTreeMap<String, Worker>,
}

/// The figures of one history, or of many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) histories: u64,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    answers: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    deaths: u64,
    freezes: u64,
    redriven: u64,
    takeovers: u64,
    unguarded: u64,
    lost_with_both_services_down: u64,
    doubled: BTreeMap<Excuse, u64>,
    swallowed: u64,
}

/// The truth.
#[derive(Default)]
pub(crate) struct Ledger {
    events: BTreeMap<String, Event>,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<String>,
    /// The history so far, if it is to be told.
    pub(crate) told: Option<String>,
}

impl Ledger {
    pub(crate) fn tell(&mut self, at: Duration, who: &str, event: &str, what: fmt::Arguments<'_>) {
        use fmt::Write;
        if let Some(told) = &mut self.told {
            writeln!(told, "{:>10.3} s  {who:<14} {event:<6} {what}", at.as_secs_f64()).unwrap();
        }
    }

    fn violation(&mut self, at: Duration, rule: &str, event: &str, what: fmt::Arguments<'_>) {
        self.tell(at, "VIOLATION", event, format_args!("{rule}: {what}"));
        self.violations.push(format!("{rule}: {event} at {:.3} s: {what}", at.as_secs_f64()));
    }

    fn worker(&mut self, event: &str, worker: &str) -> &mut Worker {
        let event = self.events.entry(event.to_owned()).or_default();
        event.workers.get_mut(worker).unwrap_or_else(|| panic!("{worker} is unknown"))
    }

    /// Somebody begins to work on an event.
    pub(crate) fn begins(
        &mut self,
        event: &str,
        worker: &str,
        role: Role,
        (began, deadline): (Duration, Duration),
        is_last: bool,
    ) {
        let new = Worker {
            role,
            began,
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
        };
        self.events.entry(event.to_owned()).or_default().workers.entry(worker.to_owned()).or_insert(new);
    }

    /// All that a process works on stands still with it.
    pub(crate) fn freezes(&mut self, worker: &str) {
        self.tally.freezes += 1;
        self.each(worker, |worker| worker.froze = true);
    }

    pub(crate) fn dies(&mut self, worker: &str) {
        self.tally.deaths += 1;
        self.each(worker, |worker| (worker.died, worker.is_over) = (true, true));
    }

    /// A run of the redrive is over.
    pub(crate) fn ends(&mut self, worker: &str, redriven: u64) {
        self.tally.redriven += redriven;
        self.each(worker, |worker| worker.is_over = true);
    }

    fn each(&mut self, name: &str, change: impl Fn(&mut Worker)) {
        self.events.values_mut().filter_map(|event| event.workers.get_mut(name)).for_each(change);
    }

    pub(crate) fn store_fails(&mut self, event: &str, worker: &str, fault: Fault, settles: bool) {
        *self.tally.faults.entry(fault).or_default() += 1;
        if !event.is_empty() {
            let worker = self.worker(event, worker);
            worker.store_failed = true;
            worker.settle_failed |= settles;
        }
    }

    pub(crate) fn queue_fails(&mut self, event: &str, worker: &str, fault: Fault) {
        *self.tally.faults.entry(fault).or_default() += 1;
        self.worker(event, worker).queue_failed = true;
    }

    /// The record of an event was written by this worker.
    pub(crate) fn stands(&mut self, event: &str, worker: &str, standing: Option<Standing>) {
        let record = standing.map(|standing| (standing, worker.to_owned()));
        self.events.entry(event.to_owned()).or_default().record = record;
        if standing == Some(Standing::Forwarded) {
            self.worker(event, worker).confirmed = true;
        }
    }

    /// The record of an event was settled by this worker, or was not its any more.
    pub(crate) fn is_settled(
        &mut self,
        at: Duration,
        event: &str,
        worker: &str,
        settled: Option<Option<Standing>>,
    ) {
        let Some(standing) = settled else {
            self.worker(event, worker).found_it_held = true;
            return;
        };
        if let Some(owner) = self.owner(event)
            && owner != worker
        {
            self.violation(at, "fence", event, format_args!("{worker} settles what is {owner}'s"));
        }
        self.stands(event, worker, standing);
    }

    /// Who the record of an event belongs to.
    pub(crate) fn owner(&self, event: &str) -> Option<String> {
        Some(self.events.get(event)?.record.as_ref()?.1.clone())
    }

    /// Somebody asks for the record: now its lease begins.
    pub(crate) fn asks(&mut self, at: Duration, event: &str, worker: &str) {
        self.worker(event, worker).began = at;
    }

    /// Somebody was told that the event is in flight.
    pub(crate) fn found_in_flight(&mut self, at: Duration, event: &str, by: &str) {
        let Some(holder) = self.owner(event) else {
            return self.violation(
                at,
                "held",
                event,
                format_args!("{by} finds it in flight, and nobody has it"),
            );
        };
        // "Now" is when the one who asks began, by its own clock, however late the question arrived.
        let asked = self.worker(event, by).began;
        self.worker(event, by).found_it_held = true;
        let worker = self.worker(event, &holder).clone();
        let lease_ends = worker.deadline.min(worker.began + MAX_LEASE + MAX_SKEW) + LEASE_MARGIN;
        let excused = worker.died || worker.froze || worker.settle_failed || worker.store_failed;
        let still_leased = asked <= lease_ends + MAX_SKEW;
        if holder == by || worker.is_over && !(excused && still_leased) {
            self.violation(at, "held", event, format_args!("{by} finds it in flight, and {holder} is done"));
        }
    }

    /// Somebody begins to send.
    pub(crate) fn sends(&mut self, at: Duration, event: &str, worker: &str, unguarded: bool) {
        let role = self.worker(event, worker).role;
        let expected = match role {
            Role::Ingress => Standing::InFlight,
            Role::Redrive => Standing::Parked,
        };
        let record = self.events[event].record.clone();
        if !unguarded
            && record.as_ref().is_none_or(|(standing, owner)| *standing != expected || owner != worker)
        {
            self.violation(at, "fence", event, format_args!("{worker} sends what is {record:?}"));
        }
    }

    pub(crate) fn is_put(&mut self, event: &str, worker: &str, unguarded: bool, swallowed: bool) {
        let put = Put { worker: worker.to_owned(), unguarded, swallowed };
        self.events.entry(event.to_owned()).or_default().puts.push(put);
        self.tally.unguarded += u64::from(unguarded);
        self.tally.swallowed += u64::from(swallowed);
    }

    pub(crate) fn send_is_answered(&mut self, event: &str, worker: &str) {
        self.worker(event, worker).send_answered = true;
    }

    /// An invocation of the ingress has done what was left after its answer.
    pub(crate) fn finishes(&mut self, event: &str, worker: &str) {
        self.worker(event, worker).is_over = true;
    }

    /// An invocation of the ingress has its answer.
    pub(crate) fn answers(
        &mut self,
        at: Duration,
        event: &str,
        worker: &str,
        report: &RequestReport,
        budget: Duration,
    ) {
        let RequestReport { outcome, details } = report;
        *self.tally.answers.entry(outcome.as_str()).or_default() += 1;
        self.tally.takeovers += u64::from(details.took_over);
        let ended = self.worker(event, worker).clone();
        let acknowledged = is_200(outcome);
        if acknowledged {
            let truth = self.events.get_mut(event).unwrap();
            truth.promised = true;
            if !truth.is_durable() {
                self.violation(at, "promise", event, format_args!("{worker} answers 200, and it is nowhere"));
            }
        }
        let may_be_refused = ended.froze || *outcome == RequestOutcome::InFlight && ended.found_it_held;
        if ended.is_last && !acknowledged && !may_be_refused {
            if ended.store_failed && ended.queue_failed {
                self.tally.lost_with_both_services_down += 1;
            } else {
                self.violation(
                    at,
                    "last chance",
                    event,
                    format_args!("{worker} answers {}", outcome.as_str()),
                );
            }
        }
        // Tokio's timers go off on whole milliseconds.
        if !ended.froze && details.timings.total > budget + Duration::from_millis(1) {
            self.violation(at, "time", event, format_args!("{worker} took {:?}", details.timings.total));
        }
    }

    /// All is well again and all is done: nothing is parked any more, and what was promised is on the queue.
    pub(crate) fn close(&mut self, at: Duration, still_parked: usize) {
        if still_parked > 0 {
            self.violation(at, "promise", "", format_args!("{still_parked} are still parked"));
        }
        for (name, event) in std::mem::take(&mut self.events) {
            self.tally.events += 1;
            if event.promised && event.puts.is_empty() {
                self.violation(at, "promise", &name, format_args!("it was promised, and never came"));
            }
            self.count_doubles(at, &name, &event);
            self.events.insert(name, event);
        }
    }

    fn count_doubles(&mut self, at: Duration, name: &str, event: &Event) {
        let mut doubles = event.puts.iter().filter(|put| !put.swallowed).count().saturating_sub(1);
        let mut confirmed = 0;
        for put in &event.puts {
            let worker = &event.workers[&put.worker];
            let excuse = if put.unguarded {
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
                if event.puts.len() > 1 {
                    let what =
                        format_args!("{} messages, and {} has no excuse", event.puts.len(), put.worker);
                    self.violation(at, "double", name, what);
                }
                continue;
            };
            if !put.swallowed && doubles > 0 {
                doubles -= 1;
                *self.tally.doubled.entry(excuse).or_default() += 1;
            }
        }
        if confirmed > 1 {
            self.violation(at, "double", name, format_args!("{confirmed} were confirmed"));
        }
    }

    /// The events that are on the queue, and whether their records say so.
    pub(crate) fn forwarded(&self) -> Vec<(String, bool)> {
        let says_so = |event: &Event| matches!(event.record, Some((Standing::Forwarded, _)));
        let on_queue = self.events.iter().filter(|(_, event)| !event.puts.is_empty());
        on_queue.map(|(name, event)| (name.clone(), says_so(event))).collect()
    }

    /// How often an event has been put on the queue.
    pub(crate) fn puts(&self, event: &str) -> usize {
        self.events[event].puts.len()
    }

    /// An event is delivered once more: within its time it is a duplicate, after it it is new.
    pub(crate) fn encore(
        &mut self,
        at: Duration,
        event: &str,
        before: usize,
        outcome: &RequestOutcome,
        is_new: bool,
    ) {
        let expected =
            if is_new { (RequestOutcome::Accepted, before + 1) } else { (RequestOutcome::Duplicate, before) };
        let puts = self.puts(event);
        if (outcome, puts) != (&expected.0, expected.1) {
            let what =
                format_args!("remembered: {}, and is {} and {puts} messages", !is_new, outcome.as_str());
            self.violation(at, "memory", event, what);
        }
    }
}

impl Event {
    fn is_durable(&self) -> bool {
        !self.puts.is_empty() || matches!(self.record, Some((Standing::Parked, _)))
    }
}

pub(crate) fn is_200(outcome: &RequestOutcome) -> bool {
    matches!(outcome, RequestOutcome::Accepted | RequestOutcome::Duplicate | RequestOutcome::Parked)
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        fn add_all<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *to.entry(*key).or_default() += count;
            }
        }
        self.histories += other.histories;
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.deaths += other.deaths;
        self.freezes += other.freezes;
        self.redriven += other.redriven;
        self.takeovers += other.takeovers;
        self.unguarded += other.unguarded;
        self.lost_with_both_services_down += other.lost_with_both_services_down;
        self.swallowed += other.swallowed;
        add_all(&mut self.answers, &other.answers);
        add_all(&mut self.faults, &other.faults);
        add_all(&mut self.doubled, &other.doubled);
    }

    /// A simulation in which something never happens proves nothing about it.
    pub(crate) fn expect_that_everything_happened(&self) {
        for answer in ["accepted", "duplicate", "in_flight", "parked", "unavailable"] {
            assert!(self.answers.get(answer).is_some_and(|&count| count > 100), "{answer}: {self}");
        }
        for fault in Fault::ALL {
            assert!(self.faults.get(&fault).is_some_and(|&count| count > 100), "{fault:?}: {self}");
        }
        for excuse in [Excuse::Unguarded, Excuse::SenderDied, Excuse::AnswerLost, Excuse::ConfirmFailed] {
            assert!(self.doubled.get(&excuse).is_some_and(|&count| count > 0), "{excuse:?}: {self}");
        }
        for count in
            [self.deaths, self.freezes, self.redriven, self.takeovers, self.unguarded, self.swallowed]
        {
            assert!(count > 100, "{self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, events, deliveries, deaths, freezes, redriven, takeovers, .. } = self;
        let faults: u64 = self.faults.values().sum();
        let doubled: u64 = self.doubled.values().sum();
        writeln!(f, "{histories} histories, {events} events, {deliveries} deliveries")?;
        writeln!(f, "  answers: {:?}", self.answers)?;
        writeln!(f, "  faults: {faults}, {:?}", self.faults)?;
        writeln!(f, "  processes that died: {deaths}, that stood still: {freezes}")?;
        writeln!(
            f,
            "  leases taken over: {takeovers}, sent unguarded: {}, redriven: {redriven}",
            self.unguarded
        )?;
        writeln!(f, "  on the queue twice, each with an excuse: {doubled}, {:?}", self.doubled)?;
        writeln!(f, "  kept from that by the FIFO queue: {}", self.swallowed)?;
        write!(
            f,
            "  never accepted, both services failed the last attempt: {}",
            self.lost_with_both_services_down
        )
    }
}
