//! Plays Slack: builds and signs its requests, and says how long it pauses before a retry.

use serde_json::json;
use sha2::{Digest, Sha256};
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

/// The apps that are installed, and the secret by which Slack signs for each.
pub(crate) const APPS: [(&str, &str); 2] = [("A1", SECRET), ("A2", "the secret of the second app")];

/// The workspace that the apps are installed in, and one that shares its channels.
const INSTALLED_IN: &str = "T1";
const SHARED_WITH: &str = "T2";

/// An event or a command of a user, which Slack sends to the function.
#[derive(Clone, Debug)]
pub(crate) struct SlackRequest {
    /// The id under which it has to be recorded.
    pub(crate) id: String,
    /// What is one conversation and must keep its order: the app and the channel.
    pub(crate) conversation: String,
    content_type: &'static str,
    secret: &'static str,
    body: String,
    /// Whether Slack repeats it: it repeats events, but no commands.
    pub(crate) is_repeated: bool,
}

/// Where and for whom a request is.
#[derive(Clone, Copy)]
pub(crate) struct Addressee {
    /// Whether several apps are installed.
    pub(crate) several_apps: bool,
    /// Which of [`APPS`] it is for.
    pub(crate) app: usize,
    pub(crate) channel: u64,
    /// Whether its author is of the workspace that shares the channel.
    pub(crate) is_from_outside: bool,
    /// Whether the envelope says which workspace the app is installed in.
    pub(crate) says_installation: bool,
}

impl Addressee {
    fn conversation(self) -> String {
        format!("{} in C{}", APPS[self.app].0, self.channel)
    }

    fn id(self, id: String) -> String {
        if self.several_apps { format!("{}:{id}", APPS[self.app].0) } else { id }
    }
}

impl SlackRequest {
    pub(crate) fn event(event_id: String, to: Addressee) -> Self {
        let (app, secret) = APPS[to.app];
        let mut body = json!({
            "type": "event_callback",
            "event_id": event_id,
            "team_id": if to.is_from_outside { SHARED_WITH } else { INSTALLED_IN },
            "api_app_id": app,
            "event": {
                "type": "app_mention",
                "channel": format!("C{}", to.channel),
                "thread_ts": "1",
                "ts": "2",
                "user": "U1"
            }
        });
        if to.says_installation {
            body["authorizations"] = json!([{ "team_id": INSTALLED_IN, "user_id": "UBOT", "is_bot": true }]);
        }
        Self {
            id: to.id(event_id),
            conversation: to.conversation(),
            content_type: "application/json",
            secret,
            body: body.to_string(),
            is_repeated: true,
        }
    }

    pub(crate) fn command(trigger_id: &str, to: Addressee) -> Self {
        let (app, secret) = APPS[to.app];
        let body = format!(
            "command=%2Fask&trigger_id={trigger_id}&team_id={INSTALLED_IN}&api_app_id={app}&channel_id=C{}&thread_ts=1",
            to.channel
        );
        Self {
            id: to.id(hex::encode(Sha256::digest(&body))),
            conversation: to.conversation(),
            content_type: "application/x-www-form-urlencoded",
            secret,
            body,
            is_repeated: false,
        }
    }

    /// One attempt of Slack's at this request, signed at this time, which API Gateway receives at `gateway_time`.
    pub(crate) fn attempt(
        &self,
        signed_at: UnixMillis,
        gateway_time: Option<UnixMillis>,
        retry_num: Option<u32>,
    ) -> Inbound {
        let timestamp = signed_at.as_secs().to_string();
        Inbound {
            signature: Some(SigningSecret::new(self.secret).sign(&timestamp, self.body.as_bytes())),
            timestamp: Some(timestamp),
            content_type: Some(self.content_type.to_owned()),
            attempt: Attempt { retry_num, retry_reason: retry_num.map(|_| "http_error".to_owned()) },
            delivery_id: None,
            gateway_time,
            body: self.body.clone().into_bytes(),
        }
    }
}
