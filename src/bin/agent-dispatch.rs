//! The Lambda function behind the queue: hands each event to the agent, a Bedrock AgentCore Runtime.

use std::process::ExitCode;

use slack_ingress::config::DispatchConfig;
use slack_ingress::dispatch::Run;
use slack_ingress::dispatch::batch::{Batch, BatchResponse};
use slack_ingress::lambda::process;
use slack_ingress::lambda::runtime::{Event, RuntimeApi};
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::wiring;
use slack_ingress::wiring::DeployedDispatch;

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(async |runtime| {
        let config =
            DispatchConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        let runtime = runtime.ok_or(
            "AWS_LAMBDA_RUNTIME_API is missing: this is a Lambda function, which an SQS event source mapping invokes",
        )?;
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let queue_name = config.queue_name().to_owned();
        let function = Function {
            dispatch: wiring::dispatch(config).await.map_err(|error| with_causes(error.as_ref()))?,
            queue_name,
            name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        };
        function.serve(runtime).await
    })
    .await
}

struct Function {
    dispatch: DeployedDispatch,
    queue_name: String,
    name: String,
}

impl Function {
    async fn serve(&self, runtime: &RuntimeApi) -> Result<(), String> {
        let handle = async |event, cold_start| Ok((self.dispatch(event, cold_start).await?, ()));
        process::serve(runtime, handle, async |()| {}).await
    }

    /// The function's result as JSON. If it is an error, all of the batch comes again.
    async fn dispatch(&self, event: Event, mut cold_start: bool) -> Result<Vec<u8>, String> {
        let Event { request_id, deadline, payload, .. } = event;
        let batch = Batch::read(&payload, &self.queue_name).map_err(|error| error.to_string())?;
        let reports = self.dispatch.run(batch, Run { request_id: &request_id, deadline }).await;
        for report in &reports {
            let now = SystemClock.now();
            let context =
                metrics::Context { function_name: &self.name, request_id: &request_id, cold_start, now };
            logging::write_line(&metrics::dispatch_line(report, context));
            // Counted once, and not for each message of the first batch.
            cold_start = false;
        }
        let not_done = reports.into_iter().filter(|report| !report.outcome.is_done());
        let response = BatchResponse::not_done(not_done.map(|report| report.message_id));
        serde_json::to_vec(&response).map_err(|error| error.to_string())
    }
}
