//! Kills processes at random moments, hundreds of times, while Slack's retries come faster than in reality. Checks that afterwards
//! each event that was answered with 200 is on the queue once.
//!
//! The variable KILLS sets another number of kills.

use serde_json::{Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::aws::Queue;
use test_support::aws::proxy::Fault;
use test_support::lambda::{Ended, Lambda};
use test_support::slack::event;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fast_path::{self, Token};
use crate::forms::sha256;
use crate::support::ingress;
use crate::support::stage::Stage;

/// How many processes are killed for each kind of queue, unless KILLS says otherwise.
const KILLS: usize = 150;

/// The function's time-out. It is short, so that the lease of a killed process ends soon.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// The pauses before Slack's retries: the first is short, the others are longer than any lease of an earlier attempt.
const PAUSES: [Duration; 3] = [Duration::from_millis(20), Duration::from_secs(4), Duration::from_secs(4)];

const ENVIRONMENTS: usize = 6;
const EVENTS_AT_ONCE: usize = 60;

/// What is known of an event after Slack's last attempt at it.
#[derive(Debug, Default)]
struct EventHistory {
    /// Slack got a 200 for it.
    promised: bool,
    /// Its last attempt was refused although the store answered in time.
    was_refused: bool,
    /// It is unknown whether a message is on the queue, because a process died while it worked on the event, or because the queue
    /// failed or was so slow that a call may have timed out.
    is_in_doubt: bool,
}

struct Deployment {
    stage: Stage,
    environments: Vec<Mutex<Lambda>>,
    kills: AtomicUsize,
    wanted: usize,
    queue_is_down: AtomicBool,
}

impl Deployment {
    async fn build(stage: Stage, wanted: usize) -> Arc<Self> {
        let mut environments = Vec::new();
        for _ in 0..ENVIRONMENTS {
            environments.push(Mutex::new(stage.environment().await));
        }
        let (kills, queue_is_down) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { stage, environments, kills, wanted, queue_is_down })
    }

    fn is_done(&self) -> bool {
        self.kills.load(Ordering::Relaxed) >= self.wanted
    }

    /// Makes one attempt. Returns its status, which is `None` if the process died, and whether no call during it timed out.
    async fn attempt(&self, id: &str, retry_num: Option<u32>, may_die: bool) -> (Option<u64>, bool) {
        let request = retry_num.map_or_else(|| event(id), |num| event(id).retry(num, "http_error"));
        let mut environment = self.environments[fastrand::usize(..ENVIRONMENTS)].lock().await;
        let began = SystemClock.now();
        let invoked = environment.invoke_for(&request.event(), TIMEOUT);
        let life = match may_die && fastrand::u8(..100) < 40 {
            true => Duration::from_millis(fastrand::u64(0..60)),
            false => Duration::MAX,
        };
        let status = tokio::select! {
            ended = invoked => match ended {
                Ended::Answered(answer) => answer["statusCode"].as_u64(),
                other => panic!("{other:?}"),
            },
            () = sleep(life) => {
                environment.kill().await;
                self.kills.fetch_add(1, Ordering::Relaxed);
                *environment = self.stage.environment().await;
                None
            }
        };
        (status, began.until(SystemClock.now()) < TIMEOUT / 4)
    }

    /// Delivers one event as Slack does, with its retries.
    async fn deliver(&self, id: &str) -> EventHistory {
        let mut history = EventHistory::default();
        let last_may_die = fastrand::bool();
        let retries = PAUSES.iter().zip(1..).map(|(after, num)| (Some(num), *after));
        for (retry_num, after) in std::iter::once((None, Duration::ZERO)).chain(retries) {
            sleep(after).await;
            let is_last = retry_num == Some(3);
            let before = self.queue_is_down.load(Ordering::Relaxed);
            let (status, in_time) = self.attempt(id, retry_num, !is_last || last_may_die).await;
            let was_down = before || self.queue_is_down.load(Ordering::Relaxed);
            history.is_in_doubt |= status.is_none() || was_down || !in_time;
            match status {
                Some(200) => {
                    history.promised = true;
                    return history;
                }
                Some(503) => history.was_refused = is_last && in_time,
                None => {}
                other => panic!("{id}: {other:?}"),
            }
        }
        history
    }

    /// Takes the queue down now and then, long enough that some last attempts fail.
    async fn outages(&self) {
        let outages =
            [Fault::Refuse(500, "com.amazonaws.sqs#InternalError"), Fault::Break, Fault::LoseAnswer];
        while !self.is_done() {
            sleep(Duration::from_secs(6)).await;
            self.queue_is_down.store(true, Ordering::Relaxed);
            self.stage.sqs.always("SendMessage", outages[fastrand::usize(..3)].clone());
            sleep(Duration::from_secs(5)).await;
            self.stage.sqs.heal();
            self.queue_is_down.store(false, Ordering::Relaxed);
        }
    }

    /// Runs the redrive again and again, and kills some of its runs too.
    async fn redrives(&self) {
        while !self.is_done() {
            sleep(Duration::from_secs(1)).await;
            let mut redrive = self.stage.redrive().await;
            let run = redrive.invoke_for(&json!({}), Duration::from_secs(60));
            let life = Duration::from_millis(fastrand::u64(0..300));
            tokio::select! {
                _ = run => {}
                () = sleep(life) => {
                    redrive.kill().await;
                    self.kills.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Brings the queue back, and has the redrive send everything that is parked.
    async fn end_all_outages(&self) {
        self.stage.sqs.heal();
        let redrive = self.stage.redrive().await;
        test_support::wait::eventually("the end of what is parked", async || {
            sleep(Duration::from_secs(1)).await;
            let run = redrive.invoke_for(&json!({}), Duration::from_secs(60)).await;
            matches!(run, Ended::Answered(summary) if summary["left"] == 0).then_some(())
        })
        .await;
    }
}

/// How many processes are to be killed.
fn wanted() -> usize {
    std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().expect("KILLS is a number"))
}

/// Delivers events until enough processes have been killed. Returns the history of each event and the number of its messages on
/// the queue.
async fn kill_until_enough(queue: Queue) -> BTreeMap<String, (EventHistory, usize)> {
    let town = Deployment::build(Stage::with(queue).await, wanted()).await;
    let mut others = JoinSet::new();
    let (outages, redrives) = (Arc::clone(&town), Arc::clone(&town));
    others.spawn(async move { outages.outages().await });
    others.spawn(async move { redrives.redrives().await });

    let mut deliveries = JoinSet::new();
    let room = Arc::new(Semaphore::new(EVENTS_AT_ONCE));
    let mut sent = 0;
    while !town.is_done() {
        let place = Arc::clone(&room).acquire_owned().await.expect("open");
        let (town, id) = (Arc::clone(&town), format!("Ev{sent:05}"));
        sent += 1;
        deliveries.spawn(async move {
            let history = town.deliver(&id).await;
            drop(place);
            (id, history)
        });
    }
    let fates = deliveries.join_all().await;
    others.join_all().await;
    town.end_all_outages().await;

    let mut on_queue: BTreeMap<String, usize> = BTreeMap::new();
    for id in town.stage.queue.take_event_ids().await {
        *on_queue.entry(id).or_default() += 1;
    }
    let unknown: BTreeSet<_> =
        on_queue.keys().filter(|id| fates.iter().all(|(known, _)| known != *id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let events: BTreeMap<_, _> = fates
        .into_iter()
        .map(|(id, history)| {
            let times = on_queue.get(&id).copied().unwrap_or_default();
            (id, (history, times))
        })
        .collect();
    let doubled = events.values().filter(|(_, times)| *times > 1).count();
    let lost = events.values().filter(|(history, times)| history.promised && *times == 0).count();
    let kills = town.kills.load(Ordering::Relaxed);
    println!("{kills} kills, {} events, {lost} lost, {doubled} doubled", events.len());
    for (id, (history, times)) in &events {
        assert!(!history.promised || *times > 0, "{id} was promised, and is nowhere: {history:?}");
        assert!(!history.was_refused, "{id} was refused on its last attempt: {history:?}");
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test"]
async fn on_a_fifo_queue_each_event_that_was_answered_200_is_there_once() {
    for (id, (history, times)) in kill_until_enough(Queue::fifo().await).await {
        assert!(times <= 1, "{id} is there {times} times: {history:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test"]
async fn on_a_standard_queue_each_event_that_was_answered_200_is_there_and_twice_only_if_a_send_was_in_doubt()
{
    for (id, (history, times)) in kill_until_enough(Queue::standard().await).await {
        assert!(times <= 1 || history.is_in_doubt, "{id} is there {times} times: {history:?}");
    }
}

/// A shortcut comes once, so nobody repeats what a killed process has begun.
#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_modal_that_a_killed_process_has_opened_belongs_to_an_event_that_is_recorded() {
    let (stage, token) = (Stage::fifo().await, Token::create("xoxb-1").await);
    let slack = fast_path::slack("xoxb-1").await;
    let variables = fast_path::opens_on(&stage, &token, &slack);
    let mut environment = ingress::start(variables.clone()).await;
    let (mut kills, mut events) = (0, Vec::new());
    while kills < wanted() / 5 {
        environment.is_ready().await;
        let asked = fast_path::shortcut_with(&format!("{}.x", events.len()));
        let answer = tokio::select! {
            answer = environment.post(&asked) => Some(answer),
            () = sleep(Duration::from_millis(fastrand::u64(0..25))) => None,
        };
        if answer.is_none() {
            environment.kill().await;
            kills += 1;
            environment = ingress::start(variables.clone()).await;
        }
        events.push((sha256(&asked.body), answer.is_some_and(|answer| answer.status == 200)));
    }
    let on_queue = stage.queue.take_event_ids().await;
    let opened: Vec<String> = slack.received().iter().map(|it| external_id(&it.body)).collect();
    let times = |ids: &[String], id: &String| ids.iter().filter(|it| *it == id).count();
    let half = events.iter().filter(|(id, promised)| !promised && opened.contains(id)).count();
    println!("{kills} kills, {} events, {half} with a modal and no answer", events.len());
    for (id, promised) in &events {
        assert!(times(&opened, id) <= 1 && times(&on_queue, id) <= 1, "{id}");
        assert!(!promised || times(&on_queue, id) == 1, "{id} was promised, and is nowhere");
        assert!(!opened.contains(id) || stage.table.item(id).await.is_some(), "{id} was not recorded");
    }
}

fn external_id(call: &[u8]) -> String {
    let call: Value = serde_json::from_slice(call).expect("JSON");
    call["view"]["external_id"].as_str().expect("an id").to_owned()
}
