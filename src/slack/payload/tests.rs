use super::*;
use crate::slack::signature::{self, SignatureHeaders, SigningSecret};
use crate::time::clock::UnixMillis;
use proptest::prelude::*;
use proptest::sample::{Index, select};

macro_rules! fixtures {
    ($($name:ident),* $(,)?) => {
        /// Whole events as Slack sends them, by name.
        const FIXTURES: &[(&str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!("../../../tests/fixtures/events/", stringify!($name), ".json")),
        )),*];
    };
}

fixtures![
    app_home_opened,
    app_mention,
    app_rate_limited,
    app_uninstalled,
    assistant_thread_started,
    bot_message,
    channel_created,
    enterprise_without_team,
    file_of_this_app,
    function_executed,
    message_changed,
    message_changed_by_this_app,
    message_channel,
    message_deleted,
    message_deleted_of_a_bot,
    message_im,
    message_im_thread,
    message_of_another_app,
    message_of_the_installer,
    message_of_this_app,
    message_thread,
    reaction_added,
    team_join,
    url_verification,
];

const TEAM: Option<&str> = Some("T061EG9R6");
const CHANNEL: Option<&str> = Some("C0LAN2Q65");
const DIRECT: Option<&str> = Some("D024BE91L");

pub(super) fn fixture(name: &str) -> &'static str {
    FIXTURES.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Signs the bytes and verifies them. There is no other way to get a [`Verified`].
pub(super) fn verified(body: impl Into<Vec<u8>>) -> Verified {
    let body = body.into();
    let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5");
    let signature = secret.sign("1531420618", &body);
    let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some("1531420618") };
    signature::verify(headers, body, &[secret], UnixMillis::from_millis(1_531_420_618_000)).unwrap()
}

pub(super) fn classify_text(json: impl Into<Vec<u8>>) -> Result<Payload, Malformed> {
    classify(verified(json), Some(Encoding::Json))
}

pub(super) fn delivery_of(json: &str) -> Delivery {
    match classify_text(json) {
        Ok(Payload::Delivery(delivery)) => *delivery,
        other => panic!("no delivery: {other:?}"),
    }
}

fn delivery(name: &str) -> Delivery {
    delivery_of(fixture(name))
}

fn conversation(team: Option<&str>, channel: Option<&str>, thread: Option<&str>) -> Conversation {
    let owned = |id: Option<&str>| id.map(str::to_owned);
    Conversation { app: None, team: owned(team), channel: owned(channel), thread: owned(thread) }
}

#[test]
fn a_mention_is_read_whole() {
    assert_eq!(
        delivery("app_mention"),
        Delivery {
            kind: Kind::Event,
            event_type: "app_mention".to_owned(),
            subtype: None,
            id: "Ev0LAN670R".to_owned(),
            message_key: Some("A0F7YS25R:C0LAN2Q65:1515449522.000016".to_owned()),
            team_id: TEAM.map(str::to_owned),
            api_app_id: Some("A0F7YS25R".to_owned()),
            author: Author::Person,
            conversation: conversation(TEAM, CHANNEL, Some("1515449522.000016")),
            direct_message: None,
            is_control: false,
            body: fixture("app_mention").to_owned(),
        }
    );
}

#[test]
fn a_message_in_a_channel_starts_a_conversation_that_its_replies_join() {
    let starts = delivery("message_channel");
    let replies = delivery("message_thread");
    assert_eq!(starts.conversation, conversation(TEAM, CHANNEL, Some("1515449522.000016")));
    assert_eq!(replies.conversation, starts.conversation);
    assert_ne!(replies.id, starts.id);
    assert_eq!((starts.author, replies.author), (Author::Person, Author::Person));
}

#[test]
fn a_direct_message_is_one_conversation_but_for_its_threads() {
    assert_eq!(delivery("message_im").conversation, conversation(TEAM, DIRECT, None));
    assert_eq!(
        delivery("message_im_thread").conversation,
        conversation(TEAM, DIRECT, Some("1729999327.187299"))
    );
}

