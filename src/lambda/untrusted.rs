//! What anybody can send, reduced to what we need before the library reads it.
//!
//! Whoever knows the URL chooses the path, the query, the headers and the body of an event. `lambda_http` builds a URL of
//! some of these and panics where that is none, as it does on a body that is marked base64 and is not; and it refuses an
//! event whose headers are `null` or hold what HTTP does not allow. We need the method, five headers, the body, and the time at
//! which API Gateway received the request. So [`reduce`] writes a new event of these and nothing else, in the form of the same
//! front door, for the library to read.
//!
//! It is also cheaper: a real event has some twenty headers and a long context, and the library would make a value of each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lambda_http::http::HeaderValue;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The headers that we read, in lower case. All others are left out.
pub(super) mod header {
    /// `v0=` and 64 hexadecimal digits.
    pub(crate) const SIGNATURE: &str = "x-slack-signature";
    /// Seconds since the epoch; signed together with the body.
    pub(crate) const TIMESTAMP: &str = "x-slack-request-timestamp";
    /// Says whether the body is JSON or a form.
    pub(crate) const CONTENT_TYPE: &str = "content-type";
    /// Absent on Slack's first attempt, then 1 to 3.
    pub(crate) const RETRY_NUM: &str = "x-slack-retry-num";
    /// Why Slack asks again; absent on its first attempt.
    pub(crate) const RETRY_REASON: &str = "x-slack-retry-reason";

    // Added by `super::reduce` itself. Nobody else can: whatever a stranger sends under these names is left out.
    /// The body is marked as base64 and is none.
    pub(crate) const UNREADABLE_BODY: &str = "x-slack-ingress-unreadable-body";
    /// When API Gateway received the request, in milliseconds since the epoch. It comes from the request's context, which nobody
    /// but AWS writes.
    pub(crate) const GATEWAY_TIME: &str = "x-slack-ingress-gateway-time";

    pub(super) const ALL: [&str; 5] = [SIGNATURE, TIMESTAMP, CONTENT_TYPE, RETRY_NUM, RETRY_REASON];
}

/// The query parameter by which Slack checks a command's certificate: `GET …?ssl_check=1`.
pub(super) const SSL_CHECK: (&str, &str) = ("ssl_check", "1");

/// The event of an HTTP request, reduced to what we need. What cannot be read as one becomes an empty object, which the
/// library refuses in words that quote nothing.
///
/// - A header that comes twice is joined with a comma, as in HTTP; no signature has a comma. Where a front door gives
///   headers both singly and as lists, the lists are the whole of it.
/// - A header whose value HTTP does not allow counts as absent.
/// - A body that is marked base64 and is not is left out, and `header::UNREADABLE_BODY` says so.
pub fn reduce(event: &[u8]) -> Vec<u8> {
    let reduced = serde_json::from_slice::<Event<'_>>(event).ok().map(Reduced::of);
    reduced.and_then(|reduced| serde_json::to_vec(&reduced).ok()).unwrap_or_else(|| b"{}".to_vec())
}

/// The fields of an event that decide something.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    request_context: RequestContext<'a>,
    /// REST API and load balancer; an HTTP API has it in the context.
    #[serde(borrow, default)]
    http_method: Option<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    headers: Headers,
    #[serde(default, deserialize_with = "or_default")]
    multi_value_headers: Headers,
    /// The query as an HTTP API sends it.
    #[serde(borrow, default)]
    raw_query_string: Option<Text<'a>>,
    /// The query as a REST API and a load balancer send it.
    #[serde(borrow, default)]
    query_string_parameters: Option<&'a RawValue>,
    /// A load balancer that is set to send lists sends these alone.
    #[serde(borrow, default)]
    multi_value_query_string_parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "or_default")]
    is_base64_encoded: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(borrow, default)]
    http: Option<HttpDescription<'a>>,
    #[serde(default)]
    elb: Option<IgnoredAny>,
    /// HTTP API and Function URL: when they received the request, in milliseconds since the epoch.
    #[serde(borrow, default)]
    time_epoch: Option<&'a RawValue>,
    /// REST API: the same.
    #[serde(borrow, default)]
    request_time_epoch: Option<&'a RawValue>,
}

impl RequestContext<'_> {
    fn gateway_time(&self) -> Option<u64> {
        self.time_epoch.or(self.request_time_epoch)?.get().parse().ok()
    }
}

#[derive(Deserialize)]
struct HttpDescription<'a> {
    #[serde(borrow)]
    method: Text<'a>,
}

