//! Checks that a panic is answered with 500 and logged, and that the process goes on. No input is known that makes the program
//! panic, so the function here panics on demand. It is served as the real one is.

use lambda_http::{Request, RequestExt};
use slack_ingress::ingress::Answered;
use slack_ingress::lambda::http::{Answer, answer};
use slack_ingress::lambda::serve::{self, HttpFunction, Invoked};
use slack_ingress::telemetry::logging;
use slack_ingress::telemetry::report::ingress::{RequestDetails, RequestOutcome, RequestReport};
use std::process::ExitCode;
use test_support::lambda::{Lambda, Reply, variables};
use test_support::slack::Request as SlackRequest;

/// Answers with the body of the request, and panics if the body asks for it.
struct OnDemand;

impl HttpFunction for OnDemand {
    type Unfinished = String;

    async fn answer(&self, request: Request, _invoked: Invoked) -> (Answer, String) {
        let _ = request.lambda_context();
        let body = String::from_utf8_lossy(request.body()).into_owned();
        assert!(body != "panic while answering", "secret words of {body}");
        (answer(&report(RequestOutcome::Challenge(body.clone()))), body)
    }

    fn panicked(&self, is_last: bool, _invoked: Invoked) -> (Answer, String) {
        (answer(Answered::panicked(is_last).report()), format!("is last: {is_last}"))
    }

    async fn finish(&self, body: String) {
        if body.starts_with("is last") {
            logging::write_problem(&format!("panicked, {body}"));
        }
        assert!(body != "panic afterwards", "secret words of {body}");
    }
}

fn report(outcome: RequestOutcome) -> RequestReport {
    RequestReport { outcome, details: RequestDetails::default() }
}

/// This is no test but the process that the test below starts: it runs this test binary again with this name.
#[test]
fn function_that_panics_on_demand() {
    if serve::is_on_lambda() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        assert_eq!(runtime.block_on(serve::run(serve::serve_http(OnDemand))), ExitCode::SUCCESS);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_next_request_is_served() {
    let this_binary = std::env::current_exe().expect("it runs");
    let arguments = ["--exact", "panics::function_that_panics_on_demand", "--nocapture"];
    let lambda = Lambda::start_with_arguments(&this_binary, &arguments, variables([])).await;
    let post = async |body: &str| lambda.post(&SlackRequest::json(body)).await;
    let challenge = |body: &str| Reply {
        status: 200,
        headers: [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())].into(),
        body: body.to_owned(),
    };
    let pid = lambda.pid();

    assert_eq!(post("hello").await, challenge("hello"));
    assert_eq!(post("panic while answering").await, Reply { status: 500, ..Reply::default() });
    let last = SlackRequest::json("panic while answering").retry(3, "http_error");
    assert_eq!(lambda.post(&last).await, Reply { status: 500, ..Reply::default() });
    assert_eq!(post("hello again").await, challenge("hello again"));
    assert_eq!(post("panic afterwards").await, challenge("panic afterwards"));
    assert_eq!(post("and again").await, challenge("and again"));
    assert_eq!(lambda.pid(), pid);

    let log = lambda.stderr().join("\n");
    assert_eq!(log.matches(r#""message":"panic""#).count(), 3, "{log}");
    let is_last = |is_last| log.matches(&format!("panicked, is last: {is_last}")).count();
    assert_eq!((is_last(false), is_last(true)), (1, 1), "{log}");
    assert!(log.contains("panics.rs"), "the log says where: {log}");
    assert!(!log.contains("secret words"), "and not what: {log}");
}
