//! The stream of a question: the one message in which people see the answer while it is being thought. All of it is pure.
//!
//! ```text
//!            begin              Slack names the message            stopped, or Slack's five minutes are over
//!   (none) ──────────▶ begun ───────────────────────────▶ open ──────────────────────────────────────────────▶ closed
//!                        │                                  ├─ the answer cannot take its place ─▶ deleting ◀──┤
//!                        └── refused ──▶ none any more ◀────┴───────── the message is gone ────────────────────┘
//! ```
//!
//! The message is a preview: its text is replaced as a whole by the answer when that is posted, which may be repeated without
//! harm. So it does not matter what of a preview was lost, or came twice. A question has one stream in all of its attempts. If
//! nobody knows which message it is, because the answer of Slack's was lost, the question's answer is posted as any other.

use crate::work::transition::Transition;
use std::time::Duration;

use super::operations::{Now, stopped};
use super::receive::is_withdrawn;
use super::record::{Receive, Record, State};
use super::token::Token;
use crate::slack::question::Place;
use crate::time::clock::UnixMillis;

/// How long after its beginning a stream is closed. Slack does it itself after about five minutes, whatever is appended, and then
/// shows that something went wrong (it documents no such limit; people have measured it:
/// <https://github.com/slackapi/python-slack-sdk/issues/1859>).
pub const LONGEST: Duration = Duration::from_secs(4 * 60 + 30);

/// How far a question's stream is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The call with this mark asks Slack for the message, or did, and its answer was lost.
    Begun(Token),
    /// The message stands, and text can be appended to it.
    Open(StreamMessage),
    /// The message stands, and nothing can be appended to it any more. Its text can be replaced.
    Closed(StreamMessage),
    /// The message stands perhaps, and is being deleted, because the answer cannot take its place. A call that deletes it may take
    /// effect late, so nothing is put into it any more: the answer is posted as any other when it is gone.
    Deleting(StreamMessage),
    /// There is none, and there will be none: Slack has refused it, or somebody has deleted the message.
    NoneAnyMore,
}

/// The message of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamMessage {
    /// Slack's `ts` of it.
    pub ts: String,
    /// When it was asked for.
    pub begun_at: UnixMillis,
    /// The token of whoever was at work then.
    pub by: Token,
}

impl StreamMessage {
    /// Whether it is so old that Slack lets nobody write into it, or will not for long.
    pub fn is_old(&self, now: UnixMillis) -> bool {
        self.begun_at.until(now) >= LONGEST
    }
}

impl Stream {
    /// The message, if it is known.
    pub const fn message(&self) -> Option<&StreamMessage> {
        match self {
            Self::Open(message) | Self::Closed(message) | Self::Deleting(message) => Some(message),
            Self::Begun(_) | Self::NoneAnyMore => None,
        }
    }
}

/// Whether the answer may be shown while it is being thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// Slack is to be asked for the message, by a call with the mark that is written down.
    Start(Place),
    /// The text is to be appended to this message.
    Append {
        /// Where the question was asked.
        place: Place,
        /// The message.
        message: StreamMessage,
        /// Whether somebody else has begun it: an earlier attempt, as a rule.
        is_anew: bool,
    },
    /// There is nothing to append, and no message to close.
    Nothing,
    /// The message is to be closed: it has been written for as long as Slack lets it.
    Close(Place, StreamMessage),
    /// The answer is not shown before it is posted.
    No,
    /// The token is not the record's, or the question was withdrawn.
    Gone {
        /// The receive that is to be made visible, because this call ended the question.
        visible: Option<Receive>,
    },
}

/// Whether the answer of a question asked here may be shown while it is being thought. Slack streams to one person, and into a
/// thread. What is answered by a `response_url` may be where the app is no member.
fn has_streams(place: &Place) -> bool {
    place.user.is_some() && place.thread_ts.is_some() && place.response_url.is_none()
}

