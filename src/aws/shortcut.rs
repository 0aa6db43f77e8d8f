//! A shortcut through the AWS SDK, for the calls that every event makes.
//!
//! The SDK works out anew for each call what stays the same: its plug-ins, a dozen interceptors, the endpoint, the auth scheme,
//! the retry budget. That takes a large part of an event's CPU time. A [`Shortcut`] looks on while the SDK makes one call, the
//! warm-up at init, and keeps what the SDK resolved: the endpoint, the signature's scope, the source of the credentials, the HTTP
//! client and the time-out. Later calls are made of the SDK's own parts, one after the other: its serialiser, its identity cache,
//! its signer, its HTTP client with the same connections, its deserialiser.
//!
//! A shortcut makes one attempt. If the service answers as it should, that is the answer. If anything else happens (a throttle, a
//! failure, a clock that is wrong, an expired token, a broken connection), the SDK makes the call from the start, and does what it
//! does in such a case. So the shortcut does not decide what is repeated, with one exception: where a second call would take effect
//! a second time, an unknown outcome is not repeated at all ([`Repeat::IfRefused`]).
//!
//! `tests/suite/wire.rs` compares what the shortcut sends with what the SDK sends, and `SDK_SHORTCUT=off` turns it off.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::{ResolveCachedIdentity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, Error, Input,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer};
use aws_smithy_types::timeout::TimeoutConfig;
use http_body_util::BodyExt;
use percent_encoding::{CONTROLS, percent_encode};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::sigv4::{ValidFor, sign};
use crate::time::deadline::look_at_the_clock;

type SdkError<E> = result::SdkError<E, HttpResponse>;

/// Which calls may be made once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// All of them: the second of two calls has no effect.
    Always,
    /// Those that the service certainly refused. If the answer was lost, or is a 5xx, return the error and do not repeat: the
    /// call may have taken effect, and a second one would take effect again.
    IfRefused,
}

/// What the SDK resolved on its first call to a service, kept to make later requests without it. Registered with the SDK's
/// client as an interceptor, it looks on while the SDK makes that call.
#[derive(Clone, Debug)]
pub(crate) struct Shortcut {
    route: Arc<OnceLock<Route>>,
    repeat: Repeat,
    is_enabled: bool,
}

/// What the SDK resolved, and what stays the same for every call to the service.
#[derive(Debug)]
struct Route {
    /// The scheme and the authority of the service's URL.
    endpoint: String,
    user_agent: String,
    /// The SDK sends its user agent twice: proxies rewrite the one, and the other is signed.
    x_amz_user_agent: String,
    /// `attempt=1; max=3`
    sdk_request: String,
    scope: Scope,
    connector: SharedHttpConnector,
    /// How long one attempt may take, connecting included; absent if the SDK bounds no attempt.
    timeout: Option<Duration>,
    identities: SharedIdentityResolver,
    /// The identity cache and the clock among them.
    components: RuntimeComponents,
}

/// The region and the service that a signature is valid for.
#[derive(Debug, PartialEq, Eq)]
struct Scope {
    region: String,
    service: String,
}

/// One of a service's operations.
#[derive(Debug)]
pub(crate) struct Operation<I, O, E> {
    /// Absent in an SDK that is built otherwise: then it makes all calls itself.
    config: Option<FrozenLayer>,
    /// Whether this error is an answer as good as any.
    is_expected: fn(&E) -> bool,
    types: PhantomData<fn(I) -> (O, E)>,
}

impl<I, O, E> Operation<I, O, E> {
    /// The SDK's `operation`, whose error `is_expected` if nobody need be asked again.
    pub(crate) fn new(operation: &impl RuntimePlugin, is_expected: fn(&E) -> bool) -> Self {
        Self { config: operation.config(), is_expected, types: PhantomData }
    }

    fn serializer(&self) -> Option<&SharedRequestSerializer> {
        self.config.as_ref()?.load::<SharedRequestSerializer>()
    }

    fn deserializer(&self) -> Option<&SharedResponseDeserializer> {
        self.config.as_ref()?.load::<SharedResponseDeserializer>()
    }
}

/// How a call by the shortcut ended.
enum Attempt<O, E> {
    /// The service did what it was asked for.
    Done(O),
    /// The service answered with an error.
    Refused(E, HttpResponse),
    /// No answer came that can be read. Whether the call took effect is unknown.
    Unanswered(SdkError<E>),
    /// The service was not called: the SDK has made no call yet that could be looked at, or the shortcut is switched off, or
    /// the request could not be made.
    NotMade,
}

impl Shortcut {
    /// A shortcut that is taken as soon as the SDK has made a first call.
    pub(crate) fn new(repeat: Repeat) -> Self {
        Self { route: Arc::default(), repeat, is_enabled: true }
    }

