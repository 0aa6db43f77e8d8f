//! The Lambda function: set up once, then serve.

use std::process::ExitCode;

use slack_ingress::config::{self, Config};
use slack_ingress::ingress::{Answered, Invocation};
use slack_ingress::lambda::http::HttpEvent;
use slack_ingress::lambda::process;
use slack_ingress::lambda::runtime::{Event, RuntimeApi};
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::wiring;
use slack_ingress::wiring::DeployedIngress;

// One thread: an execution environment serves one request at a time, and each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(async |runtime| {
        let config =
            Config::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        let runtime = runtime.ok_or(
            "AWS_LAMBDA_RUNTIME_API is missing: this is a Lambda function; \
            run it there, or on your own machine with `cargo lambda watch`",
        )?;
        set_up(config).await?.serve(runtime).await
    })
    .await
}

async fn set_up(config: Config) -> Result<Function, String> {
    logging::init(&config.log).map_err(|error| error.to_string())?;
    if config.settings.dedup_ttl < config::LAST_RETRY_AFTER {
        tracing::warn!(
            "DEDUP_TTL_SECONDS ends before Slack's last retry, and the five minutes that it is good for: \
            events may be put on the queue twice"
        );
    }
    Ok(Function {
        ingress: wiring::ingress(config).await.map_err(|error| with_causes(error.as_ref()))?,
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
    })
}

struct Function {
    ingress: DeployedIngress,
    name: String,
}

/// What an answer leaves to be done.
struct Left {
    answered: Answered,
    request_id: String,
    cold_start: bool,
}

impl Function {
    async fn serve(&self, runtime: &RuntimeApi) -> Result<(), String> {
        let handle = async |event, cold_start| self.answer(event, cold_start).await;
        process::serve(runtime, handle, async |left| self.finish(left).await).await
    }

    /// The function's result as JSON, and what is left to do after it.
    async fn answer(&self, event: Event, cold_start: bool) -> Result<(Vec<u8>, Left), String> {
        let Event { request_id, deadline, trace_header, payload } = event;
        // The parser's own error might quote the request.
        let unreadable = |_| "the invocation's event is not one of an HTTP request".to_owned();
        let (reply_to, inbound) =
            serde_json::from_slice::<HttpEvent>(&payload).map_err(unreadable)?.into_request();
        // The body has been taken out of it.
        drop(payload);
        let answered = match inbound {
            Ok(inbound) => {
                let invocation = Invocation { request_id: request_id.clone(), deadline, trace_header };
                self.ingress.answer(inbound, invocation).await
            }
            Err(outcome) => Answered::from(outcome),
        };
        let answer = serde_json::to_vec(&reply_to.respond(answered.report()));
        Ok((answer.map_err(|error| error.to_string())?, Left { answered, request_id, cold_start }))
    }

    async fn finish(&self, Left { answered, request_id, cold_start }: Left) {
        let report = self.ingress.finish(answered).await;
        let (function_name, request_id, now) = (&self.name, &request_id, SystemClock.now());
        let context = metrics::Context { function_name, request_id, cold_start, now };
        logging::write_line(&metrics::line(&report, context));
    }
}
