//! A Lambda execution environment: the real binary as a process, spoken to over the Lambda Runtime API.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::slack::Request;

/// The function's time-out, as it is deployed: a little above Slack's 3 seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A test waits this long for an answer, and then has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TRACE_HEADER: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The one that cargo built with these tests, and with their features.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_slack-ingress");

/// The binary under test: the release one that `make test` names, or else the one that cargo just built.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SLACK_INGRESS_BIN").map_or_else(|| PathBuf::from(BUILT), PathBuf::from)
}

/// The redrive that was built with it.
pub(crate) fn redrive_binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_redrive"));
    std::env::var_os("SLACK_INGRESS_BIN")
        .map_or(built, |ingress| PathBuf::from(ingress).with_file_name("redrive"))
}

/// How the environment variables of a function begin; `SLACK_SIGNING_SECRET` is the tests' own.
pub(crate) fn variables<const N: usize>(more: [(&str, &str); N]) -> HashMap<String, String> {
    let mut variables: HashMap<_, _> = [
        ("SLACK_SIGNING_SECRET", super::slack::SECRET),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_LAMBDA_FUNCTION_NAME", "slack-ingress"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

/// The binary with exactly these variables.
fn command(binary: &Path, variables: &HashMap<String, String>) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What the function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u64,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// How an invocation ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    Answered(Value),
    /// The function reported an error to the Runtime API.
    Failed(String),
    /// The process died.
    Died,
}

type Answer = oneshot::Sender<Ended>;

struct Invocation {
    request_id: String,
    deadline_ms: u64,
    event: Vec<u8>,
    answer: Answer,
}

/// One execution environment.
pub(crate) struct Lambda {
    process: Child,
    invocations: mpsc::UnboundedSender<Invocation>,
    pending: Pending,
    told: Arc<Told>,
    stdout: Lines,
    stderr: Lines,
}

/// What the process has told the Runtime API beside its answers.
#[derive(Default)]
struct Told {
    is_ready: AtomicBool,
    init_error: Mutex<Option<Value>>,
}

type Lines = Arc<Mutex<Vec<String>>>;
type Pending = Arc<Mutex<HashMap<String, Answer>>>;

impl Lambda {
    /// A new environment with these variables.
    pub(crate) async fn start(variables: HashMap<String, String>) -> Self {
        Self::start_binary(&binary(), variables).await
    }

    /// A new environment for local work: `memory:` and `stdout:`.
    pub(crate) async fn local() -> Self {
        Self::start(variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")])).await
    }

    /// A new environment that runs this binary.
    pub(crate) async fn start_binary(binary: &Path, mut variables: HashMap<String, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        variables.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), address);
        let mut process = command(binary, &variables).spawn().expect("the binary starts");
        let stdout = collect(process.stdout.take().expect("piped"));
        let stderr = collect(process.stderr.take().expect("piped"));
        let (invocations, queue) = mpsc::unbounded_channel();
        let (pending, told) = (Pending::default(), Arc::<Told>::default());
        tokio::spawn(runtime_api(listener, queue, Arc::clone(&pending), Arc::clone(&told)));
        Self { process, invocations, pending, told, stdout, stderr }
    }

    /// Invokes the function with an event; the answer comes when it comes.
    pub(crate) fn invoke_for(&self, event: &Value, timeout: Duration) -> impl Future<Output = Ended> + use<> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            request_id: fresh_request_id(),
            deadline_ms: SystemClock.now().after(timeout).as_millis(),
            event: event.to_string().into_bytes(),
            answer,
        };
        let sent = self.invocations.send(invocation).is_ok();
        async move {
            let answered =
                tokio::time::timeout(PATIENCE, answered).await.expect("the function answers or dies");
            answered.ok().filter(|_| sent).unwrap_or(Ended::Died)
        }
    }

    pub(crate) fn invoke(&self, event: &Value) -> impl Future<Output = Ended> + use<> {
        self.invoke_for(event, TIMEOUT)
    }

    /// Posts a request, through an HTTP API.
    pub(crate) fn post(&self, request: &Request) -> impl Future<Output = Reply> + use<> {
        let invoked = self.invoke(&request.event());
        async { reply(invoked.await) }
    }

    /// The messages on standard output, which must be exactly `count`: asked for when every request has its
    /// answer, and so its line.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Value> {
        let lines = super::eventually("the sink's lines", async || {
            let lines = self.stdout();
            (lines.len() >= count).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines.iter().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    /// What the function wrote to standard output: the lines of the sink `stdout:`.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("not poisoned").clone()
    }

    /// What it wrote to standard error: its log.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// The metric lines, when there are `count` of them: a line may come after its answer.
    pub(crate) async fn reports(&self, count: usize) -> Vec<Value> {
        super::eventually("the metric lines", async || {
            let lines: Vec<Value> =
                self.stderr().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let reports: Vec<_> = lines.into_iter().filter(|line| line.get("_aws").is_some()).collect();
            (reports.len() >= count).then_some(reports)
        })
        .await
    }

    /// Waits until it has been set up, and asks for its first invocation.
    pub(crate) async fn is_ready(&self) {
        super::eventually("init", async || self.told.is_ready.load(Ordering::Relaxed).then_some(())).await;
    }

    /// What it says of an init that failed, to the Runtime API.
    pub(crate) async fn init_error(&self) -> Value {
        super::eventually("the error", async || self.told.init_error.lock().expect("not poisoned").clone())
            .await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("the process runs")
    }

    /// Sends the process a signal by its name: `STOP`, `CONT`, `KILL`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill runs");
        assert!(status.success(), "kill -s {name}");
    }

    /// Ends the process at once, as Lambda does at the deadline.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("the process is killed");
        self.pending.lock().expect("not poisoned").clear();
    }
}

