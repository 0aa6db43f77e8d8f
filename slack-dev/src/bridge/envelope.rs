//! Parses the frames that come through the WebSocket, and writes the acknowledgements that go back.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use slack_ingress::ingress::Inbound;
use slack_ingress::slack::retries::Attempt;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::telemetry::report::ingress::{Dependency, ImmediateAnswer, RequestOutcome, RequestReport};
use slack_ingress::time::clock::UnixMillis;
use std::fmt;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A text frame of Slack's.
#[derive(Debug)]
pub(super) enum Frame {
    /// Slack has accepted the connection.
    Hello,
    /// Slack ends the connection, now or soon.
    Disconnect(DisconnectReason),
    Envelope(Envelope),
    /// Not a frame that this program knows. It is ignored.
    Unknown,
}

/// Why Slack ends a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DisconnectReason {
    /// `warning` or `refresh_requested`, whichever the field has: this connection will end soon, and another may be opened.
    ConnectionWillEnd(&'static str),
    /// `link_disabled`: Socket Mode was switched off.
    SocketModeDisabled,
    /// `too_many_websockets` or any other reason, by Slack's name.
    Other(String),
}

/// A delivery of Slack's, with the content type and the body that Slack would have posted to a request URL.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) accepts_response_payload: bool,
    attempt: Attempt,
    content_type: &'static str,
    body: Vec<u8>,
}

/// A frame as JSON. A field of an unexpected shape counts as absent. Only an envelope without an id is unknown, because it could
/// not be acknowledged.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    envelope_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    accepts_response_payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retry_attempt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retry_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reason: Option<&'a RawValue>,
}

fn read<'a, T: Deserialize<'a>>(field: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}

impl Frame {
    pub(super) fn parse(text: &str) -> Self {
        let Ok(raw) = serde_json::from_str::<Raw<'_>>(text) else { return Self::Unknown };
        match raw.kind.as_str() {
            "hello" => return Self::Hello,
            "disconnect" => {
                return Self::Disconnect(match read::<String>(raw.reason).unwrap_or_default().as_str() {
                    "warning" => DisconnectReason::ConnectionWillEnd("warning"),
                    "refresh_requested" => DisconnectReason::ConnectionWillEnd("refresh_requested"),
                    "link_disabled" => DisconnectReason::SocketModeDisabled,
                    other => DisconnectReason::Other(other.escape_debug().to_string()),
                });
            }
            _ => {}
        }
        let Some(id) = read::<String>(raw.envelope_id).filter(|id| !id.is_empty()) else {
            return Self::Unknown;
        };
        let payload = raw.payload.map_or("", RawValue::get);
        let (content_type, body) = match raw.kind.as_str() {
            "slash_commands" => (FORM, command_form(payload)),
            "interactive" => (FORM, interaction_form(payload)),
            // An event, or something that the ingress refuses with its own reason.
            _ => (JSON, payload.as_bytes().to_vec()),
        };
        Self::Envelope(Envelope {
            id,
            accepts_response_payload: read(raw.accepts_response_payload).unwrap_or(false),
            attempt: Attempt {
                retry_num: read(raw.retry_attempt).filter(|num| *num > 0),
                retry_reason: read::<String>(raw.retry_reason).filter(|reason| !reason.is_empty()),
            },
            content_type,
            body,
        })
    }
}

impl Envelope {
    /// The request that Slack would have posted, signed with the current time.
    pub(super) fn signed(self, secret: &SigningSecret, now: UnixMillis) -> Inbound {
        let timestamp = now.as_secs().to_string();
        Inbound {
            signature: Some(secret.sign(&timestamp, &self.body)),
            timestamp: Some(timestamp),
            content_type: Some(self.content_type.to_owned()),
            attempt: self.attempt,
            delivery_id: Some(self.id),
            gateway_time: None,
            body: self.body,
        }
    }
}

/// The fields of a command as the form that Slack posts. A payload that is no object is returned as it is, and the ingress refuses
/// it.
fn command_form(payload: &str) -> Vec<u8> {
    let Ok(Fields(fields)) = serde_json::from_str::<Fields>(payload) else {
        return payload.as_bytes().to_vec();
    };
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

fn interaction_form(payload: &str) -> Vec<u8> {
    format!("payload={}", encode(payload)).into_bytes()
}

fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// The members of an object in the order of the text. A member that occurs twice stays twice, because the ingress has a rule for
/// a form field that occurs twice.
struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match value.get() {
                        "null" => {}
                        string if string.starts_with('"') => {
                            fields.push((
                                name,
                                serde_json::from_str(string).map_err(serde::de::Error::custom)?,
                            ));
                        }
                        // A form has only texts, so a number or an object is given as its JSON.
                        other => fields.push((name, other.to_owned())),
                    }
                }
                Ok(Fields(fields))
            }
        }

        input.deserialize_map(FieldsVisitor)
    }
}

