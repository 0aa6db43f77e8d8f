use super::*;
use crate::slack::asker::{Asker, Home};
use crate::slack::question::{Files, SlackTs};
use serde_json::{Value, json};

const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

fn message(kind: &str, body: &Value) -> QueueMessage {
    let attributes =
        [("kind", kind), ("type", "t"), ("event_id", "Ev1"), ("received_at", "1"), ("team_id", "T1")];
    QueueMessage {
        message_id: "m1".to_owned(),
        receive_count: 2,
        attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: body.to_string(),
        trace: TraceHeader::parse(TRACE_HEADER),
        ..QueueMessage::default()
    }
}

fn mention() -> Value {
    json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": "T1",
        "event": { "type": "app_mention", "text": "höhö", "channel": "C1", "ts": "1.2" }
    })
}

fn call(message: &QueueMessage, question: Option<&Question>) -> Result<AgentCall, InvalidMessage> {
    AgentCall::of(message, question, &RecordKey::of_question("A1:C1:1.2"), &Token::from_bits(0xab))
}

#[test]
fn the_payload_is_the_documented_one() {
    let place = Place {
        tenant: Some("T1".to_owned()),
        api_app_id: Some("A1".to_owned()),
        team_id: Some("T1".to_owned()),
        channel: "C1".to_owned(),
        thread_ts: Some("1.2".to_owned()),
        user: Some("U1".to_owned()),
        asked_at: SlackTs::parse("1795554000.000200").unwrap(),
        response_url: Some("https://hooks.slack.com/commands/1".to_owned()),
    };
    let files = Files::default();
    let asker = Asker { is_bot: false, home: Home::Ours, installation: Vec::new() };
    let question = Question {
        id: "A1:C1:1.2".to_owned(),
        text: "höhö".to_owned(),
        files,
        place,
        asker,
        app_users: Vec::new(),
    };
    let call = call(&message("event", &mention()), Some(&question)).unwrap();
    let payload: Value = serde_json::from_slice(&call.payload).unwrap();
    let expected = json!({
        "version": 2,
        "event_id": "Ev1",
        "attempt": 2,
        "attributes": { "kind": "event", "type": "t", "event_id": "Ev1", "received_at": "1", "team_id": "T1" },
        "body": mention(),
        "question": {
            "id": "A1:C1:1.2",
            "text": "höhö",
            "place": {
                "tenant": "T1", "api_app_id": "A1", "team_id": "T1", "channel": "C1", "thread_ts": "1.2",
                "user": "U1", "asked_at": "1795554000.000200", "response_url": null
            }
        },
        "work": { "record": "dispatch#A1:C1:1.2", "token": "000000000000000000000000000000ab" },
        "trace_header": TRACE_HEADER
    });
    assert_eq!(payload, expected);
    assert_eq!((call.event_id.as_str(), call.trace), ("Ev1", TraceHeader::parse(TRACE_HEADER)));
}

