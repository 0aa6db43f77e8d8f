//! The steps of one invocation, in their order. Only this file knows the sequence.
//!
//! ```text
//! verify ─▶ classify ─▶ filter ─▶ record ─▶ send ─▶ 200 ─▶ confirm
//!                                   │         ├─▶ delete ─▶ 503
//!                                   │         └─▶ park ─▶ 200, on the last attempt
//!                                   └─ forwarded, parked ─▶ 200, in flight ─▶ 503
//! ```
//!
//! A confirm changes no answer, so Slack need not wait for it: [`Ingress::answer`] ends where the answer is
//! known, and [`Ingress::finish`] does what is left. Whatever changes the answer, or what the next attempt
//! meets at once, comes before it.
//!
//! A step that fails answers 503 and Slack asks again. On Slack's last retry nobody asks again. There a store
//! that fails is gone round, for a possible duplicate beats a certain loss; and when the queue fails, the
//! store keeps the event itself, for [`crate::redrive`] to send.

use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

use crate::dedup::{Claim, LEASE_MARGIN, Lease, MAX_LEASE, Recorded, Settled, Store, StoreError};
use crate::sink::message::{Arrival, Message};
use crate::sink::{SendError, Sink};
use crate::slack::payload::{self, Author, DedupKey, Delivery, Encoding, Payload};
use crate::slack::retries::Attempt;
use crate::slack::secrets::SigningSecrets;
use crate::slack::signature::{self, Refused, Rejection, SignatureHeaders, Verified};
use crate::telemetry::report::ingress::{
    Dependency, LoggedDelivery, RequestDetails, RequestOutcome, RequestReport,
};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;

/// Whose messages go through: the guard against a bot that answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotEvents {
    /// No bot's.
    Drop,
    /// Every bot's but this app's own.
    DropOwn,
    /// Everybody's.
    Forward,
}

impl BotEvents {
    fn admits(self, author: Author) -> bool {
        match (self, author) {
            (Self::Forward, _) | (_, Author::Person) | (Self::DropOwn, Author::OtherBot) => true,
            (Self::Drop | Self::DropOwn, Author::ThisApp) | (Self::Drop, Author::OtherBot) => false,
        }
    }
}

/// What can be set about the steps.
#[derive(Clone, Debug)]
pub struct IngressSettings {
    /// How long an event id is remembered.
    pub dedup_ttl: Duration,
    /// What makes two events the same one.
    pub dedup_key: DedupKey,
    /// Whose messages go through.
    pub bot_events: BotEvents,
    /// How long an invocation may take.
    pub ack_budget: Duration,
}

/// A request, as far as the steps care.
#[derive(Default)]
pub struct Inbound {
    /// `X-Slack-Signature`
    pub signature: Option<String>,
    /// `X-Slack-Request-Timestamp`
    pub timestamp: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// `X-Slack-Retry-Num` and `X-Slack-Retry-Reason`
    pub attempt: Attempt,
    /// What to record a delivery under that is no event. HTTP has no such id; Socket Mode has its `envelope_id`.
    pub delivery_id: Option<String>,
    /// The bytes that were signed.
    pub body: Vec<u8>,
}

/// The front door.
#[derive(Debug)]
pub struct Ingress<S, Q, C> {
    secrets: SigningSecrets,
    store: S,
    sink: Q,
    clock: C,
    settings: IngressSettings,
}

/// A request whose answer is known.
#[derive(Debug)]
#[must_use = "`Ingress::finish` confirms what is on the queue"]
pub struct Answered {
    report: RequestReport,
    unconfirmed: Option<Unconfirmed>,
}

impl Answered {
    /// What to answer. Not yet all that there is to log.
    pub fn report(&self) -> &RequestReport {
        &self.report
    }
}

impl From<RequestOutcome> for Answered {
    /// A request that does not get as far as the steps.
    fn from(outcome: RequestOutcome) -> Self {
        Self { report: RequestReport { outcome, details: RequestDetails::default() }, unconfirmed: None }
    }
}

/// An event that is on the queue.
struct Accepted {
    /// Absent if it was sent without a record.
    unconfirmed: Option<Unconfirmed>,
}

/// An event that is on the queue, and whose record does not say so yet.
#[derive(Debug)]
struct Unconfirmed {
    lease: Lease,
    until: Instant,
}

/// What allows a send.
enum Permit {
    /// The record says that nobody else does it.
    Leased(Lease),
    /// There is no record and there will be no other attempt.
    Unguarded,
}

