//! What the dispatcher does with a message that it has received, by the record of its question. All of it is pure.
//!
//! SQS is the timer: every decision ends in a message that is taken off the queue, or in one that comes again.

use crate::work::transition::Transition;
use std::time::Duration;

use super::record::{End, Flight, LEASE, Posting, Receive, Record, Sight, State, Via};
use super::token::Token;
use crate::slack::question::{File, Place, SlackTs};
use crate::time::clock::UnixMillis;

/// Why a question has no answer: nobody could, in the attempts and the time that it was given.
pub const GAVE_UP: &str = "gave_up";
/// Why a question has no answer: Slack has taken nothing, not even that there will be none.
pub const UNTOLD: &str = "untold";
/// Why a question has no answer that is known: Slack could not be asked whether it took the last post.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
/// Why a question has no answer: somebody pressed stop.
pub const STOPPED: &str = "stopped";
/// Why a question has no answer: it was deleted.
pub const DELETED: &str = "deleted";

/// After this many waits another message of the question may look for a post, if the one that saw first that its outcome is
/// unknown has not come back.
const LOST_SIGHT: u32 = 10;

/// The most that a lease is longer for calls of which nothing came.
const LONGEST_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// How long the dispatcher tries.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How often a question may be claimed (`MAX_ATTEMPTS`).
    pub max_attempts: u32,
    /// For how long after its first receive a question may be tried (`GIVE_UP_AFTER_SECONDS`).
    pub give_up_after: Duration,
    /// For how long a call to Slack may still be under way after it was seen (`POST_WAIT_SECONDS`).
    pub post_wait: Duration,
}

/// A receive of a message that brings a question.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// The message, and the handle of this receive.
    pub receive: &'a Receive,
    /// How often SQS has handed the message out, this time included.
    pub receives: u32,
    /// What time it is.
    pub now: UnixMillis,
    /// Until when this invocation's call of the agent may last, and the message is put off.
    pub lease_until: UnixMillis,
    /// The token that the work gets if it begins.
    pub token: &'a Token,
    /// Where the question was asked.
    pub place: Option<&'a Place>,
    /// The files that came with it.
    pub files: &'a [File],
    /// The app's own users, as the message names them.
    pub app_users: &'a [String],
    /// Whether the agent is called for the message. For a stop it is not.
    pub for_agent: bool,
    /// When somebody last pressed stop in the question's thread.
    pub stopped_at: Option<&'a SlackTs>,
    /// The trace that the message was sent in; absent if it came without one.
    pub trace_id: Option<&'a str>,
    /// The conversation of the message, if the question is handed over with it.
    pub conversation: Option<&'a str>,
    /// The id of the approval that the message has decided about; absent for a message that asks something itself.
    pub resumes: Option<&'a Token>,
    /// Whether it says that nobody has decided in time.
    pub is_lapse: bool,
    /// Whether the message was a dead letter of ours, and somebody sent it back.
    pub was_dead_letter: bool,
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It is done: the question is answered, or told, or was withdrawn.
    Done(Done),
    /// It becomes a dead letter with this reason, and is done then.
    DeadLetter {
        /// The reason.
        why: String,
    },
    /// It is put off for so long.
    PutOff(Duration),
    /// Nothing: another run of the same receive works on it, and the message keeps its visibility.
    Leave,
    /// The agent is called; the record has this receive's token.
    Call,
    /// The attempts or the time are used up: the asker is told so, by this receive's token.
    GiveUp,
    /// The text that the record holds is posted on, by this receive's token.
    Post,
    /// It ends as the question with this id does, whose record has to be read: [`together::found`](super::together::found) says what to do.
    EndsWith {
        /// The id.
        question_id: String,
    },
}

/// Why nothing is left to do for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The answer stands.
    Answered,
    /// A person has been told, by another message of the same question.
    Told,
    /// A person is asked whether a tool may be called. Their click is a message of its own.
    Suspended,
    /// Somebody pressed stop.
    Stopped,
    /// The question was deleted.
    Deleted,
    /// The question is another installation's: in a channel that two workspaces share, a message may come once for each. The
    /// message that came first carries it.
    OfAnotherTenant,
}

