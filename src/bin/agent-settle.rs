//! The Lambda function that acts for whoever works on a question: claims, beats, posts answers.

use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use std::process::ExitCode;

use slack_ingress::config::SettleConfig;
use slack_ingress::lambda::serve::{self, Invoked};
use slack_ingress::settle::pane::PaneRequest;
use slack_ingress::settle::request::{Invalid, Request};
use slack_ingress::telemetry::report::settle::SettleReport;
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::wiring::{self, DeployedSettle};

// One thread: each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    serve::run(async {
        let config =
            SettleConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        serve::check_environment()?;
        logging::init(&config.log).map_err(|error| error.to_string())?;
        let settle = wiring::settle(config).await.map_err(|error| with_causes(error.as_ref()))?;
        serve::serve(async |request: Value, invoked| answer(&settle, &request, invoked).await).await
    })
    .await
}

/// The answer to a request. An error means that nothing is known, and that whoever asked may ask again.
async fn answer(settle: &DeployedSettle, request: &Value, invoked: Invoked) -> Result<Value, Diagnostic> {
    let (answer, report) = match PaneRequest::read(request) {
        Some(Ok(pane)) => {
            let (answer, report) = settle.suggest_prompts(&pane).await;
            (Ok(answer.to_json()), report)
        }
        Some(Err(why)) => invalid(why),
        None => match Request::read(request) {
            Ok(request) => {
                let (answer, report) = settle.run(&request).await;
                let answer = answer.map(|answer| answer.to_json()).map_err(|error| Diagnostic {
                    error_type: "Settle.Unknown".to_owned(),
                    error_message: error.to_string(),
                });
                (answer, report)
            }
            Err(why) => invalid(why),
        },
    };
    let Invoked { invocation, function_name, cold_start } = invoked;
    let (request_id, now) = (&*invocation.request_id, SystemClock.now());
    let trace_id = invocation.trace_header.as_ref().map(TraceHeader::trace_id);
    let context = metrics::Context { function_name: &function_name, request_id, trace_id, cold_start, now };
    logging::write_line(&metrics::settle::line(&report, context));
    answer
}

/// The answer to a request that cannot be understood.
fn invalid(Invalid(why): Invalid) -> (Result<Value, Diagnostic>, SettleReport) {
    let report = SettleReport {
        operation: "invalid",
        outcome: Some("invalid"),
        why: Some(why.to_owned()),
        ..SettleReport::default()
    };
    (Ok(json!({ "outcome": "invalid", "why": why })), report)
}
