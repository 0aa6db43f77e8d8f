use super::*;
use crate::dedup::memory::MemoryStore;
use crate::dedup::shard::Shard;
use crate::dedup::{Left, Pending, Taken};
use crate::sink::stdout::StdoutSink;
use crate::slack::payload::Malformed;
use crate::slack::signature::SigningSecret;
use crate::telemetry::report::ingress::Timings;
use crate::time::trace::TraceHeader;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::time::{advance, sleep};

mod kinds;
mod replay;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const MENTION: &str = include_str!("../../../tests/fixtures/events/app_mention.json");
const MENTION_ID: &str = "Ev0LAN670R";
const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const OF_THIS_APP: &str = include_str!("../../../tests/fixtures/events/message_of_this_app.json");
const OF_ANOTHER_APP: &str = include_str!("../../../tests/fixtures/events/message_of_another_app.json");
const CHALLENGE: &str = include_str!("../../../tests/fixtures/events/url_verification.json");
const RATE_LIMITED: &str = include_str!("../../../tests/fixtures/events/app_rate_limited.json");

const NOW: u64 = 1_531_420_618_500;
const BUDGET: Duration = Duration::from_millis(2500);
/// How long an invocation may run, as long as a test does not say otherwise.
const INVOCATION: Duration = Duration::from_secs(10);
/// When a step is cut off that does not end by itself.
const RECORD_CUT: Duration = Duration::from_millis(1250);
const LEAVE_CUT: Duration = Duration::from_millis(1750);
const SEND_CUT: Duration = Duration::from_millis(2175);
/// The first attempt and Slack's retries.
const ATTEMPTS: [Option<u32>; 4] = [None, Some(1), Some(2), Some(3)];

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug, Default)]
enum Fault {
    #[default]
    None,
    /// The step does nothing and returns an error.
    Fails,
    /// The step does nothing and never answers.
    Hangs,
    /// The step does its work and never answers.
    LosesTheAnswer,
    /// The step does its work after this time.
    Takes(Duration),
    /// The whole process stands still for this time, and then the step does its work at once.
    Freezes(Duration),
    /// The whole virtual machine stands still for this time, its monotonic clock, too, and then the step does its work at once.
    PausesTheMachine(Duration),
}

impl Fault {
    async fn befall<T, E>(
        self,
        error: impl FnOnce() -> E,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self {
            // The wall clock has been put forward by the caller.
            Self::None | Self::PausesTheMachine(_) => step.await,
            Self::Fails => Err(error()),
            Self::Hangs => std::future::pending().await,
            Self::LosesTheAnswer => {
                drop(step.await);
                std::future::pending().await
            }
            Self::Takes(duration) => {
                sleep(duration).await;
                step.await
            }
            Self::Freezes(duration) => {
                let mut advance = pin!(advance(duration));
                // The future is polled and not awaited, so that nothing else runs meanwhile.
                std::future::poll_fn(|context| {
                    let _ = advance.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
                step.await
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    record: Fault,
    send: Fault,
    confirm: Fault,
    delete: Fault,
    park: Fault,
    leave: Fault,
}

/// Clock, store and queue, whose steps fail as a test says. The store inside is the real one.
struct World {
    now: AtomicU64,
    faults: Mutex<Faults>,
    calls: Mutex<Vec<&'static str>>,
    claims: Mutex<Vec<Claim>>,
    store: MemoryStore,
    queue: Mutex<Vec<Message>>,
    max_bytes: AtomicU64,
}

impl World {
    fn call(&self, step: &'static str, fault: impl Fn(&Faults) -> Fault) -> Fault {
        self.calls.lock().unwrap().push(step);
        let fault = fault(&self.faults.lock().unwrap());
        if let Fault::PausesTheMachine(duration) = fault {
            self.now.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
        }
        fault
    }
}

fn store_error() -> StoreError {
    StoreError::new("DynamoDB", "connection refused")
}

impl Store for Arc<World> {
    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        self.claims.lock().unwrap().push(claim.clone());
        self.call("record", |faults| faults.record).befall(store_error, self.store.record(claim)).await
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.call("confirm", |faults| faults.confirm).befall(store_error, self.store.confirm(lease)).await
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        self.call("delete", |faults| faults.delete).befall(store_error, self.store.delete(lease)).await
    }

    async fn park(&self, lease: Lease, conversation: &str, message: &str) -> Result<Settled, StoreError> {
        let park = self.store.park(lease, conversation, message);
        self.call("park", |faults| faults.park).befall(store_error, park).await
    }

    async fn leave(&self, claim: &Claim, conversation: &str, message: &str) -> Result<Left, StoreError> {
        let leave = self.store.leave(claim, conversation, message);
        self.call("leave", |faults| faults.leave).befall(store_error, leave).await
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        self.store.pending(shard, after, limit).await
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        self.store.take(claim).await
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.store.seen(event_id, now).await
    }
}

impl Sink for Arc<World> {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let error = || SendError::failed("SQS SendMessage", "connection reset");
        let put = async {
            self.queue.lock().unwrap().push(message.clone());
            Ok(())
        };
        self.call("send", |faults| faults.send).befall(error, put).await
    }

    fn max_bytes(&self) -> usize {
        usize::try_from(self.max_bytes.load(Ordering::Relaxed)).unwrap()
    }
}

impl Clock for Arc<World> {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(self.now.load(Ordering::Relaxed))
    }

    #[allow(clippy::disallowed_methods, reason = "Tokio's clock, which stands still in these tests")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// An ingress and the world that it uses.
struct Scene {
    world: Arc<World>,
    ingress: Ingress<Arc<World>, Arc<World>, Arc<World>>,
}

fn settings() -> IngressSettings {
    IngressSettings {
        dedup_ttl: Duration::from_secs(3600),
        dedup_key: DedupKey::EventId,
        dm_conversation: DmConversation::Channel,
        control_events: ControlEvents::default(),
        bot_events: BotEvents::Drop,
        ack_budget: BUDGET,
    }
}

fn scene_with(settings: IngressSettings, secrets: &[&str]) -> Scene {
    let world = Arc::new(World {
        now: AtomicU64::new(NOW),
        faults: Mutex::default(),
        calls: Mutex::default(),
        claims: Mutex::default(),
        store: MemoryStore::new(),
        queue: Mutex::default(),
        max_bytes: AtomicU64::new(1024 * 1024),
    });
    let secrets = SigningSecrets::fixed(secrets.iter().map(|secret| SigningSecret::new(secret)));
    let ingress = Ingress::new(secrets, world.clone(), world.clone(), world.clone(), settings);
    Scene { world, ingress }
}

fn scene() -> Scene {
    scene_with(settings(), &[SECRET])
}

fn scene_where(faults: Faults) -> Scene {
    let scene = scene();
    scene.set(faults);
    scene
}

impl Scene {
    fn set(&self, faults: Faults) {
        *self.world.faults.lock().unwrap() = faults;
    }

    fn pass(&self, duration: Duration) {
        self.world.now.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The names of the calls to store and queue since this was last asked.
    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.world.calls.lock().unwrap())
    }

    fn queue(&self) -> Vec<Message> {
        self.world.queue.lock().unwrap().clone()
    }

    fn request(&self, body: &str, retry_num: Option<u32>) -> Inbound {
        let timestamp = self.world.now().as_secs().to_string();
        Inbound {
            signature: Some(SigningSecret::new(SECRET).sign(&timestamp, body.as_bytes())),
            timestamp: Some(timestamp),
            content_type: Some("application/json".to_owned()),
            attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "http_timeout".to_owned()) },
            delivery_id: None,
            gateway_time: None,
            body: body.into(),
        }
    }

