//! From the queue to the agent: takes a batch of messages and hands each question to the agent. This page tells the messages apart, and
//! each kind has a file of its own. Only they know the order.
//!
//! ```text
//! read ─▶ put off ─▶ take the record ─▶ may they ask? ─▶ invoke the agent, show a sign ─▶ "not done": the message stays on the queue
//!   │                   │                  │                └─▶ not reached ─▶ give the record back, put the message off
//!   │                   │                  └─▶ no ─▶ agent-settle says so, once a day
//!   │                   ├─▶ answered, told, withdrawn ─▶ done, or a dead letter with its reason
//!   │                   ├─▶ the text waits to be posted ─▶ agent-settle posts it
//!   │                   └─▶ attempts or time used up ─▶ agent-settle tells the asker
//!   ├─▶ a stop, a deletion ─▶ what was asked is withdrawn
//!   ├─▶ the pane was opened ─▶ agent-settle suggests prompts
//!   ├─▶ a click that says how good an answer was ─▶ counted and logged
//!   ├─▶ a decision, or that nobody has decided ─▶ agent-settle writes it down ─▶ take the record ─▶ invoke the agent
//!   └─▶ no question ─▶ done
//! ```
//!
//! A message stays on the queue until its question is at its end: agent-settle deletes it when the answer stands. Until then it
//! comes again whenever nobody has renewed its visibility, and the work record says what is to be done with it. So this process
//! may be killed at any point.
//!
//! In reading order:
//! 1. This page: [`Dispatch::run`], then what it calls.
//! 2. [`batch`]: the batch as Lambda hands it over, divided by conversation, and the answer to it; [`message`]: one message of it.
//! 3. `question`: one message of a question; [`work::receive`](crate::work::receive): what is done with it, by what the question's
//!    record says; `admission`: who may ask; `withdrawal`: stops and deletions.
//! 4. `hand_over`: the agent is called; [`agent_call`]: what the agent gets; [`agent`]: the call to AgentCore, and what its errors
//!    mean; [`harness`]: the call to its managed loop; [`reply`]: what the agent's answer means; [`plain`]: how an agent is called that
//!    knows nothing of work records.
//! 5. `decision`: the question goes on by a decision; [`decide`]: what is decided about a call of a tool.
//! 6. [`settler`]: how agent-settle is asked; [`dead_letter`]: what goes to the dead-letter queue.
//!
//! This room imports `aws` (how a stream of events is read), `dedup` (the error of a store), `sink`, `slack` (what a message
//! asks), `telemetry` (the report), `time` and `work`. It belongs to the cargo feature `dispatch`.

mod admission;
pub mod agent;
pub mod agent_call;
pub mod batch;
pub mod dead_letter;
pub mod decide;
mod decision;
mod hand_over;
pub mod harness;
pub mod message;
pub mod plain;
mod question;
pub mod reply;
pub mod settler;
mod withdrawal;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use std::time::Duration;
use tokio::time::Instant;

use crate::sink::Sink;
use crate::slack::asker::{AskerKind, WhoMayAsk};
use crate::slack::payload::DmConversation;
use crate::slack::question::{Meaning, Pane};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::run_until;
use crate::time::invocation::Invocation;
use crate::work::back_off::back_off;
use crate::work::lapse::Lapse;
use crate::work::queue::Queue;
use crate::work::receive::Limits;
use crate::work::token::Tokens;
use crate::work::{RecordKey, WorkStore};

use agent::Agent;
use batch::Batch;
use decide::Decide;
use message::QueueMessage;
use reply::AgentProtocol;
use settler::Settler;

/// How long a call about a message may take, to the store, the dead-letter queue, SQS or agent-settle. It is enough for a second
/// attempt. The agent's call has a time of its own, [`DispatchSettings::agent_timeout`].
pub const CALL_BUDGET: Duration = Duration::from_millis(2500);

/// How much of the invocation's time a message needs beside the agent's, if every call takes as long as it may: reading, taking
/// the record, giving it back, and putting off. A decision needs as many steps: asking what it comes to, reading, taking the record,
/// giving it back, putting off; where a step makes several calls, they share the time of one. The function's time-out has to be
/// longer than the agent's by this and a second, because a part of it is over when the first message is looked at.
pub const RESERVE: Duration = Duration::from_secs(10);

