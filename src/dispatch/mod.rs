//! From the queue to the agent: takes a batch of messages and hands each event to the agent once. Only this file knows the
//! order.
//!
//! ```text
//! read ─▶ record ─▶ invoke ─▶ confirm                       the message is taken off the queue
//!   │                 ├─────▶ delete ─▶ put off             the message comes again, after a back-off
//!   └─────────────────┴─────▶ send to the dead-letter queue, with the reason, for a person to see
//! ```
//!
//! [`MessageOutcome::is_done`] decides what SQS is told. A message is taken off the queue only if the agent has taken the
//! event, now or before, or if the dead-letter queue has the message. The process may be killed at any point: the message comes
//! again when its visibility timeout is over, and by then the lease on its record is over, too.
//!
//! An agent may get an event twice, where this program cannot know whether it has it: if the answer was lost or late, or if the
//! process died before its confirm. An agent therefore has to recognize an event by its id.
//!
//! In reading order:
//! 1. This page: [`Dispatch::run`], then what it calls.
//! 2. [`batch`]: the batch as Lambda hands it over, divided by conversation, and the answer to it; [`message`]: one message of it.
//! 3. [`agent_call`]: what the agent gets; [`agent`]: the call to AgentCore, and what its errors mean.
//! 4. [`visibility`]: when a message comes again; [`dead_letter`]: what goes to the dead-letter queue.
//!
//! This room imports `dedup`, `sink`, `slack` (the conversation of a body), `telemetry` (the report) and `time`. It belongs to
//! the cargo feature `dispatch`.

pub mod agent;
pub mod agent_call;
pub mod batch;
pub mod dead_letter;
pub mod message;
pub mod visibility;

use futures_util::StreamExt;
use futures_util::stream;
use std::time::Duration;

use crate::dedup::settling::settle;
use crate::dedup::{Claim, LEASE_MARGIN, Lease, Recorded, Settled, Store, StoreError};
use crate::sink::Sink;
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::budget::Budget;
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;

use agent::{Agent, InvokeError};
use agent_call::AgentCall;
use batch::Batch;
use message::QueueMessage;
use visibility::{DelayedMessage, Visibility, back_off};

/// How long a call about a message may take, to the store, the dead-letter queue or SQS. It is enough for a second attempt. The
/// agent's call has a time of its own, [`DispatchSettings::agent_timeout`].
pub const CALL_BUDGET: Duration = Duration::from_millis(2500);

/// How much of the invocation's time a message needs beside the agent's, if every call takes as long as it may: the record, the
/// dead letter, the record again, and putting off. The function's time-out has to be ten seconds longer than the agent's,
/// because a part of it is over when the first message is looked at.
pub const RESERVE: Duration = Duration::from_secs(9);

/// How many conversations are handed over in parallel. An SQS batch holds ten messages by default.
const MAX_CONCURRENT_CONVERSATIONS: usize = 10;

/// The key of a dispatcher's record is this and the event's id. The records are in the table of the ingress, and none of the
/// ingress's own keys has a `#`.
const RECORD_PREFIX: &str = "dispatch#";

/// What the configuration says about the steps.
#[derive(Clone, Copy, Debug)]
pub struct DispatchSettings {
    /// How long one call of the agent may take (`AGENT_TIMEOUT_SECONDS`).
    pub agent_timeout: Duration,
    /// How long a record counts after the agent has taken its event (`DEDUP_TTL_SECONDS`).
    pub dedup_ttl: Duration,
    /// A message on which the agent fails goes to the dead-letter queue at this receive (`MAX_ATTEMPTS`).
    pub max_attempts: u32,
}

/// The sequence, with the store, the agent, the queue's visibility (`V`), the dead-letter queue (`D`) and the clock that it
/// uses.
#[derive(Debug)]
pub struct Dispatch<S, A, V, D, C> {
    store: S,
    agent: A,
    visibility: V,
    dead_letters: D,
    clock: C,
    settings: DispatchSettings,
}

