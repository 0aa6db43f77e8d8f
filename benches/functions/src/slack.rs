//! Builds the event with which API Gateway invokes a function for a request of Slack's.

use serde::Deserialize;
use serde_json::Value;
use test_support::slack::Request;
pub use test_support::slack::SECRET as SIGNING_SECRET;

/// The headers that a request through API Gateway has beside Slack's own.
const HEADERS: [(&str, &str); 8] = [
    ("accept", "*/*"),
    ("accept-encoding", "gzip,deflate"),
    ("host", "abcdefghij.execute-api.us-east-1.amazonaws.com"),
    ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
    ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-proto", "https"),
];

/// What Slack sends.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The event `app_mention`.
    Mention,
    /// A slash command.
    Command,
    /// A click on a global shortcut.
    Shortcut,
}

impl Kind {
    /// The whole body of the fixture, and what it has in common with no other request: the event's id, or the id of what may open a
    /// modal.
    fn fixture(self) -> (&'static str, &'static str) {
        match self {
            Self::Mention => (include_str!("../../../tests/fixtures/events/app_mention.json"), "Ev0LAN670R"),
            Self::Command => (
                include_str!("../../../tests/fixtures/forms/slash_command.txt"),
                "13345224609.738474920.8088930838d88f008e0",
            ),
            Self::Shortcut => (
                include_str!("../../../tests/fixtures/forms/shortcut.txt"),
                "944799105734.773906753841.38b5894552bdd4a780554ee59d1f3638",
            ),
        }
    }

    /// The id that the request of this number has, and no other.
    pub fn id(self, n: usize) -> String {
        match self {
            Self::Mention => format!("Ev{n:08}"),
            Self::Command | Self::Shortcut => format!("944799105734.773906753841.{n:032x}"),
        }
    }

    /// The event of an HTTP API (payload 2.0) for the request with this id, signed with the current time. A form is in base64, as
    /// API Gateway hands it over.
    pub fn http_api_event(self, id: &str) -> Value {
        let (fixture, id_in_fixture) = self.fixture();
        let body = fixture.replace(id_in_fixture, id);
        let length = body.len().to_string();
        let request = match self {
            Self::Mention => Request::json(body),
            Self::Command | Self::Shortcut => Request::signed("application/x-www-form-urlencoded", body),
        };
        let request = request.header("content-length", &length);
        let request = HEADERS.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        match self {
            Self::Mention => request.event(),
            Self::Command | Self::Shortcut => request.encoded_event(),
        }
    }
}
