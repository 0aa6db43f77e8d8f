//! The Slack of the tests: whole events, signed, with its retries.

use serde_json::{Value, json};
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// A request as it leaves Slack.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Signed now.
    pub(crate) fn signed(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::signed_with(SECRET, SystemClock.now().as_secs(), content_type, body)
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::signed("application/json", body)
    }

    pub(crate) fn signed_with(secret: &str, at: u64, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let timestamp = at.to_string();
        let signature = SigningSecret::new(secret).sign(&timestamp, &body);
        let headers = [
            ("Content-Type", content_type),
            ("X-Slack-Request-Timestamp", &timestamp),
            ("X-Slack-Signature", &signature),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { method: "POST", headers, body }
    }

    /// Slack's `num`th retry.
    pub(crate) fn retry(self, num: u32, reason: &str) -> Self {
        self.header("X-Slack-Retry-Num", &num.to_string()).header("X-Slack-Retry-Reason", reason)
    }

    /// With this header, in place of one of that name.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let mut request = self.without(name);
        request.headers.push((name.to_owned(), value.to_owned()));
        request
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// As an HTTP API hands over a form: in base64, though it is text.
    pub(crate) fn encoded_event(&self) -> Value {
        let mut event = self.event();
        event["body"] = json!(base64(&self.body));
        event["isBase64Encoded"] = json!(true);
        event
    }

    /// As an HTTP API (payload 2.0) hands it over: text where it is text, header names in lower case.
    pub(crate) fn event(&self) -> Value {
        let (body, is_base64) = match std::str::from_utf8(&self.body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (base64(&self.body), true),
        };
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
        json!({
            "version": "2.0",
            "routeKey": "POST /slack/events",
            "rawPath": "/slack/events",
            "rawQueryString": "",
            "headers": headers,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "api-id",
                "domainName": "api-id.execute-api.us-east-1.amazonaws.com",
                "http": {
                    "method": self.method,
                    "path": "/slack/events",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": "POST /slack/events",
                "stage": "$default",
                "time": "12/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1583348638390_u64
            },
            "body": body,
            "isBase64Encoded": is_base64
        })
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A mention, signed now.
pub(crate) fn event(id: &str) -> Request {
    Request::json(mention(id, "hello"))
}

/// A mention in a channel, as Slack sends it.
pub(crate) fn mention(event_id: &str, text: &str) -> Vec<u8> {
    mention_in("C0LAN2Q65", "1515449522.000016", event_id, text)
}

pub(crate) fn mention_in(channel: &str, ts: &str, event_id: &str, text: &str) -> Vec<u8> {
    json!({
        "token": "ZZZZZZWSxiZZZ2yIvs3peJ",
        "team_id": "T061EG9R6",
        "api_app_id": "A0MDYCDME",
        "event": {
            "type": "app_mention",
            "user": "W021FGA1Z",
            "text": text,
            "ts": ts,
            "channel": channel,
            "event_ts": ts
        },
        "type": "event_callback",
        "event_id": event_id,
        "event_time": 1_515_449_522_u64,
        "authorizations": [{
            "enterprise_id": null,
            "team_id": "T061EG9R6",
            "user_id": "U0LAN0Z89",
            "is_bot": true,
            "is_enterprise_install": false
        }],
        "is_ext_shared_channel": false,
        "event_context": "4-eyJldCI6ImFwcF9tZW50aW9uIn0"
    })
    .to_string()
    .into_bytes()
}
