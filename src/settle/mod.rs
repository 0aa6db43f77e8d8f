//! agent-settle: acts for whoever works on a question. It alone posts answers, and it alone knows whether they stand.
//!
//! ```text
//! claim ─▶ the record is the claimer's                beat ─▶ lease and visibility are renewed, or the work is cancelled
//! answer, refuse ─▶ intent ─▶ post ─▶ written down ─▶ … ─▶ the end ─▶ the message is deleted
//!                     │         ├─▶ refused: the text waits in the record, and is posted on when the message comes again
//!                     │         └─▶ unknown: nobody posts until the message has come twice; then Slack is asked
//!                     └─▶ a stop: nothing is posted
//! stream ─▶ what is being thought is shown in a message, whose text an answer replaces: that may be repeated
//! ```
//!
//! An invocation may be killed at any point. What is to be posted is written down before it is posted, with a nonce that the post
//! carries, so that whoever comes next can find out whether it stands.
//!
//! In reading order:
//! 1. This page: [`Settle::run`] chooses the operation. Here are those that take a question, keep it, give it back and end it.
//! 2. [`request`] and [`answer`]: what agent-settle is asked, and what it answers.
//! 3. `post`: from the intent to the last part of a text; `sign`: what Slack shows while somebody works.
//! 4. [`thread`]: what was said before a question; [`together`]: the other questions that stand in its thread;
//!    [`file`](mod@file): the files that came with it; [`stream`]: what is shown while somebody thinks.
//! 5. `tools`: a call of a tool, from the count to its end; [`calls`]: what is told of one; [`approvals`]: who decides before
//!    one is made.
//! 6. [`admit`]: whether somebody may ask; [`limits`]: how much; [`audit`]: what is written down of it all; [`pane`]: what is
//!    suggested in the app's pane.
//! 7. [`work::operations`](crate::work::operations): what each operation does to the record.
//!
//! Each file knows the order of its own operation, and nothing outside this room knows one.
//!
//! This room imports `dedup` (the error of a store), `gateway`, `slack` (the text of an answer), `telemetry` (the report),
//! `time` and `work`. It belongs to the cargo feature `dispatch`.

pub mod admit;
pub mod answer;
pub mod approvals;
pub mod audit;
pub mod calls;
pub mod file;
pub mod limits;
pub mod pane;
mod post;
pub mod request;
mod sign;
pub mod stream;
pub mod thread;
pub mod together;
mod tools;
mod unambiguous;

use std::time::Duration;

use crate::dedup::StoreError;
use crate::gateway::prompts::Prompts;
use crate::gateway::{AgentTools, SlackTools};
use crate::slack::answer_text;
use crate::slack::asker::WhoMayAsk;
use crate::slack::question::{Place, SlackTs};
use crate::telemetry::report::settle::{Ended, SettleReport};
use crate::time::clock::{Clock, Moment, UnixMillis};
use crate::work::audit::AuditRules;
use crate::work::back_off::back_off_as_asked;
use crate::work::operations::{self, Beat, Claimed, Intent, Now};
use crate::work::queue::Queue;
use crate::work::receive::STOPPED;
use crate::work::record::{Declined, End, LEASE, Receive, Record};
use crate::work::token::{Token, Tokens};
use crate::work::update::update;
use crate::work::usage::DailyLimits;
use crate::work::{RecordKey, Stopped, WorkStore};

use answer::Answer;
use approvals::Approvals;
use request::{Operation, Request};

/// How long after its beginning an invocation still begins to post, to look for a post, or to show that somebody works.
pub const LAST_CALL: Duration = Duration::from_secs(15);

/// How long after its beginning an invocation calls Slack at all. The function's time-out is a second longer, so that whatever it
/// began is over when it is killed.
const CALLS_END: Duration = Duration::from_secs(29);

