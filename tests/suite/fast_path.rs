//! Tests the fast path by the real binary: what Slack is answered at once, and that no rule costs an event.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::{pending, ready};
use std::time::Duration;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::sdk_config;
use test_support::http::{Endpoint, ReceivedRequest, response};
use test_support::lambda::answers::{ask_again, empty_ok};
use test_support::lambda::invoke_api::InvokeApi;
use test_support::lambda::{Lambda, Reply, variables};
use test_support::servers::{fresh_name, server};
use test_support::slack::Request;
use test_support::wait::eventually;
use tokio::time::sleep;

use crate::forms::{body_of, form, post, sha256};
use crate::support::ingress::{self, run_to_end};
use crate::support::stage::Stage;

fn document(rules: Value) -> String {
    json!({"version": 1, "rules": rules}).to_string()
}

fn local(rules: Value) -> HashMap<String, String> {
    variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:"), ("FAST_PATH", &document(rules))])
}

fn command(name: &str, text: &str) -> Request {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (name, text) = (encode(name), encode(text));
    form(format!(
        "command={name}&text={text}&user_name=ann&team_id=T1&channel_id=C1&user_id=U1&api_app_id=A1&trigger_id=1.2.x"
    ))
}

fn interaction(payload: &Value) -> Request {
    form(format!("payload={}", utf8_percent_encode(&payload.to_string(), NON_ALPHANUMERIC)))
}

fn shortcut() -> Request {
    shortcut_with("1.2.x")
}

pub(crate) fn shortcut_with(trigger_id: &str) -> Request {
    interaction(
        &json!({"type": "shortcut", "callback_id": "new", "trigger_id": trigger_id, "team": {"id": "T1"},
        "user": {"id": "U1", "username": "ann"}, "api_app_id": "A1"}),
    )
}

fn suggestion(typed: &str) -> Request {
    interaction(&json!({"type": "block_suggestion", "action_id": "city", "value": typed, "api_app_id": "A1"}))
}

fn modal() -> Value {
    json!({"type": "modal", "title": {"type": "plain_text", "text": "One moment"}, "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": "Hello {{user.username}}"}}]})
}

fn json_ok(body: &Value) -> Reply {
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    Reply { status: 200, headers: headers.into(), body: body.to_string() }
}

/// The last line of the log that is a report.
async fn report(lambda: &Lambda, count: usize) -> Value {
    lambda.reports(count).await.pop().expect("a report")
}

#[tokio::test]
async fn a_command_is_answered_at_once_and_is_on_the_queue() {
    let lambda = ingress::start(local(json!([
        {"name": "deploy", "when": {"command": "/deploy"}, "answer": "On it, {{user_name}}: {{text}}"},
    ])))
    .await;
    let asked = command("/deploy", "<!channel> & all");
    let answer =
        json_ok(&json!({"response_type": "ephemeral", "text": "On it, ann: &lt;!channel&gt; &amp; all"}));
    assert_eq!(post(&lambda, &asked).await, answer);
    // Whoever sends it again gets the same answer, and it is not on the queue again.
    assert_eq!(post(&lambda, &asked).await, answer);
    assert_eq!(post(&lambda, &command("/other", "")).await, empty_ok());
    let messages = lambda.messages(2).await;
    assert!(body_of(&messages[0]).contains("<!channel> & all") && body_of(&messages[1]).contains("/other"));
    let [first, second, third] = lambda.reports(3).await.try_into().expect("three reports");
    assert_eq!(
        (&first["fast_path"], &first["fast_path_outcome"], &first["FastPathAnswered"]),
        (&json!("deploy"), &json!("answered"), &json!(1))
    );
    assert_eq!((&second["outcome"], &second["fast_path"]), (&json!("duplicate"), &json!("deploy")));
    assert_eq!(third.get("fast_path"), None);
    assert!(!lambda.stderr().concat().contains("ann"), "the log has nothing that a person wrote");
}

#[tokio::test]
async fn the_rules_may_be_in_a_file() {
    let path = std::env::temp_dir().join(format!("{}.json", fresh_name("fast-path")));
    std::fs::write(&path, document(json!([{"when": {"command": "/x"}, "answer": "from the file"}])))
        .expect("written");
    let mut variables = local(json!([]));
    variables.insert("FAST_PATH".to_owned(), path.to_str().expect("UTF-8").to_owned());
    let lambda = ingress::start(variables.clone()).await;
    assert!(post(&lambda, &command("/x", "")).await.body.contains("from the file"));
    std::fs::remove_file(&path).expect("removed");
    let (status, stderr) = run_to_end(&variables).await;
    assert!(!status.success() && stderr.contains("FAST_PATH") && stderr.contains("/opt"), "{stderr}");
}

