//! Compares our verifier with Slack's own for Python on thousands of requests: both must give the same verdict.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::json;
use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, verify};
use slack_ingress::time::clock::UnixMillis;
use std::io::Write;
use std::process::{Command, Stdio};

const REQUESTS: usize = 10_000;
const NOW: u64 = 1_700_000_000;

/// A request on which the two verifiers might disagree.
#[derive(Clone, Debug)]
struct Case {
    secret: String,
    body: String,
    timestamp: Option<String>,
    signature: Option<String>,
    /// Its timestamp is not only digits, which Slack's always is.
    odd_timestamp: bool,
}

fn timestamps() -> impl Strategy<Value = (String, bool)> {
    prop_oneof![
        6 => (NOW - 400..NOW + 400).prop_map(|seconds| (seconds.to_string(), false)),
        1 => prop::sample::select(vec![NOW - 301, NOW - 300, NOW + 300, NOW + 301]).prop_map(|seconds| (seconds.to_string(), false)),
        1 => Just((format!("00{NOW}"), false)),
        1 => (0..u64::MAX).prop_map(|seconds| (seconds.to_string(), false)),
        1 => prop::sample::select(vec![
            format!("+{NOW}"), format!(" {NOW}"), format!("{NOW} "), format!("{NOW}.0"), format!("-{NOW}"),
            "1_700_000_000".to_owned(), "１７００００００００".to_owned(), String::new(), "now".to_owned(),
            format!("{NOW}\n"), "0x6553f100".to_owned(), "1e9".to_owned(), "99999999999999999999999999".to_owned(),
        ]).prop_map(|timestamp| (timestamp, true)),
    ]
}

/// A correct signature, unchanged or changed in some way, or none.
fn tampered(good: String) -> impl Strategy<Value = Option<String>> {
    let other = SigningSecret::new("another secret").sign(&NOW.to_string(), good.as_bytes());
    let digits = good.trim_start_matches("v0=").to_owned();
    prop_oneof![
        6 => Just(Some(good.clone())),
        1 => Just(None),
        1 => Just(Some(other)),
        1 => prop::sample::select(vec![
            digits.clone(), format!("v1={digits}"), format!("V0={digits}"), format!("v0={}", digits.to_uppercase()),
            format!(" {good}"), format!("{good} "), format!("{good},{good}"), format!("{good}0"), String::new(),
            "v0=".to_owned(), good.chars().take(40).collect(), format!("v0=ü{digits}"), format!("v0={}", "0".repeat(64)),
        ]).prop_map(Some),
        1 => (0..64_usize).prop_map(move |at| {
            let mut flipped = digits.clone().into_bytes();
            flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
            Some(format!("v0={}", String::from_utf8(flipped).expect("digits")))
        }),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    ("[!-~].{0,39}", "\\PC{0,200}|[ -~\\n\\t]{0,200}", timestamps()).prop_flat_map(
        |(secret, body, (timestamp, odd))| {
            let good = SigningSecret::new(&secret).sign(&timestamp, body.as_bytes());
            let header = prop_oneof![12 => Just(Some(timestamp)), 1 => Just(None)];
            let sent_body = prop_oneof![8 => Just(body.clone()), 1 => Just(format!("{body} "))];
            (Just(secret), sent_body, header, tampered(good)).prop_map(
                move |(secret, body, timestamp, signature)| Case {
                    secret,
                    body,
                    timestamp,
                    signature,
                    odd_timestamp: odd,
                },
            )
        },
    )
}

fn our_verdict(case: &Case) -> bool {
    let headers =
        SignatureHeaders { signature: case.signature.as_deref(), timestamp: case.timestamp.as_deref() };
    let secrets = [SigningSecret::new(&case.secret)];
    verify(headers, case.body.clone().into_bytes(), &secrets, UnixMillis::from_millis(NOW * 1000)).is_ok()
}

/// The verdict of Slack's verifier on each request.
fn verdicts_of_slack_sdk(cases: &[Case]) -> Vec<bool> {
    let python = std::env::var("PYTHON").expect("PYTHON is not set: run `make test`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slack_sdk_verdicts.py");
    let mut verifier = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = verifier.stdin.take().expect("piped");
    let lines: String = cases
        .iter()
        .map(|case| {
            let line = json!({
                "now": NOW,
                "secret": case.secret,
                "body": case.body,
                "timestamp": case.timestamp,
                "signature": case.signature,
            });
            format!("{line}\n")
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = verifier.wait_with_output().expect("Python ends");
    writer.join().expect("the writer ends").expect("Python reads");
    assert!(output.status.success());
    let verdicts = String::from_utf8(output.stdout).expect("UTF-8");
    verdicts.lines().map(|line| line == "good").collect()
}

#[test]
#[ignore = "needs slack_sdk: make test"]
fn slacks_own_verifier_agrees_on_ten_thousand_requests() {
    let rng = TestRng::deterministic_rng(Config::default().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = cases();
    let cases: Vec<Case> =
        (0..REQUESTS).map(|_| strategy.new_tree(&mut runner).expect("a case").current()).collect();
    let verdicts_of_slack_sdk = verdicts_of_slack_sdk(&cases);
    assert_eq!(verdicts_of_slack_sdk.len(), REQUESTS);

    let mut good = 0;
    for (case, verdicts_of_slack_sdk) in cases.iter().zip(verdicts_of_slack_sdk) {
        let our_verdict = our_verdict(case);
        if case.odd_timestamp {
            // Python's int() accepts "+1", " 1" and "1_0". Our verifier accepts only digits, which is stricter.
            assert!(verdicts_of_slack_sdk || !our_verdict, "{case:?}");
        } else {
            assert_eq!(our_verdict, verdicts_of_slack_sdk, "{case:?}");
        }
        good += usize::from(our_verdict);
    }
    assert!((REQUESTS / 10..REQUESTS).contains(&good), "{good} good ones tell little");
}
