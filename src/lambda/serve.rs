//! How a function's process begins, serves, and ends: on AWS's own runtime for Rust, `lambda_runtime`.

use futures_util::FutureExt;
use lambda_http::http::Uri;
use lambda_http::http::header::ToStrError;
use lambda_http::tower::ServiceExt;
use lambda_http::tower::layer::layer_fn;
use lambda_http::{Request, RequestExt, service_fn};
use lambda_runtime::{Config, Context, Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::num::ParseIntError;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::http::{Answer, is_last_attempt};
use super::{features, untrusted};
use crate::telemetry::logging;
use crate::telemetry::report::with_causes;
use crate::time::clock::{Clock, SystemClock};
use crate::time::invocation::{self, Invocation};
use crate::time::trace::TraceHeader;

/// Lambda, and what plays it, gives the address of the Runtime API in this variable.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// What `lambda_runtime` reads besides, and panics without.
const REQUIRED: [&str; 3] =
    ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"];

/// Nobody waits for the report of a failed init.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs `work` to its end. An error and a panic are logged, and reported to Lambda as a failed init.
pub async fn run(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    features::keep_in_the_program();
    std::panic::set_hook(Box::new(logging::write_panic));
    // A panic comes as far as this in two places: at init, and in the runtime, which panics on an invocation without an id.
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    let ended = ended.unwrap_or_else(|_| Err("the program panicked; the line before says where".to_owned()));
    let Err(problem) = ended else { return ExitCode::SUCCESS };
    logging::write_problem(&problem);
    if is_on_lambda() {
        report_failed_init(&problem).await;
    }
    ExitCode::FAILURE
}

/// Whether there is a Runtime API to serve.
pub fn is_on_lambda() -> bool {
    std::env::var_os(RUNTIME_API).is_some()
}

/// Checks for the variables that the runtime needs.
///
/// # Errors
/// One message that names all that are missing.
pub fn check_environment() -> Result<(), String> {
    if !is_on_lambda() {
        return Err(format!(
            "{RUNTIME_API} is missing: this is a Lambda function; \
            run it there, or on your own machine with `cargo lambda watch`"
        ));
    }
    let is_url = |address: String| address.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some());
    if !std::env::var(RUNTIME_API).is_ok_and(is_url) {
        return Err(format!("{RUNTIME_API} is neither host and port nor a URL"));
    }
    let is_missing = |name: &&str| std::env::var(name).is_err();
    let mut problems: Vec<String> =
        REQUIRED.iter().filter(|name| is_missing(name)).map(|name| format!("{name} is missing")).collect();
    let [_, memory_size, _] = REQUIRED;
    if std::env::var(memory_size).is_ok_and(|size| size.parse::<i32>().is_err()) {
        problems.push(format!("{memory_size} is not a whole number of MB"));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("{}; Lambda sets these variables, and so does `cargo lambda watch`", problems.join("; ")))
    }
}

/// Lambda takes this report only from a function that has not asked for an invocation yet; for all others there is the log.
async fn report_failed_init(problem: &str) {
    let report = json!({ "errorType": "Runtime.InitFailed", "errorMessage": problem, "stackTrace": [] });
    let request = lambda_http::http::Request::post("/2018-06-01/runtime/init/error")
        .header("content-type", "application/json")
        .header("lambda-runtime-function-error-type", "Runtime.InitFailed")
        .body(lambda_runtime_api_client::body::Body::from(report.to_string()));
    let endpoint = std::env::var(RUNTIME_API).ok().and_then(|address| address.parse::<Uri>().ok());
    if let (Ok(request), Some(endpoint)) =
        (request, endpoint.filter(|endpoint| endpoint.authority().is_some()))
    {
        let client = lambda_runtime_api_client::PooledClient::builder().with_endpoint(endpoint).build();
        let _ = tokio::time::timeout(REPORT_TIMEOUT, client.call(request)).await;
    }
}

/// An invocation, with what its log line says about the function.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// Its request id, its deadline and its trace header.
    pub invocation: Invocation,
    /// The function's name (`AWS_LAMBDA_FUNCTION_NAME`).
    pub function_name: String,
    /// Whether the invocation is the first of its execution environment.
    pub cold_start: bool,
}

/// Tells the first invocation of a process from the others.
#[derive(Debug, Default)]
struct Invocations {
    began: AtomicBool,
}

impl Invocations {
    fn next(&self, context: &Context) -> Invoked {
        let Context { request_id, deadline, xray_trace_id, env_config, .. } = context;
        let Config { function_name, .. } = env_config.as_ref();
        Invoked {
            invocation: Invocation {
                request_id: request_id.clone(),
                deadline: invocation::deadline(*deadline, SystemClock.now()),
                trace_header: xray_trace_id.as_deref().and_then(TraceHeader::parse),
            },
            function_name: function_name.clone(),
            cold_start: !self.began.swap(true, Ordering::Relaxed),
        }
    }
}

