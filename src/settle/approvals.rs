//! A person decides before a tool is called: who is asked, what is posted, and what a click comes to. The rules are in
//! [`work::approval`](crate::work::approval), the words in [`slack::approval`](crate::slack::approval).
//!
//! ```text
//! call ─▶ entry: asked ─▶ "ask first" ─▶ suspend ─▶ the invocation is kept ─▶ the lapse is scheduled ─▶ intent ─▶ post ─▶ suspended
//!                                                                      not taken by Slack: the asker is told, entry: closed ◀─┘
//! decide ─▶ was it stopped? ─▶ whose click is it? ─▶ entry: decided ─▶ the message says so
//! call again ─▶ entry: approved ─▶ the call
//! ```

use serde_json::{Map, Value};
use std::time::Duration;

use super::answer::Answer;
use super::request::Invalid;
use super::{Call, Settle};
use crate::dedup::StoreError;
use crate::gateway::stream::Replaced;
use crate::gateway::{AgentTools, MembersOutcome, Post, Retry, SessionStatus, SlackTools};
use crate::slack::answer_text;
use crate::slack::approval::{MAX_SHOWN, NoEffect, Shown, legible};
use crate::slack::question::Place;
use crate::telemetry::report::settle::Ended;
use crate::time::clock::{Clock, Moment, UnixMillis};
use crate::work::WorkStore;
use crate::work::approval::{self, Approval, Clicked, Decision, Verdict, Who};
use crate::work::audit::Act;
use crate::work::journal::{Entry, ProposedCall};
use crate::work::lapse::Lapse;
use crate::work::operations::{self, Now};
use crate::work::queue::Queue;
use crate::work::receive::is_withdrawn;
use crate::work::record::{ApprovalRef, Buttons, End, Posting, Record, State, Via};
use crate::work::token::{Token, Tokens};
use crate::work::update::update;

/// The longest invocation that is kept, in bytes of JSON. An item of DynamoDB's takes 400 KB.
pub const MAX_INVOCATION_BYTES: usize = 300 * 1024;

/// The reason why nobody is asked: the schedule could not be made that ends the time to decide.
const CANNOT_WAIT: &str = "cannot_wait";

/// How long after its beginning an invocation for a click may still show what the click came to, while the dispatcher waits for it.
/// It waits for two and a half seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Which tools ask a person first, and whom (`APPROVALS`, `APPROVAL_SECONDS`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Who decides about which tool: by its whole name, `<target>___<operation>`, or by the operation alone.
    pub tools: Vec<(String, Who)>,
    /// How long they may take.
    pub time: Duration,
}

impl Approvals {
    /// Who decides about this tool; `None` if it asks nobody. A whole name comes before an operation alone.
    pub fn of(&self, tool: &str) -> Option<&Who> {
        let operation = tool.split_once("___").map_or(tool, |(_, operation)| operation);
        let named = |name: &str| self.tools.iter().find(|(tool, _)| tool == name).map(|(_, who)| who);
        named(tool).or_else(|| named(operation))
    }
}

/// What a click says, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decide {
    /// The number of the call in the question's journal.
    pub number: u32,
    /// The id of the approval that the button had.
    pub approval: Token,
    /// What the button says; or that the time is over.
    pub verdict: Verdict,
    /// Who clicked; absent if nobody did.
    pub by: Option<String>,
    /// The id under which the ingress recorded the click.
    pub click: String,
    /// The installation, as the click names it; absent if nobody clicked.
    pub tenant: Option<String>,
    /// Where the message stands that was clicked; absent if nobody clicked, or a dispatcher asks that is of before this field.
    pub channel: Option<String>,
    /// The `ts` of the message that was clicked.
    pub message_ts: Option<String>,
    /// Where whoever clicked can be told something alone.
    pub response_url: Option<String>,
    /// When the ingress received the click; absent if nobody clicked, or a dispatcher asks that is of before this field. A click
    /// that was made in time counts, although it has waited on the queue since.
    pub clicked_at: Option<UnixMillis>,
    /// Whether nobody waits for the answer, so that there is time to show what was decided.
    pub in_background: bool,
}

