//! The call to AgentCore's managed loop, a *harness*: an agent by configuration, without code
//! ([`InvokeHarness`](https://docs.aws.amazon.com/bedrock-agentcore/latest/APIReference/API_InvokeHarness.html)). It knows nothing
//! of work records, so it stands behind [`plain`](super::plain) alone. It keeps what was said in a session by itself, and is told
//! the question and nothing else.

use aws_sdk_bedrockagentcore::Client;
use aws_sdk_bedrockagentcore::error::BuildError;
use aws_sdk_bedrockagentcore::types::{
    HarnessContentBlock, HarnessContentBlockDelta, HarnessConversationRole, HarnessMessage,
    HarnessStopReason, InvokeHarnessStreamOutput,
};
use serde_json::Value;

use super::agent::{Agent, InvokeError, MAX_ANSWER_BYTES, Replied, cut_off, invoke_error, not_now};
use super::agent_call::AgentCall;
use crate::time::trace::TraceHeader;

/// The name of the operation, in errors.
const OPERATION: &str = "InvokeHarness";

/// What a question says that has no words: a message without a text is refused.
const NO_WORDS: &str = "(This message has no words.)";

/// A harness.
#[derive(Clone, Debug)]
pub struct Harness {
    client: Client,
    arn: String,
}

impl Harness {
    /// The harness with this ARN. `client` must neither repeat calls nor bound their time
    /// ([`clients::agent_core`](crate::aws::clients::agent_core)).
    pub const fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }
}

impl Agent for Harness {
    /// Asks the question. The answer is the last message of the harness that has words, as a string of JSON: what it says before it
    /// calls a tool is no answer, unless it has nothing to say after that. One that was not finished is none.
    async fn invoke(&self, call: &AgentCall) -> Result<Replied, InvokeError> {
        let message = asked(&call.payload)
            .map_err(|error| not_now(OPERATION, "no message".to_owned(), Some(error.into())))?;
        let call = self
            .client
            .invoke_harness()
            .harness_arn(&self.arn)
            .runtime_session_id(&call.session_id)
            .set_trace_id(call.trace.as_ref().map(TraceHeader::header))
            .set_trace_parent(call.trace.as_ref().and_then(TraceHeader::traceparent))
            .messages(message);
        let mut stream = call.send().await.map_err(|error| invoke_error(OPERATION, error))?.stream;
        let (mut text, mut before, mut why) = (String::new(), String::new(), None);
        while let Some(event) = stream.recv().await.map_err(|error| cut_off(OPERATION, error.into()))? {
            match event {
                InvokeHarnessStreamOutput::MessageStart(_) => {
                    let said = std::mem::take(&mut text);
                    if !said.trim().is_empty() {
                        before = said;
                    }
                }
                InvokeHarnessStreamOutput::ContentBlockDelta(event) => {
                    if let Some(HarnessContentBlockDelta::Text(piece)) = event.delta {
                        text.push_str(&piece);
                    }
                }
                InvokeHarnessStreamOutput::MessageStop(event) => why = Some(event.stop_reason),
                _ => {}
            }
            if text.len() > MAX_ANSWER_BYTES {
                return Err(failed("the answer is too long".to_owned()));
            }
        }
        match why {
            Some(HarnessStopReason::EndTurn | HarnessStopReason::StopSequence) => {
                let text = if text.trim().is_empty() { before } else { text };
                if text.trim().is_empty() {
                    // Of an agent with code it would mean that it has posted by tools of its own.
                    return Err(failed("it said nothing".to_owned()));
                }
                Ok(Replied { body: Value::String(text).to_string().into_bytes(), is_sse: false })
            }
            Some(why) => Err(failed(format!("it stopped with {}", why.as_str()))),
            None => Err(failed("the answer was cut off".to_owned())),
        }
    }
}

fn failed(what: String) -> InvokeError {
    InvokeError::Failed { what: format!("{OPERATION}: {what}"), source: None }
}

/// The message that asks the question of this payload. A harness takes no files, so it is told that there were some.
fn asked(payload: &[u8]) -> Result<HarnessMessage, BuildError> {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let question = payload.get("question");
    let text = question.and_then(|question| question.get("text")?.as_str()).unwrap_or_default().trim();
    let mut text = if text.is_empty() { NO_WORDS.to_owned() } else { text.to_owned() };
    let files = question.and_then(|question| question.get("files")?.as_array()).into_iter().flatten();
    for file in files {
        let name = file.get("name").and_then(Value::as_str).unwrap_or("a file without a name");
        text.push_str(&format!(
            "\n(A file came with this that cannot be shown to you: {name}. Say that you have not read it.)"
        ));
    }
    HarnessMessage::builder()
        .role(HarnessConversationRole::User)
        .content(HarnessContentBlock::Text(text))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(question: &Value) -> String {
        let message = asked(json!({ "question": question }).to_string().as_bytes()).unwrap();
        assert_eq!(*message.role(), HarnessConversationRole::User);
        let [HarnessContentBlock::Text(text)] = message.content() else { panic!("{:?}", message.content()) };
        text.clone()
    }

    #[test]
    fn a_harness_is_told_the_question_and_which_files_it_cannot_see() {
        assert_eq!(said(&json!({ "text": "what is due?" })), "what is due?");
        assert_eq!(said(&json!({ "text": " " })), NO_WORDS);
        let with_files =
            json!({ "text": "and this?", "files": [{ "id": "F1", "name": "a.pdf" }, { "id": "F2" }] });
        let said = said(&with_files);
        assert!(
            said.starts_with("and this?\n")
                && said.contains("a.pdf")
                && said.contains("a file without a name")
        );
    }
}
