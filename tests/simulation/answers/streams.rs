//! Plays Slack's messages that are being written, and an agent that shows what it is thinking.

use serde_json::json;
use slack_ingress::gateway::stream::{
    Addition, Appended, Deleted, Replaced, Started, Stopped, StreamPlace, StreamStart, StreamTools, Trouble,
};
use slack_ingress::gateway::{Post, Retry, SessionStatus};
use slack_ingress::time::clock::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use super::agent::{One, request};
use super::faults::Fault;
use super::settle;
use super::sim::{GATEWAY_TIMEOUT_MILLIS, Node, Sim, TOOL_TIMEOUT};

/// When Slack ends the writing by itself.
const LIFE: Duration = Duration::from_secs(306);

/// A message that somebody writes into, or has written into.
#[derive(Clone, Debug)]
struct Message {
    thread: String,
    begun: Duration,
    state: Writing,
    /// Whether something was appended that no whole text has replaced since.
    has_words: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    GoesOn,
    Stopped,
    StoppedByUser,
    Deleted,
}

/// All such messages of Slack's, by their `ts`.
#[derive(Debug, Default)]
pub(crate) struct Streams(BTreeMap<String, Message>);

impl Streams {
    /// Somebody presses stop in a thread. Returns whether a message was being written there.
    pub(crate) fn press_stop(&mut self, thread: &str, at: Duration) -> bool {
        let mut were_written = false;
        for message in self.0.values_mut().filter(|message| message.thread == thread) {
            if message.is_written(at) {
                message.state = Writing::StoppedByUser;
                were_written = true;
            }
        }
        were_written
    }

    /// The messages with words in them that no whole text has replaced.
    pub(crate) fn with_words(&self) -> Vec<String> {
        let with_words = |message: &Message| message.has_words && message.state != Writing::Deleted;
        self.0.iter().filter(|(_, message)| with_words(message)).map(|(ts, _)| ts.clone()).collect()
    }
}

impl Message {
    fn is_written(&self, at: Duration) -> bool {
        self.state == Writing::GoesOn && at < self.begun + LIFE
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    NotDone,
    AnswerLost,
    Late,
    RateLimit,
    Refused,
    RefusedForGood,
}

impl Node {
    /// Makes a call that changes a message, which takes effect unless something goes wrong. `Err` says whether it was refused.
    async fn stream_call<R: Send + 'static>(
        &self,
        effect: impl FnOnce(&Arc<Sim>) -> R + Send + 'static,
    ) -> Result<R, Trouble> {
        let (sim, way) = (&self.sim, self.sim.millis(20..=300));
        let trouble = |reason: &str, retry| Trouble { reason: reason.to_owned(), retry, retry_after: None };
        if sim.at() < sim.settings.token_put_at {
            sim.count(Fault::SlackRefusesTheToken);
            sleep(way).await;
            return Err(trouble("slack_invalid_auth", Retry::AfterChange));
        }
        let wrong = sim.goes_wrong(sim.settings.slack).then(|| {
            sim.chance().choose(&[
                Wrong::NotDone,
                Wrong::AnswerLost,
                Wrong::Late,
                Wrong::RateLimit,
                Wrong::Refused,
                Wrong::RefusedForGood,
            ])
        });
        let (sim, late) = (Arc::clone(sim), sim.millis(1_000..=GATEWAY_TIMEOUT_MILLIS));
        // Once it is sent it takes effect, even if the caller dies.
        let done = move |after: Duration| {
            tokio::spawn(async move {
                sleep(after).await;
                effect(&sim)
            })
        };
        let sim = &self.sim;
        match wrong {
            None => {
                let result = done(way).await.unwrap();
                sleep(way).await;
                return Ok(result);
            }
            Some(Wrong::NotDone) => {
                sim.count(Fault::StreamCallLostOnTheWay);
                sleep(TOOL_TIMEOUT).await;
            }
            Some(Wrong::AnswerLost) => {
                sim.count(Fault::StreamCallTakenAndItsAnswerLost);
                let _ = done(way).await;
                sleep(way).await;
            }
            Some(Wrong::Late) => {
                sim.count(Fault::StreamCallTakesEffectLate);
                drop(done(late));
                sleep(TOOL_TIMEOUT).await;
            }
            Some(Wrong::RateLimit) => {
                sim.count(Fault::SlackLimitsTheRate);
                sleep(way).await;
                return Err(trouble("slack_ratelimited", Retry::Later));
            }
            Some(Wrong::Refused) => {
                sim.count(Fault::StreamCallRefused);
                sleep(way).await;
                return Err(trouble("slack_token_expired", Retry::AfterChange));
            }
            Some(Wrong::RefusedForGood) => {
                sim.count(Fault::StreamCallRefused);
                sleep(way).await;
                return Err(trouble("slack_edit_window_closed", Retry::Never));
            }
        }
        Err(trouble("no_answer", Retry::Later))
    }