#[test]
fn a_direct_message_is_known_by_its_channels_type_alone_or_its_channels_id_alone() {
    for channel in [r#""channel":"D024BE91L""#, r#""channel":"G024BE91L","channel_type":"im""#] {
        let event = format!(
            r#"{{"type":"event_callback","event_id":"Ev1","event":{{"type":"message","ts":"1.2",{channel}}}}}"#
        );
        assert_eq!(delivery_of(&event).conversation.thread, None, "{channel}");
    }
    let group = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","ts":"1.2","channel":"G024BE91L","channel_type":"mpim"}}"#;
    assert_eq!(delivery_of(group).conversation.thread.as_deref(), Some("1.2"));
}

#[test]
fn an_edit_belongs_to_the_message_that_was_edited() {
    let edit = delivery("message_changed");
    assert_eq!(edit.author, Author::Person);
    assert_eq!(edit.conversation, delivery("message_channel").conversation);
}

#[test]
fn an_edit_of_this_apps_own_message_is_this_apps() {
    let edit = delivery("message_changed_by_this_app");
    assert_eq!(edit.author, Author::ThisApp);
    assert_eq!(edit.conversation, delivery("message_channel").conversation);
}

#[test]
fn a_deletion_belongs_to_the_message_that_was_deleted() {
    let deletion = delivery("message_deleted");
    assert_eq!(deletion.author, Author::Person);
    assert_eq!(deletion.conversation, delivery("message_channel").conversation);
}

#[test]
fn a_deleted_message_of_a_bot_has_the_bots_author() {
    let deletion = delivery("message_deleted_of_a_bot");
    assert_eq!(deletion.author, Author::OtherBot);
    assert_eq!(deletion.conversation, delivery("bot_message").conversation);
}

#[test]
fn a_bots_message_is_known_by_its_bot_id_or_its_subtype() {
    assert_eq!(delivery("bot_message").author, Author::OtherBot);
    assert_eq!(delivery("message_of_another_app").author, Author::OtherBot);
    for mark in [r#""subtype":"bot_message""#, r#""bot_id":"B1""#, r#""app_id":"A2","bot_id":"B1""#] {
        assert_eq!(author_of(mark, "[]"), Author::OtherBot, "{mark}");
    }
    for mark in [r#""bot_id":null"#, r#""bot_id":"""#, r#""subtype":"file_share""#, r#""app_id":"A2""#] {
        assert_eq!(author_of(mark, "[]"), Author::Person, "{mark}");
    }
}