impl<S: Store, A: Agent, V: Visibility, D: Sink, C: Clock> Dispatch<S, A, V, D, C> {
    /// The sequence that hands events to `agent`, records them in `store`, puts off by `visibility` what has to come again, and
    /// sends to `dead_letters` what will never work.
    pub fn new(
        store: S,
        agent: A,
        visibility: V,
        dead_letters: D,
        clock: C,
        settings: DispatchSettings,
    ) -> Self {
        Self { store, agent, visibility, dead_letters, clock, settings }
    }

    /// Hands over the events of a batch, and returns a report for each message. A message that is not done
    /// ([`MessageOutcome::is_done`]) has to stay on the queue.
    ///
    /// Conversations are handed over side by side, and the messages of a conversation one after the other. On a FIFO queue,
    /// when a message is not done, the later messages of its conversation are not begun, because they would overtake it.
    pub async fn run(&self, batch: Batch, invocation: &Invocation) -> Vec<MessageReport> {
        let is_fifo = batch.is_fifo;
        let conversations = stream::iter(batch.group_by_conversation())
            .map(|messages| self.dispatch_conversation(messages, is_fifo, invocation))
            .buffer_unordered(MAX_CONCURRENT_CONVERSATIONS)
            .collect::<Vec<_>>();
        let mut reports: Vec<MessageReport> = conversations.await.into_iter().flatten().collect();
        self.put_off(&mut reports).await;
        reports
    }

    /// Hands over the messages of one conversation, one after the other.
    async fn dispatch_conversation(
        &self,
        messages: Vec<QueueMessage>,
        is_fifo: bool,
        invocation: &Invocation,
    ) -> Vec<MessageReport> {
        let mut reports = Vec::with_capacity(messages.len());
        // Messages that wait are put off for as long as the one that they wait for. SQS hands out no message of a group while
        // another one of it is invisible.
        let mut held_for = None;
        for message in messages {
            let mut report = message.report(self.clock.now());
            match held_for {
                Some(delay) => {
                    report.outcome = MessageOutcome::Deferred(Deferral::Behind);
                    report.put_off_for = Some(delay);
                }
                None => {
                    report.outcome = self.dispatch(&message, invocation, &mut report).await;
                    if !report.outcome.is_done() {
                        let delay = back_off(message.receive_count, &message.message_id);
                        report.put_off_for = Some(delay);
                        held_for = is_fifo.then_some(delay);
                    }
                }
            }
            reports.push(report);
        }
        reports
    }

    /// Hands over one message.
    async fn dispatch(
        &self,
        message: &QueueMessage,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        // A message is not begun if there might be too little time to finish it.
        let left = self.clock.now().until(invocation.deadline);
        let call = match AgentCall::of(message) {
            Ok(call) => call,
            Err(_) if left < RESERVE => return MessageOutcome::Deferred(Deferral::Time),
            Err(invalid) => {
                return self.send_to_dead_letter_queue(message, invalid.as_str(), None, report).await;
            }
        };
        report.session_id = Some(call.session_id.clone());
        if left < self.settings.agent_timeout + RESERVE {
            return MessageOutcome::Deferred(Deferral::Time);
        }
        let lease = match self.record(&call.event_id, message, invocation, report).await {
            Ok(lease) => lease,
            Err(outcome) => return outcome,
        };
        let start = self.clock.instant();
        let invoked =
            run_until(&self.clock, start + self.settings.agent_timeout, self.agent.invoke(&call)).await;
        report.invoke = Some(self.clock.instant() - start);
        let error = match invoked {
            Ok(()) => {
                self.settle("confirm", self.store.confirm(lease), report).await;
                return MessageOutcome::Dispatched;
            }
            Err(error) => error,
        };
        report.errors.add("invoke", &error);
        match error {
            StepError::Failed(InvokeError::NotNow { .. }) => {
                self.settle("delete", self.store.delete(lease), report).await;
                MessageOutcome::Deferred(Deferral::Agent)
            }
            StepError::Failed(InvokeError::Never { .. }) => {
                self.send_to_dead_letter_queue(message, &error.to_string(), Some(lease), report).await
            }
            _ if message.receive_count >= self.settings.max_attempts => {
                let reason = format!("given up after {} receives: {error}", message.receive_count);
                self.send_to_dead_letter_queue(message, &reason, Some(lease), report).await
            }
            _ => {
                self.settle("delete", self.store.delete(lease), report).await;
                MessageOutcome::Failed
            }
        }
    }

