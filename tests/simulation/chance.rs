//! Makes every random choice of a history from the history's seed.

use fastrand::Rng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What goes wrong with a call to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The service does nothing and answers with an error.
    FailsBefore,
    /// The service does its work and answers with an error all the same.
    FailsAfter,
    /// The service does nothing and never answers.
    HangsBefore,
    /// The service does its work and never answers.
    HangsAfter,
    /// The service does its work and answers much later, even if its caller no longer waits.
    TakesEffectLate,
    /// The service does its work at once and answers much later.
    AnswersLate,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::HangsBefore,
        Self::HangsAfter,
        Self::TakesEffectLate,
        Self::AnswersLate,
    ];
}

/// A span of a history's time during which every call to a service has the same fault.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    from: Duration,
    until: Duration,
    fault: Fault,
}

/// How often the calls to one service go wrong in one history.
#[derive(Clone, Debug)]
pub(crate) struct FailureRates {
    /// How many of a thousand calls go wrong outside of the outage.
    faulty_per_mille: u32,
    outage: Option<Outage>,
}

/// The settings of the function, and how often things go wrong, in one history.
#[derive(Clone, Debug)]
pub(crate) struct HistorySettings {
    pub(crate) fifo: bool,
    pub(crate) function_timeout: Duration,
    pub(crate) ack_budget: Duration,
    pub(crate) store: FailureRates,
    pub(crate) queue: FailureRates,
    /// How many of a thousand invocations die.
    pub(crate) deaths_per_mille: u32,
    /// How many of a thousand invocations are frozen for a while.
    pub(crate) freezes_per_mille: u32,
    /// How many of a thousand requests, and of a thousand answers, get lost between Slack and the function.
    pub(crate) lost_per_mille: u32,
    /// How many of a thousand events are delivered by two of Slack's machines.
    pub(crate) doubled_per_mille: u32,
    /// How many of a thousand attempts are sent once more by somebody else, without the headers of a retry.
    pub(crate) replayed_per_mille: u32,
    /// How many of a thousand processes have a wall clock that is wrong.
    pub(crate) wrong_clocks_per_mille: u32,
    /// Whether two apps are installed, so that some messages come once for each.
    pub(crate) several_apps: bool,
}

/// The random numbers of one history. The same seed gives the same numbers.
pub(crate) struct Chance {
    rng: Rng,
}

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    pub(crate) fn per_mille(&mut self, per_mille: u32) -> bool {
        self.rng.u32(0..1000) < per_mille
    }

    pub(crate) fn choose<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(0..choices.len())].clone()
    }

    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    /// How long a late effect or a late answer takes. The ranges end within the attempt, around the end of its lease, around the
    /// retry a minute later, or anywhere in between.
    pub(crate) fn delay(&mut self) -> Duration {
        let range = self.choose(&[500..=3_000, 3_000..=15_000, 58_000..=66_000, 500..=90_000]);
        self.millis(range)
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.rng.u64(range)
    }

    pub(crate) fn settings(&mut self) -> HistorySettings {
        let often = [0, 0, 20, 100, 400];
        HistorySettings {
            fifo: self.rng.bool(),
            function_timeout: Duration::from_secs(self.choose(&[3, 5, 5, 5, 10, 30, 900])),
            ack_budget: Duration::from_millis(self.choose(&[1000, 2500, 2500, 2500, 3000])),
            store: self.failure_rates(),
            queue: self.failure_rates(),
            deaths_per_mille: self.choose(&often),
            freezes_per_mille: self.choose(&[0, 0, 20, 100]),
            lost_per_mille: self.choose(&[0, 0, 10, 100]),
            doubled_per_mille: self.choose(&[0, 0, 200]),
            replayed_per_mille: self.choose(&[0, 0, 300]),
            wrong_clocks_per_mille: self.choose(&[0, 0, 300]),
            several_apps: self.per_mille(300),
        }
    }

    fn failure_rates(&mut self) -> FailureRates {
        let outage = self.per_mille(300).then(|| {
            let from = self.millis(0..=300_000);
            // Some outages last longer than Slack repeats an event.
            let until = from + self.millis(1_000..=600_000);
            Outage { from, until, fault: self.choose(&Fault::ALL) }
        });
        FailureRates { faulty_per_mille: self.choose(&[0, 0, 10, 50, 300]), outage }
    }

    /// The fault of a call at this time of the history; `None` if the call goes well.
    pub(crate) fn fault(&mut self, failure_rates: &FailureRates, at: Duration) -> Option<Fault> {
        match &failure_rates.outage {
            Some(outage) if (outage.from..outage.until).contains(&at) => Some(outage.fault),
            _ => self.per_mille(failure_rates.faulty_per_mille).then(|| self.choose(&Fault::ALL)),
        }
    }
}
