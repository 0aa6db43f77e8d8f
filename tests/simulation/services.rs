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
    Leave,
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

    /// When Slack signs a request that it sends now, and when API Gateway receives it, if that is told.
    pub(crate) fn times_of_a_request(&self) -> (UnixMillis, Option<UnixMillis>) {
        /// A signature that is this old says little about what time it is, and is good for a moment yet.
        const NEARLY_STALE_MILLIS: u64 = 280_000;
        let now = self.true_time();
        if self.is_off(Rule::ClockIsCorrected) {
            return (UnixMillis::from_millis(now.as_millis() - NEARLY_STALE_MILLIS), None);
        }
        (now, Some(now))
    }

    pub(crate) fn narrate(&self, who: &str, event: &str, what: Arguments<'_>) {
        self.ledger().narrate(self.at(), who, event, what);
    }

    pub(crate) fn is_off(&self, rule: Rule) -> bool {
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
    /// How far this process's wall clock is ahead of the true time, in milliseconds; negative if it is behind.
    ahead_millis: i64,
    /// For how long this process's monotonic clock has stood still, because its virtual machine was paused.
    stood_still: Arc<Mutex<Duration>>,
    /// The invocation or the run that the process works on, by which the ledger knows it.
    worker: Arc<Mutex<String>>,
    /// The event that the invocation works on. It is empty for a run of the redrive, which works on many.
    event: Arc<Mutex<String>>,
}

