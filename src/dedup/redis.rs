//! Records in Redis: a hash for each record, and a sorted set with the ids of the parked ones.
//!
//! Every step is one script, and Redis runs nothing else meanwhile. Times are compared with those of the claim, as in every
//! store; Redis's own expiry only deletes what is over.
//!
//! Redis without persistence forgets the records when it restarts. An event whose retry comes after that is sent again.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script, ScriptInvocation, cmd};
use std::fmt;
use tokio::sync::Mutex;

use super::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use crate::time::budget::CallTimeouts;
use crate::time::clock::UnixMillis;

/// The key of a record is this and the event's id.
const PREFIX: &str = "slack-ingress:";
/// The key of the sorted set with the ids of parked events, in the order in which the ingress received them.
const PARKED: &str = "slack-ingress-parked";

/// Writes a record unless R1 to R5 of `record.rs` forbid it; each line says which clause it states.
/// KEYS: record. ARGV: owner, received at (now), lease until, expires at.
const RECORD: &str = r"
local state, owner, received_at, lease_until, expires_at =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'received_at', 'lease_until', 'expires_at'))
local now = tonumber(ARGV[2])
local answer = 'new'
if state and not (expires_at and tonumber(expires_at) <= math.floor(now / 1000)) then -- R1
    if state ~= 'in_flight' then -- R2
        return state
    end
    if redis.call('HEXISTS', KEYS[1], 'message') == 1 then -- R2
        return 'parked'
    end
    if owner == ARGV[1] and received_at == ARGV[2] and lease_until == ARGV[3] and expires_at == ARGV[4] then
        return 'new' -- R3
    end
    if tonumber(lease_until) >= now then
        return 'in_flight' -- R5
    end
    answer = 'took_over' -- R4
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'in_flight', 'owner', ARGV[1], 'received_at', ARGV[2],
    'lease_until', ARGV[3], 'expires_at', ARGV[4])
redis.call('EXPIREAT', KEYS[1], ARGV[4])
return answer
";

/// Marks a record as forwarded (C1).
/// KEYS: record, parked. ARGV: owner, expires at, event id.
const CONFIRM: &str = r"
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
    return 'lost'
end
redis.call('HSET', KEYS[1], 'state', 'forwarded', 'expires_at', ARGV[2])
redis.call('HDEL', KEYS[1], 'message')
redis.call('EXPIREAT', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[3])
return 'done'
";

/// Deletes a record (C2).
/// KEYS: record. ARGV: owner.
const DELETE: &str = r"
local state, owner = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner'))
if not state then
    return 'done'
end
if owner ~= ARGV[1] or state == 'forwarded' then
    return 'lost'
end
if redis.call('HEXISTS', KEYS[1], 'message') == 1 then
    redis.call('HSET', KEYS[1], 'state', 'parked')
else
    redis.call('DEL', KEYS[1])
end
return 'done'
";

/// Puts the message into a record (C3).
/// KEYS: record, parked. ARGV: owner, event id, message.
const PARK: &str = r"
local state, owner, received_at = unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'received_at'))
if owner ~= ARGV[1] or state == 'forwarded' then
    return 'lost'
end
redis.call('HSET', KEYS[1], 'state', 'parked', 'message', ARGV[3])
redis.call('HDEL', KEYS[1], 'expires_at')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], received_at, ARGV[2])
return 'done'
";

/// Leaves the message in a record in flight (C5).
/// KEYS: record, parked. ARGV: now, in seconds, event id, message.
const LEAVE: &str = r"
local state, received_at, expires_at =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'received_at', 'expires_at'))
if not state or (expires_at and tonumber(expires_at) <= tonumber(ARGV[1])) then -- R1
    return 'gone'
end
if state ~= 'in_flight' then
    return state
end
redis.call('HSETNX', KEYS[1], 'message', ARGV[3])
redis.call('HDEL', KEYS[1], 'expires_at')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], received_at, ARGV[2])
return 'kept'
";

/// Lists what is parked.
/// KEYS: parked. ARGV: how many.
const PENDING: &str = r"
return redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
";

/// Takes what is parked (C4).
/// KEYS: record. ARGV: owner, now, lease until.
const TAKE: &str = r"
local state, owner, lease_until, message =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'lease_until', 'message'))
if not message then
    return { 'not_parked', '' }
end
local was_taken_by_it = state == 'parked' and owner == ARGV[1] and lease_until == ARGV[3]
if not was_taken_by_it and tonumber(lease_until) >= tonumber(ARGV[2]) then
    return { 'held', '' }
end
redis.call('HSET', KEYS[1], 'state', 'parked', 'owner', ARGV[1], 'lease_until', ARGV[3])
return { 'yours', message }
";

/// Whether there is a record that has not expired (R1).
/// KEYS: record. ARGV: now, in seconds.
const SEEN: &str = r"
local state, expires_at = unpack(redis.call('HMGET', KEYS[1], 'state', 'expires_at'))
if not state or (expires_at and tonumber(expires_at) <= tonumber(ARGV[1])) then
    return 0
end
return 1
";

/// A store in one Redis server.
pub struct RedisStore {
    client: Client,
    timeouts: CallTimeouts,
    connection: Mutex<Option<MultiplexedConnection>>,
    scripts: Scripts,
}

