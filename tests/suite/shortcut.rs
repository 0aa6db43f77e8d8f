//! Tests the shortcut through the SDK: that it makes the calls, that AWS would accept its requests, and that the SDK makes the call
//! if the shortcut fails.

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use slack_ingress::dedup::dynamodb::DynamoDbStore;
use slack_ingress::dedup::{Claim, Lease, Recorded, Settled, Store};
use slack_ingress::sink::Sink;
use slack_ingress::sink::contract::message;
#[cfg(feature = "sns")]
use slack_ingress::sink::sns::SnsSink;
use slack_ingress::sink::sqs::SqsSink;
use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
#[cfg(feature = "sns")]
use test_support::aws::Topic;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{Queue, Table, sdk_config};
use test_support::servers::server;

use crate::stores::claim;

/// Counts the attempts of the SDK's orchestrator, by operation. The shortcut makes its calls without that.
#[derive(Clone, Debug, Default)]
struct BySdk(Arc<Mutex<HashMap<String, usize>>>);

impl Intercept for BySdk {
    fn name(&self) -> &'static str {
        "BySdk"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().ok_or("an operation has a name")?.name().to_owned();
        *self.0.lock().expect("not poisoned").entry(operation).or_default() += 1;
        Ok(())
    }
}

/// A service behind a proxy, and the number of calls that the SDK made to it.
struct Service {
    proxy: Proxy,
    by_sdk: BySdk,
}

impl Service {
    async fn behind_proxy(server_url: &str) -> Self {
        Self { proxy: Proxy::start(&server(server_url)).await, by_sdk: BySdk::default() }
    }

    /// How often the operation was called in all, and how often by the SDK.
    fn calls(&self, operation: &str) -> (usize, usize) {
        let by_sdk = self.by_sdk.0.lock().expect("not poisoned").get(operation).copied();
        (self.proxy.calls(operation), by_sdk.unwrap_or_default())
    }
}

/// A store behind a proxy, configured by `configure`.
async fn store(configure: impl FnOnce(SdkConfig) -> SdkConfig) -> (DynamoDbStore, Service) {
    let (table, service) = (Table::create().await, Service::behind_proxy("DYNAMODB_URL").await);
    let config = aws_sdk_dynamodb::config::Builder::from(&configure(sdk_config(&service.proxy.url())));
    let client = aws_sdk_dynamodb::Client::from_conf(config.interceptor(service.by_sdk.clone()).build());
    (DynamoDbStore::new(&client, table.name), service)
}

/// A sink behind a proxy, for this queue.
async fn sink(queue: &Queue) -> (SqsSink, Service) {
    let service = Service::behind_proxy("MINISTACK_URL").await;
    let config = aws_sdk_sqs::config::Builder::from(&sdk_config(&service.proxy.url()));
    let client = aws_sdk_sqs::Client::from_conf(config.interceptor(service.by_sdk.clone()).build());
    (SqsSink::new(&client, &queue.url), service)
}

