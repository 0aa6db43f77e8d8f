//! What is known of the work on one question: the work record. Who may change it, and how, is in [`receive`](super::receive) and
//! [`operations`](super::operations).

use std::time::Duration;

use super::stream::Stream;
use super::together::Other;
use super::token::Token;
use crate::slack::question::{File, Place};
use crate::time::clock::UnixMillis;

/// How long a claim or a renewing beat holds: the lease, and the visibility timeout of the message.
pub const LEASE: Duration = Duration::from_secs(90);

/// How often whoever works on a question should say so.
pub const BEAT: Duration = Duration::from_secs(10);

/// One receive of a message: which message it is, and the handle by which this receive may be put off or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receive {
    /// SQS's id of the message.
    pub message_id: String,
    /// SQS's handle of this receive of it.
    pub handle: String,
}

/// The work on one question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// How often somebody has claimed the question and has not given it back.
    pub attempts: u32,
    /// How often in a row the question was put off, its post refused, or Slack asked in vain whether a post stands. The back-off
    /// grows with it.
    pub deferrals: u32,
    /// How often in a row the agent was called, and nobody claimed the question or gave it back. The lease grows with it.
    pub calls_in_vain: u32,
    /// How many calls of tools the question's [journal](super::journal) has, those included that were counted and not begun.
    pub tool_calls: u32,
    /// How often a person was asked whether a tool may be called, so that the question waited for them.
    pub suspensions: u32,
    /// The message in which people see the answer while it is being thought; absent if nobody has asked for one.
    pub stream: Option<Stream>,
    /// When the question was first received.
    pub since: UnixMillis,
    /// The X-Ray trace of the message that was taken last; absent if it had none. For people who look for the question's trace:
    /// nothing is decided by it.
    pub trace_id: Option<String>,
    /// The conversation whose session of the agent's works on it, as the ingress wrote it on the message that was taken first. The
    /// turn after a person's decision is in this session, whatever the agent says. Absent in a record of an earlier version.
    pub conversation: Option<String>,
    /// Where it was asked, and where alone anything is posted; absent if there is no such place.
    pub place: Option<Place>,
    /// The files that came with it, as the message has them that was taken last. Only these are read for whoever works on it.
    pub files: Vec<File>,
    /// The app's own users, as the message that was taken last names them: who mentions one asks the app.
    pub app_users: Vec<String>,
    /// The other questions of its thread that were given to whoever works on it, and which its answer may answer too.
    pub together: Vec<Other>,
    /// Whether it is answered alone from now on: one of the others was taken by somebody else before the answer.
    pub is_alone: bool,
    /// Why nobody thinks about it, if so. It has ended as answered then, and a message says so: its own, or another one of the same day.
    pub declined: Option<Declined>,
    /// The message with buttons that still stands, if the question was withdrawn while a person was asked.
    pub buttons: Option<Buttons>,
    /// How far the work is.
    pub state: State,
}

/// A message with buttons that asks a person about a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buttons {
    /// What it asks about.
    pub asking: ApprovalRef,
    /// Slack's `ts` of it, if it is known.
    pub ts: Option<String>,
}

/// How far the work on a question is: the attribute `state`, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody works on it (`free`).
    Free,
    /// Somebody works on it (`in_flight`).
    InFlight(Flight),
    /// It has an answer, which is being posted (`posting`). Nobody thinks about it any more.
    Posting(Posting),
    /// Its answer stands (`answered`).
    Answered {
        /// Slack's `ts` of the last part; absent if the agent has answered by tools of its own.
        ts: Option<String>,
        /// The token of whoever answered, so that the same call made again gets the same answer.
        token: Option<Token>,
    },
    /// A person is asked whether a tool may be called (`suspended`). Nobody works on the question, and none of its messages is on
    /// the queue: the click is one.
    Suspended {
        /// What is asked.
        asking: ApprovalRef,
        /// Slack's `ts` of the message with the buttons, if it is known.
        ts: Option<String>,
        /// The token of whoever has suspended it.
        token: Token,
    },
    /// The answer to another question of its thread answers this one too (`joined`), and it ends as that one does.
    Joined {
        /// The id of that question.
        to: String,
        /// When that one was first received: one that has started over since is another.
        since: UnixMillis,
    },
    /// There will be no answer (`told`): a person has been told why, or the asker has withdrawn the question.
    Told {
        /// Why: a code such as `gave_up`.
        why: String,
        /// The id of the message that becomes a dead letter with this reason; absent if none does.
        told_for: Option<String>,
        /// The token of whoever ended it.
        token: Option<Token>,
    },
}

