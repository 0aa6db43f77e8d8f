//! Sends a whole request from `tests/fixtures` for every row of the table "What arrives" in Slack's contract to the real binary.
//! Beside the `.txt` of each form, the `.json` has what Python's `urllib` decodes it to.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use test_support::lambda::answers::{bad_request, empty_ok, ok, unauthorized};
use test_support::lambda::{Lambda, Reply, reply, variables};
use test_support::slack::Request;
use test_support::slack::fixtures::{self, read};

use crate::support::ingress;

const FORM: &str = "application/x-www-form-urlencoded";

/// The names of the fixtures with this extension.
fn names(kind: &str, extension: &str) -> BTreeSet<String> {
    let files = fixtures::files(kind, extension).into_iter();
    files.map(|path| path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned()).collect()
}

fn fixture(name: &str) -> String {
    read("forms", &format!("{name}.txt"))
}

fn decoded(name: &str) -> String {
    read("forms", &format!("{name}.json"))
}

pub(crate) fn form(body: impl Into<Vec<u8>>) -> Request {
    Request::signed(FORM, body)
}

/// The SHA-256 of these bytes, under which a command or an interaction is recorded.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Posts a form as an HTTP API does, with the body in base64.
pub(crate) async fn post(lambda: &Lambda, request: &Request) -> Reply {
    reply(lambda.invoke(&request.encoded_event()).await)
}

pub(crate) fn body_of(message: &Value) -> &str {
    message["body"].as_str().expect("a body")
}

/// The attributes without `received_at`, which must be there.
fn attributes(message: &Value) -> BTreeMap<&str, &str> {
    let attributes = message["attributes"].as_object().expect("attributes").iter();
    let mut attributes: BTreeMap<_, _> =
        attributes.map(|(name, value)| (name.as_str(), value.as_str().expect("a string"))).collect();
    let received_at = attributes.remove("received_at").expect("received_at");
    assert!(received_at.parse::<u64>().is_ok_and(|millis| millis > 1_700_000_000_000), "{received_at}");
    attributes
}

/// What the queue's message must have for the form of this fixture. Its id is the SHA-256 of the form's bytes.
struct Expected {
    name: &'static str,
    kind: &'static str,
    event_type: &'static str,
    conversation: &'static str,
}

const fn command(name: &'static str, event_type: &'static str, conversation: &'static str) -> Expected {
    Expected { name, kind: "command", event_type, conversation }
}

const fn interaction(name: &'static str, event_type: &'static str, conversation: &'static str) -> Expected {
    Expected { name, kind: "interaction", event_type, conversation }
}

const COMMANDS: &[Expected] = &[
    command("slash_command", "/weather", "T061EG9R6:C0LAN2Q65"),
    command("slash_command_without_text", "/weather", "T061EG9R6:C0LAN2Q65"),
    command("slash_command_enterprise", "/deploy", "E0ORG12345:C0LAN2Q65"),
];

const INTERACTIONS: &[Expected] = &[
    interaction("block_actions_in_a_thread", "block_actions", "T061EG9R6:C0LAN2Q65:1515449522.000016"),
    // Outside of a thread a direct message is one conversation.
    interaction("block_actions_in_a_direct_message", "block_actions", "T061EG9R6:D024BE91L"),
    // The `private_metadata` of the modals names the channel that they were opened from.
    interaction("block_actions_in_a_modal", "block_actions", "T061EG9R6:C0LAN2Q65"),
    interaction("shortcut", "shortcut", "T061EG9R6:U061F7AUR"),
    interaction("message_action", "message_action", "T061EG9R6:C0LAN2Q65:1515449522.000016"),
    interaction("view_submission", "view_submission", "T061EG9R6:C0LAN2Q65"),
    interaction("view_submission_enterprise", "view_submission", "E0ORG12345:C0LAN2Q65"),
    interaction("view_closed", "view_closed", "T061EG9R6:C0LAN2Q65"),
    interaction("type_of_tomorrow", "canvas_gesture", "T061EG9R6:U061F7AUR"),
];

/// Posts each form twice, as if Slack had repeated it, and checks that there is one message for each, in order. Returns the messages.
async fn delivered_twice(expected: &[Expected]) -> Vec<Value> {
    let lambda = ingress::start_local().await;
    for _ in 0..2 {
        for Expected { name, .. } in expected {
            assert_eq!(post(&lambda, &form(fixture(name))).await, empty_ok(), "{name}");
        }
    }
    let reports = lambda.reports(expected.len() * 2).await;
    for (n, report) in reports.iter().enumerate() {
        let outcome = if n < expected.len() { "accepted" } else { "duplicate" };
        assert_eq!(report["outcome"], outcome, "{report}");
    }
    let messages = lambda.messages(expected.len()).await;
    for (message, expected) in messages.iter().zip(expected) {
        let name = expected.name;
        let id = sha256(fixture(name));
        let attributes_expected = BTreeMap::from([
            ("kind", expected.kind),
            ("type", expected.event_type),
            ("event_id", &id),
            ("api_app_id", "A0F7YS25R"),
            ("team_id", "T061EG9R6"),
            ("conversation", expected.conversation),
        ]);
        assert_eq!(attributes(message), attributes_expected, "{name}");
        assert_eq!(message["group_id"], expected.conversation, "{name}");
        assert_eq!(message["deduplication_id"], id, "{name}");
    }
    messages
}

