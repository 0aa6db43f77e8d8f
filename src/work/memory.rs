//! Work records in the memory of the process, for the simulation and for tests. It keeps what any store has to keep: a write is
//! one atomic step, on the condition that nobody has written since.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::askers::{AskerKey, AskerStore, KNOWN_FOR, TOLD_AGAIN_AFTER};
use super::audit::{AuditEntry, AuditStore};
use super::journal::{Entry, ProposedCall, ToolEnd};
use super::record::Record;
use super::token::Token;
use super::usage::{Amounts, Counter, Taken, Taker, UsageStore, day_of};
use super::{KEPT_SECONDS, RecordKey, Seen, Stopped, Version, WorkStore, Write, Written};
use crate::dedup::StoreError;
use crate::slack::asker::AskerKind;
use crate::slack::question::SlackTs;
use crate::time::clock::UnixMillis;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryWork {
    items: Mutex<Items>,
}

#[derive(Debug, Default)]
struct Items {
    records: BTreeMap<RecordKey, Item>,
    stops: BTreeMap<String, Stopped>,
    calls: BTreeMap<(RecordKey, u32), Entry>,
    invocations: BTreeMap<RecordKey, String>,
    known: BTreeMap<AskerKey, (AskerKind, UnixMillis)>,
    told: BTreeMap<AskerKey, (String, UnixMillis)>,
    counters: BTreeMap<String, Amounts>,
    usages: BTreeMap<RecordKey, Usage>,
    audit: BTreeMap<(String, String), AuditEntry>,
}

impl MemoryWork {
    /// Whether the audit trail has such an entry.
    pub fn has_audit(&self, is_it: impl FnMut(&AuditEntry) -> bool) -> bool {
        self.items(|items| items.audit.values().any(is_it))
    }

    /// The audit trail, by question and act.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.items(|items| items.audit.values().cloned().collect())
    }

    /// What each counter says, by its key with the day.
    pub fn counters(&self) -> BTreeMap<String, Amounts> {
        self.items(|items| items.counters.clone())
    }

    /// The tokens that are counted for a question, by who has taken them.
    pub fn takers(&self, question: &RecordKey) -> BTreeMap<String, u64> {
        let of = |usage: &Usage| {
            let counted = |(word, taken): (&String, &Result<(u64, Vec<String>), Taken>)| {
                let (taken, _) = taken.as_ref().ok()?;
                Some((word.clone(), usage.used.get(word).copied().unwrap_or(*taken)))
            };
            usage.taken.iter().filter_map(counted).collect()
        };
        self.items(|items| items.usages.get(question).map(of).unwrap_or_default())
    }
}

/// What was taken for a question.
#[derive(Debug, Default)]
struct Usage {
    /// Whether it counts as a question.
    is_counted: bool,
    /// The tokens that each taker took, and from which counters; or that it was refused.
    taken: BTreeMap<String, Result<(u64, Vec<String>), Taken>>,
    /// The tokens that attempts have used.
    used: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
struct Item {
    record: Record,
    number: u64,
    expires_at: u64,
}

impl MemoryWork {
    fn items<T>(&self, work: impl FnOnce(&mut Items) -> T) -> T {
        work(&mut self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether an entry stands in the journal of the question with this key, under this number.
    pub fn has_call(&self, key: &RecordKey, number: u32) -> bool {
        self.items(|items| items.calls.contains_key(&(key.clone(), number)))
    }

    /// All records, by their keys, whether or not they have expired.
    pub fn records(&self) -> Vec<(RecordKey, Record)> {
        self.items(|items| {
            items.records.iter().map(|(key, item)| (key.clone(), item.record.clone())).collect()
        })
    }
}

fn seen(item: Option<&Item>, now: UnixMillis) -> Seen {
    match item {
        None => Seen { record: None, version: Version::Absent },
        Some(item) => Seen {
            record: (item.expires_at > now.as_secs()).then(|| item.record.clone()),
            version: Version::Number(item.number),
        },
    }
}

impl WorkStore for MemoryWork {
    async fn read(&self, key: &RecordKey, now: UnixMillis) -> Result<Seen, StoreError> {
        Ok(self.items(|items| seen(items.records.get(key), now)))
    }

    async fn write(
        &self,
        key: &RecordKey,
        expected: &Seen,
        record: &Record,
        now: UnixMillis,
    ) -> Result<Written, StoreError> {
        Ok(self.items(|items| {
            let current = seen(items.records.get(key), now);
            let number = expected.version.next();
            if current.version == Version::Number(number) && current.record.as_ref() == Some(record) {
                return Written::Done;
            }
            if current.version != expected.version {
                return Written::Changed(Box::new(current));
            }
            let expires_at = now.as_secs().saturating_add(KEPT_SECONDS);
            items.records.insert(key.clone(), Item { record: record.clone(), number, expires_at });
            Written::Done
        }))
    }

    async fn write_together(&self, writes: &[Write<'_>], now: UnixMillis) -> Result<bool, StoreError> {
        Ok(self.items(|items| {
            let stands =
                |write: &Write<'_>| seen(items.records.get(write.key), now).version == write.seen.version;
            if !writes.iter().all(stands) {
                return false;
            }
            let expires_at = now.as_secs().saturating_add(KEPT_SECONDS);
            for Write { key, seen, record } in writes {
                let item = Item { record: (*record).clone(), number: seen.version.next(), expires_at };
                items.records.insert((*key).clone(), item);
            }
            true
        }))
    }

    async fn stop(&self, key: &str) -> Result<Option<Stopped>, StoreError> {
        Ok(self.items(|items| items.stops.get(key).cloned()))
    }

    async fn put_stop(&self, key: &str, at: &SlackTs, _now: UnixMillis) -> Result<(), StoreError> {
        self.items(|items| {
            let new = || Stopped { at: at.clone(), questions: BTreeMap::new() };
            let stops = items.stops.entry(key.to_owned()).or_insert_with(new);
            stops.at = at.max(&stops.at).clone();
        });
        Ok(())
    }

    async fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        question_id: &str,
        _now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.items(|items| {
            if let Some(stops) = items.stops.get_mut(key) {
                let earliest = stops.questions.entry(question_id.to_owned()).or_insert_with(|| stop.clone());
                *earliest = stop.min(earliest).clone();
            }
        });
        Ok(())
    }

    async fn read_call(&self, key: &RecordKey, number: u32) -> Result<Option<Entry>, StoreError> {
        Ok(self.items(|items| items.calls.get(&(key.clone(), number)).cloned()))
    }

    async fn forget_call(&self, key: &RecordKey, number: u32, _now: UnixMillis) -> Result<(), StoreError> {
        self.items(|items| items.calls.insert((key.clone(), number), Entry::Closed));
        Ok(())
    }

    async fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        _now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        Ok(self.items(|items| {
            let stands = items.calls.entry((key.clone(), number)).or_insert_with(|| entry.clone());
            (stands != entry).then(|| stands.clone())
        }))
    }

    async fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        _now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        Ok(self.items(|items| {
            let place = (key.clone(), number);
            let stands = items.calls.get(&place).cloned().unwrap_or(Entry::Closed);
            let is_as_asked = matches!(&stands, Entry::Proposed(stands)
                if stands.approval.id == asked.approval.id && stands.approval.decision == asked.approval.decision);
            if is_as_asked {
                items.calls.insert(place, entry.clone());
                return None;
            }
            (stands != *entry).then_some(stands)
        }))
    }

