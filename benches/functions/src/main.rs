//! One life of a Lambda function: it is started, asks for its first event, gets it, and some more after it.
//!
//! Takes a [`Plan`] as JSON and prints [`Figures`] as JSON. What is compared to what, how often and in which order
//! is `../run.py`'s affair.
//!
//! The function is any program that speaks the Lambda Runtime API. It has all of the machine while it sets itself up
//! and its share of a core from the first event on, as on Lambda.

mod process;
mod services;
mod share;
mod slack;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use test_support::lambda::{Ended, Invoked, RuntimeApi, function_variables};
use tokio::time::{sleep, timeout};

use process::Function;
use services::Services;
use share::Share;

/// No step of a life takes this long; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The function's time-out.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Deserialize)]
struct Plan {
    /// Program and arguments.
    command: Vec<String>,
    /// What it finds in its environment, beside what Lambda puts there.
    environment: HashMap<String, String>,
    /// The memory that the function is said to have, which buys its share of a core.
    memory_mb: u32,
    /// Whether there are control groups to hold it to that share.
    limit_cpu: bool,
    /// Invocations after the first one.
    warm: usize,
    /// Between one invocation and the next.
    pause_ms: u64,
    /// How long each service takes over a call.
    latency_ms: services::Latencies,
    /// A file of certificates that ours is put after.
    system_roots: Option<PathBuf>,
}

/// What came out.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    events: Events,
    /// The most memory that was resident at once, in KiB.
    peak_kib: u64,
}

/// What its events took.
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
    /// CPU time of a later event, on the average, in microseconds. Absent without control groups.
    cpu_us: Option<f64>,
    /// Calls to each operation of a service.
    calls: BTreeMap<String, usize>,
    /// New connections to each service.
    connections: BTreeMap<&'static str, usize>,
}

// One thread, so that the other core is the function's.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let plan = std::env::args().nth(1).ok_or("a plan, as JSON, is the one argument")?;
    let figures = live(serde_json::from_str(&plan)?).await?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn live(plan: Plan) -> Result<Figures, Box<dyn Error>> {
    let services = Services::start(plan.latency_ms, plan.system_roots.as_deref()).await?;
    let lambda = RuntimeApi::start().await;
    let share = if plan.limit_cpu { Some(Share::create()?) } else { None };

    let mut environment = plan.environment;
    environment.extend(services.environment());
    environment.extend(function_variables("slack-events", plan.memory_mb));
    environment.extend(lambda_variables(&lambda));
    let (mut function, started) = Function::start(&plan.command, &environment, share.as_ref()).await?;

    let events = async || -> Result<Events, Box<dyn Error>> {
        let ready = asked(&lambda, 1).await?;
        if let Some(share) = &share {
            share.limit_to(plan.memory_mb)?;
        }
        let first = invoke(&lambda, 0).await?;

        let cpu_before = share.as_ref().map(Share::cpu_time).transpose()?;
        let (mut warm_ms, mut billed_ms) = (Vec::new(), Vec::new());
        for n in 1..=plan.warm {
            sleep(Duration::from_millis(plan.pause_ms)).await;
            let Invocation { answered_after, over_after } = invoke(&lambda, n).await?;
            warm_ms.push(millis(answered_after));
            billed_ms.push(millis(over_after));
        }
        let cpu_after = share.as_ref().map(Share::cpu_time).transpose()?;

        let each = |total: Duration| total.as_secs_f64() * 1e6 / plan.warm.max(1) as f64;
        Ok(Events {
            init_ms: millis(ready - started),
            first_ms: millis(first.answered_after),
            warm_ms,
            billed_ms,
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

struct Invocation {
    answered_after: Duration,
    over_after: Duration,
}

/// What Lambda puts into the environment beside what every function needs.
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

/// Waits until the function has asked for an event so many times, and says when it last did.
async fn asked(lambda: &RuntimeApi, times: usize) -> Result<Instant, Box<dyn Error>> {
    Ok(timeout(PATIENCE, lambda.asked(times)).await.map_err(|_| "it asks for no event")?)
}

/// Hands over the event with this number, which counts from 0, and waits until the function asks for another.
async fn invoke(lambda: &RuntimeApi, n: usize) -> Result<Invocation, Box<dyn Error>> {
    let event = slack::http_api_event(&format!("Ev{n:08}"));
    let handed = Instant::now();
    let Invoked { ended, at } =
        timeout(PATIENCE, lambda.invoke(&event, TIMEOUT)).await.map_err(|_| "no answer")?;
    match ended {
        Ended::Answered(answer) if answer["statusCode"] == 200 => {}
        other => return Err(format!("event {n} was answered {other:?}").into()),
    }
    let asked = asked(lambda, n + 2).await?;
    Ok(Invocation { answered_after: at - handed, over_after: asked - handed })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
