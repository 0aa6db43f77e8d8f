//! Plays the people who are asked before a tool is called: who may decide, what they press and when. And records what was really
//! shown, pressed, decided and called, and checks the rules about it.

use serde_json::{Value, json};
use slack_ingress::settle::approvals::Approvals as ApprovalsSetting;
use slack_ingress::work::approval::{Approval, Decision, Verdict, Who};
use slack_ingress::work::journal::{Entry, ProposedCall, ToolCall};
use slack_ingress::work::lapse::Lapse;
use slack_ingress::work::queue::QueueError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

use super::faults::Fault;
use super::queue::Content;
use super::rules::Rule;
use super::settings::Settings;
use super::sim::{MEMBER, Node, Sim, Wrong};
use crate::chance::Chance;

/// The tool that asks a person first.
pub(crate) const TOOL: &str = "trello___delete_card";

/// Who may decide where it is not the asker, and somebody who never may.
const DECIDERS: [&str; 2] = ["U3", "U4"];
const STRANGER: &str = "U9";
/// The group of the deciders.
const GROUP: &str = "S1";

/// Draws who decides; `None` where no tool asks a person.
pub(crate) fn draw(chance: &mut Chance) -> Option<Who> {
    let people = Who::People(DECIDERS.map(str::to_owned).to_vec());
    chance.choose(&[None, None, None, Some(Who::Asker), Some(people), Some(Who::Group(GROUP.to_owned()))])
}

/// What agent-settle is configured with.
pub(crate) fn configured(sim: &Sim) -> ApprovalsSetting {
    let Some(who) = sim.settings.approvals.clone() else { return ApprovalsSetting::default() };
    let everybody = || Who::People([MEMBER, STRANGER, DECIDERS[0], DECIDERS[1]].map(str::to_owned).to_vec());
    let who = if sim.is_off(Rule::OnlyApproversDecide) { everybody() } else { who };
    let tools = if sim.is_off(Rule::CallsAreAskedFirst) { Vec::new() } else { vec![(TOOL.to_owned(), who)] };
    ApprovalsSetting { tools, time: sim.settings.approval_time }
}

/// Who is in the group that decides.
pub(crate) fn members() -> Vec<String> {
    DECIDERS.map(str::to_owned).to_vec()
}

/// Who may decide in a history.
fn deciders(settings: &Settings) -> Vec<&'static str> {
    match settings.approvals {
        Some(Who::Asker) => vec![MEMBER],
        _ => DECIDERS.to_vec(),
    }
}

/// A message with buttons, as it stands in Slack.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) channel: String,
    pub(crate) thread_ts: String,
    pub(crate) ts: String,
    /// The value of its buttons: the number of the call, the approval's id, and the question's.
    value: String,
    tool: String,
    arguments: String,
}

impl Shown {
    /// Reads the blocks of a message; `None` if it has no buttons of ours.
    pub(crate) fn read(channel: &str, thread_ts: &str, ts: &str, blocks: &Value) -> Option<Self> {
        let blocks = blocks.as_array()?;
        let of_type = |kind: &str| blocks.iter().find(|block| block["type"] == kind);
        let value = of_type("actions")?["elements"][0]["value"].as_str()?.to_owned();
        let said = of_type("section")?["text"]["text"].as_str()?;
        let tool = said.split('`').nth(1)?.to_owned();
        let arguments = of_type("rich_text")?["elements"][0]["elements"][0]["text"].as_str()?.to_owned();
        let (channel, thread_ts, ts) = (channel.to_owned(), thread_ts.to_owned(), ts.to_owned());
        Some(Self { channel, thread_ts, ts, value, tool, arguments })
    }

    fn approval(&self) -> &str {
        self.value.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn question(&self) -> &str {
        self.value.splitn(3, ' ').nth(2).unwrap_or_default()
    }
}

/// One press of a button.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Press {
    pub(crate) after: Duration,
    pub(crate) user: &'static str,
    pub(crate) verdict: Verdict,
}

