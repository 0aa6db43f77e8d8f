//! The calls of tools, as agent-settle tells of them. All of it is pure.

use serde_json::{Map, Value, json};

use crate::gateway::ToolOutcome;
use crate::time::clock::UnixMillis;
use crate::work::journal::{Entry, MAX_BYTES, ToolCall, ToolEnd};

/// What is answered to the request for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// What came of it.
    Ended(ToolEnd),
    /// Another invocation makes this very call right now. Asking again will tell what came of it.
    UnderWay,
    /// Another call stands under this number: an earlier attempt made that one.
    Another(Box<Call>),
}

/// The reason why a call is not made whose number was [closed](Entry::Closed).
const CLOSED: &str = "closed";

impl Called {
    /// What stands in the journal, for whoever wants this tool called with these arguments.
    pub fn of(stands: &Entry, number: u32, tool: &str, arguments: &str, now: UnixMillis) -> Self {
        match stands {
            Entry::Closed => Self::Ended(ToolEnd::NotCalled { why: CLOSED.to_owned() }),
            Entry::Call(call) if call.is_of(tool, arguments) => {
                call.end_at(now).map_or(Self::UnderWay, Self::Ended)
            }
            Entry::Call(call) => Self::Another(Box::new(Call::of(call, number, now))),
        }
    }

    /// The value of `outcome`.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Ended(end) => outcome(Some(end)),
            Self::UnderWay => outcome(None),
            Self::Another(_) => "another call",
        }
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ended(end) => Value::Object(told(Some(end))),
            Self::UnderWay => Value::Object(told(None)),
            Self::Another(call) => json!({ "outcome": self.outcome(), "call": call.to_json() }),
        }
    }
}

/// A call that was begun, as it is told to whoever works on the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    number: u32,
    tool: String,
    arguments: String,
    /// `None` as long as it may be under way.
    end: Option<ToolEnd>,
}

impl Call {
    /// A call of the journal's, at `now`.
    pub fn of(call: &ToolCall, number: u32, now: UnixMillis) -> Self {
        let (tool, arguments) = (call.tool.clone(), call.arguments.clone());
        Self { number, tool, arguments, end: call.end_at(now) }
    }

    /// The call as JSON.
    pub fn to_json(&self) -> Value {
        let mut call = told(self.end.as_ref());
        call.insert("n".to_owned(), self.number.into());
        call.insert("tool".to_owned(), self.tool.as_str().into());
        call.insert("arguments".to_owned(), parsed(&self.arguments));
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
        Some(ToolEnd::NotCalled { why } | ToolEnd::Unknown { why }) => {
            told.insert("why".to_owned(), why.as_str().into());
        }
        None => {}
    }
    told
}

/// JSON that was written from a value, so it can be read.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// The arguments as the journal keeps them; `None` if they are too long.
pub fn kept(arguments: &Map<String, Value>) -> Option<String> {
    let arguments = serde_json::to_string(arguments).unwrap_or_default();
    (arguments.len() <= MAX_BYTES).then_some(arguments)
}

/// What came of a call, as the journal keeps it.
pub fn end_of(outcome: ToolOutcome) -> ToolEnd {
    match outcome {
        ToolOutcome::Answered(result) => ToolEnd::Answered { result: result_of(&result) },
        ToolOutcome::NotCalled { reason } => ToolEnd::NotCalled { why: reason },
        ToolOutcome::Unknown { reason } => ToolEnd::Unknown { why: reason },
    }
}

/// The result as JSON. Of one that is too long the text is kept as far as it fits, and says so.
fn result_of(result: &Value) -> String {
    let whole = result.to_string();
    if whole.len() <= MAX_BYTES {
        return whole;
    }
    let texts = result.get("content").and_then(Value::as_array).into_iter().flatten();
    let text: Vec<&str> = texts.filter_map(|content| content.get("text")?.as_str()).collect();
    let text = text.join("\n");
    // In JSON one character takes at most six bytes.
    let text: String = text.chars().take(MAX_BYTES / 6 - 100).collect();
    let text = format!("{text}\n(The tool said more than is kept here.)");
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or_default();
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::token::Token;

    const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

    fn call(end: Option<ToolEnd>) -> ToolCall {
        let (tool, arguments) = ("t___create_card".to_owned(), r#"{"name":"a"}"#.to_owned());
        ToolCall { tool, arguments, nonce: Token::from_bits(1), begun_at: NOW, end }
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
            (Some(ToolEnd::Unknown { why: why() }), json!({ "outcome": "unknown", "why": "gateway_500" })),
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
            "n": 3, "tool": "t___create_card", "arguments": { "name": "a" },
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
    fn arguments_are_the_same_in_whatever_order() {
        let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let [one, other] = [r#"{"b": 1, "a": {"d": 2, "c": 3}}"#, r#"{"a":{"c":3,"d":2},"b":1}"#].map(read);
        assert_eq!(kept(&one), kept(&other));
        let long = json!({ "text": "a".repeat(MAX_BYTES) });
        assert_eq!(kept(long.as_object().unwrap()), None);
    }

    #[test]
    fn of_a_long_result_the_beginning_is_kept_and_says_so() {
        let text = "\u{1}".repeat(MAX_BYTES);
        let long =
            json!({ "content": [{ "type": "image" }, { "type": "text", "text": text }], "isError": true });
        let kept = result_of(&long);
        assert!(kept.len() <= MAX_BYTES, "{}", kept.len());
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["isError"], true);
        let said = kept["content"][0]["text"].as_str().unwrap();
        assert!(said.starts_with('\u{1}') && said.ends_with("more than is kept here.)"));
        let short = json!({ "content": [], "structuredContent": { "id": "c1" } });
        assert_eq!(result_of(&short), short.to_string());
    }
}
