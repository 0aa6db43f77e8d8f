//! stub
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
use std::fmt;
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    pub tenant: Option<String>,
    pub api_app_id: Option<String>,
    pub team_id: Option<String>,
    pub channel: String,
    pub thread_ts: Option<String>,
    pub user: Option<String>,
    pub asked_at: SlackTs,
    pub response_url: Option<String>,
}
impl Place {
    pub fn stop_key(&self) -> Option<String> {
        self.thread_ts.as_ref().map(|t| format!("stop:A1:{}:{t}", self.channel))
    }
    pub fn session_thread(&self) -> Option<String> {
        self.thread_ts.clone()
    }
}
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlackTs(u64, u64);
impl SlackTs {
    pub fn parse(s: &str) -> Option<Self> {
        let (a, b) = s.split_once('.')?;
        Some(Self(a.parse().ok()?, b.parse().ok()?))
    }
    pub fn as_millis(&self) -> u64 {
        self.0 * 1000 + self.1 / 1000
    }
    pub fn from_millis(m: u64) -> Self {
        Self(m / 1000, m % 1000 * 1000)
    }
}
impl fmt::Display for SlackTs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0, self.1)
    }
}
pub enum Asked {
    Question(Box<Question>),
    Stop(Box<Stop>),
    Deletion { question_id: String },
    Nothing,
}
pub struct Question {
    pub id: String,
    pub text: String,
    pub place: Place,
}
pub struct Stop {
    pub id: String,
    pub place: Place,
    pub stopped_at: SlackTs,
}
impl Place {
    /// The place as the agent may see it: without the `response_url`, by which anybody could post.
    #[must_use]
    pub fn shown_to_the_agent(&self) -> Self {
        Self { response_url: None, ..self.clone() }
    }
}
impl SlackTs {
    #[must_use]
    pub fn next(&self) -> Self {
        Self(self.0, self.1 + 1)
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed2 {
    Json,
}
pub fn read(
    _kind: super::payload::Kind,
    body: &str,
    attributes: &std::collections::BTreeMap<String, String>,
    _dm: super::payload::DmConversation,
) -> Result<Asked, super::payload::Malformed> {
    let body: serde_json::Value = serde_json::from_str(body).map_err(|_| super::payload::Malformed::Json)?;
    let event = &body["event"];
    if !body.is_object() {
        return Err(super::payload::Malformed::Json);
    }
    let app = attributes.get("api_app_id").cloned().unwrap_or_default();
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    let (Some(channel), Some(ts)) = (text("channel"), text("ts").or(text("event_ts"))) else {
        return Ok(Asked::Nothing);
    };
    let place = Place {
        tenant: None,
        api_app_id: Some("A1".to_owned()),
        team_id: None,
        channel: channel.clone(),
        thread_ts: text("thread_ts").or(Some(ts.clone())),
        user: None,
        asked_at: SlackTs::parse(&ts).ok_or(super::payload::Malformed::Json)?,
        response_url: None,
    };
    Ok(match (event["type"].as_str(), event["subtype"].as_str()) {
        (Some("app_mention"), _) => Asked::Question(Box::new(Question {
            id: format!("{app}:{channel}:{ts}"),
            text: text("text").unwrap_or_default(),
            place,
        })),
        (Some("agent_session_stopped"), _) => Asked::Stop(Box::new(Stop {
            id: attributes["event_id"].clone(),
            stopped_at: place.asked_at.clone(),
            place,
        })),
        (Some("message"), Some("message_deleted")) => Asked::Deletion {
            question_id: format!("{app}:{channel}:{}", text("deleted_ts").unwrap_or_default()),
        },
        _ => Asked::Nothing,
    })
}
