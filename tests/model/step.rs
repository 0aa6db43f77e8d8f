//! What can happen in the modelled world: the steps of dispatchers, agents and agent-settle as `src/dispatch` and `src/settle`
//! take them, time that passes, and faults.

use slack_ingress::slack::question::SlackTs;
use slack_ingress::work::operations::{self, Beat, Claimed, Intent, Posted};
use slack_ingress::work::receive::{self, DELETED, Errand, Received, STOPPED};
use slack_ingress::work::record::{End, Posting, Receive, Record, State, Via};
use slack_ingress::work::token::Token;
use slack_ingress::work::transition::Transition;
use stateright::{Model, Property};

use super::liveness::Memo;
use super::rules::{Rule, Rules};
use super::world::{
    self, AfterRefusal, At, Follow, GIVE_UP_AFTER, Message, NOW, Phase, Process, QueueCall, Task, Text, World,
};

/// What goes wrong, or is out of the ordinary. Each costs one of the world's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Lambda runs one receive twice.
    TwoRuns,
    /// One call of the agent reaches two processes.
    TwoProcesses,
    /// One call of agent-settle's `answer` or `post` is run twice.
    TwoAnswers,
    /// The agent was certainly not reached, or says `later`.
    NotReached,
    /// A dispatcher gives back what the agent has got.
    LateGiveBack,
    /// Somebody pauses between a decision and its write.
    LateWrite,
    /// A dispatcher pauses between a receive and the read.
    Pause,
    /// A write is done, and its answer is lost.
    LostAnswer,
    /// A process dies.
    Death,
    /// Slack is called, and its answer is lost: the post may stand, now or later, or not.
    Unknown,
    /// Slack refuses for the moment.
    Refusal,
    /// Slack refuses for good.
    RefusalForGood,
    /// Slack refuses in the channel, and the text goes to the `response_url`.
    Respond,
    /// Slack cannot be asked now.
    CannotAsk,
    /// Slack can never be asked.
    CannotAskForGood,
    /// An invocation of agent-settle is too old to begin the next part.
    NoTime,
    /// The agent fails, and says so.
    ThinkingFails,
    /// The agent is told to end, and gives the question back.
    SigTerm,
    /// A message is lost: its retention is over. Another one of the question is still there.
    Retention,
    /// The clock of one machine is ahead by more than the wait.
    WrongClock,
    /// The question's time is up.
    TimeIsUp,
}

/// What else happens once. Each costs one of the world's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody presses stop.
    Stop,
    /// The question is deleted.
    Deletion,
    /// Somebody sends a letter back to the queue.
    SendBack,
    /// The agent answers with tools of its own.
    OwnTools,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A dispatcher receives a visible message, and decides.
    Receive { message: usize, how: How },
    /// A process does what is next, with a fault or without.
    Step { process: usize, how: How },
    /// A message's visibility is over.
    VisibilityEnds { message: usize },
    /// The lease is over, or its holder's clock says so.
    LeaseEnds,
    /// The wait passes since somebody saw a nonce.
    WaitPasses,
    /// The question's time is up, a clock is wrong, or a message is lost.
    Befalls(Fault, usize),
    /// Something that is no fault.
    Happens(Event),
    /// A stop's own message has waited for its moment.
    GracePasses,
}

/// How a process does what is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Plainly,
    With(Fault),
    /// An agent says that it works.
    Beat,
    /// An agent answers with tools of its own.
    OwnTools,
    /// A call under way never arrives.
    Vanish,
}

/// A small world, and the bounds on it.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) messages: usize,
    pub(crate) parts: u32,
    pub(crate) max_attempts: u32,
    /// How many may be at work at once.
    pub(crate) processes: usize,
    /// How many faults happen, each of which is one of `kinds`.
    pub(crate) faults: u8,
    pub(crate) kinds: &'static [Fault],
    pub(crate) events: &'static [Event],
    /// The message is a stop's own.
    pub(crate) is_stop: bool,
    pub(crate) memo: Memo,
}

impl Protocol {
    fn stop(&self, world: &World) -> Option<SlackTs> {
        world.is_stopped.then(world::stopped_at)
    }

    /// The number of parts of what is being posted.
    fn parts_of(&self, posting: &Posting) -> u32 {
        if posting.end == End::Answered { self.parts } else { 1 }
    }

