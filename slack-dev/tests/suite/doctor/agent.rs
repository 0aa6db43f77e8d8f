//! Tests the doctor's checks of the agent's side, with stand-ins for Slack and for the Gateway, which checks signatures. The secrets
//! and the work records are on the emulators. The whole way, with a real agent, is in tests/end_to_end/test_doctor.py.

use super::*;
use crate::support::fresh_file;
use serde_json::json;
use slack_ingress::slack::question::SlackTs;
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::record::{Record, State};
use slack_ingress::work::{RecordKey, Seen, Version, WorkStore};
use std::sync::atomic::{AtomicUsize, Ordering};
use test_support::aws::{Table, VARIABLES, endpoints, sdk_config};
use test_support::gateway::{AGENT_TOOLS, Fault as GatewayFault, Form, Gateway, Tool};
use test_support::servers::{fresh_name, server};
use test_support::slack::api::{Fault, SlackApi, TOKEN};

const SCOPES: &str = "app_mentions:read,assistant:write,canvases:read,canvases:write,channels:history,chat:write,groups:history,\
                      im:history,mpim:history,reactions:write,users:read";
const CHANNEL: &str = "C0DOCTOR";

/// A tool of the stack's Gateway beside `post_to_slack`.
const fn tool(operation: &'static str) -> Tool {
    Tool { operation, method: "unknown", is_get: false, arguments: &["canvas_id", "criteria"] }
}

/// What the doctor says of the agent's side with these outputs of the stacks.
async fn with_outputs(outputs: &Value, arguments: &[&str], more: &[(&str, &str)]) -> Examined {
    let file = fresh_file("outputs.json");
    std::fs::write(&file, outputs.to_string()).unwrap();
    let arguments: Vec<_> = ["--outputs", file.to_str().unwrap()].iter().chain(arguments).copied().collect();
    let endpoints: Vec<_> = endpoints().collect();
    let endpoints = endpoints.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let variables: Vec<_> = VARIABLES.into_iter().chain(endpoints).chain(more.iter().copied()).collect();
    Examined::of(&arguments, &variables).await
}

fn gateway_of_the_stack(gateway: &Gateway) -> Value {
    json!({ "SlackIngressAgent": { "GatewayUrl": gateway.url() } })
}

#[tokio::test]
async fn a_tool_that_the_stacks_gateway_lacks_fails_and_a_gateway_of_ones_own_may_have_any() {
    let slack = SlackApi::start().await;
    let gateway = Gateway::start(&slack, &AGENT_TOOLS).await;
    for form in [Form::Json, Form::Events, Form::OpenEvents] {
        gateway.answer_as(form);
        let examined = with_outputs(&gateway_of_the_stack(&gateway), &[], &[]).await;
        examined.fails(
            &["tools"],
            "1 by the agent's Gateway: slack (1); without slack___add_reaction, canvases___create_canvas, canvases___edit_canvas, \
             canvases___find_canvas_sections",
        );
        assert!(examined.text.contains("READY"), "{}", examined.text);
    }
    let url = gateway.url();
    let variables: Vec<_> = VARIABLES.into_iter().chain([("TOOLS_GATEWAY_URL", url.as_str())]).collect();
    let own = Examined::of(&[], &variables).await;
    assert!(own.with("fail").is_empty() && own.with("ok").contains(&"tools"), "{}", own.text);
    assert_eq!(gateway.refused(), Vec::<&str>::new());
}

#[tokio::test]
async fn every_page_of_the_list_is_read_and_the_token_is_tried_by_a_tool_that_only_reads() {
    let slack = SlackApi::start().await;
    let tools = [
        tool("post_to_slack"),
        tool("add_reaction"),
        tool("create_canvas"),
        tool("edit_canvas"),
        tool("find_canvas_sections"),
    ];
    let gateway = Gateway::start(&slack, &tools).await;
    gateway.add_target("canvases", &slack, TOKEN);
    // Slack knows no such method of this stand-in; it says so only to a token that it takes.
    let taken = with_outputs(&gateway_of_the_stack(&gateway), &[], &[]).await;
    assert_eq!(taken.found("tools"), "10 by the agent's Gateway: canvases (5), slack (5)");
    assert!(taken.with("ok").contains(&"tools, token"), "{}", taken.text);
    for (error, status) in [("canvas_not_found", "ok"), ("missing_scope", "ok"), ("token_revoked", "fail")] {
        slack.always("unknown", Fault::Error(error));
        let examined = with_outputs(&gateway_of_the_stack(&gateway), &[], &[]).await;
        assert!(examined.with(status).contains(&"tools, token"), "{error}: {}", examined.text);
    }
    slack.accept_token("xoxb-another");
    slack.always("unknown", Fault::Error("invalid_auth"));
    let examined = with_outputs(&gateway_of_the_stack(&gateway), &[], &[]).await;
    examined.fails(&["tools, token"], "Slack does not take the token that the Gateway adds: invalid_auth");
    // What is read changes nothing.
    assert!(slack.posts().is_empty() && gateway.calls("post_to_slack").is_empty());
}

