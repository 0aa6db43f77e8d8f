//! The idempotency record: who has an event, and whether it is on the queue yet.
//!
//! ```text
//!            record                           confirm
//! (absent) ─────────▶ in flight ─────────────────────────▶ forwarded ──▶ (expired = absent)
//!     ▲                │  │  │ │                              ▲
//!     └──── delete ────┘  │  │ └── park ──▶ parked ───────────┤ confirm
//!                         │  │                ▲               │
//!                         │  │ leave          │ delete, or    │
//!                         │  ▼                │ lease past:   │
//!                         │ in flight, with ──┘ `take`        │
//!                         │ the event in it ──────────────────┘ confirm
//!                         └── lease past: the next `record` takes it over
//! ```
//!
//! A parked record has a lease too: `take` it to send it, so that of several who try one does.
//!
//! `leave` is for Slack's last attempt when it meets a record that another invocation holds. It puts the event into that
//! record, beside the state `in_flight`. From then on the event is not lost, whatever becomes of the holder: if the holder
//! sends it, `confirm` removes it; if the holder gives up, `delete` makes the record parked; if the holder dies, the redrive
//! takes it when the lease is over.
//!
//! In reading order: this page has the words ([`Claim`], [`Lease`], what a store answers) and the trait [`Store`]; [`record`]
//! has the rules, as numbered clauses; [`shard`] says which parked events are listed together; [`memory`] is the plainest
//! store, [`dynamodb`] the one of production, `redis` another; [`any`] is the one that the configuration names; [`settling`] is
//! the step that both sequences have in common.
//!
//! This room imports `aws` (the shortcut) and `time`, and no sink: to a store a message is a text.
//!
//! Every rule is decided against the times in the [`Claim`], never against a clock of the store's own, so all stores agree on
//! when a lease or a record is over. A store makes the rules atomic.
//!
//! To add a store, implement [`Store`] and run the suite in `contract` (cargo feature of that name) on it.

pub mod any;
#[cfg(feature = "contract")]
pub mod contract;
pub mod dynamodb;
pub mod memory;
pub mod record;
#[cfg(feature = "redis")]
pub mod redis;
pub mod settling;
pub mod shard;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use self::shard::Shard;
use crate::time::clock::{UnixMillis, UnixSeconds};

/// Added to the end of its owner before a lease is over, for clocks that differ between execution environments and for a send
/// that is on the wire when its sender dies.
pub const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// No lease of the ingress outlives this, however long the function may run: Slack's second retry comes a minute after the
/// first, and must find the lease of a dead owner over, or the last attempts are spent on 503s.
pub const MAX_LEASE: Duration = Duration::from_secs(45);

/// A request to be the one who forwards an event.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key of the record: Slack's `event_id` or what stands in its place; at most 1,024 bytes.
    pub event_id: String,
    /// The fencing token: who asks. Unique to the invocation, so that no later write of another is taken for this one's.
    pub owner: String,
    /// When the invocation began, by its own wall clock. Every rule takes this for "now".
    pub received_at: UnixMillis,
    /// When the owner is dead for certain: the end of its invocation and [`LEASE_MARGIN`].
    pub lease_until: UnixMillis,
    /// When the record no longer counts and may be deleted (DynamoDB's TTL attribute).
    pub expires_at: UnixSeconds,
}

/// The right to send one event, and to say afterwards what became of it.
///
/// Only a store that granted a [`Claim`] makes one, and confirming, deleting or parking uses it up.
#[derive(Debug)]
pub struct Lease {
    event_id: String,
    owner: String,
    expires_at: UnixSeconds,
}

impl Lease {
    /// The lease of a store that has just written `claim`.
    pub fn granted(claim: &Claim) -> Self {
        Self { event_id: claim.event_id.clone(), owner: claim.owner.clone(), expires_at: claim.expires_at }
    }

    /// The key of the record.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The fencing token: who was granted the lease.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// When the record no longer counts, once it is confirmed.
    pub fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }
}

/// An event that the store keeps because the queue did not take it. A store lists them in the order of receipt;
/// among events of the same millisecond it may have an order of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// When the ingress received the event.
    pub received_at: UnixMillis,
    /// The key of the record.
    pub event_id: String,
}

/// The answer to [`Store::take`].
#[derive(Debug)]
pub enum Taken {
    /// The caller may send the event.
    Yours {
        /// The right to it.
        lease: Lease,
        /// The message as [`Store::park`] was given it.
        message: String,
    },
    /// The lease is the caller's, but what the record holds is no message that the store has written. No later attempt can read
    /// it either.
    Unreadable(StoreError),
    /// Another owner holds a live lease: one who took the event too, or still the one who parked it or in whose record it was
    /// left.
    Held,
    /// No record holds the event, or not any more.
    NotParked,
}

