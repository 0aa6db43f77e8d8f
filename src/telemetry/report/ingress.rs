//! What is known of one request when its invocation is over: the outcome, and what led to it.

use std::error::Error;
use std::time::Duration;

use super::with_causes;
use crate::slack::payload::{Delivery, Encoding, Malformed};
use crate::slack::retries::Attempt;
use crate::slack::signature::Rejection;

/// One invocation, for the answer ([`crate::lambda::http`]) and for the log ([`crate::telemetry::metrics`]).
#[derive(Clone, Debug)]
pub struct RequestReport {
    /// How it ended.
    pub outcome: RequestOutcome,
    /// What led to it.
    pub details: RequestDetails,
}

/// What the steps leave behind as they go.
#[derive(Clone, Debug, Default)]
pub struct RequestDetails {
    /// How the request was encoded; the answer to a form is empty.
    pub encoding: Option<Encoding>,
    /// What Slack sent, once its signature was verified.
    pub delivery: Option<LoggedDelivery>,
    /// Which of Slack's attempts this was.
    pub attempt: Attempt,
    /// An earlier owner's lease had run out.
    pub took_over: bool,
    /// Sent without a record: it may be on the queue twice.
    pub unguarded: bool,
    /// It is nowhere, and Slack will not ask again.
    pub lost: bool,
    /// How long each step took; a step that was not reached has none.
    pub timings: Timings,
    /// What failed on the way, with its causes, for the log only.
    pub errors: Vec<String>,
}

/// The delivery that an invocation was about. From signed bytes only.
#[derive(Clone, Debug)]
pub struct LoggedDelivery {
    /// `event`, …
    pub kind: &'static str,
    /// The inner type.
    pub event_type: String,
    /// The recorded id.
    pub event_id: String,
    /// The workspace.
    pub team_id: Option<String>,
    /// The app.
    pub api_app_id: Option<String>,
}

impl From<&Delivery> for LoggedDelivery {
    fn from(delivery: &Delivery) -> Self {
        Self {
            kind: delivery.kind.as_str(),
            event_type: delivery.event_type.clone(),
            event_id: delivery.id.clone(),
            team_id: delivery.team_id.clone(),
            api_app_id: delivery.api_app_id.clone(),
        }
    }
}

/// The duration of each step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// The signature, with a re-read of the secret if there was one.
    pub verify: Option<Duration>,
    /// The conditional write.
    pub record: Option<Duration>,
    /// The queue.
    pub send: Option<Duration>,
    /// Confirming or deleting the record.
    pub settle: Option<Duration>,
    /// Until the answer was known; a confirm comes after that.
    pub total: Duration,
}

impl RequestDetails {
    /// Keeps an error of `step` and its causes.
    pub fn note(&mut self, step: &str, error: &(dyn Error + 'static)) {
        self.errors.push(format!("{step}: {}", with_causes(error)));
    }
}

/// The one result of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
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
    /// The program panicked over this request: Slack is to ask again.
    Panicked,
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

impl RequestOutcome {
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
            Self::Panicked => "panicked",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::StoreError;
    use crate::slack::payload::{Author, Conversation, Kind};

    #[test]
    fn an_error_is_noted_with_its_step_and_every_cause_once() {
        let inner = StoreError::new("connect", "refused");
        let mut details = RequestDetails::default();
        details.note("record", &StoreError::new("DynamoDB PutItem", inner));
        details.note("send", &std::fmt::Error);
        assert_eq!(
            details.errors,
            [
                "record: DynamoDB PutItem: connect: refused",
                "send: an error occurred when formatting an argument"
            ]
        );
    }

    #[test]
    fn the_log_shows_of_a_delivery_its_ids_and_not_its_text() {
        let logged = LoggedDelivery::from(&Delivery {
            kind: Kind::Event,
            event_type: "message".to_owned(),
            id: "Ev1".to_owned(),
            message_key: None,
            team_id: Some("T1".to_owned()),
            api_app_id: None,
            author: Author::Person,
            conversation: Conversation { channel: Some("C1".to_owned()), ..Conversation::default() },
            body: "the text".to_owned(),
        });
        let shown = format!("{logged:?}");
        for expected in ["event", "message", "Ev1", "T1"] {
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(!shown.contains("the text"));
    }
}
