//! What `agent-settle` asks of Slack through its Gateway, over HTTP: each outcome of a call, with stand-ins for the Gateway and
//! for Slack. What the errors mean one by one is tested beside the code.

use serde_json::json;
use slack_ingress::aws::signed_call::TimeLimits;
use slack_ingress::gateway::agent_core::AgentCoreGateway;
use slack_ingress::gateway::installations::Installations;
use slack_ingress::gateway::prompts::Prompts;
use slack_ingress::gateway::stream::{Replaced, StreamTools};
use slack_ingress::gateway::{
    Conversation, FindOutcome, MembersOutcome, Pane, PersonOutcome, Post, PostOutcome, ReadOutcome, Retry,
    Search, SessionStatus, SlackTools, StatusOutcome, StatusPlace,
};
use slack_ingress::slack::asker::AskerKind;
use slack_ingress::time::clock::{Clock, Moment, SystemClock, UnixMillis};
use std::time::Duration;
use test_support::aws::sdk_config;
use test_support::gateway::{AGENT_TOOLS, Fault, Form, Gateway, SETTLE_TOOLS, TARGET};
use test_support::http::listen;
use test_support::slack::api::{Fault as SlackFault, SlackApi};

const CHANNEL: &str = "C0LAN2Q65";
const THREAD: &str = "1795554000.000100";
const NONCE: &str = "0123456789abcdef0123456789abcdef";
const OTHER_NONCE: &str = "fedcba9876543210fedcba9876543210";

const POST: Post<'static> = Post {
    tenant: None,
    channel: CHANNEL,
    thread_ts: Some(THREAD),
    text: "It is 42.",
    nonce: NONCE,
    feedback_for: None,
    blocks: None,
};

/// Long enough for a call on a busy machine.
const PATIENT: TimeLimits = TimeLimits { connect: Duration::from_secs(10), call: Duration::from_secs(20) };
/// For a call that is not answered.
const HASTY: TimeLimits = TimeLimits { connect: Duration::from_secs(1), call: Duration::from_secs(1) };

struct Scene {
    slack: SlackApi,
    gateway: Gateway,
    tools: AgentCoreGateway,
}

impl Scene {
    async fn start() -> Self {
        let slack = SlackApi::start().await;
        let gateway = Gateway::start(&slack, &SETTLE_TOOLS).await;
        let tools = tools(&gateway.url(), &slack.hooks_url(), PATIENT);
        Self { slack, gateway, tools }
    }

    fn hasty(&self) -> AgentCoreGateway {
        tools(&self.gateway.url(), &self.slack.hooks_url(), HASTY)
    }

    async fn find(&self, nonce: &str, thread_ts: Option<&str>) -> FindOutcome {
        self.tools.find(&search(nonce, thread_ts), until()).await
    }
}

/// Long after the end of a test.
fn until() -> Moment {
    SystemClock.moment().after(Duration::from_secs(60))
}

fn tools(url: &str, hooks: &str, limits: TimeLimits) -> AgentCoreGateway {
    tools_of(Installations::One(TARGET.to_owned()), url, hooks, limits)
}

fn tools_of(installations: Installations, url: &str, hooks: &str, limits: TimeLimits) -> AgentCoreGateway {
    AgentCoreGateway::new(&sdk_config("http://127.0.0.1:1"), url, installations, hooks)
        .expect("a region and credentials")
        .with_time_limits(limits)
}

fn search<'a>(nonce: &'a str, thread_ts: Option<&'a str>) -> Search<'a> {
    Search { tenant: None, channel: CHANNEL, thread_ts, since: SystemClock.now(), nonce }
}

fn refused(reason: &str, retry: Retry) -> PostOutcome {
    PostOutcome::Refused { reason: reason.to_owned(), retry, retry_after: None }
}

fn unknown(reason: &str) -> PostOutcome {
    PostOutcome::Unknown { reason: reason.to_owned() }
}

fn cannot_ask(reason: &str, retry: Retry) -> FindOutcome {
    FindOutcome::CannotAsk { reason: reason.to_owned(), retry, retry_after: None }
}

#[tokio::test]
async fn a_message_is_posted_once_signed_with_its_nonce_and_found_by_it() {
    let scene = Scene::start().await;
    for (thread_ts, nonce) in [(Some(THREAD), NONCE), (None, OTHER_NONCE)] {
        let outcome = scene.tools.post(&Post { thread_ts, nonce, ..POST }, until()).await;
        let posted = scene.slack.posts().pop().expect("a post");
        assert_eq!(outcome, PostOutcome::Posted { ts: Some(posted.ts.clone()) });
        assert_eq!((posted.channel.as_str(), posted.thread_ts.as_deref()), (CHANNEL, thread_ts));
        assert_eq!((posted.text.as_str(), posted.nonce()), ("It is 42.", Some(nonce)));
        assert_eq!(posted.metadata["event_type"], "slack_ingress_answer");
        assert_eq!(scene.find(nonce, thread_ts).await, FindOutcome::Found { ts: posted.ts });
    }
    assert_eq!(scene.slack.posts().len(), 2);
    // Slack fetches nothing that an answer has a link to.
    for call in scene.gateway.calls("post_to_slack") {
        assert_eq!([&call.arguments["unfurl_links"], &call.arguments["unfurl_media"]], [false, false]);
    }
    assert_eq!(scene.find(NONCE, None).await, FindOutcome::NotFound, "it is in the thread");
    assert_eq!(scene.find(OTHER_NONCE, Some(THREAD)).await, FindOutcome::NotFound, "it is in the channel");
    assert!(scene.gateway.refused().is_empty(), "{:?}", scene.gateway.refused());
}

