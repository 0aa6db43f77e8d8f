//! Sends requests to an app's request URL as Slack does: it signs each request, waits as long as Slack waits for the answer,
//! decides as Slack does whether the answer acknowledges the event, and repeats an event on Slack's schedule.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use slack_ingress::slack::retries::{ANSWER_LIMIT, PAUSES, REASONS};
use slack_ingress::slack::secrets::text::{SecretText, SecretTextError};
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use crate::CommandError;

/// The environment variable that holds the app's signing secret, or those of several apps.
pub(crate) const SECRET_VARIABLE: &str = "SLACK_SIGNING_SECRET";

const USER_AGENT_OF_SLACK: &str = "Slackbot 1.0 (+https://api.slack.com/robots)";

/// Reads the signing secrets from the environment. No flag takes them, because every process of the machine can read a command
/// line.
pub(crate) fn secrets_from_environment() -> Result<AppSecrets, CommandError> {
    let secrets = std::env::var(SECRET_VARIABLE).unwrap_or_default();
    match SecretText::parse_list(&secrets) {
        Ok(text) => Ok(AppSecrets(text.signing_secrets())),
        Err(SecretTextError::Malformed) => {
            Err(format!("{SECRET_VARIABLE}: {}", SecretTextError::Malformed).into())
        }
        Err(SecretTextError::Empty) => Err(format!(
            "{SECRET_VARIABLE} is not set. It is read from the environment only:\n    \
             read -rs {SECRET_VARIABLE} && export {SECRET_VARIABLE}"
        )
        .into()),
    }
}

/// The signing secrets of one app, any of which signs, or of several apps. There is at least one.
#[derive(Clone, Debug)]
pub(crate) struct AppSecrets(Vec<SigningSecret>);

impl AppSecrets {
    /// At least one.
    pub(crate) fn new(secrets: Vec<SigningSecret>) -> Self {
        Self(secrets)
    }

    /// Signs `body` as Slack does: with the secret of the app that the body is for. A body that names none of the apps gets the
    /// first one's signature.
    fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let is_for = |secret: &&SigningSecret| match secret.app() {
            None => true,
            Some(app) => body.windows(app.len()).any(|part| part == app.as_bytes()),
        };
        let secret = self.0.iter().find(is_for).or(self.0.first());
        secret.map(|secret| secret.sign(timestamp, body)).unwrap_or_default()
    }
}

/// The content type of an event.
pub(crate) const JSON: &str = "application/json";
/// The content type of a slash command and of an interaction.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request before it is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) retry: Option<Retry>,
}

/// How a forged request differs from a request of Slack's. The app must refuse each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// It is signed with a secret that is not the app's.
    OtherSecret,
    /// It was signed ten minutes ago, as if somebody had recorded a request and sent it again.
    Stale,
    /// Its body was changed after it was signed.
    Tampered,
    /// It has neither of the two signature headers.
    Unsigned,
}

impl Forgery {
    pub(crate) const ALL: [Self; 4] = [Self::OtherSecret, Self::Stale, Self::Tampered, Self::Unsigned];
}

/// What Slack's headers say about a retry: its number, from 1 on, and why the attempt before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) num: u32,
    pub(crate) reason: FailureReason,
}

/// Why Slack counts an attempt as failed. The variants stand in the order of [`REASONS`], which has the name of each in
/// `X-Slack-Retry-Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum FailureReason {
    HttpTimeout,
    TooManyRedirects,
    ConnectionFailed,
    SslError,
    HttpError,
    UnknownError,
}

impl FailureReason {
    #[allow(
        clippy::indexing_slicing,
        reason = "there is a name for each variant: a test asks for all of them"
    )]
    pub(crate) const fn as_str(self) -> &'static str {
        REASONS[self as usize]
    }
}

