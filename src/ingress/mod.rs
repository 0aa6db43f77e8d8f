//! What happens to one request, step by step. Only this file knows the order.
//!
//! ```text
//! verify ─▶ classify ─▶ ignore bots ─▶ record ─▶ send ─▶ 200 ─▶ confirm
//!                                        │         ├─▶ delete ─▶ 503
//!                                        │         └─▶ park ─▶ 200        on Slack's last attempt
//!                                        ├─ forwarded or parked ─▶ 200
//!                                        └─ in flight ─▶ 503
//!                                              └─▶ leave ─▶ 200           on Slack's last attempt
//! ```
//!
//! A confirm does not change the answer, so Slack does not wait for it: [`Ingress::answer`] ends as soon as the answer is
//! known, and [`Ingress::finish`] confirms. Everything that changes the answer comes before it, and so does what Slack's next
//! attempt would find.
//!
//! A command or an interaction may be answered with more than an empty 200, where a rule of the [fast path](crate::fast_path) is for
//! it. What has to be called for that is called beside the send, after the record; it decorates the 200, and changes nothing about
//! the event. Only a rule that says so keeps a request from the queue.
//!
//! When a step fails, the answer is 503 and Slack asks again. After its last attempt Slack does not ask again. If the store
//! fails then, the event is sent without a record, because a possible duplicate is better than a certain loss. If the queue
//! fails then, the store keeps the event itself, and [`crate::redrive`] sends it later. If another invocation holds the event
//! then, and may yet fail, the last attempt leaves the event in the record that the other one holds.
//!
//! In reading order: [`Ingress::answer`], and in it `steps`: `receive` reads a request, `forward` puts it on the queue; then what
//! these call. This room imports `fast_path`, `dedup`, `sink`, `slack`, `telemetry` (the report) and `time`. It knows no HTTP: `lambda::http`
//! makes an [`Inbound`] from a request, and an answer from the report.

use futures_util::future::OptionFuture;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

use crate::dedup::settling::{SettleError, settle};
use crate::dedup::{Claim, LEASE_MARGIN, Lease, Left, MAX_LEASE, Recorded, Settled, Store, StoreError};
use crate::fast_path::request::{SignedForm, Unreadable};
use crate::fast_path::{FastPath, Planned};
use crate::sink::message::{Arrival, Message};
use crate::sink::{SendError, Sink};
use crate::slack::payload::{
    self, Author, Context, ControlEvents, DedupKey, Delivery, DmConversation, Encoding, Payload,
};
use crate::slack::retries::Attempt;
use crate::slack::secrets::SigningSecrets;
use crate::slack::signature::{self, Refused, Rejection, SignatureHeaders, Verified};
use crate::slack::token_secrets::Installation;
use crate::telemetry::report::ingress::{
    Dependency, FastPathOutcome, LoggedDelivery, RequestDetails, RequestOutcome, RequestReport,
};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, Moment, UnixMillis};
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;
use crate::time::skew;

/// Whose messages are forwarded (`BOT_EVENTS`). It keeps a bot from answering itself, or two bots from answering each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotEvents {
    /// No bot's message is forwarded (`drop`).
    Drop,
    /// The messages of other bots are forwarded, and those of this app are not (`own`).
    DropOwn,
    /// All messages are forwarded (`forward`).
    Forward,
}

impl BotEvents {
    fn forwards(self, author: Author) -> bool {
        match (self, author) {
            (Self::Forward, _) | (_, Author::Person) | (Self::DropOwn, Author::OtherBot) => true,
            (Self::Drop | Self::DropOwn, Author::ThisApp) | (Self::Drop, Author::OtherBot) => false,
        }
    }
}

/// What the configuration says about the steps.
#[derive(Clone, Debug)]
pub struct IngressSettings {
    /// How long a record counts after its event was forwarded (`DEDUP_TTL_SECONDS`).
    pub dedup_ttl: Duration,
    /// What makes two events the same one (`DEDUP_KEY`).
    pub dedup_key: DedupKey,
    /// What the conversation of a direct message is (`DM_CONVERSATION`).
    pub dm_conversation: DmConversation,
    /// Which events never wait behind their conversation (`CONTROL_EVENTS`).
    pub control_events: ControlEvents,
    /// Whose messages are forwarded (`BOT_EVENTS`).
    pub bot_events: BotEvents,
    /// How long the steps of one invocation may take (`ACK_BUDGET_MS`). Slack waits 3 seconds.
    pub ack_budget: Duration,
}

