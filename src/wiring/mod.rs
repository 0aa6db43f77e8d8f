//! From a configuration to a function that is ready to serve: which clients there are, which store and sink use them, and what
//! is warmed up at init. Each binary calls one function of this page, before it serves.
//!
//! ```text
//! config ──▶ clients of AWS ──▶ store, sink, agent ──▶ Ingress, Redrive, Dispatch, Settle or Rotation
//! ```
//!
//! In reading order: [`ingress`], [`redrive`]; then what they call; then `agent`, the functions behind the queue, and `rotation`. This room may import every other one but
//! `lambda`, and only the binaries import it. It is the only room in which a store meets a sink by name.

#[cfg(feature = "dispatch")]
mod agent;
#[cfg(feature = "dispatch")]
mod rotation;

use aws_config::SdkConfig;
use std::error::Error;
use std::time::Duration;

use crate::aws::clients;
use crate::aws::signed_call::SignedCalls;
#[cfg(feature = "redis")]
use crate::config::RedisUrl;
use crate::config::{FastPathConfig, IngressConfig, RedriveConfig, SecretConfig, SinkConfig, StoreConfig};
use crate::dedup::any::AnyStore;
use crate::dedup::dynamodb::DynamoDbStore;
use crate::dedup::memory::MemoryStore;
#[cfg(feature = "redis")]
use crate::dedup::redis::RedisStore;
use crate::dedup::{Store, StoreError};
use crate::fast_path::FastPath;
use crate::fast_path::calls::{Calls, TIME_LIMITS};
use crate::ingress::Ingress;
use crate::redrive::{EVENT_BUDGET, Redrive};
use crate::sink::Sink;
use crate::sink::any::AnySink;
#[cfg(feature = "sns")]
use crate::sink::sns::SnsSink;
use crate::sink::sqs::SqsSink;
use crate::sink::stdout::StdoutSink;
use crate::slack::secrets::{SecretError, SecretsManager, SigningSecrets};
use crate::slack::token_secrets::BotTokens;
use crate::telemetry::report::with_causes;
use crate::time::budget::CallTimeouts;
use crate::time::clock::SystemClock;

#[cfg(feature = "dispatch")]
pub use agent::{DeployedDispatch, DeployedSettle, dispatch, settle};
#[cfg(feature = "dispatch")]
pub use rotation::rotation;

/// How long a warm-up may take. On a cold start Slack's three seconds begin before init does, and the steps may take 2.5 of
/// them.
const WARM_UP_TIMEOUT: Duration = Duration::from_millis(250);

/// The ingress with the store and the sink that its configuration names, and the clock of the machine.
pub type DeployedIngress = Ingress<AnyStore, AnySink, SystemClock>;

/// The redrive with the store and the sink that its configuration names, and the clock of the machine.
pub type DeployedRedrive = Redrive<AnyStore, AnySink, SystemClock>;