/// What is to be done to show some of the answer, or nothing new if `is_empty`. `nonce` is the mark of the call that may ask Slack
/// for the message.
pub fn show(
    record: Option<&Record>,
    token: &Token,
    nonce: &Token,
    is_empty: bool,
    now: Now<'_>,
) -> Transition<Show> {
    let gone = Transition::only(Show::Gone { visible: None });
    let Some(record) = record else { return gone };
    let Some(flight) = record.flight_of(token) else { return gone };
    if is_withdrawn(record, now.stopped_at) {
        let visible = Some(flight.receive.clone());
        return Transition::write(stopped(record, token), Show::Gone { visible });
    }
    let Some(place) = record.place.as_ref().filter(|place| has_streams(place)) else {
        return Transition::only(Show::No);
    };
    match &record.stream {
        None if is_empty => Transition::only(Show::Nothing),
        None => {
            let stream = Some(Stream::Begun(nonce.clone()));
            Transition::write(Record { stream, ..record.clone() }, Show::Start(place.clone()))
        }
        // This very call's write, whose answer was lost.
        Some(Stream::Begun(begun)) if begun == nonce => Transition::only(Show::Start(place.clone())),
        Some(Stream::Open(message)) if message.is_old(now.now) => {
            Transition::only(Show::Close(place.clone(), message.clone()))
        }
        Some(Stream::Open(_)) if is_empty => Transition::only(Show::Nothing),
        Some(Stream::Open(message)) => Transition::only(Show::Append {
            place: place.clone(),
            message: message.clone(),
            is_anew: message.by != *token,
        }),
        Some(Stream::Begun(_) | Stream::Closed(_) | Stream::Deleting(_) | Stream::NoneAnyMore) => {
            Transition::only(Show::No)
        }
    }
}

/// Writes down which message the call with this `nonce` has got from Slack. False if nobody will write into it or replace its
/// text: the answer is on its way without it, or the question has ended.
pub fn opened(record: Option<&Record>, nonce: &Token, message: &StreamMessage) -> Transition<bool> {
    let Some(record) = record else { return Transition::only(false) };
    match (&record.stream, &record.state) {
        (Some(Stream::Begun(begun)), State::InFlight(_) | State::Free) if begun == nonce => {
            let stream = Some(Stream::Open(message.clone()));
            Transition::write(Record { stream, ..record.clone() }, true)
        }
        // This very call's write, whose answer was lost, or what others have made of it since.
        (Some(stream), _) => Transition::only(stream.message() == Some(message)),
        (None, _) => Transition::only(false),
    }
}

/// Writes down that the call with this `nonce` was certainly refused: there is no stream.
pub fn refused(record: Option<&Record>, nonce: &Token) -> Transition<()> {
    match record {
        Some(record) if record.stream == Some(Stream::Begun(nonce.clone())) => {
            Transition::write(Record { stream: Some(Stream::NoneAnyMore), ..record.clone() }, ())
        }
        _ => Transition::only(()),
    }
}

/// Writes down that nothing can be appended to this message any more.
pub fn closed(record: Option<&Record>, message: &StreamMessage) -> Transition<()> {
    match record {
        Some(record) if record.stream == Some(Stream::Open(message.clone())) => {
            let stream = Some(Stream::Closed(message.clone()));
            Transition::write(Record { stream, ..record.clone() }, ())
        }
        _ => Transition::only(()),
    }
}

/// Writes down that this message is about to be deleted. False if it is not the question's stream any more.
pub fn deleting(record: Option<&Record>, message: &StreamMessage) -> Transition<bool> {
    let Some(record) = record else { return Transition::only(false) };
    let being_deleted = Some(Stream::Deleting(message.clone()));
    if record.stream == being_deleted {
        return Transition::only(true);
    }
    if record.stream.as_ref().and_then(Stream::message) != Some(message) {
        return Transition::only(false);
    }
    Transition::write(Record { stream: being_deleted, ..record.clone() }, true)
}

/// Writes down that this message, which was to be deleted, is certainly not, and never will be: a text may be put there again.
/// `is_written`: somebody may still write into it.
pub fn not_deleted(record: Option<&Record>, message: &StreamMessage, is_written: bool) -> Transition<()> {
    match record {
        Some(record) if record.stream == Some(Stream::Deleting(message.clone())) => {
            let message = message.clone();
            let stream = Some(if is_written { Stream::Open(message) } else { Stream::Closed(message) });
            Transition::write(Record { stream, ..record.clone() }, ())
        }
        _ => Transition::only(()),
    }
}

/// Ends a question because Slack has said that somebody pressed stop on its stream. The answer is the receive that is to be made
/// visible; `None` if the token is not the record's. An answer that is on its way ends as well: it is not posted after a stop.
pub fn stopped_by_user(record: Option<&Record>, token: &Token) -> Transition<Option<Receive>> {
    let Some(record) = record else { return Transition::only(None) };
    match &record.state {
        State::InFlight(flight) if flight.token.as_ref() == Some(token) => {
            Transition::write(stopped(record, token), Some(flight.receive.clone()))
        }
        // Once a part stands, it is too late.
        State::Posting(posting) if posting.token == *token && posting.part == 0 => {
            Transition::write(stopped(record, token), Some(posting.receive.clone()))
        }
        _ => Transition::only(None),
    }
}

#[cfg(test)]
mod tests;
