use super::*;
use crate::dedup::memory::MemoryStore;
use crate::dedup::{Left, Recorded, Settled, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

const NOW: u64 = 1_531_420_618_500;
const TTL: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
/// How long the Lambda function may run.
const MINUTE: Duration = Duration::from_secs(60);

/// What the queue does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Fails,
    FindsItTooLarge,
    Hangs,
}

/// Clock, store and queue, which behave as a test says. The store inside is the real one.
#[derive(Default)]
struct World {
    past: AtomicU64,
    store: MemoryStore,
    queue: Mutex<Vec<String>>,
    behaviours: Mutex<Vec<(&'static str, Behaviour)>>,
    takes: AtomicU64,
    lists: AtomicU64,
    confirm_fails: Mutex<bool>,
    list_fails: Mutex<bool>,
    each_send_takes: Mutex<Duration>,
}

impl Clock for Arc<World> {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(NOW + self.past.load(Ordering::Relaxed))
    }

    #[allow(clippy::disallowed_methods, reason = "Tokio's clock, which stands still in these tests")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

impl Store for Arc<World> {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        self.store.record(claim).await
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        if *self.confirm_fails.lock().unwrap() {
            return Err(StoreError::new("DynamoDB UpdateItem", "connection refused"));
        }
        self.store.confirm(lease).await
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.store.delete(lease).await
    }

    async fn park(&self, lease: Lease, conversation: &str, message: &str) -> Result<Settled, StoreError> {
        self.store.park(lease, conversation, message).await
    }

    async fn leave(&self, claim: &Claim, conversation: &str, message: &str) -> Result<Left, StoreError> {
        self.store.leave(claim, conversation, message).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        let before = self.lists.fetch_add(1, Ordering::Relaxed);
        assert!(before < 10, "it lists what is parked again and again");
        if *self.list_fails.lock().unwrap() {
            return Err(StoreError::new("DynamoDB Query", "connection refused"));
        }
        self.store.pending(limit).await
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        self.takes.fetch_add(1, Ordering::Relaxed);
        self.store.take(claim).await
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.store.seen(event_id, now).await
    }
}

impl Sink for Arc<World> {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let behaviour =
            self.behaviours.lock().unwrap().iter().find(|(body, _)| *body == message.body).copied();
        match behaviour {
            Some((_, Behaviour::Fails)) => {
                return Err(SendError::failed("SQS SendMessage", "connection reset"));
            }
            Some((_, Behaviour::FindsItTooLarge)) => return Err(SendError::TooLarge),
            Some((_, Behaviour::Hangs)) => std::future::pending().await,
            None => {}
        }
        self.pass(*self.each_send_takes.lock().unwrap());
        self.queue.lock().unwrap().push(message.body.clone());
        Ok(())
    }

    fn max_bytes(&self) -> usize {
        usize::MAX
    }
}

