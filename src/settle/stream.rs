//! Shows some of an answer while it is being thought.
//!
//! ```text
//! the first piece ─▶ a mark in the record ─▶ Slack makes a message ─▶ its ts in the record ─▶ the piece is appended
//! each other one  ─▶ the message that stands in the record ─▶ the piece is appended
//! ```
//!
//! The order of one piece is all here; what becomes of the message when there is an answer is on the page of this room. Nothing
//! depends on whether a piece is shown: the answer takes the place of all of them.

use super::answer::Answer;
use super::{Call, Settle, withdrawal};
use crate::dedup::StoreError;
use crate::gateway::stream::{
    Addition, Appended, Deleted, Replaced, Started, StepStatus, Stopped, StreamPlace, StreamStart, Trouble,
};
use crate::gateway::{AgentTools, Post, PostOutcome, Retry, SessionStatus, SlackTools};
use crate::slack::answer_text;
use crate::slack::question::Place;
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::queue::Queue;
use crate::work::receive::STOPPED;
use crate::work::record::Record;
use crate::work::stream::{self, Show, Stream, StreamMessage};
use crate::work::token::{Token, Tokens};
use crate::work::update::update;

/// What is put before the words of a later attempt: it thinks anew, in the message in which the words of the former one stand.
const ANEW: &str = "\n\n---\n\n";

/// The last words of a message that is closed while the work goes on: what stands there may end in the middle of a sentence. They
/// stay where the question ends without a text, so they promise nothing.
const LAST_WORDS: &str =
    "\n\n_A message can be written for a few minutes only. Whatever follows will be a message of its own._";

/// A piece of what is being thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// More of the text. Empty: nothing new is to be shown, and the message may be old enough to be closed.
    Text {
        /// The text.
        text: String,
        /// Whether it is the first of this attempt.
        is_first: bool,
    },
    /// A step of the work.
    Step {
        /// What the step is known by.
        id: String,
        /// What it is.
        title: String,
        /// How far it is.
        status: StepStatus,
    },
}

/// What became of an answer that was to be put into the message of its stream.
pub(super) enum Put {
    /// The outcome, as of any post. One that nobody knows counts as refused, because the text may be put there again.
    As(PostOutcome),
    /// There is no such message any more, and the text is posted as any other.
    NoMessage(String),
    /// Somebody has pressed stop on it.
    StoppedByUser,
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Shows a piece, in a message that is made for the first one.
    pub(super) async fn stream(&self, piece: &Piece, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let nonce = self.tokens.next();
        match self.may_show(piece, &nonce, call).await? {
            Show::Start(place) => match self.open(&place, &nonce, call).await? {
                Some(message) => self.append(piece, false, &place, &message, call).await,
                None => Ok(Answer::NotShown),
            },
            Show::Append { place, message, is_anew } => {
                self.append(piece, is_anew, &place, &message, call).await
            }
            Show::Close(place, message) => self.close_old(&place, &message, call).await,
            Show::Nothing => Ok(Answer::Shown),
            Show::No => Ok(Answer::NotShown),
            Show::Gone { visible } => {
                self.finish_withdrawn(visible, call).await;
                Ok(Answer::Gone)
            }
        }
    }

    /// Ends the writing before Slack does it with an error. The work goes on.
    async fn close_old(
        &self,
        place: &Place,
        message: &StreamMessage,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let stream = place_of(place, message);
        let status = SessionStatus::Processing;
        let mut stopped = self.slack.stop_stream(&stream, Some(LAST_WORDS), status, call.until()).await;
        if matches!(&stopped, Stopped::NotYet(trouble) if trouble.retry != Retry::Later) {
            // Slack does not take the words. Without them half a sentence stands there, and with Slack's error much less.
            stopped = self.slack.stop_stream(&stream, None, status, call.until()).await;
        }
        match stopped {
            Stopped::Yes => {
                self.note_closed(message, call).await?;
                Ok(Answer::NotShown)
            }
            Stopped::ByUser => self.stopped_by_user(call).await,
            Stopped::NotYet(Trouble { reason, .. }) => {
                call.report.not_shown = Some(reason);
                Ok(Answer::Later)
            }
        }
    }

    async fn may_show(&self, piece: &Piece, nonce: &Token, call: &mut Call<'_>) -> Result<Show, StoreError> {
        let stop = self.stop(call).await?;
        let token = call.token;
        let is_empty = matches!(piece, Piece::Text { text, .. } if text.is_empty());
        update(&self.store, &self.clock, call.key, |record, now| {
            stream::show(record, token, nonce, is_empty, withdrawal(now, stop.as_ref()))
        })
        .await
    }

