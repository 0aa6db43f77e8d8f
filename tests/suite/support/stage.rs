//! Deploys the function for a test, with a table and a queue.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::collections::HashMap;
use test_support::aws::proxy::Proxy;
use test_support::aws::{Queue, Table};
use test_support::lambda::{Lambda, variables};
use test_support::servers::server;
use test_support::wait::eventually;

use super::ingress::{self, redrive_binary};

/// One deployment: a table, a queue and a proxy before each. A test starts as many environments as it needs.
pub(crate) struct Stage {
    pub(crate) table: Table,
    pub(crate) queue: Queue,
    pub(crate) dynamodb: Proxy,
    pub(crate) sqs: Proxy,
}

impl Stage {
    pub(crate) async fn fifo() -> Self {
        Self::with(Queue::fifo().await).await
    }

    pub(crate) async fn with(queue: Queue) -> Self {
        Self {
            table: Table::create().await,
            queue,
            dynamodb: Proxy::start(&server("DYNAMODB_URL")).await,
            sqs: Proxy::start(&server("SQS_URL")).await,
        }
    }

    pub(crate) fn variables(&self) -> HashMap<String, String> {
        variables([
            ("DEDUP_STORE", &format!("dynamodb:{}", self.table.name)),
            ("EVENT_SINK", &self.queue.url),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", &self.sqs.url()),
        ])
    }

    pub(crate) async fn environment(&self) -> Lambda {
        ingress::start(self.variables()).await
    }

    /// An environment of the redrive.
    pub(crate) async fn redrive(&self) -> Lambda {
        Lambda::start(&redrive_binary(), self.redrive_variables()).await
    }

    /// The redrive's variables. It has no signing secret.
    pub(crate) fn redrive_variables(&self) -> HashMap<String, String> {
        let mut variables = self.variables();
        variables.remove("SLACK_SIGNING_SECRET");
        variables.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), "redrive".to_owned());
        variables
    }

    /// Waits until the event's lease has ended.
    pub(crate) async fn lease_over(&self, event_id: &str) {
        let item = self.table.item(event_id).await.expect("a record");
        let lease_until: u64 = item["lease_until"].parse().expect("a number");
        eventually("the end of the lease", async || {
            (SystemClock.now().as_millis() > lease_until).then_some(())
        })
        .await;
    }
}