/// A function that answers HTTP requests.
pub trait HttpFunction: Send + Sync + 'static {
    /// What is left to do when the answer has been sent.
    type Unfinished: Send + 'static;

    /// Answers a request, and says what is left to do when the answer has been sent.
    fn answer(
        &self,
        request: Request,
        invoked: Invoked,
    ) -> impl Future<Output = (Answer, Self::Unfinished)> + Send;

    /// The answer to a request that made [`HttpFunction::answer`] panic. `is_last` says whether Slack will not repeat it, as far
    /// as its headers tell.
    fn panicked(&self, is_last: bool, invoked: Invoked) -> (Answer, Self::Unfinished);

    /// Does what is left. Nobody waits for it any more; and Lambda does not freeze the execution environment before it is
    /// over, for the next invocation is asked for only then.
    fn finish(&self, unfinished: Self::Unfinished) -> impl Future<Output = ()> + Send;
}

/// Serves HTTP requests one after the other, as long as the execution environment lives.
///
/// A panic does not end the process: the function says what to answer, and the next request is served.
///
/// # Errors
/// When a variable is missing that the runtime needs, or when the Runtime API is gone.
pub async fn serve_http<F: HttpFunction>(function: F) -> Result<(), String> {
    check_environment()?;
    let function = Arc::new(function);
    // The handler leaves here what is to be done after the answer. One place is enough: there is one invocation at a time.
    let unfinished = Arc::new(Mutex::new(None::<F::Unfinished>));
    let invocations = Arc::new(Invocations::default());

    let handler = {
        let (function, unfinished) = (Arc::clone(&function), Arc::clone(&unfinished));
        service_fn(move |request: Request| {
            let invoked = invocations.next(&request.lambda_context());
            let is_last = is_last_attempt(&request);
            let (function, unfinished) = (Arc::clone(&function), Arc::clone(&unfinished));
            async move {
                let answered =
                    AssertUnwindSafe(function.answer(request, invoked.clone())).catch_unwind().await;
                // The panic hook has logged where.
                let (answer, left) = answered.unwrap_or_else(|_| function.panicked(is_last, invoked));
                *unfinished.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
                Ok::<_, Error>(answer)
            }
        })
    };
    let finish = move || {
        let left = unfinished.lock().unwrap_or_else(PoisonError::into_inner).take();
        let function = Arc::clone(&function);
        async move {
            if let Some(left) = left {
                let _ = AssertUnwindSafe(function.finish(left)).catch_unwind().await;
            }
        }
    };
    let around = layer_fn(move |answering| {
        let finish = finish.clone();
        ServiceExt::<LambdaInvocation>::map_request(answering, |mut invocation: LambdaInvocation| {
            invocation.body = untrusted::reduce(&invocation.body).into();
            invocation
        })
        .then(move |sent: Result<(), Error>| {
            let finishing = finish();
            async move {
                finishing.await;
                go_on(sent)
            }
        })
    });
    until_runtime_api_is_gone(|| lambda_http::runtime(handler.clone()).layer(around.clone()).run()).await
}

/// Serves invocations whose event is an `E` one after the other, as long as the execution environment lives. An error of
/// `handle`, and a panic, is reported to Lambda as a failed invocation.
///
/// # Errors
/// When a variable is missing that the runtime needs, or when the Runtime API is gone.
pub async fn serve<E, A, Fut>(handle: impl Fn(E, Invoked) -> Fut) -> Result<(), String>
where
    E: for<'de> Deserialize<'de>,
    A: Serialize,
    Fut: Future<Output = Result<A, Diagnostic>>,
{
    check_environment()?;
    let invocations = Invocations::default();
    // Boxed: the compiler gives up on a type that nests as deeply as this future's would.
    let handler = service_fn(|LambdaEvent { payload, context, .. }: LambdaEvent<E>| {
        handle(payload, invocations.next(&context)).boxed_local()
    });
    let around = layer_fn(|answering| {
        ServiceExt::<LambdaInvocation>::then(answering, |sent: Result<(), Error>| async { go_on(sent) })
    });
    until_runtime_api_is_gone(|| Runtime::new(handler).layer(around).run()).await
}

/// Runs the runtime until the Runtime API is gone. An invocation whose headers cannot be read ends the library's loop. It is no
/// reason to end the process: under `cargo lambda watch` a stranger's HTTP headers become an invocation's, and nothing starts the
/// process again. That invocation is not answered, and the next one is served.
async fn until_runtime_api_is_gone<R>(runtime: impl Fn() -> R) -> Result<(), String>
where
    R: Future<Output = Result<(), Error>>,
{
    loop {
        let Err(error) = runtime().await else { return Ok(()) };
        let is_unreadable_header =
            error.is::<serde_json::Error>() || error.is::<ToStrError>() || error.is::<ParseIntError>();
        if !is_unreadable_header {
            return Err(with_causes(error.as_ref()));
        }
        // Without the library's error, which quotes the header.
        logging::write_problem("the headers of an invocation cannot be read: it is left to its timeout");
    }
}

/// Logs an answer that Lambda did not take, and lets the process live: the invocation may have been too late, and the next one
/// may not be.
fn go_on(sent: Result<(), Error>) -> Result<(), Error> {
    if let Err(error) = sent {
        tracing::error!(error = with_causes(error.as_ref()), "Lambda did not take the answer");
    }
    Ok(())
}
