//! Records in Redis, one server or a cluster: a hash for each record, and sorted sets with the names of the parked ones.
//!
//! Every step is one script, and Redis runs nothing else meanwhile. Times are compared with those of the claim, as in every
//! store; Redis's own expiry only deletes what is over.
//!
//! # What a 200 rests on
//!
//! Redis answers before a write is on the disk or on a replica, unless it is told otherwise. Without persistence it forgets the
//! records when it restarts, and after a failover the new primary may not have the last ones. An event whose retry comes after
//! that is sent again. An event that is *parked* has been answered with 200 and is nowhere else: it is as durable as Redis's
//! own fsync and replication make it. With `appendfsync everysec` a crash loses what was parked in the last second, and a
//! failover what the replica had not received. `appendfsync always` and a store that replicates before it answers, such as
//! Amazon MemoryDB, lose nothing.
//!
//! # Cluster
//!
//! Whether the URL leads to a cluster is asked of the server, once. In a cluster a script may only touch keys of one slot, and
//! Redis chooses the slot by the part of a key in braces, the tag. So each event has one of sixteen tags, by its id, in the key
//! of its record; and for each tag there is one set with the parked events of all shards. A record must be found by its id
//! alone, so the shard cannot choose the tag. A shard is listed from all sets, merged in the order of receipt.

use futures_util::future::try_join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, Script,
    ScriptInvocation, ServerErrorKind, Value, cmd,
};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Mutex;

use super::shard::Shard;
use super::{Claim, Lease, Left, Pending, Recorded, Settled, Store, StoreError, Taken};
use crate::time::budget::CallTimeouts;
use crate::time::clock::UnixMillis;

/// The key of a record is this, the event's tag in braces, a colon, and the event's id.
const PREFIX: &str = "slack-ingress:";
/// The key of a set of parked events is this, a colon, and a tag in braces. Its members have the form of [`member`], and all the
/// same score, so that they are sorted by their bytes: by shard, and in a shard in the order of receipt.
///
/// Earlier versions had one set, of this name, with the ids as its members, and the key of a record was [`PREFIX`] and the id.
/// What they parked is listed in [`Shard::EARLIER`], and moved to the names of today when it is taken.
const PARKED: &str = "slack-ingress-parked";

/// How many tags there are, over which the records are spread. Each is one more call for each list. Most clusters have fewer
/// primaries, and the one slot of a tag takes 30,000 simple calls a second on ElastiCache Serverless.
const TAGS: u8 = 16;

/// How often the client of a cluster asks again when a slot has moved or its node is gone.
const CLUSTER_RETRIES: u32 = 3;
const MAX_CLUSTER_RETRY_WAIT: Duration = Duration::from_millis(100);

/// What the scripts have in common. It stands before each of them.
const HELPERS: &str = r"
-- Whether a record is absent or has expired (R1). 'now' is in milliseconds, as text or as a number.
local function is_absent(state, expires_at, now)
    return not state or (expires_at and tonumber(expires_at) <= math.floor(tonumber(now) / 1000))
end
-- Whether a record holds the event itself.
local function holds_event(key)
    return redis.call('HEXISTS', key, 'message') == 1
end
-- What stands for a parked event in a set: `member` makes it in Rust.
local function member(shard, received_at, event_id)
    return shard .. ':' .. string.rep('0', 20 - #received_at) .. received_at .. ':' .. event_id
end
";

/// Writes a record unless R1 to R5 of `record.rs` forbid it; each line says which clause it states.
/// KEYS: record. ARGV: owner, received at (now), lease until, expires at.
const RECORD: &str = r"
local state, owner, received_at, lease_until, expires_at =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'received_at', 'lease_until', 'expires_at'))
local now = tonumber(ARGV[2])
local answer = 'new'
if not is_absent(state, expires_at, now) then -- R1
    if state ~= 'in_flight' then -- R2
        return state
    end
    if holds_event(KEYS[1]) then -- R2
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
/// KEYS: record, parked. ARGV: owner, expires at.
const CONFIRM: &str = r"
local owner, parked_member = unpack(redis.call('HMGET', KEYS[1], 'owner', 'parked'))
if owner ~= ARGV[1] then
    return 'lost'
end
redis.call('HSET', KEYS[1], 'state', 'forwarded', 'expires_at', ARGV[2])
redis.call('HDEL', KEYS[1], 'message', 'parked')
redis.call('EXPIREAT', KEYS[1], ARGV[2])
if parked_member then
    redis.call('ZREM', KEYS[2], parked_member)
end
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
if holds_event(KEYS[1]) then
    redis.call('HSET', KEYS[1], 'state', 'parked')
else
    redis.call('DEL', KEYS[1])
end
return 'done'
";