/// An attempt that has ended: with an answer, or with the reason why none came in time.
#[derive(Debug)]
pub(crate) struct FinishedAttempt {
    pub(crate) result: AttemptResult,
    pub(crate) took: Duration,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum AttemptResult {
    /// The app answered within [`ANSWER_LIMIT`]. The answer may still refuse the request.
    Answered(Answer),
    /// No answer came within [`ANSWER_LIMIT`]. `reason` is what Slack calls it, `why` what the HTTP client reported.
    Failed { reason: FailureReason, why: String },
}

/// The app's answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl FinishedAttempt {
    /// Whether Slack counts the attempt as a success: the app answered with a 2xx status in time.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.failure().is_none()
    }

    /// Why Slack counts the attempt as failed, which is the reason that its next retry gives; `None` for a success.
    pub(crate) fn failure(&self) -> Option<FailureReason> {
        match &self.result {
            AttemptResult::Answered(answer) if (200..300).contains(&answer.status) => None,
            AttemptResult::Answered(_) => Some(FailureReason::HttpError),
            AttemptResult::Failed { reason, .. } => Some(*reason),
        }
    }

    /// Whether the answer is a refusal that tells Slack, with `X-Slack-No-Retry: 1`, not to repeat the event.
    pub(crate) fn forbids_retry(&self) -> bool {
        match &self.result {
            AttemptResult::Answered(answer) => {
                self.failure().is_some()
                    && answer.headers.get("x-slack-no-retry").is_some_and(|value| value.as_bytes() == b"1")
            }
            AttemptResult::Failed { .. } => false,
        }
    }
}

/// Sends requests to one app's request URL as Slack does.
#[derive(Clone, Debug)]
pub(crate) struct Slack {
    client: reqwest::Client,
    url: String,
    secrets: AppSecrets,
}

impl Slack {
    pub(crate) fn new(url: &str, secrets: AppSecrets) -> Result<Self, CommandError> {
        let client = reqwest::Client::builder()
            .timeout(ANSWER_LIMIT)
            // Slack follows at most two redirects.
            .redirect(Policy::limited(2))
            .build()?;
        Ok(Self { client, url: url.to_owned(), secrets })
    }

    /// Signs the request with the current time and posts it.
    pub(crate) async fn post(&self, post: Post<'_>) -> FinishedAttempt {
        let timestamp = now().to_string();
        let signature = self.secrets.sign(&timestamp, post.body);
        self.send(post, Some((&timestamp, &signature))).await
    }

    /// Posts a forged request, which the app must refuse.
    pub(crate) async fn forge(&self, post: Post<'_>, forgery: Forgery) -> FinishedAttempt {
        const STALE_SECONDS: u64 = 600;
        let timestamp = match forgery {
            Forgery::Stale => now().saturating_sub(STALE_SECONDS),
            _ => now(),
        };
        let timestamp = timestamp.to_string();
        let signature = match forgery {
            Forgery::Unsigned => return self.send(post, None).await,
            Forgery::OtherSecret => SigningSecret::new("not the app's").sign(&timestamp, post.body),
            Forgery::Stale => self.secrets.sign(&timestamp, post.body),
            Forgery::Tampered => self.secrets.sign(&timestamp, &[post.body, b" "].concat()),
        };
        self.send(post, Some((&timestamp, &signature))).await
    }

    async fn send(&self, post: Post<'_>, signed: Option<(&str, &str)>) -> FinishedAttempt {
        let start = Instant::now();
        let result = match self.answer(post, signed).await {
            Ok(answer) => AttemptResult::Answered(answer),
            Err(error) => AttemptResult::Failed {
                reason: reason(&error),
                why: crate::with_causes(&error.without_url()),
            },
        };
        FinishedAttempt { result, took: start.elapsed() }
    }

