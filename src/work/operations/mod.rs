//! What agent-settle's operations do to a record. Each needs a token: who does not have the record's changes nothing. All of it
//! is pure.

use crate::work::transition::Transition;
use std::time::Duration;

use super::journal::MAX_CALLS;
use super::receive::{OUTCOME_UNKNOWN, STOPPED, UNTOLD, is_withdrawn};
use super::record::{BEAT, Declined, End, Flight, LEASE, Posting, Receive, Record, State, Via};
use super::stream::Stream;
use super::token::Token;
use crate::slack::question::{Place, SlackTs};
use crate::time::clock::UnixMillis;

/// Every third beat renews, and a beat may come a little early: a lease with more than this left is not renewed.
const RENEWED_BELOW: Duration = Duration::from_millis(
    LEASE.as_millis() as u64 - 3 * BEAT.as_millis() as u64 + BEAT.as_millis() as u64 / 2,
);

/// What time it is, and when somebody last pressed stop in the question's thread.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The time.
    pub now: UnixMillis,
    /// When somebody pressed stop; absent if nobody has.
    pub stopped_at: Option<&'a SlackTs>,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The question is the claimer's.
    Yours {
        /// Which attempt it is; 1 is the first.
        attempt: u32,
        /// Where the question was asked.
        place: Option<Place>,
        /// How many calls of tools the question's journal has.
        tool_calls: u32,
        /// The receive that is to be put off for a lease and no longer, because the lease before was longer.
        shorten: Option<Receive>,
    },
    /// The token is not the record's, or the question was withdrawn. There is nothing to do.
    Gone {
        /// The receive that is to be made visible, because this claim ended the question.
        visible: Option<Receive>,
    },
}

/// Puts the claimer's own token in the place of the one that it came with. The same claim again has the same answer.
pub fn claim(record: Option<&Record>, token: &Token, new: &Token, now: Now<'_>) -> Transition<Claimed> {
    let yours = |record: &Record, shorten| {
        let place = record.place.clone();
        Claimed::Yours { attempt: record.attempts, place, tool_calls: record.tool_calls, shorten }
    };
    let gone = Transition::only(Claimed::Gone { visible: None });
    let Some(record) = record else { return gone };
    let State::InFlight(flight) = &record.state else { return gone };
    if flight.token.as_ref() == Some(new) && flight.claimed_from.as_ref() == Some(token) {
        return Transition::only(yours(record, None));
    }
    if flight.token.as_ref() != Some(token) {
        return gone;
    }
    if is_withdrawn(record, now.stopped_at) {
        return Transition::write(
            stopped(record, token),
            Claimed::Gone { visible: Some(flight.receive.clone()) },
        );
    }
    let shorten = (flight.lease_until > now.now.after(LEASE)).then(|| flight.receive.clone());
    let claimed = Flight {
        token: Some(new.clone()),
        claimed_from: Some(token.clone()),
        lease_until: now.now.after(LEASE),
        receive: flight.receive.clone(),
    };
    let attempts = record.attempts.saturating_add(1);
    let claimed =
        Record { attempts, deferrals: 0, calls_in_vain: 0, ..record.with(State::InFlight(claimed)) };
    let then = yours(&claimed, shorten);
    Transition::write(claimed, then)
}

pub(super) fn stopped(record: &Record, token: &Token) -> Record {
    let why = STOPPED.to_owned();
    record.with(State::Told { why, told_for: None, token: Some(token.clone()) })
}

/// The answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The work goes on.
    GoOn {
        /// The receive whose visibility is to be renewed, if this beat renews.
        renew: Option<Receive>,
    },
    /// The work is to end at once, and nothing is posted.
    Cancel {
        /// `stopped`, `deleted`, or `gone`: somebody else works on the question by now.
        why: &'static str,
        /// The receive that is to be made visible, because this beat ended the question.
        visible: Option<Receive>,
    },
}

/// Why a beat cancels: the token is no longer the record's.
pub const GONE: &str = "gone";