/// What becomes of a message whose question has this record (`None`: there is none yet, or it has expired).
pub fn on_receive(record: Option<&Record>, received: &Received<'_>, limits: Limits) -> Transition<Errand> {
    let Some(record) = record else {
        if received.resumes.is_some() {
            // What was asked about it has expired.
            return Transition::only(Errand::Done(Done::Told));
        }
        return take(&Record::new(received.place.cloned(), received.now), received, limits);
    };
    if is_of_another_tenant(record, received) {
        return Transition::only(Errand::Done(Done::OfAnotherTenant));
    }
    if let Some(wait) = lapse_waits(record, received, limits) {
        return Transition::only(Errand::PutOff(wait));
    }
    match &record.state {
        State::Free => take(record, received, limits),
        // This very call's write, whose answer was lost.
        State::InFlight(flight) if flight.token.as_ref() == Some(received.token) => {
            Transition::only(errand_of_taken(record, received, limits))
        }
        State::Posting(posting) if posting.token == *received.token => Transition::only(Errand::Post),
        State::Suspended { asking, .. } => match received.resumes {
            Some(approval) if *approval == asking.approval => {
                take(&record.resumed(received.now), received, limits)
            }
            _ => Transition::only(Errand::Done(Done::Suspended)),
        },
        // Somebody has clicked on a post of which nobody has written down yet that it stands.
        State::Posting(Posting { end: End::Suspended(asking), .. })
            if received.resumes == Some(&asking.approval) =>
        {
            take(&record.resumed(received.now), received, limits)
        }
        State::InFlight(flight) if flight.lease_until < received.now => {
            let calls_in_vain = calls_in_vain(record, flight);
            take(&Record { calls_in_vain, ..record.clone() }, received, limits)
        }
        State::InFlight(flight) => in_flight(record, flight, received),
        State::Posting(posting) => posting_found(record, posting, received, limits),
        State::Answered { .. } => Transition::only(Errand::Done(Done::Answered)),
        State::Joined { to, .. } => Transition::only(Errand::EndsWith { question_id: to.clone() }),
        State::Told { why, told_for, .. } => told(record, why, told_for.as_deref(), received, limits),
    }
}

/// How long a lapse waits while the question goes on by another message, which comes again when nobody works on it: perhaps nobody
/// was asked in the end, or will be within a moment. A lapse itself goes on with what waits for it, and never becomes free.
fn lapse_waits(record: &Record, received: &Received<'_>, limits: Limits) -> Option<Duration> {
    // The other message may have been lost.
    if !received.is_lapse || is_overdue(record, received.now, limits) {
        return None;
    }
    match &record.state {
        State::Free => Some(LEASE),
        State::InFlight(flight) if flight.receive.message_id != received.receive.message_id => {
            Some(received.now.until(flight.lease_until) + LEASE)
        }
        _ => None,
    }
}

/// Whether the question was first received for another installation than this message names. The answer is posted by the token of
/// the place in the record, and the agent is called in the conversation of the message: if these were two installations', the
/// session of one would get the thread of the other.
fn is_of_another_tenant(record: &Record, received: &Received<'_>) -> bool {
    let tenants = record.place.as_ref().zip(received.place);
    tenants.is_some_and(|(first, this)| first.tenant != this.tenant)
}

