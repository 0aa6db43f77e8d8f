//! The call to the agent, and what its errors mean. The agent of production is an AgentCore Runtime
//! ([`InvokeAgentRuntime`](https://docs.aws.amazon.com/bedrock-agentcore/latest/APIReference/API_InvokeAgentRuntime.html)), or a
//! [harness](super::harness).

use aws_sdk_bedrockagentcore::Client;
use aws_sdk_bedrockagentcore::config::http::HttpResponse;
use aws_sdk_bedrockagentcore::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockagentcore::primitives::Blob;
use std::error::Error;
use std::fmt;
use std::future::Future;

use super::agent_call::AgentCall;
use super::harness::Harness;
use crate::aws::event_stream;
use crate::time::trace::TraceHeader;

const JSON: &str = "application/json";
/// An agent that yields pieces answers with a stream.
const ACCEPTED: &str = "application/json, text/event-stream";

/// The longest answer of an agent that is read: more than the longest text that is posted.
pub(super) const MAX_ANSWER_BYTES: usize = 512 * 1024;

/// An agent that takes questions.
pub trait Agent: Send + Sync {
    /// Calls the agent. `Ok` means that its whole answer has come, whatever it says. The caller may drop the future when the
    /// agent's time is over, and the agent may have taken the question then.
    ///
    /// # Errors
    /// [`InvokeError::NotNow`] when the agent has certainly not begun. [`InvokeError::Failed`] when the outcome is unknown: the
    /// agent may have taken the question, or a part of its work may be done.
    fn invoke(&self, call: &AgentCall) -> impl Future<Output = Result<Replied, InvokeError>> + Send;
}

/// What an agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replied {
    /// The body of the answer.
    pub body: Vec<u8>,
    /// Whether it is a stream of server-sent events (`text/event-stream`).
    pub is_sse: bool,
}

/// Why the agent is not known to have taken a question.
#[derive(Debug)]
pub enum InvokeError {
    /// The agent has certainly not taken the question, and may take it later. AgentCore throttles, has no capacity, or finds
    /// the session in conflict. Or AgentCore cannot be reached or used at all, or finds the call invalid, and a person has to
    /// see to that.
    NotNow {
        /// The name of AWS's operation, and its error code, or what went wrong where there is none.
        what: String,
        /// Whether the session is being provisioned or torn down, so that it may be asked again at once.
        is_conflict: bool,
        /// The error of the SDK; absent if AWS's error code says it all.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The call failed, or its answer was cut off. What the agent did is unknown.
    Failed {
        /// The name of AWS's operation, and its error code, or what went wrong where there is none.
        what: String,
        /// The error of the SDK; absent if AWS's error code says it all.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow { what, .. } | Self::Failed { what, .. } => f.write_str(what),
        }
    }
}

impl Error for InvokeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotNow { source, .. } | Self::Failed { source, .. } => {
                source.as_ref().map(|source| source.as_ref() as _)
            }
        }
    }
}

/// The agent that the configuration names.
#[derive(Clone, Debug)]
pub enum DeployedAgent {
    /// An AgentCore Runtime, with code of somebody's.
    Runtime(AgentCore),
    /// AgentCore's managed loop.
    Harness(Harness),
}

impl Agent for DeployedAgent {
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        match self {
            Self::Runtime(runtime) => runtime.invoke(call).await,
            Self::Harness(harness) => harness.invoke(call).await,
        }
    }
}

/// The name of the operation, in errors.
const OPERATION: &str = "InvokeAgentRuntime";

/// An endpoint of an AgentCore Runtime.
#[derive(Clone, Debug)]
pub struct AgentCore {
    client: Client,
    runtime_arn: String,
    qualifier: String,
}

impl AgentCore {
    /// The endpoint `qualifier`, such as `DEFAULT`, of the runtime with this ARN. `client` must neither repeat calls nor bound
    /// their time ([`clients::agent_core`](crate::aws::clients::agent_core)).
    pub fn new(client: Client, runtime_arn: String, qualifier: String) -> Self {
        Self { client, runtime_arn, qualifier }
    }
}

impl Agent for AgentCore {
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        let call = self
            .client
            .invoke_agent_runtime()
            .agent_runtime_arn(&self.runtime_arn)
            .qualifier(&self.qualifier)
            .runtime_session_id(&call.session_id)
            .set_trace_id(call.trace.as_ref().map(TraceHeader::header))
            .set_trace_parent(call.trace.as_ref().and_then(TraceHeader::traceparent))
            .content_type(JSON)
            .accept(ACCEPTED)
            .payload(Blob::new(call.payload.as_slice()));
        let mut answer = call.send().await.map_err(|error| invoke_error(OPERATION, error))?;
        let is_sse = event_stream::is_event_stream(&answer.content_type);
        // The answer ends when the agent is done with the call, so one that is cut off means that it was not.
        let mut body = Vec::new();
        while let Some(piece) = answer.response.next().await {
            let piece = piece.map_err(|error| cut_off(OPERATION, error.into()))?;
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                // Half of an answer is none.
                let what = format!("{OPERATION}: the answer is too long");
                return Err(InvokeError::Failed { what, source: None });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Replied { body, is_sse })
    }
}