/// How many conversations are handed over in parallel. An SQS batch holds ten messages by default.
const MAX_CONCURRENT_CONVERSATIONS: usize = 10;

/// Which messages the agent is called for (`AGENT_EVENTS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEvents {
    /// Those that ask something.
    Questions,
    /// All of them.
    All,
}

/// What the configuration says about the steps.
#[derive(Clone, Copy, Debug)]
pub struct DispatchSettings {
    /// How long one call of the agent may take (`AGENT_TIMEOUT_SECONDS`).
    pub agent_timeout: Duration,
    /// How long and how often a question is tried.
    pub limits: Limits,
    /// How the agent answers.
    pub protocol: AgentProtocol,
    /// Which messages the agent is called for.
    pub events: AgentEvents,
    /// What the ingress takes for the conversation of a direct message.
    pub dm_conversation: DmConversation,
    /// Whose questions are answered (`WHO_MAY_ASK`).
    pub who_may_ask: WhoMayAsk,
}

impl DispatchSettings {
    /// How much of the invocation's time a question needs, if every call takes as long as it may.
    pub fn time_for_a_question(&self) -> Duration {
        let posting = match self.protocol {
            AgentProtocol::Work => Duration::ZERO,
            AgentProtocol::Plain => plain::ANSWER_BUDGET,
        };
        self.agent_timeout + RESERVE + CALL_BUDGET + posting
    }
}

