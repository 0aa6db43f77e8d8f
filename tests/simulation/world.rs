//! Runs one history, from its seed to its end.

use slack_ingress::slack::retries::{ANSWER_LIMIT, LAST_RETRY};
use slack_ingress::telemetry::report::ingress::RequestOutcome;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::environment::{Environment, Request, redrive};
use crate::ledger::{MAX_SKEW, Totals, is_200};
use crate::rules::Rule;
use crate::services::Services;
use crate::slack::{Addressee, SlackRequest, pauses};

/// After this time every late call has taken effect: it is longer than the longest delay of a call and of a frozen process.
const LONGEST_DELAY: Duration = Duration::from_secs(200);

const MINUTE: Duration = Duration::from_secs(60);

/// What a history counted, which invariants it broke, and its narration if one was asked for.
pub(crate) struct History {
    pub(crate) totals: Totals,
    pub(crate) violations: Vec<String>,
    narration: String,
}

/// Plays Slack, which sends requests, and Lambda, which starts environments for them.
pub(crate) struct World {
    services: Arc<Services>,
    dedup_ttl: Duration,
    /// The environments that serve no request at the moment.
    idle: Mutex<Vec<Environment>>,
    invocations: AtomicU64,
}

impl World {
    /// Runs the history of a seed, with one rule switched off if `rule_off` names one.
    pub(crate) fn run(seed: u64, rule_off: Option<Rule>) -> History {
        Self::history(seed, rule_off, false)
    }

    /// Runs the history of a seed and returns what happened, line by line.
    pub(crate) fn narrate(seed: u64, rule_off: Option<Rule>) -> String {
        let history = Self::history(seed, rule_off, true);
        format!("SEED={seed}\n{}{}\n", history.narration, history.violations.join("\n"))
    }