/// Puts the message into a record (C3).
/// KEYS: record, parked. ARGV: owner, shard, event id, message.
const PARK: &str = r"
local state, owner, received_at, earlier_member =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'owner', 'received_at', 'parked'))
if owner ~= ARGV[1] or state == 'forwarded' then
    return 'lost'
end
local new_member = member(ARGV[2], received_at, ARGV[3])
if earlier_member then
    redis.call('ZREM', KEYS[2], earlier_member)
end
redis.call('HSET', KEYS[1], 'state', 'parked', 'message', ARGV[4], 'parked', new_member)
redis.call('HDEL', KEYS[1], 'expires_at')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], 0, new_member)
return 'done'
";

/// Leaves the message in a record in flight (C5).
/// KEYS: record, parked. ARGV: now, shard, event id, message.
const LEAVE: &str = r"
local state, received_at, expires_at =
    unpack(redis.call('HMGET', KEYS[1], 'state', 'received_at', 'expires_at'))
if is_absent(state, expires_at, ARGV[1]) then -- R1
    return 'gone'
end
if state ~= 'in_flight' then
    return state
end
if redis.call('HSETNX', KEYS[1], 'message', ARGV[4]) == 1 then
    local new_member = member(ARGV[2], received_at, ARGV[3])
    redis.call('HSET', KEYS[1], 'parked', new_member)
    redis.call('HDEL', KEYS[1], 'expires_at')
    redis.call('PERSIST', KEYS[1])
    redis.call('ZADD', KEYS[2], 0, new_member)
end
return 'kept'
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

/// Takes what an earlier version parked, and moves it to the names of today (C4). Not for a cluster, where an earlier version
/// could not park. If this version has recorded the event too, its record counts, by the clauses R1, R2 and R5; and if it is
/// forwarded or parked, what the earlier version parked is dropped.
/// KEYS: earlier record, record, earlier parked, parked. ARGV: owner, now, lease until, event id, shard.
const TAKE_EARLIER: &str = r"
local received_at, lease_until, message =
    unpack(redis.call('HMGET', KEYS[1], 'received_at', 'lease_until', 'message'))
if not message then
    redis.call('ZREM', KEYS[3], ARGV[4])
    return { 'not_parked', '' }
end
local now = tonumber(ARGV[2])
local state, newer_lease_until, expires_at =
    unpack(redis.call('HMGET', KEYS[2], 'state', 'lease_until', 'expires_at'))
if not is_absent(state, expires_at, now) then -- R1
    if state ~= 'in_flight' or holds_event(KEYS[2]) then -- R2
        redis.call('DEL', KEYS[1])
        redis.call('ZREM', KEYS[3], ARGV[4])
        return { 'not_parked', '' }
    end
    if tonumber(newer_lease_until) >= now then -- R5
        return { 'held', '' }
    end
end
if tonumber(lease_until) >= now then -- C4
    return { 'held', '' }
end
local new_member = member(ARGV[5], received_at, ARGV[4])
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], 'state', 'parked', 'owner', ARGV[1], 'lease_until', ARGV[3], 'parked', new_member)
redis.call('ZREM', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], 0, new_member)
return { 'yours', message }
";

/// Whether there is a record that has not expired (R1).
/// KEYS: record. ARGV: now.
const SEEN: &str = r"
local state, expires_at = unpack(redis.call('HMGET', KEYS[1], 'state', 'expires_at'))
if is_absent(state, expires_at, ARGV[1]) then
    return 0
end
return 1
";

/// A store in one Redis server, or in a cluster.
pub struct RedisStore {
    client: Client,
    timeouts: CallTimeouts,
    /// Whether the server is a node of a cluster, once it has said so.
    is_cluster: OnceLock<bool>,
    connection: Mutex<Option<Connection>>,
    scripts: Scripts,
}

/// The connection to the server, or those to a cluster's nodes.
#[derive(Clone)]
enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The scripts with their hashes. Once Redis knows a script, the client sends the hash in its place.
struct Scripts {
    record: Script,
    confirm: Script,
    delete: Script,
    park: Script,
    leave: Script,
    take: Script,
    take_earlier: Script,
    seen: Script,
}

/// What is sent to Redis.
#[derive(Clone, Copy)]
enum Call<'a> {
    Script(&'a ScriptInvocation<'a>),
    Command(&'a Cmd),
}