/// Draws who presses what on a message.
pub(crate) fn presses(sim: &Sim) -> Vec<Press> {
    let settings = &sim.settings;
    let time = u64::try_from(settings.approval_time.as_millis()).unwrap();
    let deciders = deciders(settings);
    let mut chance = sim.chance();
    let decider = chance.choose(&deciders);
    let another = deciders.last().copied().unwrap_or(decider);
    let verdict = if chance.per_mille(700) { Verdict::Approved } else { Verdict::Refused };
    let range = chance.choose(&[0..=300, 1_000..=20_000, 1_000..=time, time - 2_000..=time + 2_000]);
    let after = chance.millis(range);
    let apart = chance.choose(&[0..=50, 0..=3_000, 0..=60_000]);
    let apart = chance.millis(apart);
    let late = Duration::from_millis(time) + chance.millis(0..=120_000);
    let kind = chance.number(0..=9);
    drop(chance);
    let press = |after, user, verdict| Press { after, user, verdict };
    match kind {
        0 => Vec::new(),
        1 => {
            sim.count(Fault::TwoPeopleClick);
            vec![
                press(after, decider, verdict),
                press(after + apart, another, Verdict::Approved),
                press(after + apart, decider, Verdict::Refused),
            ]
        }
        2 => vec![press(after, STRANGER, Verdict::Approved)],
        3 => vec![press(after, STRANGER, Verdict::Refused), press(after + apart, decider, verdict)],
        4 => {
            sim.count(Fault::SamePersonClicksTwice);
            vec![press(after, decider, verdict), press(after + apart, decider, verdict)]
        }
        5 => vec![press(late, decider, Verdict::Approved)],
        6 => vec![press(Duration::ZERO, decider, verdict)],
        _ => vec![press(after, decider, verdict)],
    }
}

/// The interaction that Slack sends for a press.
pub(crate) fn interaction(shown: &Shown, press: &Press, app: &str, at: &str, number: u64) -> Value {
    let action_id = match press.verdict {
        Verdict::Approved => "slack_ingress_approve",
        _ => "slack_ingress_refuse",
    };
    json!({
        "type": "block_actions",
        "api_app_id": app,
        "team": { "id": "T1", "domain": "example" },
        "user": { "id": press.user, "team_id": "T1" },
        "channel": { "id": shown.channel, "name": "general" },
        "container": {
            "type": "message", "message_ts": shown.ts, "channel_id": shown.channel,
            "is_ephemeral": false, "thread_ts": shown.thread_ts,
        },
        "message": { "type": "message", "ts": shown.ts, "thread_ts": shown.thread_ts, "text": "?" },
        "trigger_id": format!("trigger.{number}"),
        "response_url": format!("https://hooks.slack.com/actions/T1/{number}"),
        "actions": [{
            "type": "button", "action_id": action_id, "block_id": "b", "value": shown.value, "action_ts": at,
        }],
    })
}

/// The question that a message is about which decides something; `None` if it is another one.
pub(crate) fn decided_question(content: &Content) -> Option<String> {
    let body = || serde_json::from_str::<Value>(&content.body).ok();
    match content.attribute("kind")? {
        "lapse" => Some(body()?["question_id"].as_str()?.to_owned()),
        "interaction" => {
            let body = body()?;
            let value = body["actions"][0]["value"].as_str()?;
            Some(value.splitn(3, ' ').nth(2)?.to_owned())
        }
        _ => None,
    }
}

/// What really happened about one call that a person is asked about.
#[derive(Debug)]
struct TrackedCall {
    question: String,
    call: ProposedCall,
    posts: u32,
    clicks: Vec<(String, Verdict)>,
    decision: Option<Decision>,
    /// Whether it is written down that it was not called after all.
    is_over: bool,
    effects: u32,
    /// Whether an agent was told what came of the call.
    is_told: bool,
}

