//! Finds and starts the binaries under test.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use test_support::lambda::{Lambda, output, variables};

/// The ingress that cargo built with these tests, and with their features.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_slack-ingress");

/// The ingress under test: the release binary that `make test` names in `SLACK_INGRESS_BIN`, or else [`BUILT`].
fn binary() -> PathBuf {
    std::env::var_os("SLACK_INGRESS_BIN").map_or_else(|| PathBuf::from(BUILT), PathBuf::from)
}

/// The redrive that was built with the ingress under test.
pub(crate) fn redrive_binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_redrive"));
    std::env::var_os("SLACK_INGRESS_BIN")
        .map_or(built, |ingress| PathBuf::from(ingress).with_file_name("redrive"))
}

/// A new execution environment of the ingress with these variables.
pub(crate) async fn start(variables: HashMap<String, String>) -> Lambda {
    Lambda::start(&binary(), variables).await
}

/// A new execution environment of the ingress for local work: `memory:` and `stdout:`.
pub(crate) async fn start_local() -> Lambda {
    start(variables([("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")])).await
}

/// A new execution environment of the ingress that cargo built with these tests: it has all cargo features.
#[cfg(any(feature = "redis", feature = "sns"))]
pub(crate) async fn start_built(variables: HashMap<String, String>) -> Lambda {
    Lambda::start(BUILT.as_ref(), variables).await
}

/// Runs the ingress until it ends by itself: its status and what it wrote to standard error.
pub(crate) async fn run_to_end(variables: &HashMap<String, String>) -> (ExitStatus, String) {
    let output = output(&binary(), variables).await;
    (output.status, String::from_utf8(output.stderr).expect("UTF-8"))
}