#[tokio::test]
async fn whatever_the_form_of_the_gateways_answers_they_are_understood() {
    let scene = Scene::start().await;
    for form in [Form::Json, Form::Structured, Form::Events, Form::OpenEvents] {
        scene.gateway.answer_as(form);
        let outcome = scene.tools.post(&POST, until()).await;
        assert!(matches!(outcome, PostOutcome::Posted { ts: Some(_) }), "{form:?}: {outcome:?}");
        scene.slack.fail_next("chat.postMessage", SlackFault::Error("invalid_auth"));
        let outcome = scene.tools.post(&POST, until()).await;
        assert_eq!(outcome, refused("slack_invalid_auth", Retry::AfterChange), "{form:?}");
    }
}

#[tokio::test]
async fn what_slack_refuses_is_certainly_not_posted() {
    let scene = Scene::start().await;
    for (error, retry) in [
        ("not_in_channel", Retry::AfterChange),
        ("missing_scope", Retry::AfterChange),
        ("msg_too_long", Retry::Never),
        ("is_archived", Retry::Never),
        ("ratelimited", Retry::Later),
    ] {
        scene.slack.fail_next("chat.postMessage", SlackFault::Error(error));
        assert_eq!(scene.tools.post(&POST, until()).await, refused(&format!("slack_{error}"), retry));
    }
    scene.gateway.put_token("xoxb-revoked");
    assert_eq!(scene.tools.post(&POST, until()).await, refused("slack_invalid_auth", Retry::AfterChange));
    assert!(scene.slack.posts().is_empty());
    scene.slack.accept_token("xoxb-revoked");
    assert!(
        matches!(scene.tools.post(&POST, until()).await, PostOutcome::Posted { .. }),
        "the token works now"
    );
}

#[tokio::test]
async fn slacks_errors_after_which_it_may_stand_there_are_unknown() {
    let scene = Scene::start().await;
    for error in ["internal_error", "fatal_error"] {
        scene.slack.fail_next("chat.postMessage", SlackFault::ErrorAfter(error));
        assert_eq!(scene.tools.post(&POST, until()).await, unknown(&format!("slack_{error}")));
    }
    assert_eq!(scene.slack.posts().len(), 2);
}

#[tokio::test]
async fn a_rate_limit_of_slacks_is_a_refusal_if_the_gateway_says_so() {
    let scene = Scene::start().await;
    scene.gateway.debug(true);
    scene.slack.fail_next("chat.postMessage", SlackFault::RateLimit(30));
    assert_eq!(scene.tools.post(&POST, until()).await, refused("slack_ratelimited", Retry::Later));
    // Without the exception level DEBUG the Gateway says of no failure what it was.
    scene.gateway.debug(false);
    scene.slack.fail_next("chat.postMessage", SlackFault::RateLimit(30));
    assert_eq!(scene.tools.post(&POST, until()).await, unknown("gateway_tool_error"));
}

#[tokio::test]
async fn what_the_gateway_refuses_is_certainly_not_posted() {
    let scene = Scene::start().await;
    for (fault, reason, retry) in [
        (Fault::Status(403), "gateway_403", Retry::AfterChange),
        (Fault::Status(404), "gateway_404", Retry::AfterChange),
        (Fault::Status(413), "gateway_413", Retry::Never),
        (Fault::Rpc(-32602), "gateway_rpc_32602", Retry::AfterChange),
    ] {
        scene.gateway.fail_next("post_to_slack", fault);
        assert_eq!(scene.tools.post(&POST, until()).await, refused(reason, retry));
    }
    scene.gateway.fail_next("post_to_slack", Fault::RetryAfter(429, 7));
    let retry_after = Some(Duration::from_secs(7));
    let expected =
        PostOutcome::Refused { reason: "gateway_429".to_owned(), retry: Retry::Later, retry_after };
    assert_eq!(scene.tools.post(&POST, until()).await, expected);
    assert!(scene.slack.calls("chat.postMessage").is_empty());
}

