//! The calls of tools, as agent-settle tells of them. All of it is pure.

use serde_json::{Map, Value, json};

use crate::gateway::ToolOutcome;
use crate::time::clock::UnixMillis;
use crate::work::approval::{Approval, Verdict};
use crate::work::journal::{Entry, MAX_BYTES, ProposedCall, ToolCall, ToolEnd};

/// What is answered to the request for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// A person has to be asked first.
    AskFirst,
    /// What came of it.
    Ended {
        /// That.
        end: ToolEnd,
        /// Who has approved it; absent if it needed nobody's approval, or has none.
        approved_by: Option<String>,
    },
    /// Another invocation makes this very call right now. ApprovalRef again will tell what came of it.
    UnderWay,
    /// Another call stands under this number: an earlier attempt made that one.
    Another(Box<JournalledCall>),
}

/// The reason why a call is not made whose number was [closed](Entry::Closed).
const CLOSED: &str = "closed";

/// The reason why a call is not made about which a person was to be asked, and was not.
const NOT_ASKED: &str = "not_asked";

impl Called {
    /// What stands in the journal, for whoever wants this tool called with these arguments.
    pub fn of(stands: &Entry, number: u32, tool: &str, arguments: &str, now: UnixMillis) -> Self {
        match stands {
            Entry::Closed => Self::ended(ToolEnd::NotCalled { why: CLOSED.to_owned() }),
            Entry::Call(call) if call.is_of(tool, arguments) => {
                let approval = call.approval.as_ref();
                let approved_by = approval.and_then(Approval::decided_by).map(str::to_owned);
                call.end_at(now).map_or(Self::UnderWay, |end| Self::Ended { end, approved_by })
            }
            Entry::Call(call) => Self::Another(Box::new(JournalledCall::of(call, number, now))),
            Entry::Proposed(asked) if asked.is_of(tool, arguments) => match asked.verdict() {
                None => Self::AskFirst,
                // Whoever asks for it again makes it.
                Some(Verdict::Approved) => Self::UnderWay,
                Some(verdict @ (Verdict::Refused | Verdict::Lapsed)) => {
                    Self::ended(ToolEnd::NotCalled { why: verdict.as_str().to_owned() })
                }
            },
            Entry::Proposed(asked) => Self::Another(Box::new(JournalledCall::of_proposed(asked, number))),
        }
    }

    /// What came of a call that needs nobody's approval, or was not made.
    pub const fn ended(end: ToolEnd) -> Self {
        Self::Ended { end, approved_by: None }
    }

    /// The value of `outcome`.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Ended { end, .. } => outcome(Some(end)),
            Self::UnderWay => outcome(None),
            Self::AskFirst => "ask first",
            Self::Another(_) => "another call",
        }
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ended { end, approved_by } => {
                let mut told = told(Some(end));
                if let Some(by) = approved_by {
                    told.insert("approved_by".to_owned(), by.as_str().into());
                }
                Value::Object(told)
            }
            Self::UnderWay => Value::Object(told(None)),
            Self::AskFirst => json!({ "outcome": self.outcome() }),
            Self::Another(call) => json!({ "outcome": self.outcome(), "call": call.to_json() }),
        }
    }
}

/// A call that was begun, as it is told to whoever works on the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalledCall {
    number: u32,
    tool: String,
    arguments: String,
    state: CallState,
    /// Who has approved it; absent if it needed nobody's approval, or has none.
    approved_by: Option<String>,
}

/// How far a call of the journal's is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CallState {
    /// It may be under way.
    UnderWay,
    /// It was approved, and is not begun.
    Approved,
    /// It is over.
    Ended(ToolEnd),
}

impl JournalledCall {
    /// A call of the journal's, at `now`.
    pub fn of(call: &ToolCall, number: u32, now: UnixMillis) -> Self {
        let (tool, arguments) = (call.tool.clone(), call.arguments.clone());
        let state = call.end_at(now).map_or(CallState::UnderWay, CallState::Ended);
        let approval = call.approval.as_ref();
        Self {
            number,
            tool,
            arguments,
            state,
            approved_by: approval.and_then(Approval::decided_by).map(str::to_owned),
        }
    }

