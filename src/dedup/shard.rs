//! The shards of what is parked: which events the redrive must send one after the other.
//!
//! A store lists the events that it holds by shard. All events of one message group, which is a conversation or what controls
//! it, are in one shard. So whoever sends a shard in the order of receipt sends every group in that order, and shards can be
//! sent side by side.

use sha2::{Digest, Sha256};
use std::fmt;

/// How many shards there are, not counting [`Shard::EARLIER`].
///
/// One partition key of a DynamoDB index takes 1,000 writes a second ([burst and adaptive
/// capacity](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html)), and conversations
/// are not spread evenly. 10,000 events a second need ten keys; with 32 the busiest may have three times its share. The redrive
/// sends as many events side by side. More would cost every run more queries, and most runs find nothing.
///
/// The number can be raised, but then a group may have events in two shards, and its order is lost for those that are parked at
/// that time.
pub const SHARDS: u8 = 32;

/// One shard. [`Shard::name`] is what a store writes down, so the names and [`Shard::of`] must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard(Option<u8>);

impl Shard {
    /// Where earlier versions of this program parked every event. Nothing is put here any more. Its events are older than those
    /// of the same group in another shard, so it has to be sent first.
    pub const EARLIER: Self = Self(None);

    /// The shard of a message group: always the same one for the same text, and never [`Shard::EARLIER`].
    pub fn of(group: &str) -> Self {
        let [byte, ..]: [u8; 32] = Sha256::digest(group).into();
        Self(Some(byte % SHARDS))
    }

    /// All shards in which events are parked now: all but [`Shard::EARLIER`].
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(|number| Self(Some(number)))
    }

    /// The name that a store writes down: `1` for [`Shard::EARLIER`], else `s00` to `s31`.
    pub fn name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "s{number:02}"),
            None => f.write_str("1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// What is parked outlives a version of this program, so a group must be in the same shard for ever.
    #[test]
    fn the_shard_of_a_group_never_changes() {
        let groups = ["", "T061EG9R6:C0LAN2Q65:1515449522.000016", "T1:D1", "a"];
        assert_eq!(groups.map(|group| Shard::of(group).name()), ["s03", "s18", "s29", "s10"]);
        assert_eq!(Shard::EARLIER.name(), "1");
    }

    #[test]
    fn every_shard_has_a_name_of_its_own_and_none_is_the_earlier_one() {
        let mut names: Vec<String> = Shard::all().chain([Shard::EARLIER]).map(Shard::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 33);
        assert!(Shard::all().all(|shard| shard != Shard::EARLIER));
    }

    #[test]
    fn ten_thousand_conversations_are_spread_so_that_no_shard_has_a_tenth_of_them() {
        let mut events: HashMap<Shard, u32> = HashMap::new();
        for n in 0..10_000 {
            *events.entry(Shard::of(&format!("T061EG9R6:C0LAN2Q65:{n}"))).or_default() += 1;
        }
        assert_eq!(events.len(), 32);
        assert!(events.values().all(|events| *events < 1_000), "{events:?}");
    }
}
