//! The questions that stand in a thread, as Slack shows them, and an agent that answers them together (`TURNS=together`).

use serde_json::{Value, json};
use slack_ingress::slack::asker::WhoMayAsk;
use std::collections::BTreeMap;
use std::time::Duration;

use super::agent::{One, ask_again, request};
use super::faults::Fault;
use super::rules::Rule;
use super::sim::Sim;

/// How long an agent asks what stands in the thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is before the id of each other question in the text of an answer.
const AND: &str = " and ";

/// What people have said in each thread.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<String, Vec<Value>>);

impl Said {
    /// Somebody asks something.
    pub(crate) fn add(&mut self, thread_ts: &str, ts: &str, user: &str) {
        let text = format!("<@UBOT> at {ts}");
        let message =
            json!({ "type": "message", "ts": ts, "thread_ts": thread_ts, "user": user, "text": text });
        self.0.entry(thread_ts.to_owned()).or_default().push(message);
    }

    /// Somebody deletes a message.
    pub(crate) fn delete(&mut self, thread_ts: &str, ts: &str) {
        self.0.entry(thread_ts.to_owned()).or_default().retain(|message| message["ts"] != ts);
    }

    /// What stands in a thread.
    pub(crate) fn of(&self, thread_ts: &str) -> Vec<Value> {
        self.0.get(thread_ts).cloned().unwrap_or_default()
    }
}

/// The text of an answer that answers these other questions, too.
pub(crate) fn text(record: &str, token: &str, others: &[String]) -> String {
    let others = others.iter().fold(String::new(), |all, id| all + AND + id);
    format!("{record} by {token}{others}")
}

/// The ids of the other questions that a text answers.
pub(crate) fn named(text: &str) -> impl Iterator<Item = &str> {
    text.lines().next().unwrap_or_default().split(AND).skip(1)
}

/// Whose questions the dispatcher hands over, and agent-settle gives to whoever works on another one.
pub(crate) fn who_may_ask(sim: &Sim) -> WhoMayAsk {
    if sim.settings.guests == 0 || sim.is_off(Rule::AskersAreAdmitted) {
        WhoMayAsk::EVERYBODY
    } else {
        WhoMayAsk::default()
    }
}

impl One {
    /// Asks for the other questions of the thread. Returns their ids; none if it cannot be found out.
    pub(crate) async fn others(&self) -> Vec<String> {
        if !self.sim.settings.together {
            return Vec::new();
        }
        loop {
            let token = self.token();
            let request = request("thread", &self.record, &token, json!({ "together": true }));
            let Some(answer) = ask_again(&self.sim, &request, PATIENCE).await else { return Vec::new() };
            if answer["outcome"] == "gone" && self.is_replaced(&token).await {
                continue;
            }
            let others = answer["together"].as_array().into_iter().flatten();
            let ids: Vec<String> =
                others.map(|other| other["question_id"].as_str().unwrap().to_owned()).collect();
            if !ids.is_empty() {
                self.sim.count(Fault::OthersGiven);
            }
            return ids;
        }
    }
}