/// Who works on a question, and until when that is believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    /// The right to work. First the dispatcher's; a claim puts the claimer's own in its place. Absent in a record of a
    /// dispatcher before work records, whose question nobody can claim.
    pub token: Option<Token>,
    /// The token that the claimer came with; absent until somebody claims.
    pub claimed_from: Option<Token>,
    /// After this point in time nobody is believed to work on it.
    pub lease_until: UnixMillis,
    /// The receive that is put off while the work goes on, and deleted at its end.
    pub receive: Receive,
}

/// An answer on its way to Slack, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Posting {
    /// The right to post.
    pub token: Token,
    /// The receive that is deleted at the end.
    pub receive: Receive,
    /// The text, as the agent gave it.
    pub text: String,
    /// What the question becomes when all of it stands.
    pub end: End,
    /// How many parts stand in Slack.
    pub part: u32,
    /// The mark of the call under way. Present: nobody knows whether the part was posted. Absent: it certainly was not.
    pub nonce: Option<Token>,
    /// When that call was written down.
    pub intent_at: UnixMillis,
    /// By which way the call is made.
    pub via: Via,
    /// Who saw the nonce first. Only that message's next receive may look for the post.
    pub sight: Option<Sight>,
}

/// By which way a part is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Into the channel. What was posted can be looked for.
    Channel,
    /// Into the message of the question's [stream](super::stream), whose text is replaced. That may be repeated, so nobody has to
    /// look for what was posted.
    Stream,
    /// By the `response_url` of a command or an interaction, because the app may not post into the channel. What was posted
    /// cannot be looked for.
    ResponseUrl,
}

/// What a question becomes when its text stands in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The text is the answer.
    Answered,
    /// The text says that there will be no answer.
    Told {
        /// Why: a code such as `thinking_failed`.
        why: String,
    },
    /// The text says why nobody thinks about the question. There is nothing to be done about it, so it counts as answered.
    Declined(Declined),
    /// The text asks a person whether a tool may be called.
    Suspended(ApprovalRef),
}

/// What a person is asked about a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApprovalRef {
    /// The number of the call in the question's journal.
    pub number: u32,
    /// The id of the [approval](super::approval::Approval).
    pub approval: Token,
}

/// Why nobody thinks about a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Declined {
    /// The asker may not ask (`turned_away`).
    Asker,
    /// Too little was left of what may be used in the day (`over_limit`).
    OverLimit,
}

impl Declined {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Asker, Self::OverLimit];

    /// The word for it, in the table and for people who look after the app.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asker => "turned_away",
            Self::OverLimit => "over_limit",
        }
    }

    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|declined| declined.as_str() == word)
    }
}

/// The first receive that found a post's outcome unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Of which post.
    pub nonce: Token,
    /// By which receive.
    pub receive: Receive,
    /// How often SQS had handed the message out by then. A run of an earlier receive has a lower number.
    pub receives: u32,
    /// When.
    pub at: UnixMillis,
    /// Whether the posting's token was taken after the wait. Only such a token may look for the post. The one that began the post
    /// may not: Lambda may run its call a second time, while the first is still posting.
    pub has_waited: bool,
}

impl Record {
    /// The record of a question that was just received for the first time.
    pub fn new(place: Option<Place>, now: UnixMillis) -> Self {
        Self {
            attempts: 0,
            deferrals: 0,
            calls_in_vain: 0,
            tool_calls: 0,
            suspensions: 0,
            stream: None,
            since: now,
            trace_id: None,
            conversation: None,
            place,
            files: Vec::new(),
            app_users: Vec::new(),
            together: Vec::new(),
            is_alone: false,
            declined: None,
            buttons: None,
            state: State::Free,
        }
    }

