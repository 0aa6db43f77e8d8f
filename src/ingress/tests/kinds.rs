//! Commands and interactions, which Slack sends once; secrets of several apps; messages that come under several event ids.

use super::*;
use sha2::{Digest, Sha256};

const COMMAND: &str = include_str!("../../../tests/fixtures/forms/slash_command.txt");
const SUGGESTION: &str = include_str!("../../../tests/fixtures/forms/block_suggestion.txt");
const SHORTCUT: &str = include_str!("../../../tests/fixtures/forms/shortcut.txt");
const MESSAGE: &str = include_str!("../../../tests/fixtures/events/message_channel.json");
const MESSAGE_ID: &str = "Ev0MSG0001";
const KEY: &str = "A0F7YS25R:C0LAN2Q65:1515449522.000016";

/// The id of [`COMMAND`]: the SHA-256 of its bytes.
fn command_id() -> String {
    hex::encode(Sha256::digest(COMMAND))
}

fn form(scene: &Scene, body: &str) -> Inbound {
    let content_type = Some("application/x-www-form-urlencoded".to_owned());
    Inbound { content_type, ..scene.request(body, None) }
}

/// The same world, with these secrets.
fn scene_of(secrets: impl IntoIterator<Item = SigningSecret>, settings: IngressSettings) -> Scene {
    let Scene { world, .. } = scene();
    let secrets = SigningSecrets::fixed(secrets);
    let ingress = Ingress::new(secrets, world.clone(), world.clone(), world.clone(), settings);
    Scene { world, ingress }
}

