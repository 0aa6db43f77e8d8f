//! From the queue to the agent: takes a batch of messages and hands each question to the agent. Only this file knows the order.
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
//! 3. [`work::receive`](crate::work::receive): what is done with a message, by what its question's record says.
//! 4. [`agent_call`]: what the agent gets; [`agent`]: the call to AgentCore, and what its errors mean; [`harness`]: the call to its
//!    managed loop; [`reply`]: what the agent's answer means; [`plain`]: how an agent is called that knows nothing of work records.
//! 5. [`decide`]: what is decided about a call of a tool; [`settler`]: how agent-settle is asked; [`dead_letter`]: what goes to the dead-letter queue.
//!
//! This room imports `aws` (how a stream of events is read), `dedup` (the error of a store), `sink`, `slack` (what a message
//! asks), `telemetry` (the report), `time` and `work`. It belongs to the cargo feature `dispatch`.

pub mod agent;
pub mod agent_call;
pub mod batch;
pub mod dead_letter;
pub mod decide;
pub mod harness;
pub mod message;
pub mod plain;
pub mod reply;
pub mod settler;

use crate::work::transition::Transition;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use crate::dedup::StoreError;
use crate::sink::Sink;
use crate::slack::approval::{LAPSED, Verdict};
use crate::slack::asker::{AskerKind, Home, WhoMayAsk};
use crate::slack::payload::DmConversation;
use crate::slack::question::{self, File, Meaning, Pane, Place, Question, Stop};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;
use crate::time::trace::TraceHeader;
use crate::work::askers::AskerKey;
use crate::work::back_off::back_off;
use crate::work::lapse::Lapse;
use crate::work::queue::{Queue, QueueError};
use crate::work::receive::{
    self, Done, Errand, Limits, OUTCOME_UNKNOWN, Received, STOP_GRACE, STOPPED, UNTOLD, is_withdrawn,
};
use crate::work::record::{End, LEASE, Posting, Receive, Record, State};
use crate::work::together;
use crate::work::token::{Token, Tokens};
use crate::work::update::update;
use crate::work::{RecordKey, Stopped, WorkStore};

use agent::{Agent, InvokeError, Replied};
use agent_call::AgentCall;
use batch::Batch;
use decide::Decide;
use message::{DEAD_LETTER_REASON, QueueMessage};
use reply::{AgentProtocol, WorkReply};
use settler::{Settler, SettlerError, request};

/// How long a call about a message may take, to the store, the dead-letter queue, SQS or agent-settle. It is enough for a second
/// attempt. The agent's call has a time of its own, [`DispatchSettings::agent_timeout`].
pub const CALL_BUDGET: Duration = Duration::from_millis(2500);

/// How much of the invocation's time a message needs beside the agent's, if every call takes as long as it may: reading, taking
/// the record, giving it back, and putting off. A decision needs as many steps: asking what it comes to, reading, taking the record,
/// giving it back, putting off; where a step makes several calls, they share the time of one. The function's time-out has to be
/// longer than the agent's by this and a second, because a part of it is over when the first message is looked at.
pub const RESERVE: Duration = Duration::from_secs(10);

/// By how much a lease outlasts the invocation that took it.
const LEASE_AFTER_DEADLINE: Duration = Duration::from_secs(15);

/// How many receives of a question's message wait for the event of the stop that has ended it, if agent-settle has learned of
/// the stop from Slack first.
const STOP_IS_AWAITED: u32 = 6;

/// How many conversations are handed over in parallel. An SQS batch holds ten messages by default.
const MAX_CONCURRENT_CONVERSATIONS: usize = 10;

/// How often a session that is being provisioned or torn down is asked, and the pause between.
const CONFLICT_TRIES: usize = 3;
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

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

