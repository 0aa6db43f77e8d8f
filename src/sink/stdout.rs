//! Messages on standard output, one JSON line each, for work without AWS. The log goes to standard error, so the two do not
//! mix.

use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Stdout, Write};
use std::sync::{Mutex, PoisonError};

use super::{SendError, Sink};
use crate::sink::message::Message;

/// A sink that writes each message as one line to `W`, which is standard output unless a test says otherwise.
#[derive(Debug)]
pub struct StdoutSink<W = Stdout> {
    out: Mutex<W>,
}

impl StdoutSink {
    /// The sink that writes to standard output.
    pub fn new() -> Self {
        Self::to(std::io::stdout())
    }
}

impl Default for StdoutSink {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write + Send> StdoutSink<W> {
    /// The sink that writes to `out`.
    pub fn to(out: W) -> Self {
        Self { out: Mutex::new(out) }
    }

    fn write_line(&self, line: &[u8]) -> std::io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(line)?;
        out.flush()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    body: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
    deduplication_id: &'a str,
    group_id: &'a str,
}

impl<W: Write + Send> Sink for StdoutSink<W> {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let line = Line {
            body: &message.body,
            attributes: message
                .attributes
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_str()))
                .collect(),
            deduplication_id: &message.deduplication_id,
            group_id: &message.conversation_group,
        };
        let written = serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.write_line(&line)
        });
        written.map_err(|error| SendError::failed("write to standard output", error))
    }

    fn max_bytes(&self) -> usize {
        usize::MAX
    }
}