/// Says that somebody still works. `deleted` is the code of a deleted question.
pub fn beat(record: Option<&Record>, token: &Token, now: Now<'_>) -> Transition<Beat> {
    let cancel = |why| Transition::only(Beat::Cancel { why, visible: None });
    let Some(record) = record else { return cancel(GONE) };
    match &record.state {
        State::InFlight(flight) if flight.token.as_ref() == Some(token) => {
            if is_withdrawn(record, now.stopped_at) {
                let visible = Some(flight.receive.clone());
                return Transition::write(stopped(record, token), Beat::Cancel { why: STOPPED, visible });
            }
            if now.now.until(flight.lease_until) >= RENEWED_BELOW {
                return Transition::only(Beat::GoOn { renew: None });
            }
            let renewed = Flight { lease_until: now.now.after(LEASE), ..flight.clone() };
            let renew = Some(flight.receive.clone());
            Transition::write(record.with(State::InFlight(renewed)), Beat::GoOn { renew })
        }
        State::Posting(posting) if posting.token == *token => Transition::only(Beat::GoOn { renew: None }),
        State::Told { why, .. } if why == STOPPED => cancel(STOPPED),
        State::Told { why, .. } if why == super::receive::DELETED => cancel(super::receive::DELETED),
        _ => cancel(GONE),
    }
}

/// Whether a call of a tool may be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is counted, now or before: whoever writes the first entry under its number makes it.
    Yes {
        /// Where the question was asked: for its installation the tool is called.
        place: Option<Place>,
    },
    /// The question has used up its calls.
    TooMany,
    /// The token is not the record's, or the question was withdrawn. Nothing is called.
    Gone {
        /// The receive that is to be made visible, because this call ended the question.
        visible: Option<Receive>,
    },
}

/// Counts the call with this number before anything else is done about it. A claim tells the next attempt how far the count
/// went, so that it learns of every call that may have been made. Numbers may be left out: whoever has heard nothing of a call goes
/// on with the next one.
pub fn count_call(record: Option<&Record>, token: &Token, number: u32, now: Now<'_>) -> Transition<Counted> {
    let gone = Transition::only(Counted::Gone { visible: None });
    let Some(record) = record else { return gone };
    let Some(flight) = record.flight_of(token) else { return gone };
    if is_withdrawn(record, now.stopped_at) {
        let visible = Some(flight.receive.clone());
        return Transition::write(stopped(record, token), Counted::Gone { visible });
    }
    let yes = Counted::Yes { place: record.place.clone() };
    if number <= record.tool_calls {
        return Transition::only(yes);
    }
    if number > MAX_CALLS {
        return Transition::only(Counted::TooMany);
    }
    Transition::write(Record { tool_calls: number, ..record.clone() }, yes)
}

/// What a text becomes that somebody wants to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It is written down, and its first part is to be posted now.
    Post(Box<Record>),
    /// There was nothing to post, and the question is at its end.
    Ended {
        /// The receive that is to be deleted.
        delete: Receive,
    },
    /// The same token's text is written down already: it is posted without this call.
    TakenOver,
    /// The same token's text stands already.
    Stands {
        /// How it ended.
        end: End,
        /// Slack's `ts` of the last part, if there is one.
        ts: Option<String>,
    },
    /// Another question that the text answers, too, is somebody else's by now. Nothing is posted, and this question was given back.
    Apart {
        /// The receive that is to be made visible.
        visible: Receive,
    },
    /// A dispatcher has just taken such another question, and may give it back within a moment. Nothing was done.
    Soon,
    /// There is no place to post an answer to.
    NoPlace,
    /// There is no place to say that there will be no answer, and the question is at its end.
    Untellable {
        /// The receive that is to be made visible.
        visible: Receive,
    },
    /// The token is not the record's, or the question was withdrawn. Nothing is posted.
    Gone {
        /// The receive that is to be made visible, because this call ended the question.
        visible: Option<Receive>,
    },
}

