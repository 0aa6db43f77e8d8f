//! agent-settle: acts for whoever works on a question. It alone posts answers, and it alone knows whether they stand. Only this
//! file knows the order.
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
//! 1. This page: [`Settle::run`], then what it calls.
//! 2. [`request`] and [`answer`]: what it is asked, and what it answers; [`thread`]: what was said before a question; [`together`]: the
//!    other questions that stand in its thread; [`calls`]:
//!    the calls of tools; [`stream`]: what is shown while somebody thinks; [`file`](mod@file): the files that came with a question;
//!    [`pane`]: what is suggested in the app's pane; [`admit`]: whether somebody may ask; [`limits`]: how much;
//!    [`approvals`]: who decides before a tool is called; [`audit`]: what is written down of it all.
//! 3. [`work::operations`](crate::work::operations): what each operation does to the record.
//!
//! This room imports `dedup` (the error of a store), `gateway`, `slack` (the text of an answer), `telemetry` (the report),
//! `time` and `work`. It belongs to the
//! cargo feature `dispatch`.

pub mod admit;
pub mod answer;
pub mod approvals;
pub mod audit;
pub mod calls;
pub mod file;
pub mod limits;
pub mod pane;
pub mod request;
pub mod stream;
pub mod thread;
pub mod together;

use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;

use crate::dedup::StoreError;
use crate::gateway::prompts::Prompts;
use crate::gateway::{
    AgentTools, Conversation, FindOutcome, Post, PostOutcome, ReadOutcome, Retry, Search, SessionStatus,
    SlackTools, StatusOutcome, StatusPlace,
};
use crate::slack::answer_text;
use crate::slack::asker::WhoMayAsk;
use crate::slack::payload;
use crate::slack::question::{self, Place, SlackTs};
use crate::telemetry::report::settle::{Ended, SettleReport};
use crate::time::clock::{Clock, Moment, UnixMillis};
use crate::work::approval::Verdict;
use crate::work::audit::{Act, AuditRules};
use crate::work::back_off::back_off_as_asked;
use crate::work::journal::{AskedCall, Entry, ToolCall, ToolEnd};
use crate::work::operations::{self, Beat, Claimed, Counted, Intent, Now, Posted};
use crate::work::queue::Queue;
use crate::work::receive::{DELETED, STOPPED};
use crate::work::record::{Declined, End, LEASE, Posting, Receive, Record, State, Via};
use crate::work::together::is_given_others;
use crate::work::token::{Token, Tokens};
use crate::work::update::update;
use crate::work::usage::DailyLimits;
use crate::work::{RecordKey, Stopped, WorkStore};

use answer::Answer;
use approvals::{Approvals, Asked};
use calls::{Called, JournalledCall};
use request::{Operation, Request};
use stream::Put;

/// How long after its beginning an invocation still begins to post, to look for a post, or to show that somebody works.
pub const LAST_CALL: Duration = Duration::from_secs(15);

/// How long after its beginning an invocation calls Slack at all. The function's time-out is a second longer, so that whatever it
/// began is over when it is killed.
const CALLS_END: Duration = Duration::from_secs(29);

/// How long a `response_url` may be used, with a margin.
const RESPONSE_URL_LIFE: Duration = Duration::from_secs(29 * 60);

/// How often a `response_url` may be used.
const RESPONSE_URL_USES: usize = 5;

/// The errors by which Slack refuses a message because of its blocks. Its text alone it may take.
const REFUSED_BLOCKS: [&str; 3] =
    ["slack_invalid_blocks", "slack_invalid_blocks_format", "slack_msg_blocks_too_long"];

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
    /// What is said when nothing but this wait is.
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
}