#[tokio::test]
async fn a_gateway_without_the_tool_or_its_argument_posts_nothing() {
    let scene = Scene::start().await;
    let gateway = Gateway::start(&scene.slack, &AGENT_TOOLS).await;
    let tools = tools(&gateway.url(), &scene.slack.hooks_url(), PATIENT);
    assert_eq!(
        tools.post(&POST, until()).await,
        refused("gateway_rpc_32602", Retry::AfterChange),
        "no metadata there"
    );
    let expected = cannot_ask("gateway_rpc_32602", Retry::AfterChange);
    assert_eq!(tools.find(&search(NONCE, Some(THREAD)), until()).await, expected);
    assert!(scene.slack.posts().is_empty());
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let scene = Scene::start().await;
    let other_region = sdk_config("http://127.0.0.1:1")
        .into_builder()
        .region(Some(aws_config::Region::new("eu-central-1")))
        .build();
    let one = Installations::One(TARGET.to_owned());
    let tools = AgentCoreGateway::new(&other_region, &scene.gateway.url(), one, "").expect("a region");
    let tools = tools.with_time_limits(PATIENT);
    assert_eq!(tools.post(&POST, until()).await, refused("gateway_403", Retry::AfterChange));
    assert_eq!(scene.gateway.refused(), ["it is signed for another service or region"]);
}

#[tokio::test]
async fn an_answer_that_got_lost_leaves_the_outcome_unknown_and_the_message_is_found() {
    let scene = Scene::start().await;
    for (n, (fault, reason)) in [
        (Fault::LoseAnswer, "connection_lost"),
        (Fault::CutAnswer, "connection_lost"),
        (Fault::StatusAfter(502), "gateway_502"),
        (Fault::StatusAfter(204), "gateway_204"),
        (Fault::AnswerAfter("<html>"), "gateway_unreadable"),
        (Fault::LongAnswer, "answer_too_long"),
        (Fault::Rpc(-32603), "gateway_rpc_32603"),
        (Fault::ToolError("An internal error occurred. Please retry later."), "gateway_tool_error"),
        (Fault::Break, "connection_lost"),
        (Fault::Status(500), "gateway_500"),
    ]
    .into_iter()
    .enumerate()
    {
        let nonce = format!("{n:032x}");
        let before = scene.slack.posts().len();
        scene.gateway.fail_next("post_to_slack", fault);
        assert_eq!(scene.tools.post(&Post { nonce: &nonce, ..POST }, until()).await, unknown(reason));
        // The search says which of them it was.
        let is_found = matches!(scene.find(&nonce, Some(THREAD)).await, FindOutcome::Found { .. });
        assert_eq!(is_found, scene.slack.posts().len() > before, "{reason}");
    }
    assert_eq!(scene.slack.posts().len(), 6);

    scene.slack.drop_answers(1);
    assert_eq!(
        scene.tools.post(&POST, until()).await,
        unknown("gateway_tool_error"),
        "between the Gateway and Slack"
    );
    assert!(matches!(scene.find(NONCE, Some(THREAD)).await, FindOutcome::Found { .. }));
}

#[tokio::test]
async fn who_is_not_answered_in_time_does_not_know() {
    let scene = Scene::start().await;
    for (fault, posts) in [(Fault::Hang, 0), (Fault::HangAfter, 1)] {
        scene.gateway.fail_next("post_to_slack", fault);
        let begun = SystemClock.instant();
        assert_eq!(scene.hasty().post(&POST, until()).await, unknown("timed_out"));
        assert!(begun.elapsed() >= HASTY.call);
        assert_eq!(scene.slack.posts().len(), posts);
    }
    scene.gateway.always("read_thread", Fault::Hang);
    let found = scene.hasty().find(&search(NONCE, Some(THREAD)), until()).await;
    assert_eq!(found, cannot_ask("timed_out", Retry::Later));
}

/// A process may be stopped for minutes after it has decided to post, and before it does.
#[tokio::test]
async fn what_is_past_its_time_is_not_sent() {
    let scene = Scene::start().await;
    let now = SystemClock.moment();
    let expected = refused("not_reached", Retry::Later);
    for until in [now, Moment { wall: UnixMillis::from_millis(0), ..until() }] {
        assert_eq!(scene.tools.post(&POST, until).await, expected);
        let url = scene.slack.response_url("T1/2/x");
        assert_eq!(scene.tools.respond(&url, "It is 42.", until).await, expected);
    }
    assert!(scene.slack.posts().is_empty() && scene.slack.responded().is_empty());
}

#[tokio::test]
async fn what_never_had_a_connection_was_certainly_not_sent() {
    let (listener, address) = listen().await;
    drop(listener);
    let slack = SlackApi::start().await;
    let url = format!("http://{address}/mcp");
    let nobody = tools(&url, &slack.hooks_url(), PATIENT);
    assert_eq!(nobody.post(&POST, until()).await, refused("not_reached", Retry::Later));
    let found = nobody.find(&search(NONCE, None), until()).await;
    assert_eq!(found, cannot_ask("not_reached", Retry::Later));

    // Somebody who speaks no TLS: the request is not sent, because the connection never stands.
    let gateway = Gateway::start(&slack, &SETTLE_TOOLS).await;
    let tls = tools(&gateway.url().replace("http:", "https:"), &slack.hooks_url(), PATIENT);
    assert_eq!(tls.post(&POST, until()).await, refused("not_reached", Retry::Later));

    // Somebody who takes the connection and says nothing to the TLS handshake.
    let (silent, address) = listen().await;
    let tls = tools(&format!("https://{address}/mcp"), &slack.hooks_url(), HASTY);
    assert_eq!(tls.post(&POST, until()).await, refused("not_reached", Retry::Later));
    drop(silent);
}

