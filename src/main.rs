//! The Lambda function that Slack calls: set up once, then serve.

use lambda_http::Request;
use std::process::ExitCode;

use slack_ingress::config::IngressConfig;
use slack_ingress::ingress::Answered;
use slack_ingress::lambda::http;
use slack_ingress::lambda::serve::{self, HttpFunction, Invoked};
use slack_ingress::slack::retries::MIN_SAFE_DEDUP_TTL;
use slack_ingress::telemetry::report::with_causes;
use slack_ingress::telemetry::{logging, metrics};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::invocation::Invocation;
use slack_ingress::time::trace::TraceHeader;
use slack_ingress::wiring::{self, DeployedIngress};

// One thread: an execution environment serves one request at a time, and each step waits for the network.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    serve::run(async {
        let config =
            IngressConfig::from_lookup(|name| std::env::var(name).ok()).map_err(|error| error.to_string())?;
        serve::check_environment()?;
        serve::serve_http(set_up(config).await?).await
    })
    .await
}

async fn set_up(config: IngressConfig) -> Result<Function, String> {
    logging::init(&config.log).map_err(|error| error.to_string())?;
    if config.settings.dedup_ttl < MIN_SAFE_DEDUP_TTL {
        tracing::warn!(
            "DEDUP_TTL_SECONDS ends before Slack's last retry, and the five minutes that it is good for: \
            events may be put on the queue twice"
        );
    }
    let ingress = wiring::ingress(config).await.map_err(|error| with_causes(error.as_ref()))?;
    Ok(Function { ingress })
}

struct Function {
    ingress: DeployedIngress,
}

/// What is left to do when the answer has been sent: the confirm, and the log line.
struct Unfinished {
    answered: Answered,
    request_id: String,
    trace_header: Option<TraceHeader>,
    function_name: String,
    cold_start: bool,
}

impl Unfinished {
    /// What is left to do after the answer, and that answer.
    fn after(answered: Answered, invoked: Invoked) -> (http::Answer, Self) {
        let Invoked { invocation, function_name, cold_start } = invoked;
        let Invocation { request_id, trace_header, .. } = invocation;
        let answer = http::answer(answered.report());
        (answer, Self { answered, request_id, trace_header, function_name, cold_start })
    }
}

impl HttpFunction for Function {
    type Unfinished = Unfinished;

    async fn answer(&self, request: Request, invoked: Invoked) -> (http::Answer, Unfinished) {
        let answered = match http::inbound(request) {
            Ok(inbound) => self.ingress.answer(inbound, invoked.invocation.clone()).await,
            Err(outcome) => Answered::from(outcome),
        };
        Unfinished::after(answered, invoked)
    }

    fn panicked(&self, is_last: bool, invoked: Invoked) -> (http::Answer, Unfinished) {
        Unfinished::after(Answered::panicked(is_last), invoked)
    }

    async fn finish(&self, unfinished: Unfinished) {
        let Unfinished { answered, request_id, trace_header, function_name, cold_start } = unfinished;
        let report = self.ingress.finish(answered).await;
        let (function_name, request_id, now) = (&*function_name, &*request_id, SystemClock.now());
        let trace_id = trace_header.as_ref().map(TraceHeader::trace_id);
        let context = metrics::Context { function_name, request_id, trace_id, cold_start, now };
        logging::write_line(&metrics::ingress::line(&report, context));
    }
}
