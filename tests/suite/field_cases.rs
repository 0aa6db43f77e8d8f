//! What people who run Slack apps have seen in the field, each with the real binary: what is one event, and where it belongs.

use serde_json::{Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};
use test_support::lambda::answers::{empty_ok, ok};
use test_support::lambda::{Lambda, variables};
use test_support::slack::Request;

use crate::forms::{form, post, sha256};
use crate::support::ingress;

const BOT: &str = "U0BOT";

/// An environment with these variables beside those for local work.
async fn with(more: &[(&str, &str)]) -> Lambda {
    let mut variables = variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")]);
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    ingress::start(variables).await
}

/// An event of the app A1 that the workspace T1 installed.
fn event(id: &str, fields: Value) -> Value {
    json!({
        "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": id, "event": fields,
        "authorizations": [
            { "enterprise_id": null, "team_id": "T1", "user_id": BOT, "is_bot": true, "is_enterprise_install": false },
        ],
    })
}

fn mention(id: &str) -> Value {
    event(
        id,
        json!({ "type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.000100", "text": "<@U0BOT> hi" }),
    )
}

/// The same event with these fields of its envelope changed.
fn but(mut event: Value, fields: Value) -> Value {
    event.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
    event
}

async fn send(lambda: &Lambda, events: &[Value]) {
    for event in events {
        assert_eq!(lambda.post(&Request::json(event.to_string())).await, ok(), "{event}");
    }
}

fn payload(fields: &Value) -> Request {
    let fields = fields.to_string();
    let encoded = percent_encoding::utf8_percent_encode(&fields, percent_encoding::NON_ALPHANUMERIC);
    form(format!("payload={encoded}"))
}

/// The values of one key or attribute of the messages.
fn all<'a>(messages: &'a [Value], name: &str) -> Vec<&'a str> {
    let of = |message: &'a Value| message.get(name).unwrap_or(&message["attributes"][name]).as_str();
    messages.iter().map(|message| of(message).unwrap_or_default()).collect()
}

