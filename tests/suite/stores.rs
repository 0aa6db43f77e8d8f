//! Every store, by the one contract.

use slack_ingress::clock::UnixMillis;
use slack_ingress::dedup::contract;
use slack_ingress::dedup::dynamodb::DynamoDbStore;
use slack_ingress::dedup::memory::MemoryStore;
use slack_ingress::dedup::{Claim, Store};
use std::sync::Arc;

use crate::support::aws::{Table, sdk_config};

async fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

async fn dynamodb() -> Arc<DynamoDbStore> {
    let table = Table::create().await;
    Arc::new(DynamoDbStore::new(table.client, table.name))
}

/// One test a scenario, so that a failure has a name.
macro_rules! holds_the_contract {
    ($attribute:tt $store:ident: $($scenario:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #$attribute
                async fn $scenario() {
                    super::contract::$scenario(super::$store().await).await;
                }
            )*
        }
    };
}

macro_rules! every_scenario {
    ($attribute:tt $store:ident) => {
        holds_the_contract! { $attribute $store:
            first_claim_wins
            of_many_at_once_one_wins
            a_repeated_write_is_the_owners
            a_confirmed_event_is_forwarded
            confirming_twice_is_confirming
            a_deleted_event_is_free
            a_forwarded_event_cannot_be_deleted
            a_lease_that_is_past_is_taken_over
            a_stale_owner_changes_nothing
            confirming_a_deleted_event_brings_nothing_back
            an_expired_record_is_free_before_any_sweep
            seen_tells_of_every_live_record
            ids_are_kept_apart_to_the_letter
        }
    };
}

every_scenario!([doc = "needs no server"] memory);
every_scenario!([ignore = "needs DynamoDB Local: make test"] dynamodb);

fn claim(event_id: &str) -> Claim {
    Claim {
        event_id: event_id.to_owned(),
        owner: "a".to_owned(),
        received_at: UnixMillis::from_millis(1_700_000_000_000),
        lease_until: UnixMillis::from_millis(1_700_000_005_000),
        expires_at: 1_700_003_600,
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn two_tables_do_not_share_their_records() {
    let (one, other) = (dynamodb().await, dynamodb().await);
    assert!(!other.seen("Ev1", claim("Ev1").received_at).await.unwrap());
    one.record(&claim("Ev1")).await.unwrap();
    assert!(!other.seen("Ev1", claim("Ev1").received_at).await.unwrap());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_and_neither_new_nor_a_duplicate() {
    let client = aws_sdk_dynamodb::Client::new(&sdk_config("http://127.0.0.1:1"));
    let store = DynamoDbStore::new(client, "events");
    let error = store.record(&claim("Ev1")).await.unwrap_err();
    assert_eq!(error.to_string(), "DynamoDB PutItem");
    assert!(store.seen("Ev1", claim("Ev1").received_at).await.is_err());
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn an_item_that_is_no_record_is_an_error_and_neither_new_nor_a_duplicate() {
    let table = Table::create().await;
    table.put("Ev1", "no-such-state", 0, u64::from(u32::MAX)).await;
    let store = DynamoDbStore::new(table.client.clone(), table.name.clone());
    assert!(store.record(&claim("Ev1")).await.is_err());
    assert_eq!(table.state("Ev1").await.as_deref(), Some("no-such-state"));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn an_item_has_the_attributes_of_the_design() {
    let table = Table::create().await;
    let store = DynamoDbStore::new(table.client.clone(), table.name.clone());
    store.record(&claim("Ev1")).await.unwrap();
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
