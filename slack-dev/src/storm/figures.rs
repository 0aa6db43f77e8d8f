//! Counts the attempts, answers and forgeries of a storm, and prints them.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::ledger::QueueFindings;
use crate::slack::{AttemptResult, DisableRule, FinishedAttempt, RetrySchedule};

/// The counts of a storm that is running.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) events: u64,
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    attempts: u64,
    retries: u64,
    repeats: u64,
    answers: BTreeMap<String, u64>,
    pub(super) forgeries: Forgeries,
    latencies: Histogram<u64>,
    rule: DisableRule,
}

/// How the app answered forged requests.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Forgeries {
    sent: u64,
    refused: u64,
    /// The app answered with a 2xx status.
    accepted: u64,
    /// The app answered with another status than 2xx and 4xx, or not at all.
    unanswered: u64,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptCause {
    /// It is the event's first attempt.
    First,
    /// The attempt before it failed.
    Retry,
    /// The plan has Slack send the event again although no attempt failed.
    Repeat,
}

impl Figures {
    pub(super) fn new(schedule: RetrySchedule) -> Self {
        #[allow(clippy::expect_used, reason = "both bounds are constants, and in order")]
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order");
        Self {
            events: 0,
            acknowledged: 0,
            failed: 0,
            attempts: 0,
            retries: 0,
            repeats: 0,
            answers: BTreeMap::new(),
            forgeries: Forgeries::default(),
            latencies,
            rule: DisableRule::new(schedule),
        }
    }

    pub(super) fn attempt(&mut self, cause: AttemptCause, attempt: &FinishedAttempt) {
        self.attempts += 1;
        match cause {
            AttemptCause::First => self.events += 1,
            AttemptCause::Retry => self.retries += 1,
            AttemptCause::Repeat => self.repeats += 1,
        }
        let answer = match &attempt.result {
            AttemptResult::Answered(answer) => answer.status.to_string(),
            AttemptResult::Failed { reason, .. } => reason.as_str().to_owned(),
        };
        *self.answers.entry(answer).or_default() += 1;
        let micros = u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros.max(1));
        self.rule.count(Instant::now(), cause == AttemptCause::First, !attempt.is_acknowledged());
    }

    pub(super) fn event(&mut self, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
        } else {
            self.failed += 1;
        }
    }

    pub(super) fn forgery(&mut self, attempt: &FinishedAttempt) {
        let Forgeries { sent, refused, accepted, unanswered } = &mut self.forgeries;
        *sent += 1;
        *match &attempt.result {
            AttemptResult::Answered(answer) if (200..300).contains(&answer.status) => accepted,
            AttemptResult::Answered(answer) if (400..500).contains(&answer.status) => refused,
            _ => unanswered,
        } += 1;
    }

    pub(super) fn summary(&self, seed: u64, took: Duration, queue: Option<QueueFindings>) -> Summary {
        let millis = |micros: u64| micros as f64 / 1e3;
        let quantile = |q: f64| millis(self.latencies.value_at_quantile(q));
        let seconds = took.as_secs_f64();
        let passed = self.failed == 0
            && self.forgeries.accepted == 0
            && queue.as_ref().is_none_or(QueueFindings::is_clean);
        Summary {
            version: 1,
            passed,
            seed,
            seconds,
            events: self.events,
            events_per_second: self.events as f64 / seconds.max(f64::EPSILON),
            acknowledged: self.acknowledged,
            failed: self.failed,
            attempts: self.attempts,
            retries: self.retries,
            repeats: self.repeats,
            answers: self.answers.clone(),
            forgeries: self.forgeries,
            disabled_after_attempts: self.rule.disabled_after(),
            latency_ms: Latency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                max: if self.latencies.is_empty() { 0.0 } else { millis(self.latencies.max()) },
            },
            histogram: self.histogram(),
            queue,
        }
    }

    /// The number of answers by latency, with edges at 1, 2 and 5 times each power of ten, without the empty bars at both ends.
    fn histogram(&self) -> Vec<Bar> {
        let edges =
            [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000].map(|unit| [unit, 2 * unit, 5 * unit]);
        let mut from = 0;
        let mut bars: Vec<Bar> = Vec::new();
        for up_to in edges.into_iter().flatten() {
            // The library counts neighbouring values in one bucket. The lowest value of a bucket is exact enough here.
            let count = self
                .latencies
                .iter_recorded()
                .filter(|step| (from..up_to).contains(&step.value_iterated_to()));
            let count = count.map(|step| step.count_at_value()).sum();
            if count > 0 || !bars.is_empty() {
                bars.push(Bar { below_ms: up_to as f64 / 1e3, count });
            }
            from = up_to;
        }
        while bars.last().is_some_and(|bar| bar.count == 0) {
            bars.pop();
        }
        bars
    }
}

/// The result of a storm, which is printed as text or as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    version: u32,
    pub(super) passed: bool,
    seed: u64,
    seconds: f64,
    events: u64,
    events_per_second: f64,
    acknowledged: u64,
    failed: u64,
    attempts: u64,
    /// Attempts that were made because the one before failed.
    retries: u64,
    /// Attempts that were made because the plan says so, although no attempt failed.
    repeats: u64,
    /// How many attempts ended with which HTTP status, or with which of Slack's retry reasons if no answer came.
    answers: BTreeMap<String, u64>,
    forgeries: Forgeries,
    disabled_after_attempts: Option<usize>,
    latency_ms: Latency,
    histogram: Vec<Bar>,
    queue: Option<QueueFindings>,
}

