//! Which failed sends the SDK may repeat on a standard queue or topic, where a repeated send is a second message: those that
//! the service certainly refused. A lost answer and a 5xx are both unknown outcomes. The error goes up to the caller, and from
//! there to Slack, whose retry meets the record.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};

#[derive(Debug)]
pub(super) struct RefusedOnly;

impl ClassifyRetry for RefusedOnly {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_5xx = context.response().is_some_and(|response| response.status().is_server_error());
        match context.output_or_error() {
            Some(Err(error)) if is_5xx || !error.is_operation_error() => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "refused only"
    }

    /// After all others, whose verdict it overrides.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
