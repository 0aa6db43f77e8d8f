//! Redacts a delivery: replaces what people wrote by placeholders, and removes tokens and response URLs.
//!
//! A string is kept only if its key or its shape says that it is an id, a time or a type. Every other string becomes a
//! placeholder of the same number of characters: text, names of people, channels and workspaces, titles, labels, URLs, e-mail
//! addresses, file names, the values of buttons and inputs, and `private_metadata`. Mentions in them (`<@U…>`, `<#C…>`,
//! `<!here>`) are kept, because apps act on them. `token`, keys that end in `_token` or `_secret`, `response_url` and
//! `response_urls` are removed. Keys, numbers, booleans, `null`, the order and the nesting are kept.
//!
//! A redacted delivery still shows who wrote to whom, when and how much, and which emoji was the reaction. It also keeps what an
//! app itself puts into `action_id`, `block_id`, `callback_id` and the keys of its metadata.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

use crate::CommandError;
use crate::delivery::Delivery;

/// Whether the value of this key lets its holder act for somebody: a token, a secret or a response URL. Such a key is removed
/// at every depth.
fn is_credential(key: &str) -> bool {
    matches!(key, "token" | "response_url" | "response_urls")
        || key.ends_with("_token")
        || key.ends_with("_secret")
}

/// Whether the value of this key is an id, a time, a type or a state. It is kept if it also looks like one.
fn is_structural(key: &str) -> bool {
    const KEYS: [&str; 22] = [
        "action",
        "command",
        "conversation",
        "event_context",
        "filetype",
        "hash",
        "id",
        "is_enterprise_install",
        "kind",
        "lang",
        "locale",
        "mimetype",
        "mode",
        "reaction",
        "retry_num",
        "retry_reason",
        "received_at",
        "style",
        "subtype",
        "ts",
        "type",
        "unguarded",
    ];
    const ENDINGS: [&str; 4] = ["_id", "_ids", "_ts", "_type"];
    KEYS.contains(&key) || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Whether the value of this key is text that people write. It is replaced even if it looks like an id, as a word in capitals
/// with a digit does.
fn is_text(key: &str) -> bool {
    const ENDINGS: [&str; 15] = [
        "comment",
        "description",
        "domain",
        "email",
        "fallback",
        "label",
        "metadata",
        "name",
        "purpose",
        "reason",
        "text",
        "title",
        "topic",
        "url",
        "value",
    ];
    !is_structural(key) && ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Redacts the body and the attributes of `delivery`, as the module's page says.
///
/// # Errors
/// If the body is no JSON, or is nested too deep.
pub(crate) fn redact(mut delivery: Delivery) -> Result<Delivery, CommandError> {
    let mut body = String::with_capacity(delivery.body.len());
    redact_json("", serde_json::from_str(&delivery.body)?, MAX_DEPTH, &mut body)?;
    delivery.body = body;
    for (key, value) in &mut delivery.attributes {
        redact_text(key, value);
    }
    delivery.redacted = true;
    Ok(delivery)
}

/// How deep the values of a body may be nested. It is serde_json's own limit.
const MAX_DEPTH: usize = 128;

/// Redacts `json` and appends the result to `redacted`. `key` is the key of the innermost object member that `json` belongs to.
///
/// `serde_json::Value` would sort the members of an object unless its feature `preserve_order` is on. Cargo would turn that
/// feature on for everything that is built together, and the function's tests are to run without it.
fn redact_json(
    key: &str,
    json: &RawValue,
    depth: usize,
    redacted: &mut String,
) -> Result<(), serde_json::Error> {
    let deeper = depth.checked_sub(1).ok_or_else(|| Error::custom("it is nested too deep"))?;
    let json = json.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            let Members(mut members) = serde_json::from_str(json)?;
            members.retain(|(key, _)| !is_credential(key));
            redacted.push('{');
            for (n, (key, value)) in members.into_iter().enumerate() {
                redacted.push_str(if n == 0 { "" } else { "," });
                redacted.push_str(&serde_json::to_string(&key)?);
                redacted.push(':');
                redact_json(&key, value, deeper, redacted)?;
            }
            redacted.push('}');
        }
        Some(b'[') => {
            redacted.push('[');
            for (n, value) in serde_json::from_str::<Vec<&RawValue>>(json)?.into_iter().enumerate() {
                redacted.push_str(if n == 0 { "" } else { "," });
                redact_json(key, value, deeper, redacted)?;
            }
            redacted.push(']');
        }
        Some(b'"') => {
            let mut text: String = serde_json::from_str(json)?;
            redact_text(key, &mut text);
            redacted.push_str(&serde_json::to_string(&text)?);
        }
        // A number, `true`, `false` or `null`.
        _ => redacted.push_str(json),
    }
    Ok(())
}