#[tokio::test]
async fn every_problem_of_the_rules_stops_the_function_in_one_message() {
    let mut variables = local(
        json!([{"when": {"command": "x"}}, {"when": {"type": "shortcut"}, "open": modal()}, {"answer": 1}]),
    );
    variables.insert("BOT_EVENTS".to_owned(), "some".to_owned());
    let (status, stderr) = run_to_end(&variables).await;
    assert!(!status.success() && stderr.lines().count() == 1, "{stderr}");
    for problem in ["BOT_EVENTS", "rules[0].when.command", "rules[2]: when is missing"] {
        assert!(stderr.contains(problem), "{problem}: {stderr}");
    }
    // The token is asked for only when the rules are right, because they say whether it is needed.
    let (status, stderr) = run_to_end(&local(json!([{"when": {"type": "shortcut"}, "open": modal()}]))).await;
    assert!(!status.success() && stderr.contains("SLACK_BOT_TOKEN_ARN is missing"), "{stderr}");
}

#[tokio::test]
async fn what_only_wants_an_answer_is_not_on_the_queue() {
    let lambda = ingress::start(local(json!([
        {"when": {"command": "/help"}, "queue": false, "answer": "It helps."},
        {"when": {"type": "view_submission"}, "queue": "if_valid",
         "checks": [{"block_id": "amount", "pattern": "[0-9]+", "message": "A number, please"}]},
        {"when": {"type": "block_suggestion"}, "options": ["Berlin", {"text": "Zürich", "value": "zrh"}]},
    ])))
    .await;
    let submission = |value: &str| {
        interaction(
            &json!({"type": "view_submission", "user": {"id": "U1"}, "team": {"id": "T1"}, "api_app_id": "A1",
        "view": {"state": {"values": {"amount": {"a": {"type": "plain_text_input", "value": value}}}}}}),
        )
    };
    assert!(post(&lambda, &command("/help", "")).await.body.contains("It helps."));
    let errors = json!({"response_action": "errors", "errors": {"amount": "A number, please"}});
    assert_eq!(post(&lambda, &submission("many")).await, json_ok(&errors));
    let options = json!({"options": [{"text": {"type": "plain_text", "text": "Zürich"}, "value": "zrh"}]});
    assert_eq!(post(&lambda, &suggestion("ZÜ")).await, json_ok(&options));
    assert_eq!(post(&lambda, &submission("12")).await, empty_ok());
    let [message] = lambda.messages(1).await.try_into().expect("one message");
    assert!(body_of(&message).contains(r#""value":"12""#));
    let outcomes: Vec<Value> =
        lambda.reports(4).await.iter().map(|report| report["outcome"].clone()).collect();
    assert_eq!(outcomes, ["answered_at_once", "answered_at_once", "suggestion", "accepted"]);
    assert_eq!(lambda.messages(1).await.len(), 1);
}

#[tokio::test]
async fn a_server_is_asked_for_options_with_slacks_own_request() {
    let server = Endpoint::start(async |n, _| match n {
        0 => response(200, &[], r#"{"options":[{"text":{"type":"plain_text","text":"It"},"value":"it"}]}"#),
        1 => response(500, &[], ""),
        2 => response(200, &[], "<html>"),
        _ => pending().await,
    })
    .await;
    let fallback = json!({"options": [], "typed": "{{value}}"});
    let source =
        json!({"url": server.url.replace("127.0.0.1", "localhost"), "timeout_ms": 300, "fallback": fallback});
    let lambda =
        ingress::start(local(json!([{"when": {"type": "block_suggestion"}, "source": source}]))).await;
    let asked = suggestion("i");
    assert_eq!(
        post(&lambda, &asked).await.body,
        r#"{"options":[{"text":{"type":"plain_text","text":"It"},"value":"it"}]}"#
    );
    for n in 1..=3 {
        let expected = json!({"options": [], "typed": format!("{n}")});
        assert_eq!(post(&lambda, &suggestion(&n.to_string())).await, json_ok(&expected));
    }
    let reports = lambda.reports(4).await;
    let errors: Vec<_> = reports.iter().map(|report| report["fast_path_error"].clone()).collect();
    assert_eq!(errors, [Value::Null, json!("status_500"), json!("source_not_json"), json!("timed_out")]);
    assert_eq!(reports[3]["fast_path_outcome"], "fallback");
    assert!(reports[3]["AckTime"].as_f64().expect("a time") < 2500.0);
    // The server can verify it as we do.
    let received: Vec<ReceivedRequest> = server.received();
    assert_eq!(received.len(), 4);
    assert_eq!(received[0].body, asked.body);
    for name in ["x-slack-signature", "x-slack-request-timestamp", "content-type"] {
        let sent = asked
            .headers
            .iter()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        assert!(sent.is_some() && received[0].header(name) == sent, "{name}");
    }
}

/// A function of the user's own, which is handed Slack's requests: it verifies them, and answers by a rule of its own.
async fn app() -> Lambda {
    ingress::start(local(json!([{"when": {"command": "/x"}, "answer": {"text": "the app says {{text}}"}}])))
        .await
}

#[tokio::test]
async fn a_function_gets_slacks_bytes_and_headers_and_its_answer_is_slacks() {
    let api = InvokeApi::start("bolt-app", app().await, Duration::from_secs(5)).await;
    let proxy = Proxy::start(&api.url()).await;
    let mut variables = local(json!([
        {"when": {"command": "/x"}, "function": {"name": "bolt-app"}},
        {"when": {"command": "/y"}, "function": {"name": "bolt-app", "path": "/slack/commands"}},
        {"when": {"command": "/wrong"}, "function": {"name": "another", "fallback": "Nobody is there"}},
        {"when": {"command": "/alone"}, "queue": false, "function": {"name": "another"}},
    ]));
    variables.insert("AWS_ENDPOINT_URL_LAMBDA".to_owned(), proxy.url());
    let lambda = ingress::start(variables).await;
    assert_eq!(post(&lambda, &command("/x", "hello")).await, json_ok(&json!({"text": "the app says hello"})));
    let [invocation] = api.invoked().try_into().expect("one invocation");
    assert_eq!(invocation.invocation_type, "RequestResponse");
    assert_eq!(
        (&invocation.payload["version"], &invocation.payload["requestContext"]["http"]["method"]),
        (&json!("2.0"), &json!("POST"))
    );
    // These three headers and no others.
    let mut headers: Vec<_> = invocation.payload["headers"].as_object().expect("headers").keys().collect();
    headers.sort();
    assert_eq!(headers, ["content-type", "x-slack-request-timestamp", "x-slack-signature"]);
    // A receiver with several endpoints chooses by the path.
    assert_eq!(post(&lambda, &command("/y", "")).await.status, 200);
    let paths = api.invoked().into_iter().map(|it| {
        let payload = it.payload;
        assert_eq!(payload["rawPath"], payload["requestContext"]["http"]["path"]);
        assert_eq!(payload["routeKey"], format!("POST {}", payload["rawPath"].as_str().expect("a path")));
        payload["rawPath"].clone()
    });
    assert_eq!(paths.collect::<Vec<_>>(), ["/slack/events", "/slack/commands"]);
    // Where there is no answer, the event is on the queue all the same.
    let nobody = json!({"response_type": "ephemeral", "text": "Nobody is there"});
    assert_eq!(post(&lambda, &command("/wrong", "")).await, json_ok(&nobody));
    assert_eq!(lambda.messages(3).await.len(), 3);
    assert_eq!(report(&lambda, 3).await["fast_path_error"], "status_404");
    // What is not on the queue and was answered by nobody did not work, and Slack says so.
    assert_eq!(post(&lambda, &command("/alone", "")).await, ask_again());
    let lost = report(&lambda, 4).await;
    assert_eq!(
        (&lost["outcome"], &lost["reason"], &lost["Lost"]),
        (&json!("unavailable"), &json!("fast_path"), &json!(1))
    );
}

pub(crate) struct Token {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    proxy: Proxy,
}

impl Token {
    pub(crate) async fn create(text: &str) -> Self {
        let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
        let created = client.create_secret().name(fresh_name("bot-token")).secret_string(text).send().await;
        let arn = created.expect("the secret is created").arn.expect("its ARN");
        Self { client, arn, proxy: Proxy::start(&server("MINISTACK_URL")).await }
    }

    async fn put(&self, text: &str) {
        self.client
            .put_secret_value()
            .secret_id(&self.arn)
            .secret_string(text)
            .send()
            .await
            .expect("it is put");
    }

    /// Those variables, and what is needed to open modals.
    pub(crate) fn variables(
        &self,
        slack: &Endpoint,
        mut variables: HashMap<String, String>,
    ) -> HashMap<String, String> {
        let api = slack.url.replace("/slack/events", "/api");
        let more = [
            ("SLACK_BOT_TOKEN_ARN", &self.arn),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.proxy.url()),
            ("SLACK_API_URL", &api),
        ];
        variables.extend(more.map(|(name, value)| (name.to_owned(), value.clone())));
        variables
    }
}

fn opens() -> Value {
    json!([{"name": "new", "when": {"type": "shortcut", "callback_id": "new"}, "open": modal()}])
}

/// The variables of a deployment whose rule opens a modal.
pub(crate) fn opens_on(stage: &Stage, token: &Token, slack: &Endpoint) -> HashMap<String, String> {
    let mut variables = token.variables(slack, stage.variables());
    variables.insert("FAST_PATH".to_owned(), document(opens()));
    variables
}

/// Slack, which opens modals for this token.
pub(crate) async fn slack(token: &'static str) -> Endpoint {
    Endpoint::start(move |_, request: ReceivedRequest| {
        let is_good = request.header("authorization") == Some(&format!("Bearer {token}"));
        let answer =
            if is_good { r#"{"ok":true,"view":{}}"# } else { r#"{"ok":false,"error":"invalid_auth"}"# };
        ready(response(200, &[], answer))
    })
    .await
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_modal_is_opened_under_the_id_that_is_on_the_queue() {
    let (token, slack) = (Token::create("xoxb-1").await, slack("xoxb-1").await);
    let lambda = ingress::start(token.variables(&slack, local(opens()))).await;
    let asked = shortcut();
    assert_eq!(post(&lambda, &asked).await, empty_ok());
    let [message] = lambda.messages(1).await.try_into().expect("one message");
    let [opened] = slack.received().try_into().expect("one call");
    let opened: Value = serde_json::from_slice(&opened.body).expect("JSON");
    assert_eq!(opened["trigger_id"], "1.2.x");
    assert_eq!(opened["view"]["external_id"], message["attributes"]["event_id"]);
    assert_eq!(opened["view"]["external_id"], sha256(&asked.body));
    assert_eq!(opened["view"]["blocks"][0]["text"]["text"], "Hello ann");
    assert_eq!(report(&lambda, 1).await["fast_path_outcome"], "opened");
    // Slack sends it once. Whoever else does opens nothing.
    assert_eq!(post(&lambda, &asked).await, empty_ok());
    assert_eq!(slack.received().len(), 1);
    assert_eq!(token.proxy.calls("GetSecretValue"), 1, "the token is read once, at init");
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_token_that_was_rotated_is_read_again() {
    let (token, slack) =
        (Token::create(r#"{"T1": "xoxb-old", "T2": "xoxb-2"}"#).await, slack("xoxb-new").await);
    let lambda = ingress::start(token.variables(&slack, local(opens()))).await;
    lambda.is_ready().await;
    token.put(r#"{"T1": "xoxb-new", "T2": "xoxb-2"}"#).await;
    assert_eq!(post(&lambda, &shortcut()).await, empty_ok());
    assert_eq!(report(&lambda, 1).await["fast_path_outcome"], "opened");
    let used: Vec<_> =
        slack.received().iter().map(|it| it.header("authorization").map(str::to_owned)).collect();
    assert_eq!(used, [Some("Bearer xoxb-old".to_owned()), Some("Bearer xoxb-new".to_owned())]);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn whatever_becomes_of_a_modal_its_event_is_on_the_queue_in_time() {
    let token = Token::create("xoxb-1").await;
    let slack = Endpoint::start(async |n, _| match n {
        0 => response(200, &[], r#"{"ok":false,"error":"expired_trigger_id"}"#),
        1 => response(503, &[], ""),
        _ => pending().await,
    })
    .await;
    let lambda = ingress::start(token.variables(&slack, local(opens()))).await;
    let errors = ["expired_trigger_id", "status_503", "timed_out"];
    for (n, error) in errors.into_iter().enumerate() {
        let asked = interaction(
            &json!({"type": "shortcut", "callback_id": "new", "trigger_id": format!("{n}"), "team": {"id": "T1"}}),
        );
        assert_eq!(post(&lambda, &asked).await, empty_ok());
        let report = report(&lambda, n + 1).await;
        assert_eq!((&report["outcome"], &report["fast_path_error"]), (&json!("accepted"), &json!(error)));
        assert!(report["AckTime"].as_f64().expect("a time") <= 2500.0, "{report}");
        assert!(report["FastPathFailed"] == 1 && report.get("Lost").is_none(), "{report}");
    }
    assert_eq!(lambda.messages(3).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_token_that_cannot_be_read_costs_the_modal_and_nothing_else() {
    let (token, slack) = (Token::create("xoxb-1").await, slack("xoxb-1").await);
    token.proxy.always("GetSecretValue", Fault::Hang);
    let lambda = ingress::start(token.variables(&slack, local(opens()))).await;
    assert_eq!(post(&lambda, &shortcut()).await, empty_ok());
    assert_eq!(lambda.messages(1).await.len(), 1);
    assert_eq!(report(&lambda, 1).await["fast_path_outcome"], "failed");
    token.proxy.heal();
    let other = interaction(
        &json!({"type": "shortcut", "callback_id": "new", "trigger_id": "2", "team": {"id": "T1"}}),
    );
    assert_eq!(post(&lambda, &other).await, empty_ok());
    assert_eq!(report(&lambda, 2).await["fast_path_outcome"], "opened");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_modal_is_opened_after_the_record_and_beside_the_send_and_the_answer_waits_for_the_send() {
    let (stage, token, slack) = (Stage::fifo().await, Token::create("xoxb-1").await, slack("xoxb-1").await);
    let lambda = ingress::start(opens_on(&stage, &token, &slack)).await;
    assert_eq!(lambda.post(&command("/warm-up", "")).await, empty_ok());
    assert_eq!(stage.queue.take_event_ids().await.len(), 1);
    let (asked, moment) = (shortcut(), Duration::from_millis(100));
    stage.dynamodb.always("PutItem", Fault::Hang);
    stage.sqs.always("SendMessage", Fault::Hang);
    let posted = tokio::spawn(lambda.post(&asked));
    // Nothing is recorded: a process that dies now has opened nothing.
    stage.dynamodb.reached("PutItem", 2).await;
    sleep(moment).await;
    assert!(slack.received().is_empty() && stage.sqs.calls("SendMessage") == 1);
    stage.dynamodb.heal();
    // The event is not on the queue: the modal does not wait for that, and the 200 does.
    eventually("the call of views.open", async || (!slack.received().is_empty()).then_some(())).await;
    stage.sqs.reached("SendMessage", 2).await;
    sleep(moment).await;
    assert!(!posted.is_finished());
    stage.sqs.heal();
    assert_eq!(posted.await.expect("an answer"), empty_ok());
    assert_eq!(stage.queue.take_event_ids().await, [sha256(&asked.body)]);
    let report = report(&lambda, 2).await;
    assert_eq!((&report["outcome"], &report["fast_path_outcome"]), (&json!("accepted"), &json!("opened")));
    assert_eq!(slack.received().len(), 1);
}

#[tokio::test]
#[ignore = "needs DynamoDB Local and ElasticMQ: make test"]
async fn an_event_that_is_not_safe_gets_no_answer_of_a_rule() {
    let stage = Stage::fifo().await;
    let rules = document(json!([{"when": {"command": "/deploy"}, "answer": "On it"}]));
    let mut variables = stage.variables();
    variables.insert("FAST_PATH".to_owned(), rules);
    let lambda = ingress::start(variables).await;
    // The queue fails: the store keeps the event, and a person may be told that it is taken care of.
    stage.sqs.always("SendMessage", Fault::Refuse(500, "InternalError"));
    assert!(post(&lambda, &command("/deploy", "1")).await.body.contains("On it"));
    assert_eq!(report(&lambda, 1).await["outcome"], "parked");
    // Nothing is left that could keep it.
    stage.dynamodb.always("PutItem", Fault::Refuse(500, "InternalServerError"));
    assert_eq!(post(&lambda, &command("/deploy", "2")).await, ask_again());
    assert_eq!(report(&lambda, 2).await["Lost"], 1);
}
