//! Plays the store and the queue, and makes calls to them fail. The store is the library's own store in memory. The queue behaves
//! as the documentation of SQS says.

use slack_ingress::dedup::memory::MemoryStore;
use slack_ingress::dedup::shard::Shard;
use slack_ingress::dedup::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use slack_ingress::sink::message::Message;
use slack_ingress::sink::{SendError, Sink};
use slack_ingress::time::clock::{Clock, UnixMillis, UnixSeconds};
use std::collections::HashMap;
use std::fmt::Arguments;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::chance::{Chance, Fault, HistorySettings};
use crate::ledger::{Ledger, MAX_SKEW_MILLIS, RecordState};
use crate::rules::Rule;

/// The time at which every history begins, in milliseconds since the Unix epoch.
const BEGINNING: u64 = 1_800_000_000_000;

/// A FIFO queue drops a message if it has accepted one with the same de-duplication id within this time.
const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(300);

/// The store, the queue, the ledger and the random choices of one history, which all environments share.
pub(crate) struct Services {
    pub(crate) settings: HistorySettings,
    began: Instant,
    chance: Mutex<Chance>,
    ledger: Mutex<Ledger>,
    store: MemoryStore,
    /// When the FIFO queue last accepted each de-duplication id.
    taken: Mutex<HashMap<String, Duration>>,
    rule_off: Option<Rule>,
    /// Alternates with each claim while [`Rule::OwnWriteIsKnown`] is off, so that a repeated claim differs from the first.
    flips: AtomicBool,
    /// Once this is true, no more faults happen.
    pub(crate) faults_are_over: AtomicBool,
}

/// A call to the store or to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Record,
    Send,
    Confirm,
    Delete,
    Park,
    List,
    Take,
}

impl Call {
    /// Whether the call confirms, deletes or parks a record.
    fn settles(self) -> bool {
        matches!(self, Self::Confirm | Self::Delete | Self::Park)
    }
}

impl Services {
    pub(crate) fn new(mut chance: Chance, rule_off: Option<Rule>, narration: bool) -> Self {
        let settings = chance.settings();
        let mut ledger = Ledger::default();
        ledger.narration = narration.then(String::new);
        ledger.narrate(Duration::ZERO, "settings", "", format_args!("{settings:?}"));
        Self {
            settings,
            began: now(),
            chance: Mutex::new(chance),
            ledger: Mutex::new(ledger),
            store: MemoryStore::new(),
            taken: Mutex::default(),
            rule_off,
            flips: AtomicBool::new(false),
            faults_are_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap()
    }

    /// The virtual time since the beginning of this history.
    pub(crate) fn at(&self) -> Duration {
        now() - self.began
    }

    /// The current time by a clock that is exactly right.
    pub(crate) fn true_time(&self) -> UnixMillis {
        UnixMillis::from_millis(BEGINNING).after(self.at())
    }

    pub(crate) fn narrate(&self, who: &str, event: &str, what: Arguments<'_>) {
        self.ledger().narrate(self.at(), who, event, what);
    }

    fn is_off(&self, rule: Rule) -> bool {
        self.rule_off == Some(rule)
    }

    pub(crate) async fn parked(&self) -> usize {
        self.store.all_pending().len()
    }
}

#[allow(clippy::disallowed_methods, reason = "Tokio's clock, which is virtual here")]
fn now() -> Instant {
    Instant::now()
}

/// The store, the sink and the clock of one process. Its clock is not exactly right.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) services: Arc<Services>,
    /// How far this process's clock is ahead of the slowest clock allowed, which is [`MAX_SKEW_MILLIS`] behind.
    ahead: Duration,
    /// The invocation or the run that the process works on, by which the ledger knows it.
    worker: Arc<Mutex<String>>,
}