/// What really happened about all of them, by the ids of the approvals.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    asked: BTreeMap<String, TrackedCall>,
    pub(crate) clicks: u64,
    pub(crate) suspensions: u64,
    pub(crate) decisions: BTreeMap<&'static str, u64>,
}

/// What is wrong, and with which question.
pub(crate) type Wrongs = Vec<(String, String)>;

impl Approvals {
    /// A call was written down that a person is to be asked about.
    pub(crate) fn is_asked(&mut self, question: &str, call: &ProposedCall) {
        self.asked.entry(call.approval.id.as_str().to_owned()).or_insert_with(|| TrackedCall {
            question: question.to_owned(),
            call: call.clone(),
            posts: 0,
            clicks: Vec::new(),
            decision: None,
            is_over: false,
            effects: 0,
            is_told: false,
        });
    }

    /// A message with buttons stands.
    pub(crate) fn is_shown(&mut self, shown: &Shown) -> Wrongs {
        let Some(asked) = self.asked.get_mut(shown.approval()) else {
            return vec![(shown.question().to_owned(), "buttons for nothing".to_owned())];
        };
        self.suspensions += 1;
        asked.posts += 1;
        if asked.call.tool == shown.tool && asked.call.arguments == shown.arguments {
            return Vec::new();
        }
        vec![(asked.question.clone(), format!("{shown:?} is shown for {:?}", asked.call))]
    }

    /// Somebody presses a button.
    pub(crate) fn is_clicked(&mut self, shown: &Shown, press: &Press) {
        self.clicks += 1;
        if let Some(asked) = self.asked.get_mut(shown.approval()) {
            asked.clicks.push((press.user.to_owned(), press.verdict));
        }
    }

    /// An entry was written in the place of a call that a person is asked about.
    pub(crate) fn is_replaced(&mut self, by: &ProposedCall, entry: &Entry, settings: &Settings) -> Wrongs {
        let Some(asked) = self.asked.get_mut(by.approval.id.as_str()) else { return Vec::new() };
        let mut wrong = Vec::new();
        let mut broken = |what: String| wrong.push((asked.question.clone(), what));
        match entry {
            Entry::Proposed(ProposedCall { approval: Approval { decision: Some(decision), .. }, .. }) => {
                if asked.decision.as_ref() == Some(decision) {
                    return wrong;
                }
                if let Some(first) = &asked.decision {
                    broken(format!("decided as {first:?}, and again as {decision:?}"));
                }
                let by = decision.by.clone().unwrap_or_default();
                if decision.verdict == Verdict::Lapsed {
                    // The schedule has whole seconds, and a clock may be minutes off.
                    if settings.wrong_clocks == 0
                        && decision.at.after(Duration::from_secs(2)) < asked.call.approval.until
                    {
                        broken("it has lapsed too early".to_owned());
                    }
                } else {
                    if !asked.clicks.contains(&(by.clone(), decision.verdict)) {
                        broken(format!("nobody has pressed what {decision:?} says"));
                    }
                    if !deciders(settings).contains(&by.as_str()) {
                        broken(format!("decided by {by}, who may not"));
                    }
                    if decision.at > asked.call.approval.until {
                        broken(format!("{decision:?} is too late"));
                    }
                }
                asked.decision = Some(decision.clone());
                *self.decisions.entry(decision.verdict.as_str()).or_default() += 1;
            }
            Entry::Closed if asked.decision.is_some() => broken("closed after it was decided".to_owned()),
            Entry::Call(ToolCall { end: Some(_), .. }) => asked.is_over = true,
            Entry::Closed | Entry::Proposed(_) | Entry::Call(_) => {}
        }
        wrong
    }

