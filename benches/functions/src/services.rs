//! Stand-ins for DynamoDB, SQS, Secrets Manager and Lambda, over TLS. Each answers every call with success after a fixed time, so that the
//! services take the same time for each function that is measured.

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
}

const NAMES: [&str; 4] = ["DYNAMODB", "SQS", "SECRETS_MANAGER", "LAMBDA"];

/// The secret that has a signing secret and a bot token, in JSON. Every other one is a signing secret.
const APP_SECRET: &str = "slack-app";

/// The four services, each on its own port.
pub struct Services {
    ports: [u16; NAMES.len()],
    /// The file of certificates that a client must trust.
    roots: PathBuf,
    counts: Arc<Mutex<CallCounts>>,
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
        let latencies = [latencies.dynamodb, latencies.sqs, latencies.secretsmanager, latencies.lambda];
        for ((port, latency), name) in ports.iter_mut().zip(latencies).zip(NAMES) {
            let (listener, address) = listen().await;
            *port = address.port();
            counts.lock().unwrap_or_else(PoisonError::into_inner).connections.insert(name, 0);
            let service = Service {
                name,
                latency: Duration::from_millis(latency),
                acceptor: acceptor.clone(),
                counts: Arc::clone(&counts),
            };
            tokio::spawn(accept(listener, move |stream| serve(stream, service.clone())));
        }
        Ok(Self { ports, roots: file, counts })
    }

    /// The variables that make every SDK call these services.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let endpoint = |port| format!("https://localhost:{port}");
        let endpoints = NAMES
            .into_iter()
            .zip(self.ports)
            .map(move |(name, port)| (format!("AWS_ENDPOINT_URL_{name}"), endpoint(port)));
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
            ("NEXT_FUNCTION".to_owned(), "next-function".to_owned()),
        ])
    }

    /// How often each operation was called.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
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

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let operation = operation(&request);
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let ready = Instant::now() + self.latency;
        let body = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null);
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
            _ => (400, json!({ "__type": "UnknownOperationException" })),
        };
        // A thread sleeps, because Tokio's timers count only whole milliseconds.
        let rest = move || std::thread::sleep(ready.saturating_duration_since(Instant::now()));
        let _ = tokio::task::spawn_blocking(rest).await;
        let headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("x-amzn-RequestId", "S8IL3P1VDFBGQ3QBN6UJ3VLJFNVV4KQNSO5AEMVJF66Q9ASUAAJG"),
        ];
        let answer = if answer.is_null() { String::new() } else { answer.to_string() };
        Ok(response(status, &headers, answer))
    }
}

/// The operation that a request asks for. Lambda's only one here is an invocation whose result nobody waits for.
fn operation<B>(request: &Request<B>) -> String {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let operation = match header("x-amz-target") {
        Some(target) => target.rsplit('.').next(),
        None if request.uri().path() == "/2015-03-31/functions/next-function/invocations"
            && header("x-amz-invocation-type") == Some("Event") =>
        {
            Some("Invoke")
        }
        None => None,
    };
    operation.unwrap_or("?").to_owned()
}

fn secret_string(id: &Value) -> String {
    if id == APP_SECRET {
        return json!({ "signingSecret": SIGNING_SECRET, "token": "xoxb-made-up" }).to_string();
    }
    SIGNING_SECRET.to_owned()
}

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}