/// The members of an object in the order of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        input.deserialize_map(MembersVisitor)
    }
}

fn redact_text(key: &str, text: &mut String) {
    let is_kept = !is_text(key) && (is_id(text) || is_time(text) || (is_structural(key) && is_word(text)));
    if !is_kept {
        *text = placeholder(text);
    }
}

/// Whether the text looks like an id of Slack's, such as `U061F7AUR` or `Ev0MSG0012`.
fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    (8..=24).contains(&text.len())
        && bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && text.bytes().skip(2).all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether the text looks like a timestamp of Slack's, such as `1515449522.000016`: seconds since 1970 with six digits after the
/// point.
fn is_time(text: &str) -> bool {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (text.contains('.') && seconds.len() == 10 && fraction.len() == 6) && digits(seconds) && digits(fraction)
}

/// Whether the text is one word in ASCII: letters, digits and `_-.:/+=#`.
fn is_word(text: &str) -> bool {
    text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/+=#".contains(&byte))
}

/// A text of the same number of characters in which every character but those of mentions is an `x`.
fn placeholder(text: &str) -> String {
    let mut left = text;
    let mut redacted = String::with_capacity(text.len());
    while let Some((before, rest)) = left.split_once('<') {
        cross_out(before, &mut redacted);
        match rest.split_once('>').filter(|(inside, _)| is_mention(inside)) {
            Some((inside, after)) => {
                // `<#C061EG9SL|general>` contains the channel's name, which is replaced.
                let (mention, label) = inside.split_once('|').unwrap_or((inside, ""));
                redacted.push('<');
                redacted.push_str(mention);
                if inside.contains('|') {
                    redacted.push('|');
                    cross_out(label, &mut redacted);
                }
                redacted.push('>');
                left = after;
            }
            None => {
                redacted.push('x');
                left = rest;
            }
        }
    }
    cross_out(left, &mut redacted);
    redacted
}

fn is_mention(inside: &str) -> bool {
    let id = inside.split_once('|').map_or(inside, |(id, _)| id);
    match id.split_at_checked(1) {
        Some(("@" | "#", id)) => is_id(id),
        Some(("!", word)) => matches!(word, "here" | "channel" | "everyone"),
        _ => false,
    }
}

