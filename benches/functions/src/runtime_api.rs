//! Lambda's side of the Runtime API, for one function.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::PATIENCE;

/// The function's time-out.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What Lambda knows of a function.
pub struct RuntimeApi {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Instant>,
    events: mpsc::UnboundedSender<Value>,
    answers: mpsc::UnboundedReceiver<Result<Answer, String>>,
}

/// The function's result.
pub struct Answer {
    /// When all of it was there.
    pub at: Instant,
    /// JSON.
    pub body: Value,
}

struct Server {
    asked: mpsc::UnboundedSender<Instant>,
    events: Mutex<mpsc::UnboundedReceiver<Value>>,
    answers: mpsc::UnboundedSender<Result<Answer, String>>,
}

impl RuntimeApi {
    /// Listens.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (asked_sender, asked) = mpsc::unbounded_channel();
        let (events, event_queue) = mpsc::unbounded_channel();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let server =
            Arc::new(Server { asked: asked_sender, events: Mutex::new(event_queue), answers: answer_sender });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    let service = service_fn(|request| server.serve(request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // An error is a function that ended.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, asked, events, answers })
    }

    /// What Lambda puts into the environment.
    pub fn environment(&self, memory_mb: u32) -> impl Iterator<Item = (String, String)> {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "slack-events".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
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

    /// Waits until the function asks for an event, and says when it did.
    pub async fn asked(&mut self) -> Result<Instant, Box<dyn Error>> {
        let asked = timeout(PATIENCE, self.asked.recv()).await.map_err(|_| "it asks for no event")?;
        Ok(asked.ok_or("the Runtime API is gone")?)
    }

    /// Hands over an event, and waits for the answer.
    pub async fn invoke(&mut self, event: Value) -> Result<Answer, Box<dyn Error>> {
        self.events.send(event)?;
        Ok(self.answers.recv().await.ok_or("the Runtime API is gone")??)
    }
}

impl Server {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        let path = path.trim_start_matches("/2018-06-01/runtime/");
        let response = Response::builder();
        let response = if request.method() == Method::GET && path == "invocation/next" {
            let _ = self.asked.send(Instant::now());
            let Some(event) = self.events.lock().await.recv().await else {
                return std::future::pending().await;
            };
            let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + TIMEOUT;
            response
                .header("Content-Type", "application/json")
                .header("Lambda-Runtime-Aws-Request-Id", format!("{:036x}", deadline.as_nanos()))
                .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string())
                .header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:us-east-1:123456789012:function:f",
                )
                .header("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
                .body(Full::from(event.to_string()))
        } else {
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            let at = Instant::now();
            let answer = match body {
                Ok(body) if path.ends_with("/response") => serde_json::from_slice(&body)
                    .map(|body| Answer { at, body })
                    .map_err(|error| error.to_string()),
                Ok(body) => Err(format!("{path}: {}", String::from_utf8_lossy(&body))),
                Err(error) => Err(error.to_string()),
            };
            let _ = self.answers.send(answer);
            response.status(StatusCode::ACCEPTED).body(Full::default())
        };
        Ok(response.expect("a response"))
    }
}