impl<S: Store, Q: Sink, C: Clock> Ingress<S, Q, C> {
    /// A front door to `sink`, guarded by `store`.
    pub fn new(secrets: SigningSecrets, store: S, sink: Q, clock: C, settings: IngressSettings) -> Self {
        Self { secrets, store, sink, clock, settings }
    }

    /// Takes one request through all of the steps.
    pub async fn handle(&self, inbound: Inbound, invocation: Invocation) -> RequestReport {
        self.finish(self.answer(inbound, invocation).await).await
    }

    /// Takes one request through the steps that its answer depends on.
    pub async fn answer(&self, inbound: Inbound, invocation: Invocation) -> Answered {
        let start = self.clock.instant();
        let mut details = RequestDetails::default();
        let (outcome, unconfirmed) = match self.steps(start, inbound, invocation, &mut details).await {
            Ok(Accepted { unconfirmed }) => (RequestOutcome::Accepted, unconfirmed),
            Err(outcome) => (outcome, None),
        };
        details.timings.total = self.clock.instant() - start;
        Answered { report: RequestReport { outcome, details }, unconfirmed }
    }

    /// Does what is left to do when the answer is on its way. If the process dies before, the record stays
    /// leased until the lease is over, which is what it would be if it had died before its answer.
    pub async fn finish(&self, answered: Answered) -> RequestReport {
        let Answered { mut report, unconfirmed } = answered;
        if let Some(Unconfirmed { lease, until }) = unconfirmed {
            self.settle("confirm", self.store.confirm(lease), until, &mut report.details).await;
        }
        report
    }

    /// An event that is on the queue now; or how else the request ended.
    async fn steps(
        &self,
        start: Instant,
        mut inbound: Inbound,
        invocation: Invocation,
        details: &mut RequestDetails,
    ) -> Result<Accepted, RequestOutcome> {
        let now = self.clock.now();
        let budget = Budget::new(start, self.settings.ack_budget, now.until(invocation.deadline));
        let encoding = Encoding::of(inbound.content_type.as_deref());
        details.encoding = encoding;
        if payload::is_ssl_check(encoding, &inbound.body) {
            return Err(RequestOutcome::SslCheck);
        }
        let attempt = inbound.attempt.clone();
        let delivery_id = inbound.delivery_id.take();

        let verified = self.verify(inbound, now, &budget, details).await?;
        details.attempt = attempt.clone();

        let signer = verified.signer().clone();
        let delivery = match payload::classify(verified, encoding).map_err(RequestOutcome::Malformed)? {
            // The one payload that names no app: Slack sends it before there is anything to keep apart.
            Payload::Challenge(challenge) => return Err(RequestOutcome::Challenge(challenge)),
            payload if !signer.speaks_for(payload.api_app_id()) => {
                return Err(RequestOutcome::Rejected(Rejection::OtherApp));
            }
            Payload::Delivery(delivery) => {
                delivery.identified_by(delivery_id).keyed_by(self.settings.dedup_key)
            }
            Payload::Suggestion { .. } => return Err(RequestOutcome::Suggestion),
            Payload::RateLimited { team_id, api_app_id } => {
                tracing::warn!(?team_id, ?api_app_id, "Slack held events back: app_rate_limited");
                return Err(RequestOutcome::RateLimited);
            }
        };
        details.delivery = Some(LoggedDelivery::from(&delivery));

        if !self.settings.bot_events.admits(delivery.author) {
            return Err(RequestOutcome::Ignored);
        }

        let claim = self.claim(&delivery, &invocation, now);
        let is_last = attempt.is_last() || !delivery.kind.is_retried();
        let arrival = Arrival {
            received_at: now,
            retry_num: attempt.retry_num,
            retry_reason: attempt.retry_reason,
            trace_header: invocation.trace_header,
        };
        let message = Message::new(delivery, arrival);
        let size = if is_last { message.size_unguarded() } else { message.size() };
        if size > self.sink.max_bytes() {
            return Err(RequestOutcome::TooLarge);
        }

        let accepted = match self.record(&claim, is_last, &budget, details).await {
            Ok(permit) => self.send(message, permit, is_last, &budget, details).await,
            Err(outcome) => Err(outcome),
        };
        details.lost = is_last && matches!(accepted, Err(RequestOutcome::Unavailable(_)));
        accepted
    }

    fn claim(&self, delivery: &Delivery, invocation: &Invocation, now: UnixMillis) -> Claim {
        Claim {
            event_id: delivery.id.clone(),
            owner: invocation.request_id.clone(),
            received_at: now,
            lease_until: invocation.deadline.min(now.after(MAX_LEASE)).after(LEASE_MARGIN),
            expires_at: now.after(self.settings.dedup_ttl).in_seconds(),
        }
    }

