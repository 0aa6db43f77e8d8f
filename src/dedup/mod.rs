//! The idempotency record: who has an event, and whether it is on the queue yet.
//!
//! ```text
//!            record                       confirm
//! (absent) ─────────▶ in flight ─────────────────────▶ forwarded ──▶ (expired = absent)
//!     ▲                │   │  │                          ▲
//!     └──── delete ────┘   │  └── park ──▶ parked ───────┘ confirm
//!                          └── lease past: the next `record` takes it over
//! ```
//!
//! A parked record has a lease too: `take` it to send it, so that of several who try one does.
//!
//! Every rule is decided against the times in the [`Claim`], never against a clock of the store's own, so
//! all stores agree on when a lease or a record is over. [`Record::verdict`] is the rule; a store makes it
//! atomic.
//!
//! To add a store, implement [`Store`] and run the suite in `contract` (cargo feature of that name) on it.

pub mod any;
#[cfg(feature = "contract")]
pub mod contract;
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::time::clock::UnixMillis;

/// A request to be the one who forwards an event.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The event.
    pub event_id: String,
    /// Who asks: the fencing token, unique to the invocation.
    pub owner: String,
    /// When the invocation began. "Now", for every rule.
    pub received_at: UnixMillis,
    /// When the owner is dead for certain.
    pub lease_until: UnixMillis,
    /// When the record may be forgotten, in seconds since the Unix epoch (DynamoDB's unit for TTL).
    pub expires_at: u64,
}

/// The right to send one event, and to say afterwards what became of it.
///
/// Only a store that took a [`Claim`] makes one, and confirming or deleting uses it up.
#[derive(Debug)]
pub struct Lease {
    event_id: String,
    owner: String,
    expires_at: u64,
}

impl Lease {
    /// For a store that has just written `claim`.
    pub fn granted(claim: &Claim) -> Self {
        Self { event_id: claim.event_id.clone(), owner: claim.owner.clone(), expires_at: claim.expires_at }
    }

    /// The event.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The fencing token.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// When the record may be forgotten once it is confirmed, in Unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

/// An event that the store keeps because the queue did not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The event.
    pub event_id: String,
    /// When it came in.
    pub received_at: UnixMillis,
}

/// The answer to [`Store::take`].
#[derive(Debug)]
pub enum Taken {
    /// The event is yours to send.
    Yours {
        /// Your right to it.
        lease: Lease,
        /// What [`Store::park`] was given.
        message: String,
    },
    /// Somebody else holds it: another who took it, or still the one who parked it.
    Held,
    /// It is not parked, or not any more.
    NotParked,
}

/// The answer to [`Store::record`].
#[derive(Debug)]
pub enum Recorded {
    /// The event is yours to send.
    New {
        /// Your right to it.
        lease: Lease,
        /// Whether an earlier owner's lease had run out: it crashed, or was cut off.
        took_over: bool,
    },
    /// Another invocation holds it and may yet fail.
    InFlight,
    /// It is on the queue.
    Forwarded,
    /// It is kept in the store, to be sent later.
    Parked,
}

/// Whether the lease still held when it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The record was this owner's, and is settled now.
    Done,
    /// The record is another owner's by now; nothing was changed.
    Lost,
}

