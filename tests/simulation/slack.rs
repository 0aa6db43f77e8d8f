//! Slack: what it sends, how long it waits, and when it asks again (Events API, "Error handling", "Retries").

use serde_json::json;
use slack_ingress::ingress::Inbound;
use slack_ingress::slack::retries::Attempt;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::UnixMillis;
use std::time::Duration;

pub(crate) use test_support::slack::SECRET;

/// So long Slack waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long after a failed attempt the next one is made: nearly at once, after a minute, after five.
pub(crate) const RETRIES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(60), Duration::from_secs(300)];

/// What a user did.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The event's id, or the command's.
    pub(crate) id: String,
    content_type: &'static str,
    body: String,
    /// Slack repeats events, and nothing else.
    pub(crate) is_repeated: bool,
}

impl Sent {
    pub(crate) fn event(id: String, channel: u64) -> Self {
        let body = json!({
            "type": "event_callback",
            "event_id": id,
            "team_id": "T1",
            "api_app_id": "A1",
            "event": { "type": "app_mention", "channel": format!("C{channel}"), "ts": "1", "user": "U1" }
        });
        Self { id, content_type: "application/json", body: body.to_string(), is_repeated: true }
    }

    pub(crate) fn command(id: String, channel: u64) -> Self {
        let body = format!("command=%2Fask&trigger_id={id}&team_id=T1&api_app_id=A1&channel_id=C{channel}");
        Self { id, content_type: "application/x-www-form-urlencoded", body, is_repeated: false }
    }

    /// As it leaves Slack: signed anew for each attempt.
    pub(crate) fn attempt(&self, now: UnixMillis, retry_num: Option<u32>) -> Inbound {
        let timestamp = now.as_secs().to_string();
        Inbound {
            signature: Some(SigningSecret::new(SECRET).sign(&timestamp, self.body.as_bytes())),
            timestamp: Some(timestamp),
            content_type: Some(self.content_type.to_owned()),
            attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "http_error".to_owned()) },
            delivery_id: None,
            body: self.body.clone().into_bytes(),
        }
    }
}
