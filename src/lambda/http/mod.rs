//! The Lambda side of HTTP: what API Gateway, a Function URL or a load balancer hands over, and what each
//! of them wants back.
//!
//! Only the few fields that matter are read, once: anybody can knock at this door.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::ingress::Inbound;
use crate::slack::payload::Encoding;
use crate::slack::signature::Rejection;
use crate::telemetry::outcome::Outcome;
use crate::telemetry::report::{Attempt, Report};

/// The event that invokes the function.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpEvent {
    #[serde(default, deserialize_with = "or_default")]
    request_context: RequestContext,
    /// REST API and load balancer; an HTTP API puts it in the context.
    #[serde(default)]
    http_method: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    headers: Headers,
    #[serde(default, deserialize_with = "or_default")]
    multi_value_headers: Headers,
    #[serde(default)]
    body: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    is_base64_encoded: bool,
}

#[derive(Default, Deserialize)]
struct RequestContext {
    #[serde(default)]
    http: Option<HttpDescription>,
    #[serde(default)]
    elb: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct HttpDescription {
    method: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Who is in front of us, because each wants its answer a little differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrontDoor {
    /// API Gateway HTTP API (payload 2.0) or Lambda Function URL.
    HttpApi,
    /// API Gateway REST API (payload 1.0).
    RestApi,
    /// Application Load Balancer.
    LoadBalancer,
}

/// What to answer with, kept while the request goes through the steps.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTo {
    front_door: FrontDoor,
    multi_value_headers: bool,
}

impl HttpEvent {
    /// The request, or the outcome of one that does not get as far as the steps.
    pub fn into_request(self) -> (ReplyTo, Result<Inbound, Outcome>) {
        let front_door = match &self.request_context {
            RequestContext { elb: Some(_), .. } => FrontDoor::LoadBalancer,
            RequestContext { http: Some(_), .. } => FrontDoor::HttpApi,
            _ => FrontDoor::RestApi,
        };
        let multi_value_headers = self.multi_value_headers.any;
        let reply_to = ReplyTo { front_door, multi_value_headers };

        let method = self.request_context.http.map(|http| http.method).or(self.http_method);
        if method.as_deref() != Some("POST") {
            return (reply_to, Err(Outcome::MethodNotAllowed));
        }
        let body = self.body.unwrap_or_default();
        let body = if self.is_base64_encoded { BASE64.decode(body).ok() } else { Some(body.into_bytes()) };
        let Some(body) = body else {
            return (reply_to, Err(Outcome::Rejected(Rejection::UnreadableBody)));
        };
        // Where both are given, the multi-value headers are the whole of it.
        let headers = if multi_value_headers { self.multi_value_headers } else { self.headers };
        let inbound = Inbound {
            signature: headers.signature,
            timestamp: headers.timestamp,
            content_type: headers.content_type,
            attempt: Attempt {
                retry_num: headers.retry_num.and_then(|num| num.trim().parse().ok()),
                retry_reason: headers.retry_reason.filter(|reason| !reason.is_empty()),
            },
            delivery_id: None,
            body,
        };
        (reply_to, Ok(inbound))
    }
}

/// The headers that we read; all others are passed over without being kept.
#[derive(Default)]
struct Headers {
    signature: Option<String>,
    timestamp: Option<String>,
    content_type: Option<String>,
    retry_num: Option<String>,
    retry_reason: Option<String>,
    any: bool,
}

/// The values of one header: a string, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Headers {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let slots = [
            ("x-slack-signature", &mut self.signature),
            ("x-slack-request-timestamp", &mut self.timestamp),
            ("content-type", &mut self.content_type),
            ("x-slack-retry-num", &mut self.retry_num),
            ("x-slack-retry-reason", &mut self.retry_reason),
        ];
        slots.into_iter().find_map(|(known, slot)| known.eq_ignore_ascii_case(name).then_some(slot))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;

        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    headers.any = true;
                    let Some(slot) = headers.slot(&name) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = match map.next_value::<Option<Values>>()? {
                        Some(Values::One(value)) => value,
                        Some(Values::Many(values)) => values.join(","),
                        None => continue,
                    };
                    // A header that comes twice is one with a comma, as in HTTP; no signature has one.
                    match slot {
                        Some(first) => {
                            first.push(',');
                            first.push_str(&value);
                        }
                        None => *slot = Some(value),
                    }
                }
                Ok(headers)
            }
        }

        input.deserialize_map(HeadersVisitor)
    }
}

/// The function's result.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    status_code: u16,
    /// A load balancer wants the code and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    headers: BTreeMap<&'static str, &'static str>,
    /// A load balancer that sends headers in this form reads them in no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'static str, [&'static str; 1]>>,
    body: String,
    is_base64_encoded: bool,
    /// We set none, but `cargo lambda watch` takes no answer of an HTTP API's without the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[&'static str; 0]>,
}

impl ReplyTo {
    /// The answer to a request that ended as `report` says. It never says why.
    pub fn respond(self, report: &Report) -> HttpResponse {
        let Answer { status, headers, body } = answer(&report.outcome, report.trail.encoding);
        let is_load_balancer = self.front_door == FrontDoor::LoadBalancer;
        HttpResponse {
            status_code: status.as_u16(),
            status_description: is_load_balancer.then(|| status.to_string()),
            multi_value_headers: (is_load_balancer && self.multi_value_headers)
                .then(|| headers.iter().map(|&(name, value)| (name, [value])).collect()),
            headers: headers.into_iter().collect(),
            body,
            is_base64_encoded: false,
            cookies: (self.front_door == FrontDoor::HttpApi).then_some([]),
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

const CONTENT_TYPE: &str = "content-type";
/// Stops Slack's retries of this event.
const NO_RETRY: (&str, &str) = ("x-slack-no-retry", "1");

fn answer(outcome: &Outcome, encoding: Option<Encoding>) -> Answer {
    let empty = |status, headers: &[_]| Answer { status, headers: headers.to_vec(), body: String::new() };
    match outcome {
        Outcome::Accepted
        | Outcome::Parked
        | Outcome::Duplicate
        | Outcome::Ignored
        | Outcome::RateLimited => match encoding {
            Some(Encoding::Json) => Answer {
                status: StatusCode::OK,
                headers: vec![(CONTENT_TYPE, "application/json")],
                body: r#"{"ok":true}"#.to_owned(),
            },
            // What is in the answer to a slash command is shown to its user.
            Some(Encoding::Form) | None => empty(StatusCode::OK, &[]),
        },
        Outcome::Challenge(challenge) => Answer {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, "text/plain; charset=utf-8")],
            body: challenge.clone(),
        },
        Outcome::Suggestion => Answer {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, "application/json")],
            body: r#"{"options":[]}"#.to_owned(),
        },
        Outcome::SslCheck => empty(StatusCode::OK, &[]),
        // Without the header above: Slack is to ask again.
        Outcome::InFlight | Outcome::Unavailable(_) => empty(StatusCode::SERVICE_UNAVAILABLE, &[]),
        // Without it too: a secret that is being rotated makes good requests look forged for a while.
        Outcome::Rejected(_) => empty(StatusCode::UNAUTHORIZED, &[]),
        Outcome::Malformed(_) => empty(StatusCode::BAD_REQUEST, &[NO_RETRY]),
        Outcome::TooLarge => empty(StatusCode::PAYLOAD_TOO_LARGE, &[NO_RETRY]),
        Outcome::MethodNotAllowed => empty(StatusCode::METHOD_NOT_ALLOWED, &[("allow", "POST")]),
    }
}

#[cfg(test)]
mod tests;
