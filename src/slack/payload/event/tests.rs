//! `DEDUP_KEY=message`: which events tell of the same message. The other tests of events are in `slack::payload::tests`.

use super::super::tests::{delivery_of, fixture};
use super::super::{Author, DedupKey};
use serde_json::{Value, json};

const KEY: &str = "A0F7YS25R:C0LAN2Q65:1515449522.000016";

fn key_of(event: &Value) -> Option<String> {
    delivery_of(&event.to_string()).message_key
}

fn fixture_key(name: &str) -> Option<String> {
    delivery_of(fixture(name)).message_key
}

/// The event of a person's message, with some of its fields changed.
fn message(fields: Value) -> Value {
    let mut event: Value = serde_json::from_str(fixture("message_channel")).unwrap();
    event["event"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

#[test]
fn a_mention_and_its_channel_message_have_one_key_and_each_its_own_id() {
    let (mention, message) = (delivery_of(fixture("app_mention")), delivery_of(fixture("message_channel")));
    assert_eq!(mention.message_key.as_deref(), Some(KEY));
    assert_eq!(message.message_key.as_deref(), Some(KEY));
    assert_ne!(mention.id, message.id);
}

#[test]
fn a_message_of_another_app_channel_or_time_has_another_key() {
    let mut keys = vec![key_of(&message(json!({})))];
    let mut other_app = message(json!({}));
    other_app["api_app_id"] = json!("X1");
    keys.push(key_of(&other_app));
    keys.push(key_of(&message(json!({ "channel": "C2" }))));
    keys.push(key_of(&message(json!({ "ts": "1515449522.000017" }))));
    for (n, key) in keys.iter().enumerate() {
        assert!(key.is_some() && !keys[n + 1..].contains(key), "{keys:?}");
    }
}

#[test]
fn a_message_in_a_shared_channel_has_one_key_however_many_workspaces_it_comes_for() {
    for team in [json!("T0OTHER"), Value::Null] {
        let mut event = message(json!({}));
        event["team_id"] = team.clone();
        event["context_team_id"] = team.clone();
        event["authorizations"][0]["team_id"] = team;
        assert_eq!(key_of(&event).as_deref(), Some(KEY));
    }
}

#[test]
fn an_edited_mention_has_a_key_of_its_own_for_each_edit() {
    let mention = |edited: Value| key_of(&message(json!({ "type": "app_mention", "edited": edited })));
    assert_eq!(mention(Value::Null).as_deref(), Some(KEY));
    let edited = mention(json!({ "user": "U1", "ts": "1515449600.000000" }));
    assert_eq!(edited, Some(format!("{KEY}:1515449600.000000")));
    assert_ne!(mention(json!({ "user": "U1", "ts": "1515449700.000000" })), edited);
    // What does not say when it was edited has nothing to be told from the message by.
    for odd in [json!({}), json!({ "ts": "" }), json!({ "ts": 7 }), json!("1515449600.000000"), json!(true)] {
        assert_eq!(mention(odd.clone()).as_deref(), Some(KEY), "{odd}");
    }
    // A message by itself is the same, whether it says that it was edited or not.
    assert_eq!(key_of(&message(json!({ "edited": { "ts": "9.0" } }))).as_deref(), Some(KEY));
}

#[test]
fn a_reply_is_a_message_of_its_own_by_its_own_ts() {
    assert_eq!(fixture_key("message_thread").as_deref(), Some("A0F7YS25R:C0LAN2Q65:1515449533.000400"));
    assert_eq!(fixture_key("message_im").as_deref(), Some("A0F7YS25R:D024BE91L:1515449522.000016"));
}

#[test]
fn what_carries_another_message_inside_has_no_key() {
    for name in
        ["message_changed", "message_changed_by_this_app", "message_deleted", "message_deleted_of_a_bot"]
    {
        assert_eq!(fixture_key(name), None, "{name}");
    }
    let inner = json!({ "type": "message", "ts": "1515449522.000016" });
    for field in ["message", "previous_message"] {
        // Slack may add a subtype of any name, and a field of any shape.
        for inner in [&inner, &json!({}), &json!("gone"), &json!(false)] {
            assert_eq!(key_of(&message(json!({ field: inner }))), None, "{field}: {inner}");
        }
        assert_eq!(key_of(&message(json!({ field: null }))).as_deref(), Some(KEY), "{field}");
    }
    assert_eq!(key_of(&message(json!({ "subtype": "file_share" }))).as_deref(), Some(KEY));
}

#[test]
fn what_is_no_message_has_no_key() {
    for name in
        ["reaction_added", "app_home_opened", "assistant_thread_started", "function_executed", "team_join"]
    {
        assert_eq!(fixture_key(name), None, "{name}");
    }
    for event_type in [json!("message_metadata_posted"), json!("Message"), json!(""), Value::Null] {
        assert_eq!(key_of(&message(json!({ "type": event_type }))), None, "{event_type}");
    }
}

#[test]
fn a_message_that_lacks_one_of_the_three_has_no_key() {
    assert_eq!(fixture_key("enterprise_without_team").as_deref(), Some(KEY));
    for odd in [Value::Null, json!(""), json!(7), json!([]), json!({})] {
        for field in ["ts", "channel"] {
            assert_eq!(key_of(&message(json!({ field: odd }))), None, "{field}: {odd}");
        }
        let mut event = message(json!({}));
        event["api_app_id"] = odd.clone();
        assert_eq!(key_of(&event), None, "api_app_id: {odd}");
    }
}

#[test]
fn the_key_is_used_only_where_the_settings_say_so_and_there_is_one() {
    let keyed = |name: &str, key| delivery_of(fixture(name)).keyed_by(key).id;
    assert_eq!(keyed("message_channel", DedupKey::Message), KEY);
    assert_eq!(keyed("message_channel", DedupKey::EventId), "Ev0MSG0001");
    assert_eq!(keyed("message_changed", DedupKey::Message), "Ev0MSG0005");
    assert_eq!(keyed("reaction_added", DedupKey::Message), delivery_of(fixture("reaction_added")).id);
}

#[test]
fn an_id_too_long_for_a_store_is_hashed_and_a_long_key_too() {
    let with_id = |id: &str| {
        let mut event = message(json!({}));
        event["event_id"] = json!(id);
        delivery_of(&event.to_string()).id
    };
    let longest = "x".repeat(1024);
    assert_eq!(with_id(&longest), longest);
    let [one, other] = [with_id(&format!("{longest}y")), with_id(&format!("{longest}z"))];
    assert_eq!([one.len(), other.len()], [64, 64]);
    assert_ne!(one, other);

    let with_channel = |channel: &str| key_of(&message(json!({ "channel": channel }))).unwrap();
    let [one, other] = [with_channel(&format!("{longest}y")), with_channel(&format!("{longest}z"))];
    assert!([&one, &other].into_iter().all(|key| key.len() < 128 && key.starts_with("A0F7YS25R:")), "{one}");
    assert_ne!(one, other);
}

#[test]
fn no_two_messages_have_one_key_whatever_is_in_their_ids() {
    let key = |channel: &str, ts: &str| key_of(&message(json!({ "channel": channel, "ts": ts })));
    assert_ne!(key("C1:2", "3"), key("C1", "2:3"));
    let mention = |ts: &str, edited: &str| {
        key_of(&message(json!({ "type": "app_mention", "ts": ts, "edited": { "ts": edited } })))
    };
    assert_ne!(mention("1:2", "3"), mention("1", "2:3"));
}

#[test]
fn a_deletion_that_says_nothing_but_the_ts_is_about_that_message() {
    let deletion = message(json!({
        "subtype": "message_deleted", "hidden": true, "ts": "1358878755.000001", "deleted_ts": "1358878749.000002"
    }));
    let delivery = delivery_of(&deletion.to_string());
    assert_eq!(delivery.conversation.thread.as_deref(), Some("1358878749.000002"));
    assert_eq!(delivery.message_key, None);
    for subtype in ["message_changed", "message_replied"] {
        assert_eq!(key_of(&message(json!({ "subtype": subtype, "message": null }))), None, "{subtype}");
    }
}

#[test]
fn a_message_that_something_was_pinned_has_a_place_of_its_own() {
    let pinned = message(json!({ "subtype": "pinned_item", "item": { "type": "message", "ts": "9.9" } }));
    let delivery = delivery_of(&pinned.to_string());
    assert_eq!(delivery.conversation.thread.as_deref(), Some("1515449522.000016"));
}

#[test]
fn that_somebody_joined_or_left_is_no_bots_message() {
    for subtype in ["channel_join", "channel_leave", "group_join", "group_leave"] {
        for fields in [
            json!({ "user": "USLACKBOT" }),
            json!({ "user": "U1", "bot_id": "B1" }),
            json!({ "user": "U1", "app_id": "A0F7YS25R" }),
        ] {
            let mut event = message(fields);
            event["event"]["subtype"] = json!(subtype);
            assert_eq!(delivery_of(&event.to_string()).author, Author::Person, "{event}");
        }
    }
    let other = message(json!({ "subtype": "channel_topic", "user": "USLACKBOT" }));
    assert_eq!(delivery_of(&other.to_string()).author, Author::OtherBot);
}

#[test]
fn the_deletion_of_a_threads_first_message_is_its_authors_and_not_slackbots() {
    let author = |previous: Value| {
        let event = message(json!({
            "subtype": "message_changed", "user": null,
            "message": { "subtype": "tombstone", "user": "USLACKBOT", "ts": "1.1" }, "previous_message": previous
        }));
        delivery_of(&event.to_string()).author
    };
    assert_eq!(author(json!({ "user": "U1" })), Author::Person);
    assert_eq!(author(json!({ "user": "U1", "bot_id": "B1" })), Author::OtherBot);
}

#[test]
fn the_apps_own_message_is_known_by_its_profile_and_beside_an_authorization_that_is_none() {
    let by_profile =
        message(json!({ "user": null, "bot_id": "B1", "bot_profile": { "app_id": "A0F7YS25R" } }));
    assert_eq!(delivery_of(&by_profile.to_string()).author, Author::ThisApp);
    let mut event = message(json!({ "user": "UBOT" }));
    for (authorizations, author) in [
        (json!([{ "user_id": "UBOT", "is_bot": true }, null]), Author::ThisApp),
        (json!([17, { "user_id": "UBOT" }]), Author::ThisApp),
        (json!([{ "user_id": "UBOT", "is_bot": false }]), Author::Person),
        (json!([{ "user_id": "UBOT", "is_bot": "false" }]), Author::Person),
    ] {
        event["authorizations"] = authorizations.clone();
        assert_eq!(delivery_of(&event.to_string()).author, author, "{authorizations}");
    }
}
