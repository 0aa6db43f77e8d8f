//! Everything that happens by chance, from one seed.

use fastrand::Rng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What goes wrong with a call to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It does nothing and says so.
    FailsBefore,
    /// It does its work and says that it failed.
    FailsAfter,
    /// It does nothing and never answers.
    HangsBefore,
    /// It does its work and never answers.
    HangsAfter,
    /// It does its work much later, whether or not its caller waits for it, and answers then.
    Late,
    /// It does its work at once and answers much later.
    AnswersLate,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::HangsBefore,
        Self::HangsAfter,
        Self::Late,
        Self::AnswersLate,
    ];
}

/// A stretch of a history's time in which a service is down.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    from: Duration,
    until: Duration,
    fault: Fault,
}

/// How one service behaves in one history.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Of a thousand calls, so many go wrong.
    faulty_per_mille: u32,
    outage: Option<Outage>,
}

/// How a history is set up.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    pub(crate) fifo: bool,
    pub(crate) function_timeout: Duration,
    pub(crate) ack_budget: Duration,
    pub(crate) store: Weather,
    pub(crate) queue: Weather,
    /// Of a thousand invocations, so many die.
    pub(crate) deaths_per_mille: u32,
    /// Of a thousand invocations, so many stand still for a while.
    pub(crate) freezes_per_mille: u32,
    /// Of a thousand requests and of a thousand responses, so many get lost between Slack and us.
    pub(crate) lost_per_mille: u32,
    /// Of a thousand events, so many are delivered by two of Slack's machines.
    pub(crate) doubled_per_mille: u32,
}

/// The dice.
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

    /// How late what is late is: within an attempt, at the end of its lease, at the time of the retry a minute
    /// later, or any time.
    pub(crate) fn late(&mut self) -> Duration {
        let range = self.choose(&[500..=3_000, 3_000..=15_000, 58_000..=66_000, 500..=90_000]);
        self.millis(range)
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.rng.u64(range)
    }

    pub(crate) fn climate(&mut self) -> Climate {
        let often = [0, 0, 20, 100, 400];
        Climate {
            fifo: self.rng.bool(),
            function_timeout: Duration::from_secs(self.choose(&[3, 5, 5, 5, 10, 30, 900])),
            ack_budget: Duration::from_millis(self.choose(&[1000, 2500, 2500, 2500, 3000])),
            store: self.weather(),
            queue: self.weather(),
            deaths_per_mille: self.choose(&often),
            freezes_per_mille: self.choose(&[0, 0, 20, 100]),
            lost_per_mille: self.choose(&[0, 0, 10, 100]),
            doubled_per_mille: self.choose(&[0, 0, 200]),
        }
    }

    fn weather(&mut self) -> Weather {
        let outage = self.per_mille(300).then(|| {
            let from = self.millis(0..=300_000);
            // Up to as long as Slack asks, and longer.
            let until = from + self.millis(1_000..=600_000);
            Outage { from, until, fault: self.choose(&Fault::ALL) }
        });
        Weather { faulty_per_mille: self.choose(&[0, 0, 10, 50, 300]), outage }
    }

    /// What befalls a call made at this time of the history.
    pub(crate) fn fault(&mut self, weather: &Weather, at: Duration) -> Option<Fault> {
        match &weather.outage {
            Some(outage) if (outage.from..outage.until).contains(&at) => Some(outage.fault),
            _ => self.per_mille(weather.faulty_per_mille).then(|| self.choose(&Fault::ALL)),
        }
    }
}
