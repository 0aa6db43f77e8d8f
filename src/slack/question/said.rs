//! What a message says: its text, and what stands in its attachments and blocks.

use serde_json::Value;

use super::files;
use super::plain_text::of_mrkdwn;
use crate::slack::answer_text::cut;

/// How deep blocks are looked into. Slack's own are four deep.
const MAX_DEPTH: usize = 12;

/// Most bytes of a question.
pub(super) const MAX_BYTES: usize = 100 * 1024;

/// What stands at the end of a question that was longer.
const CUT: &str = "\n\n… (cut: the message was longer than 100 KB)";

/// All that a message says, as plain text. `bot_users` are the app's own users, whose mention at the beginning is left out.
pub(super) fn by(message: &Value, bot_users: &[String]) -> String {
    let text = message["text"].as_str().unwrap_or_default();
    let mut said = of_mrkdwn(without_own_mention(text, bot_users)).trim().to_owned();
    if said.is_empty() {
        let in_blocks = joined(|pieces| in_blocks(&message["blocks"], bot_users, 0, pieces));
        in_blocks.trim().clone_into(&mut said);
    }
    for attachment in list(&message["attachments"]) {
        add(&mut said, &in_attachment(attachment));
    }
    if said.is_empty() {
        add_files(&mut said, message);
    }
    within_limit(&said)
}

/// All that a message says, and which files came with it.
pub(super) fn with_files(message: &Value) -> String {
    let mut said = by(message, &[]);
    add_files(&mut said, message);
    within_limit(&said)
}

fn add_files(said: &mut String, message: &Value) {
    for file in files::in_message(message) {
        let name = file["title"].as_str().or_else(|| file["name"].as_str()).filter(|name| !name.is_empty());
        add(said, &format!("(file: {})", name.unwrap_or("without a name")));
    }
}

/// The text without the mention of the app at its beginning, and without what separates it from the rest.
pub(super) fn without_own_mention<'a>(text: &'a str, bot_users: &[String]) -> &'a str {
    let Some(behind) = text.trim_start().strip_prefix("<@") else { return text };
    let Some((mention, rest)) = behind.split_once('>') else { return text };
    let user = mention.split('|').next().unwrap_or_default();
    if bot_users.iter().any(|own| own == user) {
        rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ','))
    } else {
        text
    }
}

/// What an attachment says: a message that was forwarded, or what an app shows.
fn in_attachment(attachment: &Value) -> String {
    let mrkdwn = |name: &str| attachment[name].as_str().map(|text| of_mrkdwn(text).trim().to_owned());
    let mut said = String::new();
    for name in ["pretext", "title", "text"] {
        add(&mut said, &mrkdwn(name).unwrap_or_default());
    }
    for field in list(&attachment["fields"]) {
        let [title, value] =
            ["title", "value"].map(|name| of_mrkdwn(field[name].as_str().unwrap_or_default()));
        add(&mut said, &format!("{title}: {value}"));
    }
    if said.is_empty() {
        said = joined(|pieces| in_blocks(&attachment["blocks"], &[], 0, pieces));
        for forwarded in list(&attachment["message_blocks"]) {
            let blocks = &forwarded["message"]["blocks"];
            add(&mut said, &joined(|pieces| in_blocks(blocks, &[], 0, pieces)));
        }
    }
    if said.trim().is_empty() {
        said = mrkdwn("fallback").unwrap_or_default();
    }
    said
}

/// Adds what was not said yet, on a line of its own.
fn add(said: &mut String, more: &str) {
    let more = more.trim();
    if more.is_empty() || said.contains(more) {
        return;
    }
    if !said.is_empty() {
        said.push('\n');
    }
    said.push_str(more);
}

fn joined(collect: impl FnOnce(&mut Vec<String>)) -> String {
    let mut pieces = Vec::new();
    collect(&mut pieces);
    let pieces = pieces.iter().map(|piece| piece.trim()).filter(|piece| !piece.is_empty());
    pieces.collect::<Vec<_>>().join("\n")
}

/// The texts of blocks, a line for each. Unknown blocks are looked into for what they have in common with the known ones.
fn in_blocks(blocks: &Value, bot_users: &[String], depth: usize, pieces: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    for block in list(blocks) {
        match block["type"].as_str() {
            Some("rich_text_section" | "rich_text_quote" | "rich_text_preformatted") => {
                pieces.push(in_rich_text(&block["elements"], bot_users))
            }
            _ => {
                if let Some(text) = block["text"]["text"].as_str() {
                    let is_plain = block["text"]["type"].as_str() == Some("plain_text");
                    pieces.push(if is_plain { text.to_owned() } else { of_mrkdwn(text) });
                } else if let Some(text) = block["text"].as_str() {
                    pieces.push(of_mrkdwn(text));
                }
                for field in list(&block["fields"]) {
                    pieces.push(of_mrkdwn(field["text"].as_str().unwrap_or_default()));
                }
                in_blocks(&block["elements"], bot_users, depth + 1, pieces);
            }
        }
    }
}