#[test]
fn the_body_goes_on_byte_for_byte() {
    let raw = r#"{"b":1.0,  "a":"\u00e9\ufffe", "event":{"channel":"C1"},"n":12345678901234567890.5}"#;
    let message = QueueMessage { body: raw.to_owned(), ..message("event", &Value::Null) };
    let payload = String::from_utf8(call(&message, None).unwrap().payload).unwrap();
    assert!(payload.contains(&format!(r#""body":{raw},"question":null"#)), "{payload}");
}

#[test]
fn why_it_was_a_dead_letter_once_is_not_the_agents_business() {
    let mut message = message("event", &mention());
    message.attributes.insert(DEAD_LETTER_REASON.to_owned(), "failed".to_owned());
    let payload: Value = serde_json::from_slice(&call(&message, None).unwrap().payload).unwrap();
    assert_eq!(payload["attributes"].as_object().unwrap().len(), 5);
}

#[test]
fn a_session_is_a_conversation_by_team_channel_and_thread() {
    let session = |body: Value| session_id(&message("event", &body)).unwrap();
    let mention = session(mention());
    assert!(mention.starts_with("slack-") && mention.len() == 70, "{mention}");
    let reply = json!({ "team_id": "T1", "event": { "type": "message", "channel": "C1", "thread_ts": "1.2", "ts": "1.3" } });
    assert_eq!(session(reply), mention, "the thread that the mention starts");
    for other in [
        json!({ "team_id": "T2", "event": { "channel": "C1", "ts": "1.2" } }),
        json!({ "team_id": "T1", "event": { "channel": "C2", "ts": "1.2" } }),
        json!({ "team_id": "T1", "event": { "channel": "C1", "ts": "1.3" } }),
        json!({}),
    ] {
        assert_ne!(session(other.clone()), mention, "{other}");
    }
}

#[test]
fn a_session_is_that_of_the_attribute_conversation_and_without_it_that_of_the_body() {
    let session = |conversation: Option<&str>, body: Value| {
        let mut message = message("event", &body);
        let attribute = conversation.map(|value| ("conversation".to_owned(), value.to_owned()));
        message.attributes.extend(attribute);
        session_id(&message).unwrap()
    };
    let queued_before = session(None, mention());
    // `printf 2:T1:C1:1.2 | sha256sum`
    let known = "slack-4a5f18d52d7cb123332b8fc20665193cdfbe8984b7aa984bb32026cae459069f";
    assert_eq!(queued_before, known);
    assert_eq!(
        session(Some("T1:C1:1.2"), mention()),
        queued_before,
        "one app's session goes on over the update"
    );
    assert_eq!(session(Some(""), mention()), queued_before);
    let of_app = session(Some("A1:T1:C1:1.2"), mention());
    assert_ne!(of_app, queued_before);
    assert_eq!(session(Some("A1:T1:C1:1.2"), json!({ "team_id": "T2" })), of_app, "whatever the body names");
    let mut no_json = message("event", &Value::Null);
    no_json.attributes.insert("conversation".to_owned(), "T1:C1:1.2".to_owned());
    assert_eq!(call(&no_json, None).unwrap_err(), InvalidMessage::Body);
}

#[test]
fn commands_and_interactions_have_sessions_of_their_own_form() {
    let session = |kind, body: Value| session_id(&message(kind, &body)).unwrap();
    let command = json!({ "team_id": "T1", "channel_id": "D1", "command": "/x" });
    let direct = json!({ "team_id": "T1", "event": { "type": "message", "channel": "D1", "ts": "1.2" } });
    assert_eq!(session("command", command), session("event", direct), "one direct channel, one conversation");
    let button = json!({
        "type": "block_actions", "team": { "id": "T1" }, "channel": { "id": "C1" },
        "message": { "ts": "9.9", "thread_ts": "1.2" }
    });
    assert_eq!(session("interaction", button), session("event", mention()));
}

#[test]
fn what_is_not_the_ingresss_is_unworkable() {
    let without = |name: &str| {
        let mut message = message("event", &mention());
        message.attributes.remove(name);
        message
    };
    let with_body = |kind, body: &str| QueueMessage { body: body.to_owned(), ..message(kind, &Value::Null) };
    for (message, expected) in [
        (without("event_id"), InvalidMessage::EventId),
        (without("kind"), InvalidMessage::Kind),
        (message("note", &mention()), InvalidMessage::Kind),
        (with_body("event", "no JSON"), InvalidMessage::Body),
        (with_body("event", "[]"), InvalidMessage::Body),
        (with_body("event", r#"{"event":7}"#), InvalidMessage::Body),
        (with_body("event", r#"{"team_id":"T1"} x"#), InvalidMessage::Body),
        (with_body("command", r#"{"text":7}"#), InvalidMessage::Body),
        (with_body("interaction", "7"), InvalidMessage::Body),
    ] {
        assert_eq!(asked(&message, DmConversation::Channel).err().unwrap(), expected, "{message:?}");
        let in_words = expected.as_str();
        assert!(in_words.starts_with("the message"), "{in_words}");
    }
    let mut empty = message("event", &mention());
    empty.attributes.insert("event_id".to_owned(), String::new());
    assert_eq!(call(&empty, None).unwrap_err(), InvalidMessage::EventId);
}

/// The agent has no token, and must not be tempted to look for one.
#[test]
fn the_files_of_a_question_are_named_without_their_urls() {
    let event = json!({
        "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1",
        "event": {
            "type": "message", "subtype": "file_share", "channel": "D1", "channel_type": "im", "user": "U1", "text": "",
            "ts": "1795554000.000200",
            "files": [
                { "id": "F1", "name": "a.pdf", "mimetype": "application/pdf", "size": 7, "url_private": "https://files.slack.com/a" },
                { "id": "F2", "mode": "file_access", "file_access": "check_file_info" },
            ],
        }
    });
    let message = message("event", &event);
    let Meaning::Question(mut question) = asked(&message, DmConversation::Thread).unwrap() else { panic!() };
    question.files.left_out = 2;
    let payload = call(&message, Some(&question)).unwrap().payload;
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        payload["question"]["files"],
        json!([
            { "id": "F1", "name": "a.pdf", "mimetype": "application/pdf", "size": 7 },
            { "id": "F2", "name": null, "mimetype": null, "size": null },
        ])
    );
    assert_eq!(payload["question"]["files_left_out"], 2);
    assert_eq!(payload["question"]["text"], "(file: a.pdf)\n(file: without a name)");
}