impl Decide {
    /// Reads the fields of a request.
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self, Invalid> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let owned = |name: &str| text(name).map(str::to_owned);
        let number = fields.get("n").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let verdict = text("verdict").and_then(Verdict::parse);
        let (by, tenant) = (owned("by"), owned("tenant"));
        if verdict.is_some_and(|verdict| verdict != Verdict::Lapsed) && by.is_none() {
            return Err(Invalid("by must say who has clicked"));
        }
        Ok(Self {
            number: number.filter(|number| *number > 0).ok_or(Invalid("n must be a number from 1"))?,
            approval: text("approval")
                .and_then(Token::parse)
                .ok_or(Invalid("approval must be the button's"))?,
            verdict: verdict.ok_or(Invalid("verdict must be approved, refused or lapsed"))?,
            by,
            click: owned("click").ok_or(Invalid("click must be the id of the event"))?,
            tenant,
            channel: owned("channel"),
            message_ts: owned("message_ts"),
            response_url: owned("response_url"),
            clicked_at: fields.get("clicked_at").and_then(Value::as_u64).map(UnixMillis::from_millis),
            in_background: fields.get("in_background").and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

/// Whether the call can be shown to a person as it is.
fn can_be_shown(tool: &str, arguments: &str) -> bool {
    // The name stands in a sentence of ours, so it may have nothing but letters, digits, `_` and `-`.
    let is_name = tool.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    is_name && legible(arguments).chars().count() <= MAX_SHOWN
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// The entry of the journal for a call that a person has to approve first; `None` if it needs nobody's approval. What cannot be
    /// shown to anybody is closed.
    pub(super) fn asked_first(&self, tool: &str, arguments: &str) -> Option<Entry> {
        let who = self.settings.approvals.of(tool)?;
        if !can_be_shown(tool, arguments) {
            return Some(Entry::Closed);
        }
        let asked_at = self.clock.now();
        let approval = Approval {
            id: self.tokens.next(),
            who: who.clone(),
            asked_at,
            until: asked_at.after(self.settings.approvals.time),
            decision: None,
        };
        let (tool, arguments) = (tool.to_owned(), arguments.to_owned());
        Some(Entry::Proposed(ProposedCall { tool, arguments, approval }))
    }

    /// Asks a person about the call with this number, and ends the attempt. Nothing is held while they think about it.
    pub(super) async fn suspend(
        &self,
        number: u32,
        invocation: &str,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let Some(record) = self.read(call).await? else { return Ok(Answer::Gone) };
        match &record.state {
            State::Suspended { token, .. } if token == call.token => return Ok(Answer::Suspended),
            State::Posting(posting) if posting.token == *call.token => return Ok(Answer::TakenOver),
            _ if record.flight_of(call.token).is_none() => return Ok(Answer::Gone),
            _ => {}
        }
        let asked = match self.store.read_call(call.key, number).await? {
            Some(Entry::Proposed(asked)) if asked.approval.decision.is_none() => asked,
            // The same request was made before, and was decided about. Whoever takes the question next reads the journal.
            Some(Entry::Proposed(_)) => return self.go_on_by_the_journal(call).await,
            Some(Entry::Call(made)) if made.approval.is_some() => {
                return self.go_on_by_the_journal(call).await;
            }
            // The same request was made before, and nobody could be asked.
            Some(Entry::Closed) => return Ok(Answer::NotAsked { why: "closed" }),
            _ => return Ok(Answer::Invalid { why: "nobody has to be asked about this call" }),
        };
        let Some(place) = &record.place else {
            return self.close_unasked(number, &asked, "no_place", call).await;
        };
        if asked.approval.who == Who::Asker && place.user.is_none() {
            return self.close_unasked(number, &asked, "no_asker", call).await;
        }
        if record.suspensions >= approval::MAX_ASKED {
            return self.close_unasked(number, &asked, "asked_too_often", call).await;
        }
        let shown = shown(&asked, &asked.approval.who.mention(place.user.as_deref())).text();
        let (tool, arguments) = (&*asked.tool, &*asked.arguments);
        self.audit_before(&Act::Approval { number, tool, arguments, by: call.token }, Some(place), call)
            .await?;
        if self.blocks(number, &asked, place, call).is_none() {
            return self.close_unasked(number, &asked, "too_long_to_show", call).await;
        }
        self.store.keep_invocation(call.key, invocation, self.clock.now()).await?;
        let lapse = Lapse {
            number,
            approval: asked.approval.id.clone(),
            question_id: call.key.question_id().to_owned(),
        };
        let schedule = || self.queue.put_at(&lapse, record.conversation.as_deref(), asked.approval.until);
        let mut scheduled = schedule().await;
        if scheduled.is_err() {
            scheduled = schedule().await;
        }
        if let Err(error) = scheduled {
            // Nobody would ever be told that it has come to nothing. The entry is left as it is: if this answer is lost, the same
            // request may succeed, and a write that took effect after that would close what a person is asked about.
            call.report.errors.add("schedule", &error);
            call.report.why = Some(CANNOT_WAIT.to_owned());
            return Ok(Answer::NotAsked { why: CANNOT_WAIT });
        }
        let asking = ApprovalRef { number, approval: asked.approval.id.clone() };
        Ok(match self.end(Some(&shown), End::Suspended(asking), call).await? {
            // Slack does not take the message, and the asker was told so. To the agent it is as if others posted it.
            Answer::Told => Answer::TakenOver,
            answer => answer,
        })
    }

    /// What follows when Slack has refused the message with the buttons, and will refuse it again until somebody has changed
    /// something: for example, the app is no member of the channel. The asker is told so now, and does not wait for a question that
    /// nobody sees. The answer is the text that is to be posted in its place, and the record that says so; `None` if others go on.
    ///
    /// The record comes before the entry of the call. Once it says that there will be no answer, nobody posts buttons any more,
    /// so that the entry can be closed. If this invocation dies in between, the text is posted all the same, and whoever reads the
    /// journal later closes the entry.
    pub(super) async fn cannot_be_asked(
        &self,
        refused: &Record,
        posting: &Posting,
        asking: &ApprovalRef,
        reason: &str,
        call: &mut Call<'_>,
    ) -> Result<Option<(Vec<String>, Record)>, StoreError> {
        let asked = match self.store.read_call(call.key, asking.number).await? {
            None | Some(Entry::Closed) => None,
            Some(Entry::Proposed(asked)) if asked.verdict().is_none() => Some(asked),
            // Somebody has decided, so an earlier message stands, although it was not found. Their click carries the question on.
            Some(Entry::Proposed(_) | Entry::Call(_)) => {
                self.back_off(refused, None, call).await;
                return Ok(None);
            }
        };
        let why = answer_text::CANNOT_BE_ASKED;
        let text = answer_text::apology(why);
        let told = End::Told { why: why.to_owned() };
        let place = refused.place.as_ref();
        self.audit_before(&Act::Answer { record: refused, text: Some(text), end: &told }, place, call)
            .await?;
        let parts = answer_text::parts(text);
        let by_url = place.is_some_and(|place| self.may_respond(posting, place, parts.len(), call));
        let via = if by_url { Via::ResponseUrl } else { Via::Channel };
        let (token, nonce) = (call.token, self.tokens.next());
        let instead = update(&self.store, &self.clock, call.key, |record, now| {
            operations::tell_instead(record, token, (text, why), &nonce, via, now)
        });
        let Some(record) = instead.await? else { return Ok(None) };
        if let Some(asked) = asked
            && let Err(error) = self
                .store
                .replace_proposed(call.key, asking.number, &asked, &Entry::Closed, self.clock.now())
                .await
        {
            call.report.errors.add("close", &error);
        }
        let (text, end) = (Some(posting.text.as_str()), &posting.end);
        self.audit_after(&Act::NotPosted { record: refused, text, end, why: reason }, place, call).await;
        Ok(Some((parts, record)))
    }

    /// Ends the attempt, and has the question begin anew at once: nobody has to be asked any more.
    async fn go_on_by_the_journal(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        Ok(match self.release(call).await? {
            Answer::Released => Answer::TakenOver,
            other => other,
        })
    }

    /// Nobody is asked: the call is not made, and the attempt goes on.
    async fn close_unasked(
        &self,
        number: u32,
        asked: &ProposedCall,
        why: &'static str,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        self.store.replace_proposed(call.key, number, asked, &Entry::Closed, self.clock.now()).await?;
        call.report.why = Some(why.to_owned());
        Ok(Answer::NotAsked { why })
    }

    /// The blocks of the message that asks about a call; `None` if they cannot be shown.
    pub(super) fn blocks(
        &self,
        number: u32,
        asked: &ProposedCall,
        place: &Place,
        call: &Call<'_>,
    ) -> Option<Value> {
        let who = asked.approval.who.mention(place.user.as_deref());
        shown(asked, &who).blocks(number, asked.approval.id.as_str(), call.key.question_id())
    }

    /// What is to be done about a question because somebody clicked, or because nobody has in time. The answer says whether the
    /// question goes on by this very click.
    pub(super) async fn decide(&self, decide: &Decide, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let stop = self.stop(call).await?;
        let record = self.read(call).await?;
        let asked = self.asked_about(decide, record.as_ref(), call).await?;
        let (Some(record), Some(asked)) = (record, asked) else {
            return Ok(self.no_effect(NoEffect::Gone, decide, call).await);
        };
        let (approval, place) = (&asked.approval, record.place.as_ref());
        let asker = place.and_then(|place| place.user.as_deref());
        let by = decide.by.as_deref();
        let now = self.clock.now();
        // Two clocks may differ by a little, and nobody clicks later than now.
        let now = decide.clicked_at.map_or(now, |clicked_at| clicked_at.min(now));
        let decision = match approval::click(approval, decide.verdict, by, &decide.click, now) {
            Clicked::HasDecided(decision) => decision,
            // Somebody has decided just before the time was over, and the message of the click may be lost. So this message,
            // which says that the time is over, goes on with the question by their decision, and the record says what becomes
            // of it.
            Clicked::TooLate(decision) if decide.verdict == Verdict::Lapsed => decision,
            Clicked::TooLate(decision) => {
                self.audit_not_counted(decide, place, call).await;
                return Ok(self.no_effect(NoEffect::Decided(decision.shown()), decide, call).await);
            }
            Clicked::Over => {
                self.audit_not_counted(decide, place, call).await;
                return Ok(self.no_effect(NoEffect::Over, decide, call).await);
            }
            Clicked::Decides(decision) => {
                let withdrawn = Now { now, stopped_at: stop.as_ref().map(|stop| &stop.at) };
                if record.has_ended() || is_withdrawn(&record, withdrawn.stopped_at) {
                    self.audit_not_counted(decide, place, call).await;
                    return Ok(self.no_effect(NoEffect::Gone, decide, call).await);
                }
                match self.may_decide(&approval.who, decide, place, call).await {
                    Ok(true) => {}
                    // Somebody has to change something first, and meanwhile the thread goes on.
                    Err((why, Retry::AfterChange | Retry::Never)) => {
                        call.report.failure = Some(why);
                        return Ok(self.no_effect(NoEffect::NobodyKnows, decide, call).await);
                    }
                    Ok(false) => {
                        let who = approval.who.mention(asker);
                        return Ok(self.no_effect(NoEffect::NotYours { who: &who }, decide, call).await);
                    }
                    Err((why, Retry::Later)) => {
                        call.report.failure = Some(why.clone());
                        return Ok(Answer::Unreadable { why, again: true });
                    }
                }
                let decider = place.map(|place| decider(decide, place));
                let (number, tool) = (decide.number, &*asked.tool);
                let act = Act::Decision { number, tool, decision: &decision };
                self.audit_before(&act, decider.as_ref(), call).await?;
                match self.write_decision(number, &asked, decision.clone(), call).await? {
                    Ok(decision) => {
                        call.report.decided = Some(decision.verdict);
                        decision
                    }
                    Err(first) => {
                        let act = Act::NotDecided { number, decision: &decision };
                        self.audit_after(&act, decider.as_ref(), call).await;
                        match first {
                            Some(first) if decide.verdict == Verdict::Lapsed => first,
                            first => {
                                let shown = first.as_ref().map(Decision::shown);
                                let why = shown.map_or(NoEffect::Gone, NoEffect::Decided);
                                return Ok(self.no_effect(why, decide, call).await);
                            }
                        }
                    }
                }
            }
        };
        let is_shown = self.show_decision(&asked, &decision, decide, &record, call).await;
        Ok(Answer::Decided { verdict: decision.verdict, is_shown })
    }

    /// Writes down that a decision did not count. An earlier run of the same click may have written that it was about to be made.
    async fn audit_not_counted(&self, decide: &Decide, place: Option<&Place>, call: &mut Call<'_>) {
        let decision = Decision {
            verdict: decide.verdict,
            by: decide.by.clone(),
            click: decide.click.clone(),
            at: self.clock.now(),
        };
        let decider = place.map(|place| decider(decide, place));
        let act = Act::NotDecided { number: decide.number, decision: &decision };
        self.audit_after(&act, decider.as_ref(), call).await;
    }

    /// The call that the click is about, if such an approval stands in the journal of a question of this installation and this
    /// channel. The id is what a click must know; but whoever has got hold of it somehow, for example an agent whose own tool reads
    /// messages, cannot have a person click on it elsewhere, where other words stand above the button.
    async fn asked_about(
        &self,
        decide: &Decide,
        record: Option<&Record>,
        call: &Call<'_>,
    ) -> Result<Option<ProposedCall>, StoreError> {
        let Some(record) = record else { return Ok(None) };
        let place = record.place.as_ref();
        let tenant = place.and_then(|place| place.tenant.as_deref());
        let is_elsewhere = decide
            .channel
            .as_deref()
            .is_some_and(|channel| place.map(|place| &*place.channel) != Some(channel));
        if decide.verdict != Verdict::Lapsed && (is_elsewhere || decide.tenant.as_deref() != tenant) {
            return Ok(None);
        }
        Ok(match self.store.read_call(call.key, decide.number).await? {
            Some(Entry::Proposed(asked)) => Some(asked),
            // It was approved, and has been begun since.
            Some(Entry::Call(made)) => made.approval.map(|approval| ProposedCall {
                tool: made.tool,
                arguments: made.arguments,
                approval,
            }),
            Some(Entry::Closed) | None => None,
        }
        .filter(|asked| asked.approval.id == decide.approval))
    }

    /// Writes the decision down, if nobody else has decided by now; otherwise what stands there.
    async fn write_decision(
        &self,
        number: u32,
        asked: &ProposedCall,
        decision: Decision,
        call: &Call<'_>,
    ) -> Result<Result<Decision, Option<Decision>>, StoreError> {
        let approval = Approval { decision: Some(decision.clone()), ..asked.approval.clone() };
        let decided = Entry::Proposed(ProposedCall { approval, ..asked.clone() });
        let mut written =
            self.store.replace_proposed(call.key, number, asked, &decided, self.clock.now()).await;
        if written.is_err() {
            // Perhaps it was written. The same entry again has the same answer.
            written = self.store.replace_proposed(call.key, number, asked, &decided, self.clock.now()).await;
        }
        Ok(match written? {
            None => Ok(decision),
            Some(stands) => {
                let first = match stands {
                    Entry::Proposed(ProposedCall { approval, .. }) => approval.decision,
                    Entry::Call(made) => made.approval.and_then(|approval| approval.decision),
                    Entry::Closed => None,
                };
                match first {
                    Some(first) if first.click == decision.click => Ok(first),
                    first => Err(first),
                }
            }
        })
    }

    /// Whether whoever clicked may decide.
    ///
    /// # Errors
    /// The code of why nobody can say that now.
    async fn may_decide(
        &self,
        who: &Who,
        decide: &Decide,
        place: Option<&Place>,
        call: &Call<'_>,
    ) -> Result<bool, (String, Retry)> {
        let Some(by) = &decide.by else { return Ok(decide.verdict == Verdict::Lapsed) };
        match who {
            Who::Asker => Ok(place.and_then(|place| place.user.as_ref()) == Some(by)),
            Who::People(people) => Ok(people.contains(by)),
            Who::Group(group) => {
                let tenant = place.and_then(|place| place.tenant.as_deref());
                let team = place.and_then(|place| place.team_id.as_deref());
                match self.slack.members(tenant, team, group, call.until()).await {
                    MembersOutcome::Known(members) => Ok(members.contains(by)),
                    MembersOutcome::Unknown { reason, retry } => Err((reason, retry)),
                }
            }
        }
    }

    /// Tells whoever clicked that it changes nothing. Nothing depends on it.
    async fn no_effect(&self, no_effect: NoEffect<'_>, decide: &Decide, call: &mut Call<'_>) -> Answer {
        let why = match no_effect {
            NoEffect::NotYours { .. } => "not_yours",
            NoEffect::Decided(_) => "decided",
            NoEffect::Over => "over",
            NoEffect::NobodyKnows => "nobody_knows",
            NoEffect::Gone => "gone",
        };
        call.report.why = Some(why.to_owned());
        // What is asked in the background was decided by this very click.
        if let Some(url) = decide.response_url.as_ref().filter(|_| !decide.in_background) {
            self.slack.respond(url, &no_effect.words(), call.begun.after(SHOWN_WITHIN)).await;
        }
        Answer::NoEffect { why }
    }

    /// Has the message show who has decided what. Nothing depends on it: whoever clicks once more is told. The answer is false if
    /// it may not show that, and may when there is more time.
    async fn show_decision(
        &self,
        asked: &ProposedCall,
        decision: &Decision,
        decide: &Decide,
        record: &Record,
        call: &mut Call<'_>,
    ) -> bool {
        let ts = match (&decide.message_ts, &record.state) {
            (Some(ts), _) => Some(ts),
            (None, State::Suspended { asking, ts, .. }) if asking.approval == asked.approval.id => {
                ts.as_ref()
            }
            _ => None,
        };
        let (Some(ts), Some(place)) = (ts, &record.place) else { return true };
        let who = asked.approval.who.mention(place.user.as_deref());
        let shown = shown(asked, &who);
        let Some(blocks) = shown.decided_blocks(decision.shown()) else { return true };
        let text = shown.decided_text(decision.shown());
        let until = if decide.in_background { call.until() } else { call.begun.after(SHOWN_WITHIN) };
        self.replace_buttons(ts, place, (&text, &blocks), until, call).await
    }

    /// Keeps nothing of a question that was withdrawn, for nobody will start it over. If a person was being asked about it, the
    /// message with the buttons says so first: what it asks about is only known by the entry of the call.
    pub(super) async fn forget_withdrawn(
        &self,
        record: &Record,
        how: &str,
        call: &mut Call<'_>,
    ) -> Result<(), StoreError> {
        if let (Some(Buttons { asking, ts: Some(ts) }), Some(place)) = (&record.buttons, &record.place)
            && let Some(Entry::Proposed(entry)) = self.store.read_call(call.key, asking.number).await?
            && entry.approval.id == asking.approval
        {
            let who = entry.approval.who.mention(place.user.as_deref());
            let shown = shown(&entry, &who);
            let (text, blocks) = (shown.withdrawn_text(how), shown.withdrawn_blocks(how));
            self.replace_buttons(ts, place, (&text, &blocks), call.until(), call).await;
        }
        self.forget(record, call).await;
        Ok(())
    }

    /// Has a message without buttons take the place of the one with them. False if it may do so another time.
    async fn replace_buttons(
        &self,
        ts: &str,
        place: &Place,
        (text, blocks): (&str, &Value),
        until: Moment,
        call: &mut Call<'_>,
    ) -> bool {
        let nonce = self.tokens.next();
        let post = Post {
            tenant: place.tenant.as_deref(),
            channel: &place.channel,
            thread_ts: place.thread_ts.as_deref(),
            text,
            nonce: nonce.as_str(),
            feedback_for: None,
            blocks: Some(blocks),
        };
        let mut replaced = self.slack.replace(ts, &post, until).await;
        if matches!(&replaced, Replaced::NotYet(trouble) if trouble.retry == Retry::Later) {
            replaced = self.slack.replace(ts, &post, until).await;
        }
        match replaced {
            Replaced::Yes | Replaced::StillWritten => true,
            Replaced::NotYet(trouble) => {
                call.report.not_shown = Some(trouble.reason);
                trouble.retry != Retry::Later
            }
            Replaced::NoSuchMessage { reason } | Replaced::Never { reason } => {
                call.report.not_shown = Some(reason);
                true
            }
        }
    }

    /// The message stands that asks a person: nothing of the question's is held any more.
    pub(super) async fn show_suspended(&self, call: &mut Call<'_>) -> Result<(), StoreError> {
        call.report.ended = Some(Ended::Suspended);
        let Some(record) = self.read(call).await? else { return Ok(()) };
        self.close_stream(&record, call).await;
        // Whoever was quick has decided already, and somebody works on it again.
        if let (State::Suspended { .. }, Some(place)) = (&record.state, &record.place) {
            self.set_status(place, SessionStatus::Suspended, None, call).await;
        }
        Ok(())
    }
}

/// The place of whoever decides: it is their entry in the trail, and not the asker's. That nobody has decided is the asker's.
fn decider(decide: &Decide, place: &Place) -> Place {
    match decide.verdict {
        Verdict::Lapsed => place.clone(),
        Verdict::Approved | Verdict::Refused => Place { user: decide.by.clone(), ..place.clone() },
    }
}

fn shown<'a>(asked: &'a ProposedCall, who: &'a str) -> Shown<'a> {
    Shown { tool: &asked.tool, arguments: &asked.arguments, who, until: asked.approval.until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_named_by_its_operation_or_as_a_whole() {
        let group = Who::Group("S1".to_owned());
        let tools =
            vec![("create_card".to_owned(), Who::Asker), ("other___create_card".to_owned(), group.clone())];
        let approvals = Approvals { tools, time: approval::MAX_TIME };
        assert_eq!(approvals.of("trello___create_card"), Some(&Who::Asker));
        assert_eq!(approvals.of("other___create_card"), Some(&group));
        assert_eq!(approvals.of("trello___delete_card"), None);
        assert_eq!(Approvals::default().of("trello___create_card"), None);
        // A target has no underscore, an operation may have several.
        for operation in ["_archive", "create___card", "archive_"] {
            let tools = vec![(operation.to_owned(), Who::Asker)];
            let approvals = Approvals { tools, time: approval::MAX_TIME };
            assert_eq!(approvals.of(&format!("trello___{operation}")), Some(&Who::Asker), "{operation}");
        }
    }

    #[test]
    fn a_name_that_says_more_than_a_name_is_not_shown() {
        assert!(can_be_shown("trello___create_card", "{}"));
        for tool in ["harmless, please approve: ___create_card", "a`___create_card", "é___create_card"] {
            assert!(!can_be_shown(tool, "{}"), "{tool}");
        }
    }
}
