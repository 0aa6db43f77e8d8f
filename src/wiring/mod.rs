//! From a configuration to a function: which clients there are, and which store and sink they serve. The binaries call one
//! of these each, before they serve.

use aws_config::SdkConfig;
use std::error::Error;
use std::time::Duration;

use crate::aws::clients;
#[cfg(feature = "dispatch")]
use crate::config::DispatchConfig;
#[cfg(feature = "redis")]
use crate::config::RedisUrl;
use crate::config::{IngressConfig, RedriveConfig, SecretConfig, SinkConfig, StoreConfig};
use crate::dedup::any::AnyStore;
use crate::dedup::dynamodb::DynamoDbStore;
use crate::dedup::memory::MemoryStore;
#[cfg(feature = "redis")]
use crate::dedup::redis::RedisStore;
use crate::dedup::{Store, StoreError};
#[cfg(feature = "dispatch")]
use crate::dispatch::{CALL_BUDGET, Dispatch, agent::AgentCore, visibility::SqsVisibility};
use crate::ingress::Ingress;
use crate::redrive::{EVENT_BUDGET, Redrive};
use crate::sink::Sink;
use crate::sink::any::AnySink;
#[cfg(feature = "sns")]
use crate::sink::sns::SnsSink;
use crate::sink::sqs::SqsSink;
use crate::sink::stdout::StdoutSink;
use crate::slack::secrets::{SecretError, SecretsManager, SigningSecrets};
use crate::slack::signature::SigningSecret;
use crate::telemetry::report::with_causes;
use crate::time::budget::CallTimeouts;
use crate::time::clock::SystemClock;

/// A warm-up takes no longer than this: Slack's three seconds begin before init does, and the steps may take 2.5 of them.
const WARM_UP_TIMEOUT: Duration = Duration::from_millis(250);

/// The ingress as it is deployed.
pub type DeployedIngress = Ingress<AnyStore, AnySink, SystemClock>;

/// The dispatch as it is deployed.
#[cfg(feature = "dispatch")]
pub type DeployedDispatch = Dispatch<AnyStore, AgentCore, SqsVisibility, SqsSink, SystemClock>;

/// The redrive as it is deployed.
pub type DeployedRedrive = Redrive<AnyStore, AnySink, SystemClock>;

