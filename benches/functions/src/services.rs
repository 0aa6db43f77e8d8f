//! Stand-ins for DynamoDB, SQS, Secrets Manager, Lambda and Slack's Web API, over TLS. Each answers every call with success after a
//! fixed time, so that the services take the same time for each function that is measured.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use test_support::http::{accept, listen, response, serve_connection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::slack::SIGNING_SECRET;

/// How many milliseconds each service takes for a call, without the transport.
#[derive(Clone, Copy, Deserialize)]
pub struct Latencies {
    dynamodb: u64,
    sqs: u64,
    secretsmanager: u64,
    lambda: u64,
    slack: u64,
}

const NAMES: [&str; 5] = ["DYNAMODB", "SQS", "SECRETS_MANAGER", "LAMBDA", SLACK];
const SLACK: &str = "SLACK";

/// The secret that has a signing secret and a bot token, in JSON, and the one that has a bot token. Every other one is a signing
/// secret.
const APP_SECRET: &str = "slack-app";
const BOT_TOKEN_SECRET: &str = "slack-bot-token";

/// The token that modals are opened with.
const BOT_TOKEN: &str = "xoxb-made-up";

/// The function that AWS's sample hands an event to; and the function that is measured, as AWS's clients write its ARN in a path,
/// which is what Bolt's lazy listeners run in.
const INVOKED: [&str; 2] =
    ["next-function", "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aslack-ingress"];

/// The five services, each on its own port.
pub struct Services {
    ports: [u16; NAMES.len()],
    /// The file of certificates that a client must trust.
    roots: PathBuf,
    counts: Arc<Mutex<CallCounts>>,
    opened: Arc<Mutex<Vec<Opened>>>,
}

/// A call of `views.open`.
pub struct Opened {
    /// When the whole of the request had arrived.
    pub at: Instant,
    /// The body of the request: JSON or a form.
    pub body: Bytes,
}

/// How often each operation was called, and how often each service was connected to.
#[derive(Default)]
struct CallCounts {
    calls: BTreeMap<String, usize>,
    connections: BTreeMap<&'static str, usize>,
}

impl Services {
    /// Starts the services, with a new certificate.
    pub async fn start(latencies: Latencies, system_roots: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let authority = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(authority.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![authority.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));

        // A function on Lambda reads about 140 root certificates. The stand-ins' certificate is added to them.
        let mut roots = system_roots.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        roots.push_str(&authority.cert.pem());
        let file = std::env::temp_dir().join(format!("functions-bench-{}.pem", std::process::id()));
        std::fs::write(&file, roots)?;

        let counts = Arc::new(Mutex::new(CallCounts::default()));
        let mut ports = [0; NAMES.len()];
        let opened = Arc::<Mutex<Vec<Opened>>>::default();
        let Latencies { dynamodb, sqs, secretsmanager, lambda, slack } = latencies;
        let latencies = [dynamodb, sqs, secretsmanager, lambda, slack];
        for ((port, latency), name) in ports.iter_mut().zip(latencies).zip(NAMES) {
            let (listener, address) = listen().await;
            *port = address.port();
            counts.lock().unwrap_or_else(PoisonError::into_inner).connections.insert(name, 0);
            let service = Service {
                name,
                latency: Duration::from_millis(latency),
                acceptor: acceptor.clone(),
                counts: Arc::clone(&counts),
                opened: Arc::clone(&opened),
            };
            tokio::spawn(accept(listener, move |stream| serve(stream, service.clone())));
        }
        Ok(Self { ports, roots: file, counts, opened })
    }

    /// The variables that make every SDK call these services.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let endpoint = |port| format!("https://localhost:{port}");
        let endpoints = NAMES.into_iter().zip(self.ports).map(move |(name, port)| match name {
            SLACK => ("SLACK_API_URL".to_owned(), format!("{}/api", endpoint(port))),
            _ => (format!("AWS_ENDPOINT_URL_{name}"), endpoint(port)),
        });
        // Rust, Python and Node read the certificates from these variables.
        let roots = ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
            .map(|name| (name.to_owned(), self.roots.display().to_string()));
        let queue = format!("{}/123456789012/events.fifo", endpoint(self.ports[1]));
        endpoints.chain(roots).chain([
            ("QUEUE_URL".to_owned(), queue.clone()),
            ("EVENT_SINK".to_owned(), queue),
            ("TABLE_NAME".to_owned(), "slack-events".to_owned()),
            ("DEDUP_STORE".to_owned(), "dynamodb:slack-events".to_owned()),
            ("APP_SECRET".to_owned(), APP_SECRET.to_owned()),
            ("NEXT_FUNCTION".to_owned(), INVOKED[0].to_owned()),
        ])
    }

    /// How often each operation was called.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// The calls of `views.open` since this was asked last, in the order in which they came.
    pub fn take_opened(&self) -> Vec<Opened> {
        std::mem::take(&mut self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often each service was connected to.
    pub fn connections(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).connections.clone()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // An error means that the file is gone already.
        let _ = std::fs::remove_file(&self.roots);
    }
}