impl Node {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let ahead = services.chance().millis(0..=2 * MAX_SKEW_MILLIS);
        Self { services, ahead, worker: Arc::default() }
    }

    /// From now on the process works on this invocation or run.
    pub(crate) fn work_as(&self, worker: &str) {
        worker.clone_into(&mut self.worker.lock().unwrap());
    }

    fn worker(&self) -> String {
        self.worker.lock().unwrap().clone()
    }

    /// Makes a call to a service. Once the call has been sent it takes effect, even if the caller dies or gives up.
    async fn call<T, E, F>(
        &self,
        call: Call,
        event: &str,
        failure: impl FnOnce() -> E,
        effect: impl Fn(Arc<Services>) -> F + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let services = Arc::clone(&self.services);
        let fault = self.fault(call, event);
        let (there, back, late, repeated) = {
            let mut chance = services.chance();
            let is_store = call != Call::Send;
            let repeated =
                is_store && !services.faults_are_over.load(Ordering::Relaxed) && chance.per_mille(10);
            (chance.millis(1..=20), chance.millis(1..=20), chance.delay(), repeated)
        };
        let take_effect = move |after: Duration| {
            let services = Arc::clone(&services);
            tokio::spawn(async move {
                sleep(after).await;
                let result = effect(Arc::clone(&services)).await;
                // The SDK's client repeats a call if its answer was lost.
                if repeated { effect(services).await } else { result }
            })
        };
        match fault {
            None => {
                let result = take_effect(there).await.unwrap();
                sleep(back).await;
                return Ok(result);
            }
            Some(Fault::FailsBefore) => sleep(there + back).await,
            Some(Fault::FailsAfter) => {
                take_effect(there).await.unwrap();
                sleep(back).await;
            }
            Some(Fault::HangsBefore) => pending().await,
            Some(Fault::HangsAfter) => {
                take_effect(there).await.unwrap();
                pending().await
            }
            Some(Fault::TakesEffectLate) => {
                let result = take_effect(late).await.unwrap();
                sleep(back).await;
                return Ok(result);
            }
            Some(Fault::AnswersLate) => {
                let result = take_effect(there).await.unwrap();
                sleep(late).await;
                return Ok(result);
            }
        }
        Err(failure())
    }

    fn fault(&self, call: Call, event: &str) -> Option<Fault> {
        let services = &self.services;
        if services.faults_are_over.load(Ordering::Relaxed) {
            return None;
        }
        let HistorySettings { store, queue, .. } = &services.settings;
        let failure_rates = if call == Call::Send { queue } else { store };
        let fault = services.chance().fault(failure_rates, services.at())?;
        let worker = self.worker();
        services.narrate(&worker, event, format_args!("{call:?}: {fault:?}"));
        match call {
            Call::Send => services.ledger().queue_fails(event, &worker, fault),
            _ => services.ledger().store_fails(event, &worker, fault, call.settles()),
        }
        Some(fault)
    }

    fn store_error(call: Call) -> impl FnOnce() -> StoreError {
        move || StoreError::new("the store", format!("failed to {call:?}"))
    }

    /// Confirms, deletes or parks a record, as `call` says. `state` is the record's state after the call has succeeded, `None` if
    /// it is deleted.
    async fn settle(
        &self,
        call: Call,
        lease: Lease,
        state: Option<RecordState>,
        kept: Option<(&str, &str)>,
    ) -> Result<Settled, StoreError> {
        let (event, worker) = (lease.event_id().to_owned(), lease.owner().to_owned());
        let expires_at = lease.expires_at();
        let kept = kept.map(|(conversation, message)| (conversation.to_owned(), message.to_owned()));
        let effect_event = event.clone();
        let effect = move |services: Arc<Services>| {
            let (event, worker, kept) = (effect_event.clone(), worker.clone(), kept.clone());
            async move {
                let fenced = !services.is_off(Rule::Fencing);
                let owner = if fenced { None } else { services.ledger().owner(&event) };
                let lease = services.lease(&event, owner.as_deref().unwrap_or(&worker), expires_at);
                let settled = match call {
                    Call::Confirm if services.is_off(Rule::ConfirmAfterSend) => return Ok(Settled::Done),
                    Call::Confirm => services.store.confirm(lease).await,
                    Call::Park => {
                        let (conversation, message) = kept.unwrap_or_default();
                        services.store.park(lease, &conversation, &message).await
                    }
                    _ if services.is_off(Rule::DeleteOnFailure) => return Ok(Settled::Done),
                    _ => services.store.delete(lease).await,
                };
                services.narrate(&worker, &event, format_args!("{call:?} is {settled:?}"));
                let state = matches!(settled, Ok(Settled::Done)).then_some(state);
                services.ledger().record_is_settled(services.at(), &event, &worker, state);
                settled
            }
        };
        self.call(call, &event, Self::store_error(call), effect).await?
    }
}