/// Writes down what is to be posted, before anything is. Without a `text` the question ends there and then.
pub fn intend(
    record: Option<&Record>,
    token: &Token,
    text: Option<&str>,
    end: &End,
    nonce: &Token,
    now: Now<'_>,
) -> Transition<Intent> {
    let gone = Transition::only(Intent::Gone { visible: None });
    let Some(record) = record else { return gone };
    let flight = match &record.state {
        State::InFlight(flight) if flight.token.as_ref() == Some(token) => flight,
        // This very call's write, whose answer was lost.
        State::Posting(posting) if posting.token == *token && posting.nonce.as_ref() == Some(nonce) => {
            return Transition::only(Intent::Post(Box::new(record.clone())));
        }
        State::Posting(posting) if posting.token == *token => return Transition::only(Intent::TakenOver),
        State::Answered { ts, token: by } if by.as_ref() == Some(token) => {
            return Transition::only(Intent::Stands { end: End::Answered, ts: ts.clone() });
        }
        State::Suspended { asking, ts, token: by } if by == token => {
            return Transition::only(Intent::Stands { end: End::Suspended(asking.clone()), ts: ts.clone() });
        }
        State::Told { why, told_for: Some(_), token: by } if by.as_ref() == Some(token) => {
            let end = End::Told { why: why.clone() };
            return Transition::only(Intent::Stands { end, ts: None });
        }
        _ => return gone,
    };
    if is_withdrawn(record, now.stopped_at) {
        let visible = Some(flight.receive.clone());
        return Transition::write(stopped(record, token), Intent::Gone { visible });
    }
    let Some(text) = text else {
        let answered = State::Answered { ts: None, token: Some(token.clone()) };
        let ended = Record { declined: declined(end), ..record.with(answered) };
        return Transition::write(ended, Intent::Ended { delete: flight.receive.clone() });
    };
    if record.place.is_none() {
        return match end {
            End::Answered | End::Declined(_) | End::Suspended(_) => Transition::only(Intent::NoPlace),
            // Nobody can be told in Slack, so the dead letter is the telling.
            End::Told { why } => {
                let told_for = Some(flight.receive.message_id.clone());
                let told = State::Told { why: why.clone(), told_for, token: Some(token.clone()) };
                Transition::write(record.with(told), Intent::Untellable { visible: flight.receive.clone() })
            }
        };
    }
    let posting = record.with(State::Posting(Posting {
        token: token.clone(),
        receive: flight.receive.clone(),
        text: text.to_owned(),
        end: end.clone(),
        part: 0,
        nonce: Some(nonce.clone()),
        intent_at: now.now,
        via: record.way_of_part(0, end),
        sight: None,
    }));
    let asks = u32::from(matches!(end, End::Suspended(_)));
    let suspensions = posting.suspensions.saturating_add(asks);
    let posting = Record { deferrals: 0, suspensions, ..posting };
    Transition::write(posting.clone(), Intent::Post(Box::new(posting)))
}

const fn declined(end: &End) -> Option<Declined> {
    match end {
        End::Declined(declined) => Some(*declined),
        End::Answered | End::Suspended(_) | End::Told { .. } => None,
    }
}

/// What follows when a part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The next part is to be posted now, with the nonce that it was given.
    Next(Box<Record>),
    /// Another one posts the rest: the token is somebody else's, or the time is over.
    Left {
        /// The receive that is to be made visible.
        visible: Receive,
    },
    /// It was the last one.
    Ended {
        /// How the question ended.
        end: End,
        /// The receive that is to be deleted (an answer), or made visible (so that the dispatcher sends the letter).
        receive: Receive,
    },
    /// Somebody else has found out before.
    Gone,
}

