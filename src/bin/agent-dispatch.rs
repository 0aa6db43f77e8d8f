//! The Lambda function behind the queue: hands each event to the agent, a Bedrock AgentCore Runtime.

use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::Diagnostic;
use std::process::ExitCode;

use slack_ingress::config::DispatchConfig;
use slack_ingress::dispatch::batch::{self, Batch, BatchError, SqsInvocation};
use slack_ingress::lambda::serve::{self, Invoked};
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::wiring::{self, DeployedDispatch};

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    serve::run(async {
        let config = DispatchConfig::from_lookup(|name| std::env::var(name).ok())
            .map_err(|error| error.to_string())?;
        serve::check_environment()?;
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let queue_name = config.queue_name().to_owned();
        let dispatch = wiring::dispatch(config).await.map_err(|error| with_causes(error.as_ref()))?;
        let function = Function { dispatch, queue_name };
        serve::serve(async |event, invoked| function.dispatch(event, invoked).await).await
    })
    .await
}

struct Function {
    dispatch: DeployedDispatch,
    queue_name: String,
}

impl Function {
    /// The partial batch response. If the result is an error instead, all of the batch comes again.
    async fn dispatch(&self, event: SqsInvocation, invoked: Invoked) -> Result<SqsBatchResponse, Diagnostic> {
        let Invoked { invocation, function_name, mut cold_start } = invoked;
        let batch = Batch::of(event, &self.queue_name).map_err(not_this_queues)?;
        let reports = self.dispatch.run(batch, &invocation).await;
        for report in &reports {
            let (request_id, now) = (&*invocation.request_id, SystemClock.now());
            let trace_id = report.trace.as_ref().map(TraceHeader::trace_id);
            let function_name = &*function_name;
            let context = metrics::Context { function_name, request_id, trace_id, cold_start, now };
            logging::write_line(&metrics::dispatch::line(report, context));
            // A cold start is counted once, and not for each message of the first batch.
            cold_start = false;
        }
        let not_done = reports.into_iter().filter(|report| !report.outcome.is_done());
        Ok(batch::response(not_done.map(|report| report.message_id)))
    }
}

fn not_this_queues(error: BatchError) -> Diagnostic {
    Diagnostic { error_type: "Function.EventUnreadable".to_owned(), error_message: error.to_string() }
}