/// What the configuration says about the operations.
#[derive(Clone, Debug)]
pub struct SettleSettings {
    /// For how long a call to Slack may still be under way after it was seen (`POST_WAIT_SECONDS`).
    pub post_wait: Duration,
    /// What is suggested in the app's pane (`SUGGESTED_PROMPTS`). Absent: nothing is.
    pub prompts: Option<Prompts>,
    /// Whether a thread's session is called by the first words of its question (`SESSION_TITLES`).
    pub session_titles: bool,
    /// Whether an answer has buttons by which people say whether it is good (`FEEDBACK_BUTTONS`).
    pub feedback_buttons: bool,
    /// What may be used within a day (`QUESTIONS_A_DAY`, `TOKENS_A_DAY`, `TOOL_CALLS_A_DAY`, `TOKENS_A_QUESTION`).
    pub limits: DailyLimits,
    /// Which tools ask a person first (`APPROVALS`, `APPROVAL_SECONDS`).
    pub approvals: Approvals,
    /// What is written into the audit trail (`AUDIT_DAYS`, `AUDIT_REDACT`, `AUDIT_TEXTS`). Absent: there is none.
    pub audit: Option<AuditRules>,
    /// Whose questions are answered together with the one that somebody works on (`TURNS=together`, `WHO_MAY_ASK`). Absent: each is
    /// answered by itself.
    pub together: Option<WhoMayAsk>,
}

impl SettleSettings {
    /// Settings with this wait, and every option off.
    pub fn new(post_wait: Duration) -> Self {
        let (limits, approvals) = (DailyLimits::default(), Approvals::default());
        let (session_titles, feedback_buttons) = (false, false);
        Self {
            post_wait,
            prompts: None,
            session_titles,
            feedback_buttons,
            limits,
            approvals,
            audit: None,
            together: None,
        }
    }
}

/// The operations, with the store of work records, the queue, Slack's tools (`T`), the tools of the agent's model (`G`), the source
/// of tokens (`N`) and the clock that they use.
#[derive(Debug)]
pub struct Settle<W, Q, T, G, N, C> {
    store: W,
    queue: Q,
    slack: T,
    /// `None` if the model has no tools.
    tools: Option<G>,
    tokens: N,
    clock: C,
    settings: SettleSettings,
}

/// One invocation, while it runs.
struct Call<'a> {
    key: &'a RecordKey,
    token: &'a Token,
    begun: Moment,
    report: SettleReport,
    /// The record as it was read last, for the audit trail; `None` without one.
    record: Option<Record>,
    /// The record as it was when the trail said that a text is about to be posted.
    written_for: Option<Record>,
    /// Whether this call has ended the attempt. False if it found it ended, or if the token is nobody's.
    has_ended_attempt: bool,
    /// Whether what the attempt has taken from the counters was replaced by what it has used.
    is_usage_counted: bool,
}

impl<'a> Call<'a> {
    /// A call for the record with this key, by whoever has this token, that begins now.
    fn new(key: &'a RecordKey, token: &'a Token, begun: Moment, report: SettleReport) -> Self {
        let (has_ended_attempt, is_usage_counted) = (false, false);
        Self {
            key,
            token,
            begun,
            report,
            record: None,
            written_for: None,
            has_ended_attempt,
            is_usage_counted,
        }
    }

    /// When every call of Slack's must be over.
    fn until(&self) -> Moment {
        self.begun.after(CALLS_END)
    }
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// The operations on the records in `store`, whose messages are on `queue`, which post with `slack`, and call for the agent's
    /// model what `tools` has.
    pub fn new(
        store: W,
        queue: Q,
        slack: T,
        tools: Option<G>,
        tokens: N,
        clock: C,
        settings: SettleSettings,
    ) -> Self {
        Self { store, queue, slack, tools, tokens, clock, settings }
    }

    /// Does what is asked, and returns the answer with the report of it.
    ///
    /// The answer is an error when the store failed. Then nothing is known, and whoever asked may ask again: each operation is
    /// safe to repeat with the same tokens.
    pub async fn run(&self, request: &Request) -> (Result<Answer, StoreError>, SettleReport) {
        let report = SettleReport {
            operation: request.operation.as_str(),
            question_id: Some(request.key.question_id().to_owned()),
            ..SettleReport::default()
        };
        let mut call = Call::new(&request.key, &request.token, self.clock.moment(), report);
        let answer = self.operate(&request.operation, &mut call).await;
        if let (Some(used), Ok(done)) = (request.used, &answer)
            // An attempt that goes on says later what it has used.
            && !matches!(done, Answer::Invalid { .. } | Answer::NotAsked { .. })
        {
            self.report_usage(used, &mut call).await;
        }
        if let Ok(done) = &answer
            && !matches!(done, Answer::Invalid { .. })
        {
            self.after_all(request.used, done, &mut call).await;
        }
        match &answer {
            Ok(answer) => call.report.outcome = Some(answer.outcome()),
            Err(error) => call.report.errors.add("work record", error),
        }
        (answer, call.report)
    }

