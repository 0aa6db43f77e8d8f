//! The Lambda function: set up once, then serve.

use lambda_http::lambda_runtime::{LambdaEvent, Runtime};
use lambda_http::service_fn;
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use slack_ingress::clock::{Clock, SystemClock};
use slack_ingress::config::{self, Config};
use slack_ingress::http::{self, HttpEvent, HttpResponse};
use slack_ingress::ingress::Invocation;
use slack_ingress::report::{Report, Trail, with_causes};
use slack_ingress::wiring::DeployedIngress;
use slack_ingress::{logging, metrics, wiring};

// One thread: an execution environment serves one request at a time, and each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    std::panic::set_hook(Box::new(logging::write_panic));
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            logging::write_problem(&problem);
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let config = Config::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("AWS_LAMBDA_RUNTIME_API is missing: this is a Lambda function; \
            run it there, or on your own machine with `cargo lambda watch`"
            .to_owned());
    }
    logging::init(&config.log).map_err(|error| error.to_string())?;
    if config.settings.dedup_ttl < config::LAST_RETRY_AFTER {
        tracing::warn!(
            "DEDUP_TTL_SECONDS ends before Slack's last retry, and the five minutes that it is good for: \
            events may be put on the queue twice"
        );
    }
    let function = Function {
        ingress: wiring::ingress(config).await.map_err(|error| with_causes(error.as_ref()))?,
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        has_served: AtomicBool::new(false),
    };
    let function = &function;
    Runtime::new(service_fn(|event| function.invoke(event))).run().await.map_err(|error| error.to_string())
}

struct Function {
    ingress: DeployedIngress,
    name: String,
    has_served: AtomicBool,
}

impl Function {
    async fn invoke(&self, event: LambdaEvent<HttpEvent>) -> Result<HttpResponse, Infallible> {
        let LambdaEvent { payload, context } = event;
        let cold_start = !self.has_served.swap(true, Ordering::Relaxed);
        let (reply_to, inbound) = payload.into_request();
        let invocation = Invocation {
            request_id: context.request_id.clone(),
            deadline: http::deadline(context.deadline, SystemClock.now()),
            trace_header: context.xray_trace_id,
        };
        let report = match inbound {
            Ok(inbound) => self.ingress.handle(inbound, invocation).await,
            Err(outcome) => Report { outcome, trail: Trail::default() },
        };
        logging::write_line(&metrics::line(
            &report,
            metrics::Context {
                function_name: &self.name,
                request_id: &context.request_id,
                cold_start,
                now: SystemClock.now(),
            },
        ));
        Ok(reply_to.respond(&report))
    }
}
