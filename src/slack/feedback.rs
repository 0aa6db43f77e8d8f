//! The buttons under an answer by which people say whether it was good: what is posted, and what a click says. All of it is
//! pure.
//!
//! They are Slack's own element for this
//! (<https://docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element>), which stands in a block. Where a
//! message has blocks, Slack shows those in place of its text, which is then what telephones notify with and what screen
//! readers may read. So the blocks begin with the text itself: sections of mrkdwn, because that is what the text is written in,
//! always shown as a whole. They are `verbatim`
//! (<https://docs.slack.dev/reference/block-kit/composition-objects/text-object>): otherwise Slack would make mentions of names
//! in them, which it does not do in a message's text, and somebody could make the agent ping people.

use serde_json::{Value, json};

use super::answer_text::sections;

/// The `action_id` of the buttons, by which a click on them is told from a click on others.
pub const ACTION_ID: &str = "slack_ingress_feedback";

/// Most bytes of the question's id in a button, whose value Slack limits to 2,000 characters.
const MAX_ID_BYTES: usize = 1900;

/// What a click says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// Whether the answer was good.
    pub is_good: bool,
    /// The id of the question that was answered, if the button names one.
    pub question_id: Option<String>,
}

/// The blocks that show this text, without buttons.
pub fn text_blocks(text: &str) -> Vec<Value> {
    let section = |text: String| {
        let text = json!({ "type": "mrkdwn", "text": text, "verbatim": true });
        json!({ "type": "section", "text": text, "expand": true })
    };
    sections(text).into_iter().map(section).collect()
}

/// The blocks of a message with this text, which answers the question with this id.
pub fn blocks(text: &str, question_id: &str) -> Value {
    let mut blocks = text_blocks(text);
    let button = |emoji: &str, label: &str, is_good: bool| {
        json!({
            "text": { "type": "plain_text", "text": emoji },
            "accessibility_label": label,
            "value": value(is_good, question_id),
        })
    };
    blocks.push(json!({
        "type": "context_actions",
        "elements": [{
            "type": "feedback_buttons",
            "action_id": ACTION_ID,
            "positive_button": button("👍", "This answer is good", true),
            "negative_button": button("👎", "This answer is not good", false),
        }],
    }));
    Value::Array(blocks)
}

fn value(is_good: bool, question_id: &str) -> String {
    let rating = if is_good { "good" } else { "bad" };
    let id = if question_id.len() > MAX_ID_BYTES { "" } else { question_id };
    format!("{rating} {id}")
}

/// What an action of an interaction says; `None` if it is no click on these buttons.
///
/// An agent's own tool may post blocks too, so the value may be anything: of an id that does not look like one, nothing is
/// taken over, for it ends in the log.
pub fn rating(action: &Value) -> Option<Rating> {
    let field = |name: &str| action.get(name).and_then(Value::as_str);
    if field("type") != Some("feedback_buttons") || field("action_id") != Some(ACTION_ID) {
        return None;
    }
    let (rating, id) = field("value")?.split_once(' ')?;
    let is_good = match rating {
        "good" => true,
        "bad" => false,
        _ => return None,
    };
    let is_of_an_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-');
    let is_id = !id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(is_of_an_id);
    Some(Rating { is_good, question_id: is_id.then(|| id.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "A1:C1:1531420618.000100";

    fn buttons(blocks: &Value) -> &Value {
        &blocks.as_array().unwrap().last().unwrap()["elements"][0]
    }

    fn click(value: &Value) -> Value {
        json!({ "type": "feedback_buttons", "action_id": ACTION_ID, "block_id": "b", "value": value, "action_ts": "1.2" })
    }

    #[test]
    fn the_text_stands_before_the_buttons_as_it_would_without_them() {
        let text = "*Bold* &amp; &lt;b&gt;\n`code`";
        let blocks = blocks(text, ID);
        assert_eq!(
            blocks[0],
            json!({
                "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true }, "expand": true
            })
        );
        let buttons = buttons(&blocks);
        assert_eq!(
            (&blocks[1]["type"], &buttons["type"]),
            (&json!("context_actions"), &json!("feedback_buttons"))
        );
        for name in ["positive_button", "negative_button"] {
            let button = &buttons[name];
            assert_eq!(button["text"]["type"], "plain_text");
            assert!(button["accessibility_label"].as_str().unwrap().len() <= 75);
        }
    }

    #[test]
    fn a_click_says_what_its_button_says() {
        let blocks = blocks("It is 42.", ID);
        for (name, is_good) in [("positive_button", true), ("negative_button", false)] {
            let clicked = click(&buttons(&blocks)[name]["value"]);
            assert_eq!(rating(&clicked), Some(Rating { is_good, question_id: Some(ID.to_owned()) }));
        }
    }

    #[test]
    fn an_id_that_is_too_long_for_a_button_is_left_out() {
        let blocks = blocks("It is 42.", &"x".repeat(2000));
        let clicked = click(&buttons(&blocks)["positive_button"]["value"]);
        assert_eq!(rating(&clicked), Some(Rating { is_good: true, question_id: None }));
    }

    #[test]
    fn a_click_on_anything_else_says_nothing_and_a_forged_id_is_not_taken_over() {
        let ours = || click(&json!("good A1:C1:1.2"));
        for (name, value) in [
            ("type", json!("button")),
            ("action_id", json!("feedback")),
            ("value", json!("good")),
            ("value", json!("superb A1:C1:1.2")),
            ("value", json!(7)),
        ] {
            let mut other = ours();
            other[name] = value;
            assert_eq!(rating(&other), None, "{other}");
        }
        for forged in ["good the text of a message", "good \n", "good ", "good <@U1>"] {
            assert_eq!(rating(&click(&json!(forged))).unwrap().question_id, None, "{forged}");
        }
    }
}
