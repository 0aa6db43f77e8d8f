//! What agent-settle does in the app's pane: it suggests the prompts that its own configuration has. The request names only the
//! direct message, so nobody can have anything else suggested, and there is no record and no token.

use serde_json::Value;

use super::answer::Answer;
use super::request::{Invalid, VERSION};
use super::{CALLS_END, Settle};
use crate::gateway::{Pane, SlackTools, StatusOutcome};
use crate::slack::payload;
use crate::telemetry::report::settle::SettleReport;
use crate::time::clock::Clock;

/// The operation's name, in requests and in the log.
pub const PROMPTS: &str = "prompts";

/// "Somebody has opened the pane."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaneRequest {
    /// The installation of the app; absent if the dispatcher does not know it.
    pub tenant: Option<String>,
    /// The direct message.
    pub channel: String,
    /// The thread in it, in an app with the older `assistant_view`.
    pub thread_ts: Option<String>,
}

impl PaneRequest {
    /// Reads a request; `None` if it asks for another operation.
    pub fn read(request: &Value) -> Option<Result<Self, Invalid>> {
        let field = |name: &str| request.get(name);
        if field("operation").and_then(Value::as_str) != Some(PROMPTS) {
            return None;
        }
        let text = |name: &str| field(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let channel = text("channel").filter(|channel| payload::is_direct(channel));
        let has_thread = field("thread_ts").is_some_and(|thread_ts| !thread_ts.is_null());
        Some(match (field("version").and_then(Value::as_u64), channel, text("thread_ts")) {
            (version, ..) if version != Some(VERSION) => Err(Invalid("version must be 1")),
            (_, None, _) => Err(Invalid("channel must be a direct message")),
            (.., None) if has_thread => Err(Invalid("thread_ts must be null, or a string that is not empty")),
            (_, Some(channel), thread_ts) => {
                let (channel, thread_ts) = (channel.to_owned(), thread_ts.map(str::to_owned));
                Ok(Self { tenant: text("tenant").map(str::to_owned), channel, thread_ts })
            }
        })
    }
}

impl<W, Q, T: SlackTools, G, N, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Suggests the configured prompts. Nothing depends on whether that succeeds, and it may be repeated.
    pub async fn suggest_prompts(&self, request: &PaneRequest) -> (Answer, SettleReport) {
        let mut report = SettleReport { operation: PROMPTS, ..SettleReport::default() };
        let until = self.clock.moment().after(CALLS_END);
        let PaneRequest { tenant, channel, thread_ts } = request;
        let pane = Pane { tenant: tenant.as_deref(), channel, thread_ts: thread_ts.as_deref() };
        let answer = match &self.settings.prompts {
            None => Answer::NotShown,
            Some(prompts) => match self.slack.suggest(&pane, prompts, until).await {
                StatusOutcome::Shown => Answer::Shown,
                StatusOutcome::NotShown { reason } => {
                    report.not_shown = Some(reason);
                    Answer::NotShown
                }
            },
        };
        report.outcome = Some(answer.outcome());
        (answer, report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pane_is_a_direct_message_and_what_is_suggested_is_not_in_the_request() {
        let request = |changes: Value| {
            let mut request = json!({ "version": 1, "operation": "prompts", "channel": "D1" });
            for (name, value) in changes.as_object().unwrap() {
                request[name] = value.clone();
            }
            PaneRequest::read(&request)
        };
        let pane = |thread_ts: Option<&str>| {
            let (channel, thread_ts) = ("D1".to_owned(), thread_ts.map(str::to_owned));
            Some(Ok(PaneRequest { tenant: None, channel, thread_ts }))
        };
        assert_eq!(request(json!({ "prompts": [{ "title": "a", "message": "b" }] })), pane(None));
        assert_eq!(request(json!({ "thread_ts": null })), pane(None));
        assert_eq!(request(json!({ "thread_ts": "1.2" })), pane(Some("1.2")));
        let of_tenant = request(json!({ "tenant": "T1" })).unwrap().unwrap();
        assert_eq!(of_tenant.tenant.as_deref(), Some("T1"));
        for (changes, named) in [
            (json!({ "version": 2 }), "version"),
            (json!({ "channel": "C1" }), "channel"),
            (json!({ "channel": null }), "channel"),
            (json!({ "thread_ts": 7 }), "thread_ts"),
            (json!({ "thread_ts": "" }), "thread_ts"),
        ] {
            let Invalid(why) = request(changes).unwrap().unwrap_err();
            assert!(why.starts_with(named), "{why}");
        }
        for other in [json!({ "operation": "sign" }), json!([]), json!({})] {
            assert_eq!(PaneRequest::read(&other), None);
        }
    }
}
