//! How long Slack waits for an answer, and when, how often and why it asks again.
//!
//! Source: <https://docs.slack.dev/apis/events-api/#error-handling>.

use std::time::Duration;

use crate::slack::signature::MAX_SKEW_SECONDS;

/// Slack waits this long for an answer. After that the attempt counts as failed.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How long Slack waits before each of its retries: it repeats an event almost at once, a minute later, and five minutes
/// after that. There is no fourth retry.
pub const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(5 * 60)];

/// The number of the last retry, in `X-Slack-Retry-Num`.
pub const LAST_RETRY: u32 = 3;

/// Slack's last retry has come by then, counted from its first attempt: the pauses, and half a minute for the attempts
/// themselves.
pub const LAST_RETRY_AFTER: Duration = Duration::from_secs(6 * 60 + 30);

/// The shortest safe `DEDUP_TTL_SECONDS`. Slack's last retry must find the record of the first attempt, and so must whoever
/// replays that retry as long as its signature is good.
pub const MIN_SAFE_DEDUP_TTL: Duration =
    LAST_RETRY_AFTER.saturating_add(Duration::from_secs(MAX_SKEW_SECONDS));

/// The values of `X-Slack-Retry-Reason` that Slack documents. The dimension `RetryReason` takes no other value, because each
/// value of a dimension costs money.
pub const REASONS: [&str; 6] =
    ["http_timeout", "too_many_redirects", "connection_failed", "ssl_error", "http_error", "unknown_error"];

/// Which of Slack's attempts a request is, by two headers that Slack sends with a retry. Slack does not sign them, so whoever
/// replays a request can write what they like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the retry (`X-Slack-Retry-Num`): absent on the first attempt, then 1 to 3.
    pub retry_num: Option<u32>,
    /// Why the attempt before failed (`X-Slack-Retry-Reason`), one of [`REASONS`]; absent on the first attempt.
    pub retry_reason: Option<String>,
}

impl Attempt {
    /// Whether Slack will not ask again. (An app with Delayed Events is asked again every hour. Each of these attempts counts
    /// as the last one, too.)
    pub fn is_last(&self) -> bool {
        self.retry_num.is_some_and(|num| num >= LAST_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_retry_is_the_one_after_the_last_pause_and_has_come_when_all_pauses_are_over() {
        assert_eq!(usize::try_from(LAST_RETRY), Ok(PAUSES.len()));
        assert!(LAST_RETRY_AFTER >= PAUSES.iter().sum::<Duration>());
    }

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
}