/// The sequence, with the store of work records, the queue, the agent, agent-settle (`T`), the dead-letter queue (`D`), the source
/// of tokens (`N`) and the clock that it uses.
#[derive(Debug)]
pub struct Dispatch<W, Q, A, T, D, N, C> {
    store: W,
    queue: Q,
    agent: A,
    settler: T,
    dead_letters: D,
    tokens: N,
    clock: C,
    settings: DispatchSettings,
}

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// The sequence that takes messages of `queue`, keeps in `store` what becomes of their questions, hands them to `agent`, has
    /// `settler` post, and sends to `dead_letters` what has no answer.
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own, and wiring has them all")]
    pub fn new(
        store: W,
        queue: Q,
        agent: A,
        settler: T,
        dead_letters: D,
        tokens: N,
        clock: C,
        settings: DispatchSettings,
    ) -> Self {
        Self { store, queue, agent, settler, dead_letters, tokens, clock, settings }
    }

    /// Hands over the messages of a batch, and returns a report for each. A message that is not done
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
        join_all(reports.iter_mut().map(|report| self.put_off(report))).await;
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
        let mut is_held = false;
        for message in messages {
            let mut report = message.report(self.clock.now());
            if is_held {
                // SQS hands out no message of a group while an earlier one of it is invisible, so this one need not be.
                report.outcome = MessageOutcome::Deferred(Deferral::Behind);
                report.put_off_for = Some(Duration::ZERO);
            } else {
                report.outcome = self.dispatch(&message, invocation, &mut report).await;
                is_held = is_fifo && !report.outcome.is_done();
            }
            reports.push(report);
        }
        reports
    }

    /// Does with one message what it asks for.
    async fn dispatch(
        &self,
        message: &QueueMessage,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let lapse = Lapse::read(message.published_attributes(), message.published_body());
        if lapse.is_none() {
            report.session_id = agent_call::session_id(message);
        }
        let asked = agent_call::asked(message, self.settings.dm_conversation)
            .and_then(|asked| Ok((asked, agent_call::event_id(message)?)));
        if let Ok((Meaning::Question(question), _)) = &asked
            && question.asker.is_bot
            && !self.settings.who_may_ask.may(AskerKind::Bot)
        {
            // It is not told so: it might answer that, and for ever.
            return MessageOutcome::NoQuestion;
        }
        let is_for_the_agent = match &asked {
            // Whoever says that the time is over may find that somebody has decided, and the question goes on.
            _ if lapse.is_some() => true,
            Ok((Meaning::Question(_) | Meaning::Click(_), _)) => true,
            Ok((Meaning::Nothing | Meaning::Pane(_), _)) => self.settings.events == AgentEvents::All,
            _ => false,
        };
        // A message is not begun if there might be too little time to finish it.
        let needed = if is_for_the_agent { self.settings.time_for_a_question() } else { RESERVE };
        if self.clock.now().until(invocation.deadline) < needed {
            // Not at once: where this clock is wrong, there will be too little time the next time, too.
            report.put_off_for = Some(back_off(message.receive_count, &message.message_id));
            return MessageOutcome::Deferred(Deferral::Time);
        }
        if let Some(lapse) = &lapse {
            return self.decide(message, &Decide::of_lapse(lapse), invocation, report).await;
        }
        match asked {
            Err(invalid) => {
                // Nobody knows who asked, or what.
                report.is_untold = true;
                self.send_to_dead_letter_queue(message, invalid.as_str(), report).await
            }
            Ok((Meaning::Question(question), _)) => {
                let key = RecordKey::of_question(&question.id);
                self.work(message, Some(&question), &key, invocation, report).await
            }
            Ok((Meaning::Stop(stop), _)) => self.stop(message, &stop, invocation, report).await,
            Ok((Meaning::Deletion { question_id }, _)) => self.delete(&question_id, report).await,
            Ok((Meaning::Click(decision), event_id)) => {
                let received_at = message.published_attributes().get("received_at");
                let clicked_at = received_at.and_then(|millis| millis.parse().ok());
                match Decide::of_decision(&decision, event_id, clicked_at) {
                    Some(click) => self.decide(message, &click, invocation, report).await,
                    None => MessageOutcome::NoEffect,
                }
            }
            Ok((Meaning::Feedback(feedback), _)) => {
                report.feedback = Some(feedback);
                MessageOutcome::Feedback
            }
            Ok((Meaning::Pane(pane), _)) if !is_for_the_agent => {
                self.suggest_prompts(&pane, report).await;
                MessageOutcome::Pane
            }
            Ok((asked @ (Meaning::Nothing | Meaning::Pane(_)), event_id)) if is_for_the_agent => {
                if let Meaning::Pane(pane) = &asked {
                    self.suggest_prompts(pane, report).await;
                }
                let key = RecordKey::of_question(event_id);
                self.work(message, None, &key, invocation, report).await
            }
            Ok((Meaning::Nothing | Meaning::Pane(_), _)) => MessageOutcome::NoQuestion,
        }
    }

    /// Has agent-settle suggest its prompts in a pane that was opened. The event is done whatever comes of it, and one that comes
    /// again has the same prompts suggested again.
    async fn suggest_prompts(&self, pane: &Pane, report: &mut MessageReport) {
        self.tell(&settler::prompts(pane), report).await;
    }

    /// Has agent-settle do something. False if it may not have been told: the message comes again when its visibility is over, and
    /// then it is told once more.
    async fn tell(&self, request: &serde_json::Value, report: &mut MessageReport) -> bool {
        let told = self.settler.tell(request, report.trace.as_ref());
        let told = run_until(&self.clock, self.call_until(), told).await;
        if let Err(error) = &told {
            report.errors.add("settle", error);
        }
        told.is_ok()
    }

    /// Sends the message to the dead-letter queue.
    async fn send_to_dead_letter_queue(
        &self,
        message: &QueueMessage,
        reason: &str,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        report.reason = Some(reason.to_owned());
        let dead_letter = dead_letter::of(message, reason, self.dead_letters.max_bytes());
        let sent = run_until(&self.clock, self.call_until(), self.dead_letters.send(&dead_letter)).await;
        match sent {
            Ok(()) => MessageOutcome::DeadLettered,
            Err(error) => {
                report.errors.add("dead letter", &error);
                report.put_off_for = Some(back_off(message.receive_count, &message.message_id));
                MessageOutcome::Failed
            }
        }
    }

    /// Has SQS hand out again, after its delay, a message that is put off. Without this call it would come when its visibility
    /// is over.
    async fn put_off(&self, report: &mut MessageReport) {
        let Some(delay) = report.put_off_for else { return };
        let put_off = self.queue.put_off(&report.receipt_handle, delay);
        if let Err(error) = run_until(&self.clock, self.call_until(), put_off).await {
            report.put_off_for = None;
            report.errors.add("put off", &error);
        }
    }

    /// Until when the next call may take, which begins now.
    fn call_until(&self) -> Instant {
        self.clock.instant() + CALL_BUDGET
    }
}

#[cfg(test)]
mod tests;
