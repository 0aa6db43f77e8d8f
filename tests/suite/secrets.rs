//! Tests the signing secret in Secrets Manager: the function reads it at init, and a rotation needs no deployment.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::sdk_config;
use test_support::lambda::answers::{ask_again, ok, unauthorized};
use test_support::lambda::variables;
use test_support::lambda::{Lambda, Reply};
use test_support::servers::fresh_name;
use test_support::servers::server;
use test_support::slack::{Request, mention};

use crate::support::ingress::{self, run_to_end};

struct Secret {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    proxy: Proxy,
}

impl Secret {
    async fn create(value: &str) -> Self {
        let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
        let created =
            client.create_secret().name(fresh_name("signing-secret")).secret_string(value).send().await;
        let arn = created.expect("the secret is created").arn.expect("its ARN");
        Self { client, arn, proxy: Proxy::start(&server("MINISTACK_URL")).await }
    }

    async fn rotate(&self, value: &str) {
        let put = self.client.put_secret_value().secret_id(&self.arn).secret_string(value).send().await;
        put.expect("the secret is rotated");
    }

    fn variables(&self) -> HashMap<String, String> {
        let mut variables = variables([
            ("DEDUP_STORE", "memory:"),
            ("EVENT_SINK", "stdout:"),
            ("SLACK_SIGNING_SECRET_ARN", &self.arn),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.proxy.url()),
        ]);
        variables.remove("SLACK_SIGNING_SECRET");
        variables
    }
}