/// The store failed, or its answer was lost. What it did is unknown.
#[derive(Debug)]
pub struct StoreError {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// `what` failed, because of `source`.
    pub fn new(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Where idempotency records are kept.
pub trait Store: Send + Sync {
    /// Connects, by the cheapest call that shows that the records can be kept; changes nothing. Called once, at
    /// init, so that no request waits for it; nothing depends on it.
    fn warm_up(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Takes the event if nobody has it: check and write are one atomic step.
    fn record(&self, claim: &Claim) -> impl Future<Output = Result<Recorded, StoreError>> + Send;

    /// Marks the event as forwarded, if the lease still holds. Again by the same owner: the same answer.
    fn confirm(&self, lease: Lease) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Frees the event for the next attempt, if the lease still holds. Free already: [`Settled::Done`].
    fn delete(&self, lease: Lease) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Keeps the event itself, as `message`, until it is confirmed, if the lease still holds. A parked record
    /// does not expire; its lease ends as it would have.
    fn park(&self, lease: Lease, message: &str) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Up to `limit` events that are parked, the one that was received first at the head. What happened a
    /// moment ago may not show yet.
    fn pending(&self, limit: usize) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send;

    /// Takes a parked event, to send it, if nobody holds it: check and write are one atomic step. It stays
    /// parked until the lease is confirmed; the claim's `received_at` is "now" and is not kept.
    fn take(&self, claim: &Claim) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Whether there is a record of the event that has not expired at `now`.
    fn seen(&self, event_id: &str, now: UnixMillis) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// A record's `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody holds a lease on it.
    InFlight,
    /// It is on the queue.
    Forwarded,
    /// The store itself keeps the event.
    Parked,
}

impl State {
    /// The attribute's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Forwarded => "forwarded",
            Self::Parked => "parked",
        }
    }

    /// The state that `name` stands for.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::InFlight, Self::Forwarded, Self::Parked].into_iter().find(|state| state.as_str() == name)
    }
}

/// A record as a store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How far the event got.
    pub state: State,
    /// Who wrote it last.
    pub owner: String,
    /// When that owner's invocation began.
    pub received_at: UnixMillis,
    /// When that owner is dead for certain.
    pub lease_until: UnixMillis,
    /// When the record no longer counts, in Unix seconds; a parked one never expires.
    pub expires_at: Option<u64>,
}

/// What a claim finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be written.
    Free {
        /// Over a lease that had run out.
        takes_over: bool,
    },
    /// It has been written already, by this very claim: the write was repeated because its answer was lost.
    Own,
    /// Held.
    InFlight,
    /// Done.
    Forwarded,
    /// Kept.
    Parked,
}

impl Record {
    /// The record that `claim` writes.
    pub fn of(claim: &Claim) -> Self {
        Self {
            state: State::InFlight,
            owner: claim.owner.clone(),
            received_at: claim.received_at,
            lease_until: claim.lease_until,
            expires_at: Some(claim.expires_at),
        }
    }

