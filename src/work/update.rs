//! How a decision about a record becomes a write: read, decide, write if nobody has written since, and otherwise decide anew.

use super::receive::Decision;
use super::record::Record;
use super::{RecordKey, WorkStore, Written};
use crate::dedup::StoreError;
use crate::time::clock::{Clock, UnixMillis};

/// How often a decision is made anew. Two who write in turn get past each other long before.
const MAX_ROUNDS: usize = 8;

/// Makes a decision about the record with this key, writes what it wants written, and returns what follows.
///
/// A write whose outcome is unknown is read back: if the record stands as it was to be, the write is done.
///
/// # Errors
/// When the store failed twice in a row, or others wrote again and again. It is unknown whether the record was written.
pub async fn update<T>(
    store: &impl WorkStore,
    clock: &impl Clock,
    key: &RecordKey,
    decide: impl Fn(Option<&Record>, UnixMillis) -> Decision<T>,
) -> Result<T, StoreError> {
    let mut seen = store.read(key, clock.now()).await?;
    for _ in 0..MAX_ROUNDS {
        let now = clock.now();
        let Decision { write, then } = decide(seen.record.as_ref(), now);
        let Some(record) = write else { return Ok(then) };
        seen = match store.write(key, &seen, &record, now).await {
            Ok(Written::Done) => return Ok(then),
            Ok(Written::Changed(current)) => *current,
            Err(_) => {
                let current = store.read(key, clock.now()).await?;
                if current.record.as_ref() == Some(&record)
                    && current.version == super::Version::Number(seen.version.next())
                {
                    return Ok(then);
                }
                current
            }
        };
    }
    Err(StoreError::new("work record", "others wrote it again and again"))
}
