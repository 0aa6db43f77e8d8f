//! The configuration of the redrive. It has some of the variables of the ingress.

use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::parse::{
    SINKS, STORES, log, required, sdk_shortcut, shared_store, sink, trimmed, ttl, value_or_problem,
};
use super::{ConfigError, SinkConfig, StoreConfig};

/// What the environment of the redrive says.
#[derive(Debug)]
pub struct RedriveConfig {
    /// Where events are parked (`DEDUP_STORE`). It has to be the store of the ingress.
    pub store: StoreConfig,
    /// Where events go (`EVENT_SINK`).
    pub sink: SinkConfig,
    /// How long a record counts after its event was sent (`DEDUP_TTL_SECONDS`).
    pub dedup_ttl: Duration,
    /// Whether the calls that every event makes may take the shortcut through the SDK (`SDK_SHORTCUT`). Without the variable
    /// they may.
    pub sdk_shortcut: bool,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

impl RedriveConfig {
    /// Reads the configuration. `lookup` gives the value of a variable; an empty value is as good as none.
    ///
    /// # Errors
    /// When a variable is missing or wrong. The error has all problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));

        let store = value_or_problem(
            &mut problems,
            required("DEDUP_STORE", STORES, get("DEDUP_STORE"), shared_store),
        );
        let sink = value_or_problem(&mut problems, required("EVENT_SINK", SINKS, get("EVENT_SINK"), sink));
        let ttl = value_or_problem(&mut problems, ttl(get("DEDUP_TTL_SECONDS")));
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        let sdk_shortcut = value_or_problem(&mut problems, sdk_shortcut(get("SDK_SHORTCUT")));

        match (store, sink, ttl, log, sdk_shortcut) {
            (Some(store), Some(sink), Some(dedup_ttl), Some(log), Some(sdk_shortcut)) => {
                Ok(Self { store, sink, dedup_ttl, sdk_shortcut, log })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}
