//! Waiting, and not for ever.

use std::time::Duration;
use tokio::task::JoinSet;

/// How often a condition is looked at, and how many times before the test has failed: 30 seconds in all.
const PAUSE: Duration = Duration::from_millis(50);
const LOOKS: usize = 600;

/// Waits until `condition` gives a value, and returns it.
///
/// # Panics
/// After 30 seconds; the message names `what` was waited for.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(value) = condition().await {
            return value;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited 30 s in vain: {what}");
}

/// Runs all futures at once; their results are in the futures' order. If one panics, this panics at once and the others
/// are dropped.
pub async fn all<T: Send + 'static>(
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
