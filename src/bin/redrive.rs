//! The Lambda function that sends what is parked, once a minute. Without Lambda, one run by hand: it prints
//! what it did, and ends with 0 when nothing is left.

use lambda_http::lambda_runtime::{LambdaEvent, Runtime};
use lambda_http::service_fn;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use slack_ingress::clock::{Clock, SystemClock, UnixMillis};
use slack_ingress::config::RedriveConfig;
use slack_ingress::redrive::Run;
use slack_ingress::report::with_causes;
use slack_ingress::wiring::DeployedRedrive;
use slack_ingress::{http, logging, metrics, wiring};

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    std::panic::set_hook(Box::new(logging::write_panic));
    match redrive().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            logging::write_problem(&problem);
            ExitCode::FAILURE
        }
    }
}

async fn redrive() -> Result<(), String> {
    let config =
        RedriveConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
    logging::init(&config.log).map_err(|error| error.to_string())?;
    let function = Function {
        redrive: wiring::redrive(config).await.map_err(|error| with_causes(error.as_ref()))?,
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        has_run: AtomicBool::new(false),
    };
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return function.run_by_hand().await;
    }
    let function = &function;
    Runtime::new(service_fn(|event| function.invoke(event))).run().await.map_err(|error| error.to_string())
}

struct Function {
    redrive: DeployedRedrive,
    name: String,
    has_run: AtomicBool,
}

impl Function {
    async fn invoke(&self, event: LambdaEvent<Value>) -> Result<Value, Infallible> {
        let context = event.context;
        let deadline = http::deadline(context.deadline, SystemClock.now());
        Ok(summary(&self.run(&context.request_id, deadline).await))
    }

    async fn run_by_hand(&self) -> Result<(), String> {
        let run = self.run(&format!("by-hand-{}", std::process::id()), UnixMillis::END_OF_TIME).await;
        write_summary(&summary(&run)).map_err(|error| format!("standard output: {error}"))?;
        if !run.is_clean() {
            return Err(
                "not everything is sent; what another run holds is free again within a minute".to_owned()
            );
        }
        Ok(())
    }

    async fn run(&self, request_id: &str, deadline: UnixMillis) -> Run {
        let cold_start = !self.has_run.swap(true, Ordering::Relaxed);
        // Lambda may start the same asynchronous invocation twice; the lease must not.
        let run_id = format!("{request_id}/{}", SystemClock.now().as_millis());
        let run = self.redrive.run(&run_id, deadline).await;
        let function_name = &self.name;
        let context = metrics::Context { function_name, request_id, cold_start, now: SystemClock.now() };
        logging::write_line(&metrics::redrive_line(&run, context));
        run
    }
}

fn summary(run: &Run) -> Value {
    json!({ "redriven": run.redriven, "failed": run.failed, "left": run.left.map(|left| left.events) })
}

fn write_summary(summary: &Value) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{summary}")
}