    /// Has Slack make the message. `None` if there is none that can be written into.
    async fn open(
        &self,
        place: &Place,
        nonce: &Token,
        call: &mut Call<'_>,
    ) -> Result<Option<StreamMessage>, StoreError> {
        let (Some(thread_ts), Some(user), true) = (&place.thread_ts, &place.user, self.has_time(call)) else {
            update(&self.store, &self.clock, call.key, |record, _| stream::refused(record, nonce)).await?;
            return Ok(None);
        };
        let (tenant, team_id) = (place.tenant.as_deref(), place.team_id.as_deref());
        let start = StreamStart { tenant, channel: &place.channel, thread_ts, user, team_id };
        let begun_at = self.clock.now();
        match self.slack.start_stream(&start, call.until()).await {
            Started::Message { ts } => {
                let message = StreamMessage { ts, begun_at, by: call.token.clone() };
                let opened = update(&self.store, &self.clock, call.key, |record, _| {
                    stream::opened(record, nonce, &message)
                })
                .await;
                if matches!(opened, Ok(true)) {
                    return Ok(Some(message));
                }
                // The answer is on its way by now, or the question has ended, or the message could not be written down. It is
                // empty, and nobody will know of it.
                let stream = place_of(place, &message);
                self.slack.stop_stream(&stream, None, SessionStatus::Processing, call.until()).await;
                self.slack.delete_message(&stream, call.until()).await;
                opened.map(|_| None)
            }
            Started::Refused { reason } => {
                call.report.not_shown = Some(reason);
                update(&self.store, &self.clock, call.key, |record, _| stream::refused(record, nonce))
                    .await?;
                Ok(None)
            }
            // Perhaps there is a message, and nobody will ever know which. So there is no other.
            Started::Unknown { reason } => {
                call.report.not_shown = Some(reason);
                Ok(None)
            }
        }
    }

    async fn append(
        &self,
        piece: &Piece,
        is_anew: bool,
        place: &Place,
        message: &StreamMessage,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let stream = place_of(place, message);
        let shown = match piece {
            _ if !self.has_time(call) => return Ok(Answer::Later),
            Piece::Text { text, is_first } => {
                let mut text = answer_text::preview(text);
                if *is_first && is_anew {
                    text.insert_str(0, ANEW);
                }
                self.slack.append(&stream, &Addition::Text(&text), call.until()).await
            }
            Piece::Step { id, title, status } => {
                let title = answer_text::safe(title);
                let step = Addition::Step { id, title: &title, status: *status };
                self.slack.append(&stream, &step, call.until()).await
            }
        };
        Ok(match shown {
            Appended::Sent => Answer::Shown,
            Appended::Later { reason } => {
                call.report.not_shown = Some(reason);
                Answer::Later
            }
            Appended::Refused { reason } => {
                call.report.not_shown = Some(reason);
                Answer::NotShown
            }
            Appended::Over { reason } => {
                call.report.not_shown = Some(reason);
                self.note_closed(message, call).await?;
                Answer::NotShown
            }
            Appended::StoppedByUser => self.stopped_by_user(call).await?,
        })
    }

    async fn note_closed(&self, message: &StreamMessage, call: &Call<'_>) -> Result<(), StoreError> {
        update(&self.store, &self.clock, call.key, |record, _| stream::closed(record, message)).await
    }

    /// Somebody has pressed stop on the message: the question ends, and nothing is posted. The event that tells the same comes by
    /// the queue, and counts the question among those that it has stopped.
    pub(super) async fn stopped_by_user(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let token = call.token;
        let stopped =
            update(&self.store, &self.clock, call.key, |record, _| stream::stopped_by_user(record, token));
        match stopped.await? {
            Some(visible) => {
                self.finish_withdrawn(Some(visible), call).await;
                Ok(Answer::Cancel { why: STOPPED })
            }
            None => Ok(Answer::Gone),
        }
    }

