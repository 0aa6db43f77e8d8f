//! Lambda's side of the Runtime API: a function asks for its next invocation and posts how it went.
//! (AWS Lambda, "Using the Lambda runtime API": the paths `invocation/next`, `invocation/<id>/response`,
//! `invocation/<id>/error` and `init/error`.)

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

use super::TRACE_HEADER;
use crate::http::{listen, serve};

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:slack-ingress";

/// How an invocation ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The function's answer.
    Answered(Value),
    /// The function reported an error (its text), or its answer is no JSON.
    Failed(String),
    /// The process died.
    Died,
}

/// The end of an invocation, and when.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// How it ended.
    pub ended: Ended,
    /// When all of the answer had arrived.
    pub at: Instant,
}

struct Invocation {
    request_id: String,
    deadline_ms: u64,
    event: Vec<u8>,
    client_context: Option<String>,
    answer: oneshot::Sender<Invoked>,
}

/// What one function, in one or several processes, asks and tells.
pub struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::UnboundedSender<Invocation>,
    state: Arc<State>,
}

struct State {
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    pending: Mutex<HashMap<String, oneshot::Sender<Invoked>>>,
    /// How often an invocation was asked for, and when it was last.
    asked: watch::Sender<(usize, Instant)>,
    init_error: watch::Sender<Option<Value>>,
    /// The trace header of the next invocations.
    trace_header: Mutex<Option<String>>,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let (invocations, queue) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            queue: tokio::sync::Mutex::new(queue),
            pending: Mutex::default(),
            asked: watch::Sender::new((0, now())),
            init_error: watch::Sender::default(),
            trace_header: Mutex::new(Some(TRACE_HEADER.to_owned())),
        });
        let served = Arc::clone(&state);
        tokio::spawn(serve(listener, move |request| {
            let state = Arc::clone(&served);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        }));
        Self { address, invocations, state }
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Invokes the function with an event; the deadline is `timeout` from now. The invocation is queued by the call, and
    /// the future ends when the function answers, or [`all_died`](Self::all_died) is called.
    pub fn invoke(&self, event: &Value, timeout: Duration) -> impl Future<Output = Invoked> + Send + use<> {
        self.invoke_with_client_context(event, timeout, None)
    }

    /// Invokes the function with a client context, the header `Lambda-Runtime-Client-Context`. Lambda hands on what a client of
    /// its own API sent, and `cargo lambda watch` whatever HTTP request names a header so.
    pub fn invoke_with_client_context(
        &self,
        event: &Value,
        timeout: Duration,
        client_context: Option<&str>,
    ) -> impl Future<Output = Invoked> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            request_id: fresh_request_id(),
            deadline_ms: SystemClock.now().after(timeout).as_millis(),
            event: event.to_string().into_bytes(),
            client_context: client_context.map(str::to_owned),
            answer,
        };
        // If nobody is there to take it, the answer's sender is dropped with it, and the invocation has died.
        let _ = self.invocations.send(invocation);
        async move { answered.await.unwrap_or_else(|_| Invoked { ended: Ended::Died, at: now() }) }
    }

    /// Gives the invocations that are asked for from now on this trace header, in place of [`TRACE_HEADER`].
    ///
    /// # Panics
    /// If a request was served with a panic.
    pub fn trace(&self, header: Option<&str>) {
        *self.state.trace_header.lock().expect("not poisoned") = header.map(str::to_owned);
    }

    /// Ends every invocation that was taken and not answered with [`Ended::Died`]: the processes are gone.
    ///
    /// # Panics
    /// If a request was served with a panic.
    pub fn all_died(&self) {
        self.state.pending.lock().expect("not poisoned").clear();
    }

    /// Waits until an invocation has been asked for so many times, and says when it last was. The first time is the end of
    /// the function's init.
    pub async fn asked(&self, times: usize) -> Instant {
        let mut asked = self.state.asked.subscribe();
        let (_, at) = *asked.wait_for(|(known, _)| *known >= times).await.expect("its sender is here");
        at
    }

    /// Waits for what the function reports of an init that failed.
    pub async fn init_error(&self) -> Value {
        let mut reported = self.state.init_error.subscribe();
        let error = reported.wait_for(Option::is_some).await.expect("its sender is here");
        error.clone().expect("it was waited for")
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let arrived = now();
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches("/2018-06-01/runtime/").split('/').collect();
        let response = Response::builder();
        let response = match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => {
                self.asked.send_modify(|asked| *asked = (asked.0 + 1, arrived));
                let Some(invocation) = self.queue.lock().await.recv().await else {
                    return std::future::pending().await;
                };
                let Invocation { request_id, deadline_ms, event, client_context, answer } = invocation;
                self.pending.lock().expect("not poisoned").insert(request_id.clone(), answer);
                let response = match client_context {
                    Some(context) => response.header("Lambda-Runtime-Client-Context", context),
                    None => response,
                };
                let response = match &*self.trace_header.lock().expect("not poisoned") {
                    Some(header) => response.header("Lambda-Runtime-Trace-Id", header),
                    None => response,
                };
                response
                    .header("Lambda-Runtime-Aws-Request-Id", request_id)
                    .header("Lambda-Runtime-Deadline-Ms", deadline_ms)
                    .header("Lambda-Runtime-Invoked-Function-Arn", FUNCTION_ARN)
                    .header("Content-Type", "application/json")
                    .body(Full::from(event))
            }
            (&Method::POST, ["invocation", request_id, how @ ("response" | "error")]) => {
                let body = collected(request.into_body()).await;
                let at = now();
                let ended = match serde_json::from_slice(&body) {
                    Ok(answer) if *how == "response" => Ended::Answered(answer),
                    Err(error) if *how == "response" => {
                        Ended::Failed(format!("an answer that is no JSON: {error}"))
                    }
                    _ => Ended::Failed(String::from_utf8_lossy(&body).into_owned()),
                };
                // None: it was given up in the meantime.
                let answer = self.pending.lock().expect("not poisoned").remove(*request_id);
                let _ = answer.map(|answer| answer.send(Invoked { ended, at }));
                response.status(StatusCode::ACCEPTED).body(Full::default())
            }
            (&Method::POST, ["init", "error"]) => {
                let error = serde_json::from_slice(&collected(request.into_body()).await);
                self.init_error.send_replace(Some(error.expect("the error is JSON")));
                response.status(StatusCode::ACCEPTED).body(Full::default())
            }
            _ => response.status(StatusCode::NOT_FOUND).body(Full::default()),
        };
        response.expect("a response")
    }
}

/// A body that breaks off is an empty one: its process has died.
async fn collected(body: Incoming) -> Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn now() -> Instant {
    SystemClock.instant().into_std()
}

fn fresh_request_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("8476a536-e9f4-11e8-9739-{:012x}", COUNTER.fetch_add(1, Ordering::Relaxed))
}
