//! The call of the agent, and what becomes of a question by what the agent answers. [`plain`](super::plain) has what differs for an
//! agent that knows nothing of work records.

use serde_json::json;
use std::time::Duration;

use super::Dispatch;
use super::agent::{Agent, InvokeError, Replied};
use super::agent_call::AgentCall;
use super::question::Work;
use super::reply::{self, AgentProtocol, WorkReply};
use super::settler::{Settler, request};
use crate::sink::Sink;
use crate::slack::question::{self, Question};
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};
use crate::work::back_off::back_off;
use crate::work::queue::Queue;
use crate::work::receive;
use crate::work::token::{Token, Tokens};
use crate::work::update::update;
use crate::work::{RecordKey, WorkStore};

/// How often a session that is being provisioned or torn down is asked, and the pause between.
const CONFLICT_TRIES: usize = 3;
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// Calls the agent, and shows that somebody works on the question.
    pub(super) async fn call(
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
    pub(super) async fn hand_over(
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
    pub(super) async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
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
    pub(super) async fn put_back(
        &self,
        work: &Work<'_>,
        token: &Token,
        report: &mut MessageReport,
    ) -> MessageOutcome {
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
    pub(super) async fn give_back(
        &self,
        key: &RecordKey,
        token: &Token,
        report: &mut MessageReport,
    ) -> Option<u32> {
        let given_back = update(&self.store, &self.clock, key, |record, _| receive::give_back(record, token));
        match run_until(&self.clock, self.call_until(), given_back).await {
            Ok(deferrals) => deferrals,
            Err(error) => {
                report.errors.add("give back", &error);
                None
            }
        }
    }
}

/// What the question's session in Slack may be called. What a command or a click asks is not for all to see who see its thread.
fn title(question: &Question) -> Option<String> {
    let is_of_a_message = question.place.response_url.is_none();
    is_of_a_message.then(|| question::title(&question.text)).flatten()
}