impl RedisStore {
    /// The store in the server or the cluster at this URL, such as `rediss://cache.example.com:6379`. It connects when it is
    /// first needed.
    ///
    /// # Errors
    /// When `url` is no URL of a Redis server.
    pub fn new(url: &str, timeouts: CallTimeouts) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(|error| StoreError::new("the URL of Redis", error))?;
        let script = |text| Script::new(&format!("{HELPERS}{text}"));
        let scripts = Scripts {
            record: script(RECORD),
            confirm: script(CONFIRM),
            delete: script(DELETE),
            park: script(PARK),
            leave: script(LEAVE),
            take: script(TAKE),
            take_earlier: script(TAKE_EARLIER),
            seen: script(SEEN),
        };
        Ok(Self { client, timeouts, is_cluster: OnceLock::new(), connection: Mutex::default(), scripts })
    }

    async fn connection(&self) -> Result<Connection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let connection = self.connect().await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        if self.is_cluster.get() == Some(&true) {
            return self.connect_to_cluster().await;
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.attempt));
        let mut server = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        if self.is_cluster.get().is_none() {
            // A server that is not part of a cluster answers with an error.
            let is_cluster = match cmd("CLUSTER").arg("INFO").exec_async(&mut server).await {
                Ok(()) => true,
                Err(error) if error.kind() == ErrorKind::Io || is_unanswered(&error) => return Err(error),
                Err(_) => false,
            };
            if *self.is_cluster.get_or_init(|| is_cluster) {
                return self.connect_to_cluster().await;
            }
        }
        Ok(Connection::Server(server))
    }

    async fn connect_to_cluster(&self) -> Result<Connection, RedisError> {
        let wait = u64::try_from(MAX_CLUSTER_RETRY_WAIT.as_millis()).unwrap_or(u64::MAX);
        let client = ClusterClientBuilder::new([self.client.get_connection_info().clone()])
            .connection_timeout(self.timeouts.connect)
            .response_timeout(self.timeouts.attempt)
            .retries(CLUSTER_RETRIES)
            .max_retry_wait(wait)
            .build()?;
        client.get_async_connection().await.map(Connection::Cluster)
    }

    /// Sends a call. If the connection is gone, as it is after an execution environment was frozen for a while, or if it leads to
    /// a server that is no primary any more, it connects again and sends the call once more. That is safe, because each script
    /// gives the same answer twice to the same owner.
    async fn run<T: FromRedisValue>(&self, what: &'static str, call: Call<'_>) -> Result<T, StoreError> {
        let attempt = async || {
            let mut connection = self.connection().await?;
            match call {
                Call::Script(script) => script.invoke_async(&mut connection).await,
                Call::Command(command) => command.query_async(&mut connection).await,
            }
        };
        let mut result = attempt().await;
        if let Err(error) = &result
            && (is_unanswered(error) || is_demoted(error))
        {
            *self.connection.lock().await = None;
            result = attempt().await;
            if result.is_err() {
                *self.connection.lock().await = None;
            }
        }
        result.map_err(|error| StoreError::new(what, error))
    }

    async fn run_script<T: FromRedisValue>(
        &self,
        what: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.run(what, Call::Script(script)).await
    }

    /// The events of one shard in one of the sets.
    async fn pending_in(
        &self,
        tag: u8,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        // The character after the colon is the semicolon, so this is all that begins with the shard's name and a colon.
        let first = after.map_or_else(|| format!("[{shard}:"), |after| format!("({}", member(shard, after)));
        let mut range = cmd("ZRANGEBYLEX");
        range.arg(parked_key(tag)).arg(first).arg(format!("({shard};")).arg("LIMIT").arg(0).arg(limit);
        let members: Vec<String> = self.run("Redis pending", Call::Command(&range)).await?;
        Ok(members.iter().filter_map(|member| parse_member(member)).collect())
    }

    /// What an earlier version parked and nobody has taken yet.
    async fn pending_under_the_earlier_name(
        &self,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let mut pending = Vec::new();
        let first = after.map_or(0, |after| after.received_at.as_millis());
        for page in 0.. {
            let mut range = cmd("ZRANGEBYSCORE");
            range
                .arg(PARKED)
                .arg(first)
                .arg("+inf")
                .arg("WITHSCORES")
                .arg("LIMIT")
                .arg(page * limit)
                .arg(limit);
            let members: Vec<(String, u64)> = self.run("Redis pending", Call::Command(&range)).await?;
            let is_last = members.len() < limit;
            let members = members.into_iter().map(|(event_id, received_at)| Pending {
                received_at: UnixMillis::from_millis(received_at),
                event_id,
            });
            pending.extend(members.filter(|pending| Some(pending) > after));
            if is_last || pending.len() >= limit {
                break;
            }
        }
        Ok(pending)
    }

    async fn is_cluster(&self) -> Result<bool, StoreError> {
        if let Some(is_cluster) = self.is_cluster.get() {
            return Ok(*is_cluster);
        }
        self.connection().await.map_err(|error| StoreError::new("Redis CLUSTER INFO", error))?;
        Ok(self.is_cluster.get() == Some(&true))
    }

    async fn take_earlier(&self, claim: &Claim) -> Result<(String, String), StoreError> {
        let event_id = &claim.event_id;
        let mut script = self.scripts.take_earlier.key(format!("{PREFIX}{event_id}"));
        script.key(key(event_id)).key(PARKED).key(parked_key(tag(event_id)));
        script.arg(&claim.owner).arg(claim.received_at.as_millis()).arg(claim.lease_until.as_millis());
        script.arg(event_id).arg(Shard::EARLIER.name());
        self.run_script("Redis take", &script).await
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(cmd, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

fn is_unanswered(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped()
}

/// Whether the server was the primary, and is a replica since a failover. The name in the URL leads to the new primary by then, or
/// will soon.
fn is_demoted(error: &RedisError) -> bool {
    // Before version 7, Redis says it only within the error of the script that was about to write.
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.detail().is_some_and(|detail| detail.contains("-READONLY "))
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
        let answer: String = self.run_script("Redis record", &script).await?;
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
        script.key(parked_key(tag(lease.event_id()))).arg(lease.owner()).arg(lease.expires_at().as_secs());
        Ok(settled(&self.run_script::<String>("Redis confirm", &script).await?))
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        let mut script = self.scripts.delete.key(key(lease.event_id()));
        script.arg(lease.owner());
        Ok(settled(&self.run_script::<String>("Redis delete", &script).await?))
    }

    async fn park(&self, lease: Lease, group: &str, message: &str) -> Result<Settled, StoreError> {
        let mut script = self.scripts.park.key(key(lease.event_id()));
        script.key(parked_key(tag(lease.event_id()))).arg(lease.owner());
        script.arg(Shard::of(group).name()).arg(lease.event_id()).arg(message);
        Ok(settled(&self.run_script::<String>("Redis park", &script).await?))
    }

    async fn leave(&self, claim: &Claim, group: &str, message: &str) -> Result<Left, StoreError> {
        let mut script = self.scripts.leave.key(key(&claim.event_id));
        script.key(parked_key(tag(&claim.event_id))).arg(claim.received_at.as_millis());
        script.arg(Shard::of(group).name()).arg(&claim.event_id).arg(message);
        let answer: String = self.run_script("Redis leave", &script).await?;
        match answer.as_str() {
            "kept" => Ok(Left::Kept),
            "forwarded" => Ok(Left::Forwarded),
            "parked" => Ok(Left::Parked),
            "gone" => Ok(Left::Gone),
            _ => Err(StoreError::new("Redis leave", "the key holds a hash that is no record")),
        }
    }

    async fn pending(
        &self,
        shard: Shard,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let sets = (0..TAGS).map(|tag| self.pending_in(tag, shard, after, limit));
        let mut pending = try_join_all(sets).await?.concat();
        if shard == Shard::EARLIER && !self.is_cluster().await? {
            pending.extend(self.pending_under_the_earlier_name(after, limit).await?);
        }
        pending.sort();
        pending.truncate(limit);
        Ok(pending)
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        let mut script = self.scripts.take.key(key(&claim.event_id));
        script.arg(&claim.owner).arg(claim.received_at.as_millis()).arg(claim.lease_until.as_millis());
        let (mut answer, mut message): (String, String) = self.run_script("Redis take", &script).await?;
        if answer == "not_parked" && !self.is_cluster().await? {
            (answer, message) = self.take_earlier(claim).await?;
        }
        Ok(match answer.as_str() {
            "yours" => Taken::Yours { lease: Lease::granted(claim), message },
            "held" => Taken::Held,
            _ => Taken::NotParked,
        })
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let mut script = self.scripts.seen.key(key(event_id));
        script.arg(now.as_millis());
        self.run_script("Redis seen", &script).await
    }
}

/// The tag in the keys of an event. It must never change, or the record is not found.
fn tag(event_id: &str) -> u8 {
    let [byte, ..]: [u8; 32] = Sha256::digest(event_id).into();
    byte % TAGS
}

fn key(event_id: &str) -> String {
    format!("{PREFIX}{{{:02}}}:{event_id}", tag(event_id))
}

fn parked_key(tag: u8) -> String {
    format!("{PARKED}:{{{tag:02}}}")
}

/// The member that stands for a parked event in a set, such as `s07:00001531420618500123:Ev0LAN670R`. [`HELPERS`] makes it
/// in the scripts.
fn member(shard: Shard, Pending { received_at, event_id }: &Pending) -> String {
    format!("{shard}:{:020}:{event_id}", received_at.as_millis())
}

fn parse_member(member: &str) -> Option<Pending> {
    let mut parts = member.splitn(3, ':');
    let (_shard, received_at, event_id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Pending {
        received_at: UnixMillis::from_millis(received_at.parse().ok()?),
        event_id: event_id.to_owned(),
    })
}

fn settled(answer: &str) -> Settled {
    match answer {
        "done" => Settled::Done,
        _ => Settled::Lost,
    }
}
