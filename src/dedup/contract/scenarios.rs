//! The scenarios. Each uses ids of its own, and panics when the store breaks the contract.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed expectation is what a suite is for")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::task::JoinSet;

use crate::dedup::shard::Shard;
use crate::dedup::{Claim, Lease, Left, Pending, Recorded, Settled, Store, Taken};
use crate::time::clock::{Clock, SystemClock, UnixMillis};

const LEASE_MS: u64 = 5_000;
const TTL_MS: u64 = 3_600_000;

/// The point in time `offset_ms` after the first scenario began. The scenarios take place in the present because a store may
/// delete expired records by its own clock, and they begin on a full second because records expire on one.
fn at(offset_ms: u64) -> UnixMillis {
    static NOW: OnceLock<u64> = OnceLock::new();
    let now = NOW.get_or_init(|| SystemClock.now().as_secs() * 1000);
    UnixMillis::from_millis(now + offset_ms)
}

fn fresh_id(scenario: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("Ev-{scenario}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A claim by `owner`, made at `offset_ms`.
fn claim(event_id: &str, owner: &str, offset_ms: u64) -> Claim {
    Claim {
        event_id: event_id.to_owned(),
        owner: owner.to_owned(),
        received_at: at(offset_ms),
        lease_until: at(offset_ms + LEASE_MS),
        expires_at: at(offset_ms + TTL_MS).in_seconds(),
    }
}

async fn record(store: &impl Store, claim: &Claim) -> Recorded {
    store.record(claim).await.expect("the store answers")
}

async fn take(store: &impl Store, claim: &Claim) -> Lease {
    match record(store, claim).await {
        Recorded::New { lease, took_over: false } => lease,
        other => panic!("{claim:?} should be new: {other:?}"),
    }
}

async fn take_over(store: &impl Store, claim: &Claim) -> Lease {
    match record(store, claim).await {
        Recorded::New { lease, took_over: true } => lease,
        other => panic!("{claim:?} should take over: {other:?}"),
    }
}

async fn confirm(store: &impl Store, lease: Lease) -> Settled {
    store.confirm(lease).await.expect("the store answers")
}

async fn delete(store: &impl Store, lease: Lease) -> Settled {
    store.delete(lease).await.expect("the store answers")
}

async fn park(store: &impl Store, lease: Lease, message: &str) -> Settled {
    store.park(lease, "a conversation", message).await.expect("the store answers")
}

async fn leave(store: &impl Store, claim: &Claim, message: &str) -> Left {
    store.leave(claim, "a conversation", message).await.expect("the store answers")
}

/// Which of these events are pending. The store may have those of other scenarios, too.
async fn pending_of(store: &impl Store, ids: &[&str]) -> Vec<Pending> {
    let mut found = Vec::new();
    for shard in Shard::all().chain([Shard::EARLIER]) {
        let pending = pending(store, shard, None, usize::from(u16::MAX)).await;
        found.extend(pending.into_iter().filter(|pending| ids.contains(&pending.event_id.as_str())));
    }
    found
}

async fn pending(store: &impl Store, shard: Shard, after: Option<&Pending>, limit: usize) -> Vec<Pending> {
    store.pending(shard, after, limit).await.expect("the store answers")
}

/// Takes a parked event, and checks that its message is `expected`.
async fn take_parked(store: &impl Store, claim: &Claim, expected: &str) -> Lease {
    match store.take(claim).await.expect("the store answers") {
        Taken::Yours { lease, message } => {
            assert!(message == expected, "{} bytes were parked, {} taken", expected.len(), message.len());
            lease
        }
        other => panic!("{claim:?} should take it: {other:?}"),
    }
}

async fn expect_held(store: &impl Store, claim: &Claim) {
    let taken = store.take(claim).await.expect("the store answers");
    assert!(matches!(taken, Taken::Held), "{claim:?} should find it held: {taken:?}");
}

async fn expect_not_parked(store: &impl Store, claim: &Claim) {
    let taken = store.take(claim).await.expect("the store answers");
    assert!(matches!(taken, Taken::NotParked), "{claim:?} should find nothing: {taken:?}");
}

async fn expect_parked(store: &impl Store, claim: &Claim) {
    let recorded = record(store, claim).await;
    assert!(matches!(recorded, Recorded::Parked), "{claim:?} should be parked: {recorded:?}");
}

async fn expect_in_flight(store: &impl Store, claim: &Claim) {
    let recorded = record(store, claim).await;
    assert!(matches!(recorded, Recorded::InFlight), "{claim:?} should be in flight: {recorded:?}");
}

async fn expect_forwarded(store: &impl Store, claim: &Claim) {
    let recorded = record(store, claim).await;
    assert!(matches!(recorded, Recorded::Forwarded), "{claim:?} should be forwarded: {recorded:?}");
}

/// The first claim gets the lease, and the next one finds the event in flight.
pub async fn first_claim_wins<S: Store>(store: Arc<S>) {
    let id = fresh_id("first");
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    assert_eq!((lease.event_id(), lease.owner()), (id.as_str(), "a"));
    expect_in_flight(&*store, &claim(&id, "b", 1)).await;
    take(&*store, &claim(&fresh_id("other"), "b", 1)).await;
}

/// Of 64 claims at once exactly one gets the lease. This is tried with 50 events.
pub async fn of_many_at_once_one_wins<S: Store + 'static>(store: Arc<S>) {
    for _ in 0..50 {
        let id = fresh_id("race");
        let mut claims = JoinSet::new();
        for owner in 0..64 {
            let (store, claim) = (Arc::clone(&store), claim(&id, &owner.to_string(), 0));
            claims.spawn(async move { record(&*store, &claim).await });
        }
        let recorded = claims.join_all().await;
        let won = recorded.iter().filter(|recorded| matches!(recorded, Recorded::New { .. })).count();
        let in_flight = recorded.iter().filter(|recorded| matches!(recorded, Recorded::InFlight)).count();
        assert_eq!((won, in_flight), (1, 63), "{id}");
    }
}

/// The same claim made twice gets the lease twice: the answer to the first write was lost, and the client repeated the write.
pub async fn a_repeated_write_is_the_owners<S: Store>(store: Arc<S>) {
    let id = fresh_id("repeated");
    let first = claim(&id, "a", 0);
    take(&*store, &first).await;
    take(&*store, &first).await;
    // A later claim with the same token is another claim.
    expect_in_flight(&*store, &claim(&id, "a", 1)).await;
}

/// A confirmed event is forwarded for its owner and for everybody else, also when the lease is over.
pub async fn a_confirmed_event_is_forwarded<S: Store>(store: Arc<S>) {
    let id = fresh_id("confirmed");
    let first = claim(&id, "a", 0);
    let lease = take(&*store, &first).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    expect_forwarded(&*store, &first).await;
    expect_forwarded(&*store, &claim(&id, "b", 1)).await;
    expect_forwarded(&*store, &claim(&id, "b", LEASE_MS * 10)).await;
}

/// An owner may confirm twice, because the first answer may have been lost.
pub async fn confirming_twice_is_confirming<S: Store>(store: Arc<S>) {
    let first = claim(&fresh_id("twice"), "a", 0);
    take(&*store, &first).await;
    assert_eq!(confirm(&*store, Lease::granted(&first)).await, Settled::Done);
    assert_eq!(confirm(&*store, Lease::granted(&first)).await, Settled::Done);
}

/// A deleted event can be claimed at once, by anybody. An owner may delete twice.
pub async fn a_deleted_event_is_free<S: Store>(store: Arc<S>) {
    let id = fresh_id("deleted");
    let first = claim(&id, "a", 0);
    take(&*store, &first).await;
    assert_eq!(delete(&*store, Lease::granted(&first)).await, Settled::Done);
    assert_eq!(delete(&*store, Lease::granted(&first)).await, Settled::Done);
    take(&*store, &claim(&id, "b", 1)).await;
}

/// A forwarded event cannot be deleted, not even by its owner.
pub async fn a_forwarded_event_cannot_be_deleted<S: Store>(store: Arc<S>) {
    let id = fresh_id("kept");
    let first = claim(&id, "a", 0);
    let lease = take(&*store, &first).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(delete(&*store, Lease::granted(&first)).await, Settled::Lost);
    expect_forwarded(&*store, &claim(&id, "b", 1)).await;
}

/// To its last millisecond a lease keeps every other claim out. After that the next claim takes it over.
pub async fn a_lease_that_is_past_is_taken_over<S: Store>(store: Arc<S>) {
    let id = fresh_id("lease");
    take(&*store, &claim(&id, "a", 0)).await;
    expect_in_flight(&*store, &claim(&id, "b", LEASE_MS - 1)).await;
    expect_in_flight(&*store, &claim(&id, "b", LEASE_MS)).await;
    take_over(&*store, &claim(&id, "b", LEASE_MS + 1)).await;
    expect_in_flight(&*store, &claim(&id, "c", LEASE_MS + 2)).await;
}

/// Fencing: an owner whose lease was taken over can neither confirm nor delete.
pub async fn a_stale_owner_changes_nothing<S: Store>(store: Arc<S>) {
    let id = fresh_id("stale");
    let stale = claim(&id, "a", 0);
    take(&*store, &stale).await;
    let lease = take_over(&*store, &claim(&id, "b", LEASE_MS + 1)).await;

    assert_eq!(delete(&*store, Lease::granted(&stale)).await, Settled::Lost);
    expect_in_flight(&*store, &claim(&id, "c", LEASE_MS + 2)).await;
    assert_eq!(confirm(&*store, Lease::granted(&stale)).await, Settled::Lost);
    expect_in_flight(&*store, &claim(&id, "c", LEASE_MS + 2)).await;

    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(delete(&*store, Lease::granted(&stale)).await, Settled::Lost);
    expect_forwarded(&*store, &claim(&id, "c", LEASE_MS + 3)).await;
}

/// A deleted event cannot be confirmed, and a confirm does not write a new record.
pub async fn confirming_a_deleted_event_brings_nothing_back<S: Store>(store: Arc<S>) {
    let id = fresh_id("gone");
    let first = claim(&id, "a", 0);
    let lease = take(&*store, &first).await;
    assert_eq!(delete(&*store, lease).await, Settled::Done);
    assert_eq!(confirm(&*store, Lease::granted(&first)).await, Settled::Lost);
    assert!(!store.seen(&id, at(1)).await.expect("the store answers"));
    take(&*store, &claim(&id, "b", 1)).await;
}

/// An expired record is free as soon as its time is over, though nothing has deleted it yet. Claiming it does not count as
/// taking over a lease.
pub async fn an_expired_record_is_free_before_any_sweep<S: Store>(store: Arc<S>) {
    let forwarded = fresh_id("expired-forwarded");
    let lease = take(&*store, &claim(&forwarded, "a", 0)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    expect_forwarded(&*store, &claim(&forwarded, "b", TTL_MS - 1)).await;
    take(&*store, &claim(&forwarded, "b", TTL_MS)).await;

    let in_flight = fresh_id("expired-in-flight");
    take(&*store, &claim(&in_flight, "a", 0)).await;
    take(&*store, &claim(&in_flight, "b", TTL_MS)).await;
}

/// A parked event stays parked, with its message, past its lease and past the time at which its record would have expired,
/// until an owner who took it confirms it.
pub async fn a_parked_event_is_kept_until_it_is_confirmed<S: Store>(store: Arc<S>) {
    let id = fresh_id("parked");
    let first = claim(&id, "a", 0);
    take(&*store, &first).await;
    let message = "{\"body\":\"Grüße 🦀\"}";
    assert_eq!(park(&*store, Lease::granted(&first), message).await, Settled::Done);
    assert_eq!(park(&*store, Lease::granted(&first), message).await, Settled::Done, "its answer was lost");
    for offset in [1, LEASE_MS * 2, TTL_MS * 1000] {
        expect_parked(&*store, &claim(&id, "b", offset)).await;
    }
    // To its owner a record that holds the event is given up by a delete, and is not deleted.
    assert_eq!(delete(&*store, Lease::granted(&first)).await, Settled::Done);
    expect_parked(&*store, &claim(&id, "b", 1)).await;
    let expected = Pending { event_id: id.clone(), received_at: at(0) };
    assert_eq!(pending_of(&*store, &[&id]).await, [expected]);

    let redriven_at = TTL_MS * 2;
    let lease = take_parked(&*store, &claim(&id, "b", redriven_at), message).await;
    expect_parked(&*store, &claim(&id, "c", redriven_at + 1)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(pending_of(&*store, &[&id]).await, []);
    expect_forwarded(&*store, &claim(&id, "c", redriven_at)).await;
    expect_not_parked(&*store, &claim(&id, "c", redriven_at + LEASE_MS * 2)).await;
    take(&*store, &claim(&id, "c", redriven_at + TTL_MS)).await;
}

/// Whoever parked an event holds it to the end of the lease, because the send may still be under way. Whoever takes it holds it
/// in the same way. Of many who take it at once exactly one gets it.
pub async fn a_parked_event_is_taken_by_one_at_a_time<S: Store + 'static>(store: Arc<S>) {
    let id = fresh_id("taken");
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    assert_eq!(park(&*store, lease, "{}").await, Settled::Done);
    expect_held(&*store, &claim(&id, "b", LEASE_MS)).await;
    let mut claims = JoinSet::new();
    for owner in 0..32 {
        let (store, claim) = (Arc::clone(&store), claim(&id, &owner.to_string(), LEASE_MS + 1));
        claims.spawn(async move { store.take(&claim).await.expect("the store answers") });
    }
    let taken = claims.join_all().await;
    let won = taken.iter().filter(|taken| matches!(taken, Taken::Yours { .. })).count();
    let held = taken.iter().filter(|taken| matches!(taken, Taken::Held)).count();
    assert_eq!((won, held), (1, 31), "{id}");
    expect_held(&*store, &claim(&id, "b", LEASE_MS * 2 + 1)).await;
    take_parked(&*store, &claim(&id, "b", LEASE_MS * 2 + 2), "{}").await;
}

/// The same claim takes a parked event twice, because the first answer may have been lost. A later claim with the same token
/// does not.
pub async fn a_repeated_take_is_the_takers<S: Store>(store: Arc<S>) {
    let id = fresh_id("taken-twice");
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    assert_eq!(park(&*store, lease, "{}").await, Settled::Done);
    let taker = claim(&id, "b", LEASE_MS + 1);
    take_parked(&*store, &taker, "{}").await;
    take_parked(&*store, &taker, "{}").await;
    expect_held(&*store, &claim(&id, "b", LEASE_MS + 2)).await;
}

/// An owner who lost a parked event to another one can neither confirm, delete nor park it, also if it had parked it itself.
pub async fn a_stale_taker_changes_nothing<S: Store>(store: Arc<S>) {
    let id = fresh_id("taken-stale");
    let parker = claim(&id, "a", 0);
    let lease = take(&*store, &parker).await;
    assert_eq!(park(&*store, lease, "{}").await, Settled::Done);
    let stale = claim(&id, "b", LEASE_MS + 1);
    take_parked(&*store, &stale, "{}").await;
    let lease = take_parked(&*store, &claim(&id, "c", LEASE_MS * 2 + 2), "{}").await;
    for lost in [&parker, &stale] {
        assert_eq!(confirm(&*store, Lease::granted(lost)).await, Settled::Lost);
        assert_eq!(delete(&*store, Lease::granted(lost)).await, Settled::Lost);
        assert_eq!(park(&*store, Lease::granted(lost), "other").await, Settled::Lost);
    }
    expect_parked(&*store, &claim(&id, "d", LEASE_MS * 2 + 3)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    expect_forwarded(&*store, &claim(&id, "d", LEASE_MS * 2 + 4)).await;
}

/// An event that is not parked cannot be taken, also if its lease is over.
pub async fn only_a_parked_event_is_taken<S: Store>(store: Arc<S>) {
    let id = fresh_id("not-parked");
    expect_not_parked(&*store, &claim(&id, "b", 0)).await;
    let first = claim(&id, "a", 0);
    let lease = take(&*store, &first).await;
    expect_not_parked(&*store, &first).await;
    expect_not_parked(&*store, &claim(&id, "b", LEASE_MS * 2)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    expect_not_parked(&*store, &claim(&id, "b", LEASE_MS * 2)).await;
}

/// A message of a megabyte can be parked, if it is text that a compression makes smaller.
pub async fn a_large_message_is_kept_to_the_letter<S: Store>(store: Arc<S>) {
    let line = "{\"text\":\"Grüße 🦀, Zeile \\n\"},";
    for size in [400_000, 410_000, 1_500_000] {
        let message = line.repeat(size / line.len());
        let id = fresh_id("large");
        let lease = take(&*store, &claim(&id, "a", 0)).await;
        assert_eq!(park(&*store, lease, &message).await, Settled::Done);
        take_parked(&*store, &claim(&id, "b", LEASE_MS + 1), &message).await;
    }
}

/// Fencing: an owner whose lease was taken over cannot park. A forwarded event cannot be parked at all.
pub async fn only_the_owner_of_an_event_in_flight_parks_it<S: Store>(store: Arc<S>) {
    let id = fresh_id("park-stale");
    let stale = claim(&id, "a", 0);
    take(&*store, &stale).await;
    let owner = claim(&id, "b", LEASE_MS + 1);
    let lease = take_over(&*store, &owner).await;
    assert_eq!(park(&*store, Lease::granted(&stale), "{}").await, Settled::Lost);
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(park(&*store, Lease::granted(&owner), "{}").await, Settled::Lost);
    expect_forwarded(&*store, &claim(&id, "c", LEASE_MS + 2)).await;
    let nobodys = claim(&fresh_id("park-nothing"), "a", 0);
    assert_eq!(park(&*store, Lease::granted(&nobodys), "{}").await, Settled::Lost);
    assert_eq!(pending_of(&*store, &[&id, &nobodys.event_id]).await, []);
}

/// An event left in a record in flight is kept in it, also past its lease and past the time at which the record would have
/// expired. To every claim it is parked, and no claim overwrites it. It is listed, and the redrive takes it when the holder's
/// lease is over.
pub async fn an_event_left_in_flight_is_kept_and_taken_when_the_holder_is_dead<S: Store>(store: Arc<S>) {
    let id = fresh_id("left");
    let holder = claim(&id, "a", 0);
    take(&*store, &holder).await;
    let message = "{\"body\":\"Grüße 🦀\"}";
    assert_eq!(leave(&*store, &claim(&id, "b", 1), message).await, Left::Kept);
    assert_eq!(leave(&*store, &claim(&id, "b", 1), message).await, Left::Kept, "its answer was lost");
    assert_eq!(leave(&*store, &claim(&id, "c", 2), "another").await, Left::Kept, "the first one is kept");
    // The holder's own write too, repeated because its answer was lost: nobody sends it but the redrive.
    expect_parked(&*store, &holder).await;
    for offset in [1, LEASE_MS, LEASE_MS + 1, TTL_MS, TTL_MS * 1000] {
        expect_parked(&*store, &claim(&id, "d", offset)).await;
        assert!(store.seen(&id, at(offset)).await.expect("the store answers"), "{offset}");
    }
    let expected = Pending { event_id: id.clone(), received_at: at(0) };
    assert_eq!(pending_of(&*store, &[&id]).await, [expected]);

    expect_held(&*store, &holder).await;
    expect_held(&*store, &claim(&id, "e", LEASE_MS)).await;
    let taker = claim(&id, "e", LEASE_MS + 1);
    take_parked(&*store, &taker, message).await;
    let lease = take_parked(&*store, &taker, message).await;
    expect_held(&*store, &claim(&id, "f", LEASE_MS + 2)).await;
    // The holder wakes up too late.
    assert_eq!(confirm(&*store, Lease::granted(&holder)).await, Settled::Lost);
    assert_eq!(delete(&*store, Lease::granted(&holder)).await, Settled::Lost);
    assert_eq!(leave(&*store, &claim(&id, "g", LEASE_MS + 2), "late").await, Left::Parked);
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(pending_of(&*store, &[&id]).await, []);
    expect_forwarded(&*store, &claim(&id, "g", LEASE_MS + 3)).await;
}

/// A holder that confirms takes the event that was left out of the record again, which then expires like any other.
pub async fn a_confirm_removes_the_event_that_was_left<S: Store>(store: Arc<S>) {
    let id = fresh_id("left-confirmed");
    let holder = claim(&id, "a", 0);
    let lease = take(&*store, &holder).await;
    assert_eq!(leave(&*store, &claim(&id, "b", 1), "{}").await, Left::Kept);
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(pending_of(&*store, &[&id]).await, []);
    expect_not_parked(&*store, &claim(&id, "c", LEASE_MS * 2)).await;
    assert_eq!(leave(&*store, &claim(&id, "c", 2), "{}").await, Left::Forwarded);
    assert_eq!(pending_of(&*store, &[&id]).await, []);
    expect_forwarded(&*store, &claim(&id, "c", TTL_MS - 1)).await;
    take(&*store, &claim(&id, "c", TTL_MS)).await;
}

/// A holder that gives up leaves the event parked: its delete deletes nothing, also when it is made twice. A holder that parks
/// over it parks it.
pub async fn a_holder_that_gives_up_leaves_the_event_parked<S: Store>(store: Arc<S>) {
    for parks in [false, true] {
        let id = fresh_id("left-given-up");
        let holder = claim(&id, "a", 0);
        take(&*store, &holder).await;
        assert_eq!(leave(&*store, &claim(&id, "b", 1), "{}").await, Left::Kept);
        for _ in 0..2 {
            let given_up = if parks {
                park(&*store, Lease::granted(&holder), "{}").await
            } else {
                delete(&*store, Lease::granted(&holder)).await
            };
            assert_eq!(given_up, Settled::Done);
        }
        let expected = Pending { event_id: id.clone(), received_at: at(0) };
        assert_eq!(pending_of(&*store, &[&id]).await, [expected]);
        assert_eq!(leave(&*store, &claim(&id, "b", 2), "{}").await, Left::Parked);
        expect_parked(&*store, &claim(&id, "b", TTL_MS)).await;
        // A send of the holder's may still be under way, as after a park.
        expect_held(&*store, &claim(&id, "c", LEASE_MS)).await;
        take_parked(&*store, &claim(&id, "c", LEASE_MS + 1), "{}").await;
    }
}

/// Nothing is left where there is no record, be it deleted, expired or never written. The caller may then claim the event.
pub async fn nothing_is_left_where_there_is_no_record<S: Store>(store: Arc<S>) {
    let id = fresh_id("left-nowhere");
    assert_eq!(leave(&*store, &claim(&id, "b", 0), "{}").await, Left::Gone);
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    assert_eq!(delete(&*store, lease).await, Settled::Done);
    assert_eq!(leave(&*store, &claim(&id, "b", 1), "{}").await, Left::Gone);
    take(&*store, &claim(&id, "a", 2)).await;
    assert_eq!(leave(&*store, &claim(&id, "b", TTL_MS + 2), "{}").await, Left::Gone);
    let lease = take(&*store, &claim(&id, "b", TTL_MS + 3)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert_eq!(leave(&*store, &claim(&id, "c", TTL_MS * 2 + 3), "{}").await, Left::Gone);
    assert_eq!(pending_of(&*store, &[&id]).await, []);
}

/// Of a holder that gives up and a last attempt that leaves its event, whichever comes first: the event is either kept, or its
/// bearer is told that the record is gone. This is tried with 50 events.
pub async fn a_delete_and_a_leave_at_once_lose_nothing<S: Store + 'static>(store: Arc<S>) {
    for _ in 0..50 {
        let id = fresh_id("left-race");
        let lease = take(&*store, &claim(&id, "a", 0)).await;
        let (deleter, claim) = (Arc::clone(&store), claim(&id, "b", 1));
        let deleting = tokio::spawn(async move { delete(&*deleter, lease).await });
        let left = leave(&*store, &claim, "{}").await;
        assert_eq!(deleting.await.expect("no panic"), Settled::Done, "{id}");
        match left {
            Left::Kept => expect_parked(&*store, &claim).await,
            Left::Gone => drop(take(&*store, &claim).await),
            Left::Forwarded | Left::Parked => panic!("{id}: {left:?}"),
        }
    }
}

/// The events of a conversation, be they parked or left, are listed in the conversation's shard and in no other, also if it
/// comes with another event's id.
pub async fn an_event_is_listed_in_the_shard_of_its_conversation<S: Store>(store: Arc<S>) {
    for n in 0..40 {
        let conversation = format!("conversation {n}");
        let [parked, left] = [fresh_id("sharded"), fresh_id("sharded")];
        let lease = take(&*store, &claim(&parked, "a", 0)).await;
        store.park(lease, &conversation, "{}").await.expect("the store answers");
        take(&*store, &claim(&left, "a", 1)).await;
        store.leave(&claim(&left, "b", 2), &conversation, "{}").await.expect("the store answers");
        for shard in Shard::all().chain([Shard::EARLIER]) {
            let mut listed = pending(&*store, shard, None, usize::from(u16::MAX)).await;
            listed.retain(|pending| [&parked, &left].contains(&&pending.event_id));
            let expected = if shard == Shard::of(&conversation) { 2 } else { 0 };
            assert_eq!(listed.len(), expected, "{conversation} in {shard}");
        }
    }
}

/// A shard is listed to its end page by page, each page after the last event of the one before, whether that event is still
/// parked or not. So events of the same millisecond have an order, too, which is the store's own.
pub async fn a_shard_is_listed_page_by_page<S: Store>(store: Arc<S>) {
    let conversation = fresh_id("conversation");
    let shard = Shard::of(&conversation);
    let mut expected = Vec::new();
    for n in 0..25 {
        let claim = claim(&fresh_id("page"), "a", 1000 * (n / 5));
        let lease = take(&*store, &claim).await;
        store.park(lease, &conversation, "{}").await.expect("the store answers");
        expected.push(Pending { received_at: claim.received_at, event_id: claim.event_id });
    }
    expected.sort();
    let mut listed: Vec<Pending> = Vec::new();
    loop {
        let page = pending(&*store, shard, listed.last(), 3).await;
        listed.extend(page.clone());
        assert!(listed.len() < 10_000, "it lists the same events again and again");
        if page.len() < 3 {
            break;
        }
        assert_eq!(page.len(), 3);
        let last = page.last().expect("three events");
        // The store may have events of other scenarios in this shard.
        if !expected.contains(last) {
            continue;
        }
        let lease = take_parked(&*store, &claim(&last.event_id, "b", LEASE_MS * 10), "{}").await;
        assert_eq!(confirm(&*store, lease).await, Settled::Done);
    }
    assert!(listed.is_sorted_by_key(|pending| pending.received_at), "{listed:?}");
    listed.retain(|pending| expected.contains(pending));
    listed.sort();
    assert_eq!(listed, expected);
}

/// Parked events are listed in the order in which they were received and not in that of parking, and no more than the limit.
pub async fn pending_is_in_the_order_of_receipt<S: Store>(store: Arc<S>) {
    let ids: Vec<String> = (0..20).map(|_| fresh_id("pending")).collect();
    for (n, id) in ids.iter().enumerate().rev() {
        let offset = 1000 * u64::try_from(n).expect("a small number");
        let lease = take(&*store, &claim(id, "a", offset)).await;
        assert_eq!(park(&*store, lease, "{}").await, Settled::Done);
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let listed = pending_of(&*store, &ids).await;
    assert_eq!(listed.iter().map(|pending| pending.event_id.as_str()).collect::<Vec<_>>(), ids);
    let first = pending(&*store, Shard::of("a conversation"), None, 3).await;
    assert_eq!(first.len(), 3);
    assert!(first.is_sorted_by_key(|pending| pending.received_at));
}

/// `seen` says of every record that has not expired that it is there, and changes nothing.
pub async fn seen_tells_of_every_live_record<S: Store>(store: Arc<S>) {
    let id = fresh_id("seen");
    let seen = async |now| store.seen(&id, now).await.expect("the store answers");
    assert!(!seen(at(0)).await, "nobody recorded it");
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    assert!(seen(at(1)).await, "in flight");
    assert!(seen(at(LEASE_MS * 2)).await, "its lease is past");
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
    assert!(seen(at(TTL_MS - 1)).await, "forwarded");
    assert!(!seen(at(TTL_MS)).await, "expired");
}

/// A store can be warmed up twice, and every record stays as it is.
pub async fn warming_up_changes_nothing<S: Store>(store: Arc<S>) {
    let id = fresh_id("warm");
    store.warm_up().await.expect("the store can be reached");
    let lease = take(&*store, &claim(&id, "a", 0)).await;
    store.warm_up().await.expect("the store can be reached");
    expect_in_flight(&*store, &claim(&id, "b", 1)).await;
    assert_eq!(confirm(&*store, lease).await, Settled::Done);
}

/// An id may have any characters.
pub async fn ids_are_kept_apart_to_the_letter<S: Store>(store: Arc<S>) {
    let id = fresh_id("odd");
    let long = format!("{id}{}", "x".repeat(1000));
    for odd in [id.clone(), id.to_lowercase(), format!("{id} "), format!("{id}:ü\u{1f980}\"'#"), long] {
        take(&*store, &claim(&odd, "a", 0)).await;
        expect_in_flight(&*store, &claim(&odd, "b", 1)).await;
    }
}