    /// The signature, by the secrets that we have; and once more by newer ones, if there are any.
    async fn verify(
        &self,
        inbound: Inbound,
        now: UnixMillis,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<Verified, RequestOutcome> {
        let start = self.clock.instant();
        let Inbound { signature, timestamp, body, .. } = inbound;
        let headers = SignatureHeaders { signature: signature.as_deref(), timestamp: timestamp.as_deref() };
        let mut verified = signature::verify(headers, body, &self.secrets.current(), now);
        if let Err(Refused { reason: Rejection::Mismatch, body }) = verified {
            let reread = run_until(&self.clock, budget.reread_until(), self.secrets.reload(start)).await;
            if let Err(error) = &reread {
                details.note("re-read of the secret", error);
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

    async fn record(
        &self,
        claim: &Claim,
        is_last: bool,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<Permit, RequestOutcome> {
        let start = self.clock.instant();
        let recorded = run_until(&self.clock, budget.record_until(), self.store.record(claim)).await;
        details.timings.record = Some(self.clock.instant() - start);
        match recorded {
            Ok(Recorded::New { lease, took_over }) => {
                details.took_over = took_over;
                Ok(Permit::Leased(lease))
            }
            Ok(Recorded::Forwarded | Recorded::Parked) => Err(RequestOutcome::Duplicate),
            Ok(Recorded::InFlight) => Err(RequestOutcome::InFlight),
            Err(error) => {
                details.note("record", &error);
                if is_last {
                    Ok(Permit::Unguarded)
                } else {
                    Err(RequestOutcome::Unavailable(Dependency::Store))
                }
            }
        }
    }

    async fn send(
        &self,
        message: Message,
        permit: Permit,
        is_last: bool,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<Accepted, RequestOutcome> {
        let lease = match permit {
            Permit::Leased(lease) => lease,
            Permit::Unguarded => {
                self.put(&message.unguarded(), budget, details).await?;
                details.unguarded = true;
                return Ok(Accepted { unconfirmed: None });
            }
        };
        match self.put(&message, budget, details).await {
            Ok(()) => {
                let until = budget.settle_until();
                Ok(Accepted { unconfirmed: Some(Unconfirmed { lease, until }) })
            }
            Err(RequestOutcome::Unavailable(_)) if is_last => {
                Err(self.park(lease, &message, budget, details).await)
            }
            Err(outcome) => {
                self.settle("delete", self.store.delete(lease), budget.settle_until(), details).await;
                Err(outcome)
            }
        }
    }

    /// Puts the message on the queue, or says what to answer if it is not known to be there.
    async fn put(
        &self,
        message: &Message,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> Result<(), RequestOutcome> {
        let start = self.clock.instant();
        let sent = run_until(&self.clock, budget.send_until(), self.sink.send(message)).await;
        details.timings.send = Some(self.clock.instant() - start);
        sent.map_err(|error| {
            details.note("send", &error);
            match error {
                StepError::Failed(SendError::TooLarge) => RequestOutcome::TooLarge,
                _ => RequestOutcome::Unavailable(Dependency::Sink),
            }
        })
    }

    async fn park(
        &self,
        lease: Lease,
        message: &Message,
        budget: &Budget,
        details: &mut RequestDetails,
    ) -> RequestOutcome {
        let park = async {
            let message = message.to_parked().map_err(|error| StoreError::new("writing it down", error))?;
            self.store.park(lease, &message).await
        };
        match self.settle("park", park, budget.settle_until(), details).await {
            Some(Settled::Done) => RequestOutcome::Parked,
            Some(Settled::Lost) => RequestOutcome::InFlight,
            None => RequestOutcome::Unavailable(Dependency::Sink),
        }
    }

    /// Says of the record what became of the event. `None`: that is not known to have worked. For a confirm
    /// or a delete it changes no answer: the message is where it is, and a record left in flight is free again
    /// when its lease is over.
    async fn settle(
        &self,
        step: &'static str,
        settling: impl Future<Output = Result<Settled, impl Error + 'static>>,
        until: Instant,
        details: &mut RequestDetails,
    ) -> Option<Settled> {
        let start = self.clock.instant();
        let settled = run_until(&self.clock, until, settling).await;
        details.timings.settle = Some(self.clock.instant() - start);
        match settled {
            Ok(settled) => {
                if settled == Settled::Lost {
                    details.errors.push(format!("{step}: the lease was lost to a later invocation"));
                }
                Some(settled)
            }
            Err(error) => {
                details.note(step, &error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
