//! Tests the real `token-rotation` with Secrets Manager, DynamoDB and a stand-in for Slack's OAuth: that no two processes use one
//! refresh token, and what a process leaves that is killed.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use slack_ingress::rotation::claims::{PREFIX, fingerprint};
use slack_ingress::slack::bot_token::BotToken;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use test_support::aws::proxy::{Fault, Gate, Proxy};
use test_support::aws::{Table, VARIABLES, sdk_config};
use test_support::lambda::{Ended, Lambda, function_variables};
use test_support::servers::{fresh_name, server};
use test_support::slack::oauth::{CLIENT_ID, CLIENT_SECRET, Fault as SlackFault, OAuth, Place};
use test_support::wait::{all, eventually};

/// The time-out that the function is deployed with.
const TIMEOUT: Duration = Duration::from_secs(120);

const TENANT: &str = "T061EG9R6";
const HOUR: i64 = 3600;

/// The binary of the release that is under test, or else the one that cargo built with these tests.
fn binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_token-rotation"));
    std::env::var_os("SLACK_INGRESS_BIN")
        .map_or(built, |ingress| PathBuf::from(ingress).with_file_name("token-rotation"))
}

/// An app that is installed once, with a token whose secret the function looks after.
struct Scene {
    slack: OAuth,
    table: Table,
    dynamodb: Proxy,
    secrets: Proxy,
    client: aws_sdk_secretsmanager::Client,
    secret: String,
    app: String,
    first: BotToken,
}

impl Scene {
    /// A token with this many seconds left.
    async fn with_left(seconds: i64) -> Self {
        let slack = OAuth::start().await;
        let (token, refresh_token) = slack.install(Place::Workspace(TENANT));
        let expires_at = SystemClock.now().as_secs().checked_add_signed(seconds);
        let first = BotToken {
            token,
            refresh_token: Some(refresh_token),
            expires_at,
            tenant: Some(TENANT.to_owned()),
        };
        Self::with(slack, first).await
    }

