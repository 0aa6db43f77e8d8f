//! How an invocation ended. What it means in HTTP is [`crate::lambda::http`]'s affair, what it means in numbers
//! [`crate::telemetry::metrics`]'s.

use crate::slack::payload::Malformed;
use crate::slack::signature::Rejection;

/// The one result of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On the queue now.
    Accepted,
    /// Kept in the store, because the queue did not take it and Slack will not ask again.
    Parked,
    /// On the queue or in the store before.
    Duplicate,
    /// A bot's message that `BOT_EVENTS` keeps out.
    Ignored,
    /// `app_rate_limited`.
    RateLimited,
    /// `url_verification`: answer with this.
    Challenge(String),
    /// `block_suggestion`: answered with no options.
    Suggestion,
    /// `ssl_check`.
    SslCheck,
    /// Another invocation holds the event and has not finished: Slack is to ask again.
    InFlight,
    /// Something we depend on failed or took too long: Slack is to ask again.
    Unavailable(Dependency),
    /// Not signed by Slack.
    Rejected(Rejection),
    /// Signed, but not what Slack sends.
    Malformed(Malformed),
    /// Larger than the sink takes.
    TooLarge,
    /// Not a POST.
    MethodNotAllowed,
}

/// What an invocation depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The signing secret could not be had.
    Secret,
    /// The store.
    Store,
    /// The queue.
    Sink,
}

impl Outcome {
    /// The outcome's name in the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Parked => "parked",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::RateLimited => "app_rate_limited",
            Self::Challenge(_) => "challenge",
            Self::Suggestion => "suggestion",
            Self::SslCheck => "ssl_check",
            Self::InFlight => "in_flight",
            Self::Unavailable(_) => "unavailable",
            Self::Rejected(_) => "rejected",
            Self::Malformed(_) => "malformed",
            Self::TooLarge => "too_large",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    /// What exactly was wrong, for the log; never for the caller.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(Dependency::Secret) => Some("secret"),
            Self::Unavailable(Dependency::Store) => Some("store"),
            Self::Unavailable(Dependency::Sink) => Some("sink"),
            Self::Rejected(rejection) => Some(rejection.as_str()),
            Self::Malformed(malformed) => Some(malformed.as_str()),
            _ => None,
        }
    }
}
