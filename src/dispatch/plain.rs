//! How an agent is called that knows nothing of work records: the dispatcher claims the question for it, says that it works while
//! the call lasts, and has its answer posted. A dispatcher that dies meanwhile leaves an agent that may answer all the same, so
//! the question may be thought about twice; it is answered twice only if the agent posts with tools of its own.

use serde_json::{Value, json};
use std::time::Duration;

use super::Dispatch;
use super::agent::{Agent, InvokeError};
use super::agent_call::AgentCall;
use super::question::Work;
use super::reply::{self, PlainReply};
use super::settler::{Settler, SettlerError, outcome, request};
use crate::sink::Sink;
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::{StepError, run_until};
use crate::work::WorkStore;
use crate::work::queue::Queue;
use crate::work::record::BEAT;
use crate::work::token::{Token, Tokens};

/// How long agent-settle may take to post an answer: its own time-out, and a little.
pub(super) const ANSWER_BUDGET: Duration = Duration::from_secs(31);

/// The pause before agent-settle is asked again what came of an answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How the agent's call came to its end.
enum CallEnd {
    /// The agent answered, or the call failed or took too long.
    Replied(Result<super::agent::Replied, StepError<InvokeError>>),
    /// agent-settle says that the work is to end.
    Cancelled,
}

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// Calls the agent, and has what it answers posted.
    pub(super) async fn call_plain(
        &self,
        call: &AgentCall,
        work: &Work<'_>,
        report: &mut MessageReport,
    ) -> MessageOutcome {
        let token = self.tokens.next();
        let claim = request("claim", work.key, work.token, json!({ "new": token.as_str() }));
        match outcome(&self.ask(&claim, work, super::CALL_BUDGET).await, report, "claim") {
            Some("claimed") => {}
            Some(_) => return MessageOutcome::Deferred(Deferral::InFlight),
            // Nobody was called, so nothing is an attempt: whichever of the two tokens the record has.
            None => {
                return match self.put_back(work, &token, report).await {
                    MessageOutcome::Failed => self.put_back(work, work.token, report).await,
                    put_off => put_off,
                };
            }
        }
        let until = self.clock.instant() + self.settings.agent_timeout;
        let invoked = run_until(&self.clock, until, self.invoke(call));
        let end = {
            let (mut invoked, mut beats) =
                (std::pin::pin!(invoked), std::pin::pin!(self.beats(work, &token)));
            match futures_util::future::select(invoked.as_mut(), beats.as_mut()).await {
                futures_util::future::Either::Left((replied, _)) => CallEnd::Replied(replied),
                futures_util::future::Either::Right(((), _)) => CallEnd::Cancelled,
            }
        };
        match end {
            // What ended the question has made its message visible.
            CallEnd::Cancelled => MessageOutcome::Deferred(Deferral::InFlight),
            CallEnd::Replied(Ok(replied)) => match reply::of_plain(&replied.body, replied.is_sse) {
                PlainReply::Text(text) => {
                    // Without a place there is nowhere to post.
                    let text = text.filter(|_| work.place.is_some());
                    let answer = request("answer", work.key, &token, json!({ "text": text }));
                    match outcome(&self.ask_until(&answer, work, ANSWER_BUDGET).await, report, "answer") {
                        Some("answered") => MessageOutcome::Dispatched,
                        Some(_) => MessageOutcome::Deferred(Deferral::Settle),
                        None => MessageOutcome::Failed,
                    }
                }
                PlainReply::Failed => {
                    report.reason = Some("the agent's answer says that it failed".to_owned());
                    MessageOutcome::Failed
                }
            },
            CallEnd::Replied(Err(error)) => {
                report.errors.add("invoke", &error);
                match error {
                    StepError::Failed(InvokeError::NotNow { .. }) => {
                        self.put_back(work, &token, report).await
                    }
                    _ => MessageOutcome::Failed,
                }
            }
        }
    }

    /// Says again and again that the agent works, until the work is to end. An error cancels nothing.
    async fn beats(&self, work: &Work<'_>, token: &Token) {
        let beat = request("beat", work.key, token, json!({}));
        loop {
            self.clock.sleep_until(self.clock.instant() + BEAT).await;
            let answer = self.ask(&beat, work, super::CALL_BUDGET).await;
            if answer.is_ok_and(|answer| answer.get("outcome").and_then(Value::as_str) == Some("cancel")) {
                return;
            }
        }
    }

    /// Asks again until the outcome is known, or the time is over: the same request by the same token is done once.
    async fn ask_until(
        &self,
        request: &Value,
        work: &Work<'_>,
        budget: Duration,
    ) -> Result<Value, StepError<SettlerError>> {
        let until = self.clock.instant() + budget;
        loop {
            let left = until.saturating_duration_since(self.clock.instant());
            let answer = self.ask(request, work, left).await;
            let again = self.clock.instant() + ASK_AGAIN;
            if answer.is_ok() || again >= until {
                return answer;
            }
            self.clock.sleep_until(again).await;
        }
    }

    async fn ask(
        &self,
        request: &Value,
        work: &Work<'_>,
        budget: Duration,
    ) -> Result<Value, StepError<SettlerError>> {
        let asked = self.settler.ask(request, work.message.trace.as_ref());
        run_until(&self.clock, self.clock.instant() + budget, asked).await
    }
}
