//! What a rule about a record comes to. All rules of this room return one, and [`update`](super::update) carries it out.

use super::record::Record;

/// What is written first, if anything, and what follows when that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition<T> {
    /// The record as it has to be; `None` leaves it as it is.
    pub write: Option<Record>,
    /// What follows.
    pub then: T,
}

impl<T> Transition<T> {
    /// Writes nothing.
    pub const fn only(then: T) -> Self {
        Self { write: None, then }
    }

    /// Writes the record, then goes on.
    pub const fn write(record: Record, then: T) -> Self {
        Self { write: Some(record), then }
    }
}
