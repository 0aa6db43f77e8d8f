//! From the configuration to an ingress, a redrive or a dispatch: which clients there are, and which store and sink they
//! serve.

use aws_config::BehaviorVersion;
#[cfg(feature = "dispatch")]
use aws_config::Region;
use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::error::Error;
use std::time::Duration;

#[cfg(feature = "redis")]
use crate::config::RedisUrl;
use crate::config::{Config, RedriveConfig, SecretConfig, SinkConfig, StoreConfig};
#[cfg(feature = "dispatch")]
use crate::config::{DispatchConfig, RuntimeArn};
use crate::dedup::dynamodb::DynamoDbStore;
use crate::dedup::memory::MemoryStore;
#[cfg(feature = "redis")]
use crate::dedup::redis::RedisStore;
use crate::dedup::{Claim, Lease, Pending, Recorded, Settled, Store, StoreError, Taken};
#[cfg(feature = "dispatch")]
use crate::dispatch::{CALL_BUDGET, Dispatch, agent::AgentCore, visibility::SqsVisibility};
use crate::ingress::Ingress;
use crate::redrive::{EVENT_BUDGET, Redrive};
use crate::sink::message::Message;
#[cfg(feature = "sns")]
use crate::sink::sns::SnsSink;
use crate::sink::sqs::SqsSink;
use crate::sink::stdout::StdoutSink;
use crate::sink::{SendError, Sink};
use crate::slack::secrets::{SecretError, SecretsManager, SigningSecrets};
use crate::slack::signature::SigningSecret;
use crate::telemetry::report::with_causes;
use crate::time::budget::CallTimeouts;
use crate::time::clock::{SystemClock, UnixMillis};

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
pub async fn ingress(config: Config) -> Result<DeployedIngress, Box<dyn Error>> {
    let is_managed = matches!(config.secret, SecretConfig::Managed(_));
    let timeouts = CallTimeouts::within(config.settings.ack_budget);
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
    let (store, sink) = (store(config.store, &aws, timeouts)?, sink(config.sink, &aws));
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

/// Has `part` connect, if it can. If it cannot, that is logged and no more: the first request connects.
async fn warm_up(part: &'static str, connecting: impl Future<Output = Result<(), impl Error + 'static>>) {
    match tokio::time::timeout(WARM_UP_TIMEOUT, connecting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(part, error = with_causes(&error), "not warmed up"),
        Err(_) => tracing::warn!(part, "not warmed up within {WARM_UP_TIMEOUT:?}"),
    }
}

/// The redrive that `config` describes.
///
/// # Errors
/// When there is no region.
pub async fn redrive(config: RedriveConfig) -> Result<DeployedRedrive, Box<dyn Error>> {
    let timeouts = CallTimeouts::within(EVENT_BUDGET);
    let aws = aws(uses_aws(&config.store, &config.sink), timeouts).await?;
    let (store, sink) = (store(config.store, &aws, timeouts)?, sink(config.sink, &aws));
    Ok(Redrive::new(store, sink, SystemClock, config.dedup_ttl))
}

/// The dispatch that `config` describes.
///
/// # Errors
/// When there is no region.
#[cfg(feature = "dispatch")]
pub async fn dispatch(config: DispatchConfig) -> Result<DeployedDispatch, Box<dyn Error>> {
    let timeouts = CallTimeouts::within(CALL_BUDGET);
    let aws = aws(true, timeouts).await?;
    let agent =
        AgentCore::new(agent_client(&aws, &config.runtime), config.runtime.to_string(), config.qualifier);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let dead_letters = SqsSink::new(&sqs, config.dead_letter_url);
    let store = store(config.store, &aws, timeouts)?;
    tokio::join!(warm_up("store", store.warm_up()), warm_up("dead-letter queue", dead_letters.warm_up()));
    let visibility = SqsVisibility::new(sqs, config.queue_url);
    Ok(Dispatch::new(store, agent, visibility, dead_letters, SystemClock, config.settings))
}

/// In the agent's own region. Its calls are long, and whether one took effect is unknown when it fails: the dispatch bounds
/// their time, and SQS repeats them.
#[cfg(feature = "dispatch")]
fn agent_client(aws: &SdkConfig, runtime: &RuntimeArn) -> aws_sdk_bedrockagentcore::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CALL_BUDGET)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .build();
    let config = aws_sdk_bedrockagentcore::config::Builder::from(aws)
        .region(Region::new(runtime.region().to_owned()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    aws_sdk_bedrockagentcore::Client::from_conf(config.build())
}

fn store(config: StoreConfig, aws: &SdkConfig, timeouts: CallTimeouts) -> Result<AnyStore, StoreError> {
    #[cfg(not(feature = "redis"))]
    let _ = timeouts; // those of the SDK are in its configuration
    Ok(match config {
        StoreConfig::DynamoDb { table } => {
            AnyStore::DynamoDb(DynamoDbStore::new(&aws_sdk_dynamodb::Client::new(aws), table))
        }
        StoreConfig::Memory => AnyStore::Memory(MemoryStore::new()),
        #[cfg(feature = "redis")]
        StoreConfig::Redis(RedisUrl(url)) => AnyStore::Redis(Box::new(RedisStore::new(&url, timeouts)?)),
    })
}

fn sink(config: SinkConfig, aws: &SdkConfig) -> AnySink {
    match config {
        SinkConfig::Sqs { queue_url } => {
            AnySink::Sqs(SqsSink::new(&aws_sdk_sqs::Client::new(aws), queue_url))
        }
        SinkConfig::Stdout => AnySink::Stdout(StdoutSink::new()),
        #[cfg(feature = "sns")]
        SinkConfig::Sns { topic_arn } => {
            AnySink::Sns(SnsSink::new(&aws_sdk_sns::Client::new(aws), topic_arn))
        }
    }
}

fn uses_aws(store: &StoreConfig, sink: &SinkConfig) -> bool {
    matches!(store, StoreConfig::DynamoDb { .. }) || !matches!(sink, SinkConfig::Stdout)
}

async fn aws(is_used: bool, timeouts: CallTimeouts) -> Result<SdkConfig, Box<dyn Error>> {
    if !is_used {
        return Ok(SdkConfig::builder().build());
    }
    let aws = sdk_config(timeouts).await;
    aws.region().ok_or("AWS_REGION is missing, and no profile names a region")?;
    Ok(aws)
}

/// What all clients share: one HTTP client, and time-outs that fit the budget. (The SDK's own are 3.1 s to
/// connect and none for the rest, and Slack's patience ends after 3 s.)
async fn sdk_config(timeouts: CallTimeouts) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            aws_smithy_http_client::Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .pool_idle_timeout(POOL_IDLE_TIMEOUT)
                .build_https(),
        )
        .region(
            // Never the instance metadata service: there is none on Lambda, and finding that out takes seconds.
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new()),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(timeouts.connect)
                .operation_attempt_timeout(timeouts.attempt)
                .operation_timeout(timeouts.operation)
                .build(),
        )
        .retry_config(
            RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_initial_backoff(INITIAL_BACKOFF),
        )
        // Guards long downloads; our answers are a few hundred bytes and under a time-out already.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// A frozen execution environment wakes up with connections that the service has long closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Slack's three seconds begin before init does, and the steps may take 2.5 of them.
