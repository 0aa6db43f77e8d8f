//! Tests `slack-dev play`: one request and its retries.

use std::time::Duration;
use test_support::http::{Endpoint, response};
use test_support::slack::SECRET;

use crate::support::{slack_dev, slack_dev_with};

const MENTION: &[u8] = include_bytes!("../../../demo/events/app_mention.json");

#[tokio::test]
async fn a_fixture_is_signed_and_posted_as_it_is() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], r#"{"ok":true}"#)).await;
    let output = slack_dev(&["play", "--url", &endpoint.url]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let [request] = &endpoint.received()[..] else { panic!("{:?}", endpoint.received()) };
    assert_eq!(request.body, MENTION);
    assert!(request.is_signed());
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.retry(), None);
    assert!(output.stdout.contains(r#"200 in"#) && output.stdout.contains(r#"{"ok":true}"#), "{output:?}");
    assert!(!format!("{output:?}").contains(SECRET));
}

#[tokio::test]
async fn without_a_secret_the_error_names_the_variable_for_it() {
    for variables in [&[][..], &[("SLACK_SIGNING_SECRET", " , ")]] {
        let output = slack_dev_with(&["play"], variables).await;
        assert_eq!(output.code, 2);
        assert!(output.stderr.contains("SLACK_SIGNING_SECRET is not set"), "{output:?}");
    }
}

#[tokio::test]
async fn a_failed_event_is_sent_again_three_times_and_newly_signed() {
    let endpoint = Endpoint::start(async |n, _| response(if n < 3 { 503 } else { 200 }, &[], "")).await;
    // The pauses before the retries are 0, 0.6 and 3 seconds.
    let output = slack_dev(&["play", "--url", &endpoint.url, "--compressed=100"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let request = endpoint.received();
    let retries: Vec<_> = request.iter().map(|request| request.retry()).collect();
    let again = |num| Some((num, "http_error"));
    assert_eq!(retries, [None, again(1), again(2), again(3)]);
    assert!(request.iter().all(|request| request.body == MENTION && request.is_signed()));
    let timestamps: Vec<u64> = request
        .iter()
        .map(|request| request.header("x-slack-request-timestamp").unwrap().parse().unwrap())
        .collect();
    assert!(timestamps[3] - timestamps[0] >= 3, "{timestamps:?}");
}

#[tokio::test]
async fn after_the_third_retry_it_gives_up() {
    let endpoint = Endpoint::start(async |_, _| response(500, &[], "sorry")).await;
    let output = slack_dev(&["play", "--url", &endpoint.url, "--compressed=1000"]).await;
    assert_eq!((output.code, endpoint.received().len()), (1, 4), "{output:?}");
    assert!(
        output.stdout.contains("given up") && output.stdout.contains("Slack disables an app for that"),
        "{output:?}"
    );
}

#[tokio::test]
async fn no_retry_follows_an_answer_that_forbids_it() {
    let endpoint = Endpoint::start(async |_, _| response(400, &[("X-Slack-No-Retry", "1")], "")).await;
    let output = slack_dev(&["play", "--url", &endpoint.url, "--compressed"]).await;
    assert_eq!((output.code, endpoint.received().len()), (1, 1), "{output:?}");
}

#[tokio::test]
async fn each_failure_has_slacks_name_for_it() {
    let endpoint = Endpoint::start(async |n, request| match n {
        0 => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            response(200, &[], "")
        }
        1 => {
            assert_eq!(request.retry(), Some((1, "http_timeout")));
            response(307, &[("Location", "/slack/events")], "")
        }
        // Slack follows at most two redirects.
        2 | 3 => response(307, &[("Location", "/slack/events")], ""),
        _ => response(200, &[], ""),
    })
    .await;
    let output = slack_dev(&["play", "--url", &endpoint.url, "--compressed=1000"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(endpoint.received()[4].retry(), Some((2, "too_many_redirects")), "{output:?}");

    let nobody = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let output = slack_dev(&["play", "--url", &format!("http://{nobody}/"), "--compressed=1000"]).await;
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("retry 3 (connection_failed)"), "{output:?}");

    // The endpoint speaks plain HTTP where TLS is expected.
    let https = endpoint.url.replace("http://", "https://");
    let output = slack_dev(&["play", "--url", &https, "--compressed=1000"]).await;
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("retry 3 (ssl_error)"), "{output:?}");
}

#[tokio::test]
async fn a_challenge_must_be_echoed_and_is_not_sent_again() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "something else")).await;
    let output = slack_dev(&["play", "--url", &endpoint.url, "url_verification"]).await;
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("not the challenge"), "{output:?}");

    let echoing = Endpoint::start(async |_, request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        response(200, &[], body["challenge"].as_str().unwrap())
    })
    .await;
    assert_eq!(slack_dev(&["play", "--url", &echoing.url, "url_verification"]).await.code, 0);

    let failing = Endpoint::start(async |_, _| response(500, &[], "")).await;
    assert_eq!(slack_dev(&["play", "--url", &failing.url, "url_verification"]).await.code, 1);
    assert_eq!(failing.received().len(), 1);
}

#[tokio::test]
async fn a_form_is_sent_as_a_form_and_only_once() {
    let endpoint = Endpoint::start(async |_, _| response(503, &[], "")).await;
    let form = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/forms/slash_command.txt");
    let output = slack_dev(&["play", "--url", &endpoint.url, form]).await;
    assert_eq!(output.code, 1);
    let [request] = &endpoint.received()[..] else { panic!("{:?}", endpoint.received()) };
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.body, std::fs::read(form).unwrap().trim_ascii_end());
    assert!(request.is_signed());
}

#[tokio::test]
async fn a_new_id_changes_nothing_else() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "")).await;
    for _ in 0..2 {
        assert_eq!(slack_dev(&["play", "--new-ids", "--url", &endpoint.url]).await.code, 0);
    }
    let bodies: Vec<_> =
        endpoint.received().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect();
    assert_ne!(bodies[0], bodies[1]);
    let id = |body: &str| {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["event_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(bodies[0].replace(&id(&bodies[0]), "Ev07MENTION1").as_bytes(), MENTION);
}

#[tokio::test]
async fn the_error_names_a_file_that_does_not_exist() {
    let output = slack_dev(&["play", "no-such-fixture"]).await;
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("no-such-fixture") && output.stderr.contains("app_mention"), "{output:?}");
}
