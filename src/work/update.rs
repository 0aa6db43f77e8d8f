//! How a decision about a record becomes a write: read, decide, write if nobody has written since, and otherwise decide anew.

use super::record::Record;
use super::together::Joint;
use super::transition::Transition;
use super::{RecordKey, Seen, Version, WorkStore, Write, Written};
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
    decide: impl Fn(Option<&Record>, UnixMillis) -> Transition<T>,
) -> Result<T, StoreError> {
    let mut seen = store.read(key, clock.now()).await?;
    for _ in 0..MAX_ROUNDS {
        let now = clock.now();
        let Transition { write, then } = decide(seen.record.as_ref(), now);
        let Some(record) = write else { return Ok(then) };
        seen = match store.write(key, &seen, &record, now).await {
            Ok(Written::Done) => return Ok(then),
            Ok(Written::Changed(current)) => *current,
            Err(_) => {
                let current = store.read(key, clock.now()).await?;
                if is_this_write(&current, &seen, &record) {
                    return Ok(then);
                }
                current
            }
        };
    }
    Err(StoreError::new("work record", "others wrote it again and again"))
}

/// Makes a decision about the record with this key and about others, writes what it wants written in one atomic step, and returns what
/// follows. It is as [`update`] otherwise.
///
/// # Errors
/// When the store failed twice in a row, or others wrote again and again. It is unknown whether the records were written.
pub async fn update_together<T>(
    store: &impl WorkStore,
    clock: &impl Clock,
    key: &RecordKey,
    others: &[RecordKey],
    decide: impl Fn(Option<&Record>, &[Option<&Record>], UnixMillis) -> Joint<T>,
) -> Result<T, StoreError> {
    let mut seen = store.read(key, clock.now()).await?;
    for _ in 0..MAX_ROUNDS {
        let mut of_others = Vec::with_capacity(others.len());
        for other in others {
            of_others.push(store.read(other, clock.now()).await?);
        }
        let now = clock.now();
        let records: Vec<Option<&Record>> = of_others.iter().map(|seen| seen.record.as_ref()).collect();
        let Joint { write, others: joined, then } = decide(seen.record.as_ref(), &records, now);
        let Some(record) = write else { return Ok(then) };
        let own = Write { key, seen: &seen, record: &record };
        let of_others = others.iter().zip(&of_others).zip(&joined);
        let writes: Vec<Write<'_>> = std::iter::once(own)
            .chain(of_others.map(|((key, seen), record)| Write { key, seen, record }))
            .collect();
        let is_written = matches!(store.write_together(&writes, now).await, Ok(true));
        if is_written {
            return Ok(then);
        }
        // All of them were written, or none: this one tells of the others.
        let current = store.read(key, clock.now()).await?;
        if is_this_write(&current, &seen, &record) {
            return Ok(then);
        }
        seen = current;
    }
    Err(StoreError::new("work record", "others wrote it again and again"))
}

/// Whether the record stands as it was to be written over what was `seen`.
fn is_this_write(current: &Seen, seen: &Seen, record: &Record) -> bool {
    current.record.as_ref() == Some(record) && current.version == Version::Number(seen.version.next())
}
