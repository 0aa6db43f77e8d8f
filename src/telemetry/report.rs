//! What is known of one invocation when it is over: the outcome, and what led to it.

use std::error::Error;
use std::time::Duration;

use crate::slack::payload::{Delivery, Encoding};
use crate::telemetry::outcome::Outcome;

/// One invocation, for the answer ([`crate::lambda::http`]) and for the log ([`crate::telemetry::metrics`]).
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What led to it.
    pub trail: Trail,
}

/// What the steps leave behind as they go.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// How the request was encoded; the answer to a form is empty.
    pub encoding: Option<Encoding>,
    /// What Slack sent, once its signature was verified.
    pub subject: Option<Subject>,
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
pub struct Subject {
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

impl From<&Delivery> for Subject {
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

/// Slack's account of its own retries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// `X-Slack-Retry-Num`: absent on the first attempt, then 1 to 3.
    pub retry_num: Option<u32>,
    /// `X-Slack-Retry-Reason`
    pub retry_reason: Option<String>,
}

/// Slack's third retry is its last.
const LAST_RETRY: u32 = 3;

impl Attempt {
    /// Whether Slack will not ask again. (With Delayed Events it does, hourly; each of those is as good as
    /// a last one.)
    pub fn is_last(&self) -> bool {
        self.retry_num.is_some_and(|num| num >= LAST_RETRY)
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

impl Trail {
    /// Keeps an error of `step` and its causes.
    pub fn note(&mut self, step: &str, error: &(dyn Error + 'static)) {
        self.errors.push(format!("{step}: {}", with_causes(error)));
    }
}

/// An error and its causes in one line: each says only its own part.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::StoreError;
    use crate::slack::payload::{Author, Conversation, Kind};

    #[test]
    fn the_third_retry_is_the_last_and_so_is_each_delayed_one() {
        let is_last = |retry_num| Attempt { retry_num, retry_reason: None }.is_last();
        for retry_num in [None, Some(0), Some(1), Some(2)] {
            assert!(!is_last(retry_num), "{retry_num:?}");
        }
        for retry_num in [Some(3), Some(4), Some(27), Some(u32::MAX)] {
            assert!(is_last(retry_num), "{retry_num:?}");
        }
    }

    #[test]
    fn an_error_is_noted_with_its_step_and_every_cause_once() {
        let inner = StoreError::new("connect", "refused");
        let mut trail = Trail::default();
        trail.note("record", &StoreError::new("DynamoDB PutItem", inner));
        trail.note("send", &std::fmt::Error);
        assert_eq!(
            trail.errors,
            [
                "record: DynamoDB PutItem: connect: refused",
                "send: an error occurred when formatting an argument"
            ]
        );
    }

    #[test]
    fn the_subject_of_a_delivery_is_what_the_log_may_show_of_it() {
        let subject = Subject::from(&Delivery {
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
        let shown = format!("{subject:?}");
        for expected in ["event", "message", "Ev1", "T1"] {
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(!shown.contains("the text"));
    }
}
