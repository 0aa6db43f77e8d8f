//! Tests `slack-dev bridge` against a stand-in for Slack's side of Socket Mode: wherever a connection is cut, each delivery is on the
//! sink once, and none is acknowledged before it is there.

mod aws;
mod process;
mod slack;

use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use test_support::slack::fixtures;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use process::{Bridge, Scratch};
use slack::{ScriptStep, Slack};

/// A size, in bytes, that is larger than a pipe's buffer and allowed in an envelope.
const TOO_MUCH_FOR_A_PIPE: usize = 200_000;

fn fixture(kind: &str, name: &str) -> Value {
    serde_json::from_str(&fixtures::read(kind, &format!("{name}.json"))).unwrap()
}

fn event(id: &str) -> Value {
    let mut event = fixture("events", "message_channel");
    event["event_id"] = json!(id);
    event
}

/// A command with this mark in its text and without the `trigger_id` that Slack sends, because the bridge must not need it.
fn command(mark: &str) -> Value {
    json!({
        "token": "gIkuvaNzQIHg97ATvDxqgjtO", "team_id": "T061EG9R6", "channel_id": "C0LAN2Q65", "user_id": "U061F7AUR",
        "command": "/weather", "text": format!("Zürich & 20 °C + {mark}"), "api_app_id": "A0F7YS25R",
        "is_enterprise_install": "false", "response_url": "https://hooks.slack.com/commands/T061EG9R6/1/96rG",
    })
}

fn interaction(mark: &str) -> Value {
    let mut view = fixture("forms", "view_closed");
    view["view"]["private_metadata"] = json!(mark);
    view
}

/// The texts by which the lines of deliveries 0, 1 and 2 are found on the sink: an event, a command and an interaction.
const MARKS: [&str; 3] = ["EvMARK0", "CmdMARK1", "IntMARK2"];

fn one_of_each(slack: &Slack) {
    slack.add_delivery("events_api", event(MARKS[0]), MARKS[0]);
    slack.add_delivery("slash_commands", command(MARKS[1]), MARKS[1]);
    slack.add_delivery("interactive", interaction(MARKS[2]), MARKS[2]);
}

async fn set_up(name: &str) -> (Scratch, Slack) {
    let scratch = Scratch::new(name);
    let slack = Slack::start(scratch.sink()).await;
    (scratch, slack)
}

/// Checks that each delivery is on the sink once, that it was there when it was acknowledged, and that the stand-in noted no problem.
fn assert_each_once(slack: &Slack, lines: &[Value], context: &str) {
    let state = slack.state();
    assert!(state.problems.is_empty(), "{context}: {:?}", state.problems);
    for delivery in &state.deliveries {
        let count =
            lines.iter().filter(|line| line["body"].as_str().unwrap().contains(&delivery.mark)).count();
        assert_eq!(count, 1, "{context}: {} is on the sink {count} times", delivery.mark);
        let acknowledged =
            delivery.acknowledged.as_ref().unwrap_or_else(|| panic!("{context}: {} is lost", delivery.mark));
        assert!(
            acknowledged.was_on_sink,
            "{context}: {} was acknowledged before it was on the sink",
            delivery.mark
        );
    }
    assert_eq!(lines.len(), state.deliveries.len(), "{context}");
}