#[tokio::test]
async fn a_search_looks_at_all_pages_and_no_further_back_than_five_minutes_before() {
    let scene = Scene::start().await;
    scene.slack.limit_pages(3);
    let outcome = scene.tools.post(&POST, until()).await;
    let in_channel = scene.tools.post(&Post { thread_ts: None, nonce: OTHER_NONCE, ..POST }, until()).await;
    for n in 0..10 {
        scene.slack.say(CHANNEL, Some(THREAD), &format!("reply {n}"));
        scene.slack.say(CHANNEL, None, &format!("message {n}"));
    }
    let late = Post { nonce: "00000000000000000000000000000001", ..POST };
    let late_outcome = scene.tools.post(&late, until()).await;
    for (outcome, nonce, thread_ts) in [
        (outcome, NONCE, Some(THREAD)),
        (in_channel, OTHER_NONCE, None),
        (late_outcome, late.nonce, Some(THREAD)),
    ] {
        let PostOutcome::Posted { ts: Some(ts) } = outcome else { panic!("{outcome:?}") };
        assert_eq!(scene.find(nonce, thread_ts).await, FindOutcome::Found { ts });
    }
    assert_eq!(scene.find("00000000000000000000000000000002", Some(THREAD)).await, FindOutcome::NotFound);
    let pages = scene.slack.calls("conversations.replies");
    assert_eq!(pages.len(), 1 + 4 + 4, "the first is on the first page, the last on the last");
    assert!(pages.iter().all(|page| page["include_all_metadata"] == "true"));

    let later = |millis| UnixMillis::from_millis(SystemClock.now().as_millis() + millis);
    for (since, is_found) in [(later(4 * 60_000), true), (later(6 * 60_000), false)] {
        let found = scene.tools.find(&Search { since, ..search(NONCE, Some(THREAD)) }, until()).await;
        assert_eq!(matches!(found, FindOutcome::Found { .. }), is_found, "{found:?}");
    }
}

#[tokio::test]
async fn a_thread_is_read_to_its_end_and_of_a_channel_what_was_said_last() {
    let scene = Scene::start().await;
    scene.slack.limit_pages(3);
    for n in 0..8 {
        scene.slack.say(CHANNEL, Some(THREAD), &format!("reply {n}"));
        scene.slack.say(CHANNEL, None, &format!("message {n}"));
    }
    let read = async |thread_ts| {
        let conversation = Conversation { tenant: None, channel: CHANNEL, thread_ts };
        match scene.tools.read(&conversation, until()).await {
            ReadOutcome::Read { messages, is_whole } => {
                let texts: Vec<_> =
                    messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect();
                (texts, is_whole)
            }
            ReadOutcome::Unreadable { reason, .. } => (vec![reason], false),
        }
    };
    let (texts, is_whole) = read(Some(THREAD)).await;
    let replies: Vec<_> = (0..8).map(|n| format!("reply {n}")).collect();
    assert!(is_whole && texts.ends_with(&replies), "{texts:?}");
    let last: Vec<_> = (5..8).map(|n| format!("message {n}")).collect();
    assert_eq!(read(None).await, (last, false));

    scene.slack.fail_next("conversations.replies", SlackFault::Error("missing_scope"));
    assert_eq!(read(Some(THREAD)).await, (vec!["slack_missing_scope".to_owned()], false));
    // The first page comes, and the second does not.
    scene.gateway.fail_next("read_thread", Fault::Delay(Duration::ZERO));
    scene.gateway.fail_next("read_thread", Fault::Status(403));
    assert_eq!(read(Some(THREAD)).await, (vec!["gateway_403".to_owned()], false), "its end is what matters");
    // A page that is too long to be read is asked for again with fewer messages.
    scene.slack.limit_pages(100);
    for n in 0..100 {
        scene.slack.say(CHANNEL, None, &format!("{n} {}", "x".repeat(15_000)));
    }
    let (texts, is_whole) = read(None).await;
    assert!(texts.len() == 10 && texts[9].starts_with("99 ") && !is_whole, "{}", texts.len());
}

#[tokio::test]
async fn who_does_not_see_all_messages_does_not_say_that_it_is_not_there() {
    let scene = Scene::start().await;
    for (fault, reason, retry) in [
        (SlackFault::Error("missing_scope"), "slack_missing_scope", Retry::AfterChange),
        (SlackFault::Error("ratelimited"), "slack_ratelimited", Retry::Later),
        (SlackFault::Error("internal_error"), "slack_internal_error", Retry::Later),
        (SlackFault::Status(503), "gateway_tool_error", Retry::Later),
        (SlackFault::Break, "gateway_tool_error", Retry::Later),
    ] {
        scene.slack.fail_next("conversations.replies", fault);
        assert_eq!(scene.find(NONCE, Some(THREAD)).await, cannot_ask(reason, retry));
    }
    // The first page comes, and the second does not.
    scene.slack.limit_pages(1);
    scene.slack.say(CHANNEL, Some(THREAD), "one");
    scene.slack.say(CHANNEL, Some(THREAD), "two");
    scene.gateway.fail_next("read_thread", Fault::Delay(Duration::ZERO));
    scene.gateway.fail_next("read_thread", Fault::Status(403));
    assert_eq!(scene.find(NONCE, Some(THREAD)).await, cannot_ask("gateway_403", Retry::AfterChange));

    for n in 0..20 {
        scene.slack.say(CHANNEL, Some(THREAD), &n.to_string());
    }
    assert_eq!(scene.find(NONCE, Some(THREAD)).await, cannot_ask("too_many_messages", Retry::Never));
}

