//! What is known of one request when the ingress is done with it: how it ended, and what happened on the way.

use serde_json::Value;
use std::fmt;
use std::time::Duration;

use super::Errors;
use crate::slack::payload::{Delivery, Encoding, Malformed};
use crate::slack::retries::Attempt;
use crate::slack::signature::Rejection;

/// One request. `lambda::http` makes the answer from it, and [`crate::telemetry::metrics::ingress`] the log line.
#[derive(Clone, Debug)]
pub struct RequestReport {
    /// How the request ended.
    pub outcome: RequestOutcome,
    /// What happened before it ended.
    pub details: RequestDetails,
}

/// What the steps found out about a request. It is empty at first, and each step adds to it.
#[derive(Clone, Debug, Default)]
pub struct RequestDetails {
    /// How the request says that its body is encoded; absent if it names neither of Slack's encodings. It decides what the body
    /// of a 200 is, because Slack shows its user whatever answers a form.
    pub encoding: Option<Encoding>,
    /// What Slack sent; absent until the signature is verified and the body is parsed.
    pub delivery: Option<LoggedDelivery>,
    /// Which of Slack's attempts this was, by headers that are not signed; the first, until the signature is verified.
    pub attempt: Attempt,
    /// Whether the event was taken over from an invocation whose lease had run out. That one crashed, or was cut off.
    pub took_over: bool,
    /// Whether the message was sent without a record, because the store failed and Slack will not ask again. It may then be on
    /// the queue twice.
    pub unguarded: bool,
    /// Whether the event is lost: the answer was not a 200 ([`RequestOutcome::gives_up`]), and Slack will not ask again.
    pub lost: bool,
    /// What was done by a rule of the fast path; absent if none is for the request.
    pub fast_path: Option<FastPathReport>,
    /// How long each step took.
    pub timings: Timings,
    /// What failed on the way.
    pub errors: Errors,
}

/// What was done by a rule of the fast path.
#[derive(Clone, Debug)]
pub struct FastPathReport {
    /// The name of the rule.
    pub rule: String,
    /// What came of it.
    pub outcome: FastPathOutcome,
    /// What Slack is answered with a 200; absent: what it is answered without a rule.
    pub answer: Option<ImmediateAnswer>,
    /// What failed, as a short code.
    pub error: Option<String>,
    /// How long the calls took; absent if there were none.
    pub took: Option<Duration>,
}

impl FastPathReport {
    /// A report of something that did not fail and called nobody.
    pub fn new(rule: &str, outcome: FastPathOutcome, answer: Option<ImmediateAnswer>) -> Self {
        Self { rule: rule.to_owned(), outcome, answer, error: None, took: None }
    }
}

/// What came of a rule of the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastPathOutcome {
    /// Its answer goes to Slack.
    Answered,
    /// Its modal is open.
    Opened,
    /// A call failed or took too long. What the rule has for this case goes to Slack.
    Fallback,
    /// A call failed or took too long, and the rule has nothing for this case.
    Failed,
}

impl FastPathOutcome {
    /// The value of the log's field `fast_path_outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Opened => "opened",
            Self::Fallback => "fallback",
            Self::Failed => "failed",
        }
    }

    /// Whether a call failed or took too long.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Fallback | Self::Failed)
    }
}

/// The body of an answer to Slack. `Debug` does not show it: it is what people read.
#[derive(Clone, PartialEq, Eq)]
pub struct ImmediateAnswer {
    /// Whether it is JSON, and not plain text.
    pub is_json: bool,
    /// The body.
    pub body: String,
}

impl ImmediateAnswer {
    /// This JSON as an answer.
    pub fn json(value: &Value) -> Self {
        Self { is_json: true, body: value.to_string() }
    }
}

impl fmt::Debug for ImmediateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImmediateAnswer({} bytes)", self.body.len())
    }
}

/// What the log shows of a delivery: its type and its ids, and nothing that a person wrote. All of it comes from signed bytes.
#[derive(Clone, Debug)]
pub struct LoggedDelivery {
    /// `event`, `command` or `interaction`.
    pub kind: &'static str,
    /// The type of the event or interaction, such as `app_mention`, or the name of the command.
    pub event_type: String,
    /// The id that the delivery is recorded under.
    pub event_id: String,
    /// The id of the workspace, such as `T061EG9R6`; absent if the payload names none.
    pub team_id: Option<String>,
    /// The id of the app, such as `A0F7YS25R`; absent if the payload names none.
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

/// How long the steps took. A step that was not reached has no duration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Verifying the signature, and reading the secret again if that was needed.
    pub verify: Option<Duration>,
    /// Writing the record, which finds duplicates.
    pub record: Option<Duration>,
    /// Sending the message to the queue.
    pub send: Option<Duration>,
    /// Confirming, deleting or parking the record.
    pub settle: Option<Duration>,
    /// From the beginning until the answer was known. A confirm comes after that and is not in it.
    pub total: Duration,
}

