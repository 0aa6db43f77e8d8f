//! The configuration: environment variables, parsed once into a complete value that cannot be half right. Every function has
//! a file of its own; `parse` reads single variables, for all of them.

#[cfg(feature = "dispatch")]
mod dispatch;
mod ingress;
mod parse;
mod redrive;

use std::fmt;

#[cfg(feature = "dispatch")]
pub use dispatch::{DispatchConfig, RuntimeArn};
pub use ingress::{IngressConfig, SecretConfig};
pub use redrive::RedriveConfig;

/// `DEDUP_STORE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// `dynamodb:<table>`
    DynamoDb {
        /// Name or ARN.
        table: String,
    },
    /// `memory:`
    Memory,
    /// `redis://…` or `rediss://…`
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
}

/// The URL of a Redis server, which may hold a password.
#[cfg(feature = "redis")]
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(pub String);

#[cfg(feature = "redis")]
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// `EVENT_SINK`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    /// A queue's URL.
    Sqs {
        /// The URL.
        queue_url: String,
    },
    /// `stdout:`
    Stdout,
    /// A topic's ARN.
    #[cfg(feature = "sns")]
    Sns {
        /// The ARN.
        topic_arn: String,
    },
}

/// Everything that is wrong with the environment, at once.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// Each of them, in words that quote no value.
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
