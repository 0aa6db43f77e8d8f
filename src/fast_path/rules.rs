//! The rules, and what they say about a request. All of it is pure.

use serde_json::{Value, json};
use std::time::Duration;

use super::conditions::{Check, Condition, refusal};
use super::options::Options;
use super::request::SignedForm;
use super::template;

/// The rules of a document, in its order. `document` reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub(super) Vec<Rule>);

/// For which requests something is answered at once, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// What the log calls it.
    pub(super) name: String,
    pub(super) when: When,
    pub(super) queue: Queue,
    pub(super) checks: Vec<Check>,
    pub(super) act: Act,
}

/// Which requests a rule is for. What is absent is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    /// The name of a command, such as `/weather`, or the type of an interaction, such as `view_submission`; `*` is every one.
    pub(super) name: String,
    pub(super) callback_id: Option<String>,
    pub(super) action_id: Option<String>,
    pub(super) block_id: Option<String>,
    pub(super) api_app_id: Option<String>,
    pub(super) values: Vec<Condition>,
}

/// Whether the request goes on the queue as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Always,
    Never,
    /// Unless a check refuses what was submitted: Slack keeps the modal open, and the person submits it again.
    IfValid,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Slack gets this answer; absent: the plain one.
    Answer(Option<Value>),
    /// A modal is opened, and Slack gets this answer; or the fallback, if it cannot be opened.
    Open { view: Value, answer: Option<Value>, fallback: Option<Value> },
    /// A menu gets those of these options that fit.
    Options(Options),
    /// Somebody else is asked.
    Ask(Ask),
}

/// Somebody else who is asked for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) whom: Whom,
    /// For so long at the most.
    pub(super) timeout: Duration,
    /// What Slack gets if there is no answer in time.
    pub(super) fallback: Option<Value>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// A server of the user's own gets Slack's request by HTTPS.
    Source(String),
    /// A Lambda function of the user's own gets it as API Gateway would hand it over, for this path. `name` may be its ARN.
    Function { name: String, path: String },
}

/// What a rule says about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    pub(super) rule: &'a str,
    pub(super) is_on_queue: bool,
    pub(super) step: Step<'a>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Answer(Option<Value>),
    Open { view: Value, answer: Option<Value>, fallback: Option<Value> },
    Ask(&'a Ask),
}

impl When {
    fn is_met(&self, form: &SignedForm) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        (self.name == form.name || self.name == "*")
            && is(&self.callback_id, form.callback_id())
            && is(&self.action_id, form.action_id())
            && is(&self.block_id, form.block_id())
            && is(&self.api_app_id, form.api_app_id())
            && self.values.iter().all(|condition| condition.chooses(&form.fields))
    }

    /// Whether each request that this is for is one that `other` is for.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let is = |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
        (other.name == self.name || other.name == "*")
            && is(&other.callback_id, &self.callback_id)
            && is(&other.action_id, &self.action_id)
            && is(&other.block_id, &self.block_id)
            && is(&other.api_app_id, &self.api_app_id)
            && other.values.iter().all(|condition| self.values.contains(condition))
    }
}

impl Rules {
    /// What the first rule says that is for this request. `recorded_id` is the id that it is recorded under.
    pub(super) fn plan(&self, form: &SignedForm, recorded_id: &str) -> Option<Plan<'_>> {
        let rule = self.0.iter().find(|rule| rule.when.is_met(form))?;
        let refused = refusal(&rule.checks, &form.fields);
        let is_on_queue = match rule.queue {
            Queue::Always => true,
            Queue::Never => false,
            Queue::IfValid => refused.is_none(),
        };
        let fill = |template: &Value| template::fill(template, &form.fields);
        let step = match (refused, &rule.act) {
            (Some(errors), _) => Step::Answer(Some(errors)),
            (None, Act::Answer(answer)) => {
                Step::Answer(answer.as_ref().map(|answer| pushed_under(fill(answer), recorded_id)))
            }
            (None, Act::Open { view, answer, fallback }) => {
                let mut view = fill(view);
                if let Some(view) = view.as_object_mut() {
                    view.insert("external_id".to_owned(), json!(recorded_id));
                }
                Step::Open { view, answer: answer.as_ref().map(fill), fallback: fallback.as_ref().map(fill) }
            }
            (None, Act::Options(options)) => Step::Answer(Some(options.answer(form.typed()))),
            (None, Act::Ask(ask)) => Step::Ask(ask),
        };
        Some(Plan { rule: &rule.name, is_on_queue, step })
    }

    /// Whether a rule opens a modal, for which a bot token is needed.
    pub fn need_bot_token(&self) -> bool {
        self.0.iter().any(|rule| matches!(rule.act, Act::Open { .. }))
    }

    /// Whether a rule asks a Lambda function.
    pub fn ask_functions(&self) -> bool {
        let is_function = |act: &Act| matches!(act, Act::Ask(Ask { whom: Whom::Function { .. }, .. }));
        self.0.iter().any(|rule| is_function(&rule.act))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A view that is pushed is new, so the consumer knows it by nothing else.
fn pushed_under(mut answer: Value, recorded_id: &str) -> Value {
    let is_push = answer.get("response_action").and_then(Value::as_str) == Some("push");
    if let Some(view) = answer.get_mut("view").and_then(Value::as_object_mut).filter(|_| is_push) {
        view.entry("external_id").or_insert_with(|| json!(recorded_id));
    }
    answer
}
