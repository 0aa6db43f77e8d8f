//! One message of a question: takes the question's record, and finds what is to be done with the message.
//!
//! ```text
//! hold the message ─▶ what does the record say? ─▶ nobody works on it ─▶ may they ask? ─▶ the agent is called
//!                                              └─▶ anything else ─▶ what is left to do is done
//! ```

use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::Dispatch;
use super::agent::Agent;
use super::agent_call;
use super::message::{DEAD_LETTER_REASON, QueueMessage};
use super::settler::{Settler, request};
use crate::dedup::StoreError;
use crate::sink::Sink;
use crate::slack::question::{File, Place, Question};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::{Clock, UnixMillis};
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;
use crate::time::trace::TraceHeader;
use crate::work::back_off::back_off;
use crate::work::queue::{Queue, QueueError};
use crate::work::receive::{self, Done, Errand, OUTCOME_UNKNOWN, Received, UNTOLD};
use crate::work::record::{LEASE, Receive, Record, State};
use crate::work::together;
use crate::work::token::{Token, Tokens};
use crate::work::update::update;
use crate::work::{RecordKey, Stopped, WorkStore};

/// By how much a lease outlasts the invocation that took it.
const LEASE_AFTER_DEADLINE: Duration = Duration::from_secs(15);

/// A message in one invocation.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) message: &'a QueueMessage,
    pub(super) receive: &'a Receive,
    pub(super) key: &'a RecordKey,
    pub(super) token: &'a Token,
    pub(super) place: Option<&'a Place>,
    pub(super) files: &'a [File],
    pub(super) app_users: &'a [String],
    /// The conversation of the message, if the question is handed over with it.
    pub(super) conversation: Option<&'a str>,
    /// The id of the approval that the message has decided about.
    pub(super) resumes: Option<&'a Token>,
    /// Whether nobody has decided in time.
    pub(super) is_lapse: bool,
    pub(super) lease_until: UnixMillis,
}

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// Works on a question, or on an event that is handed over though it asks nothing.
    pub(super) async fn work(
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

    /// Keeps the message from coming again while it is worked on.
    pub(super) async fn hold(
        &self,
        work: &Work<'_>,
        visible_in: Duration,
    ) -> Result<(), StepError<QueueError>> {
        let held = self.queue.put_off(&work.receive.handle, visible_in);
        run_until(&self.clock, self.call_until(), held).await
    }

    /// The visibility that a message needs before anything is begun for it: until this invocation is certainly over, and no less
    /// than a lease.
    pub(super) fn visibility(&self, invocation: &Invocation) -> Duration {
        (self.clock.now().until(invocation.deadline) + LEASE_AFTER_DEADLINE).max(LEASE)
    }

    /// What is to be done with a question's message. What has to be written first is written. All of it takes the time of one call.
    pub(super) async fn errand(
        &self,
        work: &Work<'_>,
        stop: Option<&Stopped>,
    ) -> Result<Errand, StepError<StoreError>> {
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
    pub(super) async fn last_stop(
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
    pub(super) async fn finish(
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

    /// Has the sign taken back that somebody works on a question at its end. It does not go by itself, and a record at its end
    /// needs no right for that.
    pub(super) async fn tell_sign(&self, key: &RecordKey, token: &Token, report: &mut MessageReport) {
        self.tell(&request("sign", key, token, json!({})), report).await;
    }
}

impl<'a> Work<'a> {
    pub(super) fn received(&self, now: UnixMillis, stop: Option<&'a Stopped>) -> Received<'a> {
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
pub(super) fn left_alone(
    held: Result<(), StepError<QueueError>>,
    report: &mut MessageReport,
) -> Option<MessageOutcome> {
    let error = held.err()?;
    report.errors.add("hold", &error);
    let is_over = matches!(error, StepError::Failed(QueueError::Over { .. }));
    is_over.then_some(MessageOutcome::Deferred(Deferral::InFlight))
}