/// How a request ended. The status of the answer is beside each; `docs/reference.md` has the whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// 200: the event is on the queue now.
    Accepted,
    /// 200: the queue did not take the event and Slack will not ask again, so the store keeps it for the redrive.
    Parked,
    /// 200: an earlier delivery put the event on the queue or into the store.
    Duplicate,
    /// 200: another invocation holds the event and may yet fail, and Slack will not ask again. The record of the other one keeps
    /// the event, so that the redrive sends it if the other one does not.
    Kept,
    /// 200: the event is a bot's message, and `BOT_EVENTS` says to ignore those.
    Ignored,
    /// 200: Slack says that it held events back
    /// ([`app_rate_limited`](https://docs.slack.dev/reference/events/app_rate_limited/)).
    RateLimited,
    /// 200: Slack verifies the request URL, and the answer is this text
    /// ([`url_verification`](https://docs.slack.dev/reference/events/url_verification/)).
    Challenge(String),
    /// 200: a menu asks for its options (`block_suggestion`). The answer has those that a rule of the fast path gives it, or none.
    Suggestion,
    /// 200: a rule of the fast path says what to answer, and that the request does not go on the queue.
    AnsweredAtOnce,
    /// 200: Slack checks the TLS certificate (`ssl_check`).
    SslCheck,
    /// 503, so that Slack asks again: another invocation holds the event and may yet fail.
    InFlight,
    /// 503, so that Slack asks again: something that we depend on failed or took too long.
    Unavailable(Dependency),
    /// 500, so that Slack asks again: the program panicked over this request.
    Panicked,
    /// 401: the request is not signed by Slack.
    Rejected(Rejection),
    /// 400, and Slack must not ask again: the request is signed, and not what Slack sends.
    Malformed(Malformed),
    /// 413, and Slack must not ask again: the message is larger than the sink takes.
    TooLarge,
    /// 405: the request is not a POST.
    MethodNotAllowed,
}

/// What the ingress depends on, and had to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// Secrets Manager has not given a signing secret yet.
    Secret,
    /// The store failed, so nobody knows whether the event is a duplicate.
    Store,
    /// The queue is not known to have the message.
    Sink,
    /// A rule of the fast path says that the request does not go on the queue, and nobody has answered it.
    FastPath,
}

impl RequestOutcome {
    /// The value of the log's field `outcome`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Parked => "parked",
            Self::Duplicate => "duplicate",
            Self::Kept => "kept",
            Self::Ignored => "ignored",
            Self::RateLimited => "app_rate_limited",
            Self::Challenge(_) => "challenge",
            Self::Suggestion => "suggestion",
            Self::AnsweredAtOnce => "answered_at_once",
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

    /// Whether an event is lost with this answer if Slack does not ask again. What was not signed is no event; the other answers
    /// mean that the event is safe, or that there is nothing to forward.
    pub const fn gives_up(&self) -> bool {
        match self {
            Self::InFlight | Self::Unavailable(_) | Self::Panicked | Self::Malformed(_) | Self::TooLarge => {
                true
            }
            Self::Accepted
            | Self::Parked
            | Self::Duplicate
            | Self::Kept
            | Self::Ignored
            | Self::RateLimited
            | Self::Challenge(_)
            | Self::Suggestion
            | Self::AnsweredAtOnce
            | Self::SslCheck
            | Self::Rejected(_)
            | Self::MethodNotAllowed => false,
        }
    }

    /// Whether what the fast path answers goes with this outcome: it decorates a 200 and makes none.
    pub const fn takes_an_answer(&self) -> bool {
        matches!(
            self,
            Self::Accepted
                | Self::Parked
                | Self::Duplicate
                | Self::Kept
                | Self::Suggestion
                | Self::AnsweredAtOnce
        )
    }

    /// The value of the log's field `reason`: what exactly was wrong. It is absent where the outcome says it all. No caller
    /// sees it.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(Dependency::Secret) => Some("secret"),
            Self::Unavailable(Dependency::Store) => Some("store"),
            Self::Unavailable(Dependency::Sink) => Some("sink"),
            Self::Unavailable(Dependency::FastPath) => Some("fast_path"),
            Self::Rejected(rejection) => Some(rejection.as_str()),
            Self::Malformed(malformed) => Some(malformed.as_str()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::payload::{Author, Conversation, Kind};

    #[test]
    fn the_log_shows_of_a_delivery_its_ids_and_not_its_text() {
        let logged = LoggedDelivery::from(&Delivery {
            kind: Kind::Event,
            event_type: "message".to_owned(),
            subtype: None,
            id: "Ev1".to_owned(),
            message_key: None,
            team_id: Some("T1".to_owned()),
            api_app_id: None,
            author: Author::Person,
            conversation: Conversation { channel: Some("C1".to_owned()), ..Conversation::default() },
            direct_message: None,
            is_control: false,
            body: "the text".to_owned(),
        });
        let shown = format!("{logged:?}");
        for expected in ["event", "message", "Ev1", "T1"] {
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(!shown.contains("the text"));
    }
}