    async fn operate(&self, operation: &Operation, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        match operation {
            Operation::Claim { new } => self.claim(new, call).await,
            Operation::Beat => self.beat(call).await,
            Operation::Sign { title } => self.sign(title.as_deref(), call).await,
            Operation::Answer { text, together } => {
                let text = text.as_deref().map(answer_text::within_limit);
                self.end_together(text.as_deref(), End::Answered, together, call).await
            }
            Operation::Refuse { why } => {
                if self.release_to_answer_alone(call).await? {
                    return Ok(Answer::Gone);
                }
                call.report.why = Some(why.clone());
                self.end(Some(answer_text::apology(why)), End::Told { why: why.clone() }, call).await
            }
            Operation::Post => self.post_on(call).await,
            Operation::Release => self.release(call).await,
            Operation::Thread { together } => self.thread(*together, call).await,
            Operation::Call { number, tool, arguments } => {
                self.call_tool(*number, tool, arguments, call).await
            }
            Operation::Suspend { number, invocation } => self.suspend(*number, invocation, call).await,
            Operation::Decide(decide) => self.decide(decide, call).await,
            Operation::Calls => self.calls(call).await,
            Operation::Stream(piece) => self.stream(piece, call).await,
            Operation::File { id } => self.file(id, call).await,
            Operation::Admit(admission) => self.admit(admission, call).await,
        }
    }

    async fn claim(&self, new: &Token, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let stop = self.stop(call).await?;
        let now = withdrawal(self.clock.now(), stop.as_ref());
        self.before_claim(new, now, call).await?;
        if let Some(declined) = self.take_for_claim(new, now, call).await? {
            return Ok(declined);
        }
        let token = call.token;
        let claimed = update(&self.store, &self.clock, call.key, |record, now| {
            operations::claim(record, token, new, withdrawal(now, stop.as_ref()))
        });
        Ok(match claimed.await? {
            Claimed::Yours { attempt, place, tool_calls, shorten } => {
                if let Some(receive) = shorten {
                    self.put_off(&receive, LEASE, call).await;
                }
                let question_id = call.key.question_id().to_owned();
                let most_tokens = self.settings.limits.tokens_a_question;
                Answer::Claimed { attempt, question_id, place, tool_calls, most_tokens }
            }
            Claimed::Gone { visible } => {
                self.finish_withdrawn(visible, call).await;
                Answer::Gone
            }
        })
    }

    async fn beat(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let stop = self.stop(call).await?;
        let token = call.token;
        let beat = update(&self.store, &self.clock, call.key, |record, now| {
            operations::beat(record, token, withdrawal(now, stop.as_ref()))
        });
        Ok(match beat.await? {
            Beat::GoOn { renew } => {
                if let Some(receive) = renew {
                    self.put_off(&receive, LEASE, call).await;
                }
                Answer::GoOn
            }
            Beat::Cancel { why, visible } => {
                // A stop or a deletion may have been written down by the dispatcher, which has no Slack.
                if visible.is_none() && why != operations::GONE {
                    self.close_stream_of_record(call).await;
                }
                self.finish_withdrawn(visible, call).await;
                call.report.why = Some(why.to_owned());
                Answer::Cancel { why }
            }
        })
    }

    /// Answers or refuses: writes down what is to be posted, then posts it. Without a text there is nothing to post.
    async fn end(&self, text: Option<&str>, end: End, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        self.end_together(text, end, &[], call).await
    }

