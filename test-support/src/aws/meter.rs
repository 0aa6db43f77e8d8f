//! Counts the calls of one operation on their way to a service, and changes nothing.
//!
//! The [proxy](super::proxy) understands what passes, and opens a connection for each call. This one only
//! looks for a header's value in the bytes: under load it must cost next to nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{accept, listen};

/// A service behind its meter.
pub struct Meter {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Meter {
    /// In front of the service at this URL, for the operation with this `X-Amz-Target`.
    pub async fn start(upstream: &str, target: &str) -> Self {
        let (listener, address) = listen().await;
        let (upstream, target) = (upstream.replace("http://", ""), target.to_owned());
        let calls = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&calls);
        tokio::spawn(accept(listener, move |client| {
            let passed = pass(client, upstream.clone(), target.clone(), Arc::clone(&counter));
            async move {
                // An error is a connection that one of the two ended.
                let _ = passed.await;
            }
        }));
        Self { address, calls }
    }

    /// Where to call it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the operation was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn pass(
    client: TcpStream,
    upstream: String,
    target: String,
    calls: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut service = TcpStream::connect(upstream).await?;
    service.set_nodelay(true)?;
    let (mut requests, mut to_client) = client.into_split();
    let (mut answers, mut to_service) = service.split();
    let asked = async {
        // What was read last, behind a line that has begun.
        let mut seen = Vec::new();
        loop {
            let known = seen.len();
            if requests.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
            to_service.write_all(&seen[known..]).await?;
            let whole_lines = seen.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines = seen[..whole_lines].split(|byte| *byte == b'\n');
            let marked = lines.filter(|line| line.trim_ascii_end().ends_with(target.as_bytes())).count();
            calls.fetch_add(marked, Ordering::Relaxed);
            seen.drain(..whole_lines);
        }
    };
    tokio::select! {
        ended = asked => ended,
        ended = tokio::io::copy(&mut answers, &mut to_client) => ended.map(drop),
    }
}
