//! How to write a store of your own, and how to know that it is right.
//!
//! A store keeps [`Record`]s and makes [`Record::verdict`] atomic: look, decide and write as one step. Here a
//! `BTreeMap` behind a lock does that; with a database it is a transaction, or one conditional statement whose
//! condition says what `verdict` says. The times in the claim are "now" for every decision: ask no other clock.
//!
//! ```sh
//! cargo run --example own_store --features contract
//! ```

use slack_ingress::dedup::record::{Record, State, Verdict};
use slack_ingress::dedup::{Claim, Lease, Pending, Recorded, Settled, Store, StoreError, Taken, contract};
use slack_ingress::time::clock::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What the database holds for an event: its record, and the message if it is parked.
type Row = (Record, Option<String>);

/// The store.
#[derive(Default)]
struct OwnStore {
    rows: Mutex<BTreeMap<String, Row>>,
}

impl OwnStore {
    /// Settles the row of an event if `may` says so: fencing is a condition on the owner, checked with the write.
    async fn settle(&self, lease: &Lease, may: fn(State) -> bool, settle: impl FnOnce(&mut Row)) -> Settled {
        match self.rows.lock().await.get_mut(lease.event_id()) {
            Some(row) if row.0.owner == lease.owner() && may(row.0.state) => {
                settle(row);
                Settled::Done
            }
            _ => Settled::Lost,
        }
    }
}

impl Store for OwnStore {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let mut rows = self.rows.lock().await;
        let standing = rows.get(&claim.event_id).map(|(record, _)| record.verdict(claim));
        let took_over = match standing {
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
            *message = None;
        };
        Ok(self.settle(&lease, |_| true, confirm).await)
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        let mut rows = self.rows.lock().await;
        match rows.get(lease.event_id()) {
            None => Ok(Settled::Done),
            Some((record, _)) if record.owner == lease.owner() && record.state == State::InFlight => {
                rows.remove(lease.event_id());
                Ok(Settled::Done)
            }
            Some(_) => Ok(Settled::Lost),
        }
    }

    async fn park(&self, lease: Lease, message: &str) -> Result<Settled, StoreError> {
        let park = |row: &mut Row| {
            row.0.state = State::Parked;
            row.0.expires_at = None;
            row.1 = Some(message.to_owned());
        };
        Ok(self.settle(&lease, |state| state != State::Forwarded, park).await)
    }

    async fn pending(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        let rows = self.rows.lock().await;
        let parked = rows.iter().filter(|(_, (record, _))| record.state == State::Parked);
        let mut pending: Vec<_> = parked
            .map(|(event_id, (record, _))| Pending {
                event_id: event_id.clone(),
                received_at: record.received_at,
            })
            .collect();
        pending.sort_by_key(|pending| pending.received_at);
        pending.truncate(limit);
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let mut rows = self.rows.lock().await;
        Ok(match rows.get_mut(&claim.event_id) {
            Some((record, Some(message))) if record.can_be_taken(claim) => {
                record.owner.clone_from(&claim.owner);
                record.lease_until = claim.lease_until;
                Taken::Yours { lease: Lease::granted(claim), message: message.clone() }
            }
            Some((record, _)) if record.state == State::Parked => Taken::Held,
            _ => Taken::NotParked,
        })
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = self.rows.lock().await;
        Ok(rows.get(event_id).is_some_and(|(record, _)| !record.has_expired(now)))
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "that is what it is for")]
async fn main() {
    contract::all(Arc::new(OwnStore::default())).await;
    println!("The store keeps the contract.");
}

#[test]
fn the_store_keeps_the_contract() {
    main();
}
