//! Measures the steps of the ingress that need no network, for bodies of 1 KB to 1 MB. Run with `cargo bench`.
//!
//! `sha256` is there for comparison: verifying a signature hashes the body, so no ingress can be faster than that.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark that fails must stop")]

use divan::Bencher;
use divan::counter::BytesCount;
use serde_json::json;
use sha2::{Digest, Sha256};
use slack_ingress::lambda::http::inbound;
use slack_ingress::lambda::untrusted::reduce;
use slack_ingress::sink::message::{Arrival, Message};
use slack_ingress::slack::payload::{Delivery, Encoding, Payload, classify};
use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, Verified, verify};
use slack_ingress::time::clock::UnixMillis;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TIMESTAMP: &str = "1531420618";
const NOW: UnixMillis = UnixMillis::from_millis(1_531_420_618_000);

fn main() {
    divan::main();
}

/// An event of about this size, in bytes. Its text is escaped as Slack escapes it.
fn event(size: usize) -> Vec<u8> {
    const MENTION: &str = include_str!("../tests/fixtures/events/app_mention.json");
    const TEXT: &str = r"Gr\u00fc\u00dfe, d'accord \ud83d\uddfc: see <https:\/\/example.com\/a?b=c&amp;d=e> ";
    let (head, tail) = MENTION.split_once("<@U0LAN0Z89> ").expect("the text is there");
    let fill = TEXT.repeat(size.saturating_sub(MENTION.len()) / TEXT.len());
    format!("{head}{fill}{tail}").into_bytes()
}

fn command(size: usize) -> Vec<u8> {
    const FIELDS: &str = "team_id=T061EG9R6&api_app_id=A0F7YS25R&channel_id=C0LAN2Q65&user_id=U061F7AUR\
        &command=%2Fdeploy&trigger_id=13345224609.738474920.8088930838d88f008e0\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F1234%2F5678&text=";
    const TEXT: &str = "Gr%C3%BC%C3%9Fe%2C+please+deploy+to+production+%F0%9F%97%BC+";
    format!("{FIELDS}{}", TEXT.repeat(size.saturating_sub(FIELDS.len()) / TEXT.len())).into_bytes()
}

fn verified(body: Vec<u8>) -> Verified {
    let secret = SigningSecret::new(SECRET);
    let signature = secret.sign(TIMESTAMP, &body);
    let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(TIMESTAMP) };
    verify(headers, body, &[secret], NOW).expect("it is signed")
}

fn delivery(body: Vec<u8>) -> Box<Delivery> {
    match classify(verified(body), Some(Encoding::Json)) {
        Ok(Payload::Delivery(delivery)) => delivery,
        _ => panic!("an event is a delivery"),
    }
}

#[divan::bench(args = SIZES)]
fn sha256(bencher: Bencher<'_, '_>, size: usize) {
    let body = event(size);
    bencher.counter(BytesCount::new(body.len())).bench(|| Sha256::digest(divan::black_box(&body)));
}

#[divan::bench(args = SIZES)]
fn http_event(bencher: Bencher<'_, '_>, size: usize) {
    let body = String::from_utf8(event(size)).expect("JSON is text");
    let event = json!({
        "version": "2.0",
        "headers": { "content-type": "application/json", "x-slack-request-timestamp": TIMESTAMP },
        "requestContext": { "http": { "method": "POST", "path": "/slack/events" } },
        "body": body,
        "isBase64Encoded": false
    })
    .to_string();
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let reduced = String::from_utf8(reduce(divan::black_box(event.as_bytes()))).expect("JSON is text");
        inbound(lambda_http::request::from_str(&reduced).expect("an event"))
    });
}

#[divan::bench(args = SIZES)]
fn verify_signature(bencher: Bencher<'_, '_>, size: usize) {
    let secrets = [SigningSecret::new(SECRET)];
    let body = event(size);
    let signature = secrets[0].sign(TIMESTAMP, &body);
    let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(TIMESTAMP) };
    bencher
        .counter(BytesCount::new(body.len()))
        .with_inputs(|| body.clone())
        .bench_values(|body| verify(headers, body, &secrets, NOW));
}

#[divan::bench(args = SIZES)]
fn classify_event(bencher: Bencher<'_, '_>, size: usize) {
    let body = event(size);
    bencher
        .counter(BytesCount::new(body.len()))
        .with_inputs(|| verified(body.clone()))
        .bench_values(|verified| classify(verified, Some(Encoding::Json)));
}

#[divan::bench(args = SIZES)]
fn classify_command(bencher: Bencher<'_, '_>, size: usize) {
    let body = command(size);
    bencher
        .counter(BytesCount::new(body.len()))
        .with_inputs(|| verified(body.clone()))
        .bench_values(|verified| classify(verified, Some(Encoding::Form)));
}

#[divan::bench(args = SIZES)]
fn message(bencher: Bencher<'_, '_>, size: usize) {
    let body = event(size);
    let arrival = Arrival { received_at: NOW, retry_num: None, retry_reason: None, trace_header: None };
    bencher
        .counter(BytesCount::new(body.len()))
        .with_inputs(|| (delivery(body.clone()), arrival.clone()))
        .bench_values(|(delivery, arrival)| Message::new(*delivery, arrival));
}
