//! The files that came with a question: agent-settle downloads them for whoever works on it, who has no token of Slack's.
//!
//! Only files are read that the question's record names: its own, and those of questions that may be answered together with it. So nobody who works on one question can have files read that the app may
//! see anywhere else, and the installation whose token is used is the one that the question was asked in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt;

use super::answer::Answer;
use super::{Call, Settle};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, FileOutcome, Retry, SlackTools};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::queue::Queue;
use crate::work::token::Tokens;

/// A file that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is called, if Slack says.
    pub name: Option<String>,
    /// Its media type, if Slack says.
    pub mimetype: Option<String>,
    /// All of it.
    pub content: Vec<u8>,
}

impl Content {
    /// The answer as JSON, with the content in base64.
    pub fn to_json(&self, outcome: &str) -> Value {
        let Self { name, mimetype, content } = self;
        json!({ "outcome": outcome, "name": name, "mimetype": mimetype, "content": STANDARD.encode(content) })
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.content.len())
    }
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Reads a file of the question. Whoever works on it may.
    pub(super) async fn file(&self, id: &str, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let record = self.read(call).await?.filter(|record| record.flight_of(call.token).is_some());
        let Some(record) = record else { return Ok(Answer::Gone) };
        let of_others = record.together.iter().flat_map(|other| &other.files);
        let Some(file) = record.files.iter().chain(of_others).find(|file| file.id == id) else {
            let why = "not_of_this_question".to_owned();
            call.report.why = Some(why.clone());
            return Ok(Answer::Unreadable { why, again: false });
        };
        let tenant = record.place.as_ref().and_then(|place| place.tenant.as_deref());
        Ok(match self.slack.read_file(tenant, file, call.until()).await {
            FileOutcome::Read { name, mimetype, content } => {
                Answer::File(Content { name, mimetype, content })
            }
            FileOutcome::Unreadable { reason, retry } => {
                call.report.why = Some(reason.clone());
                Answer::Unreadable { why: reason, again: retry == Retry::Later }
            }
        })
    }
}