#[tokio::test]
async fn a_slash_command_is_an_empty_200_and_its_fields_are_on_the_queue_once() {
    let messages = delivered_twice(COMMANDS).await;
    for (message, Expected { name, .. }) in messages.iter().zip(COMMANDS) {
        let body: Value = serde_json::from_str(body_of(message)).unwrap();
        assert_eq!(body, serde_json::from_str::<Value>(&decoded(name)).unwrap(), "{name}");
    }
    let texts: Vec<Value> = messages
        .iter()
        .map(|message| serde_json::from_str::<Value>(body_of(message)).unwrap()["text"].take())
        .collect();
    assert_eq!(texts, ["Zürich & Köln = 20 °C + Föhn? 100 % 🌦 \"ja\"", "", "main now"]);
}

#[tokio::test]
async fn an_interaction_is_an_empty_200_and_its_payload_is_on_the_queue_once_byte_for_byte() {
    let messages = delivered_twice(INTERACTIONS).await;
    for (message, Expected { name, .. }) in messages.iter().zip(INTERACTIONS) {
        assert_eq!(body_of(message), decoded(name), "{name}");
    }
}

#[tokio::test]
async fn a_request_for_a_menus_options_is_answered_with_none_and_counted_but_not_forwarded() {
    let lambda = ingress::start_local().await;
    let no_options = Reply {
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body: r#"{"options":[]}"#.to_owned(),
        ..empty_ok()
    };
    for _ in 0..2 {
        assert_eq!(post(&lambda, &form(fixture("block_suggestion"))).await, no_options);
    }
    for report in lambda.reports(2).await {
        assert_eq!((&report["Suggestions"], &report["outcome"]), (&json!(1), &json!("suggestion")));
        assert_eq!(report.get("Accepted"), None);
    }
    let unsigned = form(fixture("block_suggestion")).without("X-Slack-Signature");
    assert_eq!(post(&lambda, &unsigned).await, unauthorized());
    lambda.messages(0).await;
}

#[tokio::test]
async fn a_tls_check_is_an_empty_200_signed_or_not_though_it_looks_like_a_command() {
    let lambda = ingress::start_local().await;
    for name in ["ssl_check", "ssl_check_of_a_command"] {
        let signed = form(fixture(name));
        let unsigned = signed.clone().without("X-Slack-Signature").without("X-Slack-Request-Timestamp");
        for request in [signed, unsigned] {
            assert_eq!(post(&lambda, &request).await, empty_ok(), "{name}");
            assert_eq!(lambda.post(&request).await, empty_ok(), "{name}");
        }
    }
    for report in lambda.reports(8).await {
        assert_eq!(report["outcome"], "ssl_check");
    }
    lambda.messages(0).await;
}

#[tokio::test]
async fn an_event_of_any_type_is_200_and_on_the_queue_as_it_came() {
    let lambda = ingress::start(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "stdout:"),
        ("BOT_EVENTS", "forward"),
    ]))
    .await;
    let mut sent = Vec::new();
    for name in names("events", "json") {
        let json = read("events", &format!("{name}.json"));
        let event: Value = serde_json::from_str(&json).unwrap();
        if event["type"] == "event_callback" {
            assert_eq!(lambda.post(&Request::json(json.clone())).await, ok(), "{name}");
            sent.push((json, event));
        }
    }
    assert!(sent.iter().any(|(_, event)| event["event"]["type"] == "function_executed"));
    let messages = lambda.messages(sent.len()).await;
    for (message, (json, event)) in messages.iter().zip(&sent) {
        assert_eq!(body_of(message), json);
        let text = |value: &'static str| event[value].as_str();
        let mut attributes = attributes(message);
        assert_eq!(attributes.remove("conversation"), message["group_id"].as_str());
        // An event of a whole organisation has the workspace that it happened in.
        let team_id = text("team_id").or(text("context_team_id"));
        let expected = [
            ("kind", Some("event")),
            ("type", event["event"]["type"].as_str()),
            ("event_id", text("event_id")),
            ("team_id", team_id),
            ("api_app_id", text("api_app_id")),
        ];
        let expected = expected.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        assert_eq!(attributes, expected);
    }
}

#[tokio::test]
async fn signed_json_that_is_no_event_is_answered_and_not_forwarded() {
    let lambda = ingress::start_local().await;
    let challenge = Reply {
        headers: [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())].into(),
        body: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned(),
        ..empty_ok()
    };
    assert_eq!(lambda.post(&Request::json(read("events", "url_verification.json"))).await, challenge);
    assert_eq!(lambda.post(&Request::json(read("events", "app_rate_limited.json"))).await, ok());
    assert_eq!(lambda.reports(2).await[1]["RateLimited"], 1);
    lambda.messages(0).await;
}

