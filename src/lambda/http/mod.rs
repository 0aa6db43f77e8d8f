//! From `lambda_http`'s request to what the steps read, and from their outcome to the answer.

use lambda_http::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, IntoResponse, Request, RequestExt, Response};
use std::future::ready;
use std::pin::Pin;

use super::untrusted::{SSL_CHECK, header};
use crate::ingress::{self, Inbound};
use crate::slack::payload::Encoding;
use crate::slack::retries::Attempt;
use crate::slack::signature::Rejection;
use crate::telemetry::report::ingress::{ImmediateAnswer, RequestOutcome, RequestReport};
use crate::time::clock::UnixMillis;

/// Stops Slack's retries of this event.
const NO_RETRY: HeaderName = HeaderName::from_static("x-slack-no-retry");

/// The request that the steps begin with.
///
/// # Errors
/// The outcome of a request that does not get as far as the steps: one that is not a POST, or whose body cannot be read.
pub fn inbound(request: Request) -> Result<Inbound, RequestOutcome> {
    if request.method() != Method::POST {
        return Err(outcome_of_other_methods(&request));
    }
    if request.headers().contains_key(header::UNREADABLE_BODY) {
        return Err(RequestOutcome::Rejected(Rejection::UnreadableBody));
    }
    let (parts, body) = request.into_parts();
    let value = |name| text(&parts.headers, name);
    Ok(Inbound {
        signature: value(header::SIGNATURE),
        timestamp: value(header::TIMESTAMP),
        content_type: value(header::CONTENT_TYPE),
        attempt: attempt(&parts.headers),
        delivery_id: None,
        gateway_time: value(header::GATEWAY_TIME)
            .and_then(|millis| millis.parse().ok())
            .map(UnixMillis::from_millis),
        body: match body {
            Body::Text(text) => text.into_bytes(),
            Body::Binary(bytes) => bytes,
            // The library may learn of other kinds of bodies; nobody sends one.
            _ => Vec::new(),
        },
    })
}

fn attempt(headers: &HeaderMap) -> Attempt {
    Attempt {
        retry_num: text(headers, header::RETRY_NUM).and_then(|num| num.trim().parse().ok()),
        retry_reason: text(headers, header::RETRY_REASON).filter(|reason| !reason.is_empty()),
    }
}

/// Whether Slack will not repeat this request, as far as its headers tell: it is the last retry, or a form, which Slack sends
/// once.
pub fn is_last_attempt(request: &Request) -> bool {
    let content_type = text(request.headers(), header::CONTENT_TYPE);
    ingress::is_last_attempt(&attempt(request.headers()), Encoding::of(content_type.as_deref()))
}

/// Slack checks the certificate of a command's URL by a GET, too.
fn outcome_of_other_methods(request: &Request) -> RequestOutcome {
    let (name, value) = SSL_CHECK;
    let is_ssl_check = request.method() == Method::GET
        && request.query_string_parameters_ref().and_then(|query| query.first(name)) == Some(value);
    if is_ssl_check { RequestOutcome::SslCheck } else { RequestOutcome::MethodNotAllowed }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    String::from_utf8(headers.get(name)?.as_bytes().to_vec()).ok()
}

/// An answer that `lambda_http` hands on as it is.
///
/// The library converts a plain `Response` by the charset in its content type, though the body is text already: that takes
/// time, strips a byte order mark, and puts the tables of forty encodings into the binary (0.2 MB).
#[derive(Debug)]
pub struct Answer(pub Response<Body>);

impl IntoResponse for Answer {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0))
    }
}

/// The answer to a request that ended as `report` says. It never says why.
pub fn answer(report: &RequestReport) -> Answer {
    Answer(response(report))
}

fn response(report: &RequestReport) -> Response<Body> {
    let encoding = report.details.encoding;
    let immediate = report.details.fast_path.as_ref().and_then(|done| done.answer.as_ref());
    if let Some(ImmediateAnswer { is_json, body }) = immediate.filter(|_| report.outcome.takes_an_answer()) {
        let content_type = if *is_json { "application/json" } else { "text/plain; charset=utf-8" };
        return with_body(content_type, body.clone());
    }
    match &report.outcome {
        RequestOutcome::Accepted
        | RequestOutcome::Parked
        | RequestOutcome::Duplicate
        | RequestOutcome::Kept
        | RequestOutcome::Ignored
        | RequestOutcome::AnsweredAtOnce
        | RequestOutcome::RateLimited => match encoding {
            Some(Encoding::Json) => with_body("application/json", r#"{"ok":true}"#.to_owned()),
            // Slack shows its user whatever stands in the answer to a slash command.
            Some(Encoding::Form) | None => empty(StatusCode::OK),
        },
        RequestOutcome::Challenge(challenge) => with_body("text/plain; charset=utf-8", challenge.clone()),
        RequestOutcome::Suggestion => with_body("application/json", r#"{"options":[]}"#.to_owned()),
        RequestOutcome::SslCheck => empty(StatusCode::OK),
        // Without `X-Slack-No-Retry`, so that Slack asks again.
        RequestOutcome::InFlight | RequestOutcome::Unavailable(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
        // Likewise.
        RequestOutcome::Panicked => empty(StatusCode::INTERNAL_SERVER_ERROR),
        // Without `X-Slack-No-Retry` here, too: while a secret is rotated, valid requests fail verification for a moment,
        // and Slack must ask again.
        RequestOutcome::Rejected(_) => empty(StatusCode::UNAUTHORIZED),
        RequestOutcome::Malformed(_) => without_retries(StatusCode::BAD_REQUEST),
        RequestOutcome::TooLarge => without_retries(StatusCode::PAYLOAD_TOO_LARGE),
        RequestOutcome::MethodNotAllowed => {
            with_header(StatusCode::METHOD_NOT_ALLOWED, ALLOW, HeaderValue::from_static("POST"))
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    // An empty text and not no body at all: a load balancer wants the field.
    let mut response = Response::new(Body::Text(String::new()));
    *response.status_mut() = status;
    response
}

fn with_header(status: StatusCode, name: HeaderName, value: HeaderValue) -> Response<Body> {
    let mut response = empty(status);
    response.headers_mut().insert(name, value);
    response
}

fn without_retries(status: StatusCode) -> Response<Body> {
    with_header(status, NO_RETRY, HeaderValue::from_static("1"))
}

fn with_body(content_type: &'static str, body: String) -> Response<Body> {
    let mut response = with_header(StatusCode::OK, CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = Body::Text(body);
    response
}

#[cfg(test)]
mod tests;
