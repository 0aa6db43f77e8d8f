//! Somebody got hold of a request of Slack's and sends it again. Slack signs the time and the body and no other header, so the
//! sender can write any retry number.

use super::*;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const COMMAND: &str = include_str!("../../../tests/fixtures/forms/slash_command.txt");
const SHORTCUT: &str = include_str!("../../../tests/fixtures/forms/shortcut.txt");
/// It has no `trigger_id`, so it is recorded under the hash of its bytes.
const MODAL_CLOSED: &str = include_str!("../../../tests/fixtures/forms/view_closed.txt");

/// A request that Slack signs now. It can be sent as often as a test likes, with any retry number.
fn captured(
    scene: &Scene,
    content_type: &'static str,
    body: &'static str,
) -> impl Fn(Option<u32>) -> Inbound {
    let Inbound { signature, timestamp, .. } = scene.request(body, None);
    move |retry_num| Inbound {
        signature: signature.clone(),
        timestamp: timestamp.clone(),
        content_type: Some(content_type.to_owned()),
        attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "any words".to_owned()) },
        delivery_id: None,
        gateway_time: None,
        body: body.into(),
    }
}

/// Sets the clock to this many seconds after the first delivery.
fn at(scene: &Scene, seconds: u64) {
    scene.world.now.store(NOW + seconds * 1000, Ordering::Relaxed);
}

#[tokio::test(start_paused = true)]
async fn a_replay_within_its_five_minutes_is_a_duplicate_whatever_its_retry_header_says() {
    for (content_type, body) in [(JSON, MENTION), (FORM, COMMAND), (FORM, SHORTCUT), (FORM, MODAL_CLOSED)] {
        let scene = scene();
        let replay = captured(&scene, content_type, body);
        assert_eq!(scene.handle(replay(None)).await.outcome, RequestOutcome::Accepted, "{body}");
        scene.calls();
        for seconds in [0, 1, 299, 300] {
            at(&scene, seconds);
            for retry_num in [None, Some(0), Some(1), Some(3), Some(u32::MAX)] {
                let report = scene.handle(replay(retry_num)).await;
                assert_eq!(report.outcome, RequestOutcome::Duplicate, "{seconds} s, {retry_num:?}: {body}");
                assert_eq!(scene.calls(), ["record"]);
            }
        }
        at(&scene, 301);
        assert_eq!(scene.handle(replay(Some(3))).await.outcome, RequestOutcome::Rejected(Rejection::Stale));
        assert_eq!(scene.calls(), [""; 0]);
        assert_eq!(scene.queue().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_store_down_a_replay_as_the_last_retry_is_the_same_message_again_and_marked() {
    let scene = scene();
    let replay = captured(&scene, JSON, MENTION);
    scene.handle(replay(None)).await;
    scene.set(Faults { record: Fault::Fails, ..Faults::default() });
    for retry_num in [None, Some(1), Some(2)] {
        let outcome = scene.handle(replay(retry_num)).await.outcome;
        assert_eq!(outcome, RequestOutcome::Unavailable(Dependency::Store), "{retry_num:?}");
    }
    // A request that nobody signed is rejected.
    scene.calls();
    let unsigned = Inbound { body: MENTION.replace("Ev0", "Ev1").into(), ..replay(Some(3)) };
    let report = scene.handle(unsigned).await;
    assert_eq!(report.outcome, RequestOutcome::Rejected(Rejection::Mismatch));
    assert_eq!((scene.calls().as_slice(), report.details.attempt), (&[""; 0][..], Attempt::default()));

    for _ in 0..2 {
        assert_eq!(scene.handle(replay(Some(3))).await.outcome, RequestOutcome::Accepted);
    }
    scene.set(Faults::default());
    assert_eq!(scene.handle(replay(Some(3))).await.outcome, RequestOutcome::Duplicate);

    let queue = scene.queue();
    let [first, again @ ..] = &queue[..] else { panic!("nothing was sent") };
    assert_eq!(again.len(), 2);
    for message in again {
        // By the id a FIFO queue drops the second message for five minutes, and a consumer for as long as it wants.
        assert_eq!(message.deduplication_id, first.deduplication_id);
        assert_eq!(message.conversation_group, first.conversation_group);
        assert_eq!(message.body, first.body);
        assert!(message.attributes.contains(&("unguarded".into(), "true".to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_must_outlast_the_five_minutes_of_every_attempt_of_slacks() {
    for (ttl, signed_at, replayed_at, outcome) in [
        (300, 0, 299, RequestOutcome::Duplicate),
        (299, 0, 299, RequestOutcome::Accepted),
        // Slack's last retry of an event that was forwarded, after none of the answers reached Slack.
        (661, 360, 660, RequestOutcome::Duplicate),
        (390, 360, 390, RequestOutcome::Accepted),
        (3600, 360, 660, RequestOutcome::Duplicate),
    ] {
        let scene =
            scene_with(IngressSettings { dedup_ttl: Duration::from_secs(ttl), ..settings() }, &[SECRET]);
        assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted);
        at(&scene, signed_at);
        let attempt = captured(&scene, JSON, MENTION);
        assert_eq!(scene.handle(attempt(Some(3))).await.outcome, RequestOutcome::Duplicate);
        at(&scene, replayed_at);
        assert_eq!(scene.handle(attempt(Some(3))).await.outcome, outcome, "{ttl} s, {replayed_at} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_replayed_as_a_form_is_no_command_whatever_was_typed_in_it() {
    const TYPED: &str = r#"{"type":"event_callback","event_id":"Ev1","api_app_id":"A1","event":{"type":"message","text":"&command=/deploy&trigger_id=1&api_app_id=A1&user_id=U2&x="}}"#;
    let scene = scene();
    let as_form = captured(&scene, FORM, TYPED);
    assert_eq!(scene.handle(as_form(None)).await.outcome, RequestOutcome::Malformed(Malformed::Unsupported));
    assert_eq!(scene.calls(), [""; 0]);
}
