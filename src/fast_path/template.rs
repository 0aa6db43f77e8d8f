//! Templates: `{{user_name}}` in a text stands for a field of what Slack sent.
//!
//! A field is named by its path: `{{view.state.values.name.input.value}}`, `{{actions.0.value}}`. What is no text and no number
//! there is nothing. There is no code: no condition, no loop, no call.
//!
//! What a person typed must not become a mention or a link. So `&`, `<` and `>` are escaped as Slack wants it
//! ([formatting](https://docs.slack.dev/messaging/formatting-message-text/#escaping)), in a URL, and within a link `<https://…|text>`, everything but letters and digits is
//! percent-encoded, and only what Slack hands back to the app unread ([`UNREAD`]) gets a field as it is; or, where that is written as
//! JSON, as the inside of a JSON string. A block of type `markdown` takes no template.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// What Slack does not show and gives back to the app.
const UNREAD: [&str; 6] =
    ["private_metadata", "value", "initial_value", "block_id", "action_id", "callback_id"];

/// Fields that are no template's, wherever they stand: whoever reads one of them can act as the app. A verification token is a
/// secret, although an old one, and so are a workflow's; a `response_url` lets anybody post for half an hour, and a trigger open a modal.
const HIDDEN: [&str; 6] =
    ["token", "bot_access_token", "response_url", "trigger_id", "interactivity_pointer", "secret"];

/// Whether a field has what Slack calls or links: `url`, `image_url`, `title_link` …
fn is_url(key: &str) -> bool {
    key == "url" || key.ends_with("_url") || key.ends_with("_link")
}

/// Whether a text ends within a link of Slack's own writing, `<https://…|the page>`.
fn is_within_a_link(text: &str) -> bool {
    text.rfind('<').is_some_and(|open| text.rfind('>').is_none_or(|close| close < open))
}

/// The same JSON with the fields in the place of their names.
pub(super) fn fill(template: &Value, fields: &Value) -> Value {
    fill_under("", template, fields)
}

