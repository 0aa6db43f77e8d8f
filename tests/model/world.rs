//! The state of the modelled world: one question, the messages that bring it, and all who work on it.
//!
//! The record is a real one. Time is what it says relative to [`NOW`], which stands still: a lease is live or past, a nonce was
//! seen just now, a wait ago or ten waits ago, and the question's time is or is not up. So the world is finite, though a message
//! may be received as often as it likes. For the same reason tokens and handles are renamed after each step ([`World::renamed`]):
//! only which of them are the same matters, and for the handles of one message which is the later.

use slack_ingress::slack::question::{Place, SlackTs};
use slack_ingress::time::clock::UnixMillis;
use slack_ingress::work::record::{Flight, LEASE, Posting, Receive, Record, Sight, State};
use slack_ingress::work::token::Token;
use std::time::Duration;

/// The time, which stands still.
pub(crate) const NOW: UnixMillis = UnixMillis::from_millis(1_000_000_000_000);
/// The wait before Slack is asked.
pub(crate) const POST_WAIT: Duration = Duration::from_secs(90);
/// After how long a question is given up.
pub(crate) const GIVE_UP_AFTER: Duration = Duration::from_secs(86_400);

/// How often a question may start over, and once more. A letter that was sent back does so twice if its first message is still
/// there and is told in between.
const LIVES: usize = 4;
/// The most parts that an answer has.
const PARTS: usize = 2;

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The question's record.
    pub(crate) record: Option<Record>,
    /// The messages that bring the question; a message's id is its index.
    pub(crate) messages: Vec<Message>,
    /// Who is at work. A process that is not at its turn is paused, for as long as you like.
    pub(crate) processes: Vec<Process>,
    /// The nonces of the posts that stand in Slack, as far as anybody may still ask for them.
    pub(crate) standing: Vec<Token>,
    /// How often each part was posted, in each of the question's lives.
    pub(crate) posts: [[u8; PARTS]; LIVES],
    /// How many letters were written, in each life.
    pub(crate) letters: [u8; LIVES],
    /// How often the question has started over, because a letter was sent back.
    pub(crate) life: u8,
    /// Whether somebody has pressed stop.
    pub(crate) is_stopped: bool,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// How many of the events that are no faults but happen once may still happen: stop, deletion, a letter sent back.
    pub(crate) events: u8,
    /// What has happened that must not.
    pub(crate) broken: Option<&'static str>,
}

/// A message on the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) at: At,
    /// The number of the last receive.
    pub(crate) handle: u32,
    /// Whether it is a dead letter that was sent back.
    pub(crate) is_letter: bool,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Visible,
    Hidden,
    Gone,
}

/// Somebody at work: what is to be done next, and whether it was begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) task: Task,
    pub(crate) phase: Phase,
}

/// How far a task is that reads the record, decides and writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing was read yet.
    Begin,
    /// It is decided what is to be written. `is_fresh`: nobody has written since.
    Decided { write: Box<Record>, follow: Follow, is_fresh: bool },
    /// It is written, and the answer was lost: it has to be read back.
    Written { follow: Follow, is_fresh: bool },
}

/// What follows when a decision is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Follow {
    pub(crate) queue: Option<QueueCall>,
    pub(crate) next: Option<Task>,
    /// What this would break.
    pub(crate) broken: Option<&'static str>,
}

/// What is done with a receive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueueCall {
    /// The message comes again at once.
    MakeVisible(Receive),
    /// The message leaves, because its question has ended.
    Delete(Receive),
    /// A letter is written, and the message leaves.
    WriteLetter(Receive),
}

