//! The rules of the design that keep the promise. The simulation can switch each of them off to show that its invariants notice
//! it. `services.rs` switches most rules off, by changing what the store, the queue or a clock does or says. `environment.rs`
//! switches off one by the secrets that it gives to the ingress, and `world.rs` one by what is in Slack's requests.

/// A rule of the design. Each doc comment says what happens instead while the rule is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A lease ends. Off: it never ends.
    LeasesEnd,
    /// Until a lease ends, nobody else gets the record. Off: every lease ends at once.
    LeasesHold,
    /// Only its owner may confirm, delete or park a record. Off: anybody may.
    Fencing,
    /// An event that is in flight is not treated as a duplicate. Off: the store answers "forwarded" instead of "in flight".
    ThreeWayAnswer,
    /// A repeated write of the same claim recognises the record as its own. Off: it takes it for another owner's.
    OwnWriteIsKnown,
    /// An expired record counts as absent although it has not been deleted yet. Off: it counts until it is deleted.
    ExpiryByClock,
    /// After a failed send the record is deleted, so that the next attempt can claim the event at once. Off: no record is deleted.
    DeleteOnFailure,
    /// After a successful send the record is confirmed. Off: no record is confirmed.
    ConfirmAfterSend,
    /// If the store fails on the last attempt, the event is sent without a record. Off: the answer is 503.
    UnguardedLastRetry,
    /// If the queue fails on the last attempt, the event is parked in the store. Off: the answer is 503.
    Parking,
    /// The last attempt leaves its event in the record that another invocation holds. Off: nothing is left, though the store says
    /// so.
    LeavingWithTheHolder,
    /// A step does not begin if the wall clock says that the lease is over. Off: the wall clock stands still with the monotonic
    /// one.
    WallClockFences,
    /// API Gateway's time and Slack's bound a wall clock that is wrong. Off: API Gateway says no time, and Slack's
    /// signature is 280 s old.
    ClockIsCorrected,
    /// A send whose outcome is unknown is not repeated within one attempt. Off: the client repeats it.
    SendsAreNotRepeated,
    /// The events of several apps are recorded by app. Off: the function takes several apps for one.
    IdentityByApp,
    /// An event belongs to the workspace that the app is installed in. Off: the envelope does not say which that is.
    TenantIsInstallation,
    /// A conversation waits for its first parked event that cannot be sent. Off: the queue's failure counts as the
    /// message's own fault, for which nothing waits.
    ConversationsWait,
    /// All parked events of a conversation are in one shard. Off: each is in a shard of its own.
    ConversationsStayInOneShard,
    /// While one run of the redrive holds a parked event, no other run gets it. Off: any run gets it.
    TakingIsLeased,
}

impl Rule {
    pub(crate) const ALL: [Self; 19] = [
        Self::LeasesEnd,
        Self::LeasesHold,
        Self::Fencing,
        Self::ThreeWayAnswer,
        Self::OwnWriteIsKnown,
        Self::ExpiryByClock,
        Self::DeleteOnFailure,
        Self::ConfirmAfterSend,
        Self::UnguardedLastRetry,
        Self::Parking,
        Self::LeavingWithTheHolder,
        Self::WallClockFences,
        Self::ClockIsCorrected,
        Self::SendsAreNotRepeated,
        Self::IdentityByApp,
        Self::TenantIsInstallation,
        Self::ConversationsWait,
        Self::ConversationsStayInOneShard,
        Self::TakingIsLeased,
    ];

    /// The invariants of the ledger, one of which must be broken while this rule is off.
    pub(crate) fn broken_invariants(self) -> &'static [&'static str] {
        match self {
            Self::LeasesEnd | Self::DeleteOnFailure | Self::OwnWriteIsKnown => &["held"],
            Self::LeasesHold | Self::TakingIsLeased | Self::Fencing => &["fence"],
            Self::WallClockFences | Self::ClockIsCorrected => &["fence"],
            Self::ThreeWayAnswer | Self::LeavingWithTheHolder | Self::IdentityByApp => &["promise"],
            Self::SendsAreNotRepeated => &["double"],
            Self::TenantIsInstallation => &["group"],
            Self::ConversationsWait | Self::ConversationsStayInOneShard => &["order"],
            Self::ExpiryByClock => &["memory"],
            Self::ConfirmAfterSend => &["double"],
            Self::UnguardedLastRetry | Self::Parking => &["last chance"],
        }
    }
}
