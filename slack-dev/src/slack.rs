//! Slack's side of a request: the signature, the time limit, what counts as an acknowledgement.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use crate::Trouble;

/// After this long Slack hangs up and tries again.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);

/// The environment variable with the signing secret.
pub(crate) const SECRET_VARIABLE: &str = "SLACK_SIGNING_SECRET";

const USER_AGENT_OF_SLACK: &str = "Slackbot 1.0 (+https://api.slack.com/robots)";

/// The signing secret, from the environment and nowhere else: a command line can be read by every process.
pub(crate) fn secret_of_environment() -> Result<SigningSecret, Trouble> {
    let secrets = std::env::var(SECRET_VARIABLE).unwrap_or_default();
    // An ingress takes several, separated by commas; to sign with, one is enough.
    let secret = secrets.split(',').map(str::trim).find(|secret| !secret.is_empty());
    secret.map(SigningSecret::new).ok_or_else(|| {
        format!(
            "{SECRET_VARIABLE} is not set. It is read from the environment only:\n    \
             read -rs {SECRET_VARIABLE} && export {SECRET_VARIABLE}"
        )
        .into()
    })
}

/// `application/json`
pub(crate) const JSON: &str = "application/json";
/// `application/x-www-form-urlencoded`
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) retry: Option<Retry>,
}

/// How a request that is not Slack's differs from one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Signed with a secret that is not the app's.
    OtherSecret,
    /// Signed ten minutes ago: one that was overheard.
    Stale,
    /// Changed after it was signed.
    Tampered,
    /// Without a signature.
    Unsigned,
}

impl Forgery {
    pub(crate) const ALL: [Self; 4] = [Self::OtherSecret, Self::Stale, Self::Tampered, Self::Unsigned];
}

/// Which retry it is, and why there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) num: u32,
    pub(crate) reason: Reason,
}

/// Why Slack counts an attempt as failed, by the names of `X-Slack-Retry-Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    HttpTimeout,
    TooManyRedirects,
    ConnectionFailed,
    SslError,
    HttpError,
    UnknownError,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::HttpTimeout => "http_timeout",
            Self::TooManyRedirects => "too_many_redirects",
            Self::ConnectionFailed => "connection_failed",
            Self::SslError => "ssl_error",
            Self::HttpError => "http_error",
            Self::UnknownError => "unknown_error",
        }
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer, in time.
    Answered(Answer),
    /// None, or too late.
    Failed { reason: Reason, why: String },
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Attempt {
    /// Whether Slack is content.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.failure().is_none()
    }

    /// What Slack gives as the reason of the next retry.
    pub(crate) fn failure(&self) -> Option<Reason> {
        match &self.outcome {
            Outcome::Answered(answer) if (200..300).contains(&answer.status) => None,
            Outcome::Answered(_) => Some(Reason::HttpError),
            Outcome::Failed { reason, .. } => Some(*reason),
        }
    }

    /// Whether the answer forbids another attempt.
    pub(crate) fn forbids_retry(&self) -> bool {
        match &self.outcome {
            Outcome::Answered(answer) => {
                self.failure().is_some()
                    && answer.headers.get("x-slack-no-retry").is_some_and(|value| value.as_bytes() == b"1")
            }
            Outcome::Failed { .. } => false,
        }
    }
}

/// Slack, as far as an app's request URL can tell.
#[derive(Clone, Debug)]
pub(crate) struct Slack {
    client: reqwest::Client,
    url: String,
    secret: SigningSecret,
}

impl Slack {
    pub(crate) fn new(url: &str, secret: SigningSecret) -> Result<Self, Trouble> {
        let client = reqwest::Client::builder()
            .timeout(LIMIT)
            // Slack follows two redirects.
            .redirect(Policy::limited(2))
            .build()?;
        Ok(Self { client, url: url.to_owned(), secret })
    }