/// What somebody does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// A dispatcher has received a message and decides.
    Dispatch { receive: Receive, token: Token },
    /// A dispatcher has taken the question and calls the agent.
    Call { token: Token },
    /// A dispatcher gives the question back.
    GiveBack { token: Token },
    /// A dispatcher ends a question that was deleted.
    Delete,
    /// An agent claims with its own token.
    Claim { token: Token, new: Token },
    /// An agent thinks.
    Think { token: Token },
    /// An agent gives the question back.
    Release { token: Token },
    /// A text is written down: an answer, or why there is none.
    Intend { token: Token, nonce: Token, text: Text },
    /// A dispatcher's call to post on what is in the record.
    PostOn { token: Token },
    /// Slack is asked whether a post stands.
    Find { token: Token, nonce: Token },
    /// A post begins.
    Start { token: Token, nonce: Token, by_response_url: bool },
    /// The intent is written, and Slack is called next.
    Send { token: Token, nonce: Token, part: u32, life: u8 },
    /// The call is under way, and nobody waits for its answer any more.
    UnderWay { nonce: Token, part: u32, life: u8 },
    /// The part stands, and that is written down.
    Stands { token: Token, nonce: Token, next: Option<Token> },
    /// The part was certainly not posted, and that is written down.
    Refused { token: Token, nonce: Token, then: AfterRefusal },
    /// Slack could not be asked, and that is written down.
    AskedInVain { token: Token, nonce: Token },
    /// Nobody will post the text, or find out.
    EndUntold { token: Token, nonce: Option<Token> },
}

/// What an agent, or a dispatcher in its place, wants said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Text {
    Answer,
    /// The agent has posted with tools of its own.
    None,
    Apology,
}

/// What follows a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AfterRefusal {
    /// The text waits for the next receive.
    Wait,
    /// No later attempt can post it.
    GiveUp,
    /// It is posted by the `response_url`.
    Respond,
    /// It is posted at once: Slack said that it had not been.
    PostAgain,
}

impl World {
    /// The receive that the message is in.
    pub(crate) fn receive(&self, message: usize) -> Receive {
        Receive {
            message_id: message.to_string(),
            handle: self.messages.get(message).map_or(0, |message| message.handle).to_string(),
        }
    }

    /// Two tokens that nobody has.
    pub(crate) fn fresh(&mut self) -> [Token; 2] {
        let mut last = 0;
        self.each_token(|token| last = last.max(number(token)));
        [Token::from_bits(last + 1), Token::from_bits(last + 2)]
    }

    /// Whether every message has left, and nobody is at work.
    pub(crate) fn is_quiet(&self) -> bool {
        self.processes.is_empty() && self.messages.iter().all(|message| message.at == At::Gone)
    }

    /// The same world with its tokens, and the handles of each message, numbered from 1 in a fixed order.
    pub(crate) fn renamed(mut self) -> Self {
        self.processes.sort_by_key(rank);
        let mut mentioned: Vec<u128> = Vec::new();
        let mut standing = std::mem::take(&mut self.standing);
        self.each_token(|token| {
            let number = number(token);
            if !mentioned.contains(&number) {
                mentioned.push(number);
            }
        });
        standing.retain(|nonce| mentioned.contains(&number(nonce)));
        self.standing = standing;
        self.each_token(|token| {
            let number = number(token);
            let place = mentioned.iter().position(|other| *other == number).unwrap_or_default();
            if place as u128 + 1 != number {
                *token = Token::from_bits(place as u128 + 1);
            }
        });
        self.standing.sort();
        for id in 0..self.messages.len() {
            let mut handles = vec![self.messages.get(id).map_or(0, |message| message.handle)];
            let id_text = id.to_string();
            self.each_receive(|receive| {
                if receive.message_id == id_text {
                    handles.extend(receive.handle.parse::<u32>());
                }
            });
            handles.sort_unstable();
            handles.dedup();
            let place = |handle: u32| {
                u32::try_from(handles.iter().position(|other| *other == handle).unwrap_or_default())
                    .unwrap_or_default()
                    + 1
            };
            if handles.iter().zip(1..).all(|(handle, place)| *handle == place) {
                continue;
            }
            if let Some(message) = self.messages.get_mut(id) {
                message.handle = place(message.handle);
            }
            self.each_receive(|receive| {
                if receive.message_id == id_text {
                    receive.handle = place(receive.handle.parse().unwrap_or_default()).to_string();
                }
            });
        }
        for record in self.records() {
            // The rules ask only whether it was put off at all.
            record.deferrals = record.deferrals.min(1);
            // A lease of the model ends when it may; how long it is does not matter.
            record.calls_in_vain = 0;
            // The handles of the model are numbered as SQS counts receives.
            if let State::Posting(Posting { sight: Some(sight), .. }) = &mut record.state {
                sight.receives = sight.receive.handle.parse().unwrap_or_default();
            }
        }
        self
    }

