//! Tests `slack-dev audit` with entries as agent-settle writes them: by its own store, in DynamoDB.

use slack_ingress::slack::question::{Place, SlackTs};
use slack_ingress::time::clock::UnixMillis;
use slack_ingress::work::RecordKey;
use slack_ingress::work::audit::{Act, AuditEntry, AuditRules, AuditStore, Redact};
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::token::Token;
use test_support::aws::AuditTable;

use crate::support::{ToolOutput, slack_dev_with};

const TEXT: &str = "the quarterly figures";
const DAY: u64 = 86_400_000;

/// A table in which each of these people has asked one question a day, from 1 January 1970 on.
async fn trail(people: &[&str], days: u64) -> AuditTable {
    let table = AuditTable::create().await;
    let store = DynamoDbWork::new(table.client.clone(), "none").with_audit(Some(table.name.clone()));
    let rules = AuditRules { days: 3650, redact: Redact::default(), texts: true };
    for person in people {
        for day in 0..days {
            let place = Place {
                tenant: Some("T1".to_owned()),
                api_app_id: Some("A1".to_owned()),
                team_id: Some("T1".to_owned()),
                channel: "C1".to_owned(),
                thread_ts: None,
                user: Some((*person).to_owned()),
                asked_at: SlackTs::parse("1531420618.000200").unwrap(),
                response_url: None,
            };
            let key = RecordKey::of_question(&format!("A1:C1:{person}.{day}"));
            let (by, now) = (Token::from_bits(7), UnixMillis::from_millis(day * DAY));
            let arguments = format!("{{\"text\":\"{TEXT}\"}}");
            for act in [
                Act::Asked { attempt: 1, by: &by },
                Act::Call { number: 1, tool: "t___a", arguments: &arguments, by: &by },
            ] {
                let entry = AuditEntry::of(&rules, &key, Some(&place), &act, now);
                store.put_audit(&entry).await.unwrap();
            }
        }
    }
    table
}

async fn audit(table: &AuditTable, arguments: &[&str]) -> ToolOutput {
    let variables = [("AUDIT_TABLE", table.name.as_str()), ("AWS_REGION", "us-east-1")];
    slack_dev_with(&[&["audit"], arguments].concat(), &variables).await
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_person_is_found_exported_and_deleted_and_nobody_else() {
    let table = trail(&["U1", "U12"], 30).await;
    let person = ["--tenant", "T1", "--user", "U1"];
    let found = audit(&table, &[&["find"], &person[..]].concat()).await;
    assert_eq!((found.code, found.stdout.lines().count()), (0, 61), "{found:?}");
    assert!(!found.stdout.contains(TEXT) && !found.stdout.contains("U12"), "{found:?}");
    let last = found.stdout.lines().last().unwrap();
    assert_eq!(last, "60 entries of 30 questions, from 1970-01-01T00:00:00Z to 1970-01-30T00:00:00Z");

    let exported = audit(&table, &[&["export"], &person[..]].concat()).await;
    let lines: Vec<serde_json::Value> =
        exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 60);
    assert!(lines.iter().all(|line| line["person"] == "T1:U1"));
    assert_eq!(exported.stdout.matches(TEXT).count(), 30);

    let asked = audit(&table, &[&["delete"], &person[..]].concat()).await;
    assert!(asked.code == 1 && asked.stdout.contains("Nothing was deleted"), "{asked:?}");
    assert_eq!(table.entries().await.len(), 120);
    let deleted = audit(&table, &[&["delete"], &person[..], &["--yes"]].concat()).await;
    assert!(deleted.code == 0 && deleted.stdout.starts_with("60 entries were deleted."), "{deleted:?}");
    let left = table.entries().await;
    assert_eq!(left.len(), 60);
    assert!(left.iter().all(|entry| entry["person"] == "T1:U12"));
    let gone = audit(&table, &[&["find"], &person[..]].concat()).await;
    assert_eq!((gone.code, gone.stdout.trim()), (1, "no entries"));
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_time_is_exported_in_its_order() {
    let table = trail(&["U1", "U2"], 5).await;
    let some = audit(&table, &["export", "--from", "1970-01-02", "--to", "1970-01-03T00:00:00Z"]).await;
    let at: Vec<String> = some
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["at"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(at.len(), 8, "{some:?}");
    assert!(at.is_sorted() && at[0] == "1970-01-02T00:00:00Z" && at[7] == "1970-01-03T00:00:00Z");
    assert_eq!(audit(&table, &["export"]).await.stdout.lines().count(), 20);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused() {
    for (arguments, named) in [
        (vec!["find", "--tenant", "T1"], "--user"),
        (vec!["find", "--tenant", "T1", "--user", "bob"], "A to Z"),
        (vec!["export", "--user", "U1"], "--tenant"),
        (vec!["export", "--from", "yesterday"], "2026-11-01"),
        (vec!["export", "--table", "t", "--from", "2026-11-02", "--to", "2026-11-01"], "later"),
        (vec!["export"], "AUDIT_TABLE"),
    ] {
        let refused =
            slack_dev_with(&[&["audit"], &arguments[..]].concat(), &[("AWS_REGION", "us-east-1")]).await;
        assert!(refused.code == 2 && refused.stderr.contains(named), "{arguments:?}: {refused:?}");
    }
}
