//! The rules that keep the promise, to be switched off one at a time. Each is broken where it lives: in what a
//! store does, or in what the ingress is told by one.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A lease is over some day. Off: never.
    LeasesEnd,
    /// A lease keeps others out until then. Off: it is over at once.
    LeasesHold,
    /// Only its owner settles a record. Off: whoever asks.
    Fencing,
    /// What is in flight is not yet a duplicate. Off: there are two answers and not three.
    ThreeWayAnswer,
    /// A write that is repeated because its answer was lost finds itself. Off: it finds another's.
    OwnWriteIsKnown,
    /// An expired record counts as absent though it stands there. Off: it counts until it is swept out.
    ExpiryByClock,
    /// A failed send frees the event at once. Off: nothing is deleted.
    DeleteOnFailure,
    /// A good send is written down. Off: nothing is confirmed.
    ConfirmAfterSend,
    /// Without a store, the last attempt is sent all the same. Off: it is answered 503.
    UnguardedLastRetry,
    /// Without a queue, the last attempt is kept in the store. Off: it is answered 503.
    Parking,
    /// Who takes a parked event keeps others out. Off: anybody may.
    TakingIsLeased,
}

impl Rule {
    pub(crate) const ALL: [Self; 11] = [
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
        Self::TakingIsLeased,
    ];

    /// The rules of the ledger that are meant to see that it is off.
    pub(crate) fn seen_by(self) -> &'static [&'static str] {
        match self {
            Self::LeasesEnd | Self::DeleteOnFailure | Self::OwnWriteIsKnown => &["held"],
            Self::LeasesHold | Self::TakingIsLeased | Self::Fencing => &["fence"],
            Self::ThreeWayAnswer => &["promise"],
            Self::ExpiryByClock => &["memory"],
            Self::ConfirmAfterSend => &["double"],
            Self::UnguardedLastRetry | Self::Parking => &["last chance"],
        }
    }
}
