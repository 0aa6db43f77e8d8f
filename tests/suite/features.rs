//! Tests what each cargo feature adds, and that nothing of it is in a build without the feature.
//!
//! The release binary has no optional feature. These tests use the binary that cargo built with them.

use std::collections::BTreeSet;
use std::process::Command;

/// What `cargo tree` says with these arguments: a line for each crate.
fn crates(arguments: &[&str]) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("UTF-8");
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn a_feature_that_is_off_leaves_nothing_behind() {
    let crate_of = [("redis", "redis"), ("sns", "aws-sdk-sns"), ("dispatch", "aws-sdk-bedrockagentcore")];
    for features in ["", "redis", "sns", "dispatch"] {
        let crates = crates(&["--edges", "normal", "--features", features]);
        let has = |name: &str| crates.iter().any(|line| line.starts_with(&format!("{name} v")));
        assert!(has("aws-sdk-sqs"), "{crates:#?}");
        for (feature, name) in crate_of {
            assert_eq!(has(name), feature == features, "{name} with the features {features:?}");
        }
    }
}

/// Or the tests and lints of one package would compile it again after those of another. What is missing belongs into
/// `test-support/Cargo.toml`.
#[test]
fn every_command_finds_the_sdk_compiled() {
    const WAITED_FOR: [&str; 6] = ["aws-", "hyper", "rustls ", "tokio", "tower ", "serde_json "];
    let of_sdk = |arguments: &[&str]| -> BTreeSet<String> {
        let crates = crates(arguments).into_iter();
        crates.filter(|line| WAITED_FOR.iter().any(|start| line.starts_with(start))).collect()
    };
    let everything = of_sdk(&["--workspace", "--all-features", "--edges", "normal,build,dev"]);
    let commands: [&[&str]; 7] = [
        &["--edges", "normal,build,dev"],
        &["--edges", "normal,build,dev", "--features", "redis"],
        &["--edges", "normal,build,dev", "--features", "sns"],
        &["--edges", "normal,build,dev", "--features", "dispatch"],
        &["--edges", "normal,build,dev", "--all-features"],
        &["--edges", "normal,build,dev", "--package", "slack-dev"],
        // Documentation needs no development dependency.
        &["--edges", "normal,build", "--workspace", "--all-features"],
    ];
    for command in commands {
        let others: Vec<_> = of_sdk(command).difference(&everything).cloned().collect();
        assert_eq!(others, Vec::<String>::new(), "{command:?}");
    }
}

#[cfg(feature = "redis")]
mod redis {
    use crate::support::ingress;
    use test_support::lambda::answers::{ask_again, ok};
    use test_support::lambda::{Lambda, variables};
    use test_support::redis::RedisServer;
    use test_support::slack::event;

    async fn environment(server: &RedisServer) -> Lambda {
        let variables = variables([("DEDUP_STORE", &server.url(0)), ("EVENT_SINK", "stdout:")]);
        ingress::start_built(variables).await
    }

    fn sent(environments: &[&Lambda]) -> usize {
        environments.iter().map(|lambda| lambda.stdout().len()).sum()
    }

    #[tokio::test]
    #[ignore = "needs a Redis server: make test"]
    async fn several_environments_share_their_records_in_redis() {
        let server = RedisServer::start().await;
        let (a, b) = (environment(&server).await, environment(&server).await);
        for n in 0..20 {
            let request = event(&format!("Ev{n}"));
            let (first, second) = tokio::join!(a.post(&request), b.post(&request));
            assert!([&first, &second].contains(&&ok()), "{first:?} {second:?}");
            // The line is written before the record is confirmed.
            tokio::join!(a.reports(n + 1), b.reports(2 * n + 1));
            assert_eq!(b.post(&request.retry(1, "http_error")).await, ok());
        }
        a.reports(20).await;
        assert_eq!(sent(&[&a, &b]), 20);
    }

    #[tokio::test]
    #[ignore = "needs a Redis server: make test"]
    async fn a_redis_that_is_down_is_503_until_the_last_retry() {
        let mut server = RedisServer::start().await;
        let lambda = environment(&server).await;
        assert_eq!(lambda.post(&event("Ev1")).await, ok());
        lambda.reports(1).await;
        server.stop().await;
        assert_eq!(lambda.post(&event("Ev2")).await, ask_again());
        assert_eq!(lambda.post(&event("Ev3").retry(3, "http_error")).await, ok());
        server.start_again().await;
        assert_eq!(lambda.post(&event("Ev2").retry(1, "http_error")).await, ok());
        assert_eq!(lambda.post(&event("Ev1").retry(1, "http_error")).await, ok());
        lambda.reports(5).await;
        assert_eq!(sent(&[&lambda]), 3);
    }
}

#[cfg(feature = "sns")]
mod sns {
    use crate::support::ingress;
    use crate::support::stage::Stage;
    use test_support::aws::Topic;
    use test_support::lambda::answers::ok;
    use test_support::slack::event;

    #[tokio::test]
    #[ignore = "needs servers: make test"]
    async fn an_event_reaches_a_queue_through_a_topic_once() {
        for topic in [Topic::fifo().await, Topic::standard().await] {
            let stage = Stage::with(topic.queue.clone()).await;
            let mut variables = stage.variables();
            variables.insert("EVENT_SINK".to_owned(), topic.arn.clone());
            variables.insert("AWS_ENDPOINT_URL_SNS".to_owned(), stage.sqs.url());
            let lambda = ingress::start_built(variables).await;
            for retry in 0..4 {
                let request = event("Ev1");
                let request = if retry == 0 { request } else { request.retry(retry, "http_timeout") };
                assert_eq!(lambda.post(&request).await, ok());
            }
            let [message] = topic.queue.take_all().await.try_into().expect("one message");
            assert_eq!(message.body.into_bytes(), test_support::slack::mention("Ev1", "hello"));
            assert_eq!(message.attributes["event_id"], "Ev1");
            assert_eq!(message.attributes["type"], "app_mention");
        }
    }
}
