use super::*;
use crate::slack::payload::{Author, Kind};
use proptest::prelude::*;

const NO_LIMIT: usize = usize::MAX;

fn delivery() -> Delivery {
    Delivery {
        kind: Kind::Event,
        event_type: "app_mention".to_owned(),
        subtype: None,
        id: "Ev0LAN670R".to_owned(),
        message_key: None,
        team_id: Some("T061EG9R6".to_owned()),
        api_app_id: Some("A0F7YS25R".to_owned()),
        author: Author::Person,
        conversation: conversation("T061EG9R6", Some("C0LAN2Q65"), Some("1515449522.000016")),
        direct_message: None,
        is_control: false,
        body: r#"{"event_id":"Ev0LAN670R"}"#.to_owned(),
    }
}

fn conversation(team: &str, channel: Option<&str>, thread: Option<&str>) -> Conversation {
    Conversation {
        app: None,
        team: Some(team.to_owned()),
        channel: channel.map(str::to_owned),
        thread: thread.map(str::to_owned),
    }
}

fn arrival() -> Arrival {
    Arrival {
        received_at: UnixMillis::from_millis(1_515_449_522_016),
        retry_num: None,
        retry_reason: None,
        trace_header: None,
    }
}

fn retry_arrival() -> Arrival {
    Arrival {
        retry_num: Some(2),
        retry_reason: Some("http_timeout".to_owned()),
        trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1".to_owned()),
        ..arrival()
    }
}

fn group(conversation: Conversation) -> String {
    Message::new(Delivery { conversation, ..delivery() }, arrival()).conversation_group
}

fn sorted(message: &Message) -> Vec<(&str, &str)> {
    let mut attributes: Vec<_> =
        message.attributes.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
    attributes.sort_unstable();
    attributes
}