#[tokio::test]
async fn a_page_that_is_too_long_is_asked_for_in_shorter_ones() {
    let scene = Scene::start().await;
    for _ in 0..30 {
        scene.slack.say(CHANNEL, Some(THREAD), &"long ".repeat(7_000));
    }
    let PostOutcome::Posted { ts: Some(ts) } = scene.tools.post(&POST, until()).await else {
        panic!("not posted")
    };
    assert_eq!(scene.find(NONCE, Some(THREAD)).await, FindOutcome::Found { ts });
    let limits: Vec<_> =
        scene.slack.calls("conversations.replies").iter().map(|page| page["limit"].clone()).collect();
    assert_eq!(limits, ["100", "10", "10", "10", "10"]);
}

#[tokio::test]
async fn a_status_is_shown_in_an_agent_and_in_an_app_that_is_none() {
    let scene = Scene::start().await;
    let place = StatusPlace { tenant: None, channel: CHANNEL, thread_ts: THREAD, title: None };
    let shown = async |status| scene.tools.set_status(&place, status, until()).await;
    assert_eq!(shown(SessionStatus::Processing).await, StatusOutcome::Shown);
    assert_eq!(shown(SessionStatus::Active).await, StatusOutcome::Shown);
    scene.slack.declare_agent(false);
    assert_eq!(shown(SessionStatus::Processing).await, StatusOutcome::Shown);
    assert_eq!(shown(SessionStatus::Active).await, StatusOutcome::Shown);
    let statuses = scene.slack.statuses();
    let statuses: Vec<_> =
        statuses.iter().map(|status| (status.method.as_str(), status.status.as_str())).collect();
    assert_eq!(
        statuses,
        [
            ("agents.sessions.setStatus", "processing"),
            ("agents.sessions.setStatus", "active"),
            ("assistant.threads.setStatus", "is working on it…"),
            ("assistant.threads.setStatus", ""),
        ]
    );
    assert!(
        scene.slack.statuses().iter().all(|status| status.channel == CHANNEL && status.thread_ts == THREAD)
    );
    assert_eq!(scene.slack.calls("agents.sessions.setStatus").len(), 3, "it is not asked again");
}

#[tokio::test]
async fn a_status_that_cannot_be_shown_fails_nothing() {
    let scene = Scene::start().await;
    let place = StatusPlace { tenant: None, channel: CHANNEL, thread_ts: THREAD, title: None };
    let not_shown = |reason: &str| StatusOutcome::NotShown { reason: reason.to_owned() };
    scene.slack.fail_next("agents.sessions.setStatus", SlackFault::Error("missing_scope"));
    let outcome = scene.tools.set_status(&place, SessionStatus::Processing, until()).await;
    assert_eq!(outcome, not_shown("slack_missing_scope"));
    scene.gateway.fail_next("set_session_status", Fault::Break);
    let outcome = scene.tools.set_status(&place, SessionStatus::Processing, until()).await;
    assert_eq!(outcome, not_shown("connection_lost"));
    assert!(scene.slack.calls("assistant.threads.setStatus").is_empty(), "only an app that is no agent");
}

#[tokio::test]
async fn who_a_person_is_is_read_and_who_slack_does_not_know_is_known_for_good() {
    let scene = Scene::start().await;
    let installation = ["T061EG9R6".to_owned()];
    let guest = json!({ "id": "UGUEST", "team_id": "T061EG9R6", "is_ultra_restricted": true });
    scene.slack.introduce("UGUEST", guest);
    for (user, expected) in [("UMEMBER", AskerKind::Member), ("UGUEST", AskerKind::Guest)] {
        let PersonOutcome::Known(person) = scene.tools.person(None, user, until()).await else {
            panic!("{user} is not known")
        };
        assert_eq!(person.kind(&installation), expected, "{user}");
    }
    for (fault, reason, retry) in [
        (SlackFault::Error("user_not_found"), "slack_user_not_found", Retry::Never),
        (SlackFault::Error("user_not_visible"), "slack_user_not_visible", Retry::Never),
        (SlackFault::Error("missing_scope"), "slack_missing_scope", Retry::AfterChange),
        (SlackFault::Error("internal_error"), "slack_internal_error", Retry::Later),
        (SlackFault::Error("ratelimited"), "slack_ratelimited", Retry::Later),
    ] {
        scene.slack.fail_next("users.info", fault);
        let unknown = PersonOutcome::Unknown { reason: reason.to_owned(), retry };
        assert_eq!(scene.tools.person(None, "UMEMBER", until()).await, unknown);
    }
    scene.gateway.put_token("xoxb-revoked");
    let unknown =
        PersonOutcome::Unknown { reason: "slack_invalid_auth".to_owned(), retry: Retry::AfterChange };
    assert_eq!(scene.tools.person(None, "UMEMBER", until()).await, unknown);
}