fn signed(secret: &str, id: &str) -> Request {
    Request::signed_with(secret, SystemClock.now().as_secs(), "application/json", mention(id, "hello"))
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn the_secret_is_read_once_at_init() {
    let secret = Secret::create("first").await;
    let lambda = ingress::start(secret.variables()).await;
    for n in 0..5 {
        assert_eq!(lambda.post(&signed("first", &format!("Ev{n}"))).await, ok());
    }
    assert_eq!(secret.proxy.calls("GetSecretValue"), 2, "AWSCURRENT and AWSPREVIOUS");
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_rotation_needs_no_deploy_and_the_old_secret_goes_on_for_a_while() {
    let secret = Secret::create("first").await;
    let lambda = ingress::start(secret.variables()).await;
    assert_eq!(lambda.post(&signed("first", "Ev1")).await, ok());
    secret.rotate("second").await;
    assert_eq!(lambda.post(&signed("second", "Ev2")).await, ok());
    // During Slack's grace period requests may be signed with either secret.
    assert_eq!(lambda.post(&signed("first", "Ev3")).await, ok());
    assert_eq!(
        secret.proxy.calls("GetSecretValue"),
        4,
        "each version twice: at init, and after the mismatch"
    );
    // After a wrong signature the function reads the secret again at most once a minute, so it does not notice the next rotation yet.
    secret.rotate("third").await;
    assert_eq!(lambda.post(&signed("third", "Ev4")).await, unauthorized());
    assert_eq!(secret.proxy.calls("GetSecretValue"), 4);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_stale_or_malformed_request_is_no_reason_to_read_the_secret() {
    let secret = Secret::create("first").await;
    let lambda = ingress::start(secret.variables()).await;
    let stale = Request::signed_with(
        "first",
        SystemClock.now().as_secs() - 400,
        "application/json",
        mention("Ev1", "hello"),
    );
    assert_eq!(lambda.post(&stale).await, unauthorized());
    assert_eq!(lambda.post(&signed("first", "Ev1").without("X-Slack-Signature")).await, unauthorized());
    assert_eq!(secret.proxy.calls("GetSecretValue"), 2);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn forgeries_do_not_make_us_ask_for_the_secret_again_and_again() {
    let secret = Secret::create("first").await;
    let lambda = ingress::start(secret.variables()).await;
    for n in 0..20 {
        assert_eq!(lambda.post(&signed("forged", &format!("Ev{n}"))).await, unauthorized());
    }
    assert!(secret.proxy.calls("GetSecretValue") <= 4, "{}", secret.proxy.calls("GetSecretValue"));
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn without_secrets_manager_at_init_slack_is_told_to_ask_again_until_it_is_there() {
    let secret = Secret::create("first").await;
    for outage in [Fault::Refuse(500, "InternalServiceError"), Fault::Break, Fault::Hang] {
        secret.proxy.always("GetSecretValue", outage.clone());
        let lambda = ingress::start(secret.variables()).await;
        assert_eq!(lambda.post(&signed("first", "Ev1")).await, ask_again(), "{outage:?}");
        secret.proxy.heal();
        assert_eq!(lambda.post(&signed("first", "Ev1")).await, ok(), "{outage:?}");
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_secrets_manager_that_fails_later_takes_nothing_away() {
    let secret = Secret::create("first").await;
    let lambda = ingress::start(secret.variables()).await;
    assert_eq!(lambda.post(&signed("first", "Ev1")).await, ok());
    secret.proxy.always("GetSecretValue", Fault::Hang);
    assert_eq!(lambda.post(&signed("forged", "Ev2")).await, unauthorized());
    assert_eq!(lambda.post(&signed("first", "Ev3")).await, ok());
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn of_several_apps_each_signs_for_itself_alone() {
    let secret = Secret::create(r#"{ "A0MDYCDME": "one", "A0OTHER": "two" }"#).await;
    let lambda = ingress::start(secret.variables()).await;
    let of_app =
        |app: &str, id: &str| String::from_utf8(mention(id, "hello")).unwrap().replace("A0MDYCDME", app);
    let post = |signer: &str, app: &str, id: &str| {
        let now = SystemClock.now().as_secs();
        lambda.post(&Request::signed_with(signer, now, "application/json", of_app(app, id)))
    };
    // A request that one app signs in the name of the other is refused and not recorded.
    assert_eq!(post("one", "A0OTHER", "Ev2").await, unauthorized());
    assert_eq!(post("two", "A0MDYCDME", "Ev1").await, unauthorized());
    assert_eq!(post("one", "A0NOBODYS", "Ev3").await, unauthorized());
    assert_eq!(post("one", "A0MDYCDME", "Ev1").await, ok());
    assert_eq!(post("two", "A0OTHER", "Ev2").await, ok());
    let reports = lambda.reports(5).await;
    assert_eq!(reports[0]["reason"], "other_app");
    assert_eq!((&reports[3]["outcome"], &reports[4]["outcome"]), (&"accepted".into(), &"accepted".into()));
    // A challenge names no app.
    let challenge = r#"{"type":"url_verification","token":"x","challenge":"c"}"#;
    let request = Request::signed_with("two", SystemClock.now().as_secs(), "application/json", challenge);
    assert_eq!(lambda.post(&request).await.body, "c");
    // A third app is added, and the secret of another one is rotated, without a deployment.
    secret.rotate(r#"{ "A0MDYCDME": "one-b", "A0OTHER": "two", "A0THIRD": "three" }"#).await;
    assert_eq!(post("three", "A0THIRD", "Ev4").await, ok());
    assert_eq!(post("one-b", "A0MDYCDME", "Ev5").await, ok());
    assert_eq!(post("one", "A0MDYCDME", "Ev6").await, ok(), "the version before is good for a while");
}

/// Posts an event of `app` that is signed with `signer`.
async fn post_of(lambda: &Lambda, signer: &str, app: &str, id: &str) -> Reply {
    let body = String::from_utf8(mention(id, "hello")).expect("UTF-8").replace("A0MDYCDME", app);
    lambda.post(&Request::signed_with(signer, SystemClock.now().as_secs(), "application/json", body)).await
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_plain_secret_of_before_does_not_speak_for_the_apps_of_now() {
    let secret = Secret::create("one").await;
    secret.rotate(r#"{ "A0MDYCDME": "one-b", "A0OTHER": "two" }"#).await;
    let lambda = ingress::start(secret.variables()).await;
    for app in ["A0MDYCDME", "A0OTHER"] {
        assert_eq!(post_of(&lambda, "one", app, "Ev1").await, unauthorized(), "{app}");
    }
    assert_eq!(post_of(&lambda, "one-b", "A0MDYCDME", "Ev1").await, ok());
    assert_eq!(post_of(&lambda, "two", "A0OTHER", "Ev1").await, ok());

    // One app's secret becomes an object with that app alone: its version before is still good, for that app.
    let secret = Secret::create("one").await;
    secret.rotate(r#"{ "A0MDYCDME": "one-b" }"#).await;
    let lambda = ingress::start(secret.variables()).await;
    assert_eq!(post_of(&lambda, "one", "A0MDYCDME", "Ev1").await, ok());
    assert_eq!(post_of(&lambda, "one", "A0OTHER", "Ev2").await, unauthorized());
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_plain_secret_put_over_those_of_several_apps_locks_nobody_out() {
    let secret = Secret::create(r#"{ "A0MDYCDME": "one", "A0OTHER": "two" }"#).await;
    let before = ingress::start(secret.variables()).await;
    secret.rotate("new").await;
    let after = ingress::start(secret.variables()).await;
    for (lambda, name) in [(&before, "running"), (&after, "started anew")] {
        assert_eq!(post_of(lambda, "new", "A0OTHER", "Ev1").await, unauthorized(), "{name}");
        assert_eq!(post_of(lambda, "one", "A0MDYCDME", "Ev1").await, ok(), "{name}");
        assert_eq!(post_of(lambda, "two", "A0OTHER", "Ev1").await, ok(), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn an_app_that_was_taken_out_is_locked_out_with_its_old_secret_too() {
    let secret = Secret::create(r#"{ "A0MDYCDME": "one", "A0OTHER": "two" }"#).await;
    let running = ingress::start(secret.variables()).await;
    secret.rotate(r#"{ "A0MDYCDME": "one-b" }"#).await;
    // The new secret is unknown here, so the process reads again.
    assert_eq!(post_of(&running, "one-b", "A0MDYCDME", "Ev1").await, ok());
    let started_anew = ingress::start(secret.variables()).await;
    for lambda in [&running, &started_anew] {
        assert_eq!(post_of(lambda, "two", "A0OTHER", "Ev2").await, unauthorized());
        assert_eq!(
            post_of(lambda, "one", "A0MDYCDME", "Ev3").await,
            ok(),
            "the version before, of one that stayed"
        );
    }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn one_app_cannot_use_up_the_ids_of_another() {
    let secret = Secret::create(r#"{ "A0MDYCDME": "one", "A0OTHER": "two" }"#).await;
    let lambda = ingress::start(secret.variables()).await;
    assert_eq!(post_of(&lambda, "one", "A0MDYCDME", "Ev1").await, ok());
    assert_eq!(post_of(&lambda, "two", "A0OTHER", "Ev1").await, ok());
    // Nor by an id that looks like the other's key.
    assert_eq!(post_of(&lambda, "two", "A0OTHER", "A0MDYCDME:Ev2").await, ok());
    assert_eq!(post_of(&lambda, "one", "A0MDYCDME", "Ev2").await, ok());
    let ids: Vec<_> =
        lambda.messages(4).await.iter().map(|message| message["deduplication_id"].clone()).collect();
    assert_eq!(
        (&ids[0], &ids[1], &ids[3]),
        (&"A0MDYCDME:Ev1".into(), &"A0OTHER:Ev1".into(), &"A0MDYCDME:Ev2".into())
    );
    assert!(
        ids[2].as_str().is_some_and(|id| id.starts_with("A0OTHER:") && !id.contains("A0MDYCDME")),
        "{ids:?}"
    );
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_process_of_one_app_does_not_become_one_of_several() {
    let secret = Secret::create(r#"{ "A0MDYCDME": "one" }"#).await;
    let lambda = ingress::start(secret.variables()).await;
    assert_eq!(post_of(&lambda, "one", "A0MDYCDME", "Ev1").await, ok());
    secret.rotate(r#"{ "A0MDYCDME": "one", "A0OTHER": "two" }"#).await;
    // Both apps get one message under one id. Recorded under that id alone, the second app's would count as a duplicate.
    assert_eq!(post_of(&lambda, "two", "A0OTHER", "Ev1").await, unauthorized());
    assert_eq!(post_of(&lambda, "one", "A0MDYCDME", "Ev2").await, ok());
    let deployed = ingress::start(secret.variables()).await;
    assert_eq!(post_of(&deployed, "two", "A0OTHER", "Ev1").await, ok());
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_secret_that_does_not_exist_or_is_no_text_stops_the_function() {
    let secret = Secret::create("first").await;
    let binary = secret
        .client
        .create_secret()
        .name(fresh_name("binary"))
        .secret_binary(aws_sdk_secretsmanager::primitives::Blob::new("first"))
        .send()
        .await
        .expect("the secret is created");
    let bad = [
        ("no-such-secret".to_owned(), "does not exist"),
        (binary.arn.expect("its ARN"), "binary"),
        (Secret::create(r#"{ "A1": 1, "xyzzy": "#).await.arn, "no JSON object"),
        (Secret::create("{}").await.arn, "empty"),
    ];
    for (id, problem) in bad {
        let mut variables = secret.variables();
        variables.insert("SLACK_SIGNING_SECRET_ARN".to_owned(), id);
        variables.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), "127.0.0.1:1".to_owned());
        let (status, stderr) = run_to_end(&variables).await;
        assert!(!status.success());
        assert!(stderr.contains(problem), "{stderr}");
        assert!(!stderr.contains("xyzzy"), "{stderr}");
    }
}
