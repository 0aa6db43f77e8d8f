//! Compares the events that the app acknowledged with the messages that arrived on the queue.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::plan::Plans;

/// Which events are duplicates of each other, as the ingress's `DEDUP_KEY` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DedupKey {
    /// Events with the same `event_id`
    #[value(name = "event_id")]
    EventId,
    /// Events about the same message, whatever their ids are
    #[value(name = "message")]
    Message,
}

/// What must be on the queue once: the number of a message, and the number of its copy (always 0 if the message is the key).
type Key = (u64, u8);

/// Everything that was acknowledged and everything that arrived.
#[derive(Debug)]
pub(super) struct Ledger {
    plans: Plans,
    key: DedupKey,
    acknowledged: HashSet<Key>,
    arrived: HashMap<Key, u32>,
    /// The SQS ids of all received messages. A standard queue may hand out one message twice, which is not a second message.
    seen_message_ids: HashSet<String>,
    counts: Counts,
    altered: BTreeMap<String, ()>,
}

/// How many received messages were of which kind; the fields of [`QueueFindings`] say what each means.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages: u64,
    forged: u64,
    received_again: u64,
    strangers: u64,
}

/// Who sent a message on the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    ThisRun,
    SomeoneElse,
}

/// What was found on the queue.
#[derive(Clone, Debug, Serialize)]
pub(super) struct QueueFindings {
    /// Messages that this run sent.
    messages: u64,
    /// Events that arrived at least once.
    arrived: u64,
    /// Events that were acknowledged and did not arrive.
    missing: u64,
    /// Events that arrived in more than one message.
    doubled: u64,
    /// Forgeries that arrived.
    forged: u64,
    /// Events that arrived with another body than was sent.
    altered: u64,
    /// Events that arrived although no attempt was acknowledged, because the answer was lost.
    unacknowledged: u64,
    /// Messages that SQS handed out a second time. They do not count as doubled.
    received_again: u64,
    /// Messages that somebody else sent. They were left on the queue.
    strangers: u64,
    /// The first [`SHOWN`] ids of each kind.
    missing_ids: Vec<String>,
    doubled_ids: Vec<String>,
    altered_ids: Vec<String>,
}

impl QueueFindings {
    pub(super) fn is_clean(&self) -> bool {
        self.missing == 0 && self.doubled == 0 && self.forged == 0 && self.altered == 0
    }
}

/// The most ids that are printed for each finding.
const SHOWN: usize = 10;

impl Ledger {
    pub(super) fn new(plans: Plans, key: DedupKey) -> Self {
        Self {
            plans,
            key,
            acknowledged: HashSet::new(),
            arrived: HashMap::new(),
            seen_message_ids: HashSet::new(),
            counts: Counts::default(),
            altered: BTreeMap::new(),
        }
    }

    fn key(&self, n: u64, copy: u8) -> Key {
        match self.key {
            DedupKey::EventId => (n, copy),
            DedupKey::Message => (n, 0),
        }
    }

    pub(super) fn acknowledge(&mut self, n: u64, copy: u8) {
        self.acknowledged.insert(self.key(n, copy));
    }

    /// Records a received message, and returns who sent it.
    pub(super) fn arrive(&mut self, message_id: &str, body: &str) -> Sender {
        #[derive(serde::Deserialize)]
        struct Envelope {
            event_id: String,
        }
        let id = serde_json::from_str(body).map(|Envelope { event_id }| event_id).unwrap_or_default();
        let Some((n, copy)) = self.plans.find(&id) else {
            self.counts.strangers += u64::from(self.seen_message_ids.insert(message_id.to_owned()));
            return Sender::SomeoneElse;
        };
        if !self.seen_message_ids.insert(message_id.to_owned()) {
            self.counts.received_again += 1;
            return Sender::ThisRun;
        }
        self.counts.messages += 1;
        if Plans::is_forged(copy) {
            self.counts.forged += 1;
            return Sender::ThisRun;
        }
        if self.plans.body(n, copy) != body.as_bytes() {
            self.altered.insert(id, ());
        }
        *self.arrived.entry(self.key(n, copy)).or_default() += 1;
        Sender::ThisRun
    }

