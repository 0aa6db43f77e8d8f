//! The prompts that are suggested in the app's pane: what the configuration says, and what Slack takes.

use serde_json::{Map, Value, json};

/// Most prompts that Slack shows (<https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts>).
pub const MAX_PROMPTS: usize = 4;

/// What is suggested to somebody who opens the pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// What stands above the prompts; absent: what Slack puts there itself.
    pub title: Option<String>,
    /// The prompts, at least one and at most [`MAX_PROMPTS`].
    pub prompts: Vec<Prompt>,
}

/// One suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What people see.
    pub title: String,
    /// What they send by choosing it.
    pub message: String,
}

impl Prompts {
    /// The prompts as Slack's method takes them.
    pub(super) fn to_json(&self) -> Value {
        let prompts = self.prompts.iter();
        prompts.map(|prompt| json!({ "title": prompt.title, "message": prompt.message })).collect()
    }

    /// Reads `{"title": …, "prompts": [{"title": …, "message": …}, …]}`.
    ///
    /// # Errors
    /// All that is wrong, in words that quote nothing of it.
    pub fn read(text: &str) -> Result<Self, Vec<String>> {
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            return Err(vec!["that is no JSON object".to_owned()]);
        };
        let mut problems = Vec::new();
        if fields.keys().any(|name| !["title", "prompts"].contains(&name.as_str())) {
            problems.push("there is a field beside title and prompts".to_owned());
        }
        let title = match fields.get("title") {
            None => None,
            Some(_) => text_of(&fields, "title", "title", &mut problems),
        };
        let listed = fields.get("prompts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !(1..=MAX_PROMPTS).contains(&listed.len()) {
            problems.push(format!("prompts is no list of 1 to {MAX_PROMPTS} prompts"));
        }
        let mut prompts = Vec::new();
        for (number, prompt) in (1..).zip(listed) {
            let Some(fields) = prompt.as_object() else {
                problems.push(format!("prompt {number} is no object"));
                continue;
            };
            if fields.keys().any(|name| !["title", "message"].contains(&name.as_str())) {
                problems.push(format!("prompt {number} has a field beside title and message"));
            }
            let [title, message] = ["title", "message"]
                .map(|name| text_of(fields, name, &format!("the {name} of prompt {number}"), &mut problems));
            prompts.extend(title.zip(message).map(|(title, message)| Prompt { title, message }));
        }
        if problems.is_empty() { Ok(Self { title, prompts }) } else { Err(problems) }
    }
}

/// A field that has to be a text; `what` is how a problem calls it.
fn text_of(
    fields: &Map<String, Value>,
    name: &str,
    what: &str,
    problems: &mut Vec<String>,
) -> Option<String> {
    let text = fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    if text.is_none() {
        problems.push(format!("{what} is no text"));
    }
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_and_become_what_slack_takes() {
        let one = r#"{"prompts": [{"title": " Plan ", "message": "Plan my day."}]}"#;
        let prompts = Prompts::read(one).unwrap();
        assert_eq!(prompts.title, None);
        assert_eq!(prompts.to_json(), json!([{ "title": "Plan", "message": "Plan my day." }]));
        let prompt = json!({ "title": "a", "message": "b" });
        let four = json!({ "title": "How can I help?", "prompts": vec![prompt; 4] });
        let prompts = Prompts::read(&four.to_string()).unwrap();
        assert_eq!((prompts.title.as_deref(), prompts.prompts.len()), (Some("How can I help?"), 4));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_nothing_is_quoted() {
        for no_object in ["", "[]", "secret", "{"] {
            assert_eq!(Prompts::read(no_object).unwrap_err(), ["that is no JSON object"]);
        }
        let prompt = json!({ "title": "a", "message": "b" });
        for prompts in [json!([]), json!(vec![prompt; 5]), json!("secret"), Value::Null] {
            let problems = Prompts::read(&json!({ "prompts": prompts }).to_string()).unwrap_err();
            assert_eq!(problems, ["prompts is no list of 1 to 4 prompts"], "{prompts}");
        }
        let wrong = json!({
            "title": 7, "secret": "secret",
            "prompts": ["secret", { "title": " ", "secret": "secret" }, { "message": "secret" }],
        });
        assert_eq!(
            Prompts::read(&wrong.to_string()).unwrap_err(),
            [
                "there is a field beside title and prompts",
                "title is no text",
                "prompt 1 is no object",
                "prompt 2 has a field beside title and message",
                "the title of prompt 2 is no text",
                "the message of prompt 2 is no text",
                "the title of prompt 3 is no text",
            ]
        );
    }
}
