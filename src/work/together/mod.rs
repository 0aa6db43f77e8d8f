//! Several questions of a thread that one answer answers (`TURNS=together`). All of it is pure.
//!
//! ```text
//!  thread: the others that nobody works on are given to whoever works on the leading question
//!  answer: in one atomic step   leading in_flight ─▶ posting     each of the others  absent, free ─▶ joined
//!                               └─▶ one of them is somebody else's by now: nothing is posted, the leading one is given back
//! ```
//!
//! Whoever works on a question, the *leading* one, is given the other questions that stand in its thread ([`give`]), and says with the
//! answer which of them it answers, too ([`intend`]). Nothing is reserved in between: each of the others stays what it was, so that
//! none is lost if the leading one is stopped, deleted, refused, or waits for a person. Once it is joined, it ends as the leading one
//! does ([`found`]): an answer that is on its way is posted, or a person is told that it could not be.

use crate::work::transition::Transition;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::back_off::back_off;
use super::operations::{self, Intent, Now};
use super::receive::{self, DELETED, Done, Errand, Limits, OUTCOME_UNKNOWN, Received, STOPPED, is_withdrawn};
use super::record::{End, LEASE, Receive, Record, State};
use super::token::Token;
use crate::slack::question::{File, MAX_FILES, Place, SlackTs};
use crate::time::clock::UnixMillis;

/// How many other questions are given to whoever works on one.
pub const MAX_OTHERS: usize = 10;

/// How much longer than the time after which questions are given up a joined one waits: longer than any message is put off.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// How many other questions a record keeps of those that were given. Each attempt may be given some.
const MAX_KEPT: usize = 3 * MAX_OTHERS;

/// Another question of the thread that was given to whoever works on the leading one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Other {
    /// Its id.
    pub question_id: String,
    /// Who asked it.
    pub user: Option<String>,
    /// When it was asked.
    pub asked_at: SlackTs,
    /// The files that came with it, as far as they may be read for the leading question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

impl Other {
    /// Where it was asked: where the leading question was.
    pub fn place(&self, leading: &Place) -> Place {
        let (user, asked_at) = (self.user.clone(), self.asked_at.clone());
        Place { user, asked_at, response_url: None, ..leading.clone() }
    }
}

/// A decision about the record of the leading question and those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint<T> {
    /// The record of the leading question as it has to be; `None` leaves all records as they are.
    pub write: Option<Record>,
    /// The records of the others as they have to be, in their order, or none of them.
    pub others: Vec<Record>,
    /// What follows.
    pub then: T,
}

impl<T> Joint<T> {
    fn alone(decision: Transition<T>) -> Self {
        Self { write: decision.write, others: Vec::new(), then: decision.then }
    }
}

/// Whether somebody may answer a question together with another one: nobody works on it, nothing was done for it yet, and nobody has
/// withdrawn it. `record` is its own.
pub fn may_join(other: &Other, record: Option<&Record>, stopped_at: Option<&SlackTs>) -> bool {
    if stopped_at.is_some_and(|stopped_at| other.asked_at <= *stopped_at) {
        return false;
    }
    let Some(record) = record else { return true };
    match &record.state {
        // What its tools have done stands in its own journal, which whoever works on the leading question does not see.
        State::Free => is_untouched(record) && record.stream.is_none() && !is_withdrawn(record, stopped_at),
        State::InFlight(_)
        | State::Posting(_)
        | State::Answered { .. }
        | State::Suspended { .. }
        | State::Joined { .. }
        | State::Told { .. } => false,
    }
}

/// Whether a question may be answered together with others, as far as it is its own affair: nobody has claimed it without giving it
/// back, no tool was called for it, and it was not given back to be answered alone.
fn is_untouched(record: &Record) -> bool {
    !record.is_alone && record.attempts == 0 && record.tool_calls == 0 && record.suspensions == 0
}

/// Whether whoever works on a question is given others: not if it is to be answered alone. After an attempt that came to nothing it is,
/// too: what keeps one of them from being answered shall not keep the others from it.
pub fn is_given_others(record: &Record) -> bool {
    is_untouched(&Record { attempts: record.attempts.saturating_sub(1), ..record.clone() })
}

/// Gives the leading question back, to be answered alone, if whoever has this token was given others. The answer is the receive that
/// is to be made visible; `None`: it goes on.
///
/// That is so before a tool is called that may change something: it would be called for all of them, and what it did would stand in the
/// journal of the leading one alone, so that another one that is answered by itself after all would have it called again. And it is so
/// before somebody is told that there will be no answer: that may be the fault of one of them.
pub fn parted(record: Option<&Record>, token: &Token) -> Transition<Option<Receive>> {
    let has_others = record.is_some_and(|record| {
        let is_claimed = record.flight_of(token).is_some_and(|flight| flight.claimed_from.is_some());
        is_claimed && !record.is_alone && !record.together.is_empty()
    });
    if !has_others {
        return Transition::only(None);
    }
    let Transition { write, then } = apart(record, token);
    match then {
        Intent::Apart { visible } => Transition { write, then: Some(visible) },
        _ => Transition::only(None),
    }
}

