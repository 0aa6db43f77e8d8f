//! HTTP servers that are no ingress, for the doctor to examine. Each function starts one and returns its URL.

use serde_json::Value;
use slack_ingress::time::clock::{Clock, SystemClock};
use test_support::http::{Endpoint, response};

/// A server that gives the same answer to every request.
pub(super) async fn always(status: u16, body: &'static str) -> String {
    Endpoint::start(move |_, _| async move { response(status, &[], body) }).await.url
}

/// A server that gives the same answer to every request, with these headers.
pub(super) async fn answering(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> String {
    Endpoint::start(move |_, _| async move { response(status, headers, body) }).await.url
}

/// A server that answers every challenge without checking the signature.
pub(super) async fn unguarded() -> String {
    let endpoint = Endpoint::start(async |_, request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        response(200, &[], body["challenge"].as_str().unwrap_or_default())
    });
    endpoint.await.url
}

/// A server whose clock is this many seconds behind this machine's.
pub(super) async fn behind(seconds: i64, status: u16, body: &'static str) -> String {
    let endpoint = Endpoint::start(move |_, _| async move {
        let now = i64::try_from(SystemClock.now().as_secs()).unwrap();
        let date = aws_smithy_types::DateTime::from_secs(now - seconds);
        let date = date.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
        response(status, &[("date", &date)], body)
    });
    endpoint.await.url
}