    async fn answer(
        &self,
        Post { content_type, body, retry }: Post<'_>,
        signed: Option<(&str, &str)>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, HeaderValue::from_static(USER_AGENT_OF_SLACK))
            .body(body.to_vec());
        if let Some((timestamp, signature)) = signed {
            request =
                request.header("X-Slack-Request-Timestamp", timestamp).header("X-Slack-Signature", signature);
        }
        if let Some(Retry { num, reason }) = retry {
            request =
                request.header("X-Slack-Retry-Num", num).header("X-Slack-Retry-Reason", reason.as_str());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { status, headers, body })
    }

    /// Posts a request, and repeats it on `schedule` until the app acknowledges it, forbids a retry, or the last retry has
    /// failed. Without a schedule there is one attempt only: Slack repeats events, but no commands and no interactions.
    ///
    /// Calls `on_progress` after each attempt and before each pause. Returns whether the app acknowledged the request.
    pub(crate) async fn deliver(
        &self,
        content_type: &str,
        body: &[u8],
        schedule: Option<RetrySchedule>,
        on_progress: &mut impl FnMut(DeliveryProgress<'_>),
    ) -> bool {
        let mut retry = None;
        let pauses = schedule.map(|schedule| schedule.pauses().to_vec()).unwrap_or_default();
        for pause in pauses.into_iter().map(Some).chain([None]) {
            let attempt = self.post(Post { content_type, body, retry }).await;
            on_progress(DeliveryProgress::AttemptFinished { retry, attempt: &attempt });
            let Some(reason) = attempt.failure() else { return true };
            if attempt.forbids_retry() {
                on_progress(DeliveryProgress::RetryForbidden);
                return false;
            }
            let Some(pause) = pause else { break };
            let num = retry.map_or(1, |Retry { num, .. }| num + 1);
            on_progress(DeliveryProgress::RetryAfter { num, pause });
            tokio::time::sleep(pause).await;
            retry = Some(Retry { num, reason });
        }
        false
    }
}

/// What [`Slack::deliver`] reports while it delivers a request.
#[derive(Debug)]
pub(crate) enum DeliveryProgress<'a> {
    /// An attempt has ended. `retry` is `None` for the first attempt.
    AttemptFinished { retry: Option<Retry>, attempt: &'a FinishedAttempt },
    /// The attempt failed; retry number `num` follows after `pause`.
    RetryAfter { num: u32, pause: Duration },
    /// The app answered with `X-Slack-No-Retry: 1`, so no retry follows.
    RetryForbidden,
}

/// Slack's pauses before its retries ([`PAUSES`]), each divided by a factor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetrySchedule {
    factor: f64,
}

impl RetrySchedule {
    /// The schedule that is `factor` times faster than Slack's. A factor of 1 is Slack's own schedule.
    pub(crate) fn compressed(factor: f64) -> Self {
        Self { factor }
    }

    pub(crate) fn pauses(self) -> [Duration; 3] {
        PAUSES.map(|pause| self.compress(pause))
    }

    fn compress(self, time: Duration) -> Duration {
        time.div_f64(self.factor)
    }
}

/// Reads the factor for [`RetrySchedule::compressed`] from the command line: a number from 1 to 1,000,000.
pub(crate) fn parse_compression_factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=1e6).contains(&factor) { Ok(factor) } else { Err("must be from 1 to 1000000".to_owned()) }
}

/// Slack's rule for disabling an app: more than 95 % of the attempts of an hour failed, and that hour had at least 1,000
/// events. The hour is compressed like the schedule.
#[derive(Debug)]
pub(crate) struct DisableRule {
    hour: Duration,
    window: VecDeque<CountedAttempt>,
    events: usize,
    failed: usize,
    disabled_after: Option<usize>,
    attempts: usize,
}

/// An attempt of the last hour.
#[derive(Clone, Copy, Debug)]
struct CountedAttempt {
    at: Instant,
    is_first: bool,
    failed: bool,
}

impl DisableRule {
    const EXEMPT_BELOW: usize = 1_000;

    pub(crate) fn new(schedule: RetrySchedule) -> Self {
        Self {
            hour: schedule.compress(Duration::from_secs(3_600)),
            window: VecDeque::new(),
            events: 0,
            failed: 0,
            disabled_after: None,
            attempts: 0,
        }
    }

    /// Counts an attempt that ended at `at`. Only the first attempt of an event counts as an event.
    pub(crate) fn count(&mut self, at: Instant, is_first: bool, failed: bool) {
        while let Some(&oldest) = self.window.front().filter(|seen| at.duration_since(seen.at) > self.hour) {
            self.window.pop_front();
            self.events -= usize::from(oldest.is_first);
            self.failed -= usize::from(oldest.failed);
        }
        self.window.push_back(CountedAttempt { at, is_first, failed });
        self.attempts += 1;
        self.events += usize::from(is_first);
        self.failed += usize::from(failed);
        let is_due = self.events >= Self::EXEMPT_BELOW && self.failed * 100 > self.window.len() * 95;
        if is_due && self.disabled_after.is_none() {
            self.disabled_after = Some(self.attempts);
        }
    }

