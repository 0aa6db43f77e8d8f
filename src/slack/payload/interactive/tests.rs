use super::super::tests::verified;
use super::super::{Encoding, classify as classify_request};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

macro_rules! fixtures {
    ($($name:ident),* $(,)?) => {
        /// The names of whole forms as Slack sends them, with the forms and with what they decode to.
        const FIXTURES: &[(&str, &str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!("../../../../tests/fixtures/forms/", stringify!($name), ".txt")),
            include_str!(concat!("../../../../tests/fixtures/forms/", stringify!($name), ".json")),
        )),*];
    };
}

fixtures![
    block_actions_in_a_direct_message,
    block_actions_in_a_modal,
    block_actions_in_a_thread,
    block_suggestion,
    message_action,
    shortcut,
    slash_command,
    slash_command_enterprise,
    slash_command_without_text,
    type_of_tomorrow,
    view_closed,
    view_submission,
    view_submission_enterprise,
];

const TEAM: Option<&str> = Some("T061EG9R6");
const CHANNEL: Option<&str> = Some("C0LAN2Q65");
const USER: Option<&str> = Some("U061F7AUR");

fn fixture(name: &str) -> (&'static str, &'static str) {
    let (_, form, decoded) = FIXTURES.iter().find(|(known, ..)| *known == name).unwrap();
    (form, decoded)
}

/// Signs a form and classifies it, as the ingress does.
fn classified(body: impl Into<Vec<u8>>) -> Result<Payload, Malformed> {
    classify_request(verified(body), Some(Encoding::Form))
}

fn delivery_of(body: impl Into<Vec<u8>>) -> Delivery {
    match classified(body) {
        Ok(Payload::Delivery(delivery)) => *delivery,
        other => panic!("no delivery: {other:?}"),
    }
}

fn delivery(name: &str) -> Delivery {
    delivery_of(fixture(name).0)
}

/// A form with this JSON as its payload.
fn payload(json: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(json, percent_encoding::NON_ALPHANUMERIC);
    format!("payload={encoded}")
}

fn interaction(fields: &Value) -> Delivery {
    let mut payload =
        json!({ "type": "block_actions", "trigger_id": "1", "team": { "id": "T1" }, "user": { "id": "U1" } });
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    delivery_of(self::payload(&payload.to_string()))
}

fn conversation(team: Option<&str>, channel: Option<&str>, thread: Option<&str>) -> Conversation {
    let owned = |id: Option<&str>| id.map(str::to_owned);
    Conversation { app: None, team: owned(team), channel: owned(channel), thread: owned(thread) }
}

#[test]
fn a_command_is_read_whole() {
    let (form, decoded) = fixture("slash_command");
    let mut command = delivery_of(form);
    let body = std::mem::take(&mut command.body);
    let parsed = |json: &str| serde_json::from_str::<Value>(json).unwrap();
    assert_eq!(parsed(&body), parsed(decoded));
    assert_eq!(
        command,
        Delivery {
            kind: Kind::Command,
            event_type: "/weather".to_owned(),
            subtype: None,
            // `sha256sum tests/fixtures/forms/slash_command.txt`
            id: "416ff95ba2ce2327e37c7896cfeb53f7434d19df605cd14cc8e99341d10f7bfa".to_owned(),
            message_key: None,
            team_id: TEAM.map(str::to_owned),
            api_app_id: Some("A0F7YS25R".to_owned()),
            author: Author::Person,
            conversation: conversation(TEAM, CHANNEL, None),
            direct_message: None,
            is_control: false,
            body: String::new(),
        }
    );
}

#[test]
fn an_interaction_is_read_whole() {
    let (form, decoded) = fixture("block_actions_in_a_thread");
    assert_eq!(
        delivery_of(form),
        Delivery {
            kind: Kind::Interaction,
            event_type: "block_actions".to_owned(),
            subtype: None,
            // `sha256sum tests/fixtures/forms/block_actions_in_a_thread.txt`
            id: "412223881b562323c02a60318e894f126628c5eca08b366f514d0e25d07e1cd5".to_owned(),
            message_key: None,
            team_id: TEAM.map(str::to_owned),
            api_app_id: Some("A0F7YS25R".to_owned()),
            author: Author::Person,
            conversation: conversation(TEAM, CHANNEL, Some("1515449522.000016")),
            direct_message: None,
            is_control: false,
            body: decoded.to_owned(),
        }
    );
}

