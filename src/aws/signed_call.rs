//! One POST over HTTPS, signed for a service of AWS's for which the SDK has no client, or not signed at all.
//!
//! It is sent once and never repeated, and the caller learns whether it was certainly not sent. Each call has a connection of
//! its own. A connection that is kept is often closed by the other side when it is needed, above all after an execution
//! environment was frozen, and then nobody knows whether the request was read. A connection that cannot be made is a certain
//! failure.

use aws_config::SdkConfig;
use aws_sdk_sqs::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};

use super::sigv4::{ValidFor, sign};
use crate::time::clock::{Clock, Moment, SystemClock};

/// An answer of which more than this comes is not read to its end.
const MAX_ANSWER_BYTES: usize = 1_000_000;

/// The [`CallError::code`] of a request that did not get out: no connection could be made, or the time was over.
pub const NOT_REACHED: &str = "not_reached";

/// The [`CallError::code`] of an answer that was not read to its end.
pub const ANSWER_TOO_LONG: &str = "answer_too_long";

/// How long one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// To find credentials, and again to connect, TLS included.
    pub connect: Duration,
    /// The whole call. A request that has not left by then does not leave any more.
    pub call: Duration,
}

/// Makes single calls.
#[derive(Clone, Debug)]
pub struct SignedCalls {
    /// The region and the credentials; absent where nothing is signed.
    signer: Option<(String, SharedCredentialsProvider)>,
    connector: SharedHttpConnector,
    limits: TimeLimits,
}

/// A POST.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Where to, with scheme and path.
    pub url: &'a str,
    /// The service that it is signed for, such as `bedrock-agentcore`; absent: it is not signed.
    pub service: Option<&'a str>,
    /// Names in lower case, and values.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body, which is not empty.
    pub body: &'a [u8],
}

/// An answer. It has a status even if its body cannot be read.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body.
    ///
    /// # Errors
    /// When it broke off, did not come in time, or is too long.
    pub body: Result<Vec<u8>, CallError>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct CallError {
    /// Whether the request, or at least its body, certainly never left. Otherwise it may have taken effect.
    pub is_unsent: bool,
    /// What went wrong, as a short code in lower case.
    pub code: &'static str,
    source: Option<BoxError>,
}

impl SignedCalls {
    /// Calls with the credentials and for the region of this configuration.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(aws: &SdkConfig, limits: TimeLimits) -> Result<Self, &'static str> {
        let region = aws.region().ok_or("no region")?.to_string();
        let credentials = aws.credentials_provider().ok_or("no provider of credentials")?;
        Ok(Self { signer: Some((region, credentials)), ..Self::unsigned(limits) })
    }

    /// Calls that are never signed.
    pub fn unsigned(limits: TimeLimits) -> Self {
        Self { signer: None, connector: connector(limits.connect), limits }
    }

    /// The region that calls are signed for; absent where nothing is signed.
    pub fn region(&self) -> Option<&str> {
        self.signer.as_ref().map(|(region, _)| region.as_str())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: TimeLimits) -> Self {
        Self { connector: connector(limits.connect), limits, ..self }
    }

    /// When a call must be over that is begun now, and must be over at `until` in any case.
    pub fn deadline(&self, until: Moment) -> Moment {
        until.min(SystemClock.moment().after(self.limits.call))
    }

    /// Sends the request once, and waits for the answer until `until`. The answer is read to its end, or until `is_complete` says
    /// that what has come is all that is needed: the other side may leave a stream of events open.
    ///
    /// # Errors
    /// When no answer came: [`CallError::is_unsent`] says whether the request may have taken effect.
    pub async fn post(
        &self,
        post: Post<'_>,
        until: Moment,
        is_complete: impl Fn(&Headers, &[u8]) -> bool,
    ) -> Result<Answer, CallError> {
        let held = Held::default();
        let request = self.request(post, until, &held).await?;
        let sent = timeout_at(until.instant, self.connector.call(request)).await;
        let (code, source): (_, BoxError) = match sent {
            Ok(Ok(response)) => return Ok(answer(response, until.instant, is_complete).await),
            Ok(Err(error)) => ("connection_lost", error.into()),
            Err(elapsed) => ("timed_out", elapsed.into()),
        };
        if held.close() {
            Err(CallError::unsent(NOT_REACHED, Some(source)))
        } else {
            Err(CallError::unknown(code, Some(source)))
        }
    }

    /// The request, signed if it is to be.
    async fn request(&self, post: Post<'_>, until: Moment, held: &Held) -> Result<HttpRequest, CallError> {
        let unsent = |source: BoxError| CallError::unsent("cannot_be_made", Some(source));
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method("POST").map_err(|error| unsent(error.into()))?;
        request.set_uri(post.url).map_err(|error| unsent(error.into()))?;
        let length = post.body.len().to_string();
        let headers = post.headers.iter().copied().chain([("content-length", length.as_str())]);
        for (name, value) in headers {
            request.headers_mut().try_insert(name, value.to_owned()).map_err(|error| unsent(error.into()))?;
        }
        if let Some(service) = post.service {
            let Some((region, credentials)) = &self.signer else {
                return Err(CallError::unsent("no_credentials", None));
            };
            let credentials = timeout_at(
                until.instant.min(SystemClock.instant() + self.limits.connect),
                credentials.provide_credentials(),
            );
            let identity = match credentials.await {
                Ok(Ok(credentials)) => Identity::from(credentials),
                Ok(Err(error)) => return Err(CallError::unsent("no_credentials", Some(error.into()))),
                Err(elapsed) => return Err(CallError::unsent("no_credentials", Some(elapsed.into()))),
            };
            let valid_for = ValidFor { region, service };
            let time = UNIX_EPOCH + Duration::from_millis(SystemClock.now().as_millis());
            sign(&mut request, Some(post.body), &identity, valid_for, time).map_err(unsent)?;
        }
        *request.body_mut() = held.body(SystemClock, until, post.body.to_vec());
        Ok(request)
    }
}

