//! Records in the memory of this process, for local work and for tests. It does not do on Lambda: each execution environment
//! would have records of its own, and a retry of Slack's may meet any of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{Record, State, Verdict};
use super::shard::Shard;
use super::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use crate::time::clock::UnixMillis;

/// The store deletes expired records when it has twice as many records as after the last time, and at least this many.
const SWEEP_FLOOR: usize = 1024;

/// A store whose records are gone when the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
    has_no_redrive: bool,
}

#[derive(Debug, Default)]
struct Records {
    by_id: HashMap<String, Record>,
    /// The shards and the messages of the events that a record holds, by their ids.
    parked: BTreeMap<String, (Shard, String)>,
    sweep_at: usize,
}

impl MemoryStore {
    /// An empty store, which also parks. Tests use it, where the redrive runs in the same process.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that no redrive can read, because it is the memory of another process. It refuses to park and to leave:
    /// the 200 after it promises that the event is sent later, and nobody could keep that promise.
    pub fn without_redrive() -> Self {
        Self { has_no_redrive: true, ..Self::default() }
    }

    fn refuse_without_redrive(&self, what: &'static str) -> Result<(), StoreError> {
        if self.has_no_redrive {
            return Err(StoreError::new(what, "what is kept in memory is gone with its process"));
        }
        Ok(())
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
            Some(record) if record.can_be_confirmed_by(lease.owner()) => {
                record.state = State::Forwarded;
                record.expires_at = Some(lease.expires_at());
                record.holds_event = false;
                records.parked.remove(lease.event_id());
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }

    fn park_now(&self, lease: &Lease, shard: Shard, message: &str) -> Settled {
        let mut records = self.lock();
        match records.by_id.get_mut(lease.event_id()) {
            Some(record) if record.can_be_parked_by(lease.owner()) => {
                record.state = State::Parked;
                record.expires_at = None;
                record.holds_event = true;
                records.parked.insert(lease.event_id().to_owned(), (shard, message.to_owned()));
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }

    fn leave_now(&self, claim: &Claim, shard: Shard, message: &str) -> Left {
        let mut records = self.lock();
        let Some(record) = records.by_id.get_mut(&claim.event_id) else { return Left::Gone };
        let left = record.left(claim.received_at);
        if left == Left::Kept && !record.holds_event {
            record.expires_at = None;
            record.holds_event = true;
            records.parked.insert(claim.event_id.clone(), (shard, message.to_owned()));
        }
        left
    }

    /// Every event that a record holds, of all shards, in the order of receipt.
    pub fn all_pending(&self) -> Vec<Pending> {
        self.pending_where(|_| true)
    }

    fn pending_where(&self, is_listed: impl Fn(Shard) -> bool) -> Vec<Pending> {
        let records = self.lock();
        let parked = records.parked.iter().filter(|(_, (shard, _))| is_listed(*shard));
        let mut pending: Vec<Pending> = parked
            .filter_map(|(event_id, _)| {
                let received_at = records.by_id.get(event_id)?.received_at;
                Some(Pending { received_at, event_id: event_id.clone() })
            })
            .collect();
        pending.sort();
        pending
    }

    fn take_now(&self, claim: &Claim) -> Taken {
        let mut records = self.lock();
        let Records { by_id, parked, .. } = &mut *records;
        match (by_id.get_mut(&claim.event_id), parked.get(&claim.event_id)) {
            (Some(record), Some((_, message))) if record.can_be_taken(claim) => {
                record.state = State::Parked;
                record.owner.clone_from(&claim.owner);
                record.lease_until = claim.lease_until;
                Taken::Yours { lease: Lease::granted(claim), message: message.clone() }
            }
            (Some(_), Some(_)) => Taken::Held,
            _ => Taken::NotParked,
        }
    }

    fn delete_now(&self, lease: &Lease) -> Settled {
        let mut records = self.lock();
        match records.by_id.get_mut(lease.event_id()) {
            None => Settled::Done,
            Some(record) if !record.can_be_deleted_by(lease.owner()) => Settled::Lost,
            Some(record) if record.is_parked_by_a_delete() => {
                record.state = State::Parked;
                Settled::Done
            }
            Some(_) => {
                records.by_id.remove(lease.event_id());
                Settled::Done
            }
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

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        self.refuse_without_redrive("park")?;
        Ok(self.park_now(&lease, Shard::of(group), message))
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        self.refuse_without_redrive("leave")?;
        Ok(self.leave_now(claim, Shard::of(group), message))
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let mut pending = self.pending_where(|of| of == shard);
        pending.retain(|pending| Some(pending) > after);
        pending.truncate(limit);
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        Ok(self.take_now(claim))
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let records = self.lock();
        Ok(records.by_id.get(event_id).is_some_and(|record| !record.has_expired(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::UnixSeconds;
    use std::time::Duration;

    #[test]
    fn what_has_expired_is_swept_out_when_the_map_has_doubled_and_nothing_else_is() {
        let store = MemoryStore::new();
        let record = |n: usize, now: u64, expires_at: u64| {
            let received_at = UnixMillis::from_millis(now * 1000);
            let (event_id, owner) = (format!("Ev{n}"), "a".to_owned());
            store.record_now(&Claim {
                event_id,
                owner,
                received_at,
                lease_until: received_at,
                expires_at: UnixSeconds::from_secs(expires_at),
            });
            store.lock().by_id.len()
        };
        // The store has as many records as it may have without a sweep, and those with an even number have expired by then.
        for n in 0..SWEEP_FLOOR {
            assert_eq!(record(n, 1, 10 + u64::from(n % 2 == 1)), n + 1);
        }
        assert_eq!(record(SWEEP_FLOOR, 10, 20), SWEEP_FLOOR / 2 + 1);
        assert!(
            store.lock().by_id.iter().all(|(_, record)| record.expires_at > Some(UnixSeconds::from_secs(10)))
        );
        // The next sweep comes at that many records again. It finds none that has expired, and the one after it comes at twice
        // as many.
        for n in SWEEP_FLOOR + 1..3 * SWEEP_FLOOR {
            record(n, 10, 20);
        }
        assert_eq!(store.lock().by_id.len(), SWEEP_FLOOR / 2 + 2 * SWEEP_FLOOR);
        assert_eq!(store.lock().sweep_at, 2 * 2 * SWEEP_FLOOR);
    }

    #[tokio::test]
    async fn nothing_is_parked_where_no_redrive_could_find_it() {
        let store = MemoryStore::without_redrive();
        let now = UnixMillis::from_millis(1_531_420_618_000);
        let claim = Claim {
            event_id: "Ev1".to_owned(),
            owner: "first".to_owned(),
            received_at: now,
            lease_until: now.after(Duration::from_secs(5)),
            expires_at: now.after(Duration::from_secs(3600)).in_seconds(),
        };
        let Ok(Recorded::New { lease, .. }) = store.record(&claim).await else { panic!("not recorded") };
        assert!(store.leave(&claim, "a", "{}").await.is_err());
        assert!(store.park(lease, "a", "{}").await.is_err());
        assert!(store.all_pending().is_empty());
        let later =
            Claim { owner: "second".to_owned(), received_at: now.after(Duration::from_secs(6)), ..claim };
        assert!(matches!(store.record(&later).await, Ok(Recorded::New { took_over: true, .. })));
    }
}