    async fn with(slack: OAuth, first: BotToken) -> Self {
        let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
        let app = json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET }).to_string();
        let (secret, credentials) = (fresh_name("bot-token"), fresh_name("app"));
        for (name, text) in [(&secret, first.to_json()), (&credentials, app)] {
            client.create_secret().name(name).secret_string(text).send().await.expect("the secret");
        }
        Self {
            slack,
            table: Table::create().await,
            dynamodb: Proxy::start(&server("DYNAMODB_URL")).await,
            secrets: Proxy::start(&server("MINISTACK_URL")).await,
            client,
            secret,
            app: credentials,
            first,
        }
    }

    fn variables(&self) -> HashMap<String, String> {
        let store = format!("dynamodb:{}", self.table.name);
        let more = [
            ("DEDUP_STORE", store.as_str()),
            ("BOT_TOKEN_SECRETS", &self.secret),
            ("APP_CREDENTIALS_SECRET", &self.app),
            ("SLACK_API_URL", &self.slack.url()),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.secrets.url()),
        ];
        let more =
            VARIABLES.iter().chain(&more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        function_variables("token-rotation", 256).chain(more).collect()
    }

    async fn process(&self) -> Lambda {
        Lambda::start(&binary(), self.variables()).await
    }

    /// One run in a new process: its log line, with what became of the token.
    async fn run(&self) -> Value {
        self.run_for(TIMEOUT).await
    }

    /// The same, in a function with this time-out.
    async fn run_for(&self, timeout: Duration) -> Value {
        let lambda = self.process().await;
        let ended = lambda.invoke_for(&json!({}), timeout).await;
        assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
        let line = lambda.reports(1).await.remove(0);
        for never in ["xoxe", "xoxb", CLIENT_SECRET] {
            assert!(!lambda.stderr().concat().contains(never), "{never}: {:?}", lambda.stderr());
        }
        line
    }

    /// The outcome of one run in a new process.
    async fn outcome(&self) -> String {
        self.run().await["tokens"][0]["outcome"].as_str().expect("an outcome").to_owned()
    }

    /// Starts a run, and kills its process when `reached` has come.
    async fn killed_when(&self, reached: impl Future<Output = ()>) {
        let mut lambda = self.process().await;
        let ended = lambda.invoke_for(&json!({}), TIMEOUT);
        tokio::select! {
            () = reached => {}
            ended = tokio::spawn(ended) => panic!("the run ended: {ended:?} {:?}", lambda.stderr()),
        }
        lambda.kill().await;
        self.dynamodb.heal();
        self.secrets.heal();
        self.slack.plan.heal();
    }

    async fn current(&self) -> BotToken {
        let got = self.client.get_secret_value().secret_id(&self.secret).send().await.expect("a version");
        BotToken::read(got.secret_string().expect("a text")).expect("a token")
    }

    fn refresh_token(&self) -> &str {
        self.first.refresh_token.as_deref().expect("a refresh token")
    }

    /// How often the first refresh token was used.
    fn uses(&self) -> usize {
        self.slack.uses(self.refresh_token())
    }

    fn claim(&self) -> String {
        format!("{PREFIX}{}", fingerprint(self.refresh_token()))
    }

    async fn is_claimed(&self) -> bool {
        self.table.item(&self.claim()).await.is_some()
    }

    async fn claimed(&self) {
        eventually("the claim", async || self.is_claimed().await.then_some(())).await;
    }

    /// Waits for the version that the new token is stored in.
    async fn stored(&self) {
        let id = fingerprint(self.refresh_token());
        eventually("the stored version", async || {
            let get = self.client.get_secret_value().secret_id(&self.secret).version_id(&id);
            get.send().await.ok().map(|_| ())
        })
        .await;
    }

    /// Lets the lease of the claim end.
    async fn let_the_claim_end(&self) {
        let at = SystemClock.now().as_millis() - 181_000;
        let update = self.table.client.update_item().table_name(&self.table.name);
        update
            .key("event_id", AttributeValue::S(self.claim()))
            .update_expression("SET claimed_at = :at")
            .expression_attribute_values(":at", AttributeValue::N(at.to_string()))
            .send()
            .await
            .expect("the claim is older");
    }

    /// Checks what a process has left that died with the claim and stored nothing: nobody uses the refresh token again, the
    /// token of before is still there, and when the claim's lease is over, it is said that a person is needed.
    async fn is_lost_after(&self, uses: usize) {
        assert_eq!(self.outcome().await, "waits");
        self.let_the_claim_end().await;
        let line = self.run().await;
        assert_eq!(
            (line["tokens"][0]["outcome"].as_str(), line["TokensLost"].as_u64()),
            (Some("lost"), Some(1))
        );
        assert_eq!(line["level"], "ERROR");
        assert_eq!(self.uses(), uses);
        assert_eq!(self.current().await, self.first);
        assert!(self.slack.is_good(&self.first.token));

        // Somebody installs the app again.
        let (token, refresh_token) = self.slack.install(Place::Workspace(TENANT));
        let again = BotToken { token, refresh_token: Some(refresh_token), ..self.first.clone() };
        let put = self.client.put_secret_value().secret_id(&self.secret).secret_string(again.to_json());
        put.send().await.expect("the new token is put");
        assert_eq!(self.outcome().await, "refreshed");
    }

    /// Checks that the new token is the current one, got with one use of the refresh token.
    async fn is_new(&self) {
        let current = self.current().await;
        assert_ne!(current.token, self.first.token);
        assert_eq!(current.tenant.as_deref(), Some(TENANT));
        assert!(self.slack.is_good(&current.token));
        let left = current.left(SystemClock.now()).expect("it expires").as_secs();
        assert!((42_000..=43_200).contains(&left), "{left}");
        assert_eq!(self.uses(), 1);
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_token_is_refreshed_in_its_second_half_and_left_alone_before() {
    let fresh = Scene::with_left(7 * HOUR).await;
    let line = fresh.run().await;
    assert_eq!((line["tokens"][0]["outcome"].as_str(), fresh.slack.calls()), (Some("fresh"), 0));
    assert_eq!((line["TokensExpiring"].as_u64(), line["TokensLost"].as_u64()), (Some(0), Some(0)));
    assert!((25_000..=25_200).contains(&line["TokenTimeLeft"].as_u64().unwrap()), "{line}");

    let due = Scene::with_left(5 * HOUR).await;
    let line = due.run().await;
    assert_eq!(line["tokens"][0]["outcome"], "refreshed", "{line}");
    assert_eq!((line["TokensRefreshed"].as_u64(), line["level"].as_str()), (Some(1), Some("INFO")));
    due.is_new().await;
    assert_eq!(due.outcome().await, "fresh");

    // One that was put by hand says nothing of its end and its tenant; the next one does.
    let by_hand = Scene::with_left(0).await;
    let text = BotToken { expires_at: None, tenant: None, ..by_hand.first.clone() }.to_json();
    by_hand.client.put_secret_value().secret_id(&by_hand.secret).secret_string(text).send().await.unwrap();
    assert_eq!(by_hand.outcome().await, "refreshed");
    by_hand.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_does_not_rotate_is_left_alone_and_what_cannot_is_said() {
    for (text, outcome, lost, expiring) in [
        (r#"{"token": "xoxb-1"}"#, "plain", 0, 0),
        (r#"{"token": "k3JhX0madeUp"}"#, "no_token", 0, 0),
        (r#"{"token": "xoxp-1"}"#, "no_token", 0, 0),
        ("made up", "no_token", 0, 0),
        (r#"{"token": "xoxe.xoxb-1"}"#, "lost", 1, 1),
    ] {
        let scene = Scene::with_left(0).await;
        scene.client.put_secret_value().secret_id(&scene.secret).secret_string(text).send().await.unwrap();
        let line = scene.run().await;
        assert_eq!(line["tokens"][0]["outcome"], outcome, "{line}");
        assert_eq!(
            (line["TokensLost"].as_u64(), line["TokensExpiring"].as_u64()),
            (Some(lost), Some(expiring))
        );
        assert_eq!(scene.slack.calls(), 0);
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn of_many_processes_at_once_one_uses_the_refresh_token() {
    let scene = Scene::with_left(HOUR).await;
    // All of them are to find the token due before the first is done.
    let gate = Gate::default();
    for _ in 0..6 {
        scene.dynamodb.once("PutItem", Fault::HoldBefore(gate.clone()));
    }
    let mut processes = Vec::new();
    for _ in 0..6 {
        processes.push(scene.process().await);
    }
    let runs: Vec<_> = processes.iter().map(|process| process.invoke_for(&json!({}), TIMEOUT)).collect();
    let runs = tokio::spawn(all(runs));
    scene.dynamodb.reached("PutItem", 6).await;
    for _ in 0..6 {
        gate.open();
        // `open` lets one pass; two at once would count as one.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = runs.await.unwrap();
    let outcomes: Vec<_> = ended
        .into_iter()
        .map(|ended| match ended {
            Ended::Answered(answer) => answer["outcomes"][0].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "refreshed").count(), 1, "{outcomes:?}");
    assert!(
        outcomes.iter().all(|it| ["refreshed", "waits", "finished", "overtaken"].contains(&it.as_str())),
        "{outcomes:?}"
    );
    assert_eq!(scene.slack.calls(), 1);
    scene.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_process_that_dies_before_the_claim_leaves_everything_to_the_next() {
    let scene = Scene::with_left(HOUR).await;
    scene.dynamodb.always("PutItem", Fault::Hang);
    scene.killed_when(scene.dynamodb.reached("PutItem", 1)).await;
    assert_eq!((scene.slack.calls(), scene.is_claimed().await), (0, false));
    assert_eq!(scene.outcome().await, "refreshed");
    scene.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_process_that_dies_between_claim_and_slack_costs_the_refresh_token() {
    let scene = Scene::with_left(HOUR).await;
    scene.dynamodb.always("PutItem", Fault::HangAfter);
    scene.killed_when(scene.claimed()).await;
    assert_eq!(scene.slack.calls(), 0);
    scene.is_lost_after(0).await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_process_that_dies_before_slacks_answer_costs_the_refresh_token() {
    for (fault, uses) in [(SlackFault::Hang, 0), (SlackFault::HangAfter, 1)] {
        let scene = Scene::with_left(HOUR).await;
        scene.slack.plan.always("oauth.v2.access", fault);
        scene.killed_when(scene.slack.called(1)).await;
        scene.is_lost_after(uses).await;
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_process_that_dies_with_the_new_token_in_its_hand_costs_it() {
    let scene = Scene::with_left(HOUR).await;
    scene.secrets.always("PutSecretValue", Fault::Hang);
    scene.killed_when(scene.secrets.reached("PutSecretValue", 1)).await;
    scene.is_lost_after(1).await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_a_process_has_stored_the_next_one_makes_current() {
    let stored = Scene::with_left(HOUR).await;
    stored.secrets.always("PutSecretValue", Fault::HangAfter);
    stored.killed_when(stored.stored()).await;
    assert_eq!(stored.current().await, stored.first);
    assert_eq!(stored.outcome().await, "finished");
    stored.is_new().await;

    let before = Scene::with_left(HOUR).await;
    before.secrets.always("UpdateSecretVersionStage", Fault::Hang);
    before.killed_when(before.secrets.reached("UpdateSecretVersionStage", 1)).await;
    assert_eq!(before.current().await, before.first);
    // Also when the claim is old.
    before.let_the_claim_end().await;
    assert_eq!(before.outcome().await, "finished");
    before.is_new().await;

    let after = Scene::with_left(HOUR).await;
    after.secrets.always("UpdateSecretVersionStage", Fault::HangAfter);
    let promoted =
        eventually("the new version", async || (after.current().await != after.first).then_some(()));
    after.killed_when(promoted).await;
    assert_eq!(after.outcome().await, "fresh");
    after.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_answer_that_was_lost_is_asked_for_again_by_the_same_process_alone() {
    let grace = Scene::with_left(HOUR).await;
    grace.slack.grace(true);
    grace.slack.plan.once("oauth.v2.access", SlackFault::LoseAnswer);
    assert_eq!(grace.outcome().await, "refreshed");
    assert_eq!((grace.uses(), grace.slack.calls()), (2, 2));
    assert!(grace.slack.is_good(&grace.current().await.token));
    // It has cost the token of before: two are good at a time, and nobody has the second one.
    assert!(!grace.slack.is_good(&grace.first.token));

    // Where Slack's grace period is over, the new token is lost, and nobody asks a third time.
    let none = Scene::with_left(HOUR).await;
    none.slack.plan.once("oauth.v2.access", SlackFault::LoseAnswer);
    let line = none.run().await;
    assert_eq!(line["tokens"][0]["why"], "Slack: invalid_refresh_token", "{line}");
    assert_eq!((none.uses(), none.slack.calls()), (1, 2));
    none.let_the_claim_end().await;
    assert_eq!(none.outcome().await, "lost");
    assert_eq!(none.slack.calls(), 2);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_refresh_token_that_was_certainly_not_used_is_given_back() {
    for fault in [SlackFault::RateLimit, SlackFault::Error("bad_client_secret")] {
        let scene = Scene::with_left(HOUR).await;
        scene.slack.plan.once("oauth.v2.access", fault);
        let line = scene.run().await;
        assert_eq!(
            (line["tokens"][0]["outcome"].as_str(), scene.is_claimed().await),
            (Some("failed"), false)
        );
        assert_eq!(
            (line["TokenRefreshFailures"].as_u64(), line["TokensExpiring"].as_u64()),
            (Some(1), Some(1))
        );
        assert_eq!(scene.outcome().await, "refreshed");
        scene.is_new().await;
    }
    // What cannot be used is not claimed at all.
    let scene = Scene::with_left(HOUR).await;
    scene.client.put_secret_value().secret_id(&scene.app).secret_string("{}").send().await.unwrap();
    assert_eq!((scene.outcome().await.as_str(), scene.is_claimed().await), ("failed", false));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_outage_of_slacks_costs_no_refresh_token_and_only_one_is_tried() {
    let scene = Scene::with_left(HOUR).await;
    scene.slack.plan.always("oauth.v2.access", SlackFault::Error("fatal_error"));
    let lambda = scene.process().await;
    let ended = tokio::spawn(lambda.invoke_for(&json!({}), TIMEOUT));
    scene.slack.called(5).await;
    scene.slack.plan.heal();
    let Ended::Answered(answer) = ended.await.unwrap() else { panic!("no answer") };
    assert_eq!(answer["outcomes"], json!(["refreshed"]));
    scene.is_new().await;

    // One that lasts costs the first token, and not those behind it in the same run.
    let long = Scene::with_left(HOUR).await;
    let (token, refresh_token) = long.slack.install(Place::Workspace("T0SECOND"));
    let second = BotToken { token, refresh_token: Some(refresh_token.clone()), ..long.first.clone() };
    let name = fresh_name("bot-token");
    long.client.create_secret().name(&name).secret_string(second.to_json()).send().await.unwrap();
    let mut variables = long.variables();
    variables.insert("BOT_TOKEN_SECRETS".to_owned(), format!("{},{name}", long.secret));
    long.slack.plan.always("oauth.v2.access", SlackFault::Error("fatal_error"));
    let lambda = Lambda::start(&binary(), variables).await;
    let Ended::Answered(answer) = lambda.invoke_for(&json!({}), TIMEOUT).await else { panic!("no answer") };
    assert_eq!(answer["outcomes"], json!(["lost", "waits"]));
    assert!(long.table.item(&format!("{PREFIX}{}", fingerprint(&refresh_token))).await.is_none());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_claim_that_was_left_is_taken_over_by_one_run_when_the_token_of_before_has_expired() {
    // The process died before it asked Slack: the refresh token is good.
    let good = Scene::with_left(-60).await;
    good.dynamodb.always("PutItem", Fault::HangAfter);
    good.killed_when(good.claimed()).await;
    assert_eq!(good.outcome().await, "waits");
    good.let_the_claim_end().await;
    // Several runs find the claim old before the first of them takes it over.
    let gate = Gate::default();
    for fault in [Fault::Delay(Duration::ZERO), Fault::HoldBefore(gate.clone())] {
        // A run's first write finds the claim.
        good.dynamodb.once("PutItem", fault);
    }
    let before = good.dynamodb.calls("PutItem");
    let held = good.process().await;
    let held_run = tokio::spawn(held.invoke_for(&json!({}), TIMEOUT));
    good.dynamodb.reached("PutItem", before + 2).await;
    assert_eq!(good.outcome().await, "refreshed");
    gate.open();
    let Ended::Answered(answer) = held_run.await.unwrap() else { panic!("no answer") };
    assert!(
        ["waits", "finished", "overtaken"].contains(&answer["outcomes"][0].as_str().unwrap()),
        "{answer}"
    );
    assert_eq!(good.slack.calls(), 1);
    good.is_new().await;

    // It died with the new token in its hand: Slack refuses, once in a run, and a person is told.
    let used = Scene::with_left(-60).await;
    used.secrets.always("PutSecretValue", Fault::Hang);
    used.killed_when(used.secrets.reached("PutSecretValue", 1)).await;
    used.let_the_claim_end().await;
    let line = used.run().await;
    assert_eq!(line["tokens"][0]["why"], "Slack: invalid_refresh_token", "{line}");
    assert_eq!((line["TokensLost"].as_u64(), used.slack.calls(), used.uses()), (Some(1), 2, 1));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_claim_whose_answers_are_lost_costs_no_refresh_token() {
    // More than the SDK's own three attempts.
    let scene = Scene::with_left(HOUR).await;
    for _ in 0..4 {
        scene.dynamodb.once("PutItem", Fault::HangAfter);
    }
    assert_eq!(scene.outcome().await, "refreshed");
    scene.is_new().await;

    // To the end: the claim is given back, also if that fails for a while.
    let long = Scene::with_left(HOUR).await;
    long.dynamodb.always("PutItem", Fault::HangAfter);
    for _ in 0..4 {
        long.dynamodb.once("DeleteItem", Fault::Refuse(500, "InternalServerError"));
    }
    let line = long.run_for(Duration::from_secs(95)).await;
    assert_eq!(line["tokens"][0]["outcome"], "failed", "{line}");
    assert_eq!((long.is_claimed().await, long.slack.calls()), (false, 0));
    long.dynamodb.heal();
    assert_eq!(long.outcome().await, "refreshed");
    long.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_refresh_token_that_slack_does_not_take_at_first_is_asked_for_again_by_the_next_run() {
    // As with the credentials of another app.
    let scene = Scene::with_left(HOUR).await;
    scene.slack.plan.once("oauth.v2.access", SlackFault::Error("invalid_refresh_token"));
    let line = scene.run().await;
    assert_eq!((line["tokens"][0]["outcome"].as_str(), line["TokensLost"].as_u64()), (Some("lost"), Some(1)));
    assert!(!scene.is_claimed().await);
    assert_eq!(scene.outcome().await, "refreshed");
    scene.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_new_token_that_cannot_be_stored_is_lost_and_said_in_time() {
    let scene = Scene::with_left(HOUR).await;
    scene.secrets.always("PutSecretValue", Fault::Refuse(500, "InternalServiceError"));
    let name = fresh_name("never-read");
    let mut variables = scene.variables();
    variables.insert("BOT_TOKEN_SECRETS".to_owned(), format!("{},{name}", scene.secret));
    let lambda = Lambda::start(&binary(), variables).await;
    // Shorter than deployed, so that the test is.
    let started = SystemClock.now();
    let ended = lambda.invoke_for(&json!({}), Duration::from_secs(92)).await;
    assert!(matches!(ended, Ended::Answered(_)), "{ended:?}");
    let took = started.until(SystemClock.now());
    assert!(took < Duration::from_secs(87), "{took:?}");
    let line = lambda.reports(1).await.remove(0);
    let why = "Slack has granted a new token, and it could not be stored";
    assert_eq!((line["tokens"][0]["why"].as_str(), line["level"].as_str()), (Some(why), Some("ERROR")));
    assert_eq!(line["tokens"][1]["outcome"], "waits", "{line}");
    assert!(line["errors"].to_string().contains("PutSecretValue"), "{line}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn missing_credentials_are_said_while_the_token_has_time_and_an_end_in_milliseconds_is_none() {
    let scene = Scene::with_left(11 * HOUR).await;
    scene.client.put_secret_value().secret_id(&scene.app).secret_string("{}").send().await.unwrap();
    let line = scene.run().await;
    let outcome = (line["tokens"][0]["outcome"].as_str(), line["TokenRefreshFailures"].as_u64());
    assert_eq!(outcome, (Some("failed"), Some(1)), "{line}");
    assert_eq!(line["TokensExpiring"], 0);

    let millis = Scene::with_left(HOUR).await;
    let expires_at = Some(SystemClock.now().as_millis() + 3_600_000);
    let text = BotToken { expires_at, ..millis.first.clone() }.to_json();
    millis.client.put_secret_value().secret_id(&millis.secret).secret_string(text).send().await.unwrap();
    assert_eq!(millis.outcome().await, "refreshed");
    millis.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_new_token_is_stored_although_secrets_manager_fails_for_a_while() {
    let scene = Scene::with_left(HOUR).await;
    for _ in 0..7 {
        scene.secrets.once("PutSecretValue", Fault::Refuse(500, "InternalServiceError"));
    }
    assert_eq!(scene.outcome().await, "refreshed");
    scene.is_new().await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_token_that_somebody_puts_meanwhile_stays() {
    let scene = Scene::with_left(HOUR).await;
    let gate = Gate::default();
    scene.secrets.once("UpdateSecretVersionStage", Fault::HoldBefore(gate.clone()));
    let lambda = scene.process().await;
    let ended = tokio::spawn(lambda.invoke_for(&json!({}), TIMEOUT));
    scene.secrets.reached("UpdateSecretVersionStage", 1).await;
    let (token, refresh_token) = scene.slack.install(Place::Workspace(TENANT));
    let put = BotToken { token, refresh_token: Some(refresh_token), ..scene.first.clone() };
    let put_it = scene.client.put_secret_value().secret_id(&scene.secret).secret_string(put.to_json());
    put_it.send().await.unwrap();
    gate.open();
    let Ended::Answered(answer) = ended.await.unwrap() else { panic!("no answer") };
    assert_eq!(answer["outcomes"], json!(["overtaken"]));
    assert_eq!(scene.current().await, put);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_new_token_of_another_tenant_takes_no_place() {
    let slack = OAuth::start().await;
    let (token, refresh_token) = slack.install(Place::Workspace("T0OTHER"));
    let expires_at = Some(SystemClock.now().as_secs() + 60);
    let tenant = Some(TENANT.to_owned());
    let scene =
        Scene::with(slack, BotToken { token, refresh_token: Some(refresh_token), expires_at, tenant }).await;
    let line = scene.run().await;
    assert_eq!(line["tokens"][0]["why"], "the new token is another tenant's", "{line}");
    assert_eq!(scene.current().await, scene.first);
}