impl Node {
    /// A process whose wall clock is nearly right.
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let ahead_millis = services.chance().number(0..=2 * MAX_SKEW_MILLIS).cast_signed();
        let ahead_millis = ahead_millis - MAX_SKEW_MILLIS.cast_signed();
        Self {
            services,
            ahead_millis,
            stood_still: Arc::default(),
            worker: Arc::default(),
            event: Arc::default(),
        }
    }

    /// A process whose wall clock may be as wrong as Slack's signatures allow.
    pub(crate) fn with_any_clock(services: Arc<Services>) -> Self {
        const FURTHEST_OFF: u64 = 290_000;
        let off_by = {
            let mut chance = services.chance();
            let is_wrong = chance.per_mille(services.settings.wrong_clocks_per_mille);
            is_wrong.then(|| chance.number(0..=2 * FURTHEST_OFF).cast_signed() - FURTHEST_OFF.cast_signed())
        };
        let node = Self::new(services);
        let node = Self { ahead_millis: off_by.unwrap_or(node.ahead_millis), ..node };
        node.services.ledger().process_starts(node.ahead_millis);
        node
    }

    /// From now on the process works on this invocation, and in it on this event; or on this run of the redrive.
    pub(crate) fn work_as(&self, worker: &str, event: &str) {
        worker.clone_into(&mut self.worker.lock().unwrap());
        event.clone_into(&mut self.event.lock().unwrap());
    }

    /// The process was paused for this time, and its monotonic clock with it.
    pub(crate) fn stood_still(&self, duration: Duration) {
        *self.stood_still.lock().unwrap() += duration;
    }

    /// The name by which the ledger knows the event that is recorded under `id`. The two differ if the program records two
    /// events under one id.
    fn name_of(&self, id: &str) -> String {
        let event = self.event.lock().unwrap();
        if event.is_empty() { id.to_owned() } else { event.clone() }
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
            let may_repeat = is_store || services.is_off(Rule::SendsAreNotRepeated);
            let repeated =
                may_repeat && !services.faults_are_over.load(Ordering::Relaxed) && chance.per_mille(10);
            (chance.millis(1..=20), chance.millis(1..=20), chance.delay(), repeated)
        };
        let take_effect = move |after: Duration| {
            let services = Arc::clone(&services);
            tokio::spawn(async move {
                sleep(after).await;
                let result = effect(Arc::clone(&services)).await;
                // The SDK's client repeats a call if its outcome is unknown, unless it sends a message.
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
        message: Option<(&str, &str)>,
    ) -> Result<Settled, StoreError> {
        let (id, worker) = (lease.event_id().to_owned(), lease.owner().to_owned());
        let event = self.name_of(&id);
        let expires_at = lease.expires_at();
        let message = message.map(|(conversation, text)| (conversation.to_owned(), text.to_owned()));
        let effect_event = event.clone();
        let effect = move |services: Arc<Services>| {
            let (id, event, worker, message) =
                (id.clone(), effect_event.clone(), worker.clone(), message.clone());
            async move {
                let fenced = !services.is_off(Rule::Fencing);
                let owner = if fenced { None } else { services.ledger().owner(&event) };
                let lease = services.lease(&id, owner.as_deref().unwrap_or(&worker), expires_at);
                let is_kept = services.ledger().is_kept(&event);
                let settled = match call {
                    Call::Confirm if services.is_off(Rule::ConfirmAfterSend) => return Ok(Settled::Done),
                    Call::Confirm => services.store.confirm(lease).await,
                    Call::Park => {
                        let (conversation, text) = message.unwrap_or_default();
                        let in_one_shard = !services.is_off(Rule::ConversationsStayInOneShard);
                        let conversation = if in_one_shard { conversation } else { event.clone() };
                        services.store.park(lease, &conversation, &text).await
                    }
                    _ if services.is_off(Rule::DeleteOnFailure) => return Ok(Settled::Done),
                    _ => services.store.delete(lease).await,
                };
                // A record that holds an event is not deleted.
                let state = if is_kept { state.or(Some(RecordState::Parked)) } else { state };
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

    async fn record(&self, claim: &Claim, event: &str) -> Result<Recorded, StoreError> {
        let mut claim = claim.clone();
        let worker = claim.owner.clone();
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
        self.narrate(&worker, event, format_args!("Record is {recorded:?}"));
        match recorded {
            Ok(Recorded::New { .. }) => {
                let mut ledger = self.ledger();
                ledger.is_received(event, claim.received_at);
                ledger.record_is_written(event, &worker, Some(RecordState::InFlight));
            }
            Ok(Recorded::InFlight) if self.is_off(Rule::ThreeWayAnswer) => return Ok(Recorded::Forwarded),
            Ok(Recorded::InFlight) => self.ledger().found_in_flight(self.at(), event, &worker),
            _ => {}
        }
        recorded
    }

    async fn leave(
        &self,
        claim: &Claim,
        event: &str,
        conversation: &str,
        message: &str,
    ) -> Result<Left, StoreError> {
        if self.is_off(Rule::LeavingWithTheHolder) {
            self.narrate(&claim.owner, event, format_args!("Leave does nothing"));
            return Ok(Left::Kept);
        }
        let left = self.store.leave(claim, conversation, message).await;
        self.narrate(&claim.owner, event, format_args!("Leave is {left:?}"));
        match left {
            Ok(Left::Kept) => self.ledger().event_is_left(event),
            Ok(Left::Gone) => self.ledger().found_it_gone(event, &claim.owner),
            _ => {}
        }
        left
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

    fn put(&self, message: &Message, event: &str, worker: &str) {
        let at = self.at();
        let id = &message.deduplication_id;
        let mut taken = self.taken.lock().unwrap();
        let dropped_by_fifo =
            self.settings.fifo && taken.get(id).is_some_and(|&before| at < before + DEDUPLICATION_INTERVAL);
        if !dropped_by_fifo {
            taken.insert(id.clone(), at);
        }
        self.narrate(
            worker,
            event,
            format_args!("is on the queue{}", if dropped_by_fifo { " already" } else { "" }),
        );
        let mut ledger = self.ledger();
        ledger.message_is_sent(at, event, worker, is_unguarded(message), dropped_by_fifo);
        ledger.message_is_in_group(at, event, &message.conversation_group);
    }
}

fn is_unguarded(message: &Message) -> bool {
    message.attributes.iter().any(|(name, _)| name == "unguarded")
}

impl Store for Node {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let event = self.name_of(&claim.event_id);
        let (claim, name) = (claim.clone(), event.clone());
        self.services.ledger().asks_for_record(self.services.at(), &event, &claim.owner);
        let effect = move |services: Arc<Services>| {
            let (claim, name) = (claim.clone(), name.clone());
            async move { services.record(&claim, &name).await }
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
        let event = self.name_of(&claim.event_id);
        let (claim, name) = (claim.clone(), event.clone());
        let (conversation, message) = (conversation.to_owned(), message.to_owned());
        let effect = move |services: Arc<Services>| {
            let (claim, name) = (claim.clone(), name.clone());
            let (conversation, message) = (conversation.clone(), message.clone());
            async move { services.leave(&claim, &name, &conversation, &message).await }
        };
        self.call(Call::Leave, &event, Self::store_error(Call::Leave), effect).await?
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
        let event = self.name_of(&message.deduplication_id);
        services.ledger().sending_begins(services.at(), &event, &worker, is_unguarded(message));
        let is_run = self.event.lock().unwrap().is_empty();
        let counts_as_rejected = is_run && services.is_off(Rule::ConversationsWait);
        let failure = || {
            if counts_as_rejected {
                SendError::rejected("the queue", "failed")
            } else {
                SendError::failed("the queue", "failed")
            }
        };
        let (message, to, by) = (message.clone(), event.clone(), worker.clone());
        let effect = move |services: Arc<Services>| {
            services.put(&message, &to, &by);
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
        let now = UnixMillis::from_millis(
            self.services.true_time().as_millis().saturating_add_signed(self.ahead_millis),
        );
        if self.services.is_off(Rule::WallClockFences) {
            return UnixMillis::from_millis(
                now.as_millis().saturating_sub(millis(*self.stood_still.lock().unwrap())),
            );
        }
        now
    }

    fn instant(&self) -> Instant {
        now() - *self.stood_still.lock().unwrap()
    }

    /// While the process is paused, its timers stand still with its monotonic clock.
    async fn sleep_until(&self, at: Instant) {
        while let Some(left) = at.checked_duration_since(self.instant()).filter(|left| !left.is_zero()) {
            sleep(left).await;
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