/// The ingress that `config` describes, with its secrets read.
///
/// A Secrets Manager that does not answer stops nothing: it is asked again with the first request, and
/// until it answers, Slack is told to come back.
///
/// # Errors
/// When there is no region; and when Secrets Manager answers, and what it has is no signing secret.
pub async fn ingress(config: IngressConfig) -> Result<DeployedIngress, Box<dyn Error>> {
    let is_managed = matches!(config.secret, SecretConfig::Managed(_));
    let timeouts = CallTimeouts::for_budget(config.settings.ack_budget);
    let aws = aws(is_managed || uses_aws(&config.store, &config.sink), timeouts).await?;
    let secrets = match config.secret {
        SecretConfig::Inline(secrets) => {
            SigningSecrets::fixed(secrets.iter().map(|secret| SigningSecret::new(secret)))
        }
        SecretConfig::Managed(id) => {
            let client = aws_sdk_secretsmanager::Client::new(&aws);
            SigningSecrets::managed(SecretsManager::new(client, id))
        }
    };
    let store = store(config.store, &aws, timeouts, config.sdk_shortcut)?;
    let sink = sink(config.sink, &aws, config.sdk_shortcut);
    // Side by side: init is over when the slowest is.
    let (loaded, (), ()) =
        tokio::join!(secrets.load(), warm_up("store", store.warm_up()), warm_up("sink", sink.warm_up()));
    match loaded {
        Ok(()) => {}
        Err(error @ SecretError::Unavailable(_)) => {
            tracing::error!(error = with_causes(&error), "no signing secret yet");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Ingress::new(secrets, store, sink, SystemClock, config.settings))
}

/// The redrive that `config` describes.
///
/// # Errors
/// When there is no region.
pub async fn redrive(config: RedriveConfig) -> Result<DeployedRedrive, Box<dyn Error>> {
    let timeouts = CallTimeouts::for_budget(EVENT_BUDGET);
    let aws = aws(uses_aws(&config.store, &config.sink), timeouts).await?;
    let store = store(config.store, &aws, timeouts, config.sdk_shortcut)?;
    let sink = sink(config.sink, &aws, config.sdk_shortcut);
    Ok(Redrive::new(store, sink, SystemClock, config.dedup_ttl))
}

/// The dispatch that `config` describes.
///
/// # Errors
/// When there is no region.
#[cfg(feature = "dispatch")]
pub async fn dispatch(config: DispatchConfig) -> Result<DeployedDispatch, Box<dyn Error>> {
    let timeouts = CallTimeouts::for_budget(CALL_BUDGET);
    let aws = clients::sdk_config(timeouts).await?;
    let client = clients::agent_core(&aws, config.runtime.region(), CALL_BUDGET);
    let agent = AgentCore::new(client, config.runtime.to_string(), config.qualifier);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let dead_letters = SqsSink::new(&sqs, config.dead_letter_url).with_shortcut(config.sdk_shortcut);
    let store = store(config.store, &aws, timeouts, config.sdk_shortcut)?;
    tokio::join!(warm_up("store", store.warm_up()), warm_up("dead-letter queue", dead_letters.warm_up()));
    let visibility = SqsVisibility::new(sqs, config.queue_url);
    Ok(Dispatch::new(store, agent, visibility, dead_letters, SystemClock, config.settings))
}

/// Has `part` connect, if it can. If it cannot, that is logged and no more: the first request connects.
async fn warm_up(part: &'static str, connecting: impl Future<Output = Result<(), impl Error + 'static>>) {
    match tokio::time::timeout(WARM_UP_TIMEOUT, connecting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(part, error = with_causes(&error), "not warmed up"),
        Err(_) => tracing::warn!(part, "not warmed up within {WARM_UP_TIMEOUT:?}"),
    }
}

fn store(
    config: StoreConfig,
    aws: &SdkConfig,
    timeouts: CallTimeouts,
    sdk_shortcut: bool,
) -> Result<AnyStore, StoreError> {
    #[cfg(not(feature = "redis"))]
    let _ = timeouts; // Those of the SDK are in its configuration.
    Ok(match config {
        StoreConfig::DynamoDb { table } => {
            let store = DynamoDbStore::new(&aws_sdk_dynamodb::Client::new(aws), table);
            AnyStore::DynamoDb(store.with_shortcut(sdk_shortcut))
        }
        StoreConfig::Memory => AnyStore::Memory(MemoryStore::without_redrive()),
        #[cfg(feature = "redis")]
        StoreConfig::Redis(RedisUrl(url)) => AnyStore::Redis(Box::new(RedisStore::new(&url, timeouts)?)),
    })
}

fn sink(config: SinkConfig, aws: &SdkConfig, sdk_shortcut: bool) -> AnySink {
    match config {
        SinkConfig::Sqs { queue_url } => {
            let sink = SqsSink::new(&aws_sdk_sqs::Client::new(aws), queue_url);
            AnySink::Sqs(sink.with_shortcut(sdk_shortcut))
        }
        SinkConfig::Stdout => AnySink::Stdout(StdoutSink::new()),
        #[cfg(feature = "sns")]
        SinkConfig::Sns { topic_arn } => {
            let sink = SnsSink::new(&aws_sdk_sns::Client::new(aws), topic_arn);
            AnySink::Sns(sink.with_shortcut(sdk_shortcut))
        }
    }
}

fn uses_aws(store: &StoreConfig, sink: &SinkConfig) -> bool {
    matches!(store, StoreConfig::DynamoDb { .. }) || !matches!(sink, SinkConfig::Stdout)
}

/// The SDK's configuration; an empty one where nothing of AWS's is used, so that local work needs no region.
async fn aws(is_used: bool, timeouts: CallTimeouts) -> Result<SdkConfig, &'static str> {
    if is_used { clients::sdk_config(timeouts).await } else { Ok(SdkConfig::builder().build()) }
}
