//! A stand-in for AgentCore's data plane: it takes `InvokeAgentRuntime`, and answers what it is told. No emulator has one
//! that does more than echo.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// What a call is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Taken,
    /// A status and AWS's error type; the message quotes what was sent, as an agent's may.
    Error(u16, &'static str),
    /// The answer begins, and breaks off.
    CutOff,
    /// None comes.
    Hangs,
}

/// A call, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// Takes calls.
pub(crate) struct AgentCore {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<Vec<Answer>>,
    calls: Mutex<Vec<Call>>,
}

impl AgentCore {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::<State>::default();
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next call is answered so; several such are used up in order. All others are taken.
    pub(crate) fn once(&self, answer: Answer) {
        self.state.answers.lock().expect("not poisoned").push(answer);
    }

    /// What came, up to now.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().expect("not poisoned").clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(request, Arc::clone(&state)));
            // An error is a client that gave up, or an answer that was to break off.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("the request arrives").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().expect("text").to_owned())
    };
    let call = Call {
        target: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers.iter().map(header).collect(),
        body: body.clone(),
    };
    state.calls.lock().expect("not poisoned").push(call);
    let answer = {
        let mut answers = state.answers.lock().expect("not poisoned");
        if answers.is_empty() { Answer::Taken } else { answers.remove(0) }
    };
    let response = Response::builder().header("content-type", "application/json");
    let response = match answer {
        Answer::Taken => response.body(pieces([Ok("{\"status\":"), Ok("\"accepted\"}")])),
        Answer::Error(status, error) => {
            let message = serde_json::json!({ "message": format!("it was about {body}") }).to_string();
            response.status(status).header("x-amzn-errortype", error).body(pieces([Ok(message)]))
        }
        Answer::CutOff => {
            response.body(pieces([Ok("{\"status\":"), Err(io::Error::from(io::ErrorKind::ConnectionReset))]))
        }
        Answer::Hangs => std::future::pending().await,
    };
    Ok(response.expect("a response"))
}

fn pieces<T: Into<Bytes>, const N: usize>(pieces: [io::Result<T>; N]) -> Body {
    let frames: Vec<_> =
        pieces.into_iter().map(|piece| piece.map(|bytes| Frame::data(bytes.into()))).collect();
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}