#[tokio::test]
async fn who_is_in_a_user_group_is_read_and_of_a_group_that_slack_does_not_know_nobody_is() {
    let scene = Scene::start().await;
    scene.slack.put_into_group("S1", &["U1", "U2"]);
    let known = |users: &[&str]| MembersOutcome::Known(users.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(scene.tools.members(None, None, "S1", until()).await, known(&["U1", "U2"]));
    assert_eq!(scene.tools.members(None, None, "S2", until()).await, known(&[]));
    for (fault, reason, retry) in [
        (SlackFault::Error("missing_scope"), "slack_missing_scope", Retry::AfterChange),
        (SlackFault::Error("ratelimited"), "slack_ratelimited", Retry::Later),
    ] {
        scene.slack.fail_next("usergroups.users.list", fault);
        let unknown = MembersOutcome::Unknown { reason: reason.to_owned(), retry };
        assert_eq!(scene.tools.members(None, None, "S1", until()).await, unknown);
    }
}

#[tokio::test]
async fn a_post_with_blocks_of_its_own_shows_those_and_keeps_its_nonce() {
    let scene = Scene::start().await;
    let blocks = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "Decide." } }]);
    let post = Post { blocks: Some(&blocks), ..POST };
    let PostOutcome::Posted { ts: Some(ts) } = scene.tools.post(&post, until()).await else {
        panic!("posted")
    };
    assert_eq!(scene.slack.calls("chat.postMessage")[0]["blocks"], blocks);
    let decided = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "Decided." } }]);
    let post = Post { blocks: Some(&decided), ..POST };
    assert_eq!(scene.tools.replace(&ts, &post, until()).await, Replaced::Yes);
    assert_eq!(scene.slack.calls("chat.update")[0]["blocks"], decided);
}

#[tokio::test]
async fn a_response_url_takes_five_posts_without_the_gateway() {
    let scene = Scene::start().await;
    let url = scene.slack.response_url("T1/2/x");
    for _ in 0..5 {
        assert_eq!(scene.tools.respond(&url, "It is 42.", until()).await, PostOutcome::Posted { ts: None });
    }
    let outcome = scene.tools.respond(&url, "It is 42.", until()).await;
    assert_eq!(outcome, refused("response_url_404", Retry::Never));
    let responded = scene.slack.responded();
    assert_eq!(responded.len(), 5);
    assert_eq!(responded[0].url, url);
    assert_eq!(responded[0].body["text"], "It is 42.");
    assert_eq!(responded[0].body["response_type"], "ephemeral");
    assert_eq!(responded[0].body["replace_original"], false);
    assert_eq!(responded[0].body["unfurl_links"], false);
    assert!(scene.gateway.calls("post_to_slack").is_empty() && scene.gateway.refused().is_empty());
}

#[tokio::test]
async fn each_failure_of_a_response_url_has_its_meaning() {
    let scene = Scene::start().await;
    let url = scene.slack.response_url("T1/2/x");
    for (fault, expected, posts) in [
        (SlackFault::Status(404), refused("response_url_404", Retry::Never), 0),
        (SlackFault::Error("expired_url"), refused("slack_expired_url", Retry::Never), 0),
        (SlackFault::Status(500), unknown("response_url_500"), 0),
        (SlackFault::Break, unknown("connection_lost"), 0),
        (SlackFault::LoseAnswer, unknown("connection_lost"), 1),
        (SlackFault::ErrorAfter("internal_error"), unknown("slack_internal_error"), 2),
    ] {
        scene.slack.fail_next("response_url", fault);
        assert_eq!(scene.tools.respond(&url, "It is 42.", until()).await, expected);
        assert_eq!(scene.slack.responded().len(), posts);
    }
    scene.slack.fail_next("response_url", SlackFault::RateLimit(9));
    let retry_after = Some(Duration::from_secs(9));
    let reason = "response_url_429".to_owned();
    let expected = PostOutcome::Refused { reason, retry: Retry::Later, retry_after };
    assert_eq!(scene.tools.respond(&url, "It is 42.", until()).await, expected);
    scene.slack.fail_next("response_url", SlackFault::HangAfter);
    assert_eq!(scene.hasty().respond(&url, "It is 42.", until()).await, unknown("timed_out"));
}

#[tokio::test]
async fn nothing_is_posted_to_a_response_url_that_is_not_slacks() {
    let scene = Scene::start().await;
    let elsewhere = SlackApi::start().await;
    for url in
        [elsewhere.response_url("x"), format!("{}@example.com/", scene.slack.hooks_url()), String::new()]
    {
        let outcome = scene.tools.respond(&url, "It is 42.", until()).await;
        assert_eq!(outcome, refused("response_url_not_slacks", Retry::Never), "{url}");
    }
    assert!(elsewhere.responded().is_empty());
}