#[tokio::test]
async fn a_gateway_that_lets_nobody_in_or_does_not_answer_is_told_from_one_without_tools() {
    let slack = SlackApi::start().await;
    let gateway = Gateway::start(&slack, &AGENT_TOOLS).await;
    let outputs = gateway_of_the_stack(&gateway);
    let elsewhere = with_outputs(&outputs, &[], &[("AWS_REGION", "eu-west-1")]).await;
    elsewhere.fails(&["tools"], "the Gateway lets you not in: 403");
    assert!(elsewhere.text.contains("bedrock-agentcore:InvokeGateway"), "{}", elsewhere.text);
    // The region of the stacks comes before that of the environment.
    let mut here = outputs.clone();
    here["SlackIngressAgent"]["BotTokenSecretArn"] =
        json!("arn:aws:secretsmanager:us-east-1:123456789012:secret:gone");
    let nowhere = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9");
    let examined = with_outputs(&here, &[], &[("AWS_REGION", "eu-west-1"), nowhere]).await;
    assert!(examined.found("tools").starts_with("1 by the agent's Gateway"), "{}", examined.text);
    gateway.fail_next("tools/list", GatewayFault::Status(503));
    with_outputs(&outputs, &[], &[]).await.fails(&["tools"], "the Gateway answers 503");
    gateway.fail_next("tools/list", GatewayFault::Rpc(-32000));
    with_outputs(&outputs, &[], &[]).await.fails(&["tools"], "answers with an error");
    gateway.fail_next("tools/list", GatewayFault::Break);
    with_outputs(&outputs, &[], &[]).await.fails(&["tools"], "does not answer");
}

