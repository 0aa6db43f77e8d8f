//! Plays Slack's side of the answers: the threads, and what stands in them.

use slack_ingress::time::clock::UnixMillis;
use std::collections::BTreeMap;
use std::time::Duration;

/// By how much a search begins before the post was decided on.
const BEFORE: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Posted {
    nonce: String,
    at: UnixMillis,
    ts: String,
}

/// What stands in the threads.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    threads: BTreeMap<String, Vec<Posted>>,
    count: u64,
}

impl Posts {
    /// Adds a post to a thread, and returns its `ts`.
    pub(crate) fn add(&mut self, thread: &str, nonce: &str, at: UnixMillis) -> String {
        self.count += 1;
        let ts = format!("{}.{:06}", at.as_secs(), self.count);
        let posted = Posted { nonce: nonce.to_owned(), at, ts: ts.clone() };
        self.threads.entry(thread.to_owned()).or_default().push(posted);
        ts
    }

    /// Whether a message with this `ts` stands.
    pub(crate) fn stands(&self, ts: &str) -> bool {
        self.threads.values().flatten().any(|posted| posted.ts == ts)
    }

    /// The `ts` of the post with this nonce, among those that are not too old.
    pub(crate) fn find(&self, thread: &str, nonce: &str, since: UnixMillis) -> Option<String> {
        let posts = self.threads.get(thread)?;
        let is_it = |posted: &&Posted| posted.nonce == nonce && posted.at.after(BEFORE) >= since;
        posts.iter().find(is_it).map(|posted| posted.ts.clone())
    }
}
