//! That everything ends: from each state that the checker reaches, with all the faults that happened until then, the world is
//! run on without further ones, and must come to an end that is an answer, a letter, or a withdrawal.
//!
//! stateright's own `eventually` says nothing about cycles, and forgets what it has seen of a path where two paths join. So this
//! is an invariant instead ("from here an end is reached"), and a stronger one: not only that an end can be reached, but that the
//! run that is described here reaches it. In that run nobody is slow: whoever is at work takes the next step; when nobody is, a
//! visible message is received, whichever, but a letter that was sent back after all others (if its first message is still there,
//! each of the two could otherwise start over what the other has told); and when there is none, time passes: leases,
//! visibilities and waits are over. A state
//! that comes twice in such a run is a circle that is never left, and a state in which nothing more happens has to be an end.
//!
//! Each step of the run is one of the model's steps without a fault. So an end can be reached from each reachable state by steps
//! without faults; the states are finitely many; and so every run without faults ends in which what can happen again and again
//! happens at last (strong fairness).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use super::rules::Rule;
use super::step::{Action, Fault, How, Protocol};
use super::world::{At, Task, World};

/// How the world goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything works.
    Healed,
    /// Slack takes nothing and cannot be asked, until the question's time is up.
    SlackIsDown,
    /// The agent dies of each question.
    AgentDies,
}

/// The states from which it is known whether an end is reached.
#[derive(Debug, Default)]
pub(crate) struct Memo(Mutex<HashMap<u64, bool>>);

impl Protocol {
    /// Whether the world ends well, however it goes on.
    pub(crate) fn ends_well(&self, world: &World) -> bool {
        let state = fingerprint(world);
        [Mode::Healed, Mode::SlackIsDown, Mode::AgentDies]
            .into_iter()
            .all(|mode| self.ends_from(world, state, mode, &mut Vec::new()))
    }

    fn ends(&self, world: &World, mode: Mode, path: &mut Vec<u64>) -> bool {
        self.ends_from(world, fingerprint(world), mode, path)
    }

    fn ends_from(&self, world: &World, state: u64, mode: Mode, path: &mut Vec<u64>) -> bool {
        let state = state.wrapping_add(mode as u64);
        let memo = || self.memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = memo().get(&state) {
            return *ends;
        }
        if path.contains(&state) {
            return false;
        }
        path.push(state);
        let next = self.next(world, mode);
        let ends = if next.is_empty() {
            world.is_quiet() && self.has_ended_well(world)
        } else {
            next.iter().all(|next| self.ends(next, mode, path))
        };
        path.pop();
        memo().insert(state, ends);
        ends
    }

    /// The worlds that may come next; none if nothing more happens.
    fn next(&self, world: &World, mode: Mode) -> Vec<World> {
        if let Some(process) = world.processes.first() {
            let how = match (&process.task, mode) {
                (Task::Send { .. }, Mode::SlackIsDown) => How::With(Fault::Refusal),
                (Task::Find { .. }, Mode::SlackIsDown) => How::With(Fault::CannotAsk),
                (Task::Think { .. }, Mode::AgentDies) => How::With(Fault::Death),
                _ => How::Plainly,
            };
            return self.after(world, Action::Step { process: 0, how }, true).into_iter().collect();
        }
        let visible = |is_letter| {
            let messages = world.messages.iter().enumerate();
            let visible =
                messages.filter(move |(_, it)| it.at == At::Visible && it.is_letter == is_letter);
            visible.map(|(message, _)| message).collect::<Vec<_>>()
        };
        let first = visible(false);
        let received: Vec<World> = if first.is_empty() { visible(true) } else { first }
            .into_iter()
            .filter_map(|message| self.after(world, Action::Receive { message, how: How::Plainly }, true))
            .collect();
        if !received.is_empty() {
            return received;
        }
        self.time_passes(world, mode).into_iter().collect()
    }

    /// All that can be over is over.
    fn time_passes(&self, world: &World, mode: Mode) -> Option<World> {
        let mut actions = vec![Action::WaitPasses];
        if self.rules.hold(Rule::LeasesEnd) {
            actions.push(Action::LeaseEnds);
        }
        if self.is_stop {
            actions.push(Action::GracePasses);
        }
        if mode == Mode::SlackIsDown {
            actions.push(Action::Befalls(Fault::TimeIsUp, 0));
        }
        let hidden = |message: &usize| world.messages.get(*message).is_some_and(|it| it.at == At::Hidden);
        if self.rules.hold(Rule::VisibilityEnds) {
            actions.extend(
                (0..world.messages.len()).filter(hidden).map(|message| Action::VisibilityEnds { message }),
            );
        }
        if !(0..world.messages.len()).any(|message| hidden(&message)) {
            return None;
        }
        let mut changed = None;
        for action in actions {
            let from = changed.as_ref().unwrap_or(world);
            if let Some(next) = self.after(from, action, true) {
                changed = Some(next);
            }
        }
        changed
    }
}

fn fingerprint(state: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