/// Takes a question that nobody works on, unless there is a reason not to.
fn take(record: &Record, received: &Received<'_>, limits: Limits) -> Transition<Errand> {
    // The record of a dispatcher before work records has no place.
    let place = record.place.clone().or_else(|| received.place.cloned());
    let trace_id = received.trace_id.map(str::to_owned).or_else(|| record.trace_id.clone());
    // The session that works on a question stays the same, also for a message with the same question that says otherwise.
    let conversation = record.conversation.clone().or_else(|| received.conversation.map(str::to_owned));
    // A click is no message of the thread: what is known of the question's is the record's.
    let (files, app_users) = match received.resumes {
        Some(_) => (record.files.clone(), record.app_users.clone()),
        None => (received.files.to_vec(), received.app_users.to_vec()),
    };
    let record = &Record { place, trace_id, conversation, files, app_users, ..record.clone() };
    if is_withdrawn(record, received.stopped_at) {
        return Transition::write(record.withdrawn(STOPPED), Errand::Done(Done::Stopped));
    }
    let errand = errand_of_taken(record, received, limits);
    let is_call = received.for_agent && errand == Errand::Call;
    let longer = if is_call { patience(record.calls_in_vain) } else { Duration::ZERO };
    let flight = Flight {
        token: Some(received.token.clone()),
        claimed_from: None,
        lease_until: received.lease_until.after(longer),
        receive: received.receive.clone(),
    };
    Transition::write(record.with(State::InFlight(flight)), errand)
}

/// How many calls in a row have come to nothing, now that the lease of the last one is over.
fn calls_in_vain(record: &Record, last: &Flight) -> u32 {
    let was_claimed = last.claimed_from.is_some();
    // What a dispatcher before work records called, nobody could claim.
    let could_be_claimed = last.token.is_some();
    record.calls_in_vain.saturating_add(u32::from(could_be_claimed && !was_claimed))
}

/// How much longer a lease lasts after so many calls in a row of which nothing came. It grows past the quarter of an hour
/// after which AgentCore ends a session that is idle: a session that still has the code from before an update, and answers
/// what nobody understands, gets the chance to end.
fn patience(calls_in_vain: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(calls_in_vain).saturating_sub(1);
    LEASE.saturating_mul(doubled).min(LONGEST_PATIENCE)
}

/// What follows when a question was taken: somebody works on it, unless the attempts or the time are used up.
fn errand_of_taken(record: &Record, received: &Received<'_>, limits: Limits) -> Errand {
    let is_used_up = record.attempts >= limits.max_attempts || is_overdue(record, received.now, limits);
    if is_used_up { Errand::GiveUp } else { Errand::Call }
}

/// Whether the question was asked no later than somebody pressed stop in its thread.
pub(crate) fn is_withdrawn(record: &Record, stopped_at: Option<&SlackTs>) -> bool {
    let asked_at = record.place.as_ref().map(|place| &place.asked_at);
    asked_at.zip(stopped_at).is_some_and(|(asked_at, stopped_at)| asked_at <= stopped_at)
}

fn is_overdue(record: &Record, now: UnixMillis, limits: Limits) -> bool {
    record.since.until(now) >= limits.give_up_after
}

/// Somebody works on the question, and is believed to live.
fn in_flight(record: &Record, flight: &Flight, received: &Received<'_>) -> Transition<Errand> {
    let rest = received.now.until(flight.lease_until) + Duration::from_secs(1);
    if flight.receive == *received.receive {
        return Transition::only(Errand::Leave);
    }
    if flight.receive.message_id != received.receive.message_id {
        // Another message of the question is not needed until the work is over, and SQS counts its receives: a lease more. What
        // a dispatcher before work records has in flight names no message, and may be this one.
        let more = if flight.token.is_some() { LEASE } else { Duration::ZERO };
        return Transition::only(Errand::PutOff(rest + more));
    }
    // The message's visibility ended before the work did. The next beat reads the new handle from the record.
    let renewed = Flight { receive: received.receive.clone(), ..flight.clone() };
    Transition::write(record.with(State::InFlight(renewed)), Errand::PutOff(rest))
}