    /// Puts an answer's first part into the message of the stream, in the place of all that was shown.
    pub(super) async fn put_into_stream(
        &self,
        record: &Record,
        post: &Post<'_>,
        call: &Call<'_>,
    ) -> Result<Put, StoreError> {
        let later = |Trouble { reason, retry, retry_after }| {
            // Whatever it is, it may be tried again, and a text that Slack never takes has been seen to below.
            let retry = if retry == Retry::Never { Retry::AfterChange } else { retry };
            Put::As(PostOutcome::Refused { reason, retry, retry_after })
        };
        let Some(message) = record.stream.as_ref().and_then(Stream::message) else {
            return Ok(Put::NoMessage(String::new()));
        };
        let stream = StreamPlace { tenant: post.tenant, channel: post.channel, ts: &message.ts };
        let mut is_stopped = matches!(record.stream, Some(Stream::Closed(_)));
        if !is_stopped {
            match self.slack.stop_stream(&stream, None, SessionStatus::Active, call.until()).await {
                Stopped::Yes => is_stopped = true,
                Stopped::ByUser => return Ok(Put::StoppedByUser),
                Stopped::NotYet(trouble) if trouble.retry == Retry::Later => return Ok(later(trouble)),
                // It may be over all the same: whether it is shows when the text is put.
                Stopped::NotYet(_) => {}
            }
        }
        let is_being_deleted = matches!(record.stream, Some(Stream::Deleting(_)));
        if is_being_deleted || message.is_old(self.clock.now()) {
            // Nobody is notified of a text that is replaced, and people have stopped waiting: a post tells them.
            match self.delete_stream(message, &stream, call).await? {
                Deleted::Yes => return Ok(Put::NoMessage("too_old".to_owned())),
                // What was tried before has not deleted it either.
                Deleted::Never { reason } if is_being_deleted && is_stopped => {
                    return Ok(Put::NoMessage(reason));
                }
                Deleted::Never { reason } if is_being_deleted => {
                    return Ok(later(Trouble { reason, retry: Retry::AfterChange, retry_after: None }));
                }
                Deleted::Never { .. } => {
                    // This was the only call that would have deleted it, and Slack has refused it. So the text may be put there, and
                    // what nobody knows of that may be put there again.
                    update(&self.store, &self.clock, call.key, |record, _| {
                        stream::not_deleted(record, message, !is_stopped)
                    })
                    .await?;
                }
                Deleted::NotYet(trouble) => return Ok(later(trouble)),
            }
        }
        let mut replaced = self.slack.replace(&message.ts, post, call.until()).await;
        if replaced == Replaced::StillWritten {
            match self.slack.stop_stream(&stream, None, SessionStatus::Active, call.until()).await {
                Stopped::ByUser => return Ok(Put::StoppedByUser),
                Stopped::Yes | Stopped::NotYet(_) => {}
            }
            replaced = self.slack.replace(&message.ts, post, call.until()).await;
        }
        Ok(match replaced {
            Replaced::Yes => Put::As(PostOutcome::Posted { ts: Some(message.ts.clone()) }),
            Replaced::NoSuchMessage { reason } => Put::NoMessage(reason),
            Replaced::Never { reason }
                if post.feedback_for.is_some() && super::post::REFUSED_BLOCKS.contains(&reason.as_str()) =>
            {
                Put::As(PostOutcome::Refused { reason, retry: Retry::Never, retry_after: None })
            }
            // As a new message Slack may take it. What it was to replace must not stand beside it.
            Replaced::Never { reason } => match self.delete_stream(message, &stream, call).await? {
                Deleted::Yes => Put::NoMessage(reason),
                // Nothing more can be done about it.
                Deleted::Never { .. } if is_stopped => Put::NoMessage(reason),
                Deleted::Never { reason } => {
                    later(Trouble { reason, retry: Retry::AfterChange, retry_after: None })
                }
                Deleted::NotYet(trouble) => later(trouble),
            },
            Replaced::StillWritten => later(Trouble {
                reason: "slack_streaming_state_conflict".to_owned(),
                retry: Retry::Later,
                retry_after: None,
            }),
            Replaced::NotYet(trouble) => later(trouble),
        })
    }

    /// Deletes the message of the stream, which is written down first: after that nothing is put into it any more, because the call
    /// may take effect when it is long given up.
    async fn delete_stream(
        &self,
        message: &StreamMessage,
        stream: &StreamPlace<'_>,
        call: &Call<'_>,
    ) -> Result<Deleted, StoreError> {
        let written =
            update(&self.store, &self.clock, call.key, |record, _| stream::deleting(record, message));
        if !written.await? {
            let reason = "another_stream".to_owned();
            return Ok(Deleted::NotYet(Trouble { reason, retry: Retry::Later, retry_after: None }));
        }
        Ok(self.slack.delete_message(stream, call.until()).await)
    }

    /// Ends the writing into a message whose question has ended without a text. Nothing depends on it: Slack does it after five
    /// minutes by itself.
    pub(super) async fn close_stream(&self, record: &Record, call: &mut Call<'_>) {
        let (Some(Stream::Open(message)), Some(place)) = (&record.stream, &record.place) else { return };
        let stream = place_of(place, message);
        match self.slack.stop_stream(&stream, None, SessionStatus::Active, call.until()).await {
            Stopped::Yes | Stopped::ByUser => {
                if let Err(error) = self.note_closed(message, call).await {
                    call.report.errors.add("stream", &error);
                }
            }
            Stopped::NotYet(Trouble { reason, .. }) => call.report.not_shown = Some(reason),
        }
    }
}

fn place_of<'a>(place: &'a Place, message: &'a StreamMessage) -> StreamPlace<'a> {
    StreamPlace { tenant: place.tenant.as_deref(), channel: &place.channel, ts: &message.ts }
}