/// A request, reduced to what the steps need. Nothing in it is verified yet.
#[derive(Default)]
pub struct Inbound {
    /// The header `X-Slack-Signature`; absent if the request has none.
    pub signature: Option<String>,
    /// The header `X-Slack-Request-Timestamp`, in Unix seconds; absent if the request has none.
    pub timestamp: Option<String>,
    /// The header `Content-Type`; absent if the request has none.
    pub content_type: Option<String>,
    /// Which of Slack's attempts this is, by the headers `X-Slack-Retry-Num` and `X-Slack-Retry-Reason`.
    pub attempt: Attempt,
    /// The id under which a command or an interaction is recorded, in the place of its own. HTTP has no such id; in Socket Mode
    /// it is the `envelope_id`.
    pub delivery_id: Option<String>,
    /// When API Gateway received the request, by its own clock; absent behind a load balancer.
    pub gateway_time: Option<UnixMillis>,
    /// The body, whose bytes are what Slack signed.
    pub body: Vec<u8>,
}

/// The sequence, with the store, the queue (`Q`) and the clock that it uses.
#[derive(Debug)]
pub struct Ingress<S, Q, C> {
    secrets: SigningSecrets,
    store: S,
    sink: Q,
    clock: C,
    settings: IngressSettings,
    /// Absent if there are no rules.
    fast_path: Option<FastPath>,
}

/// A request whose answer is known. [`Ingress::finish`] has to be called with it after the answer has been sent.
#[derive(Debug)]
#[must_use = "`Ingress::finish` confirms what is on the queue"]
pub struct Answered {
    report: RequestReport,
    unconfirmed: Option<Unconfirmed>,
}

impl Answered {
    /// What the answer is made from. It is not complete yet: the confirm is missing.
    pub fn report(&self) -> &RequestReport {
        &self.report
    }

    /// A request over which the program panicked. `is_last` says whether Slack will not ask again.
    pub fn panicked(is_last: bool) -> Self {
        let outcome = RequestOutcome::Panicked;
        let details = RequestDetails { lost: is_last && outcome.gives_up(), ..RequestDetails::default() };
        Self { report: RequestReport { outcome, details }, unconfirmed: None }
    }
}

impl From<RequestOutcome> for Answered {
    /// A request that ended before the first step, such as one that is not a POST.
    fn from(outcome: RequestOutcome) -> Self {
        Self { report: RequestReport { outcome, details: RequestDetails::default() }, unconfirmed: None }
    }
}

/// A signed delivery that is to be forwarded.
struct Received<'a> {
    delivery: Delivery,
    /// What a rule of the fast path says about it; absent if none is for it.
    planned: Option<Planned<'a>>,
    attempt: Attempt,
    /// Whether Slack will not ask again.
    is_last: bool,
    /// Whether it came by Socket Mode, where Slack sends again what is not acknowledged.
    is_by_socket: bool,
    times: Times,
}

/// What time it is, and how much of it there is.
struct Times {
    /// When the invocation began.
    now: UnixMillis,
    /// The invocation's lease ends then, but for its margin.
    lease_until: UnixMillis,
    budget: Budget,
}

/// An event that the steps put on the queue. The answer is 200.
struct Accepted {
    /// Absent if the event was sent without a record.
    unconfirmed: Option<Unconfirmed>,
}

/// The record of an event that is on the queue, as long as it does not say so yet.
#[derive(Debug)]
struct Unconfirmed {
    lease: Lease,
    /// The confirm is cut off at this point in time.
    until: Instant,
}

/// Why an event is not left in another invocation's record.
enum NotLeft {
    /// There is no such record any more.
    Gone,
    /// The store failed.
    Failed,
}

/// How the event may be sent.
enum SendMode {
    /// The record keeps every other invocation from sending it.
    WithLease(Lease),
    /// There is no record, because the store failed, and Slack will not ask again.
    WithoutRecord,
}

impl<S: Store, Q: Sink, C: Clock> Ingress<S, Q, C> {
    /// The sequence that puts events on `sink`, and records them in `store` so that each is put there once.
    pub fn new(secrets: SigningSecrets, store: S, sink: Q, clock: C, settings: IngressSettings) -> Self {
        Self { secrets, store, sink, clock, settings, fast_path: None }
    }