/// The question has an answer that does not stand yet, or not all of it.
fn posting_found(
    record: &Record,
    posting: &Posting,
    received: &Received<'_>,
    limits: Limits,
) -> Transition<Errand> {
    if posting.receive == *received.receive {
        return Transition::only(Errand::Leave);
    }
    let taken = || {
        let (token, receive) = (received.token.clone(), received.receive.clone());
        let sight = posting.sight.clone().map(|sight| Sight { has_waited: true, ..sight });
        Transition::write(
            record.with(State::Posting(Posting { token, receive, sight, ..posting.clone() })),
            Errand::Post,
        )
    };
    let Some(nonce) = &posting.nonce else {
        // It was certainly not posted.
        if is_overdue(record, received.now, limits) {
            // Of what was put into a stream's message, and nobody heard of, the nonce does not tell.
            let why = if posting.via == Via::Stream { OUTCOME_UNKNOWN } else { UNTOLD };
            return untold(record, received, why);
        }
        return taken();
    };
    if posting.via == Via::Stream {
        // Whether the text stands in the stream's message or not, it may be put there again.
        let is_hopeless = record.deferrals > 0 && is_overdue(record, received.now, limits);
        return if is_hopeless { untold(record, received, OUTCOME_UNKNOWN) } else { taken() };
    }
    match &posting.sight {
        Some(sight) if sight.nonce == *nonce => {
            let waited = sight.at.until(received.now);
            // A clock may be wrong, but no later receive begins before SQS has put the message off. A late run of this receive
            // or of an earlier one is none.
            let is_later =
                sight.receive.message_id == received.receive.message_id && received.receives > sight.receives;
            if is_later && waited >= limits.post_wait {
                // Slack was asked, and could not be, for all of the time that the question has.
                let is_hopeless = record.deferrals > 0 && is_overdue(record, received.now, limits);
                return if is_hopeless { untold(record, received, OUTCOME_UNKNOWN) } else { taken() };
            }
            if waited >= limits.post_wait * LOST_SIGHT {
                return seen(record, posting, nonce, received, limits);
            }
            // When the wait is over it is the other message's turn. This one looks in from time to time, and not each second:
            // SQS counts its receives.
            let rest = limits.post_wait.saturating_sub(waited);
            let rest = if rest.is_zero() { limits.post_wait } else { rest.max(Duration::from_secs(1)) };
            Transition::only(Errand::PutOff(rest))
        }
        _ => seen(record, posting, nonce, received, limits),
    }
}

/// Writes down that this receive was the first to see the nonce.
fn seen(
    record: &Record,
    posting: &Posting,
    nonce: &Token,
    received: &Received<'_>,
    limits: Limits,
) -> Transition<Errand> {
    let sight = Sight {
        nonce: nonce.clone(),
        receive: received.receive.clone(),
        receives: received.receives,
        // Nobody sees a nonce before it is written down, so an earlier time is that of a clock that is behind.
        at: received.now.max(posting.intent_at),
        has_waited: false,
    };
    let seen = Posting { sight: Some(sight), ..posting.clone() };
    // From the first sight on it counts how often Slack was asked in vain, and no longer how often it refused before.
    let is_first = posting.sight.as_ref().is_none_or(|sight| sight.nonce != *nonce);
    let deferrals = if is_first { 0 } else { record.deferrals };
    let record = Record { deferrals, ..record.with(State::Posting(seen)) };
    Transition::write(record, Errand::PutOff(limits.post_wait))
}

/// Ends a question whose text Slack takes for nothing: the dead letter and its alarm are what tells a person.
pub(super) fn untold(record: &Record, received: &Received<'_>, why: &str) -> Transition<Errand> {
    let told_for = Some(received.receive.message_id.clone());
    let told = State::Told { why: why.to_owned(), told_for, token: None };
    Transition::write(record.with(told), Errand::DeadLetter { why: why.to_owned() })
}

