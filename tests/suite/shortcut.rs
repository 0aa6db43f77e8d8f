//! The shortcut through the SDK: that it is taken, that AWS would let it pass, and that the SDK is there when it ends.

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use slack_ingress::dedup::dynamodb::DynamoDbStore;
use slack_ingress::dedup::{Claim, Lease, Recorded, Settled, Store};
use slack_ingress::sink::Sink;
use slack_ingress::sink::contract::message;
#[cfg(feature = "sns")]
use slack_ingress::sink::sns::SnsSink;
use slack_ingress::sink::sqs::SqsSink;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
#[cfg(feature = "sns")]
use test_support::aws::Topic;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{Queue, Table, sdk_config};
use test_support::servers::server;

use crate::stores::claim;

/// A store behind a proxy, configured by `configure`.
async fn store(configure: impl FnOnce(SdkConfig) -> SdkConfig) -> (DynamoDbStore, Proxy) {
    let (table, proxy) = (Table::create().await, Proxy::start(&server("DYNAMODB_URL")).await);
    let client = aws_sdk_dynamodb::Client::new(&configure(sdk_config(&proxy.url())));
    (DynamoDbStore::new(&client, table.name), proxy)
}

async fn warm_store() -> (DynamoDbStore, Proxy) {
    let (store, proxy) = store(|config| config).await;
    store.warm_up().await.expect("DynamoDB Local answers");
    (store, proxy)
}

/// How often the operation was called, and how often of these by the SDK.
fn calls(proxy: &Proxy, operation: &str) -> (usize, usize) {
    (proxy.calls(operation), proxy.calls_by_sdk(operation))
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_store_that_is_warm_needs_no_plan_of_the_sdks_whatever_it_finds() {
    let (store, proxy) = warm_store().await;
    let (first, second) = (claim("Ev1"), Claim { owner: "b".to_owned(), ..claim("Ev1") });
    assert!(matches!(store.record(&first).await.unwrap(), Recorded::New { took_over: false, .. }));
    assert!(matches!(store.record(&second).await.unwrap(), Recorded::InFlight));
    assert_eq!(store.confirm(Lease::granted(&second)).await.unwrap(), Settled::Lost);
    assert_eq!(store.confirm(Lease::granted(&first)).await.unwrap(), Settled::Done);
    assert!(matches!(store.record(&second).await.unwrap(), Recorded::Forwarded));
    assert_eq!(calls(&proxy, "PutItem"), (3, 0));
    assert_eq!(calls(&proxy, "UpdateItem"), (2, 0));
    assert_eq!(proxy.connections(), 1, "it has the SDK's connections");
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_sink_that_is_warm_needs_no_plan_of_the_sdks() {
    let (queue, proxy) = (Queue::fifo().await, Proxy::start(&server("MINISTACK_URL")).await);
    let sink = SqsSink::new(&aws_sdk_sqs::Client::new(&sdk_config(&proxy.url())), &queue.url);
    sink.warm_up().await.unwrap();
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(calls(&proxy, "SendMessage"), (1, 0));
    assert_eq!(queue.take_event_ids().await, ["Ev1"]);
}

#[cfg(feature = "sns")]
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_topic_has_the_shortcut_too() {
    let (topic, proxy) = (Topic::fifo().await, Proxy::start(&server("MINISTACK_URL")).await);
    let sink = SnsSink::new(&aws_sdk_sns::Client::new(&sdk_config(&proxy.url())), &topic.arn);
    sink.warm_up().await.unwrap();
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(calls(&proxy, "Publish"), (1, 0));
    assert_eq!(topic.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn without_a_warm_up_the_first_call_is_the_sdks_and_shows_the_way() {
    let (store, proxy) = store(|config| config).await;
    for n in 1..=3 {
        store.record(&claim(&format!("Ev{n}"))).await.unwrap();
    }
    assert_eq!(calls(&proxy, "PutItem"), (3, 1));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn what_goes_wrong_on_the_way_the_sdk_makes_good() {
    let (store, proxy) = warm_store().await;
    let faults = [
        Fault::Refuse(400, "ThrottlingException"),
        Fault::Refuse(500, "InternalServerError"),
        Fault::Refuse(400, "ExpiredTokenException"),
        Fault::Break,
        Fault::LoseAnswer,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let (claim, what) = (claim(&format!("Ev{n}")), format!("{fault:?}"));
        proxy.once("PutItem", fault.clone());
        assert!(matches!(store.record(&claim).await, Ok(Recorded::New { took_over: false, .. })), "{what}");
        proxy.once("UpdateItem", fault);
        assert_eq!(store.confirm(Lease::granted(&claim)).await.unwrap(), Settled::Done, "{what}");
        assert_eq!(calls(&proxy, "PutItem"), (2 * (n + 1), n + 1), "{what}");
        assert_eq!(calls(&proxy, "UpdateItem"), (2 * (n + 1), n + 1), "{what}");
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_call_that_hangs_has_the_time_of_one_attempt() {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(300)).build();
    let (store, proxy) = store(|config| config.into_builder().timeout_config(timeouts).build()).await;
    store.warm_up().await.unwrap();
    proxy.once("PutItem", Fault::Hang);
    store.record(&claim("Ev1")).await.unwrap();
    assert_eq!(calls(&proxy, "PutItem"), (2, 1));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn what_is_refused_for_good_is_refused_in_the_sdks_words() {
    let (store, proxy) = warm_store().await;
    proxy.always("PutItem", Fault::Refuse(400, "AccessDeniedException"));
    let error = store.record(&claim("Ev1")).await.unwrap_err();
    assert!(
        slack_ingress::telemetry::report::with_causes(&error).contains("AccessDeniedException"),
        "{error:?}"
    );
    assert_eq!(calls(&proxy, "PutItem"), (2, 1));
}

/// The proxy's own check of signatures can fail.
#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn what_is_signed_with_another_secret_does_not_pass() {
    let credentials = SharedCredentialsProvider::new(Credentials::new("test", "other", None, None, "tests"));
    let (store, _proxy) =
        store(|config| config.into_builder().credentials_provider(credentials).build()).await;
    let error = store.warm_up().await.unwrap_err();
    assert!(slack_ingress::telemetry::report::with_causes(&error).contains("InvalidSignature"), "{error:?}");
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn credentials_that_end_are_renewed() -> Result<(), Box<dyn Error>> {
    let given = AtomicUsize::new(0);
    let credentials = SharedCredentialsProvider::new(provide_credentials_fn(move || {
        let token = format!("token-{}", given.fetch_add(1, Ordering::Relaxed));
        // They are over at once.
        let end = Some(SystemTime::UNIX_EPOCH);
        let credentials = Credentials::new("test", "test", Some(token), end, "tests");
        async { Ok(credentials) }
    }));
    let (store, proxy) =
        store(|config| config.into_builder().credentials_provider(credentials).build()).await;
    store.warm_up().await?;
    for n in 1..=3 {
        store.record(&claim(&format!("Ev{n}"))).await?;
    }
    assert_eq!(calls(&proxy, "PutItem"), (3, 0));
    assert_eq!(proxy.session_tokens(), ["token-0", "token-1", "token-2", "token-3"]);
    Ok(())
}