#[tokio::test]
async fn outputs_that_cannot_be_read_and_half_of_a_question_are_errors_of_the_command() {
    for (arguments, words) in [
        (&["--outputs", "/nonexistent/outputs.json"][..], "/nonexistent/outputs.json"),
        (&["--outputs", "/dev/null"], "no JSON"),
        (&["--ask", "C1"], "--as"),
        (&["--ask", "#general", "--as", "U1"], "A to Z"),
    ] {
        let output = output(arguments, &[]).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
}

#[tokio::test]
async fn a_question_cannot_be_asked_without_a_token() {
    let ingress = Ingress::local().await;
    let arguments = ["--url", &ingress.url, "--ask", CHANNEL, "--as", "U0PERSON"];
    let examined = Examined::of(&arguments, &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    examined.fails(&["question"], "cannot be asked: there is no bot token");
}

/// Slack, a channel there, and a secret with its token.
struct App {
    slack: SlackApi,
    /// No other test's: a message's `ts` may be that of a message in another Slack, and a record's key is of both.
    channel: String,
    secret: String,
}

impl App {
    async fn install() -> Self {
        let slack = SlackApi::start().await;
        slack.grant(SCOPES);
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let channel = format!("{CHANNEL}{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { slack, channel, secret: secret(&json!({ "token": TOKEN })).await }
    }

    async fn examined(&self, arguments: &[&str], outputs: &Value, more: &[(&str, &str)]) -> Examined {
        let mut outputs = outputs.clone();
        outputs["BotTokenSecretArn"] = json!(self.secret);
        let (services, url) = (server("MINISTACK_URL"), self.slack.url());
        let variables = [
            &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", services.as_str()), ("SLACK_API_URL", url.as_str())][..],
            more,
        ];
        let examined = with_outputs(&json!({ "Agent": outputs }), arguments, &variables.concat()).await;
        assert!(!examined.text.contains(TOKEN), "{}", examined.text);
        examined
    }

    async fn plainly_examined(&self) -> Examined {
        self.examined(&[], &json!({}), &[]).await
    }
}

async fn secret(content: &Value) -> String {
    let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
    let name = fresh_name("bot");
    client.create_secret().name(&name).secret_string(content.to_string()).send().await.unwrap();
    name
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_token_is_tried_and_what_it_lacks_is_named_with_what_does_not_work_without_it() {
    let app = App::install().await;
    let right = app.plainly_examined().await;
    assert_eq!((right.with("fail"), right.with("warn")), (vec![], vec![]), "{}", right.text);
    assert_eq!(
        right.found("bot token, Slack"),
        "Slack takes it: the bot standin (U0STANDIN) in Stand-in (T0STANDIN)"
    );
    assert_eq!(right.found("bot token, scopes"), "all 11 of the manifest");
    // With files the manifest asks for one more, and without the pane for one less.
    let files = app.examined(&[], &json!({ "ReadsFiles": "true" }), &[]).await;
    assert!(files.found("bot token, scopes").starts_with("without files:read (the files"), "{}", files.text);
    app.slack.grant(&SCOPES.replace("assistant:write,", ""));
    let plain = app.examined(&[], &json!({ "AgentView": "false" }), &[]).await;
    assert_eq!(plain.found("bot token, scopes"), "all 10 of the manifest");

    app.slack.grant(&SCOPES.replace(",reactions:write", ""));
    let tool = app.plainly_examined().await;
    assert_eq!((tool.with("fail"), tool.with("warn")), (vec![], vec!["bot token, scopes"]), "{}", tool.text);
    assert!(
        tool.found("bot token, scopes").contains("reactions:write (the tool add_reaction)"),
        "{}",
        tool.text
    );
    app.slack.grant("app_mentions:read");
    app.plainly_examined().await.fails(&["bot token, scopes"], "chat:write (nothing can be answered)");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_token_that_slack_does_not_take_or_that_is_anothers_fails_and_no_answer_is_no_fault() {
    let app = App::install().await;
    for error in ["invalid_auth", "token_revoked", "account_inactive"] {
        app.slack.fail_next("auth.test", Fault::Error(error));
        app.plainly_examined().await.fails(&["bot token, Slack"], error);
    }
    for fault in [Fault::Break, Fault::Status(503), Fault::RateLimit(1)] {
        app.slack.fail_next("auth.test", fault);
        let examined = app.plainly_examined().await;
        assert_eq!(
            (examined.with("fail"), examined.with("warn")),
            (vec![], vec!["bot token, Slack"]),
            "{}",
            examined.text
        );
    }
    app.slack.belong_to("T0STANDIN", false);
    app.plainly_examined().await.fails(&["bot token, Slack"], "a person's and no bot's");

    // The second installation's secret has a token of the first.
    app.slack.belong_to("T0STANDIN", true);
    let second = secret(&json!({ "token": TOKEN })).await;
    let examined = app.examined(&[], &json!({ "BotTokenSecretArnT0789GHI": second }), &[]).await;
    assert_eq!(examined.with("fail"), ["bot token, Slack"], "{}", examined.text);
    assert!(
        examined.text.contains("T0789GHI: Slack takes it")
            && examined.text.contains("its secret is for T0789GHI")
    );
    assert_eq!(
        examined.with("ok").iter().filter(|check| **check == "bot token").count(),
        2,
        "{}",
        examined.text
    );
}

/// What the doctor finds that asks a question, while `meanwhile` is what happens in Slack and behind the queue once its message is
/// there. It is told the message's `ts`.
async fn asked(
    app: &App,
    ingress: &Ingress,
    variables: &[(&str, &str)],
    meanwhile: impl AsyncFnOnce(String),
) -> Examined {
    let variables = [&[("SLACK_SIGNING_SECRET", SECRET)][..], variables].concat();
    let arguments = ["--url", &ingress.url, "--ask", &app.channel, "--as", "U0PERSON", "--wait", "8"];
    let none = json!({});
    let (examined, ()) = tokio::join!(app.examined(&arguments, &none, &variables), async {
        let posts = app.slack.posted(1).await;
        meanwhile(posts[0].ts.clone()).await;
    });
    examined
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_question_goes_the_way_of_slacks_own_and_its_answer_is_the_apps_own_message_in_its_thread() {
    let (app, ingress) = (App::install().await, Ingress::local().await);
    app.slack.fail_next("conversations.replies", Fault::RateLimit(1));
    let examined = asked(&app, &ingress, &[], async |ts| {
        app.slack.say(&app.channel, Some(&ts), "What is this?");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        app.slack.say_as_app(&app.channel, &ts, "pong");
    })
    .await;
    assert!(examined.with("fail").is_empty(), "{}", examined.text);
    let found = examined.found("question");
    assert!(found.starts_with("answered in its thread after ") && found.ends_with(": pong"), "{found}");
    let seconds: f64 = found.split(' ').nth(5).unwrap().parse().unwrap();
    assert!(seconds > 2.5, "before it was there: {found}");

    let [message] = &app.slack.posts()[..1] else { panic!() };
    assert!(message.text.contains("*This is a test.*") && message.thread_ts.is_none(), "{message:?}");
    let lines = ingress.stdout();
    let delivery: Value = serde_json::from_str(lines.lines().last().expect("a delivery")).unwrap();
    let body = delivery["body"]
        .as_str()
        .map_or(delivery["body"].clone(), |text| serde_json::from_str(text).unwrap());
    let event = &body["event"];
    assert_eq!(
        (&event["type"], &event["user"], &event["ts"]),
        (&json!("app_mention"), &json!("U0PERSON"), &json!(message.ts))
    );
    assert_eq!((&body["api_app_id"], &body["team_id"]), (&json!("A0STANDIN"), &json!("T0STANDIN")));
    assert!(event["text"].as_str().unwrap().starts_with("<@U0STANDIN> This is a test"), "{event}");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_question_that_is_not_answered_says_how_far_it_came() {
    let table = Table::create().await.name;
    let work = DynamoDbWork::new(aws_sdk_dynamodb::Client::new(&sdk_config(&server("DYNAMODB_URL"))), &table);
    let store = format!("dynamodb:{table}");
    let variables = [("DEDUP_STORE", store.as_str()), ("EVENT_SINK", "stdout:")];
    let ingress = Ingress::local().await;
    let put = async |app: &App, ts: &str, state: State| {
        let key =
            RecordKey::of_question(&format!("A0STANDIN:{}:{}", app.channel, SlackTs::parse(ts).unwrap()));
        let now = SystemClock.now();
        let seen = Seen { record: None, version: Version::Absent };
        work.write(&key, &seen, &Record::new(None, now).with(state), now).await.unwrap();
    };

    let app = App::install().await;
    let lost = asked(&app, &ingress, &variables, async |_| {}).await;
    lost.fails(&["question"], "no answer within 8 s: the dispatcher has not received it");
    let command = format!("slack-dev trace https://standin.slack.com/archives/{}/p", app.channel);
    assert!(lost.text.contains(&command), "{}", lost.text);

    let app = App::install().await;
    let waits = asked(&app, &ingress, &variables, async |ts| put(&app, &ts, State::Free).await).await;
    waits.fails(&["question"], "it waits on the queue");

    // The words that tell a person so are no answer.
    let app = App::install().await;
    let told = asked(&app, &ingress, &variables, async |ts| {
        put(&app, &ts, State::Told { why: "gave_up".to_owned(), told_for: None, token: None }).await;
        app.slack.say_as_app(&app.channel, &ts, "There will be no answer.");
    })
    .await;
    told.fails(&["question"], "(gave_up)");

    let app = App::install().await;
    app.slack.always("conversations.replies", Fault::Error("missing_scope"));
    let unread = asked(&app, &ingress, &variables, async |ts| {
        put(&app, &ts, State::Answered { ts: Some("1.2".to_owned()), token: None }).await;
    })
    .await;
    assert!(unread.with("fail").is_empty(), "{}", unread.text);
    assert!(
        unread.found("question").ends_with("the thread cannot be read: missing_scope"),
        "{}",
        unread.text
    );

    // Without the table nobody knows.
    let app = App::install().await;
    app.slack.always("conversations.replies", Fault::Error("missing_scope"));
    let unknown = asked(&app, &ingress, &[], async |_| {}).await;
    assert!(
        unknown.with("fail").is_empty() && unknown.with("warn").contains(&"question"),
        "{}",
        unknown.text
    );
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_question_that_cannot_be_posted_or_that_the_endpoint_refuses_says_so() {
    let (app, ingress) = (App::install().await, Ingress::with_secret("another").await);
    let arguments = ["--url", &ingress.url, "--ask", &app.channel, "--as", "U0PERSON", "--wait", "8"];
    let secret = [("SLACK_SIGNING_SECRET", SECRET)];
    app.slack.fail_next("chat.postMessage", Fault::Error("not_in_channel"));
    let examined = app.examined(&arguments, &json!({}), &secret).await;
    assert!(
        examined.found("question").contains("not_in_channel") && examined.text.contains("/invite"),
        "{}",
        examined.text
    );
    let examined = app.examined(&arguments, &json!({}), &secret).await;
    assert_eq!(examined.with("fail"), ["signature, right", "question"], "{}", examined.text);
    assert_eq!(examined.found("question"), "the endpoint did not take it: it answered 401");
}