    /// Reads the record and decides, for a task that does so.
    fn decide(&self, world: &World, task: &Task, [fresh, other]: &[Token; 2]) -> (Option<Record>, Follow) {
        let record = world.record.as_ref();
        let stop = self.stop(world);
        let (rules, life) = (self.rules, world.life);
        let send = |token: &Token, record: &Record| match &record.state {
            State::Posting(Posting { nonce: Some(nonce), part, .. }) => {
                Follow::then(Task::Send { token: token.clone(), nonce: nonce.clone(), part: *part, life })
            }
            _ => Follow::default(),
        };
        match task {
            Task::Dispatch { receive, token } => {
                let place = world::place();
                let message = message_of(receive);
                let received = Received {
                    receive,
                    receives: receive.handle.parse().unwrap_or_default(),
                    now: NOW,
                    lease_until: NOW.after(world::POST_WAIT),
                    token,
                    place: Some(&place),
                    files: &[],
                    for_agent: true,
                    stopped_at: stop.as_ref(),
                    trace_id: None,
                    conversation: None,
                    app_users: &[],
                    resumes: None,
                    is_lapse: false,
                    was_dead_letter: world.messages.get(message).is_some_and(|message| message.is_letter),
                };
                let limits = rules.limits(self.max_attempts);
                let decided = if self.is_stop {
                    // It has ended one, so the grace is the short one.
                    receive::on_stop(record, 1, &received, limits)
                } else {
                    rules.on_receive(record, &received, limits)
                };
                map(decided, |errand, _| self.errand(errand, receive, token, fresh))
            }
            Task::GiveBack { token } => map(receive::give_back(record, token), |_, _| Follow::default()),
            Task::Delete => map(rules.on_deletion(record), |visible, _| Follow::visible(visible)),
            Task::Claim { token, new } => {
                map(rules.claim(record, token, new, stop.as_ref()), |claimed, _| match claimed {
                    Claimed::Yours { .. } => {
                        let own = rules.hold(Rule::ClaimsHaveTheirOwnToken);
                        Follow::then(Task::Think { token: if own { new } else { token }.clone() })
                    }
                    Claimed::Gone { visible } => Follow::visible(visible),
                })
            }
            Task::Release { token } => {
                map(operations::release(record, token), |visible, _| Follow::visible(visible))
            }
            Task::Intend { token, nonce, text } => {
                let (words, end) = match text {
                    Text::Answer => (Some("answer"), End::Answered),
                    Text::None => (None, End::Answered),
                    Text::Apology => (Some("sorry"), End::Told { why: "sorry".to_owned() }),
                };
                let decided = rules.intend(record, token, words, &end, nonce, stop.as_ref());
                map(decided, |intent, is_written| match intent {
                    Intent::Post(record) => {
                        let mut follow = send(token, &record);
                        if !rules.hold(Rule::IntentBeforePost) {
                            let (token, nonce) = (token.clone(), nonce.clone());
                            follow.next = Some(Task::Stands { token, nonce, next: None });
                        }
                        if is_written && world.is_stopped {
                            follow.broken = Some("posted after a stop");
                        }
                        follow
                    }
                    Intent::Ended { delete } => Follow::queue(QueueCall::Delete(delete)),
                    Intent::Untellable { visible } => Follow::visible(Some(visible)),
                    Intent::Gone { visible } => Follow::visible(visible),
                    Intent::TakenOver | Intent::Stands { .. } | Intent::NoPlace => Follow::default(),
                    Intent::Apart { .. } | Intent::Soon => {
                        unreachable!("each question is answered by itself here")
                    }
                })
            }
            Task::Start { token, nonce, by_response_url } => {
                let via = if *by_response_url { Via::ResponseUrl } else { Via::Channel };
                map(rules.start(record, token, nonce, via), |started, _| {
                    started.map_or_else(Follow::default, |record| send(token, &record))
                })
            }
            Task::Stands { token, nonce, next } => {
                let parts = match record.map(|record| &record.state) {
                    Some(State::Posting(posting)) => self.parts_of(posting),
                    _ => self.parts,
                };
                let decided = rules.posted(record, token, nonce, parts as usize, next.as_ref());
                map(decided, |posted, _| match posted {
                    Posted::Next(record) => send(token, &record),
                    Posted::Left { visible } => Follow::visible(Some(visible)),
                    Posted::Ended { end: End::Answered | End::Declined(_) | End::Suspended(_), receive } => {
                        Follow::queue(QueueCall::Delete(receive))
                    }
                    Posted::Ended { end: End::Told { .. }, receive } => Follow::visible(Some(receive)),
                    Posted::Gone => Follow::default(),
                })
            }
            Task::Refused { token, nonce, then } => map(rules.refused(record, nonce), |refused, _| {
                let (Some(_), token) = (refused, token.clone()) else { return Follow::default() };
                let start = |by_response_url| Task::Start {
                    token: token.clone(),
                    nonce: other.clone(),
                    by_response_url,
                };
                match then {
                    AfterRefusal::Wait => Follow::default(),
                    AfterRefusal::GiveUp => Follow::then(Task::EndUntold { token, nonce: None }),
                    AfterRefusal::Respond => Follow::then(start(true)),
                    AfterRefusal::PostAgain => Follow::then(start(false)),
                }
            }),
            Task::AskedInVain { token, nonce } => {
                map(operations::asked_in_vain(record, token, nonce), |_, _| Follow::default())
            }
            Task::EndUntold { token, nonce } => {
                map(operations::end_untold(record, token, nonce.as_ref()), |visible, _| {
                    Follow::visible(visible)
                })
            }
            Task::Call { .. }
            | Task::Think { .. }
            | Task::PostOn { .. }
            | Task::Find { .. }
            | Task::Send { .. }
            | Task::UnderWay { .. } => (None, Follow::default()),
        }
    }