#[tokio::test]
async fn a_post_with_buttons_shows_its_text_and_is_found_by_its_nonce() {
    let scene = Scene::start().await;
    let long = format!("{}\n\n```\n{}\n```", "word ".repeat(300), "x &lt;y&gt; &amp;&amp; z\n".repeat(95));
    assert!((3500..=4000).contains(&long.len()), "as long as a part may be: {}", long.len());
    scene.slack.fail_next("chat.postMessage", SlackFault::LoseAnswer);
    let post = Post { text: &long, feedback_for: Some("A1:C1:1.2"), ..POST };
    let outcome = scene.tools.post(&post, until()).await;
    assert!(matches!(outcome, PostOutcome::Unknown { .. }), "{outcome:?}");

    let [call] = &scene.slack.calls("chat.postMessage")[..] else { panic!("one post") };
    assert_eq!(call["text"], long, "which telephones show");
    assert_eq!((&call["unfurl_links"], &call["unfurl_media"]), (&false.into(), &false.into()));
    let blocks = call["blocks"].as_array().unwrap();
    let shown: Vec<_> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
    let words =
        |text: &str| text.replace("```", " ").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((shown.len(), words(&shown.join("\n"))), (2, words(&long)));
    assert_eq!(blocks.last().unwrap()["elements"][0]["type"], "feedback_buttons");

    let [stands] = &scene.slack.posts()[..] else { panic!("it stands") };
    assert_eq!(scene.find(NONCE, Some(THREAD)).await, FindOutcome::Found { ts: stands.ts.clone() });
    assert!(scene.tools.post(&POST, until()).await != PostOutcome::Posted { ts: None });
    assert!(!scene.slack.calls("chat.postMessage")[1].contains_key("blocks"), "without buttons it has none");
}

#[tokio::test]
async fn blocks_that_slack_refuses_are_a_refusal_of_this_post() {
    let scene = Scene::start().await;
    scene.slack.fail_next("chat.postMessage", SlackFault::Error("invalid_blocks"));
    let post = Post { feedback_for: Some("A1:C1:1.2"), ..POST };
    assert_eq!(scene.tools.post(&post, until()).await, refused("slack_invalid_blocks", Retry::Never));
}

#[tokio::test]
async fn a_session_gets_its_title_with_the_first_sign() {
    let scene = Scene::start().await;
    let status = async |channel, status| {
        let place = StatusPlace { tenant: None, channel, thread_ts: THREAD, title: Some("how far are we?") };
        assert_eq!(scene.tools.set_status(&place, status, until()).await, StatusOutcome::Shown);
    };
    status("D024BE91L", SessionStatus::Processing).await;
    assert_eq!(scene.slack.calls("agents.sessions.setStatus")[0]["title"], "how far are we?");
    assert!(scene.slack.calls("assistant.threads.setTitle").is_empty());

    // In an app that is no agent only a direct message can have threads with titles.
    scene.slack.declare_agent(false);
    status(CHANNEL, SessionStatus::Processing).await;
    status("D024BE91L", SessionStatus::Processing).await;
    let titles = scene.slack.calls("assistant.threads.setTitle");
    assert_eq!(titles.len(), 1);
    assert_eq!(
        (&titles[0]["title"], &titles[0]["channel_id"]),
        (&"how far are we?".into(), &"D024BE91L".into())
    );
    assert!(scene.slack.calls("assistant.threads.setStatus").iter().all(|call| !call.contains_key("title")));
    scene.slack.fail_next("assistant.threads.setTitle", SlackFault::Error("missing_scope"));
    status("D024BE91L", SessionStatus::Processing).await;
}

#[tokio::test]
async fn prompts_are_suggested_in_the_pane_and_in_a_thread_only_if_there_is_one() {
    let scene = Scene::start().await;
    let prompts = r#"{"title": "Hello", "prompts": [{"title": "Plan", "message": "Plan my day."}]}"#;
    let prompts = Prompts::read(prompts).unwrap();
    for thread_ts in [None, Some(THREAD)] {
        let pane = Pane { tenant: None, channel: "D024BE91L", thread_ts };
        assert_eq!(scene.tools.suggest(&pane, &prompts, until()).await, StatusOutcome::Shown);
    }
    let calls = scene.slack.calls("assistant.threads.setSuggestedPrompts");
    let expected = serde_json::json!({
        "channel_id": "D024BE91L", "title": "Hello", "prompts": [{ "title": "Plan", "message": "Plan my day." }],
    });
    // With a `thread_ts` an app with `agent_view` would show nothing.
    assert_eq!(serde_json::Value::from(calls[0].clone()), expected);
    assert_eq!(calls[1]["thread_ts"], THREAD);

    let pane = Pane { tenant: None, channel: "D024BE91L", thread_ts: None };
    scene.slack.fail_next("assistant.threads.setSuggestedPrompts", SlackFault::Error("missing_scope"));
    let not_shown = StatusOutcome::NotShown { reason: "slack_missing_scope".to_owned() };
    assert_eq!(scene.tools.suggest(&pane, &prompts, until()).await, not_shown);
}

/// Two workspaces with the same channel and the same thread, each with a Slack and a token of its own.
struct TwoWorkspaces {
    first: SlackApi,
    second: SlackApi,
    gateway: Gateway,
    tools: AgentCoreGateway,
}