    /// Now and then somebody deletes a message in Slack.
    fn somebody_deletes(&self, ts: &str) {
        if self.sim.goes_wrong(self.sim.settings.slack / 20) {
            self.sim.count(Fault::StreamMessageDeleted);
            if let Some(message) = self.sim.streams.lock().unwrap().0.get_mut(ts) {
                message.state = Writing::Deleted;
            }
            self.sim.ledger().message_is_deleted(ts);
        }
    }
}

impl StreamTools for Node {
    async fn start_stream(&self, start: &StreamStart<'_>, _: Moment) -> Started {
        let thread = format!("{}:{}", start.channel, start.thread_ts);
        let who = self.process.name.clone();
        let started = self.stream_call(move |sim| {
            let mut streams = sim.streams.lock().unwrap();
            let ts = format!("{}.{:06}", sim.true_time().as_secs(), 500_000 + streams.0.len());
            sim.say(&who, "", format_args!("begins {ts} in {thread}"));
            let (begun, state) = (sim.at(), Writing::GoesOn);
            streams.0.insert(ts.clone(), Message { thread, begun, state, has_words: false });
            ts
        });
        match started.await {
            Ok(ts) => Started::Message { ts },
            Err(Trouble { reason, .. }) if reason == "no_answer" => Started::Unknown { reason },
            Err(Trouble { reason, .. }) => Started::Refused { reason },
        }
    }

    async fn append(&self, stream: &StreamPlace<'_>, addition: &Addition<'_>, _: Moment) -> Appended {
        self.somebody_deletes(stream.ts);
        let (ts, who, what) = (stream.ts.to_owned(), self.process.name.clone(), format!("{addition:?}"));
        if matches!(addition, Addition::Text(text) if text.contains("---")) {
            self.sim.count(Fault::StreamGoneOnIn);
        }
        let appended = self.stream_call(move |sim| {
            let mut streams = sim.streams.lock().unwrap();
            let at = sim.at();
            let Some(message) = streams.0.get_mut(&ts) else { panic!("{ts} is no stream") };
            if message.state == Writing::StoppedByUser {
                return Appended::StoppedByUser;
            }
            if !message.is_written(at) {
                return Appended::Over { reason: "slack_message_not_in_streaming_state".to_owned() };
            }
            sim.say(&who, "", format_args!("appends to {ts}: {what}"));
            message.has_words = true;
            Appended::Sent
        });
        match appended.await {
            Ok(appended) => appended,
            Err(Trouble { reason, .. }) if reason == "no_answer" => Appended::Sent,
            Err(Trouble { reason, retry: Retry::Later, .. }) => Appended::Later { reason },
            Err(Trouble { reason, .. }) => Appended::Refused { reason },
        }
    }

