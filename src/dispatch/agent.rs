//! The agent: a Bedrock AgentCore Runtime.

use aws_sdk_bedrockagentcore::Client;
use aws_sdk_bedrockagentcore::config::http::HttpResponse;
use aws_sdk_bedrockagentcore::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockagentcore::operation::invoke_agent_runtime::InvokeAgentRuntimeError;
use aws_sdk_bedrockagentcore::primitives::Blob;
use std::error::Error;
use std::fmt;
use std::future::Future;

use super::agent_call::AgentCall;

const JSON: &str = "application/json";

/// Takes events.
pub trait Agent: Send + Sync {
    /// Hands the event over. `Ok` means that the agent has taken it: its answer came, to the end, and is no error. A call
    /// that is cut off may have been taken, too.
    fn invoke(&self, call: &AgentCall) -> impl Future<Output = Result<(), InvokeError>> + Send;
}

/// Why the agent is not known to have an event.
#[derive(Debug)]
pub enum InvokeError {
    /// It has not, and may have it later: throttled, no room, a busy session; or it cannot be reached or used at all, and
    /// a person has to see to that.
    NotNow {
        /// AWS's word for it.
        what: String,
        /// Where there is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It never will: AgentCore refuses this call.
    Never {
        /// AWS's words for it.
        what: String,
    },
    /// It failed, and what it did before is unknown.
    Failed {
        /// AWS's word for it.
        what: String,
        /// Where there is one.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow { what, .. } | Self::Never { what } | Self::Failed { what, .. } => {
                write!(f, "InvokeAgentRuntime: {what}")
            }
        }
    }
}

impl Error for InvokeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotNow { source, .. } | Self::Failed { source, .. } => {
                source.as_ref().map(|source| source.as_ref() as _)
            }
            Self::Never { .. } => None,
        }
    }
}

/// An endpoint of an AgentCore Runtime.
#[derive(Clone, Debug)]
pub struct AgentCore {
    client: Client,
    runtime_arn: String,
    qualifier: String,
}

impl AgentCore {
    /// The endpoint named `qualifier` of the runtime. `client` must not repeat calls by itself, nor bound their time.
    pub fn new(client: Client, runtime_arn: String, qualifier: String) -> Self {
        Self { client, runtime_arn, qualifier }
    }
}

impl Agent for AgentCore {
    async fn invoke(&self, call: &AgentCall) -> Result<(), InvokeError> {
        let call = self
            .client
            .invoke_agent_runtime()
            .agent_runtime_arn(&self.runtime_arn)
            .qualifier(&self.qualifier)
            .runtime_session_id(&call.session_id)
            .set_trace_id(call.trace_header.clone())
            .content_type(JSON)
            .accept(JSON)
            .payload(Blob::new(call.payload.as_slice()));
        let mut answer = call.send().await.map_err(invoke_error)?;
        // The answer is held open until the agent is done with the call, and what is cut off was not. What it says is the
        // agent's own affair: it is neither kept nor looked at.
        while let Some(piece) = answer.response.next().await {
            let cut_off = |error: Box<dyn Error + Send + Sync>| InvokeError::Failed {
                what: "the answer was cut off".to_owned(),
                source: Some(error),
            };
            piece.map_err(|error| cut_off(error.into()))?;
        }
        Ok(())
    }
}

type SdkInvokeError = SdkError<InvokeAgentRuntimeError, HttpResponse>;

/// By AWS's code. Its message is kept only where it is AWS's own: the one of a `RuntimeClientError` may be the agent's, and
/// say what somebody wrote.
fn invoke_error(error: SdkInvokeError) -> InvokeError {
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let service = match error.as_service_error() {
        Some(service) => service,
        // The call did not go out. (One that may have is none of these two.)
        None if matches!(error, SdkError::ConstructionFailure(_)) || is_unreachable(&error) => {
            return InvokeError::NotNow { what: "cannot be called".to_owned(), source: Some(error.into()) };
        }
        None => return InvokeError::Failed { what: "no answer".to_owned(), source: Some(error.into()) },
    };
    let code = service.code().unwrap_or("unknown").to_owned();
    let in_full = || format!("{code}: {}", service.message().unwrap_or("no message"));
    match code.as_str() {
        "ValidationException" => InvokeError::Never { what: in_full() },
        "AccessDeniedException" | "ResourceNotFoundException" => {
            InvokeError::NotNow { what: in_full(), source: None }
        }
        "ThrottlingException" | "ServiceQuotaExceededException" | "RetryableConflictException" => {
            InvokeError::NotNow { what: code, source: None }
        }
        // The same without a code that is known: busy, throttled, or no right to call.
        _ if matches!(status, 401 | 403 | 404 | 409 | 429) => {
            InvokeError::NotNow { what: format!("{code} ({status})"), source: None }
        }
        _ => InvokeError::Failed { what: format!("{code} ({status})"), source: None },
    }
}

/// Whether there was never a connection.
fn is_unreachable(error: &SdkInvokeError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        cause = error.source();
    }
    false
}
