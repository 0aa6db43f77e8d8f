//! Posts a text: part after part, each by a nonce that is written down before it.
//!
//! ```text
//! a nonce in the record ─▶ Slack is asked to post ─▶ it stands:  the next part, or the end
//!                                                 ├▶ refused:   another way, later, or never
//!                                                 └▶ unknown:   nobody posts until the message has come twice
//! ```
//!
//! Whoever comes after an invocation that was killed begins at [`post_on`](Settle::post_on): it finds out first whether the part
//! stands whose nonce is written down.

use serde_json::Value;
use std::time::Duration;

use super::answer::Answer;
use super::stream::Put;
use super::{Call, Settle, is_of_a_message, since_asked, unanswered_for};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, FindOutcome, Post, PostOutcome, Retry, Search, SlackTools};
use crate::slack::answer_text;
use crate::slack::question::Place;
use crate::telemetry::report::settle::Ended;
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::journal::Entry;
use crate::work::operations::{self, Posted};
use crate::work::queue::Queue;
use crate::work::record::{Declined, End, Posting, Receive, Record, State, Via};
use crate::work::token::{Token, Tokens};
use crate::work::update::update;

/// How long a `response_url` may be used, with a margin.
pub(super) const RESPONSE_URL_LIFE: Duration = Duration::from_secs(29 * 60);

/// How often a `response_url` may be used.
const RESPONSE_URL_USES: usize = 5;

/// The errors by which Slack refuses a message because of its blocks. Its text alone it may take.
pub(super) const REFUSED_BLOCKS: [&str; 3] =
    ["slack_invalid_blocks", "slack_invalid_blocks_format", "slack_msg_blocks_too_long"];

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Posts on what the record holds, by a token that the dispatcher took for it.
    pub(super) async fn post_on(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
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
                match self.record_posted_part(nonce, Some(&ts), parts, call).await? {
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

    pub(super) async fn start(&self, via: Via, call: &Call<'_>) -> Result<Option<Record>, StoreError> {
        let (token, nonce) = (call.token, self.tokens.next());
        update(&self.store, &self.clock, call.key, |record, now| {
            operations::start(record, token, &nonce, via, now)
        })
        .await
    }

    /// Posts the part whose nonce is written down, and then those after it.
    pub(super) async fn post_parts(
        &self,
        mut record: Record,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let mut parts = match &record.state {
            State::Posting(posting) => parts(posting),
            _ => return Ok(Answer::Gone),
        };
        let mut asks = self.approval_blocks(&record, call).await?;
        let mut with_buttons = self.settings.feedback_buttons;
        loop {
            let State::Posting(posting) = record.state.clone() else { return Ok(Answer::Gone) };
            let (Some(nonce), Some(place)) = (posting.nonce.clone(), record.place.clone()) else {
                return Ok(Answer::Gone);
            };
            let number = usize::try_from(posting.part).unwrap_or(usize::MAX);
            // Only the last part has buttons: people rate an answer when they have read all of it.
            let has_buttons = with_buttons
                && number.checked_add(1) == Some(parts.len())
                && takes_feedback(&posting, &place, call.key.question_id());
            let outcome = match parts.get(number) {
                Some(_) if !self.has_time(call) => return self.leave_to_others(&nonce, call).await,
                Some(text) if posting.via == Via::Stream => {
                    let post = message(&place, text, &nonce, has_buttons, None, call);
                    match self.put_into_stream(&record, &post, call).await? {
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
                    match self.record_posted_part(&nonce, ts.as_deref(), parts.len(), call).await? {
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
    async fn approval_blocks(&self, record: &Record, call: &Call<'_>) -> Result<Option<Value>, StoreError> {
        let State::Posting(Posting { end: End::Suspended(asking), .. }) = &record.state else {
            return Ok(None);
        };
        let entry = self.store.read_call(call.key, asking.number).await?;
        let (Some(Entry::Proposed(asked)), Some(place)) = (entry, &record.place) else { return Ok(None) };
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
    pub(super) fn may_respond(
        &self,
        posting: &Posting,
        place: &Place,
        parts: usize,
        call: &Call<'_>,
    ) -> bool {
        posting.via == Via::Channel
            && place.response_url.is_some()
            && since_asked(place, self.clock.now()) < RESPONSE_URL_LIFE
            && parts <= RESPONSE_URL_USES
            && self.has_time(call)
    }

    /// Writes down that one of so many `parts` stands, and does what follows of it.
    async fn record_posted_part(
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
                Next::Answer(Box::new(self.finish_posted(&end, &receive, ts, call).await?))
            }
            Posted::Gone => Next::Answer(Box::new(Answer::TakenOver)),
        })
    }

    /// All parts stand: the message goes, or is made visible so that the dispatcher makes a dead letter of it.
    async fn finish_posted(
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
                self.show_suspended(call).await?;
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
}

/// What follows when a part stands.
enum Next {
    /// The next part, whose nonce is written down.
    Post(Box<Record>),
    /// The end of this call.
    Answer(Box<Answer>),
}

/// A part of a text as a message of Slack's.
pub(super) fn message<'a>(
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

/// Whether people may say of this text whether it is good: only of an answer. "There will be none" is not one, and neither is
/// what is said of a stop, whose record has neither the id of a message nor a `response_url`. What only the asker sees, by the
/// `response_url`, has no `ts` that a click could be told by later.
fn takes_feedback(posting: &Posting, place: &Place, question_id: &str) -> bool {
    posting.end == End::Answered
        && posting.via != Via::ResponseUrl
        && (is_of_a_message(question_id, &place.channel) || place.response_url.is_some())
}

/// The messages that a text is posted as. What asks a person is one, and was made safe where it was made: it mentions them.
pub(super) fn parts(posting: &Posting) -> Vec<String> {
    match posting.end {
        End::Suspended(_) => vec![posting.text.clone()],
        End::Answered | End::Declined(_) | End::Told { .. } => answer_text::parts(&posting.text),
    }
}
