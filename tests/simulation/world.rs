//! One history, from its seed to its end.

use slack_ingress::telemetry::report::ingress::RequestOutcome;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::environment::{Environment, Request, redrive};
use crate::ledger::{MAX_SKEW, Tally, is_200};
use crate::rules::Rule;
use crate::services::Services;
use crate::slack::{PATIENCE, RETRIES, Sent};

/// No call that is late is later than this.
const ALL_IS_SETTLED_AFTER: Duration = Duration::from_secs(150);

const MINUTE: Duration = Duration::from_secs(60);

/// How a history went.
pub(crate) struct History {
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<String>,
    told: String,
}

/// Slack's side of the world and Lambda's.
pub(crate) struct World {
    services: Arc<Services>,
    dedup_ttl: Duration,
    /// The environments that are not at work.
    idle: Mutex<Vec<Environment>>,
    invocations: AtomicU64,
}

impl World {
    /// The history of a seed, with a rule switched off if there is one to be.
    pub(crate) fn run(seed: u64, off: Option<Rule>) -> History {
        Self::history(seed, off, false)
    }

    /// The same, told line by line.
    pub(crate) fn tell(seed: u64, off: Option<Rule>) -> String {
        let history = Self::history(seed, off, true);
        format!("SEED={seed}\n{}{}\n", history.told, history.violations.join("\n"))
    }

