//! The options of a menu that asks for them while a person types (`block_suggestion`), from a list.

use serde_json::{Value, json};

/// Slack shows no more options than this.
const MAX_OPTIONS: usize = 100;

/// Slack's limit on the text and on the value of an option, in characters
/// ([option](https://docs.slack.dev/reference/block-kit/composition-objects/option-object/); a value may have 150).
const MAX_TEXT: usize = 75;
const MAX_VALUE: usize = 150;

/// How what was typed chooses among the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// An option's text has it somewhere in it, in small or capital letters.
    Contains,
    /// An option's text begins with it, in small or capital letters.
    Prefix,
    /// It does not choose.
    None,
}

/// A list of options as Slack has them: `{"text": {"type": "plain_text", "text": …}, "value": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) list: Vec<Value>,
    pub(super) filter: Filter,
}

impl Options {
    /// Slack's answer, with the options that fit to what was typed.
    pub(super) fn answer(&self, typed: &str) -> Value {
        let typed = typed.trim().to_lowercase();
        let fits = |option: &&Value| {
            let text =
                option.pointer("/text/text").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            match self.filter {
                Filter::Contains => text.contains(&typed),
                Filter::Prefix => text.starts_with(&typed),
                Filter::None => true,
            }
        };
        json!({"options": self.list.iter().filter(fits).take(MAX_OPTIONS).collect::<Vec<_>>()})
    }
}

/// Whether Slack takes an option. One that it does not take costs the whole menu.
fn is_taken(option: &Value) -> bool {
    let within = |place: &str, max: usize| {
        let text = option.pointer(place).and_then(Value::as_str).unwrap_or_default();
        (1..=max).contains(&text.chars().count())
    };
    let kind = option.pointer("/text/type").and_then(Value::as_str);
    within("/text/text", MAX_TEXT) && within("/value", MAX_VALUE) && kind == Some("plain_text")
}

/// An option as Slack has it, if Slack takes it: it may be given in short as `"Zurich"`, or `{"text": "Zurich", "value": "zrh"}`.
pub(super) fn option(short: &Value) -> Option<Value> {
    let full =
        |text: &str, value: &str| json!({"text": {"type": "plain_text", "text": text}, "value": value});
    let option = match short {
        Value::String(text) => Some(full(text, text)),
        Value::Object(object) => {
            let value = object.get("value")?.as_str()?;
            match object.get("text")? {
                Value::String(text) => Some(full(text, value)),
                Value::Object(text) => text.get("text")?.as_str().map(|_| short.clone()),
                _ => None,
            }
        }
        _ => None,
    }?;
    is_taken(&option).then_some(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(filter: Filter) -> Options {
        let list = [json!("Zürich"), json!({"text": "New York", "value": "nyc"}), json!("York")];
        Options { list: list.iter().filter_map(option).collect(), filter }
    }

    fn values(answer: &Value) -> Vec<&str> {
        answer["options"].as_array().unwrap().iter().map(|it| it["value"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_was_typed_chooses_in_small_and_capital_letters() {
        for (filter, typed, expected) in [
            (Filter::Contains, "york", &["nyc", "York"][..]),
            (Filter::Contains, " ZÜR ", &["Zürich"]),
            (Filter::Contains, "", &["Zürich", "nyc", "York"]),
            (Filter::Prefix, "YO", &["York"]),
            (Filter::Prefix, "x", &[]),
            (Filter::None, "x", &["Zürich", "nyc", "York"]),
        ] {
            assert_eq!(values(&options(filter).answer(typed)), expected, "{filter:?} {typed}");
        }
    }

    #[test]
    fn what_slack_would_refuse_is_no_option() {
        let full = |text: Value, value: &str| json!({"text": text, "value": value});
        for wrong in [
            json!(""),
            json!("x".repeat(76)),
            full(json!("x"), ""),
            full(json!("x"), &"v".repeat(151)),
            full(json!({"text": "x"}), "v"),
            full(json!({"type": "mrkdwn", "text": "x"}), "v"),
            json!({"text": "x"}),
            json!(1),
        ] {
            assert_eq!(option(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn slack_gets_no_more_than_it_shows() {
        let list = (0..300).filter_map(|number| option(&json!(format!("option {number}")))).collect();
        let answer = Options { list, filter: Filter::Contains }.answer("option");
        assert_eq!(values(&answer).len(), MAX_OPTIONS);
    }
}
