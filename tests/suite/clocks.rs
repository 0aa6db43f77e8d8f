//! Runs the function with clocks that are wrong: a wall clock that is behind or ahead, and a virtual machine whose monotonic clock
//! stood still. A library that is preloaded into the process shifts its clocks (`tests/shims/clocks.c`).

use slack_ingress::time::clock::{Clock, SystemClock};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use test_support::aws::Queue;
use test_support::aws::proxy::{Fault, Gate};
use test_support::lambda::answers::{ask_again, ok};
use test_support::lambda::{Lambda, reply};
use test_support::servers::fresh_name;
use test_support::slack::event;
use test_support::wait::eventually;
use tokio::time::sleep;

use crate::support::ingress;
use crate::support::stage::Stage;

/// The time-out of an invocation that is paused until its lease is over. It is shorter than the one that the function is
/// deployed with, because the test waits for it; a busy machine must still reach the pause well before its end.
const UNTIL_THE_LEASE_ENDS: Duration = Duration::from_secs(3);

/// The clocks of one process.
struct Clocks {
    file: File,
    path: PathBuf,
}

impl Clocks {
    fn new(wall_millis: i64) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(fresh_name("clocks"));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
        let clocks = Self { file, path };
        clocks.shift(wall_millis, 0);
        clocks
    }

    /// From now on the process's clocks differ from the machine's by these milliseconds.
    fn shift(&self, wall_millis: i64, monotonic_millis: i64) {
        let nanos = [wall_millis, monotonic_millis].map(|millis| (millis * 1_000_000).to_ne_bytes());
        self.file.write_all_at(&nanos.concat(), 0).expect("the file is written");
    }

    /// An environment of the function with these clocks.
    async fn environment(&self, stage: &Stage) -> Lambda {
        let mut variables = stage.variables();
        variables.insert("LD_PRELOAD".to_owned(), shim().display().to_string());
        variables.insert("SHIFTED_CLOCKS".to_owned(), self.path.display().to_string());
        ingress::start(variables).await
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Builds the library, with the C compiler that links every Rust program here.
fn shim() -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/shims/clocks.c");
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(fresh_name("clocks")).with_extension("so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status();
    assert!(built.expect("there is a C compiler").success());
    library
}

#[tokio::test]
#[ignore = "needs DynamoDB and SQS: make test"]
async fn a_clock_that_is_behind_writes_no_lease_that_is_over_for_the_others() {
    for behind_millis in [0, 30_000, 60_000, 240_000] {
        let stage = Stage::with(Queue::standard().await).await;
        let clocks = Clocks::new(-behind_millis);
        let wrong = clocks.environment(&stage).await;
        let right = stage.environment().await;
        let gate = Gate::default();
        stage.sqs.once("SendMessage", Fault::HoldAfter(gate.clone()));
        let first = wrong.post(&event("Ev1"));
        stage.sqs.reached("SendMessage", 1).await;
        // Slack asks again while the first attempt is at work.
        assert_eq!(right.post(&event("Ev1").retry(1, "http_timeout")).await, ask_again(), "{behind_millis}");
        gate.open();
        assert_eq!(first.await, ok(), "{behind_millis}");
        assert_eq!(stage.queue.take_all().await.len(), 1, "{behind_millis}");
        let report = &wrong.reports(1).await[0];
        assert_eq!(report["errors"].to_string().contains("clock: "), behind_millis > 0, "{report}");
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB and SQS: make test"]
async fn a_clock_that_is_ahead_serves_all_the_same_and_takes_over_no_lease_that_is_not_over() {
    for ahead_millis in [6_000, 60_000] {
        let stage = Stage::with(Queue::standard().await).await;
        let clocks = Clocks::new(ahead_millis);
        let wrong = clocks.environment(&stage).await;
        let right = stage.environment().await;
        assert_eq!(wrong.post(&event("Ev1")).await, ok(), "{ahead_millis}");
        stage.table.becomes("Ev1", "forwarded").await;
        assert_eq!(right.post(&event("Ev1").retry(1, "http_timeout")).await, ok(), "{ahead_millis}");

        let gate = Gate::default();
        stage.sqs.once("SendMessage", Fault::HoldAfter(gate.clone()));
        let first = right.post(&event("Ev2"));
        stage.sqs.reached("SendMessage", 2).await;
        assert_eq!(wrong.post(&event("Ev2").retry(1, "http_timeout")).await, ask_again(), "{ahead_millis}");
        gate.open();
        assert_eq!(first.await, ok(), "{ahead_millis}");
        assert_eq!(stage.queue.take_all().await.len(), 2, "{ahead_millis}");
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB and SQS: make test"]
async fn a_virtual_machine_that_was_paused_with_its_monotonic_clock_sends_nothing_when_it_goes_on() {
    let stage = Stage::with(Queue::standard().await).await;
    let clocks = Clocks::new(0);
    let paused = clocks.environment(&stage).await;
    let other = stage.environment().await;
    // The pause begins when the record is written and its answer is on the way.
    let gate = Gate::default();
    stage.dynamodb.once("PutItem", Fault::HoldAfter(gate.clone()));
    let first = paused.invoke_for(&event("Ev1").event(), UNTIL_THE_LEASE_ENDS);
    stage.dynamodb.reached("PutItem", 1).await;
    let began = SystemClock.instant();
    paused.signal("STOP").await;
    eventually("the record", async || stage.table.item("Ev1").await).await;
    stage.lease_over("Ev1").await;
    assert_eq!(other.post(&event("Ev1").retry(2, "http_timeout")).await, ok());
    // The time of the pause is none for the monotonic clock.
    let millis = i64::try_from((SystemClock.instant() - began).as_millis()).expect("some seconds");
    clocks.shift(0, -millis);
    gate.open();
    paused.signal("CONT").await;
    assert_eq!(reply(first.await), ask_again());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(stage.queue.take_all().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs DynamoDB and SQS: make test"]
async fn a_machine_that_was_paused_while_it_waited_for_a_refusal_does_not_send_once_more() {
    // The SDK would repeat what was throttled, and the sink what was refused with a trace header.
    for (error, ids) in [("RequestThrottled", ["Ev1", "Ev2"]), ("InvalidParameterValue", ["Ev3", "Ev4"])] {
        let stage = Stage::with(Queue::standard().await).await;
        let clocks = Clocks::new(0);
        let paused = clocks.environment(&stage).await;
        let other = stage.environment().await;
        // The SDK sends the first event, the shortcut the second.
        for id in ids {
            let gate = Gate::default();
            stage.sqs.once("SendMessage", Fault::HoldThenRefuse(gate.clone(), 400, error));
            let before = stage.sqs.calls("SendMessage");
            let first = paused.invoke_for(&event(id).event(), UNTIL_THE_LEASE_ENDS);
            stage.sqs.reached("SendMessage", before + 1).await;
            let began = SystemClock.instant();
            paused.signal("STOP").await;
            stage.lease_over(id).await;
            assert_eq!(other.post(&event(id).retry(2, "http_timeout")).await, ok(), "{error} {id}");
            let millis = i64::try_from((SystemClock.instant() - began).as_millis()).expect("some seconds");
            clocks.shift(0, -millis);
            gate.open();
            paused.signal("CONT").await;
            assert_eq!(reply(first.await), ask_again(), "{error} {id}");
            clocks.shift(0, 0);
        }
        assert_eq!(stage.queue.take_event_ids().await, ids, "{error}");
    }
}
