use super::*;
use crate::dedup::memory::MemoryStore;
use crate::dedup::shard::Shard;
use crate::dedup::{Left, Pending, StoreError, Taken};
use crate::sink::SendError;
use crate::sink::message::Message;
use crate::time::clock::UnixMillis;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

use super::visibility::VisibilityError;

const NOW: u64 = 1_531_420_618_500;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SETTINGS: DispatchSettings = DispatchSettings {
    agent_timeout: Duration::from_secs(45),
    dedup_ttl: Duration::from_secs(432_000),
    max_attempts: 3,
};

/// What the agent does with an event. An event that is not listed it takes at once.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    NotNow,
    Never,
    Fails,
    Hangs,
    Takes(Duration),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    Record,
    Confirm,
    Delete,
    DeadLetter,
    PutOff,
}

/// Clock, store, agent and queues, which behave as a test says. The store inside is the real one.
#[derive(Default)]
struct World {
    past: AtomicU64,
    store: MemoryStore,
    behaviours: Mutex<HashMap<&'static str, Behaviour>>,
    faults: Mutex<Vec<Fault>>,
    invoked: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    dead_letters: Mutex<Vec<Message>>,
    put_off: Mutex<Vec<DelayedMessage>>,
}

impl World {
    fn pass(&self, duration: Duration) {
        self.past.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.lock().unwrap().contains(&fault)
    }

    fn store_result<T>(&self, fault: Fault, result: T) -> Result<T, StoreError> {
        if self.has(fault) { Err(StoreError::new("DynamoDB", "connection refused")) } else { Ok(result) }
    }
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
        self.store_result(Fault::Record, ())?;
        self.store.record(claim).await
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.store_result(Fault::Confirm, ())?;
        self.store.confirm(lease).await
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.store_result(Fault::Delete, ())?;
        self.store.delete(lease).await
    }

    async fn leave(&self, _: &Claim, _: &str, _: &str) -> Result<Left, StoreError> {
        unreachable!("the dispatcher leaves nothing")
    }

    async fn park(&self, _: Lease, _: &str, _: &str) -> Result<Settled, StoreError> {
        unreachable!("the dispatch parks nothing")
    }

    async fn pending(&self, _: Shard, _: Option<&Pending>, _: usize) -> Result<Vec<Pending>, StoreError> {
        unreachable!("the dispatch parks nothing")
    }

    async fn take(&self, _: &Claim) -> Result<Taken, StoreError> {
        unreachable!("the dispatch parks nothing")
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.store.seen(event_id, now).await
    }
}

impl Agent for Arc<World> {
    async fn invoke(&self, invocation: &AgentCall) -> Result<(), InvokeError> {
        self.invoked.lock().unwrap().push(invocation.event_id.clone());
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        // Lets other calls begin, if there are any.
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        let what = "word".to_owned();
        let behaviour = self.behaviours.lock().unwrap().get(invocation.event_id.as_str()).copied();
        match behaviour {
            None => Ok(()),
            Some(Behaviour::NotNow) => Err(InvokeError::NotNow { what, source: None }),
            Some(Behaviour::Never) => Err(InvokeError::Never { what }),
            Some(Behaviour::Fails) => Err(InvokeError::Failed { what, source: None }),
            Some(Behaviour::Hangs) => std::future::pending().await,
            Some(Behaviour::Takes(duration)) => {
                self.pass(duration);
                Ok(())
            }
        }
    }
}

impl Visibility for Arc<World> {
    async fn put_off(&self, messages: Vec<DelayedMessage>) -> Result<(), VisibilityError> {
        if self.has(Fault::PutOff) {
            return Err(VisibilityError::Refused("ReceiptHandleIsInvalid".to_owned()));
        }
        self.put_off.lock().unwrap().extend(messages);
        Ok(())
    }
}

impl Sink for Arc<World> {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        if self.has(Fault::DeadLetter) {
            return Err(SendError::failed("SQS SendMessage", "connection reset"));
        }
        self.dead_letters.lock().unwrap().push(message.clone());
        Ok(())
    }

    fn max_bytes(&self) -> usize {
        1024 * 1024
    }
}

