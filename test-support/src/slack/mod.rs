//! The Slack of the tests: whole requests, signed, with its retries. Its fixtures are in [`fixtures`], its Web API in [`api`]
//! and, as far as it makes tokens, in [`oauth`].

pub mod api;
pub mod fixtures;
pub mod oauth;

use serde_json::{Value, json};
use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, verify};
use slack_ingress::time::clock::{Clock, SystemClock};

use crate::http::ReceivedRequest;
use crate::lambda::http_api;

/// The signing secret that requests are signed with, unless a test says another: the one in Slack's documentation.
pub const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// A request as it leaves Slack.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, but for what Slack does not send.
    pub method: &'static str,
    /// Names as Slack writes them, and values.
    pub headers: Vec<(String, String)>,
    /// What is signed.
    pub body: Vec<u8>,
}

impl Request {
    /// Signed now, with [`SECRET`].
    pub fn signed(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::signed_with(SECRET, SystemClock.now().as_secs(), content_type, body)
    }

    /// An event: JSON, signed now.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::signed("application/json", body)
    }

    /// Signed with this secret, at this time in seconds since 1970.
    pub fn signed_with(secret: &str, at: u64, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
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
    #[must_use]
    pub fn retry(self, num: u32, reason: &str) -> Self {
        self.header("X-Slack-Retry-Num", &num.to_string()).header("X-Slack-Retry-Reason", reason)
    }

    /// With this header, in place of one of that name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut request = self.without(name);
        request.headers.push((name.to_owned(), value.to_owned()));
        request
    }

    /// Without this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// As an HTTP API (payload 2.0) hands it to Lambda.
    #[must_use]
    pub fn event(&self) -> Value {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        http_api::event(self.method, headers, &self.body)
    }

    /// As an HTTP API hands over a form: in base64, though it is text.
    #[must_use]
    pub fn encoded_event(&self) -> Value {
        let mut event = self.event();
        event["body"] = json!(http_api::base64(&self.body));
        event["isBase64Encoded"] = json!(true);
        event
    }
}

/// What Slack says of a request that an [`Endpoint`](crate::http::Endpoint) received.
impl ReceivedRequest {
    /// The number of the retry and its reason. [`None`]: it is the first attempt.
    ///
    /// # Panics
    /// If the number is none.
    #[must_use]
    pub fn retry(&self) -> Option<(u32, &str)> {
        let num = self.header("x-slack-retry-num")?.parse().expect("a number");
        Some((num, self.header("x-slack-retry-reason")?))
    }

    /// Whether Slack's signature with [`SECRET`] is on it, by the ingress's own verifier.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let headers = SignatureHeaders {
            signature: self.header("x-slack-signature"),
            timestamp: self.header("x-slack-request-timestamp"),
        };
        verify(headers, self.body.clone(), &[SigningSecret::new(SECRET)], SystemClock.now()).is_ok()
    }
}

/// A mention with this event id, signed now.
#[must_use]
pub fn event(id: &str) -> Request {
    Request::json(mention(id, "hello"))
}

/// The body of a mention, as Slack sends it.
#[must_use]
pub fn mention(event_id: &str, text: &str) -> Vec<u8> {
    mention_in("C0LAN2Q65", "1515449522.000016", event_id, text)
}

/// The body of a mention in this channel, in the thread that this `ts` begins.
#[must_use]
pub fn mention_in(channel: &str, ts: &str, event_id: &str, text: &str) -> Vec<u8> {
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