    /// Whether the record no longer counts. Deleting it is housekeeping and may come days later.
    pub fn has_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now.as_secs())
    }

    /// What `claim` finds when this record stands in its place.
    pub fn verdict(&self, claim: &Claim) -> Verdict {
        let now = claim.received_at;
        if self.has_expired(now) {
            return Verdict::Free { takes_over: false };
        }
        match self.state {
            State::Forwarded => Verdict::Forwarded,
            State::Parked => Verdict::Parked,
            State::InFlight if *self == Self::of(claim) => Verdict::Own,
            State::InFlight if self.lease_until < now => Verdict::Free { takes_over: true },
            State::InFlight => Verdict::InFlight,
        }
    }

    /// Whether `claim` may take the event that is parked in this record: nobody holds it; or it has been taken
    /// already, by this very claim, and the answer was lost.
    pub fn can_be_taken(&self, claim: &Claim) -> bool {
        let is_own = self.owner == claim.owner && self.lease_until == claim.lease_until;
        self.state == State::Parked && (is_own || self.lease_until < claim.received_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Received at 1,000,000 ms, leased for 5 s, remembered for 3,600 s.
    fn claim() -> Claim {
        Claim {
            event_id: "Ev1".to_owned(),
            owner: "first".to_owned(),
            received_at: UnixMillis::from_millis(1_000_000),
            lease_until: UnixMillis::from_millis(1_005_000),
            expires_at: 4_600,
        }
    }

    /// What another invocation finds at `now`, in milliseconds.
    fn verdict(state: State, expires_at: Option<u64>, now: u64) -> Verdict {
        let received_at = UnixMillis::from_millis(now);
        let later = Claim {
            owner: "second".to_owned(),
            received_at,
            lease_until: received_at.after(std::time::Duration::from_secs(5)),
            expires_at: received_at.as_secs() + 3_600,
            ..claim()
        };
        Record { state, expires_at, ..Record::of(&claim()) }.verdict(&later)
    }

    #[test]
    fn a_lease_holds_to_its_last_millisecond() {
        for now in [0, 1_000_000, 1_004_999, 1_005_000] {
            assert_eq!(verdict(State::InFlight, Some(4_600), now), Verdict::InFlight, "{now}");
        }
        for now in [1_005_001, 1_006_000, 4_599_999] {
            let taken_over = Verdict::Free { takes_over: true };
            assert_eq!(verdict(State::InFlight, Some(4_600), now), taken_over, "{now}");
        }
    }

    #[test]
    fn what_is_on_the_queue_or_parked_is_not_held_by_a_lease() {
        for now in [0, 1_000_000, 1_005_001, 4_599_999] {
            assert_eq!(verdict(State::Forwarded, Some(4_600), now), Verdict::Forwarded, "{now}");
            assert_eq!(verdict(State::Parked, Some(4_600), now), Verdict::Parked, "{now}");
        }
    }

    #[test]
    fn an_expired_record_is_free_though_it_still_stands_there() {
        for state in [State::InFlight, State::Forwarded, State::Parked] {
            for now in [4_600_000, 4_600_001, u64::MAX] {
                let free = Verdict::Free { takes_over: false };
                assert_eq!(verdict(state, Some(4_600), now), free, "{state:?} {now}");
            }
        }
    }

    #[test]
    fn a_record_that_never_expires_is_never_forgotten() {
        assert_eq!(verdict(State::Forwarded, None, u64::MAX), Verdict::Forwarded);
        assert_eq!(verdict(State::Parked, None, u64::MAX), Verdict::Parked);
        assert_eq!(verdict(State::InFlight, None, u64::MAX), Verdict::Free { takes_over: true });
    }

    #[test]
    fn a_claim_repeated_finds_itself_until_it_is_settled() {
        let record = Record::of(&claim());
        assert_eq!(record.verdict(&claim()), Verdict::Own);
        let forwarded = Record { state: State::Forwarded, ..record };
        assert_eq!(forwarded.verdict(&claim()), Verdict::Forwarded);
    }

    #[test]
    fn a_claim_that_differs_in_anything_is_another_one() {
        let record = Record::of(&claim());
        let soon = UnixMillis::from_millis(1_000_001);
        for other in [
            Claim { owner: "second".to_owned(), ..claim() },
            Claim { received_at: soon, ..claim() },
            Claim { lease_until: soon, ..claim() },
            Claim { expires_at: 4_601, ..claim() },
        ] {
            assert_eq!(record.verdict(&other), Verdict::InFlight, "{other:?}");
        }
    }

    #[test]
    fn a_parked_event_can_be_taken_when_nobody_holds_it_and_by_nobody_twice() {
        let parked = Record { state: State::Parked, expires_at: None, ..Record::of(&claim()) };
        let taker = |owner: &str, now: u64, lease_until: u64| Claim {
            owner: owner.to_owned(),
            received_at: UnixMillis::from_millis(now),
            lease_until: UnixMillis::from_millis(lease_until),
            ..claim()
        };
        for (owner, now, lease_until, can) in [
            ("second", 1_005_000, 1_012_000, false),
            ("second", 1_005_001, 1_012_000, true),
            ("second", u64::MAX, u64::MAX, true),
            // Again, because the answer was lost; later on, it would be another attempt of the same owner.
            ("first", 1_000_000, 1_005_000, true),
            ("first", 1_000_000, 1_005_001, false),
            ("second", 1_000_000, 1_005_000, false),
        ] {
            assert_eq!(parked.can_be_taken(&taker(owner, now, lease_until)), can, "{owner} {now}");
        }
        for state in [State::InFlight, State::Forwarded] {
            let record = Record { state, ..parked.clone() };
            assert!(!record.can_be_taken(&taker("second", u64::MAX, u64::MAX)), "{state:?}");
            assert!(!record.can_be_taken(&claim()), "{state:?}");
        }
    }

    #[test]
    fn a_state_is_read_back_by_its_name_and_by_no_other() {
        for (state, name) in
            [(State::InFlight, "in_flight"), (State::Forwarded, "forwarded"), (State::Parked, "parked")]
        {
            assert_eq!((state.as_str(), State::parse(name)), (name, Some(state)));
        }
        for name in ["", "In_Flight", "inflight", "done"] {
            assert_eq!(State::parse(name), None, "{name}");
        }
    }
}