/// Whether and how an envelope is acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// Send this text to Slack.
    Send(String),
    /// Send nothing, so that Slack sends the envelope again. `sink_failed` says whether a failure of the sink is the reason.
    Withhold { sink_failed: bool },
}

impl Acknowledgement {
    /// Acknowledges an envelope that the ingress answers with 200. Also acknowledges an envelope that can never succeed: the
    /// function forbids its retries with `X-Slack-No-Retry`, which a WebSocket has no other way to say. Does not acknowledge one
    /// that is answered with 503, or with 401: as the bridge has just signed it, the clock must have been set meanwhile.
    ///
    /// What a rule of the fast path answers goes with it, if Slack accepts it there.
    pub(super) fn of(report: &RequestReport, envelope_id: String, accepts_response_payload: bool) -> Self {
        let RequestReport { outcome, details } = report;
        let answer = details.fast_path.as_ref().and_then(|done| done.answer.as_ref());
        let payload = answer.filter(|_| outcome.takes_an_answer()).and_then(|answer| match answer {
            ImmediateAnswer { is_json: true, body } => serde_json::from_str(body).ok(),
            // A socket takes only JSON.
            ImmediateAnswer { body, .. } => (!body.is_empty()).then(|| serde_json::json!({ "text": body })),
        });
        let payload = || payload.filter(|_| accepts_response_payload);
        match outcome {
            RequestOutcome::Accepted
            | RequestOutcome::Parked
            | RequestOutcome::Duplicate
            | RequestOutcome::Kept
            | RequestOutcome::AnsweredAtOnce => Self::Send(acknowledgement(&envelope_id, payload())),
            RequestOutcome::Ignored
            | RequestOutcome::RateLimited
            | RequestOutcome::Challenge(_)
            | RequestOutcome::SslCheck
            | RequestOutcome::Malformed(_)
            | RequestOutcome::TooLarge
            | RequestOutcome::MethodNotAllowed => Self::Send(acknowledgement(&envelope_id, None)),
            RequestOutcome::Suggestion => {
                let no_options = accepts_response_payload.then(|| serde_json::json!({ "options": [] }));
                Self::Send(acknowledgement(&envelope_id, payload().or(no_options)))
            }
            RequestOutcome::Unavailable(Dependency::Sink) => Self::Withhold { sink_failed: true },
            RequestOutcome::InFlight
            | RequestOutcome::Unavailable(_)
            | RequestOutcome::Panicked
            | RequestOutcome::Rejected(_) => Self::Withhold { sink_failed: false },
        }
    }

    pub(super) fn is_for_the_sink(&self) -> bool {
        matches!(self, Self::Withhold { sink_failed: true })
    }
}

