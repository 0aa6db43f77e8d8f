//! What the tests stand on: the tool, an endpoint that answers as it is told, and the real ingress behind an HTTP
//! front. Endpoint, front and Runtime API are stand-ins.

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// An address that `tests/servers.py` gives; a test that needs it fails without it.
pub(crate) fn server(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: tests/servers.py starts the servers"))
}

pub(crate) fn fresh_name(what: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{run}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A file that no other test has.
pub(crate) fn fresh_file(what: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(fresh_name(what))
}

/// What the tool said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The tool with a secret, and with AWS's emulators if there are any.
pub(crate) async fn slack_dev(arguments: &[&str]) -> Said {
    slack_dev_with(arguments, &[("SLACK_SIGNING_SECRET", SECRET)]).await
}

pub(crate) async fn slack_dev_with(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let output = command(arguments, variables).output();
    let output = tokio::time::timeout(Duration::from_secs(180), output).await.expect("it ends").unwrap();
    Said {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The tool where somebody is watching; whether it is content.
pub(crate) async fn slack_dev_shown(arguments: &[&str]) -> bool {
    command(arguments, &[("SLACK_SIGNING_SECRET", SECRET)]).status().await.unwrap().success()
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slack-dev"));
    command.args(arguments).env_clear().envs(aws_variables()).envs(variables.iter().copied());
    // For the progress bar.
    command.envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn aws_variables() -> HashMap<String, String> {
    let mut variables: HashMap<_, _> =
        [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    for (ours, theirs) in [("SQS_URL", "AWS_ENDPOINT_URL_SQS"), ("DYNAMODB_URL", "AWS_ENDPOINT_URL_DYNAMODB")]
    {
        if let Ok(url) = std::env::var(ours) {
            variables.insert(theirs.to_owned(), url);
        }
    }
    variables
}

/// A request as an endpoint got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn retry(&self) -> Option<(u32, &str)> {
        Some((self.header("x-slack-retry-num")?.parse().unwrap(), self.header("x-slack-retry-reason")?))
    }

    /// Whether Slack's signature is on it, by the ingress's own verifier.
    pub(crate) fn is_signed(&self) -> bool {
        use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, verify};
        use slack_ingress::time::clock::{Clock, SystemClock};
        let headers = SignatureHeaders {
            signature: self.header("x-slack-signature"),
            timestamp: self.header("x-slack-request-timestamp"),
        };
        verify(headers, self.body.clone(), &[SigningSecret::new(SECRET)], SystemClock.now()).is_ok()
    }
}

pub(crate) type Reply = Response<Full<Bytes>>;

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut reply = Response::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, *value);
    }
    reply.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// An HTTP endpoint.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Endpoint {
    /// `answer` is asked with the number of the request, from 0 on, and the request.
    pub(crate) async fn start<F: Future<Output = Reply> + Send>(
        answer: impl Fn(usize, Got) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/slack/events", listener.local_addr().unwrap());
        let (got, answer) = (Arc::<Mutex<Vec<Got>>>::default(), Arc::new(answer));
        let seen = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body =
                            body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                        let got = Got { headers: parts.headers, body };
                        let n = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(got.clone());
                            seen.len() - 1
                        };
                        Ok::<_, Infallible>(answer(n, got).await)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, got }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// The binary under test: the one that SLACK_INGRESS_BIN names, or else what cargo builds of the project.
fn ingress_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        if let Some(binary) = std::env::var_os("SLACK_INGRESS_BIN") {
            return PathBuf::from(binary);
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let status = std::process::Command::new(env!("CARGO"))
            .args(["build", "--locked", "--bin", "slack-ingress", "--target-dir", "target"])
            .current_dir(&root)
            .status();
        assert!(status.unwrap().success(), "the ingress is built");
        root.join("target/debug/slack-ingress")
    };
    BINARY.get_or_init(build).clone()
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>;

/// The real ingress: some processes behind one Lambda Runtime API, with an HTTP API before them.
pub(crate) struct Ingress {
    pub(crate) url: String,
    _front: Endpoint,
    _processes: Vec<Child>,
    stdout: Arc<Mutex<String>>,
}

impl Ingress {
    /// With `memory:` and `stdout:`.
    pub(crate) async fn local() -> Self {
        Self::start(1, &[("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")]).await
    }

    /// With a table of its own, in front of this queue.
    pub(crate) async fn before(queue: &Queue, more: &[(&str, &str)]) -> Self {
        let store = format!("dynamodb:{}", table().await);
        let variables: Vec<_> = [("DEDUP_STORE", store.as_str()), ("EVENT_SINK", &queue.url)]
            .iter()
            .chain(more)
            .copied()
            .collect();
        Self::start(4, &variables).await
    }

    async fn start(processes: usize, variables: &[(&str, &str)]) -> Self {
        let (invocations, queue) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let runtime_api = runtime_api(queue, Arc::clone(&waiting)).await;
        let stdout = Arc::<Mutex<String>>::default();
        let start = |_| {
            let mut command = Command::new(ingress_binary());
            command
                .env_clear()
                .envs(aws_variables())
                .env("SLACK_SIGNING_SECRET", SECRET)
                .env("AWS_LAMBDA_RUNTIME_API", &runtime_api)
                .env("AWS_LAMBDA_FUNCTION_NAME", "slack-ingress")
                // Every fixture is to arrive, those of bots too.
                .env("BOT_EVENTS", "forward")
                .env("RUST_LOG", "off")
                .envs(variables.iter().copied())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true);
            let mut process = command.spawn().expect("the ingress starts");
            let (mut lines, stdout) =
                (BufReader::new(process.stdout.take().unwrap()).lines(), Arc::clone(&stdout));
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut stdout = stdout.lock().unwrap();
                    stdout.push_str(&line);
                    stdout.push('\n');
                }
            });
            process
        };
        let processes = (0..processes).map(start).collect();
        let front = Endpoint::start(move |_, got| {
            let (invocations, waiting) = (invocations.clone(), Arc::clone(&waiting));
            async move { invoke(&invocations, &waiting, &got).await }
        })
        .await;
        Self { url: front.url.clone(), _front: front, _processes: processes, stdout }
    }

    /// What the sink `stdout:` wrote.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }
}