    /// Like [`end`](Self::end); `together` has the ids of the other questions that the text answers as well.
    async fn end_together(
        &self,
        text: Option<&str>,
        end: End,
        together: &[String],
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let stop = self.stop(call).await?;
        self.before_answer(text, &end, call).await?;
        let (token, nonce) = (call.token, self.tokens.next());
        call.written_for = call.record.clone().filter(|record| record.flight_of(token).is_some());
        let intent = if together.is_empty() {
            update(&self.store, &self.clock, call.key, |record, now| {
                operations::intend(record, token, text, &end, &nonce, withdrawal(now, stop.as_ref()))
            })
            .await?
        } else {
            self.intend_together(text, together, &nonce, stop, call).await?
        };
        if matches!(intent, Intent::Post(_) | Intent::Ended { .. }) {
            call.report.joined = together.len();
        }
        call.has_ended_attempt = matches!(
            intent,
            Intent::Post(_) | Intent::Ended { .. } | Intent::Untellable { .. } | Intent::Apart { .. }
        );
        match intent {
            Intent::Post(record) => {
                call.report.failure = refusal(&end);
                if let Some(receive) = record.receive() {
                    // The message must not come again while its answer is being posted.
                    self.put_off(receive, LEASE, call).await;
                }
                self.post_parts(*record, call).await
            }
            Intent::Ended { delete } => {
                call.report.ended = Some(match end {
                    End::Declined(Declined::Asker) => Ended::TurnedAway,
                    End::Declined(Declined::OverLimit) => Ended::OverLimit,
                    End::Answered | End::Suspended(_) | End::Told { .. } => Ended::Answered,
                });
                self.delete(&delete, call).await;
                self.clear_up(call).await;
                Ok(Answer::Answered { ts: None })
            }
            Intent::Untellable { visible } => {
                call.report.failure = refusal(&end);
                call.report.ended = Some(Ended::Untold);
                self.make_visible(&visible, call).await;
                Ok(Answer::Told)
            }
            Intent::TakenOver => Ok(Answer::TakenOver),
            Intent::Stands { end: stands, ts } => Ok(match (stands, &end) {
                (End::Answered | End::Declined(_), _) => Answer::Answered { ts },
                (End::Suspended(_), End::Suspended(_)) => Answer::Suspended,
                // The attempt is over: a person is asked.
                (End::Suspended(_), _) => Answer::Gone,
                (End::Told { .. }, End::Told { .. }) => Answer::Told,
                // Slack has refused this answer for good, and the dead letter tells a person. The agent has nothing left to do.
                (End::Told { .. }, End::Answered | End::Declined(_) | End::Suspended(_)) => Answer::TakenOver,
            }),
            Intent::Apart { visible } => {
                self.audit_not_posted(text, &end, "apart", call).await;
                self.make_visible(&visible, call).await;
                Ok(Answer::Gone)
            }
            // Nothing was written, so the caller may repeat the request.
            Intent::Soon => Err(StoreError::new("work record", "another question is just being taken")),
            Intent::NoPlace => {
                self.audit_not_posted(text, &end, "no_place", call).await;
                Ok(Answer::Invalid { why: "the question has no place to answer in" })
            }
            Intent::Gone { visible } => {
                self.audit_not_posted(text, &end, "gone", call).await;
                self.finish_withdrawn(visible, call).await;
                Ok(Answer::Gone)
            }
        }
    }

    /// Whether another post may begin, the search for one, or a sign that somebody works.
    fn has_time(&self, call: &Call<'_>) -> bool {
        !self.clock.is_past(call.begun.after(LAST_CALL))
    }

    async fn release(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        if self.settings.audit.is_some() {
            // What the attempt has used is written down as its asker's.
            self.read(call).await?;
        }
        let token = call.token;
        let released =
            update(&self.store, &self.clock, call.key, |record, _| operations::release(record, token));
        Ok(match released.await? {
            Some(receive) => {
                call.has_ended_attempt = true;
                self.make_visible(&receive, call).await;
                Answer::Released
            }
            None => Answer::Gone,
        })
    }

    /// What is left to do when a question has ended that does not start over: nothing is kept of its tools, and no sign stands.
    async fn clear_up(&self, call: &mut Call<'_>) {
        match self.read(call).await {
            Ok(Some(record)) => {
                self.forget(&record, call).await;
                self.close_stream(&record, call).await;
                if let Some(place) = &record.place {
                    self.take_sign_back(place, call).await;
                }
            }
            Ok(None) => {}
            Err(error) => call.report.errors.add("end", &error),
        }
    }

