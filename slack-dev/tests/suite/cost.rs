//! `slack-dev cost`: what it prints, and what it refuses.

use serde_json::Value;

use crate::support::slack_dev;

async fn json(arguments: &[&str]) -> Value {
    let done = slack_dev(&[&["cost", "--json"], arguments].concat()).await;
    assert_eq!(done.code, 0, "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

/// The line's amount, as text.
fn usd<'a>(bill: &'a Value, what: &str) -> Option<&'a str> {
    let lines = bill["lines"].as_array().unwrap();
    lines.iter().find(|line| line["what"] == what).map(|line| line["usd"].as_str().unwrap())
}

#[tokio::test]
async fn a_million_events_are_billed_by_the_list_and_by_a_price_of_ones_own() {
    let bill = json(&["--events", "1000000", "--rate", "100"]).await;
    assert_eq!(bill["version"], 1);
    assert_eq!(usd(&bill, "send, receive, delete"), Some("1.500000000000"));
    assert_eq!(usd(&bill, "writes"), Some("1.250000000000"));
    assert_eq!(usd(&bill, "the ingress: traces"), Some("0.297500000000"));
    assert_eq!(usd(&bill, "dashboards"), Some("3.000000000000"));
    assert_eq!((&bill["free_tiers_are_counted"], &bill["questions_usd"]), (&false.into(), &"0.00".into()));

    let other =
        json(&["--events", "1000000", "--no-tracing", "--no-dashboard", "--price", "sqs_fifo=1"]).await;
    assert_eq!(usd(&other, "send, receive, delete"), Some("3.000000000000"));
    assert_eq!((usd(&other, "the ingress: traces"), usd(&other, "dashboards")), (None, None));
}

#[tokio::test]
async fn an_agent_is_billed_with_what_is_given_and_a_model_only_at_a_price_that_is_given() {
    let asked = ["--events", "1000", "--questions", "1000", "--agent-seconds", "45", "--tool-calls", "3"];
    let plain = json(&asked).await;
    assert_eq!(plain["model_is_counted"], false);
    assert_eq!(usd(&plain, "calls of the agent's tools"), Some("0.015000000000"));
    let model = ["--input-tokens", "4000", "--input-token-price", "3"];
    let priced = json(&[&asked[..], &model].concat()).await;
    assert_eq!(
        (&priced["model_is_counted"], usd(&priced, "tokens read")),
        (&true.into(), Some("12.000000000000"))
    );

    let approved = json(&[&asked[..], &["--approvals", "2000"]].concat()).await;
    assert_eq!(usd(&plain, "the time to decide is over"), None);
    assert_eq!(usd(&approved, "the time to decide is over"), Some("0.002000000000"));
    assert_eq!(usd(&approved, "the time to decide: send, receive, delete"), Some("0.003000000000"));

    let text = slack_dev(&[&["cost"], &asked[..]].concat()).await.stdout;
    for said in ["The model is not in it", "without free tiers", "AgentCore Runtime", "Together"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let priced = slack_dev(&[&["cost"], &asked[..], &model].concat()).await.stdout;
    assert!(!priced.contains("The model is not in it"), "{priced}");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    for (arguments, said) in [
        (&["--events", "10", "--questions", "11"][..], "more questions than events"),
        (&["--price", "sqs=1"], "no such price"),
        (&["--price", "sqs_fifo=cheap"], "a number is needed"),
        (&["--events", "many"], "many"),
        (&["--event-ms=-1"], "a number is needed"),
        (&["--cold-percent", "101"], "at most 100"),
        (&["--questions-per-session", "0"], "at least 1"),
        (&["--input-tokens", "10"], "--input-token-price"),
        (
            &["--events", "1000000000000", "--duplicates", "1000000000000", "--event-ms", "900000"],
            "too large",
        ),
    ] {
        let refused = slack_dev(&[&["cost"], arguments].concat()).await;
        assert!(refused.code == 2 && refused.stderr.contains(said), "{arguments:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
}

#[tokio::test]
async fn the_prices_say_where_and_when_they_were_read() {
    let listed = slack_dev(&["cost", "--prices", "--price", "kms_keys=2"]).await;
    assert!(listed.code == 0 && listed.stdout.contains("sqs_fifo"), "{listed:?}");
    for line in listed.stdout.lines() {
        assert!(line.contains("https://") && line.contains(" 2026-") || line.contains(" yours "), "{line}");
    }
    let listed = json(&["--prices"]).await;
    assert!(listed["prices"].as_array().unwrap().len() > 20);
}
