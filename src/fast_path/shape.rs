//! What Slack takes as an answer, by what it asks: so that a mistake is told at init and not by Slack, to a person, in production.

use serde_json::{Map, Value};

/// Slack's limits ([views](https://docs.slack.dev/reference/views/modal-views/)).
const MAX_TITLE: usize = 24;
const MAX_BLOCKS: usize = 100;

/// What Slack asks, by how it can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A slash command: a message.
    Command,
    /// `view_submission`: a `response_action`.
    Submission,
    /// `block_suggestion`: options.
    Suggestion,
    /// `dialog_suggestion`: options of the old style.
    OldSuggestion,
    /// `interactive_message`, `dialog_submission`: what the old style takes.
    OldInteraction,
    /// `block_actions`, `shortcut`, `message_action`: nothing, but there is a `trigger_id`.
    Trigger,
    /// Any command or interaction.
    Any,
}

impl Question {
    /// What this type of interaction asks; `None` if it can be answered by nothing, or there is no such type.
    pub(super) fn of(interaction_type: &str) -> Option<Self> {
        Some(match interaction_type {
            "view_submission" => Self::Submission,
            "block_suggestion" => Self::Suggestion,
            "dialog_suggestion" => Self::OldSuggestion,
            "interactive_message" | "dialog_submission" => Self::OldInteraction,
            "block_actions" | "shortcut" | "message_action" => Self::Trigger,
            "*" => Self::Any,
            _ => return None,
        })
    }

    /// Whether it is never on the queue: a menu asks for its options.
    pub(super) fn is_suggestion(self) -> bool {
        matches!(self, Self::Suggestion | Self::OldSuggestion)
    }

    /// Whether a modal can be opened.
    pub(super) fn has_trigger(self) -> bool {
        matches!(self, Self::Command | Self::Trigger | Self::OldInteraction)
    }
}

/// What is wrong with an answer to such a question.
pub(super) fn problems_of_answer(question: Question, answer: &Value) -> Vec<String> {
    let Some(object) = answer.as_object() else { return vec!["is no JSON object".to_owned()] };
    match question {
        Question::Command => problems_of_message(object),
        Question::Submission => problems_of_response_action(object),
        Question::Suggestion | Question::OldSuggestion => {
            let is_list = |name: &str| object.get(name).is_some_and(Value::is_array);
            if is_list("options") || is_list("option_groups") {
                Vec::new()
            } else {
                vec!["has neither a list of options nor of option_groups".to_owned()]
            }
        }
        Question::OldInteraction => Vec::new(),
        Question::Trigger | Question::Any => {
            vec!["is not shown by Slack: it takes no answer here".to_owned()]
        }
    }
}

fn problems_of_message(message: &Map<String, Value>) -> Vec<String> {
    let mut problems = Vec::new();
    let has_text = message.get("text").is_some_and(Value::is_string);
    let has_blocks =
        ["blocks", "attachments"].iter().any(|name| message.get(*name).is_some_and(Value::is_array));
    if !has_text && !has_blocks {
        problems.push("has neither a text nor blocks".to_owned());
    }
    match message.get("response_type").map(Value::as_str) {
        None | Some(Some("ephemeral" | "in_channel")) => {}
        Some(_) => problems.push("has a response_type that is neither ephemeral nor in_channel".to_owned()),
    }
    problems
}

fn problems_of_response_action(answer: &Map<String, Value>) -> Vec<String> {
    match answer.get("response_action").and_then(Value::as_str) {
        Some("clear") => Vec::new(),
        Some("update" | "push") => match answer.get("view") {
            Some(view) => {
                problems_of_view(view).into_iter().map(|problem| format!("its view {problem}")).collect()
            }
            None => vec!["has no view".to_owned()],
        },
        Some("errors") => {
            let errors = answer.get("errors").and_then(Value::as_object);
            let are_texts =
                |errors: &Map<String, Value>| !errors.is_empty() && errors.values().all(Value::is_string);
            if errors.is_some_and(are_texts) {
                Vec::new()
            } else {
                vec!["has no errors, an object from block_id to text".to_owned()]
            }
        }
        _ => vec!["has a response_action that is none of clear, update, push and errors".to_owned()],
    }
}

