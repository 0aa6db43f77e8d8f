//! The clients of AWS's services: one HTTP client for all of them, and time-outs that fit Slack's patience.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

use crate::time::budget::CallTimeouts;

/// A frozen execution environment wakes up with connections that the service has long closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The SDK makes a call this often before it gives up, the first attempt included.
const MAX_ATTEMPTS: u32 = 3;

/// The pause before the SDK's second attempt. Its default is a second, of the three that Slack waits.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);

/// What the clients of all services share. The SDK's own time-outs are 3.1 s to connect and none for the rest, and Slack
/// waits 3 s.
///
/// # Errors
/// When neither the environment nor a profile names a region.
pub async fn sdk_config(timeouts: CallTimeouts) -> Result<SdkConfig, &'static str> {
    let config = aws_config::defaults(BehaviorVersion::latest())
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
        // It guards long downloads. Our answers are a few hundred bytes, and under a time-out already.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    config.region().ok_or("AWS_REGION is missing, and no profile names a region")?;
    Ok(config)
}

/// A client of AgentCore's data plane in the agent's own `region`. A call of an agent is long, and when it fails, nobody knows
/// whether it took effect. So the client neither bounds its time nor repeats it: the dispatcher does the one, and SQS the
/// other. `connect_timeout` bounds the connection alone.
#[cfg(feature = "dispatch")]
pub fn agent_core(
    aws: &SdkConfig,
    region: &str,
    connect_timeout: Duration,
) -> aws_sdk_bedrockagentcore::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(connect_timeout)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .build();
    let config = aws_sdk_bedrockagentcore::config::Builder::from(aws)
        .region(aws_config::Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    aws_sdk_bedrockagentcore::Client::from_conf(config.build())
}
