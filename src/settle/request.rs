//! What agent-settle is asked for. All of it is pure. `docs/settle.schema.json` describes requests and answers.

use serde_json::{Map, Value};

use super::admit::Admission;
use super::approvals::{Decide, MAX_INVOCATION_BYTES};
use super::limits;
use super::stream::Piece;
use super::unambiguous::is_unambiguous;
use crate::gateway::stream::StepStatus;
use crate::telemetry::report::settle::TokensUsed;
use crate::work::RecordKey;
use crate::work::journal::MAX_ARGUMENT_BYTES;
use crate::work::receive::{DELETED, OUTCOME_UNKNOWN, STOPPED, UNTOLD};
use crate::work::together::MAX_OTHERS;
use crate::work::token::Token;

/// The longest piece of what is being thought, in characters: Slack takes 12,000 in one, and some grow when they are made safe.
const MAX_PIECE_CHARS: usize = 2_000;

/// The longest title of a step, in characters. Slack takes 256, and some grow when they are made safe.
const MAX_TITLE_CHARS: usize = 100;

/// The longest name of a step.
const MAX_STEP_ID_CHARS: usize = 100;

/// The version of the requests.
pub(super) const VERSION: u64 = 1;

/// The longest code that says why.
const MAX_WHY_CHARS: usize = 40;

/// What only the rules write into a record, and decide by: that the question was withdrawn, or that nobody could be told. An agent
/// that said so would end its question without a dead letter, or as untold though the asker has read it.
const RESERVED_WHYS: [&str; 4] = [STOPPED, DELETED, UNTOLD, OUTCOME_UNKNOWN];

/// The longest id of a file.
const MAX_ID_CHARS: usize = 100;

/// The longest name of a tool, with its target.
const MAX_TOOL_CHARS: usize = 256;

/// A request, with everything that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key of the question's record.
    pub key: RecordKey,
    /// The right to work on it.
    pub token: Token,
    /// What is to be done.
    pub operation: Operation,
    /// What the attempt has used that ends with this request; absent if it goes on, or nobody knows.
    pub used: Option<TokensUsed>,
}

/// What is to be done about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// "I work on it": the claimer's own token takes the place of the one that it came with.
    Claim {
        /// The claimer's own token.
        new: Token,
    },
    /// "I still work on it."
    Beat,
    /// Shows in Slack that somebody works on it.
    Sign {
        /// What the thread's session may be called: the first words of the question.
        title: Option<String>,
    },
    /// Posts the answer.
    Answer {
        /// The text; `None` if the agent has answered with tools of its own.
        text: Option<String>,
        /// The ids of the other questions that it answers, too, each once.
        together: Vec<String>,
    },
    /// Says that there will be no answer.
    Refuse {
        /// The code of why.
        why: String,
    },
    /// Posts on what the record holds.
    Post,
    /// "I do not work on it any more": the question comes to somebody else.
    Release,
    /// Reads what was said before the question.
    Thread {
        /// Whether it also wants the other questions that stand in the thread, to answer them together.
        together: bool,
    },
    /// Calls a tool that may change something, once.
    Call {
        /// The number of the call; the question's first is 1.
        number: u32,
        /// The tools' Gateway's name of the tool.
        tool: String,
        /// Its arguments: a JSON object, to the letter as it came.
        arguments: String,
    },
    /// Asks a person about a call, and ends the attempt.
    Suspend {
        /// The number of the call.
        number: u32,
        /// What the agent was invoked with, as JSON.
        invocation: String,
    },
    /// Somebody has clicked, or nobody has in time.
    Decide(Box<Decide>),
    /// Reads the calls that were begun for the question.
    Calls,
    /// Shows some of the answer while it is being thought.
    Stream(Piece),
    /// Finds out whether the asker may ask, and says so if not.
    Admit(Admission),
    /// Reads a file that came with the question.
    File {
        /// Slack's id of it.
        id: String,
    },
}

impl Operation {
    /// Its name, in requests and in the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim",
            Self::Beat => "beat",
            Self::Sign { .. } => "sign",
            Self::Answer { .. } => "answer",
            Self::Refuse { .. } => "refuse",
            Self::Post => "post",
            Self::Release => "release",
            Self::Thread { .. } => "thread",
            Self::Call { .. } => "call",
            Self::Suspend { .. } => "suspend",
            Self::Decide(_) => "decide",
            Self::Calls => "calls",
            Self::Stream(_) => "stream",
            Self::File { .. } => "file",
            Self::Admit(_) => "admit",
        }
    }
}

