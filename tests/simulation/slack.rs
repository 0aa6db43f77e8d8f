//! Plays Slack: builds and signs its requests, and says how long it pauses before a retry.

use serde_json::json;
use slack_ingress::ingress::Inbound;
use slack_ingress::slack::retries::{Attempt, PAUSES};
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::UnixMillis;
use std::time::Duration;

pub(crate) use test_support::slack::SECRET;

/// Slack sends its first retry almost at once. It is simulated this long after the first attempt has failed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// How long Slack pauses before each of its retries, after the attempt before has failed.
pub(crate) fn pauses() -> [Duration; 3] {
    PAUSES.map(|pause| pause.max(SHORTEST_PAUSE))
}

/// An event or a command of a user, which Slack sends to the function.
#[derive(Clone, Debug)]
pub(crate) struct SlackRequest {
    /// The `event_id` of an event, the `trigger_id` of a command.
    pub(crate) id: String,
    content_type: &'static str,
    body: String,
    /// Whether Slack repeats it: it repeats events, but no commands.
    pub(crate) is_repeated: bool,
}

impl SlackRequest {
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

    /// One attempt of Slack's at this request, signed with the time of the attempt.
    pub(crate) fn attempt(&self, now: UnixMillis, retry_num: Option<u32>) -> Inbound {
        let timestamp = now.as_secs().to_string();
        Inbound {
            signature: Some(SigningSecret::new(SECRET).sign(&timestamp, self.body.as_bytes())),
            timestamp: Some(timestamp),
            content_type: Some(self.content_type.to_owned()),
            attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "http_error".to_owned()) },
            delivery_id: None,
            gateway_time: None,
            body: self.body.clone().into_bytes(),
        }
    }
}
