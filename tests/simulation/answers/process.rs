//! A process of the dispatcher's, of agent-settle's or of the agent's: it has a wall clock of its own, and may die or be paused at
//! any point where it waits.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

use super::faults::Fault;
use super::sim::{Sim, instant};

/// Which program a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ingress,
    Dispatcher,
    Settle,
    Agent,
}

/// How far a clock may be off that is nearly right, in milliseconds.
const NEARLY: u64 = 500;
/// How far a clock may be off that is not, in milliseconds. A search for a post begins five minutes before it was decided on.
const MINUTES: u64 = 240_000;

/// What happens to a process, counted in how often something of it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) dies_at: Option<u32>,
    pub(crate) gets_sigterm_at: Option<u32>,
    pub(crate) pauses_at: Option<(u32, Duration)>,
    /// Whether its monotonic clock stands still while it is paused.
    pub(crate) stops_its_clock: bool,
}

#[derive(Debug, Default)]
struct Life {
    is_dead: bool,
    paused_until: Option<Instant>,
    stood_still: Duration,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) program: Program,
    pub(crate) name: String,
    pub(crate) began: Duration,
    /// How far its wall clock is ahead, in milliseconds; behind, if it is negative.
    pub(crate) ahead: i64,
    fate: Fate,
    steps: AtomicU32,
    life: Mutex<Life>,
    /// Notified when something about the process or its work has changed.
    pub(crate) changed: tokio::sync::Notify,
    sigterm_came: std::sync::atomic::AtomicBool,
    /// Whether it has written down what a person decided.
    pub(crate) has_decided: std::sync::atomic::AtomicBool,
    /// Whether it was paused.
    was_disturbed: std::sync::atomic::AtomicBool,
}

impl Process {
    pub(crate) fn start(sim: &Sim, program: Program, name: String) -> Arc<Self> {
        let settings = &sim.settings;
        let mut chance = sim.chance();
        let has_faults = sim.has_faults();
        let is_off = has_faults && program != Program::Ingress && chance.per_mille(settings.wrong_clocks);
        let most = if is_off { MINUTES } else { NEARLY };
        let ahead = chance.number(0..=2 * most).cast_signed() - most.cast_signed();
        let (deaths, pauses, steps) = match program {
            Program::Ingress => (0, 0, 1),
            Program::Dispatcher | Program::Settle => (settings.deaths, settings.pauses, 16),
            Program::Agent => (settings.agent_deaths, settings.agent_pauses, 60),
        };
        let mut fate = Fate { stops_its_clock: chance.per_mille(500), ..Fate::default() };
        if has_faults && chance.per_mille(deaths) {
            let at = u32::try_from(chance.number(0..=steps)).unwrap();
            if program == Program::Agent && chance.per_mille(500) {
                fate.gets_sigterm_at = Some(at);
            } else {
                fate.dies_at = Some(at);
            }
        }
        if has_faults && chance.per_mille(pauses) {
            let at = u32::try_from(chance.number(0..=steps)).unwrap();
            let range = chance.choose(&[100..=5_000, 5_000..=29_000, 60_000..=400_000]);
            fate.pauses_at = Some((at, chance.millis(range)));
        }
        drop(chance);
        if is_off {
            sim.count(Fault::ClockMinutesOff);
        }
        Arc::new(Self {
            program,
            name,
            began: sim.at(),
            ahead,
            fate,
            steps: AtomicU32::new(0),
            life: Mutex::default(),
            changed: tokio::sync::Notify::new(),
            sigterm_came: false.into(),
            has_decided: false.into(),
            was_disturbed: false.into(),
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.life.lock().unwrap().is_dead
    }

    /// Whether it has been told to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.sigterm_came.load(Ordering::Relaxed)
    }

    /// Whether it was never paused, and its clock is nearly right.
    pub(crate) fn is_undisturbed(&self) -> bool {
        !self.was_disturbed.load(Ordering::Relaxed) && self.ahead.unsigned_abs() <= NEARLY
    }

    pub(crate) fn die(&self) {
        self.life.lock().unwrap().is_dead = true;
    }

    pub(crate) fn stood_still(&self) -> Duration {
        self.life.lock().unwrap().stood_still
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.life.lock().unwrap().paused_until.is_some_and(|until| until > instant())
    }

    /// Takes the next step of its fate.
    fn step(self: &Arc<Self>, sim: &Sim) {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if self.fate.dies_at == Some(step) {
            sim.count(match self.program {
                Program::Settle => Fault::SettleDies,
                Program::Agent => Fault::AgentDiesWithoutSigterm,
                Program::Dispatcher | Program::Ingress => Fault::DispatcherDies,
            });
            sim.say(&self.name, "", format_args!("dies"));
            self.die();
        }
        if self.fate.gets_sigterm_at == Some(step) {
            sim.count(Fault::AgentGetsSigterm);
            sim.say(&self.name, "", format_args!("gets SIGTERM"));
            self.sigterm_came.store(true, Ordering::Relaxed);
            self.changed.notify_waiters();
            super::agent::end_after_sigterm(self);
        }
        if let Some((at, pause)) = self.fate.pauses_at
            && at == step
        {
            sim.count(match self.program {
                Program::Settle => Fault::SettlePauses,
                Program::Agent => Fault::AgentPauses,
                Program::Dispatcher | Program::Ingress => Fault::DispatcherPauses,
            });
            sim.say(&self.name, "", format_args!("is paused for {pause:?}"));
            self.was_disturbed.store(true, Ordering::Relaxed);
            let mut life = self.life.lock().unwrap();
            life.paused_until = Some(instant() + pause);
            if self.fate.stops_its_clock {
                life.stood_still += pause;
            }
        }
    }
}

/// Something that a process does. It goes on only while the process lives and is not paused. It ends with `None` when the process
/// has died.
pub(crate) struct In<F> {
    sim: Arc<Sim>,
    process: Arc<Process>,
    work: Pin<Box<F>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> In<F> {
    pub(crate) fn new(sim: &Arc<Sim>, process: &Arc<Process>, work: F) -> Self {
        Self { sim: Arc::clone(sim), process: Arc::clone(process), work: Box::pin(work), pause: None }
    }
}

impl<F: Future> Future for In<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !this.process.is_dead() && !this.process.is_paused() {
            this.process.step(&this.sim);
        }
        if this.process.is_dead() {
            return Poll::Ready(None);
        }
        let paused_until = this.process.life.lock().unwrap().paused_until;
        if let Some(until) = paused_until.filter(|until| *until > instant()) {
            let mut pause = Box::pin(sleep_until(until));
            // Polling the timer starts it.
            let _ = pause.as_mut().poll(context);
            this.pause = Some(pause);
            return Poll::Pending;
        }
        this.pause = None;
        this.work.as_mut().poll(context).map(Some)
    }
}
