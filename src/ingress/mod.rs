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

use crate::dedup::{Claim, Lease, Recorded, Settled, Store, StoreError};
use crate::sink::message::{Message, Stamp};
use crate::sink::{SendError, Sink};
use crate::slack::payload::{self, Author, DedupKey, Delivery, Encoding, Payload};
use crate::slack::retries::Attempt;
use crate::slack::secrets::SigningSecrets;
use crate::slack::signature::{self, Refused, Rejection, SignatureHeaders, Verified};
use crate::telemetry::report::ingress::{Dependency, Outcome, Report, Subject, Trail};
use crate::time::budget::Budget;
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{LEASE_MARGIN, StepError, within};
use crate::time::invocation::Invocation;

/// No lease outlives this, however long the function may run: Slack's second retry comes a minute after
/// the first, and must find the lease of a dead owner over, or the last chances are spent on 503s.
const MAX_LEASE: Duration = Duration::from_secs(45);

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
pub struct Settings {
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
    settings: Settings,
}

/// A request whose answer is known.
#[derive(Debug)]
#[must_use = "`Ingress::finish` confirms what is on the queue"]
pub struct Answered {
    report: Report,
    unconfirmed: Option<Unconfirmed>,
}

impl Answered {
    /// What to answer. Not yet all that there is to log.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl From<Outcome> for Answered {
    /// A request that does not get as far as the steps.
    fn from(outcome: Outcome) -> Self {
        Self { report: Report { outcome, trail: Trail::default() }, unconfirmed: None }
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
    pub fn new(secrets: SigningSecrets, store: S, sink: Q, clock: C, settings: Settings) -> Self {
        Self { secrets, store, sink, clock, settings }
    }

    /// Takes one request through all of the steps.
    pub async fn handle(&self, inbound: Inbound, invocation: Invocation) -> Report {
        self.finish(self.answer(inbound, invocation).await).await
    }

    /// Takes one request through the steps that its answer depends on.
    pub async fn answer(&self, inbound: Inbound, invocation: Invocation) -> Answered {
        let start = self.clock.instant();
        let mut trail = Trail::default();
        let (outcome, unconfirmed) = match self.steps(start, inbound, invocation, &mut trail).await {
            Ok(Accepted { unconfirmed }) => (Outcome::Accepted, unconfirmed),
            Err(outcome) => (outcome, None),
        };
        trail.timings.total = self.clock.instant() - start;
        Answered { report: Report { outcome, trail }, unconfirmed }
    }

    /// Does what is left to do when the answer is on its way. If the process dies before, the record stays
    /// leased until the lease is over, which is what it would be if it had died before its answer.
    pub async fn finish(&self, answered: Answered) -> Report {
        let Answered { mut report, unconfirmed } = answered;
        if let Some(Unconfirmed { lease, until }) = unconfirmed {
            self.settle("confirm", self.store.confirm(lease), until, &mut report.trail).await;
        }
        report
    }

    /// An event that is on the queue now; or how else the request ended.
    async fn steps(
        &self,
        start: Instant,
        mut inbound: Inbound,
        invocation: Invocation,
        trail: &mut Trail,
    ) -> Result<Accepted, Outcome> {
        let now = self.clock.now();
        let budget = Budget::new(start, self.settings.ack_budget, now.until(invocation.deadline));
        let encoding = Encoding::of(inbound.content_type.as_deref());
        trail.encoding = encoding;
        if payload::is_ssl_check(encoding, &inbound.body) {
            return Err(Outcome::SslCheck);
        }
        let attempt = inbound.attempt.clone();
        let delivery_id = inbound.delivery_id.take();

        let verified = self.verify(inbound, now, &budget, trail).await?;
        trail.attempt = attempt.clone();

        let signer = verified.signer().clone();
        let delivery = match payload::classify(verified, encoding).map_err(Outcome::Malformed)? {
            // The one payload that names no app: Slack sends it before there is anything to keep apart.
            Payload::Challenge(challenge) => return Err(Outcome::Challenge(challenge)),
            payload if !signer.speaks_for(payload.api_app_id()) => {
                return Err(Outcome::Rejected(Rejection::OtherApp));
            }
            Payload::Delivery(delivery) => {
                delivery.identified_by(delivery_id).keyed_by(self.settings.dedup_key)
            }
            Payload::Suggestion { .. } => return Err(Outcome::Suggestion),
            Payload::RateLimited { team_id, api_app_id } => {
                tracing::warn!(?team_id, ?api_app_id, "Slack held events back: app_rate_limited");
                return Err(Outcome::RateLimited);
            }
        };
        trail.subject = Some(Subject::from(&delivery));

        if !self.settings.bot_events.admits(delivery.author) {
            return Err(Outcome::Ignored);
        }

        let claim = self.claim(&delivery, &invocation, now);
        let is_last = attempt.is_last() || !delivery.kind.is_retried();
        let stamp = Stamp {
            received_at: now,
            retry_num: attempt.retry_num,
            retry_reason: attempt.retry_reason,
            trace_header: invocation.trace_header,
        };
        let message = Message::new(delivery, stamp);
        let size = if is_last { message.size_unguarded() } else { message.size() };
        if size > self.sink.max_bytes() {
            return Err(Outcome::TooLarge);
        }

        let accepted = match self.record(&claim, is_last, &budget, trail).await {
            Ok(permit) => self.send(message, permit, is_last, &budget, trail).await,
            Err(outcome) => Err(outcome),
        };
        trail.lost = is_last && matches!(accepted, Err(Outcome::Unavailable(_)));
        accepted
    }

    fn claim(&self, delivery: &Delivery, invocation: &Invocation, now: UnixMillis) -> Claim {
        Claim {
            event_id: delivery.id.clone(),
            owner: invocation.request_id.clone(),
            received_at: now,
            lease_until: invocation.deadline.min(now.after(MAX_LEASE)).after(LEASE_MARGIN),
            expires_at: now.after(self.settings.dedup_ttl).as_secs(),
        }
    }

    /// The signature, by the secrets that we have; and once more by newer ones, if there are any.
    async fn verify(
        &self,
        inbound: Inbound,
        now: UnixMillis,
        budget: &Budget,
        trail: &mut Trail,
    ) -> Result<Verified, Outcome> {
        let start = self.clock.instant();
        let Inbound { signature, timestamp, body, .. } = inbound;
        let headers = SignatureHeaders { signature: signature.as_deref(), timestamp: timestamp.as_deref() };
        let mut verified = signature::verify(headers, body, &self.secrets.current(), now);
        if let Err(Refused { reason: Rejection::Mismatch, body }) = verified {
            let reread = within(&self.clock, budget.reread_until(), self.secrets.reload(start)).await;
            if let Err(error) = &reread {
                trail.note("re-read of the secret", error);
            }
            let secrets = self.secrets.current();
            if secrets.is_empty() {
                trail.timings.verify = Some(self.clock.instant() - start);
                return Err(Outcome::Unavailable(Dependency::Secret));
            }
            verified = match reread {
                Ok(true) => signature::verify(headers, body, &secrets, now),
                Ok(false) | Err(_) => Err(Refused { reason: Rejection::Mismatch, body }),
            };
        }
        trail.timings.verify = Some(self.clock.instant() - start);
        verified.map_err(|refused| Outcome::Rejected(refused.reason))
    }

    async fn record(
        &self,
        claim: &Claim,
        is_last: bool,
        budget: &Budget,
        trail: &mut Trail,
    ) -> Result<Permit, Outcome> {
        let start = self.clock.instant();
        let recorded = within(&self.clock, budget.record_until(), self.store.record(claim)).await;
        trail.timings.record = Some(self.clock.instant() - start);
        match recorded {
            Ok(Recorded::New { lease, took_over }) => {
                trail.took_over = took_over;
                Ok(Permit::Leased(lease))
            }
            Ok(Recorded::Forwarded | Recorded::Parked) => Err(Outcome::Duplicate),
            Ok(Recorded::InFlight) => Err(Outcome::InFlight),
            Err(error) => {
                trail.note("record", &error);
                if is_last { Ok(Permit::Unguarded) } else { Err(Outcome::Unavailable(Dependency::Store)) }
            }
        }
    }

    async fn send(
        &self,
        message: Message,
        permit: Permit,
        is_last: bool,
        budget: &Budget,
        trail: &mut Trail,
    ) -> Result<Accepted, Outcome> {
        let lease = match permit {
            Permit::Leased(lease) => lease,
            Permit::Unguarded => {
                self.put(&message.unguarded(), budget, trail).await?;
                trail.unguarded = true;
                return Ok(Accepted { unconfirmed: None });
            }
        };
        match self.put(&message, budget, trail).await {
            Ok(()) => {
                let until = budget.settle_until();
                Ok(Accepted { unconfirmed: Some(Unconfirmed { lease, until }) })
            }
            Err(Outcome::Unavailable(_)) if is_last => Err(self.park(lease, &message, budget, trail).await),
            Err(outcome) => {
                self.settle("delete", self.store.delete(lease), budget.settle_until(), trail).await;
                Err(outcome)
            }
        }
    }

    /// Puts the message on the queue, or says what to answer if it is not known to be there.
    async fn put(&self, message: &Message, budget: &Budget, trail: &mut Trail) -> Result<(), Outcome> {
        let start = self.clock.instant();
        let sent = within(&self.clock, budget.send_until(), self.sink.send(message)).await;
        trail.timings.send = Some(self.clock.instant() - start);
        sent.map_err(|error| {
            trail.note("send", &error);
            match error {
                StepError::Failed(SendError::TooLarge) => Outcome::TooLarge,
                _ => Outcome::Unavailable(Dependency::Sink),
            }
        })
    }

    async fn park(&self, lease: Lease, message: &Message, budget: &Budget, trail: &mut Trail) -> Outcome {
        let park = async {
            let message = message.to_parked().map_err(|error| StoreError::new("writing it down", error))?;
            self.store.park(lease, &message).await
        };
        match self.settle("park", park, budget.settle_until(), trail).await {
            Some(Settled::Done) => Outcome::Parked,
            Some(Settled::Lost) => Outcome::InFlight,
            None => Outcome::Unavailable(Dependency::Sink),
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
        trail: &mut Trail,
    ) -> Option<Settled> {
        let start = self.clock.instant();
        let settled = within(&self.clock, until, settling).await;
        trail.timings.settle = Some(self.clock.instant() - start);
        match settled {
            Ok(settled) => {
                if settled == Settled::Lost {
                    trail.errors.push(format!("{step}: the lease was lost to a later invocation"));
                }
                Some(settled)
            }
            Err(error) => {
                trail.note(step, &error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
