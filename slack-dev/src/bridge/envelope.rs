//! What comes through the socket, and what goes back.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use slack_ingress::ingress::Inbound;
use slack_ingress::slack::retries::Attempt;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::telemetry::report::ingress::{Dependency, RequestOutcome};
use slack_ingress::time::clock::UnixMillis;
use std::fmt;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// One text frame.
#[derive(Debug)]
pub(super) enum Frame {
    Hello,
    Disconnect(Reason),
    Envelope(Envelope),
    /// One of tomorrow's, or none of Slack's.
    Unknown,
}

/// Why Slack ends a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// `warning`, `refresh_requested`: this connection will end soon, and another may be opened.
    Renew(&'static str),
    /// `link_disabled`: Socket Mode was switched off.
    Disabled,
    /// `too_many_websockets`, and whatever else.
    Other(String),
}

/// A delivery.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) accepts_response_payload: bool,
    attempt: Attempt,
    content_type: &'static str,
    body: Vec<u8>,
}

/// A field of an unexpected shape counts as absent: only the id must be there, or nothing could be acknowledged.
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
                    "warning" => Reason::Renew("warning"),
                    "refresh_requested" => Reason::Renew("refresh_requested"),
                    "link_disabled" => Reason::Disabled,
                    other => Reason::Other(other.escape_debug().to_string()),
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
            // An event; and what the steps will refuse, in their own words.
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
    /// As Slack would have posted it, signed now.
    pub(super) fn signed(self, secret: &SigningSecret, now: UnixMillis) -> Inbound {
        let timestamp = now.as_secs().to_string();
        Inbound {
            signature: Some(secret.sign(&timestamp, &self.body)),
            timestamp: Some(timestamp),
            content_type: Some(self.content_type.to_owned()),
            attempt: self.attempt,
            delivery_id: Some(self.id),
            body: self.body,
        }
    }
}

/// A command's fields, a form as Slack posts it. What is no object stays as it is, and is refused as no command.
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

/// The members of an object in their order; one that stands twice stays twice, for the form's own rule on that.
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
                        // A form has texts only; a number or an object is its JSON.
                        other => fields.push((name, other.to_owned())),
                    }
                }
                Ok(Fields(fields))
            }
        }

        input.deserialize_map(FieldsVisitor)
    }
}

/// What goes back for an envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// This text.
    Send(String),
    /// Nothing: Slack is to send it again. Whether the sink was why.
    Withhold { sink_failed: bool },
}

impl Ack {
    /// A 200 is acknowledged. So is what can never be one: the function forbids more attempts at it with
    /// `X-Slack-No-Retry`, and a socket has no other way to say that. A 503 is not, and neither is a 401, which here
    /// can only be a clock that was set in between.
    pub(super) fn of(outcome: &RequestOutcome, envelope_id: String, accepts_response_payload: bool) -> Self {
        match outcome {
            RequestOutcome::Accepted
            | RequestOutcome::Parked
            | RequestOutcome::Duplicate
            | RequestOutcome::Ignored
            | RequestOutcome::RateLimited
            | RequestOutcome::Challenge(_)
            | RequestOutcome::SslCheck
            | RequestOutcome::Malformed(_)
            | RequestOutcome::TooLarge
            | RequestOutcome::MethodNotAllowed => Self::Send(acknowledgement(&envelope_id, None)),
            RequestOutcome::Suggestion => {
                let no_options = accepts_response_payload.then(|| serde_json::json!({ "options": [] }));
                Self::Send(acknowledgement(&envelope_id, no_options))
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
    fn a_commands_fields_become_a_form_and_one_that_stands_twice_stays_twice() {
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
    fn an_interaction_is_the_field_payload() {
        let button = envelope(
            r#"{"envelope_id":"1","type":"interactive","accepts_response_payload":true,"payload":{"type":"block_actions"}}"#,
        );
        assert!(button.accepts_response_payload && button.content_type == FORM);
        assert_eq!(body(button), "payload=%7B%22type%22%3A%22block%5Factions%22%7D");
    }

    #[test]
    fn the_attempt_is_what_the_envelope_says_and_the_first_has_none() {
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
    fn what_has_no_id_cannot_be_acknowledged_and_is_none_of_slacks() {
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
        assert_eq!(reason(r#""reason":"warning""#), Reason::Renew("warning"));
        assert_eq!(
            reason(r#""reason":"refresh_requested","debug_info":{}"#),
            Reason::Renew("refresh_requested")
        );
        assert_eq!(reason(r#""reason":"link_disabled""#), Reason::Disabled);
        assert_eq!(
            reason(r#""reason":"too_many_websockets""#),
            Reason::Other("too_many_websockets".to_owned())
        );
        assert_eq!(reason(r#""other":1"#), Reason::Other(String::new()));
    }

    #[test]
    fn only_what_may_become_a_200_is_left_for_another_attempt() {
        let ack = |outcome: &RequestOutcome, accepts| Ack::of(outcome, "e\"1".to_owned(), accepts);
        let plain = Ack::Send(r#"{"envelope_id":"e\"1"}"#.to_owned());
        for outcome in [
            RequestOutcome::Accepted,
            RequestOutcome::Duplicate,
            RequestOutcome::Parked,
            RequestOutcome::Ignored,
            RequestOutcome::TooLarge,
            RequestOutcome::Malformed(Malformed::Json),
        ] {
            assert_eq!(ack(&outcome, true), plain, "{outcome:?}");
        }
        for outcome in [RequestOutcome::InFlight, RequestOutcome::Unavailable(Dependency::Store)] {
            assert_eq!(ack(&outcome, true), Ack::Withhold { sink_failed: false }, "{outcome:?}");
        }
        assert!(ack(&RequestOutcome::Unavailable(Dependency::Sink), false).is_for_the_sink());
        let options = Ack::Send(r#"{"envelope_id":"e\"1","payload":{"options":[]}}"#.to_owned());
        assert_eq!(ack(&RequestOutcome::Suggestion, true), options);
        assert_eq!(ack(&RequestOutcome::Suggestion, false), plain);
    }
}