    /// The number of attempts after which Slack would have disabled the app; `None` if it would not have.
    pub(crate) fn disabled_after(&self) -> Option<usize> {
        self.disabled_after
    }

    /// Whether more than 95 % of the attempts failed and the app stays enabled only because there were fewer than 1,000
    /// events.
    pub(crate) fn is_exempt(&self) -> bool {
        self.disabled_after.is_none() && self.failed * 100 > self.window.len() * 95
    }
}

fn now() -> u64 {
    SystemClock.now().as_secs()
}

fn reason(error: &reqwest::Error) -> FailureReason {
    if error.is_timeout() {
        FailureReason::HttpTimeout
    } else if error.is_redirect() {
        FailureReason::TooManyRedirects
    } else if is_about_tls(error) {
        FailureReason::SslError
    } else if error.is_connect() || error.is_request() {
        FailureReason::ConnectionFailed
    } else {
        FailureReason::UnknownError
    }
}

/// Whether TLS is why the request failed. The HTTP client has no kind of error for that, so this looks for an error of
/// rustls among the causes.
fn is_about_tls(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(is_of_tls)
}

/// Whether this is an error of rustls, or an I/O error made from one. An I/O error does not name the error it was made from as
/// its source.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_reason_has_its_name_in_slacks_header() {
        let names = [
            (FailureReason::HttpTimeout, "http_timeout"),
            (FailureReason::TooManyRedirects, "too_many_redirects"),
            (FailureReason::ConnectionFailed, "connection_failed"),
            (FailureReason::SslError, "ssl_error"),
            (FailureReason::HttpError, "http_error"),
            (FailureReason::UnknownError, "unknown_error"),
        ];
        assert_eq!(names.map(|(reason, _)| reason.as_str()), names.map(|(_, name)| name));
        assert_eq!(names.len(), REASONS.len());
    }

    #[test]
    fn the_schedule_is_slacks_and_can_be_compressed() {
        assert_eq!(RetrySchedule::compressed(1.0).pauses(), [0, 60, 300].map(Duration::from_secs));
        assert_eq!(RetrySchedule::compressed(60.0).pauses(), [0, 1, 5].map(Duration::from_secs));
    }

    #[test]
    fn a_factor_below_one_or_that_is_no_number_is_refused() {
        assert_eq!(parse_compression_factor("2.5"), Ok(2.5));
        for bad in ["", "x", "0", "0.5", "-1", "NaN", "inf"] {
            assert!(parse_compression_factor(bad).is_err(), "{bad}");
        }
    }

    /// The rule after this many events, one a millisecond, of which every `succeed_every`th is acknowledged.
    fn rule(events: usize, succeed_every: usize) -> DisableRule {
        let mut rule = DisableRule::new(RetrySchedule::compressed(1.0));
        let start = Instant::now();
        for n in 0..events {
            rule.count(start + Duration::from_millis(n as u64), true, n % succeed_every != 0);
        }
        rule
    }

    #[test]
    fn an_app_that_fails_more_than_95_percent_of_a_thousand_events_is_disabled() {
        assert_eq!(rule(1_000, usize::MAX).disabled_after(), Some(1_000));
        assert_eq!(rule(5_000, 20).disabled_after(), None, "exactly 95 % is not more");
        let exempt = rule(999, usize::MAX);
        assert_eq!(exempt.disabled_after(), None);
        assert!(exempt.is_exempt());
        assert!(!rule(999, 2).is_exempt());
    }

    #[test]
    fn attempts_that_failed_more_than_an_hour_ago_no_longer_count() {
        let mut rule = DisableRule::new(RetrySchedule::compressed(3_600.0));
        let start = Instant::now();
        for n in 0..10_000 {
            rule.count(start + Duration::from_millis(2 * n), true, true);
        }
        assert_eq!(
            rule.disabled_after(),
            None,
            "an hour is one second here and never has more than 501 events"
        );
    }

    #[test]
    fn retries_count_as_attempts_but_not_as_events() {
        let mut rule = DisableRule::new(RetrySchedule::compressed(1.0));
        let start = Instant::now();
        for n in 0..2_000 {
            rule.count(start, n % 4 == 0, true);
        }
        assert_eq!(rule.disabled_after(), None);
    }
}