    /// Whether it may be taken. Switched off, the SDK makes every call.
    pub(crate) fn enable(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Calls `operation` with `input` by the shortcut, and `by_sdk` where that cannot be taken or does not end well.
    ///
    /// # Errors
    /// The error that the SDK returns for the operation.
    pub(crate) async fn call<I, O, E, B>(
        &self,
        operation: &Operation<I, O, E>,
        input: impl FnOnce() -> Result<I, B>,
        by_sdk: impl AsyncFnOnce() -> Result<O, SdkError<E>>,
    ) -> Result<O, SdkError<E>>
    where
        I: fmt::Debug + Send + Sync + 'static,
        O: fmt::Debug + Send + Sync + 'static,
        E: std::error::Error + fmt::Debug + Send + Sync + 'static,
    {
        match self.attempt(operation, input).await {
            Attempt::Done(output) => Ok(output),
            Attempt::Refused(error, response) if (operation.is_expected)(&error) => {
                Err(SdkError::service_error(error, response))
            }
            Attempt::Refused(error, response)
                if self.repeat == Repeat::IfRefused && response.status().is_server_error() =>
            {
                Err(SdkError::service_error(error, response))
            }
            Attempt::Unanswered(error) if self.repeat == Repeat::IfRefused => Err(error),
            _ => {
                look_at_the_clock().await;
                // Boxed: ten kilobytes of state that hardly any call needs.
                Box::pin(by_sdk()).await
            }
        }
    }

    async fn attempt<I, O, E, B>(
        &self,
        operation: &Operation<I, O, E>,
        input: impl FnOnce() -> Result<I, B>,
    ) -> Attempt<O, E>
    where
        I: fmt::Debug + Send + Sync + 'static,
        O: fmt::Debug + Send + Sync + 'static,
        E: std::error::Error + fmt::Debug + Send + Sync + 'static,
    {
        let (true, Some(route), Some(serializer), Some(deserializer)) =
            (self.is_enabled, self.route.get(), operation.serializer(), operation.deserializer())
        else {
            return Attempt::NotMade;
        };
        let mut config = ConfigBag::base();
        let request = async {
            let request = serializer.serialize_input(Input::erase(input().ok()?), &mut config).ok()?;
            route.signed(request).await.ok()
        };
        let Some(request) = request.await else { return Attempt::NotMade };
        let response = match route.send(request).await {
            Ok(response) => response,
            Err(error) => return Attempt::Unanswered(error),
        };
        match deserializer.deserialize_nonstreaming_with_config(&response, &config) {
            Ok(output) => match output.downcast() {
                Ok(output) => Attempt::Done(output),
                Err(_) => {
                    Attempt::Unanswered(SdkError::response_error("another operation's answer", response))
                }
            },
            Err(error) => refused(error, response),
        }
    }
}

fn refused<O, E>(error: OrchestratorError<Error>, response: HttpResponse) -> Attempt<O, E>
where
    E: std::error::Error + fmt::Debug + Send + Sync + 'static,
{
    let mut refusal = None;
    error.map_operation_error(|error| refusal = error.downcast().ok());
    match refusal {
        Some(refusal) => Attempt::Refused(refusal, response),
        None => Attempt::Unanswered(SdkError::response_error("an answer that cannot be read", response)),
    }
}

impl Route {
    /// What the SDK has planned for `request`, which it is about to send.
    fn of(request: &HttpRequest, components: &RuntimeComponents, config: &ConfigBag) -> Option<Self> {
        let timeouts = config.load::<TimeoutConfig>()?;
        let mut settings = HttpConnectorSettings::builder();
        settings.set_connect_timeout(timeouts.connect_timeout());
        settings.set_read_timeout(timeouts.read_timeout());
        let headers = request.headers();
        Some(Self {
            endpoint: endpoint(request.uri())?.to_owned(),
            user_agent: headers.get("user-agent")?.to_owned(),
            x_amz_user_agent: headers.get("x-amz-user-agent")?.to_owned(),
            sdk_request: first_attempt(headers.get("amz-sdk-request")?)?,
            scope: Scope::of_authorization(headers.get("authorization")?)?,
            connector: components.http_client()?.http_connector(&settings.build(), components),
            timeout: timeouts.operation_attempt_timeout(),
            identities: components.identity_resolver(SIGV4)?,
            components: components.clone(),
        })
    }

    /// `request`, of which the SDK's serialiser has made all but what is the same for every operation.
    async fn signed(&self, mut request: HttpRequest) -> Result<HttpRequest, BoxError> {
        let config = ConfigBag::base();
        let cache = self.components.identity_cache();
        let identity =
            cache.resolve_cached_identity(self.identities.clone(), &self.components, &config).await?;
        let time = self.components.time_source().ok_or("no clock")?.now();

        request.uri_mut().set_endpoint(&self.endpoint)?;
        request.headers_mut().try_insert("user-agent", self.user_agent.clone())?;
        request.headers_mut().try_insert("x-amz-user-agent", self.x_amz_user_agent.clone())?;
        if let Some(trace_id) = trace_id() {
            request.headers_mut().try_insert("x-amzn-trace-id", trace_id)?;
        }
        let valid_for = ValidFor { region: &self.scope.region, service: &self.scope.service };
        sign(&mut request, None, &identity, valid_for, time)?;
        // Not signed: a proxy may number the attempts anew.
        request.headers_mut().try_insert("amz-sdk-request", self.sdk_request.clone())?;
        request.headers_mut().try_insert("amz-sdk-invocation-id", invocation_id())?;
        Ok(request)
    }