    /// What a dispatcher does when its decision is written.
    fn errand(&self, errand: Errand, receive: &Receive, token: &Token, fresh: &Token) -> Follow {
        let (receive, token) = (receive.clone(), token.clone());
        let intend = |token, text| Follow::then(Task::Intend { token, nonce: fresh.clone(), text });
        match errand {
            Errand::Done(_) => Follow::queue(QueueCall::Delete(receive)),
            Errand::DeadLetter { .. } => Follow::queue(QueueCall::WriteLetter(receive)),
            Errand::PutOff(_) | Errand::Leave => Follow::default(),
            Errand::EndsWith { .. } => unreachable!("each question is answered by itself here"),
            Errand::Call if self.is_stop => intend(token, Text::Answer),
            Errand::Call => {
                let leaves = !self.rules.hold(Rule::MessagesStay);
                let queue = leaves.then_some(QueueCall::Delete(receive));
                Follow { queue, ..Follow::then(Task::Call { token }) }
            }
            Errand::GiveUp => intend(token, Text::Apology),
            Errand::Post => Follow::then(Task::PostOn { token }),
        }
    }

    /// A process does what is next.
    fn step(&self, world: &mut World, index: usize, how: How) -> Option<()> {
        let fresh = world.fresh();
        let Process { task, phase } = world.processes.remove(index);
        let again = |task| Process { task, phase: Phase::Begin };
        match (phase, how) {
            (Phase::Begin, _) if !writes(&task) => return self.act(world, task, how, fresh),
            (Phase::Begin, _) => {
                let (write, follow) = self.decide(world, &task, &fresh);
                match (how, write) {
                    (How::Plainly, write) => {
                        if let Some(write) = write {
                            put(world, write);
                        }
                        self.follow(world, follow);
                    }
                    (How::With(Fault::LateWrite), Some(write)) => {
                        let phase = Phase::Decided { write: Box::new(write), follow, is_fresh: true };
                        world.processes.push(Process { task, phase });
                    }
                    (How::With(Fault::LostAnswer), Some(write)) => {
                        put(world, write);
                        world
                            .processes
                            .push(Process { task, phase: Phase::Written { follow, is_fresh: true } });
                    }
                    _ => return None,
                }
            }
            (Phase::Decided { write, follow, is_fresh }, how) => {
                let takes_effect = is_fresh || !self.rules.hold(Rule::WritesAreConditional);
                match how {
                    How::Plainly if takes_effect => {
                        put(world, *write);
                        self.follow(world, follow);
                    }
                    How::Plainly => world.processes.push(again(task)),
                    How::With(Fault::LostAnswer) if takes_effect => {
                        put(world, *write);
                        world
                            .processes
                            .push(Process { task, phase: Phase::Written { follow, is_fresh: true } });
                    }
                    _ => return None,
                }
            }
            (Phase::Written { follow, is_fresh }, How::Plainly) if is_fresh => self.follow(world, follow),
            (Phase::Written { .. }, How::Plainly) => world.processes.push(again(task)),
            (Phase::Written { .. }, _) => return None,
        }
        Some(())
    }

