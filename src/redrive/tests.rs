use super::*;
use crate::dedup::memory::MemoryStore;
use crate::dedup::shard::Shard;
use crate::dedup::{Left, Recorded, Settled, StoreError};
use crate::sink::SendError;
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
    RejectsIt,
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
    /// How many lists are being made at this moment, and how many it were at the most.
    listing: AtomicU64,
    most_listing: AtomicU64,
    confirm_fails: Mutex<bool>,
    /// The event that the store does not hand over.
    take_fails: Mutex<Option<&'static str>>,
    /// The event whose message the store cannot read.
    is_unreadable: Mutex<Option<&'static str>>,
    /// The events that an earlier version parked.
    earlier: Mutex<Vec<&'static str>>,
    list_fails: Mutex<bool>,
    each_send_takes: Mutex<Duration>,
    /// How long the sender waits for each answer of the queue, by Tokio's clock.
    each_answer_takes: Mutex<Duration>,
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

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        self.store.park(lease, group, message).await
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        self.store.leave(claim, group, message).await
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let before = self.lists.fetch_add(1, Ordering::Relaxed);
        self.listing.fetch_add(1, Ordering::Relaxed);
        self.most_listing.fetch_max(self.listing.load(Ordering::Relaxed), Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.listing.fetch_sub(1, Ordering::Relaxed);
        assert!(before < 200, "it lists what is parked again and again");
        if *self.list_fails.lock().unwrap() {
            return Err(StoreError::new("DynamoDB Query", "connection refused"));
        }
        let mut pending = if shard == Shard::EARLIER {
            self.store.all_pending()
        } else {
            self.store.pending(shard, after, limit).await?
        };
        let earlier = self.earlier.lock().unwrap();
        pending.retain(|pending| earlier.contains(&&*pending.event_id) == (shard == Shard::EARLIER));
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        self.takes.fetch_add(1, Ordering::Relaxed);
        if *self.take_fails.lock().unwrap() == Some(&claim.event_id) {
            return Err(StoreError::new("DynamoDB UpdateItem", "connection refused"));
        }
        let taken = self.store.take(claim).await?;
        if *self.is_unreadable.lock().unwrap() == Some(&claim.event_id) {
            return Ok(Taken::Unreadable(StoreError::new("the parked message is unreadable", "no bytes")));
        }
        Ok(taken)
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
            Some((_, Behaviour::RejectsIt)) => {
                return Err(SendError::rejected("SQS SendMessage", "InvalidMessageContents"));
            }
            Some((_, Behaviour::Hangs)) => std::future::pending().await,
            None => {}
        }
        let answer_takes = *self.each_answer_takes.lock().unwrap();
        tokio::time::sleep(answer_takes).await;
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
        let message = message(event_id, conversation).to_parked().unwrap();
        self.park_as(event_id, conversation, &message).await;
    }

    async fn park_as(&self, event_id: &str, conversation: &str, message: &str) {
        let now = self.world.now();
        let claim = self.claim(event_id, "ingress", now.after(Duration::from_millis(999)));
        let Ok(Recorded::New { lease, .. }) = self.world.store.record(&claim).await else {
            panic!("{event_id}")
        };
        assert_eq!(self.world.store.park(lease, conversation, message).await.unwrap(), Settled::Done);
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

/// Conversations of one shard, the one of `a`.
fn of_one_shard() -> impl Iterator<Item = &'static str> {
    let conversations = (0..).map(|n| &*format!("conversation {n}").leak());
    conversations.filter(|conversation| Shard::of(conversation) == Shard::of("a"))
}

fn sorted(mut queue: Vec<String>) -> Vec<String> {
    queue.sort();
    queue
}

