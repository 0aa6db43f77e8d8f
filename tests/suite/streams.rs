//! What `agent-settle` asks of Slack to show an answer while it is being thought, over HTTP, with stand-ins for the Gateway and
//! for Slack.

use slack_ingress::aws::signed_call::TimeLimits;
use slack_ingress::gateway::agent_core::AgentCoreGateway;
use slack_ingress::gateway::installations::Installations;
use slack_ingress::gateway::stream::{
    Addition, Appended, Deleted, Replaced, Started, StepStatus, Stopped, StreamPlace, StreamStart,
    StreamTools,
};
use slack_ingress::gateway::{Post, Retry, SessionStatus};
use slack_ingress::time::clock::{Clock, Moment, SystemClock};
use std::time::Duration;
use test_support::aws::sdk_config;
use test_support::gateway::{Gateway, SETTLE_TOOLS, TARGET};
use test_support::slack::api::{Fault, SlackApi};

const CHANNEL: &str = "C0LAN2Q65";
const THREAD: &str = "1795554000.000100";
const NONCE: &str = "0123456789abcdef0123456789abcdef";
const START: StreamStart<'static> =
    StreamStart { tenant: None, channel: CHANNEL, thread_ts: THREAD, user: "U1", team_id: Some("T1") };
const ANSWER: Post<'static> = Post {
    tenant: None,
    channel: CHANNEL,
    thread_ts: Some(THREAD),
    text: "It is *42*.",
    nonce: NONCE,
    feedback_for: None,
    blocks: None,
};

struct Scene {
    slack: SlackApi,
    gateway: Gateway,
    tools: AgentCoreGateway,
}

impl Scene {
    async fn start() -> Self {
        let slack = SlackApi::start().await;
        let gateway = Gateway::start(&slack, &SETTLE_TOOLS).await;
        let limits = TimeLimits { connect: Duration::from_secs(10), call: Duration::from_secs(20) };
        let target = Installations::One(TARGET.to_owned());
        let tools = AgentCoreGateway::new(
            &sdk_config("http://127.0.0.1:1"),
            &gateway.url(),
            target,
            &slack.hooks_url(),
        )
        .expect("a region and credentials")
        .with_time_limits(limits);
        Self { slack, gateway, tools }
    }

    /// A message that is being written.
    async fn stream(&self) -> String {
        match self.tools.start_stream(&START, until()).await {
            Started::Message { ts } => ts,
            other => panic!("{other:?}"),
        }
    }

    async fn append(&self, ts: &str, text: &str) -> Appended {
        self.tools.append(&place(ts), &Addition::Text(text), until()).await
    }

    async fn stop(&self, ts: &str) -> Stopped {
        self.tools.stop_stream(&place(ts), None, SessionStatus::Active, until()).await
    }

    fn texts(&self) -> Vec<String> {
        self.slack.posts().into_iter().map(|message| message.text).collect()
    }
}

fn until() -> Moment {
    SystemClock.moment().after(Duration::from_secs(60))
}

fn place(ts: &str) -> StreamPlace<'_> {
    StreamPlace { tenant: None, channel: CHANNEL, ts }
}

#[tokio::test]
async fn the_last_words_are_appended_with_the_end_and_only_once() {
    let scene = Scene::start().await;
    let ts = scene.stream().await;
    assert_eq!(scene.append(&ts, "It is ").await, Appended::Sent);
    for _ in 0..2 {
        let stopped =
            scene.tools.stop_stream(&place(&ts), Some("later"), SessionStatus::Processing, until()).await;
        assert_eq!(stopped, Stopped::Yes);
    }
    assert_eq!(scene.texts(), ["It is later"]);
    assert!(scene.gateway.refused().is_empty(), "{:?}", scene.gateway.refused());
}

#[tokio::test]
async fn an_answer_takes_the_place_of_what_was_appended_as_often_as_one_likes() {
    let scene = Scene::start().await;
    let ts = scene.stream().await;
    assert_eq!(scene.append(&ts, "It is ").await, Appended::Sent);
    let step = Addition::Step { id: "1", title: "search", status: StepStatus::InProgress };
    assert_eq!(scene.tools.append(&place(&ts), &step, until()).await, Appended::Sent);
    assert_eq!(scene.append(&ts, "41").await, Appended::Sent);
    assert_eq!(scene.texts(), ["It is 41"]);
    for _ in 0..2 {
        assert_eq!(scene.stop(&ts).await, Stopped::Yes);
        assert_eq!(scene.tools.replace(&ts, &ANSWER, until()).await, Replaced::Yes);
    }
    assert_eq!(scene.texts(), ["It is *42*."]);
    assert_eq!(scene.slack.posts()[0].nonce(), Some(NONCE));
    let [update, _] = &scene.slack.calls("chat.update")[..] else { panic!("two") };
    assert_eq!(
        update["blocks"][0]["text"]["text"], "It is *42*.",
        "what was shown had blocks of Slack's own"
    );
    let started = &scene.slack.calls("chat.startStream")[0];
    assert_eq!((&started["recipient_user_id"], &started["recipient_team_id"]), (&"U1".into(), &"T1".into()));
    assert!(!started.contains_key("markdown_text"));
    assert!(
        !scene.slack.calls("chat.stopStream")[0].contains_key("session_status"),
        "active is what Slack makes it"
    );
    assert_eq!(scene.slack.calls("chat.appendStream")[1]["chunks"][0]["status"], "in_progress");
    assert!(scene.gateway.refused().is_empty(), "{:?}", scene.gateway.refused());
}

