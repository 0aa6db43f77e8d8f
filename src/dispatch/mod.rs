//! From the queue to the agent: a batch of messages, each handed over once.
//!
//! ```text
//! read ─▶ record ─▶ invoke ─▶ confirm                          gone from the queue
//!   │        │         └─▶ delete ─▶ put off (back-off)        comes again
//!   └────────┴────────────▶ dead letter, with the reason       for a person
//! ```
//!
//! What SQS is told of a message is decided in one place, [`MessageOutcome::is_done`]: a message is only taken off the queue
//! when the agent has it, had it before, or the dead-letter queue has it. A run may be killed anywhere: the message
//! comes again when its visibility time-out is over, and the lease on its record is over by then.
//!
//! The agent may get an event twice where this program cannot know whether it has it: the answer was lost or late, or
//! the process died before its confirm. So an agent knows an event by its id, too.

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

/// For each call about a message but the agent's: its record, the dead-letter queue. Each has a second chance.
pub const CALL_BUDGET: Duration = Duration::from_millis(2500);

/// What a message needs beside the agent's time, if every call takes all of its own: record, dead letter, record again,
/// putting off. The function's time-out has to be ten seconds longer than the agent's: some of it is gone at the start.
pub const RESERVE: Duration = Duration::from_secs(9);

/// Conversations that are handed over in parallel. An SQS batch holds ten messages by default.
const MAX_CONCURRENT_CONVERSATIONS: usize = 10;

/// Records of the dispatch stand in the ingress's table. No id of the ingress's has a `#`.
const RECORD_PREFIX: &str = "dispatch#";

/// What can be set about it.
#[derive(Clone, Copy, Debug)]
pub struct DispatchSettings {
    /// How long the agent may take to take an event.
    pub agent_timeout: Duration,
    /// How long it is remembered that it has.
    pub dedup_ttl: Duration,
    /// After so many receives, what the agent fails on goes to the dead-letter queue.
    pub max_attempts: u32,
}

/// The queue's consumer.
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
    /// From the queue whose messages' `visibility` can be set, to `agent`; what never works goes to `dead_letters`.
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

    /// Hands over what it can. What is not done, by [`MessageOutcome::is_done`], has to stay on the queue.
    ///
    /// Conversations go side by side. Of one on a FIFO queue nothing goes on after a message that is not done: it would
    /// overtake it.
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

    async fn dispatch_conversation(
        &self,
        messages: Vec<QueueMessage>,
        is_fifo: bool,
        invocation: &Invocation,
    ) -> Vec<MessageReport> {
        let mut reports = Vec::with_capacity(messages.len());
        // For as long as the message that they wait for: SQS gives out nothing of a group while one of it is away.
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

    async fn dispatch(
        &self,
        message: &QueueMessage,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        // Nothing is begun that might not be finished.
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

    /// Takes the event, or says what becomes of the message if it cannot be taken.
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
            // One batch may have the same event twice.
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
            // The dispatch parks nothing.
            Ok(Recorded::InFlight | Recorded::Parked) => Err(MessageOutcome::Deferred(Deferral::InFlight)),
            Err(error) => {
                report.errors.add("record", &error);
                Err(MessageOutcome::Deferred(Deferral::Store))
            }
        }
    }

    /// Sends the message to the dead-letter queue; then its record goes, so that whoever sends it back has it tried again.
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

    /// Confirms or deletes, and keeps the error. What becomes of the message does not depend on it: a record that stays in flight is
    /// free when its lease is over.
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

    /// Without it, what failed would come again only when the queue's own visibility time-out is over.
    async fn put_off(&self, reports: &mut [MessageReport]) {
        let put_off: Vec<DelayedMessage> = reports.iter().filter_map(DelayedMessage::of).collect();
        if put_off.is_empty() {
            return;
        }
        let until = self.budget().settle_until();
        if let Err(error) = run_until(&self.clock, until, self.visibility.put_off(put_off)).await {
            let of_interest = reports.iter_mut().filter(|report| report.put_off_for.is_some());
            for report in of_interest {
                report.put_off_for = None;
                report.errors.add("put off", &error);
            }
        }
    }

    /// From now on.
    fn budget(&self) -> Budget {
        Budget::new(self.clock.instant(), CALL_BUDGET, Duration::MAX)
    }
}

#[cfg(test)]
mod tests;