    async fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        _now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.items(|items| items.invocations.insert(key.clone(), invocation.to_owned()));
        Ok(())
    }

    async fn invocation(&self, key: &RecordKey) -> Result<Option<String>, StoreError> {
        Ok(self.items(|items| items.invocations.get(key).cloned()))
    }

    async fn forget_invocation(&self, key: &RecordKey, _now: UnixMillis) -> Result<(), StoreError> {
        self.items(|items| items.invocations.remove(key));
        Ok(())
    }

    async fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> Result<(), StoreError> {
        self.items(|items| match items.calls.get_mut(&(key.clone(), number)) {
            Some(Entry::Call(call)) if call.nonce == *nonce => call.end = Some(end.clone()),
            _ => {}
        });
        Ok(())
    }
}

impl UsageStore for MemoryWork {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        Ok(self.items(|items| {
            let Items { counters: used, usages, .. } = items;
            let usage = usages.entry(question.clone()).or_default();
            if let Some(taken) = usage.taken.get(&by.word()) {
                return taken.as_ref().err().copied().unwrap_or(Taken::Done);
            }
            let counts = !usage.is_counted;
            let amounts = if counts { *amounts } else { Amounts { questions: 0, ..*amounts } };
            let keys: Vec<String> = counters.iter().map(|counter| counter.key_on(day_of(now))).collect();
            for (counter, key) in counters.iter().zip(&keys) {
                let so_far = used.get(key).copied().unwrap_or_default();
                if let Some(unit) = so_far.over(&amounts, &counter.limits) {
                    let over = Taken::Over(counter.scope, unit);
                    usage.taken.insert(by.word(), Err(over));
                    return over;
                }
            }
            for key in &keys {
                let so_far = used.entry(key.clone()).or_default();
                so_far.questions += amounts.questions;
                so_far.tokens += amounts.tokens;
                so_far.tool_calls += amounts.tool_calls;
            }
            usage.is_counted |= amounts.questions > 0;
            usage.taken.insert(by.word(), Ok((amounts.tokens, keys)));
            Taken::Done
        }))
    }

    async fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        _now: UnixMillis,
    ) -> Result<bool, StoreError> {
        Ok(self.items(|items| {
            let Some(usage) = items.usages.get_mut(question) else { return false };
            let Some(Ok((tokens, keys))) = usage.taken.get(&by.word()) else { return false };
            if usage.used.contains_key(&by.word()) {
                return false;
            }
            usage.used.insert(by.word(), used_tokens);
            for key in keys {
                if let Some(so_far) = items.counters.get_mut(key) {
                    so_far.tokens = so_far.tokens.saturating_sub(*tokens).saturating_add(used_tokens);
                }
            }
            true
        }))
    }
}

impl AuditStore for MemoryWork {
    async fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let key = (entry.question_id.clone(), entry.act.clone());
        self.items(|items| {
            items.audit.entry(key).or_insert_with(|| entry.clone());
        });
        Ok(())
    }
}

impl AskerStore for MemoryWork {
    async fn kind(&self, key: &AskerKey, now: UnixMillis) -> Result<Option<AskerKind>, StoreError> {
        let known = self.items(|items| items.known.get(key).copied());
        Ok(known.filter(|(_, at)| now < at.after(KNOWN_FOR)).map(|(kind, _)| kind))
    }

    async fn remember(&self, key: &AskerKey, kind: AskerKind, now: UnixMillis) -> Result<(), StoreError> {
        self.items(|items| items.known.insert(key.clone(), (kind, now)));
        Ok(())
    }

    async fn may_tell(&self, key: &AskerKey, question_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        Ok(self.items(|items| {
            let told = items.told.get(key);
            let may = told.is_none_or(|(of, at)| of == question_id || now >= at.after(TOLD_AGAIN_AFTER));
            if may {
                items.told.insert(key.clone(), (question_id.to_owned(), now));
            }
            may
        }))
    }
}