/// The function's answer, which must be one.
pub(crate) fn reply(ended: Ended) -> Reply {
    let Ended::Answered(answer) = ended else { panic!("no answer: {ended:?}") };
    let of = |field: &str| answer[field].as_object().cloned().unwrap_or_default();
    // A REST API gets its headers as lists, and no others.
    let lists = of("multiValueHeaders").into_iter().map(|(name, values)| (name, values[0].clone()));
    let headers = lists.chain(of("headers"));
    Reply {
        status: answer["statusCode"].as_u64().expect("a status"),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.as_str().expect("a string").to_owned()))
            .collect(),
        body: answer["body"].as_str().expect("a body").to_owned(),
    }
}

/// Runs the binary until it ends by itself: its status and what it wrote to standard error.
pub(crate) async fn run_to_end(variables: &HashMap<String, String>) -> (ExitStatus, String) {
    let output = output(&binary(), variables).await;
    (output.status, String::from_utf8(output.stderr).expect("UTF-8"))
}

/// Runs a binary until it ends by itself.
pub(crate) async fn output(binary: &Path, variables: &HashMap<String, String>) -> Output {
    let output = tokio::time::timeout(Duration::from_secs(60), command(binary, variables).output());
    output.await.expect("the binary ends by itself").expect("the binary runs")
}

fn fresh_request_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("8476a536-e9f4-11e8-9739-{:012x}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

fn collect(pipe: impl AsyncRead + Unpin + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut pipe = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = pipe.next_line().await {
            collected.lock().expect("not poisoned").push(line);
        }
    });
    lines
}

/// Serves one process: it asks for the next invocation, and posts its answer.
async fn runtime_api(
    listener: TcpListener,
    queue: mpsc::UnboundedReceiver<Invocation>,
    pending: Pending,
    told: Arc<Told>,
) {
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    while let Ok((stream, _)) = listener.accept().await {
        let (queue, pending, told) = (Arc::clone(&queue), Arc::clone(&pending), Arc::clone(&told));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                serve(request, Arc::clone(&queue), Arc::clone(&pending), Arc::clone(&told))
            });
            // An error is a process that ended.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(
    request: hyper::Request<Incoming>,
    queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>>,
    pending: Pending,
    told: Arc<Told>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches("/2018-06-01/runtime/").split('/').collect();
    let response = Response::builder();
    let response = match (request.method(), parts.as_slice()) {
        (&Method::POST, ["init", "error"]) => {
            let error = request.into_body().collect().await.expect("the error arrives").to_bytes();
            let error = serde_json::from_slice(&error).expect("the error is JSON");
            *told.init_error.lock().expect("not poisoned") = Some(error);
            response.status(StatusCode::ACCEPTED).body(Full::default())
        }
        (&Method::GET, ["invocation", "next"]) => match next(&queue, &told).await {
            Some(Invocation { request_id, deadline_ms, event, answer }) => {
                pending.lock().expect("not poisoned").insert(request_id.clone(), answer);
                response
                    .header("Lambda-Runtime-Aws-Request-Id", request_id)
                    .header("Lambda-Runtime-Deadline-Ms", deadline_ms)
                    .header("Lambda-Runtime-Trace-Id", TRACE_HEADER)
                    .header(
                        "Lambda-Runtime-Invoked-Function-Arn",
                        "arn:aws:lambda:us-east-1:123456789012:function:slack-ingress",
                    )
                    .header("Content-Type", "application/json")
                    .body(Full::new(Bytes::from(event)))
            }
            None => std::future::pending().await,
        },
        (&Method::POST, ["invocation", request_id, how]) => {
            let answer = pending.lock().expect("not poisoned").remove(*request_id);
            let is_error = *how == "error";
            let body = request.into_body().collect().await.expect("the answer arrives").to_bytes();
            let ended = if is_error {
                Ended::Failed(String::from_utf8_lossy(&body).into_owned())
            } else {
                Ended::Answered(serde_json::from_slice(&body).expect("the answer is JSON"))
            };
            if let Some(answer) = answer {
                let _ = answer.send(ended);
            }
            response.status(StatusCode::ACCEPTED).body(Full::default())
        }
        _ => response.status(StatusCode::NOT_FOUND).body(Full::default()),
    };
    Ok(response.expect("a response"))
}

async fn next(
    queue: &tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    told: &Told,
) -> Option<Invocation> {
    told.is_ready.store(true, Ordering::Relaxed);
    queue.lock().await.recv().await
}
