//! The servers that `tests/servers.py` starts for a run, and names that no other test uses on them.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::sync::atomic::{AtomicU64, Ordering};

/// What `tests/servers.py` gives in this environment variable: an address (`DYNAMODB_URL`, `SQS_URL`, `MINISTACK_URL`) or
/// a path (`REDIS_SERVER`).
///
/// # Panics
/// If the variable is not set. A test that needs a server fails without it, and does not pass in silence.
#[must_use]
pub fn server(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test`, which starts the servers"))
}

/// A name that begins with `what`. No other test has it, nor does an earlier run against the same servers.
#[must_use]
pub fn fresh_name(what: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let (run, n) = (SystemClock.now().as_millis(), COUNTER.fetch_add(1, Ordering::Relaxed));
    format!("{what}-{run}-{}-{n}", std::process::id())
}
