//! One request and its retries.

use std::time::Duration;
use test_support::http::{Endpoint, response};
use test_support::slack::SECRET;

use crate::support::{slack_dev, slack_dev_with};

const MENTION: &[u8] = include_bytes!("../../../demo/events/app_mention.json");

#[tokio::test]
async fn a_fixture_is_signed_and_posted_as_it_is() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], r#"{"ok":true}"#)).await;
    let said = slack_dev(&["play", "--url", &endpoint.url]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let [got] = &endpoint.received()[..] else { panic!("{:?}", endpoint.received()) };
    assert_eq!(got.body, MENTION);
    assert!(got.is_signed());
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.retry(), None);
    assert!(said.stdout.contains(r#"200 in"#) && said.stdout.contains(r#"{"ok":true}"#), "{said:?}");
    assert!(!format!("{said:?}").contains(SECRET));
}

#[tokio::test]
async fn without_a_secret_it_says_where_it_is_to_be() {
    for variables in [&[][..], &[("SLACK_SIGNING_SECRET", " , ")]] {
        let said = slack_dev_with(&["play"], variables).await;
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains("SLACK_SIGNING_SECRET is not set"), "{said:?}");
    }
}

#[tokio::test]
async fn what_fails_is_sent_again_three_times_and_signed_afresh() {
    let endpoint = Endpoint::start(async |n, _| response(if n < 3 { 503 } else { 200 }, &[], "")).await;
    // 0, 0.6 and 3 seconds.
    let said = slack_dev(&["play", "--url", &endpoint.url, "--compressed=100"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let got = endpoint.received();
    let retries: Vec<_> = got.iter().map(|got| got.retry()).collect();
    let again = |num| Some((num, "http_error"));
    assert_eq!(retries, [None, again(1), again(2), again(3)]);
    assert!(got.iter().all(|got| got.body == MENTION && got.is_signed()));
    let timestamps: Vec<u64> =
        got.iter().map(|got| got.header("x-slack-request-timestamp").unwrap().parse().unwrap()).collect();
    assert!(timestamps[3] - timestamps[0] >= 3, "{timestamps:?}");
}

#[tokio::test]
async fn after_the_third_retry_it_gives_up() {
    let endpoint = Endpoint::start(async |_, _| response(500, &[], "sorry")).await;
    let said = slack_dev(&["play", "--url", &endpoint.url, "--compressed=1000"]).await;
    assert_eq!((said.code, endpoint.received().len()), (1, 4), "{said:?}");
    assert!(
        said.stdout.contains("given up") && said.stdout.contains("Slack disables an app for that"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_second_request_for_the_same_is_not_made_where_the_answer_forbids_it() {
    let endpoint = Endpoint::start(async |_, _| response(400, &[("X-Slack-No-Retry", "1")], "")).await;
    let said = slack_dev(&["play", "--url", &endpoint.url, "--compressed"]).await;
    assert_eq!((said.code, endpoint.received().len()), (1, 1), "{said:?}");
}

#[tokio::test]
async fn each_failure_has_slacks_name() {
    let endpoint = Endpoint::start(async |n, got| match n {
        0 => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            response(200, &[], "")
        }
        1 => {
            assert_eq!(got.retry(), Some((1, "http_timeout")));
            response(307, &[("Location", "/slack/events")], "")
        }
        // Slack follows two of them.
        2 | 3 => response(307, &[("Location", "/slack/events")], ""),
        _ => response(200, &[], ""),
    })
    .await;
    let said = slack_dev(&["play", "--url", &endpoint.url, "--compressed=1000"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(endpoint.received()[4].retry(), Some((2, "too_many_redirects")), "{said:?}");

    let nobody = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let said = slack_dev(&["play", "--url", &format!("http://{nobody}/"), "--compressed=1000"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("retry 3 (connection_failed)"), "{said:?}");

    // Plain HTTP where TLS is expected.
    let https = endpoint.url.replace("http://", "https://");
    let said = slack_dev(&["play", "--url", &https, "--compressed=1000"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("retry 3 (ssl_error)"), "{said:?}");
}

#[tokio::test]
async fn a_challenge_must_be_echoed_and_is_not_sent_again() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "something else")).await;
    let said = slack_dev(&["play", "--url", &endpoint.url, "url_verification"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("not the challenge"), "{said:?}");

    let echoing = Endpoint::start(async |_, got| {
        let body: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        response(200, &[], body["challenge"].as_str().unwrap())
    })
    .await;
    assert_eq!(slack_dev(&["play", "--url", &echoing.url, "url_verification"]).await.code, 0);

    let failing = Endpoint::start(async |_, _| response(500, &[], "")).await;
    assert_eq!(slack_dev(&["play", "--url", &failing.url, "url_verification"]).await.code, 1);
    assert_eq!(failing.received().len(), 1);
}

#[tokio::test]
async fn a_form_is_sent_as_one_and_once() {
    let endpoint = Endpoint::start(async |_, _| response(503, &[], "")).await;
    let form = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/forms/slash_command.txt");
    let said = slack_dev(&["play", "--url", &endpoint.url, form]).await;
    assert_eq!(said.code, 1);
    let [got] = &endpoint.received()[..] else { panic!("{:?}", endpoint.received()) };
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(got.body, std::fs::read(form).unwrap().trim_ascii_end());
    assert!(got.is_signed());
}

#[tokio::test]
async fn a_fresh_id_changes_nothing_else() {
    let endpoint = Endpoint::start(async |_, _| response(200, &[], "")).await;
    for _ in 0..2 {
        assert_eq!(slack_dev(&["play", "--new-ids", "--url", &endpoint.url]).await.code, 0);
    }
    let bodies: Vec<_> =
        endpoint.received().into_iter().map(|got| String::from_utf8(got.body).unwrap()).collect();
    assert_ne!(bodies[0], bodies[1]);
    let id = |body: &str| {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["event_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(bodies[0].replace(&id(&bodies[0]), "Ev07MENTION1").as_bytes(), MENTION);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let said = slack_dev(&["play", "no-such-fixture"]).await;
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("no-such-fixture") && said.stderr.contains("app_mention"), "{said:?}");
}