#[test]
fn every_payload_is_kept_byte_for_byte() {
    for (name, form, decoded) in FIXTURES {
        if form.starts_with("payload=") && *name != "block_suggestion" {
            assert_eq!(delivery_of(*form).body, *decoded, "{name}");
        }
    }
}

#[test]
fn a_menu_that_wants_its_options_is_no_delivery() {
    let suggestion = Ok(Payload::Suggestion { api_app_id: Some("A0F7YS25R".to_owned()) });
    assert_eq!(classified(fixture("block_suggestion").0), suggestion);
    let bare = payload(r#"{"type":"block_suggestion"}"#);
    assert_eq!(classified(bare), Ok(Payload::Suggestion { api_app_id: None }));
}

#[test]
fn a_form_belongs_to_where_it_was_sent_from() {
    let cases = [
        ("slash_command", conversation(TEAM, CHANNEL, None)),
        ("slash_command_enterprise", conversation(Some("E0ORG12345"), CHANNEL, None)),
        ("block_actions_in_a_thread", conversation(TEAM, CHANNEL, Some("1515449522.000016"))),
        ("block_actions_in_a_direct_message", conversation(TEAM, Some("D024BE91L"), None)),
        // Its `private_metadata` names the channel that it was opened from.
        ("block_actions_in_a_modal", conversation(TEAM, CHANNEL, None)),
        ("shortcut", conversation(TEAM, USER, None)),
        ("message_action", conversation(TEAM, CHANNEL, Some("1515449522.000016"))),
        ("view_submission", conversation(TEAM, CHANNEL, None)),
        ("view_submission_enterprise", conversation(Some("E0ORG12345"), CHANNEL, None)),
        ("view_closed", conversation(TEAM, CHANNEL, None)),
    ];
    for (name, expected) in cases {
        assert_eq!(delivery(name).conversation, expected, "{name}");
    }
}

#[test]
fn a_button_belongs_to_the_thread_of_its_message_or_the_one_that_it_would_start() {
    let channel = json!({ "id": "C1" });
    for (fields, thread) in [
        (json!({ "message": { "ts": "2.0", "thread_ts": "1.0" } }), Some("1.0")),
        (
            json!({ "message": { "ts": "2.0" }, "container": { "thread_ts": "1.0", "message_ts": "2.0" } }),
            Some("1.0"),
        ),
        (json!({ "message": { "ts": "2.0" } }), Some("2.0")),
        // An ephemeral message is not in the payload.
        (
            json!({ "container": { "message_ts": "2.0", "channel_id": "C1", "is_ephemeral": true } }),
            Some("2.0"),
        ),
        (json!({ "container": { "message_ts": "2.0", "thread_ts": "1.0" } }), Some("1.0")),
        (json!({ "message": null, "container": null }), None),
        (json!({ "message": "gone", "container": [] }), None),
    ] {
        let mut fields = fields;
        fields["channel"] = channel.clone();
        assert_eq!(
            interaction(&fields).conversation,
            conversation(Some("T1"), Some("C1"), thread),
            "{fields}"
        );
        // A direct message is one conversation, except for its threads.
        fields["channel"]["id"] = json!("D1");
        let thread = thread.filter(|thread| *thread == "1.0");
        assert_eq!(
            interaction(&fields).conversation,
            conversation(Some("T1"), Some("D1"), thread),
            "{fields}"
        );
    }
    let in_container = interaction(&json!({ "container": { "channel_id": "C1", "message_ts": "2.0" } }));
    assert_eq!(in_container.conversation, conversation(Some("T1"), Some("C1"), Some("2.0")));
    let direct = interaction(&json!({ "container": { "channel_id": "D1", "message_ts": "2.0" } }));
    assert_eq!(direct.conversation, conversation(Some("T1"), Some("D1"), None));
}

#[test]
fn a_button_in_a_direct_message_belongs_with_what_is_said_there() {
    let said = super::super::tests::delivery_of(super::super::tests::fixture("message_im"));
    assert_eq!(delivery("block_actions_in_a_direct_message").conversation, said.conversation);
}

#[test]
fn a_command_and_an_interaction_are_known_by_all_of_their_bytes_and_not_by_their_trigger_id() {
    // `sha256sum tests/fixtures/forms/view_closed.txt`
    assert_eq!(
        delivery("view_closed").id,
        "392f555b4b7cf898abbd9921fc6694549d72d5bf1aa8b682ee7179305dee1118"
    );
    let ids = [
        delivery_of("command=%2Fdeploy").id,
        delivery_of("command=%2Fdeploy&trigger_id=1").id,
        delivery_of("command=%2Fdeploy&trigger_id=1&text=now").id,
        delivery_of("command=%2Fdeploy&trigger_id=2").id,
        // This form has the same field, and other bytes.
        delivery_of("command=/deploy").id,
        interaction(&json!({})).id,
        interaction(&json!({ "actions": [{ "value": "yes" }] })).id,
        interaction(&json!({ "actions": [{ "value": "no" }] })).id,
    ];
    for (n, id) in ids.iter().enumerate() {
        assert!(id.len() == 64 && !ids[n + 1..].contains(id), "{ids:?}");
    }
    assert_eq!(ids[7], interaction(&json!({ "actions": [{ "value": "no" }] })).id, "the same bytes");
}

#[test]
fn a_type_that_nobody_knows_is_passed_on() {
    assert_eq!(delivery("type_of_tomorrow").event_type, "canvas_gesture");
    assert_eq!(interaction(&json!({ "type": "x y/ü" })).event_type, "x y/ü");
}

#[test]
fn a_form_without_a_command_or_a_type_is_refused() {
    for form in ["", "&", "=", "text=hello", "command=", "command", "Command=%2Fdeploy", "%63ommand"] {
        assert_eq!(classified(form), Err(Malformed::Unsupported), "{form}");
    }
    for json in
        ["{}", r#"{"type":""}"#, r#"{"type":null}"#, r#"{"type":["shortcut"]}"#, r#"{"trigger_id":"1"}"#]
    {
        assert_eq!(classified(payload(json)), Err(Malformed::Unsupported), "{json}");
    }
}

#[test]
fn a_payload_that_is_not_one_json_object_is_refused() {
    let shortcut = r#"{"type":"shortcut"}"#;
    assert!(classified(payload(shortcut)).is_ok());
    let wrong =
        ["", "null", "[]", r#""shortcut""#, r#"{"type":"shortcut""#, "\u{feff}{}", r#"["shortcut","1"]"#];
    for json in
        wrong.into_iter().map(str::to_owned).chain([format!("{shortcut}{shortcut}"), format!("[{shortcut}]")])
    {
        assert_eq!(classified(payload(&json)), Err(Malformed::Json), "{json}");
    }
}

/// The fields of an interaction that decide something, beside its `type`.
const DECIDING_FIELDS: [&str; 13] = [
    "api_app_id",
    "team",
    "enterprise",
    "is_enterprise_install",
    "user",
    "channel",
    "container",
    "message",
    "original_message",
    "message_ts",
    "view",
    "actions",
    "name",
];

#[test]
fn a_key_that_decides_something_and_stands_twice_refuses_the_payload() {
    for key in DECIDING_FIELDS.into_iter().chain(["type"]) {
        let twice = format!(r#"{{"type":"shortcut","trigger_id":"1","{key}":"a","{key}":"b"}}"#);
        assert_eq!(classified(payload(&twice)), Err(Malformed::Json), "{key}");
    }
    let harmless =
        r#"{"type":"shortcut","trigger_id":"1","token":"a","token":"b","message":{"text":1,"text":2}}"#;
    assert_eq!(delivery_of(payload(harmless)).body, harmless);
}

#[test]
fn fields_of_any_shape_refuse_nothing() {
    for odd in
        [Value::Null, json!(7), json!("x"), json!([{}]), json!({ "id": 7 }), json!({ "id": { "id": "x" } })]
    {
        for field in DECIDING_FIELDS {
            let delivery = interaction(&json!({ field: odd }));
            assert_eq!(delivery.event_type, "block_actions", "{field}: {odd}");
        }
    }
}

proptest! {
    #[test]
    fn a_commands_fields_arrive_as_they_were_typed(
        fields in prop::collection::btree_map(".{0,20}", ".{0,40}", 0..8),
        text in ".{0,200}",
    ) {
        let mut fields = fields;
        fields.remove("payload");
        fields.extend([("command".to_owned(), "/deploy".to_owned()), ("text".to_owned(), text)]);
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%20", "+")
        };
        let form: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let delivery = delivery_of(form.join("&"));
        let body: std::collections::BTreeMap<String, String> = serde_json::from_str(&delivery.body).unwrap();
        prop_assert_eq!(body, fields);
    }

    #[test]
    fn any_bytes_as_a_form_are_classified_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = classified(body.clone());
        let _ = classified([b"command=x&", &body[..]].concat());
        let _ = classified([b"payload=", &body[..]].concat());
    }
}
