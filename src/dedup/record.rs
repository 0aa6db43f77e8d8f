//! A record, and the rules about it: who may write it when. This is the one place that states them. The stores that decide in
//! words of their own (DynamoDB's conditions, Redis's scripts) mark these words with the number of the clause, and the contract
//! suite holds all stores to the rules.
//!
//! What a claim finds ([`Record::verdict`]); "now" is the claim's `received_at`:
//!
//! - **R1** A record that has expired counts as absent, though it still stands there.
//! - **R2** A record of an event that is forwarded is not free, and neither is a record that holds the event itself: to every
//!   claim that event is parked, whatever the record's state, and also to the holder's own claim made again.
//! - **R3** A record in flight that equals the claim is the claim's own: the write was repeated because its answer was lost.
//! - **R4** A record in flight whose lease is over is free, and the claim takes it over.
//! - **R5** Any other record in flight is held.
//!
//! What an owner may do:
//!
//! - **C1** Confirm: whoever wrote the record last ([`Record::can_be_confirmed_by`]).
//! - **C2** Delete: whoever wrote the record last, unless it is forwarded ([`Record::can_be_deleted_by`]). A record that holds
//!   the event becomes parked in place of being deleted ([`Record::is_parked_by_a_delete`]).
//! - **C3** Park: whoever wrote the record last, unless it is forwarded ([`Record::can_be_parked_by`]).
//!
//! What anybody may do:
//!
//! - **C4** Take an event that a record holds: when the lease on it is over; and whoever has taken it by this very claim
//!   ([`Record::can_be_taken`]). The record is parked from then on.
//! - **C5** Leave an event in a record that is in flight ([`Record::left`]). A record that holds an event does not expire; it
//!   holds the first one that it was given, unless its owner parks over it: it is the same event.
//!
//! "Whoever wrote the record last" is fencing: an invocation that wakes up too late finds another's token and changes nothing.

use super::{Claim, Left};
use crate::time::clock::{UnixMillis, UnixSeconds};

/// How far an event got: the attribute `state` of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An invocation holds a lease, and is about to send the event.
    InFlight,
    /// The event is on the queue.
    Forwarded,
    /// The record holds the event itself, for the redrive.
    Parked,
}

impl State {
    /// The value of the attribute `state`.
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
    /// The fencing token of the invocation that wrote the record last.
    pub owner: String,
    /// When that invocation began.
    pub received_at: UnixMillis,
    /// When that invocation is dead for certain.
    pub lease_until: UnixMillis,
    /// When the record no longer counts. A record that holds an event never expires.
    pub expires_at: Option<UnixSeconds>,
    /// Whether the record holds the event itself. A parked record does, a forwarded one does not, and one in flight does if the
    /// event was left in it.
    pub holds_event: bool,
}

