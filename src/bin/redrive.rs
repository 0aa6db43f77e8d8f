//! The Lambda function that sends what is parked, once a minute. Without Lambda, one run by hand: it prints
//! what it did, and ends with 0 when nothing is left.

use serde_json::{Value, json};
use std::process::ExitCode;

use slack_ingress::config::RedriveConfig;
use slack_ingress::lambda::process;
use slack_ingress::lambda::runtime::{Event, RuntimeApi};
use slack_ingress::redrive::Run;
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis};
use slack_ingress::wiring;
use slack_ingress::wiring::DeployedRedrive;

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    process::run(async |runtime| {
        let config =
            RedriveConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let function = Function {
            redrive: wiring::redrive(config).await.map_err(|error| with_causes(error.as_ref()))?,
            name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        };
        match runtime {
            Some(runtime) => function.serve(runtime).await,
            None => function.run_by_hand().await,
        }
    })
    .await
}

struct Function {
    redrive: DeployedRedrive,
    name: String,
}

impl Function {
    async fn serve(&self, runtime: &RuntimeApi) -> Result<(), String> {
        let handle = async |event: Event, cold_start| {
            let run = self.run(&event.request_id, event.deadline, cold_start).await;
            Ok((summary(&run).to_string().into(), ()))
        };
        process::serve(runtime, handle, async |()| {}).await
    }

    async fn run_by_hand(&self) -> Result<(), String> {
        let run = self.run(&format!("by-hand-{}", std::process::id()), UnixMillis::END_OF_TIME, true).await;
        write_summary(&summary(&run)).map_err(|error| format!("standard output: {error}"))?;
        if !run.is_clean() {
            return Err(
                "not everything is sent; what another run holds is free again within a minute".to_owned()
            );
        }
        Ok(())
    }

    async fn run(&self, request_id: &str, deadline: UnixMillis, cold_start: bool) -> Run {
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
