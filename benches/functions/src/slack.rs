//! An event as Slack sends it, and as API Gateway hands it over.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// What every function is given to verify with.
pub const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

const MENTION: &str = include_str!("../../../tests/fixtures/events/app_mention.json");
const ID_IN_MENTION: &str = "Ev0LAN670R";

/// A mention under this id, signed now, as an HTTP API (payload 2.0) makes it an event.
pub fn http_api_event(event_id: &str) -> Value {
    let body = MENTION.replace(ID_IN_MENTION, event_id);
    let timestamp =
        SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs().to_string();
    json!({
        "version": "2.0",
        "routeKey": "POST /slack/events",
        "rawPath": "/slack/events",
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "accept-encoding": "gzip,deflate",
            "content-length": body.len().to_string(),
            "content-type": "application/json",
            "host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-slack-request-timestamp": timestamp,
            "x-slack-signature": signature(&timestamp, &body),
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": "/slack/events",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /slack/events",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_u64
        },
        "body": body,
        "isBase64Encoded": false
    })
}

fn signature(timestamp: &str, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SIGNING_SECRET.as_bytes()).expect("a key of any length will do");
    let digest = mac.chain_update(format!("v0:{timestamp}:{body}")).finalize().into_bytes();
    format!("v0={}", hex::encode(digest))
}