#[test]
fn the_attributes_are_those_of_the_contract() {
    let message = Message::new(delivery(), retry_arrival()).unguarded(NO_LIMIT);
    let expected = [
        ("api_app_id", "A0F7YS25R"),
        ("conversation", "T061EG9R6:C0LAN2Q65:1515449522.000016"),
        ("event_id", "Ev0LAN670R"),
        ("kind", "event"),
        ("received_at", "1515449522016"),
        ("retry_num", "2"),
        ("retry_reason", "http_timeout"),
        ("team_id", "T061EG9R6"),
        ("type", "app_mention"),
        ("unguarded", "true"),
    ];
    assert_eq!(sorted(&message), expected);
    assert_eq!(message.deduplication_id, "Ev0LAN670R");
    assert_eq!(message.team_group, "T061EG9R6");
    assert_eq!(message.trace_header.as_deref(), Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"));
}

#[test]
fn an_attribute_without_a_value_is_absent() {
    let delivery = Delivery { team_id: None, api_app_id: None, ..delivery() };
    let message = Message::new(delivery, arrival());
    let expected = [
        ("conversation", "T061EG9R6:C0LAN2Q65:1515449522.000016"),
        ("event_id", "Ev0LAN670R"),
        ("kind", "event"),
        ("received_at", "1515449522016"),
        ("type", "app_mention"),
    ];
    assert_eq!(sorted(&message), expected);
}

#[test]
fn the_size_counts_the_body_and_each_attributes_name_type_and_value() {
    let message = Message {
        body: "ü".repeat(10),
        attributes: vec![("kind".into(), "event".to_owned()), ("x".into(), "é".to_owned())],
        ..Message::new(delivery(), arrival())
    };
    assert_eq!(message.size(), 20 + (4 + 6 + 5) + (1 + 6 + 2));
}

/// The names of the attributes that `message` has and a message at Slack's first attempt has not.
fn extras(message: &Message) -> Vec<&str> {
    let first = Message::new(delivery(), arrival());
    let is_extra = |name: &str| first.attributes.iter().all(|(known, _)| known != name);
    message.attributes.iter().map(|(name, _)| name.as_ref()).filter(|name| is_extra(name)).collect()
}

#[test]
fn what_is_there_for_convenience_gives_way_as_far_as_needed_and_no_message_is_larger_at_a_retry() {
    let first = Message::new(delivery(), arrival());
    let retry = Message::new(delivery(), retry_arrival());
    let without_reason = retry.size() - attribute_size("retry_reason", "http_timeout");
    for (max_bytes, expected) in [
        (retry.size(), vec!["retry_num", "retry_reason"]),
        (retry.size() - 1, vec!["retry_num"]),
        (without_reason, vec!["retry_num"]),
        (without_reason - 1, vec![]),
        (first.size(), vec![]),
    ] {
        let fitted = retry.clone().fit(max_bytes).unwrap();
        assert_eq!(extras(&fitted), expected, "{max_bytes}");
        assert!(fitted.size() <= max_bytes);
        assert_eq!(fitted.body, first.body);
    }
    assert_eq!(retry.fit(first.size() - 1), None);
    assert_eq!(first.clone().fit(first.size()), Some(first.clone()));
    assert_eq!(first.clone().fit(first.size() - 1), None);
}

#[test]
fn the_mark_of_an_unguarded_message_takes_the_place_of_a_convenience_but_never_makes_it_too_large() {
    let first = Message::new(delivery(), arrival());
    let retry = Message::new(delivery(), retry_arrival());
    let mark = attribute_size("unguarded", "true");
    for (max_bytes, expected) in [
        (retry.size() + mark, vec!["retry_num", "retry_reason", "unguarded"]),
        (retry.size() + mark - 1, vec!["retry_num", "unguarded"]),
        (first.size() + mark, vec!["unguarded"]),
        (first.size() + mark - 1, vec![]),
        (first.size(), vec![]),
    ] {
        let marked = retry.clone().fit(max_bytes).unwrap().unguarded(max_bytes);
        let of_retry = |name: &&str| name.starts_with("retry_") && !expected.contains(name);
        let extras: Vec<_> = extras(&marked).into_iter().filter(|name| !of_retry(name)).collect();
        assert_eq!(extras, expected, "{max_bytes}");
        assert!(marked.size() <= max_bytes, "{max_bytes}");
    }
}

#[test]
fn a_message_that_an_earlier_version_parked_is_read() {
    let parked = r#"{"body":"{}","attributes":[["kind","event"],["event_id","Ev1"]],"deduplication_id":"Ev1","conversation_group":"T1:C1:1.2","team_group":"T1","trace_header":null}"#;
    let message = Message::from_parked(parked).unwrap();
    assert_eq!((message.conversation_group.as_str(), message.attributes.len()), ("T1:C1:1.2", 2));
    assert_eq!(message.to_parked().unwrap(), parked);
}

#[test]
fn a_command_and_an_interaction_say_what_they_are() {
    for (kind, name) in
        [(Kind::Event, "event"), (Kind::Command, "command"), (Kind::Interaction, "interaction")]
    {
        let message = Message::new(Delivery { kind, ..delivery() }, arrival());
        assert!(message.attributes.contains(&("kind".into(), name.to_owned())), "{name}");
    }
}

#[test]
fn a_conversation_group_names_team_channel_and_thread() {
    assert_eq!(group(conversation("T1", Some("C1"), Some("1.2"))), "T1:C1:1.2");
    assert_eq!(group(conversation("T1", Some("D1"), None)), "T1:D1");
    assert_eq!(group(conversation("T1", None, None)), "T1");
    assert_eq!(group(Conversation::default()), "none");
}

#[test]
fn the_attribute_conversation_is_the_group_and_with_several_apps_begins_with_the_app() {
    let one = conversation("T1", Some("C1"), Some("1.2"));
    let several = Conversation { app: Some("A1".to_owned()), ..conversation("T1", Some("C1"), Some("1.2")) };
    for (conversation, expected) in [(one, "T1:C1:1.2"), (several, "A1:T1:C1:1.2")] {
        let message = Message::new(Delivery { conversation, ..delivery() }, arrival());
        assert_eq!(message.conversation_group, expected);
        assert!(message.attributes.contains(&("conversation".into(), expected.to_owned())));
        assert_eq!(message.team_group, "T1", "the tenant, for a fair queue");
    }
}

#[test]
fn what_controls_a_conversation_has_a_group_that_no_conversation_has_and_the_same_attribute() {
    let long = "C".repeat(128);
    let barely = "C".repeat(124); // With `:control` it is too long, and without it is not.
    let mut groups = Vec::new();
    for (team, channel, thread) in [
        ("T1", "C1", Some("1.2")),
        ("T1", "C1", None),
        ("T1", &long, None),
        ("T1", &long, Some("1.2")),
        ("T1", &barely, None),
        ("T1", "ü", None),
        ("T1", "C1", Some("control")),
        ("T1", "C1", Some("1.2:control")),
        ("T1", "C1:1.2", Some("control")),
        ("T1", "C1:1.2", None),
        ("T1:C1", "1.2", None),
        ("T1:C1", "control", None),
    ] {
        let [plain, control] = [false, true].map(|is_control| {
            let conversation = conversation(team, Some(channel), thread);
            Message::new(Delivery { conversation, is_control, ..delivery() }, arrival())
        });
        assert!(control.conversation_group.ends_with(":control") && control.conversation_group.len() <= 128);
        assert!(!plain.conversation_group.ends_with(":control"));
        let attribute = ("conversation".into(), plain.conversation_group.clone());
        assert!(plain.attributes.contains(&attribute) && control.attributes.contains(&attribute));
        groups.extend([plain.conversation_group, control.conversation_group]);
    }
    for (i, group) in groups.iter().enumerate() {
        assert!(!groups[i + 1..].contains(group), "{group}: {groups:?}");
    }
    assert_eq!(groups[..4], ["T1:C1:1.2", "T1:C1:1.2:control", "T1:C1", "T1:C1:control"]);
}

#[test]
fn conversations_that_differ_in_anything_have_different_groups() {
    let long = "C".repeat(200);
    let groups = [
        group(conversation("T1", Some("C1"), Some("1.2"))),
        group(conversation("T2", Some("C1"), Some("1.2"))),
        group(conversation("T1", Some("C2"), Some("1.2"))),
        group(conversation("T1", Some("C1"), Some("1.3"))),
        group(conversation("T1", Some("C1"), None)),
        group(conversation("T1", Some(&long), Some("1.2"))),
        group(conversation("T1", Some(&long), Some("1.3"))),
    ];
    for (i, group) in groups.iter().enumerate() {
        assert!(!groups[i + 1..].contains(group), "{groups:?}");
    }
}

#[test]
fn an_id_that_a_queue_takes_is_kept_and_another_is_hashed() {
    let longest = "x".repeat(128);
    for id in ["Ev0LAN670R", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "0", &longest] {
        assert_eq!(queue_id(id), id);
    }
    // The SHA-256 of no bytes at all, as it is published.
    assert_eq!(queue_id(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let longer = "x".repeat(129);
    for id in ["a b", "ü", "a\n", "a\0", "\u{7f}", &longer] {
        assert_ne!(queue_id(id), id);
    }
    assert_ne!(queue_id(&longer), queue_id(&format!("{longer}x")));
}

#[test]
fn what_sqs_refuses_in_an_attribute_is_replaced() {
    let delivery = Delivery { event_type: "a\u{1}b\u{ffff}c\td\u{fffe}\0".to_owned(), ..delivery() };
    let message = Message::new(delivery, arrival());
    assert_eq!(sorted(&message)[6], ("type", "a\u{fffd}b\u{fffd}c\td\u{fffd}\u{fffd}"));
}

#[test]
fn a_noncharacter_behind_backslashes_is_still_itself() {
    for (body, expected) in [
        ("\"\\\\\u{fffe}\"", "\"\\\\\\ufffe\""),
        ("\"\\\"\u{ffff}\"", "\"\\\"\\uffff\""),
        ("\"\u{fffe}\u{ffff}\"", "\"\\ufffe\\uffff\""),
    ] {
        assert_eq!(escape_noncharacters(body.to_owned()), expected);
        let parse = |json| serde_json::from_str::<String>(json).unwrap();
        assert_eq!(parse(expected), parse(body));
    }
}

/// Texts that often have the two noncharacters, the characters beside them, and backslashes.
fn any_text() -> impl Strategy<Value = String> {
    let hot = prop::sample::select(vec![
        '\u{fffe}',
        '\u{ffff}',
        '\u{fffd}',
        '\u{1fffe}',
        '\u{10ffff}',
        '\\',
        '"',
        'u',
        '\0',
    ]);
    prop::collection::vec(prop_oneof![hot, any::<char>()], 0..40)
        .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #[test]
    fn a_body_without_noncharacters_is_untouched_and_with_them_means_the_same(
        texts in prop::collection::btree_map(any_text(), any_text(), 0..4)
    ) {
        let json = serde_json::to_string(&texts).unwrap();
        let Message { body, .. } = Message::new(Delivery { body: json.clone(), ..delivery() }, arrival());
        let refused = NONCHARACTERS.map(|(character, _)| character);
        prop_assert!(!body.contains(refused));
        prop_assert_eq!(
            serde_json::from_str::<serde_json::Value>(&body).unwrap(),
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        );
        if !json.contains(refused) {
            prop_assert_eq!(body, json);
        }
    }

    #[test]
    fn a_queue_takes_every_message(
        [event_type, id, team, channel, thread, reason] in prop::array::uniform6(any_text()),
        retry_num in any::<Option<u32>>(),
    ) {
        // A delivery and an arrival never have an empty string.
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let delivery = Delivery {
            event_type: some(&event_type).unwrap_or_else(|| "unknown".to_owned()),
            id: some(&id).unwrap_or_else(|| "Ev1".to_owned()),
            team_id: some(&team),
            is_control: retry_num.is_some(),
            conversation: Conversation { app: some(&id), team: some(&team), channel: some(&channel), thread: some(&thread) },
            ..delivery()
        };
        let arrival = Arrival { retry_num, retry_reason: some(&reason), ..arrival() };
        let message = Message::new(delivery, arrival).unguarded(NO_LIMIT);

        prop_assert!(message.attributes.len() <= 10);
        let mut names: Vec<_> = message.attributes.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), message.attributes.len());
        for (name, value) in &message.attributes {
            prop_assert!(!value.is_empty(), "{name}");
            let taken = |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
            prop_assert!(value.chars().all(taken), "{name}");
        }
        for id in [&message.deduplication_id, &message.conversation_group, &message.team_group] {
            prop_assert!((1..=128).contains(&id.len()));
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
