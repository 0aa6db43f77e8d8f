//! Tests `slack-dev doctor`: each check fails for its own reason only.

mod agent;
mod aws;
mod front_doors;
mod servers;

use serde_json::Value;
use std::process::{Output, Stdio};
use test_support::http::listen;
use test_support::slack::SECRET;
use tokio::process::Command;

use crate::support::Ingress;

/// Runs the doctor. A server on this machine stands in for Slack's Web API, unless `variables` has another address.
async fn output(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let slack = servers::always(200, r#"{"ok":true}"#).await;
    Command::new(env!("CARGO_BIN_EXE_slack-dev"))
        .arg("doctor")
        .args(arguments)
        .env_clear()
        .env("SLACK_API_URL", slack)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// The results of the doctor's checks (name, status and finding of each) and its whole output.
struct Examined {
    checks: Vec<(String, String, String)>,
    text: String,
}

impl Examined {
    async fn of(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let arguments: Vec<_> = [&["--json"], arguments].concat();
        let output = output(&arguments, variables).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{:?}", output.stderr));
        let text_of = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let checks: Vec<_> = json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| {
                let status = text_of(check, "status");
                assert_eq!(check["todo"].is_string(), ["warn", "fail"].contains(&status.as_str()), "{check}");
                (text_of(check, "check"), status, text_of(check, "found"))
            })
            .collect();
        let fails = checks.iter().any(|(_, status, _)| status == "fail");
        assert_eq!(
            (output.status.code(), json["ok"].as_bool()),
            (Some(i32::from(fails)), Some(!fails)),
            "{text}"
        );
        Self { checks, text }
    }

    /// The names of the checks with this status.
    fn with(&self, wanted: &str) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|(_, status, _)| status == wanted)
            .map(|(check, _, _)| check.as_str())
            .collect()
    }

    fn found(&self, wanted: &str) -> &str {
        let found = self.checks.iter().find(|(check, _, _)| check == wanted);
        found.map_or_else(|| panic!("no {wanted}: {}", self.text), |(_, _, found)| found)
    }

    /// Checks that exactly these checks fail, and that the finding of the first one contains `why`.
    fn fails(&self, checks: &[&str], why: &str) {
        assert_eq!(self.with("fail"), checks, "{}", self.text);
        assert!(self.found(checks[0]).contains(why), "{why}: {}", self.text);
    }
}

const CHECKS_OF_AN_ENDPOINT: [&str; 7] = [
    "endpoint, name",
    "endpoint, connection",
    "endpoint, GET",
    "endpoint, unsigned",
    "signature, right",
    "signature, wrong",
    "signature, old",
];

/// What fails if nothing gets through to the function.
const REFUSED: &[&str] = &["endpoint, unsigned", "signature, right", "signature, wrong"];

