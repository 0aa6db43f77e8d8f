//! Checks the environment variables by the function's own rules.

use slack_ingress::config::{IngressConfig, SecretConfig, SinkConfig, StoreConfig};
use slack_ingress::slack::retries::MIN_SAFE_DEDUP_TTL;

use super::report::Check;

const CHECK: &str = "environment";
const SECRETS: [&str; 2] = ["SLACK_SIGNING_SECRET", "SLACK_SIGNING_SECRET_ARN"];
const BACKENDS: [&str; 2] = ["DEDUP_STORE", "EVENT_SINK"];
/// Valid values that take the place of the other variables while one variable is read by itself.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("SLACK_SIGNING_SECRET", "placeholder"), ("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")];

/// The results of the checks, and each setting that could be read.
pub(super) struct Settings {
    pub(super) checks: Vec<Check>,
    pub(super) secret: Option<SecretConfig>,
    pub(super) store: Option<StoreConfig>,
    pub(super) sink: Option<SinkConfig>,
}

/// Reads the variables. `by_outputs`: they come from the outputs of the stacks, which name no topic and no setting of the function.
pub(super) fn examine(lookup: &impl Fn(&str) -> Option<String>, by_outputs: bool) -> Settings {
    let is_set = |name: &&str| lookup(name).is_some_and(|value| !value.trim().is_empty());
    // Reads each variable by itself, so that a mistake in another one does not hide it.
    let by_itself = |names: &[&str]| {
        let config = IngressConfig::from_lookup(|name| {
            if names.contains(&name) {
                return lookup(name);
            }
            let is_replaced =
                !(name == "SLACK_SIGNING_SECRET" && names.contains(&"SLACK_SIGNING_SECRET_ARN"));
            PLACEHOLDERS
                .iter()
                .find(|(known, _)| *known == name && is_replaced)
                .map(|(_, value)| (*value).to_owned())
        });
        config.ok().filter(|_| names.iter().any(is_set))
    };
    Settings {
        checks: checks(lookup, SECRETS.iter().any(is_set), BACKENDS.iter().any(is_set), by_outputs),
        secret: by_itself(&SECRETS).map(|config| config.secret),
        store: by_itself(&["DEDUP_STORE"]).map(|config| config.store),
        sink: by_itself(&["EVENT_SINK"]).map(|config| config.sink),
    }
}

fn checks(
    lookup: &impl Fn(&str) -> Option<String>,
    has_secret: bool,
    has_backend: bool,
    by_outputs: bool,
) -> Vec<Check> {
    if !has_secret && !has_backend {
        return vec![Check::skip(CHECK, "none of SLACK_SIGNING_SECRET, DEDUP_STORE and EVENT_SINK is set")];
    }
    // The signing secret alone is enough to check the endpoint.
    let is_enough = !has_backend || by_outputs;
    let config = IngressConfig::from_lookup(|name| match (lookup(name), name) {
        (None, "DEDUP_STORE") if is_enough => Some("memory:".to_owned()),
        (None, "EVENT_SINK") if is_enough => Some("stdout:".to_owned()),
        (value, _) => value,
    });
    match config {
        Err(error) => {
            let todo = "Set it as the README says under Configuration: the function would not start";
            error.problems().iter().map(|problem| Check::fail(CHECK, problem, todo)).collect()
        }
        Ok(_) if by_outputs && lookup("DEDUP_TTL_SECONDS").is_none() => {
            vec![Check::ok(CHECK, "right, as far as the outputs of the stacks tell")]
        }
        Ok(config) => {
            let found = if has_backend {
                "the function would start with it"
            } else {
                "a signing secret, and no DEDUP_STORE and EVENT_SINK"
            };
            vec![Check::ok(CHECK, found), memory(config.settings.dedup_ttl.as_secs())]
        }
    }
}

fn memory(seconds: u64) -> Check {
    const CHECK: &str = "DEDUP_TTL_SECONDS";
    let enough = MIN_SAFE_DEDUP_TTL.as_secs();
    if seconds < enough {
        let found = format!(
            "an event is forgotten after {seconds} s, but Slack's last retry can arrive {enough} s after the first attempt"
        );
        return Check::warn(CHECK, found, format!("Set at least {enough}; 90000 with Delayed Events"));
    }
    Check::ok(CHECK, format!("an event is remembered for {seconds} s (with Delayed Events set 90000)"))
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        examine(&of(variables), false)
    }

    fn of(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn statuses(settings: &Settings) -> Vec<Status> {
        settings.checks.iter().map(|check| check.status).collect()
    }

    #[test]
    fn without_settings_the_check_is_skipped_and_a_secret_alone_is_enough_for_an_endpoint() {
        assert_eq!(statuses(&settings(&[])), [Status::Skip]);
        let secret = settings(&[("SLACK_SIGNING_SECRET", "xyzzy")]);
        assert_eq!(statuses(&secret), [Status::Ok, Status::Ok]);
        assert!(
            matches!(secret.secret, Some(SecretConfig::Inline(_)))
                && secret.store.is_none()
                && secret.sink.is_none()
        );
    }

    #[test]
    fn each_problem_is_a_failed_check_and_the_valid_settings_are_used_all_the_same() {
        let settings = settings(&[
            ("SLACK_SIGNING_SECRET_ARN", "slack/secret"),
            ("DEDUP_STORE", "postgres:"),
            ("EVENT_SINK", "https://sqs.eu-west-1.amazonaws.com/123456789012/q"),
            ("DEDUP_TTL_SECONDS", "soon"),
            ("BOT_EVENTS", "none"),
        ]);
        assert_eq!(statuses(&settings), [Status::Fail; 3]);
        assert!(matches!(settings.secret, Some(SecretConfig::Managed(_))));
        assert!(settings.store.is_none() && matches!(settings.sink, Some(SinkConfig::Sqs { .. })));
    }

    #[test]
    fn a_store_without_a_sink_fails_because_the_function_would_not_start() {
        let settings =
            settings(&[("SLACK_SIGNING_SECRET", "xyzzy"), ("DEDUP_STORE", "dynamodb:slack-events")]);
        assert_eq!(statuses(&settings), [Status::Fail]);
        assert!(settings.checks[0].found.contains("EVENT_SINK is missing"));
    }

    #[test]
    fn the_outputs_of_a_stack_with_a_topic_name_no_sink_and_are_no_fault() {
        let outputs =
            [("SLACK_SIGNING_SECRET_ARN", "slack/secret"), ("DEDUP_STORE", "dynamodb:slack-events")];
        let settings = examine(&of(&outputs), true);
        assert_eq!(statuses(&settings), [Status::Ok]);
        assert!(settings.sink.is_none() && matches!(settings.store, Some(StoreConfig::DynamoDb { .. })));
    }

    #[test]
    fn a_dedup_ttl_that_ends_before_slacks_last_retry_is_a_warning() {
        let of = |seconds| {
            settings(&[("SLACK_SIGNING_SECRET", "xyzzy"), ("DEDUP_TTL_SECONDS", seconds)]).checks[1].status
        };
        assert_eq!([of("689"), of("690")], [Status::Warn, Status::Ok]);
    }

    #[test]
    fn no_check_shows_a_secret() {
        let odd = [
            ("SLACK_SIGNING_SECRET", "xyzzy"),
            ("SLACK_SIGNING_SECRET_ARN", "xyzzy"),
            ("EVENT_SINK", "xyzzy"),
        ];
        assert!(!format!("{:?}", settings(&odd).checks).contains("xyzzy"));
    }
}