    fn invocation(&self, request_id: &str, remaining: Duration) -> Invocation {
        Invocation {
            request_id: request_id.to_owned(),
            deadline: self.world.now().after(remaining),
            trace_header: TraceHeader::parse(TRACE_HEADER),
        }
    }

    async fn handle(&self, inbound: Inbound) -> RequestReport {
        self.ingress.handle(inbound, self.invocation("first", INVOCATION)).await
    }

    /// Delivers the mention as this attempt of Slack's.
    async fn deliver(&self, retry_num: Option<u32>) -> RequestReport {
        self.handle(self.request(MENTION, retry_num)).await
    }

    async fn is_recorded(&self) -> bool {
        self.world.store.seen(MENTION_ID, self.world.now()).await.unwrap()
    }

    /// A claim of the mention by another invocation, made at this time, with a lease of five seconds.
    fn claim_of_another(&self, at: UnixMillis) -> Claim {
        Claim {
            event_id: MENTION_ID.to_owned(),
            owner: "another".to_owned(),
            received_at: at,
            lease_until: at.after(Duration::from_secs(5)),
            expires_at: at.after(Duration::from_secs(3600)).in_seconds(),
        }
    }

    async fn taken_by_another(&self, at: UnixMillis) -> Lease {
        match self.world.store.record(&self.claim_of_another(at)).await.unwrap() {
            Recorded::New { lease, .. } => lease,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_recorded_then_sent_then_confirmed() {
    let scene = scene();
    let report = scene.deliver(None).await;
    assert_eq!(report.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.calls(), ["record", "send", "confirm"]);
    let [message] = &scene.queue()[..] else { panic!("not one message") };
    assert_eq!(message.body, MENTION);
    assert_eq!(message.deduplication_id, MENTION_ID);
    assert_eq!(message.trace_header.as_deref(), Some(TRACE_HEADER));
    assert!(message.attributes.contains(&("received_at".into(), NOW.to_string())));
    assert!(message.attributes.iter().all(|(name, _)| !name.starts_with("retry") && *name != "unguarded"));
    assert!(!report.details.took_over && !report.details.unguarded && report.details.errors.is_empty());
    assert_eq!(report.details.delivery.unwrap().event_id, MENTION_ID);
}

#[tokio::test(start_paused = true)]
async fn with_the_real_store_and_sink_four_deliveries_are_one_line() {
    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Scene { world, .. } = scene();
    let out = Buffer::default();
    let scene = scene();
    let secrets = SigningSecrets::fixed([SigningSecret::new(SECRET)]);
    let ingress = Ingress::new(secrets, MemoryStore::new(), StdoutSink::to(out.clone()), world, settings());
    let mut outcomes = Vec::new();
    for attempt in ATTEMPTS {
        let invocation = scene.invocation("any", Duration::from_secs(10));
        outcomes.push(ingress.handle(scene.request(MENTION, attempt), invocation).await.outcome);
    }
    let duplicate = RequestOutcome::Duplicate;
    assert_eq!(outcomes, [RequestOutcome::Accepted, duplicate.clone(), duplicate.clone(), duplicate]);
    let out = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["body"], MENTION);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_what_is_on_the_queue_is_a_duplicate() {
    let scene = scene();
    scene.deliver(None).await;
    scene.calls();
    for retry_num in [1, 2, 3] {
        scene.pass(Duration::from_secs(60));
        let report = scene.deliver(Some(retry_num)).await;
        assert_eq!(report.outcome, RequestOutcome::Duplicate);
        assert_eq!(scene.calls(), ["record"]);
        let expected = Attempt { retry_num: Some(retry_num), retry_reason: Some("http_timeout".to_owned()) };
        assert_eq!(report.details.attempt, expected);
    }
    assert_eq!(scene.queue().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_what_failed_is_sent_and_says_which_retry_it_is() {
    let scene = scene_where(Faults { send: Fault::Fails, ..Faults::default() });
    scene.deliver(None).await;
    scene.set(Faults::default());
    let report = scene.deliver(Some(1)).await;
    assert_eq!(report.outcome, RequestOutcome::Accepted);
    assert!(!report.details.took_over);
    let [message] = &scene.queue()[..] else { panic!("not one message") };
    assert!(message.attributes.contains(&("retry_num".into(), "1".to_owned())));
    assert!(message.attributes.contains(&("retry_reason".into(), "http_timeout".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_another_invocation_holds_is_not_sent_and_slack_asks_again() {
    for attempt in &ATTEMPTS[..3] {
        let scene = scene();
        scene.taken_by_another(scene.world.now()).await;
        scene.pass(Duration::from_secs(5));
        let report = scene.deliver(*attempt).await;
        assert_eq!((report.outcome, report.details.lost), (RequestOutcome::InFlight, false));
        assert_eq!(scene.calls(), ["record"]);
    }
}

/// What is parked at this time, when nobody holds it.
async fn parked(scene: &Scene) -> Option<Message> {
    let now = scene.world.now().after(Duration::from_secs(60));
    let claim = Claim { owner: "redrive".to_owned(), ..scene.claim_of_another(now) };
    match scene.world.store.take(&claim).await.unwrap() {
        Taken::Yours { message, .. } => Some(Message::from_parked(&message).unwrap()),
        Taken::Held | Taken::NotParked | Taken::Unreadable(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_leaves_its_event_with_another_invocation_that_holds_it() {
    // The other one sends it.
    let scene = scene();
    let lease = scene.taken_by_another(scene.world.now()).await;
    let report = scene.deliver(Some(3)).await;
    assert_eq!((report.outcome, report.details.lost), (RequestOutcome::Kept, false));
    assert_eq!(scene.calls(), ["record", "leave"]);
    assert_eq!(scene.world.store.confirm(lease).await.unwrap(), Settled::Done);
    assert_eq!(parked(&scene).await, None);
    assert_eq!(scene.queue(), []);

    // The other one fails, or dies.
    for dies in [false, true] {
        let scene = self::scene();
        let lease = scene.taken_by_another(scene.world.now()).await;
        assert_eq!(scene.deliver(Some(3)).await.outcome, RequestOutcome::Kept);
        if !dies {
            assert_eq!(scene.world.store.delete(lease).await.unwrap(), Settled::Done);
        }
        // A replay without a retry number does not make it a record without an event again.
        scene.pass(Duration::from_secs(6));
        assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Duplicate, "{dies}");
        assert_eq!(parked(&scene).await.expect("it is parked").body, MENTION, "{dies}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_holder_has_settled_the_record_meanwhile_the_last_attempt_goes_by_that() {
    let settled_meanwhile = async |settle: &str| {
        let scene =
            scene_where(Faults { leave: Fault::Takes(Duration::from_millis(200)), ..Faults::default() });
        let lease = scene.taken_by_another(scene.world.now()).await;
        let holder = async {
            sleep(Duration::from_millis(100)).await;
            match settle {
                "confirm" => scene.world.store.confirm(lease).await,
                "park" => scene.world.store.park(lease, "T1:C1", "{}").await,
                _ => scene.world.store.delete(lease).await,
            }
        };
        let (report, settled) = tokio::join!(scene.deliver(Some(3)), holder);
        assert_eq!(settled.unwrap(), Settled::Done);
        (report.outcome, scene.calls())
    };
    for settle in ["confirm", "park"] {
        assert_eq!(settled_meanwhile(settle).await, (RequestOutcome::Duplicate, vec!["record", "leave"]));
    }
    let calls = vec!["record", "leave", "record", "send", "confirm"];
    assert_eq!(settled_meanwhile("delete").await, (RequestOutcome::Accepted, calls));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_left_is_sent_without_a_record() {
    for leave in [Fault::Fails, Fault::LosesTheAnswer] {
        let scene = scene_where(Faults { leave, ..Faults::default() });
        scene.taken_by_another(scene.world.now()).await;
        let report = scene.deliver(Some(3)).await;
        assert_eq!((report.outcome, report.details.lost), (RequestOutcome::Accepted, false), "{leave:?}");
        assert!(report.details.unguarded);
        // A leave that hangs is cut off at 70 %, so that there is time to send.
        let took = if matches!(leave, Fault::LosesTheAnswer) { LEAVE_CUT } else { Duration::ZERO };
        assert_eq!(report.details.timings.total, took, "{leave:?}");
        assert!(report.details.errors[0].starts_with("leave: "), "{:?}", report.details.errors);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_run_out_is_taken_over() {
    let scene = scene();
    scene.taken_by_another(scene.world.now()).await;
    scene.pass(Duration::from_millis(5001));
    let report = scene.deliver(Some(2)).await;
    assert_eq!((report.outcome, report.details.took_over), (RequestOutcome::Accepted, true));
    assert_eq!(scene.queue().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_has_expired_is_no_record() {
    let scene = scene();
    scene.deliver(None).await;
    scene.pass(Duration::from_secs(3599));
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Duplicate);
    scene.pass(Duration::from_secs(1));
    let report = scene.deliver(None).await;
    assert_eq!((report.outcome, report.details.took_over), (RequestOutcome::Accepted, false));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_for_a_request_that_slack_did_not_sign() {
    let scene = scene();
    let good = || scene.request(MENTION, Some(3));
    let requests = [
        (Inbound { signature: None, ..good() }, Rejection::MissingHeader),
        (Inbound { timestamp: None, ..good() }, Rejection::MissingHeader),
        (Inbound { signature: Some("v0=00".to_owned()), ..good() }, Rejection::MalformedSignature),
        (Inbound { timestamp: Some("now".to_owned()), ..good() }, Rejection::MalformedTimestamp),
        (Inbound { timestamp: Some("1531420317".to_owned()), ..good() }, Rejection::Stale),
        (Inbound { timestamp: Some("1531420919".to_owned()), ..good() }, Rejection::Stale),
        (Inbound { timestamp: Some("1531420617".to_owned()), ..good() }, Rejection::Mismatch),
        (Inbound { body: MENTION.replace("Ev0", "Ev1").into(), ..good() }, Rejection::Mismatch),
        // Unsigned bytes are not parsed, so nobody finds out whether they are JSON.
        (Inbound { body: b"\xff".into(), ..good() }, Rejection::Mismatch),
        (Inbound { body: CHALLENGE.into(), ..good() }, Rejection::Mismatch),
        (Inbound { body: b"ssl_check=1".into(), ..good() }, Rejection::Mismatch),
        (Inbound { content_type: None, signature: None, ..good() }, Rejection::MissingHeader),
    ];
    for (inbound, reason) in requests {
        let report = scene.handle(inbound).await;
        assert_eq!(report.outcome, RequestOutcome::Rejected(reason));
        assert!(report.details.delivery.is_none());
        assert_eq!(report.details.attempt, Attempt::default(), "an unsigned header is in the log");
    }
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_of_several_secrets_is_accepted_and_none_is_our_fault_not_slacks() {
    let scene = scene_with(settings(), &["another app's", SECRET]);
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted);

    let scene = scene_with(settings(), &[]);
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Unavailable(Dependency::Secret));
    let stale = Inbound { timestamp: Some("1".to_owned()), ..scene.request(MENTION, None) };
    assert_eq!(scene.handle(stale).await.outcome, RequestOutcome::Rejected(Rejection::Stale));
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_answered_without_the_store_or_the_queue() {
    let scene = scene();
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned();
    let cases = [
        (CHALLENGE, RequestOutcome::Challenge(challenge)),
        (RATE_LIMITED, RequestOutcome::RateLimited),
        ("{}", RequestOutcome::Malformed(Malformed::Unsupported)),
        ("{", RequestOutcome::Malformed(Malformed::Json)),
        (r#"{"type":"event_callback"}"#, RequestOutcome::Malformed(Malformed::MissingEventId)),
    ];
    for (body, expected) in cases {
        assert_eq!(scene.handle(scene.request(body, None)).await.outcome, expected, "{body}");
    }
    let text = Inbound { content_type: Some("text/plain".to_owned()), ..scene.request(MENTION, None) };
    assert_eq!(scene.handle(text).await.outcome, RequestOutcome::Malformed(Malformed::ContentType));
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_ssl_check_alone_needs_no_signature() {
    let scene = scene();
    let form = Some("application/x-www-form-urlencoded".to_owned());
    let check = |body: &[u8]| Inbound { content_type: form.clone(), body: body.into(), ..Inbound::default() };
    assert_eq!(scene.handle(check(b"ssl_check=1&token=x")).await.outcome, RequestOutcome::SslCheck);
    let missing = RequestOutcome::Rejected(Rejection::MissingHeader);
    assert_eq!(scene.handle(check(b"ssl_check=0")).await.outcome, missing);
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn bot_events_says_whose_messages_go_through() {
    use BotEvents::{Drop, DropOwn, Forward};
    for (bot_events, person, other_bot, this_app) in
        [(Drop, true, false, false), (DropOwn, true, true, false), (Forward, true, true, true)]
    {
        for (body, goes_through) in [(MENTION, person), (OF_ANOTHER_APP, other_bot), (OF_THIS_APP, this_app)]
        {
            let scene = scene_with(IngressSettings { bot_events, ..settings() }, &[SECRET]);
            let report = scene.handle(scene.request(body, None)).await;
            let (outcome, calls): (_, &[_]) = if goes_through {
                (RequestOutcome::Accepted, &["record", "send", "confirm"])
            } else {
                (RequestOutcome::Ignored, &[])
            };
            assert_eq!(report.outcome, outcome, "{bot_events:?} {body}");
            assert_eq!(scene.calls(), calls, "{bot_events:?} {body}");
            assert!(report.details.delivery.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_leased_to_the_invocations_deadline_and_a_margin() {
    for (remaining, lease) in [(1, 3), (3, 5), (10, 12), (45, 47), (46, 47), (900, 47)] {
        let scene = scene();
        let invocation = scene.invocation("8476a536", Duration::from_secs(remaining));
        scene.ingress.handle(scene.request(MENTION, None), invocation).await;
        let claim = scene.world.claims.lock().unwrap()[0].clone();
        assert_eq!(claim.lease_until, scene.world.now().after(Duration::from_secs(lease)), "{remaining}");
    }
    let ttl = Duration::from_secs(90_000);
    let scene = scene_with(IngressSettings { dedup_ttl: ttl, ..settings() }, &[SECRET]);
    scene.deliver(None).await;
    let [claim] = &scene.world.claims.lock().unwrap()[..] else { panic!("not one claim") };
    assert_eq!((claim.event_id.as_str(), claim.owner.as_str()), (MENTION_ID, "first"));
    assert_eq!(claim.received_at.as_millis(), NOW);
    assert_eq!(claim.lease_until.as_millis(), NOW + 12_000);
    assert_eq!(claim.expires_at.as_secs(), NOW / 1000 + 90_000);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_has_slack_ask_again_until_nobody_will() {
    let too_slow = Fault::Takes(RECORD_CUT + Duration::from_millis(1));
    for (record, took) in [
        (Fault::Fails, Duration::ZERO),
        (Fault::Hangs, RECORD_CUT),
        (too_slow, RECORD_CUT),
        (Fault::LosesTheAnswer, RECORD_CUT),
    ] {
        for attempt in ATTEMPTS {
            let scene = scene_where(Faults { record, ..Faults::default() });
            let report = scene.deliver(attempt).await;
            assert_eq!(report.details.timings.record, Some(took), "{record:?}");
            assert_eq!(report.details.errors.len(), 1, "{:?}", report.details.errors);
            if attempt == Some(3) {
                assert_eq!(report.outcome, RequestOutcome::Accepted, "{record:?}");
                assert!(report.details.unguarded);
                assert_eq!(scene.calls(), ["record", "send"], "there is no record to confirm");
                let [message] = &scene.queue()[..] else { panic!("not one message") };
                assert!(message.attributes.contains(&("unguarded".into(), "true".to_owned())));
            } else {
                assert_eq!(report.outcome, RequestOutcome::Unavailable(Dependency::Store), "{record:?}");
                assert!(!report.details.unguarded);
                assert_eq!(scene.calls(), ["record"], "{record:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_frees_the_event_and_has_slack_ask_again() {
    let too_slow = Fault::Takes(SEND_CUT + Duration::from_millis(1));
    for (send, took) in [
        (Fault::Fails, Duration::ZERO),
        (Fault::Hangs, SEND_CUT),
        (too_slow, SEND_CUT),
        (Fault::LosesTheAnswer, SEND_CUT),
    ] {
        for attempt in ATTEMPTS {
            let scene = scene_where(Faults { send, ..Faults::default() });
            let report = scene.deliver(attempt).await;
            assert_eq!(report.details.timings.send, Some(took), "{send:?}");
            assert_eq!(report.details.errors.len(), 1, "{:?}", report.details.errors);
            assert!(!report.details.lost);
            if attempt == Some(3) {
                assert_eq!(report.outcome, RequestOutcome::Parked, "{send:?}");
                assert_eq!(scene.calls(), ["record", "send", "park"]);
            } else {
                assert_eq!(
                    report.outcome,
                    RequestOutcome::Unavailable(Dependency::Sink),
                    "{send:?} {attempt:?}"
                );
                assert_eq!(scene.calls(), ["record", "send", "delete"]);
                assert!(!scene.is_recorded().await);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn on_the_last_attempt_the_store_keeps_the_message_that_the_queue_did_not_take() {
    let scene = scene();
    scene.deliver(Some(3)).await;
    let expected = scene.queue();

    let scene = scene_where(Faults { send: Fault::Fails, ..Faults::default() });
    assert_eq!(scene.deliver(Some(3)).await.outcome, RequestOutcome::Parked);
    let pending = scene.world.store.all_pending();
    assert_eq!(pending, [Pending { event_id: MENTION_ID.to_owned(), received_at: scene.world.now() }]);
    let later = scene.world.now().after(Duration::from_millis(12_001));
    match scene.world.store.take(&scene.claim_of_another(later)).await.unwrap() {
        Taken::Yours { message, .. } => assert_eq!([Message::from_parked(&message).unwrap()], expected[..]),
        other => panic!("{other:?}"),
    }
    // If Slack asks again after all, the event is still promised.
    scene.set(Faults::default());
    assert_eq!(scene.deliver(Some(4)).await.outcome, RequestOutcome::Duplicate);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_lost_when_neither_takes_it_and_that_is_said() {
    for park in [Fault::Fails, Fault::Hangs] {
        let scene = scene_where(Faults { send: Fault::Fails, park, ..Faults::default() });
        let report = scene.deliver(Some(3)).await;
        assert_eq!(report.outcome, RequestOutcome::Unavailable(Dependency::Sink), "{park:?}");
        assert!(report.details.lost);
        assert!(matches!(&report.details.errors[..], [send, park]
            if send == "send: SQS SendMessage: connection reset" && park.starts_with("park: ")));
        assert!(report.details.timings.total <= BUDGET);
    }
    for attempt in ATTEMPTS {
        let down = Faults { record: Fault::Fails, send: Fault::Fails, ..Faults::default() };
        assert_eq!(scene_where(down).deliver(attempt).await.details.lost, attempt == Some(3), "{attempt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_later_invocation_holds_is_left_with_it_and_not_parked() {
    for (leave, outcome) in [(Fault::None, RequestOutcome::Kept), (Fault::Fails, RequestOutcome::InFlight)] {
        let scene = scene_where(Faults { send: Fault::Hangs, leave, ..Faults::default() });
        let overtaking = async {
            sleep(Duration::from_millis(500)).await;
            scene.taken_by_another(scene.world.now().after(Duration::from_secs(60))).await
        };
        let (report, second) = tokio::join!(scene.deliver(Some(3)), overtaking);
        assert_eq!(report.details.lost, outcome == RequestOutcome::InFlight);
        assert_eq!(report.outcome, outcome);
        assert_eq!(scene.calls(), ["record", "send", "park", "leave"]);
        assert_eq!(scene.world.store.confirm(second).await.unwrap(), Settled::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_given_up_on_the_last_attempt_counts_as_lost() {
    let lost = async |scene: &Scene, inbound: Inbound| scene.handle(inbound).await.details.lost;
    let broken = "{";
    for attempt in ATTEMPTS {
        let is_last = attempt == Some(3);
        let scene = scene();
        assert_eq!(lost(&scene, scene.request(broken, attempt)).await, is_last, "malformed {attempt:?}");
        scene.world.max_bytes.store(10, Ordering::Relaxed);
        assert_eq!(lost(&scene, scene.request(MENTION, attempt)).await, is_last, "too large {attempt:?}");
        // What nobody signed is no event.
        let forged =
            Inbound { signature: Some(format!("v0={}", "0".repeat(64))), ..scene.request(MENTION, attempt) };
        assert!(!lost(&scene, forged).await);
        for (outcome, is_given_up) in [
            (RequestOutcome::Panicked, true),
            (RequestOutcome::Unavailable(Dependency::Secret), true),
            (RequestOutcome::Ignored, false),
            (RequestOutcome::Kept, false),
        ] {
            assert_eq!(outcome.gives_up(), is_given_up);
        }
    }
    // Slack sends a form once, so its first attempt is its last, whatever is wrong with it.
    for body in ["payload=%7Bbroken", "a=1&a=1", "payload=%7B%7D"] {
        let scene = scene();
        let content_type = Some("application/x-www-form-urlencoded".to_owned());
        let report = scene.handle(Inbound { content_type, ..scene.request(body, None) }).await;
        assert!(matches!(report.outcome, RequestOutcome::Malformed(_)) && report.details.lost, "{body}");
    }
    for is_last in [false, true] {
        let panicked = Answered::panicked(is_last);
        assert_eq!(panicked.report().outcome, RequestOutcome::Panicked);
        assert_eq!(panicked.report().details.lost, is_last);
    }
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_answer_is_503_on_every_attempt() {
    for record in [Fault::Fails, Fault::Hangs] {
        for send in [Fault::Fails, Fault::Hangs] {
            for attempt in ATTEMPTS {
                let scene = scene_where(Faults { record, send, ..Faults::default() });
                let report = scene.deliver(attempt).await;
                let is_last = attempt == Some(3);
                let dependency = if is_last { Dependency::Sink } else { Dependency::Store };
                assert_eq!(report.outcome, RequestOutcome::Unavailable(dependency));
                assert!(!report.details.unguarded, "nothing was sent");
                assert_eq!(report.details.lost, is_last);
                assert!(report.details.timings.total <= SEND_CUT);
                let calls: &[_] = if is_last { &["record", "send"] } else { &["record"] };
                assert_eq!(scene.calls(), calls);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirm_that_fails_changes_no_answer() {
    // It is cut off 50 ms before the invocation's end, which is later than the end of Slack's patience.
    let cut = INVOCATION - Duration::from_millis(50);
    let too_slow = Fault::Takes(cut + Duration::from_millis(1));
    for (confirm, took) in [(Fault::Fails, Duration::ZERO), (Fault::Hangs, cut), (too_slow, cut)] {
        let scene = scene_where(Faults { confirm, ..Faults::default() });
        let report = scene.deliver(None).await;
        assert_eq!(report.outcome, RequestOutcome::Accepted, "{confirm:?}");
        assert_eq!(report.details.timings.settle, Some(took));
        assert_eq!(report.details.timings.total, Duration::ZERO, "Slack does not wait for it");
        assert!(matches!(&report.details.errors[..], [error] if error.starts_with("confirm: ")));
        assert_eq!(scene.queue().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirm_may_take_longer_than_slack_waits_for_an_answer() {
    let slow = Fault::Takes(BUDGET + Duration::from_millis(1));
    let scene = scene_where(Faults { confirm: slow, ..Faults::default() });
    let report = scene.deliver(None).await;
    assert_eq!((report.outcome, report.details.errors.len()), (RequestOutcome::Accepted, 0));
    assert_eq!(report.details.timings.settle, Some(BUDGET + Duration::from_millis(1)));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_leaves_the_event_to_the_end_of_its_lease() {
    for delete in [Fault::Fails, Fault::Hangs] {
        let scene = scene_where(Faults { send: Fault::Fails, delete, ..Faults::default() });
        let report = scene.deliver(None).await;
        assert_eq!(report.outcome, RequestOutcome::Unavailable(Dependency::Sink));
        assert!(matches!(&report.details.errors[..], [send, delete]
            if send == "send: SQS SendMessage: connection reset" && delete.starts_with("delete: ")));
        assert!(report.details.timings.total <= BUDGET);

        scene.set(Faults::default());
        scene.pass(Duration::from_millis(12_000));
        assert_eq!(scene.deliver(Some(1)).await.outcome, RequestOutcome::InFlight);
        scene.pass(Duration::from_millis(1));
        assert_eq!(scene.deliver(Some(2)).await.outcome, RequestOutcome::Accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_holder_does_not_undo_a_second_ones_work() {
    for send in [Fault::Takes(Duration::from_secs(1)), Fault::Hangs] {
        let scene = scene_where(Faults { send, ..Faults::default() });
        let overtaking = async {
            sleep(Duration::from_millis(500)).await;
            scene.taken_by_another(scene.world.now().after(Duration::from_secs(60))).await
        };
        let (report, second) = tokio::join!(scene.deliver(None), overtaking);
        let lost = ": the lease was lost to a later invocation";
        assert!(report.details.errors.last().unwrap().ends_with(lost), "{:?}", report.details.errors);
        assert_eq!(scene.world.store.confirm(second).await.unwrap(), Settled::Done, "{send:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_invocations_at_once_one_sends_and_the_other_has_slack_ask_again() {
    let scene = scene_where(Faults { send: Fault::Takes(Duration::from_secs(1)), ..Faults::default() });
    let second = scene.invocation("second", Duration::from_secs(10));
    let (first, second) =
        tokio::join!(scene.deliver(None), scene.ingress.handle(scene.request(MENTION, Some(1)), second));
    assert_eq!((first.outcome, second.outcome), (RequestOutcome::Accepted, RequestOutcome::InFlight));
    assert_eq!(scene.deliver(Some(2)).await.outcome, RequestOutcome::Duplicate);
    assert_eq!(scene.queue().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_sink_does_not_take_is_not_even_recorded() {
    let scene = scene();
    scene.deliver(None).await;
    let size = u64::try_from(scene.queue()[0].size()).unwrap();

    let scene = self::scene();
    scene.world.max_bytes.store(size, Ordering::Relaxed);
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted, "as large as it may be");
    let scene = self::scene();
    scene.world.max_bytes.store(size - 1, Ordering::Relaxed);
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::TooLarge);
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_sink_finds_too_large_is_not_recorded_any_more() {
    struct Narrow;
    impl Sink for Narrow {
        async fn send(&self, _: &Message) -> Result<(), SendError> {
            Err(SendError::TooLarge)
        }
        fn max_bytes(&self) -> usize {
            usize::MAX
        }
    }
    let scene = scene();
    let secrets = SigningSecrets::fixed([SigningSecret::new(SECRET)]);
    let ingress = Ingress::new(secrets, scene.world.clone(), Narrow, scene.world.clone(), settings());
    let invocation = scene.invocation("first", Duration::from_secs(10));
    for attempt in ATTEMPTS {
        let report = ingress.handle(scene.request(MENTION, attempt), invocation.clone()).await;
        assert_eq!(report.outcome, RequestOutcome::TooLarge);
        assert_eq!(scene.calls(), ["record", "delete"]);
        assert!(!scene.is_recorded().await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_is_killed_before_the_budget_is_over_ends_in_time() {
    let remaining = Duration::from_millis(1050);
    let cut = Duration::from_secs(1);
    for (faults, outcome, total) in [
        (
            Faults { record: Fault::Hangs, ..Faults::default() },
            RequestOutcome::Unavailable(Dependency::Store),
            cut / 2,
        ),
        (
            Faults { send: Fault::Hangs, ..Faults::default() },
            RequestOutcome::Unavailable(Dependency::Sink),
            cut * 87 / 100,
        ),
        (
            Faults { send: Fault::Fails, delete: Fault::Hangs, ..Faults::default() },
            RequestOutcome::Unavailable(Dependency::Sink),
            cut,
        ),
    ] {
        let scene = scene_where(faults);
        let invocation = scene.invocation("first", remaining);
        let report = scene.ingress.handle(scene.request(MENTION, None), invocation).await;
        assert_eq!((report.outcome, report.details.timings.total), (outcome, total), "{faults:?}");
    }
    let scene = scene_where(Faults { confirm: Fault::Hangs, ..Faults::default() });
    let invocation = scene.invocation("first", remaining);
    let report = scene.ingress.handle(scene.request(MENTION, None), invocation).await;
    assert_eq!((report.outcome, report.details.timings.settle), (RequestOutcome::Accepted, Some(cut)));
}

#[tokio::test(start_paused = true)]
async fn the_body_goes_through_the_steps_without_being_copied() {
    struct Sees(AtomicUsize);
    impl Sink for Sees {
        async fn send(&self, message: &Message) -> Result<(), SendError> {
            self.0.store(message.body.as_ptr().addr(), Ordering::Relaxed);
            Ok(())
        }
        fn max_bytes(&self) -> usize {
            usize::MAX
        }
    }
    let scene = scene();
    let secrets = SigningSecrets::fixed([SigningSecret::new(SECRET)]);
    let sees = Sees(AtomicUsize::new(0));
    let ingress = Ingress::new(secrets, scene.world.clone(), sees, scene.world.clone(), settings());
    // On the last attempt the message is needed after the send, too.
    for attempt in ATTEMPTS {
        let inbound = scene.request(&MENTION.replace("Ev", &format!("Ev{attempt:?}")), attempt);
        let bytes = inbound.body.as_ptr().addr();
        let invocation = scene.invocation("first", Duration::from_secs(10));
        assert_eq!(ingress.handle(inbound, invocation).await.outcome, RequestOutcome::Accepted);
        assert_eq!(ingress.sink.0.load(Ordering::Relaxed), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_known_before_the_confirm_and_after_everything_else() {
    let invocation = |scene: &Scene| scene.invocation("first", Duration::from_secs(10));
    for (faults, attempt, before, after) in [
        (Faults::default(), None, &["record", "send"][..], &["confirm"][..]),
        (Faults { send: Fault::Fails, ..Faults::default() }, None, &["record", "send", "delete"], &[]),
        (Faults { send: Fault::Fails, ..Faults::default() }, Some(3), &["record", "send", "park"], &[]),
        (Faults { record: Fault::Fails, ..Faults::default() }, Some(3), &["record", "send"], &[]),
    ] {
        let scene = scene_where(faults);
        let answered = scene.ingress.answer(scene.request(MENTION, attempt), invocation(&scene)).await;
        assert_eq!(scene.calls(), before, "{faults:?}");
        let outcome = answered.report().outcome.clone();
        let report = scene.ingress.finish(answered).await;
        assert_eq!(scene.calls(), after, "{faults:?}");
        assert_eq!(report.outcome, outcome, "what was answered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_between_answer_and_confirm_leaves_a_lease() {
    let scene = scene();
    let invocation = scene.invocation("first", Duration::from_secs(10));
    drop(scene.ingress.answer(scene.request(MENTION, None), invocation).await);
    assert_eq!(scene.queue().len(), 1);
    let retry = async |request_id, num| {
        let invocation = scene.invocation(request_id, Duration::from_secs(10));
        scene.ingress.handle(scene.request(MENTION, Some(num)), invocation).await
    };
    assert_eq!(retry("second", 1).await.outcome, RequestOutcome::InFlight);
    scene.pass(Duration::from_secs(13));
    assert!(retry("third", 2).await.details.took_over);
    assert_eq!(scene.deliver(Some(3)).await.outcome, RequestOutcome::Duplicate);
}

#[tokio::test(start_paused = true)]
async fn without_any_time_nothing_is_begun() {
    for (attempt, dependency) in [(None, Dependency::Store), (Some(3), Dependency::Sink)] {
        let scene = scene();
        let invocation = scene.invocation("first", Duration::from_millis(50));
        let report = scene.ingress.handle(scene.request(MENTION, attempt), invocation).await;
        assert_eq!(report.outcome, RequestOutcome::Unavailable(dependency));
        assert_eq!(scene.calls(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_frozen_sends_nothing_when_it_wakes_up() {
    let frozen = Fault::Freezes(Duration::from_secs(60));
    let scene = scene_where(Faults { record: frozen, ..Faults::default() });
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Unavailable(Dependency::Sink));
    assert_eq!(scene.calls(), ["record"]);

    // Frozen when the message was sent already: it is on the queue, and that is what counts.
    let scene = scene_where(Faults { send: frozen, ..Faults::default() });
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.calls(), ["record", "send"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_monotonic_clock_stood_still_sends_nothing_when_its_lease_is_over() {
    // Nothing is recorded or sent after the ack budget, whatever the monotonic clock says; and not after the lease.
    for (remaining, paused, sends) in [
        (10_000, 2_499, true),
        (10_000, 2_500, true),
        (10_000, 2_501, false),
        (10_000, 60_000, false),
        (2_000, 2_000, true),
        (2_000, 2_001, false),
        (900_000, 45_001, false),
    ] {
        let record = Fault::PausesTheMachine(Duration::from_millis(paused));
        let scene = scene_where(Faults { record, ..Faults::default() });
        let invocation = scene.invocation("first", Duration::from_millis(remaining));
        let report = scene.ingress.handle(scene.request(MENTION, None), invocation).await;
        assert_eq!(report.outcome == RequestOutcome::Accepted, sends, "{remaining} {paused}");
        assert_eq!(scene.queue().len(), usize::from(sends), "{remaining} {paused}");
    }
    // A request that took long on its way has the same fence, though it is taken to have come sooner.
    let record = Fault::PausesTheMachine(Duration::from_secs(3));
    let scene = scene_where(Faults { record, ..Faults::default() });
    let gateway_time = Some(UnixMillis::from_millis(NOW - 9_000));
    let inbound = Inbound { gateway_time, ..scene.request(MENTION, None) };
    assert_eq!(scene.handle(inbound).await.outcome, RequestOutcome::Unavailable(Dependency::Sink));

    // What is sent without a record has no lease that could be over.
    let record = Fault::PausesTheMachine(Duration::from_secs(20));
    let scene = scene_where(Faults { record, ..Faults::default() });
    scene.taken_by_another(scene.world.now()).await;
    scene.set(Faults { record, leave: Fault::Fails, ..Faults::default() });
    let report = scene.deliver(Some(3)).await;
    assert_eq!((report.outcome, report.details.unguarded), (RequestOutcome::Accepted, true));

    // What settles a record is conditional on its owner, and is better late than never.
    let send = Fault::PausesTheMachine(Duration::from_secs(60));
    let scene = scene_where(Faults { send, ..Faults::default() });
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.calls(), ["record", "send", "confirm"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_writes_the_leases_of_a_right_one_and_says_so() {
    let right = UnixMillis::from_millis(NOW);
    let gateway = Some(right);
    for (off_by, gateway_time, received_at, is_wrong) in [
        (-60_000, gateway, 0, true),
        (-299_000, gateway, 0, true),
        (-1_000, gateway, 0, false),
        (1_500, gateway, 1_500, false),
        (6_000, gateway, 2_000, true),
        // Without a gateway's time Slack's signature says at least that it is not earlier. It has whole seconds.
        (-60_000, None, -500, true),
    ] {
        let scene = scene();
        let inbound = Inbound { gateway_time, ..scene.request(MENTION, None) };
        let invocation = scene.invocation("first", INVOCATION);
        scene.world.now.store(NOW.saturating_add_signed(off_by), Ordering::Relaxed);
        let report = scene.ingress.handle(inbound, invocation).await;
        assert_eq!(report.outcome, RequestOutcome::Accepted, "{off_by}");
        let claim = scene.world.claims.lock().unwrap()[0].clone();
        assert_eq!(claim.received_at.as_millis(), NOW.saturating_add_signed(received_at), "{off_by}");
        assert_eq!(claim.lease_until, right.after(INVOCATION).after(Duration::from_secs(2)), "{off_by}");
        assert_eq!(
            report.details.errors.iter().any(|error| error.starts_with("clock: ")),
            is_wrong,
            "{off_by}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_and_has_no_other_to_ask_begins_nothing_and_says_so() {
    let scene = scene();
    let (inbound, invocation) =
        (scene.request(MENTION, None), scene.invocation("first", Duration::from_secs(5)));
    scene.pass(Duration::from_secs(6));
    let report = scene.ingress.handle(inbound, invocation).await;
    assert_eq!(report.outcome, RequestOutcome::Unavailable(Dependency::Store));
    assert!(
        report.details.errors[0].contains("1000 ms past the invocation's deadline"),
        "{:?}",
        report.details.errors
    );
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_step_is_timed_and_a_step_not_reached_is_not() {
    let takes = |millis| Fault::Takes(Duration::from_millis(millis));
    let scene =
        scene_where(Faults { record: takes(10), send: takes(20), confirm: takes(30), ..Faults::default() });
    let timings = |timings: Timings| [timings.record, timings.send, timings.settle, Some(timings.total)];
    let millis = |millis: u64| Some(Duration::from_millis(millis));
    let report = scene.deliver(None).await;
    assert_eq!(timings(report.details.timings), [millis(10), millis(20), millis(30), millis(30)]);
    assert_eq!(report.details.timings.verify, Some(Duration::ZERO));
    let report = scene.deliver(Some(1)).await;
    assert_eq!(timings(report.details.timings), [millis(10), None, None, millis(10)]);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::None),
        Just(Fault::Fails),
        Just(Fault::Hangs),
        Just(Fault::LosesTheAnswer),
        (0u64..4000).prop_map(|millis| Fault::Takes(Duration::from_millis(millis))),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_the_answer_comes_in_time_and_a_200_means_that_the_message_is_on_the_queue_or_parked(
        (record, send, confirm, delete, park) in
            (any_fault(), any_fault(), any_fault(), any_fault(), any_fault()),
        retry_num in prop::sample::select(&ATTEMPTS[..]),
        remaining in 0u64..20_000,
        budget in 100u64..3000,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let ack_budget = Duration::from_millis(budget);
            let remaining = Duration::from_millis(remaining);
            let scene = scene_with(IngressSettings { ack_budget, ..settings() }, &[SECRET]);
            scene.set(Faults { record, send, confirm, delete, park, leave: Fault::None });
            let invocation = scene.invocation("first", remaining);
            let report = scene.ingress.handle(scene.request(MENTION, retry_num), invocation).await;

            let limit = ack_budget.min(remaining.saturating_sub(Duration::from_millis(50)));
            // Tokio's timers go off on whole milliseconds.
            prop_assert!(report.details.timings.total <= limit + Duration::from_millis(1));
            match report.outcome {
                RequestOutcome::Accepted => prop_assert_eq!(scene.queue().len(), 1),
                RequestOutcome::Parked => prop_assert_eq!(scene.world.store.all_pending().len(), 1),
                RequestOutcome::Unavailable(_) => prop_assert!(scene.queue().len() <= 1),
                ref other => prop_assert!(false, "{other:?}"),
            }

            // A minute later all is well again: the event is on the queue then, and what was confirmed is
            // there once.
            let was_confirmed = report.outcome == RequestOutcome::Accepted && report.details.errors.is_empty();
            scene.set(Faults::default());
            scene.pass(Duration::from_secs(60));
            let second = scene.invocation("second", Duration::from_secs(10));
            let report = scene.ingress.handle(scene.request(MENTION, Some(2)), second).await;
            prop_assert!(matches!(report.outcome, RequestOutcome::Accepted | RequestOutcome::Duplicate));
            let bodies: BTreeSet<_> = scene.queue().into_iter().map(|message| message.body).collect();
            let is_parked = !scene.world.store.all_pending().is_empty();
            prop_assert!(is_parked || bodies == BTreeSet::from([MENTION.to_owned()]));
            if was_confirmed {
                prop_assert_eq!(scene.queue().len(), 1);
            }
            Ok(())
        })?;
    }
}
