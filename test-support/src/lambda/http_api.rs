//! What an HTTP API of API Gateway makes of a request: the event of payload format 2.0.

use serde_json::{Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};

/// The event: the body as text where it is text, header names in lower case.
pub fn event<'a>(method: &str, headers: impl IntoIterator<Item = (&'a str, &'a str)>, body: &[u8]) -> Value {
    let (body, is_base64) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (base64(body), true),
    };
    let headers: serde_json::Map<_, _> =
        headers.into_iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
    let route = format!("{method} /slack/events");
    json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": "/slack/events",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": method,
                "path": "/slack/events",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": SystemClock.now().as_millis()
        },
        "body": body,
        "isBase64Encoded": is_base64
    })
}

/// These bytes as API Gateway encodes them.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