/// A connector that keeps no connection.
pub(super) fn connector(connect_timeout: Duration) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(connect_timeout).build();
    SharedHttpConnector::new(
        Connector::builder()
            .connector_settings(settings)
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .pool_max_idle_per_host(0)
            .build(),
    )
}

/// The body of a request, which is held until a connection stands and takes bytes. The receiver does nothing with a request
/// whose body it has not got, so a body that was not handed out was certainly not sent, whatever went wrong.
///
/// It is handed out until a point in time only. A process may be stopped for minutes between the decision to send something
/// and the sending; when it goes on, others may have found out that it was not sent, and have sent it themselves. So the clock
/// is asked at the last possible moment.
#[derive(Clone, Default)]
struct Held(Arc<AtomicU8>);

/// The states of a body: it is held at first, and then either handed out or closed for good.
const HELD: u8 = 0;
const HANDED_OUT: u8 = 1;
const CLOSED: u8 = 2;

impl Held {
    fn leave_for(&self, state: u8) -> bool {
        self.0.compare_exchange(HELD, state, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Sees to it that the body is not handed out any more; false if it was.
    fn close(&self) -> bool {
        self.leave_for(CLOSED) || self.0.load(Ordering::SeqCst) == CLOSED
    }

    /// These bytes as a body that is handed out until then.
    fn body(&self, clock: impl Clock + 'static, until: Moment, bytes: Vec<u8>) -> SdkBody {
        let (held, mut whole) = (self.clone(), Full::from(bytes));
        let piece = stream::once(async move {
            if clock.is_past(until) || !held.leave_for(HANDED_OUT) {
                held.close();
                return Err(NotHandedOut);
            }
            // There is always one, for no body here is empty.
            whole.frame().await.and_then(Result::ok).ok_or(NotHandedOut)
        });
        SdkBody::from_body_1_x(StreamBody::new(Box::pin(piece)))
    }
}

/// An answer that has begun, with its body up to its end or until it is complete.
async fn answer(
    mut response: HttpResponse,
    until: Instant,
    is_complete: impl Fn(&Headers, &[u8]) -> bool,
) -> Answer {
    let body = read(&mut response, until, is_complete).await;
    Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
}

/// The body of an answer, up to its end or until it is complete.
async fn read(
    response: &mut HttpResponse,
    until: Instant,
    is_complete: impl Fn(&Headers, &[u8]) -> bool,
) -> Result<Vec<u8>, CallError> {
    let mut body = response.take_body();
    let mut bytes = Vec::new();
    loop {
        match timeout_at(until, body.frame()).await {
            Ok(None) => return Ok(bytes),
            Ok(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else { continue };
                if bytes.len() + data.len() > MAX_ANSWER_BYTES {
                    return Err(CallError::unknown(ANSWER_TOO_LONG, None));
                }
                bytes.extend_from_slice(data);
                if is_complete(response.headers(), &bytes) {
                    return Ok(bytes);
                }
            }
            Ok(Some(Err(error))) => return Err(CallError::unknown("connection_lost", Some(error))),
            Err(elapsed) => return Err(CallError::unknown("timed_out", Some(elapsed.into()))),
        }
    }
}

/// The time of a call was over before its request was sent, or nobody waits for its answer any more.
#[derive(Debug)]
struct NotHandedOut;

impl fmt::Display for NotHandedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its time was over before it was sent")
    }
}

impl Error for NotHandedOut {}

impl CallError {
    fn unsent(code: &'static str, source: Option<BoxError>) -> Self {
        Self { is_unsent: true, code, source }
    }

    fn unknown(code: &'static str, source: Option<BoxError>) -> Self {
        Self { is_unsent: false, code, source }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::UnixMillis;

    struct At(UnixMillis, Instant);

    impl Clock for At {
        fn now(&self) -> UnixMillis {
            self.0
        }

        fn instant(&self) -> Instant {
            self.1
        }
    }

    fn until(begun: Instant) -> Moment {
        Moment { instant: begun + Duration::from_secs(14), wall: UnixMillis::from_millis(14_000) }
    }

    #[tokio::test]
    async fn what_was_stopped_until_it_is_too_late_is_not_sent_any_more() {
        let begun = SystemClock.instant();
        for (wall, seconds, is_sent) in
            [(0, 0, true), (14_000, 13, true), (14_001, 0, false), (0, 14, false), (90_000, 90, false)]
        {
            let clock = At(UnixMillis::from_millis(wall), begun + Duration::from_secs(seconds));
            let held = Held::default();
            let body = held.body(clock, until(begun), b"it".to_vec()).collect().await;
            assert_eq!(body.is_ok_and(|body| body.to_bytes() == b"it"[..]), is_sent, "{wall}, {seconds}");
            assert_eq!(held.close(), !is_sent, "{wall}, {seconds}");
        }
    }

    #[tokio::test]
    async fn what_was_given_up_is_not_sent_any_more() {
        let begun = SystemClock.instant();
        let held = Held::default();
        let body = held.body(At(UnixMillis::from_millis(0), begun), until(begun), b"it".to_vec());
        assert!(held.close());
        assert!(body.collect().await.is_err());
        assert!(held.close());
    }
}