    /// A call that a person was asked about, and that is not begun. If nobody has decided, the attempt ended before it asked
    /// anybody.
    pub fn of_proposed(asked: &ProposedCall, number: u32) -> Self {
        let why = match asked.verdict() {
            Some(Verdict::Approved) => None,
            Some(verdict) => Some(verdict.as_str()),
            None => Some(NOT_ASKED),
        };
        let not_called = |why: &str| CallState::Ended(ToolEnd::NotCalled { why: why.to_owned() });
        let by = asked.approval.decided_by().map(str::to_owned);
        let approved_by = if why.is_none() { by } else { None };
        let (tool, arguments) = (asked.tool.clone(), asked.arguments.clone());
        Self { number, tool, arguments, state: why.map_or(CallState::Approved, not_called), approved_by }
    }

    /// The call as JSON.
    pub fn to_json(&self) -> Value {
        let mut call = match &self.state {
            CallState::UnderWay => told(None),
            CallState::Ended(end) => told(Some(end)),
            CallState::Approved => Map::from_iter([("outcome".to_owned(), "approved".into())]),
        };
        if let Some(by) = &self.approved_by {
            let name = if self.state == CallState::Approved { "by" } else { "approved_by" };
            call.insert(name.to_owned(), by.as_str().into());
        }
        call.insert("n".to_owned(), self.number.into());
        call.insert("tool".to_owned(), self.tool.as_str().into());
        call.insert("arguments".to_owned(), self.arguments.as_str().into());
        Value::Object(call)
    }
}

const fn outcome(end: Option<&ToolEnd>) -> &'static str {
    match end {
        Some(ToolEnd::Answered { .. }) => "called",
        Some(ToolEnd::NotCalled { .. }) => "not called",
        Some(ToolEnd::Unknown { .. }) => "unknown",
        None => "under way",
    }
}

fn told(end: Option<&ToolEnd>) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("outcome".to_owned(), outcome(end).into());
    match end {
        Some(ToolEnd::Answered { result }) => {
            told.insert("result".to_owned(), parsed(result));
        }
        Some(ToolEnd::NotCalled { why }) => {
            told.insert("why".to_owned(), why.as_str().into());
        }
        Some(ToolEnd::Unknown { why, result }) => {
            told.insert("why".to_owned(), why.as_str().into());
            if let Some(result) = result {
                told.insert("result".to_owned(), parsed(result));
            }
        }
        None => {}
    }
    told
}

/// JSON that was written from a value, so it can be read.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// What came of a call with these arguments, as the journal keeps it.
pub fn end_of(outcome: ToolOutcome, arguments: &str) -> ToolEnd {
    let left = MAX_BYTES.saturating_sub(arguments.len());
    match outcome {
        ToolOutcome::Answered(result) => ToolEnd::Answered { result: kept(&result, left) },
        ToolOutcome::NotCalled { reason } => ToolEnd::NotCalled { why: reason },
        ToolOutcome::Unknown { reason, result } => {
            ToolEnd::Unknown { why: reason, result: result.map(|result| kept(&result, left)) }
        }
    }
}

/// The result as JSON, in so many bytes. Of one that is longer the beginning of its text is kept, and says so.
fn kept(result: &Value, bytes: usize) -> String {
    let whole = result.to_string();
    if whole.len() <= bytes {
        return whole;
    }
    let texts = result.get("content").and_then(Value::as_array).into_iter().flatten();
    let text: Vec<&str> = texts.filter_map(|content| content.get("text")?.as_str()).collect();
    let mut left = bytes.saturating_sub(200);
    let fits = |c: &char| {
        let long = in_json(*c);
        let fits = long <= left;
        left = left.saturating_sub(long);
        fits
    };
    let text: String = text.join("\n").chars().take_while(fits).collect();
    let text = format!("{text}\n(The tool said more than is kept here.)");
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or_default();
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error }).to_string()
}

