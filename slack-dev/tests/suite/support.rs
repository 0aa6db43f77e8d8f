//! What these tests need beside `test-support`: slack-dev as a process, and the real ingress behind an HTTP server.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use test_support::aws::{Queue, Table, VARIABLES, endpoints};
use test_support::http::{Endpoint, ReceivedRequest, response};
use test_support::lambda::{Ended, Lambda, RuntimeApi, TIMEOUT, http_api, reply, variables};
use test_support::servers::fresh_name;
use test_support::slack::{SECRET, fixtures};
use tokio::process::Command;

/// The path of a file that no other test uses.
pub(crate) fn fresh_file(what: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(fresh_name(what))
}

/// The exit code and the output of slack-dev.
#[derive(Debug)]
pub(crate) struct ToolOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ToolOutput {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs slack-dev with the signing secret and, if there are any, with the emulators of AWS.
pub(crate) async fn slack_dev(arguments: &[&str]) -> ToolOutput {
    slack_dev_with(arguments, &[("SLACK_SIGNING_SECRET", SECRET)]).await
}

pub(crate) async fn slack_dev_with(arguments: &[&str], variables: &[(&str, &str)]) -> ToolOutput {
    let output = command(arguments, variables).output();
    let output = tokio::time::timeout(Duration::from_secs(180), output).await.expect("it ends").unwrap();
    ToolOutput {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs slack-dev with its output on the terminal, and returns whether its exit code is 0.
pub(crate) async fn slack_dev_shown(arguments: &[&str]) -> bool {
    command(arguments, &[("SLACK_SIGNING_SECRET", SECRET)]).status().await.unwrap().success()
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slack-dev"));
    command.args(arguments).env_clear().envs(VARIABLES).envs(endpoints()).envs(variables.iter().copied());
    // The progress bar needs TERM.
    command.envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The binary under test: the one that SLACK_INGRESS_BIN names, or else what cargo builds of the project. It is built with
/// the features that the workspace's tests are built with, so that nothing is compiled for it alone.
fn ingress_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        if let Some(binary) = std::env::var_os("SLACK_INGRESS_BIN") {
            return PathBuf::from(binary);
        }
        let arguments = ["build", "--locked", "--workspace", "--all-features", "--bins", "--tests"];
        let status = std::process::Command::new(env!("CARGO")).args(arguments).status();
        assert!(status.unwrap().success(), "the ingress is built");
        Path::new(env!("CARGO_BIN_EXE_slack-dev")).with_file_name("slack-ingress")
    };
    BINARY.get_or_init(build).clone()
}

/// The real ingress: one or more processes behind one Runtime API, and an HTTP server that plays an HTTP API in front of them.
pub(crate) struct Ingress {
    pub(crate) url: String,
    _front: Endpoint,
    environments: Vec<Lambda>,
}

impl Ingress {
    /// With `memory:` and `stdout:`.
    pub(crate) async fn local() -> Self {
        Self::with_secret(SECRET).await
    }

    /// With `memory:` and `stdout:`, and with this signing secret.
    pub(crate) async fn with_secret(secret: &str) -> Self {
        let local = [("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:"), ("SLACK_SIGNING_SECRET", secret)];
        Self::start(1, variables(local), as_http_api).await
    }

    /// With `memory:`, `stdout:` and the signing secret, and with something in front of it that answers each request, by
    /// [`invoke`] or itself.
    pub(crate) async fn behind<F>(
        front: impl Fn(Arc<RuntimeApi>, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let local = [("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:"), ("SLACK_SIGNING_SECRET", SECRET)];
        Self::start(1, variables(local), front).await
    }

    /// With a new table, and with this queue.
    pub(crate) async fn before(queue: &Queue, more: &[(&str, &str)]) -> Self {
        let store = format!("dynamodb:{}", Table::create().await.name);
        let mut variables = variables([("DEDUP_STORE", store.as_str()), ("EVENT_SINK", &queue.url)]);
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self::start(4, variables, as_http_api).await
    }

    async fn start<F>(
        environments: usize,
        mut variables: HashMap<String, String>,
        front: impl Fn(Arc<RuntimeApi>, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        variables.extend(endpoints());
        // Every fixture must reach the queue, also those of bots.
        variables.insert("BOT_EVENTS".to_owned(), "forward".to_owned());
        variables.insert("RUST_LOG".to_owned(), "off".to_owned());
        let api = Arc::new(RuntimeApi::start().await);
        let environments = (0..environments)
            .map(|_| Lambda::start_behind(Arc::clone(&api), &ingress_binary(), variables.clone()))
            .collect();
        let front = Endpoint::start(move |_, request| front(Arc::clone(&api), request)).await;
        Self { url: front.url.clone(), _front: front, environments }
    }

    /// Everything that the sink `stdout:` has written.
    pub(crate) fn stdout(&self) -> String {
        let lines = self.environments.iter().flat_map(Lambda::stdout);
        lines.map(|line| line + "\n").collect()
    }
}

/// Invokes the function as an HTTP API does that has a route for every method.
async fn as_http_api(api: Arc<RuntimeApi>, request: ReceivedRequest) -> Response<Full<Bytes>> {
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let event = http_api::event(request.method.as_str(), headers, &request.body);
    invoke(&api, &event).await
}

/// Invokes the function, and returns its answer as an HTTP response.
pub(crate) async fn invoke(api: &RuntimeApi, event: &Value) -> Response<Full<Bytes>> {
    let ended = api.invoke(event, TIMEOUT).await.ended;
    if !matches!(ended, Ended::Answered(_)) {
        return response(502, &[], "");
    }
    let reply = reply(ended);
    let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    response(u16::try_from(reply.status).unwrap(), &headers, reply.body)
}

/// The requests among the project's fixtures that reach the queue.
pub(crate) fn fixtures() -> Vec<PathBuf> {
    const NOT_ON_THE_QUEUE: [&str; 4] =
        ["app_rate_limited", "url_verification", "ssl_check", "block_suggestion"];
    let mut fixtures = [fixtures::files("events", "json"), fixtures::files("forms", "txt")].concat();
    fixtures.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        NOT_ON_THE_QUEUE.iter().all(|not| !name.contains(not))
    });
    fixtures
}
