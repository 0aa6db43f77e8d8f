//! Tables, queues and secrets that are wrong in one thing each.

use super::*;
use crate::emulators::{Queue, REGION, Table, name, url, variables};
use aws_sdk_dynamodb::types::ScalarAttributeType;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_sqs::types::QueueAttributeName as Name;

const FOURTEEN_DAYS: &str = "1209600";

/// Examines what these lead to.
async fn examined(table: &str, queue: &str) -> Examined {
    let mut all = variables();
    all.push(("SLACK_SIGNING_SECRET".to_owned(), SECRET.to_owned()));
    all.push(("DEDUP_STORE".to_owned(), format!("dynamodb:{table}")));
    all.push(("EVENT_SINK".to_owned(), queue.to_owned()));
    with(&all).await
}

async fn with(variables: &[(String, String)]) -> Examined {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Examined::of(&[], &variables).await
}

/// A queue and its dead-letter queue, right in everything but for these.
async fn queue(fifo: bool, changed: &[(Name, &str)], retention_of_dead_letters: &str) -> Queue {
    let suffix = if fifo { ".fifo" } else { "" };
    let is_fifo: &[(Name, &str)] = if fifo { &[(Name::FifoQueue, "true")] } else { &[] };
    let attributes = [is_fifo, &[(Name::MessageRetentionPeriod, retention_of_dead_letters)]].concat();
    let dead_letters = Queue::create(&format!("{}{suffix}", name("dead")), &attributes).await;
    let policy = format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":"3"}}"#, dead_letters.arn().await);
    let right = [(Name::VisibilityTimeout, "1800"), (Name::RedrivePolicy, policy.as_str())];
    let kept = right.into_iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
    let attributes: Vec<_> = is_fifo
        .iter()
        .cloned()
        .chain(kept)
        .chain(changed.iter().filter(|(_, value)| !value.is_empty()).cloned())
        .collect();
    Queue::create(&format!("{}{suffix}", name("events")), &attributes).await
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_table_and_a_queue_as_the_stack_makes_them_are_ok() {
    for fifo in [true, false] {
        let (table, queue) = (Table::default().create().await, queue(fifo, &[], FOURTEEN_DAYS).await);
        let examined = examined(&table, &queue.url).await;
        assert_eq!((examined.with("fail"), examined.with("warn")), (vec![], vec![]), "{}", examined.text);
        for check in [
            "table",
            "table, key",
            "table, TTL",
            "table, index",
            "queue",
            "queue, dead letters",
            "queue, visibility",
        ] {
            assert!(examined.with("ok").contains(&check), "{check}: {}", examined.text);
        }
        assert!(examined.found("queue").starts_with(if fifo { "FIFO" } else { "standard" }));
        assert!(examined.with("ok").contains(&"clock, AWS's"), "{}", examined.text);
    }
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn each_fault_of_a_table_is_its_own() {
    let queue = queue(true, &[], FOURTEEN_DAYS).await.url;
    let right = Table::default;
    let cases = [
        (Table { ttl: None, ..right() }, "table, TTL", "off"),
        (Table { ttl: Some("received_at"), ..right() }, "table, TTL", "on received_at"),
        (
            Table { key: ("id", ScalarAttributeType::S), ..right() },
            "table, key",
            "id (S) instead of event_id (S)",
        ),
        (Table { key: ("event_id", ScalarAttributeType::N), ..right() }, "table, key", "event_id (N)"),
        (Table { sort_key: Some("team_id"), ..right() }, "table, key", "event_id (S), team_id (S)"),
        (Table { index: None, ..right() }, "table, index", "no index parked"),
        (Table { index: Some("by-time"), ..right() }, "table, index", "no index parked"),
    ];
    for (table, check, why) in cases {
        let described = format!("{table:?}");
        let examined = examined(&table.create().await, &queue).await;
        assert_eq!(examined.with("fail"), [check], "{described}: {}", examined.text);
        examined.fails(&[check], why);
    }
    examined("no-such-table", &queue).await.fails(&["table"], "does not exist");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn each_fault_of_a_queue_is_its_own() {
    let table = Table::default().create().await;
    let without = queue(true, &[(Name::RedrivePolicy, "")], FOURTEEN_DAYS).await.url;
    examined(&table, &without).await.fails(&["queue, dead letters"], "none");

    let gone = Queue::create(&format!("{}.fifo", name("gone")), &[(Name::FifoQueue, "true")]).await;
    let policy = format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":3}}"#, gone.arn().await);
    let dangling = queue(true, &[(Name::RedrivePolicy, &policy)], FOURTEEN_DAYS).await.url;
    gone.delete().await;
    examined(&table, &dangling).await.fails(&["queue, dead letters"], ".fifo is named and does not exist");

    for (queue, check, why) in [
        (queue(true, &[], "86400").await, "queue, dead letters", "1.0 days, the queue itself for 4.0 days"),
        (queue(false, &[(Name::VisibilityTimeout, "30")], FOURTEEN_DAYS).await, "queue, visibility", "30 s"),
    ] {
        let examined = examined(&table, &queue.url).await;
        assert_eq!(
            (examined.with("fail"), examined.with("warn")),
            (vec![], vec![check]),
            "{}",
            examined.text
        );
        assert!(examined.found(check).contains(why), "{}", examined.text);
    }
    let nowhere = without.replace("events-", "nowhere-");
    examined(&table, &nowhere).await.fails(&["queue"], "does not exist");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_secret_is_read_and_signs_the_challenge_and_one_that_cannot_be_is_told() {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .endpoint_url(url("MINISTACK_URL"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let client = aws_sdk_secretsmanager::Client::from_conf(config.build());
    let endpoint = servers::ingress(SECRET).await;
    let examined = async |secret: &str| {
        let mut all = variables();
        all.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), url("MINISTACK_URL")));
        all.push(("SLACK_SIGNING_SECRET_ARN".to_owned(), secret.to_owned()));
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Examined::of(&["--url", &endpoint], &all).await
    };
    let (text, binary) = (name("slack"), name("slack"));
    client.create_secret().name(&text).secret_string(SECRET).send().await.unwrap();
    client.create_secret().name(&binary).secret_binary(Blob::new(SECRET)).send().await.unwrap();

    let right = examined(&text).await;
    assert!(
        right.with("ok").contains(&"secret") && right.with("ok").contains(&"signature, right"),
        "{}",
        right.text
    );
    assert!(right.with("fail").is_empty() && !right.text.contains(SECRET), "{}", right.text);
    examined(&binary).await.fails(&["secret"], "binary");
    examined("no-such-secret").await.fails(&["secret"], "does not exist");
}
