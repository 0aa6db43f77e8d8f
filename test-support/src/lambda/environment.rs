//! A Lambda execution environment: a real binary as a process, spoken to over the Runtime API.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::{Ended, RuntimeApi, TIMEOUT};
use crate::slack::Request;
use crate::wait::eventually;

/// A test waits this long for an answer, and then has failed.
const PATIENCE: Duration = Duration::from_secs(60);

type Lines = Arc<Mutex<Vec<String>>>;

/// One execution environment.
pub struct Lambda {
    process: Child,
    api: Arc<RuntimeApi>,
    stdout: Lines,
    stderr: Lines,
}

impl Lambda {
    /// A new environment that runs this binary with exactly these variables, behind a Runtime API of its own.
    pub async fn start(binary: &Path, variables: HashMap<String, String>) -> Self {
        Self::start_behind(Arc::new(RuntimeApi::start().await), binary, variables)
    }

    /// A new environment that runs this binary with these arguments.
    ///
    /// # Panics
    /// If the binary does not start.
    pub async fn start_with_arguments(
        binary: &Path,
        arguments: &[&str],
        variables: HashMap<String, String>,
    ) -> Self {
        Self::spawn(Arc::new(RuntimeApi::start().await), binary, arguments, variables)
    }

    /// A new environment that shares its Runtime API with others: whichever asks first takes an invocation.
    ///
    /// # Panics
    /// If the binary does not start.
    #[must_use]
    pub fn start_behind(api: Arc<RuntimeApi>, binary: &Path, variables: HashMap<String, String>) -> Self {
        Self::spawn(api, binary, &[], variables)
    }

    fn spawn(
        api: Arc<RuntimeApi>,
        binary: &Path,
        arguments: &[&str],
        mut variables: HashMap<String, String>,
    ) -> Self {
        variables.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), api.address());
        let mut process = command(binary, &variables).args(arguments).spawn().expect("the binary starts");
        let stdout = collect(process.stdout.take().expect("piped"));
        let stderr = collect(process.stderr.take().expect("piped"));
        Self { process, api, stdout, stderr }
    }

    /// Gives the next invocations this trace header, in place of [`TRACE_HEADER`](super::TRACE_HEADER).
    pub fn trace(&self, header: Option<&str>) {
        self.api.trace(header);
    }

    /// Invokes the function with an event; its deadline is `timeout` from now.
    ///
    /// # Panics
    /// The future panics if neither an answer nor [`kill`](Self::kill) comes within a minute, or shortly after the deadline.
    pub fn invoke_for(&self, event: &Value, timeout: Duration) -> impl Future<Output = Ended> + use<> {
        let patience = PATIENCE.max(timeout + Duration::from_secs(5));
        let invoked = self.api.invoke(event, timeout);
        async move {
            let invoked = tokio::time::timeout(patience, invoked).await;
            invoked.expect("the function answers or dies").ended
        }
    }

    /// Invokes the function with a client context, and does not wait for an answer.
    pub fn invoke_with_client_context(&self, event: &Value, client_context: &str) {
        drop(self.api.invoke_with_client_context(event, TIMEOUT, Some(client_context)));
    }

    /// Invokes the function with the time-out that it is deployed with.
    pub fn invoke(&self, event: &Value) -> impl Future<Output = Ended> + use<> {
        self.invoke_for(event, TIMEOUT)
    }

    /// Posts a request, through an HTTP API.
    pub fn post(&self, request: &Request) -> impl Future<Output = Reply> + use<> {
        let invoked = self.invoke(&request.event());
        async { reply(invoked.await) }
    }

    /// The messages on standard output, which must be exactly `count`. It is asked for when every request has its answer,
    /// and so its line.
    ///
    /// # Panics
    /// If there are more, or fewer after 30 seconds.
    pub async fn messages(&self, count: usize) -> Vec<Value> {
        let lines = eventually("the sink's lines", async || {
            let lines = self.stdout();
            (lines.len() >= count).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines.iter().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }

    /// The lines that the function wrote to standard output: those of the sink `stdout:`.
    ///
    /// # Panics
    /// If reading them has panicked.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("not poisoned").clone()
    }

    /// The lines that it wrote to standard error: its log.
    ///
    /// # Panics
    /// If reading them has panicked.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// The metric lines, when there are `count` of them: a line may come after its answer.
    pub async fn reports(&self, count: usize) -> Vec<Value> {
        eventually("the metric lines", async || {
            let lines: Vec<Value> =
                self.stderr().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let reports: Vec<_> = lines.into_iter().filter(|line| line.get("_aws").is_some()).collect();
            (reports.len() >= count).then_some(reports)
        })
        .await
    }

    /// Waits until it has been set up, and asks for its first invocation.
    ///
    /// # Panics
    /// If it has not after a minute.
    pub async fn is_ready(&self) {
        tokio::time::timeout(PATIENCE, self.api.asked(1)).await.expect("init ends");
    }

    /// Waits for what it reports of an init that failed.
    ///
    /// # Panics
    /// If it has reported nothing after a minute.
    pub async fn init_error(&self) -> Value {
        tokio::time::timeout(PATIENCE, self.api.init_error()).await.expect("an error of the init")
    }

    /// The process's id.
    ///
    /// # Panics
    /// If the process has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the process runs")
    }

    /// Sends the process a signal by its name: `STOP`, `CONT`, `KILL`.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill runs");
        assert!(status.success(), "kill -s {name}");
    }

    /// Ends the process at once, as Lambda does at the deadline.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("the process is killed");
        self.api.all_died();
    }
}

/// What the ingress answered: the HTTP response that API Gateway would make of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u64,
    /// Names in lower case, and values.
    pub headers: BTreeMap<String, String>,
    /// The body, which is text.
    pub body: String,
}

/// The function's answer.
///
/// # Panics
/// If the invocation ended without one, or it is not what API Gateway takes.
#[must_use]
pub fn reply(ended: Ended) -> Reply {
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

/// Runs a binary with exactly these variables until it ends by itself.
///
/// # Panics
/// If it has not ended after a minute.
pub async fn output(binary: &Path, variables: &HashMap<String, String>) -> Output {
    let output = tokio::time::timeout(PATIENCE, command(binary, variables).output());
    output.await.expect("the binary ends by itself").expect("the binary runs")
}

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