impl Call<'_> {
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
        let mut call = Call {
            key: &request.key,
            token: &request.token,
            begun: self.clock.moment(),
            report: SettleReport {
                operation: request.operation.as_str(),
                question_id: Some(request.key.question_id().to_owned()),
                ..SettleReport::default()
            },
            record: None,
            written_for: None,
        };
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
            Operation::Sign { title, asked } => self.sign(title.as_deref(), asked.as_deref(), call).await,
            Operation::Answer { text, together } => {
                let text = text.as_deref().map(answer_text::within_limit);
                self.end_together(text.as_deref(), End::Answered, together, call).await
            }
            Operation::Refuse { why } => {
                if self.has_parted(call).await? {
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
                self.withdrawn(visible, call).await;
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
                self.withdrawn(visible, call).await;
                call.report.why = Some(why.to_owned());
                Answer::Cancel { why }
            }
        })
    }

    /// Shows that somebody works, and takes it back if the question has ended: before, or while it was shown.
    async fn sign(
        &self,
        title: Option<&str>,
        asked: Option<&Asked>,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let Some(record) = self.read(call).await? else { return Ok(Answer::NotShown) };
        let Some(place) = &record.place else { return Ok(Answer::NotShown) };
        // A free record is one that was given back: whoever takes the question next shows the sign anew.
        let waits_for_another =
            self.settings.together.is_some() && record.state == State::Free && record.deferrals > 0;
        if waits_for_another {
            // The agent works on another question of the thread, whose sign it is.
            return Ok(Answer::NotShown);
        }
        if record.has_ended() || record.state == State::Free {
            if let State::Told { why, .. } = &record.state {
                // The dispatcher, which has no Slack, may have ended it.
                self.close_stream(&record, call).await;
                if record.suspensions > 0 && [STOPPED, DELETED].contains(&why.as_str()) {
                    self.ask_no_more(&record, asked, call).await?;
                }
            }
            self.take_sign_back(place, call).await;
            return Ok(Answer::Ended);
        }
        let is_at_work = match &record.state {
            State::InFlight(flight) => {
                [&flight.token, &flight.claimed_from].iter().any(|token| token.as_ref() == Some(call.token))
            }
            _ => false,
        };
        // Late in the invocation there may be no time left to take it back.
        if !is_at_work || !self.has_time(call) || !self.show_sign(place, title, call).await {
            return Ok(Answer::NotShown);
        }
        call.report.time_to_first_sign = Some(since_asked(place, self.clock.now()));
        if self.read(call).await?.is_some_and(|record| record.has_ended()) {
            self.take_sign_back(place, call).await;
            return Ok(Answer::Ended);
        }
        Ok(Answer::Shown)
    }

    /// Answers or refuses: writes down what is to be posted, then posts it. Without a text there is nothing to post.
    async fn end(&self, text: Option<&str>, end: End, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        self.end_together(text, end, &[], call).await
    }

    /// The same with the ids of the other questions that the text answers, too.
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
                // Slack took nothing of this very answer, and the dead letter tells. The agent has nothing left to do.
                (End::Told { .. }, End::Answered | End::Declined(_) | End::Suspended(_)) => Answer::TakenOver,
            }),
            Intent::Apart { visible } => {
                self.not_taken(text, &end, "apart", call).await;
                self.make_visible(&visible, call).await;
                Ok(Answer::Gone)
            }
            // Whoever asks again finds the question as it was.
            Intent::Soon => Err(StoreError::new("work record", "another question is just being taken")),
            Intent::NoPlace => {
                self.not_taken(text, &end, "no_place", call).await;
                Ok(Answer::Invalid { why: "the question has no place to answer in" })
            }
            Intent::Gone { visible } => {
                self.not_taken(text, &end, "gone", call).await;
                self.withdrawn(visible, call).await;
                Ok(Answer::Gone)
            }
        }
    }

    /// Posts on what the record holds, by a token that the dispatcher took for it.
    async fn post_on(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let Some(record) = self.read(call).await? else { return Ok(Answer::Gone) };
        let posting = match &record.state {
            State::Posting(posting) if posting.token == *call.token => posting,
            State::Answered { ts, token } if token.as_ref() == Some(call.token) => {
                return Ok(Answer::Answered { ts: ts.clone() });
            }
            State::Told { token, .. } if token.as_ref() == Some(call.token) => return Ok(Answer::Told),
            State::Suspended { token, .. } if token == call.token => return Ok(Answer::Suspended),
            _ => return Ok(Answer::Gone),
        };
        self.before_posting_on(&record, posting, call).await?;
        if posting.nonce.is_none() {
            return self.post_again(call).await;
        }
        if let (Via::Stream, Some(nonce)) = (posting.via, &posting.nonce) {
            // Whether it stands in the stream's message or not, it may be put there again.
            let again =
                update(&self.store, &self.clock, call.key, |record, _| operations::refused(record, nonce));
            return match again.await? {
                Some(_) => self.post_again(call).await,
                None => Ok(Answer::TakenOver),
            };
        }
        let (token, now) = (call.token, self.clock.now());
        match operations::may_look_for(&record, token, self.settings.post_wait, now) {
            Some(nonce) => self.find_out(&record, posting, &nonce, call).await,
            None => Ok(Answer::TakenOver),
        }
    }

    /// Finds out whether a post stands whose outcome nobody knows, and goes on from there.
    async fn find_out(
        &self,
        record: &Record,
        posting: &Posting,
        nonce: &Token,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let found = match (&record.place, posting.via) {
            _ if !self.has_time(call) => return Ok(Answer::TakenOver),
            (Some(place), Via::Channel) => {
                let search = Search {
                    tenant: place.tenant.as_deref(),
                    channel: &place.channel,
                    thread_ts: place.thread_ts.as_deref(),
                    since: posting.intent_at,
                    nonce: nonce.as_str(),
                };
                self.slack.find(&search, call.until()).await
            }
            _ => FindOutcome::CannotAsk {
                reason: "response_url".to_owned(),
                retry: Retry::Never,
                retry_after: None,
            },
        };
        match found {
            FindOutcome::Found { ts } => {
                let parts = parts(posting).len();
                match self.stands(nonce, Some(&ts), parts, call).await? {
                    Next::Post(record) => self.post_parts(*record, call).await,
                    Next::Answer(answer) => Ok(*answer),
                }
            }
            FindOutcome::NotFound => {
                let key = call.key;
                let gone =
                    update(&self.store, &self.clock, key, |record, _| operations::refused(record, nonce));
                if gone.await?.is_none() {
                    return Ok(Answer::TakenOver);
                }
                self.post_again(call).await
            }
            FindOutcome::CannotAsk { reason, retry: Retry::Later, retry_after } => {
                call.report.failure = Some(reason);
                let token = call.token;
                let asked = update(&self.store, &self.clock, call.key, |record, _| {
                    operations::asked_in_vain(record, token, nonce)
                });
                if let Some(record) = asked.await? {
                    self.back_off(&record, retry_after, call).await;
                }
                Ok(Answer::TakenOver)
            }
            // Until somebody has added a scope, hours may go by, and then what was posted may be out of reach.
            FindOutcome::CannotAsk { reason, retry: Retry::AfterChange | Retry::Never, .. } => {
                call.report.failure = Some(reason);
                let answer = self.end_untold(Some(nonce), call).await?;
                call.report.outcome_unknown = call.report.ended == Some(Ended::Untold);
                Ok(answer)
            }
        }
    }

    /// Begins the post of a text whose last post was certainly not made: into the channel, also if the last one went by the
    /// `response_url`, which may be used up by now.
    async fn post_again(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        match self.start(Via::Channel, call).await? {
            Some(record) => self.post_parts(record, call).await,
            None => Ok(Answer::TakenOver),
        }
    }

    async fn start(&self, via: Via, call: &Call<'_>) -> Result<Option<Record>, StoreError> {
        let (token, nonce) = (call.token, self.tokens.next());
        update(&self.store, &self.clock, call.key, |record, now| {
            operations::start(record, token, &nonce, via, now)
        })
        .await
    }

    /// Posts the part whose nonce is written down, and then those after it.
    async fn post_parts(&self, mut record: Record, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let mut parts = match &record.state {
            State::Posting(posting) => parts(posting),
            _ => return Ok(Answer::Gone),
        };
        let mut asks = self.asks(&record, call).await?;
        let mut with_buttons = self.settings.feedback_buttons;
        loop {
            let State::Posting(posting) = record.state.clone() else { return Ok(Answer::Gone) };
            let (Some(nonce), Some(place)) = (posting.nonce.clone(), record.place.clone()) else {
                return Ok(Answer::Gone);
            };
            let number = usize::try_from(posting.part).unwrap_or(usize::MAX);
            // Those who read it to its end can say whether it is good.
            let has_buttons = with_buttons
                && number.checked_add(1) == Some(parts.len())
                && takes_feedback(&posting, &place, call.key.question_id());
            let outcome = match parts.get(number) {
                Some(_) if !self.has_time(call) => return self.leave_to_others(&nonce, call).await,
                Some(text) if posting.via == Via::Stream => {
                    let post = message(&place, text, &nonce, has_buttons, None, call);
                    match self.put_into_stream(&record, &post, call).await {
                        Put::As(outcome) => outcome,
                        Put::StoppedByUser => {
                            self.stopped_by_user(call).await?;
                            return Ok(Answer::Gone);
                        }
                        Put::NoMessage(reason) => {
                            call.report.not_shown = Some(reason);
                            match self.post_without_stream(&nonce, call).await? {
                                Some(started) => record = started,
                                None => return Ok(Answer::TakenOver),
                            }
                            continue;
                        }
                    }
                }
                // What asks a person and has no buttons would wait for ever.
                Some(_) if asks.is_none() && matches!(posting.end, End::Suspended(_)) => {
                    PostOutcome::Refused {
                        reason: "nothing_to_ask".to_owned(),
                        retry: Retry::Never,
                        retry_after: None,
                    }
                }
                Some(text) => {
                    self.post(&posting, &place, text, &nonce, has_buttons, asks.as_ref(), call).await
                }
                // The text was divided into more parts by an earlier version: all of it stands.
                None => PostOutcome::Posted { ts: None },
            };
            match outcome {
                PostOutcome::Posted { ts } => {
                    match self.stands(&nonce, ts.as_deref(), parts.len(), call).await? {
                        Next::Post(next) => record = *next,
                        Next::Answer(answer) => return Ok(*answer),
                    }
                }
                PostOutcome::Refused { reason, retry, retry_after } => {
                    call.report.failure = Some(reason.clone());
                    let refused = update(&self.store, &self.clock, call.key, |record, _| {
                        operations::refused(record, &nonce)
                    });
                    let Some(refused) = refused.await? else { return Ok(Answer::TakenOver) };
                    if let End::Suspended(asking) = &posting.end
                        && retry != Retry::Later
                    {
                        match self.cannot_be_asked(&refused, &posting, asking, &reason, call).await? {
                            Some(told) => {
                                (parts, record) = told;
                                asks = None;
                            }
                            None => return Ok(Answer::TakenOver),
                        }
                    } else if has_buttons && REFUSED_BLOCKS.contains(&reason.as_str()) {
                        // An answer without buttons is better than none.
                        with_buttons = false;
                        match self.start(Via::Channel, call).await? {
                            Some(started) => record = started,
                            None => return Ok(Answer::TakenOver),
                        }
                    } else if retry != Retry::Later && self.may_respond(&posting, &place, parts.len(), call) {
                        match self.start(Via::ResponseUrl, call).await? {
                            Some(started) => record = started,
                            None => return Ok(Answer::TakenOver),
                        }
                    } else if retry == Retry::Never && posting.via == Via::Channel {
                        return self.end_untold(None, call).await;
                    } else {
                        self.back_off(&refused, retry_after, call).await;
                        return Ok(Answer::TakenOver);
                    }
                }
                PostOutcome::Unknown { reason } => {
                    call.report.failure = Some(reason);
                    return Ok(Answer::TakenOver);
                }
            }
        }
    }

    /// There is no time for the part whose nonce is written down: it was certainly not posted.
    async fn leave_to_others(&self, nonce: &Token, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let left = update(&self.store, &self.clock, call.key, |record, _| operations::refused(record, nonce));
        if let Some(receive) = left.await?.as_ref().and_then(Record::receive) {
            self.make_visible(receive, call).await;
        }
        Ok(Answer::TakenOver)
    }

    /// The blocks of a text that asks a person; `None` if it asks nobody, or there is nothing to ask any more.
    async fn asks(&self, record: &Record, call: &Call<'_>) -> Result<Option<Value>, StoreError> {
        let State::Posting(Posting { end: End::Suspended(asking), .. }) = &record.state else {
            return Ok(None);
        };
        let entry = self.store.read_call(call.key, asking.number).await?;
        let (Some(Entry::Asked(asked)), Some(place)) = (entry, &record.place) else { return Ok(None) };
        let is_the_same = asked.approval.id == asking.approval;
        Ok(is_the_same.then(|| self.blocks(asking.number, &asked, place, call)).flatten())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the message, or how it is sent")]
    async fn post(
        &self,
        posting: &Posting,
        place: &Place,
        text: &str,
        nonce: &Token,
        has_buttons: bool,
        asks: Option<&Value>,
        call: &Call<'_>,
    ) -> PostOutcome {
        let until = call.until();
        match (posting.via, &place.response_url) {
            (Via::ResponseUrl, Some(url)) => self.slack.respond(url, text, until).await,
            (Via::ResponseUrl, None) => PostOutcome::Refused {
                reason: "no_response_url".to_owned(),
                retry: Retry::Never,
                retry_after: None,
            },
            // A text for the stream's message gets there by `put_into_stream`.
            (Via::Channel | Via::Stream, _) => {
                self.slack.post(&message(place, text, nonce, has_buttons, asks, call), until).await
            }
        }
    }

    /// Begins the post of a text that could not be put into the message of its stream, because that is not there any more.
    async fn post_without_stream(
        &self,
        nonce: &Token,
        call: &Call<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let gone =
            update(&self.store, &self.clock, call.key, |record, _| operations::stream_is_gone(record, nonce));
        match gone.await? {
            Some(_) => self.start(Via::Channel, call).await,
            None => Ok(None),
        }
    }

    /// Whether a text that was refused in the channel may be posted by the `response_url`: all of it, or what is left.
    fn may_respond(&self, posting: &Posting, place: &Place, parts: usize, call: &Call<'_>) -> bool {
        posting.via == Via::Channel
            && place.response_url.is_some()
            && since_asked(place, self.clock.now()) < RESPONSE_URL_LIFE
            && parts <= RESPONSE_URL_USES
            && self.has_time(call)
    }

    /// Whether another post may begin, the search for one, or a sign that somebody works.
    fn has_time(&self, call: &Call<'_>) -> bool {
        !self.clock.is_past(call.begun.after(LAST_CALL))
    }

    /// Writes down that one of so many `parts` stands, and does what follows of it.
    async fn stands(
        &self,
        nonce: &Token,
        ts: Option<&str>,
        parts: usize,
        call: &mut Call<'_>,
    ) -> Result<Next, StoreError> {
        let next = self.has_time(call).then(|| self.tokens.next());
        let token = call.token;
        let posted = update(&self.store, &self.clock, call.key, |record, now| {
            operations::posted(record, token, nonce, ts, parts, next.as_ref(), now)
        });
        Ok(match posted.await? {
            Posted::Next(record) => Next::Post(record),
            Posted::Left { visible } => {
                self.make_visible(&visible, call).await;
                Next::Answer(Box::new(Answer::TakenOver))
            }
            Posted::Ended { end, receive } => {
                Next::Answer(Box::new(self.ended(&end, &receive, ts, call).await?))
            }
            Posted::Gone => Next::Answer(Box::new(Answer::TakenOver)),
        })
    }

    /// All parts stand: the message goes, or is made visible so that the dispatcher makes a dead letter of it.
    async fn ended(
        &self,
        end: &End,
        receive: &Receive,
        ts: Option<&str>,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let answer = match end {
            End::Answered => {
                call.report.ended = Some(Ended::Answered);
                self.delete(receive, call).await;
                Answer::Answered { ts: ts.map(str::to_owned) }
            }
            End::Declined(Declined::Asker) => {
                call.report.ended = Some(Ended::TurnedAway);
                self.delete(receive, call).await;
                Answer::TurnedAway
            }
            End::Declined(Declined::OverLimit) => {
                call.report.ended = Some(Ended::OverLimit);
                self.delete(receive, call).await;
                Answer::Answered { ts: ts.map(str::to_owned) }
            }
            End::Suspended(_) => {
                self.delete(receive, call).await;
                self.suspended(call).await?;
                return Ok(Answer::Suspended);
            }
            End::Told { why } => {
                call.report.ended = Some(Ended::Told);
                call.report.why = Some(why.clone());
                self.make_visible(receive, call).await;
                Answer::Told
            }
        };
        if let Some(record) = self.read(call).await? {
            call.report.attempts = Some(record.attempts);
            if matches!(end, End::Answered | End::Declined(_)) {
                self.forget(&record, call).await;
            }
            if let Some(place) = &record.place {
                if matches!(end, End::Declined(Declined::Asker)) {
                    self.is_told_now(place, call).await;
                }
                if matches!(end, End::Answered) {
                    call.report.time_to_answer = Some(unanswered_for(&record, place, self.clock.now()));
                }
                self.take_sign_back(place, call).await;
            }
        }
        Ok(answer)
    }

    /// Ends a text that nobody will post: the dispatcher makes a dead letter of its message.
    async fn end_untold(&self, nonce: Option<&Token>, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let token = call.token;
        let ended = update(&self.store, &self.clock, call.key, |record, _| {
            operations::end_untold(record, token, nonce)
        });
        if let Some(receive) = ended.await? {
            call.report.ended = Some(Ended::Untold);
            self.make_visible(&receive, call).await;
            self.take_sign_back_of_record(call).await;
        }
        Ok(Answer::TakenOver)
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
                self.make_visible(&receive, call).await;
                Answer::Released
            }
            None => Answer::Gone,
        })
    }

    /// Reads what was said before the question, in its own thread or direct message and nowhere else. Whoever works on it may. With
    /// `together` they are also given the other questions that stand there, if these are answered together.
    async fn thread(&self, together: bool, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let record = self.read(call).await?.filter(|record| record.flight_of(call.token).is_some());
        let Some(record) = record else { return Ok(Answer::Gone) };
        let nothing =
            || Answer::Thread { messages: Vec::new(), is_whole: true, together: together.then(Vec::new) };
        // A command belongs to no thread, and what else people say in its channel is none of its conversation.
        let has_one = |place: &&Place| place.thread_ts.is_some() || payload::is_direct(&place.channel);
        let Some(place) = record.place.as_ref().filter(has_one) else { return Ok(nothing()) };
        // Before a question that begins a thread, nothing was said in it.
        let begins_it = place.thread_ts.as_deref().and_then(SlackTs::parse).as_ref() == Some(&place.asked_at);
        let is_message =
            is_of_a_message(call.key.question_id(), &place.channel) && place.response_url.is_none();
        let gives = together && self.settings.together.is_some() && is_given_others(&record) && is_message;
        if begins_it && !gives {
            return Ok(nothing());
        }
        let conversation = Conversation {
            tenant: place.tenant.as_deref(),
            channel: &place.channel,
            thread_ts: place.thread_ts.as_deref(),
        };
        let (messages, is_whole) = match self.slack.read(&conversation, call.until()).await {
            ReadOutcome::Read { messages, is_whole } => (messages, is_whole),
            ReadOutcome::Unreadable { reason, retry } => {
                call.report.why = Some(reason.clone());
                return Ok(Answer::Unreadable { why: reason, again: retry == Retry::Later });
            }
        };
        let given = if gives {
            match self.give_others(&record, place, &messages, call).await? {
                Some(given) => given,
                None => return Ok(Answer::Gone),
            }
        } else {
            Vec::new()
        };
        let shown = shown_in(&record).map(str::to_owned);
        let but: Vec<String> = given.iter().map(|other| other.ts.to_string()).chain(shown).collect();
        let (messages, is_cut) = thread::before(&messages, place, call.key.question_id(), &but);
        Ok(Answer::Thread { messages, is_whole: is_whole && !is_cut, together: together.then_some(given) })
    }

    /// Calls a tool for the agent's model, and keeps in the journal that it was begun and what came of it.
    async fn call_tool(
        &self,
        number: u32,
        tool: &str,
        arguments: &str,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let Some(tools) = &self.tools else {
            return Ok(Answer::Invalid {
                why: "agent-settle has no TOOLS_GATEWAY_URL, so it can call no tool",
            });
        };
        let Ok(raw) = serde_json::from_str::<&RawValue>(arguments) else {
            return Ok(Answer::Invalid { why: "arguments must be a JSON object as text" });
        };
        if self.has_parted(call).await? {
            return Ok(Answer::Gone);
        }
        let stop = self.stop(call).await?;
        let token = call.token;
        let counted = update(&self.store, &self.clock, call.key, |record, now| {
            operations::count_call(record, token, number, withdrawal(now, stop.as_ref()))
        });
        let place = match counted.await? {
            Counted::Yes { place } => place,
            Counted::TooMany => {
                let why = "too_many_calls".to_owned();
                return Ok(Answer::Called(Called::ended(ToolEnd::NotCalled { why })));
            }
            Counted::Gone { visible } => {
                self.withdrawn(visible, call).await;
                return Ok(Answer::Gone);
            }
        };
        if !self.has_time(call) {
            // Nothing stands under the number, so whoever asks again makes the call.
            return Ok(Answer::Called(Called::UnderWay));
        }
        let first = self.asked_first(tool, arguments);
        let mut approved = None;
        if let Some(first) = &first {
            match self.begin(number, first, call).await? {
                None if *first == Entry::Closed => {
                    let why = "too_long_to_show".to_owned();
                    return Ok(Answer::Called(Called::ended(ToolEnd::NotCalled { why })));
                }
                None => return Ok(Answer::Called(self.called(first, number, tool, arguments))),
                Some(Entry::Asked(asked)) if is_approved(&asked, tool, arguments) => approved = Some(asked),
                Some(stands) => return Ok(Answer::Called(self.called(&stands, number, tool, arguments))),
            }
        }
        if let Some(end) = self.take_tool_call(place.as_ref(), number, call).await? {
            return self.over_limit(number, tool, arguments, end, call).await;
        }
        // It stands in the trail before it stands in the journal: after an error the same request makes the call.
        self.before(&Act::Call { number, tool, arguments, by: token }, place.as_ref(), call).await?;
        let (nonce, begun_at) = (self.tokens.next(), self.clock.now());
        let begun = ToolCall {
            tool: tool.to_owned(),
            arguments: arguments.to_owned(),
            nonce: nonce.clone(),
            begun_at,
            approval: None,
            end: None,
        };
        let approved_by = approved.as_ref().and_then(|asked| asked.approval.decided_by()).map(str::to_owned);
        if let Some(stands) = self.begin_tool_call(number, begun, approved, call).await? {
            let called = self.called(&stands, number, tool, arguments);
            if matches!(called, Called::Another(_)) || stands == Entry::Closed {
                let end = ToolEnd::NotCalled { why: "another_stands".to_owned() };
                let act = Act::Called { number, tool, arguments, by: token, end: &end };
                self.after(&act, place.as_ref(), call).await;
            }
            return Ok(Answer::Called(called));
        }
        let tenant = place.as_ref().and_then(|place| place.tenant.as_deref());
        let end = calls::end_of(tools.call(tenant, tool, raw, call.until()).await, arguments);
        if let ToolEnd::NotCalled { why } | ToolEnd::Unknown { why, .. } = &end {
            call.report.why = Some(why.clone());
        }
        // Whoever asked learns it in any case. If it cannot be written down, the next attempt takes it for unknown.
        let mut written = self.store.end_call(call.key, number, &nonce, &end).await;
        if written.is_err() {
            written = self.store.end_call(call.key, number, &nonce, &end).await;
        }
        if let Err(error) = written {
            call.report.errors.add("end of a call", &error);
        }
        let act = Act::Called { number, tool, arguments, by: token, end: &end };
        self.after(&act, place.as_ref(), call).await;
        Ok(Answer::Called(Called::Ended { end, approved_by }))
    }

    /// Reads the journal. What was counted and not begun is closed, so that the process of an earlier attempt, which may only be
    /// late, does not begin it any more.
    async fn calls(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let record = self.read(call).await?.filter(|record| record.flight_of(call.token).is_some());
        let Some(record) = record else { return Ok(Answer::Gone) };
        let mut calls = Vec::new();
        for number in 1..=record.tool_calls {
            let stands = match self.store.read_call(call.key, number).await? {
                None => self.begin(number, &Entry::Closed, call).await?,
                // An attempt that has ended since was about to ask a person, and has not.
                Some(Entry::Asked(asked)) if asked.verdict().is_none() => {
                    let (key, now) = (call.key, self.clock.now());
                    let stands = self.store.replace_asked(key, number, &asked, &Entry::Closed, now).await?;
                    stands.or(Some(Entry::Asked(asked)))
                }
                stands => stands,
            };
            match stands {
                Some(Entry::Call(begun)) => {
                    calls.push(JournalledCall::of(&begun, number, self.clock.now()));
                }
                Some(Entry::Asked(asked)) => calls.push(JournalledCall::of_asked(&asked, number)),
                Some(Entry::Closed) | None => {}
            }
        }
        Ok(Answer::Calls(calls))
    }

    /// Keeps nothing of what the question's tools were told and have answered: it has ended, and does not start over. What cannot
    /// be forgotten expires.
    async fn forget_calls(&self, tool_calls: u32, call: &mut Call<'_>) {
        for number in 1..=tool_calls {
            if let Err(error) = self.store.forget_call(call.key, number, self.clock.now()).await {
                call.report.errors.add("forget calls", &error);
            }
        }
    }

    /// Keeps nothing of what was said for the question's sake: it has ended.
    async fn forget(&self, record: &Record, call: &mut Call<'_>) {
        self.forget_calls(record.tool_calls, call).await;
        if record.suspensions > 0
            && let Err(error) = self.store.forget_invocation(call.key, self.clock.now()).await
        {
            call.report.errors.add("forget invocation", &error);
        }
    }

    /// What stands in the journal, for whoever wants this tool called with these arguments.
    fn called(&self, stands: &Entry, number: u32, tool: &str, arguments: &str) -> Called {
        Called::of(stands, number, tool, arguments, self.clock.now())
    }

    /// Writes a call into the journal: where nothing stands, or in the place of its approval. The answer is what stands there
    /// otherwise.
    async fn begin_tool_call(
        &self,
        number: u32,
        begun: ToolCall,
        approved: Option<AskedCall>,
        call: &Call<'_>,
    ) -> Result<Option<Entry>, StoreError> {
        let asked = match approved {
            Some(asked) => asked,
            None => match self.begin(number, &Entry::Call(begun.clone()), call).await? {
                // It was approved when it needed that.
                Some(Entry::Asked(asked)) if is_approved(&asked, &begun.tool, &begun.arguments) => asked,
                stands => return Ok(stands),
            },
        };
        self.begin_approved(number, begun, &asked, call).await
    }

    /// Writes a call in the place of the approval that it is made by. The answer is what stands there otherwise.
    async fn begin_approved(
        &self,
        number: u32,
        begun: ToolCall,
        asked: &AskedCall,
        call: &Call<'_>,
    ) -> Result<Option<Entry>, StoreError> {
        let entry = Entry::Call(ToolCall { approval: Some(asked.approval.clone()), ..begun });
        match self.store.replace_asked(call.key, number, asked, &entry, self.clock.now()).await {
            // Perhaps it was written. The same entry again has the same answer.
            Err(_) => self.store.replace_asked(call.key, number, asked, &entry, self.clock.now()).await,
            begun => begun,
        }
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

    /// Writes an entry into the journal if none stands under this number; the answer is what stands there.
    async fn begin(&self, number: u32, entry: &Entry, call: &Call<'_>) -> Result<Option<Entry>, StoreError> {
        match self.store.begin_call(call.key, number, entry, self.clock.now()).await {
            // Perhaps it was written. The same entry again has the same answer.
            Err(_) => self.store.begin_call(call.key, number, entry, self.clock.now()).await,
            begun => begun,
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
    async fn withdrawn(&self, visible: Option<Receive>, call: &mut Call<'_>) {
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

    /// What is left to do when a question has ended of which Slack takes nothing.
    async fn take_sign_back_of_record(&self, call: &mut Call<'_>) {
        match self.read(call).await {
            Ok(Some(record)) => {
                self.close_stream(&record, call).await;
                if let Some(place) = &record.place {
                    self.take_sign_back(place, call).await;
                }
            }
            Ok(None) => {}
            Err(error) => call.report.errors.add("sign", &error),
        }
    }

    /// Nobody comes again to take the sign back, so this is tried also when it is too late to post.
    async fn take_sign_back(&self, place: &Place, call: &mut Call<'_>) {
        self.set_status(place, SessionStatus::Active, None, call).await;
    }

    async fn show_sign(&self, place: &Place, title: Option<&str>, call: &mut Call<'_>) -> bool {
        // Whoever works on the question could give any title, so it is cut here too.
        let title = title.filter(|_| self.settings.session_titles).and_then(question::title);
        self.set_status(place, SessionStatus::Processing, title.as_deref(), call).await
    }

    /// Sets the status of the Slack session. Nothing depends on whether that succeeds.
    async fn set_status(
        &self,
        place: &Place,
        status: SessionStatus,
        title: Option<&str>,
        call: &mut Call<'_>,
    ) -> bool {
        let Some(thread_ts) = place.session_thread() else { return false };
        let tenant = place.tenant.as_deref();
        let session = StatusPlace { tenant, channel: &place.channel, thread_ts: &thread_ts, title };
        match self.slack.set_status(&session, status, call.until()).await {
            StatusOutcome::Shown => true,
            StatusOutcome::NotShown { reason } => {
                call.report.not_shown = Some(reason);
                false
            }
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

/// What follows when a part stands.
enum Next {
    /// The next part, whose nonce is written down.
    Post(Box<Record>),
    /// The end of this call.
    Answer(Box<Answer>),
}

/// The message in which an earlier attempt at the question has shown what it thought: nobody has said that.
fn shown_in(record: &Record) -> Option<&str> {
    record.stream.as_ref()?.message().map(|message| message.ts.as_str())
}

/// A part of a text as a message of Slack's.
fn message<'a>(
    place: &'a Place,
    text: &'a str,
    nonce: &'a Token,
    has_buttons: bool,
    blocks: Option<&'a Value>,
    call: &Call<'a>,
) -> Post<'a> {
    let (channel, thread_ts) = (place.channel.as_str(), place.thread_ts.as_deref());
    let feedback_for = has_buttons.then(|| call.key.question_id());
    Post {
        tenant: place.tenant.as_deref(),
        channel,
        thread_ts,
        text,
        nonce: nonce.as_str(),
        feedback_for,
        blocks,
    }
}

/// Why there will be no answer, if there will be none.
fn refusal(end: &End) -> Option<String> {
    match end {
        End::Answered | End::Declined(_) | End::Suspended(_) => None,
        End::Told { why } => Some(why.clone()),
    }
}

/// Whether people may say of this text whether it is good: only of an answer. "There will be none" is not one, and neither is
/// what is said of a stop, whose record has neither the id of a message nor a `response_url`. What only the asker sees, by the
/// `response_url`, has no `ts` that a click could be told by later.
fn takes_feedback(posting: &Posting, place: &Place, question_id: &str) -> bool {
    posting.end == End::Answered
        && posting.via != Via::ResponseUrl
        && (is_of_a_message(question_id, &place.channel) || place.response_url.is_some())
}

/// Whether the id is that of a question that a message of this channel asks.
fn is_of_a_message(question_id: &str, channel: &str) -> bool {
    let mut parts = question_id.rsplit(':');
    parts.next().and_then(SlackTs::parse).is_some() && parts.next() == Some(channel)
}

fn withdrawal(now: UnixMillis, stop: Option<&Stopped>) -> Now<'_> {
    Now { now, stopped_at: stop.map(|stop| &stop.at) }
}

/// The messages that a text is posted as. What asks a person is one, and was made safe where it was made: it mentions them.
fn parts(posting: &Posting) -> Vec<String> {
    match posting.end {
        End::Suspended(_) => vec![posting.text.clone()],
        End::Answered | End::Declined(_) | End::Told { .. } => answer_text::parts(&posting.text),
    }
}

/// Whether it is this very call, and a person has approved it.
fn is_approved(asked: &AskedCall, tool: &str, arguments: &str) -> bool {
    asked.is_of(tool, arguments) && asked.verdict() == Some(Verdict::Approved)
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