impl World {
    fn pass(&self, duration: Duration) {
        self.past.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

struct Scene {
    world: Arc<World>,
    redrive: Redrive<Arc<World>, Arc<World>, Arc<World>>,
}

fn message(body: &str, conversation: &str) -> Message {
    Message {
        body: body.to_owned(),
        attributes: vec![("kind".into(), "event".to_owned())],
        deduplication_id: body.to_owned(),
        conversation_group: conversation.to_owned(),
        team_group: "T1".to_owned(),
        trace_header: None,
    }
}

fn scene() -> Scene {
    let world = Arc::<World>::default();
    let redrive = Redrive::new(world.clone(), world.clone(), world.clone(), TTL);
    Scene { world, redrive }
}

impl Scene {
    /// Has an invocation of the ingress park an event, and then a second pass.
    async fn park(&self, event_id: &str, conversation: &str) {
        self.park_as(event_id, &message(event_id, conversation).to_parked().unwrap()).await;
    }

    async fn park_as(&self, event_id: &str, message: &str) {
        let now = self.world.now();
        let claim = self.claim(event_id, "ingress", now.after(Duration::from_millis(999)));
        let Ok(Recorded::New { lease, .. }) = self.world.store.record(&claim).await else {
            panic!("{event_id}")
        };
        assert_eq!(self.world.store.park(lease, "a", message).await.unwrap(), Settled::Done);
        self.world.pass(SECOND);
    }

    fn claim(&self, event_id: &str, owner: &str, lease_until: UnixMillis) -> Claim {
        let now = self.world.now();
        Claim {
            event_id: event_id.to_owned(),
            owner: owner.to_owned(),
            received_at: now,
            lease_until,
            expires_at: now.after(TTL).in_seconds(),
        }
    }

    /// Six parked events of three conversations.
    async fn six_parked() -> Self {
        let scene = scene();
        for (event_id, conversation) in
            [("Ev1", "a"), ("Ev2", "b"), ("Ev3", "a"), ("Ev4", "c"), ("Ev5", "b"), ("Ev6", "a")]
        {
            scene.park(event_id, conversation).await;
        }
        scene
    }

    async fn run(&self) -> RunReport {
        self.redrive.run("run", self.world.now().after(MINUTE)).await
    }

    fn set(&self, behaviours: &[(&'static str, Behaviour)]) {
        *self.world.behaviours.lock().unwrap() = behaviours.to_vec();
    }

    fn queue(&self) -> Vec<String> {
        std::mem::take(&mut self.world.queue.lock().unwrap())
    }
}

/// How many events were redriven, failed, and are still parked.
fn figures(run: &RunReport) -> [u64; 3] {
    [run.redriven, run.failed, run.still_parked.unwrap().events]
}

/// How many seconds the oldest event has been waiting that is still parked.
fn oldest(run: &RunReport) -> u64 {
    run.still_parked.unwrap().oldest.as_secs()
}

#[tokio::test(start_paused = true)]
async fn nothing_parked_is_nothing_to_do() {
    let run = scene().run().await;
    assert_eq!((figures(&run), oldest(&run), run.errors.len()), ([0, 0, 0], 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_is_sent_once_the_first_received_first_and_confirmed() {
    let scene = Scene::six_parked().await;
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run)), ([6, 0, 0], 0));
    assert_eq!(scene.queue(), ["Ev1", "Ev2", "Ev3", "Ev4", "Ev5", "Ev6"]);
    for event_id in ["Ev1", "Ev6"] {
        let retry = scene.claim(event_id, "ingress", scene.world.now());
        assert!(matches!(scene.world.store.record(&retry).await, Ok(Recorded::Forwarded)));
    }
    assert_eq!(figures(&scene.run().await), [0, 0, 0]);
    assert_eq!(scene.queue(), [""; 0]);
    // From now on the records count for the usual time.
    scene.world.pass(TTL - SECOND);
    assert!(scene.world.store.seen("Ev1", scene.world.now()).await.unwrap());
    scene.world.pass(SECOND);
    assert!(!scene.world.store.seen("Ev1", scene.world.now()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_message_is_the_one_that_was_parked() {
    #[derive(Default)]
    struct Keeps(Mutex<Vec<Message>>);
    impl Sink for Keeps {
        async fn send(&self, message: &Message) -> Result<(), SendError> {
            self.0.lock().unwrap().push(message.clone());
            Ok(())
        }
        fn max_bytes(&self) -> usize {
            usize::MAX
        }
    }
    let scene = scene();
    let parked =
        Message { trace_header: Some("Root=1-5759e988".to_owned()), ..message("{\"ü\":\"🦀\"}", "a") };
    scene.park_as("Ev1", &parked.to_parked().unwrap()).await;
    let redrive = Redrive::new(scene.world.clone(), Keeps::default(), scene.world.clone(), TTL);
    redrive.run("run", UnixMillis::END_OF_TIME).await;
    assert_eq!(*redrive.sink.0.lock().unwrap(), [parked]);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_waits_for_its_first_message_and_the_others_do_not() {
    for behaviour in [Behaviour::Fails, Behaviour::Hangs] {
        let scene = Scene::six_parked().await;
        scene.set(&[("Ev1", behaviour)]);
        let run = scene.run().await;
        assert_eq!((figures(&run), run.errors.len()), ([3, 1, 3], 1), "{behaviour:?}");
        assert!(run.errors[0].starts_with("send Ev1: "), "{:?}", run.errors);
        assert_eq!(oldest(&run), 6);
        assert_eq!(scene.queue(), ["Ev2", "Ev4", "Ev5"]);
        // The queue works again at the next run.
        scene.set(&[]);
        scene.world.pass(MINUTE);
        assert_eq!(figures(&scene.run().await), [3, 0, 0]);
        assert_eq!(scene.queue(), ["Ev1", "Ev3", "Ev6"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_queue_takes_or_nobody_can_read_stays_and_nothing_waits_for_it() {
    let scene = Scene::six_parked().await;
    for n in 7..30 {
        scene.park_as(&format!("Ev{n}"), r#"{"body":"b","attributes":"the text"}"#).await;
    }
    scene.park("Ev30", "a").await;
    scene.set(&[("Ev1", Behaviour::FindsItTooLarge)]);
    let run = scene.run().await;
    assert_eq!(figures(&run), [6, 24, 24]);
    assert_eq!(run.errors.len(), crate::telemetry::report::redrive::MAX_ERRORS);
    assert!(run.errors[1].starts_with("read Ev7: "), "{:?}", run.errors);
    assert!(!run.errors.concat().contains("the text"), "{:?}", run.errors);
    assert_eq!(scene.queue(), ["Ev2", "Ev3", "Ev4", "Ev5", "Ev6", "Ev30"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_is_not_asked_for_every_event() {
    let scene = scene();
    let ids: Vec<&'static str> = (10..60).map(|n| &*format!("Ev{n}").leak()).collect();
    for id in &ids {
        scene.park(id, id).await;
    }
    scene.set(&ids.iter().map(|id| (*id, Behaviour::Fails)).collect::<Vec<_>>());
    let run = scene.run().await;
    assert_eq!(figures(&run), [0, u64::from(GIVE_UP_AFTER), 50]);
    // When a message is sent, the queue works, and the failures are counted anew.
    scene.set(&ids.iter().filter(|id| **id != "Ev19").map(|id| (*id, Behaviour::Fails)).collect::<Vec<_>>());
    scene.world.pass(MINUTE);
    assert_eq!(figures(&scene.run().await), [1, u64::from(GIVE_UP_AFTER) + 9, 49]);
    assert_eq!(scene.queue(), ["Ev19"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_held_stops_the_run_so_that_nothing_overtakes_it() {
    let scene = Scene::six_parked().await;
    let now = scene.world.now();
    let other = scene.claim("Ev2", "another run", now.after(SECOND));
    assert!(matches!(scene.world.store.take(&other).await, Ok(Taken::Yours { .. })));
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run)), ([1, 0, 5], 5));
    assert_eq!(scene.queue(), ["Ev1"]);
    // The other run crashed, and a second later its lease is over.
    scene.world.pass(SECOND + Duration::from_millis(1));
    assert_eq!(figures(&scene.run().await), [5, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_one_sends() {
    let scene = Scene::six_parked().await;
    let deadline = scene.world.now().after(MINUTE);
    let (first, second) =
        tokio::join!(scene.redrive.run("first", deadline), scene.redrive.run("second", deadline));
    assert_eq!(first.redriven + second.redriven, 6);
    assert_eq!(scene.queue(), ["Ev1", "Ev2", "Ev3", "Ev4", "Ev5", "Ev6"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_nothing_that_it_might_not_finish() {
    let scene = Scene::six_parked().await;
    *scene.world.each_send_takes.lock().unwrap() = 10 * SECOND;
    let run = scene.redrive.run("run", scene.world.now().after(25 * SECOND)).await;
    assert_eq!(figures(&run), [2, 0, 4]);
    let run = scene.redrive.run("run", scene.world.now().after(EVENT_BUDGET)).await;
    assert_eq!((figures(&run), scene.world.takes.load(Ordering::Relaxed)), ([0, 0, 6 - 2], 2));
    let run = scene.redrive.run("run", UnixMillis::END_OF_TIME).await;
    assert_eq!(figures(&run), [4, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_confirmed_counts_as_failed_and_nothing_waits_for_it() {
    let scene = Scene::six_parked().await;
    *scene.world.confirm_fails.lock().unwrap() = true;
    let run = scene.run().await;
    assert_eq!(figures(&run), [0, 6, 6]);
    assert!(run.errors[0].starts_with("confirm Ev1: "), "{:?}", run.errors);
    assert_eq!(scene.queue().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_ends_the_run() {
    let scene = Scene::six_parked().await;
    *scene.world.list_fails.lock().unwrap() = true;
    let run = scene.run().await;
    assert_eq!((run.failed, run.still_parked, scene.world.takes.load(Ordering::Relaxed)), (1, None, 0));
    assert!(run.errors[0].starts_with("list "), "{:?}", run.errors);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_list_holds_is_listed_again_as_long_as_that_helps() {
    let scene = scene();
    for n in 0..2 * EVENTS_PER_LIST + 5 {
        scene.park(&format!("Ev{n}"), "a").await;
    }
    assert_eq!(figures(&scene.run().await), [2005, 0, 0]);
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 3);

    for n in 0..EVENTS_PER_LIST + 5 {
        scene.park_as(&format!("Ev-{n}"), "no message").await;
    }
    let run = scene.run().await;
    assert_eq!((run.redriven, run.still_parked.unwrap().events), (0, 1000));
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_take_is_leased_to_the_end_of_the_events_budget_and_a_margin() {
    let scene = scene();
    scene.park("Ev1", "a").await;
    scene.set(&[("Ev1", Behaviour::Fails)]);
    assert_eq!(figures(&scene.run().await), [0, 1, 1]);
    let lease = EVENT_BUDGET + LEASE_MARGIN;
    for (pass, left) in [(lease, true), (Duration::from_millis(1), false)] {
        scene.world.pass(pass);
        let claim = scene.claim("Ev1", "another", scene.world.now());
        let is_held = matches!(scene.world.store.take(&claim).await, Ok(Taken::Held));
        assert_eq!(is_held, left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_goes_down_within_a_full_list_ends_the_run() {
    let scene = scene();
    let ids: Vec<&'static str> = (0..=EVENTS_PER_LIST).map(|n| &*format!("Ev{n}").leak()).collect();
    for id in &ids {
        scene.park(id, id).await;
    }
    scene.set(&ids[1..].iter().map(|id| (*id, Behaviour::Fails)).collect::<Vec<_>>());
    let run = scene.run().await;
    assert_eq!((run.redriven, run.failed), (1, u64::from(GIVE_UP_AFTER)));
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_to_a_later_run_is_said_and_what_was_sent_counts_as_failed() {
    struct IsOvertaken<'a>(&'a Scene);
    impl Sink for IsOvertaken<'_> {
        async fn send(&self, _: &Message) -> Result<(), SendError> {
            let Self(scene) = self;
            scene.world.pass(EVENT_BUDGET + LEASE_MARGIN + Duration::from_millis(1));
            let later = scene.claim("Ev1", "later", scene.world.now().after(SECOND));
            assert!(matches!(scene.world.store.take(&later).await, Ok(Taken::Yours { .. })));
            Ok(())
        }
        fn max_bytes(&self) -> usize {
            usize::MAX
        }
    }
    let scene = scene();
    scene.park("Ev1", "a").await;
    let redrive = Redrive::new(scene.world.clone(), IsOvertaken(&scene), scene.world.clone(), TTL);
    let run = redrive.run("run", UnixMillis::END_OF_TIME).await;
    assert_eq!(figures(&run), [0, 1, 1]);
    assert_eq!(*run.errors, ["confirm Ev1: the lease was lost to a later invocation"]);
}

#[test]
fn a_run_is_clean_when_nothing_failed_and_it_is_known_that_nothing_is_left() {
    let left = |events| Some(StillParked { events, oldest: Duration::ZERO });
    for (failed, left, is_clean) in
        [(0, left(0), true), (0, left(1), false), (1, left(0), false), (1, left(1), false), (0, None, false)]
    {
        assert_eq!(
            RunReport { failed, still_parked: left, ..RunReport::default() }.is_clean(),
            is_clean,
            "{failed} {left:?}"
        );
    }
}
