//! What the redrive is told by its environment: some of the ingress's variables.

use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{SINKS, STORES, keep, log, required, sdk_shortcut, shared_store, sink, trimmed, ttl};
use super::{ConfigError, SinkConfig, StoreConfig};

/// Everything about the redrive that can be set.
#[derive(Debug)]
pub struct RedriveConfig {
    /// Where events are parked.
    pub store: StoreConfig,
    /// Where they go.
    pub sink: SinkConfig,
    /// How long an event id is remembered once the event is sent.
    pub dedup_ttl: Duration,
    /// `SDK_SHORTCUT`: whether the calls that every event makes may take the shortcut through the SDK.
    pub sdk_shortcut: bool,
    /// `RUST_LOG`
    pub log: Targets,
}

impl RedriveConfig {
    /// The configuration in the variables that `lookup` gives; an empty one is as good as none.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));

        let store = keep(&mut problems, required("DEDUP_STORE", STORES, get("DEDUP_STORE"), shared_store));
        let sink = keep(&mut problems, required("EVENT_SINK", SINKS, get("EVENT_SINK"), sink));
        let ttl = keep(&mut problems, ttl(get("DEDUP_TTL_SECONDS")));
        let log = keep(&mut problems, log(get("RUST_LOG")));
        let sdk_shortcut = keep(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));

        match (store, sink, ttl, log, sdk_shortcut) {
            (Some(store), Some(sink), Some(dedup_ttl), Some(log), Some(sdk_shortcut)) => {
                Ok(Self { store, sink, dedup_ttl, sdk_shortcut, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}
