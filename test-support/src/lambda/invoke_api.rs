//! A stand-in for Lambda's [`Invoke`](https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html), with a real function behind
//! it: what is invoked is the process of a [`Lambda`].

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Ended, Lambda};
use crate::http::{listen, response, serve};

/// Takes invocations of one function and remembers them.
pub struct InvokeApi {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    name: String,
    function: Lambda,
    timeout: Duration,
    invoked: Mutex<Vec<Invocation>>,
}

/// An invocation, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// `RequestResponse` or `Event`.
    pub invocation_type: String,
    /// The payload.
    pub payload: Value,
    /// The header `authorization`.
    pub authorization: String,
}

impl InvokeApi {
    /// Listens on a free port for invocations of `function`, which is called `name` and has this time-out.
    pub async fn start(name: &str, function: Lambda, timeout: Duration) -> Self {
        let (listener, address) = listen().await;
        let state = Arc::new(State { name: name.to_owned(), function, timeout, invoked: Mutex::default() });
        let served = Arc::clone(&state);
        tokio::spawn(serve(listener, move |request| answer(request, Arc::clone(&served))));
        Self { address, state }
    }

    /// Its URL, for `AWS_ENDPOINT_URL_LAMBDA`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The function behind it.
    #[must_use]
    pub fn function(&self) -> &Lambda {
        &self.state.function
    }

    /// What was invoked so far, in the order in which it came.
    ///
    /// # Panics
    /// If a request has panicked.
    #[must_use]
    pub fn invoked(&self) -> Vec<Invocation> {
        self.state.invoked.lock().expect("not poisoned").clone()
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (invocation_type, authorization) = (header("x-amz-invocation-type"), header("authorization"));
    let path = request.uri().path().to_owned();
    if path != format!("/2015-03-31/functions/{}/invocations", state.name) {
        let error = [("x-amzn-errortype", "ResourceNotFoundException")];
        return Ok(response(404, &error, r#"{"Message":"Function not found"}"#));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(payload) = serde_json::from_slice::<Value>(&body) else {
        let error = [("x-amzn-errortype", "InvalidRequestContentException")];
        return Ok(response(400, &error, r#"{"Message":"Could not parse request body into json"}"#));
    };
    let invocation =
        Invocation { invocation_type: invocation_type.clone(), payload: payload.clone(), authorization };
    state.invoked.lock().expect("not poisoned").push(invocation);
    let invoked = state.function.invoke_for(&payload, state.timeout);
    if invocation_type == "Event" {
        tokio::spawn(invoked);
        return Ok(response(202, &[], ""));
    }
    Ok(match invoked.await {
        Ended::Answered(answer) => response(200, &[], answer.to_string()),
        Ended::Failed(error) => response(200, &[("x-amz-function-error", "Unhandled")], error),
        Ended::Died => {
            let error = r#"{"errorType":"Runtime.ExitError"}"#;
            response(200, &[("x-amz-function-error", "Unhandled")], error)
        }
    })
}
