//! One GET over HTTPS that is not signed: the download of a file of a bounded size.
//!
//! No redirect is followed, because what is sent with the request is meant for the host that it names. Like a
//! [signed call](super::signed_call) it has a connection of its own and is not repeated here.

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout_at;

use super::signed_call::{NOT_REACHED, connector};
use crate::time::clock::Moment;

/// Makes downloads.
#[derive(Clone, Debug)]
pub struct Downloads {
    connector: SharedHttpConnector,
}

/// An answer. Its body is read only if the status is 200.
#[derive(Debug)]
pub struct Download {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`, in lower case; absent if there is none.
    pub content_type: Option<String>,
    /// The content; empty if the status is another than 200.
    pub content: Vec<u8>,
}

/// Why there is no content, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDownloaded {
    /// The URL, or what is to be sent with it, cannot be sent at all.
    CannotBeMade,
    /// It has more bytes than were wanted.
    TooLarge,
    /// There was no connection, or it broke. The code says which.
    Failed(&'static str),
}

impl Downloads {
    /// Downloads with so much time to connect, TLS included.
    pub fn new(connect: Duration) -> Self {
        Self { connector: connector(connect) }
    }

    /// Gets what is at this URL, with this header `authorization`, of at most so many bytes. It is over at `until`.
    ///
    /// # Errors
    /// When there is no answer, or its body broke off or is too large. An answer of any status is none.
    pub async fn get(
        &self,
        url: &str,
        authorization: String,
        max_bytes: usize,
        until: Moment,
    ) -> Result<Download, NotDownloaded> {
        let mut request = HttpRequest::new(SdkBody::empty());
        let is_made = request.set_uri(url).is_ok()
            && request.headers_mut().try_insert("authorization", authorization).is_ok();
        if !is_made {
            return Err(NotDownloaded::CannotBeMade);
        }
        let mut response = match timeout_at(until.instant, self.connector.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_io() || error.is_timeout() => {
                return Err(NotDownloaded::Failed(NOT_REACHED));
            }
            Ok(Err(_)) => return Err(NotDownloaded::Failed("connection_lost")),
            Err(_) => return Err(NotDownloaded::Failed("timed_out")),
        };
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").map(str::to_ascii_lowercase);
        let content =
            if status == 200 { content(&mut response, max_bytes, until).await? } else { Vec::new() };
        Ok(Download { status, content_type, content })
    }
}

async fn content(
    response: &mut HttpResponse,
    max_bytes: usize,
    until: Moment,
) -> Result<Vec<u8>, NotDownloaded> {
    let mut body = response.take_body();
    let mut content = Vec::new();
    loop {
        match timeout_at(until.instant, body.frame()).await {
            Ok(None) => return Ok(content),
            Ok(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else { continue };
                if content.len() + data.len() > max_bytes {
                    return Err(NotDownloaded::TooLarge);
                }
                content.extend_from_slice(data);
            }
            Ok(Some(Err(_))) => return Err(NotDownloaded::Failed("connection_lost")),
            Err(_) => return Err(NotDownloaded::Failed("timed_out")),
        }
    }
}
