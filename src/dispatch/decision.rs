//! A decision about a call of a tool, or that nobody has decided in time: agent-settle says what it comes to, and the question goes on
//! by it.

use serde_json::json;

use super::Dispatch;
use super::agent::Agent;
use super::agent_call;
use super::decide::Decide;
use super::message::QueueMessage;
use super::question::{Work, left_alone};
use super::settler::{Settler, SettlerError, outcome, request};
use crate::dedup::StoreError;
use crate::sink::Sink;
use crate::slack::approval::{LAPSED, Verdict};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};
use crate::time::invocation::Invocation;
use crate::work::back_off::back_off;
use crate::work::queue::Queue;
use crate::work::receive::{Errand, STOPPED, is_withdrawn};
use crate::work::record::{End, Posting, State};
use crate::work::token::Tokens;
use crate::work::{RecordKey, WorkStore};

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// Has agent-settle find out what a click comes to, or that nobody has decided in time, and goes on with the question if it
    /// goes on by that.
    pub(super) async fn decide(
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
        let outcome = outcome(&answer, report, "decide");
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
}