#[tokio::test]
async fn every_fixture_of_a_form_is_tested() {
    let elsewhere = ["block_suggestion", "ssl_check", "ssl_check_of_a_command"];
    let tested = COMMANDS.iter().chain(INTERACTIONS).map(|expected| expected.name).chain(elsewhere);
    let tested: BTreeSet<_> = tested.map(str::to_owned).collect();
    assert_eq!(names("forms", "txt"), tested);
    assert_eq!(names("forms", "json"), tested);
}

#[tokio::test]
async fn a_form_means_the_same_as_text_and_in_base64() {
    let lambda = ingress::start_local().await;
    for name in ["slash_command", "view_closed"] {
        let request = form(fixture(name));
        assert_eq!(lambda.post(&request).await, empty_ok(), "{name}");
        assert_eq!(post(&lambda, &request).await, empty_ok(), "{name}");
    }
    let with_charset = Request::signed(&format!("{FORM}; charset=utf-8"), fixture("slash_command"));
    assert_eq!(post(&lambda, &with_charset).await, empty_ok());
    lambda.messages(2).await;
}

#[tokio::test]
async fn the_same_command_typed_twice_is_two_commands() {
    let lambda = ingress::start_local().await;
    let first = fixture("slash_command");
    let second = first.replace("8088930838d88f008e0", "8088930838d88f008ff");
    assert_ne!(first, second);
    for body in [first, second] {
        assert_eq!(post(&lambda, &form(body)).await, empty_ok());
    }
    lambda.messages(2).await;
}

#[tokio::test]
async fn the_old_menus_that_ask_for_options_get_none_and_are_not_forwarded() {
    let lambda = ingress::start_local().await;
    let payload = |fields: Value| {
        let encoded =
            percent_encoding::utf8_percent_encode(&fields.to_string(), percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        form(format!("payload={encoded}"))
    };
    let menu = json!({ "type": "interactive_message", "name": "city", "value": "Zür", "callback_id": "c" });
    let dialog = json!({ "type": "dialog_suggestion", "name": "city", "value": "Zür", "callback_id": "c" });
    for fields in [menu, dialog] {
        assert_eq!(post(&lambda, &payload(fields)).await.body, r#"{"options":[]}"#);
    }
    let chosen =
        json!({ "type": "interactive_message", "actions": [{ "name": "city" }], "callback_id": "c" });
    assert_eq!(post(&lambda, &payload(chosen)).await, empty_ok());
    assert_eq!(lambda.messages(1).await[0]["attributes"]["type"], "interactive_message");
}

#[tokio::test]
async fn two_modals_closed_by_one_person_are_two_interactions() {
    let lambda = ingress::start_local().await;
    let first = fixture("view_closed");
    let second = first.replace("VNHU13V36", "VNHU13V37");
    assert_ne!(first, second);
    for body in [first, second] {
        assert_eq!(post(&lambda, &form(body)).await, empty_ok());
    }
    lambda.messages(2).await;
}

#[tokio::test]
async fn a_form_that_slack_did_not_sign_is_401_and_leaves_no_trace() {
    let lambda = ingress::start_local().await;
    for name in ["slash_command", "block_actions_in_a_thread"] {
        let good = form(fixture(name));
        let mut decoded_in_between = good.clone();
        decoded_in_between.body = fixture(name).replace("%2F", "/").into();
        assert_ne!(decoded_in_between.body, good.body, "{name}");
        for request in [
            good.clone().without("X-Slack-Signature"),
            good.clone().header("X-Slack-Signature", &format!("v0={}", "0".repeat(64))),
            decoded_in_between,
        ] {
            assert_eq!(post(&lambda, &request).await, unauthorized(), "{name}");
        }
        assert_eq!(post(&lambda, &good).await, empty_ok(), "{name}");
    }
    lambda.messages(2).await;
}

#[tokio::test]
async fn no_log_line_holds_a_forms_text_or_token_or_where_to_answer() {
    let lambda = ingress::start(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "stdout:"),
        ("RUST_LOG", "trace"),
    ]))
    .await;
    for name in names("forms", "txt") {
        assert_eq!(post(&lambda, &form(fixture(&name))).await.status, 200, "{name}");
    }
    let bad = format!("{}&text=%FF", fixture("slash_command"));
    assert_eq!(post(&lambda, &form(bad)).await, bad_request());
    let reports = lambda.reports(names("forms", "txt").len() + 1).await;
    assert!(reports.iter().any(|report| report["kind"] == "command" && report["type"] == "/weather"));
    let log = lambda.stderr().join("\n");
    for never in ["gIkuvaNzQIHg97ATvDxqgjtO", "hooks.slack.com", "rich", "Genehmigen", "MwSt", "Müsli"] {
        assert!(!log.contains(never), "{never}: {log}");
    }
}