/// How many bytes a character takes in a string of JSON.
const fn in_json(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::journal::{MAX_ARGUMENT_BYTES, MAX_CALLS};
    use crate::work::token::Token;

    const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

    fn call(end: Option<ToolEnd>) -> ToolCall {
        let (tool, arguments) = ("t___create_card".to_owned(), r#"{"name":"a"}"#.to_owned());
        ToolCall { tool, arguments, nonce: Token::from_bits(1), begun_at: NOW, approval: None, end }
    }

    fn asked(stands: &Entry, tool: &str, arguments: &str) -> Value {
        Called::of(stands, 3, tool, arguments, NOW).to_json()
    }

    #[test]
    fn whoever_asks_for_the_same_call_is_told_what_came_of_it() {
        let why = || "gateway_500".to_owned();
        let result = json!({ "content": [{ "type": "text", "text": "ok" }] });
        for (end, told) in [
            (None, json!({ "outcome": "under way" })),
            (
                Some(ToolEnd::Answered { result: result.to_string() }),
                json!({ "outcome": "called", "result": result }),
            ),
            (
                Some(ToolEnd::NotCalled { why: why() }),
                json!({ "outcome": "not called", "why": "gateway_500" }),
            ),
            (
                Some(ToolEnd::Unknown { why: why(), result: None }),
                json!({ "outcome": "unknown", "why": "gateway_500" }),
            ),
            (
                Some(ToolEnd::Unknown { why: why(), result: Some(result.to_string()) }),
                json!({ "outcome": "unknown", "why": "gateway_500", "result": result }),
            ),
        ] {
            let stands = Entry::Call(call(end));
            assert_eq!(asked(&stands, "t___create_card", r#"{"name":"a"}"#), told);
        }
        let closed = json!({ "outcome": "not called", "why": "closed" });
        assert_eq!(asked(&Entry::Closed, "t___create_card", "{}"), closed);
    }

    #[test]
    fn whoever_asks_for_another_call_is_told_which_one_stands() {
        let stands = Entry::Call(call(Some(ToolEnd::NotCalled { why: "not_reached".to_owned() })));
        let call = json!({
            "n": 3, "tool": "t___create_card", "arguments": r#"{"name":"a"}"#,
            "outcome": "not called", "why": "not_reached",
        });
        for (tool, arguments) in
            [("t___create_card", r#"{"name":"b"}"#), ("t___delete_card", r#"{"name":"a"}"#)]
        {
            let told = json!({ "outcome": "another call", "call": call });
            assert_eq!(asked(&stands, tool, arguments), told);
        }
    }

    #[test]
    fn of_a_long_result_the_beginning_is_kept_and_says_so() {
        for letter in ["a", "\u{1}", "\"", "\u{1f642}"] {
            let text = letter.repeat(MAX_BYTES);
            let long = json!({ "content": [{ "type": "image" }, { "type": "text", "text": text }], "isError": true });
            let kept = kept(&long, 50_000);
            assert!((49_000..=50_000).contains(&kept.len()), "{}", kept.len());
            let kept: Value = serde_json::from_str(&kept).unwrap();
            assert_eq!(kept["isError"], true);
            let said = kept["content"][0]["text"].as_str().unwrap();
            assert!(said.starts_with(letter) && said.ends_with("more than is kept here.)"));
        }
        let short = json!({ "content": [], "structuredContent": { "id": "c1" } });
        assert_eq!(kept(&short, 50_000), short.to_string());
    }

    /// The whole journal goes into one answer of a Lambda function, of which AWS takes 6 MB.
    #[test]
    fn the_longest_journal_fits_into_one_answer() {
        let arguments = format!("{{\"a\":\"{}\"}}", "a".repeat(MAX_ARGUMENT_BYTES - 8));
        let result = json!({ "content": [{ "type": "text", "text": "\u{1}".repeat(MAX_BYTES) }] });
        let end = end_of(ToolOutcome::Answered(result), &arguments);
        let call = ToolCall { arguments, ..call(Some(end)) };
        let calls = (1..=MAX_CALLS)
            .map(|number| JournalledCall::of(&call, number, NOW).to_json())
            .collect::<Vec<_>>();
        let answer = json!({ "outcome": "calls", "calls": calls }).to_string();
        assert!(answer.len() < 5_000_000, "{}", answer.len());
    }
}