/// A message in one invocation.
#[derive(Clone, Copy)]
struct Work<'a> {
    message: &'a QueueMessage,
    receive: &'a Receive,
    key: &'a RecordKey,
    token: &'a Token,
    place: Option<&'a Place>,
    files: &'a [File],
    app_users: &'a [String],
    /// The conversation of the message, if the question is handed over with it.
    conversation: Option<&'a str>,
    /// The id of the approval that the message has decided about.
    resumes: Option<&'a Token>,
    /// Whether nobody has decided in time.
    is_lapse: bool,
    lease_until: UnixMillis,
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

    /// Works on a question, or on an event that is handed over though it asks nothing.
    async fn work(
        &self,
        message: &QueueMessage,
        question: Option<&Question>,
        key: &RecordKey,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        report.question_id = Some(key.question_id().to_owned());
        let (receive, token) = (message.receive(), self.tokens.next());
        let visible_in = self.visibility(invocation);
        let conversation = agent_call::conversation_of(message);
        let work = Work {
            message,
            receive: &receive,
            key,
            token: &token,
            place: question.map(|question| &question.place),
            files: question.map_or(&[], |question| &question.files.listed),
            app_users: question.map_or(&[], |question| &question.app_users),
            conversation: conversation.as_deref(),
            resumes: None,
            is_lapse: false,
            lease_until: self.clock.now().after(visible_in),
        };
        let (held, former, stop) = futures_util::join!(
            self.hold(&work, visible_in),
            self.of_former_record(&work),
            self.last_stop(work.place, self.call_until())
        );
        if let Some(outcome) = left_alone(held, report) {
            return outcome;
        }
        let decided = match (former, stop) {
            (Ok(Some(errand)), Ok(stop)) => Ok((errand, stop)),
            (Ok(None), Ok(stop)) => self.errand(&work, stop.as_ref()).await.map(|errand| (errand, stop)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let (errand, stop) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                report.errors.add("record", &error);
                report.put_off_for = Some(back_off(message.receive_count, &message.message_id));
                return MessageOutcome::Deferred(Deferral::Store);
            }
        };
        match errand {
            Errand::Call => match self.not_admitted(&work, question, report).await {
                Some(outcome) => outcome,
                None => self.call(&work, question, report).await,
            },
            errand => self.finish(errand, &work, stop.as_ref(), report).await,
        }
    }

    /// Has agent-settle find out what a click comes to, or that nobody has decided in time, and goes on with the question if it
    /// goes on by that.
    async fn decide(
        &self,
        message: &QueueMessage,
        click: &Decide<'_>,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        report.question_id = Some(click.question_id.to_owned());
        let key = RecordKey::of_question(click.question_id);
        let (receive, token) = (message.receive(), self.tokens.next());
        let visible_in = self.visibility(invocation);
        let work = Work {
            message,
            receive: &receive,
            key: &key,
            token: &token,
            place: None,
            files: &[],
            app_users: &[],
            conversation: None,
            resumes: Some(&click.approval),
            is_lapse: false,
            lease_until: self.clock.now().after(visible_in),
        };
        let decide = request("decide", &key, &token, click.to_json());
        let asked = self.settler.ask(&decide, report.trace.as_ref());
        // The same click comes to the same, however often it is asked, so its message need not be held first.
        let (held, answer) = futures_util::join!(
            self.hold(&work, visible_in),
            run_until(&self.clock, self.call_until(), asked)
        );
        if let Some(outcome) = left_alone(held, report) {
            return outcome;
        }
        let outcome = match &answer {
            Ok(answer) => answer.get("outcome").and_then(serde_json::Value::as_str),
            Err(error) => {
                report.errors.add("decide", error);
                None
            }
        };
        match outcome {
            Some("decided") => {
                // Whoever says that the time is over may find that somebody has decided.
                let verdict = answer.iter().find_map(|answer| answer.get("verdict")?.as_str());
                let is_lapse = verdict.and_then(Verdict::parse) == Some(Verdict::Lapsed);
                let is_shown = answer.iter().find_map(|answer| answer.get("is_shown")?.as_bool());
                // If it is not shown, Slack is slow. What was approved does not wait for its message to say so.
                let show =
                    (is_shown == Some(false)).then(|| request("decide", &key, &token, click.in_background()));
                self.resume(&Work { is_lapse, ..work }, show.as_ref(), report).await
            }
            Some("no effect") => self.without_effect(&work, report).await,
            _ => {
                // agent-settle may be of another version, while both are being deployed.
                if let Some(outcome) = outcome {
                    report.errors.add("decide", &SettlerError::Outcome(outcome.to_owned()));
                }
                report.put_off_for = Some(back_off(message.receive_count, &message.message_id));
                MessageOutcome::Deferred(Deferral::Settle)
            }
        }
    }

    /// A click that changes nothing is done. But if somebody has pressed stop, while the question went on by this very message or
    /// waited for it, the question ends as stopped, and is counted for the stop as any other.
    async fn without_effect(&self, work: &Work<'_>, report: &mut MessageReport) -> MessageOutcome {
        let until = self.call_until();
        let read = async {
            let read = self.store.read(work.key, self.clock.now());
            let record = run_until(&self.clock, until, read).await?.record;
            let Some(record) = record else { return Ok(None) };
            let is_stopped = matches!(&record.state, State::Told { why, .. } if why == STOPPED);
            let waits = match &record.state {
                State::Suspended { asking, .. }
                | State::Posting(Posting { end: End::Suspended(asking), .. }) => {
                    work.resumes == Some(&asking.approval)
                }
                _ => false,
            };
            if !is_stopped && !waits {
                return Ok(None);
            }
            let stop = self.last_stop(record.place.as_ref(), until).await?;
            if !is_stopped && !is_withdrawn(&record, stop.as_ref().map(|stop| &stop.at)) {
                return Ok(None);
            }
            let errand = self.errand(&Work { place: record.place.as_ref(), ..*work }, stop.as_ref()).await?;
            Ok::<_, StepError<StoreError>>(Some((errand, record.place, stop)))
        };
        match read.await {
            Ok(None) => MessageOutcome::NoEffect,
            Ok(Some((errand, place, stop))) => {
                let work = Work { place: place.as_ref(), ..*work };
                self.finish(errand, &work, stop.as_ref(), report).await
            }
            Err(error) => {
                report.errors.add("record", &error);
                report.put_off_for = Some(back_off(work.message.receive_count, &work.message.message_id));
                MessageOutcome::Deferred(Deferral::Store)
            }
        }
    }

    /// Goes on with a question that a person has decided about. The message of the click, or the one that says that nobody has
    /// decided in time, takes the place of the question's own.
    ///
    /// `show` has the message with the buttons say what was decided, if it does not yet.
    async fn resume(
        &self,
        work: &Work<'_>,
        show: Option<&serde_json::Value>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let until = self.call_until();
        let read = async {
            let read = self.store.read(work.key, self.clock.now());
            let record = run_until(&self.clock, until, read).await?.record;
            let (place, conversation) =
                record.map(|record| (record.place, record.conversation)).unwrap_or_default();
            let kept = run_until(&self.clock, until, self.store.invocation(work.key));
            let (stop, invocation) = futures_util::join!(self.last_stop(place.as_ref(), until), kept);
            Ok::<_, StepError<StoreError>>((place, conversation, stop?, invocation?))
        };
        let shown = async {
            if let Some(show) = show {
                self.tell(show, report).await;
            }
        };
        let (read, ()) = futures_util::join!(read, shown);
        let decided = match read {
            Ok((place, conversation, stop, invocation)) => {
                let work = Work { place: place.as_ref(), ..*work };
                let errand = self.errand(&work, stop.as_ref()).await;
                errand.map(|errand| (errand, place, conversation, stop, invocation))
            }
            Err(error) => Err(error),
        };
        let (errand, place, conversation, stop, invocation) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                report.errors.add("record", &error);
                report.put_off_for = Some(back_off(work.message.receive_count, &work.message.message_id));
                return MessageOutcome::Deferred(Deferral::Store);
            }
        };
        let work = &Work { place: place.as_ref(), ..*work };
        match errand {
            Errand::Call if work.is_lapse => {
                let text = json!({ "text": LAPSED });
                self.tell(&request("answer", work.key, work.token, text), report).await;
                MessageOutcome::Deferred(Deferral::Settle)
            }
            Errand::Call => {
                let invocation = invocation.unwrap_or_default();
                let recorded = conversation.as_deref();
                let call = agent_call::resumed(work.message, &invocation, recorded, work.key, work.token);
                match call {
                    Ok(call) => {
                        report.session_id = Some(call.session_id.clone());
                        self.hand_over(&call, None, work, report).await
                    }
                    Err(invalid) => {
                        self.give_back(work.key, work.token, report).await;
                        self.send_to_dead_letter_queue(work.message, invalid.as_str(), report).await
                    }
                }
            }
            errand => self.finish(errand, work, stop.as_ref(), report).await,
        }
    }

    /// Whether Slack has said within the last hour that the asker is somebody who may ask. Most questions need no more than this
    /// read, so agent-settle is not called for them.
    async fn is_known_to_be_allowed(&self, question: &Question, until: Instant) -> bool {
        // What the table remembers is what Slack said of somebody, and the message says more.
        let message_says = question.asker.is_bot || question.asker.home == Home::Another;
        let Some(key) = AskerKey::of(&question.place).filter(|_| !message_says) else { return false };
        let read = self.store.kind(&key, self.clock.now());
        let known = run_until(&self.clock, until, read).await;
        // Whether it is unknown or cannot be read: agent-settle finds it out.
        known.ok().flatten().is_some_and(|kind| self.settings.who_may_ask.may(kind))
    }

    /// What becomes of the message of somebody who may not ask, or of whom nobody can say now whether they may: agent-settle has the
    /// question then, or the message comes again. `None`: they may ask.
    async fn not_admitted(
        &self,
        work: &Work<'_>,
        question: Option<&Question>,
        report: &mut MessageReport,
    ) -> Option<MessageOutcome> {
        let who_may_ask = self.settings.who_may_ask;
        let question = question?;
        let asker = &question.asker;
        // Both calls share the time of one, because the function's time-out has room for one.
        let until = self.call_until();
        if who_may_ask.decide(asker) == Some(true) || self.is_known_to_be_allowed(question, until).await {
            return None;
        }
        let request = request("admit", work.key, work.token, settler::admission(who_may_ask, asker));
        let asked = self.settler.ask(&request, report.trace.as_ref());
        let answer = run_until(&self.clock, until, asked).await;
        let outcome = match &answer {
            Ok(answer) => answer.get("outcome").and_then(serde_json::Value::as_str),
            Err(error) => {
                report.errors.add("admit", error);
                None
            }
        };
        match outcome {
            Some("admitted") => None,
            // agent-settle deletes the message when what it says stands.
            Some("turned away" | "taken over" | "gone") => Some(MessageOutcome::Deferred(Deferral::Settle)),
            // Nobody knows yet who asks: the question waits.
            _ => Some(match self.put_back(work, work.token, report).await {
                MessageOutcome::Deferred(_) => MessageOutcome::Deferred(Deferral::Asker),
                other => other,
            }),
        }
    }

    /// The visibility that a message needs before anything is begun for it: until this invocation is certainly over, and no less
    /// than a lease.
    fn visibility(&self, invocation: &Invocation) -> Duration {
        (self.clock.now().until(invocation.deadline) + LEASE_AFTER_DEADLINE).max(LEASE)
    }

    /// Keeps the message from coming again while it is worked on.
    async fn hold(&self, work: &Work<'_>, visible_in: Duration) -> Result<(), StepError<QueueError>> {
        let held = self.queue.put_off(&work.receive.handle, visible_in);
        run_until(&self.clock, self.call_until(), held).await
    }

    /// What is to be done with a question's message. What has to be written first is written. All of it takes the time of one call.
    async fn errand(&self, work: &Work<'_>, stop: Option<&Stopped>) -> Result<Errand, StepError<StoreError>> {
        let decided = update(&self.store, &self.clock, work.key, |record, now| {
            receive::on_receive(record, &work.received(now, stop), self.settings.limits)
        });
        let until = self.call_until();
        let errand = run_until(&self.clock, until, decided).await?;
        match errand {
            Errand::EndsWith { question_id } => self.errand_of_joined(&question_id, work, stop, until).await,
            errand => Ok(errand),
        }
    }

    /// What is to be done with the message of a question that ends as the one with the id `leading` does.
    async fn errand_of_joined(
        &self,
        leading: &str,
        work: &Work<'_>,
        stop: Option<&Stopped>,
        until: Instant,
    ) -> Result<Errand, StepError<StoreError>> {
        let key = RecordKey::of_question(leading);
        let read = self.store.read(&key, self.clock.now());
        let read = run_until(&self.clock, until, read).await?.record;
        let decided = update(&self.store, &self.clock, work.key, |record, now| {
            let received = work.received(now, stop);
            match record {
                Some(record @ Record { state: State::Joined { to, since }, .. }) if to == leading => {
                    together::found(record, *since, read.as_ref(), &received, self.settings.limits)
                }
                record => receive::on_receive(record, &received, self.settings.limits),
            }
        });
        run_until(&self.clock, until, decided).await
    }

    /// What a dispatcher before work records knew of the event. Its record has the event's id for a key.
    async fn of_former_record(&self, work: &Work<'_>) -> Result<Option<Errand>, StepError<StoreError>> {
        let former = agent_call::event_id(work.message).ok().map(RecordKey::of_question);
        let Some(former) = former.filter(|former| former != work.key) else { return Ok(None) };
        let now = self.clock.now();
        let read = run_until(&self.clock, self.call_until(), self.store.read(&former, now)).await?;
        Ok(match read.record.map(|record| record.state) {
            Some(State::Answered { .. }) => Some(Errand::Done(Done::Answered)),
            Some(State::InFlight(flight)) if flight.token.is_none() && flight.lease_until >= now => {
                Some(Errand::PutOff(now.until(flight.lease_until) + Duration::from_secs(1)))
            }
            _ => None,
        })
    }

    /// The last stop in the question's thread.
    async fn last_stop(
        &self,
        place: Option<&Place>,
        until: Instant,
    ) -> Result<Option<Stopped>, StepError<StoreError>> {
        match place.and_then(Place::stop_key) {
            Some(key) => run_until(&self.clock, until, self.store.stop(&key)).await,
            None => Ok(None),
        }
    }

    /// Does what is left to do for a message that the agent is not called for.
    async fn finish(
        &self,
        errand: Errand,
        work: &Work<'_>,
        stop: Option<&Stopped>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        match errand {
            Errand::Done(Done::Answered | Done::Suspended | Done::OfAnotherTenant) => {
                MessageOutcome::Duplicate
            }
            Errand::Done(Done::Told) => MessageOutcome::Told,
            Errand::Done(Done::Deleted) => MessageOutcome::Withdrawn,
            Errand::Done(Done::Stopped) => self.stopped(work, stop, report).await,
            Errand::DeadLetter { why } => {
                report.is_untold = [UNTOLD, OUTCOME_UNKNOWN].contains(&why.as_str());
                self.tell_sign(work.key, work.token, report).await;
                self.send_to_dead_letter_queue(work.message, &why, report).await
            }
            Errand::PutOff(delay) => {
                report.put_off_for = Some(delay);
                MessageOutcome::Deferred(Deferral::InFlight)
            }
            Errand::Leave | Errand::Call | Errand::EndsWith { .. } => {
                MessageOutcome::Deferred(Deferral::InFlight)
            }
            Errand::GiveUp => {
                self.tell(
                    &request("refuse", work.key, work.token, json!({ "why": receive::GAVE_UP })),
                    report,
                )
                .await;
                MessageOutcome::Deferred(Deferral::Settle)
            }
            Errand::Post => {
                self.tell(&request("post", work.key, work.token, json!({})), report).await;
                MessageOutcome::Deferred(Deferral::Settle)
            }
        }
    }

    /// A stopped question is counted for the one who pressed stop, and is done then.
    async fn stopped(
        &self,
        work: &Work<'_>,
        stop: Option<&Stopped>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        match self.count_for_stop(work, stop).await {
            Ok(true) => {}
            // Slack has told agent-settle of the stop, and the event that tells of it is on its way. It need not come.
            Ok(false) if work.message.receive_count <= STOP_IS_AWAITED => {
                report.put_off_for = Some(STOP_GRACE);
                return MessageOutcome::Deferred(Deferral::InFlight);
            }
            Ok(false) => {}
            Err(error) => {
                report.errors.add("count", &error);
                report.put_off_for = Some(back_off(work.message.receive_count, &work.message.message_id));
                return MessageOutcome::Deferred(Deferral::Store);
            }
        }
        self.tell_sign(work.key, work.token, report).await;
        MessageOutcome::Withdrawn
    }

    /// Counts the question with the stop that ended it. False if that stop is not known yet.
    async fn count_for_stop(
        &self,
        work: &Work<'_>,
        stop: Option<&Stopped>,
    ) -> Result<bool, StepError<StoreError>> {
        let Some(place) = work.place else { return Ok(true) };
        let until = self.call_until();
        // The stop that ended it may have come after the stop was read.
        let later = match stop {
            Some(stop) if stop.at >= place.asked_at => None,
            _ => self.last_stop(work.place, until).await?,
        };
        let Some(key) = place.stop_key() else { return Ok(true) };
        let Some(stop) = later.as_ref().or(stop).filter(|stop| stop.at >= place.asked_at) else {
            return Ok(false);
        };
        let counted = self.store.count_stopped(&key, &stop.at, work.key.question_id(), self.clock.now());
        run_until(&self.clock, until, counted).await.map(|()| true)
    }

    /// Has the sign taken back that somebody works on a question at its end. It does not go by itself, and a record at its end
    /// needs no right for that.
    async fn tell_sign(&self, key: &RecordKey, token: &Token, report: &mut MessageReport) {
        self.tell(&request("sign", key, token, json!({})), report).await;
    }

    /// Has agent-settle suggest its prompts in a pane that was opened. The event is done whatever comes of it, and one that comes
    /// again has the same prompts suggested again.
    async fn suggest_prompts(&self, pane: &Pane, report: &mut MessageReport) {
        self.tell(&settler::prompts(pane), report).await;
    }

    /// Calls the agent, and shows that somebody works on the question.
    async fn call(
        &self,
        work: &Work<'_>,
        question: Option<&Question>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let call = match AgentCall::of(work.message, question, work.key, work.token) {
            Ok(call) => call,
            Err(invalid) => {
                self.give_back(work.key, work.token, report).await;
                return self.send_to_dead_letter_queue(work.message, invalid.as_str(), report).await;
            }
        };
        self.hand_over(&call, question.and_then(title), work, report).await
    }

    /// Calls the agent, and shows that somebody works, in a session that may be called by this title.
    async fn hand_over(
        &self,
        call: &AgentCall,
        title: Option<String>,
        work: &Work<'_>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let start = self.clock.instant();
        let sign = async {
            let more = json!({ "title": title });
            let sign = request("sign", work.key, work.token, more);
            let told = self.settler.tell(&sign, work.message.trace.as_ref());
            run_until(&self.clock, self.call_until(), told).await.err()
        };
        let outcome = match self.settings.protocol {
            AgentProtocol::Work => {
                let until = start + self.settings.agent_timeout;
                let invoked = run_until(&self.clock, until, self.invoke(call));
                let (invoked, sign_error) = futures_util::join!(invoked, sign);
                if let Some(error) = sign_error {
                    report.errors.add("sign", &error);
                }
                self.of_work_reply(invoked, work, report).await
            }
            AgentProtocol::Plain => {
                let (outcome, sign_error) = futures_util::join!(self.call_plain(call, work, report), sign);
                if let Some(error) = sign_error {
                    report.errors.add("sign", &error);
                }
                outcome
            }
        };
        report.invoke = Some(self.clock.instant() - start);
        outcome
    }

    /// Calls the agent. A session that is being provisioned or torn down is asked a few times.
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.agent.invoke(call).await {
                Err(InvokeError::NotNow { is_conflict: true, .. }) if tries < CONFLICT_TRIES => {
                    self.clock.sleep_until(self.clock.instant() + CONFLICT_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// What becomes of a message whose question the agent was given.
    async fn of_work_reply(
        &self,
        invoked: Result<Replied, StepError<InvokeError>>,
        work: &Work<'_>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let reply = match invoked {
            Ok(replied) => reply::of_work(&replied.body),
            Err(error) => {
                report.errors.add("invoke", &error);
                return match error {
                    StepError::Failed(InvokeError::NotNow { .. }) => {
                        self.put_back(work, work.token, report).await
                    }
                    // The agent may have it. Its lease tells.
                    _ => MessageOutcome::Failed,
                };
            }
        };
        match reply {
            WorkReply::HasIt => MessageOutcome::Dispatched,
            WorkReply::Ignored => match self.give_back(work.key, work.token, report).await {
                Some(_) => {
                    self.tell_sign(work.key, work.token, report).await;
                    MessageOutcome::NoQuestion
                }
                None => MessageOutcome::Dispatched,
            },
            WorkReply::Later => self.put_back(work, work.token, report).await,
            WorkReply::Unknown => {
                report.reason = Some("the agent's answer has no known status".to_owned());
                MessageOutcome::Failed
            }
        }
    }

    /// Gives back, by this token, a question that the agent certainly has not, and puts its message off.
    async fn put_back(&self, work: &Work<'_>, token: &Token, report: &mut MessageReport) -> MessageOutcome {
        match self.give_back(work.key, token, report).await {
            Some(deferrals) => {
                report.put_off_for = Some(back_off(deferrals, &work.message.message_id));
                MessageOutcome::Deferred(Deferral::Agent)
            }
            // Somebody has claimed it all the same, or the record is not known to be free: its lease tells.
            None => MessageOutcome::Failed,
        }
    }

    /// Makes the record free, if it is still this token's. The answer is how often in a row the question was put off.
    async fn give_back(&self, key: &RecordKey, token: &Token, report: &mut MessageReport) -> Option<u32> {
        let given_back = update(&self.store, &self.clock, key, |record, _| receive::give_back(record, token));
        match run_until(&self.clock, self.call_until(), given_back).await {
            Ok(deferrals) => deferrals,
            Err(error) => {
                report.errors.add("give back", &error);
                None
            }
        }
    }

    /// Stops all that was asked in the thread until then, and says so when it is done.
    async fn stop(
        &self,
        message: &QueueMessage,
        stop: &Stop,
        invocation: &Invocation,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let Some(thread) = stop.place.stop_key() else { return MessageOutcome::NoQuestion };
        let (receive, token) = (message.receive(), self.tokens.next());
        let visible_in = self.visibility(invocation);
        // What says that it was stopped is asked a moment after the stop, so that the stop does not stop it.
        let place = Place { asked_at: stop.stopped_at.next(), ..stop.place.clone() };
        let key = RecordKey::of_question(&stop.id);
        let lease_until = self.clock.now().after(visible_in);
        let work = Work {
            message,
            receive: &receive,
            key: &key,
            token: &token,
            place: Some(&place),
            files: &[],
            app_users: &[],
            conversation: None,
            resumes: None,
            is_lapse: false,
            lease_until,
        };
        // What is written and read takes the time of one call.
        let until = self.call_until();
        let put = self.store.put_stop(&thread, &stop.stopped_at, self.clock.now());
        let decided = async {
            run_until(&self.clock, until, put).await?;
            let stopped = run_until(&self.clock, until, self.store.stop(&thread)).await?;
            let ended = stopped.map_or(0, |stopped| stopped.questions_of(&stop.stopped_at));
            let decided = update(&self.store, &self.clock, &key, |record, now| {
                receive::on_stop(record, ended, &work.received(now, None), self.settings.limits)
            });
            let errand = run_until(&self.clock, until, decided).await?;
            Ok::<_, StepError<StoreError>>((errand, ended))
        };
        match decided.await {
            Ok((Errand::Call, questions)) => {
                if let Some(outcome) = left_alone(self.hold(&work, visible_in).await, report) {
                    return outcome;
                }
                let text = json!({ "text": stop_text(questions) });
                self.tell(&request("answer", &key, &token, text), report).await;
                MessageOutcome::Deferred(Deferral::Settle)
            }
            Ok((Errand::Done(_), _)) => MessageOutcome::Stop,
            Ok((errand, _)) => self.finish(errand, &work, None, report).await,
            Err(error) => {
                report.errors.add("stop", &error);
                report.put_off_for = Some(back_off(message.receive_count, &message.message_id));
                MessageOutcome::Deferred(Deferral::Store)
            }
        }
    }

    /// Withdraws the question that stood in a message which was deleted, and has agent-settle clear up after it: it takes back what
    /// Slack shows, and forgets what the question's tools were told. The message is not done before that is.
    async fn delete(&self, question_id: &str, report: &mut MessageReport) -> MessageOutcome {
        let key = RecordKey::of_question(question_id);
        let deleted = update(&self.store, &self.clock, &key, |record, now| {
            let Transition { write, then } = receive::on_deletion(record, now);
            // Of a message that asked nothing there is nothing to clear up, and most are of this kind.
            let was_asked = record.is_some_and(|record| record.place.is_some());
            let stands = write.as_ref().or(record).map(|record| &record.state);
            let is_deleted = matches!(stands, Some(State::Told { why, .. }) if why == receive::DELETED);
            Transition { write, then: (then, was_asked && is_deleted) }
        });
        match run_until(&self.clock, self.call_until(), deleted).await {
            Ok((receive, is_to_be_cleared)) => {
                if let Some(receive) = &receive {
                    let visible = self.queue.put_off(&receive.handle, Duration::ZERO);
                    if let Err(error) = run_until(&self.clock, self.call_until(), visible).await {
                        report.errors.add("put off", &error);
                    }
                }
                let sign = || request("sign", &key, &self.tokens.next(), json!({}));
                if is_to_be_cleared && !self.tell(&sign(), report).await {
                    report.put_off_for = Some(back_off(report.receive_count, &report.message_id));
                    return MessageOutcome::Deferred(Deferral::Settle);
                }
                MessageOutcome::Deletion
            }
            Err(error) => {
                report.errors.add("record", &error);
                report.put_off_for = Some(back_off(report.receive_count, &report.message_id));
                MessageOutcome::Deferred(Deferral::Store)
            }
        }
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

impl<'a> Work<'a> {
    fn received(&self, now: UnixMillis, stop: Option<&'a Stopped>) -> Received<'a> {
        Received {
            receive: self.receive,
            receives: self.message.receive_count,
            now,
            lease_until: self.lease_until,
            token: self.token,
            place: self.place,
            files: self.files,
            app_users: self.app_users,
            conversation: self.conversation,
            for_agent: true,
            stopped_at: stop.map(|stop| &stop.at),
            trace_id: self.message.trace.as_ref().map(TraceHeader::trace_id),
            resumes: self.resumes,
            is_lapse: self.is_lapse,
            was_dead_letter: self.message.published_attributes().contains_key(DEAD_LETTER_REASON),
        }
    }
}

/// What becomes of a message that could not be held, if that means that it is somebody else's by now. If it is unknown whether it
/// is held, the queue's own visibility timeout holds it too, and the record decides who works.
fn left_alone(held: Result<(), StepError<QueueError>>, report: &mut MessageReport) -> Option<MessageOutcome> {
    let error = held.err()?;
    report.errors.add("hold", &error);
    let is_over = matches!(error, StepError::Failed(QueueError::Over { .. }));
    is_over.then_some(MessageOutcome::Deferred(Deferral::InFlight))
}

/// What the question's session in Slack may be called. What a command or a click asks is not for all to see who see its thread.
fn title(question: &Question) -> Option<String> {
    let is_of_a_message = question.place.response_url.is_none();
    is_of_a_message.then(|| question::title(&question.text)).flatten()
}

/// What is said in the thread where somebody pressed stop.
fn stop_text(questions: usize) -> String {
    match questions {
        // What is being posted is not stopped, and nobody may be told that it is.
        0 => {
            "Stopped: whatever was asked here until now. An answer that was ready may still come.".to_owned()
        }
        1 => "Stopped: 1 question.".to_owned(),
        _ => format!("Stopped: {questions} questions."),
    }
}

#[cfg(test)]
mod tests;