fn acknowledgement(envelope_id: &str, payload: Option<serde_json::Value>) -> String {
    match payload {
        None => serde_json::json!({ "envelope_id": envelope_id }),
        Some(payload) => serde_json::json!({ "envelope_id": envelope_id, "payload": payload }),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use slack_ingress::slack::payload::Malformed;
    use slack_ingress::telemetry::report::ingress::{FastPathOutcome, FastPathReport, RequestDetails};

    fn envelope(text: &str) -> Envelope {
        match Frame::parse(text) {
            Frame::Envelope(envelope) => envelope,
            other => panic!("{other:?}"),
        }
    }

    fn body(envelope: Envelope) -> String {
        String::from_utf8(envelope.body).unwrap()
    }

    #[test]
    fn an_events_payload_is_kept_byte_for_byte() {
        let payload = r#"{ "type" : "event_callback", "x":[1.0e5,"\ud800","\u00fc"], "event_id":"Ev1" }"#;
        let event = envelope(&format!(r#"{{"envelope_id":"1","type":"events_api","payload":{payload}}}"#));
        assert_eq!((event.content_type, event.accepts_response_payload), (JSON, false));
        assert_eq!(body(event), payload);
    }

    #[test]
    fn a_commands_fields_become_a_form_and_a_field_that_occurs_twice_stays_twice() {
        let command = envelope(
            r#"{"envelope_id":"1","type":"slash_commands","payload":{"command":"/deploy","text":"a&b=c %üs+","n":1,"o":null,"text":"2"}}"#,
        );
        assert_eq!(command.content_type, FORM);
        assert_eq!(body(command), "command=%2Fdeploy&text=a%26b%3Dc%20%25%C3%BCs%2B&n=1&text=2");
        for payload in ["[]", "17", r#"{"text":"\ud800"}"#] {
            let odd =
                envelope(&format!(r#"{{"envelope_id":"1","type":"slash_commands","payload":{payload}}}"#));
            assert_eq!(body(odd), payload);
        }
    }

    #[test]
    fn an_interaction_becomes_a_form_with_the_field_payload() {
        let button = envelope(
            r#"{"envelope_id":"1","type":"interactive","accepts_response_payload":true,"payload":{"type":"block_actions"}}"#,
        );
        assert!(button.accepts_response_payload && button.content_type == FORM);
        assert_eq!(body(button), "payload=%7B%22type%22%3A%22block%5Factions%22%7D");
    }

    #[test]
    fn the_retry_number_and_reason_are_the_envelopes_and_absent_on_the_first_attempt() {
        let attempt = |fields: &str| {
            envelope(&format!(r#"{{"envelope_id":"1","type":"events_api","payload":{{}}{fields}}}"#)).attempt
        };
        let of =
            |retry_num, reason: Option<&str>| Attempt { retry_num, retry_reason: reason.map(str::to_owned) };
        assert_eq!(attempt(""), of(None, None));
        assert_eq!(attempt(r#","retry_attempt":0,"retry_reason":"""#), of(None, None));
        assert_eq!(attempt(r#","retry_attempt":2,"retry_reason":"timeout""#), of(Some(2), Some("timeout")));
        assert_eq!(attempt(r#","retry_attempt":"2","retry_reason":7"#), of(None, None));
    }

    #[test]
    fn a_frame_without_an_envelope_id_is_unknown() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "hello",
            r#"{"type":7}"#,
            r#"{"type":"events_api","payload":{}}"#,
            r#"{"type":"events_api","envelope_id":"","payload":{}}"#,
            r#"{"type":"events_api","envelope_id":1}"#,
        ] {
            assert!(matches!(Frame::parse(text), Frame::Unknown), "{text}");
        }
    }

    #[test]
    fn each_reason_to_disconnect_is_known() {
        let reason = |reason: &str| match Frame::parse(&format!(r#"{{"type":"disconnect",{reason}}}"#)) {
            Frame::Disconnect(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(r#""reason":"warning""#), DisconnectReason::ConnectionWillEnd("warning"));
        assert_eq!(
            reason(r#""reason":"refresh_requested","debug_info":{}"#),
            DisconnectReason::ConnectionWillEnd("refresh_requested")
        );
        assert_eq!(reason(r#""reason":"link_disabled""#), DisconnectReason::SocketModeDisabled);
        assert_eq!(
            reason(r#""reason":"too_many_websockets""#),
            DisconnectReason::Other("too_many_websockets".to_owned())
        );
        assert_eq!(reason(r#""other":1"#), DisconnectReason::Other(String::new()));
    }

    #[test]
    fn an_acknowledgement_is_withheld_only_if_another_attempt_may_succeed() {
        let acknowledgement = |outcome: &RequestOutcome, accepts| {
            let report = RequestReport { outcome: outcome.clone(), details: RequestDetails::default() };
            Acknowledgement::of(&report, "e\"1".to_owned(), accepts)
        };
        let plain = Acknowledgement::Send(r#"{"envelope_id":"e\"1"}"#.to_owned());
        for outcome in [
            RequestOutcome::Accepted,
            RequestOutcome::Duplicate,
            RequestOutcome::Parked,
            RequestOutcome::Ignored,
            RequestOutcome::TooLarge,
            RequestOutcome::Malformed(Malformed::Json),
        ] {
            assert_eq!(acknowledgement(&outcome, true), plain, "{outcome:?}");
        }
        for outcome in [RequestOutcome::InFlight, RequestOutcome::Unavailable(Dependency::Store)] {
            assert_eq!(
                acknowledgement(&outcome, true),
                Acknowledgement::Withhold { sink_failed: false },
                "{outcome:?}"
            );
        }
        assert!(acknowledgement(&RequestOutcome::Unavailable(Dependency::Sink), false).is_for_the_sink());
        let options = Acknowledgement::Send(r#"{"envelope_id":"e\"1","payload":{"options":[]}}"#.to_owned());
        assert_eq!(acknowledgement(&RequestOutcome::Suggestion, true), options);
        assert_eq!(acknowledgement(&RequestOutcome::Suggestion, false), plain);
    }

    #[test]
    fn what_a_rule_answers_goes_with_the_acknowledgement() {
        let body = serde_json::json!({"text": "on it"});
        let answer = Some(ImmediateAnswer::json(&body));
        let done = FastPathReport::new("rule", FastPathOutcome::Answered, answer);
        let with = |outcome, accepts| {
            let details = RequestDetails { fast_path: Some(done.clone()), ..RequestDetails::default() };
            Acknowledgement::of(&RequestReport { outcome, details }, "e1".to_owned(), accepts)
        };
        let answered = Acknowledgement::Send(r#"{"envelope_id":"e1","payload":{"text":"on it"}}"#.to_owned());
        for outcome in [RequestOutcome::Accepted, RequestOutcome::Suggestion, RequestOutcome::AnsweredAtOnce]
        {
            assert_eq!(with(outcome, true), answered);
        }
        assert_eq!(
            with(RequestOutcome::Accepted, false),
            Acknowledgement::Send(r#"{"envelope_id":"e1"}"#.to_owned())
        );
    }
}
