//! Conditions on what a person put into a modal, and what Slack is told of a value that does not meet them.

use serde_json::{Map, Value, json};

use super::pattern::Pattern;
use super::template;

/// What the value of one input must be. What is absent here is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// The `block_id` of the input.
    pub(super) block_id: String,
    /// The `action_id` of the element in it; absent: it has only one.
    pub(super) action_id: Option<String>,
    /// Whether there has to be a value that is not only white space.
    pub(super) is_required: bool,
    /// In characters.
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) pattern: Option<Pattern>,
    /// The values that are allowed.
    pub(super) one_of: Option<Vec<String>>,
}

/// A condition on a submission, and what the person is told beside the input. The text may be a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) condition: Condition,
    pub(super) message: String,
}

impl Condition {
    /// Whether a check lets the values of a view pass. Where there is none, only [`Condition::is_required`] is asked, as forms do.
    pub(super) fn lets_pass(&self, fields: &Value) -> bool {
        self.is_met(fields).unwrap_or(!self.is_required)
    }

    /// Whether the values of a view choose a rule. Where there is none, nobody has chosen.
    pub(super) fn chooses(&self, fields: &Value) -> bool {
        self.is_met(fields).unwrap_or(false)
    }

    /// Whether the values of a view meet the condition; `None` if there is none. Of several values, as a menu with several choices
    /// has them, each has to.
    fn is_met(&self, fields: &Value) -> Option<bool> {
        let values = self.values(fields);
        if values.iter().all(|value| value.trim().is_empty()) {
            return None;
        }
        Some(values.iter().all(|value| {
            let length = value.chars().count();
            self.min_length.is_none_or(|min| length >= min)
                && self.max_length.is_none_or(|max| length <= max)
                && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(value))
                && self.one_of.as_ref().is_none_or(|known| known.contains(value))
        }))
    }

    fn values(&self, fields: &Value) -> Vec<String> {
        let block = fields.pointer("/view/state/values").and_then(|blocks| blocks.get(&self.block_id));
        let element = match &self.action_id {
            Some(action_id) => block.and_then(|block| block.get(action_id)),
            None => block.and_then(Value::as_object).and_then(|block| block.values().next()),
        };
        element.map(values_of).unwrap_or_default()
    }
}

/// The values of an element's state, whatever its type
/// ([block elements](https://docs.slack.dev/reference/block-kit/block-elements/)).
fn values_of(element: &Value) -> Vec<String> {
    const NAMES: [&str; 14] = [
        "value",
        "selected_option",
        "selected_options",
        "selected_date",
        "selected_time",
        "selected_date_time",
        "selected_user",
        "selected_users",
        "selected_channel",
        "selected_channels",
        "selected_conversation",
        "selected_conversations",
        "files",
        "selected_date_range",
    ];
    if let Some(rich) = element.get("rich_text_value") {
        let mut text = String::new();
        add_text(rich, &mut text);
        return vec![text];
    }
    NAMES.iter().filter_map(|name| element.get(name)).flat_map(texts_of).collect()
}

/// Adds what a person reads of a rich text: the texts in it, and the names of its emoji and users.
fn add_text(rich: &Value, text: &mut String) {
    match rich {
        Value::Array(list) => list.iter().for_each(|it| add_text(it, text)),
        Value::Object(object) => {
            for name in ["text", "user_id", "channel_id", "usergroup_id", "name"] {
                text.push_str(object.get(name).and_then(Value::as_str).unwrap_or_default());
            }
            if let Some(elements) = object.get("elements") {
                add_text(elements, text);
            }
        }
        _ => {}
    }
}

fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(list) => list.iter().flat_map(texts_of).collect(),
        // An option has a value, a file an id. What else there may be counts as a value that is there.
        Value::Object(object) => match object.get("value").or_else(|| object.get("id")) {
            Some(value) => texts_of(value),
            None => vec![value.to_string()],
        },
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

