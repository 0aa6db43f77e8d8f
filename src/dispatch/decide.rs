//! What is decided about a call of a tool: by a click, or because nobody has clicked in time. All of it is pure.

use serde_json::{Value, json};
use std::borrow::Cow;

use crate::slack::approval::Verdict;
use crate::slack::question::ApprovalClick;
use crate::work::RecordKey;
use crate::work::lapse::Lapse;
use crate::work::token::Token;

/// A decision, as agent-settle is asked what it comes to.
#[derive(Clone, Debug)]
pub struct Decide<'a> {
    /// The question.
    pub question_id: &'a str,
    /// What was decided.
    pub verdict: Verdict,
    /// The id of the approval.
    pub approval: Cow<'a, Token>,
    number: u32,
    id: Cow<'a, str>,
    decision: Option<&'a ApprovalClick>,
    clicked_at: Option<u64>,
}

impl<'a> Decide<'a> {
    /// A click that the ingress recorded under this id, and received at this time in milliseconds; `None` if its button has a value
    /// that is none of ours.
    pub fn of_decision(
        decision: &'a ApprovalClick,
        event_id: &'a str,
        clicked_at: Option<u64>,
    ) -> Option<Self> {
        let click = &decision.click;
        if click.number == 0
            || RecordKey::parse(RecordKey::of_question(&click.question_id).as_str()).is_none()
        {
            return None;
        }
        Some(Self {
            question_id: &click.question_id,
            verdict: click.verdict,
            approval: Cow::Owned(Token::parse(&click.approval)?),
            number: click.number,
            id: Cow::Borrowed(event_id),
            decision: Some(decision),
            clicked_at,
        })
    }

    /// That nobody has clicked in time.
    pub fn of_lapse(lapse: &'a Lapse) -> Self {
        Self {
            question_id: &lapse.question_id,
            verdict: Verdict::Lapsed,
            approval: Cow::Borrowed(&lapse.approval),
            number: lapse.number,
            id: Cow::Owned(lapse.event_id()),
            decision: None,
            clicked_at: None,
        }
    }

    /// The same for a request that nobody waits for.
    pub fn in_background(&self) -> Value {
        self.fields(true)
    }

    /// What the request has in it.
    pub fn to_json(&self) -> Value {
        self.fields(false)
    }

    fn fields(&self, in_background: bool) -> Value {
        let decision = self.decision;
        json!({
            "n": self.number,
            "approval": self.approval.as_str(),
            "verdict": self.verdict.as_str(),
            "click": self.id,
            "by": decision.map(|decision| &decision.user),
            "tenant": decision.and_then(|decision| decision.tenant.as_ref()),
            "channel": decision.map(|decision| &decision.channel),
            "message_ts": decision.and_then(|decision| decision.message_ts.as_ref()),
            "response_url": decision.and_then(|decision| decision.response_url.as_ref()),
            "clicked_at": self.clicked_at,
            "in_background": in_background,
        })
    }
}
