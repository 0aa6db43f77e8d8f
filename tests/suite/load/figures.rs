//! Prints what a run measured.

use slack_ingress::time::budget::CallTimeouts;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

use super::resources::ResourceGrowth;
use super::traffic::Kind;
use super::{ACK_BUDGET, Answer};

/// The messages that were on the queue.
pub(crate) struct QueueContents {
    /// For each event, the number of its messages.
    pub(crate) messages: Vec<usize>,
    /// The bodies of messages that belong to no event.
    pub(crate) strangers: Vec<String>,
}

pub(crate) struct Figures<'a> {
    pub(crate) queue: &'static str,
    pub(crate) start: Instant,
    pub(crate) answers: &'a [Answer],
    pub(crate) acknowledged: &'a [bool],
    pub(crate) found: &'a QueueContents,
    pub(crate) growths: &'a [ResourceGrowth],
    pub(crate) sends: usize,
}

impl Figures<'_> {
    /// The number of events that were answered with 200 and are not on the queue.
    pub(crate) fn missing(&self) -> usize {
        let events = self.acknowledged.iter().zip(&self.found.messages);
        events.filter(|(acknowledged, messages)| **acknowledged && **messages == 0).count()
    }

    /// The number of events that are on the queue more than once.
    pub(crate) fn doubled(&self) -> usize {
        self.found.messages.iter().filter(|messages| **messages > 1).count()
    }

    /// The number of answers so late that a call may have timed out. The call may have taken effect all the same.
    pub(crate) fn late(&self) -> usize {
        let first_timeout = CallTimeouts::for_budget(ACK_BUDGET).connect;
        self.count(|answer| answer.took >= first_timeout)
    }

    fn count(&self, condition: impl Fn(&Answer) -> bool) -> usize {
        self.answers.iter().filter(|answer| condition(answer)).count()
    }

    /// The answers a second, for each tenth of the answers.
    fn rates(&self) -> Vec<f64> {
        let mut times: Vec<_> = self.answers.iter().map(|answer| answer.at).collect();
        times.sort_unstable();
        let mut from = self.start;
        let tenths = times.chunks(times.len().div_ceil(10)).map(|tenth| {
            let to = tenth[tenth.len() - 1];
            let rate = tenth.len() as f64 / (to - from).as_secs_f64();
            from = to;
            rate
        });
        tenths.collect()
    }

    /// The latency that this share of the answers did not exceed.
    fn latency(&self, share: f64) -> Duration {
        let mut latencies: Vec<_> = self.answers.iter().map(|answer| answer.took).collect();
        latencies.sort_unstable();
        latencies[((latencies.len() - 1) as f64 * share) as usize]
    }
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.acknowledged.len();
        let ended = self.answers.iter().map(|answer| answer.at).max().unwrap_or(self.start);
        let took = (ended - self.start).as_secs_f64();
        let accepted = self.count(|answer| answer.status == 200);
        let rates = self.rates();
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = rates.iter().copied().fold(0.0, f64::max);
        writeln!(f, "{} queue, {} execution environments", self.queue, self.growths.len())?;
        writeln!(f, "  {events} events in {took:.0} s: {:.0} a second", events as f64 / took)?;
        writeln!(
            f,
            "  {} deliveries: {} retries, {} duplicates answered 200, {} forged, {} told to ask again (503)",
            self.answers.len(),
            self.count(|answer| answer.delivery.retry > 0),
            accepted - self.acknowledged.iter().filter(|acknowledged| **acknowledged).count(),
            self.count(|answer| answer.delivery.kind == Kind::Forged),
            self.count(|answer| answer.status == 503),
        )?;
        writeln!(
            f,
            "  deliveries a second, in the slowest tenth of the run {slowest:.0}, in the fastest {fastest:.0}"
        )?;
        writeln!(
            f,
            "  answers: median {:.1?}, p99 {:.1?}, slowest {:.1?}; {} so late that a call may have been given up",
            self.latency(0.5),
            self.latency(0.99),
            self.latency(1.0),
            self.late()
        )?;
        writeln!(
            f,
            "  {} messages sent; missing {}, doubled {}",
            self.sends,
            self.missing(),
            self.doubled()
        )?;
        let range = |value: fn(&ResourceGrowth) -> u64| Range::of(self.growths.iter().map(value));
        writeln!(
            f,
            "  each environment after its warm-up -> at the end: heap and stack {} -> {} KiB, \
             resident {} -> {} KiB, file descriptors {} -> {}",
            range(|growth| growth.start.memory),
            range(|growth| growth.end.memory),
            range(|growth| growth.start.resident),
            range(|growth| growth.end.resident),
            range(|growth| growth.start.descriptors),
            range(|growth| growth.end.descriptors),
        )?;
        let growth = self.growths.iter().map(ResourceGrowth::memory).max().unwrap_or_default();
        writeln!(f, "  it grew by {growth} KiB at the most")
    }
}

/// The smallest and the largest of several values.
struct Range(u64, u64);

impl Range {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Self {
        Self(values.clone().min().unwrap_or_default(), values.max().unwrap_or_default())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(least, most) = self;
        if least == most { write!(f, "{least}") } else { write!(f, "{least} to {most}") }
    }
}
