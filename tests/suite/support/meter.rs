//! Counts the calls of one operation on their way to a service, and changes nothing.
//!
//! The [proxy](super::proxy) understands what passes, and opens a connection for each call. This one only
//! looks for a header's value in the bytes: under load it must cost next to nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Meter {
    address: String,
    calls: Arc<AtomicUsize>,
}

impl Meter {
    /// In front of the service at this URL, for the operation with this `X-Amz-Target`.
    pub(crate) async fn start(upstream: &str, target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let (upstream, target) = (upstream.replace("http://", ""), target.to_owned());
        let calls = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // An error is a connection that one of the two ended.
                tokio::spawn(pass(client, upstream.clone(), target.clone(), Arc::clone(&counter)));
            }
        });
        Self { address, calls }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the operation was called.
    pub(crate) fn calls(&self) -> usize {
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
    for stream in [&client, &service] {
        stream.set_nodelay(true)?;
    }
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
