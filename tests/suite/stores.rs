//! Runs the contract of the trait `Store` against every store, and tests what is special to each store.

#[cfg(feature = "redis")]
use slack_ingress::dedup::Pending;
use slack_ingress::dedup::contract;
use slack_ingress::dedup::dynamodb::DynamoDbStore;
use slack_ingress::dedup::memory::MemoryStore;
#[cfg(feature = "redis")]
use slack_ingress::dedup::redis::RedisStore;
use slack_ingress::dedup::shard::Shard;
use slack_ingress::dedup::{Claim, Lease, Recorded, Store, Taken};
use slack_ingress::every_store_scenario;
#[cfg(feature = "redis")]
use slack_ingress::time::budget::CallTimeouts;
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis, UnixSeconds};
use std::sync::Arc;
use std::time::Duration;
use test_support::aws::{Table, sdk_config};
#[cfg(feature = "redis")]
use test_support::redis::{RedisCluster, RedisServer};
#[cfg(feature = "redis")]
use test_support::wait::eventually;

/// A store, and the server that must live as long as the store.
async fn memory() -> (Arc<MemoryStore>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

async fn dynamodb() -> (Arc<DynamoDbStore>, ()) {
    let table = Table::create().await;
    (Arc::new(DynamoDbStore::new(&table.client, table.name)), ())
}

#[cfg(feature = "redis")]
async fn redis() -> (Arc<RedisStore>, RedisServer) {
    let server = RedisServer::start().await;
    (Arc::new(connect(&server.url(0))), server)
}

#[cfg(feature = "redis")]
async fn redis_cluster() -> (Arc<RedisStore>, RedisCluster) {
    let cluster = RedisCluster::start().await;
    (Arc::new(connect(&cluster.url())), cluster)
}

#[cfg(feature = "redis")]
fn connect(url: &str) -> RedisStore {
    let timeouts = CallTimeouts::for_budget(Duration::from_millis(2500));
    RedisStore::new(url, timeouts).expect("a URL")
}

/// Makes one test of each scenario of the contract, so that a failure has the scenario's name.
macro_rules! holds_the_contract {
    ($attribute:tt $store:ident: $($scenario:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #$attribute
                async fn $scenario() {
                    let (store, _kept) = super::$store().await;
                    super::contract::$scenario(store).await;
                }
            )*
        }
    };
}

every_store_scenario!(holds_the_contract, [doc = "needs no server"] memory:);
every_store_scenario!(holds_the_contract, [ignore = "needs DynamoDB Local: make test"] dynamodb:);
#[cfg(feature = "redis")]
every_store_scenario!(holds_the_contract, [ignore = "needs a Redis server: make test"] redis:);

pub(crate) fn claim(event_id: &str) -> Claim {
    let now = SystemClock.now();
    Claim {
        event_id: event_id.to_owned(),
        owner: "a".to_owned(),
        received_at: now,
        lease_until: now.after(Duration::from_secs(5)),
        expires_at: UnixSeconds::from_secs(now.as_secs() + 3600),
    }
}

/// Checks that an event recorded in one store is new in the other.
async fn assert_that_the_stores_share_no_record(one: &impl Store, other: &impl Store) {
    let claim = claim("Ev1");
    one.record(&claim).await.expect("the store answers");
    assert!(one.seen("Ev1", claim.received_at).await.expect("the store answers"));
    assert!(!other.seen("Ev1", claim.received_at).await.expect("the store answers"));
    assert!(matches!(other.record(&claim).await, Ok(Recorded::New { .. })));
}