/// Makes the ingress that `config` describes, and reads the signing secrets.
///
/// If Secrets Manager does not answer, the ingress is made all the same. It reads the secrets with the first request, and until
/// it has them, requests are answered with 503, so that Slack asks again.
///
/// # Errors
/// When no region is set, or the URL of Redis is wrong, or Secrets Manager answers that there is no such secret, or what it has
/// is no signing secret.
pub async fn ingress(config: IngressConfig) -> Result<DeployedIngress, Box<dyn Error>> {
    let is_managed = matches!(config.secret, SecretConfig::Managed(_));
    let timeouts = CallTimeouts::for_budget(config.settings.ack_budget);
    // Of the fast path, a modal needs a secret, and a function a signature.
    let fast_path_uses_aws = config.fast_path.as_ref().is_some_and(uses_aws_for_fast_path);
    let is_used = is_managed || fast_path_uses_aws || uses_aws(&config.store, &config.sink);
    let aws = aws(is_used, timeouts).await?;
    let secrets = match config.secret {
        SecretConfig::Inline(text) => SigningSecrets::fixed(text.signing_secrets()),
        SecretConfig::Managed(id) => {
            let client = aws_sdk_secretsmanager::Client::new(&aws);
            SigningSecrets::managed(SecretsManager::new(client, id))
        }
    };
    let store = store(config.store, &aws, timeouts, config.sdk_shortcut)?;
    let sink = sink(config.sink, &aws, config.sdk_shortcut);
    let fast_path = config.fast_path.map(|it| fast_path(it, &aws)).transpose()?;
    // They run side by side, so that init takes as long as the slowest of them.
    let (loaded, (), (), ()) = tokio::join!(
        secrets.load(),
        warm_up("store", store.warm_up()),
        warm_up("sink", sink.warm_up()),
        warm_up_fast_path(fast_path.as_ref()),
    );
    match loaded {
        Ok(()) => {}
        Err(error @ SecretError::Unavailable(_)) => {
            tracing::error!(error = with_causes(&error), "no signing secret yet");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Ingress::new(secrets, store, sink, SystemClock, config.settings).with_fast_path(fast_path))
}

fn uses_aws_for_fast_path(config: &FastPathConfig) -> bool {
    config.rules.need_bot_token() || config.rules.ask_functions()
}

/// The fast path, with clients for what its rules call.
fn fast_path(config: FastPathConfig, aws: &SdkConfig) -> Result<FastPath, &'static str> {
    let calls = if uses_aws_for_fast_path(&config) {
        SignedCalls::new(aws, TIME_LIMITS)?
    } else {
        SignedCalls::unsigned(TIME_LIMITS)
    };
    let tokens = config.bot_tokens.map(|secrets| {
        let client = aws_sdk_secretsmanager::Client::new(aws);
        BotTokens::new(client, secrets)
    });
    Ok(FastPath::new(config.rules, Calls::new(calls, tokens, &config.slack_api, config.lambda)))
}

/// Reads the token that a modal is opened with. It may fail: the first modal reads it then.
async fn warm_up_fast_path(fast_path: Option<&FastPath>) {
    if let Some(fast_path) = fast_path {
        let _ = tokio::time::timeout(WARM_UP_TIMEOUT, Box::pin(fast_path.warm_up())).await;
    }
}

/// Makes the redrive that `config` describes.
///
/// # Errors
/// When no region is set, or the URL of Redis is wrong.
pub async fn redrive(config: RedriveConfig) -> Result<DeployedRedrive, Box<dyn Error>> {
    let timeouts = CallTimeouts::for_budget(EVENT_BUDGET);
    let aws = aws(uses_aws(&config.store, &config.sink), timeouts).await?;
    let store = store(config.store, &aws, timeouts, config.sdk_shortcut)?;
    let sink = sink(config.sink, &aws, config.sdk_shortcut);
    Ok(Redrive::new(store, sink, SystemClock, config.dedup_ttl))
}

/// Connects `part` before the first request. If that fails, it is logged, and the first request connects.
async fn warm_up(part: &'static str, connecting: impl Future<Output = Result<(), impl Error + 'static>>) {
    match tokio::time::timeout(WARM_UP_TIMEOUT, connecting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(part, error = with_causes(&error), "not warmed up"),
        Err(_) => tracing::warn!(part, "not warmed up within {WARM_UP_TIMEOUT:?}"),
    }
}

/// The store that the configuration names.
fn store(
    config: StoreConfig,
    aws: &SdkConfig,
    timeouts: CallTimeouts,
    sdk_shortcut: bool,
) -> Result<AnyStore, StoreError> {
    #[cfg(not(feature = "redis"))]
    let _ = timeouts; // Only Redis needs them here: the SDK has them in its configuration.
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

/// The sink that the configuration names.
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

/// Whether the store or the sink is a service of AWS's.
fn uses_aws(store: &StoreConfig, sink: &SinkConfig) -> bool {
    matches!(store, StoreConfig::DynamoDb { .. }) || !matches!(sink, SinkConfig::Stdout)
}

/// The configuration of the SDK. If no service of AWS's is used, it is empty, so that work without AWS needs no region.
async fn aws(is_used: bool, timeouts: CallTimeouts) -> Result<SdkConfig, &'static str> {
    if is_used { clients::sdk_config(timeouts).await } else { Ok(SdkConfig::builder().build()) }
}