impl Services {
    fn lease(&self, event: &str, owner: &str, expires_at: UnixSeconds) -> Lease {
        Lease::granted(&Claim {
            event_id: event.to_owned(),
            owner: owner.to_owned(),
            received_at: self.true_time(),
            lease_until: self.true_time(),
            expires_at: if self.is_off(Rule::ExpiryByClock) {
                UnixSeconds::from_secs(u64::MAX)
            } else {
                expires_at
            },
        })
    }

    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let mut claim = claim.clone();
        let (event, worker) = (claim.event_id.clone(), claim.owner.clone());
        if self.is_off(Rule::LeasesEnd) {
            claim.lease_until = UnixMillis::END_OF_TIME;
        }
        if self.is_off(Rule::LeasesHold) {
            claim.lease_until = UnixMillis::from_millis(0);
        }
        if self.is_off(Rule::ExpiryByClock) {
            claim.expires_at = UnixSeconds::from_secs(u64::MAX);
        }
        if self.is_off(Rule::OwnWriteIsKnown) {
            let differs = self.flips.fetch_xor(true, Ordering::Relaxed);
            claim.lease_until = claim.lease_until.after(Duration::from_millis(u64::from(differs)));
        }
        let recorded = self.store.record(&claim).await;
        self.narrate(&worker, &event, format_args!("Record is {recorded:?}"));
        match recorded {
            Ok(Recorded::New { .. }) => {
                self.ledger().record_is_written(&event, &worker, Some(RecordState::InFlight))
            }
            Ok(Recorded::InFlight) if self.is_off(Rule::ThreeWayAnswer) => return Ok(Recorded::Forwarded),
            Ok(Recorded::InFlight) => self.ledger().found_in_flight(self.at(), &event, &worker),
            _ => {}
        }
        recorded
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let mut claim = claim.clone();
        if self.is_off(Rule::TakingIsLeased) {
            claim.received_at = UnixMillis::END_OF_TIME;
        }
        let taken = self.store.take(&claim).await;
        let what = match &taken {
            Ok(Taken::Yours { .. }) => {
                self.ledger().record_is_written(&claim.event_id, &claim.owner, Some(RecordState::Parked));
                "Yours"
            }
            Ok(Taken::Held) => "Held",
            Ok(Taken::NotParked) => "NotParked",
            Ok(Taken::Unreadable(_)) | Err(_) => "an error",
        };
        self.narrate(&claim.owner, &claim.event_id, format_args!("Take is {what}"));
        taken
    }

    fn put(&self, event: &str, worker: &str, unguarded: bool) {
        let at = self.at();
        let mut taken = self.taken.lock().unwrap();
        let dropped_by_fifo = self.settings.fifo
            && taken.get(event).is_some_and(|&before| at < before + DEDUPLICATION_INTERVAL);
        if !dropped_by_fifo {
            taken.insert(event.to_owned(), at);
        }
        self.narrate(
            worker,
            event,
            format_args!("is on the queue{}", if dropped_by_fifo { " already" } else { "" }),
        );
        self.ledger().message_is_sent(event, worker, unguarded, dropped_by_fifo);
    }
}

impl Store for Node {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let event = claim.event_id.clone();
        let claim = claim.clone();
        self.services.ledger().asks_for_record(self.services.at(), &event, &claim.owner);
        let effect = move |services: Arc<Services>| {
            let claim = claim.clone();
            async move { services.record(&claim).await }
        };
        let recorded = self.call(Call::Record, &event, Self::store_error(Call::Record), effect).await;
        if recorded.is_err() && self.services.is_off(Rule::UnguardedLastRetry) {
            return Ok(Recorded::InFlight);
        }
        recorded?
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.settle(Call::Confirm, lease, Some(RecordState::Forwarded), None).await
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.settle(Call::Delete, lease, None, None).await
    }

    async fn leave(&self, claim: &Claim, conversation: &str, message: &str) -> Result<Left, StoreError> {
        self.services.store.leave(claim, conversation, message).await
    }

    async fn park(&self, lease: Lease, conversation: &str, message: &str) -> Result<Settled, StoreError> {
        if self.services.is_off(Rule::Parking) {
            return Err(StoreError::new("the store", "does not park"));
        }
        self.settle(Call::Park, lease, Some(RecordState::Parked), Some((conversation, message))).await
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let after = after.cloned();
        let effect = move |services: Arc<Services>| {
            let after = after.clone();
            async move { services.store.pending(shard, after.as_ref(), limit).await }
        };
        self.call(Call::List, "", Self::store_error(Call::List), effect).await?
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let (event, claim) = (claim.event_id.clone(), claim.clone());
        self.begins_to_redrive(&claim);
        let effect = move |services: Arc<Services>| {
            let claim = claim.clone();
            async move { services.take(&claim).await }
        };
        self.call(Call::Take, &event, Self::store_error(Call::Take), effect).await?
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.services.store.seen(event_id, now).await
    }
}

impl Sink for Node {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let services = &self.services;
        let worker = self.worker();
        let attribute = |wanted| message.attributes.iter().find(|(name, _)| name == wanted);
        let event = attribute("event_id").map(|(_, value)| value.clone()).unwrap();
        let unguarded = attribute("unguarded").is_some();
        services.ledger().sending_begins(services.at(), &event, &worker, unguarded);
        let failure = || SendError::failed("the queue", "failed");
        let (to, by) = (event.clone(), worker.clone());
        let effect = move |services: Arc<Services>| {
            services.put(&to, &by, unguarded);
            async {}
        };
        self.call(Call::Send, &event, failure, effect).await?;
        services.ledger().send_is_answered(&event, &worker);
        Ok(())
    }

    fn max_bytes(&self) -> usize {
        1024 * 1024
    }
}

impl Clock for Node {
    fn now(&self) -> UnixMillis {
        let furthest_behind = self.services.true_time().as_millis() - MAX_SKEW_MILLIS;
        UnixMillis::from_millis(furthest_behind).after(self.ahead)
    }

    fn instant(&self) -> Instant {
        now()
    }
}
