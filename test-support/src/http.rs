//! HTTP/1.1 servers on this machine. [`accept`] is the loop that takes connections and [`serve_connection`] speaks HTTP on
//! one of them; [`serve`] is both, and every HTTP stand-in is a handler for it. [`Endpoint`] is a ready one, which
//! remembers what it received.

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A listener on a free port of the loopback interface, and its address.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// Runs `connection` on a task of its own for each connection, until the runtime ends.
pub async fn accept<F>(listener: TcpListener, connection: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        // Without it an answer may wait 40 ms for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream));
    }
}

/// Serves one connection: `handler` answers each request. An error of the handler breaks the connection.
pub async fn serve_connection<S, H, F, B, E>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    // An error is a client that went away, or a connection that the handler was to break.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(handler))
        .await;
}

/// Serves every connection with this handler, until the runtime ends.
pub async fn serve<H, F, B, E>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    accept(listener, move |stream| serve_connection(stream, handler.clone())).await;
}

/// An answer.
///
/// # Panics
/// If the status or a header is none that HTTP has.
#[must_use]
pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(Full::from(body.into())).expect("a response")
}

/// A request as an [`Endpoint`] received it.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; what there is of it, if it broke off.
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    /// The value of this header. [`None`]: the request has no such header.
    ///
    /// # Panics
    /// If the value is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// An HTTP endpoint that answers as a test says and remembers what it received.
pub struct Endpoint {
    /// Where to post to.
    pub url: String,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Endpoint {
    /// Starts one. `answer` is called with the number of the request, counted from 0, and the request.
    pub async fn start<F>(answer: impl Fn(usize, ReceivedRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let (listener, address) = listen().await;
        let (received, answer) = (Arc::<Mutex<Vec<ReceivedRequest>>>::default(), Arc::new(answer));
        let seen = Arc::clone(&received);
        tokio::spawn(serve(listener, move |request: Request<Incoming>| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                let path = parts.uri.path().to_owned();
                let request = ReceivedRequest { method: parts.method, path, headers: parts.headers, body };
                let n = {
                    let mut seen = seen.lock().expect("not poisoned");
                    seen.push(request.clone());
                    seen.len() - 1
                };
                Ok::<_, Infallible>(answer(n, request).await)
            }
        }));
        Self { url: format!("http://{address}/slack/events"), received }
    }

    /// What was received up to now.
    ///
    /// # Panics
    /// If `answer` has panicked.
    #[must_use]
    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().expect("not poisoned").clone()
    }
}
