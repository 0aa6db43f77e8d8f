//! Tests `slack-dev trace` with work records as the functions write them: by their own store, in DynamoDB.

use slack_ingress::slack::question::{Place, SlackTs};
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis};
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::record::{End, Flight, Posting, Receive, Record, State, Via};
use slack_ingress::work::token::Token;
use slack_ingress::work::{RecordKey, Seen, Version, WorkStore, Written};
use std::time::Duration;
use test_support::aws::Table;

use crate::support::{ToolOutput, slack_dev_with};

const APP: &str = "A0F7YS25R";
const CHANNEL: &str = "C0LAN2Q65";
const TRACE_ID: &str = "1-5759e988-bd862e3fe1be46a994272793";
const TEXT: &str = "the quarterly figures";
/// The digits of all tokens: none of them may be shown.
const TOKEN: u128 = 0xab_cdef;

fn record(state: State) -> Record {
    let place = Place {
        tenant: Some("T1".to_owned()),
        api_app_id: Some(APP.to_owned()),
        team_id: Some("T1".to_owned()),
        channel: CHANNEL.to_owned(),
        thread_ts: Some("1795554000.000001".to_owned()),
        user: Some("U2147483697".to_owned()),
        asked_at: SlackTs::parse("1795554000.000001").unwrap(),
        response_url: Some("https://hooks.slack.com/commands/secret".to_owned()),
    };
    let trace_id = Some(TRACE_ID.to_owned());
    let since = UnixMillis::from_millis(1_795_554_001_500);
    Record { attempts: 2, trace_id, ..Record::new(Some(place), since).with(state) }
}

fn flight(claimed: bool, lease_until: UnixMillis) -> State {
    State::InFlight(Flight {
        token: Some(Token::from_bits(TOKEN)),
        claimed_from: claimed.then(|| Token::from_bits(TOKEN)),
        lease_until,
        receive: Receive { message_id: "m1".to_owned(), handle: "a handle".to_owned() },
    })
}

fn posting(nonce: Option<Token>) -> State {
    State::Posting(Posting {
        token: Token::from_bits(TOKEN),
        receive: Receive { message_id: "m1".to_owned(), handle: "a handle".to_owned() },
        text: TEXT.to_owned(),
        end: End::Answered,
        part: 1,
        nonce,
        intent_at: UnixMillis::from_millis(1_795_554_100_000),
        via: Via::Channel,
        sight: None,
    })
}

fn told(why: &str, told_for: Option<&str>) -> State {
    let (why, told_for) = (why.to_owned(), told_for.map(str::to_owned));
    State::Told { why, told_for, token: Some(Token::from_bits(TOKEN)) }
}

/// A table with work records, one for each message.
struct Records {
    table: Table,
    store: DynamoDbWork,
}

impl Records {
    async fn new() -> Self {
        let table = Table::create().await;
        let store = DynamoDbWork::new(table.client.clone(), table.name.clone());
        Self { table, store }
    }

    /// Writes the record of the `number`th message, and returns the message's link.
    async fn write(&self, number: usize, record: &Record) -> String {
        let key = RecordKey::of_question(&format!("{APP}:{CHANNEL}:1795554000.{number:06}"));
        let seen = Seen { record: None, version: Version::Absent };
        let written = self.store.write(&key, &seen, record, SystemClock.now()).await;
        assert_eq!(written.unwrap(), Written::Done);
        format!("https://acme.slack.com/archives/{CHANNEL}/p1795554000{number:06}")
    }

    async fn trace(&self, arguments: &[&str]) -> ToolOutput {
        let store = format!("dynamodb:{}", self.table.name);
        let variables = [("DEDUP_STORE", store.as_str()), ("AWS_REGION", "eu-central-1")];
        let output = slack_dev_with(&[&["trace"], arguments].concat(), &variables).await;
        for never in [TEXT, Token::from_bits(TOKEN).as_str(), "a handle", "hooks.slack.com"] {
            assert!(!format!("{output:?}").contains(never), "{never}: {output:?}");
        }
        output
    }
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_link_leads_to_what_became_of_the_question_and_to_its_trace() {
    let records = Records::new().await;
    let answered = State::Answered { ts: Some("1795554060.000200".to_owned()), token: None };
    let link = records.write(1, &record(answered)).await;
    let output = records.trace(&[&link, "--app", APP]).await;
    assert_eq!(output.code, 0, "{output:?}");
    for line in [
        "question  A0F7YS25R:C0LAN2Q65:1795554000.000001\n",
        "asked     2026-11-24T21:00:00Z by U2147483697\n",
        "received  2026-11-24T21:00:01.5Z for the first time, by the dispatcher\n",
        "attempts  2: all but the last came to nothing\n",
        "state     answered: the last part stands as the message 1795554060.000200, at 2026-11-24T21:01:00Z\n",
        "trace     1-5759e988-bd862e3fe1be46a994272793\n",
        "X-Ray     https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1\
            #xray:traces/1-5759e988-bd862e3fe1be46a994272793\n",
        "filter trace_id = \"1-5759e988-bd862e3fe1be46a994272793\" or question_id = \
            \"A0F7YS25R:C0LAN2Q65:1795554000.000001\" or message like \"A0F7YS25R:C0LAN2Q65:1795554000.000001: \"\n",
    ] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }

    // The link as Slack gives it for a message in a thread, and the app's id by its variable.
    let reply = format!("{link}?thread_ts=1795554000.000001&cid={CHANNEL}");
    let store = format!("dynamodb:{}", records.table.name);
    let variables = [("DEDUP_STORE", store.as_str()), ("AWS_REGION", "eu-central-1"), ("SLACK_APP_ID", APP)];
    let output = slack_dev_with(&["trace", &reply, "--json"], &variables).await;
    let json = output.json();
    assert_eq!(
        (json["state"].as_str(), json["answer_ts"].as_str()),
        (Some("answered"), Some("1795554060.000200"))
    );
    assert_eq!((json["trace_id"].as_str(), json["attempts"].as_u64()), (Some(TRACE_ID), Some(2)));
    assert!(
        json["xray_url"].as_str().unwrap().ends_with(TRACE_ID) && json["logs_insights_query"].is_string()
    );
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn each_state_is_said_in_words_and_no_text_and_no_token_is_shown() {
    let records = Records::new().await;
    let now = SystemClock.now();
    let (past, future) = (UnixMillis::from_millis(1_000), now.after(Duration::from_secs(90)));
    let states = [
        (State::Free, "it waits on the queue"),
        (flight(false, future), "handed to the agent, which has not claimed it yet"),
        (flight(false, past), "no agent has claimed it until 1970-01-01T00:00:01Z"),
        (flight(true, future), "an agent works on it"),
        (flight(true, past), "the agent that worked on it is gone: its lease ended 1970-01-01T00:00:01Z"),
        (
            posting(Some(Token::from_bits(TOKEN))),
            "its text is on the way to Slack (part 2, since 2026-11-24T21:01:40Z)",
        ),
        (posting(None), "its text waits to be posted (part 2)"),
        (State::Answered { ts: None, token: None }, "answered, by tools of the agent's own"),
        (
            told("gave_up", Some("m1")),
            "not answered, and whoever asked was told so: gave_up; it is a dead letter",
        ),
        (told("stopped", None), "withdrawn: somebody pressed stop"),
        (told("deleted", None), "withdrawn: its message was deleted"),
        (told("untold", Some("m1")), "nobody could be told so in Slack: it is a dead letter"),
        (told("outcome_unknown", Some("m1")), "nobody can find out whether its answer stands"),
    ];
    for (number, (state, words)) in states.into_iter().enumerate() {
        let link = records.write(number, &record(state)).await;
        let output = records.trace(&[&link, "--app", APP]).await;
        assert_eq!(output.code, 0, "{output:?}");
        let said = output.stdout.lines().find_map(|line| line.strip_prefix("state     ")).unwrap();
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn the_link_of_an_answer_leads_to_the_question_that_began_the_thread() {
    let records = Records::new().await;
    let link = records.write(1, &record(State::Free)).await;
    let answer = format!("{}?thread_ts=1795554000.000001&cid={CHANNEL}", link.replace("000001", "000009"));
    let output = records.trace(&[&answer, "--app", APP]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.starts_with("This message is no question. It stands in a thread"), "{output:?}");
    assert!(output.stdout.contains("question  A0F7YS25R:C0LAN2Q65:1795554000.000001\n"), "{output:?}");
    let output = records.trace(&[&answer, "--app", APP, "--json"]).await;
    assert_eq!(output.json()["question_id"], "A0F7YS25R:C0LAN2Q65:1795554000.000001");
    // The link of a question says the same with the thread that it stands in, whatever that began with.
    let question = format!("{link}?thread_ts=1795553000.000001&cid={CHANNEL}");
    let output = records.trace(&[&question, "--app", APP]).await;
    assert!(output.stdout.starts_with("question  "), "{output:?}");
    let output = records.trace(&[&question.replace("000001?", "000008?"), "--app", APP]).await;
    assert_eq!(output.code, 1, "{output:?}");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_question_without_a_trace_is_found_by_its_id_and_one_without_a_record_is_explained() {
    let records = Records::new().await;
    let link = records.write(1, &Record { trace_id: None, ..record(State::Free) }).await;
    let output = records.trace(&[&link, "--app", APP]).await;
    assert!(output.stdout.contains("trace     none") && !output.stdout.contains("X-Ray"), "{output:?}");
    assert!(output.stdout.contains("\nfilter question_id = \"A0F7YS25R:"), "{output:?}");

    for (link, app) in [(link.replace("000001", "000002"), APP), (link.clone(), "A0000000000")] {
        let output = records.trace(&[&link, "--app", app]).await;
        assert_eq!(output.code, 1);
        assert!(output.stdout.contains("There is no work record of this message"), "{output:?}");
        let output = records.trace(&[&link, "--app", app, "--json"]).await;
        assert_eq!((output.code, output.json()["state"].as_str()), (1, Some("absent")));
    }
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_is_asked() {
    let link = format!("https://acme.slack.com/archives/{CHANNEL}/p1795554000000001");
    let store = ("DEDUP_STORE", "dynamodb:slack-events");
    for (arguments, variables, problem) in [
        (vec!["trace", &link], vec![store], "--app or SLACK_APP_ID"),
        (vec!["trace", &link], vec![store, ("SLACK_APP_ID", "a b")], "SLACK_APP_ID"),
        (vec!["trace", &link, "--app", "A1:C1"], vec![store], "A to Z and digits"),
        (vec!["trace", &link, "--app", APP], vec![], "DEDUP_STORE is missing"),
        (vec!["trace", &link, "--app", APP], vec![("DEDUP_STORE", "memory:")], "no table of DynamoDB"),
        (
            vec!["trace", "https://acme.slack.com/archives/C1", "--app", APP],
            vec![store],
            "/archives/<channel>/p",
        ),
    ] {
        let output = slack_dev_with(&arguments, &variables).await;
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(problem), "{problem}: {output:?}");
    }
}