#[derive(Clone)]
struct Service {
    name: &'static str,
    latency: Duration,
    acceptor: TlsAcceptor,
    counts: Arc<Mutex<CallCounts>>,
    opened: Arc<Mutex<Vec<Opened>>>,
}

/// Serves one connection over TLS.
async fn serve(stream: TcpStream, service: Service) {
    let Ok(stream) = service.acceptor.accept(stream).await else { return };
    *service.counts().connections.entry(service.name).or_default() += 1;
    serve_connection(stream, |request| service.answer(request)).await;
}

impl Service {
    fn counts(&self) -> std::sync::MutexGuard<'_, CallCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operation that a request asks for. Lambda's only one here is an invocation whose result nobody waits for; Slack's are
    /// called by the last part of the path.
    fn operation<B>(&self, request: &Request<B>) -> String {
        let path = request.uri().path();
        let operation = match header(request, "x-amz-target") {
            Some(target) => target.rsplit('.').next(),
            None if self.name == SLACK => path.strip_prefix("/api/"),
            None => {
                let function = path.strip_prefix("/2015-03-31/functions/");
                let function = function.and_then(|rest| rest.strip_suffix("/invocations"));
                let is_event = header(request, "x-amz-invocation-type") == Some("Event");
                function.filter(|name| is_event && INVOKED.contains(name)).map(|_| "Invoke")
            }
        };
        operation.unwrap_or("?").to_owned()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let operation = self.operation(&request);
        let has_token = header(&request, "authorization") == Some(&format!("Bearer {BOT_TOKEN}"));
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let at = Instant::now();
        let ready = at + self.latency;
        let bytes = body.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        *self.counts().calls.entry(operation.clone()).or_default() += 1;
        let (status, answer) = match operation.as_str() {
            "PutItem" | "UpdateItem" => (200, json!({})),
            // A delete has a condition, which never holds here.
            "DeleteItem" => (
                400,
                json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                    "message": "The conditional request failed"
                }),
            ),
            "SendMessage" => (
                200,
                json!({
                    "MessageId": "5fea7756-0ea4-451a-a703-a558b933e274",
                    "MD5OfMessageBody": md5(body["MessageBody"].as_str().unwrap_or_default()),
                    "SequenceNumber": "18849496460467696128"
                }),
            ),
            "GetQueueAttributes" => (
                200,
                json!({ "Attributes": { "QueueArn": "arn:aws:sqs:us-east-1:123456789012:events.fifo" } }),
            ),
            "GetSecretValue" if body["VersionStage"] == "AWSPREVIOUS" => {
                (400, json!({ "__type": "ResourceNotFoundException", "Message": "no such version" }))
            }
            "GetSecretValue" => (
                200,
                json!({
                    "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:slack-AbCdEf",
                    "Name": "slack",
                    "SecretString": secret_string(&body["SecretId"]),
                    "VersionId": "01234567-89ab-cdef-0123-456789abcdef",
                    "VersionStages": ["AWSCURRENT"],
                    "CreatedDate": 1_523_477_145.713
                }),
            ),
            // Lambda has stored the event, and has not run the function yet.
            "Invoke" => (202, Value::Null),
            "auth.test" => (
                200,
                json!({ "ok": true, "user_id": "U0LAN0Z89", "bot_id": "B0LAN0Z89", "team_id": "T061EG9R6" }),
            ),
            "views.open" if has_token => {
                self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(Opened { at, body: bytes });
                (200, json!({ "ok": true, "view": { "id": "V0LAN0Z89", "hash": "1.2", "type": "modal" } }))
            }
            "views.open" => (200, json!({ "ok": false, "error": "invalid_auth" })),
            _ => (400, json!({ "__type": "UnknownOperationException" })),
        };
        // A thread sleeps, because Tokio's timers count only whole milliseconds.
        let rest = move || std::thread::sleep(ready.saturating_duration_since(Instant::now()));
        let _ = tokio::task::spawn_blocking(rest).await;
        let content_type = match self.name {
            SLACK => "application/json; charset=utf-8",
            _ => "application/x-amz-json-1.0",
        };
        let headers = [
            ("Content-Type", content_type),
            ("x-amzn-RequestId", "S8IL3P1VDFBGQ3QBN6UJ3VLJFNVV4KQNSO5AEMVJF66Q9ASUAAJG"),
        ];
        let answer = if answer.is_null() { String::new() } else { answer.to_string() };
        Ok(response(status, &headers, answer))
    }
}

fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn secret_string(id: &Value) -> String {
    if id == APP_SECRET {
        return json!({ "signingSecret": SIGNING_SECRET, "token": BOT_TOKEN }).to_string();
    }
    if id == BOT_TOKEN_SECRET { BOT_TOKEN.to_owned() } else { SIGNING_SECRET.to_owned() }
}

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}