    /// A call of the tool takes effect that asks a person first.
    pub(crate) fn takes_effect(&mut self, question: &str, tool: &str, arguments: &str) -> Wrongs {
        let is_it =
            |asked: &&mut TrackedCall| asked.question == question && asked.call.is_of(tool, arguments);
        let mut of_this: Vec<&mut TrackedCall> = self.asked.values_mut().filter(is_it).collect();
        let approved = |asked: &TrackedCall| {
            asked.posts > 0
                && !asked.is_over
                && asked.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Approved)
        };
        let wrong = |what: String| vec![(question.to_owned(), what)];
        match of_this.iter_mut().find(|asked| approved(asked)) {
            None => {
                let decisions: Vec<_> = of_this.iter().map(|asked| &asked.decision).collect();
                wrong(format!("called without an approval: {arguments}, decided {decisions:?}"))
            }
            Some(asked) => {
                asked.effects += 1;
                if asked.effects > 1 {
                    wrong(format!("approved once, and called twice: {arguments}"))
                } else {
                    Vec::new()
                }
            }
        }
    }

    /// An agent is told what came of a call.
    pub(crate) fn is_told(&mut self, question: &str, tool: &str, arguments: &str) {
        for asked in self.asked.values_mut() {
            asked.is_told |= asked.question == question && asked.call.is_of(tool, arguments);
        }
    }

    /// Whether somebody was asked about a call for this question.
    pub(crate) fn has_suspended(&self, question: &str) -> bool {
        self.asked.values().any(|asked| asked.question == question)
    }

    /// What was approved for a question that is answered, and neither made nor told of.
    pub(crate) fn not_made(&self, question: &str) -> Vec<String> {
        let approved = |asked: &&TrackedCall| {
            asked.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Approved)
        };
        let of_this = self.asked.values().filter(|asked| asked.question == question).filter(approved);
        of_this
            .filter(|asked| asked.effects == 0 && !asked.is_told)
            .map(|asked| asked.call.arguments.clone())
            .collect()
    }

    /// Whether buttons stand about which nobody has decided.
    pub(crate) fn is_waiting(&self, question: &str) -> bool {
        self.asked
            .values()
            .any(|asked| asked.question == question && asked.posts > 0 && asked.decision.is_none())
    }

    /// Whether the last that a person was asked about a question has lapsed.
    pub(crate) fn has_lapsed(&self, question: &str) -> bool {
        let lapsed = |asked: &TrackedCall| {
            asked.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Lapsed)
        };
        self.asked.values().any(|asked| asked.question == question && lapsed(asked))
    }
}

/// Counts what a click came to.
pub(crate) fn count(sim: &Sim, request: &Value, answer: &Value) {
    let is_lapse = request["verdict"] == "lapsed";
    let fault = match (answer["outcome"].as_str(), answer["why"].as_str()) {
        (Some("decided"), _) if is_lapse && answer["verdict"] != "lapsed" => Fault::LapseAfterTheDecision,
        (Some("decided"), _) => match answer["verdict"].as_str() {
            Some("approved") => Fault::ClickApproves,
            Some("refused") => Fault::ClickRefuses,
            _ => Fault::LapseDecides,
        },
        (Some("no effect"), Some("not_yours")) => Fault::ClickOfAStranger,
        (Some("no effect"), Some("decided")) => Fault::ClickAfterTheDecision,
        (Some("no effect"), Some("over")) => Fault::ClickAfterItsTime,
        (Some("no effect"), Some("gone")) => Fault::ClickForNothing,
        _ => return,
    };
    sim.count(fault);
}