fn attribute<'a>(line: &'a Value, name: &str) -> &'a str {
    line["attributes"][name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn all_three_kinds_of_delivery_reach_the_sink_and_are_recorded_under_their_ids() {
    let (scratch, slack) = set_up("kinds").await;
    one_of_each(&slack);
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    let lines = bridge.lines();
    assert_each_once(&slack, &lines, "kinds");
    let by_kind: BTreeMap<&str, &Value> = lines.iter().map(|line| (attribute(line, "kind"), line)).collect();
    assert_eq!(attribute(by_kind["event"], "event_id"), MARKS[0]);
    assert_eq!(attribute(by_kind["event"], "retry_num"), "", "the first attempt is no retry");
    for (kind, number, event_type) in [("command", 1, "/weather"), ("interaction", 2, "view_closed")] {
        assert_eq!(attribute(by_kind[kind], "event_id"), slack.envelope_ids(number)[0], "{kind}");
        assert_eq!(attribute(by_kind[kind], "type"), event_type);
    }
    let body = |kind: &str| serde_json::from_str::<Value>(by_kind[kind]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body("event"), event(MARKS[0]));
    assert_eq!(body("command"), command(MARKS[1]));
    assert_eq!(body("interaction"), interaction(MARKS[2]));
    for number in 0..3 {
        let id = &slack.envelope_ids(number)[0];
        assert_eq!(slack.acknowledged(number).unwrap().frame, json!({ "envelope_id": id }), "and no payload");
    }
}

#[tokio::test]
async fn a_request_for_a_menus_options_is_answered_with_none_at_once() {
    let (scratch, slack) = set_up("suggestion").await;
    let menu = slack.add_delivery("interactive", fixture("forms", "block_suggestion"), "no line");
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    slack.until_all_acknowledged().await;
    let expected = json!({ "envelope_id": slack.envelope_ids(menu)[0], "payload": { "options": [] } });
    assert_eq!(slack.acknowledged(menu).unwrap().frame, expected);
    bridge.stop().await;
    assert_eq!(bridge.lines().len(), 0);
}

#[tokio::test]
async fn wherever_a_connection_is_cut_each_delivery_is_on_the_sink_once() {
    use ScriptStep::{
        Cut, Deliver, DeliverHalf, Disconnect, Hello, Read, ReadUntilAcknowledged, ReadUntilClosed,
        WaitForConnections, WaitForLine, WaitForUnread,
    };
    let renew = Disconnect("refresh_requested");
    let cuts: [(&str, Vec<Vec<ScriptStep>>); 16] = [
        ("before hello", vec![vec![Cut]]),
        ("before hello, twice", vec![vec![Cut], vec![Cut]]),
        ("after hello", vec![vec![Hello, Cut]]),
        ("within an event's envelope", vec![vec![Hello, DeliverHalf(0), Cut]]),
        ("within a command's envelope", vec![vec![Hello, Deliver(0), DeliverHalf(1), Cut]]),
        ("after the envelopes, at once", vec![vec![Hello, Deliver(0), Deliver(1), Deliver(2), Cut]]),
        ("when an event is on the sink", vec![vec![Hello, Deliver(0), WaitForLine(0), Cut]]),
        ("when a command is on the sink", vec![vec![Hello, Deliver(1), WaitForLine(1), Cut]]),
        (
            "when the acknowledgements were sent and none was read",
            vec![vec![
                Hello,
                Deliver(0),
                Deliver(1),
                Deliver(2),
                WaitForLine(0),
                WaitForLine(1),
                WaitForLine(2),
                WaitForUnread,
                Cut,
            ]],
        ),
        (
            "after one acknowledgement of three",
            vec![vec![Hello, Deliver(0), Deliver(1), ReadUntilAcknowledged(0), Deliver(2), Cut]],
        ),
        (
            "after a warning, before the other is there",
            vec![vec![Hello, Deliver(0), Disconnect("warning"), Cut]],
        ),
        (
            "the old one, while both are there",
            vec![
                vec![
                    Hello,
                    Deliver(0),
                    ReadUntilAcknowledged(0),
                    renew,
                    WaitForConnections(2),
                    Deliver(1),
                    Cut,
                ],
                vec![Hello, Deliver(2), ReadUntilAcknowledged(2)],
            ],
        ),
        (
            "the new one before its hello",
            vec![
                vec![
                    Hello,
                    renew,
                    Deliver(0),
                    Read(300),
                    Deliver(1),
                    ReadUntilAcknowledged(1),
                    ReadUntilClosed,
                ],
                vec![Cut],
            ],
        ),
        (
            "the new one, while both are there",
            vec![
                vec![
                    Hello,
                    renew,
                    WaitForConnections(2),
                    Deliver(1),
                    ReadUntilAcknowledged(1),
                    ReadUntilClosed,
                ],
                vec![Hello, Deliver(0), WaitForLine(0), Cut],
            ],
        ),
        (
            "both, while both are there",
            vec![
                vec![Hello, renew, WaitForConnections(2), Deliver(1), Cut],
                vec![Hello, Deliver(0), Deliver(2), Cut],
            ],
        ),
        (
            "the same events on two connections at once",
            vec![
                vec![Hello, Deliver(0), Deliver(1), renew, WaitForConnections(2), Read(100), Cut],
                vec![Hello, Deliver(0), Deliver(1), Cut],
            ],
        ),
    ];
    join_all(cuts.into_iter().enumerate().map(async |(number, (cut, scripts))| {
        let (scratch, slack) = set_up(&format!("cut-{number}")).await;
        one_of_each(&slack);
        slack.script(scripts);
        let mut bridge = Bridge::start(scratch, &slack, &[]);
        slack.until_all_acknowledged().await;
        // A second line would have been written by now.
        sleep(Duration::from_millis(300)).await;
        bridge.stop().await;
        assert_each_once(&slack, &bridge.lines(), cut);
        assert!(slack.state().connections.len() >= 2, "{cut}: it was never connected again");
    }))
    .await;
}

#[tokio::test]
async fn fifty_events_through_connections_that_are_cut_repeatedly_are_each_on_the_sink_once() {
    let (scratch, slack) = set_up("again-and-again").await;
    for number in 0..50 {
        let mark = format!("EvMANY{number:03}.");
        slack.add_delivery("events_api", event(&mark), &mark);
    }
    let deliver = |from: usize| (from..from + 8).map(ScriptStep::Deliver);
    slack.script((0..6).map(|n| {
        let acknowledged_before_the_cut = (n % 2 == 0).then_some(ScriptStep::ReadUntilAcknowledged(n * 8));
        [ScriptStep::Hello]
            .into_iter()
            .chain(deliver(n * 8))
            .chain(acknowledged_before_the_cut)
            .chain([ScriptStep::Cut])
            .collect()
    }));
    let mut bridge = Bridge::start(scratch, &slack, &["--connections", "2"]);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    assert_each_once(&slack, &bridge.lines(), "again and again");
}

/// Adds a delivery whose line is too large for the pipe's buffer, so that writing it blocks until the test reads the pipe.
fn blocked(slack: &Slack) -> usize {
    let mut event = event("EvHELD");
    event["event"]["text"] = json!("x".repeat(TOO_MUCH_FOR_A_PIPE));
    slack.add_delivery("events_api", event, "EvHELD")
}

#[tokio::test]
async fn nothing_is_acknowledged_before_the_sink_has_taken_it() {
    let (scratch, slack) = set_up("order").await;
    let blocked = blocked(&slack);
    slack.script([vec![
        ScriptStep::Hello,
        ScriptStep::Deliver(blocked),
        ScriptStep::Read(1000),
        ScriptStep::ReadUntilAcknowledged(blocked),
    ]]);
    let (mut bridge, mut pipe) = Bridge::into_pipe(scratch, &slack, &[]);
    slack.until("delivered", |state| state.connections.first().is_some_and(|one| one.hello.is_some())).await;
    sleep(Duration::from_millis(700)).await;
    assert!(slack.acknowledged(blocked).is_none(), "acknowledged, and not on the sink");
    let mut taken = vec![0; TOO_MUCH_FOR_A_PIPE];
    pipe.read_exact(&mut taken).await.unwrap();
    slack.until_all_acknowledged().await;
    bridge.stop().await;
}

#[tokio::test]
async fn the_old_connection_is_closed_when_the_new_one_is_open_and_all_its_envelopes_are_acknowledged() {
    let (scratch, slack) = set_up("overlap").await;
    let blocked = blocked(&slack);
    slack.script([
        vec![
            ScriptStep::Hello,
            ScriptStep::Deliver(blocked),
            ScriptStep::Disconnect("refresh_requested"),
            ScriptStep::WaitForConnections(2),
            ScriptStep::ReadUntilClosed,
        ],
        vec![ScriptStep::Hello],
    ]);
    let (mut bridge, mut pipe) = Bridge::into_pipe(scratch, &slack, &[]);
    slack
        .until("a second connection", |state| state.connections.get(1).is_some_and(|one| one.hello.is_some()))
        .await;
    sleep(Duration::from_millis(900)).await;
    assert!(slack.state().connections[0].closed.is_none(), "closed with something under way");
    let reading = tokio::spawn(async move { drop(pipe.read_to_end(&mut Vec::new()).await) });
    slack.until("the old one closed", |state| state.connections[0].closed.is_some()).await;
    {
        let state = slack.state();
        let acknowledged = state.deliveries[blocked].acknowledged.clone().unwrap();
        assert_eq!(acknowledged.connection, 0, "on the connection that brought it");
        assert!(acknowledged.at < state.connections[0].closed.unwrap());
        assert!(state.connections[1].ended.is_none() && state.problems.is_empty());
    }
    bridge.stop().await;
    reading.await.unwrap();
}

#[tokio::test]
async fn envelopes_are_taken_from_both_connections_while_there_are_two() {
    use ScriptStep::{
        Deliver, Disconnect, Hello, ReadUntilAcknowledged, ReadUntilClosed, WaitForConnections,
    };
    for reason in ["warning", "refresh_requested"] {
        let (scratch, slack) = set_up(&format!("both-{reason}")).await;
        one_of_each(&slack);
        slack.script([
            vec![
                Hello,
                Disconnect(reason),
                Deliver(0),
                ReadUntilAcknowledged(0),
                WaitForConnections(2),
                Deliver(1),
                ReadUntilAcknowledged(1),
                ReadUntilClosed,
            ],
            // The last step keeps the second connection from delivering the first one's delivery.
            vec![Hello, Deliver(2), ReadUntilAcknowledged(2), ReadUntilAcknowledged(1)],
        ]);
        let mut bridge = Bridge::start(scratch, &slack, &[]);
        slack
            .until("the old one closed", |state| {
                state.connections.first().is_some_and(|one| one.closed.is_some())
            })
            .await;
        slack.until_all_acknowledged().await;
        let on = |number| slack.acknowledged(number).unwrap().connection;
        assert_eq!([on(0), on(1), on(2)], [0, 0, 1]);
        bridge.stop().await;
        assert_each_once(&slack, &bridge.lines(), reason);
        assert_eq!(slack.state().asked.len(), 2, "one address for each");
    }
}

#[tokio::test]
async fn two_connections_are_kept_open_if_the_flag_says_so() {
    let (scratch, slack) = set_up("two").await;
    slack.script([
        vec![ScriptStep::Hello, ScriptStep::WaitForConnections(2), ScriptStep::Read(300), ScriptStep::Cut],
        vec![ScriptStep::Hello],
    ]);
    let mut bridge = Bridge::start(scratch, &slack, &["--connections", "2"]);
    let open = |state: &slack::State| {
        state.connections.iter().filter(|one| one.hello.is_some() && one.ended.is_none()).count()
    };
    slack.until("two", |state| open(state) == 2).await;
    slack.until("one", |state| open(state) == 1).await;
    slack.until("two again", |state| open(state) == 2 && state.connections.len() == 3).await;
    bridge.stop().await;
    assert!(slack.state().connections.iter().skip(1).all(|one| one.closed.is_some()), "each was closed");
}

#[tokio::test]
async fn a_503_is_not_acknowledged_and_the_last_attempt_is_sent_without_the_store() {
    let (scratch, slack) = set_up("store-down").await;
    slack.add_delivery("events_api", event(MARKS[0]), MARKS[0]);
    let variables = [
        ("DEDUP_STORE", "dynamodb:slack-events"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"), // "discard": nobody listens
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let mut bridge = Bridge::with(scratch, &slack, &[], &variables);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    assert_each_once(&slack, &bridge.lines(), "store down");
    assert_eq!(slack.acknowledged(0).unwrap().attempt, 3, "not before the third retry");
    let line = &bridge.lines()[0];
    assert_eq!((attribute(line, "unguarded"), attribute(line, "retry_num")), ("true", "3"));
    assert_eq!(attribute(line, "retry_reason"), "timeout");
    let log = bridge.log();
    assert_eq!(log.matches("unavailable (store)").count(), 3, "{log}");
    assert_eq!(log.matches("not acknowledged").count(), 3, "{log}");
}

#[tokio::test]
async fn an_envelope_that_can_never_succeed_is_acknowledged_with_a_warning_that_quotes_nothing() {
    let (scratch, slack) = set_up("malformed").await;
    let nameless = json!({ "type": "event_callback", "event": { "type": "message", "text": "xyzzy" } });
    slack.add_delivery("events_api", nameless, "no line");
    slack.add_delivery("of_tomorrow", json!({ "type": "of_tomorrow", "text": "xyzzy" }), "no line");
    slack.add_delivery("slash_commands", json!({ "text": "xyzzy" }), "no line");
    slack.add_delivery("interactive", json!("xyzzy"), "no line");
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    assert!(
        slack.state().deliveries.iter().all(|one| one.acknowledged.as_ref().unwrap().attempt == 0),
        "at once"
    );
    let log = bridge.log();
    for expected in
        ["warning: malformed (missing_event_id)", "(unsupported_type)", "(not_json)", "4 malformed"]
    {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    assert!(!log.contains("xyzzy"), "{log}");
    assert_eq!(bridge.lines().len(), 0);
}

#[tokio::test]
async fn the_log_has_counts_and_neither_texts_nor_tokens_nor_addresses() {
    let (scratch, slack) = set_up("log").await;
    one_of_each(&slack);
    slack.script([vec![
        ScriptStep::Hello,
        ScriptStep::Deliver(0),
        ScriptStep::WaitForLine(0),
        ScriptStep::Cut,
    ]]);
    let mut bridge = Bridge::with(scratch, &slack, &[], &[("RUST_LOG", "trace")]);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    let log = bridge.log();
    assert!(log.contains("3 accepted") && log.contains("duplicate event message EvMARK0, retry 1"), "{log}");
    for never in [slack::TOKEN, "ticket-", "prosper", "Zürich", "gIkuvaNzQIHg97ATvDxqgjtO", "hooks.slack.com"]
    {
        assert!(!log.contains(never), "{never}: {log}");
    }
}

#[tokio::test]
async fn a_token_that_slack_refuses_ends_the_bridge_and_is_not_shown() {
    for (token, expected) in [
        ("xapp-of-somebody-else", "does not accept the token in SLACK_APP_TOKEN (invalid_auth)"),
        ("xoxb-a-bots", "no app-level token"),
        ("", "SLACK_APP_TOKEN is not set"),
    ] {
        let (scratch, slack) = set_up(&format!("token-{}", token.len())).await;
        let mut bridge = Bridge::with(scratch, &slack, &[], &[("SLACK_APP_TOKEN", token)]);
        assert_eq!(bridge.ended().await, 1);
        let log = bridge.log();
        assert!(log.contains(expected), "{log}");
        assert!(token.is_empty() || !log.contains(token), "{log}");
    }
}

#[tokio::test]
async fn if_socket_mode_is_switched_off_the_bridge_ends_and_says_what_to_do() {
    for script in [
        vec![ScriptStep::Hello, ScriptStep::Disconnect("link_disabled")],
        vec![ScriptStep::Disconnect("link_disabled")],
    ] {
        let (scratch, slack) = set_up(&format!("disabled-{}", script.len())).await;
        slack.script([script]);
        let mut bridge = Bridge::start(scratch, &slack, &[]);
        assert_eq!(bridge.ended().await, 1);
        assert!(bridge.log().contains("link_disabled"), "{}", bridge.log());
        assert_eq!(slack.state().asked.len(), 1, "it did not ask again");
    }
}

#[tokio::test]
async fn wrong_settings_end_the_bridge_and_each_is_named() {
    let (scratch, slack) = set_up("settings").await;
    let mut bridge =
        Bridge::with(scratch, &slack, &[], &[("DEDUP_STORE", "postgres:"), ("BOT_EVENTS", "none")]);
    assert_eq!(bridge.ended().await, 1);
    let log = bridge.log();
    assert!(log.contains("DEDUP_STORE") && log.contains("BOT_EVENTS") && !log.contains("SIGNING"), "{log}");
    assert!(slack.state().asked.is_empty());
}

#[tokio::test]
async fn the_bridge_waits_as_long_as_a_rate_limit_says_and_longer_after_each_failure_of_slacks() {
    let (scratch, slack) = set_up("rate").await;
    one_of_each(&slack);
    slack.refuse(429, json!({ "ok": false, "error": "ratelimited" }), Some(2));
    slack.refuse(200, json!({ "ok": false, "error": "internal_error" }), None);
    slack.refuse(503, json!("unavailable"), None);
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    slack.until_all_acknowledged().await;
    bridge.stop().await;
    let asked = slack.state().asked.clone();
    let pauses: Vec<_> = asked.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    assert!(pauses[0] >= 2.0 && pauses[0] < 3.0, "as long as Slack said: {pauses:?}");
    assert!(
        pauses[1] >= 0.5 && pauses[1] < 1.5 && pauses[2] >= 1.0 && pauses[2] < 2.5,
        "longer each time: {pauses:?}"
    );
    assert_each_once(&slack, &bridge.lines(), "rate");
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_received_is_given_up() {
    let (scratch, slack) = set_up("dead").await;
    one_of_each(&slack);
    slack.script([
        vec![ScriptStep::Hello, ScriptStep::Deliver(0), ScriptStep::ReadNothing],
        vec![ScriptStep::ReadNothing],
        vec![ScriptStep::Hello],
    ]);
    let start = Instant::now();
    let mut bridge = Bridge::start(scratch, &slack, &["--ping-seconds", "1"]);
    slack.until_all_acknowledged().await;
    assert!(start.elapsed() > Duration::from_secs(6), "three seconds of silence each");
    bridge.stop().await;
    assert_each_once(&slack, &bridge.lines(), "dead");
    let log = bridge.log();
    assert!(log.contains("nothing was heard for 3s") && log.contains("no hello within 3s"), "{log}");
}

#[tokio::test]
async fn a_quiet_connection_whose_pings_are_answered_is_kept() {
    let (scratch, slack) = set_up("quiet").await;
    let mut bridge = Bridge::start(scratch, &slack, &["--ping-seconds", "1"]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(slack.state().connections.len(), 1, "{}", bridge.log());
    bridge.stop().await;
}

#[tokio::test]
async fn after_a_signal_the_bridge_takes_nothing_new_and_finishes_what_is_under_way() {
    for signal in ["INT", "TERM"] {
        let (scratch, slack) = set_up(&format!("signal-{signal}")).await;
        let blocked = blocked(&slack);
        let late = slack.add_delivery("events_api", event("EvLATE"), "EvLATE");
        let read = ScriptStep::Read(200);
        slack.script([vec![
            ScriptStep::Hello,
            ScriptStep::Deliver(blocked),
            read,
            read,
            read,
            ScriptStep::Deliver(late),
            ScriptStep::ReadUntilClosed,
        ]]);
        let (mut bridge, mut pipe) = Bridge::into_pipe(scratch, &slack, &[]);
        slack.until("delivered", |state| state.deliveries[blocked].was_sent()).await;
        sleep(Duration::from_millis(250)).await;
        bridge.signal(signal);
        slack.until("the late one", |state| state.deliveries[late].was_sent()).await;
        sleep(Duration::from_millis(200)).await;
        assert!(slack.acknowledged(blocked).is_none());
        let mut lines = String::new();
        pipe.read_to_string(&mut lines).await.unwrap();
        assert_eq!(bridge.ended().await, 0, "{}", bridge.log());
        assert!(
            slack.acknowledged(blocked).is_some() && slack.acknowledged(late).is_none(),
            "{}",
            bridge.log()
        );
        assert!(lines.contains("EvHELD") && !lines.contains("EvLATE"));
        assert!(slack.state().connections[0].closed.is_some());
        assert!(bridge.log().contains("ended: 1 accepted"), "{}", bridge.log());
    }
}

#[tokio::test]
async fn a_signal_while_the_bridge_waits_to_connect_ends_it_at_once() {
    let (scratch, slack) = set_up("waiting").await;
    slack.refuse(429, json!({ "ok": false, "error": "ratelimited" }), Some(600));
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    slack.until("asked", |state| !state.asked.is_empty()).await;
    sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    bridge.stop().await;
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_second_signal_ends_the_bridge_at_once() {
    let (scratch, slack) = set_up("twice").await;
    let blocked = blocked(&slack);
    let (mut bridge, pipe) = Bridge::into_pipe(scratch, &slack, &[]);
    slack.until("delivered", |state| state.deliveries[blocked].was_sent()).await;
    sleep(Duration::from_millis(200)).await;
    bridge.signal("INT");
    sleep(Duration::from_millis(300)).await;
    bridge.signal("INT");
    assert_eq!(bridge.ended().await, 130, "{}", bridge.log());
    drop(pipe);
}

#[tokio::test]
async fn if_nobody_reads_its_standard_output_the_bridge_ends_and_acknowledges_nothing() {
    let (scratch, slack) = set_up("no-reader").await;
    one_of_each(&slack);
    let (mut bridge, pipe) = Bridge::into_pipe(scratch, &slack, &[]);
    drop(pipe);
    assert_eq!(bridge.ended().await, 1);
    assert!(bridge.log().contains("standard output takes no more lines"), "{}", bridge.log());
    assert!((0..3).all(|number| slack.acknowledged(number).is_none()));
}

#[tokio::test]
async fn the_bridge_speaks_tls_to_a_wss_address() {
    let (scratch, slack) = set_up("tls").await;
    slack.with_scheme("wss");
    let mut bridge = Bridge::start(scratch, &slack, &[]);
    // The stand-in has no certificate, so it receives the beginning of TLS and no WebSocket.
    slack.until("asked twice", |state| state.asked.len() >= 2).await;
    assert!(slack.state().connections.is_empty());
    bridge.stop().await;
    assert!(!bridge.log().contains("panic"), "{}", bridge.log());
    assert!(bridge.log().contains("no connection:"), "{}", bridge.log());
}

#[test]
fn the_command_kill_exists() {
    let missing = std::process::Command::new("kill")
        .arg("-l")
        .output()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound);
    assert!(!missing, "these tests need the command `kill`");
}