#[tokio::test]
async fn two_apps_that_one_message_mentions_both_get_it_under_one_event_id() {
    let lambda = with(&[("SLACK_SIGNING_SECRET", r#"{"A1":"one","A2":"two"}"#)]).await;
    for retry in [None, Some(1)] {
        for (app, secret) in [("A1", "one"), ("A2", "two")] {
            let body = but(mention("Ev1"), json!({ "api_app_id": app })).to_string();
            let now = SystemClock.now().as_secs();
            let mut request = Request::signed_with(secret, now, "application/json", body);
            if let Some(num) = retry {
                request = request.retry(num, "http_timeout");
            }
            assert_eq!(lambda.post(&request).await, ok(), "{app} {retry:?}");
        }
    }
    let messages = lambda.messages(2).await;
    assert_eq!(all(&messages, "event_id"), ["A1:Ev1", "A2:Ev1"]);
    assert_eq!(all(&messages, "deduplication_id"), ["A1:Ev1", "A2:Ev1"]);
    assert_eq!(all(&messages, "group_id"), ["A1:T1:C1:1.000100", "A2:T1:C1:1.000100"]);
    assert_eq!(all(&messages, "conversation"), all(&messages, "group_id"));
}

#[tokio::test]
async fn one_apps_key_and_group_are_what_they_always_were() {
    let lambda = with(&[("SLACK_SIGNING_SECRET", "one, two")]).await;
    for secret in ["one", "two"] {
        let now = SystemClock.now().as_secs();
        let request = Request::signed_with(secret, now, "application/json", mention("Ev1").to_string());
        assert_eq!(lambda.post(&request).await, ok(), "{secret}");
    }
    let messages = lambda.messages(1).await;
    assert_eq!(all(&messages, "event_id"), ["Ev1"]);
    assert_eq!(all(&messages, "group_id"), ["T1:C1:1.000100"]);
}

#[tokio::test]
async fn a_mention_that_was_added_by_an_edit_is_news_for_who_de_duplicates_by_message() {
    let said = |id: &str| {
        event(id, json!({ "type": "message", "user": "U1", "channel": "C1", "ts": "1.000100", "text": "hi" }))
    };
    let mut edited = mention("Ev2");
    edited["event"]["edited"] = json!({ "user": "U1", "ts": "9.000000" });
    let lambda = with(&[("DEDUP_KEY", "message")]).await;
    send(&lambda, &[said("Ev1"), edited, mention("Ev3")]).await;
    assert_eq!(all(&lambda.messages(2).await, "event_id"), ["A1:C1:1.000100", "A1:C1:1.000100:9.000000"]);
}

#[tokio::test]
async fn an_org_wide_installations_mention_and_button_are_one_conversation() {
    let lambda = with(&[]).await;
    let authorizations = json!([{ "enterprise_id": "E1", "team_id": null, "user_id": BOT, "is_bot": true, "is_enterprise_install": true }]);
    let org_wide = but(mention("Ev1"), json!({ "authorizations": authorizations, "enterprise_id": "E1" }));
    send(&lambda, &[org_wide]).await;
    let button = json!({
        "type": "block_actions", "team": null, "enterprise": { "id": "E1" }, "is_enterprise_install": true,
        "user": { "id": "U1", "team_id": "T1" }, "api_app_id": "A1", "trigger_id": "3.1.a", "channel": { "id": "C1" },
        "message": { "ts": "1.000200", "thread_ts": "1.000100" }, "actions": [{ "action_id": "a", "value": "yes" }],
    });
    assert_eq!(post(&lambda, &payload(&button)).await, empty_ok());
    let messages = lambda.messages(2).await;
    assert_eq!(all(&messages, "group_id"), ["E1:C1:1.000100"; 2]);
    assert_eq!(all(&messages, "team_id"), ["T1"; 2]);
}

#[tokio::test]
async fn a_thread_in_a_channel_that_two_companies_share_is_one_conversation() {
    let lambda = with(&[]).await;
    let shared = |event: Value| but(event, json!({ "context_team_id": "T1", "is_ext_shared_channel": true }));
    let answer = json!({ "type": "message", "user": "U9", "channel": "C1", "ts": "1.000200", "thread_ts": "1.000100" });
    let from_the_other_company = but(event("Ev2", answer), json!({ "team_id": "T9" }));
    send(&lambda, &[shared(mention("Ev1")), shared(from_the_other_company)]).await;
    let messages = lambda.messages(2).await;
    assert_eq!(all(&messages, "group_id"), ["T1:C1:1.000100"; 2]);
    assert_eq!(all(&messages, "team_id"), ["T1"; 2]);
}

#[tokio::test]
async fn two_clicks_with_one_trigger_id_are_two_and_the_same_bytes_are_one() {
    let lambda = with(&[]).await;
    let click = |value: &str| {
        payload(&json!({
            "type": "block_actions", "trigger_id": "5.1.a", "api_app_id": "A1", "team": { "id": "T1" }, "user": { "id": "U1" },
            "channel": { "id": "C1" }, "message": { "ts": "5.000100" }, "actions": [{ "action_id": "a", "value": value }],
        }))
    };
    for value in ["yes", "no", "yes"] {
        assert_eq!(post(&lambda, &click(value)).await, empty_ok());
    }
    let messages = lambda.messages(2).await;
    let hashes = ["yes", "no"].map(|value| sha256(click(value).body));
    assert_eq!(all(&messages, "event_id"), hashes);
    assert_eq!(all(&messages, "group_id"), ["T1:C1:5.000100"; 2]);
}

#[tokio::test]
async fn what_names_no_channel_holds_up_nothing_but_its_own_subject() {
    let lambda = with(&[]).await;
    let function = |run: &str| json!({ "type": "function_executed", "function_execution_id": run });
    send(
        &lambda,
        &[
            event(
                "Ev1",
                json!({ "type": "file_shared", "channel_id": "C1", "file_id": "F1", "user_id": "U1" }),
            ),
            event("Ev2", function("Fx1")),
            event("Ev3", function("Fx2")),
            event("Ev4", json!({ "type": "user_change", "user": { "id": "U1" } })),
            event("Ev5", json!({ "type": "team_rename", "name": "x" })),
        ],
    )
    .await;
    let groups = ["T1:C1", "T1:Fx1", "T1:Fx2", "T1:U1", "T1:Ev5"];
    assert_eq!(all(&lambda.messages(5).await, "group_id"), groups);
}

#[tokio::test]
async fn slackbots_message_is_a_bots_and_the_apps_own_file_its_own() {
    let slackbots = json!({ "type": "message", "channel_type": "im", "user": "USLACKBOT", "channel": "D1", "ts": "7.000100" });
    let file = json!({ "type": "file_shared", "channel_id": "C1", "file_id": "F2", "user_id": BOT });
    let joined = json!({ "type": "member_joined_channel", "user": BOT, "channel": "C1" });
    for (bot_events, through) in
        [("drop", &["Ev3"][..]), ("own", &["Ev1", "Ev3"]), ("forward", &["Ev1", "Ev2", "Ev3"])]
    {
        let lambda = with(&[("BOT_EVENTS", bot_events)]).await;
        let events =
            [event("Ev1", slackbots.clone()), event("Ev2", file.clone()), event("Ev3", joined.clone())];
        send(&lambda, &events).await;
        assert_eq!(all(&lambda.messages(through.len()).await, "event_id"), through, "{bot_events}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_behind_its_conversation_and_says_which_it_is() {
    let stop =
        json!({ "type": "agent_session_stopped", "channel": "C1", "thread_ts": "1.000100", "user": "U1" });
    let deleted = json!({
        "type": "message", "subtype": "message_deleted", "channel": "C1", "ts": "2.000100",
        "previous_message": { "user": "U1", "ts": "1.000100" },
    });
    let (plain, control) = ("T1:C1:1.000100", "T1:C1:1.000100:control");
    for (setting, groups) in [
        (None, [plain, control, plain]),
        (Some("message_deleted, agent_session_stopped"), [plain, control, control]),
        (Some(""), [plain; 3]),
    ] {
        let lambda = match setting {
            Some(types) => with(&[("CONTROL_EVENTS", types)]).await,
            None => with(&[]).await,
        };
        send(&lambda, &[mention("Ev1"), event("Ev2", stop.clone()), event("Ev3", deleted.clone())]).await;
        let messages = lambda.messages(3).await;
        assert_eq!(all(&messages, "group_id"), groups, "{setting:?}");
        assert_eq!(all(&messages, "conversation"), [plain; 3], "{setting:?}");
    }
}

#[tokio::test]
async fn in_a_direct_message_each_message_may_start_a_conversation() {
    let events = || {
        [
            json!({ "type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "ts": "1.000100" }),
            json!({ "type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "ts": "1.000200", "thread_ts": "1.000100" }),
            json!({ "type": "agent_session_stopped", "channel": "D1", "user": "U1", "thread_ts": "1.000100" }),
            json!({ "type": "app_home_opened", "channel": "D1", "user": "U1", "tab": "messages" }),
        ]
        .into_iter()
        .enumerate()
        .map(|(n, fields)| event(&format!("Ev{n}"), fields))
        .collect::<Vec<_>>()
    };
    let thread = "T1:D1:1.000100";
    for (setting, conversations) in
        [("channel", ["T1:D1", thread, thread, "T1:D1"]), ("thread", [thread, thread, thread, "T1:D1"])]
    {
        let lambda = with(&[("DM_CONVERSATION", setting)]).await;
        send(&lambda, &events()).await;
        assert_eq!(all(&lambda.messages(4).await, "conversation"), conversations, "{setting}");
    }
}