/// Writes down that the part with this nonce stands in Slack. There are `parts` of them. `next` is the nonce of the part after
/// it, or `None` if it is not to be posted by this call.
pub fn posted(
    record: Option<&Record>,
    token: &Token,
    nonce: &Token,
    ts: Option<&str>,
    parts: usize,
    next: Option<&Token>,
    now: UnixMillis,
) -> Transition<Posted> {
    let Some(record) = record else { return Transition::only(Posted::Gone) };
    let Some(posting) = record.posting_with(nonce) else {
        // This very call's write, whose answer was lost.
        let is_next = next.is_some_and(|next| record.posting_with(next).is_some());
        let then = if is_next { Posted::Next(Box::new(record.clone())) } else { Posted::Gone };
        return Transition::only(then);
    };
    let part = posting.part.saturating_add(1);
    // Nobody writes into the message any more in which the text stands.
    let stream = match (&record.stream, posting.via) {
        (Some(Stream::Open(message)), Via::Stream) => Some(Stream::Closed(message.clone())),
        (stream, _) => stream.clone(),
    };
    let record = &Record { stream, ..record.clone() };
    if usize::try_from(part).is_ok_and(|part| part >= parts) {
        let by = Some(posting.token.clone());
        let ended = match &posting.end {
            End::Answered | End::Declined(_) => State::Answered { ts: ts.map(str::to_owned), token: by },
            End::Suspended(asking) => State::Suspended {
                asking: asking.clone(),
                ts: ts.map(str::to_owned),
                token: posting.token.clone(),
            },
            End::Told { why } => State::Told {
                why: why.clone(),
                told_for: Some(posting.receive.message_id.clone()),
                token: by,
            },
        };
        let then = Posted::Ended { end: posting.end.clone(), receive: posting.receive.clone() };
        let declined = declined(&posting.end);
        return Transition::write(Record { deferrals: 0, declined, ..record.with(ended) }, then);
    }
    let next = next.filter(|_| posting.token == *token).cloned();
    let is_ours = next.is_some();
    // What is left of an answer that began in a stream goes into the channel, and by a `response_url` all of it goes.
    let via = if posting.via == Via::Stream { Via::Channel } else { posting.via };
    let posting = Posting { part, nonce: next, intent_at: now, via, sight: None, ..posting.clone() };
    let visible = posting.receive.clone();
    let record = Record { deferrals: 0, ..record.with(State::Posting(posting)) };
    let then = if is_ours { Posted::Next(Box::new(record.clone())) } else { Posted::Left { visible } };
    Transition::write(record, then)
}

/// Writes down that the post with this nonce was certainly not made. The answer is the record without the nonce, whose text
/// somebody posts later; `None` if somebody else has found out before.
pub fn refused(record: Option<&Record>, nonce: &Token) -> Transition<Option<Record>> {
    let Some((record, posting)) =
        record.and_then(|record| record.posting_with(nonce).map(|posting| (record, posting)))
    else {
        return Transition::only(None);
    };
    let without = Posting { nonce: None, sight: None, ..posting.clone() };
    let deferrals = record.deferrals.saturating_add(1);
    let record = Record { deferrals, ..record.with(State::Posting(without)) };
    Transition::write(record.clone(), Some(record))
}

/// Writes down that the message of the stream is not there any more, so that the text with this nonce was certainly not put into
/// it. The answer is the record without the nonce and without a stream, whose text is posted as any other; `None` if somebody
/// else has found out before.
pub fn stream_is_gone(record: Option<&Record>, nonce: &Token) -> Transition<Option<Record>> {
    let refused = refused(record, nonce);
    let without = |record: Record| Record { stream: Some(Stream::NoneAnyMore), ..record };
    Transition { write: refused.write.map(without), then: refused.then.map(without) }
}

/// Begins the post of a text whose last post was certainly not made. The answer is the record with the nonce; `None` if the
/// token is not the record's, or another call is under way. Where `via` is the channel, a first part goes into the question's
/// stream, if it has one.
pub fn start(
    record: Option<&Record>,
    token: &Token,
    nonce: &Token,
    via: Via,
    now: UnixMillis,
) -> Transition<Option<Record>> {
    let Some(record) = record else { return Transition::only(None) };
    match &record.state {
        State::Posting(posting) if posting.token == *token && posting.nonce.is_none() => {
            let via = if via == Via::Channel { record.way_of_part(posting.part, &posting.end) } else { via };
            let started =
                Posting { nonce: Some(nonce.clone()), intent_at: now, via, sight: None, ..posting.clone() };
            let record = record.with(State::Posting(started));
            Transition::write(record.clone(), Some(record))
        }
        // This very call's write, whose answer was lost.
        State::Posting(posting) if posting.token == *token && posting.nonce.as_ref() == Some(nonce) => {
            Transition::only(Some(record.clone()))
        }
        _ => Transition::only(None),
    }
}