    /// Signs and posts, now.
    pub(crate) async fn post(&self, post: Post<'_>) -> Attempt {
        let timestamp = now().to_string();
        let signature = self.secret.sign(&timestamp, post.body);
        self.send(post, Some((&timestamp, &signature))).await
    }

    /// Posts what must be refused.
    pub(crate) async fn forge(&self, post: Post<'_>, forgery: Forgery) -> Attempt {
        const STALE_SECONDS: u64 = 600;
        let timestamp = match forgery {
            Forgery::Stale => now().saturating_sub(STALE_SECONDS),
            _ => now(),
        };
        let timestamp = timestamp.to_string();
        let signature = match forgery {
            Forgery::Unsigned => return self.send(post, None).await,
            Forgery::OtherSecret => SigningSecret::new("not the app's").sign(&timestamp, post.body),
            Forgery::Stale => self.secret.sign(&timestamp, post.body),
            Forgery::Tampered => self.secret.sign(&timestamp, &[post.body, b" "].concat()),
        };
        self.send(post, Some((&timestamp, &signature))).await
    }

    async fn send(&self, post: Post<'_>, signed: Option<(&str, &str)>) -> Attempt {
        let start = Instant::now();
        let outcome = match self.answer(post, signed).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(error) => {
                Outcome::Failed { reason: reason(&error), why: crate::with_causes(&error.without_url()) }
            }
        };
        Attempt { outcome, took: start.elapsed() }
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

    /// An event with its retries. `see` is told of each attempt, and of the wait before the next one.
    ///
    /// Slack repeats events of the Events API only.
    pub(crate) async fn deliver(
        &self,
        content_type: &str,
        body: &[u8],
        schedule: Option<Schedule>,
        see: &mut impl FnMut(Step<'_>),
    ) -> bool {
        let mut retry = None;
        let waits = schedule.map(|schedule| schedule.waits().to_vec()).unwrap_or_default();
        for wait in waits.into_iter().map(Some).chain([None]) {
            let attempt = self.post(Post { content_type, body, retry }).await;
            see(Step::Attempted { retry, attempt: &attempt });
            let Some(reason) = attempt.failure() else { return true };
            if attempt.forbids_retry() {
                see(Step::Forbidden);
                return false;
            }
            let Some(wait) = wait else { break };
            let num = retry.map_or(1, |Retry { num, .. }| num + 1);
            see(Step::Waits { num, wait });
            tokio::time::sleep(wait).await;
            retry = Some(Retry { num, reason });
        }
        false
    }
}

/// What happens while an event is delivered.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Attempted {
        retry: Option<Retry>,
        attempt: &'a Attempt,
    },
    /// Before the retry of this number.
    Waits {
        num: u32,
        wait: Duration,
    },
    /// The answer said `X-Slack-No-Retry: 1`.
    Forbidden,
}

/// Slack's retries: at once, after a minute, after five minutes more; each time divided by a factor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    factor: f64,
}

impl Schedule {
    /// A factor of 1 is Slack's own schedule.
    pub(crate) fn compressed(factor: f64) -> Self {
        Self { factor }
    }

    pub(crate) fn waits(self) -> [Duration; 3] {
        [0, 60, 300].map(|seconds| self.compress(Duration::from_secs(seconds)))
    }

    fn compress(self, time: Duration) -> Duration {
        time.div_f64(self.factor)
    }
}

/// A factor for [`Schedule::compressed`], as a command line gives it.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=1e6).contains(&factor) { Ok(factor) } else { Err("from 1 to 1000000".to_owned()) }
}

/// Slack disables an app that fails more than 95 % of its attempts within an hour, unless that had fewer than 1,000
/// events. The hour is compressed like the schedule.
#[derive(Debug)]
pub(crate) struct DisableRule {
    hour: Duration,
    window: VecDeque<Seen>,
    events: usize,
    failed: usize,
    disabled_after: Option<usize>,
    attempts: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    is_first: bool,
    failed: bool,
}

