//! The Lambda function: set up once, then serve.

use std::process::ExitCode;

use slack_ingress::clock::{Clock, SystemClock};
use slack_ingress::config::{self, Config};
use slack_ingress::http::HttpEvent;
use slack_ingress::ingress::{Answered, Invocation};
use slack_ingress::report::with_causes;
use slack_ingress::runtime::{Event, Failure, RuntimeApi};
use slack_ingress::wiring::DeployedIngress;
use slack_ingress::{logging, metrics, process, wiring};

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

impl Function {
    /// One invocation after the other. What is done after an answer, Slack does not wait for; and as long as
    /// we do not ask for the next invocation, Lambda does not freeze the environment.
    async fn serve(&self, runtime: &RuntimeApi) -> Result<(), String> {
        let mut cold_start = true;
        loop {
            let event = runtime.next(|| SystemClock.now()).await.map_err(|error| with_causes(&error))?;
            let request_id = event.request_id.clone();
            let responded = match self.answer(event).await {
                Ok((answer, answered)) => {
                    let responded = runtime.respond(&request_id, answer).await;
                    self.finish(answered, &request_id, cold_start).await;
                    responded
                }
                Err(problem) => {
                    logging::write_problem(&problem);
                    let failure = Failure { error_type: "Function.EventUnreadable", message: &problem };
                    runtime.fail(&request_id, failure).await
                }
            };
            if let Err(error) = responded {
                tracing::error!(request_id, error = with_causes(&error), "the answer was not taken");
            }
            cold_start = false;
        }
    }

    /// The function's result as JSON, and what is left to do after it.
    async fn answer(&self, event: Event) -> Result<(Vec<u8>, Answered), String> {
        let Event { request_id, deadline, trace_header, payload } = event;
        // The parser's own error might quote the request.
        let unreadable = |_| "the invocation's event is not one of an HTTP request".to_owned();
        let (reply_to, inbound) =
            serde_json::from_slice::<HttpEvent>(&payload).map_err(unreadable)?.into_request();
        // The body has been taken out of it.
        drop(payload);
        let answered = match inbound {
            Ok(inbound) => {
                self.ingress.answer(inbound, Invocation { request_id, deadline, trace_header }).await
            }
            Err(outcome) => Answered::from(outcome),
        };
        let answer = serde_json::to_vec(&reply_to.respond(answered.report()));
        Ok((answer.map_err(|error| error.to_string())?, answered))
    }

    async fn finish(&self, answered: Answered, request_id: &str, cold_start: bool) {
        let report = self.ingress.finish(answered).await;
        let context =
            metrics::Context { function_name: &self.name, request_id, cold_start, now: SystemClock.now() };
        logging::write_line(&metrics::line(&report, context));
    }
}