#[tokio::test]
async fn a_correct_ingress_is_ok() {
    let ingress = Ingress::local().await;
    let examined = Examined::of(&["--url", &ingress.url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    for check in CHECKS_OF_AN_ENDPOINT.iter().chain(&[
        "environment",
        "DEDUP_TTL_SECONDS",
        "clock, Slack's",
        "clock, AWS's",
    ]) {
        assert!(examined.with("ok").contains(check), "{check}: {}", examined.text);
    }
    assert_eq!(examined.with("warn"), ["endpoint, TLS"], "{}", examined.text);
    assert_eq!(examined.with("skip"), ["table", "queue"]);
    assert!(!examined.text.contains(SECRET));
}

#[tokio::test]
async fn with_nothing_configured_everything_is_skipped() {
    let examined = Examined::of(&[], &[]).await;
    assert_eq!(examined.with("skip"), ["environment", "endpoint", "table", "queue", "clock, AWS's"]);
    assert_eq!(examined.with("ok"), ["clock, Slack's"]);
}

#[tokio::test]
async fn every_problem_of_the_environment_is_a_line() {
    let variables = [
        ("SLACK_SIGNING_SECRET", SECRET),
        ("SLACK_SIGNING_SECRET_ARN", SECRET),
        ("DEDUP_STORE", "postgres:"),
        ("BOT_EVENTS", "none"),
    ];
    let examined = Examined::of(&[], &variables).await;
    assert_eq!(examined.with("fail"), ["environment"; 4], "{}", examined.text);
    assert!(!examined.text.contains(SECRET), "{}", examined.text);
}

#[tokio::test]
async fn a_secret_that_is_not_the_endpoints_is_noticed() {
    let ingress = Ingress::with_secret("another").await;
    let examined = Examined::of(&["--url", &ingress.url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    examined.fails(&["signature, right"], "another signing secret");
}

#[tokio::test]
async fn without_a_secret_the_signature_is_skipped_and_the_rest_is_not() {
    let ingress = Ingress::local().await;
    let examined = Examined::of(&["--url", &ingress.url], &[]).await;
    assert_eq!(examined.with("fail"), Vec::<&str>::new());
    assert!(
        examined.with("skip").contains(&"signature, right")
            && examined.with("ok").contains(&"endpoint, unsigned")
    );
}

#[tokio::test]
async fn an_endpoint_that_verifies_nothing_fails() {
    let url = servers::unguarded().await;
    let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    assert_eq!(
        examined.with("fail"),
        ["endpoint, unsigned", "signature, wrong", "signature, old"],
        "{}",
        examined.text
    );
    assert!(examined.found("signature, wrong").contains("accepts a signature made with another secret"));
}

#[tokio::test]
async fn the_status_of_an_endpoint_that_is_no_ingress_leads_to_what_to_do() {
    for (status, todo) in [
        (200, "Is this slack-ingress"),
        (301, "redirects"),
        (403, "auth type NONE"),
        (404, "path"),
        (502, "its log"),
    ] {
        let url = servers::always(status, "").await;
        let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
        examined.fails(REFUSED, &status.to_string());
        assert!(examined.with("skip").contains(&"endpoint, GET"), "{}", examined.text);
        assert!(examined.text.contains(todo), "{todo}: {}", examined.text);
    }
}

#[tokio::test]
async fn the_failed_check_says_which_step_of_connecting_failed() {
    let (_, free) = listen().await;
    Examined::of(&["--url", &format!("http://{free}/")], &[]).await.fails(&["endpoint, connection"], "port");
    Examined::of(&["--url", "https://slack-ingress.invalid/"], &[])
        .await
        .fails(&["endpoint, name"], "is not found");
    let plain = servers::always(200, "").await.replace("http://", "https://");
    Examined::of(&["--url", &plain], &[]).await.fails(&["endpoint, TLS"], "no TLS connection");
    for url in ["ftp://127.0.0.1/", "127.0.0.1", "https://"] {
        Examined::of(&["--url", url], &[]).await.fails(&["endpoint"], "no http:// or https:// URL");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_noticed_by_the_date_of_an_answer() {
    for (seconds, status) in [(10, "ok"), (100, "warn"), (-100, "warn"), (280, "fail"), (-280, "fail")] {
        let slack = servers::behind(seconds, 200, "").await;
        let examined = Examined::of(&[], &[("SLACK_API_URL", &slack)]).await;
        assert!(examined.with(status).contains(&"clock, Slack's"), "{seconds}: {}", examined.text);
        let direction = if seconds > 0 { "ahead" } else { "behind" };
        assert!(examined.found("clock, Slack's").contains(direction), "{}", examined.text);

        let not_found = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no such table"}"#;
        let dynamodb = servers::behind(seconds, 400, not_found).await;
        let variables = [
            ("SLACK_SIGNING_SECRET", SECRET),
            ("DEDUP_STORE", "dynamodb:slack-events"),
            ("EVENT_SINK", "stdout:"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let examined = Examined::of(&[], &variables).await;
        assert!(examined.with(status).contains(&"clock, AWS's"), "{seconds}: {}", examined.text);
        assert!(examined.with("ok").contains(&"clock, Slack's") && examined.with("fail").contains(&"table"));
    }
}

#[tokio::test]
async fn a_slack_that_cannot_be_reached_is_a_warning() {
    let examined = Examined::of(&[], &[("SLACK_API_URL", "http://127.0.0.1:9")]).await;
    assert_eq!(examined.with("warn"), ["clock, Slack's"], "{}", examined.text);
}

#[tokio::test]
async fn a_missing_aws_region_or_credentials_is_reported() {
    let store = ("DEDUP_STORE", "dynamodb:slack-events");
    let sink = ("EVENT_SINK", "stdout:");
    let secret = ("SLACK_SIGNING_SECRET", SECRET);
    let nowhere = ("HOME", "/nonexistent");
    let no_metadata = ("AWS_EC2_METADATA_DISABLED", "true");
    let examined = Examined::of(&[], &[store, sink, secret, nowhere, no_metadata]).await;
    examined.fails(&["table"], "AWS_REGION is not set");
    let region = ("AWS_REGION", "us-east-1");
    let examined = Examined::of(&[], &[store, sink, secret, nowhere, no_metadata, region]).await;
    examined.fails(&["table"], "credential");
}

#[tokio::test]
async fn without_json_each_check_is_a_line() {
    let ingress = Ingress::with_secret("another").await;
    let output = output(&["--url", &ingress.url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for start in ["ok    endpoint, GET", "fail  signature, right", "skip  table", "warn  endpoint, TLS"] {
        assert_eq!(text.lines().filter(|line| line.starts_with(start)).count(), 1, "{start}: {text}");
    }
    assert!(text.lines().last().unwrap().contains("1 failed"), "{text}");
    assert!(!text.contains(SECRET));
}