/// Quantiles of the time from the request to its answer, in milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// How many answers took less than `below_ms` and at least as long as the bar before it says.
#[derive(Debug, PartialEq, Serialize)]
struct Bar {
    below_ms: f64,
    count: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: Vec<_> =
            self.answers.iter().map(|(answer, count)| format!("{answer}: {count}")).collect();
        writeln!(
            f,
            "{} events in {:.1} s, {:.0} a second (seed {})",
            self.events, self.seconds, self.events_per_second, self.seed
        )?;
        writeln!(f, "  acknowledged       {:>9}", self.acknowledged)?;
        writeln!(f, "  failed             {:>9}", self.failed)?;
        writeln!(f, "  attempts           {:>9}  {}", self.attempts, answers.join(", "))?;
        writeln!(f, "  retried            {:>9}  after a failure", self.retries)?;
        writeln!(f, "                     {:>9}  without one", self.repeats)?;
        let Forgeries { sent, refused, accepted, unanswered } = self.forgeries;
        writeln!(f, "forgeries            {sent:>9}")?;
        writeln!(f, "  refused            {refused:>9}")?;
        writeln!(f, "  let in             {accepted:>9}")?;
        if unanswered > 0 {
            writeln!(f, "  not answered       {unanswered:>9}")?;
        }
        if let Some(attempts) = self.disabled_after_attempts {
            writeln!(f, "Slack would have disabled the app after {attempts} attempts")?;
        }
        let Latency { p50, p90, p99, max } = self.latency_ms;
        writeln!(f, "answers in ms          p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1}")?;
        let most = self.histogram.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
        for Bar { below_ms, count } in &self.histogram {
            const WIDTH: u64 = 50;
            let length = usize::try_from((count * WIDTH).div_ceil(most)).unwrap_or(0);
            writeln!(f, "  < {below_ms:>7} {count:>9}  {}", "█".repeat(length))?;
        }
        match &self.queue {
            Some(queue) => write!(f, "on the queue\n{queue}")?,
            None => writeln!(f, "the queue was not checked: no --queue-url")?,
        }
        let findings = match (self.passed, &self.queue) {
            (true, Some(_)) => "passed: none missing, none doubled, no forgery let in",
            (true, None) => "passed: everything acknowledged, no forgery let in",
            (false, _) => "FAILED",
        };
        writeln!(f, "{findings}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::{Answer, FailureReason};

    fn answered(status: u16, millis: u64) -> FinishedAttempt {
        let answer = Answer { status, headers: reqwest::header::HeaderMap::new(), body: Vec::new() };
        FinishedAttempt { result: AttemptResult::Answered(answer), took: Duration::from_millis(millis) }
    }

    fn summary(figures: &Figures) -> Summary {
        figures.summary(1, Duration::from_secs(2), None)
    }

    #[test]
    fn quantiles_and_histogram_count_every_attempt() {
        let mut figures = Figures::new(RetrySchedule::compressed(1.0));
        for millis in 1..=100 {
            figures.attempt(AttemptCause::First, &answered(200, millis));
            figures.event(true);
        }
        let summary = summary(&figures);
        let Latency { p50, p90, p99, max } = summary.latency_ms;
        for (figure, expected) in [(p50, 50.0), (p90, 90.0), (p99, 99.0), (max, 100.0)] {
            assert!((figure - expected).abs() < 0.1, "{figure} {expected}");
        }
        let counts: Vec<_> = summary.histogram.iter().map(|bar| (bar.below_ms, bar.count)).collect();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 100);
        assert_eq!(counts[..3], [(2.0, 1), (5.0, 3), (10.0, 5)]);
        assert!(summary.passed);
    }

    #[test]
    fn a_failed_event_or_an_accepted_forgery_fails_the_storm() {
        let mut failed = Figures::new(RetrySchedule::compressed(1.0));
        let timeout = AttemptResult::Failed { reason: FailureReason::HttpTimeout, why: String::new() };
        failed
            .attempt(AttemptCause::First, &FinishedAttempt { result: timeout, took: Duration::from_secs(3) });
        failed.event(false);
        assert!(!summary(&failed).passed);
        assert_eq!(summary(&failed).answers["http_timeout"], 1);

        let mut forged = Figures::new(RetrySchedule::compressed(1.0));
        forged.forgery(&answered(401, 1));
        forged.forgery(&answered(503, 1));
        assert!(summary(&forged).passed);
        forged.forgery(&answered(200, 1));
        assert!(!summary(&forged).passed);
    }

    #[test]
    fn retries_and_repeats_do_not_count_as_events() {
        let mut figures = Figures::new(RetrySchedule::compressed(1.0));
        for cause in [AttemptCause::First, AttemptCause::Retry, AttemptCause::Retry, AttemptCause::Repeat] {
            figures.attempt(cause, &answered(503, 1));
        }
        let summary = summary(&figures);
        assert_eq!((summary.events, summary.retries, summary.repeats, summary.attempts), (1, 2, 1, 4));
    }
}