#[tokio::test]
async fn what_slack_says_of_a_message_that_nobody_writes_any_more_is_understood() {
    let scene = Scene::start().await;
    let ts = scene.stream().await;
    assert_eq!(scene.tools.replace(&ts, &ANSWER, until()).await, Replaced::StillWritten);
    let never = Deleted::Never { reason: "slack_cant_delete_message".to_owned() };
    assert_eq!(scene.tools.delete_message(&place(&ts), until()).await, never);
    scene.slack.end_writing(&ts);
    let over = Appended::Over { reason: "slack_message_not_in_streaming_state".to_owned() };
    assert_eq!(scene.append(&ts, "more").await, over);
    assert_eq!(scene.stop(&ts).await, Stopped::Yes);
    assert_eq!(scene.tools.replace(&ts, &ANSWER, until()).await, Replaced::Yes);

    for _ in 0..2 {
        assert_eq!(scene.tools.delete_message(&place(&ts), until()).await, Deleted::Yes);
    }
    assert_eq!(scene.texts(), [""; 0]);
    assert_eq!(scene.stop(&ts).await, Stopped::Yes);
    let gone = Replaced::NoSuchMessage { reason: "slack_message_not_found".to_owned() };
    assert_eq!(scene.tools.replace(&ts, &ANSWER, until()).await, gone);
}

#[tokio::test]
async fn a_stop_on_the_message_is_told_from_everything_else() {
    let scene = Scene::start().await;
    let ts = scene.stream().await;
    for method in ["chat.appendStream", "chat.stopStream"] {
        scene.slack.fail_next(method, Fault::Error("stopped_by_user"));
    }
    assert_eq!(scene.append(&ts, "more").await, Appended::StoppedByUser);
    assert_eq!(scene.stop(&ts).await, Stopped::ByUser);
}

#[tokio::test]
async fn what_is_certain_and_what_is_not() {
    let scene = Scene::start().await;
    scene.slack.fail_next("chat.startStream", Fault::Error("not_in_channel"));
    let refused = Started::Refused { reason: "slack_not_in_channel".to_owned() };
    assert_eq!(scene.tools.start_stream(&START, until()).await, refused);
    scene.slack.fail_next("chat.startStream", Fault::LoseAnswer);
    assert!(matches!(scene.tools.start_stream(&START, until()).await, Started::Unknown { .. }));
    assert_eq!(scene.texts(), [""], "and it stands there");

    let ts = scene.stream().await;
    scene.slack.fail_next("chat.appendStream", Fault::LoseAnswer);
    assert_eq!(scene.append(&ts, "once").await, Appended::Sent);
    assert_eq!(scene.texts()[1], "once");
    scene.slack.fail_next("chat.appendStream", Fault::Error("ratelimited"));
    assert!(matches!(scene.append(&ts, "more").await, Appended::Later { .. }));
    scene.slack.fail_next("chat.stopStream", Fault::Break);
    assert!(matches!(scene.stop(&ts).await, Stopped::NotYet(trouble) if trouble.retry == Retry::Later));
    assert_eq!(scene.stop(&ts).await, Stopped::Yes);
    scene.slack.fail_next("chat.update", Fault::LoseAnswer);
    let replaced = scene.tools.replace(&ts, &ANSWER, until()).await;
    assert!(matches!(replaced, Replaced::NotYet(trouble) if trouble.retry == Retry::Later));
    scene.slack.fail_next("chat.update", Fault::Error("msg_too_long"));
    let replaced = scene.tools.replace(&ts, &ANSWER, until()).await;
    assert_eq!(replaced, Replaced::Never { reason: "slack_msg_too_long".to_owned() });
    scene.slack.fail_next("chat.update", Fault::Error("edit_window_closed"));
    assert!(matches!(scene.tools.replace(&ts, &ANSWER, until()).await, Replaced::Never { .. }));
    scene.slack.fail_next("chat.appendStream", Fault::Error("token_expired"));
    assert!(matches!(scene.append(&ts, "more").await, Appended::Refused { .. } | Appended::Over { .. }));
}