fn cross_out(text: &str, redacted: &mut String) {
    redacted.extend(text.chars().map(|_| 'x'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{delivery, fixtures, queued};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn redacted_text(json: &str) -> String {
        let mut redacted = String::new();
        redact_json("", serde_json::from_str(json).unwrap(), MAX_DEPTH, &mut redacted).unwrap();
        redacted
    }

    fn redacted(value: Value) -> Value {
        serde_json::from_str(&redacted_text(&value.to_string())).unwrap()
    }

    #[test]
    fn the_order_the_numbers_and_the_escapes_of_kept_values_do_not_change() {
        let json = r#"{ "z\"": [1.50, true, null, {}, []], "token": "t", "a": {"type": "b", "id": 12345678901234567890, "c": -0.0} }"#;
        let expected =
            r#"{"z\"":[1.50,true,null,{},[]],"a":{"type":"b","id":12345678901234567890,"c":-0.0}}"#;
        assert_eq!(redacted_text(json), expected);
    }

    #[test]
    fn a_body_that_is_nested_too_deep_is_an_error() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (depth, is_ok) in [(100, true), (200, false), (100_000, false)] {
            let delivery = Delivery::new(BTreeMap::new(), nested(depth), None);
            assert_eq!(redact(delivery).is_ok(), is_ok, "{depth}");
        }
    }

    #[test]
    fn what_people_wrote_becomes_a_placeholder_of_as_many_characters() {
        let rest = " <https://example.com|secret> 1 < 2 <@bob> GEHEIM42";
        let message = json!({
            "text": format!("<@U061F7AUR> Größe? <#C0LAN2Q65|general> <!here>{rest}"),
            "user": "U061F7AUR",
            "name": "ALICE4711",
            "alt_text": "CODEWORD1",
            "topic": {"value": "PROJEKT2026"},
            "real_name": "Egon",
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "Ärger"}}],
            "state": {"values": {"grund": {"input": {"type": "plain_text_input", "value": "U061F7AUR"}}}},
            "private_metadata": "{\"a\":1}",
            "tags": ["eins", "C0LAN2Q65"],
            "selected_option": {"value": "order/4711"},
        });
        let expected = json!({
            "text": format!("<@U061F7AUR>xxxxxxxx<#C0LAN2Q65|xxxxxxx>x<!here>{}", "x".repeat(rest.chars().count())),
            "user": "U061F7AUR",
            "name": "xxxxxxxxx",
            "alt_text": "xxxxxxxxx",
            "topic": {"value": "xxxxxxxxxxx"},
            "real_name": "xxxx",
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "xxxxx"}}],
            "state": {"values": {"grund": {"input": {"type": "plain_text_input", "value": "xxxxxxxxx"}}}},
            "private_metadata": "xxxxxxx",
            "tags": ["xxxx", "C0LAN2Q65"],
            "selected_option": {"value": "xxxxxxxxxx"},
        });
        let length = |value: &Value| value["text"].as_str().unwrap().chars().count();
        assert_eq!(length(&redacted(message.clone())), length(&message));
        assert_eq!(redacted(message), expected);
    }

    #[test]
    fn credentials_are_removed() {
        let value = json!({
            "token": "t", "response_url": "u", "response_urls": [{"response_url": "u"}],
            "event": {"bot_access_token": "x", "ts": "1515449522.000016"},
        });
        assert_eq!(redacted(value), json!({"event": {"ts": "1515449522.000016"}}));
    }

    #[test]
    fn a_value_with_a_space_is_replaced_although_its_key_is_that_of_an_id_or_a_type() {
        let value =
            json!({"type": "tell nobody", "callback_id": "geheim, sehr", "ts": "am Abend", "id": "日本"});
        assert_eq!(
            redacted(value),
            json!({"type": "xxxxxxxxxxx", "callback_id": "xxxxxxxxxxxx", "ts": "xxxxxxxx", "id": "xx"})
        );
    }

    #[test]
    fn a_body_that_is_no_json_is_an_error() {
        assert!(redact(Delivery::new(BTreeMap::new(), "hello".to_owned(), None)).is_err());
    }

    /// The keys, the nesting and the types of all values in their order, without the text of the strings.
    fn structure(json: &RawValue) -> String {
        let json = json.get();
        let inside: Vec<String> = match json.as_bytes()[0] {
            b'{' => {
                let Members(members) = serde_json::from_str(json).unwrap();
                let kept = members.into_iter().filter(|(key, _)| !is_credential(key));
                kept.map(|(key, value)| format!("{key}: {}", structure(value))).collect()
            }
            b'[' => serde_json::from_str::<Vec<_>>(json).unwrap().into_iter().map(structure).collect(),
            b'"' => return "string".to_owned(),
            _ => return json.to_owned(),
        };
        format!("({})", inside.join(", "))
    }

    #[test]
    fn a_redacted_delivery_keeps_its_structure_attributes_conversation_and_id() {
        for (name, content_type, body) in fixtures() {
            let original = delivery(&queued(content_type, &body).unwrap());
            let redacted = redact(original.clone()).unwrap();
            let before = serde_json::from_str(&original.body).unwrap();
            let after = serde_json::from_str(&redacted.body).unwrap();
            assert_eq!(structure(after), structure(before), "{name}");
            assert_eq!(redacted.attributes, original.attributes, "{name}");
            let (one, other) = (original.message().unwrap(), redacted.message().unwrap());
            assert_eq!(one.conversation_group, other.conversation_group, "{name}");
            assert_eq!(one.deduplication_id, other.deduplication_id, "{name}");
        }
    }

    #[test]
    fn nothing_that_a_person_wrote_in_the_fixtures_is_left() {
        // Everything that a person wrote there, but for words that are also an id or a key.
        const WRITTEN: [&str; 14] = [
            "steve",
            "Egon",
            "Spengler",
            "spengler@example.com",
            "Zürich",
            "Grüße",
            "Müsli",
            "Äpfel",
            "Bestellung",
            "Genehmigen",
            "order/4711",
            "hooks.slack.com",
            "report.pdf",
            "gIkuvaNzQIHg97ATvDxqgjtO",
        ];
        let mut found = BTreeMap::new();
        for (name, content_type, body) in fixtures() {
            let original = delivery(&queued(content_type, &body).unwrap());
            let redacted = redact(original.clone()).unwrap();
            // Parsing and writing the body turns escapes such as \u00fc into the characters that are looked for.
            let before: Value = serde_json::from_str(&original.body).unwrap();
            let (before, after) = (before.to_string(), redacted.body);
            for text in WRITTEN {
                *found.entry(text).or_insert(0) += usize::from(before.contains(text));
                assert!(!after.contains(text), "{name}: {text} is left in {after}");
            }
        }
        assert!(found.values().all(|&count| count > 0), "not in the fixtures: {found:?}");
    }
}