/// Why a request cannot be understood, in words that quote nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// When something is missing or wrong; the text names it.
    pub fn read(request: &Value) -> Result<Self, Invalid> {
        let fields = request.as_object().ok_or(Invalid("the request is no JSON object"))?;
        if fields.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(Invalid("version must be 1"));
        }
        let key = text(fields, "record").and_then(RecordKey::parse);
        let key = key.ok_or(Invalid("record must be the one that the work came with"))?;
        let token = text(fields, "token").and_then(Token::parse);
        let token = token.ok_or(Invalid("token must be 32 lower-case hexadecimal digits"))?;
        let operation = operation(fields, &token)?;
        let used = limits::read_usage(fields)?;
        let is_end = matches!(
            operation,
            Operation::Answer { .. }
                | Operation::Refuse { .. }
                | Operation::Release
                | Operation::Suspend { .. }
        );
        if used.is_some() && !is_end {
            return Err(Invalid(
                "usage is said with answer, refuse, release or suspend, when the attempt has ended",
            ));
        }
        Ok(Self { operation, used, key, token })
    }
}

fn operation(fields: &Map<String, Value>, token: &Token) -> Result<Operation, Invalid> {
    Ok(match text(fields, "operation") {
        Some("claim") => {
            let new = text(fields, "new").and_then(Token::parse).filter(|new| new != token);
            Operation::Claim {
                new: new.ok_or(Invalid("new must be another token than the one that it came with"))?,
            }
        }
        Some("beat") => Operation::Beat,
        Some("sign") => Operation::Sign {
            title: match fields.get("title") {
                None | Some(Value::Null) => None,
                Some(Value::String(title)) => Some(title.clone()),
                Some(_) => return Err(Invalid("title must be null or a string")),
            },
        },
        Some("answer") => Operation::Answer {
            text: match fields.get("text") {
                Some(Value::Null) => None,
                Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
                _ => return Err(Invalid("text must be null, or a string that is not empty")),
            },
            together: together(fields)?,
        },
        Some("refuse") => {
            let is_code = |why: &&str| {
                !why.is_empty()
                    && why.len() <= MAX_WHY_CHARS
                    && why.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            let why = text(fields, "why").filter(is_code);
            let why = why.ok_or(Invalid("why must be up to 40 characters of a to z and _"))?;
            if RESERVED_WHYS.contains(&why) {
                return Err(Invalid(
                    "why must not be stopped, deleted, untold or outcome_unknown, which the record says of itself",
                ));
            }
            Operation::Refuse { why: why.to_owned() }
        }
        Some("post") => Operation::Post,
        Some("release") => Operation::Release,
        Some("thread") => Operation::Thread {
            together: match fields.get("together") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(together)) => *together,
                Some(_) => return Err(Invalid("together of thread must be true or false")),
            },
        },
        Some("call") => call(fields)?,
        Some("calls") => Operation::Calls,
        Some("suspend") => {
            let invocation = fields.get("invocation").filter(|invocation| invocation.is_object());
            let invocation =
                invocation.ok_or(Invalid("invocation must be what the agent was invoked with"))?;
            let invocation = invocation.to_string();
            if invocation.len() > MAX_INVOCATION_BYTES {
                return Err(Invalid("invocation must be at most 300 KB"));
            }
            Operation::Suspend { number: number(fields)?, invocation }
        }
        Some("decide") => Operation::Decide(Box::new(Decide::read(fields)?)),
        Some("admit") => Operation::Admit(Admission::read(fields)?),
        Some("stream") => Operation::Stream(piece(fields)?),
        Some("file") => {
            let id = text(fields, "id").filter(|id| !id.is_empty() && id.len() <= MAX_ID_CHARS);
            Operation::File {
                id: id.ok_or(Invalid("id must be the id of a file of the question"))?.to_owned(),
            }
        }
        _ => {
            return Err(Invalid(
                "operation must be one of claim, beat, sign, answer, refuse, post, release, thread, call, calls, suspend, decide, stream, file and admit",
            ));
        }
    })
}

fn together(fields: &Map<String, Value>) -> Result<Vec<String>, Invalid> {
    const WRONG: Invalid = Invalid("together of answer must be a list of up to 10 ids of other questions");
    let ids = match fields.get("together") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(ids)) if ids.len() <= MAX_OTHERS => ids,
        Some(_) => return Err(WRONG),
    };
    let id = |id: &Value| id.as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    let mut ids: Vec<String> = ids.iter().map(id).collect::<Option<_>>().ok_or(WRONG)?;
    // A transaction writes each record once.
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn piece(fields: &Map<String, Value>) -> Result<Piece, Invalid> {
    match fields.get("step") {
        None | Some(Value::Null) => {
            let piece = text(fields, "text").filter(|text| text.chars().count() <= MAX_PIECE_CHARS);
            let piece = piece.ok_or(Invalid("text must be a string of at most 2,000 characters"))?;
            let is_first = fields.get("first").and_then(Value::as_bool).unwrap_or_default();
            Ok(Piece::Text { text: piece.to_owned(), is_first })
        }
        Some(step) => {
            let field = |name: &str, most: usize| {
                let value = step.get(name).and_then(Value::as_str);
                value.filter(|value| !value.is_empty() && value.chars().count() <= most).map(str::to_owned)
            };
            let status = match step.get("status").and_then(Value::as_str) {
                Some("in_progress") => Some(StepStatus::InProgress),
                Some("complete") => Some(StepStatus::Complete),
                Some("error") => Some(StepStatus::Failed),
                _ => None,
            };
            let ids = (field("id", MAX_STEP_ID_CHARS), field("title", MAX_TITLE_CHARS), status);
            let (Some(id), Some(title), Some(status)) = ids else {
                return Err(Invalid(
                    "step must have an id and a title of up to 100 characters, and the status in_progress, complete or error",
                ));
            };
            Ok(Piece::Step { id, title, status })
        }
    }
}

