//! How the dispatcher asks agent-settle for something: it invokes the function.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::slack::asker::{Asker, Home, WhoMayAsk};
use crate::slack::question::Pane;
use crate::telemetry::report::dispatch::MessageReport;
use crate::time::deadline::StepError;
use crate::time::trace::TraceHeader;
use crate::work::RecordKey;
use crate::work::token::Token;

/// Asks agent-settle.
///
/// The caller may drop the future of a call at any time. The call may have taken effect then, as after an error.
pub trait Settler: Send + Sync {
    /// Asks, and waits for the answer. The call belongs to `trace`.
    ///
    /// # Errors
    /// When it is unknown what came of it.
    fn ask(
        &self,
        request: &Value,
        trace: Option<&TraceHeader>,
    ) -> impl Future<Output = Result<Value, SettlerError>> + Send;

    /// Has something done in `trace`, and does not wait for it. Lambda does it soon, and again if it fails.
    ///
    /// # Errors
    /// When it is unknown whether it will be done.
    fn tell(
        &self,
        request: &Value,
        trace: Option<&TraceHeader>,
    ) -> impl Future<Output = Result<(), SettlerError>> + Send;
}

/// A request about a question. `more` has the fields of the operation.
pub fn request(operation: &str, key: &RecordKey, token: &Token, more: Value) -> Value {
    let mut request =
        json!({ "version": 1, "operation": operation, "record": key.as_str(), "token": token.as_str() });
    if let (Value::Object(fields), Some(request)) = (more, request.as_object_mut()) {
        request.extend(fields);
    }
    request
}

/// What the request has in it that asks whether somebody may ask.
pub fn admission(who_may_ask: WhoMayAsk, asker: &Asker) -> Value {
    let home = match asker.home {
        Home::Ours => "ours",
        Home::Another => "another",
        Home::Unknown => "unknown",
    };
    json!({
        "who_may_ask": who_may_ask.to_string(),
        "is_bot": asker.is_bot,
        "home": home,
        "installation": asker.installation,
    })
}

/// The request about a pane that was opened. It belongs to no question.
pub fn prompts(pane: &Pane) -> Value {
    let Pane { tenant, channel, thread_ts } = pane;
    json!({ "version": 1, "operation": "prompts", "tenant": tenant, "channel": channel, "thread_ts": thread_ts })
}

/// The outcome that agent-settle answered; `None` if it is unknown what came of the request.
pub(super) fn outcome<'a>(
    answer: &'a Result<Value, StepError<SettlerError>>,
    report: &mut MessageReport,
    step: &str,
) -> Option<&'a str> {
    match answer {
        Ok(answer) => answer.get("outcome").and_then(Value::as_str),
        Err(error) => {
            report.errors.add(step, error);
            None
        }
    }
}

/// Why it is unknown what came of a request.
#[derive(Debug)]
pub enum SettlerError {
    /// The function was not invoked, or its answer was lost.
    Failed(Box<dyn Error + Send + Sync>),
    /// The function failed.
    Function,
    /// What it answered is no JSON.
    Unreadable,
    /// It answered with this outcome, which says that it cannot do it now, or does not understand the request.
    Outcome(String),
}

impl fmt::Display for SettlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(_) => f.write_str("Lambda Invoke"),
            Self::Function => f.write_str("agent-settle failed; its log says why"),
            Self::Unreadable => f.write_str("agent-settle's answer cannot be read"),
            Self::Outcome(outcome) => write!(f, "agent-settle answered: {outcome}"),
        }
    }
}

impl Error for SettlerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(source) => Some(source.as_ref()),
            Self::Function | Self::Unreadable | Self::Outcome(_) => None,
        }
    }
}

/// agent-settle as a Lambda function.
#[derive(Clone, Debug)]
pub struct SettleFunction {
    client: Client,
    function: String,
}

impl SettleFunction {
    /// The function with this name or ARN.
    pub fn new(client: Client, function: impl Into<String>) -> Self {
        Self { client, function: function.into() }
    }

    /// Invokes the function in `trace`. Without one the SDK says which trace this process is in, and that is the one of the batch
    /// and not of the message.
    async fn invoke(
        &self,
        kind: InvocationType,
        request: &Value,
        trace: Option<&TraceHeader>,
    ) -> Result<InvokeOutput, SettlerError> {
        let invoke = self.client.invoke().function_name(&self.function).invocation_type(kind);
        let invoke = invoke.payload(Blob::new(request.to_string()));
        let header = trace.map(TraceHeader::header);
        let invoked = invoke.customize().mutate_request(move |request| {
            // It is plain ASCII, so it is a header's value.
            if let Some(header) = header.clone() {
                request.headers_mut().insert("x-amzn-trace-id", header);
            }
        });
        invoked.send().await.map_err(|error| SettlerError::Failed(error.into()))
    }
}

impl Settler for SettleFunction {
    async fn ask(&self, request: &Value, trace: Option<&TraceHeader>) -> Result<Value, SettlerError> {
        let invoked = self.invoke(InvocationType::RequestResponse, request, trace).await?;
        if invoked.function_error.is_some() {
            return Err(SettlerError::Function);
        }
        let answer = invoked.payload.map(Blob::into_inner).unwrap_or_default();
        serde_json::from_slice(&answer).map_err(|_| SettlerError::Unreadable)
    }

    async fn tell(&self, request: &Value, trace: Option<&TraceHeader>) -> Result<(), SettlerError> {
        self.invoke(InvocationType::Event, request, trace).await.map(|_| ())
    }
}