    /// The same with rules about what is answered at once.
    #[must_use]
    pub fn with_fast_path(self, fast_path: Option<FastPath>) -> Self {
        Self { fast_path, ..self }
    }

    /// Takes a request through all steps, the confirm included. It is for callers that have no answer to send first.
    pub async fn handle(&self, inbound: Inbound, invocation: Invocation) -> RequestReport {
        self.finish(self.answer(inbound, invocation).await).await
    }

    /// Takes a request through all steps that its answer depends on.
    pub async fn answer(&self, inbound: Inbound, invocation: Invocation) -> Answered {
        let start = self.clock.instant();
        let mut details = RequestDetails::default();
        // In Socket Mode Slack sends again what is not acknowledged.
        let is_last = inbound.delivery_id.is_none()
            && is_last_attempt(&inbound.attempt, Encoding::of(inbound.content_type.as_deref()));
        let (outcome, unconfirmed) = match self.steps(start, inbound, invocation, &mut details).await {
            Ok(Accepted { unconfirmed }) => (RequestOutcome::Accepted, unconfirmed),
            Err(outcome) => (outcome, None),
        };
        details.lost = is_last && outcome.gives_up();
        details.timings.total = self.clock.instant() - start;
        Answered { report: RequestReport { outcome, details }, unconfirmed }
    }

    /// Confirms that the event is on the queue, if it is. It is called after the answer has been sent. If the process dies
    /// before that, the record stays in flight until its lease is over; the next attempt of Slack's, if there is one, sends the
    /// event again.
    pub async fn finish(&self, answered: Answered) -> RequestReport {
        let Answered { mut report, unconfirmed } = answered;
        if let Some(Unconfirmed { lease, until }) = unconfirmed {
            // The report keeps the error; the answer stays what it is.
            let _ = self.settle("confirm", self.store.confirm(lease), until, &mut report.details).await;
        }
        report
    }

    /// Takes a request from its first step to the send. `Ok` means that the event is on the queue now; `Err` says how else the
    /// request ended.
    async fn steps(
        &self,
        start: Instant,
        inbound: Inbound,
        invocation: Invocation,
        details: &mut RequestDetails,
    ) -> Result<Accepted, RequestOutcome> {
        let mut received = self.receive(start, inbound, invocation.deadline, details).await?;
        if !self.settings.bot_events.forwards(received.delivery.author) {
            return Err(RequestOutcome::Ignored);
        }
        match received.planned.take_if(|planned| !planned.is_on_queue()) {
            Some(planned) => Err(Box::pin(self.answer_at_once(planned, &received, details)).await),
            None => self.forward(received, invocation, details).await,
        }
    }

    /// Verifies a request and reads it. `Err` says how the request ends if there is nothing to forward.
    async fn receive(
        &self,
        start: Instant,
        inbound: Inbound,
        deadline: UnixMillis,
        details: &mut RequestDetails,
    ) -> Result<Received<'_>, RequestOutcome> {
        let Inbound { signature, timestamp, content_type, attempt, delivery_id, gateway_time, body } =
            inbound;
        let own_time = self.clock.now();
        let encoding = Encoding::of(content_type.as_deref());
        details.encoding = encoding;
        if payload::is_ssl_check(encoding, &body) {
            return Err(RequestOutcome::SslCheck);
        }

        let now = skew::corrected(own_time, gateway_time, None);
        let budget = Budget::new(start, self.settings.ack_budget, now.until(deadline));
        let headers = SignatureHeaders { signature: signature.as_deref(), timestamp: timestamp.as_deref() };
        let verified = self.verify(headers, body, now, &budget, details).await?;
        details.attempt = attempt.clone();
        let now = skew::corrected(own_time, gateway_time, Some(verified.signed_at()));
        if let Some(wrong_clock) = skew::wrong_clock(own_time, now, deadline) {
            details.errors.add("clock", &wrong_clock);
        }