    /// The same question in another state. When nobody works on it any more, nor ever will again, nobody reads its files. A dead
    /// letter may be sent back, and then the question starts over.
    #[must_use]
    pub fn with(&self, state: State) -> Self {
        let may_work = match &state {
            State::Free | State::InFlight(_) | State::Suspended { .. } => true,
            State::Posting(posting) => matches!(posting.end, End::Suspended(_)),
            State::Told { told_for, .. } => told_for.is_some(),
            State::Answered { .. } | State::Joined { .. } => false,
        };
        let mut record = Self { state, ..self.clone() };
        if !may_work {
            record.files.clear();
            record.together.iter_mut().for_each(|other| other.files.clear());
        }
        if !matches!(record.state, State::Told { .. }) {
            record.buttons = None;
        }
        record
    }

    /// The same question, withdrawn: there will be no answer, and nobody has to be told why. The message with the buttons is kept in
    /// mind, so that it can be said there as well.
    #[must_use]
    pub(crate) fn withdrawn(&self, why: &str) -> Self {
        let buttons = match &self.state {
            State::Suspended { asking, ts, .. } => Some(Buttons { asking: asking.clone(), ts: ts.clone() }),
            State::Posting(Posting { end: End::Suspended(asking), .. }) => {
                Some(Buttons { asking: asking.clone(), ts: None })
            }
            State::Told { .. } => self.buttons.clone(),
            _ => None,
        };
        Self { buttons, ..self.with(State::Told { why: why.to_owned(), told_for: None, token: None }) }
    }

    /// Whether the question is at an end, whichever.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Answered { .. } | State::Told { .. })
    }

    /// Who works on the question with this token, if it is theirs.
    pub fn flight_of(&self, token: &Token) -> Option<&Flight> {
        match &self.state {
            State::InFlight(flight) if flight.token.as_ref() == Some(token) => Some(flight),
            _ => None,
        }
    }

    /// Whether the question is worked on, was ended, or waits for a person by whoever has this token.
    pub fn is_by(&self, token: &Token) -> bool {
        let by = match &self.state {
            State::InFlight(flight) => flight.token.as_ref(),
            State::Posting(posting) => Some(&posting.token),
            State::Answered { token, .. } | State::Told { token, .. } => token.as_ref(),
            State::Suspended { token, .. } => Some(token),
            State::Free | State::Joined { .. } => None,
        };
        by == Some(token)
    }

    /// The record when whoever has this token gives the question back: it is free, and a claim is not counted. `None` if the
    /// token is not the record's.
    pub fn given_back_by(&self, token: &Token) -> Option<Self> {
        let is_claimed = self.flight_of(token)?.claimed_from.is_some();
        let attempts = self.attempts.saturating_sub(u32::from(is_claimed));
        // What was given to this attempt is given anew to the next.
        Some(Self { attempts, calls_in_vain: 0, together: Vec::new(), ..self.with(State::Free) })
    }

    /// The answer on its way, if it is posted with this nonce right now.
    pub fn posting_with(&self, nonce: &Token) -> Option<&Posting> {
        match &self.state {
            State::Posting(posting) if posting.nonce.as_ref() == Some(nonce) => Some(posting),
            _ => None,
        }
    }

    /// By which way this part of a text with this end goes out, unless it was refused there: the first part of an answer into the
    /// message of the question's stream, if it has one. What asks a person has buttons, and is a message of its own.
    pub fn way_of_part(&self, part: u32, end: &End) -> Via {
        let has_message = self.stream.as_ref().is_some_and(|stream| stream.message().is_some());
        let is_answer = !matches!(end, End::Suspended(_));
        if part == 0 && has_message && is_answer { Via::Stream } else { Via::Channel }
    }

    /// The record when somebody goes on with a question that was suspended: attempts and time begin anew.
    #[must_use]
    pub fn resumed(&self, now: UnixMillis) -> Self {
        let free = self.with(State::Free);
        Self { attempts: 0, deferrals: 0, calls_in_vain: 0, since: now, together: Vec::new(), ..free }
    }

    /// The receive that holds the question's message, while there is one.
    pub fn receive(&self) -> Option<&Receive> {
        match &self.state {
            State::InFlight(Flight { receive, .. }) | State::Posting(Posting { receive, .. }) => {
                Some(receive)
            }
            State::Free
            | State::Answered { .. }
            | State::Suspended { .. }
            | State::Joined { .. }
            | State::Told { .. } => None,
        }
    }
}