/// Writes down which other questions are given to whoever has this token. The answer is those that are; `None` if the token is not the
/// record's. Those that were given before stay: an earlier request of the same attempt may have given them.
pub fn give(record: Option<&Record>, token: &Token, others: &[Other]) -> Transition<Option<Vec<Other>>> {
    let Some(record) = record.filter(|record| record.flight_of(token).is_some()) else {
        return Transition::only(None);
    };
    if !is_given_others(record) {
        return Transition::only(Some(Vec::new()));
    }
    let mut left = MAX_FILES.saturating_sub(record.files.len());
    let given: Vec<Other> = others
        .iter()
        .take(MAX_OTHERS)
        .map(|other| {
            let files: Vec<File> = other.files.iter().take(left).cloned().collect();
            left -= files.len();
            Other { files, ..other.clone() }
        })
        .collect();
    let is_new = |other: &&Other| !given.iter().any(|given| given.question_id == other.question_id);
    let before = record.together.iter().filter(is_new);
    // The files of those that were given before may be more than a record has room for.
    let before = before.map(|other| Other { files: Vec::new(), ..other.clone() });
    let together: Vec<Other> = given.iter().cloned().chain(before).take(MAX_KEPT).collect();
    let then = Some(given);
    if together == record.together {
        return Transition::only(then);
    }
    Transition::write(Record { together, ..record.clone() }, then)
}

/// Writes down an answer before it is posted, as [`operations::intend`] does, and in the same step that it answers the `others`, too:
/// their ids, each with its record.
pub fn intend(
    leading: Option<&Record>,
    leading_id: &str,
    others: &[(&str, Option<&Record>)],
    token: &Token,
    text: Option<&str>,
    nonce: &Token,
    now: Now<'_>,
) -> Joint<Intent> {
    let alone = operations::intend(leading, token, text, &End::Answered, nonce, now);
    let is_answer = matches!(alone.then, Intent::Post(_) | Intent::Ended { .. });
    let (Some(record), true) = (leading, alone.write.is_some() && is_answer) else {
        return Joint::alone(alone);
    };
    let mut joined = Vec::with_capacity(others.len());
    let mut waits_for_a_moment = true;
    let mut are_all_free = true;
    for (id, other_record) in others {
        let other = record.together.iter().find(|other| other.question_id == *id);
        let other = other.filter(|other| may_join(other, *other_record, now.stopped_at));
        let Some(other) = other else {
            are_all_free = false;
            waits_for_a_moment &= is_in_a_dispatchers_hands(*other_record, now.now);
            continue;
        };
        let place = record.place.as_ref().map(|place| other.place(place));
        let before = other_record.cloned().unwrap_or_else(|| Record::new(place, now.now));
        let state = State::Joined { to: leading_id.to_owned(), since: record.since };
        joined.push(before.with(state));
    }
    if are_all_free {
        return Joint { write: alone.write, others: joined, then: alone.then };
    }
    if waits_for_a_moment {
        return Joint::alone(Transition::only(Intent::Soon));
    }
    Joint::alone(apart(leading, token))
}

/// Gives the leading question back, to be answered alone.
pub fn apart(leading: Option<&Record>, token: &Token) -> Transition<Intent> {
    let given_back =
        leading.and_then(|leading| Some((leading.given_back_by(token)?, leading.receive()?.clone())));
    match given_back {
        Some((free, visible)) => {
            // It was alone already: an agent that says the same again and again uses its attempts up.
            let was_alone = leading.is_some_and(|leading| leading.is_alone);
            let attempts = leading.filter(|_| was_alone).map_or(free.attempts, |leading| leading.attempts);
            let free = Record { is_alone: true, together: Vec::new(), attempts, ..free };
            Transition::write(free, Intent::Apart { visible })
        }
        None => Transition::only(Intent::Gone { visible: None }),
    }
}

/// Whether a dispatcher has just taken a question, and nobody has claimed it: an agent that is busy with the leading one gives it back
/// at once.
fn is_in_a_dispatchers_hands(record: Option<&Record>, now: UnixMillis) -> bool {
    match record.map(|record| &record.state) {
        Some(State::InFlight(flight)) => flight.claimed_from.is_none() && flight.lease_until >= now,
        _ => false,
    }
}

/// What is to be done with a message whose question is joined to another, the `leading` one, by that one's record: it ends as that one
/// does. `record` is the message's own, and `since` says which life of the leading one it is joined to.
pub fn found(
    record: &Record,
    since: UnixMillis,
    leading: Option<&Record>,
    received: &Received<'_>,
    limits: Limits,
) -> Transition<Errand> {
    // A record that has expired was answered long ago.
    let Some(leading) = leading else { return Transition::only(Errand::Done(Done::Answered)) };
    // Nobody could post the answer, and somebody has sent the leading question's letter back: its answer will be another one.
    let has_started_over = leading.since != since;
    match &leading.state {
        _ if has_started_over => by_itself(record, received, limits),
        State::Answered { .. } => Transition::only(Errand::Done(Done::Answered)),
        // Slack took nothing of the answer, or nobody knows what. Each has a letter of its own, which can be sent back.
        State::Told { why, .. } if ![STOPPED, DELETED].contains(&why.as_str()) => {
            receive::untold(record, received, why)
        }
        State::Posting(_) => {
            // The message of the leading question drives the post, and gives it up in time. If that message was lost, nobody would
            // ever hear of this question.
            let since = leading.since.max(record.since);
            if since.until(received.now) >= limits.give_up_after + LONGEST_WAIT {
                return receive::untold(record, received, OUTCOME_UNKNOWN);
            }
            Transition::only(Errand::PutOff(
                back_off(received.receives, &received.receive.message_id).max(LEASE),
            ))
        }
        State::Told { .. }
        | State::Free
        | State::InFlight(_)
        | State::Suspended { .. }
        | State::Joined { .. } => by_itself(record, received, limits),
    }
}

/// The question is answered by itself after all. Its attempts and its time begin anew: nobody has worked on it.
fn by_itself(record: &Record, received: &Received<'_>, limits: Limits) -> Transition<Errand> {
    receive::on_receive(Some(&record.resumed(received.now)), received, limits)
}

#[cfg(test)]
mod tests;
