//! Tests `DEDUP_KEY` with the real binary: Slack may send events about one message under several event ids.

use serde_json::{Value, json};
use test_support::lambda::answers::ok;
use test_support::lambda::{Lambda, variables};
use test_support::slack::{Request, mention_in};

use crate::support::ingress;

const CHANNEL: &str = "C0LAN2Q65";
const TS: &str = "1515449522.000016";
const KEY: &str = "A0MDYCDME:C0LAN2Q65:1515449522.000016";

async fn keyed_by(key: &str) -> Lambda {
    ingress::start(variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:"), ("DEDUP_KEY", key)]))
        .await
}

/// A person's mention of the app, with these fields of its event changed.
fn event(id: &str, ts: &str, fields: Value) -> Value {
    let mut event: Value = serde_json::from_slice(&mention_in(CHANNEL, ts, id, "hello")).expect("JSON");
    let inner = event["event"].as_object_mut().expect("an object");
    inner.extend(fields.as_object().expect("fields").clone());
    event
}

fn mention(id: &str) -> Value {
    event(id, TS, json!({}))
}

/// The event `message` about the same message, which Slack sends to an app that listens to the channel.
fn message(id: &str) -> Value {
    event(id, TS, json!({ "type": "message", "channel_type": "channel" }))
}

async fn post(lambda: &Lambda, events: &[Value]) {
    for event in events {
        assert_eq!(lambda.post(&Request::json(event.to_string())).await, ok(), "{event}");
    }
}

fn ids(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["attributes"]["event_id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn a_mention_and_its_channel_message_are_sent_once_whichever_comes_first() {
    for (first, second) in [(mention("Ev1"), message("Ev2")), (message("Ev2"), mention("Ev1"))] {
        let lambda = keyed_by("message").await;
        post(&lambda, &[first.clone(), second]).await;
        let [message] = &lambda.messages(1).await[..] else { panic!("not one") };
        assert_eq!(message["attributes"]["type"], first["event"]["type"]);
        assert_eq!(message["body"], first.to_string());
        assert_eq!(message["attributes"]["event_id"], KEY);
        assert_eq!(message["deduplication_id"], KEY);
        let reports = lambda.reports(2).await;
        assert_eq!([&reports[0]["outcome"], &reports[1]["outcome"]], ["accepted", "duplicate"]);
    }
}

#[tokio::test]
async fn a_message_under_eleven_event_ids_is_one() {
    let lambda = keyed_by("message").await;
    let deliveries: Vec<_> = (0..11).map(|n| message(&format!("Ev{n}"))).collect();
    post(&lambda, &deliveries).await;
    lambda.messages(1).await;
}

#[tokio::test]
async fn by_event_id_which_is_the_default_a_mention_and_its_channel_message_are_two() {
    let default = ingress::start(variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")])).await;
    for lambda in [default, keyed_by("event_id").await] {
        post(&lambda, &[mention("Ev1"), message("Ev2"), message("Ev1")]).await;
        let messages = lambda.messages(2).await;
        assert_eq!(ids(&messages), ["Ev1", "Ev2"]);
        assert_eq!(messages[1]["deduplication_id"], "Ev2");
    }
}

#[tokio::test]
async fn edits_deletions_and_replies_are_no_duplicates_of_their_message() {
    let lambda = keyed_by("message").await;
    let inner = json!({ "type": "message", "user": "W021FGA1Z", "text": "hello!", "ts": TS });
    let edit = |id: &str, ts: &str| {
        event(
            id,
            ts,
            json!({ "type": "message", "subtype": "message_changed", "message": inner, "previous_message": inner }),
        )
    };
    let deletion = event(
        "Ev4",
        TS,
        json!({ "type": "message", "subtype": "message_deleted", "previous_message": inner, "deleted_ts": TS }),
    );
    let reply = event("Ev5", "1515449533.000400", json!({ "type": "message", "thread_ts": TS }));
    let replied =
        event("Ev6", TS, json!({ "type": "message", "subtype": "message_replied", "message": inner }));
    // Slack has been seen to leave the subtype out.
    let without_subtype = event("Ev7", TS, json!({ "type": "message", "hidden": true, "message": inner }));
    // The edit counts as another message even if it has the `ts` of its message, which Slack's edits do not have.
    let events = [
        message("Ev1"),
        edit("Ev2", "1515449601.000200"),
        edit("Ev3", TS),
        deletion,
        reply,
        replied,
        without_subtype,
    ];
    post(&lambda, &events).await;
    post(&lambda, &events).await;
    let messages = lambda.messages(7).await;
    let reply = "A0MDYCDME:C0LAN2Q65:1515449533.000400";
    assert_eq!(ids(&messages), [KEY, "Ev2", "Ev3", "Ev4", reply, "Ev6", "Ev7"]);
}

#[tokio::test]
async fn two_apps_that_get_one_message_both_get_it() {
    let lambda = keyed_by("message").await;
    let of_app = |app: &str, mut event: Value| {
        event["api_app_id"] = json!(app);
        event
    };
    post(
        &lambda,
        &[
            of_app("A1", mention("Ev1")),
            of_app("A2", message("Ev2")),
            of_app("A1", message("Ev3")),
            of_app("A2", mention("Ev4")),
        ],
    )
    .await;
    let messages = lambda.messages(2).await;
    let apps: Vec<_> = messages.iter().map(|message| &message["attributes"]["api_app_id"]).collect();
    assert_eq!(apps, ["A1", "A2"]);
}

#[tokio::test]
async fn messages_of_another_channel_or_time_are_no_duplicates() {
    let lambda = keyed_by("message").await;
    let other_channel = event("Ev3", TS, json!({ "type": "message", "channel": "C2" }));
    let other_time = event("Ev4", "1515449522.000017", json!({ "type": "message" }));
    post(&lambda, &[message("Ev1"), other_channel, other_time]).await;
    lambda.messages(3).await;
}

#[tokio::test]
async fn a_message_in_a_shared_channel_is_one_for_all_workspaces_that_it_comes_for() {
    let lambda = keyed_by("message").await;
    let mut other_team = message("Ev2");
    other_team["team_id"] = json!("T2");
    other_team["authorizations"][0]["team_id"] = json!("T2");
    post(&lambda, &[message("Ev1"), other_team]).await;
    assert_eq!(ids(&lambda.messages(1).await), [KEY]);
}

#[tokio::test]
async fn a_mention_that_was_edited_is_news_and_each_edit_once() {
    let lambda = keyed_by("message").await;
    let edited = |id: &str, ts: &str| event(id, TS, json!({ "edited": { "user": "W021FGA1Z", "ts": ts } }));
    post(&lambda, &[mention("Ev1"), message("Ev2"), edited("Ev3", "1515449600.000000")]).await;
    post(&lambda, &[edited("Ev4", "1515449600.000000"), edited("Ev5", "1515449700.000000")]).await;
    let of_edit = |ts: &str| format!("{KEY}:{ts}");
    let expected = [KEY.to_owned(), of_edit("1515449600.000000"), of_edit("1515449700.000000")];
    assert_eq!(ids(&lambda.messages(3).await), expected);
}

#[tokio::test]
async fn an_event_that_is_no_message_is_recorded_under_its_event_id() {
    let lambda = keyed_by("message").await;
    let reaction = |id: &str| event(id, TS, json!({ "type": "reaction_added", "reaction": "eyes" }));
    post(&lambda, &[message("Ev1"), reaction("Ev2"), reaction("Ev3"), reaction("Ev2")]).await;
    assert_eq!(ids(&lambda.messages(3).await), [KEY, "Ev2", "Ev3"]);
}

#[tokio::test]
async fn a_message_without_app_channel_or_time_is_recorded_under_its_event_id() {
    for (n, (outer, field)) in
        [("event", "ts"), ("event", "channel"), ("", "api_app_id")].into_iter().enumerate()
    {
        let lambda = keyed_by("message").await;
        let without = |id: &str| {
            let mut event = message(id);
            let object = if outer.is_empty() { &mut event } else { &mut event[outer] };
            object.as_object_mut().unwrap().remove(field).unwrap();
            event
        };
        post(&lambda, &[without("Ev1"), without("Ev2"), without("Ev1")]).await;
        assert_eq!(ids(&lambda.messages(2).await), ["Ev1", "Ev2"], "{n} {field}");
    }
}

#[tokio::test]
async fn an_ignored_message_of_a_bot_does_not_make_a_mention_a_duplicate() {
    let lambda = keyed_by("message").await;
    let bots = event("Ev1", TS, json!({ "type": "message", "bot_id": "B1" }));
    post(&lambda, &[bots, mention("Ev2")]).await;
    let messages = lambda.messages(1).await;
    assert_eq!(messages[0]["attributes"]["type"], "app_mention");
}