#[tokio::test]
async fn two_processes_do_not_share_their_memory() {
    assert_that_the_stores_share_no_record(&MemoryStore::new(), &MemoryStore::new()).await;
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn two_tables_do_not_share_their_records() {
    assert_that_the_stores_share_no_record(&*dynamodb().await.0, &*dynamodb().await.0).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn two_databases_of_a_redis_server_do_not_share_their_records() {
    let server = RedisServer::start().await;
    assert_that_the_stores_share_no_record(&connect(&server.url(0)), &connect(&server.url(1))).await;
}

/// Checks that every call to the store is an error.
async fn assert_that_every_call_is_an_error(store: &impl Store) {
    let claim = claim("Ev1");
    let lease = || Lease::granted(&claim);
    assert!(store.warm_up().await.is_err());
    assert!(store.record(&claim).await.is_err());
    assert!(store.confirm(lease()).await.is_err());
    assert!(store.delete(lease()).await.is_err());
    assert!(store.park(lease(), "a", "{}").await.is_err());
    assert!(store.leave(&claim, "a", "{}").await.is_err());
    assert!(store.pending(Shard::of("a"), None, 1).await.is_err());
    assert!(store.take(&claim).await.is_err());
    assert!(store.seen("Ev1", claim.received_at).await.is_err());
}

#[tokio::test]
async fn a_claim_in_a_database_that_cannot_be_reached_is_an_error_and_neither_new_nor_a_duplicate() {
    let client = aws_sdk_dynamodb::Client::new(&sdk_config("http://127.0.0.1:1"));
    assert_that_every_call_is_an_error(&DynamoDbStore::new(&client, "events")).await;
    #[cfg(feature = "redis")]
    assert_that_every_call_is_an_error(&connect("redis://127.0.0.1:1")).await;
}

/// DynamoDB refuses these calls, but not because of a condition.
#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_table_that_does_not_exist_is_an_error_and_no_lost_lease() {
    let table = Table::create().await;
    assert_that_every_call_is_an_error(&DynamoDbStore::new(&table.client, "no-such-table")).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn a_redis_server_that_goes_away_is_an_error_and_is_found_again_when_it_comes_back() {
    let mut server = RedisServer::start().await;
    let store = connect(&server.url(0));
    let (forwarded, in_flight, parked) = (claim("Ev1"), claim("Ev2"), claim("Ev3"));
    for claim in [&forwarded, &in_flight, &parked] {
        assert!(matches!(store.record(claim).await, Ok(Recorded::New { .. })));
    }
    store.confirm(Lease::granted(&forwarded)).await.expect("the store answers");
    store.park(Lease::granted(&parked), "a", "{}").await.expect("the store answers");

    server.stop().await;
    assert_that_every_call_is_an_error(&store).await;
    server.start_again().await;
    // The first call finds its connection closed and opens another one. The records are still there.
    let recorded = store.record(&claim("Ev1")).await;
    assert!(matches!(recorded, Ok(Recorded::Forwarded)), "{recorded:?}");
    assert!(matches!(store.record(&claim("Ev2")).await, Ok(Recorded::InFlight)));
    assert!(matches!(store.record(&claim("Ev3")).await, Ok(Recorded::Parked)));
    assert_eq!(store.pending(Shard::of("a"), None, 10).await.expect("the store answers").len(), 1);
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn a_redis_connection_that_was_closed_meanwhile_is_replaced_without_an_error() {
    let mut server = RedisServer::start().await;
    let store = connect(&server.url(0));
    store.record(&claim("Ev1")).await.expect("the store answers");
    server.stop().await;
    server.start_again().await;
    assert!(matches!(store.record(&claim("Ev1")).await, Ok(Recorded::InFlight)));
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn redis_itself_deletes_expired_records_and_never_parked_ones() {
    let server = RedisServer::start().await;
    let store = connect(&server.url(0));
    let soon = SystemClock.now().as_secs() + 3;
    let claims = ["in-flight", "parked", "redriven"]
        .map(|id| Claim { expires_at: UnixSeconds::from_secs(soon), ..claim(id) });
    for claim in &claims {
        assert!(matches!(store.record(claim).await, Ok(Recorded::New { .. })));
    }
    let [_, parked, redriven] = &claims;
    for parked in [parked, redriven] {
        store.park(Lease::granted(parked), "a", "{}").await.expect("the store answers");
    }
    store.confirm(Lease::granted(redriven)).await.expect("the store answers");

    let client = ::redis::Client::open(server.url(0)).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let message = ::redis::cmd("HGET").arg("slack-ingress:{07}:redriven").arg("message").clone();
    assert_eq!(message.query_async(&mut connection).await, Ok(None::<String>));
    let keys = eventually("what has expired is gone", async || {
        let mut keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.ok()?;
        keys.sort();
        (keys.len() <= 2).then_some(keys)
    });
    assert_eq!(keys.await, ["slack-ingress-parked:{11}", "slack-ingress:{11}:parked"]);
    assert!(matches!(store.record(&claim("parked")).await, Ok(Recorded::Parked)));
}

/// All scenarios on one cluster, for a cluster takes seconds to start. The keys are spread over the three primaries.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis servers: make test"]
async fn a_redis_cluster_holds_the_contract() {
    let (store, cluster) = redis_cluster().await;
    contract::all(store).await;
    let keys = cluster.keys().await;
    assert!(keys.len() == 3 && keys.iter().all(|keys| *keys > 10), "{keys:?}");
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis servers: make test"]
async fn a_redis_cluster_holds_the_contract_after_a_failover_and_keeps_what_is_parked() {
    let (store, cluster) = redis_cluster().await;
    let claims: Vec<Claim> = (0..20).map(|n| claim(&format!("Ev{n}"))).collect();
    for claim in &claims {
        assert!(matches!(store.record(claim).await, Ok(Recorded::New { .. })));
        store.park(Lease::granted(claim), "a", "{}").await.expect("the store answers");
    }
    cluster.fail_over().await;
    for claim in &claims {
        assert!(matches!(store.record(claim).await, Ok(Recorded::Parked)));
    }
    assert_eq!(store.pending(Shard::of("a"), None, 100).await.expect("the store answers").len(), 20);
    contract::all(store).await;
}

/// Passes connections on to a server, and new ones to another as soon as it is told: as the name of a primary does.
#[cfg(feature = "redis")]
struct Name {
    address: std::net::SocketAddr,
    leads_to: Arc<std::sync::Mutex<String>>,
}

#[cfg(feature = "redis")]
impl Name {
    async fn of(server: &RedisServer) -> Self {
        let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = front.local_addr().expect("its address");
        let leads_to = Arc::new(std::sync::Mutex::new(server.address()));
        let led = Arc::clone(&leads_to);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = front.accept().await {
                let address = led.lock().expect("not poisoned").clone();
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(address).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { address, leads_to }
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs Redis servers: make test"]
async fn a_redis_primary_that_was_demoted_is_left_for_the_new_one_without_an_error() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let name = Name::of(&old).await;
    let store = connect(&format!("redis://{}", name.address));
    let parked = claim("Ev1");
    assert!(matches!(store.record(&parked).await, Ok(Recorded::New { .. })));
    store.park(Lease::granted(&parked), "a", "{}").await.expect("the store answers");
    new.follow(&old).await;
    new.call(&["REPLICAOF", "NO", "ONE"]).await;
    old.follow(&new).await;

    // The name still leads to the old one: an error, and the next call tries again.
    assert!(store.record(&claim("Ev2")).await.is_err());
    *name.leads_to.lock().unwrap() = new.address();
    assert!(matches!(store.record(&claim("Ev2")).await, Ok(Recorded::New { .. })));
    // And so on a connection that was good until the failover.
    old.call(&["REPLICAOF", "NO", "ONE"]).await;
    new.follow(&old).await;
    *name.leads_to.lock().unwrap() = old.address();
    assert!(matches!(store.record(&claim("Ev3")).await, Ok(Recorded::New { .. })));
    assert!(matches!(store.record(&claim("Ev1")).await, Ok(Recorded::Parked)));
}

/// Writes into a Redis server what an earlier version of the store wrote about an event.
#[cfg(feature = "redis")]
async fn put_as_an_earlier_version(server: &RedisServer, claim: &Claim, message: Option<&str>) {
    let key = format!("slack-ingress:{}", claim.event_id);
    let received_at = claim.received_at.as_millis().to_string();
    let lease_until = claim.lease_until.as_millis().to_string();
    let state = if message.is_some() { "parked" } else { "forwarded" };
    let fields = ["owner", "a", "received_at", &received_at, "lease_until", &lease_until, "state", state];
    server.call(&[["HSET", &key].as_slice(), &fields].concat()).await;
    if let Some(message) = message {
        server.call(&["HSET", &key, "message", message]).await;
    }
    server.call(&["ZADD", "slack-ingress-parked", &received_at, &claim.event_id]).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn what_an_earlier_version_parked_in_redis_is_listed_and_taken_once_and_what_was_sent_meanwhile_is_not()
{
    let server = RedisServer::start().await;
    let store = connect(&server.url(0));
    let at = |received_at: u64, lease_until: u64, id: &str| Claim {
        received_at: UnixMillis::from_millis(received_at),
        lease_until: UnixMillis::from_millis(lease_until),
        ..claim(id)
    };
    let all_pending = async || store.pending(Shard::EARLIER, None, 100).await.expect("the store answers");
    let ids = |pending: &[Pending]| pending.iter().map(|event| event.event_id.clone()).collect::<Vec<_>>();
    let taken = async |claim: &Claim| store.take(claim).await.expect("the store answers");
    for (n, id) in ["Ev1", "Ev2", "Ev3", "Ev4", "Ev5"].into_iter().enumerate() {
        // Two were received in the same millisecond, and the last one is still held.
        let received_at = 1_000 + 10 * u64::try_from(n).unwrap() / 2;
        let lease_until = if id == "Ev5" { 9_000 } else { 5_000 };
        put_as_an_earlier_version(&server, &at(received_at, lease_until, id), Some(id)).await;
    }
    // The earlier version's redrive has just sent this one, and this version has sent that one, which came again.
    put_as_an_earlier_version(&server, &at(1_001, 5_000, "sent by it"), None).await;
    put_as_an_earlier_version(&server, &at(1_002, 5_000, "sent by us"), Some("{}")).await;
    let again = claim("sent by us");
    store.record(&again).await.expect("the store answers");
    let held = at(7_000, 8_000, "sent by us");
    assert!(matches!(taken(&held).await, Taken::Held), "this version is sending it");
    store.confirm(Lease::granted(&again)).await.expect("the store answers");

    let all = all_pending().await;
    assert_eq!(ids(&all), ["Ev1", "sent by it", "sent by us", "Ev2", "Ev3", "Ev4", "Ev5"]);
    let mut by_page: Vec<Pending> = Vec::new();
    loop {
        let page = store.pending(Shard::EARLIER, by_page.last(), 2).await.expect("the store answers");
        by_page.extend(page.clone());
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(by_page, all);

    for sent in ["sent by it", "sent by us"] {
        assert!(matches!(taken(&at(7_000, 8_000, sent)).await, Taken::NotParked), "{sent}");
    }
    assert!(matches!(taken(&at(7_000, 8_000, "Ev5")).await, Taken::Held));
    for id in ["Ev1", "Ev2"] {
        let claim = at(7_000, 8_000, id);
        for attempt in ["first", "its answer was lost"] {
            let Taken::Yours { message, .. } = taken(&claim).await else { panic!("{id}: {attempt}") };
            assert_eq!(message, id);
        }
        let another = Claim { owner: "another".to_owned(), ..at(7_001, 8_001, id) };
        assert!(matches!(taken(&another).await, Taken::Held), "{id}");
    }
    assert!(matches!(store.record(&claim("Ev1")).await, Ok(Recorded::Parked)));
    store.confirm(Lease::granted(&claim("Ev1"))).await.expect("the store answers");
    assert!(matches!(store.record(&claim("Ev1")).await, Ok(Recorded::Forwarded)));
    // Ev2 is listed under its new name, and in its old place.
    assert_eq!(ids(&all_pending().await), ["Ev2", "Ev3", "Ev4", "Ev5"]);
    assert_eq!(server.call(&["EXISTS", "slack-ingress:Ev1", "slack-ingress:Ev2"]).await, "0");
    assert_eq!(server.call(&["ZCARD", "slack-ingress-parked"]).await, "3");
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn what_an_earlier_version_parked_in_dynamodb_is_listed_and_taken() {
    let table = Table::create().await;
    let store = DynamoDbStore::new(&table.client, &table.name);
    let parked = claim("Ev1");
    store.record(&parked).await.expect("the store answers");
    store.park(Lease::granted(&parked), "a", "{}").await.expect("the store answers");
    assert_eq!(table.item("Ev1").await.unwrap()["parked"], "s10");
    // The earlier version had one value for all events.
    table.set("Ev1", "parked", "1").await;
    let pending = store.pending(Shard::EARLIER, None, 10).await.expect("the store answers");
    assert_eq!(pending.len(), 1);
    assert!(store.pending(Shard::of("a"), None, 10).await.expect("the store answers").is_empty());
    let later = parked.lease_until.after(Duration::from_millis(1));
    let taken = store.take(&Claim { received_at: later, ..parked }).await.expect("the store answers");
    let Taken::Yours { lease, .. } = taken else { panic!("{taken:?}") };
    store.confirm(lease).await.expect("the store answers");
    assert!(store.pending(Shard::EARLIER, None, 10).await.expect("the store answers").is_empty());
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_parked_message_that_nobody_can_read_is_told_apart_from_a_store_that_fails() {
    let table = Table::create().await;
    let store = DynamoDbStore::new(&table.client, &table.name);
    let parked = claim("Ev1");
    store.record(&parked).await.expect("the store answers");
    store.park(Lease::granted(&parked), "a", "{}").await.expect("the store answers");
    table.remove("Ev1", "message").await;
    let later = parked.lease_until.after(Duration::from_millis(1));
    let taken = store.take(&Claim { received_at: later, ..parked }).await;
    assert!(matches!(taken, Ok(Taken::Unreadable(_))), "{taken:?}");
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs a Redis server: make test"]
async fn a_redis_connection_on_which_no_answer_comes_is_replaced_in_time() {
    let server = RedisServer::start().await;
    let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let store = connect(&format!("redis://{}", front.local_addr().expect("its address")));
    let address = server.url(0).replace("redis://", "").replace("/0", "");
    let second_only = async {
        let _silent = front.accept().await;
        let (mut client, _) = front.accept().await.expect("a second connection");
        let mut redis = tokio::net::TcpStream::connect(address).await.expect("a connection");
        tokio::io::copy_bidirectional(&mut client, &mut redis).await
    };
    let claim = claim("Ev1");
    tokio::select! {
        recorded = store.record(&claim) => {
            assert!(matches!(recorded, Ok(Recorded::New { .. })), "{recorded:?}");
        }
        ended = second_only => panic!("{ended:?}"),
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_redis_server_that_accepts_connections_but_never_answers_is_an_error_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}", silent.local_addr().expect("its address"));
    let budget = Duration::from_millis(2500);
    let recorded = tokio::time::timeout(budget, connect(&url).record(&claim("Ev1"))).await;
    assert!(recorded.expect("an answer within the budget").is_err());
}

#[cfg(feature = "redis")]
#[test]
fn a_redis_password_is_not_shown() {
    assert_eq!(format!("{:?}", connect("redis://:hunter2@localhost/0")), "RedisStore");
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn an_item_that_is_no_record_is_an_error_and_neither_new_nor_a_duplicate() {
    let table = Table::create().await;
    table.put("Ev1", "no-such-state", 0, u64::from(u32::MAX)).await;
    let store = DynamoDbStore::new(&table.client, &table.name);
    assert!(store.record(&claim("Ev1")).await.is_err());
    assert_eq!(table.state("Ev1").await.as_deref(), Some("no-such-state"));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn an_item_has_the_attributes_of_the_design() {
    let table = Table::keeping_what_has_expired().await;
    let store = DynamoDbStore::new(&table.client, &table.name);
    let claim = Claim {
        received_at: UnixMillis::from_millis(1_700_000_000_000),
        lease_until: UnixMillis::from_millis(1_700_000_005_000),
        expires_at: UnixSeconds::from_secs(1_700_003_600),
        ..claim("Ev1")
    };
    store.record(&claim).await.unwrap();
    let mut item: Vec<_> = table.item("Ev1").await.unwrap().into_iter().collect();
    item.sort();
    let expected = [
        ("event_id", "Ev1"),
        ("expires_at", "1700003600"),
        ("lease_until", "1700000005000"),
        ("owner", "a"),
        ("received_at", "1700000000000"),
        ("state", "in_flight"),
    ];
    assert_eq!(item, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}
