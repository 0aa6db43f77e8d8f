//! Whether the asker of a question may ask (`WHO_MAY_ASK`), before an agent is called for it.

use tokio::time::Instant;

use super::Dispatch;
use super::agent::Agent;
use super::question::Work;
use super::settler::{self, Settler, outcome, request};
use crate::sink::Sink;
use crate::slack::asker::Home;
use crate::slack::question::Question;
use crate::telemetry::report::dispatch::{Deferral, MessageOutcome, MessageReport};
use crate::time::clock::Clock;
use crate::time::deadline::run_until;
use crate::work::WorkStore;
use crate::work::askers::AskerKey;
use crate::work::queue::Queue;
use crate::work::token::Tokens;

impl<W: WorkStore, Q: Queue, A: Agent, T: Settler, D: Sink, N: Tokens, C: Clock>
    Dispatch<W, Q, A, T, D, N, C>
{
    /// What becomes of the message of somebody who may not ask, or of whom nobody can say now whether they may: agent-settle has the
    /// question then, or the message comes again. `None`: they may ask.
    pub(super) async fn not_admitted(
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
        match outcome(&answer, report, "admit") {
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
}