fn fill_under(key: &str, template: &Value, fields: &Value) -> Value {
    match template {
        Value::String(text) => Value::String(fill_text(key, text, fields)),
        Value::Array(list) => list.iter().map(|it| fill_under(key, it, fields)).collect(),
        Value::Object(object) => {
            // The value of an attachment's field is shown, and that of an option is not.
            let kind = |name| if key == "fields" && name == "value" { "text" } else { name };
            let filled = object.iter().map(|(name, it)| (name.clone(), fill_under(kind(name), it, fields)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn fill_text(key: &str, text: &str, fields: &Value) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, path, behind)) = next(rest) {
        filled.push_str(before);
        let value = field(fields, path);
        if UNREAD.contains(&key) {
            filled.push_str(&if is_json(text) { inside_of_json(&value) } else { value });
        } else if is_url(key) || is_within_a_link(&filled) {
            filled.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
        } else {
            filled.push_str(&value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

/// Whether a template writes a JSON object or array.
fn is_json(template: &str) -> bool {
    let begin = template.trim_start();
    begin.starts_with(['{', '[']) && !begin.starts_with("{{")
}

/// The text as it stands between the quotes of a JSON string.
fn inside_of_json(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// What stands before the next name, the name, and what stands behind it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (path, behind) = rest.split_once("}}")?;
    Some((before, path.trim(), behind))
}

/// The field with this path, as text; empty if there is none, or it is no text and no number.
fn field(fields: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(fields, |value, name| match value {
        Value::Object(object) => object.get(name),
        Value::Array(list) => name.parse::<usize>().ok().and_then(|index| list.get(index)),
        _ => None,
    });
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        _ => String::new(),
    }
}

/// What is wrong with the names in a template, each with the text in which it stands.
pub(super) fn problems(template: &Value) -> Vec<String> {
    match template {
        Value::String(text) => problems_of_text(text),
        Value::Array(list) => list.iter().flat_map(problems).collect(),
        Value::Object(object) if is_markdown(object) && template.to_string().contains("{{") => {
            vec![
                "a block of type markdown takes no {{…}}: what a person typed could be a link there"
                    .to_owned(),
            ]
        }
        Value::Object(object) => object.values().flat_map(problems).collect(),
        _ => Vec::new(),
    }
}

/// Whether Slack reads the text of this block as standard Markdown
/// ([markdown block](https://docs.slack.dev/reference/block-kit/blocks/markdown-block/)), where `[the bank](https://evil.example)` is a
/// link although nothing of it is escaped.
fn is_markdown(block: &Map<String, Value>) -> bool {
    block.get("type").and_then(Value::as_str) == Some("markdown")
}

fn problems_of_text(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some((_, path, behind)) = next(rest) {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '-'))
        };
        if !path.split('.').all(is_name) {
            problems.push(format!("{{{{{path}}}}} is no path of field names, such as {{{{user.id}}}}"));
        } else if path.rsplit('.').next().is_some_and(|name| HIDDEN.contains(&name)) {
            problems.push(format!("{{{{{path}}}}} is a secret"));
        }
        rest = behind;
    }
    if rest.contains("{{") {
        problems.push(format!("a {{{{ has no }}}} in {text:?}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Value {
        json!({
            "user_name": "ann", "text": "<!channel> & <https://evil.example|safe>", "count": 3, "is_new": true,
            "nothing": null, "user": {"id": "U1"}, "actions": [{"value": "a"}, {"value": "b"}],
        })
    }

    #[test]
    fn a_name_stands_for_its_field() {
        for (template, expected) in [
            ("Hello, {{user_name}}!", "Hello, ann!"),
            ("{{ user.id }}-{{actions.1.value}}-{{count}}-{{is_new}}", "U1-b-3-true"),
            ("{{missing}}{{user}}{{actions}}{{nothing}}{{actions.9.value}}{{user_name.x}}", ""),
            ("{ {user_name} } }}", "{ {user_name} } }}"),
        ] {
            assert_eq!(fill(&json!(template), &fields()), json!(expected), "{template}");
        }
        let nested = json!({"a": [{"b": "{{user.id}}"}], "n": 1, "t": true, "z": null});
        assert_eq!(fill(&nested, &fields()), json!({"a": [{"b": "U1"}], "n": 1, "t": true, "z": null}));
    }

    #[test]
    fn what_a_person_typed_becomes_no_mention_no_link_and_no_template() {
        let filled =
            fill(&json!({"text": "{{text}}", "blocks": [{"text": {"text": "{{text}}"}}]}), &fields());
        let escaped = "&lt;!channel&gt; &amp; &lt;https://evil.example|safe&gt;";
        assert_eq!(filled, json!({"text": escaped, "blocks": [{"text": {"text": escaped}}]}));
        let again = fill(&json!("{{text}}"), &json!({"text": "{{user_name}}", "user_name": "ann"}));
        assert_eq!(again, json!("{{user_name}}"));
        let field = json!({"attachments": [{"fields": [{"title": "x", "value": "{{text}}"}]}]});
        assert_eq!(fill(&field, &fields())["attachments"][0]["fields"][0]["value"], json!(escaped));
        let link = fill(&json!("<https://wiki/{{text}}|the page> {{text}}"), &json!({"text": "x|y>"}));
        assert_eq!(link, json!("<https://wiki/x%7Cy%3E|the page> x|y&gt;"));
        let url = fill(&json!({"title_link": "https://x/{{text}}"}), &json!({"text": "a&b"}));
        assert_eq!(url, json!({"title_link": "https://x/a%26b"}));
        let url = fill(&json!({"url": "https://example.com/?q={{text}}"}), &json!({"text": "a b&c=/ü"}));
        assert_eq!(url, json!({"url": "https://example.com/?q=a%20b%26c%3D%2F%C3%BC"}));
        let typed = json!({"text": "a<b \"c\"}\n"});
        let unread = fill(&json!({"private_metadata": "{\"q\":\"{{text}}\"}", "value": "{{text}}"}), &typed);
        assert_eq!(unread["value"], typed["text"]);
        let metadata: Value = serde_json::from_str(unread["private_metadata"].as_str().unwrap()).unwrap();
        assert_eq!(metadata, json!({"q": typed["text"]}));
    }

    #[test]
    fn names_that_are_none_are_told() {
        for wrong in [
            "{{}}",
            "{{a..b}}",
            "{{a b}}",
            "{{user.id",
            "{{token}}",
            "{{event.bot_access_token}}",
            "{{response_url}}",
            "{{response_urls.0.response_url}}",
            "{{trigger_id}}",
            "{{interactivity.interactivity_pointer}}",
            "{{interactivity.interactor.secret}}",
            "{{a|b}}",
            "{{f()}}",
        ] {
            assert_eq!(problems(&json!({"a": [wrong]})).len(), 1, "{wrong}");
        }
        let block = |text: &str| json!({"blocks": [{"type": "markdown", "text": text}]});
        assert_eq!(problems(&block("[the bank](https://bank.example) {{text}}")).len(), 1);
        assert!(problems(&block("[the bank](https://bank.example)")).is_empty());
        assert!(problems(&json!({"text": "{{user.id}} {{view.state.values.b-1.a_2.value}}"})).is_empty());
    }
}
