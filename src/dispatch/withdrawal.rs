//! What withdraws questions: a stop in their thread, and the deletion of their message.

use serde_json::json;
use std::time::Duration;

use super::Dispatch;
use super::agent::Agent;
use super::message::QueueMessage;
use super::question::{Work, left_alone};
use super::settler::{Settler, request};
use crate::dedup::StoreError;
use crate::sink::Sink;
use crate::slack::question::{Place, Stop};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;
use crate::work::back_off::back_off;
use crate::work::queue::Queue;
use crate::work::receive::{self, Errand, STOP_GRACE};
use crate::work::record::State;
use crate::work::token::Tokens;
use crate::work::transition::Transition;
use crate::work::update::update;
use crate::work::{RecordKey, Stopped, WorkStore};

/// How many receives of a question's message wait for the event of the stop that has ended it, if agent-settle has learned of
/// the stop from Slack first.
const STOP_IS_AWAITED: u32 = 6;

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// Stops all that was asked in the thread until then, and says so when it is done.
    pub(super) async fn stop(
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

    /// A stopped question is counted for the one who pressed stop, and is done then.
    pub(super) async fn stopped(
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

    /// Withdraws the question that stood in a message which was deleted, and has agent-settle clear up after it: it takes back what
    /// Slack shows, and forgets what the question's tools were told. The message is not done before that is.
    pub(super) async fn delete(&self, question_id: &str, report: &mut MessageReport) -> MessageOutcome {
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
}

/// What is said in the thread where somebody pressed stop.
pub(super) fn stop_text(questions: usize) -> String {
    match questions {
        // What is being posted is not stopped, and nobody may be told that it is.
        0 => {
            "Stopped: whatever was asked here until now. An answer that was ready may still come.".to_owned()
        }
        1 => "Stopped: 1 question.".to_owned(),
        _ => format!("Stopped: {questions} questions."),
    }
}
