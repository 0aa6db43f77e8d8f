//! `slack-dev fast-path check`: it says of a document what the function would say at init.

use test_support::servers::fresh_name;

use crate::support::{fresh_file, slack_dev, slack_dev_with};

const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fast-path.json");

#[tokio::test]
async fn right_rules_are_counted_and_what_they_need_is_said() {
    let checked = slack_dev(&["fast-path", "check", GOOD]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    for said in ["7 rules", "SLACK_BOT_TOKEN_ARN", "lambda:InvokeFunction"] {
        assert!(checked.stdout.contains(said), "{checked:?}");
    }
    let by_path = slack_dev_with(&["fast-path", "check"], &[("FAST_PATH", GOOD)]).await;
    assert_eq!(by_path.stdout, checked.stdout);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let wrong = r#"{"version": 1, "rules": [{"when": {"command": "x"}, "answer": "y"}, {"answer": "y"}]}"#;
    let inline = slack_dev_with(&["fast-path", "check"], &[("FAST_PATH", wrong)]).await;
    assert_eq!(inline.code, 1, "{inline:?}");
    for said in ["rules[0].when.command: ", "rules[1]: when is missing", "2 problems"] {
        assert!(inline.stdout.contains(said), "{inline:?}");
    }
    let file = fresh_file(&fresh_name("rules.json"));
    std::fs::write(&file, wrong).unwrap();
    let by_file = slack_dev(&["fast-path", "check", file.to_str().unwrap()]).await;
    assert_eq!((by_file.code, by_file.stdout), (1, inline.stdout));
}

#[tokio::test]
async fn without_rules_there_is_nothing_to_check() {
    let nothing = slack_dev(&["fast-path", "check"]).await;
    assert!(nothing.code == 2 && nothing.stderr.contains("FAST_PATH is not set"), "{nothing:?}");
    let missing = slack_dev(&["fast-path", "check", "no-such-file.json"]).await;
    assert!(missing.code == 2 && missing.stderr.contains("no-such-file.json"), "{missing:?}");
}