impl TwoWorkspaces {
    async fn start() -> Self {
        let (first, second) = (SlackApi::start().await, SlackApi::start().await);
        second.accept_token("xoxb-second");
        let gateway = Gateway::start(&first, &SETTLE_TOOLS).await;
        gateway.add_target("slack-e2", &second, "xoxb-second");
        let installations = Installations::parse(r#"{"T1": "slack", "E2": "slack-e2"}"#).expect("targets");
        let tools = tools_of(installations, &gateway.url(), &first.hooks_url(), PATIENT);
        Self { first, second, gateway, tools }
    }
}

#[tokio::test]
async fn each_installation_posts_finds_reads_and_shows_in_its_own_workspace_by_its_own_token() {
    let scene = TwoWorkspaces::start().await;
    scene.first.say(CHANNEL, Some(THREAD), "a secret of the first");
    scene.second.say(CHANNEL, Some(THREAD), "a secret of the second");
    for (tenant, nonce, own, other) in
        [("T1", NONCE, &scene.first, &scene.second), ("E2", OTHER_NONCE, &scene.second, &scene.first)]
    {
        let tenant = Some(tenant);
        let others = other.posts().len();
        let outcome = scene.tools.post(&Post { tenant, nonce, ..POST }, until()).await;
        assert!(matches!(outcome, PostOutcome::Posted { .. }), "{tenant:?}: {outcome:?}");
        assert_eq!(own.posts().pop().expect("a post").nonce(), Some(nonce));
        assert_eq!(other.posts().len(), others, "{tenant:?} has posted in the other's workspace");

        let found = scene.tools.find(&Search { tenant, ..search(nonce, Some(THREAD)) }, until()).await;
        assert!(matches!(found, FindOutcome::Found { .. }), "{tenant:?}: {found:?}");
        let conversation = Conversation { tenant, channel: CHANNEL, thread_ts: Some(THREAD) };
        let ReadOutcome::Read { messages, .. } = scene.tools.read(&conversation, until()).await else {
            panic!("it is read")
        };
        let said = serde_json::to_string(&messages).expect("JSON");
        let (mine, theirs) = match tenant {
            Some("T1") => ("of the first", "of the second"),
            _ => ("of the second", "of the first"),
        };
        assert!(said.contains(mine) && !said.contains(theirs), "{tenant:?} has read {said}");

        let place = StatusPlace { tenant, channel: CHANNEL, thread_ts: THREAD, title: None };
        let before = other.statuses().len();
        let shown = scene.tools.set_status(&place, SessionStatus::Processing, until()).await;
        assert_eq!((shown, own.statuses().len()), (StatusOutcome::Shown, 1));
        assert_eq!(other.statuses().len(), before);
    }
    // The post of one is never taken for the other's.
    let search = Search { tenant: Some("E2"), ..search(NONCE, Some(THREAD)) };
    assert_eq!(scene.tools.find(&search, until()).await, FindOutcome::NotFound);
}

#[tokio::test]
async fn for_an_installation_without_a_target_nothing_is_called_and_it_waits_for_its_token() {
    let scene = TwoWorkspaces::start().await;
    let reason = "no_token_for_tenant";
    for tenant in [Some("T3"), None] {
        let outcome = scene.tools.post(&Post { tenant, ..POST }, until()).await;
        assert_eq!(outcome, refused(reason, Retry::AfterChange));
        let found = scene.tools.find(&Search { tenant, ..search(NONCE, Some(THREAD)) }, until()).await;
        assert_eq!(found, cannot_ask(reason, Retry::AfterChange));
        let conversation = Conversation { tenant, channel: CHANNEL, thread_ts: Some(THREAD) };
        let read = scene.tools.read(&conversation, until()).await;
        assert_eq!(read, ReadOutcome::Unreadable { reason: reason.to_owned(), retry: Retry::AfterChange });
        let place = StatusPlace { tenant, channel: CHANNEL, thread_ts: THREAD, title: None };
        let shown = scene.tools.set_status(&place, SessionStatus::Processing, until()).await;
        assert_eq!(shown, StatusOutcome::NotShown { reason: reason.to_owned() });
    }
    assert!(scene.first.posts().is_empty() && scene.second.posts().is_empty());
    assert!(scene.first.statuses().is_empty() && scene.second.statuses().is_empty());
    assert!(scene.gateway.calls("post_to_slack").is_empty(), "nobody's token was used");
}

#[tokio::test]
async fn a_workspace_that_knows_no_agents_does_not_take_the_stop_button_from_another_one() {
    let scene = TwoWorkspaces::start().await;
    scene.first.declare_agent(false);
    for (tenant, slack, method) in [
        ("T1", &scene.first, "assistant.threads.setStatus"),
        ("E2", &scene.second, "agents.sessions.setStatus"),
    ] {
        let place = StatusPlace { tenant: Some(tenant), channel: CHANNEL, thread_ts: THREAD, title: None };
        let shown = scene.tools.set_status(&place, SessionStatus::Processing, until()).await;
        assert_eq!(shown, StatusOutcome::Shown);
        assert_eq!(slack.statuses().pop().expect("a status").method, method);
    }
}