/// What a claim finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim may be written (R1, R4).
    Free {
        /// Whether it takes over a lease that has run out (R4).
        takes_over: bool,
    },
    /// The record was written by this very claim (R3).
    Own,
    /// Another invocation holds a live lease (R5).
    InFlight,
    /// The event is on the queue (R2).
    Forwarded,
    /// The record holds the event itself, for the redrive (R2).
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
            holds_event: false,
        }
    }

    /// Whether the record no longer counts (R1). Deleting it is housekeeping, and may come days later.
    pub fn has_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now.in_seconds())
    }

    /// What `claim` finds when the store holds this record for its event (R1 to R5).
    ///
    /// ```
    /// use slack_ingress::dedup::Claim;
    /// use slack_ingress::dedup::record::{Record, Verdict};
    /// use slack_ingress::time::clock::{UnixMillis, UnixSeconds};
    ///
    /// let first = Claim {
    ///     event_id: "Ev0LAN670R".to_owned(),
    ///     owner: "first invocation".to_owned(),
    ///     received_at: UnixMillis::from_millis(1_515_449_522_000),
    ///     lease_until: UnixMillis::from_millis(1_515_449_534_000),
    ///     expires_at: UnixSeconds::from_secs(1_515_453_122),
    /// };
    /// let record = Record::of(&first);
    ///
    /// // Slack asks again a second later: the first invocation still holds its lease.
    /// let retry = Claim {
    ///     owner: "second invocation".to_owned(),
    ///     received_at: UnixMillis::from_millis(1_515_449_523_000),
    ///     ..first
    /// };
    /// assert_eq!(record.verdict(&retry), Verdict::InFlight);
    ///
    /// // Slack asks again a minute later: the first invocation crashed, and its lease is over.
    /// let later = Claim { received_at: UnixMillis::from_millis(1_515_449_582_000), ..retry };
    /// assert_eq!(record.verdict(&later), Verdict::Free { takes_over: true });
    /// ```
    pub fn verdict(&self, claim: &Claim) -> Verdict {
        let now = claim.received_at;
        if self.has_expired(now) {
            return Verdict::Free { takes_over: false }; // R1
        }
        match self.state {
            State::Forwarded => Verdict::Forwarded,                      // R2
            State::Parked => Verdict::Parked,                            // R2
            State::InFlight if self.holds_event => Verdict::Parked,      // R2
            State::InFlight if *self == Self::of(claim) => Verdict::Own, // R3
            State::InFlight if self.lease_until < now => Verdict::Free { takes_over: true }, // R4
            State::InFlight => Verdict::InFlight,                        // R5
        }
    }

    /// Whether `owner` may mark the event as forwarded (C1).
    pub fn can_be_confirmed_by(&self, owner: &str) -> bool {
        self.owner == owner
    }

    /// Whether `owner` may delete the record (C2).
    pub fn can_be_deleted_by(&self, owner: &str) -> bool {
        self.owner == owner && self.state != State::Forwarded
    }

    /// Whether a delete makes this record parked, and leaves it where it is, because it holds the event (C2).
    pub fn is_parked_by_a_delete(&self) -> bool {
        self.holds_event
    }

    /// Whether `owner` may put the event itself into the record (C3).
    pub fn can_be_parked_by(&self, owner: &str) -> bool {
        self.owner == owner && self.state != State::Forwarded
    }

    /// Whether `claim` may take the event that this record holds (C4).
    pub fn can_be_taken(&self, claim: &Claim) -> bool {
        let was_taken_by_it =
            self.state == State::Parked && self.owner == claim.owner && self.lease_until == claim.lease_until;
        self.holds_event && (was_taken_by_it || self.lease_until < claim.received_at)
    }

    /// What comes of leaving the event in this record at `now` (C5). If it is [`Left::Kept`], the record holds the event from
    /// then on and does not expire; any other answer changes nothing.
    pub fn left(&self, now: UnixMillis) -> Left {
        if self.has_expired(now) {
            return Left::Gone; // R1
        }
        match self.state {
            State::InFlight => Left::Kept,
            State::Forwarded => Left::Forwarded,
            State::Parked => Left::Parked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim made at 1,000,000 ms, with a lease of 5 s and a record that counts for 3,600 s.
    fn claim() -> Claim {
        Claim {
            event_id: "Ev1".to_owned(),
            owner: "first".to_owned(),
            received_at: UnixMillis::from_millis(1_000_000),
            lease_until: UnixMillis::from_millis(1_005_000),
            expires_at: UnixSeconds::from_secs(4_600),
        }
    }

    /// What another invocation finds at `now`, in milliseconds, when the record of [`claim`] is in this state.
    fn verdict(state: State, expires_at: Option<u64>, now: u64) -> Verdict {
        let received_at = UnixMillis::from_millis(now);
        let later = Claim {
            owner: "second".to_owned(),
            received_at,
            lease_until: received_at.after(std::time::Duration::from_secs(5)),
            expires_at: UnixSeconds::from_secs(received_at.as_secs() + 3_600),
            ..claim()
        };
        let expires_at = expires_at.map(UnixSeconds::from_secs);
        let holds_event = state == State::Parked;
        Record { state, expires_at, holds_event, ..Record::of(&claim()) }.verdict(&later)
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
            Claim { expires_at: UnixSeconds::from_secs(4_601), ..claim() },
        ] {
            assert_eq!(record.verdict(&other), Verdict::InFlight, "{other:?}");
        }
    }

    #[test]
    fn a_parked_event_can_be_taken_when_nobody_holds_it_and_by_nobody_twice() {
        let parked =
            Record { state: State::Parked, expires_at: None, holds_event: true, ..Record::of(&claim()) };
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
            // The same claim again, because its answer was lost; then a later claim of the same owner, which is another one.
            ("first", 1_000_000, 1_005_000, true),
            ("first", 1_000_000, 1_005_001, false),
            ("second", 1_000_000, 1_005_000, false),
        ] {
            assert_eq!(parked.can_be_taken(&taker(owner, now, lease_until)), can, "{owner} {now}");
        }
        for state in [State::InFlight, State::Forwarded] {
            let record = Record { state, holds_event: false, ..parked.clone() };
            assert!(!record.can_be_taken(&taker("second", u64::MAX, u64::MAX)), "{state:?}");
            assert!(!record.can_be_taken(&claim()), "{state:?}");
        }
    }

    /// The record of [`claim`] with an event left in it.
    fn with_event_left() -> Record {
        Record { expires_at: None, holds_event: true, ..Record::of(&claim()) }
    }

    #[test]
    fn a_record_in_flight_that_holds_an_event_is_never_overwritten_not_even_by_its_own_claim() {
        for now in [1_000_000, 1_005_001, u64::MAX] {
            let received_at = UnixMillis::from_millis(now);
            for owner in ["first", "second"] {
                let claim = Claim { owner: owner.to_owned(), received_at, ..claim() };
                assert_eq!(with_event_left().verdict(&claim), Verdict::Parked, "{owner} {now}");
            }
        }
    }

    #[test]
    fn a_record_that_holds_an_event_is_parked_by_a_delete_and_any_other_is_deleted() {
        let parked = Record { state: State::Parked, ..with_event_left() };
        let records = [with_event_left(), parked, Record::of(&claim())];
        assert_eq!(records.map(|record| record.is_parked_by_a_delete()), [true, true, false]);
    }

    #[test]
    fn an_event_left_in_a_record_is_taken_when_the_holders_lease_is_over_and_not_by_the_holder_itself() {
        let taker = |owner: &str, now: u64| Claim {
            owner: owner.to_owned(),
            received_at: UnixMillis::from_millis(now),
            ..claim()
        };
        for (owner, now, can) in
            [("first", 1_000_000, false), ("second", 1_005_000, false), ("second", 1_005_001, true)]
        {
            assert_eq!(with_event_left().can_be_taken(&taker(owner, now)), can, "{owner} {now}");
        }
    }

    #[test]
    fn an_event_is_left_in_a_record_in_flight_until_that_expires_and_nowhere_else() {
        let left = |record: &Record, now| record.left(UnixMillis::from_millis(now));
        let in_flight = Record::of(&claim());
        for (now, expected) in [
            (1_000_000, Left::Kept),
            (1_005_001, Left::Kept),
            (4_599_999, Left::Kept),
            (4_600_000, Left::Gone),
        ] {
            assert_eq!(left(&in_flight, now), expected, "{now}");
        }
        assert_eq!(left(&with_event_left(), u64::MAX), Left::Kept);
        assert_eq!(left(&Record { state: State::Parked, ..with_event_left() }, u64::MAX), Left::Parked);
        let forwarded = Record { state: State::Forwarded, ..in_flight };
        assert_eq!([left(&forwarded, 4_599_999), left(&forwarded, 4_600_000)], [Left::Forwarded, Left::Gone]);
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

    #[test]
    fn only_whoever_wrote_the_record_last_may_settle_it_and_each_only_from_its_states() {
        for (state, confirm, delete, park) in [
            (State::InFlight, true, true, true),
            (State::Parked, true, true, true),
            (State::Forwarded, true, false, false),
        ] {
            let record = Record { state, ..Record::of(&claim()) };
            let may = |owner| {
                [
                    record.can_be_confirmed_by(owner),
                    record.can_be_deleted_by(owner),
                    record.can_be_parked_by(owner),
                ]
            };
            assert_eq!(may("first"), [confirm, delete, park], "{state:?}");
            assert_eq!(may("second"), [false; 3], "{state:?}");
        }
    }
}