    /// The answer to `request`, with all of its body.
    async fn send<E>(&self, request: HttpRequest) -> Result<HttpResponse, SdkError<E>> {
        let answer = async {
            let mut response = self.connector.call(request).await.map_err(SdkError::dispatch_failure)?;
            match response.take_body().collect().await {
                Ok(body) => *response.body_mut() = SdkBody::from(body.to_bytes()),
                Err(error) => return Err(SdkError::response_error(error, response)),
            }
            Ok(response)
        };
        match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(SdkError::timeout_error)?,
            None => answer.await,
        }
    }
}

/// The one auth scheme that is understood here.
const SIGV4: AuthSchemeId = AuthSchemeId::new("sigv4");

impl Scope {
    /// `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …`
    fn of_authorization(header: &str) -> Option<Self> {
        let credential = header.strip_prefix("AWS4-HMAC-SHA256 Credential=")?.split(',').next()?;
        let mut parts = credential.rsplit('/');
        let (terminator, service, region) = (parts.next()?, parts.next()?, parts.next()?);
        (terminator == "aws4_request")
            .then(|| Self { region: region.to_owned(), service: service.to_owned() })
    }
}

/// What the SDK says of a first attempt, from what it says of some attempt: `attempt=2; max=3`, perhaps with a time before it.
fn first_attempt(sdk_request: &str) -> Option<String> {
    let (_, max) = sdk_request.rsplit_once("; max=")?;
    Some(format!("attempt=1; max={max}"))
}

/// The trace of the current invocation, which the Lambda runtime puts into the environment, and which the SDK hands on to every
/// service (its recursion detection).
fn trace_id() -> Option<String> {
    std::env::var_os("AWS_LAMBDA_FUNCTION_NAME")?;
    let trace_id = std::env::var("_X_AMZN_TRACE_ID").ok()?;
    Some(percent_encode(trace_id.as_bytes(), CONTROLS).to_string())
}

/// A random UUID, version 4, as the SDK makes one for each call. Nobody need be unable to guess it.
fn invocation_id() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{random:032x}");
    let [a, b, c, d, e] =
        [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Scheme and authority of a URI that has no path: of no service here does the endpoint have one, and one that does is
/// left to the SDK.
fn endpoint(uri: &str) -> Option<&str> {
    let endpoint = uri.strip_suffix('/')?;
    let (_, authority) = endpoint.split_once("://")?;
    (!authority.contains(['/', '?'])).then_some(endpoint)
}

impl Intercept for Shortcut {
    fn name(&self) -> &'static str {
        "Shortcut"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.route.get().is_none()
            && let Some(route) = Route::of(context.request(), components, config)
        {
            // If another call was faster, it resolved the same.
            let _ = self.route.set(route);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_tells_what_it_is_good_for() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-central-1/dynamodb/aws4_request, \
            SignedHeaders=host;x-amz-date, Signature=0123";
        let scope = Scope::of_authorization(header).unwrap();
        assert_eq!((scope.region.as_str(), scope.service.as_str()), ("eu-central-1", "dynamodb"));
    }

    #[test]
    fn what_is_signed_otherwise_has_no_shortcut() {
        for header in [
            "",
            "Bearer AKIDEXAMPLE/20260101/eu-central-1/dynamodb/aws4_request",
            "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20260101/dynamodb/aws4_request, Signature=0123",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-central-1/dynamodb/aws5_request, Signature=0123",
            "AWS4-HMAC-SHA256 Credential=aws4_request",
        ] {
            assert_eq!(Scope::of_authorization(header), None, "{header}");
        }
    }

    #[test]
    fn a_call_is_numbered_as_a_first_attempt_whatever_was_looked_at() {
        for given in ["attempt=1; max=3", "attempt=2; max=3", "ttl=20260101T000000Z; attempt=3; max=3"] {
            assert_eq!(first_attempt(given).as_deref(), Some("attempt=1; max=3"));
        }
        assert_eq!(first_attempt("attempt=1"), None);
    }

    #[test]
    fn an_invocation_id_is_a_random_uuid() {
        let id = invocation_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.chars().nth(14), Some('4'), "{id}");
        assert!(matches!(id.chars().nth(19), Some('8' | '9' | 'a' | 'b')), "{id}");
        assert_ne!(id, invocation_id());
    }

    #[test]
    fn an_endpoint_is_scheme_and_authority() {
        for (uri, expected) in [
            (
                "https://dynamodb.eu-central-1.amazonaws.com/",
                Some("https://dynamodb.eu-central-1.amazonaws.com"),
            ),
            ("http://127.0.0.1:8000/", Some("http://127.0.0.1:8000")),
            ("http://[::1]:8000/", Some("http://[::1]:8000")),
            ("https://example.com/path/", None),
            ("https://example.com/path", None),
            ("https://example.com/?query=/", None),
            ("/", None),
        ] {
            assert_eq!(endpoint(uri), expected, "{uri}");
        }
    }
}
