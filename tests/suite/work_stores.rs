//! Runs the contract of the trait `WorkStore` against every store. So the rules that the model and the simulation try on the
//! store in memory meet the same answers in DynamoDB.

use slack_ingress::every_work_scenario;
use slack_ingress::work::contract;
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::memory::MemoryWork;
use test_support::aws::{AuditTable, Table};

async fn memory() -> MemoryWork {
    MemoryWork::default()
}

async fn dynamodb() -> DynamoDbWork {
    let table = Table::create().await;
    let trail = AuditTable::create().await;
    DynamoDbWork::new(table.client, table.name).with_audit(Some(trail.name))
}

/// Makes one test of each scenario of the contract, so that a failure has the scenario's name.
macro_rules! holds_the_contract {
    ($attribute:tt $store:ident: $($scenario:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #$attribute
                async fn $scenario() {
                    super::contract::$scenario(&super::$store().await).await;
                }
            )*
        }
    };
}

every_work_scenario!(holds_the_contract, [doc = "needs no server"] memory:);
every_work_scenario!(holds_the_contract, [ignore = "needs DynamoDB Local: make test"] dynamodb:);

/// The trail is added to, and nothing else: whoever writes another entry under the same key changes nothing.
mod trail {
    use slack_ingress::slack::question::{Place, SlackTs};
    use slack_ingress::time::clock::UnixMillis;
    use slack_ingress::work::RecordKey;
    use slack_ingress::work::audit::{Act, AuditEntry, AuditRules, AuditStore, Field, Redact};
    use slack_ingress::work::dynamodb::DynamoDbWork;
    use slack_ingress::work::memory::MemoryWork;
    use slack_ingress::work::token::Token;
    use test_support::aws::AuditTable;

    /// An entry of the attempt with this number, by the same claimer: the key is the same.
    fn entry(attempt: u32) -> AuditEntry {
        let rules = AuditRules { days: 30, redact: Redact::default(), texts: true };
        let place = Place {
            tenant: Some("T1".to_owned()),
            api_app_id: Some("A1".to_owned()),
            team_id: Some("T1".to_owned()),
            channel: "C1".to_owned(),
            thread_ts: None,
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse("1531420618.000200").expect("a timestamp"),
            response_url: None,
        };
        let (key, by) = (RecordKey::of_question("A1:C1:1.1"), Token::from_bits(7));
        let now = UnixMillis::from_millis(1_531_420_618_500);
        AuditEntry::of(&rules, &key, Some(&place), &Act::Asked { attempt, by: &by }, now)
    }

    #[tokio::test]
    async fn the_first_entry_stays_in_memory() {
        let store = MemoryWork::default();
        for attempt in [1, 2] {
            store.put_audit(&entry(attempt)).await.unwrap();
        }
        let entries = store.audit();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].fields["attempt"], Field::Number(1));
    }

    #[tokio::test]
    #[ignore = "needs DynamoDB Local: make test"]
    async fn the_first_entry_stays_in_dynamodb() {
        let table = AuditTable::create().await;
        let store = DynamoDbWork::new(table.client.clone(), "no table of work records")
            .with_audit(Some(table.name.clone()));
        for attempt in [1, 2] {
            store.put_audit(&entry(attempt)).await.unwrap();
        }
        let entries = table.entries().await;
        assert_eq!(entries.len(), 1);
        let of = |name: &str| entries[0][name].as_str();
        assert_eq!((of("attempt"), of("person"), of("question_id")), ("1", "T1:U1", "A1:C1:1.1"));
        assert_eq!((of("at"), of("expires_at")), ("1531420618500", "1534012618"));
    }

    #[tokio::test]
    #[ignore = "needs DynamoDB Local: make test"]
    async fn without_a_table_nothing_counts_as_written() {
        let table = AuditTable::create().await;
        let store = DynamoDbWork::new(table.client.clone(), table.name.clone());
        assert!(store.put_audit(&entry(1)).await.is_err());
    }
}