    /// A step that writes nothing into the record, or is one with the read before it.
    fn act(&self, world: &mut World, task: Task, how: How, [fresh, other]: [Token; 2]) -> Option<()> {
        let mut go = |task: Task| world.processes.push(Process::new(task));
        match (task, how) {
            (Task::Call { token }, How::Plainly) => go(Task::Claim { token, new: fresh }),
            (Task::Call { token }, How::With(Fault::TwoProcesses)) => {
                go(Task::Claim { token: token.clone(), new: fresh });
                go(Task::Claim { token, new: other });
            }
            (Task::Call { token }, How::With(Fault::NotReached)) => go(Task::GiveBack { token }),
            (Task::Call { token }, How::With(Fault::LateGiveBack)) => {
                go(Task::Claim { token: token.clone(), new: fresh });
                go(Task::GiveBack { token });
            }
            (Task::Think { token }, How::Plainly) if !self.rules.hold(Rule::IntentBeforePost) => {
                let life = world.life;
                world.processes.push(Process::new(Task::Send { token, nonce: fresh, part: 0, life }));
            }
            (Task::Think { token }, How::Plainly) => {
                go(Task::Intend { token, nonce: fresh, text: Text::Answer });
            }
            (Task::Think { token }, How::With(Fault::TwoAnswers)) => {
                go(Task::Intend { token: token.clone(), nonce: fresh, text: Text::Answer });
                go(Task::Intend { token, nonce: other, text: Text::Answer });
            }
            (Task::Think { token }, How::With(Fault::ThinkingFails)) => {
                go(Task::Intend { token, nonce: fresh, text: Text::Apology });
            }
            (Task::Think { token }, How::OwnTools) => {
                go(Task::Intend { token, nonce: fresh, text: Text::None });
            }
            (Task::Think { token }, How::With(Fault::SigTerm)) => go(Task::Release { token }),
            (Task::Think { token }, How::Beat) => {
                let stop = self.stop(world);
                let Transition { write, then } =
                    self.rules.beat(world.record.as_ref(), &token, stop.as_ref());
                if write.is_none() && matches!(then, Beat::GoOn { .. }) {
                    return None;
                }
                if let Some(write) = write {
                    put(world, write);
                }
                match then {
                    Beat::GoOn { .. } => world.processes.push(Process::new(Task::Think { token })),
                    Beat::Cancel { visible, .. } => self.follow(world, Follow::visible(visible)),
                }
            }
            (Task::PostOn { token }, How::With(Fault::TwoAnswers)) => {
                go(Task::PostOn { token: token.clone() });
                go(Task::PostOn { token });
            }
            (Task::PostOn { token }, How::Plainly) => match &world.record {
                Some(record @ Record { state: State::Posting(posting), .. }) if posting.token == token => {
                    if posting.nonce.is_none() {
                        // Into the channel, whichever way the last post went.
                        go(Task::Start { token, nonce: fresh, by_response_url: false });
                    } else if let Some(nonce) = self.rules.may_look_for(record, &token) {
                        if posting.via == Via::ResponseUrl {
                            go(Task::EndUntold { token, nonce: Some(nonce) });
                        } else {
                            go(Task::Find { token, nonce });
                        }
                    }
                }
                _ => {}
            },
            (Task::Find { token, nonce }, How::Plainly) => {
                if world.standing.contains(&nonce) && self.rules.hold(Rule::SlackIsAsked) {
                    go(Task::Stands { token, nonce, next: Some(fresh) });
                } else {
                    go(Task::Refused { token, nonce, then: AfterRefusal::PostAgain });
                }
            }
            (Task::Find { token, nonce }, How::With(Fault::CannotAsk)) => {
                go(Task::AskedInVain { token, nonce });
            }
            (Task::Find { token, nonce }, How::With(Fault::CannotAskForGood)) => {
                go(Task::EndUntold { token, nonce: Some(nonce) });
            }
            (Task::Send { token, nonce, part, life }, How::Plainly | How::With(Fault::NoTime)) => {
                land(world, &nonce, part, life);
                let next = (how == How::Plainly).then_some(fresh);
                let task = if self.rules.hold(Rule::IntentBeforePost) {
                    Task::Stands { token, nonce, next }
                } else {
                    Task::Intend { token, nonce, text: Text::Answer }
                };
                world.processes.push(Process::new(task));
            }
            (Task::Send { nonce, part, life, .. }, How::With(Fault::Unknown)) => {
                go(Task::UnderWay { nonce, part, life });
            }
            (Task::Send { token, nonce, .. }, How::With(Fault::Refusal)) => {
                go(Task::Refused { token, nonce, then: AfterRefusal::Wait });
            }
            (Task::Send { token, nonce, .. }, How::With(Fault::RefusalForGood)) => {
                go(Task::Refused { token, nonce, then: AfterRefusal::GiveUp });
            }
            (Task::Send { token, nonce, .. }, How::With(Fault::Respond)) => {
                go(Task::Refused { token, nonce, then: AfterRefusal::Respond });
            }
            (Task::UnderWay { nonce, part, life }, How::Plainly) => land(world, &nonce, part, life),
            (Task::UnderWay { .. }, How::Vanish) => {}
            _ => return None,
        }
        Some(())
    }

