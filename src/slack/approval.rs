//! The message that asks a person whether a tool may be called: what it shows, its buttons, what a click says, and what the message
//! shows afterwards. All of it is pure.
//!
//! What is shown is made here from the very call that would be made, and from nothing that a model says about it. The arguments
//! stand in a block whose text Slack does not interpret
//! (<https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>): they cannot look like a link, a mention, or a part of
//! the message. Characters that nobody sees, or that turn others around, are written as the escapes of JSON. Letters that are
//! written from right to left stay as they are, or their readers could not read them; a string that has some is isolated, so that
//! it turns nothing around outside of itself. A call whose arguments are too long to be shown as a whole is not asked about.

use serde_json::{Value, json};

use super::answer_text::safe;
use crate::time::clock::UnixMillis;

/// The `action_id` of the button that approves.
pub const APPROVE: &str = "slack_ingress_approve";

/// The `action_id` of the button that refuses.
pub const REFUSE: &str = "slack_ingress_refuse";

/// Most characters of the arguments, as they are shown: what a person reads before pressing a button. Slack takes no more than
/// 3,000 in a text.
pub const MAX_SHOWN: usize = 2_800;

/// Most bytes of a button's value, which Slack limits to 2,000 characters.
const MAX_VALUE_BYTES: usize = 2_000;

/// What somebody decides, or that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The call may be made.
    Approved,
    /// It may not.
    Refused,
    /// Nobody has decided in time.
    Lapsed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Refused, Self::Lapsed];

    /// The word for it: in the table, in requests, and as the reason why a call was not made.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Lapsed => "lapsed",
        }
    }

    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// The call that a person is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The Gateway's name of the tool: `<target>___<operation>`.
    pub tool: &'a str,
    /// Its arguments: a JSON object, to the letter.
    pub arguments: &'a str,
    /// Who may decide, as mrkdwn that mentions them.
    pub who: &'a str,
    /// Until when.
    pub until: UnixMillis,
}

/// What is known of a decision, for the message that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided<'a> {
    /// What was decided.
    pub verdict: Verdict,
    /// By whom, by Slack's id; absent if nobody has decided in time.
    pub by: Option<&'a str>,
    /// When.
    pub at: UnixMillis,
}

/// A click on one of the buttons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalButton {
    /// The number of the call in the question's journal.
    pub number: u32,
    /// The id of the approval, as it stands in the button.
    pub approval: String,
    /// The question.
    pub question_id: String,
    /// What the button says.
    pub verdict: Verdict,
}

impl Shown<'_> {
    /// The text of the message, by which telephones notify and screen readers may read.
    pub fn text(&self) -> String {
        format!("{} Please decide: may I use `{}`?", self.who, safe(self.tool))
    }

    /// The blocks of the message with the buttons; `None` if they cannot be shown as a whole.
    pub fn blocks(&self, number: u32, approval: &str, question_id: &str) -> Option<Value> {
        let value = format!("{number} {approval} {question_id}");
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
        let button = |id: &str, label: &str, style: &str| {
            json!({
                "type": "button", "action_id": id, "style": style, "value": value,
                "text": { "type": "plain_text", "text": label },
            })
        };
        let mut blocks =
            self.call(&format!("{} May I do this? Nothing is done before it is decided.", self.who))?;
        blocks.push(json!({
            "type": "actions",
            "elements": [button(APPROVE, "Approve", "primary"), button(REFUSE, "Refuse", "danger")],
        }));
        blocks.push(context(&format!("To be decided until {}.", date(self.until))));
        Some(Value::Array(blocks))
    }

    /// The text of the message when it is decided.
    pub fn decided_text(&self, decided: Decided<'_>) -> String {
        format!("`{}`: {}", safe(self.tool), decided.words())
    }

    /// The blocks of the message when it is decided: without buttons.
    pub fn decided_blocks(&self, decided: Decided<'_>) -> Option<Value> {
        let mut blocks = self.call("I had asked whether I may do this.")?;
        blocks.push(section(&decided.words()));
        Some(Value::Array(blocks))
    }

    /// The text of the message when the question was `deleted` or `stopped` before the call was made. Of the arguments it shows
    /// nothing any more: they may come from what somebody has deleted.
    pub fn withdrawn_text(&self, how: &str) -> String {
        let tool = safe(self.tool);
        format!("I had asked whether I may use `{tool}`. The question was {how}, so I do not.")
    }

    /// The blocks of that message.
    pub fn withdrawn_blocks(&self, how: &str) -> Value {
        json!([section(&self.withdrawn_text(how))])
    }

    fn call(&self, first: &str) -> Option<Vec<Value>> {
        let arguments = legible(self.arguments);
        if arguments.chars().count() > MAX_SHOWN {
            return None;
        }
        Some(vec![
            section(&format!("{first}\nThe tool `{}`, with exactly this:", safe(self.tool))),
            json!({
                "type": "rich_text",
                "elements": [{
                    "type": "rich_text_preformatted",
                    "elements": [{ "type": "text", "text": arguments }],
                }],
            }),
        ])
    }
}