    async fn stop_stream(
        &self,
        stream: &StreamPlace<'_>,
        _: Option<&str>,
        _: SessionStatus,
        _: Moment,
    ) -> Stopped {
        self.somebody_deletes(stream.ts);
        let ts = stream.ts.to_owned();
        let stopped = self.stream_call(move |sim| {
            let mut streams = sim.streams.lock().unwrap();
            let Some(message) = streams.0.get_mut(&ts) else { panic!("{ts} is no stream") };
            match message.state {
                Writing::StoppedByUser => return Stopped::ByUser,
                Writing::GoesOn => message.state = Writing::Stopped,
                Writing::Stopped | Writing::Deleted => {}
            }
            Stopped::Yes
        });
        stopped.await.unwrap_or_else(Stopped::NotYet)
    }

    async fn replace(&self, ts: &str, post: &Post<'_>, _: Moment) -> Replaced {
        self.somebody_deletes(ts);
        let thread = format!("{}:{}", post.channel, post.thread_ts.unwrap_or_default());
        let (ts, nonce, who) = (ts.to_owned(), post.nonce.to_owned(), self.process.name.clone());
        let replaced = self.stream_call(move |sim| {
            let at = sim.at();
            let mut streams = sim.streams.lock().unwrap();
            let Some(message) = streams.0.get_mut(&ts) else {
                // The message that asked a person says now what was decided.
                assert!(sim.posts.lock().unwrap().stands(&ts), "{ts} is no message");
                sim.say(&who, "", format_args!("has {ts} say what was decided"));
                return Replaced::Yes;
            };
            if message.state == Writing::Deleted {
                return Replaced::NoSuchMessage { reason: "slack_message_not_found".to_owned() };
            }
            if message.is_written(at) {
                return Replaced::StillWritten;
            }
            sim.say(&who, "", format_args!("puts the text with {nonce} into {ts}"));
            message.has_words = false;
            drop(streams);
            sim.ledger().is_replaced(at, &thread, &ts, &nonce);
            Replaced::Yes
        });
        match replaced.await {
            Ok(replaced) => replaced,
            Err(Trouble { reason, retry: Retry::Never, .. }) => Replaced::Never { reason },
            Err(trouble) => Replaced::NotYet(trouble),
        }
    }

    async fn delete_message(&self, stream: &StreamPlace<'_>, _: Moment) -> Deleted {
        let ts = stream.ts.to_owned();
        let deleted = self.stream_call(move |sim| {
            let at = sim.at();
            let mut streams = sim.streams.lock().unwrap();
            let Some(message) = streams.0.get_mut(&ts) else { panic!("{ts} is no stream") };
            if message.is_written(at) {
                return Deleted::Never { reason: "slack_cant_delete_message".to_owned() };
            }
            message.state = Writing::Deleted;
            drop(streams);
            sim.ledger().message_is_deleted(&ts);
            sim.count(Fault::StreamTakenAway);
            Deleted::Yes
        });
        deleted.await.unwrap_or_else(Deleted::NotYet)
    }
}

impl One {
    /// Shows some of what it thinks, until the thought is at its end. It is told when to stop.
    pub(crate) async fn show(&self) {
        let sim = &self.sim;
        let (pieces, is_step, is_slow) = {
            let mut chance = sim.chance();
            (chance.number(1..=12), chance.per_mille(200), chance.per_mille(100))
        };
        for piece in 0..pieces {
            let pause = sim.millis(if is_slow { 30_000..=60_000 } else { 200..=4_000 });
            sleep(pause).await;
            let more = if is_step && piece % 3 == 0 {
                json!({ "step": { "id": piece.to_string(), "title": "a tool", "status": "complete" } })
            } else {
                json!({ "text": format!("piece {piece} "), "first": piece == 0 })
            };
            // A piece is not sent twice: it may have been shown.
            let answer = settle::ask(sim, request("stream", &self.record, &self.token(), more)).await;
            let outcome = answer.as_ref().and_then(|answer| answer["outcome"].as_str()).unwrap_or("unknown");
            match outcome {
                "cancel" => {
                    self.cancel();
                    return;
                }
                "not shown" | "gone" => return,
                _ => {}
            }
        }
    }
}
