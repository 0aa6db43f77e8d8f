//! What the tests stand on: the real binary behind a Lambda Runtime API, real services behind a proxy that
//! can break them, and a Slack that signs.

#[cfg(all(feature = "dispatch", feature = "sns"))]
pub(crate) mod agentcore;
pub(crate) mod answers;
pub(crate) mod aws;
pub(crate) mod lambda;
#[cfg(target_os = "linux")]
pub(crate) mod meter;
pub(crate) mod proxy;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod sigv4;
pub(crate) mod slack;
pub(crate) mod stage;

use std::future::Future;
use std::time::Duration;
use tokio::task::JoinSet;

/// An address that `tests/servers.py` gives; a test that needs it fails without it.
pub(crate) fn server(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test`, which starts the servers"))
}

/// Waits until `condition` gives something, and not for ever.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(value) = condition().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited 30 s in vain: {what}");
}

/// All at once, results in order. When one fails, nobody waits for the others.
pub(crate) async fn all<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut tasks = JoinSet::new();
    for (n, future) in futures.into_iter().enumerate() {
        tasks.spawn(async move { (n, future.await) });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(n, _)| *n);
    results.into_iter().map(|(_, result)| result).collect()
}