    /// The record, and those that somebody is about to write.
    pub(crate) fn records(&mut self) -> impl Iterator<Item = &mut Record> {
        let decided = self.processes.iter_mut().filter_map(|process| match &mut process.phase {
            Phase::Decided { write, .. } => Some(&mut **write),
            Phase::Begin | Phase::Written { .. } => None,
        });
        self.record.iter_mut().chain(decided)
    }

    /// The tokens and nonces in the record, and in those that somebody is about to write.
    pub(crate) fn tokens_of_records(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        for record in self.records() {
            tokens_of_record(record, &mut |token| tokens.push(token.clone()));
        }
        tokens
    }

    fn each_token(&mut self, mut with: impl FnMut(&mut Token)) {
        for record in self.record.iter_mut() {
            tokens_of_record(record, &mut with);
        }
        for process in &mut self.processes {
            tokens_of_task(&mut process.task, &mut with);
            match &mut process.phase {
                Phase::Begin => {}
                Phase::Decided { write, follow, .. } => {
                    tokens_of_record(write, &mut with);
                    follow.next.iter_mut().for_each(|task| tokens_of_task(task, &mut with));
                }
                Phase::Written { follow, .. } => {
                    follow.next.iter_mut().for_each(|task| tokens_of_task(task, &mut with));
                }
            }
        }
        self.standing.iter_mut().for_each(with);
    }

    fn each_receive(&mut self, mut with: impl FnMut(&mut Receive)) {
        for record in self.records() {
            receives_of_record(record, &mut with);
        }
        for process in &mut self.processes {
            if let Task::Dispatch { receive, .. } = &mut process.task {
                with(receive);
            }
            if let Phase::Decided { follow, .. } | Phase::Written { follow, .. } = &mut process.phase {
                match &mut follow.queue {
                    Some(
                        QueueCall::MakeVisible(receive)
                        | QueueCall::Delete(receive)
                        | QueueCall::WriteLetter(receive),
                    ) => with(receive),
                    None => {}
                }
                if let Some(Task::Dispatch { receive, .. }) = &mut follow.next {
                    with(receive);
                }
            }
        }
    }
}

impl Process {
    pub(crate) const fn new(task: Task) -> Self {
        Self { task, phase: Phase::Begin }
    }
}

/// The place where the question was asked.
pub(crate) fn place() -> Place {
    Place {
        tenant: None,
        api_app_id: None,
        team_id: None,
        channel: "C".to_owned(),
        thread_ts: None,
        user: None,
        asked_at: SlackTs::parse("1000.000100").expect("a ts"),
        response_url: None,
    }
}

/// When somebody pressed stop: after the question.
pub(crate) fn stopped_at() -> SlackTs {
    SlackTs::parse("1001.000100").expect("a ts")
}

/// A stopwatch for what is printed.
#[expect(clippy::disallowed_methods, reason = "how long the checker takes is no time of the protocol's")]
pub(crate) fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

/// Ends the lease of a record. Returns whether it was live.
pub(crate) fn end_lease(record: &mut Record) -> bool {
    match &mut record.state {
        State::InFlight(flight) if flight.lease_until >= NOW => {
            flight.lease_until = UnixMillis::from_millis(NOW.as_millis() - 1);
            true
        }
        _ => false,
    }
}

/// The sight of a record, if somebody has seen a nonce.
pub(crate) fn sight(record: &Record) -> Option<&Sight> {
    match &record.state {
        State::Posting(posting) => posting.sight.as_ref(),
        _ => None,
    }
}