/// As an HTTP API does it.
async fn invoke(invocations: &mpsc::UnboundedSender<(String, Value)>, waiting: &Waiting, got: &Got) -> Reply {
    let headers: BTreeMap<_, _> =
        got.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let event = json!({
        "version": "2.0",
        "routeKey": "POST /slack/events",
        "rawPath": "/slack/events",
        "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/slack/events"}},
        "body": String::from_utf8(got.body.clone()).expect("the tests send text"),
        "isBase64Encoded": false
    });
    let (id, (answer, answered)) = (fresh_name("request"), oneshot::channel());
    waiting.lock().unwrap().insert(id.clone(), answer);
    invocations.send((id, event)).unwrap();
    let Ok(answer) = answered.await else { return reply(502, &[], "") };
    let headers = answer["headers"].as_object().cloned().unwrap_or_default();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
    reply(status.unwrap_or(502), &headers, answer["body"].as_str().unwrap_or_default())
}

/// The Lambda Runtime API, for any number of processes; its address.
async fn runtime_api(queue: mpsc::UnboundedReceiver<(String, Value)>, waiting: Waiting) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (queue, waiting) = (Arc::clone(&queue), Arc::clone(&waiting));
            let service = service_fn(move |request: Request<Incoming>| {
                let (queue, waiting) = (Arc::clone(&queue), Arc::clone(&waiting));
                async move {
                    let path = request.uri().path().to_owned();
                    if path.ends_with("/invocation/next") {
                        let next = queue.lock().await.recv().await;
                        let Some((id, event)) = next else { return std::future::pending().await };
                        let deadline =
                            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + 5_000;
                        let headers = [
                            ("Lambda-Runtime-Aws-Request-Id", id.as_str()),
                            ("Lambda-Runtime-Deadline-Ms", &deadline.to_string()),
                        ];
                        return Ok::<_, Infallible>(reply(200, &headers, &event.to_string()));
                    }
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let id = path.trim_end_matches("/response").rsplit('/').next().unwrap_or_default();
                    if let Some(answer) = waiting.lock().unwrap().remove(id) {
                        let _ = answer.send(serde_json::from_slice(&body).unwrap());
                    }
                    Ok(reply(202, &[], ""))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

/// A table as the stacks create it; its name.
async fn table() -> String {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server("DYNAMODB_URL"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    let name = fresh_name("events");
    let attribute =
        AttributeDefinition::builder().attribute_name("event_id").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("event_id").key_type(KeyType::Hash);
    client
        .create_table()
        .table_name(&name)
        .attribute_definitions(attribute.build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("the table is created");
    name
}

/// A queue.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) url: String,
}

/// A message as its consumer sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
}

impl Queue {
    pub(crate) async fn fifo() -> Self {
        let fifo = (QueueAttributeName::FifoQueue, "true".to_owned());
        Self::create(&format!("{}.fifo", fresh_name("queue")), Some([fifo].into())).await
    }

    pub(crate) async fn standard() -> Self {
        Self::create(&fresh_name("queue"), None).await
    }

    async fn create(name: &str, attributes: Option<HashMap<QueueAttributeName, String>>) -> Self {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(server("SQS_URL"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        let created = client.create_queue().queue_name(name).set_attributes(attributes).send().await;
        let url = created.expect("the queue is created").queue_url.unwrap();
        Self { client, url }
    }

    pub(crate) async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.expect("it is sent");
    }

    /// Takes everything off the queue.
    pub(crate) async fn take_all(&self) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let received = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(10)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send();
            let messages = received.await.expect("the queue answers").messages.unwrap_or_default();
            if messages.is_empty() {
                return all;
            }
            for message in messages {
                let receipt = message.receipt_handle.unwrap();
                let delete = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt);
                delete.send().await.expect("it is deleted");
                let system = message.attributes.unwrap_or_default();
                let attributes = message.message_attributes.unwrap_or_default().into_iter();
                all.push(Received {
                    body: message.body.unwrap(),
                    attributes: attributes.map(|(name, value)| (name, value.string_value.unwrap())).collect(),
                    group: system.get(&MessageSystemAttributeName::MessageGroupId).cloned(),
                    deduplication: system.get(&MessageSystemAttributeName::MessageDeduplicationId).cloned(),
                });
            }
        }
    }
}

/// The requests among the project's fixtures that reach the queue.
pub(crate) fn fixtures() -> Vec<PathBuf> {
    const NOT_ON_THE_QUEUE: [&str; 4] =
        ["app_rate_limited", "url_verification", "ssl_check", "block_suggestion"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut fixtures = Vec::new();
    for (folder, ending) in [("events", "json"), ("forms", "txt")] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(ending) && !NOT_ON_THE_QUEUE.iter().any(|not| name.contains(not)) {
                fixtures.push(path);
            }
        }
    }
    fixtures.sort();
    fixtures
}