    fn history(seed: u64, rule_off: Option<Rule>, narration: bool) -> History {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut chance = Chance::of(seed);
            let dedup_ttl = Duration::from_secs(chance.choose(&[420, 3600]));
            let services = Arc::new(Services::new(chance, rule_off, narration));
            let world = Arc::new(Self {
                services: Arc::clone(&services),
                dedup_ttl,
                idle: Mutex::default(),
                invocations: AtomicU64::new(0),
            });
            let sent = Arc::clone(&world).play().await;
            world.end_all_faults().await;
            world.check_memory(&sent).await;
            let mut ledger = services.ledger();
            ledger.totals.histories = 1;
            ledger.totals.of_several_apps = u64::from(services.settings.several_apps);
            History {
                totals: ledger.totals.clone(),
                violations: ledger.violations.clone(),
                narration: ledger.narration.take().unwrap_or_default(),
            }
        })
    }

    /// Sends all requests of the history. Returns when Slack has made its last attempt at each.
    async fn play(self: Arc<Self>) -> Vec<SlackRequest> {
        let all = self.draw();
        let mut deliveries = JoinSet::new();
        for sent in &all {
            let doubled = self.services.chance().per_mille(self.services.settings.doubled_per_mille);
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

    /// Draws the events and commands of the history. Where several apps are installed, some events come once for each app,
    /// under one event id.
    fn draw(&self) -> Vec<SlackRequest> {
        let mut chance = self.services.chance();
        let several_apps = self.services.settings.several_apps;
        let says_installation = !self.services.is_off(Rule::TenantIsInstallation);
        let count = chance.number(4..=24);
        let mut drawn = Vec::new();
        for n in 0..count {
            let channel = chance.number(1..=4);
            let is_from_outside = chance.per_mille(200);
            let is_command = chance.per_mille(self.services.settings.commands_per_mille);
            let is_for_both = several_apps && !is_command && chance.per_mille(500);
            for app in 0..=usize::from(is_for_both) {
                let to = Addressee { several_apps, app, channel, is_from_outside, says_installation };
                drawn.push(if is_command {
                    SlackRequest::command(&format!("trigger{n}"), to)
                } else {
                    SlackRequest::event(format!("Ev{n}"), to)
                });
            }
        }
        for request in &drawn {
            self.services.ledger().slack_sends(&request.id, &request.conversation);
        }
        drawn
    }

    /// Makes all of Slack's attempts at a request, until one is acknowledged.
    async fn deliver(self: Arc<Self>, sent: SlackRequest) {
        let pauses = pauses();
        let retries = if sent.is_repeated { &pauses[..] } else { &[] };
        let attempts = std::iter::once((None, Duration::ZERO))
            .chain(retries.iter().zip(1..).map(|(pause, num)| (Some(num), *pause)));
        for (retry_num, pause) in attempts {
            sleep(pause).await;
            let request = tokio::spawn(Arc::clone(&self).request(sent.clone(), retry_num));
            self.replay(&sent);
            // When Slack gives up waiting, the function's work on the request goes on.
            if let Ok(Ok(Some(outcome))) = timeout(ANSWER_LIMIT, request).await
                && is_200(&outcome)
            {
                return;
            }
        }
    }

    /// Has somebody else send the request once more, now and then, as if it were a first attempt.
    fn replay(self: &Arc<Self>, sent: &SlackRequest) {
        let (replayed, after) = {
            let mut chance = self.services.chance();
            let replayed = chance.per_mille(self.services.settings.replayed_per_mille);
            // Some replays come just before the attempt, because that one is longer on its way.
            (replayed, chance.millis(0..=100))
        };
        if replayed {
            let (world, sent) = (Arc::clone(self), sent.clone());
            tokio::spawn(async move {
                sleep(after).await;
                world.request(sent, None).await;
            });
        }
    }

    /// Takes one request to the function and its answer back to Slack. Either may get lost on the way.
    async fn request(self: Arc<Self>, sent: SlackRequest, retry_num: Option<u32>) -> Option<RequestOutcome> {
        let services = &self.services;
        let (signed_at, gateway_time) = services.times_of_a_request();
        let inbound = sent.attempt(signed_at, gateway_time, retry_num);
        let (there, back, request_lost, answer_lost) = {
            let mut chance = services.chance();
            let lost = services.settings.lost_per_mille;
            (chance.millis(5..=80), chance.millis(5..=80), chance.per_mille(lost), chance.per_mille(lost))
        };
        services.ledger().totals.deliveries += 1;
        sleep(there).await;
        if request_lost {
            services.narrate("slack", &sent.id, format_args!("attempt {retry_num:?} is lost on the way"));
            return None;
        }
        let request_id = format!("r{}", self.invocations.fetch_add(1, Ordering::Relaxed));
        services.narrate(&request_id, &sent.id, format_args!("attempt {retry_num:?}"));
        let idle = self.idle.lock().unwrap().pop();
        let environment = idle.unwrap_or_else(|| Environment::start(services, self.dedup_ttl));
        let is_last = retry_num == Some(LAST_RETRY) || !sent.is_repeated;
        let (answer, answered) = oneshot::channel();
        let (world, event) = (Arc::clone(&self), sent.id.clone());
        let request = Request { inbound, event, request_id: request_id.clone(), is_last };
        // The environment is still at work when its answer has been sent.
        tokio::spawn(async move {
            let alive = environment.serve(request, answer).await;
            world.idle.lock().unwrap().extend(alive);
        });
        let outcome = answered.await.ok()?;
        sleep(back).await;
        if answer_lost {
            services.narrate(
                "slack",
                &sent.id,
                format_args!("the answer of {request_id} is lost on the way"),
            );
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

    /// Lets every call succeed from now on, waits until late calls have taken effect, and runs the redrive once more. Then the
    /// ledger checks what must hold at the end.
    async fn end_all_faults(&self) {
        let services = &self.services;
        services.narrate("world", "", format_args!("no fault happens from now on"));
        services.faults_are_over.store(true, Ordering::Relaxed);
        sleep(LONGEST_DELAY).await;
        redrive(services, "last redrive", self.dedup_ttl).await;
        let still_parked = services.parked().await;
        services.ledger().check_the_end(services.at(), still_parked);
    }

    /// Checks that the store recognises each forwarded event until the record's time is over, and no longer.
    async fn check_memory(&self, sent: &[SlackRequest]) {
        let services = &self.services;
        let forwarded = services.ledger().forwarded();
        let on_queue = |sent: &&SlackRequest| forwarded.iter().any(|(id, _)| *id == sent.id);
        let is_recorded = |sent: &&SlackRequest| forwarded.contains(&(sent.id.clone(), true));
        // With the shorter `DEDUP_TTL_SECONDS` the records have expired by now.
        if self.dedup_ttl >= Duration::from_secs(3600) {
            for sent in sent.iter().filter(is_recorded) {
                self.deliver_again(sent, false).await;
            }
        }
        sleep(self.dedup_ttl + 2 * MAX_SKEW + Duration::from_secs(1)).await;
        for sent in sent.iter().filter(on_queue) {
            self.deliver_again(sent, true).await;
        }
    }

    /// Delivers an event once more, without faults, and has the ledger check whether it was treated as new.
    async fn deliver_again(&self, sent: &SlackRequest, is_new: bool) {
        let services = &self.services;
        let request_id = format!("deliver_again {} {is_new}", sent.id);
        let before = services.ledger().messages_of(&sent.id);
        let environment = Environment::start(services, self.dedup_ttl);
        let (signed_at, gateway_time) = services.times_of_a_request();
        let inbound = sent.attempt(signed_at, gateway_time, None);
        services.ledger().totals.deliveries += 1;
        let (answer, answered) = oneshot::channel();
        let request = Request { inbound, event: sent.id.clone(), request_id, is_last: false };
        environment.serve(request, answer).await.expect("all is well");
        let outcome = answered.await.expect("all is well");
        services.ledger().deliver_again(services.at(), &sent.id, before, &outcome, is_new);
    }
}
