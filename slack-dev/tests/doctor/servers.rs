//! HTTP servers on this machine: the ingress itself, and others that are none.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::DATE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use slack_ingress::config::Config;
use slack_ingress::lambda::http;
use slack_ingress::telemetry::report::ingress::Outcome;
use slack_ingress::telemetry::report::ingress::{Report, Trail};
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::time::invocation::Invocation;
use slack_ingress::wiring;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A server that answers each request with what `answer` makes of its method and body; its URL.
async fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> String
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

/// The ingress as a Function URL would call it.
pub(crate) async fn ingress(secret: &str) -> String {
    let secret = secret.to_owned();
    let config = Config::from_lookup(|name| match name {
        "SLACK_SIGNING_SECRET" => Some(secret.clone()),
        "DEDUP_STORE" => Some("memory:".to_owned()),
        "EVENT_SINK" => Some("stdout:".to_owned()),
        _ => None,
    });
    let ingress = Arc::new(wiring::ingress(config.unwrap()).await.unwrap());
    serve(move |request: Request<Incoming>| {
        let ingress = Arc::clone(&ingress);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let request = Request::from_parts(parts, lambda_http::Body::Binary(body.to_vec()));
            let invocation = Invocation {
                request_id: "1".to_owned(),
                deadline: SystemClock.now().after(Duration::from_secs(5)),
                trace_header: None,
            };
            let report = match http::inbound(request) {
                Ok(inbound) => ingress.handle(inbound, invocation).await,
                Err(outcome) => refused(outcome),
            };
            http::answer(&report).0.map(|body| Full::from(body.to_vec()))
        }
    })
    .await
}

fn refused(outcome: Outcome) -> Report {
    Report { outcome, trail: Trail::default() }
}

/// Something that is no ingress: it answers everything alike.
pub(crate) async fn always(status: u16, body: &'static str) -> String {
    serve(move |_| async move { Response::builder().status(status).body(Full::from(body)).unwrap() }).await
}

/// Something that gives challenges back without looking at who asks.
pub(crate) async fn unguarded() -> String {
    serve(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let challenge = serde_json::from_slice::<Value>(&body).unwrap_or_default()["challenge"]
            .as_str()
            .map(str::to_owned);
        Response::new(Full::from(challenge.unwrap_or_default()))
    })
    .await
}

/// A server whose clock is so many seconds behind ours.
pub(crate) async fn behind(seconds: i64, status: u16, body: &'static str) -> String {
    serve(move |_| async move {
        let now = i64::try_from(SystemClock.now().as_secs()).unwrap();
        let date = aws_smithy_types::DateTime::from_secs(now - seconds);
        let date = date.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
        Response::builder().status(status).header(DATE, date).body(Full::from(body)).unwrap()
    })
    .await
}