    /// What follows when a decision is written.
    fn follow(&self, world: &mut World, follow: Follow) {
        if follow.broken.is_some() {
            world.broken = follow.broken;
        }
        match follow.queue {
            Some(QueueCall::MakeVisible(receive)) => set(world, &receive, At::Visible),
            Some(QueueCall::Delete(receive)) => {
                if !world.record.as_ref().is_some_and(Record::has_ended) {
                    world.broken = Some("a message left before its question had ended");
                }
                set(world, &receive, At::Gone);
            }
            Some(QueueCall::WriteLetter(receive)) => {
                if let Some(letters) = world.letters.get_mut(usize::from(world.life)) {
                    *letters = (*letters + 1).min(2);
                }
                set(world, &receive, At::Gone);
            }
            None => {}
        }
        world.processes.extend(follow.next.map(Process::new));
    }

    /// The wait passes, and with it every call that was under way when it began.
    fn wait_passes(&self, world: &mut World, in_truth: bool, by_clock: bool) -> bool {
        let mut seen = Vec::new();
        for record in world.records() {
            seen.extend(world::sight(record).map(|sight| sight.nonce.clone()));
        }
        if in_truth && self.rules.hold(Rule::CallsEnd) {
            // An invocation of agent-settle's that would post with this nonce is over as well.
            world.processes.retain(|process| match &process.task {
                Task::Send { nonce, .. }
                | Task::UnderWay { nonce, .. }
                | Task::Start { nonce, .. }
                | Task::Intend { nonce, .. }
                | Task::Stands { next: Some(nonce), .. } => !seen.contains(nonce),
                _ => true,
            });
        }
        let mut changed = false;
        if by_clock {
            for record in world.records() {
                changed |= world::age_sight(record);
            }
        }
        changed
    }