fn told(
    record: &Record,
    why: &str,
    told_for: Option<&str>,
    received: &Received<'_>,
    limits: Limits,
) -> Transition<Errand> {
    let message_id = received.receive.message_id.as_str();
    match (why, told_for) {
        (STOPPED, _) => Transition::only(Errand::Done(Done::Stopped)),
        (DELETED, _) => Transition::only(Errand::Done(Done::Deleted)),
        (_, Some(told_for)) if told_for == message_id => {
            Transition::only(Errand::DeadLetter { why: why.to_owned() })
        }
        // Somebody sent the letter back: the question starts over. What its tools have done stands, and what is known of it that a
        // click's letter does not say.
        _ if received.was_dead_letter => {
            let place = received.place.or(record.place.as_ref());
            let again = Record {
                tool_calls: record.tool_calls,
                suspensions: record.suspensions,
                conversation: record.conversation.clone(),
                files: record.files.clone(),
                app_users: record.app_users.clone(),
                ..Record::new(place.cloned(), received.now)
            };
            take(&again, received, limits)
        }
        _ => Transition::only(Errand::Done(Done::Told)),
    }
}

/// What becomes of a question whose message was deleted in Slack. The answer is the receive that is to be made visible, so that
/// the dispatcher finds the end that stands here.
pub fn on_deletion(record: Option<&Record>, now: UnixMillis) -> Transition<Option<Receive>> {
    let nobody = Record::new(None, now);
    let record = record.unwrap_or(&nobody);
    match &record.state {
        State::Free
        | State::InFlight(_)
        | State::Suspended { .. }
        | State::Posting(Posting { end: End::Suspended(_), .. }) => {
            Transition::write(record.withdrawn(DELETED), record.receive().cloned())
        }
        // There will be no answer, unless somebody sends its dead letter back. Then there is none either. What other questions end
        // with stays as it is: perhaps the answer that is theirs, too, stands.
        State::Told { told_for: Some(_), .. } if record.together.is_empty() => {
            Transition::write(record.withdrawn(DELETED), None)
        }
        // Its answer is on its way, or stands, or there will be none.
        State::Posting(_) | State::Answered { .. } | State::Joined { .. } | State::Told { .. } => {
            Transition::only(None)
        }
    }
}

/// What the dispatcher writes when the agent certainly has not begun: the question is free, and nobody has used an attempt. The
/// answer is how often in a row it was put off now; `None` if it is no longer this token's.
pub fn give_back(record: Option<&Record>, token: &Token) -> Transition<Option<u32>> {
    match record.and_then(|record| record.given_back_by(token)) {
        Some(free) => {
            let deferrals = free.deferrals.saturating_add(1);
            Transition::write(Record { deferrals, ..free }, Some(deferrals))
        }
        None => Transition::only(None),
    }
}

/// How long a stop waits until it says how many questions it has ended: whoever works on one hears of the stop at the next beat,
/// and its message comes once more.
pub const STOP_GRACE: Duration = Duration::from_secs(15);

/// How often in all a stop waits for so long if it has ended nothing yet. Slack shows the stop button only while somebody works,
/// so most probably a beat is late.
const STOP_WAITS: u32 = 3;

/// What becomes of a message that brings a stop which has `ended` so many questions so far. [`Errand::Call`] means: say that it
/// was stopped, by this receive's token.
pub fn on_stop(
    record: Option<&Record>,
    ended: usize,
    received: &Received<'_>,
    limits: Limits,
) -> Transition<Errand> {
    let waiting = match record {
        None => Some((Record::new(received.place.cloned(), received.now), true)),
        Some(record) if record.state == State::Free => Some((record.clone(), false)),
        Some(_) => None,
    };
    if let Some((record, is_new)) = waiting {
        let waited = record.since.until(received.now);
        let grace = if ended == 0 && waited >= STOP_GRACE { STOP_GRACE * STOP_WAITS } else { STOP_GRACE };
        if waited < grace {
            let put_off = Errand::PutOff((grace - waited).min(STOP_GRACE));
            return if is_new { Transition::write(record, put_off) } else { Transition::only(put_off) };
        }
    }
    on_receive(record, &Received { for_agent: false, ..received.clone() }, limits)
}

#[cfg(test)]
mod tests;