type Here = Arc<World>;

struct Scene {
    world: Here,
    dispatch: Dispatch<Here, Here, Here, Here, Here>,
    runs: AtomicU64,
}

impl Scene {
    fn new() -> Self {
        let world = Arc::<World>::default();
        let [store, agent, visibility, dead_letters, clock] = std::array::from_fn(|_| Arc::clone(&world));
        let dispatch = Dispatch::new(store, agent, visibility, dead_letters, clock, SETTINGS);
        Self { world, dispatch, runs: AtomicU64::new(0) }
    }

    fn with(behaviours: &[(&'static str, Behaviour)]) -> Self {
        let scene = Self::new();
        scene.world.behaviours.lock().unwrap().extend(behaviours.iter().copied());
        scene
    }

    fn failing(faults: &[Fault]) -> Self {
        let scene = Self::new();
        scene.world.faults.lock().unwrap().extend(faults);
        scene
    }

    async fn run(&self, messages: Vec<QueueMessage>) -> Vec<MessageReport> {
        self.run_for(MINUTE, true, messages).await
    }

    async fn run_for(
        &self,
        time: Duration,
        is_fifo: bool,
        messages: Vec<QueueMessage>,
    ) -> Vec<MessageReport> {
        let request_id = format!("run {}", self.runs.fetch_add(1, Ordering::Relaxed));
        let invocation =
            Invocation { request_id, deadline: self.world.now().after(time), trace_header: None };
        let mut reports = self.dispatch.run(Batch { is_fifo, messages }, &invocation).await;
        reports.sort_by(|a, b| a.message_id.cmp(&b.message_id));
        reports
    }

    fn invoked(&self) -> Vec<String> {
        let mut invoked = std::mem::take(&mut *self.world.invoked.lock().unwrap());
        invoked.sort();
        invoked
    }

    fn dead_letters(&self) -> Vec<Message> {
        std::mem::take(&mut *self.world.dead_letters.lock().unwrap())
    }

    fn put_off(&self) -> Vec<DelayedMessage> {
        std::mem::take(&mut *self.world.put_off.lock().unwrap())
    }
}

fn message(event_id: &str, channel: &str) -> QueueMessage {
    let attributes = [("kind", "event"), ("event_id", event_id), ("received_at", "1531420618000")];
    QueueMessage {
        message_id: format!("message of {event_id}"),
        receipt_handle: format!("handle of {event_id}"),
        receive_count: 1,
        group: Some(channel.to_owned()),
        attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: format!(r#"{{"team_id":"T1","event":{{"channel":"{channel}"}}}}"#),
        ..QueueMessage::default()
    }
}

fn received(receive_count: u32, message: QueueMessage) -> QueueMessage {
    QueueMessage { receive_count, ..message }
}

fn outcomes(reports: &[MessageReport]) -> Vec<MessageOutcome> {
    reports.iter().map(|report| report.outcome).collect()
}

use MessageOutcome::{DeadLettered, Deferred, Dispatched, Duplicate, Failed};

#[tokio::test(start_paused = true)]
async fn an_event_is_handed_over_once_however_often_it_comes() {
    let scene = Scene::new();
    let [report] = scene.run(vec![message("Ev1", "C1")]).await.try_into().unwrap();
    assert_eq!((report.outcome, report.put_off_for), (Dispatched, None));
    assert_eq!((report.waited, report.took_over), (Some(SECOND / 2), false));
    assert_eq!(report.shown_attributes, [("kind", "event".to_owned()), ("event_id", "Ev1".to_owned())]);
    assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Duplicate]);
    // The record counts to its last second. The queue has dropped the message by then.
    scene.world.pass(SETTINGS.dedup_ttl - SECOND);
    assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Duplicate]);
    assert_eq!(scene.invoked(), ["Ev1"]);
    assert!(scene.put_off().is_empty() && scene.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_batch_with_the_same_event_twice_has_it_handed_over_once() {
    let scene = Scene::new();
    let again = QueueMessage { message_id: "message again".to_owned(), ..message("Ev1", "C1") };
    for is_fifo in [true, false] {
        scene.run_for(MINUTE, is_fifo, vec![message("Ev1", "C1"), again.clone()]).await;
    }
    assert_eq!(scene.invoked(), ["Ev1"]);
    // The two are in two groups and handed over side by side: one finds the lease of the other.
    let elsewhere = QueueMessage { group: Some("C9".to_owned()), ..again };
    let reports = scene
        .run(vec![
            message("Ev2", "C1"),
            QueueMessage { attributes: message("Ev2", "C1").attributes, ..elsewhere },
        ])
        .await;
    assert_eq!(scene.invoked(), ["Ev2"]);
    assert!(
        outcomes(&reports).contains(&Dispatched)
            && outcomes(&reports).contains(&Deferred(Deferral::InFlight))
    );
}

#[tokio::test(start_paused = true)]
async fn conversations_go_side_by_side_and_a_conversation_in_its_order() {
    let scene = Scene::new();
    let messages = (0..30).map(|n| message(&format!("Ev{n:02}"), &format!("C{}", n % 15))).collect();
    let reports = scene.run(messages).await;
    assert!(outcomes(&reports).iter().all(|outcome| *outcome == Dispatched));
    assert_eq!(scene.world.most_at_once.load(Ordering::Relaxed), 10);

    let scene = Scene::new();
    scene.run((0..5).map(|n| message(&format!("Ev{n}"), "C1")).collect()).await;
    assert_eq!(scene.world.most_at_once.load(Ordering::Relaxed), 1);
    assert_eq!(*scene.world.invoked.lock().unwrap(), ["Ev0", "Ev1", "Ev2", "Ev3", "Ev4"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_fifo_conversation_overtakes_what_is_not_done() {
    for behaviour in [Behaviour::NotNow, Behaviour::Fails, Behaviour::Hangs] {
        let scene = Scene::with(&[("Ev2", behaviour)]);
        let batch =
            || vec![message("Ev1", "C1"), message("Ev2", "C1"), message("Ev3", "C1"), message("Ev4", "C2")];
        let reports = scene.run(batch()).await;
        let not_done =
            if matches!(behaviour, Behaviour::NotNow) { Deferred(Deferral::Agent) } else { Failed };
        assert_eq!(
            outcomes(&reports),
            [Dispatched, not_done, Deferred(Deferral::Behind), Dispatched],
            "{behaviour:?}"
        );
        assert_eq!(scene.invoked(), ["Ev1", "Ev2", "Ev4"]);
        // Both are put off for the same time: SQS hands out no message of a group while another one of it is invisible.
        let put_off = scene.put_off();
        assert_eq!(put_off.len(), 2);
        assert_eq!(put_off[0].delay, put_off[1].delay);
        assert_eq!(put_off[0].delay, back_off(1, "message of Ev2"));

        scene.world.behaviours.lock().unwrap().clear();
        assert_eq!(outcomes(&scene.run(batch()).await), [Duplicate, Dispatched, Dispatched, Duplicate]);
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_standard_queue_nobody_waits_for_anybody() {
    let scene = Scene::with(&[("Ev1", Behaviour::Fails)]);
    let reports = scene.run_for(MINUTE, false, vec![message("Ev1", "C1"), message("Ev2", "C1")]).await;
    assert_eq!(outcomes(&reports), [Failed, Dispatched]);
    assert_eq!(scene.put_off().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_holds_nobody_up() {
    let scene = Scene::with(&[("Ev1", Behaviour::Never)]);
    let reports = scene.run(vec![message("Ev1", "C1"), message("Ev2", "C1")]).await;
    assert_eq!(outcomes(&reports), [DeadLettered, Dispatched]);
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_fails_on_comes_again_until_its_attempts_are_used_up() {
    for behaviour in [Behaviour::Fails, Behaviour::Hangs] {
        let scene = Scene::with(&[("Ev1", behaviour)]);
        for receive_count in [1, 2] {
            let [report] =
                scene.run(vec![received(receive_count, message("Ev1", "C1"))]).await.try_into().unwrap();
            assert_eq!((report.outcome, report.errors.len()), (Failed, 1), "{behaviour:?}");
            let delay = back_off(receive_count, "message of Ev1");
            let put_off = DelayedMessage { receipt_handle: "handle of Ev1".to_owned(), delay };
            assert_eq!(scene.put_off(), [put_off]);
            assert!(scene.dead_letters().is_empty());
        }
        let [report] = scene.run(vec![received(3, message("Ev1", "C1"))]).await.try_into().unwrap();
        assert_eq!(report.outcome, DeadLettered);
        let [dead_letter] = scene.dead_letters().try_into().unwrap();
        let (name, reason) = dead_letter.attributes.last().unwrap();
        assert_eq!((name.as_ref(), Some(reason)), ("dead_letter_reason", report.reason.as_ref()));
        assert!(reason.starts_with("given up after 3 receives: "), "{reason}");
        assert_eq!(dead_letter.body, message("Ev1", "C1").body);
        assert!(scene.put_off().is_empty());

        // If somebody sends the message back, the event is handed over.
        scene.world.behaviours.lock().unwrap().clear();
        assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Dispatched]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_now_is_never_given_up() {
    let scene = Scene::with(&[("Ev1", Behaviour::NotNow)]);
    let reports = scene.run(vec![received(99, message("Ev1", "C1"))]).await;
    assert_eq!(outcomes(&reports), [Deferred(Deferral::Agent)]);
    assert!(scene.dead_letters().is_empty());
    assert!(scene.put_off()[0].delay >= Duration::from_secs(675));
}

#[tokio::test(start_paused = true)]
async fn what_can_never_work_is_a_dead_letter_at_once() {
    let unreadable = QueueMessage { body: "no JSON".to_owned(), ..message("Ev1", "C1") };
    let scene = Scene::with(&[("Ev2", Behaviour::Never)]);
    let reports = scene.run(vec![unreadable, message("Ev2", "C2")]).await;
    assert_eq!(outcomes(&reports), [DeadLettered, DeadLettered]);
    assert_eq!(scene.invoked(), ["Ev2"]);
    let reasons: Vec<_> = reports.into_iter().map(|report| report.reason.unwrap()).collect();
    assert_eq!(reasons, ["the message's body is not the JSON of its kind", "InvokeAgentRuntime: word"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_dead_letter_queue_takes_stays_on_the_queue() {
    let scene = Scene::failing(&[Fault::DeadLetter]);
    let unreadable = QueueMessage { body: "no JSON".to_owned(), ..message("Ev1", "C1") };
    let [report] = scene.run(vec![unreadable]).await.try_into().unwrap();
    assert_eq!((report.outcome, report.errors.len()), (Failed, 1));
    assert_eq!(scene.put_off().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_the_store_down_the_agent_is_not_called() {
    let scene = Scene::failing(&[Fault::Record]);
    let reports = scene.run(vec![received(99, message("Ev1", "C1"))]).await;
    assert_eq!(outcomes(&reports), [Deferred(Deferral::Store)]);
    assert_eq!(scene.invoked(), [""; 0]);
    assert_eq!(scene.put_off().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_confirm_fails_is_done_and_its_lease_keeps_it_for_a_while() {
    let scene = Scene::failing(&[Fault::Confirm]);
    let [report] = scene.run(vec![message("Ev1", "C1")]).await.try_into().unwrap();
    assert_eq!((report.outcome, report.errors.len()), (Dispatched, 1));
    // SQS may hand out a message once more although it is deleted.
    assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Deferred(Deferral::InFlight)]);
    assert_eq!(scene.invoked(), ["Ev1"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_invocation_held_is_free_when_its_lease_is_over() {
    let scene = Scene::failing(&[Fault::Delete]);
    scene.world.behaviours.lock().unwrap().insert("Ev1", Behaviour::Fails);
    assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Failed]);
    scene.world.behaviours.lock().unwrap().clear();
    scene.world.pass(MINUTE + LEASE_MARGIN);
    assert_eq!(outcomes(&scene.run(vec![message("Ev1", "C1")]).await), [Deferred(Deferral::InFlight)]);
    scene.world.pass(Duration::from_millis(1));
    let [report] = scene.run(vec![message("Ev1", "C1")]).await.try_into().unwrap();
    assert_eq!((report.outcome, report.took_over), (Dispatched, true));
}

#[tokio::test(start_paused = true)]
async fn the_records_are_beside_the_ingresss_and_not_among_them() {
    let scene = Scene::new();
    scene.run(vec![message("Ev1", "C1")]).await;
    let now = scene.world.now();
    assert!(scene.world.store.seen("dispatch#Ev1", now).await.unwrap());
    assert!(!scene.world.store.seen("Ev1", now).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_that_might_not_be_finished() {
    let needed = SETTINGS.agent_timeout + RESERVE;
    let scene = Scene::new();
    let reports = scene.run_for(needed - Duration::from_millis(1), true, vec![message("Ev1", "C1")]).await;
    assert_eq!(outcomes(&reports), [Deferred(Deferral::Time)]);
    assert_eq!((scene.invoked().len(), scene.put_off().len()), (0, 1));
    assert_eq!(outcomes(&scene.run_for(needed, true, vec![message("Ev1", "C1")]).await), [Dispatched]);

    // The first event takes so long that there is too little time for the second.
    let scene = Scene::with(&[("Ev1", Behaviour::Takes(10 * SECOND))]);
    let reports = scene.run(vec![message("Ev1", "C1"), message("Ev2", "C1")]).await;
    assert_eq!(outcomes(&reports), [Dispatched, Deferred(Deferral::Time)]);

    // An invalid message is not handed to the agent, but its dead letter needs the time of a call.
    let unreadable = || QueueMessage { body: "no JSON".to_owned(), ..message("Ev1", "C1") };
    let reports = scene.run_for(RESERVE - Duration::from_millis(1), true, vec![unreadable()]).await;
    assert_eq!(outcomes(&reports), [Deferred(Deferral::Time)]);
    assert_eq!(scene.world.dead_letters.lock().unwrap().len(), 0);
    assert_eq!(outcomes(&scene.run_for(RESERVE, true, vec![unreadable()]).await), [DeadLettered]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_cut_off_at_its_time_out() {
    let scene = Scene::with(&[("Ev1", Behaviour::Hangs)]);
    let [report] = scene.run(vec![message("Ev1", "C1")]).await.try_into().unwrap();
    assert_eq!((report.outcome, report.invoke), (Failed, Some(SETTINGS.agent_timeout)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_off_comes_when_the_queue_says() {
    let scene = Scene::failing(&[Fault::PutOff]);
    scene.world.behaviours.lock().unwrap().insert("Ev1", Behaviour::Fails);
    let reports = scene.run(vec![message("Ev1", "C1"), message("Ev2", "C2")]).await;
    assert_eq!(outcomes(&reports), [Failed, Dispatched]);
    assert_eq!((reports[0].put_off_for, reports[0].errors.len()), (None, 2));
    assert_eq!(reports[1].errors.len(), 0);
}

#[test]
fn only_what_is_over_for_good_is_done() {
    let done = [Dispatched, Duplicate, DeadLettered];
    let not_done = [
        Failed,
        Deferred(Deferral::Agent),
        Deferred(Deferral::Store),
        Deferred(Deferral::InFlight),
        Deferred(Deferral::Behind),
        Deferred(Deferral::Time),
    ];
    assert!(done.into_iter().all(MessageOutcome::is_done));
    assert!(!not_done.into_iter().any(MessageOutcome::is_done));
}