/// Slack's answer to a submission whose values do not meet the conditions; `None` if they do. Of each block the first message
/// counts.
pub(super) fn refusal(checks: &[Check], fields: &Value) -> Option<Value> {
    let mut errors = Map::new();
    for Check { condition, message } in checks.iter().filter(|check| !check.condition.lets_pass(fields)) {
        let message = || template::fill(&json!(message), fields);
        errors.entry(condition.block_id.clone()).or_insert_with(message);
    }
    (!errors.is_empty()).then(|| json!({"response_action": "errors", "errors": errors}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(values: &Value) -> Value {
        json!({"view": {"state": {"values": values}}})
    }

    fn condition(change: impl Fn(&mut Condition)) -> Condition {
        let mut condition = Condition { block_id: "b".to_owned(), ..Condition::default() };
        change(&mut condition);
        condition
    }

    #[test]
    fn a_value_is_found_in_every_kind_of_element() {
        for element in [
            json!({"type": "plain_text_input", "value": "it"}),
            json!({"type": "static_select", "selected_option": {"text": {"text": "It"}, "value": "it"}}),
            json!({"type": "checkboxes", "selected_options": [{"value": "it"}]}),
            json!({"type": "datepicker", "selected_date": "it"}),
            json!({"type": "multi_users_select", "selected_users": ["it"]}),
            json!({"type": "file_input", "files": [{"id": "it", "name": "a.png"}]}),
        ] {
            let fields = view(&json!({"b": {"a": element}}));
            assert_eq!(condition(|_| ()).values(&fields), ["it"], "{element}");
        }
        let date =
            view(&json!({"b": {"a": {"type": "datetimepicker", "selected_date_time": 1_628_633_820}}}));
        assert_eq!(condition(|_| ()).values(&date), ["1628633820"]);
        let rich = |text: &str| {
            let section = json!({"type": "rich_text_section", "elements": [{"type": "text", "text": text}]});
            view(&json!({"b": {"a": {"rich_text_value": {"type": "rich_text", "elements": [section]}}}}))
        };
        let short = condition(|it| (it.is_required, it.max_length) = (true, Some(2)));
        assert_eq!(["hi", "long", " "].map(|text| short.lets_pass(&rich(text))), [true, false, false]);
    }

    #[test]
    fn a_value_has_to_meet_all_that_is_asked_and_only_a_required_one_has_to_be_there() {
        let fields = |value: Value| view(&json!({"b": {"a": {"value": value}}}));
        let required = condition(|it| it.is_required = true);
        let long = condition(|it| (it.min_length, it.max_length) = (Some(2), Some(3)));
        let digits = condition(|it| it.pattern = Some(Pattern::parse(r"\d+").unwrap()));
        let known = condition(|it| it.one_of = Some(vec!["x".to_owned(), "12".to_owned()]));
        for (value, met) in [
            (json!("12"), [true, true, true, true]),
            (json!("ü🚀x"), [true, true, false, false]),
            (json!("x"), [true, false, false, true]),
            (json!("1234"), [true, false, true, false]),
            (json!(null), [false, true, true, true]),
            (json!(" \n"), [false, true, true, true]),
        ] {
            let fields = fields(value.clone());
            let found = [&required, &long, &digits, &known].map(|it| it.lets_pass(&fields));
            assert_eq!(found, met, "{value}");
            // A rule is chosen by a value alone.
            let is_there = required.lets_pass(&fields);
            let chosen = [&required, &long, &digits, &known].map(|it| it.chooses(&fields));
            assert_eq!(chosen, met.map(|met| met && is_there), "{value}");
        }
        assert!(!required.lets_pass(&view(&json!({}))) && !required.lets_pass(&json!({})));
        let other = condition(|it| (it.is_required, it.action_id) = (true, Some("other".to_owned())));
        assert!(!other.lets_pass(&fields(json!("12"))));
    }

    #[test]
    fn of_each_block_the_first_message_is_shown() {
        let check = |block: &str, message: &str, is_required| Check {
            condition: Condition {
                block_id: block.to_owned(),
                is_required,
                max_length: Some(1),
                ..Condition::default()
            },
            message: message.to_owned(),
        };
        let checks =
            [check("b", "say {{user.name}}", true), check("b", "second", true), check("c", "fine", false)];
        let mut fields = view(&json!({"b": {"a": {"value": "12"}}}));
        fields["user"] = json!({"name": "<ann>"});
        let errors = json!({"response_action": "errors", "errors": {"b": "say &lt;ann&gt;"}});
        assert_eq!(refusal(&checks, &fields), Some(errors));
        assert_eq!(refusal(&checks, &view(&json!({"b": {"a": {"value": "1"}}}))), None);
    }
}
