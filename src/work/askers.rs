//! What is known of the people who ask: what Slack said of them, for an hour, and when they were last told that they may not. It
//! stands beside the work records, in an item for each person of an installation.

use std::future::Future;
use std::time::Duration;

use crate::dedup::StoreError;
use crate::slack::asker::AskerKind;
use crate::slack::question::Place;
use crate::time::clock::UnixMillis;

/// For how long what Slack said of a person counts. A guest who becomes a member waits for no longer than that.
pub const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// How long it takes until a person may be told again that they may not ask.
pub const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an item is kept after it was written last.
pub(super) const KEPT_SECONDS: u64 = 2 * 24 * 60 * 60;

/// A person in an installation of the app: `asker:<app>:<tenant>:<user>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskerKey(String);

impl AskerKey {
    /// Who asked in this place; `None` if it does not say.
    pub fn of(place: &Place) -> Option<Self> {
        place.asker_key().map(Self)
    }

    /// The key without what all keys of work records begin with.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The items of those who ask.
///
/// An error means that the outcome is unknown.
pub trait AskerStore: Send + Sync {
    /// What Slack said of a person within the last [hour](KNOWN_FOR); `None` if it was not asked.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn kind(
        &self,
        key: &AskerKey,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Option<AskerKind>, StoreError>> + Send;

    /// Writes down what Slack says of a person.
    ///
    /// # Errors
    /// When it is unknown whether it was written.
    fn remember(
        &self,
        key: &AskerKey,
        kind: AskerKind,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the right to tell a person, for this question, that they may not ask. There is one in a [day](TOLD_AGAIN_AFTER), and
    /// the question that has it keeps it. Check and write are one atomic step.
    ///
    /// # Errors
    /// When it is unknown whether it was taken. The same question may try again.
    fn may_tell(
        &self,
        key: &AskerKey,
        question_id: &str,
        now: UnixMillis,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
