//! Records in this process's memory: for local work and tests. On Lambda each execution environment would
//! have its own, and Slack's retries meet any of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Claim, Lease, Parked, Record, Recorded, Settled, State, Store, StoreError, Verdict};
use crate::clock::UnixMillis;

/// Expired records are swept out when the map has doubled since the last sweep, and not below this size.
const SWEEP_FLOOR: usize = 1024;

/// A store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    by_id: HashMap<String, Record>,
    /// The messages of the parked ones.
    parked: HashMap<String, String>,
    sweep_at: usize,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        // No step below leaves the map half-written, so a panic elsewhere does not spoil it.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_now(&self, claim: &Claim) -> Recorded {
        let mut records = self.lock();
        records.sweep(claim.received_at);
        let verdict = records
            .by_id
            .get(&claim.event_id)
            .map_or(Verdict::Free { takes_over: false }, |record| record.verdict(claim));
        match verdict {
            Verdict::Free { takes_over: took_over } => {
                records.by_id.insert(claim.event_id.clone(), Record::of(claim));
                Recorded::New { lease: Lease::granted(claim), took_over }
            }
            Verdict::Own => Recorded::New { lease: Lease::granted(claim), took_over: false },
            Verdict::InFlight => Recorded::InFlight,
            Verdict::Forwarded => Recorded::Forwarded,
            Verdict::Parked => Recorded::Parked,
        }
    }

    fn confirm_now(&self, lease: &Lease) -> Settled {
        let mut records = self.lock();
        match records.by_id.get_mut(lease.event_id()) {
            Some(record) if record.owner == lease.owner() => {
                record.state = State::Forwarded;
                record.expires_at = Some(lease.expires_at());
                records.parked.remove(lease.event_id());
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }

    fn park_now(&self, lease: &Lease, message: &str) -> Settled {
        let mut records = self.lock();
        match records.by_id.get_mut(lease.event_id()) {
            Some(record) if record.owner == lease.owner() && record.state != State::Forwarded => {
                record.state = State::Parked;
                record.expires_at = None;
                records.parked.insert(lease.event_id().to_owned(), message.to_owned());
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }

    fn pending_now(&self, limit: usize) -> Vec<Parked> {
        let records = self.lock();
        let mut pending: Vec<Parked> = records
            .parked
            .iter()
            .filter_map(|(event_id, message)| {
                let record = records.by_id.get(event_id)?;
                Some(Parked {
                    event_id: event_id.clone(),
                    owner: record.owner.clone(),
                    received_at: record.received_at,
                    message: message.clone(),
                })
            })
            .collect();
        pending.sort_by_key(|parked| parked.received_at);
        pending.truncate(limit);
        pending
    }

    fn delete_now(&self, lease: &Lease) -> Settled {
        let mut records = self.lock();
        match records.by_id.get(lease.event_id()) {
            None => Settled::Done,
            Some(record) if record.owner == lease.owner() && record.state == State::InFlight => {
                records.by_id.remove(lease.event_id());
                Settled::Done
            }
            Some(_) => Settled::Lost,
        }
    }
}

impl Records {
    fn sweep(&mut self, now: UnixMillis) {
        if self.by_id.len() >= self.sweep_at.max(SWEEP_FLOOR) {
            self.by_id.retain(|_, record| !record.has_expired(now));
            self.sweep_at = self.by_id.len() * 2;
        }
    }
}

impl Store for MemoryStore {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        Ok(self.record_now(claim))
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        Ok(self.confirm_now(&lease))
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        Ok(self.delete_now(&lease))
    }

    async fn park(&self, lease: Lease, message: &str) -> Result<Settled, StoreError> {
        Ok(self.park_now(&lease, message))
    }

    async fn pending(&self, limit: usize) -> Result<Vec<Parked>, StoreError> {
        Ok(self.pending_now(limit))
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let records = self.lock();
        Ok(records.by_id.get(event_id).is_some_and(|record| !record.has_expired(now)))
    }
}
