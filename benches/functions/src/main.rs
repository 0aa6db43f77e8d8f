//! Measures one life of a Lambda function: the function is started, asks for its first event, gets it, and gets some more events.
//!
//! The only argument is a [`Plan`] as JSON. The result is printed as JSON ([`Figures`]). `../run.py` decides which functions are
//! compared, how often and in which order.
//!
//! The function is any program that speaks the Lambda Runtime API. As on Lambda, it may use the whole machine during its init, and
//! its share of a core from the first event on.

mod process;
mod services;
mod share;
mod slack;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use test_support::lambda::{Ended, Invoked, RuntimeApi, function_variables};
use tokio::time::{sleep, timeout};

use process::Function;
use services::{Opened, Services};
use share::Share;

/// A step that takes longer than this has failed.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// The function's time-out.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Which function to run, and how.
#[derive(Deserialize)]
struct Plan {
    /// The program and its arguments.
    command: Vec<String>,
    /// The function's own environment variables. Those of Lambda are added.
    environment: HashMap<String, String>,
    /// The function's memory, in MB, by which Lambda computes its share of a core. The memory itself is not limited.
    memory_mb: u32,
    /// What Slack sends each time.
    request: slack::Kind,
    /// What the body of each answer has to be. Absent: it is not looked at.
    answer: Option<String>,
    /// Whether the function opens a modal for each request.
    opens_modal: bool,
    /// Whether control groups limit the function to that share.
    limit_cpu: bool,
    /// The number of invocations after the first one.
    warm: usize,
    /// The pause before each of these invocations, in milliseconds.
    pause_ms: u64,
    /// How long each service takes for a call, in milliseconds.
    latency_ms: services::Latencies,
    /// A file of root certificates, to which the stand-ins' certificate is added.
    system_roots: Option<PathBuf>,
}

/// What was measured.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    events: Events,
    /// The most resident memory that the function used at once, in KiB.
    peak_kib: u64,
}

/// How long the init and each event took.
#[derive(Serialize)]
struct Events {
    /// From the start of the program until it asks for its first event.
    init_ms: f64,
    /// From the first event to its answer.
    first_ms: f64,
    /// From each later event to its answer.
    warm_ms: Vec<f64>,
    /// From each later event until the function asks for the next one: what Lambda bills.
    billed_ms: Vec<f64>,
    /// From each event, the first one included, until Slack has the whole of the call that opens a modal. Empty if the function
    /// opens none.
    opened_ms: Vec<f64>,
    /// The average CPU time of a later event, in microseconds. Absent without control groups.
    cpu_us: Option<f64>,
    /// The number of calls to each operation of a service.
    calls: BTreeMap<String, usize>,
    /// The number of connections that were opened to each service.
    connections: BTreeMap<&'static str, usize>,
}

// One thread, so that the other core is the function's.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let plan = std::env::args().nth(1).ok_or("a plan, as JSON, is the one argument")?;
    let figures = run_life(serde_json::from_str(&plan)?).await?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn run_life(plan: Plan) -> Result<Figures, Box<dyn Error>> {
    let services = Services::start(plan.latency_ms, plan.system_roots.as_deref()).await?;
    let lambda = RuntimeApi::start().await;
    let share = if plan.limit_cpu { Some(Share::create()?) } else { None };

    let mut environment = plan.environment;
    environment.extend(services.environment());
    environment.extend(function_variables("slack-events", plan.memory_mb));
    environment.extend(lambda_variables(&lambda));
    let (mut function, started) = Function::start(&plan.command, &environment, share.as_ref()).await?;

    let slack = Slack {
        lambda: &lambda,
        services: &services,
        kind: plan.request,
        answer: plan.answer,
        opens_modal: plan.opens_modal,
    };
    let events = async || -> Result<Events, Box<dyn Error>> {
        let ready = wait_for_request(&lambda, 1).await?;
        if let Some(share) = &share {
            share.limit_to(plan.memory_mb)?;
        }
        let first = slack.invoke(0).await?;

        let cpu_before = share.as_ref().map(Share::cpu_time).transpose()?;
        let (mut warm_ms, mut billed_ms) = (Vec::new(), Vec::new());
        let mut opened_ms: Vec<f64> = first.time_to_open.into_iter().map(millis).collect();
        for n in 1..=plan.warm {
            sleep(Duration::from_millis(plan.pause_ms)).await;
            let Invocation { time_to_answer, time_to_next_request, time_to_open } = slack.invoke(n).await?;
            warm_ms.push(millis(time_to_answer));
            billed_ms.push(millis(time_to_next_request));
            opened_ms.extend(time_to_open.map(millis));
        }
        let cpu_after = share.as_ref().map(Share::cpu_time).transpose()?;

        let each = |total: Duration| total.as_secs_f64() * 1e6 / plan.warm.max(1) as f64;
        Ok(Events {
            init_ms: millis(ready - started),
            first_ms: millis(first.time_to_answer),
            warm_ms,
            billed_ms,
            opened_ms,
            cpu_us: cpu_after.zip(cpu_before).map(|(after, before)| each(after - before)),
            calls: services.calls(),
            connections: services.connections(),
        })
    };
    let events = tokio::select! {
        events = events() => events,
        status = function.ended() => Err(format!("the function ended: {status}").into()),
    };
    let peak_kib = function.peak_kib();
    function.kill().await;
    Ok(Figures { events: events?, peak_kib: peak_kib? })
}

