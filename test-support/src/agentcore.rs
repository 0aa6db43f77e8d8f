//! A stand-in for AgentCore's data plane: it takes `InvokeAgentRuntime` and answers as a test says. No emulator has one
//! that does more than echo. The one in `demo/stand_ins/agentcore.py` is for another purpose: it has a real agent behind it.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::http::{listen, serve};

type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// What a call is answered with.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The agent has the question, and works on it.
    Taken,
    /// The agent answers with this content type and this body.
    Says(&'static str, &'static str),
    /// A status and AWS's error type; the message quotes what was sent, as an agent's may.
    Error(u16, &'static str),
    /// The answer begins, and breaks off.
    CutOff,
    /// None comes.
    Hangs,
}

/// A call, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method, path and query.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: HashMap<String, String>,
    /// The body, which is text.
    pub body: String,
}

/// Takes calls and remembers them.
pub struct AgentCore {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<Vec<Answer>>,
    calls: Mutex<Vec<Call>>,
}

impl AgentCore {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let state = Arc::<State>::default();
        let served = Arc::clone(&state);
        tokio::spawn(serve(listener, move |request| answer(request, Arc::clone(&served))));
        Self { address, state }
    }

    /// The value of `AWS_ENDPOINT_URL_BEDROCK_AGENTCORE`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next call is answered like this; several such answers are used up in order. All other calls are taken.
    pub fn once(&self, answer: Answer) {
        self.state.answers.lock().expect("not poisoned").push(answer);
    }

    /// What came, up to now.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().expect("not poisoned").clone()
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("the request arrives").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
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
        Answer::Taken => response.body(pieces([Ok("{\"status\":"), Ok("\"working\"}")])),
        Answer::Says(content_type, body) => {
            Response::builder().header("content-type", content_type).body(pieces([Ok(body)]))
        }
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