/// The answer to [`Store::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The record is in flight and holds the event now, or held it before. The holder sends it, or else the redrive does.
    Kept,
    /// The event is on the queue: the holder has confirmed it meanwhile.
    Forwarded,
    /// The event is stored for the redrive already.
    Parked,
    /// There is no record any more, because the holder has deleted it, or it has expired. Nothing is kept, and the caller may
    /// claim the event.
    Gone,
}

/// The answer to [`Store::record`].
#[derive(Debug)]
pub enum Recorded {
    /// The caller may send the event.
    New {
        /// The right to it.
        lease: Lease,
        /// Whether an earlier owner's lease had run out: that invocation crashed, or was cut off.
        took_over: bool,
    },
    /// Another invocation holds a live lease, and may yet fail.
    InFlight,
    /// The event is on the queue.
    Forwarded,
    /// The event is stored for the redrive, which sends it later.
    Parked,
}

/// Whether the lease still held when it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The record was this owner's, and now says what became of the event.
    Done,
    /// The record is another owner's by now, and nothing was changed.
    Lost,
}

/// The store failed, or its answer was lost. What the call did is unknown.
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
///
/// Two things hold for every method. An error means that the outcome is unknown: the call may have taken effect, and only its
/// answer was lost. And the caller may drop the future at any time, when its budget is over: what the call did is then unknown
/// in the same way. So each write is conditional, and the same write by the same owner gives the same answer twice.
///
/// `examples/own_store.rs` is a store of one's own.
pub trait Store: Send + Sync {
    /// Connects, by the cheapest call that shows that the records can be kept, and changes nothing. It is called once, at init,
    /// so that no request waits for it.
    ///
    /// # Errors
    /// When the store cannot be reached or used. The function logs that and goes on: the first request tries again.
    fn warm_up(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Writes the record of `claim` if the event is free (clauses R1 to R5 of [`record`]). Check and write are one atomic step.
    ///
    /// # Errors
    /// When it is unknown whether the record was written.
    fn record(&self, claim: &Claim) -> impl Future<Output = Result<Recorded, StoreError>> + Send;

    /// Marks the event as forwarded, provided that this owner still holds it (C1).
    ///
    /// # Errors
    /// When it is unknown whether the record was changed. The event is on the queue all the same.
    fn confirm(&self, lease: Lease) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Deletes the record so that the next attempt can claim the event, provided that this owner still holds it (C2). A record
    /// that is gone already is [`Settled::Done`]. A record that holds the event is not deleted: it becomes or stays parked, and
    /// there is no moment at which the event is gone.
    ///
    /// # Errors
    /// When it is unknown whether the record was deleted. If it was not, it is free when its lease is over.
    fn delete(&self, lease: Lease) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Keeps the event itself, as `message`, until it is confirmed, provided that this owner still holds it (C3). A parked
    /// record does not expire. Its lease ends as it would have.
    ///
    /// `group` is the message group in which the event is sent to a FIFO queue, and within which it has to stay in order: its
    /// conversation, such as `T061EG9R6:C0LAN2Q65:1515449522.000016`, or what ends in `:control` for what never waits behind its
    /// conversation. The event is listed in the shard of its group ([`Shard::of`]).
    ///
    /// # Errors
    /// When it is unknown whether the event is kept; and when the message is larger than the store takes.
    fn park(
        &self,
        lease: Lease,
        group: &str,
        message: &str,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Puts the event itself, as `message`, into the record that another invocation holds (C5), so that it is sent also if the
    /// holder fails or dies. The state, the owner and the lease stay as they are. The record does not expire until it is
    /// confirmed. Check and write are one atomic step. `claim` is the one that [`Store::record`] answered
    /// [`Recorded::InFlight`]; its `received_at` is "now", and the rest of it is not kept. `group` is as in [`Store::park`].
    ///
    /// # Errors
    /// When it is unknown whether the event is kept; and when the message is larger than the store takes.
    fn leave(
        &self,
        claim: &Claim,
        group: &str,
        message: &str,
    ) -> impl Future<Output = Result<Left, StoreError>> + Send;

    /// Lists events of one shard that a record holds: those that are parked, and those that were left in a record in flight.
    /// The one that was received first is at the head, and only those are listed that come after `after`, the last one of an
    /// earlier answer, which need not be parked any more. Fewer than `limit` means that there are no more. What happened a moment
    /// ago may not show yet.
    ///
    /// # Errors
    /// When the store cannot be listed.
    fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send;

    /// Takes an event that a record holds, to send it, provided that nobody else has a live lease on it (C4). Check and write
    /// are one atomic step. The event is parked from then on, until the lease is confirmed. The claim's `received_at` is "now"
    /// and is not kept.
    ///
    /// # Errors
    /// When it is unknown whether the event was taken.
    fn take(&self, claim: &Claim) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Whether there is a record of the event that has not expired at `now`.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn seen(&self, event_id: &str, now: UnixMillis) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
