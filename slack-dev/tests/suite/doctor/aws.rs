//! Tests the doctor with tables, queues and secrets, each of which has one fault.

use super::*;
use aws_sdk_dynamodb::types::ScalarAttributeType;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{FOURTEEN_DAYS, Queue, Schema, Table, VARIABLES, endpoints, sdk_config};
use test_support::servers::{fresh_name, server};

/// The variables that make the doctor call the emulators, and these variables.
fn variables(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let more = VARIABLES.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    endpoints().chain(more).collect()
}

/// Runs the doctor with this table and this queue.
async fn examined(table: &str, queue: &str) -> Examined {
    let store = format!("dynamodb:{table}");
    let more = [("SLACK_SIGNING_SECRET", SECRET), ("DEDUP_STORE", store.as_str()), ("EVENT_SINK", queue)];
    let variables = variables(&more);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Examined::of(&[], &variables).await
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_table_and_a_queue_as_the_stack_makes_them_are_ok() {
    for fifo in [true, false] {
        let (table, queue) = (Table::create().await, Queue::create(fifo, &[]).await);
        let examined = examined(&table.name, &queue.url).await;
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
async fn each_fault_of_a_table_fails_its_own_check_only() {
    let queue = Queue::fifo().await.url;
    let right = Schema::default;
    let cases = [
        (Schema { ttl: None, ..right() }, "table, TTL", "off"),
        (Schema { ttl: Some("received_at"), ..right() }, "table, TTL", "on received_at"),
        (
            Schema { key: ("id", ScalarAttributeType::S), ..right() },
            "table, key",
            "id (S) instead of event_id (S)",
        ),
        (Schema { key: ("event_id", ScalarAttributeType::N), ..right() }, "table, key", "event_id (N)"),
        (Schema { sort_key: Some("team_id"), ..right() }, "table, key", "event_id (S), team_id (S)"),
        (Schema { index: None, ..right() }, "table, index", "no index parked"),
        (Schema { index: Some("by-time"), ..right() }, "table, index", "no index parked"),
    ];
    for (schema, check, why) in cases {
        let described = format!("{schema:?}");
        let examined = examined(&schema.create().await.name, &queue).await;
        assert_eq!(examined.with("fail"), [check], "{described}: {}", examined.text);
        examined.fails(&[check], why);
    }
    examined("no-such-table", &queue).await.fails(&["table"], "does not exist");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn each_fault_of_a_queue_fails_its_own_check_only() {
    let table = Table::create().await.name;
    let without = Queue::create(true, &[(Name::RedrivePolicy, "")]).await.url;
    examined(&table, &without).await.fails(&["queue, dead letters"], "none");

    let gone = Queue::dead_letters(true, FOURTEEN_DAYS).await;
    // Here maxReceiveCount is a number, as CloudFormation writes it. The other queues have a string, as in SQS's documentation.
    let policy = gone.redrive_policy().await.replace(r#""3""#, "3");
    let dangling = Queue::create(true, &[(Name::RedrivePolicy, &policy)]).await.url;
    gone.delete().await;
    examined(&table, &dangling)
        .await
        .fails(&["queue, dead letters"], ".fifo is named in the RedrivePolicy but does not exist");

    let short = Queue::dead_letters(true, "86400").await.redrive_policy().await;
    for (queue, check, why) in [
        (
            Queue::create(true, &[(Name::RedrivePolicy, &short)]).await,
            "queue, dead letters",
            "1.0 days, the queue itself for 4.0 days",
        ),
        (Queue::create(false, &[(Name::VisibilityTimeout, "30")]).await, "queue, visibility", "30 s"),
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
async fn a_secret_that_can_be_read_signs_the_challenge_and_one_that_cannot_be_read_is_reported() {
    let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
    let ingress = Ingress::local().await;
    let examined = async |secret: &str| {
        let services = server("MINISTACK_URL");
        let more =
            [("AWS_ENDPOINT_URL_SECRETS_MANAGER", services.as_str()), ("SLACK_SIGNING_SECRET_ARN", secret)];
        let all = variables(&more);
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Examined::of(&["--url", &ingress.url], &all).await
    };
    let (text, binary) = (fresh_name("slack"), fresh_name("slack"));
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

    // As the stack creates it: the description is the stack's, the value is random.
    let created = fresh_name("slack");
    let description = "slack-ingress: the Slack app's signing secret, as text";
    client
        .create_secret()
        .name(&created)
        .description(description)
        .secret_string(SECRET)
        .send()
        .await
        .unwrap();
    examined(&created).await.fails(&["secret"], "random value");
    client.put_secret_value().secret_id(&created).secret_string(SECRET).send().await.unwrap();
    assert!(examined(&created).await.with("ok").contains(&"secret"));
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_bot_token_that_nobody_has_put_yet_fails_and_of_one_that_was_put_the_kind_is_told() {
    // A proxy counts the calls, so that the test sees whether the value was asked for.
    let services = Proxy::start(&server("MINISTACK_URL")).await;
    let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
    let examined = async |secret: &str| {
        let url = services.url();
        let more = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str()), ("BOT_TOKEN_SECRET_ARN", secret)];
        let all = variables(&more);
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Examined::of(&[], &all).await
    };
    // As the stack creates it: the description is the stack's, the value is random.
    let (created, own) = (fresh_name("bot"), fresh_name("bot"));
    let description = "slack-ingress: the Slack app's bot token, as {\"token\": \"xoxb-…\"}";
    let random = r#"{"token":"Yk3vR8"}"#;
    client
        .create_secret()
        .name(&created)
        .description(description)
        .secret_string(random)
        .send()
        .await
        .unwrap();
    let rotating = r#"{"token":"xoxe.xoxb-1","refresh_token":"xoxe-1","expires_at":1}"#;
    client.create_secret().name(&own).secret_string(rotating).send().await.unwrap();

    examined(&created).await.fails(&["bot token"], "random value");
    let text = examined(&created).await.text;
    assert!(text.contains("PutTheBotToken") && !text.contains("Yk3vR8"), "{text}");
    client
        .put_secret_value()
        .secret_id(&created)
        .secret_string(r#"{"token":"xoxb-1"}"#)
        .send()
        .await
        .unwrap();
    // What nobody has put is not read.
    assert_eq!(services.calls("GetSecretValue"), 0);
    let plain = examined(&created).await;
    assert!(plain.with("ok").contains(&"bot token"), "{}", plain.text);
    assert!(plain.found("bot token").contains("does not expire"), "{}", plain.text);
    let expired = examined(&own).await;
    expired.fails(&["bot token"], "has expired");
    for examined in [&plain, &expired] {
        assert!(!examined.text.contains("xoxb-1") && !examined.text.contains("xoxe-1"), "{}", examined.text);
    }
    examined("no-such-secret").await.fails(&["bot token"], "ResourceNotFound");

    services.always("GetSecretValue", Fault::Refuse(400, "AccessDeniedException"));
    let denied = examined(&created).await;
    assert!(denied.with("warn").contains(&"bot token"), "{}", denied.text);
    assert!(denied.found("bot token").contains("of which kind is not known"), "{}", denied.text);
}
