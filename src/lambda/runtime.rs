//! The Lambda Runtime API, as much of it as a function needs: its next invocation, the answer to it, and what
//! went wrong.
//!
//! The loop is the function's own (`main.rs`), because of what may stand in it: between the answer and the
//! question for the next invocation Lambda has the answer already and keeps the environment awake. (AWS's guide to
//! custom runtimes calls that step *cleanup*.)

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::time::clock::UnixMillis;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const TRACE: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");

/// Lambda's side, at one address.
#[derive(Clone, Debug)]
pub struct RuntimeApi {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An invocation, as it comes.
#[derive(Clone, Debug)]
pub struct Event {
    /// Unique to it.
    pub request_id: String,
    /// When it is killed.
    pub deadline: UnixMillis,
    /// The X-Ray trace header.
    pub trace_header: Option<String>,
    /// JSON.
    pub payload: Bytes,
}

impl RuntimeApi {
    /// The Runtime API at `address`: host and port from Lambda, a URL with a path from `cargo lambda watch`.
    pub fn at(address: &str) -> Self {
        // No limit for idle connections: while the environment is frozen, so is the other side.
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(None::<Duration>).build_http();
        Self { client, base: base(address) }
    }

    /// Waits for the next invocation, without limit: the environment is frozen meanwhile. `now` is asked when
    /// it has come.
    ///
    /// # Errors
    /// When the Runtime API is gone, or says what this version does not understand.
    pub async fn next(&self, now: impl FnOnce() -> UnixMillis) -> Result<Event, RuntimeError> {
        let response = self.call(Method::GET, "invocation/next", None, Bytes::new()).await?;
        let headers = response.headers();
        let request_id = text(headers, &REQUEST_ID).ok_or(RuntimeError::Incomplete(REQUEST_ID))?;
        let deadline = text(headers, &DEADLINE)
            .and_then(|millis| millis.parse().ok())
            .ok_or(RuntimeError::Incomplete(DEADLINE))?;
        let trace_header = text(headers, &TRACE);
        let payload = body(response).await?;
        Ok(Event { request_id, deadline: point_in_time(deadline, now()), trace_header, payload })
    }

    /// Hands over the answer of an invocation. It is on its way to the caller when this is over.
    ///
    /// # Errors
    /// When the Runtime API is gone, or does not take it: the invocation's time is over, say.
    pub async fn respond(&self, request_id: &str, answer: Vec<u8>) -> Result<(), RuntimeError> {
        let path = format!("invocation/{request_id}/response");
        self.call(Method::POST, &path, None, answer.into()).await.map(drop)
    }

    /// Says that an invocation failed; its caller gets a 502 of API Gateway's.
    ///
    /// # Errors
    /// As for [`RuntimeApi::respond`].
    pub async fn fail(&self, request_id: &str, failure: Failure<'_>) -> Result<(), RuntimeError> {
        self.report(&format!("invocation/{request_id}/error"), failure).await
    }

    /// Says that the function could not be set up.
    ///
    /// # Errors
    /// As for [`RuntimeApi::respond`].
    pub async fn fail_init(&self, failure: Failure<'_>) -> Result<(), RuntimeError> {
        self.report("init/error", failure).await
    }

    async fn report(
        &self,
        path: &str,
        Failure { error_type, message }: Failure<'_>,
    ) -> Result<(), RuntimeError> {
        let error = json!({ "errorType": error_type, "errorMessage": message, "stackTrace": [] });
        self.call(Method::POST, path, Some(error_type), error.to_string().into()).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        error_type: Option<&'static str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, RuntimeError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/2018-06-01/runtime/{path}", self.base))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = match error_type {
            Some(error_type) => request.header(ERROR_TYPE, HeaderValue::from_static(error_type)),
            None => request,
        };
        let request = request.body(Full::new(body)).map_err(RuntimeError::unreachable)?;
        let response = self.client.request(request).await.map_err(RuntimeError::unreachable)?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(RuntimeError::Refused(response.status().as_u16()))
        }
    }
}

/// What the Runtime API is told of a failure. Lambda logs it, so it quotes nothing of a request.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// Category and name, such as `Runtime.ConfigurationInvalid`.
    pub error_type: &'static str,
    /// For whoever reads the log.
    pub message: &'a str,
}

fn base(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.starts_with("http://") { address.to_owned() } else { format!("http://{address}") }
}

/// Read in one piece where it comes in one.
async fn body(response: Response<Incoming>) -> Result<Bytes, RuntimeError> {
    Ok(response.into_body().collect().await.map_err(RuntimeError::unreachable)?.to_bytes())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// When the invocation is killed. Lambda sends a point in time, and `cargo lambda watch` a duration (always
/// 600,000), which as a point in time lies in 1970 and would cut off every step before it begins.
fn point_in_time(header_millis: u64, now: UnixMillis) -> UnixMillis {
    const IN_2001: u64 = 1_000_000_000_000;
    if header_millis < IN_2001 {
        now.after(Duration::from_millis(header_millis))
    } else {
        UnixMillis::from_millis(header_millis)
    }
}

/// The Runtime API did not do what it was asked for.
#[derive(Debug)]
pub enum RuntimeError {
    /// There is no answer.
    Unreachable(Box<dyn Error + Send + Sync>),
    /// The answer has this status.
    Refused(u16),
    /// The invocation lacks this header, or has it in a form that is none.
    Incomplete(HeaderName),
}

impl RuntimeError {
    fn unreachable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable(error.into())
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_) => f.write_str("the Runtime API cannot be reached"),
            Self::Refused(status) => write!(f, "the Runtime API answers {status}"),
            Self::Incomplete(header) => write!(f, "an invocation has no {header} that can be read"),
        }
    }
}

impl Error for RuntimeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error.as_ref()),
            Self::Refused(_) | Self::Incomplete(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_lambdas_host_and_port_or_cargo_lambdas_url() {
        for (address, expected) in [
            ("127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("169.254.100.1:9001/", "http://169.254.100.1:9001"),
            ("http://127.0.0.1:9000/.rt/slack-ingress", "http://127.0.0.1:9000/.rt/slack-ingress"),
            ("http://[::1]:9000/.rt/slack-ingress/", "http://[::1]:9000/.rt/slack-ingress"),
        ] {
            assert_eq!(base(address), expected);
        }
    }

    #[test]
    fn a_deadline_is_a_point_in_time_and_cargo_lambdas_a_duration() {
        let now = UnixMillis::from_millis(1_800_000_000_000);
        let at = UnixMillis::from_millis;
        assert_eq!(point_in_time(1_800_000_005_000, now), at(1_800_000_005_000));
        assert_eq!(point_in_time(1_799_999_999_000, now), at(1_799_999_999_000), "it is over");
        assert_eq!(point_in_time(600_000, now), at(1_800_000_600_000));
    }
}
