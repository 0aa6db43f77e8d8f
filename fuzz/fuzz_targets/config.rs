//! Checks that any environment variables give either a valid configuration or an error that quotes no value.
//!
//! Each line of an input is one variable, `NAME=value`.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use slack_ingress::config::{ConfigError, IngressConfig, SecretConfig, StoreConfig};
use slack_ingress::slack::secrets::text::SecretText;
use slack_ingress_fuzz::{bounded, mutate};
use std::collections::BTreeMap;
use std::time::Duration;

/// A secret of one letter and its comma are two bytes of the input and become a `String` of 24 bytes. The list of them grows by
/// doubling, and for a moment the old and the new list both exist. Measured: 19 for that, 31 for a `RUST_LOG` with many short targets.
const BYTES_PER_BYTE: usize = 64;

type Variables = BTreeMap<String, String>;

fn read(variables: &Variables) -> Result<IngressConfig, ConfigError> {
    let len = variables.values().map(String::len).sum();
    bounded(len, BYTES_PER_BYTE, || IngressConfig::from_lookup(|name| variables.get(name).cloned()))
}

fn changed(variables: &Variables, change: impl Fn(&str) -> String) -> Variables {
    variables.iter().map(|(name, value)| (name.clone(), change(value))).collect()
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables: Variables = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let config = read(&variables);
    if let Ok(config) = &config {
        assert_whole(config);
    }

    // White space around a value has no meaning, and an empty value counts as absent, except for a list that may be empty.
    let shown = |config: &Result<IngressConfig, ConfigError>| match config {
        Ok(config) => format!("{config:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown(&config), shown(&read(&changed(&variables, |value| format!(" \t{value}\n")))));
    let mut given = variables.clone();
    given.retain(|name, value| name == "CONTROL_EVENTS" || !value.trim().is_empty());
    assert_eq!(shown(&config), shown(&read(&given)));

    // No error quotes the secret, even if it is in the wrong variable or beside a typing error.
    const WORD: &str = "xyzzy";
    let places: [fn(&str) -> String; 3] = [
        |value| format!("{WORD}{value}"),
        |value| format!("{value}{WORD}"),
        |value| value.replacen(':', &format!(":{WORD}"), 1),
    ];
    for place in places {
        match read(&changed(&given, place)) {
            Err(error) => {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(WORD), "{shown}");
            }
            Ok(config) => {
                let shown = format!("{:?}", config.secret);
                assert!(!shown.contains(WORD), "{shown}");
            }
        }
    }
});

fn assert_whole(config: &IngressConfig) {
    match &config.secret {
        SecretConfig::Inline(SecretText::Plain(secrets)) => {
            assert!(!secrets.is_empty());
            for secret in secrets {
                assert!(!secret.is_empty() && secret.trim() == secret && !secret.contains(','));
            }
        }
        SecretConfig::Inline(SecretText::ByApp(by_app)) => {
            assert!(!by_app.is_empty());
            for (app, secret) in by_app {
                assert!(!app.is_empty() && !secret.is_empty() && secret.trim() == secret);
            }
        }
        SecretConfig::Managed(id) => assert!(!id.is_empty() && id.trim() == id),
    }
    if let StoreConfig::DynamoDb { table } = &config.store {
        assert!(table.len() >= 3 && !table.contains(char::is_whitespace), "{table:?}");
    }
    let settings = &config.settings;
    assert!((Duration::from_secs(1)..=Duration::from_secs(315_360_000)).contains(&settings.dedup_ttl));
    assert!((Duration::from_millis(100)..=Duration::from_secs(3)).contains(&settings.ack_budget));
}
