//! Shows how to write a store of your own, and how to test it.
//!
//! A store keeps [`Record`]s. It must read a record, decide by [`Record::verdict`] and write the record as one atomic step. Here a
//! lock around a `BTreeMap` makes the step atomic; in a database it is a transaction, or one conditional statement with the same
//! condition as `verdict`. Take the current time for every decision from the claim, and read no other clock.
//!
//! ```sh
//! cargo run --example own_store --features contract
//! ```

use slack_ingress::dedup::record::{Record, State, Verdict};
use slack_ingress::dedup::shard::Shard;
use slack_ingress::dedup::{
    Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken, contract,
};
use slack_ingress::time::clock::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A row of the database: the record of an event, and if the record holds the event, its shard and its message.
type Row = (Record, Option<(Shard, String)>);

/// A store in memory, which stands for your database.
#[derive(Default)]
struct OwnStore {
    rows: Mutex<BTreeMap<String, Row>>,
}

impl OwnStore {
    /// Changes the row of an event with `change`, if the lease's owner still owns it and `may` allows it in the record's state. The
    /// owner is checked in the same step as the write: this is the fencing.
    async fn settle(&self, lease: &Lease, may: fn(State) -> bool, change: impl FnOnce(&mut Row)) -> Settled {
        match self.rows.lock().await.get_mut(lease.event_id()) {
            Some(row) if row.0.owner == lease.owner() && may(row.0.state) => {
                change(row);
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }
}

impl Store for OwnStore {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let mut rows = self.rows.lock().await;
        let verdict = rows.get(&claim.event_id).map(|(record, _)| record.verdict(claim));
        let took_over = match verdict {
            None | Some(Verdict::Own) => false,
            Some(Verdict::Free { takes_over }) => takes_over,
            Some(Verdict::InFlight) => return Ok(Recorded::InFlight),
            Some(Verdict::Forwarded) => return Ok(Recorded::Forwarded),
            Some(Verdict::Parked) => return Ok(Recorded::Parked),
        };
        rows.insert(claim.event_id.clone(), (Record::of(claim), None));
        Ok(Recorded::New { lease: Lease::granted(claim), took_over })
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        let confirm = |(record, message): &mut Row| {
            record.state = State::Forwarded;
            record.expires_at = Some(lease.expires_at());
            record.holds_event = false;
            *message = None;
        };
        Ok(self.settle(&lease, |_| true, confirm).await)
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        let mut rows = self.rows.lock().await;
        match rows.get_mut(lease.event_id()) {
            None => Ok(Settled::Done),
            Some((record, _)) if !record.can_be_deleted_by(lease.owner()) => Ok(Settled::Lost),
            Some((record, _)) if record.is_parked_by_a_delete() => {
                record.state = State::Parked;
                Ok(Settled::Done)
            }
            Some(_) => {
                rows.remove(lease.event_id());
                Ok(Settled::Done)
            }
        }
    }

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        let park = |row: &mut Row| {
            row.0.state = State::Parked;
            row.0.expires_at = None;
            row.0.holds_event = true;
            row.1 = Some((Shard::of(group), message.to_owned()));
        };
        Ok(self.settle(&lease, |state| state != State::Forwarded, park).await)
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        let mut rows = self.rows.lock().await;
        let Some((record, kept)) = rows.get_mut(&claim.event_id) else { return Ok(Left::Gone) };
        let left = record.left(claim.received_at);
        if left == Left::Kept {
            record.expires_at = None;
            record.holds_event = true;
            kept.get_or_insert_with(|| (Shard::of(group), message.to_owned()));
        }
        Ok(left)
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let rows = self.rows.lock().await;
        let of_the_shard =
            rows.iter().filter(|(_, (_, held))| held.as_ref().is_some_and(|(of, _)| *of == shard));
        let mut pending: Vec<_> = of_the_shard
            .map(|(event_id, (record, _))| Pending {
                event_id: event_id.clone(),
                received_at: record.received_at,
            })
            .collect();
        pending.retain(|pending| Some(pending) > after);
        pending.sort();
        pending.truncate(limit);
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let mut rows = self.rows.lock().await;
        Ok(match rows.get_mut(&claim.event_id) {
            Some((record, Some((_, message)))) if record.can_be_taken(claim) => {
                record.state = State::Parked;
                record.owner.clone_from(&claim.owner);
                record.lease_until = claim.lease_until;
                Taken::Yours { lease: Lease::granted(claim), message: message.clone() }
            }
            Some((record, _)) if record.holds_event => Taken::Held,
            _ => Taken::NotParked,
        })
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = self.rows.lock().await;
        Ok(rows.get(event_id).is_some_and(|(record, _)| !record.has_expired(now)))
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "this program prints its result")]
async fn main() {
    contract::all(Arc::new(OwnStore::default())).await;
    println!("The store keeps the contract.");
}

#[test]
fn the_store_keeps_the_contract() {
    main();
}