/// Which of these events were sent, in the order in which they were sent.
fn only(queue: &[String], ids: &[&str]) -> Vec<String> {
    queue.iter().filter(|id| ids.contains(&id.as_str())).cloned().collect()
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
    let scene = scene();
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run), run.errors.len()), ([0, 0, 0], 0, 0));
    // Every shard was listed, and few at the same time.
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 33);
    assert_eq!(scene.world.most_listing.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_is_sent_once_each_conversation_in_the_order_of_receipt_and_confirmed() {
    let scene = Scene::six_parked().await;
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run)), ([6, 0, 0], 0));
    let queue = scene.queue();
    for conversation in [&["Ev1", "Ev3", "Ev6"][..], &["Ev2", "Ev5"], &["Ev4"]] {
        assert_eq!(only(&queue, conversation), conversation);
    }
    assert_eq!(queue.len(), 6);
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
    scene.park_as("Ev1", "a", &parked.to_parked().unwrap()).await;
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
        assert_eq!(sorted(scene.queue()), ["Ev2", "Ev4", "Ev5"]);
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
        scene.park_as(&format!("Ev{n}"), "a", r#"{"body":"b","attributes":"the text"}"#).await;
    }
    scene.park("Ev30", "a").await;
    scene.set(&[("Ev1", Behaviour::FindsItTooLarge), ("Ev2", Behaviour::RejectsIt)]);
    let run = scene.run().await;
    assert_eq!((figures(&run), run.unsendable), ([5, 25, 25], 25));
    assert_eq!(run.errors.len(), crate::telemetry::report::redrive::MAX_ERRORS);
    assert!(run.errors[1].starts_with("read Ev7: "), "{:?}", run.errors);
    assert!(!run.errors.concat().contains("the text"), "{:?}", run.errors);
    // Ev3, Ev6 and Ev30 are of the conversation of Ev1, and Ev5 is of that of Ev2.
    assert_eq!(sorted(scene.queue()), ["Ev3", "Ev30", "Ev4", "Ev5", "Ev6"]);
    // They are tried again with every run, and the queue may take them one day.
    scene.set(&[]);
    scene.world.pass(MINUTE);
    assert_eq!(figures(&scene.run().await), [2, 23, 23]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_is_not_asked_for_every_event() {
    let scene = scene();
    let ids: Vec<&'static str> = (10..60).map(|n| &*format!("Ev{n}").leak()).collect();
    for (id, conversation) in ids.iter().zip(of_one_shard()) {
        scene.park(id, conversation).await;
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
async fn an_event_that_is_held_stops_its_shard_so_that_nothing_overtakes_it_and_no_other() {
    let scene = scene();
    let [one, two] = [0, 1].map(|n| of_one_shard().nth(n).unwrap());
    assert_ne!(Shard::of("b"), Shard::of(one));
    for (event_id, conversation) in
        [("Ev1", one), ("Ev2", two), ("Ev3", one), ("Ev4", "b"), ("Ev5", two), ("Ev6", "b")]
    {
        scene.park(event_id, conversation).await;
    }
    let now = scene.world.now();
    let other = scene.claim("Ev2", "another run", now.after(SECOND));
    assert!(matches!(scene.world.store.take(&other).await, Ok(Taken::Yours { .. })));
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run)), ([3, 0, 3], 5));
    assert_eq!(sorted(scene.queue()), ["Ev1", "Ev4", "Ev6"]);
    // The other run crashed, and a second later its lease is over.
    scene.world.pass(SECOND + Duration::from_millis(1));
    assert_eq!(figures(&scene.run().await), [3, 0, 0]);
    assert_eq!(scene.queue(), ["Ev2", "Ev3", "Ev5"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_store_does_not_hand_over_stops_its_shard_and_no_other() {
    let scene = Scene::six_parked().await;
    *scene.world.take_fails.lock().unwrap() = Some("Ev1");
    let run = scene.run().await;
    assert_eq!((figures(&run), oldest(&run)), ([3, 1, 3], 6));
    assert!(run.errors[0].starts_with("take Ev1: "), "{:?}", run.errors);
    assert_eq!(sorted(scene.queue()), ["Ev2", "Ev4", "Ev5"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_an_event_that_the_store_cannot_read() {
    let scene = Scene::six_parked().await;
    *scene.world.is_unreadable.lock().unwrap() = Some("Ev1");
    let run = scene.run().await;
    assert_eq!((figures(&run), run.unsendable), ([5, 1, 1], 1));
    assert!(run.errors[0].starts_with("read Ev1: "), "{:?}", run.errors);
    assert_eq!(only(&scene.queue(), &["Ev3", "Ev6"]), ["Ev3", "Ev6"]);
}

#[tokio::test(start_paused = true)]
async fn shards_are_sent_side_by_side_and_the_events_of_one_shard_one_after_the_other() {
    let scene = scene();
    for (n, conversation) in ["a", "b", "c", "a", "b", "c", "a", "b", "c"].into_iter().enumerate() {
        scene.park(&format!("Ev{n}"), conversation).await;
    }
    *scene.world.each_answer_takes.lock().unwrap() = SECOND;
    let run = scene.run().await;
    assert_eq!((figures(&run), run.total), ([9, 0, 0], 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_parked_is_sent_first_and_what_waits_for_it_waits_in_the_other_shards_too() {
    let scene = async || {
        let scene = Scene::six_parked().await;
        *scene.world.earlier.lock().unwrap() = vec!["Ev3", "Ev4"];
        scene
    };
    let one = scene().await;
    assert_eq!(figures(&one.run().await), [6, 0, 0]);
    assert_eq!(one.queue()[..2], ["Ev3", "Ev4"]);

    let one = scene().await;
    one.set(&[("Ev3", Behaviour::Fails)]);
    assert_eq!(figures(&one.run().await), [3, 1, 3]);
    assert_eq!(sorted(one.queue()), ["Ev2", "Ev4", "Ev5"]);

    let one = scene().await;
    let other = one.claim("Ev4", "another run", one.world.now().after(SECOND));
    assert!(matches!(one.world.store.take(&other).await, Ok(Taken::Yours { .. })));
    assert_eq!(figures(&one.run().await), [1, 0, 1]);
    assert_eq!(one.queue(), ["Ev3"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_one_sends() {
    let scene = Scene::six_parked().await;
    let deadline = scene.world.now().after(MINUTE);
    let (first, second) =
        tokio::join!(scene.redrive.run("first", deadline), scene.redrive.run("second", deadline));
    assert_eq!(first.redriven + second.redriven, 6);
    let queue = scene.queue();
    assert_eq!(only(&queue, &["Ev1", "Ev3", "Ev6"]), ["Ev1", "Ev3", "Ev6"]);
    assert_eq!(sorted(queue), ["Ev1", "Ev2", "Ev3", "Ev4", "Ev5", "Ev6"]);
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
async fn a_shard_that_is_longer_than_a_list_is_listed_to_its_end_also_past_what_cannot_be_sent() {
    let scene = scene();
    for n in 0..2 * EVENTS_PER_LIST + 5 {
        scene.park(&format!("Ev{n}"), "a").await;
    }
    assert_eq!(figures(&scene.run().await), [505, 0, 0]);
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 33 + 2);

    for n in 0..1005 {
        scene.park_as(&format!("Ev-{n}"), "a", "no message").await;
    }
    scene.park("behind them", "a").await;
    let run = scene.run().await;
    assert_eq!((run.redriven, run.still_parked.unwrap().events), (1, 1005));
    assert_eq!(scene.queue().last().unwrap(), "behind them");
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
    for (id, conversation) in ids.iter().zip(of_one_shard()) {
        scene.park(id, conversation).await;
    }
    scene.set(&ids[1..].iter().map(|id| (*id, Behaviour::Fails)).collect::<Vec<_>>());
    let run = scene.run().await;
    assert_eq!(figures(&run), [1, u64::from(GIVE_UP_AFTER), 249]);
    assert_eq!(scene.world.lists.load(Ordering::Relaxed), 33);
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