    /// Records the event, or says what becomes of the message if this invocation may not hand it over.
    async fn record(
        &self,
        event_id: &str,
        message: &QueueMessage,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> Result<Lease, MessageOutcome> {
        let now = self.clock.now();
        let claim = Claim {
            event_id: format!("{RECORD_PREFIX}{event_id}"),
            // The message is part of the fencing token, because one batch may have the same event in two messages.
            owner: format!("{}/{}", invocation.request_id, message.message_id),
            received_at: now,
            lease_until: invocation.deadline.after(LEASE_MARGIN),
            expires_at: now.after(self.settings.dedup_ttl).in_seconds(),
        };
        let until = self.budget().record_until();
        match run_until(&self.clock, until, self.store.record(&claim)).await {
            Ok(Recorded::New { lease, took_over }) => {
                report.took_over = took_over;
                Ok(lease)
            }
            Ok(Recorded::Forwarded) => Err(MessageOutcome::Duplicate),
            // The dispatcher never parks, so `Parked` does not happen.
            Ok(Recorded::InFlight | Recorded::Parked) => Err(MessageOutcome::Deferred(Deferral::InFlight)),
            Err(error) => {
                report.errors.add("record", &error);
                Err(MessageOutcome::Deferred(Deferral::Store))
            }
        }
    }

    /// Sends the message to the dead-letter queue, and deletes the record, so that the event is handed over again if somebody
    /// sends the message back to the queue.
    async fn send_to_dead_letter_queue(
        &self,
        message: &QueueMessage,
        reason: &str,
        lease: Option<Lease>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        report.reason = Some(reason.to_owned());
        let dead_letter = dead_letter::of(message, reason, self.dead_letters.max_bytes());
        let sent =
            run_until(&self.clock, self.budget().send_until(), self.dead_letters.send(&dead_letter)).await;
        if let Some(lease) = lease {
            self.settle("delete", self.store.delete(lease), report).await;
        }
        match sent {
            Ok(()) => MessageOutcome::DeadLettered,
            Err(error) => {
                report.errors.add("dead letter", &error);
                MessageOutcome::Failed
            }
        }
    }

    /// Confirms or deletes, and keeps the error. What becomes of the message does not depend on it: a record that stays in
    /// flight is free when its lease is over.
    async fn settle(
        &self,
        step: &'static str,
        settling: impl Future<Output = Result<Settled, StoreError>>,
        report: &mut MessageReport,
    ) {
        if let Err(error) = settle(&self.clock, self.budget().settle_until(), settling).await {
            report.errors.add(step, &error);
        }
    }

    /// Has SQS hand out again, after their back-off, the messages that are not done. Without this call they would come when the
    /// queue's own visibility timeout is over.
    async fn put_off(&self, reports: &mut [MessageReport]) {
        let put_off: Vec<DelayedMessage> = reports.iter().filter_map(DelayedMessage::of).collect();
        if put_off.is_empty() {
            return;
        }
        let until = self.budget().settle_until();
        if let Err(error) = run_until(&self.clock, until, self.visibility.put_off(put_off)).await {
            let not_put_off = reports.iter_mut().filter(|report| report.put_off_for.is_some());
            for report in not_put_off {
                report.put_off_for = None;
                report.errors.add("put off", &error);
            }
        }
    }

    /// The budget of the next call, which begins now.
    fn budget(&self) -> Budget {
        Budget::new(self.clock.instant(), CALL_BUDGET, Duration::MAX)
    }
}

#[cfg(test)]
mod tests;
