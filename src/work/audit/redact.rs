//! Which values of a tool's arguments the trail leaves out. All of it is pure.

use serde_json::{Map, Value};

/// The most rules in a setting.
pub const MOST_RULES: usize = 200;

/// What stands in the place of a value.
const REDACTED: &str = "[redacted]";

/// The name that stands for every argument.
const EVERY: &str = "*";

/// The rules by which values are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redact {
    rules: Vec<Rule>,
}

/// One rule, in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// The tool that it is for; `None` for all.
    tool: Option<String>,
    /// The name of the values, at any depth; [`EVERY`] for all.
    name: String,
}

impl Redact {
    /// Reads rules with commas between: `email`, or `trello___create_card.desc` for one tool alone. The name `*` stands for every
    /// argument. Case does not matter.
    ///
    /// # Errors
    /// When one is no rule; the text says which.
    pub fn read(rules: &str) -> Result<Self, String> {
        let mut read: Vec<Rule> = Vec::new();
        for part in rules.split(',').map(str::trim) {
            if part.is_empty() {
                if rules.trim().is_empty() {
                    continue;
                }
                return Err("there is an empty rule between two commas".to_owned());
            }
            let lower = part.to_lowercase();
            let (tool, name) = match lower.rsplit_once('.') {
                Some((tool, name)) => (Some(tool), name),
                None => (None, &*lower),
            };
            let is_tool = |tool: &str| {
                !tool.is_empty()
                    && tool.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            };
            let is_name = !name.is_empty() && !name.contains(['"', '\'', '{', '}', '[', ']', '/', ' ']);
            if !is_name || !tool.is_none_or(is_tool) || (name != EVERY && name.contains('*')) {
                return Err(format!(
                    "{part:?} is no rule; expected the name of an argument, or tool.name for one tool, such as \
                     email,trello___create_card.desc"
                ));
            }
            let rule = Rule { tool: tool.map(str::to_owned), name: name.to_owned() };
            if read.contains(&rule) {
                return Err(format!("{part:?} is there twice"));
            }
            read.push(rule);
        }
        if read.len() > MOST_RULES {
            return Err(format!("there are more than {MOST_RULES} rules"));
        }
        Ok(Self { rules: read })
    }

    /// The arguments of a call of this tool, as JSON, without what the rules leave out. Of what is no JSON object nothing is known
    /// of what is in it, so nothing of it is kept.
    pub fn arguments(&self, tool: &str, arguments: &str) -> String {
        let tool = tool.to_lowercase();
        // A tool's name is its target's, three underscores, and the operation.
        let operation = tool.split_once("___").map_or(&*tool, |(_, operation)| operation);
        let is_of = |it: &String| *it == tool || *it == operation;
        let rules = self.rules.iter().filter(|rule| rule.tool.as_ref().is_none_or(is_of));
        let names: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
        match serde_json::from_str(arguments) {
            // As it came, if nothing is left out: written anew, a long number could be another one.
            Ok(Value::Object(mut object)) => match redact_object(&mut object, &names) {
                true => Value::Object(object).to_string(),
                false => arguments.to_owned(),
            },
            _ => format!("[no JSON object, {} bytes]", arguments.len()),
        }
    }
}

/// Leaves out what has one of these names. Returns whether anything has.
fn redact_object(object: &mut Map<String, Value>, names: &[&str]) -> bool {
    let mut has_any = false;
    for (key, value) in object {
        let key = key.to_lowercase();
        if names.iter().any(|name| *name == EVERY || *name == key) {
            *value = REDACTED.into();
            has_any = true;
        } else {
            has_any |= redact(value, names);
        }
    }
    has_any
}

fn redact(value: &mut Value, names: &[&str]) -> bool {
    match value {
        Value::Object(object) => redact_object(object, names),
        Value::Array(values) => {
            let mut has_any = false;
            for value in values {
                has_any |= redact(value, names);
            }
            has_any
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kept(rules: &str, arguments: &Value) -> Value {
        let kept = Redact::read(rules).unwrap().arguments("trello___create_card", &arguments.to_string());
        serde_json::from_str(&kept).unwrap()
    }

    #[test]
    fn a_name_is_found_at_any_depth_whatever_its_case() {
        let arguments = json!({
            "Email": "a@b.c", "name": "x",
            "people": [{ "EMAIL": { "work": "d@e.f" }, "age": 7 }, ["email"]],
            "e-mail": "stays",
        });
        let left = json!({
            "Email": "[redacted]", "name": "x",
            "people": [{ "EMAIL": "[redacted]", "age": 7 }, ["email"]],
            "e-mail": "stays",
        });
        assert_eq!(kept("eMail", &arguments), left);
        assert_eq!(kept("", &arguments), arguments);
    }

    #[test]
    fn where_nothing_is_left_out_the_letters_stay() {
        let arguments = r#"{ "amount": 123456789012345678901234567890, "to": "x" }"#;
        let redact = Redact::read("email").unwrap();
        assert_eq!(redact.arguments("trello___create_card", arguments), arguments);
    }

    #[test]
    fn a_rule_for_one_tool_is_for_no_other() {
        let arguments = json!({ "desc": "a", "name": "b" });
        let left = json!({ "desc": "[redacted]", "name": "b" });
        assert_eq!(kept("Trello___Create_Card.desc", &arguments), left);
        assert_eq!(kept("create_card.desc", &arguments), left);
        for other in ["trello___delete_card.desc", "delete_card.desc", "trello.desc"] {
            assert_eq!(kept(other, &arguments), arguments);
        }
        let nothing = json!({ "desc": "[redacted]", "name": "[redacted]" });
        assert_eq!(kept("trello___create_card.*", &arguments), nothing);
        assert_eq!(kept("*", &arguments), nothing);
    }

    #[test]
    fn of_what_is_no_object_nothing_is_kept() {
        for arguments in ["[\"secret\"]", "\"secret\"", "{\"a\": secret", "{\"a\":1e999}"] {
            let kept = Redact::read("a").unwrap().arguments("t", arguments);
            assert!(kept.starts_with("[no JSON object, ") && !kept.contains("secret"), "{kept}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for (rules, named) in [
            ("email,,name", "empty"),
            ("a b", "\"a b\""),
            (".name", "\".name\""),
            ("tool.", "\"tool.\""),
            ("mail*", "\"mail*\""),
            ("{\"a\"}", "is no rule"),
            ("email,Email", "twice"),
        ] {
            let problem = Redact::read(rules).unwrap_err();
            assert!(problem.contains(named), "{rules}: {problem}");
        }
        let many: Vec<String> = (0..=MOST_RULES).map(|n| format!("a{n}")).collect();
        assert!(Redact::read(&many.join(",")).unwrap_err().contains("more than"));
    }
}