/// Has a text say why there will be no answer, in the place of one that asks a person, which Slack has certainly not taken and will
/// not take. It begins the post of that text as [`start`] does, in the same write: so nobody posts the question once more behind
/// it. The answer is the record with the nonce; `None` if the token is not the record's, or another call is under way.
pub fn tell_instead(
    record: Option<&Record>,
    token: &Token,
    (text, why): (&str, &str),
    nonce: &Token,
    via: Via,
    now: UnixMillis,
) -> Transition<Option<Record>> {
    match record.map(|record| (record, &record.state)) {
        Some((record, State::Posting(posting)))
            if posting.token == *token
                && posting.nonce.is_none()
                && matches!(posting.end, End::Suspended(_)) =>
        {
            let end = End::Told { why: why.to_owned() };
            let told = Posting { text: text.to_owned(), end, ..posting.clone() };
            let told = record.with(State::Posting(told));
            let started = start(Some(&told), token, nonce, via, now).then;
            Transition { write: started.clone(), then: started }
        }
        // This very call's write, whose answer was lost.
        Some((record, State::Posting(posting)))
            if posting.token == *token && posting.nonce.as_ref() == Some(nonce) =>
        {
            Transition::only(Some(record.clone()))
        }
        _ => Transition::only(None),
    }
}

/// Whether the holder of this token may look for the post with an unknown outcome: when the token was taken after the
/// wait in which the post's call ends, and the wait is over by this clock, too. The answer has the post's nonce.
pub fn may_look_for(record: &Record, token: &Token, post_wait: Duration, now: UnixMillis) -> Option<Token> {
    let State::Posting(posting) = &record.state else { return None };
    let (nonce, sight) = (posting.nonce.as_ref()?, posting.sight.as_ref()?);
    let is_of_this_post = sight.nonce == *nonce && posting.token == *token;
    let is_late_enough = sight.has_waited && sight.at.until(now) >= post_wait;
    (is_of_this_post && is_late_enough).then(|| nonce.clone())
}

/// Writes down that Slack could not be asked for the post with this nonce, and may be asked later. The answer is the record;
/// `None` if it is no longer this token's to ask.
pub fn asked_in_vain(record: Option<&Record>, token: &Token, nonce: &Token) -> Transition<Option<Record>> {
    let posting = record.and_then(|record| record.posting_with(nonce).map(|posting| (record, posting)));
    match posting {
        Some((record, posting)) if posting.token == *token => {
            let record = Record { deferrals: record.deferrals.saturating_add(1), ..record.clone() };
            Transition::write(record.clone(), Some(record))
        }
        _ => Transition::only(None),
    }
}

/// Ends a text that no later attempt can post, or of which nobody can find out whether it was posted. The dead letter and its
/// alarm tell a person. With a `nonce` it is the post with that one whose outcome stays unknown. The answer is the receive that
/// is to be made visible.
pub fn end_untold(
    record: Option<&Record>,
    token: &Token,
    nonce: Option<&Token>,
) -> Transition<Option<Receive>> {
    let Some(record) = record else { return Transition::only(None) };
    match &record.state {
        State::Posting(posting) if posting.token == *token && posting.nonce.as_ref() == nonce => {
            let why = if nonce.is_some() { OUTCOME_UNKNOWN } else { UNTOLD }.to_owned();
            let receive = posting.receive.clone();
            let told =
                State::Told { why, told_for: Some(receive.message_id.clone()), token: Some(token.clone()) };
            Transition::write(record.with(told), Some(receive))
        }
        _ => Transition::only(None),
    }
}

/// Gives the question back: it is free, and the attempt is not counted. The answer is the receive that is to be made visible;
/// `None` if the token is not the record's.
pub fn release(record: Option<&Record>, token: &Token) -> Transition<Option<Receive>> {
    let given_back =
        record.and_then(|record| Some((record.given_back_by(token)?, record.receive()?.clone())));
    match given_back {
        Some((free, receive)) => Transition::write(free, Some(receive)),
        None => Transition::only(None),
    }
}

#[cfg(test)]
mod tests;
