//! The Lambda function that sends what is parked, once a minute. Without Lambda, one run by hand: it prints
//! what it did, and ends with 0 when nothing is left.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::process::ExitCode;

use slack_ingress::config::RedriveConfig;
use slack_ingress::lambda::serve::{self, Invoked};
use slack_ingress::telemetry::report::redrive::RunReport;
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis};
use slack_ingress::time::invocation::Invocation;
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::wiring::{self, DeployedRedrive};

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    serve::run(async {
        let config =
            RedriveConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        if serve::is_on_lambda() {
            serve::check_environment()?;
        }
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let redrive = wiring::redrive(config).await.map_err(|error| with_causes(error.as_ref()))?;
        if serve::is_on_lambda() {
            serve::serve(async |IgnoredAny, invoked| Ok(summary(&run(&redrive, invoked).await))).await
        } else {
            run_by_hand(&redrive).await
        }
    })
    .await
}

async fn run_by_hand(redrive: &DeployedRedrive) -> Result<(), String> {
    let request_id = format!("by-hand-{}", std::process::id());
    let invocation = Invocation { request_id, deadline: UnixMillis::END_OF_TIME, trace_header: None };
    let report = run(redrive, Invoked { invocation, function_name: String::new(), cold_start: true }).await;
    write_summary(&summary(&report)).map_err(|error| format!("standard output: {error}"))?;
    if report.is_clean() {
        Ok(())
    } else {
        Err("not everything is sent; what another run holds is free again within a minute".to_owned())
    }
}

async fn run(redrive: &DeployedRedrive, invoked: Invoked) -> RunReport {
    let Invoked { invocation, function_name, cold_start } = invoked;
    // Lambda may start the same asynchronous invocation twice; each needs a fencing token of its own.
    let run_id = format!("{}/{}", invocation.request_id, SystemClock.now().as_millis());
    let report = redrive.run(&run_id, invocation.deadline).await;
    let (request_id, now) = (&*invocation.request_id, SystemClock.now());
    let trace_id = invocation.trace_header.as_ref().map(TraceHeader::trace_id);
    let context = metrics::Context { function_name: &function_name, request_id, trace_id, cold_start, now };
    logging::write_line(&metrics::redrive::line(&report, context));
    report
}

fn summary(report: &RunReport) -> Value {
    let left = report.still_parked.map(|parked| parked.events);
    json!({ "redriven": report.redriven, "failed": report.failed, "left": left })
}

fn write_summary(summary: &Value) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{summary}")
}