/// What is wrong with a modal.
pub(super) fn problems_of_view(view: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if view.get("type").and_then(Value::as_str) != Some("modal") {
        problems.push("is not of the type modal".to_owned());
    }
    if view.pointer("/title/type").and_then(Value::as_str) != Some("plain_text") {
        problems.push("has no title of the type plain_text".to_owned());
    }
    match view.pointer("/title/text").and_then(Value::as_str) {
        None => problems.push("has no title with a text".to_owned()),
        // What a template makes of it is not known yet.
        Some(title) if !title.contains("{{") && title.chars().count() > MAX_TITLE => {
            problems.push(format!("has a title of more than {MAX_TITLE} characters"));
        }
        Some(_) => {}
    }
    match view.get("blocks").and_then(Value::as_array) {
        None => problems.push("has no blocks".to_owned()),
        Some(blocks) if blocks.len() > MAX_BLOCKS => {
            problems.push(format!("has more than {MAX_BLOCKS} blocks"))
        }
        Some(blocks) if !blocks.iter().all(|block| block.get("type").is_some_and(Value::is_string)) => {
            problems.push("has a block without a type".to_owned());
        }
        Some(blocks) => {
            let has_input =
                blocks.iter().any(|block| block.get("type").and_then(Value::as_str) == Some("input"));
            if has_input && view.get("submit").is_none() {
                problems.push("has an input and no submit".to_owned());
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_has_the_shape_that_slack_takes_for_the_question() {
        let modal = json!({"type": "modal", "title": {"type": "plain_text", "text": "It"}, "blocks": []});
        let good = [
            (Question::Command, json!({"text": "on it"})),
            (Question::Command, json!({"blocks": [], "response_type": "in_channel"})),
            (Question::Submission, json!({"response_action": "clear"})),
            (Question::Submission, json!({"response_action": "update", "view": modal})),
            (Question::Submission, json!({"response_action": "errors", "errors": {"b": "no"}})),
            (Question::Suggestion, json!({"options": []})),
            (Question::OldInteraction, json!({"text": "thanks"})),
        ];
        for (question, answer) in good {
            assert_eq!(problems_of_answer(question, &answer), [""; 0], "{answer}");
        }
        let bad = [
            (Question::Command, json!({"response_type": "public", "text": "on it"})),
            (Question::Command, json!({"response_type": "ephemeral"})),
            (Question::Command, json!("on it")),
            (Question::Submission, json!({"response_action": "close"})),
            (Question::Submission, json!({})),
            (Question::Submission, json!({"response_action": "update"})),
            (Question::Submission, json!({"response_action": "push", "view": {"type": "home"}})),
            (Question::Submission, json!({"response_action": "errors", "errors": {}})),
            (Question::Submission, json!({"response_action": "errors", "errors": {"b": 1}})),
            (Question::Suggestion, json!({"text": "x"})),
            (Question::Trigger, json!({"text": "x"})),
        ];
        for (question, answer) in bad {
            assert_ne!(problems_of_answer(question, &answer), [""; 0], "{answer}");
        }
    }

    #[test]
    fn a_modal_that_slack_would_refuse_is_refused_here() {
        let modal = json!({"type": "modal", "title": {"type": "plain_text", "text": "It"}, "blocks": [{"type": "divider"}]});
        assert_eq!(problems_of_view(&modal), [""; 0]);
        for (path, value) in [
            ("type", json!("home")),
            ("title", json!({"type": "plain_text", "text": "more than twenty-four characters"})),
            ("title", json!({"type": "mrkdwn", "text": "It"})),
            ("blocks", json!("none")),
            ("blocks", json!([{}])),
            ("blocks", json!([{"type": "input"}])),
            ("blocks", json!(vec![json!({"type": "divider"}); 101])),
        ] {
            let mut wrong = modal.clone();
            wrong[path] = value;
            assert_eq!(problems_of_view(&wrong).len(), 1, "{wrong}");
        }
    }
}