/// The scripts with their hashes. Once Redis knows a script, the client sends the hash in its place.
struct Scripts {
    record: Script,
    confirm: Script,
    delete: Script,
    park: Script,
    leave: Script,
    pending: Script,
    take: Script,
    seen: Script,
}

impl RedisStore {
    /// The store in the server at this URL, such as `rediss://cache.example.com:6379`. It connects when it is first needed.
    ///
    /// # Errors
    /// When `url` is no URL of a Redis server.
    pub fn new(url: &str, timeouts: CallTimeouts) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(|error| StoreError::new("the URL of Redis", error))?;
        let scripts = Scripts {
            record: Script::new(RECORD),
            confirm: Script::new(CONFIRM),
            delete: Script::new(DELETE),
            park: Script::new(PARK),
            leave: Script::new(LEAVE),
            pending: Script::new(PENDING),
            take: Script::new(TAKE),
            seen: Script::new(SEEN),
        };
        Ok(Self { client, timeouts, connection: Mutex::default(), scripts })
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.attempt));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// Runs a script. If the connection is gone, as it is after an execution environment was frozen for a while, it connects
    /// again and runs the script once more. That is safe, because each script gives the same answer twice to the same owner.
    async fn run<T: FromRedisValue>(
        &self,
        what: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let attempt = async || script.invoke_async(&mut self.connection().await?).await;
        let mut result = attempt().await;
        if let Err(error) = &result
            && (error.is_io_error() || error.is_connection_dropped())
        {
            *self.connection.lock().await = None;
            result = attempt().await;
            if result.is_err() {
                *self.connection.lock().await = None;
            }
        }
        result.map_err(|error| StoreError::new(what, error))
    }
}

impl fmt::Debug for RedisStore {
    /// Does not show the client, whose URL may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl Store for RedisStore {
    async fn warm_up(&self) -> Result<(), StoreError> {
        let failed = |error| StoreError::new("Redis PING", error);
        let mut connection = self.connection().await.map_err(failed)?;
        cmd("PING").exec_async(&mut connection).await.map_err(failed)
    }

    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        let mut script = self.scripts.record.key(key(&claim.event_id));
        script
            .arg(&claim.owner)
            .arg(claim.received_at.as_millis())
            .arg(claim.lease_until.as_millis())
            .arg(claim.expires_at.as_secs());
        let answer: String = self.run("Redis record", &script).await?;
        let new = |took_over| Recorded::New { lease: Lease::granted(claim), took_over };
        match answer.as_str() {
            "new" => Ok(new(false)),
            "took_over" => Ok(new(true)),
            "in_flight" => Ok(Recorded::InFlight),
            "forwarded" => Ok(Recorded::Forwarded),
            "parked" => Ok(Recorded::Parked),
            _ => Err(StoreError::new("Redis record", "the key holds a hash that is no record")),
        }
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        let mut script = self.scripts.confirm.key(key(lease.event_id()));
        script.key(PARKED).arg(lease.owner()).arg(lease.expires_at().as_secs()).arg(lease.event_id());
        Ok(settled(&self.run::<String>("Redis confirm", &script).await?))
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        let mut script = self.scripts.delete.key(key(lease.event_id()));
        script.arg(lease.owner());
        Ok(settled(&self.run::<String>("Redis delete", &script).await?))
    }

    async fn park(&self, lease: Lease, _conversation: &str, message: &str) -> Result<Settled, StoreError> {
        let mut script = self.scripts.park.key(key(lease.event_id()));
        script.key(PARKED).arg(lease.owner()).arg(lease.event_id()).arg(message);
        Ok(settled(&self.run::<String>("Redis park", &script).await?))
    }

    async fn leave(&self, claim: &Claim, _conversation: &str, message: &str) -> Result<Left, StoreError> {
        let mut script = self.scripts.leave.key(key(&claim.event_id));
        script.key(PARKED).arg(claim.received_at.as_secs()).arg(&claim.event_id).arg(message);
        let answer: String = self.run("Redis leave", &script).await?;
        match answer.as_str() {
            "kept" => Ok(Left::Kept),
            "forwarded" => Ok(Left::Forwarded),
            "parked" => Ok(Left::Parked),
            "gone" => Ok(Left::Gone),
            _ => Err(StoreError::new("Redis leave", "the key holds a hash that is no record")),
        }
    }

    async fn pending(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        let mut script = self.scripts.pending.key(PARKED);
        script.arg(limit);
        let parked: Vec<(String, u64)> = self.run("Redis pending", &script).await?;
        let pending = parked.into_iter().map(|(event_id, received_at)| Pending {
            event_id,
            received_at: UnixMillis::from_millis(received_at),
        });
        Ok(pending.collect())
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let mut script = self.scripts.take.key(key(&claim.event_id));
        script.arg(&claim.owner).arg(claim.received_at.as_millis()).arg(claim.lease_until.as_millis());
        let (answer, message): (String, String) = self.run("Redis take", &script).await?;
        Ok(match answer.as_str() {
            "yours" => Taken::Yours { lease: Lease::granted(claim), message },
            "held" => Taken::Held,
            _ => Taken::NotParked,
        })
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let mut script = self.scripts.seen.key(key(event_id));
        script.arg(now.as_secs());
        self.run("Redis seen", &script).await
    }
}

fn key(event_id: &str) -> String {
    format!("{PREFIX}{event_id}")
}

fn settled(answer: &str) -> Settled {
    match answer {
        "done" => Settled::Done,
        _ => Settled::Lost,
    }
}
