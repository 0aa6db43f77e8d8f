//! The configuration of each function: environment variables, read once at init into one complete value. If anything is wrong
//! with them, there is no such value, and the error names all problems at once.
//!
//! In reading order: this page has what the functions share; `ingress`, `redrive`, `dispatch`, `settle` and `rotation`
//! have a configuration each, of which `approvals` is a part of `settle`'s; `parse` reads a single variable, for all of them. `docs/configuration.md` describes every variable.
//!
//! ```text
//! environment variables ──▶ IngressConfig, RedriveConfig, DispatchConfig, SettleConfig, RotationConfig ──▶ wiring
//! ```
//!
//! This room imports the settings of the sequences (`ingress`, `dispatch`, `settle`), and from `slack` its limits and what identifies an
//! event (`DedupKey`). It connects to nothing.

#[cfg(feature = "dispatch")]
mod approvals;
#[cfg(feature = "dispatch")]
mod dispatch;
mod ingress;
mod parse;
mod redrive;
#[cfg(feature = "dispatch")]
mod rotation;
#[cfg(feature = "dispatch")]
mod settle;

use std::fmt;

#[cfg(feature = "dispatch")]
pub use dispatch::{DispatchConfig, RuntimeArn};
pub use ingress::{FastPathConfig, IngressConfig, SecretConfig};
pub use redrive::RedriveConfig;
#[cfg(feature = "dispatch")]
pub use rotation::RotationConfig;
#[cfg(feature = "dispatch")]
pub use settle::SettleConfig;

/// Where records are kept (`DEDUP_STORE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a DynamoDB table: `dynamodb:<table>`.
    DynamoDb {
        /// The name or the ARN of the table.
        table: String,
    },
    /// In the memory of the process: `memory:`. For work without AWS.
    Memory,
    /// In a Redis server: `redis://…`, or `rediss://…` with TLS.
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
}

/// The URL of a Redis server. It may have a password in it, so `Debug` does not show it.
#[cfg(feature = "redis")]
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(pub String);

#[cfg(feature = "redis")]
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Where events go (`EVENT_SINK`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    /// To an SQS queue, which is given by its URL.
    Sqs {
        /// The URL of the queue. The name of a FIFO queue ends in `.fifo`.
        queue_url: String,
    },
    /// To standard output: `stdout:`. For work without AWS.
    Stdout,
    /// To an SNS topic, which is given by its ARN.
    #[cfg(feature = "sns")]
    Sns {
        /// The ARN of the topic.
        topic_arn: String,
    },
}

/// All problems of a configuration, which the process ends with.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// One sentence for each problem, which names the variable. It quotes no value, because that might be a secret.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s): ", self.problems.len())?;
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