/// A string that is borrowed from the event where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// The new event, in the fields of which `lambda_http` knows the front door again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reduced<'a> {
    request_context: ReducedContext,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<&'static str>,
    headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_query_string: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<&'static str, &'static str>,
    body: Option<&'a RawValue>,
    is_base64_encoded: bool,
}

/// Each front door has its own member here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ReducedContext {
    /// API Gateway HTTP API (payload 2.0) or Lambda Function URL.
    Http { method: &'static str },
    /// API Gateway REST API (payload 1.0).
    HttpMethod(&'static str),
    /// Application Load Balancer.
    Elb {},
}

impl<'a> Reduced<'a> {
    fn of(event: Event<'a>) -> Self {
        let is_ssl_check = event.is_ssl_check();
        let gateway_time = event.request_context.gateway_time();
        let (request_context, http_method) = match event.request_context {
            RequestContext { http: Some(http), .. } => {
                (ReducedContext::Http { method: method(&http.method) }, None)
            }
            RequestContext { elb, .. } => {
                let method = event.http_method.as_ref().map_or(NOT_SERVED, method);
                let context = match elb {
                    Some(_) => ReducedContext::Elb {},
                    None => ReducedContext::HttpMethod(method),
                };
                (context, Some(method))
            }
        };
        let is_http_api = http_method.is_none();
        let (name, value) = SSL_CHECK;
        let headers = if event.multi_value_headers.any { event.multi_value_headers } else { event.headers };
        let mut headers = headers.values;
        if let Some(millis) = gateway_time {
            headers.insert(header::GATEWAY_TIME, millis.to_string());
        }
        let mut body = event.body;
        if event.is_base64_encoded && !body.is_none_or(is_base64) {
            headers.insert(header::UNREADABLE_BODY, String::new());
            body = None;
        }
        Self {
            request_context,
            http_method,
            headers,
            raw_query_string: (is_ssl_check && is_http_api).then(|| format!("{name}={value}")),
            query_string_parameters: (is_ssl_check && !is_http_api)
                .then_some((name, value))
                .into_iter()
                .collect(),
            is_base64_encoded: event.is_base64_encoded && body.is_some(),
            body,
        }
    }
}

impl Event<'_> {
    fn is_ssl_check(&self) -> bool {
        let (name, value) = SSL_CHECK;
        let is_in_query =
            |Text(query): &Text<'_>| query.split('&').any(|field| field.split_once('=') == Some(SSL_CHECK));
        let is_in_parameters = |parameters: &RawValue| {
            let parameters =
                serde_json::from_str::<BTreeMap<String, Values>>(parameters.get()).unwrap_or_default();
            match parameters.get(name) {
                Some(Values::One(given)) => given == value,
                Some(Values::Many(given)) => given.iter().any(|given| given == value),
                None => false,
            }
        };
        self.raw_query_string.as_ref().is_some_and(is_in_query)
            || self.query_string_parameters.is_some_and(is_in_parameters)
            || self.multi_value_query_string_parameters.is_some_and(is_in_parameters)
    }
}

/// Stands for each method that is refused, and for none: the test event of Lambda's console names no method.
const NOT_SERVED: &str = "OPTIONS";

/// The methods that are answered differently: POST is served, a GET may be Slack's check of a certificate, and any other is
/// refused alike.
fn method(Text(name): &Text<'_>) -> &'static str {
    match name.as_ref() {
        "POST" => "POST",
        "GET" => "GET",
        _ => NOT_SERVED,
    }
}

/// Whether a JSON string holds base64 as `lambda_http` decodes it.
fn is_base64(body: &RawValue) -> bool {
    serde_json::from_str::<Text<'_>>(body.get()).is_ok_and(|Text(text)| BASE64.decode(text.as_ref()).is_ok())
}

/// The values of [`header::ALL`], by name; all other headers are passed over without being kept.
#[derive(Default)]
struct Headers {
    values: BTreeMap<&'static str, String>,
    /// Whether there was any header at all.
    any: bool,
}

/// The values of one header: a string, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
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
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    headers.any = true;
                    let Some(name) = header::ALL.into_iter().find(|known| known.eq_ignore_ascii_case(&name))
                    else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = match map.next_value::<Option<Values>>()? {
                        Some(Values::One(value)) => value,
                        Some(Values::Many(values)) => values.join(","),
                        None => continue,
                    };
                    headers
                        .values
                        .entry(name)
                        .and_modify(|first| {
                            first.push(',');
                            first.push_str(&value);
                        })
                        .or_insert(value);
                }
                headers.values.retain(|_, value| HeaderValue::from_str(value).is_ok());
                Ok(headers)
            }
        }

        input.deserialize_map(HeadersVisitor)
    }
}
