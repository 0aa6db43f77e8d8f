//! The store that `DEDUP_STORE` names. It is one type for all the stores of this build, so that the sequences need no `dyn`.

use super::dynamodb::DynamoDbStore;
use super::memory::MemoryStore;
#[cfg(feature = "redis")]
use super::redis::RedisStore;
use super::shard::Shard;
use super::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use crate::time::clock::UnixMillis;

/// One of the stores that this build has. Each call goes to the store inside.
#[derive(Debug)]
pub enum AnyStore {
    /// `DEDUP_STORE` is `dynamodb:<table>`.
    DynamoDb(DynamoDbStore),
    /// `DEDUP_STORE` is `memory:`.
    Memory(MemoryStore),
    /// `DEDUP_STORE` is a URL with `redis://` or `rediss://`.
    #[cfg(feature = "redis")]
    Redis(Box<RedisStore>),
}

impl Store for AnyStore {
    async fn warm_up(&self) -> Result<(), StoreError> {
        match self {
            Self::DynamoDb(store) => store.warm_up().await,
            Self::Memory(store) => store.warm_up().await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.warm_up().await,
        }
    }

    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        match self {
            Self::DynamoDb(store) => store.record(claim).await,
            Self::Memory(store) => store.record(claim).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.record(claim).await,
        }
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.confirm(lease).await,
            Self::Memory(store) => store.confirm(lease).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.confirm(lease).await,
        }
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.delete(lease).await,
            Self::Memory(store) => store.delete(lease).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.delete(lease).await,
        }
    }

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.park(lease, group, message).await,
            Self::Memory(store) => store.park(lease, group, message).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.park(lease, group, message).await,
        }
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        match self {
            Self::DynamoDb(store) => store.leave(claim, group, message).await,
            Self::Memory(store) => store.leave(claim, group, message).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.leave(claim, group, message).await,
        }
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        match self {
            Self::DynamoDb(store) => store.pending(shard, after, limit).await,
            Self::Memory(store) => store.pending(shard, after, limit).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.pending(shard, after, limit).await,
        }
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        match self {
            Self::DynamoDb(store) => store.take(claim).await,
            Self::Memory(store) => store.take(claim).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.take(claim).await,
        }
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        match self {
            Self::DynamoDb(store) => store.seen(event_id, now).await,
            Self::Memory(store) => store.seen(event_id, now).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.seen(event_id, now).await,
        }
    }
}
