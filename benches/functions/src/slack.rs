//! Builds the event with which API Gateway invokes a function for a request of Slack's.

use serde_json::Value;
use test_support::slack::Request;
pub use test_support::slack::SECRET as SIGNING_SECRET;

const MENTION: &str = include_str!("../../../tests/fixtures/events/app_mention.json");
const ID_IN_MENTION: &str = "Ev0LAN670R";

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

/// The event of an HTTP API (payload 2.0) for a mention with this event id, signed with the current time.
pub fn http_api_event(event_id: &str) -> Value {
    let body = MENTION.replace(ID_IN_MENTION, event_id);
    let length = body.len().to_string();
    let request = Request::json(body).header("content-length", &length);
    HEADERS.into_iter().fold(request, |request, (name, value)| request.header(name, value)).event()
}