    fn history(seed: u64, off: Option<Rule>, told: bool) -> History {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut chance = Chance::of(seed);
            let dedup_ttl = Duration::from_secs(chance.choose(&[420, 3600]));
            let services = Arc::new(Services::new(chance, off, told));
            let world = Arc::new(Self {
                services: Arc::clone(&services),
                dedup_ttl,
                idle: Mutex::default(),
                invocations: AtomicU64::new(0),
            });
            let sent = Arc::clone(&world).play().await;
            world.clear_up().await;
            world.remember(&sent).await;
            let mut ledger = services.ledger();
            ledger.tally.histories = 1;
            History {
                tally: ledger.tally.clone(),
                violations: ledger.violations.clone(),
                told: ledger.told.take().unwrap_or_default(),
            }
        })
    }

    /// What users do, until Slack has asked for the last time.
    async fn play(self: Arc<Self>) -> Vec<Sent> {
        let all = self.draw();
        let mut deliveries = JoinSet::new();
        for sent in &all {
            let doubled = self.services.chance().per_mille(self.services.climate.doubled_per_mille);
            let starts = self.services.chance().millis(0..=60_000);
            for _ in 0..=u32::from(doubled) {
                let apart = self.services.chance().millis(0..=10_000);
                let (world, sent) = (Arc::clone(&self), sent.clone());
                deliveries.spawn(async move {
                    sleep(starts + apart).await;
                    world.deliver(sent).await;
                });
            }
        }
        let schedule = tokio::spawn(Arc::clone(&self).redrive_every_minute());
        while deliveries.join_next().await.is_some() {}
        schedule.abort();
        all
    }

    fn draw(&self) -> Vec<Sent> {
        let mut chance = self.services.chance();
        let count = chance.number(4..=24);
        let one = |n| {
            let channel = chance.number(1..=4);
            if chance.per_mille(150) {
                Sent::command(format!("Cmd{n}"), channel)
            } else {
                Sent::event(format!("Ev{n}"), channel)
            }
        };
        (0..count).map(one).collect()
    }

    /// All of Slack's attempts, until one is acknowledged.
    async fn deliver(self: Arc<Self>, sent: Sent) {
        let retries = if sent.is_repeated { &RETRIES[..] } else { &[] };
        let attempts = std::iter::once((None, Duration::ZERO))
            .chain(retries.iter().zip(1..).map(|(after, num)| (Some(num), *after)));
        for (retry_num, after) in attempts {
            sleep(after).await;
            let request = tokio::spawn(Arc::clone(&self).request(sent.clone(), retry_num));
            // What Slack gives up goes on.
            if let Ok(Ok(Some(outcome))) = timeout(PATIENCE, request).await
                && is_200(&outcome)
            {
                return;
            }
        }
    }

    /// One request's way to us, and the answer's way back.
    async fn request(self: Arc<Self>, sent: Sent, retry_num: Option<u32>) -> Option<RequestOutcome> {
        let services = &self.services;
        let inbound = sent.attempt(services.true_time(), retry_num);
        let (there, back, request_lost, answer_lost) = {
            let mut chance = services.chance();
            let lost = services.climate.lost_per_mille;
            (chance.millis(5..=80), chance.millis(5..=80), chance.per_mille(lost), chance.per_mille(lost))
        };
        services.ledger().tally.deliveries += 1;
        sleep(there).await;
        if request_lost {
            services.tell("slack", &sent.id, format_args!("attempt {retry_num:?} is lost on the way"));
            return None;
        }
        let request_id = format!("r{}", self.invocations.fetch_add(1, Ordering::Relaxed));
        services.tell(&request_id, &sent.id, format_args!("attempt {retry_num:?}"));
        let idle = self.idle.lock().unwrap().pop();
        let environment = idle.unwrap_or_else(|| Environment::start(services, self.dedup_ttl));
        let is_last = retry_num == Some(3) || !sent.is_repeated;
        let (answer, answered) = oneshot::channel();
        let (world, event) = (Arc::clone(&self), sent.id.clone());
        let request = Request { inbound, event, request_id: request_id.clone(), is_last };
        // The environment is at work for longer than its answer takes.
        tokio::spawn(async move {
            let alive = environment.serve(request, answer).await;
            world.idle.lock().unwrap().extend(alive);
        });
        let outcome = answered.await.ok()?;
        sleep(back).await;
        if answer_lost {
            services.tell("slack", &sent.id, format_args!("the answer of {request_id} is lost on the way"));
            return None;
        }
        Some(outcome)
    }

    async fn redrive_every_minute(self: Arc<Self>) {
        for minute in 1.. {
            sleep(MINUTE).await;
            let runs = 1 + u64::from(self.services.chance().per_mille(200));
            for run in 0..runs {
                let services = Arc::clone(&self.services);
                let (apart, ttl) = (services.chance().millis(0..=100), self.dedup_ttl);
                tokio::spawn(async move {
                    sleep(apart).await;
                    redrive(&services, &format!("redrive {minute}.{run}"), ttl).await;
                });
            }
        }
    }

    /// All is well again. What is still on the wire arrives, and what is parked is sent.
    async fn clear_up(&self) {
        let services = &self.services;
        services.tell("world", "", format_args!("all is well from now on"));
        services.calm.store(true, Ordering::Relaxed);
        sleep(ALL_IS_SETTLED_AFTER).await;
        redrive(services, "last redrive", self.dedup_ttl).await;
        let still_parked = services.parked().await;
        services.ledger().close(services.at(), still_parked);
    }

    /// What is on the queue is known for its time, and not for longer.
    async fn remember(&self, sent: &[Sent]) {
        let services = &self.services;
        let forwarded = services.ledger().forwarded();
        let on_queue = |sent: &&Sent| forwarded.iter().any(|(id, _)| *id == sent.id);
        let is_recorded = |sent: &&Sent| forwarded.contains(&(sent.id.clone(), true));
        // The short memory is over by now.
        if self.dedup_ttl >= Duration::from_secs(3600) {
            for sent in sent.iter().filter(is_recorded) {
                self.encore(sent, false).await;
            }
        }
        sleep(self.dedup_ttl + 2 * MAX_SKEW + Duration::from_secs(1)).await;
        for sent in sent.iter().filter(on_queue) {
            self.encore(sent, true).await;
        }
    }

    async fn encore(&self, sent: &Sent, is_new: bool) {
        let services = &self.services;
        let request_id = format!("encore {} {is_new}", sent.id);
        let before = services.ledger().puts(&sent.id);
        let environment = Environment::start(services, self.dedup_ttl);
        let inbound = sent.attempt(services.true_time(), None);
        services.ledger().tally.deliveries += 1;
        let (answer, answered) = oneshot::channel();
        let request = Request { inbound, event: sent.id.clone(), request_id, is_last: false };
        environment.serve(request, answer).await.expect("all is well");
        let outcome = answered.await.expect("all is well");
        services.ledger().encore(services.at(), &sent.id, before, &outcome, is_new);
    }
}