/// The agent had begun to answer.
pub(super) fn cut_off(operation: &str, error: Box<dyn Error + Send + Sync>) -> InvokeError {
    InvokeError::Failed { what: format!("{operation}: the answer was cut off"), source: Some(error) }
}

/// What an error of the SDK means that this operation had, by AWS's error code. The message of the error is kept only where AWS
/// wrote it: in a `RuntimeClientError` the agent may have, and it may quote what a person said.
pub(super) fn invoke_error<E>(operation: &str, error: SdkError<E, HttpResponse>) -> InvokeError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let failed = |what: &str, source| InvokeError::Failed { what: format!("{operation}: {what}"), source };
    let not_now = |what: String, source| not_now(operation, what, source);
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let service = match error.as_service_error() {
        Some(service) => service,
        // The call was never sent. An error of any other kind may mean that it was.
        None if matches!(error, SdkError::ConstructionFailure(_)) || is_unreachable(&error) => {
            return not_now("cannot be called".to_owned(), Some(error.into()));
        }
        None => return failed("no answer", Some(error.into())),
    };
    let code = service.code().unwrap_or("unknown").to_owned();
    let in_full = || format!("{code}: {}", service.message().unwrap_or("no message"));
    match code.as_str() {
        // The container's own answer, whatever its status: the agent was called.
        "RuntimeClientError" => failed(&format!("{code} ({status})"), None),
        "AccessDeniedException" | "ResourceNotFoundException" | "ValidationException" => {
            not_now(in_full(), None)
        }
        "RetryableConflictException" => {
            InvokeError::NotNow { what: format!("{operation}: {code}"), is_conflict: true, source: None }
        }
        "ThrottlingException" | "ServiceQuotaExceededException" => not_now(code, None),
        // An unknown code, with the status of no right to call, of a busy session, or of throttling.
        _ if matches!(status, 401 | 403 | 404 | 409 | 429) => not_now(format!("{code} ({status})"), None),
        _ => failed(&format!("{code} ({status})"), None),
    }
}

pub(super) fn not_now(
    operation: &str,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
) -> InvokeError {
    InvokeError::NotNow { what: format!("{operation}: {what}"), is_conflict: false, source }
}

/// Whether there was never a connection, so that the call was not sent.
fn is_unreachable<E: Error + Send + Sync + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_bedrockagentcore::error::ErrorMetadata;
    use aws_sdk_bedrockagentcore::operation::invoke_agent_runtime::InvokeAgentRuntimeError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    fn meaning_of(error: SdkError<InvokeAgentRuntimeError, HttpResponse>) -> InvokeError {
        invoke_error(OPERATION, error)
    }

    #[test]
    fn an_error_says_what_failed_and_hands_on_why() {
        let because = || Some("connection refused".into());
        for (error, source) in [
            (not_now(OPERATION, "it".to_owned(), because()), Some("connection refused")),
            (cut_off(OPERATION, "connection refused".into()), Some("connection refused")),
            (not_now(OPERATION, "it".to_owned(), None), None),
        ] {
            assert!(error.to_string().starts_with("InvokeAgentRuntime: "), "{error}");
            assert_eq!(error.source().map(ToString::to_string).as_deref(), source);
        }
    }

    #[test]
    fn a_call_that_was_never_sent_can_be_made_later() {
        let meaning = meaning_of(SdkError::construction_failure("no region"));
        assert!(matches!(meaning, InvokeError::NotNow { source: Some(_), .. }), "{meaning:?}");
        let meaning = meaning_of(SdkError::timeout_error("no answer"));
        assert!(matches!(meaning, InvokeError::Failed { source: Some(_), .. }), "{meaning:?}");
    }

    /// The port was free a moment ago, so that the connection is refused: the real HTTP client says so in its own words.
    #[tokio::test]
    async fn a_call_that_found_nobody_listening_can_be_made_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let credentials = aws_credential_types::Credentials::for_tests();
        let config = aws_sdk_bedrockagentcore::Config::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .credentials_provider(credentials)
            .endpoint_url(endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        let agent = AgentCore::new(Client::from_conf(config), "arn".to_owned(), "DEFAULT".to_owned());
        let call = AgentCall {
            event_id: "Ev1".to_owned(),
            session_id: format!("slack-{}", "0".repeat(64)),
            payload: b"{}".to_vec(),
            trace: None,
        };
        let error = agent.invoke(&call).await.unwrap_err();
        assert!(matches!(error, InvokeError::NotNow { source: Some(_), .. }), "{error:?}");
    }

    #[test]
    fn whoever_may_not_call_is_told_in_aws_own_words() {
        let response = || HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
        for code in ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"] {
            let metadata = ErrorMetadata::builder().code(code).message("not authorized").build();
            let error = InvokeAgentRuntimeError::generic(metadata);
            let meaning = invoke_error(OPERATION, SdkError::service_error(error, response()));
            assert!(matches!(meaning, InvokeError::NotNow { .. }), "{meaning:?}");
            assert_eq!(meaning.to_string(), format!("InvokeAgentRuntime: {code}: not authorized"));
        }
    }
}