fn number(fields: &Map<String, Value>) -> Result<u32, Invalid> {
    let number = fields.get("n").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(Invalid("n must be a number from 1"))
}

fn call(fields: &Map<String, Value>) -> Result<Operation, Invalid> {
    let number = number(fields)?;
    let is_name = |tool: &&str| !tool.is_empty() && tool.len() <= MAX_TOOL_CHARS;
    let tool = text(fields, "tool").filter(is_name);
    let tool = tool.ok_or(Invalid("tool must be the name of a tool of the Gateway's"))?.to_owned();
    let is_object = |arguments: &&str| serde_json::from_str::<Map<String, Value>>(arguments).is_ok();
    let arguments = text(fields, "arguments").filter(is_object);
    let arguments = arguments.ok_or(Invalid("arguments must be a JSON object as text"))?.to_owned();
    if !is_unambiguous(&arguments) {
        return Err(Invalid("arguments must have each name once in an object"));
    }
    if arguments.len() > MAX_ARGUMENT_BYTES {
        return Err(Invalid("arguments must be at most 64 KB"));
    }
    Ok(Operation::Call { number, tool, arguments })
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "ffffffffffffffffffffffffffffffff";

    fn read(more: &Value) -> Result<Operation, Invalid> {
        let mut request = json!({ "version": 1, "record": "dispatch#A1:C1:1.2", "token": TOKEN });
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        Request::read(&request).map(|request| {
            assert_eq!(request.key.question_id(), "A1:C1:1.2");
            assert_eq!(request.token.as_str(), TOKEN);
            request.operation
        })
    }

    #[test]
    fn each_operation_is_read_with_what_it_needs() {
        let token = |digits| Token::parse(digits).unwrap();
        for (request, operation) in [
            (json!({ "operation": "claim", "new": OTHER }), Operation::Claim { new: token(OTHER) }),
            (json!({ "operation": "beat" }), Operation::Beat),
            (json!({ "operation": "sign" }), Operation::Sign { title: None }),
            (json!({ "operation": "sign", "title": "x" }), Operation::Sign { title: Some("x".to_owned()) }),
            (
                json!({ "operation": "answer", "text": "42" }),
                Operation::Answer { text: Some("42".to_owned()), together: Vec::new() },
            ),
            (
                json!({ "operation": "answer", "text": "42", "together": ["A1:C1:2.2", "A1:C1:1.9", "A1:C1:2.2"] }),
                Operation::Answer {
                    text: Some("42".to_owned()),
                    together: ["A1:C1:1.9", "A1:C1:2.2"].map(str::to_owned).to_vec(),
                },
            ),
            (
                json!({ "operation": "answer", "text": null, "together": [] }),
                Operation::Answer { text: None, together: Vec::new() },
            ),
            (
                json!({ "operation": "refuse", "why": "gave_up" }),
                Operation::Refuse { why: "gave_up".to_owned() },
            ),
            (json!({ "operation": "post" }), Operation::Post),
            (json!({ "operation": "thread" }), Operation::Thread { together: false }),
            (json!({ "operation": "thread", "together": true }), Operation::Thread { together: true }),
            (
                json!({ "operation": "call", "n": 1, "tool": "trello___create_card", "arguments": "{\"name\": 1e0}" }),
                Operation::Call {
                    number: 1,
                    tool: "trello___create_card".to_owned(),
                    arguments: r#"{"name": 1e0}"#.to_owned(),
                },
            ),
            (json!({ "operation": "calls" }), Operation::Calls),
            (json!({ "operation": "file", "id": "F1" }), Operation::File { id: "F1".to_owned() }),
            (json!({ "operation": "release", "more": "is not looked at" }), Operation::Release),
        ] {
            let name = operation.as_str();
            assert_eq!(request["operation"], name);
            assert_eq!(read(&request), Ok(operation), "{request}");
        }
    }

    #[test]
    fn what_was_used_is_read_where_somebody_says_it() {
        let used = |usage: Value| {
            let request = json!({ "version": 1, "record": "dispatch#A1:C1:1.2", "token": TOKEN, "operation": "release", "usage": usage });
            Request::read(&request).unwrap().used
        };
        assert_eq!(used(Value::Null), None);
        let both = json!({ "input_tokens": 7, "output_tokens": 0, "cost": "more is not looked at" });
        assert_eq!(used(both), Some(TokensUsed { input: 7, output: 0 }));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (request, named) in [
            (json!({ "operation": "claim" }), "new"),
            (json!({ "operation": "claim", "new": TOKEN }), "new"),
            (json!({ "operation": "sign", "title": 7 }), "title"),
            (json!({ "operation": "answer" }), "text"),
            (json!({ "operation": "answer", "text": " \n" }), "text"),
            (json!({ "operation": "answer", "text": 7 }), "text"),
            (json!({ "operation": "answer", "text": "42", "together": "A1:C1:1.9" }), "together"),
            (json!({ "operation": "answer", "text": "42", "together": [7] }), "together"),
            (json!({ "operation": "answer", "text": "42", "together": vec!["a"; 11] }), "together"),
            (json!({ "operation": "thread", "together": "yes" }), "together"),
            (json!({ "operation": "refuse" }), "why"),
            (json!({ "operation": "refuse", "why": "because <@U1>" }), "why"),
            (json!({ "operation": "refuse", "why": "a".repeat(41) }), "why"),
            (json!({ "operation": "refuse", "why": "stopped" }), "why must not be"),
            (json!({ "operation": "refuse", "why": "deleted" }), "why must not be"),
            (json!({ "operation": "refuse", "why": "untold" }), "why must not be"),
            (json!({ "operation": "refuse", "why": "outcome_unknown" }), "why must not be"),
            (json!({ "operation": "call", "tool": "a", "arguments": "{}" }), "n"),
            (json!({ "operation": "call", "n": 0, "tool": "a", "arguments": "{}" }), "n"),
            (json!({ "operation": "call", "n": 1.5, "tool": "a", "arguments": "{}" }), "n"),
            (json!({ "operation": "call", "n": 1, "arguments": "{}" }), "tool"),
            (json!({ "operation": "call", "n": 1, "tool": "", "arguments": "{}" }), "tool"),
            (json!({ "operation": "call", "n": 1, "tool": "a" }), "arguments"),
            (
                json!({ "operation": "call", "n": 1, "tool": "a", "arguments": format!("{{\"a\":\"{}\"}}", "a".repeat(MAX_ARGUMENT_BYTES)) }),
                "arguments",
            ),
            (json!({ "operation": "call", "n": 1, "tool": "a", "arguments": "[]" }), "arguments"),
            (json!({ "operation": "call", "n": 1, "tool": "a", "arguments": "{\"a\":1e999}" }), "arguments"),
            (
                json!({ "operation": "call", "n": 1, "tool": "a", "arguments": "{\"a\":\"\\ud83d\"}" }),
                "arguments",
            ),
            (json!({ "operation": "call", "n": 1, "tool": "a", "arguments": {} }), "arguments"),
            (json!({ "operation": "file" }), "id"),
            (json!({ "operation": "file", "id": "" }), "id"),
            (json!({ "operation": "file", "id": "F".repeat(101) }), "id"),
            (json!({ "operation": "delete" }), "operation"),
            (json!({ "operation": "beat", "usage": { "input_tokens": 1, "output_tokens": 1 } }), "usage"),
            (json!({ "operation": "release", "usage": 7 }), "usage"),
            (json!({ "operation": "release", "usage": { "input_tokens": 1 } }), "usage"),
            (json!({ "operation": "release", "usage": { "input_tokens": 1, "output_tokens": -1 } }), "usage"),
            (json!({}), "operation"),
            (json!({ "operation": "beat", "version": 2 }), "version"),
            (json!({ "operation": "beat", "record": "Ev1" }), "record"),
            (json!({ "operation": "beat", "record": "dispatch#" }), "record"),
            (json!({ "operation": "beat", "record": "dispatch#stop:A1:C1:1.2" }), "record"),
            (json!({ "operation": "beat", "record": "dispatch#A1:C1:1.2#1" }), "record"),
            (json!({ "operation": "beat", "record": "dispatch#A1:C1:1.2#invocation" }), "record"),
            (json!({ "operation": "beat", "token": "secret" }), "token"),
        ] {
            let Invalid(why) = read(&request).unwrap_err();
            assert!(why.starts_with(named), "{request}: {why}");
        }
        assert_eq!(Request::read(&json!([])), Err(Invalid("the request is no JSON object")));
    }
}