impl Decided<'_> {
    /// Who has decided what, and when, as mrkdwn.
    pub fn words(&self) -> String {
        let when = date(self.at);
        match (self.verdict, self.by) {
            (Verdict::Approved, Some(by)) => {
                format!(":white_check_mark: Approved by <@{}>, {when}.", safe(by))
            }
            (Verdict::Refused, Some(by)) => format!(":no_entry: Refused by <@{}>, {when}.", safe(by)),
            (Verdict::Approved, None) => format!(":white_check_mark: Approved, {when}."),
            (Verdict::Refused, None) => format!(":no_entry: Refused, {when}."),
            (Verdict::Lapsed, _) => {
                format!(":hourglass: Nobody decided in time, so it is not done: {when}.")
            }
        }
    }
}

/// What is said in the thread when nobody has decided in time.
pub const LAPSED: &str = "Nobody has decided in time whether I may do what I had asked about, so I have not done it. Please ask me again \
                          if it is still wanted.";

/// What a person is told whose click decides nothing: as plain mrkdwn, for their eyes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEffect<'a> {
    /// Others may decide.
    NotYours {
        /// Who, as mrkdwn.
        who: &'a str,
    },
    /// It was decided before.
    Decided(Decided<'a>),
    /// Slack does not say who may decide, until somebody has changed something.
    NobodyKnows,
    /// The time is over.
    Over,
    /// Nobody waits for it any more: the question was stopped or deleted, or has ended, and then nothing is kept of what was
    /// decided.
    Gone,
}

impl NoEffect<'_> {
    /// The words.
    pub fn words(&self) -> String {
        match self {
            Self::NotYours { who } => {
                format!("Only {who} can decide this, so your click has changed nothing.")
            }
            Self::Decided(decided) => {
                format!("This was decided before, so your click has changed nothing. {}", decided.words())
            }
            Self::NobodyKnows => "I could not find out whether you may decide this, so your click has changed nothing. The people who look \
                                  after me can see why. Please click again later."
                .to_owned(),
            Self::Over => {
                "The time for this is over, so your click has changed nothing. Please ask me again.".to_owned()
            }
            Self::Gone => {
                "Nobody waits for this any more: it was decided, or the question has ended. A click changes nothing now."
                    .to_owned()
            }
        }
    }
}

/// What an action of an interaction says; `None` if it is no click on these buttons.
pub fn click(action: &Value) -> Option<ApprovalButton> {
    let field = |name: &str| action.get(name).and_then(Value::as_str);
    let verdict = match (field("type")?, field("action_id")?) {
        ("button", APPROVE) => Verdict::Approved,
        ("button", REFUSE) => Verdict::Refused,
        _ => return None,
    };
    let mut parts = field("value")?.splitn(3, ' ');
    let number = parts.next()?.parse().ok().filter(|number| *number > 0)?;
    let approval = parts.next()?.to_owned();
    let question_id = parts.next().filter(|id| !id.is_empty())?.to_owned();
    Some(ApprovalButton { number, approval, question_id, verdict })
}