const WARM_UP_TIMEOUT: Duration = Duration::from_millis(250);
const MAX_ATTEMPTS: u32 = 3;
/// The SDK's default is a second, of Slack's three.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);

/// The stores that this build has.
#[derive(Debug)]
pub enum AnyStore {
    /// `dynamodb:`
    DynamoDb(DynamoDbStore),
    /// `memory:`
    Memory(MemoryStore),
    /// `redis:` or `rediss:`
    #[cfg(feature = "redis")]
    Redis(Box<RedisStore>),
}

impl Store for AnyStore {
    async fn warm_up(&self) -> Result<(), StoreError> {
        match self {
            Self::DynamoDb(store) => store.warm_up().await,
            Self::Memory(store) => store.warm_up().await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.warm_up().await,
        }
    }

    async fn record(&self, claim: &Claim) -> Result<Recorded, StoreError> {
        match self {
            Self::DynamoDb(store) => store.record(claim).await,
            Self::Memory(store) => store.record(claim).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.record(claim).await,
        }
    }

    async fn confirm(&self, lease: Lease) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.confirm(lease).await,
            Self::Memory(store) => store.confirm(lease).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.confirm(lease).await,
        }
    }

    async fn delete(&self, lease: Lease) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.delete(lease).await,
            Self::Memory(store) => store.delete(lease).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.delete(lease).await,
        }
    }

    async fn park(&self, lease: Lease, message: &str) -> Result<Settled, StoreError> {
        match self {
            Self::DynamoDb(store) => store.park(lease, message).await,
            // No redrive sees into it, so the 200 that follows a park could not be kept.
            Self::Memory(_) => {
                Err(StoreError::new("park", "what is kept in memory is gone with its process"))
            }
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.park(lease, message).await,
        }
    }

    async fn pending(&self, limit: usize) -> Result<Vec<Pending>, StoreError> {
        match self {
            Self::DynamoDb(store) => store.pending(limit).await,
            Self::Memory(store) => store.pending(limit).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.pending(limit).await,
        }
    }

    async fn take(&self, claim: &Claim) -> Result<Taken, StoreError> {
        match self {
            Self::DynamoDb(store) => store.take(claim).await,
            Self::Memory(store) => store.take(claim).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.take(claim).await,
        }
    }

    async fn seen(&self, event_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        match self {
            Self::DynamoDb(store) => store.seen(event_id, now).await,
            Self::Memory(store) => store.seen(event_id, now).await,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store.seen(event_id, now).await,
        }
    }
}

