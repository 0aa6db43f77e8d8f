//! What a history is like: the settings of the functions, how often things go wrong, and what Slack is like. All of it is drawn
//! from the history's seed.

use slack_ingress::work::approval::Who;
use slack_ingress::work::usage::DailyLimits;
use std::time::Duration;

use super::{approvals, usage};
use crate::chance::Chance;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Whether Slack shows what was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlackSearch {
    /// It does.
    Works,
    /// It does not until this time of the history.
    DownUntil(Duration),
    /// It does not: the app lacks the scope.
    NeverAllowed,
}

/// One history.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) fifo: bool,
    pub(crate) questions: u64,
    pub(crate) threads: u64,
    /// Within how many milliseconds all questions are asked.
    pub(crate) asked_within: u64,
    pub(crate) batch_size: usize,
    /// The queue's own visibility timeout.
    pub(crate) visibility: Duration,
    pub(crate) retention: Duration,
    pub(crate) max_receive_count: u32,
    pub(crate) agent_timeout: Duration,
    pub(crate) dispatch_timeout: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) give_up_after: Duration,
    /// Whether a deletion waits for nothing of its conversation (`CONTROL_EVENTS`).
    pub(crate) deletions_are_control: bool,
    /// After this time nothing goes wrong any more, but for what lasts for good.
    pub(crate) faults_until: Duration,
    /// Of a thousand calls of the store, the queue, agent-settle, AgentCore and Slack, how many go wrong.
    pub(crate) store: u32,
    pub(crate) queue: u32,
    pub(crate) settle: u32,
    pub(crate) agent_core: u32,
    pub(crate) slack: u32,
    /// Whether a post that goes wrong always stands a while after nobody waits for it any more.
    pub(crate) posts_are_late: bool,
    /// Of a thousand invocations of the two functions, how many die, and how many are paused.
    pub(crate) deaths: u32,
    pub(crate) pauses: u32,
    /// The same of a thousand processes of the agent.
    pub(crate) agent_deaths: u32,
    pub(crate) agent_pauses: u32,
    /// Of a thousand receives and invocations, how many are run twice.
    pub(crate) twice: u32,
    /// Of a thousand processes, how many have a wall clock that is minutes off.
    pub(crate) wrong_clocks: u32,
    /// Of a thousand questions, how many come in two messages, are stopped, are deleted.
    pub(crate) in_two_messages: u32,
    pub(crate) stopped: u32,
    pub(crate) deleted: u32,
    /// Of a thousand thoughts, how many take minutes.
    pub(crate) long_thoughts: u32,
    /// Until when new processes of the agent have code that knows only the version before.
    pub(crate) old_code_until: Duration,
    /// When somebody puts a token that works; zero if it works from the beginning. Never, if it is the end of the history.
    pub(crate) token_put_at: Duration,
    pub(crate) asking: SlackSearch,
    /// Whether people send dead letters back to the queue.
    pub(crate) letters_are_sent_back: bool,
    /// Of a thousand questions, for how many the agent's model uses tools that change something.
    pub(crate) tools: u32,
    /// Of a thousand thoughts, how many are shown while they are thought.
    pub(crate) streams: u32,
    /// Of a thousand questions, how many a guest asks. Where there are guests, only members may ask.
    pub(crate) guests: u32,
    /// What may be used in a day.
    pub(crate) limits: DailyLimits,
    /// Whether the questions of a thread are answered together.
    pub(crate) together: bool,
    /// Whether there is an audit trail.
    pub(crate) audit: bool,
    /// Who decides before one of the tools is called; `None` if nobody is asked.
    pub(crate) approvals: Option<Who>,
    /// How long they may take.
    pub(crate) approval_time: Duration,
}

impl Settings {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let quiet = chance.per_mille(50);
        let mut often = |choices: &[u32]| if quiet { 0 } else { chance.choose(choices) };
        let store = often(&[0, 0, 5, 30, 150]);
        let queue = often(&[0, 0, 5, 30, 150]);
        let settle = often(&[0, 0, 10, 50, 200]);
        let agent_core = often(&[0, 20, 100, 300]);
        let slack = often(&[0, 20, 100, 300]);
        let deaths = often(&[0, 0, 20, 100]);
        let pauses = often(&[0, 0, 20, 100]);
        let agent_deaths = often(&[0, 0, 100, 400]);
        let agent_pauses = often(&[0, 0, 100, 400]);
        let twice = often(&[0, 0, 20, 200]);
        let wrong_clocks = often(&[0, 0, 0, 300]);
        let asking = match often(&[0, 0, 0, 0, 0, 1, 2]) {
            0 => SlackSearch::Works,
            1 => SlackSearch::DownUntil(chance.millis(60_000..=3_600_000)),
            _ => SlackSearch::NeverAllowed,
        };
        let token_put_at = match chance.number(0..=19) {
            0 => chance.millis(60_000..=3_000_000),
            1 if chance.per_mille(100) => Duration::MAX,
            _ => Duration::ZERO,
        };
        let approvals = approvals::draw(chance);
        Self {
            fifo: chance.per_mille(600),
            questions: chance.number(6..=24),
            threads: chance.number(1..=5),
            asked_within: chance.choose(&[5_000, 60_000, 300_000, 1_200_000]),
            batch_size: usize::try_from(chance.choose(&[1, 3, 10])).unwrap(),
            visibility: Duration::from_secs(chance.choose(&[60, 90, 360])),
            retention: if chance.per_mille(15) { chance.millis(120_000..=1_200_000) } else { 14 * 24 * HOUR },
            max_receive_count: if chance.per_mille(15) { chance.choose(&[2, 4, 8]) } else { 1000 },
            agent_timeout: Duration::from_secs(45),
            dispatch_timeout: MINUTE,
            max_attempts: 3,
            give_up_after: if token_put_at == Duration::MAX {
                // On a FIFO queue each question of a conversation is tried for so long, one after another.
                HOUR / 4
            } else {
                chance.choose(&[HOUR, HOUR, 24 * HOUR])
            },
            deletions_are_control: chance.per_mille(500),
            faults_until: chance.millis(600_000..=5_400_000),
            store,
            queue,
            settle,
            agent_core,
            slack,
            posts_are_late: false,
            deaths,
            pauses,
            agent_deaths,
            agent_pauses,
            twice,
            wrong_clocks,
            in_two_messages: chance.choose(&[0, 0, 100, 400]),
            stopped: chance.choose(&[0, 0, 0, 100, 300]),
            deleted: chance.choose(&[0, 0, 0, 100]),
            long_thoughts: chance.choose(&[0, 20, 100]),
            old_code_until: if chance.per_mille(30) {
                chance.millis(60_000..=1_200_000)
            } else {
                Duration::ZERO
            },
            token_put_at,
            asking,
            letters_are_sent_back: chance.per_mille(200),
            tools: if approvals.is_some() { 700 } else { chance.choose(&[0, 0, 500]) },
            streams: chance.choose(&[0, 500, 1000]),
            guests: chance.choose(&[0, 0, 300]),
            limits: if chance.per_mille(300) { usage::draw(chance) } else { DailyLimits::default() },
            together: chance.per_mille(400),
            audit: chance.per_mille(300),
            approvals,
            approval_time: chance.choose(&[MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR]),
        }
    }
}