#[test]
fn this_apps_own_message_is_known_by_its_app_id_or_its_bot_user() {
    assert_eq!(delivery("message_of_this_app").author, Author::ThisApp);
    assert_eq!(delivery("file_of_this_app").author, Author::ThisApp);
    let own_app = r#""app_id":"A1""#;
    assert_eq!(author_of(own_app, "[]"), Author::ThisApp);
    assert_eq!(author_of(own_app, r#"{"not":"a list"}"#), Author::ThisApp);
    let user = r#""user":"U1""#;
    assert_eq!(author_of(user, r#"[{"user_id":"U1","is_bot":true}]"#), Author::ThisApp);
    assert_eq!(author_of(user, r#"[{"user_id":"U1"}]"#), Author::ThisApp);
    assert_eq!(
        author_of(user, r#"[{"user_id":"U2","is_bot":true},{"user_id":"U1","is_bot":true}]"#),
        Author::ThisApp
    );
}

#[test]
fn a_person_who_authorized_the_app_is_a_person() {
    assert_eq!(delivery("message_of_the_installer").author, Author::Person);
    let user = r#""user":"U1""#;
    for authorizations in [
        r#"[{"user_id":"U1","is_bot":false}]"#,
        r#"[{"user_id":"U2","is_bot":true}]"#,
        r#"[{"is_bot":true}]"#,
        "[]",
        "null",
        r#"["U1"]"#,
    ] {
        assert_eq!(author_of(user, authorizations), Author::Person, "{authorizations}");
    }
}

#[test]
fn a_mention_by_a_bot_is_the_bots() {
    let mention =
        r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention","bot_id":"B1"}}"#;
    assert_eq!(delivery_of(mention).author, Author::OtherBot);
}

#[test]
fn two_absent_app_ids_are_not_the_same_app() {
    let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","user":"U1"}}"#;
    assert_eq!(delivery_of(event).author, Author::Person);
}

/// The author of a message with these fields, in an event for the app A1.
fn author_of(fields: &str, authorizations: &str) -> Author {
    let event = format!(
        r#"{{"type":"event_callback","event_id":"Ev1","api_app_id":"A1","authorizations":{authorizations},
            "event":{{"type":"message",{fields}}}}}"#
    );
    delivery_of(&event).author
}

#[test]
fn what_is_no_message_has_no_bot_for_an_author() {
    for name in ["app_uninstalled", "app_home_opened", "function_executed", "reaction_added"] {
        assert_eq!(delivery(name).author, Author::Person, "{name}");
    }
    let joined = r#"{"type":"event_callback","event_id":"Ev1","api_app_id":"A1","authorizations":[{"user_id":"U1","is_bot":true}],
        "event":{"type":"member_joined_channel","user":"U1","bot_id":"B1","app_id":"A1","channel":"C1"}}"#;
    assert_eq!(delivery_of(joined).author, Author::Person);
}

#[test]
fn an_event_belongs_to_what_it_is_about() {
    let cases = [
        ("reaction_added", conversation(TEAM, CHANNEL, Some("1515449522.000016"))),
        ("team_join", conversation(TEAM, Some("U0NEW00001"), None)),
        ("channel_created", conversation(TEAM, Some("C0NEWCHAN"), None)),
        ("app_home_opened", conversation(TEAM, DIRECT, None)),
        ("assistant_thread_started", conversation(TEAM, DIRECT, Some("1729999327.187299"))),
        ("function_executed", conversation(TEAM, Some("Fx1234567O9L"), None)),
        ("app_uninstalled", conversation(TEAM, Some("Ev0UNIN001"), None)),
        ("enterprise_without_team", conversation(Some("E0ORG12345"), CHANNEL, Some("1515449522.000016"))),
    ];
    for (name, expected) in cases {
        assert_eq!(delivery(name).conversation, expected, "{name}");
    }
}

#[test]
fn an_organisations_event_has_the_workspace_that_it_happened_in() {
    let event = delivery("enterprise_without_team");
    assert_eq!((event.team_id.as_deref(), event.id.as_str()), (TEAM, "Ev0ENT0001"));
}

#[test]
fn every_event_is_recorded_under_its_event_id_and_kept_as_it_came() {
    for (name, json) in FIXTURES {
        let parsed: Value = serde_json::from_str(json).unwrap();
        if parsed["type"] != "event_callback" {
            continue;
        }
        let delivery = delivery_of(json);
        assert_eq!(delivery.id, parsed["event_id"], "{name}");
        assert_eq!(delivery.event_type, parsed["event"]["type"], "{name}");
        assert_eq!(delivery.api_app_id.as_deref(), Some("A0F7YS25R"), "{name}");
        assert_eq!(delivery.body, *json, "{name}");
    }
}

#[test]
fn a_challenge_is_given_back() {
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned();
    assert_eq!(classify_text(fixture("url_verification")), Ok(Payload::Challenge(challenge)));
    for challenge in [r#""challenge":"""#, r#""challenge":null"#, r#""challenge":5"#, r#""token":"t""#] {
        assert_eq!(
            classify_text(format!(r#"{{"type":"url_verification",{challenge}}}"#)),
            Err(Malformed::MissingChallenge),
            "{challenge}"
        );
    }
}

#[test]
fn rate_limiting_needs_no_event_id() {
    assert_eq!(
        classify_text(fixture("app_rate_limited")),
        Ok(Payload::RateLimited {
            team_id: TEAM.map(str::to_owned),
            api_app_id: Some("A0F7YS25R".to_owned())
        })
    );
    assert_eq!(
        classify_text(r#"{"type":"app_rate_limited"}"#),
        Ok(Payload::RateLimited { team_id: None, api_app_id: None })
    );
}

#[test]
fn an_event_without_a_usable_event_id_is_refused() {
    let ids = ["", r#""event_id":"","#, r#""event_id":null,"#, r#""event_id":17,"#, r#""event_id":true,"#];
    let odd =
        [r#""event_id":["Ev1"],"#, r#""event_id":{},"#, r#""event_id":"\ud800","#, r#""Event_Id":"Ev1","#];
    for id in ids.into_iter().chain(odd) {
        let event = format!(r#"{{"type":"event_callback",{id}"event":{{"type":"message"}}}}"#);
        assert_eq!(classify_text(event), Err(Malformed::MissingEventId), "{id}");
    }
}

#[test]
fn an_event_of_no_type_is_an_event_all_the_same() {
    for event in [r#""event":{}"#, r#""event":{"type":null}"#, r#""event":{"type":7}"#, r#""token":"t""#] {
        let event = format!(r#"{{"type":"event_callback","event_id":"Ev1",{event}}}"#);
        assert_eq!(delivery_of(&event).event_type, "unknown", "{event}");
    }
}

#[test]
fn an_unknown_outer_type_is_refused() {
    let objects = [r#"{"type":"event_callbacks","event_id":"Ev1"}"#, r#"{"type":"Event_Callback"}"#, "{}"];
    let odd = [r#"{"type":null}"#, r#"{"type":["event_callback"]}"#, r#"{"event_id":"Ev1","event":{}}"#];
    for json in objects.into_iter().chain(odd) {
        assert_eq!(classify_text(json), Err(Malformed::Unsupported), "{json}");
    }
}

#[test]
fn a_field_that_matters_and_stands_twice_refuses_the_request() {
    let outer = [
        "type",
        "challenge",
        "event_id",
        "team_id",
        "enterprise_id",
        "context_team_id",
        "context_enterprise_id",
        "api_app_id",
        "authorizations",
        r"\u0065vent_id",
    ];
    for field in outer {
        for twice in [format!(r#""{field}":"x""#), format!(r#""{field}":null"#)] {
            let event = format!(
                r#"{{"type":"event_callback","challenge":"c","event_id":"Ev1","team_id":"T1","enterprise_id":"E1","context_team_id":"T1","context_enterprise_id":"E1",
                    "api_app_id":"A1","authorizations":[],"event":{{"type":"message"}},{twice}}}"#
            );
            assert_eq!(classify_text(event), Err(Malformed::Json), "{twice}");
        }
    }
    let twice =
        r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message"},"event":{"type":"message"}}"#;
    assert_eq!(classify_text(twice), Err(Malformed::Json));
    let inner = [
        "type",
        "subtype",
        "user",
        "user_id",
        "bot_id",
        "app_id",
        "channel",
        "channel_id",
        "channel_type",
        "ts",
        "thread_ts",
        "message_ts",
        "edited",
    ];
    for field in inner {
        let event = format!(
            r#"{{"type":"event_callback","event_id":"Ev1","event":{{"{field}":"a","{field}":"b"}}}}"#
        );
        assert_eq!(classify_text(event), Err(Malformed::Json), "{field}");
    }
}

#[test]
fn a_field_that_does_not_matter_may_stand_twice_and_is_kept() {
    let event = r#"{"type":"event_callback","token":"a","token":"b","event_id":"Ev1","event":{"type":"message","text":"a","text":"b","blocks":[{"id":1,"id":2}]}}"#;
    let delivery = delivery_of(event);
    assert_eq!((delivery.id.as_str(), delivery.body.as_str()), ("Ev1", event));
}

#[test]
fn depth_neither_overflows_the_stack_nor_refuses() {
    const LEVELS: usize = 100_000;
    let arrays = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let objects = format!("{}1{}", r#"{"id":"#.repeat(LEVELS), "}".repeat(LEVELS));
    for deep in [arrays, objects] {
        for field in ["blocks", "user", "channel", "message", "item", "assistant_thread", "bot_id"] {
            let event = format!(
                r#"{{"type":"event_callback","event_id":"Ev1","x":{deep},"authorizations":{deep},"event":{{"type":"message","{field}":{deep}}}}}"#
            );
            let delivery = delivery_of(&event);
            assert_eq!(delivery.author, Author::Person, "{field}");
            assert_eq!(delivery.body.len(), event.len(), "{field}");
        }
    }
}

#[test]
fn a_lone_surrogate_in_a_text_is_kept() {
    let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","user":"U1","text":"\ud800","blocks":[{"\udfff":"\udc00x"}]}}"#;
    let delivery = delivery_of(event);
    assert_eq!((delivery.author, delivery.body.as_str()), (Author::Person, event));
}

#[test]
fn every_beginning_of_an_event_is_refused() {
    let event = fixture("app_mention");
    for end in 0..event.len() {
        assert_eq!(classify_text(event.get(..end).unwrap()), Err(Malformed::Json), "cut at {end}");
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let event = fixture("app_mention");
    let wrong = [
        format!("\u{feff}{event}"),
        format!("{event}{event}"),
        format!("{event}\0"),
        event.replace(':', "="),
        event.replace('"', "'"),
        event.replace("\"team\"", "\"te\nam\""),
        event.replace("\"team\"", "\"te\\xam\""),
        format!("/* */{event}"),
        "null".to_owned(),
        "\"event_callback\"".to_owned(),
        "17".to_owned(),
    ];
    for json in wrong {
        assert_eq!(classify_text(json.as_str()), Err(Malformed::Json), "{json}");
    }
    for json in ["[]".to_owned(), format!("[{event}]")] {
        assert!(classify_text(json.as_str()).is_err(), "{json}");
    }
}

#[test]
fn what_is_not_utf8_is_refused() {
    let (start, end) = fixture("message_channel").split_once("prosper").unwrap();
    // In this order: a stray byte, an overlong slash, a surrogate, a cut sequence, Latin-1, UTF-16.
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"caf\xe9", b"\xff\xfe"] {
        let body = [start.as_bytes(), bytes, end.as_bytes()].concat();
        assert_eq!(classify_text(body), Err(Malformed::Utf8), "{bytes:?}");
    }
}

#[test]
fn an_encoding_that_slack_does_not_use_is_refused_whatever_the_body() {
    let event = fixture("app_mention");
    assert_eq!(classify(verified(event), None), Err(Malformed::ContentType));
    assert_eq!(classify(verified(&b"\xff"[..]), None), Err(Malformed::ContentType));
    assert_eq!(classify(verified(event), Some(Encoding::Form)), Err(Malformed::Unsupported));
}

#[test]
fn the_encoding_is_the_content_types_essence() {
    let cases = [
        (Some("application/json"), Some(Encoding::Json)),
        (Some("application/json; charset=utf-8"), Some(Encoding::Json)),
        (Some("application/json;charset=utf-8;x=y"), Some(Encoding::Json)),
        (Some(" Application/JSON ;charset=utf-8"), Some(Encoding::Json)),
        (Some("application/x-www-form-urlencoded"), Some(Encoding::Form)),
        (Some("APPLICATION/X-WWW-FORM-URLENCODED; charset=UTF-8"), Some(Encoding::Form)),
        (Some("multipart/form-data; boundary=x"), None),
        (Some("text/plain"), None),
        (Some("text/plain; application/json"), None),
        (Some("application/json,application/json"), None),
        (Some("application/jsonp"), None),
        (Some("application/vnd.api+json"), None),
        (Some(";application/json"), None),
        (Some(""), None),
        (None, None),
    ];
    for (content_type, expected) in cases {
        assert_eq!(Encoding::of(content_type), expected, "{content_type:?}");
    }
}

#[test]
fn an_ssl_check_is_a_form_with_exactly_that_field() {
    let form = Some(Encoding::Form);
    for body in ["ssl_check=1", "ssl_check=1&token=x", "token=x&ssl_check=1", "a&ssl_check=1&"] {
        assert!(is_ssl_check(form, body.as_bytes()), "{body}");
        assert!(!is_ssl_check(Some(Encoding::Json), body.as_bytes()), "{body}");
        assert!(!is_ssl_check(None, body.as_bytes()), "{body}");
    }
    for body in [
        "",
        "&",
        "ssl_check",
        "ssl_check=",
        "ssl_check=0",
        "ssl_check=11",
        "xssl_check=1",
        "text=ssl_check%3D1",
        "text=x%26ssl_check=1",
        "command=%2Fdeploy&text=ssl_check=1",
    ] {
        assert!(!is_ssl_check(form, body.as_bytes()), "{body}");
    }
    assert!(!is_ssl_check(form, b"\xff\xfe"));
}

/// JSON values as text. In this way spelling and white space vary, too: there are escapes, lone surrogates, and numbers that no
/// machine type holds.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1e999999",
            "12345678901234567890123.5E-7",
            "[]",
            "{}"
        ])
        .prop_map(str::to_owned),
        any_json_string(),
    ];
    leaf.prop_recursive(5, 30, 5, |inner| {
        let member = (any_json_string(), inner.clone()).prop_map(|(name, value)| format!("{name} : {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|values| format!("[\t{}]", values.join(",\r\n"))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{} }}", members.join(","))),
        ]
    })
}

fn any_json_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(|c| {
            let quoted = serde_json::to_string(&c.to_string()).unwrap();
            quoted.get(1..quoted.len() - 1).unwrap().to_owned()
        }),
        any::<u16>().prop_map(|unit| format!("\\u{unit:04X}")),
        select(vec!["\\\"", "\\\\", "\\/", "\\n", "\u{fffe}", "\u{ffff}", "\u{2028}", "id", "T1"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// JSON objects with some of these fields, each with any value.
fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(names, 0..=names.len()).prop_flat_map(|names| {
        let fields =
            names.into_iter().map(|name| any_json().prop_map(move |value| format!("\"{name}\":{value}")));
        fields.collect::<Vec<_>>()
    })
}

/// Events with the id Ev1 whose other fields have any shape and come in any order.
fn any_event() -> impl Strategy<Value = String> {
    let inner = any_fields(&[
        "type",
        "subtype",
        "user",
        "bot_id",
        "app_id",
        "channel",
        "channel_id",
        "channel_type",
        "ts",
        "thread_ts",
        "message_ts",
        "edited",
        "message",
        "previous_message",
        "item",
        "assistant_thread",
        "user_id",
        "file",
        "workflow_step",
        "text",
        "blocks",
        "event_id",
    ]);
    let outer = any_fields(&[
        "challenge",
        "team_id",
        "enterprise_id",
        "context_team_id",
        "context_enterprise_id",
        "api_app_id",
        "authorizations",
        "token",
    ]);
    (inner, outer, prop::collection::vec(any_json(), 0..3), select(vec!["", " ", "\r\n\t"]))
        .prop_flat_map(|(inner, mut outer, extra, space)| {
            outer.extend(extra.iter().enumerate().map(|(i, value)| format!("\"x_{i}\":{value}")));
            outer.push(format!("\"event\" : {{{}}}", inner.join(",")));
            outer.push(r#""type":"event_callback""#.to_owned());
            outer.push(r#""event_id":"Ev1""#.to_owned());
            (Just(outer).prop_shuffle(), Just(space))
        })
        .prop_map(|(members, space)| format!("{space}{{{space}{}{space}}}{space}", members.join(",")))
}

proptest! {
    #[test]
    fn an_events_body_is_the_input_whatever_the_shape_of_its_fields(event in any_event()) {
        let delivery = delivery_of(&event);
        prop_assert_eq!(&delivery.body, &event);
        prop_assert_eq!(delivery.id, "Ev1");
        let Conversation { app, team, channel, thread } = delivery.conversation;
        prop_assert!(app.is_none() && channel.is_some());
        for text in [delivery.team_id, delivery.api_app_id, team, channel, thread].into_iter().flatten() {
            prop_assert!(!text.is_empty());
        }
        prop_assert!(!delivery.event_type.is_empty());
    }

    #[test]
    fn arbitrary_bytes_are_classified_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [None, Some(Encoding::Json), Some(Encoding::Form)] {
            prop_assert!(classify(verified(body.clone()), encoding).is_err());
            is_ssl_check(encoding, &body);
        }
    }

    #[test]
    fn a_damaged_event_is_refused_or_kept_as_it_is(
        (_, event) in select(FIXTURES),
        damages in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut body = event.as_bytes().to_vec();
        for (position, byte, damage) in damages {
            let position = position.index(body.len());
            match damage {
                0 => body[position] = byte,
                1 => body.insert(position, byte),
                _ => drop(body.remove(position)),
            }
        }
        if let Ok(Payload::Delivery(delivery)) = classify_text(body.clone()) {
            prop_assert_eq!(delivery.body.as_bytes(), &body);
        }
    }
}