/// The sinks that this build has.
#[derive(Debug)]
pub enum AnySink {
    /// A queue URL.
    Sqs(SqsSink),
    /// `stdout:`
    Stdout(StdoutSink),
    /// A topic's ARN.
    #[cfg(feature = "sns")]
    Sns(SnsSink),
}

impl Sink for AnySink {
    async fn warm_up(&self) -> Result<(), SendError> {
        match self {
            Self::Sqs(sink) => sink.warm_up().await,
            Self::Stdout(sink) => sink.warm_up().await,
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.warm_up().await,
        }
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        match self {
            Self::Sqs(sink) => sink.send(message).await,
            Self::Stdout(sink) => sink.send(message).await,
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.send(message).await,
        }
    }

    fn max_bytes(&self) -> usize {
        match self {
            Self::Sqs(sink) => sink.max_bytes(),
            Self::Stdout(sink) => sink.max_bytes(),
            #[cfg(feature = "sns")]
            Self::Sns(sink) => sink.max_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_parked_where_no_redrive_could_find_it() {
        let store = AnyStore::Memory(MemoryStore::new());
        let now = UnixMillis::from_millis(1_531_420_618_000);
        let claim = Claim {
            event_id: "Ev1".to_owned(),
            owner: "first".to_owned(),
            received_at: now,
            lease_until: now.after(Duration::from_secs(5)),
            expires_at: now.after(Duration::from_secs(3600)).as_secs(),
        };
        let Ok(Recorded::New { lease, .. }) = store.record(&claim).await else { panic!("not recorded") };
        assert!(store.park(lease, "{}").await.is_err());
        assert!(store.pending(1).await.unwrap().is_empty());
        let later =
            Claim { owner: "second".to_owned(), received_at: now.after(Duration::from_secs(6)), ..claim };
        assert!(matches!(store.record(&later).await, Ok(Recorded::New { took_over: true, .. })));
    }
}
