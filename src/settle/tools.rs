//! Calls a tool for the agent's model, and keeps in the journal that it was begun and what came of it.
//!
//! ```text
//! counted ─▶ is a person to decide first? ─▶ in the trail ─▶ in the journal ─▶ called ─▶ its end in the journal
//! ```
//!
//! Whoever takes the question over asks for the same call under the same number, and is told what the journal says of it.

use serde_json::value::RawValue;

use super::answer::Answer;
use super::calls::{self, Called, JournalledCall};
use super::{Call, Settle, withdrawal};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, SlackTools};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::approval::Verdict;
use crate::work::audit::Act;
use crate::work::journal::{Entry, ProposedCall, ToolCall, ToolEnd};
use crate::work::operations::{self, Counted};
use crate::work::queue::Queue;
use crate::work::record::Record;
use crate::work::token::Tokens;
use crate::work::update::update;

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Calls a tool for the agent's model, and keeps in the journal that it was begun and what came of it.
    pub(super) async fn call_tool(
        &self,
        number: u32,
        tool: &str,
        arguments: &str,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let Some(tools) = &self.tools else {
            return Ok(Answer::Invalid {
                why: "agent-settle has no TOOLS_GATEWAY_URL, so it can call no tool",
            });
        };
        let Ok(raw) = serde_json::from_str::<&RawValue>(arguments) else {
            return Ok(Answer::Invalid { why: "arguments must be a JSON object as text" });
        };
        if self.release_to_answer_alone(call).await? {
            return Ok(Answer::Gone);
        }
        let stop = self.stop(call).await?;
        let token = call.token;
        let counted = update(&self.store, &self.clock, call.key, |record, now| {
            operations::count_call(record, token, number, withdrawal(now, stop.as_ref()))
        });
        let place = match counted.await? {
            Counted::Yes { place } => place,
            Counted::TooMany => {
                let why = "too_many_calls".to_owned();
                return Ok(Answer::Called(Called::ended(ToolEnd::NotCalled { why })));
            }
            Counted::Gone { visible } => {
                self.finish_withdrawn(visible, call).await;
                return Ok(Answer::Gone);
            }
        };
        if !self.has_time(call) {
            // Nothing stands under the number, so whoever asks again makes the call.
            return Ok(Answer::Called(Called::UnderWay));
        }
        let first = self.asked_first(tool, arguments);
        let mut approved = None;
        if let Some(first) = &first {
            match self.begin(number, first, call).await? {
                None if *first == Entry::Closed => {
                    let why = "too_long_to_show".to_owned();
                    return Ok(Answer::Called(Called::ended(ToolEnd::NotCalled { why })));
                }
                None => return Ok(Answer::Called(self.called(first, number, tool, arguments))),
                Some(Entry::Proposed(asked)) if is_approved(&asked, tool, arguments) => {
                    approved = Some(asked)
                }
                Some(stands) => return Ok(Answer::Called(self.called(&stands, number, tool, arguments))),
            }
        }
        if let Some(end) = self.take_tool_call(place.as_ref(), number, call).await? {
            return self.over_limit(number, tool, arguments, end, call).await;
        }
        // It stands in the trail before it stands in the journal: after an error the same request makes the call.
        self.audit_before(&Act::Call { number, tool, arguments, by: token }, place.as_ref(), call).await?;
        let (nonce, begun_at) = (self.tokens.next(), self.clock.now());
        let begun = ToolCall {
            tool: tool.to_owned(),
            arguments: arguments.to_owned(),
            nonce: nonce.clone(),
            begun_at,
            approval: None,
            end: None,
        };
        let approved_by = approved.as_ref().and_then(|asked| asked.approval.decided_by()).map(str::to_owned);
        if let Some(stands) = self.begin_tool_call(number, begun, approved, call).await? {
            let called = self.called(&stands, number, tool, arguments);
            if matches!(called, Called::Another(_)) || stands == Entry::Closed {
                let end = ToolEnd::NotCalled { why: "another_stands".to_owned() };
                let act = Act::Called { number, tool, arguments, by: token, end: &end };
                self.audit_after(&act, place.as_ref(), call).await;
            }
            return Ok(Answer::Called(called));
        }
        let tenant = place.as_ref().and_then(|place| place.tenant.as_deref());
        let end = calls::end_of(tools.call(tenant, tool, raw, call.until()).await, arguments);
        if let ToolEnd::NotCalled { why } | ToolEnd::Unknown { why, .. } = &end {
            call.report.why = Some(why.clone());
        }
        // The caller gets the result even if it cannot be written down. Then the next attempt takes it for unknown.
        let mut written = self.store.end_call(call.key, number, &nonce, &end).await;
        if written.is_err() {
            written = self.store.end_call(call.key, number, &nonce, &end).await;
        }
        if let Err(error) = written {
            call.report.errors.add("end of a call", &error);
        }
        let act = Act::Called { number, tool, arguments, by: token, end: &end };
        self.audit_after(&act, place.as_ref(), call).await;
        Ok(Answer::Called(Called::Ended { end, approved_by }))
    }

    /// Reads the journal. What was counted and not begun is closed, so that the process of an earlier attempt, which may only be
    /// late, does not begin it any more.
    pub(super) async fn calls(&self, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let record = self.read(call).await?.filter(|record| record.flight_of(call.token).is_some());
        let Some(record) = record else { return Ok(Answer::Gone) };
        let mut calls = Vec::new();
        for number in 1..=record.tool_calls {
            let stands = match self.store.read_call(call.key, number).await? {
                None => self.begin(number, &Entry::Closed, call).await?,
                // An attempt that has ended since was about to ask a person, and has not.
                Some(Entry::Proposed(asked)) if asked.verdict().is_none() => {
                    let (key, now) = (call.key, self.clock.now());
                    let stands =
                        self.store.replace_proposed(key, number, &asked, &Entry::Closed, now).await?;
                    stands.or(Some(Entry::Proposed(asked)))
                }
                stands => stands,
            };
            match stands {
                Some(Entry::Call(begun)) => {
                    calls.push(JournalledCall::of(&begun, number, self.clock.now()));
                }
                Some(Entry::Proposed(asked)) => calls.push(JournalledCall::of_proposed(&asked, number)),
                Some(Entry::Closed) | None => {}
            }
        }
        Ok(Answer::Calls(calls))
    }

    /// What stands in the journal, for whoever wants this tool called with these arguments.
    pub(super) fn called(&self, stands: &Entry, number: u32, tool: &str, arguments: &str) -> Called {
        Called::of(stands, number, tool, arguments, self.clock.now())
    }

    /// Writes a call into the journal: where nothing stands, or in the place of its approval. The answer is what stands there
    /// otherwise.
    async fn begin_tool_call(
        &self,
        number: u32,
        begun: ToolCall,
        approved: Option<ProposedCall>,
        call: &Call<'_>,
    ) -> Result<Option<Entry>, StoreError> {
        let asked = match approved {
            Some(asked) => asked,
            None => match self.begin(number, &Entry::Call(begun.clone()), call).await? {
                // The call needed an approval when it was begun, and has it. The setting has changed since.
                Some(Entry::Proposed(asked)) if is_approved(&asked, &begun.tool, &begun.arguments) => asked,
                stands => return Ok(stands),
            },
        };
        self.begin_approved(number, begun, &asked, call).await
    }

    /// Writes a call in the place of the approval that it is made by. The answer is what stands there otherwise.
    pub(super) async fn begin_approved(
        &self,
        number: u32,
        begun: ToolCall,
        asked: &ProposedCall,
        call: &Call<'_>,
    ) -> Result<Option<Entry>, StoreError> {
        let entry = Entry::Call(ToolCall { approval: Some(asked.approval.clone()), ..begun });
        match self.store.replace_proposed(call.key, number, asked, &entry, self.clock.now()).await {
            // Perhaps it was written. The same entry again has the same answer.
            Err(_) => self.store.replace_proposed(call.key, number, asked, &entry, self.clock.now()).await,
            begun => begun,
        }
    }

    /// Writes an entry into the journal if none stands under this number; the answer is what stands there.
    pub(super) async fn begin(
        &self,
        number: u32,
        entry: &Entry,
        call: &Call<'_>,
    ) -> Result<Option<Entry>, StoreError> {
        match self.store.begin_call(call.key, number, entry, self.clock.now()).await {
            // Perhaps it was written. The same entry again has the same answer.
            Err(_) => self.store.begin_call(call.key, number, entry, self.clock.now()).await,
            begun => begun,
        }
    }

    /// Keeps nothing of what the question's tools were told and have answered: it has ended, and does not start over. What cannot
    /// be forgotten expires.
    async fn forget_calls(&self, tool_calls: u32, call: &mut Call<'_>) {
        for number in 1..=tool_calls {
            if let Err(error) = self.store.forget_call(call.key, number, self.clock.now()).await {
                call.report.errors.add("forget calls", &error);
            }
        }
    }

    /// Keeps nothing of what was said for the question's sake: it has ended.
    pub(super) async fn forget(&self, record: &Record, call: &mut Call<'_>) {
        self.forget_calls(record.tool_calls, call).await;
        if record.suspensions > 0
            && let Err(error) = self.store.forget_invocation(call.key, self.clock.now()).await
        {
            call.report.errors.add("forget invocation", &error);
        }
    }
}

/// Whether it is this very call, and a person has approved it.
pub(super) fn is_approved(asked: &ProposedCall, tool: &str, arguments: &str) -> bool {
    asked.is_of(tool, arguments) && asked.verdict() == Some(Verdict::Approved)
}