    /// The step, without what it costs.
    fn do_action(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::Receive { message, how } => {
                let [token, other] = world.fresh();
                let it = world.messages.get_mut(message)?;
                it.at = At::Hidden;
                it.handle += 1;
                let receive = world.receive(message);
                let run = |token| Process::new(Task::Dispatch { receive: receive.clone(), token });
                world.processes.push(run(token));
                match how {
                    How::With(Fault::Pause) => {}
                    How::With(Fault::TwoRuns) => world.processes.push(run(other)),
                    how => self.step(world, world.processes.len() - 1, how)?,
                }
            }
            Action::Step { process, how: How::With(Fault::Death) } => {
                world.processes.remove(process);
            }
            Action::Step { process, how } => self.step(world, process, how)?,
            Action::VisibilityEnds { message } => {
                let receive = world.receive(message);
                world.messages.get_mut(message)?.at = At::Visible;
                // SQS has measured the wait of the receive that saw the nonce.
                let has_seen = world.record.as_ref().and_then(world::sight).map(|sight| &sight.receive);
                if has_seen == Some(&receive) {
                    self.wait_passes(world, true, false);
                }
            }
            Action::LeaseEnds => {
                let changed = world.record.as_mut().is_some_and(world::end_lease);
                if !changed {
                    return None;
                }
            }
            Action::WaitPasses => {
                if !self.wait_passes(world, true, true) {
                    return None;
                }
            }
            Action::Befalls(Fault::WrongClock, _) => {
                if !self.wait_passes(world, false, true) {
                    return None;
                }
            }
            Action::Befalls(Fault::TimeIsUp, _) => {
                let record = world.record.as_mut()?;
                let ago = NOW.as_millis() - u64::try_from(GIVE_UP_AFTER.as_millis()).ok()?;
                let up = slack_ingress::time::clock::UnixMillis::from_millis(ago);
                if record.has_ended() || std::mem::replace(&mut record.since, up) == up {
                    return None;
                }
            }
            Action::GracePasses => {
                let record = world.record.as_mut().filter(|record| record.since == NOW)?;
                let ago = NOW.as_millis() - u64::try_from(receive::STOP_GRACE.as_millis()).ok()?;
                record.since = slack_ingress::time::clock::UnixMillis::from_millis(ago);
            }
            Action::Befalls(_, message) => {
                // Not the one that was received last, or is being received, for which somebody is told: its letter would be lost
                // as well.
                let id = message.to_string();
                let state = world.record.as_ref().map(|record| &record.state);
                let is_told = matches!(state, Some(State::Told { .. }));
                let received = world.record.as_ref().and_then(Record::receive);
                if is_told
                    || !world.processes.is_empty()
                    || received.is_some_and(|receive| receive.message_id == id)
                {
                    return None;
                }
                world.messages.get_mut(message)?.at = At::Gone;
            }
            Action::Happens(Event::Stop) => {
                if std::mem::replace(&mut world.is_stopped, true) {
                    return None;
                }
            }
            Action::Happens(Event::Deletion) => world.processes.push(Process::new(Task::Delete)),
            Action::Happens(_) => {
                // Somebody does so when the message that it was written for has long left.
                let is_early = world.messages.iter().any(|message| message.at != At::Gone);
                if is_early || world.letters.get(usize::from(world.life)) == Some(&0) {
                    return None;
                }
                world.messages.push(Message { at: At::Visible, handle: 0, is_letter: true });
            }
        }
        Some(())
    }

    /// The world after the step, in a world without further faults if `is_free`.
    pub(crate) fn after(&self, world: &World, action: Action, is_free: bool) -> Option<World> {
        let mut next = world.clone();
        self.do_action(&mut next, action)?;
        if !is_free {
            next.faults = next.faults.checked_sub(faults_of(action))?;
            let is_event = matches!(action, Action::Happens(_) | Action::Step { how: How::OwnTools, .. });
            next.events = next.events.checked_sub(u8::from(is_event))?;
        }
        if self.rules.off.is_none() {
            self.drop_the_late(&mut next);
        }
        Some(next.renamed())
    }

    /// Drops those whose token or nonce stands nowhere any more. None can come back, because each is new when it is written, so
    /// they will never do anything. That it is so now is asked of the real functions.
    fn drop_the_late(&self, world: &mut World) {
        if world.processes.is_empty() {
            return;
        }
        let standing = world.tokens_of_records();
        let fresh = [Token::from_bits(u128::MAX), Token::from_bits(u128::MAX - 1)];
        let processes = std::mem::take(&mut world.processes);
        let is_late = |process: &Process| {
            let names: &[&Token] = match (&process.task, &process.phase) {
                (_, Phase::Decided { .. } | Phase::Written { .. }) => return false,
                (Task::Call { token } | Task::Think { token }, _) => {
                    return !standing.contains(token)
                        && self.decide(world, &Task::Release { token: token.clone() }, &fresh).0.is_none();
                }
                (Task::PostOn { token }, _) => return !standing.contains(token),
                (Task::Find { nonce, .. }, _) => return !standing.contains(nonce),
                (Task::Claim { token, new }, _) => &[token, new],
                (
                    Task::GiveBack { token }
                    | Task::Release { token }
                    | Task::Intend { token, .. }
                    | Task::Start { token, .. }
                    | Task::EndUntold { token, .. },
                    _,
                ) => &[token],
                (Task::Stands { nonce, next, .. }, _) => {
                    if next.as_ref().is_some_and(|next| standing.contains(next)) {
                        return false;
                    }
                    &[nonce]
                }
                (Task::Refused { nonce, .. } | Task::AskedInVain { nonce, .. }, _) => &[nonce],
                (Task::Dispatch { .. } | Task::Delete | Task::Send { .. } | Task::UnderWay { .. }, _) => {
                    return false;
                }
            };
            if names.iter().any(|token| standing.contains(*token)) {
                return false;
            }
            let (write, follow) = self.decide(world, &process.task, &fresh);
            write.is_none() && follow == Follow::default()
        };
        let kept = processes.iter().filter(|process| !is_late(process)).cloned().collect();
        world.processes = kept;
    }

    /// Whether a question of this world has ended as it should.
    pub(crate) fn has_ended_well(&self, world: &World) -> bool {
        let Some(record) = world.record.as_ref() else { return false };
        let life = usize::from(world.life);
        match &record.state {
            State::Answered { .. } => true,
            State::Told { why, .. } if [STOPPED, DELETED].contains(&why.as_str()) => true,
            State::Told { .. } => world.letters.get(life).is_some_and(|letters| *letters > 0),
            _ => false,
        }
    }

    /// Whether what the record says to stand was posted.
    fn stands(&self, world: &World) -> bool {
        let Some(posts) = world.posts.get(usize::from(world.life)) else { return false };
        match world.record.as_ref().map(|record| &record.state) {
            Some(State::Answered { ts: Some(_), .. }) => {
                posts.iter().take(self.parts as usize).all(|posts| *posts > 0)
            }
            Some(State::Posting(posting)) => posts.iter().take(posting.part as usize).all(|posts| *posts > 0),
            Some(State::Told { why, .. }) if why == "sorry" => posts.first().is_some_and(|posts| *posts > 0),
            _ => true,
        }
    }

    /// How many agents are told to go on.
    fn at_work(&self, world: &World) -> usize {
        let is_at_work = |process: &&Process| match &process.task {
            Task::Think { token } => {
                let beat = self.rules.beat(world.record.as_ref(), token, None);
                matches!(beat.then, Beat::GoOn { .. })
            }
            _ => false,
        };
        world.processes.iter().filter(is_at_work).count()
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let message = Message { at: At::Visible, handle: 0, is_letter: false };
        vec![World {
            record: None,
            messages: vec![message; self.messages],
            processes: Vec::new(),
            standing: Vec::new(),
            posts: Default::default(),
            letters: Default::default(),
            life: 0,
            is_stopped: false,
            faults: self.faults,
            events: u8::try_from(self.events.len()).unwrap_or_default(),
            broken: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let may = |fault: Fault| world.faults > 0 && self.kinds.contains(&fault);
        for (message, it) in world.messages.iter().enumerate() {
            match it.at {
                At::Visible if world.processes.len() < self.processes => {
                    actions.push(Action::Receive { message, how: How::Plainly });
                    for fault in [Fault::TwoRuns, Fault::Pause, Fault::LateWrite, Fault::LostAnswer] {
                        if may(fault) {
                            actions.push(Action::Receive { message, how: How::With(fault) });
                        }
                    }
                }
                At::Hidden if self.rules.hold(Rule::VisibilityEnds) => {
                    actions.push(Action::VisibilityEnds { message });
                }
                _ => {}
            }
            if may(Fault::Retention)
                && it.at != At::Gone
                && world.messages.iter().filter(|it| it.at != At::Gone).count() > 1
            {
                actions.push(Action::Befalls(Fault::Retention, message));
            }
        }
        for (process, Process { task, phase }) in world.processes.iter().enumerate() {
            let mut step = |how| actions.push(Action::Step { process, how });
            step(How::Plainly);
            if may(Fault::Death) {
                step(How::With(Fault::Death));
            }
            match phase {
                Phase::Begin => {}
                Phase::Decided { .. } => {
                    if may(Fault::LostAnswer) {
                        step(How::With(Fault::LostAnswer));
                    }
                    continue;
                }
                Phase::Written { .. } => continue,
            }
            if writes(task) {
                [Fault::LateWrite, Fault::LostAnswer]
                    .into_iter()
                    .filter(|fault| may(*fault))
                    .for_each(|fault| step(How::With(fault)));
                continue;
            }
            let faults: &[Fault] = match task {
                Task::Call { .. } => &[Fault::TwoProcesses, Fault::NotReached, Fault::LateGiveBack],
                Task::Think { .. } => &[Fault::TwoAnswers, Fault::ThinkingFails, Fault::SigTerm],
                Task::PostOn { .. } => &[Fault::TwoAnswers],
                Task::Find { .. } => &[Fault::CannotAsk, Fault::CannotAskForGood],
                Task::Send { .. } => {
                    &[Fault::Unknown, Fault::Refusal, Fault::RefusalForGood, Fault::Respond, Fault::NoTime]
                }
                _ => &[],
            };
            faults.iter().filter(|fault| may(**fault)).for_each(|fault| step(How::With(*fault)));
            match task {
                Task::Think { .. } => {
                    step(How::Beat);
                    if self.events.contains(&Event::OwnTools) {
                        step(How::OwnTools);
                    }
                }
                Task::UnderWay { .. } => step(How::Vanish),
                _ => {}
            }
        }
        if self.rules.hold(Rule::LeasesEnd) {
            actions.push(Action::LeaseEnds);
        }
        actions.push(Action::WaitPasses);
        if self.is_stop {
            actions.push(Action::GracePasses);
        }
        for fault in [Fault::TimeIsUp, Fault::WrongClock] {
            if may(fault) {
                actions.push(Action::Befalls(fault, 0));
            }
        }
        for event in self.events {
            if world.events > 0 && *event != Event::OwnTools {
                actions.push(Action::Happens(*event));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.after(world, action, false)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no part is posted twice", |_, world: &World| {
                world.posts.iter().flatten().all(|posts| *posts <= 1)
            }),
            Property::always("parts are posted in their order", |_, world: &World| {
                world.posts.iter().all(|[first, second]| second <= first)
            }),
            Property::always("one process at most is told to go on", |model: &Self, world| {
                model.at_work(world) <= 1
            }),
            Property::always("what is said to stand stands", |model: &Self, world| model.stands(world)),
            Property::always("nothing happens that must not", |_, world: &World| world.broken.is_none()),
            Property::always("when faults end, all is answered or told", |model: &Self, world| {
                model.ends_well(world)
            }),
        ]
    }
}