/// Lets a wait pass since the nonce was seen, and then nine more. Returns whether anything changed.
pub(crate) fn age_sight(record: &mut Record) -> bool {
    let State::Posting(Posting { sight: Some(sight), .. }) = &mut record.state else { return false };
    let ago = |waits: u32| {
        UnixMillis::from_millis(NOW.as_millis() - u64::try_from((POST_WAIT * waits).as_millis()).unwrap_or(0))
    };
    let aged = if sight.at == ago(0) { ago(1) } else { ago(10) };
    std::mem::replace(&mut sight.at, aged) != aged
}

/// What is the same for the rules is made the same.
pub(crate) fn normalised(mut record: Record) -> Record {
    match &mut record.state {
        State::InFlight(Flight { lease_until, .. }) if *lease_until >= NOW => *lease_until = NOW.after(LEASE),
        State::Posting(posting) => posting.intent_at = NOW,
        _ => {}
    }
    record
}

/// The number of a token of this world, which has no more than a few.
fn number(token: &Token) -> u128 {
    token.as_str().get(28..).and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

fn rank(process: &Process) -> (u8, u8) {
    let task = match process.task {
        Task::Dispatch { .. } => 0,
        Task::Call { .. } => 1,
        Task::GiveBack { .. } => 2,
        Task::Delete => 3,
        Task::Claim { .. } => 4,
        Task::Think { .. } => 5,
        Task::Release { .. } => 6,
        Task::Intend { .. } => 7,
        Task::PostOn { .. } => 8,
        Task::Find { .. } => 9,
        Task::Start { .. } => 10,
        Task::Send { .. } => 11,
        Task::UnderWay { .. } => 12,
        Task::Stands { .. } => 13,
        Task::Refused { .. } => 14,
        Task::AskedInVain { .. } => 15,
        Task::EndUntold { .. } => 16,
    };
    let phase = match process.phase {
        Phase::Begin => 0,
        Phase::Decided { .. } => 1,
        Phase::Written { .. } => 2,
    };
    (task, phase)
}

fn tokens_of_record(record: &mut Record, with: &mut impl FnMut(&mut Token)) {
    match &mut record.state {
        State::Free | State::Joined { .. } => {}
        State::InFlight(flight) => {
            flight.token.iter_mut().chain(flight.claimed_from.iter_mut()).for_each(with);
        }
        State::Posting(posting) => {
            with(&mut posting.token);
            posting.nonce.iter_mut().for_each(&mut *with);
            posting.sight.iter_mut().for_each(|sight| with(&mut sight.nonce));
        }
        // Nobody asks a person here.
        State::Suspended { token, .. } => with(token),
        State::Answered { token, .. } | State::Told { token, .. } => token.iter_mut().for_each(with),
    }
}

fn receives_of_record(record: &mut Record, with: &mut impl FnMut(&mut Receive)) {
    match &mut record.state {
        State::InFlight(flight) => with(&mut flight.receive),
        State::Posting(posting) => {
            with(&mut posting.receive);
            posting.sight.iter_mut().for_each(|sight| with(&mut sight.receive));
        }
        State::Free
        | State::Suspended { .. }
        | State::Answered { .. }
        | State::Joined { .. }
        | State::Told { .. } => {}
    }
}

fn tokens_of_task(task: &mut Task, with: &mut impl FnMut(&mut Token)) {
    match task {
        Task::Delete => {}
        Task::Dispatch { token, .. }
        | Task::Call { token }
        | Task::GiveBack { token }
        | Task::Think { token }
        | Task::Release { token }
        | Task::PostOn { token } => with(token),
        Task::Claim { token, new } => {
            with(token);
            with(new);
        }
        Task::Intend { token, nonce, .. }
        | Task::Find { token, nonce }
        | Task::Start { token, nonce, .. }
        | Task::Send { token, nonce, .. }
        | Task::Refused { token, nonce, .. }
        | Task::AskedInVain { token, nonce } => {
            with(token);
            with(nonce);
        }
        Task::UnderWay { nonce, .. } => with(nonce),
        Task::Stands { token, nonce, next, .. } => {
            with(token);
            with(nonce);
            next.iter_mut().for_each(with);
        }
        Task::EndUntold { token, nonce } => {
            with(token);
            nonce.iter_mut().for_each(with);
        }
    }
}