/// The arguments as a person can read them: JSON of the same meaning, in which characters that nobody sees, or that change how
/// others are shown, are escapes. Around a string with letters from right to left stand the two marks that isolate it.
pub fn legible(arguments: &str) -> String {
    isolated(&escaped(arguments))
}

fn escaped(arguments: &str) -> String {
    let mut shown = String::with_capacity(arguments.len());
    for c in arguments.chars() {
        if matches!(c, '\n' | '\r' | '\t') {
            // In JSON it can only stand between the parts, where a space means the same.
            shown.push(' ');
        } else if is_unseen(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The JSON with each string isolated that has letters from right to left. Without that, `["א",1,2,"ב"]` would be shown as
/// `["ב",2,1,"א"]`: by [Unicode's rules](https://www.unicode.org/reports/tr9/) such letters also turn around the digits, the marks
/// and the strings between them. What stands within one string is shown as its readers are used to it.
fn isolated(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    let (mut string, mut is_in_string, mut is_escape) = (String::new(), false, false);
    for c in json.chars() {
        if !is_in_string && c != '"' {
            shown.push(c);
            continue;
        }
        string.push(c);
        let ends = is_in_string && c == '"' && !is_escape;
        is_escape = is_in_string && c == '\\' && !is_escape;
        is_in_string = !ends;
        if ends {
            let turns = string.chars().any(is_right_to_left);
            shown.extend(turns.then_some(FIRST_STRONG_ISOLATE));
            shown.push_str(&string);
            shown.extend(turns.then_some(POP_ISOLATE));
            string.clear();
        }
    }
    shown.push_str(&string);
    shown
}

/// What isolates the text behind it, which is written in the direction of its first letter, until [`POP_ISOLATE`].
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';

/// The blocks of Unicode for scripts from right to left, with their digits.
const fn is_right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

/// Controls, formats (Unicode's category Cf), fillers, and variation selectors.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}'
        | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": text, "verbatim": true }] })
}

/// A point in time as Slack shows it to each reader in their own zone.
fn date(at: UnixMillis) -> String {
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{}>", at.as_secs(), at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_millis(1_764_331_200_000);
    const ID: &str = "A1:C1:1531420618.000100";
    const APPROVAL: &str = "0123456789abcdef0123456789abcdef";

    fn shown(arguments: &str) -> Shown<'_> {
        Shown { tool: "trello___create_card", arguments, who: "<@U1>", until: NOW }
    }

    fn actions(blocks: &Value) -> Vec<Value> {
        let is_actions = |block: &&Value| block["type"] == "actions";
        let actions = blocks.as_array().unwrap().iter().find(is_actions).unwrap();
        actions["elements"].as_array().unwrap().clone()
    }

    #[test]
    fn the_message_shows_the_very_call_and_asks_with_two_buttons() {
        let arguments = r#"{"name":"*bold* <!channel> &amp; ```"}"#;
        let blocks = shown(arguments).blocks(3, APPROVAL, ID).unwrap();
        let text = &blocks[1]["elements"][0]["elements"][0];
        assert_eq!(
            text,
            &json!({ "type": "text", "text": arguments }),
            "not interpreted, and nothing left out"
        );
        let clicks: Vec<ApprovalButton> =
            actions(&blocks).iter().map(|button| click(button).unwrap()).collect();
        let verdicts: Vec<Verdict> = clicks.iter().map(|click| click.verdict).collect();
        assert_eq!(verdicts, [Verdict::Approved, Verdict::Refused]);
        for clicked in clicks {
            assert_eq!(
                (clicked.number, clicked.approval.as_str(), clicked.question_id.as_str()),
                (3, APPROVAL, ID)
            );
        }
    }

    #[test]
    fn what_nobody_sees_is_shown_as_an_escape_that_means_the_same() {
        for hidden in
            ["\u{202e}", "\u{200b}", "\u{2066}", "\u{e0041}", "\u{feff}", "\u{3164}", "\u{a0}", "\u{fe0f}"]
        {
            let arguments = json!({ "to": format!("a{hidden}b") }).to_string();
            let legible = legible(&arguments);
            assert!(legible.is_ascii(), "{legible}");
            assert_eq!(
                serde_json::from_str::<Value>(&legible).unwrap(),
                serde_json::from_str::<Value>(&arguments).unwrap()
            );
        }
        let plain = r#"{"name":"Grüße 🙂","n":1e0}"#;
        assert_eq!(legible(plain), plain);
    }

    #[test]
    fn what_is_written_from_right_to_left_stays_legible_and_turns_nothing_else_around() {
        for (arguments, shown) in [
            (r#"{"to":["א",1,2,"ب"]}"#, "{\"to\":[\u{2068}\"א\"\u{2069},1,2,\u{2068}\"ب\"\u{2069}]}"),
            (r#"{"שלום":"a"}"#, "{\u{2068}\"שלום\"\u{2069}:\"a\"}"),
            (r#"{"a":"\"א\\"}"#, "{\"a\":\u{2068}\"\\\"א\\\\\"\u{2069}}"),
            (r#"{"name":"﷽"}"#, "{\"name\":\u{2068}\"﷽\"\u{2069}}"),
            // Whoever is asked sees no marks but ours.
            ("{\"a\":\"א\u{2069}1\"}", "{\"a\":\u{2068}\"א\\u20691\"\u{2069}}"),
        ] {
            assert_eq!(legible(arguments), shown);
            let without: String = shown.chars().filter(|c| !('\u{2068}'..='\u{2069}').contains(c)).collect();
            let [shown, given] =
                [&*without, arguments].map(|json| serde_json::from_str::<Value>(json).unwrap());
            assert_eq!(shown, given);
        }
    }

    #[test]
    fn what_is_too_long_to_be_shown_as_a_whole_is_not_shown_at_all() {
        let arguments = |length: usize| format!("{{\"a\":\"{}\"}}", "a".repeat(length - 8));
        assert!(shown(&arguments(MAX_SHOWN)).blocks(1, APPROVAL, ID).is_some());
        assert!(shown(&arguments(MAX_SHOWN + 1)).blocks(1, APPROVAL, ID).is_none());
        // Each of these takes six characters when it is shown.
        let hidden = format!("{{\"a\":\"{}\"}}", "\u{200b}".repeat(MAX_SHOWN / 5));
        assert!(shown(&hidden).blocks(1, APPROVAL, ID).is_none());
        assert!(shown("{}").blocks(1, APPROVAL, &"a".repeat(MAX_VALUE_BYTES)).is_none());
    }

    #[test]
    fn a_decided_message_says_who_and_when_and_has_no_buttons() {
        for (verdict, by, words) in [
            (Verdict::Approved, Some("U2"), "Approved by <@U2>"),
            (Verdict::Refused, Some("U2"), "Refused by <@U2>"),
            (Verdict::Lapsed, None, "Nobody decided in time"),
        ] {
            let decided = Decided { verdict, by, at: NOW };
            let blocks = shown("{}").decided_blocks(decided).unwrap().to_string();
            assert!(blocks.contains(words) && !blocks.contains("actions"), "{blocks}");
            assert!(blocks.contains("2025-11-28T12:00:00Z"), "{blocks}");
            assert!(shown("{}").decided_text(decided).contains(words));
        }
    }

    #[test]
    fn other_buttons_are_no_clicks() {
        let [approve, ..] = &actions(&shown("{}").blocks(1, APPROVAL, ID).unwrap())[..] else { panic!() };
        for (name, value) in [
            ("type", json!("static_select")),
            ("action_id", json!("another")),
            ("value", json!("0 a b")),
            ("value", json!("1 a")),
            ("value", json!("1 a ")),
            ("value", Value::Null),
        ] {
            let mut other = approve.clone();
            other[name] = value;
            assert_eq!(click(&other), None, "{other}");
        }
    }
}