fn is_unguarded(message: &Message) -> bool {
    message.attributes.contains(&("unguarded".into(), "true".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_command_is_recorded_under_the_hash_of_its_bytes_sent_and_confirmed_once() {
    let scene = scene();
    let report = scene.handle(form(&scene, COMMAND)).await;
    assert_eq!((report.outcome, report.details.encoding), (RequestOutcome::Accepted, Some(Encoding::Form)));
    assert_eq!(scene.calls(), ["record", "send", "confirm"]);
    assert_eq!(scene.world.claims.lock().unwrap()[0].event_id, command_id());
    let delivery = report.details.delivery.unwrap();
    assert_eq!((delivery.kind, delivery.event_type.as_str()), ("command", "/weather"));
    assert_eq!(scene.handle(form(&scene, COMMAND)).await.outcome, RequestOutcome::Duplicate);
    let [message] = &scene.queue()[..] else { panic!("not one message") };
    assert!(!is_unguarded(message));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_recorded_under_the_id_that_it_was_delivered_with() {
    let scene = scene();
    let delivered = |inbound: Inbound, id: &str| Inbound { delivery_id: Some(id.to_owned()), ..inbound };
    for (id, outcome) in [
        ("one", RequestOutcome::Accepted),
        ("one", RequestOutcome::Duplicate),
        ("two", RequestOutcome::Accepted),
    ] {
        for (kind, body) in [("c", COMMAND), ("i", SHORTCUT)] {
            let report = scene.handle(delivered(form(&scene, body), &format!("{kind}-{id}"))).await;
            assert_eq!(report.outcome, outcome, "{kind}-{id}");
        }
        let event = scene.handle(delivered(scene.request(MESSAGE, None), id)).await;
        assert_eq!(event.details.delivery.unwrap().event_id, MESSAGE_ID, "an event has its own");
    }
    let mut ids: Vec<String> = scene.queue().into_iter().map(|message| message.deduplication_id).collect();
    ids.sort();
    assert_eq!(ids, [MESSAGE_ID, "c-one", "c-two", "i-one", "i-two"]);
}

#[tokio::test(start_paused = true)]
async fn an_id_from_outside_cannot_be_another_key_of_the_store() {
    let scene = scene();
    for id in [KEY, "dispatch#Ev1", &"x".repeat(1025)] {
        let inbound = Inbound { delivery_id: Some(id.to_owned()), ..form(&scene, COMMAND) };
        let recorded = scene.handle(inbound).await.details.delivery.unwrap().event_id;
        assert!(recorded.len() == 64 && recorded != id, "{recorded}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_slack_does_not_send_again_goes_unguarded_at_once_when_the_store_fails() {
    for body in [COMMAND, SHORTCUT] {
        for (record, took) in
            [(Fault::Fails, Duration::ZERO), (Fault::Hangs, RECORD_CUT), (Fault::LosesTheAnswer, RECORD_CUT)]
        {
            let scene = scene_where(Faults { record, ..Faults::default() });
            let report = scene.handle(form(&scene, body)).await;
            assert_eq!(report.outcome, RequestOutcome::Accepted, "{record:?}");
            assert!(report.details.unguarded);
            assert_eq!(report.details.timings.total, took);
            assert_eq!(scene.calls(), ["record", "send"], "there is no record to confirm");
            let [message] = &scene.queue()[..] else { panic!("not one message") };
            assert!(is_unguarded(message));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_queue_does_not_take_is_parked_at_once() {
    for send in [Fault::Fails, Fault::Hangs] {
        let scene = scene_where(Faults { send, ..Faults::default() });
        let report = scene.handle(form(&scene, COMMAND)).await;
        assert_eq!(report.outcome, RequestOutcome::Parked);
        assert_eq!(scene.calls(), ["record", "send", "park"]);
        assert_eq!(scene.world.store.all_pending()[0].event_id, command_id());
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_another_invocation_holds_is_left_with_it() {
    let scene = scene();
    let claim = Claim { event_id: command_id(), ..scene.claim_of_another(scene.world.now()) };
    scene.world.store.record(&claim).await.unwrap();
    assert_eq!(scene.handle(form(&scene, COMMAND)).await.outcome, RequestOutcome::Kept);
    assert_eq!(scene.calls(), ["record", "leave"]);

    // In Socket Mode Slack sends it again, and a redrive may not be there.
    let scene = self::scene();
    let claim = Claim { event_id: "envelope".to_owned(), ..scene.claim_of_another(scene.world.now()) };
    scene.world.store.record(&claim).await.unwrap();
    let inbound = Inbound { delivery_id: Some("envelope".to_owned()), ..form(&scene, COMMAND) };
    let report = scene.handle(inbound).await;
    assert_eq!((report.outcome, report.details.lost), (RequestOutcome::InFlight, false));
    assert_eq!(scene.calls(), ["record"]);
}

#[tokio::test(start_paused = true)]
async fn what_fits_at_first_fits_at_every_retry_and_without_a_record() {
    let attributes = |message: &Message| {
        ["retry_num", "retry_reason", "unguarded"]
            .map(|wanted| message.attributes.iter().any(|(name, _)| name == wanted))
    };
    let first = scene();
    first.deliver(None).await;
    let limit = first.queue()[0].size();
    for attempt in ATTEMPTS {
        let record = if attempt == Some(3) { Fault::Fails } else { Fault::None };
        for (room, kept) in
            [(0, [false; 3]), (1000, [attempt.is_some(), attempt.is_some(), attempt == Some(3)])]
        {
            let scene = scene_where(Faults { record, ..Faults::default() });
            scene.world.max_bytes.store(u64::try_from(limit + room).unwrap(), Ordering::Relaxed);
            assert_eq!(scene.deliver(attempt).await.outcome, RequestOutcome::Accepted, "{attempt:?} {room}");
            assert_eq!(attributes(&scene.queue()[0]), kept, "{attempt:?} {room}");
            assert_eq!(scene.queue()[0].body, MENTION);
        }
        let scene = scene();
        scene.world.max_bytes.store(u64::try_from(limit - 1).unwrap(), Ordering::Relaxed);
        assert_eq!(scene.deliver(attempt).await.outcome, RequestOutcome::TooLarge, "{attempt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_apps_get_one_message_under_one_event_id_and_each_has_it_once() {
    let other = MENTION.replace("A0F7YS25R", "A0OTHER");
    let both = [SigningSecret::of_app("A0OTHER", SECRET), SigningSecret::of_app("A0F7YS25R", SECRET)];
    for (secrets, ids) in [
        (&both[..], &["A0F7YS25R:Ev0LAN670R", "A0OTHER:Ev0LAN670R"][..]),
        // One app's process takes them for one event, whatever they say.
        (&[SigningSecret::new(SECRET)], &["Ev0LAN670R"]),
    ] {
        let scene = scene_of(secrets.iter().cloned(), settings());
        for attempt in [None, Some(1)] {
            for body in [MENTION, &other] {
                let report = scene.handle(scene.request(body, attempt)).await;
                assert!(matches!(report.outcome, RequestOutcome::Accepted | RequestOutcome::Duplicate));
            }
        }
        let sent: Vec<_> = scene.queue().into_iter().map(|message| message.deduplication_id).collect();
        assert_eq!(sent, ids);
    }
}

#[tokio::test(start_paused = true)]
async fn a_suggestion_is_answered_without_the_store_or_the_queue_even_when_they_are_down() {
    let down = Faults { record: Fault::Hangs, send: Fault::Hangs, ..Faults::default() };
    let scene = scene_where(down);
    let report = scene.handle(form(&scene, SUGGESTION)).await;
    assert_eq!((report.outcome, report.details.timings.total), (RequestOutcome::Suggestion, Duration::ZERO));
    let forged = Inbound { signature: Some(format!("v0={}", "0".repeat(64))), ..form(&scene, SUGGESTION) };
    assert_eq!(scene.handle(forged).await.outcome, RequestOutcome::Rejected(Rejection::Mismatch));
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_form_is_refused_without_the_store_or_the_queue() {
    let scene = scene();
    for (body, malformed) in [
        ("text=hello", Malformed::Unsupported),
        ("command=a&command=b", Malformed::RepeatedField),
        ("command=%FF", Malformed::Utf8),
        ("payload=%5B%5D", Malformed::Json),
    ] {
        let report = scene.handle(form(&scene, body)).await;
        assert_eq!(report.outcome, RequestOutcome::Malformed(malformed), "{body}");
        assert!(report.details.delivery.is_none());
    }
    assert_eq!(scene.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_apps_secret_is_no_good_for_another_apps_payload_and_nothing_is_recorded() {
    let others = || scene_of([SigningSecret::of_app("A0OTHER", SECRET)], settings());
    for (n, inbound) in [
        |scene: &Scene| scene.request(MENTION, Some(3)),
        |scene: &Scene| scene.request(RATE_LIMITED, None),
        |scene: &Scene| scene.request(OF_THIS_APP, None),
        |scene: &Scene| form(scene, COMMAND),
        |scene: &Scene| form(scene, SHORTCUT),
        |scene: &Scene| form(scene, SUGGESTION),
        // An event always names its app. This one does not.
        |scene: &Scene| {
            scene.request(r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"x"}}"#, None)
        },
    ]
    .into_iter()
    .enumerate()
    {
        let scene = others();
        let report = scene.handle(inbound(&scene)).await;
        assert_eq!(report.outcome, RequestOutcome::Rejected(Rejection::OtherApp), "case {n}");
        assert!(report.details.delivery.is_none(), "case {n}");
        assert_eq!(scene.calls(), [""; 0], "case {n}");
    }
    // A malformed payload is malformed whichever app signed it, and a challenge names no app.
    let scene = others();
    let malformed = RequestOutcome::Malformed(Malformed::Unsupported);
    assert_eq!(scene.handle(scene.request("{}", None)).await.outcome, malformed);
    assert!(matches!(
        scene.handle(scene.request(CHALLENGE, None)).await.outcome,
        RequestOutcome::Challenge(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_apps_own_secret_among_several_is_good_for_its_payloads() {
    let several = [SigningSecret::of_app("A0OTHER", "another"), SigningSecret::of_app("A0F7YS25R", SECRET)];
    let scene = scene_of(several, settings());
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.handle(form(&scene, COMMAND)).await.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.handle(form(&scene, SUGGESTION)).await.outcome, RequestOutcome::Suggestion);
    assert_eq!(scene.handle(scene.request(RATE_LIMITED, None)).await.outcome, RequestOutcome::RateLimited);
}

#[tokio::test(start_paused = true)]
async fn what_names_no_app_is_the_apps_whose_secret_signed_it() {
    const SHORTCUT: &str = "payload=%7B%22type%22%3A%22message_action%22%7D";
    const COMMAND: &str = "command=%2Fweather&trigger_id=1";
    const MENU: &str = "payload=%7B%22type%22%3A%22dialog_suggestion%22%7D";
    let several =
        || [SigningSecret::of_app("A0OTHER", "another"), SigningSecret::of_app("A0F7YS25R", SECRET)];
    for body in [SHORTCUT, COMMAND] {
        let scene = scene_of(several(), settings());
        assert_eq!(scene.handle(form(&scene, body)).await.outcome, RequestOutcome::Accepted);
        let [message] = &scene.queue()[..] else { panic!("not one message") };
        assert!(message.deduplication_id.starts_with("A0F7YS25R:"), "{}", message.deduplication_id);
        assert!(message.conversation_group.starts_with("A0F7YS25R:"), "{}", message.conversation_group);
        assert!(message.attributes.contains(&("api_app_id".into(), "A0F7YS25R".to_owned())));
    }
    let scene = scene_of(several(), settings());
    assert_eq!(scene.handle(form(&scene, MENU)).await.outcome, RequestOutcome::Suggestion);
    // Two apps with one secret: nobody can tell whose it is.
    let same = [SigningSecret::of_app("A0OTHER", SECRET), SigningSecret::of_app("A0F7YS25R", SECRET)];
    let scene = scene_of(same, settings());
    for body in [SHORTCUT, COMMAND, MENU] {
        let report = scene.handle(form(&scene, body)).await;
        assert_eq!(report.outcome, RequestOutcome::Rejected(Rejection::OtherApp));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_recorded_and_sent_under_what_dedup_key_says() {
    for (dedup_key, ids) in [(DedupKey::EventId, &[MENTION_ID, MESSAGE_ID][..]), (DedupKey::Message, &[KEY])]
    {
        let scene = scene_of([SigningSecret::new(SECRET)], IngressSettings { dedup_key, ..settings() });
        let first = scene.deliver(None).await;
        assert_eq!(first.details.delivery.unwrap().event_id, ids[0]);
        let second = scene.handle(scene.request(MESSAGE, None)).await;
        let outcome = if ids.len() == 1 { RequestOutcome::Duplicate } else { RequestOutcome::Accepted };
        assert_eq!(second.outcome, outcome, "{dedup_key:?}");
        for id in ids {
            assert!(scene.world.store.seen(id, scene.world.now()).await.unwrap(), "{id}");
        }
        let sent: Vec<_> = scene.queue().into_iter().map(|message| message.deduplication_id).collect();
        assert_eq!(sent, ids);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_message_whose_first_event_failed_the_other_event_is_sent() {
    let scene = scene_of(
        [SigningSecret::new(SECRET)],
        IngressSettings { dedup_key: DedupKey::Message, ..settings() },
    );
    scene.set(Faults { send: Fault::Fails, ..Faults::default() });
    assert_eq!(scene.deliver(None).await.outcome, RequestOutcome::Unavailable(Dependency::Sink));
    scene.set(Faults::default());
    assert_eq!(scene.handle(scene.request(MESSAGE, None)).await.outcome, RequestOutcome::Accepted);
    assert_eq!(scene.deliver(Some(1)).await.outcome, RequestOutcome::Duplicate);
    assert_eq!(scene.queue()[0].body, MESSAGE);
}

#[tokio::test(start_paused = true)]
async fn an_event_cannot_claim_the_key_of_another_apps_message_or_of_a_consumers_guard() {
    for claimed in [KEY, "run#Ev0MSG0001"] {
        let settings = IngressSettings { dedup_key: DedupKey::Message, ..settings() };
        let scene = scene_with(settings, &[SECRET]);
        let forged = format!(r#"{{"type":"event_callback","event_id":"{claimed}","event":{{"type":"x"}}}}"#);
        assert_eq!(scene.handle(scene.request(&forged, None)).await.outcome, RequestOutcome::Accepted);
        let recorded = scene.world.claims.lock().unwrap()[0].event_id.clone();
        assert_eq!((recorded.len(), recorded.contains([':', '#'])), (64, false), "{recorded}");
        // The message that has this key arrives all the same.
        assert_eq!(scene.handle(scene.request(MESSAGE, None)).await.outcome, RequestOutcome::Accepted);
        assert_eq!(scene.world.claims.lock().unwrap()[1].event_id, KEY);
    }
}