/// The schedules that are to send a message, by their names.
impl Sim {
    /// Has EventBridge Scheduler send the message at that time. The same schedule once more is the same one.
    fn schedule(
        self: &Arc<Self>,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: slack_ingress::time::clock::UnixMillis,
    ) {
        let name = lapse.event_id();
        if !self.schedules.lock().unwrap().insert(name.clone()) {
            self.count(Fault::ScheduleMadeTwice);
            return;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        // It has whole seconds, and takes up to a minute.
        let on_time = self.true_time().until(at).saturating_sub(Duration::from_millis(at.as_millis() % 1000));
        let late = self.millis(0..=60_000);
        let (is_late, is_twice) =
            (self.goes_wrong(self.settings.queue * 5), self.goes_wrong(self.settings.twice));
        let (much_later, apart) = (self.millis(0..=900_000), self.millis(0..=60_000));
        if is_late {
            self.count(Fault::LapseIsLate);
        }
        if is_twice {
            self.count(Fault::LapseComesTwice);
        }
        let (sim, content) = (Arc::clone(self), Content::of_lapse(lapse, conversation));
        self.spawn(async move {
            sleep(on_time + if is_late { much_later } else { late }).await;
            sim.say("scheduler", &name, format_args!("sends"));
            sim.send(Arc::clone(&content));
            if is_twice {
                sleep(apart).await;
                sim.send(content);
            }
            sim.schedules.lock().unwrap().remove(&name);
            sim.pending.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl Node {
    pub(crate) async fn schedule(
        &self,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: slack_ingress::time::clock::UnixMillis,
    ) -> Result<(), QueueError> {
        if self.sim.is_off(Rule::LapseIsScheduled) {
            return Ok(());
        }
        let wrong = self.wrong(self.sim.settings.queue);
        match wrong {
            None => {}
            Some(Wrong::Before | Wrong::HangsBefore) => self.sim.count(Fault::ScheduleNotMade),
            Some(_) => self.sim.count(Fault::ScheduleMadeAndItsAnswerLost),
        }
        let (lapse, conversation) = (lapse.clone(), conversation.map(str::to_owned));
        let made = self.call(wrong, move |sim| sim.schedule(&lapse, conversation.as_deref(), at)).await;
        made.ok_or_else(|| QueueError::Unknown("no answer".into()))
    }

    /// The entry as agent-settle reads it for a click while a rule is off.
    pub(crate) fn read_under_rules(&self, entry: Option<Entry>) -> Option<Entry> {
        let is_decide = &*self.operation == "decide";
        let mut entry = entry?;
        if is_decide && let Entry::Proposed(asked) = &mut entry {
            if self.sim.is_off(Rule::FirstDecisionStands) {
                asked.approval.decision = None;
            }
            if self.sim.is_off(Rule::LateClicksDecideNothing) {
                asked.approval.until = asked.approval.until.after(Duration::from_secs(24 * 3600));
            }
        }
        Some(entry)
    }

    /// What stands in the journal as agent-settle finds it that wants to make this call, while a rule is off.
    pub(crate) fn found_under_rules(&self, stands: Option<Entry>, wanted: &Entry) -> Option<Entry> {
        let (sim, mut stands) = (&self.sim, stands?);
        let Entry::Proposed(wanted) = wanted else { return Some(stands) };
        match &mut stands {
            Entry::Proposed(asked) => {
                let verdict = asked.verdict();
                if verdict == Some(Verdict::Approved) && sim.is_off(Rule::ShownIsCalled) {
                    (asked.tool, asked.arguments) = (wanted.tool.clone(), wanted.arguments.clone());
                }
                if let Some(decision) = &mut asked.approval.decision
                    && sim.is_off(Rule::RefusedIsNotCalled)
                {
                    decision.verdict = Verdict::Approved;
                }
            }
            Entry::Call(call) if sim.is_off(Rule::ApprovedIsCalledOnce) => {
                if let Some(approval) = call.approval.clone() {
                    let (tool, arguments) = (call.tool.clone(), call.arguments.clone());
                    stands = Entry::Proposed(ProposedCall { tool, arguments, approval });
                }
            }
            Entry::Call(_) | Entry::Closed => {}
        }
        Some(stands)
    }

    /// Whether what stands in the journal is not looked at when an entry is put in its place.
    pub(crate) fn replaces_anything(&self) -> bool {
        match &*self.operation {
            "decide" => self.sim.is_off(Rule::FirstDecisionStands),
            "call" => self.sim.is_off(Rule::RefusedIsNotCalled),
            _ => false,
        }
    }
}
