//! An entry of the trail, as it stands in the table, for people. All of it is pure.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    fields: Map<String, Value>,
    /// When it was written, in milliseconds.
    millis: u64,
}

impl Entry {
    /// Reads an item. Points in time become text.
    pub(super) fn read(item: &HashMap<String, AttributeValue>) -> Self {
        let number = |value: &AttributeValue| value.as_n().ok().and_then(|number| number.parse::<u64>().ok());
        let mut fields = Map::new();
        for (name, value) in item {
            let json = match (number(value), value.as_s()) {
                (Some(millis), _) if name == "at" => utc(millis).into(),
                (Some(seconds), _) if name == "expires_at" => utc(seconds.saturating_mul(1000)).into(),
                (Some(number), _) => number.into(),
                (None, Ok(text)) => text.as_str().into(),
                (None, Err(_)) => Value::Null,
            };
            fields.insert(name.clone(), json);
        }
        Self { fields, millis: item.get("at").and_then(number).unwrap_or_default() }
    }

    fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn question_id(&self) -> &str {
        self.text("question_id")
    }

    pub(super) fn at(&self) -> &str {
        self.text("at")
    }

    /// By what entries are sorted: when they were written, and then by their keys.
    pub(super) fn order(&self) -> (u64, String) {
        (self.millis, format!("{}\n{}", self.question_id(), self.text("act")))
    }

    pub(super) fn is_within(&self, (from, to): (u64, u64)) -> bool {
        (from..=to).contains(&self.millis)
    }

    /// Everything.
    pub(super) fn json(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }

    /// One line without texts and arguments.
    pub(super) fn line(&self) -> String {
        let word = self.text("act").split('#').next().unwrap_or_default();
        let mut line = format!("{}  {word:<10}  {}", self.at(), self.question_id());
        for name in [
            "channel",
            "attempt",
            "tool",
            "verdict",
            "with",
            "to",
            "outcome",
            "becomes",
            "how",
            "why",
            "ts",
            "input_tokens",
            "output_tokens",
        ] {
            match self.fields.get(name) {
                Some(Value::String(text)) => line.push_str(&format!("  {name} {text}")),
                Some(Value::Number(number)) => line.push_str(&format!("  {name} {number}")),
                _ => {}
            }
        }
        line
    }
}

fn utc(millis: u64) -> String {
    let time = i64::try_from(millis).ok().map(DateTime::from_millis);
    time.and_then(|time| time.fmt(Format::DateTime).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        Entry::read(&HashMap::from([
            ("question_id".to_owned(), text("A1:C1:1.1")),
            ("act".to_owned(), text("call#0001#ab")),
            ("at".to_owned(), number("1531420618500")),
            ("expires_at".to_owned(), number("1531420618")),
            ("tool".to_owned(), text("trello___create_card")),
            ("arguments".to_owned(), text("{\"name\":\"secret\"}")),
            ("channel".to_owned(), text("C1")),
        ]))
    }

    #[test]
    fn an_export_has_everything_and_says_when_in_words() {
        assert_eq!(
            entry().json(),
            r#"{"act":"call#0001#ab","arguments":"{\"name\":\"secret\"}","at":"2018-07-12T18:36:58.5Z","channel":"C1","expires_at":"2018-07-12T18:36:58Z","question_id":"A1:C1:1.1","tool":"trello___create_card"}"#
        );
    }

    #[test]
    fn a_list_shows_no_text() {
        assert_eq!(
            entry().line(),
            "2018-07-12T18:36:58.5Z  call        A1:C1:1.1  channel C1  tool trello___create_card"
        );
    }
}
