//! What an agent's answer to an invocation means. All of it is pure.

use serde_json::Value;

use crate::aws::event_stream;

/// How the agent answers (`AGENT_PROTOCOL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentProtocol {
    /// It claims the question, says that it works, and answers through agent-settle: one question, one answer.
    Work,
    /// It knows nothing of all that: its answer to the call is the answer to the question. Cut off, it may answer twice.
    Plain,
}

/// What an agent of the work protocol says of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkReply {
    /// It has the question, or has answered it, or works on it already: the record tells, and nothing is left to do here.
    HasIt,
    /// It is no question for this agent.
    Ignored,
    /// It cannot take the question now.
    Later,
    /// It says nothing that is known here.
    Unknown,
}

/// What an agent that knows nothing of the work protocol says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainReply {
    /// The text of the answer; `None` if there is none, because the agent has answered with tools of its own.
    Text(Option<String>),
    /// The agent failed, and its answer says so.
    Failed,
}

/// The fields in which agents have been seen to put the text of an answer.
const TEXT_FIELDS: [&str; 7] = ["text", "answer", "result", "response", "output", "message", "content"];

/// Reads what an agent of the work protocol answered.
pub fn of_work(answer: &[u8]) -> WorkReply {
    let answer: Option<Value> = serde_json::from_slice(answer).ok();
    match answer.as_ref().and_then(|answer| answer.get("status")).and_then(Value::as_str) {
        Some("working" | "answered" | "duplicate") => WorkReply::HasIt,
        Some("ignored") => WorkReply::Ignored,
        Some("later") => WorkReply::Later,
        _ => WorkReply::Unknown,
    }
}

/// The data by which a stream says that it is over, in the way of many models' APIs.
const END_OF_STREAM: &str = "[DONE]";

/// Reads what any other agent answered: JSON, a stream of events whose data is JSON, or text.
///
/// `is_sse`: whether it is a stream of events. An agent made with AgentCore's SDK that yields pieces answers so, with status 200
/// and a piece `{"error": …}` when it fails.
pub fn of_plain(answer: &[u8], is_sse: bool) -> PlainReply {
    let Ok(answer) = std::str::from_utf8(answer) else { return PlainReply::Failed };
    let reply = if is_sse {
        of_stream(&event_stream::data(answer))
    } else {
        serde_json::from_str(answer)
            .map_or_else(|_| PlainReply::Text(Some(answer.to_owned())), |value| of_value(&value))
    };
    match reply {
        // A text in which there is nothing to see is none.
        PlainReply::Text(text) => PlainReply::Text(text.filter(|text| !text.trim().is_empty())),
        PlainReply::Failed => PlainReply::Failed,
    }
}

/// What the events of a stream come to: their texts one after another. What is no JSON is a text itself, and so is a number or
/// a truth value, which may be a word of such a text.
fn of_stream(events: &[String]) -> PlainReply {
    let mut text = String::new();
    let mut has_unreadable = false;
    for data in events.iter().filter(|data| *data != END_OF_STREAM) {
        match serde_json::from_str::<Value>(data) {
            Ok(value) if says_error(&value) => return PlainReply::Failed,
            Err(_) | Ok(Value::Number(_) | Value::Bool(_)) => text.push_str(data),
            Ok(value) => match of_value(&value) {
                PlainReply::Text(piece) => text.push_str(piece.as_deref().unwrap_or_default()),
                // A stream has pieces that only report how the work goes on.
                PlainReply::Failed => has_unreadable = true,
            },
        }
    }
    if has_unreadable && text.trim().is_empty() { PlainReply::Failed } else { PlainReply::Text(Some(text)) }
}

fn says_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !error.is_null())
}

/// What one value says. Only an empty one says that there is nothing to post: whatever else has no text that is found here is
/// a failure, because an answer that nobody can read must not end a question in silence.
fn of_value(value: &Value) -> PlainReply {
    match value {
        Value::Null => PlainReply::Text(None),
        Value::String(text) => PlainReply::Text(Some(text.clone())),
        Value::Object(fields) if fields.is_empty() => PlainReply::Text(None),
        Value::Object(_) if says_error(value) => PlainReply::Failed,
        Value::Object(_) => text_in(value, 0).map_or(PlainReply::Failed, |text| PlainReply::Text(Some(text))),
        _ => PlainReply::Failed,
    }
}