async fn warm_store() -> (DynamoDbStore, Service) {
    let (store, service) = store(|config| config).await;
    store.warm_up().await.expect("DynamoDB Local answers");
    (store, service)
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn after_its_warm_up_a_store_makes_every_call_through_the_shortcut() {
    let (store, service) = warm_store().await;
    let (first, second) = (claim("Ev1"), Claim { owner: "b".to_owned(), ..claim("Ev1") });
    assert!(matches!(store.record(&first).await.unwrap(), Recorded::New { took_over: false, .. }));
    assert!(matches!(store.record(&second).await.unwrap(), Recorded::InFlight));
    assert_eq!(store.confirm(Lease::granted(&second)).await.unwrap(), Settled::Lost);
    assert_eq!(store.confirm(Lease::granted(&first)).await.unwrap(), Settled::Done);
    assert!(matches!(store.record(&second).await.unwrap(), Recorded::Forwarded));
    assert_eq!(service.calls("PutItem"), (3, 0));
    assert_eq!(service.calls("UpdateItem"), (2, 0));
    assert_eq!(service.proxy.connections(), 1, "it has the SDK's connections");
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn after_its_warm_up_a_sink_sends_through_the_shortcut() {
    let queue = Queue::fifo().await;
    let (sink, service) = sink(&queue).await;
    sink.warm_up().await.unwrap();
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(service.calls("SendMessage"), (1, 0));
    assert_eq!(queue.take_event_ids().await, ["Ev1"]);
}

#[cfg(feature = "sns")]
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn after_its_warm_up_a_topic_publishes_through_the_shortcut() {
    let (topic, service) = (Topic::fifo().await, Service::behind_proxy("MINISTACK_URL").await);
    let config = aws_sdk_sns::config::Builder::from(&sdk_config(&service.proxy.url()));
    let client = aws_sdk_sns::Client::from_conf(config.interceptor(service.by_sdk.clone()).build());
    let sink = SnsSink::new(&client, &topic.arn);
    sink.warm_up().await.unwrap();
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(service.calls("Publish"), (1, 0));
    assert_eq!(topic.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn without_a_warm_up_the_sdk_makes_the_first_call_and_the_shortcut_the_next_ones() {
    let (store, service) = store(|config| config).await;
    for n in 1..=3 {
        store.record(&claim(&format!("Ev{n}"))).await.unwrap();
    }
    assert_eq!(service.calls("PutItem"), (3, 1));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_call_that_fails_through_the_shortcut_is_repeated_by_the_sdk() {
    let (store, service) = warm_store().await;
    let faults = [
        Fault::Refuse(400, "ThrottlingException"),
        Fault::Refuse(500, "InternalServerError"),
        Fault::Refuse(400, "ExpiredTokenException"),
        Fault::Break,
        Fault::LoseAnswer,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let (claim, what) = (claim(&format!("Ev{n}")), format!("{fault:?}"));
        service.proxy.once("PutItem", fault.clone());
        assert!(matches!(store.record(&claim).await, Ok(Recorded::New { took_over: false, .. })), "{what}");
        service.proxy.once("UpdateItem", fault);
        assert_eq!(store.confirm(Lease::granted(&claim)).await.unwrap(), Settled::Done, "{what}");
        assert_eq!(service.calls("PutItem"), (2 * (n + 1), n + 1), "{what}");
        assert_eq!(service.calls("UpdateItem"), (2 * (n + 1), n + 1), "{what}");
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn a_call_that_hangs_in_the_shortcut_gets_the_time_of_one_attempt() {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(300)).build();
    let (store, service) = store(|config| config.into_builder().timeout_config(timeouts).build()).await;
    store.warm_up().await.unwrap();
    service.proxy.once("PutItem", Fault::Hang);
    store.record(&claim("Ev1")).await.unwrap();
    assert_eq!(service.calls("PutItem"), (2, 1));
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn after_a_final_refusal_the_error_is_the_sdks() {
    let (store, service) = warm_store().await;
    service.proxy.always("PutItem", Fault::Refuse(400, "AccessDeniedException"));
    let error = store.record(&claim("Ev1")).await.unwrap_err();
    assert!(
        slack_ingress::telemetry::report::with_causes(&error).contains("AccessDeniedException"),
        "{error:?}"
    );
    assert_eq!(service.calls("PutItem"), (2, 1));
}

/// Shows that the proxy's check of signatures can fail.
#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn the_proxys_signature_check_refuses_another_secret() {
    let credentials = SharedCredentialsProvider::new(Credentials::new("test", "other", None, None, "tests"));
    let (store, _service) =
        store(|config| config.into_builder().credentials_provider(credentials).build()).await;
    let error = store.warm_up().await.unwrap_err();
    assert!(slack_ingress::telemetry::report::with_causes(&error).contains("InvalidSignature"), "{error:?}");
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn expired_credentials_are_renewed() -> Result<(), Box<dyn Error>> {
    let given = AtomicUsize::new(0);
    let credentials = SharedCredentialsProvider::new(provide_credentials_fn(move || {
        let token = format!("token-{}", given.fetch_add(1, Ordering::Relaxed));
        // These credentials expire at once.
        let end = Some(SystemTime::UNIX_EPOCH);
        let credentials = Credentials::new("test", "test", Some(token), end, "tests");
        async { Ok(credentials) }
    }));
    let (store, service) =
        store(|config| config.into_builder().credentials_provider(credentials).build()).await;
    store.warm_up().await?;
    for n in 1..=3 {
        store.record(&claim(&format!("Ev{n}"))).await?;
    }
    assert_eq!(service.calls("PutItem"), (3, 0));
    assert_eq!(service.proxy.session_tokens(), ["token-0", "token-1", "token-2", "token-3"]);
    Ok(())
}

#[tokio::test]
#[ignore = "needs DynamoDB Local: make test"]
async fn with_the_shortcut_switched_off_the_sdk_makes_every_call() {
    let (store, service) = store(|config| config).await;
    let store = store.with_shortcut(false);
    store.warm_up().await.unwrap();
    store.record(&claim("Ev1")).await.unwrap();
    store.confirm(Lease::granted(&claim("Ev1"))).await.unwrap();
    assert_eq!([service.calls("PutItem"), service.calls("UpdateItem")], [(1, 1), (1, 1)]);
}

/// After a 5xx it is unknown whether the message was sent. On a standard queue a second send would be a second message.
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_5xx_after_the_effect_is_not_repeated_on_a_standard_queue_and_is_on_a_fifo_one() {
    let unavailable = || Fault::RefuseAfter(503, "ServiceUnavailable");
    for (is_warm, with_shortcut) in [(true, true), (true, false), (false, true)] {
        let what = format!("warm: {is_warm}, shortcut: {with_shortcut}");
        let queue = Queue::standard().await;
        let (sink, service) = sink(&queue).await;
        let sink = sink.with_shortcut(with_shortcut);
        if is_warm {
            sink.warm_up().await.unwrap();
        }
        service.proxy.once("SendMessage", unavailable());
        assert!(sink.send(&message("Ev1", "1.0", "{}")).await.is_err(), "{what}");
        assert_eq!(service.calls("SendMessage").0, 1, "{what}");
        assert_eq!(queue.take_event_ids().await, ["Ev1"], "{what}");
    }
    let queue = Queue::fifo().await;
    let (sink, service) = sink(&queue).await;
    sink.warm_up().await.unwrap();
    service.proxy.once("SendMessage", unavailable());
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(service.calls("SendMessage").0, 2);
    assert_eq!(queue.take_event_ids().await, ["Ev1"]);
}

/// SQS has certainly not accepted a throttled message, so the send is repeated.
#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_throttled_send_is_repeated_on_a_standard_queue_too() {
    let queue = Queue::standard().await;
    let (sink, service) = sink(&queue).await;
    sink.warm_up().await.unwrap();
    service.proxy.once("SendMessage", Fault::Refuse(400, "RequestThrottled"));
    sink.send(&message("Ev1", "1.0", "{}")).await.unwrap();
    assert_eq!(queue.take_event_ids().await, ["Ev1"]);
}
