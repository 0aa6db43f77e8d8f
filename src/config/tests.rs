use super::*;
use crate::ingress::BotEvents;
use crate::slack::payload::{ControlEvents, DedupKey, DmConversation};
use crate::slack::secrets::text::SecretText;
use std::time::Duration;
use tracing::Level;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/slack-events.fifo";
const MINIMAL: [(&str, &str); 3] =
    [("SLACK_SIGNING_SECRET", SECRET), ("DEDUP_STORE", "memory:"), ("EVENT_SINK", "stdout:")];

fn parse(variables: &[(&str, &str)]) -> Result<IngressConfig, ConfigError> {
    IngressConfig::from_lookup(|name| {
        variables.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

/// The smallest complete configuration, with one more variable set.
fn with(name: &str, value: &str) -> Result<IngressConfig, ConfigError> {
    parse(&[&MINIMAL[..], &[(name, value)]].concat())
}

fn secrets(config: IngressConfig) -> Vec<String> {
    match config.secret {
        SecretConfig::Inline(SecretText::Plain(secrets)) => secrets,
        SecretConfig::Inline(by_app) => panic!("{by_app:?}"),
        SecretConfig::Managed(id) => panic!("managed: {id}"),
    }
}

#[test]
fn every_default_is_the_one_of_the_contract() {
    let config = parse(&MINIMAL).unwrap();
    assert_eq!(config.store, StoreConfig::Memory);
    assert_eq!(config.sink, SinkConfig::Stdout);
    assert_eq!(config.settings.dedup_ttl, Duration::from_secs(3600));
    assert_eq!(config.settings.ack_budget, Duration::from_millis(2500));
    assert_eq!(config.settings.bot_events, BotEvents::Drop);
    assert!(config.log.would_enable("slack_ingress", &Level::INFO));
    assert!(!config.log.would_enable("slack_ingress", &Level::DEBUG));
    assert_eq!(secrets(config), [SECRET]);
}

#[test]
fn every_variable_is_read() {
    let config = parse(&[
        ("SLACK_SIGNING_SECRET_ARN", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:slack-a1b2c3"),
        ("DEDUP_STORE", "dynamodb:slack-events"),
        ("EVENT_SINK", QUEUE),
        ("DEDUP_TTL_SECONDS", "90000"),
        ("DEDUP_KEY", "event_id"),
        ("BOT_EVENTS", "forward"),
        ("ACK_BUDGET_MS", "2000"),
        ("RUST_LOG", "slack_ingress=debug"),
    ])
    .unwrap();
    assert_eq!(config.store, StoreConfig::DynamoDb { table: "slack-events".to_owned() });
    assert_eq!(config.sink, SinkConfig::Sqs { queue_url: QUEUE.to_owned() });
    assert_eq!(config.settings.dedup_ttl, Duration::from_secs(90_000));
    assert_eq!(config.settings.bot_events, BotEvents::Forward);
    assert_eq!(config.settings.ack_budget, Duration::from_secs(2));
    assert!(config.log.would_enable("slack_ingress", &Level::DEBUG));
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:slack-a1b2c3";
    assert!(matches!(config.secret, SecretConfig::Managed(id) if id == arn));
}

#[test]
fn several_secrets_are_separated_by_commas() {
    for value in ["one,two", " one , two ", "one,,two,", ",one\n,\ttwo\n"] {
        assert_eq!(secrets(with("SLACK_SIGNING_SECRET", value).unwrap()), ["one", "two"], "{value:?}");
    }
}

#[test]
fn the_secrets_of_several_apps_are_an_object_as_in_secrets_manager() {
    let config = with("SLACK_SIGNING_SECRET", r#"{"A1":"one, two","A2":"three"}"#).unwrap();
    let SecretConfig::Inline(SecretText::ByApp(by_app)) = config.secret else { panic!("not by app") };
    let by_app: Vec<_> = by_app.iter().map(|(app, secret)| (app.as_str(), secret.as_str())).collect();
    assert_eq!(by_app, [("A1", "one, two"), ("A2", "three")]);
    for value in ["{", "{}", r#"{"A1":""}"#, r#"{"A1":xyzzy}"#] {
        let error = with("SLACK_SIGNING_SECRET", value).unwrap_err().to_string();
        assert!(error.contains("SLACK_SIGNING_SECRET") && !error.contains("xyzzy"), "{value}: {error}");
    }
}

#[test]
fn a_value_is_trimmed_and_an_empty_one_is_as_good_as_none() {
    assert_eq!(with("DEDUP_STORE", " memory:\n").unwrap().store, StoreConfig::Memory);
    assert_eq!(with("BOT_EVENTS", "own ").unwrap().settings.bot_events, BotEvents::DropOwn);
    for empty in ["", " ", "\r\n"] {
        for name in
            ["DEDUP_TTL_SECONDS", "DEDUP_KEY", "DM_CONVERSATION", "BOT_EVENTS", "ACK_BUDGET_MS", "RUST_LOG"]
        {
            assert!(with(name, empty).is_ok(), "{name}");
        }
        assert!(with("SLACK_SIGNING_SECRET_ARN", empty).is_ok());
        for name in ["SLACK_SIGNING_SECRET", "DEDUP_STORE", "EVENT_SINK"] {
            let message = with(name, empty).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("missing"), "{message}");
        }
    }
}

#[test]
fn a_table_is_named_or_given_by_its_arn() {
    for table in ["abc", "Slack-events_2.prod", "arn:aws:dynamodb:eu-central-1:123456789012:table/events"] {
        let config = with("DEDUP_STORE", &format!("dynamodb:{table}")).unwrap();
        assert_eq!(config.store, StoreConfig::DynamoDb { table: table.to_owned() });
    }
}

#[test]
fn a_queue_is_given_by_its_url() {
    for url in [QUEUE, "http://127.0.0.1:4566/000000000000/q", "https://vpce-1.sqs.eu.vpce.amazonaws.com/1/q"]
    {
        let config = with("EVENT_SINK", url).unwrap();
        assert_eq!(config.sink, SinkConfig::Sqs { queue_url: url.to_owned() });
    }
}

#[test]
fn each_bad_value_is_one_problem_that_names_its_variable() {
    let long_table = format!("dynamodb:{}", "x".repeat(256));
    let cases = [
        ("SLACK_SIGNING_SECRET", " , ,"),
        ("SLACK_SIGNING_SECRET_ARN", "slack/signing-secret"), // with the other one set
        ("DEDUP_STORE", "memory"),
        ("DEDUP_STORE", "memory:x"),
        ("DEDUP_STORE", "Memory:"),
        ("DEDUP_STORE", "dynamodb"),
        ("DEDUP_STORE", "dynamodb:"),
        ("DEDUP_STORE", "dynamodb:ab"),
        ("DEDUP_STORE", "dynamodb:slack events"),
        ("DEDUP_STORE", "dynamodb:arn:aws:dynamodb:eu-central-1:123456789012:events"),
        ("DEDUP_STORE", "dynamodb:arn:aws:dynamodb:eu-central-1:123456789012:table/"),
        ("DEDUP_STORE", &long_table),
        ("DEDUP_STORE", "redis:"),
        ("DEDUP_STORE", "redis://localhost:port"),
        ("DEDUP_STORE", "postgres://localhost"),
        ("EVENT_SINK", "stdout"),
        ("EVENT_SINK", "slack-events"),
        ("EVENT_SINK", "ftp://host/1/q"),
        ("EVENT_SINK", "https://"),
        ("EVENT_SINK", "https://sqs.eu-central-1.amazonaws.com"),
        ("EVENT_SINK", "https://sqs.eu-central-1.amazonaws.com/123456789012/"),
        ("EVENT_SINK", "arn:aws:sns:eu-central-1:123456789012:"),
        ("EVENT_SINK", "arn:aws:sns:eu-central-1:123456789012:events:5c1e7f1a"),
        ("EVENT_SINK", "arn:aws:sqs:eu-central-1:123456789012:events"),
        ("DEDUP_TTL_SECONDS", "0"),
        ("DEDUP_TTL_SECONDS", "-1"),
        ("DEDUP_TTL_SECONDS", "1.5"),
        ("DEDUP_TTL_SECONDS", "1h"),
        ("DEDUP_TTL_SECONDS", "315360001"),
        ("DEDUP_TTL_SECONDS", "99999999999999999999"),
        ("DEDUP_KEY", "client_msg_id"),
        ("DM_CONVERSATION", "threads"),
        ("CONTROL_EVENTS", "message.im"),
        ("CONTROL_EVENTS", "agent_session_stopped message_deleted"),
        ("CONTROL_EVENTS", "*"),
        ("BOT_EVENTS", "DROP"),
        ("BOT_EVENTS", "true"),
        ("ACK_BUDGET_MS", "0"),
        ("ACK_BUDGET_MS", "99"),
        ("ACK_BUDGET_MS", "3001"),
        ("ACK_BUDGET_MS", "2.5s"),
        ("RUST_LOG", "slack_ingress=loud"),
        ("RUST_LOG", "a=b=c"),
    ];
    for (name, value) in cases {
        let error = with(name, value).expect_err(value);
        assert_eq!(error.problems.len(), 1, "{name}={value}: {error}");
        assert!(error.problems[0].contains(name), "{name}={value}: {error}");
    }
}

#[test]
fn a_number_is_taken_up_to_its_bounds() {
    for (name, value) in [
        ("DEDUP_TTL_SECONDS", "1"),
        ("DEDUP_TTL_SECONDS", "315360000"),
        ("ACK_BUDGET_MS", "100"),
        ("ACK_BUDGET_MS", "3000"),
    ] {
        assert!(with(name, value).is_ok(), "{name}={value}");
    }
}

#[test]
fn all_problems_are_listed_at_once_in_one_line() {
    let message = parse(&[
        ("DEDUP_STORE", "postgres://localhost"),
        ("DEDUP_TTL_SECONDS", "soon"),
        ("DEDUP_KEY", "ts"),
        ("DM_CONVERSATION", "user"),
        ("CONTROL_EVENTS", "message.im"),
        ("BOT_EVENTS", "none"),
        ("ACK_BUDGET_MS", "9000"),
        ("RUST_LOG", "a=b=c"),
    ])
    .unwrap_err()
    .to_string();
    for name in [
        "10 problem(s)",
        "SLACK_SIGNING_SECRET or SLACK_SIGNING_SECRET_ARN is missing",
        "DEDUP_STORE",
        "EVENT_SINK is missing",
        "DEDUP_TTL_SECONDS",
        "DEDUP_KEY",
        "DM_CONVERSATION",
        "CONTROL_EVENTS",
        "BOT_EVENTS",
        "ACK_BUDGET_MS",
        "RUST_LOG",
    ] {
        assert!(message.contains(name), "{name}: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn each_problem_can_be_had_by_itself() {
    let error = parse(&[("DEDUP_STORE", "memory:"), ("BOT_EVENTS", "none")]).unwrap_err();
    let [secret, sink, bots] = error.problems() else { panic!("{error}") };
    assert!(
        secret.contains("SLACK_SIGNING_SECRET") && sink.contains("EVENT_SINK") && bots.contains("BOT_EVENTS")
    );
}

#[test]
fn the_secret_is_shown_nowhere_not_even_from_the_wrong_variable() {
    let config = format!("{:?}", with("SLACK_SIGNING_SECRET", &format!("{SECRET},{SECRET}")).unwrap());
    assert!(!config.contains(SECRET) && config.contains("2 secrets"), "{config}");
    for name in [
        "SLACK_SIGNING_SECRET_ARN",
        "DEDUP_STORE",
        "EVENT_SINK",
        "DEDUP_TTL_SECONDS",
        "DEDUP_KEY",
        "DM_CONVERSATION",
        "CONTROL_EVENTS",
        "BOT_EVENTS",
        "ACK_BUDGET_MS",
    ] {
        let error = with(name, SECRET).expect_err(name);
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains(SECRET), "{name}: {shown}");
        }
    }
}

#[test]
fn a_feature_that_this_build_lacks_is_named() {
    let redis = with("DEDUP_STORE", "rediss://:hunter2@localhost:6380/1");
    let sns = with("EVENT_SINK", "arn:aws-cn:sns:cn-north-1:123456789012:events.fifo");
    for (name, has_it, config) in
        [("redis", cfg!(feature = "redis"), redis), ("sns", cfg!(feature = "sns"), sns)]
    {
        let shown = match config {
            Ok(config) if has_it => format!("{config:?}"),
            Err(error) if !has_it => error.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert!(has_it || shown.contains(&format!("cargo feature `{name}`")), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_key_of_an_event_is_its_id_or_its_message() {
    assert_eq!(parse(&MINIMAL).unwrap().settings.dedup_key, DedupKey::EventId);
    assert_eq!(with("DEDUP_KEY", "event_id").unwrap().settings.dedup_key, DedupKey::EventId);
    assert_eq!(with("DEDUP_KEY", "message").unwrap().settings.dedup_key, DedupKey::Message);
}

#[test]
fn a_direct_message_is_one_conversation_or_each_of_its_messages_starts_one() {
    assert_eq!(parse(&MINIMAL).unwrap().settings.dm_conversation, DmConversation::Channel);
    for (value, expected) in [("channel", DmConversation::Channel), ("thread", DmConversation::Thread)] {
        assert_eq!(with("DM_CONVERSATION", value).unwrap().settings.dm_conversation, expected);
    }
}

#[test]
fn the_events_that_wait_for_nothing_are_the_default_or_a_list_or_none() {
    assert_eq!(
        parse(&MINIMAL).unwrap().settings.control_events,
        ControlEvents::new(["agent_session_stopped"])
    );
    for (value, expected) in [
        ("", vec![]),
        (" ", vec![]),
        ("message_deleted", vec!["message_deleted"]),
        (" agent_session_stopped, ,message_deleted ,", vec!["agent_session_stopped", "message_deleted"]),
    ] {
        let config = with("CONTROL_EVENTS", value).unwrap();
        assert_eq!(config.settings.control_events, ControlEvents::new(expected), "{value:?}");
    }
}

fn parse_redrive(variables: &[(&str, &str)]) -> Result<RedriveConfig, ConfigError> {
    RedriveConfig::from_lookup(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn a_redrive_needs_to_know_from_where_and_to_where_and_no_secret() {
    let config = parse_redrive(&[("DEDUP_STORE", "dynamodb:slack-events"), ("EVENT_SINK", QUEUE)]).unwrap();
    assert_eq!(config.store, StoreConfig::DynamoDb { table: "slack-events".to_owned() });
    assert_eq!(config.sink, SinkConfig::Sqs { queue_url: QUEUE.to_owned() });
    assert_eq!(config.dedup_ttl, Duration::from_secs(3600));
    assert!(config.log.would_enable("slack_ingress", &Level::INFO));

    let error = parse_redrive(&[
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "nowhere"),
        ("DEDUP_TTL_SECONDS", "0"),
        ("RUST_LOG", "=="),
    ])
    .unwrap_err()
    .to_string();
    for problem in
        ["4 problem(s)", "DEDUP_STORE: what is kept in memory", "EVENT_SINK", "DEDUP_TTL_SECONDS", "RUST_LOG"]
    {
        assert!(error.contains(problem), "{error}");
    }
    let error = parse_redrive(&[]).unwrap_err().to_string();
    assert!(error.contains("DEDUP_STORE is missing") && error.contains("EVENT_SINK is missing"), "{error}");
}

#[test]
fn a_secret_in_place_of_its_arn_is_refused_before_anybody_is_asked_for_it_and_not_quoted() {
    let secret = "8f742231b10e8888abcd99aaabbb85a5";
    let with = |id: &str| {
        parse(&[MINIMAL[1], MINIMAL[2], ("SLACK_SIGNING_SECRET_ARN", id)]).map_err(|error| error.to_string())
    };
    let error = with(secret).unwrap_err();
    assert!(error.contains("SLACK_SIGNING_SECRET_ARN") && !error.contains(secret), "{error}");
    for id in
        ["slack", "8f742231b10e8888abcd99aaabbb85a", "arn:aws:secretsmanager:us-east-1:1:secret:slack-AbCdEf"]
    {
        assert!(with(id).is_ok(), "{id}");
    }
}