/// The text in an object: in one of the known fields, as a string, as an object in its turn, or as a list of pieces, such as
/// `{"result": {"role": "assistant", "content": [{"text": "…"}]}}`.
fn text_in(value: &Value, depth: usize) -> Option<String> {
    const MAX_DEPTH: usize = 4;
    match value {
        _ if depth > MAX_DEPTH => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => {
            TEXT_FIELDS.iter().find_map(|name| fields.get(*name).and_then(|value| text_in(value, depth + 1)))
        }
        Value::Array(pieces) => {
            let texts: Vec<String> = pieces.iter().filter_map(|piece| text_in(piece, depth + 1)).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_says_what_becomes_of_the_question() {
        for (answer, reply) in [
            (r#"{"status":"working"}"#, WorkReply::HasIt),
            (r#"{"status":"answered","more":1}"#, WorkReply::HasIt),
            (r#"{"status":"duplicate"}"#, WorkReply::HasIt),
            (r#"{"status":"ignored"}"#, WorkReply::Ignored),
            (r#"{"status":"later"}"#, WorkReply::Later),
            // An agent before work records, and what is no answer at all.
            (r#"{"status":"accepted"}"#, WorkReply::Unknown),
            (r#"{"status":7}"#, WorkReply::Unknown),
            ("working", WorkReply::Unknown),
            ("", WorkReply::Unknown),
            ("\u{0}", WorkReply::Unknown),
        ] {
            assert_eq!(of_work(answer.as_bytes()), reply, "{answer}");
        }
    }

    #[test]
    fn a_plain_answer_is_the_text_wherever_it_stands() {
        let text = |text: &str| PlainReply::Text(Some(text.to_owned()));
        for (answer, reply) in [
            (r#""42""#, text("42")),
            (r#"{"result":"42"}"#, text("42")),
            (r#"{"answer":"42","other":"x"}"#, text("42")),
            (r#"{"output":"42","error":null}"#, text("42")),
            ("forty-two", text("forty-two")),
            (r#"{"error":"out of tokens"}"#, PlainReply::Failed),
            (r#"{"error":{"code":1},"text":"42"}"#, PlainReply::Failed),
            ("{}", PlainReply::Text(None)),
            ("", PlainReply::Text(None)),
            ("  \n", PlainReply::Text(None)),
            ("null", PlainReply::Text(None)),
            (r#"" ""#, PlainReply::Text(None)),
            (r#"{"result":""}"#, PlainReply::Text(None)),
            (r#"{"result":" \n"}"#, PlainReply::Text(None)),
            (r#"{"result":{"role":"assistant","content":[{"text":"4"},{"text":"2"}]}}"#, text("42")),
            // Nobody can read these, so they are tried again, and in the end somebody is told.
            ("7", PlainReply::Failed),
            (r#"{"something":"42"}"#, PlainReply::Failed),
            (r#"[{"text":"42"}]"#, PlainReply::Failed),
        ] {
            assert_eq!(of_plain(answer.as_bytes(), false), reply, "{answer}");
        }
        assert_eq!(of_plain(b"\xff", false), PlainReply::Failed);
    }

    #[test]
    fn a_stream_is_its_pieces_and_an_error_anywhere_in_it_a_failure() {
        let text = |text: &str| PlainReply::Text(Some(text.to_owned()));
        for (answer, reply) in [
            ("data: \"forty\"\n\ndata: \" \"\n\ndata: \"two\"\n\n", text("forty two")),
            ("data:{\"text\":\"42\"}\n\n: a comment\nevent: end\n", text("42")),
            ("data: plain words\n\n", text("plain words")),
            ("data: \"for\"\n\ndata: {\"error\": \"no\"}\n\n", PlainReply::Failed),
            ("data: {\"event\":{\"init\":true}}\n\ndata: \"42\"\n\n", text("42")),
            ("data: {\"event\":{\"init\":true}}\n\n", PlainReply::Failed),
            ("", PlainReply::Text(None)),
            ("data: \" \"\n\n", PlainReply::Text(None)),
            (
                "data: the answer is \n\ndata: 42\n\ndata:  or \n\ndata: true\n\n",
                text("the answer is 42 or true"),
            ),
            ("data: \"42\"\n\ndata: [DONE]\n\n", text("42")),
            ("data: {\"text\":\ndata: \"42\"}\n\n", text("42")),
            ("data: one\ndata: two\n\n", text("one\ntwo")),
        ] {
            assert_eq!(of_plain(answer.as_bytes(), true), reply, "{answer}");
        }
    }
}
