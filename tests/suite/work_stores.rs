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