        let is_by_socket = delivery_id.is_some();
        let signer = verified.signer().clone();
        // Only a form can be answered by a rule, and only where there are rules are its fields read.
        let fast_path = self.fast_path.as_ref().filter(|_| encoding == Some(Encoding::Form));
        let form = fast_path.and_then(|_| SignedForm::read(&verified, headers, content_type.as_deref()));
        if fast_path.is_some() && form.is_none() {
            details.errors.add("fast path", &Unreadable);
        }
        let plan = |form: Option<SignedForm>, id: &str| fast_path?.plan(form?, id);
        let delivery = match payload::classify(verified, encoding).map_err(RequestOutcome::Malformed)? {
            // A challenge names no app, so any of the secrets may sign it.
            Payload::Challenge(challenge) => return Err(RequestOutcome::Challenge(challenge)),
            payload if !payload.may_be_signed_by(&signer) => {
                return Err(RequestOutcome::Rejected(Rejection::OtherApp));
            }
            Payload::Delivery(delivery) => delivery.in_context(Context {
                signer: &signer,
                apps: self.secrets.apps(),
                delivery_id,
                dedup_key: self.settings.dedup_key,
                dm_conversation: self.settings.dm_conversation,
                control_events: &self.settings.control_events,
            }),
            Payload::Suggestion { .. } => {
                let planned = plan(form, "").filter(Planned::is_for_a_menu);
                if let (Some(fast_path), Some(planned)) = (fast_path, planned) {
                    let done = fast_path.carry_out(
                        planned,
                        Installation::of_tenant(None, false),
                        budget.fast_path_until(),
                    );
                    details.fast_path = Some(done.await);
                }
                return Err(RequestOutcome::Suggestion);
            }
            Payload::RateLimited { team_id, api_app_id } => {
                tracing::warn!(?team_id, ?api_app_id, "Slack held events back: app_rate_limited");
                return Err(RequestOutcome::RateLimited);
            }
        };
        details.delivery = Some(LoggedDelivery::from(&delivery));
        let is_last = is_last_attempt(&attempt, encoding);
        let times = self.times(start, own_time, now, deadline);
        let planned = plan(form, &delivery.id);
        Ok(Received { delivery, planned, attempt, is_last, is_by_socket, times })
    }

    fn times(&self, start: Instant, own_time: UnixMillis, now: UnixMillis, deadline: UnixMillis) -> Times {
        let lease_until = deadline.min(now.after(MAX_LEASE));
        // Nothing is recorded or sent after the ack budget, so neither clock has a reason to go on longer than that. The own
        // clock may be wrong, but how long something took is right by it.
        let fence = now.until(lease_until).min(self.settings.ack_budget);
        let budget = Budget::new(start, self.settings.ack_budget, now.until(deadline));
        Times { now, lease_until, budget: budget.with_lease_until(own_time.after(fence)) }
    }

    /// Puts a delivery on the queue, with a record that keeps it from being put there twice.
    async fn forward(
        &self,
        received: Received<'_>,
        invocation: Invocation,
        details: &mut RequestDetails,
    ) -> Result<Accepted, RequestOutcome> {
        let Received { delivery, planned, attempt, is_last, is_by_socket, times } = received;
        // What calls nobody is known already, and goes with whatever 200 this comes to.
        details.fast_path = planned.as_ref().and_then(Planned::without_calls);
        let planned = planned.filter(|_| details.fast_path.is_none());
        let planned = planned.map(|planned| (planned, installation(&delivery)));
        let Times { now, lease_until, budget } = times;
        let claim = Claim {
            event_id: delivery.id.clone(),
            owner: invocation.request_id,
            received_at: now,
            lease_until: lease_until.after(LEASE_MARGIN),
            expires_at: now.after(self.settings.dedup_ttl).in_seconds(),
        };
        let arrival = Arrival {
            received_at: now,
            retry_num: attempt.retry_num,
            retry_reason: attempt.retry_reason,
            trace_header: invocation.trace_header.map(|trace| trace.header()),
        };
        let message =
            Message::new(delivery, arrival).fit(self.sink.max_bytes()).ok_or(RequestOutcome::TooLarge)?;

        let mut recorded = self.record(&claim, is_last, &budget, details).await;
        if is_last && !is_by_socket && matches!(recorded, Err(RequestOutcome::InFlight)) {
            recorded = match self.leave(&claim, &message, budget.leave_until(), details).await {
                Ok(outcome) => Err(outcome),
                // The other invocation has given up and deleted the record, so this one may claim the event. If a third one
                // was faster, this attempt is answered 503 and counts as lost.
                Err(NotLeft::Gone) => self.record(&claim, is_last, &budget, details).await,
                Err(NotLeft::Failed) => Ok(SendMode::WithoutRecord),
            };
        }
        let recorded = recorded?;
        // Beside the send: what triggers a modal is good for three seconds, and a send that hangs must not cost it; nor must a
        // call that hangs cost the event. The record is written by now, so nobody else makes the call.
        let call = self.fast_path.as_ref().zip(planned).map(|(fast_path, (planned, installation))| {
            fast_path.carry_out(planned, installation, budget.fast_path_until())
        });
        let (sent, done) = tokio::join!(
            self.send(message, recorded, &claim, is_last, &budget, details),
            OptionFuture::from(call),
        );
        details.fast_path = done.or(details.fast_path.take());
        sent
    }

    /// Answers a request that does not go on the queue, because a rule of the fast path says so. If nobody answers it, Slack
    /// tells the person that it did not work.
    async fn answer_at_once(
        &self,
        planned: Planned<'_>,
        received: &Received<'_>,
        details: &mut RequestDetails,
    ) -> RequestOutcome {
        let Some(fast_path) = &self.fast_path else {
            return RequestOutcome::Unavailable(Dependency::FastPath);
        };
        let installation = installation(&received.delivery);
        let done = fast_path.carry_out(planned, installation, received.times.budget.fast_path_until()).await;
        let is_answered = done.outcome != FastPathOutcome::Failed;
        details.fast_path = Some(done);
        if is_answered {
            RequestOutcome::AnsweredAtOnce
        } else {
            RequestOutcome::Unavailable(Dependency::FastPath)
        }
    }

    /// Verifies the signature by the secrets that were read last. If none of them matches, it reads the secrets again, because
    /// they may have been rotated, and verifies once more.
    async fn verify(
        &self,
        headers: SignatureHeaders<'_>,
        body: Vec<u8>,
        now: UnixMillis,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<Verified, RequestOutcome> {
        let start = self.clock.instant();
        let mut verified = signature::verify(headers, body, &self.secrets.current(), now);
        if let Err(Refused { reason: Rejection::Mismatch, body }) = verified {
            let reread = run_until(&self.clock, budget.reread_until(), self.secrets.reload(start)).await;
            if let Err(error) = &reread {
                details.errors.add("re-read of the secret", error);
            }
            let secrets = self.secrets.current();
            if secrets.is_empty() {
                details.timings.verify = Some(self.clock.instant() - start);
                return Err(RequestOutcome::Unavailable(Dependency::Secret));
            }
            verified = match reread {
                Ok(true) => signature::verify(headers, body, &secrets, now),
                Ok(false) | Err(_) => Err(Refused { reason: Rejection::Mismatch, body }),
            };
        }
        details.timings.verify = Some(self.clock.instant() - start);
        verified.map_err(|refused| RequestOutcome::Rejected(refused.reason))
    }

    /// Records the event, or says how the request ends if this invocation may not send it.
    async fn record(
        &self,
        claim: &Claim,
        is_last: bool,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<SendMode, RequestOutcome> {
        let start = self.clock.instant();
        let recorded = run_until(&self.clock, budget.record_until(), self.store.record(claim)).await;
        details.timings.record = Some(self.clock.instant() - start);
        match recorded {
            Ok(Recorded::New { lease, took_over }) => {
                details.took_over = took_over;
                Ok(SendMode::WithLease(lease))
            }
            Ok(Recorded::Forwarded | Recorded::Parked) => Err(RequestOutcome::Duplicate),
            Ok(Recorded::InFlight) => Err(RequestOutcome::InFlight),
            Err(error) => {
                details.errors.add("record", &error);
                if is_last {
                    Ok(SendMode::WithoutRecord)
                } else {
                    Err(RequestOutcome::Unavailable(Dependency::Store))
                }
            }
        }
    }

    /// Leaves the event in the record that another invocation holds, because Slack will not ask again: if the other one fails or
    /// dies, the redrive sends the event. `Ok` says how the request ends.
    async fn leave(
        &self,
        claim: &Claim,
        message: &Message,
        until: Instant,
        details: &mut RequestDetails,
    ) -> Result<RequestOutcome, NotLeft> {
        let leave =
            async { self.store.leave(claim, &message.conversation_group, &written_down(message)?).await };
        match run_until(&self.clock, until, leave).await {
            Ok(Left::Kept) => Ok(RequestOutcome::Kept),
            Ok(Left::Forwarded | Left::Parked) => Ok(RequestOutcome::Duplicate),
            Ok(Left::Gone) => Err(NotLeft::Gone),
            Err(error) => {
                details.errors.add("leave", &error);
                Err(NotLeft::Failed)
            }
        }
    }

    /// Sends the event. If it is not known to be on the queue, the record is deleted so that Slack's next attempt can send it;
    /// or, on the last attempt, the event is parked.
    async fn send(
        &self,
        message: Message,
        mode: SendMode,
        claim: &Claim,
        is_last: bool,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<Accepted, RequestOutcome> {
        let lease = match mode {
            SendMode::WithLease(lease) => lease,
            SendMode::WithoutRecord => {
                // No lease says until when.
                let until = Moment::from(budget.send_until().instant);
                self.call_sink(&message.unguarded(self.sink.max_bytes()), until, details).await?;
                details.unguarded = true;
                return Ok(Accepted { unconfirmed: None });
            }
        };
        match self.call_sink(&message, budget.send_until(), details).await {
            Ok(()) => {
                let until = budget.confirm_until();
                Ok(Accepted { unconfirmed: Some(Unconfirmed { lease, until }) })
            }
            Err(RequestOutcome::Unavailable(_)) if is_last => {
                Err(self.park(lease, claim, &message, budget, details).await)
            }
            Err(outcome) => {
                let _ = self.settle("delete", self.store.delete(lease), budget.settle_until(), details).await;
                Err(outcome)
            }
        }
    }

    /// Calls the sink once. `Err` says how the request ends if the message is not known to be on the queue.
    async fn call_sink(
        &self,
        message: &Message,
        until: Moment,
        details: &mut RequestDetails,
    ) -> Result<(), RequestOutcome> {
        let start = self.clock.instant();
        let sent = run_until(&self.clock, until, self.sink.send(message)).await;
        details.timings.send = Some(self.clock.instant() - start);
        sent.map_err(|error| {
            details.errors.add("send", &error);
            match error {
                StepError::Failed(SendError::TooLarge) => RequestOutcome::TooLarge,
                _ => RequestOutcome::Unavailable(Dependency::Sink),
            }
        })
    }

    /// Has the store keep the message, and says how the request ends.
    async fn park(
        &self,
        lease: Lease,
        claim: &Claim,
        message: &Message,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> RequestOutcome {
        let park =
            async { self.store.park(lease, &message.conversation_group, &written_down(message)?).await };
        match self.settle("park", park, budget.settle_until(), details).await {
            Ok(()) => RequestOutcome::Parked,
            // Another invocation has taken the event over meanwhile.
            Err(SettleError::LeaseLost) => {
                let left = self.leave(claim, message, budget.settle_until(), details).await;
                left.unwrap_or(RequestOutcome::InFlight)
            }
            Err(SettleError::Unknown(_)) => RequestOutcome::Unavailable(Dependency::Sink),
        }
    }

    /// Confirms, deletes or parks, and keeps the time that it took and the error. A confirm or a delete that fails changes no
    /// answer: the message is where it is, and a record that stays in flight is free when its lease is over.
    async fn settle(
        &self,
        step: &'static str,
        settling: impl Future<Output = Result<Settled, StoreError>>,
        until: Instant,
        details: &mut RequestDetails,
    ) -> Result<(), SettleError> {
        let start = self.clock.instant();
        let settled = settle(&self.clock, until, settling).await;
        details.timings.settle = Some(self.clock.instant() - start);
        if let Err(error) = &settled {
            details.errors.add(step, error);
        }
        settled
    }
}

/// The installation that a delivery is for. Only where several apps stand behind the function does a conversation have an app.
fn installation(delivery: &Delivery) -> Installation {
    let tenant = delivery.conversation.team.as_deref();
    match &delivery.conversation.app {
        Some(app) => Installation::of_app(app, tenant),
        None => Installation::of_tenant(tenant, true),
    }
}

/// Whether Slack will not ask again: this is its last retry, or a form. Forms are commands and interactions, which Slack sends
/// once.
pub fn is_last_attempt(attempt: &Attempt, encoding: Option<Encoding>) -> bool {
    attempt.is_last() || encoding == Some(Encoding::Form)
}

/// The message as a store keeps it.
fn written_down(message: &Message) -> Result<String, StoreError> {
    message.to_parked().map_err(|error| StoreError::new("writing it down", error))
}

#[cfg(test)]
mod tests;