impl Follow {
    fn then(task: Task) -> Self {
        Self { next: Some(task), ..Self::default() }
    }

    fn queue(call: QueueCall) -> Self {
        Self { queue: Some(call), ..Self::default() }
    }

    fn visible(receive: Option<Receive>) -> Self {
        Self { queue: receive.map(QueueCall::MakeVisible), ..Self::default() }
    }
}

/// Whether the task reads the record, decides and writes.
const fn writes(task: &Task) -> bool {
    !matches!(
        task,
        Task::Call { .. }
            | Task::Think { .. }
            | Task::PostOn { .. }
            | Task::Find { .. }
            | Task::Send { .. }
            | Task::UnderWay { .. }
    )
}

fn faults_of(action: Action) -> u8 {
    u8::from(matches!(
        action,
        Action::Receive { how: How::With(_), .. }
            | Action::Step { how: How::With(_), .. }
            | Action::Befalls(..)
    ))
}

fn map<T>(decided: Transition<T>, follow: impl FnOnce(T, bool) -> Follow) -> (Option<Record>, Follow) {
    let is_written = decided.write.is_some();
    (decided.write, follow(decided.then, is_written))
}

/// Writes the record. Whoever has read it before has read an old one.
fn put(world: &mut World, record: Record) {
    let started_over = world
        .record
        .as_ref()
        .is_some_and(|before| matches!(before.state, State::Told { .. }) && !record.has_ended());
    world.life += u8::from(started_over);
    world.record = Some(world::normalised(record));
    for process in &mut world.processes {
        if let Phase::Decided { is_fresh, .. } | Phase::Written { is_fresh, .. } = &mut process.phase {
            *is_fresh = false;
        }
    }
}

/// A post arrives in Slack.
fn land(world: &mut World, nonce: &Token, part: u32, life: u8) {
    let posts = world.posts.get_mut(usize::from(life)).and_then(|posts| posts.get_mut(part as usize));
    if let Some(posts) = posts {
        *posts = (*posts + 1).min(2);
    }
    world.standing.push(nonce.clone());
    let is_withdrawn = match world.record.as_ref().map(|record| &record.state) {
        Some(State::Told { why, .. }) => [STOPPED, DELETED].contains(&why.as_str()),
        _ => false,
    };
    if is_withdrawn && life == world.life {
        world.broken = Some("posted though the question was withdrawn");
    }
}

/// What is done with a handle has an effect only while that receive lasts.
fn set(world: &mut World, receive: &Receive, at: At) {
    let handle = receive.handle.parse();
    if let Some(message) = world.messages.get_mut(message_of(receive))
        && message.at == At::Hidden
        && Ok(message.handle) == handle
    {
        message.at = at;
    }
}

fn message_of(receive: &Receive) -> usize {
    receive.message_id.parse().unwrap_or(usize::MAX)
}