/// How long an invocation took, from the moment at which the function got the event.
struct Invocation {
    time_to_answer: Duration,
    time_to_next_request: Duration,
    /// Until Slack had the call that opens a modal. Absent if none was to be opened.
    time_to_open: Option<Duration>,
}

/// Slack, which asks the function for one thing over and over, and looks at what it gets.
struct Slack<'a> {
    lambda: &'a RuntimeApi,
    services: &'a Services,
    kind: slack::Kind,
    answer: Option<String>,
    opens_modal: bool,
}

/// Variables that Lambda sets, beside those of `function_variables`.
fn lambda_variables(lambda: &RuntimeApi) -> impl Iterator<Item = (String, String)> + use<> {
    [
        ("AWS_LAMBDA_RUNTIME_API", lambda.address()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/slack-events".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0123456789abcdef".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        ("AWS_SESSION_TOKEN", "x".repeat(400)),
        ("TZ", ":UTC".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// Waits until the function has asked for an event this many times, and returns the moment of the last time.
async fn wait_for_request(lambda: &RuntimeApi, times: usize) -> Result<Instant, Box<dyn Error>> {
    Ok(timeout(STEP_LIMIT, lambda.asked(times))
        .await
        .map_err(|_| "the function does not ask for an event")?)
}

impl Slack<'_> {
    /// Invokes the function with the request of this number, from 0 on, and waits until the function asks for the next event.
    async fn invoke(&self, n: usize) -> Result<Invocation, Box<dyn Error>> {
        let id = self.kind.id(n);
        let event = self.kind.http_api_event(&id);
        let handed_over = Instant::now();
        let invoked = timeout(STEP_LIMIT, self.lambda.invoke(&event, TIMEOUT));
        let Invoked { ended, at } = invoked.await.map_err(|_| "no answer")?;
        match ended {
            Ended::Answered(answer) if self.is_right(&answer) => {}
            other => return Err(format!("request {n} was answered {other:?}").into()),
        }
        let requested = wait_for_request(self.lambda, n + 2).await?;
        Ok(Invocation {
            time_to_answer: at - handed_over,
            time_to_next_request: requested - handed_over,
            time_to_open: self.opened(&id)?.map(|at| at - handed_over),
        })
    }

    fn is_right(&self, answer: &Value) -> bool {
        let is_expected = |expected| answer["body"].as_str().unwrap_or_default() == expected;
        answer["statusCode"] == 200 && self.answer.as_deref().is_none_or(is_expected)
    }

    /// When a modal was opened for the request with this id, which is once if the function is to open one.
    fn opened(&self, id: &str) -> Result<Option<Instant>, String> {
        let opened = self.services.take_opened();
        let is_for_this = |call: &Opened| String::from_utf8_lossy(&call.body).contains(id);
        match opened.as_slice() {
            [] if !self.opens_modal => Ok(None),
            [call] if self.opens_modal && is_for_this(call) => Ok(Some(call.at)),
            calls => Err(format!("{} calls of views.open for the request {id}", calls.len())),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