impl DisableRule {
    const EXEMPT_BELOW: usize = 1_000;

    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            hour: schedule.compress(Duration::from_secs(3_600)),
            window: VecDeque::new(),
            events: 0,
            failed: 0,
            disabled_after: None,
            attempts: 0,
        }
    }

    /// Counts an attempt that ended at `at`.
    pub(crate) fn count(&mut self, at: Instant, is_first: bool, failed: bool) {
        while let Some(&oldest) = self.window.front().filter(|seen| at.duration_since(seen.at) > self.hour) {
            self.window.pop_front();
            self.events -= usize::from(oldest.is_first);
            self.failed -= usize::from(oldest.failed);
        }
        self.window.push_back(Seen { at, is_first, failed });
        self.attempts += 1;
        self.events += usize::from(is_first);
        self.failed += usize::from(failed);
        let is_due = self.events >= Self::EXEMPT_BELOW && self.failed * 100 > self.window.len() * 95;
        if is_due && self.disabled_after.is_none() {
            self.disabled_after = Some(self.attempts);
        }
    }

    /// After how many attempts Slack would have disabled the app.
    pub(crate) fn disabled_after(&self) -> Option<usize> {
        self.disabled_after
    }

    /// Whether only the small number of events keeps the app enabled.
    pub(crate) fn is_exempt(&self) -> bool {
        self.disabled_after.is_none() && self.failed * 100 > self.window.len() * 95
    }
}

fn now() -> u64 {
    SystemClock.now().as_secs()
}

fn reason(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        Reason::HttpTimeout
    } else if error.is_redirect() {
        Reason::TooManyRedirects
    } else if is_about_tls(error) {
        Reason::SslError
    } else if error.is_connect() || error.is_request() {
        Reason::ConnectionFailed
    } else {
        Reason::UnknownError
    }
}

/// The client has no name for it; somewhere among the causes is what rustls said.
fn is_about_tls(error: &reqwest::Error) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(is_of_tls)
}

/// I/O errors hold what they were made from, and do not count it as their cause.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_slacks_and_can_be_compressed() {
        assert_eq!(Schedule::compressed(1.0).waits(), [0, 60, 300].map(Duration::from_secs));
        assert_eq!(Schedule::compressed(60.0).waits(), [0, 1, 5].map(Duration::from_secs));
    }

    #[test]
    fn a_factor_is_a_number_that_compresses() {
        assert_eq!(factor("2.5"), Ok(2.5));
        for bad in ["", "x", "0", "0.5", "-1", "NaN", "inf"] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }

    fn rule(events: usize, succeed_every: usize) -> DisableRule {
        let mut rule = DisableRule::new(Schedule::compressed(1.0));
        let start = Instant::now();
        for n in 0..events {
            rule.count(start + Duration::from_millis(n as u64), true, n % succeed_every != 0);
        }
        rule
    }

    #[test]
    fn an_app_is_disabled_that_fails_more_than_95_percent_of_a_thousand_events() {
        assert_eq!(rule(1_000, usize::MAX).disabled_after(), Some(1_000));
        assert_eq!(rule(5_000, 20).disabled_after(), None, "exactly 95 % is not more");
        let exempt = rule(999, usize::MAX);
        assert_eq!(exempt.disabled_after(), None);
        assert!(exempt.is_exempt());
        assert!(!rule(999, 2).is_exempt());
    }

    #[test]
    fn what_failed_more_than_an_hour_ago_is_forgotten() {
        let mut rule = DisableRule::new(Schedule::compressed(3_600.0));
        let start = Instant::now();
        for n in 0..10_000 {
            rule.count(start + Duration::from_millis(2 * n), true, true);
        }
        assert_eq!(rule.disabled_after(), None, "never more than 501 in the second that is an hour");
    }

    #[test]
    fn retries_are_attempts_and_no_events() {
        let mut rule = DisableRule::new(Schedule::compressed(1.0));
        let start = Instant::now();
        for n in 0..2_000 {
            rule.count(start, n % 4 == 0, true);
        }
        assert_eq!(rule.disabled_after(), None);
    }
}
