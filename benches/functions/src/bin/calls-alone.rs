//! A lower bound for every function's time: it makes the calls for an event, one after the other, and does nothing else. It verifies
//! no signature, signs nothing and reads no answer. Its requests have the size of the real function's, and are the same each time.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::rt::{Read, Write};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The sizes of the headers with the session token and with the signature.
const TOKEN_BYTES: usize = 400;
const SIGNATURE_BYTES: usize = 250;
/// The size of the item that is written to the table.
const ITEM_BYTES: usize = 600;
/// The size of the message that is sent to the queue: the event and its attributes.
const MESSAGE_BYTES: usize = 2000;

struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn over(stream: impl Read + Write + Send + Unpin + 'static) -> Result<Self, Box<dyn Error>> {
        let (sender, connection) = handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    async fn plain(address: &str) -> Result<Self, Box<dyn Error>> {
        Self::over(TokioIo::new(connect(address).await?)).await
    }

    async fn tls(url: &str, tls: &TlsConnector) -> Result<Self, Box<dyn Error>> {
        let authority =
            url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).ok_or("an https URL")?;
        let stream = tls.connect(ServerName::try_from("localhost")?, connect(authority).await?).await?;
        Self::over(TokioIo::new(stream)).await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<HeaderMap, Box<dyn Error>> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body.clone()))?;
        request.headers_mut().extend(headers.clone());
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        body.collect().await?;
        Ok(head.headers)
    }
}

async fn connect(address: &str) -> Result<TcpStream, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn headers(target: Option<&str>) -> Result<HeaderMap, Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert("host", "localhost".parse()?);
    if let Some(target) = target {
        headers.insert("x-amz-target", target.parse()?);
        headers.insert("content-type", "application/x-amz-json-1.0".parse()?);
        headers.insert("x-amz-date", "20260101T000000Z".parse()?);
        headers.insert("x-amz-security-token", "x".repeat(TOKEN_BYTES).parse()?);
        headers.insert("authorization", "x".repeat(SIGNATURE_BYTES).parse()?);
    }
    Ok(headers)
}

fn text_of(bytes: usize) -> Bytes {
    format!("{{\"MessageBody\":\"{}\"}}", "x".repeat(bytes)).into()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(std::env::var("SSL_CERT_FILE")?)? {
        // rustls does not accept every one of the machine's root certificates.
        let _ = roots.add(certificate?);
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tls = TlsConnector::from(Arc::new(config));
    let mut dynamodb = Connection::tls(&std::env::var("AWS_ENDPOINT_URL_DYNAMODB")?, &tls).await?;
    let mut sqs = Connection::tls(&std::env::var("AWS_ENDPOINT_URL_SQS")?, &tls).await?;
    let mut lambda = Connection::plain(&std::env::var("AWS_LAMBDA_RUNTIME_API")?).await?;

    let (item, message, answer) =
        (text_of(ITEM_BYTES), text_of(MESSAGE_BYTES), Bytes::from(r#"{"statusCode":200}"#));
    let (plain, nothing) = (headers(None)?, Bytes::new());
    let put_item = headers(Some("DynamoDB_20120810.PutItem"))?;
    let send_message = headers(Some("AmazonSQS.SendMessage"))?;
    let update_item = headers(Some("DynamoDB_20120810.UpdateItem"))?;
    loop {
        let event = lambda.call(Method::GET, "/2018-06-01/runtime/invocation/next", &plain, &nothing).await?;
        let id =
            event.get("lambda-runtime-aws-request-id").ok_or("an invocation without its id")?.to_str()?;
        dynamodb.call(Method::POST, "/", &put_item, &item).await?;
        sqs.call(Method::POST, "/", &send_message, &message).await?;
        let path = format!("/2018-06-01/runtime/invocation/{id}/response");
        lambda.call(Method::POST, &path, &plain, &answer).await?;
        dynamodb.call(Method::POST, "/", &update_item, &item).await?;
    }
}