    /// Whether every acknowledged event has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.acknowledged.iter().all(|key| self.arrived.contains_key(key))
    }

    pub(super) fn messages(&self) -> u64 {
        self.counts.messages
    }

    pub(super) fn findings(&self) -> QueueFindings {
        let ids = |keys: Vec<Key>| {
            let mut ids: Vec<_> = keys.into_iter().map(|(n, copy)| self.plans.event_id(n, copy)).collect();
            ids.sort_unstable();
            ids
        };
        let missing = self.acknowledged.iter().filter(|key| !self.arrived.contains_key(key));
        let doubled = self.arrived.iter().filter(|&(_, &times)| times > 1).map(|(key, _)| key);
        let unacknowledged = self.arrived.keys().filter(|key| !self.acknowledged.contains(key));
        let (missing, doubled) = (ids(missing.copied().collect()), ids(doubled.copied().collect()));
        let some = |ids: &[String]| ids.iter().take(SHOWN).cloned().collect();
        QueueFindings {
            messages: self.counts.messages,
            arrived: self.arrived.len() as u64,
            missing: missing.len() as u64,
            doubled: doubled.len() as u64,
            forged: self.counts.forged,
            altered: self.altered.len() as u64,
            unacknowledged: unacknowledged.count() as u64,
            received_again: self.counts.received_again,
            strangers: self.counts.strangers,
            missing_ids: some(&missing),
            doubled_ids: some(&doubled),
            altered_ids: self.altered.keys().take(SHOWN).cloned().collect(),
        }
    }
}

impl std::fmt::Display for QueueFindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut row = |name: &str, count: u64, ids: &[String]| {
            let more = if (ids.len() as u64) < count && !ids.is_empty() { ", …" } else { "" };
            writeln!(f, "  {name:<18} {count:>9}  {}{more}", ids.join(", "))
        };
        row("arrived", self.arrived, &[])?;
        row("missing", self.missing, &self.missing_ids)?;
        row("doubled", self.doubled, &self.doubled_ids)?;
        row("forged", self.forged, &[])?;
        row("altered", self.altered, &self.altered_ids)?;
        for (name, count) in [
            ("not acknowledged", self.unacknowledged),
            ("received again", self.received_again),
            ("of somebody else", self.strangers),
        ] {
            if count > 0 {
                row(name, count, &[])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Shares;
    use super::*;

    fn plans() -> Plans {
        Plans::new(1, Shares { repeats: 0.0, duplicates: 0.0, forgeries: 0.0 })
    }

    fn body(plans: &Plans, n: u64, copy: u8) -> String {
        String::from_utf8(plans.body(n, copy)).unwrap()
    }

    #[test]
    fn a_queue_with_each_acknowledged_event_once_is_clean() {
        let plans = plans();
        let mut ledger = Ledger::new(plans.clone(), DedupKey::EventId);
        for n in 0..3 {
            ledger.acknowledge(n, 0);
            assert!(!ledger.is_complete());
            assert_eq!(ledger.arrive(&format!("m{n}"), &body(&plans, n, 0)), Sender::ThisRun);
        }
        assert!(ledger.is_complete());
        assert!(ledger.findings().is_clean());
    }

    #[test]
    fn a_queue_with_a_missing_doubled_forged_or_altered_event_is_not_clean() {
        let plans = plans();
        let ledger = || {
            let mut ledger = Ledger::new(plans.clone(), DedupKey::EventId);
            ledger.acknowledge(0, 0);
            ledger.arrive("m0", &body(&plans, 0, 0));
            ledger
        };
        let mut missing = ledger();
        missing.acknowledge(1, 0);
        assert_eq!(missing.findings().missing_ids, [plans.event_id(1, 0)]);
        let mut doubled = ledger();
        doubled.arrive("m1", &body(&plans, 0, 0));
        assert_eq!(doubled.findings().doubled_ids, [plans.event_id(0, 0)]);
        let mut forged = ledger();
        forged.arrive("m1", &body(&plans, 0, 9));
        assert_eq!(forged.findings().forged, 1);
        let mut altered = Ledger::new(plans.clone(), DedupKey::EventId);
        altered.arrive("m1", &body(&plans, 0, 0).replace('ß', "ss"));
        assert_eq!(altered.findings().altered_ids, [plans.event_id(0, 0)]);
        for ledger in [missing, doubled, forged, altered] {
            assert!(!ledger.findings().is_clean(), "{ledger:?}");
        }
    }

    #[test]
    fn a_message_that_sqs_hands_out_twice_or_that_others_sent_is_no_fault() {
        let plans = plans();
        let mut ledger = Ledger::new(plans.clone(), DedupKey::EventId);
        for _ in 0..2 {
            ledger.arrive("m0", &body(&plans, 0, 0));
            assert_eq!(ledger.arrive("m1", r#"{"event_id":"Ev07MENTION1"}"#), Sender::SomeoneElse);
        }
        let findings = ledger.findings();
        assert!(findings.is_clean());
        assert_eq!((findings.received_again, findings.strangers, findings.unacknowledged), (1, 1, 1));
    }

    #[test]
    fn a_message_under_two_event_ids_is_doubled_only_if_the_message_is_the_key() {
        for (key, doubled) in [(DedupKey::EventId, 0), (DedupKey::Message, 1)] {
            let plans = plans();
            let mut ledger = Ledger::new(plans.clone(), key);
            for copy in 0..2 {
                ledger.acknowledge(0, copy);
                ledger.arrive(&format!("m{copy}"), &body(&plans, 0, copy));
            }
            assert_eq!(ledger.findings().doubled, doubled, "{key:?}");
        }
    }
}