    /// The record as it stands; `None` if there is none.
    async fn read(&self, call: &mut Call<'_>) -> Result<Option<Record>, StoreError> {
        let record = self.store.read(call.key, self.clock.now()).await?.record;
        if let Some(place) = record.as_ref().and_then(|record| record.place.as_ref()) {
            call.report.team_id.clone_from(&place.team_id);
        }
        if self.settings.audit.is_some() {
            call.record.clone_from(&record);
        }
        Ok(record)
    }

    /// The last stop in the question's thread. It is read after the record, and before the write that depends on it.
    async fn stop(&self, call: &mut Call<'_>) -> Result<Option<Stopped>, StoreError> {
        let record = self.read(call).await?;
        let Some(record) = record.filter(|record| !record.has_ended()) else { return Ok(None) };
        let now = self.clock.now();
        let asked = record.place.as_ref().map(|place| unanswered_for(&record, place, now));
        call.report.unanswered_for = Some(asked.unwrap_or_else(|| record.since.until(now)));
        match record.place.as_ref().and_then(Place::stop_key) {
            Some(key) => self.store.stop(&key).await,
            None => Ok(None),
        }
    }

    /// What follows when a call finds the question withdrawn: `visible` is the receive, if this very call ended it.
    async fn finish_withdrawn(&self, visible: Option<Receive>, call: &mut Call<'_>) {
        let Some(receive) = visible else { return };
        call.report.ended = Some(Ended::Stopped);
        call.report.why = Some(STOPPED.to_owned());
        self.make_visible(&receive, call).await;
        self.clear_up(call).await;
    }

    async fn close_stream_of_record(&self, call: &mut Call<'_>) {
        match self.read(call).await {
            Ok(Some(record)) => self.close_stream(&record, call).await,
            Ok(None) => {}
            Err(error) => call.report.errors.add("stream", &error),
        }
    }

    async fn back_off(&self, record: &Record, retry_after: Option<Duration>, call: &mut Call<'_>) {
        if let Some(receive) = record.receive() {
            let delay = back_off_as_asked(retry_after, record.deferrals, &receive.message_id);
            self.put_off(receive, delay, call).await;
        }
    }

    async fn make_visible(&self, receive: &Receive, call: &mut Call<'_>) {
        self.put_off(receive, Duration::ZERO, call).await;
    }

    /// Puts a message off. If that fails, it comes when its visibility is over, which is never too early for the record.
    async fn put_off(&self, receive: &Receive, delay: Duration, call: &mut Call<'_>) {
        if let Err(error) = self.queue.put_off(&receive.handle, delay).await {
            call.report.errors.add("put off", &error);
        }
    }

    /// Deletes a message. If that fails, the dispatcher finds that its question is answered.
    async fn delete(&self, receive: &Receive, call: &mut Call<'_>) {
        if let Err(error) = self.queue.delete(&receive.handle).await {
            call.report.errors.add("delete", &error);
        }
    }
}

/// Why there will be no answer, if there will be none.
fn refusal(end: &End) -> Option<String> {
    match end {
        End::Answered | End::Declined(_) | End::Suspended(_) => None,
        End::Told { why } => Some(why.clone()),
    }
}

/// Whether the id is that of a question that a message of this channel asks.
fn is_of_a_message(question_id: &str, channel: &str) -> bool {
    let mut parts = question_id.rsplit(':');
    parts.next().and_then(SlackTs::parse).is_some() && parts.next() == Some(channel)
}

fn withdrawal(now: UnixMillis, stop: Option<&Stopped>) -> Now<'_> {
    Now { now, stopped_at: stop.map(|stop| &stop.at) }
}

/// How long the question has been without an answer. The time in which it waited for a person does not count.
fn unanswered_for(record: &Record, place: &Place, now: UnixMillis) -> Duration {
    if record.suspensions > 0 { record.since.until(now) } else { since_asked(place, now) }
}

/// How long ago the question was asked, by Slack's own time of it.
fn since_asked(place: &Place, now: UnixMillis) -> Duration {
    UnixMillis::from_millis(place.asked_at.as_millis()).until(now)
}

#[cfg(test)]
mod tests;
