//! The Lambda function that gets new bot tokens before the old ones expire. A schedule invokes it.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::process::ExitCode;

use slack_ingress::config::RotationConfig;
use slack_ingress::lambda::serve::{self, Invoked};
use slack_ingress::rotation::Rotation;
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::wiring;

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    serve::run(async {
        let config = RotationConfig::from_lookup(|name| std::env::var(name).ok())
            .map_err(|error| error.to_string())?;
        serve::check_environment()?;
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let rotation = wiring::rotation(config).await.map_err(|error| with_causes(error.as_ref()))?;
        serve::serve(async |IgnoredAny, invoked| Ok(run(&rotation, invoked).await)).await
    })
    .await
}

/// Runs once. It is never an error: the alarms watch the metrics, and the next run comes by itself.
async fn run(rotation: &Rotation, invoked: Invoked) -> Value {
    let Invoked { invocation, function_name, cold_start } = invoked;
    let report = rotation.run(invocation.deadline).await;
    let (request_id, now) = (&*invocation.request_id, SystemClock.now());
    let trace_id = invocation.trace_header.as_ref().map(TraceHeader::trace_id);
    let context = metrics::Context { function_name: &function_name, request_id, trace_id, cold_start, now };
    logging::write_line(&metrics::rotation::line(&report, context));
    json!({ "outcomes": report.tokens.iter().map(|token| token.outcome.words().0).collect::<Vec<_>>() })
}
