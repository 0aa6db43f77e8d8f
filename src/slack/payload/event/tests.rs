//! `DEDUP_KEY=message`: which events tell of the same message. The other tests of events are in `slack::payload::tests`.

use super::super::DedupKey;
use super::super::tests::{delivery_of, fixture};
use serde_json::{Value, json};

const KEY: &str = "A0F7YS25R:T061EG9R6:C0LAN2Q65:1515449522.000016";

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
fn a_message_of_another_app_team_channel_or_time_has_another_key() {
    let mut keys = vec![key_of(&message(json!({})))];
    for field in ["api_app_id", "team_id"] {
        let mut event = message(json!({}));
        event[field] = json!("X1");
        keys.push(key_of(&event));
    }
    keys.push(key_of(&message(json!({ "channel": "C2" }))));
    keys.push(key_of(&message(json!({ "ts": "1515449522.000017" }))));
    for (n, key) in keys.iter().enumerate() {
        assert!(key.is_some() && !keys[n + 1..].contains(key), "{keys:?}");
    }
}

#[test]
fn a_reply_is_a_message_of_its_own_by_its_own_ts() {
    assert_eq!(
        fixture_key("message_thread").as_deref(),
        Some("A0F7YS25R:T061EG9R6:C0LAN2Q65:1515449533.000400")
    );
    assert_eq!(fixture_key("message_im").as_deref(), Some("A0F7YS25R:T061EG9R6:D024BE91L:1515449522.000016"));
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
fn a_message_that_lacks_one_of_the_four_has_no_key() {
    assert_eq!(fixture_key("enterprise_without_team"), None);
    for odd in [Value::Null, json!(""), json!(7), json!([]), json!({})] {
        for field in ["ts", "channel"] {
            assert_eq!(key_of(&message(json!({ field: odd }))), None, "{field}: {odd}");
        }
        for field in ["api_app_id", "team_id"] {
            let mut event = message(json!({}));
            event[field] = odd.clone();
            assert_eq!(key_of(&event), None, "{field}: {odd}");
        }
    }
}

#[test]
fn the_key_is_used_only_where_the_settings_say_so_and_there_is_one() {
    let keyed = |name: &str, key| delivery_of(fixture(name)).keyed_by(key).id;
    assert_eq!(keyed("message_channel", DedupKey::Message), KEY);
    assert_eq!(keyed("message_channel", DedupKey::EventId), "Ev0MSG0001");
    assert_eq!(keyed("message_changed", DedupKey::Message), "Ev0MSG0005");
    assert_eq!(keyed("enterprise_without_team", DedupKey::Message), "Ev0ENT0001");
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
    assert_eq!([one.len(), other.len()], [64, 64]);
    assert_ne!(one, other);
}
