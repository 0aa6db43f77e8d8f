//! A proxy in front of a service of AWS's, that fails it on demand: before the effect, after it, late, or
//! never. Emulators do not fail by themselves; nor do they check signatures, so it does that too.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::sigv4;
use crate::http::{accept, listen, response, serve_connection};
use crate::wait::eventually;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused with this status and error type, before any effect.
    Refuse(u16, &'static str),
    /// The connection breaks before any effect.
    Break,
    /// The connection stays open, nothing happens, and no answer comes.
    Hang,
    /// It takes effect, and the connection breaks before the answer.
    LoseAnswer,
    /// It takes effect, and the answer is this status and error type.
    RefuseAfter(u16, &'static str),
    /// It takes effect, and no answer comes.
    HangAfter,
    /// It takes effect after this time.
    Delay(Duration),
    /// It waits for the gate, then takes effect.
    HoldBefore(Gate),
    /// It takes effect, and the answer waits for the gate.
    HoldAfter(Gate),
    /// It waits for the gate, and is then refused with this status and error type.
    HoldThenRefuse(Gate, u16, &'static str),
}

/// Closed until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    /// Lets the call pass that waits, or else the next one.
    pub fn open(&self) {
        self.0.notify_one();
    }

    async fn pass(&self) {
        self.0.notified().await;
    }
}

/// A service behind its proxy.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    upstream: String,
    faults: Mutex<HashMap<String, Vec<Fault>>>,
    always: Mutex<HashMap<String, Fault>>,
    calls: Mutex<HashMap<String, usize>>,
    session_tokens: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl Proxy {
    /// In front of the service at this URL.
    pub async fn start(upstream: &str) -> Self {
        let (listener, address) = listen().await;
        let state = Arc::new(State { upstream: upstream.replace("http://", ""), ..State::default() });
        let served = Arc::clone(&state);
        tokio::spawn(accept(listener, move |stream| {
            served.connections.fetch_add(1, Ordering::Relaxed);
            let state = Arc::clone(&served);
            serve_connection(stream, move |request| serve(request, Arc::clone(&state)))
        }));
        Self { address, state }
    }

    /// Where to call the service.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next call of this operation fails so; several such are used up in order.
    pub fn once(&self, operation: &str, fault: Fault) {
        self.state.faults.lock().expect("not poisoned").entry(operation.to_owned()).or_default().push(fault);
    }

    /// Every call of this operation fails so, from now on.
    pub fn always(&self, operation: &str, fault: Fault) {
        self.state.always.lock().expect("not poisoned").insert(operation.to_owned(), fault);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.state.faults.lock().expect("not poisoned").clear();
        self.state.always.lock().expect("not poisoned").clear();
    }

    /// How often the operation was called.
    #[must_use]
    pub fn calls(&self, operation: &str) -> usize {
        self.state.calls.lock().expect("not poisoned").get(operation).copied().unwrap_or_default()
    }

    /// The session tokens of the calls that had one, in order.
    #[must_use]
    pub fn session_tokens(&self) -> Vec<String> {
        self.state.session_tokens.lock().expect("not poisoned").clone()
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits for the operation's `count`th call.
    pub async fn reached(&self, operation: &str, count: usize) {
        eventually(operation, async || (self.calls(operation) >= count).then_some(())).await;
    }
}

impl State {
    fn note_session_token(&self, parts: &Parts) {
        let token = parts.headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
        self.session_tokens.lock().expect("not poisoned").extend(token.map(str::to_owned));
    }

    fn next_fault(&self, operation: &str) -> Option<Fault> {
        *self.calls.lock().expect("not poisoned").entry(operation.to_owned()).or_default() += 1;
        let mut faults = self.faults.lock().expect("not poisoned");
        match faults.get_mut(operation) {
            Some(faults) if !faults.is_empty() => Some(faults.remove(0)),
            _ => self.always.lock().expect("not poisoned").get(operation).cloned(),
        }
    }
}

/// `AmazonSQS.SendMessage` and `DynamoDB_20120810.PutItem` name the operation after the dot; SNS has a form
/// that begins with `Action=Publish`.
fn operation(parts: &Parts, body: &[u8]) -> String {
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let action = || body.strip_prefix(b"Action=")?.split(|&byte| byte == b'&').next();
    let operation = match target {
        Some(target) => target.rsplit('.').next().map(str::as_bytes),
        None => action(),
    };
    String::from_utf8_lossy(operation.unwrap_or_default()).into_owned()
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

async fn serve(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| broken())?.to_bytes();
    let operation = operation(&parts, &body);
    state.note_session_token(&parts);
    let fault = state.next_fault(&operation);
    if let Some(reason) = sigv4::refusal(&parts, &body) {
        return Ok(refusal(403, "InvalidSignatureException", reason));
    }
    let request = Request::from_parts(parts, Full::new(body));
    let upstream = state.upstream.clone();
    // On a task of its own: what is on the wire happens, even if its client has given up by then.
    let served = tokio::spawn(async move {
        match fault {
            None => forward(upstream, request).await,
            Some(Fault::Refuse(status, error)) => Ok(refusal(status, error, "injected")),
            Some(Fault::Break) => Err(broken()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::LoseAnswer) => forward(upstream, request).await.and(Err(broken())),
            Some(Fault::RefuseAfter(status, error)) => {
                forward(upstream, request).await.map(|_| refusal(status, error, "injected"))
            }
            Some(Fault::HangAfter) => {
                forward(upstream, request).await?;
                std::future::pending().await
            }
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                forward(upstream, request).await
            }
            Some(Fault::HoldBefore(gate)) => {
                gate.pass().await;
                forward(upstream, request).await
            }
            Some(Fault::HoldThenRefuse(gate, status, error)) => {
                gate.pass().await;
                Ok(refusal(status, error, "injected"))
            }
            Some(Fault::HoldAfter(gate)) => {
                let response = forward(upstream, request).await;
                gate.pass().await;
                response
            }
        }
    });
    served.await.map_err(|_| broken())?
}

fn refusal(status: u16, error: &str, message: &str) -> Response<Full<Bytes>> {
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amzn-errortype", error)];
    response(status, &headers, format!("{{\"__type\":\"{error}\",\"message\":\"{message}\"}}"))
}

async fn forward(upstream: String, request: Request<Full<Bytes>>) -> io::Result<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|_| broken())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| broken())?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}