/// The elements of one line of rich text, whose texts are not escaped.
fn in_rich_text(elements: &Value, bot_users: &[String]) -> String {
    let mut line = String::new();
    for element in list(elements) {
        let field = |name: &str| element[name].as_str().unwrap_or_default();
        match field("type") {
            "text" => line.push_str(field("text")),
            "link" => {
                let (text, url) = (field("text"), field("url"));
                let both =
                    if text.is_empty() || text == url { url.to_owned() } else { format!("{text} ({url})") };
                line.push_str(&both);
            }
            "emoji" => line.push_str(&format!(":{}:", field("name"))),
            // The app's own mention at the beginning says nothing.
            "user" if line.trim().is_empty() && bot_users.iter().any(|own| own == field("user_id")) => {}
            "user" => line.push_str(&format!("@{}", field("user_id"))),
            "channel" => line.push_str(&format!("#{}", field("channel_id"))),
            "usergroup" => line.push_str(&format!("@{}", field("usergroup_id"))),
            "broadcast" => line.push_str(&format!("@{}", field("range"))),
            "date" => line.push_str(field("fallback")),
            _ => line.push_str(field("text")),
        }
    }
    line
}

/// The text of a `rich_text` value, such as a `rich_text_input` has it.
pub(super) fn rich_text(value: &Value) -> String {
    let blocks = Value::Array(vec![value.clone()]);
    within_limit(&joined(|pieces| in_blocks(&blocks, &[], 0, pieces)))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text itself, or the beginning of it and, in words, that it was cut.
pub(super) fn within_limit(text: &str) -> String {
    cut(text, MAX_BYTES, CUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(message: &Value) -> String {
        by(message, &["UBOT".to_owned()])
    }

    #[test]
    fn the_apps_own_mention_at_the_beginning_is_left_out_and_no_other() {
        for (text, expected) in [
            ("<@UBOT> how far are we?", "how far are we?"),
            ("  <@UBOT|bot>: how far?", "how far?"),
            ("<@UBOT>", ""),
            ("<@U2> <@UBOT> how far?", "@U2 @UBOT how far?"),
            ("ask <@UBOT>", "ask @UBOT"),
        ] {
            assert_eq!(said(&json!({ "text": text })), expected, "{text}");
        }
    }

    #[test]
    fn a_forwarded_message_belongs_to_what_is_said() {
        let forwarded = json!({
            "text": "<@UBOT>",
            "attachments": [{
                "is_share": true, "text": "production is down since nine", "fallback": "production is down since nine"
            }]
        });
        assert_eq!(said(&forwarded), "production is down since nine");
        let with_words = json!({
            "text": "<@UBOT> why?",
            "attachments": [
                { "title": "Alarm", "text": "a &lt; b", "fields": [{ "title": "since", "value": "nine" }] },
                { "fallback": "only this" }
            ]
        });
        assert_eq!(said(&with_words), "why?\nAlarm\na < b\nsince: nine\nonly this");
        let in_blocks = json!({
            "text": "",
            "attachments": [{
                "fallback": "[no preview]",
                "message_blocks": [{ "message": { "blocks": [{
                    "type": "rich_text",
                    "elements": [{ "type": "rich_text_section", "elements": [{ "type": "text", "text": "in a block" }] }]
                }] } }]
            }]
        });
        assert_eq!(said(&in_blocks), "in a block");
    }

    #[test]
    fn blocks_say_what_no_text_says_and_nothing_twice() {
        let rich = json!({ "type": "rich_text", "elements": [
            { "type": "rich_text_section", "elements": [
                { "type": "user", "user_id": "UBOT" },
                { "type": "text", "text": " is 1 < 2 " },
                { "type": "link", "url": "https://a.example", "text": "here" },
                { "type": "emoji", "name": "wave" },
                { "type": "broadcast", "range": "here" }
            ] },
            { "type": "rich_text_list", "elements": [
                { "type": "rich_text_section", "elements": [{ "type": "text", "text": "one" }] },
                { "type": "rich_text_section", "elements": [{ "type": "channel", "channel_id": "C1" }] }
            ] }
        ] });
        let expected = "is 1 < 2 here (https://a.example):wave:@here\none\n#C1";
        assert_eq!(said(&json!({ "blocks": [rich] })), expected);
        assert_eq!(said(&json!({ "text": "said already", "blocks": [rich] })), "said already");
        let others = json!({ "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": "A & B" } },
            { "type": "section", "text": { "type": "mrkdwn", "text": "&lt;x&gt;" }, "fields": [{ "text": "f" }] },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": "small" }] },
            { "type": "divider" }
        ] });
        assert_eq!(said(&others), "A & B\n<x>\nf\nsmall");
    }

    #[test]
    fn a_file_alone_is_named_and_too_long_a_message_is_cut_in_words() {
        let file = json!({ "files": [{ "name": "report.pdf" }, { "title": "Plan" }] });
        assert_eq!(said(&file), "(file: report.pdf)\n(file: Plan)");
        let long = said(&json!({ "text": "ü".repeat(MAX_BYTES) }));
        assert!(long.len() <= MAX_BYTES && long.ends_with("(cut: the message was longer than 100 KB)"));
    }

    #[test]
    fn blocks_without_an_end_are_not_followed_for_ever() {
        let mut deep = json!({ "type": "x", "text": "deepest" });
        for _ in 0..100 {
            deep = json!({ "type": "x", "elements": [deep] });
        }
        assert_eq!(said(&json!({ "blocks": [deep] })), "");
    }
}
