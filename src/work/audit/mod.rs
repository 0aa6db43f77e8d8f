//! The audit trail: who asked, which tools were called with which arguments, which answer was posted, what it used, and how a question
//! ended. Off unless a table is named for it (`AUDIT_TABLE`), and then not one call is made.
//!
//! ```text
//! asked ─▶ the claim      call ─▶ the call of a tool ─▶ called      answer ─▶ the intent and the posts ─▶ end
//!                                                                     └─▶ not_posted
//! ```
//!
//! **An entry is written before its act, or the act is not made.** What may have been done is in the trail, and what is not in the
//! trail was not done. What came of an act is an entry of its own behind it, as well as that can be: a `call` without a `called`
//! says that the call may have been made.
//!
//! **An entry is written once and never changed.** Its key is made of what it says, so the same act that is repeated after a death finds
//! its entry, and another act has another key. agent-settle can add entries and can do nothing else: it neither reads nor deletes.
//!
//! A decision about a call is an entry of whoever decided, and not of whoever asked the question: it is found with their others.
//!
//! In reading order: this page; `redact`, what is left out.

mod redact;

pub use redact::{MOST_RULES, Redact};

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::future::Future;

use super::RecordKey;
use super::approval::Decision;
use super::journal::ToolEnd;
use super::record::{End, Record};
use super::token::Token;
use crate::dedup::StoreError;
use crate::slack::question::Place;
use crate::time::clock::UnixMillis;

/// The most that is kept of arguments, in bytes of JSON. With the longest answer an entry has a third of what DynamoDB takes.
pub const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// What is written down, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRules {
    /// For how many days an entry is kept (`AUDIT_DAYS`).
    pub days: u64,
    /// Which arguments of tools are left out (`AUDIT_REDACT`).
    pub redact: Redact,
    /// Whether the texts of answers are kept (`AUDIT_TEXTS`), or only how long they are.
    pub texts: bool,
}

/// What is done, or was.
#[derive(Clone, Debug)]
pub enum Act<'a> {
    /// Somebody is about to work on the question: the attempt of this number, by whoever has this token.
    Asked {
        /// The number of the attempt.
        attempt: u32,
        /// The claimer's own token.
        by: &'a Token,
    },
    /// Whoever works on another question is about to be given this one, to answer both together.
    Given {
        /// The id of the other question.
        with: &'a str,
        /// The token of whoever works on that one.
        by: &'a Token,
    },
    /// The answer to another question, which is about to be posted, answers this one too.
    Joined {
        /// The id of the other question.
        to: &'a str,
        /// The token of whoever answers.
        by: &'a Token,
    },
    /// A tool is about to be called.
    Call {
        /// The number of the call in the question's journal.
        number: u32,
        /// The tool.
        tool: &'a str,
        /// Its arguments, as JSON.
        arguments: &'a str,
        /// The token of whoever wants it called.
        by: &'a Token,
    },
    /// A person is about to be asked whether a call may be made.
    Approval {
        /// The number of the call in the question's journal.
        number: u32,
        /// The tool.
        tool: &'a str,
        /// Its arguments, as JSON, which are shown.
        arguments: &'a str,
        /// The token of whoever wants it called.
        by: &'a Token,
    },
    /// Somebody is about to decide whether a call may be made; or nobody has in time.
    Decision {
        /// The number of the call in the question's journal.
        number: u32,
        /// The tool. Its arguments are in the asker's entry of the approval.
        tool: &'a str,
        /// What is decided.
        decision: &'a Decision,
    },
    /// The decision did not count: another one was earlier.
    NotDecided {
        /// The number of the call.
        number: u32,
        /// What was to be decided.
        decision: &'a Decision,
    },
    /// What came of a call.
    Called {
        /// The number of the call.
        number: u32,
        /// The tool.
        tool: &'a str,
        /// Its arguments, which only make the key: the entry of the call has them.
        arguments: &'a str,
        /// The token of whoever wanted it called.
        by: &'a Token,
        /// What came of it.
        end: &'a ToolEnd,
    },
    /// A text is about to be posted, or the question to end without one.
    Answer {
        /// The record of the question before that.
        record: &'a Record,
        /// The text; `None` if the agent has answered by tools of its own.
        text: Option<&'a str>,
        /// What the question becomes.
        end: &'a End,
    },
    /// A text was not posted after all.
    NotPosted {
        /// The record as it was for the entry of the answer.
        record: &'a Record,
        /// The text.
        text: Option<&'a str>,
        /// What the question was to become.
        end: &'a End,
        /// Why, as a short code.
        why: &'a str,
    },
    /// What an attempt has used of a model.
    Used {
        /// The attempt's token.
        by: &'a Token,
        /// The tokens that the model has read.
        input_tokens: u64,
        /// The tokens that it has written.
        output_tokens: u64,
    },
    /// The question has ended.
    Ended {
        /// How, as a word.
        how: &'a str,
        /// The token of whoever ended it.
        by: &'a Token,
        /// Why, as a short code.
        why: Option<&'a str>,
        /// Slack's `ts` of the last part of the answer.
        ts: Option<&'a str>,
    },
}

/// An attribute of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

impl Field {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// An entry of the trail. Its key is `question_id` and `act`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The question that it is about.
    pub question_id: String,
    /// Which act it is: a word such as `call`, and behind a `#` what tells it from others of that word.
    pub act: String,
    /// Everything else. `at` is when it was written, in milliseconds; `expires_at`, in seconds, when it goes.
    pub fields: BTreeMap<&'static str, Field>,
}

impl AuditEntry {
    /// The entry of an act.
    pub fn of(
        rules: &AuditRules,
        question: &RecordKey,
        place: Option<&Place>,
        act: &Act<'_>,
        now: UnixMillis,
    ) -> Self {
        let mut fields = place.map(place_fields).unwrap_or_default();
        fields.insert("at", Field::Number(now.as_millis()));
        let kept = rules.days.saturating_mul(SECONDS_A_DAY);
        fields.insert("expires_at", Field::Number(now.as_secs().saturating_add(kept)));
        let key = add(rules, act, &mut fields);
        Self { question_id: question.question_id().to_owned(), act: key, fields }
    }

    /// The word of the act.
    pub fn word(&self) -> &str {
        self.act.split('#').next().unwrap_or_default()
    }
}

/// Who asked, and where.
fn place_fields(place: &Place) -> BTreeMap<&'static str, Field> {
    let Place { tenant, api_app_id, team_id, thread_ts, user, .. } = place;
    let person = place.person_key();
    let texts = [
        ("person", person.as_ref()),
        ("tenant", tenant.as_ref()),
        ("app", api_app_id.as_ref()),
        ("team_id", team_id.as_ref()),
        ("channel", Some(&place.channel)),
        ("thread_ts", thread_ts.as_ref()),
        ("user", user.as_ref()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Field::text(bounded(text?)))));
    texts.chain([("asked_at", Field::Text(place.asked_at.to_string()))]).collect()
}

/// An id of Slack's has a few dozen bytes. What is longer is cut, so that DynamoDB takes the entry.
fn bounded(id: &str) -> &str {
    start_of(id, 1024)
}

/// The beginning of a text, in at most so many bytes.
fn start_of(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// Adds what an act says, and returns its key.
fn add(rules: &AuditRules, act: &Act<'_>, fields: &mut BTreeMap<&'static str, Field>) -> String {
    match act {
        Act::Asked { attempt, by } => {
            fields.insert("attempt", Field::Number((*attempt).into()));
            format!("asked#{}", mark(&[by.as_str()]))
        }
        Act::Given { with, by } => {
            fields.insert("with", Field::text(bounded(with)));
            format!("given#{}", mark(&[with, by.as_str()]))
        }
        Act::Joined { to, by } => {
            fields.insert("to", Field::text(bounded(to)));
            format!("joined#{}", mark(&[to, by.as_str()]))
        }
        Act::Call { number, tool, arguments, by } => {
            add_call(rules, tool, arguments, fields);
            call_key("call", *number, by, tool, arguments)
        }
        Act::Approval { number, tool, arguments, by } => {
            add_call(rules, tool, arguments, fields);
            call_key("approval", *number, by, tool, arguments)
        }
        Act::Decision { number, tool, decision } => {
            fields.insert("tool", Field::text(start_of(tool, 256)));
            fields.insert("verdict", Field::text(decision.verdict.as_str()));
            decision_key("decision", *number, decision)
        }
        Act::NotDecided { number, decision } => decision_key("not_decided", *number, decision),
        Act::Called { number, tool, arguments, by, end } => {
            fields.insert("tool", Field::text(start_of(tool, 256)));
            let (outcome, why) = match end {
                ToolEnd::Answered { .. } => ("called", None),
                ToolEnd::NotCalled { why } => ("not called", Some(why)),
                ToolEnd::Unknown { why, .. } => ("unknown", Some(why)),
            };
            fields.insert("outcome", Field::text(outcome));
            if let Some(why) = why {
                fields.insert("why", Field::text(bounded(why)));
            }
            call_key("called", *number, by, tool, arguments)
        }
        Act::Answer { record, text, end } => {
            let (becomes, why) = end_words(end);
            fields.insert("becomes", Field::text(becomes));
            if let Some(why) = why {
                fields.insert("why", Field::text(bounded(why)));
            }
            if let Some(text) = text {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                fields.insert("text_bytes", Field::Number(bytes));
            }
            if let Some(text) = text.filter(|_| rules.texts) {
                fields.insert("text", Field::text(text));
            }
            answer_key("answer", record, *text, end)
        }
        Act::NotPosted { record, text, end, why } => {
            fields.insert("why", Field::text(bounded(why)));
            answer_key("not_posted", record, *text, end)
        }
        Act::Used { by, input_tokens, output_tokens } => {
            fields.insert("input_tokens", Field::Number(*input_tokens));
            fields.insert("output_tokens", Field::Number(*output_tokens));
            format!("used#{}", mark(&[by.as_str()]))
        }
        Act::Ended { how, by, why, ts } => {
            fields.insert("how", Field::text(how));
            if let Some(why) = why {
                fields.insert("why", Field::text(bounded(why)));
            }
            if let Some(ts) = ts {
                fields.insert("ts", Field::text(bounded(ts)));
            }
            format!("end#{}#{how}", mark(&[by.as_str()]))
        }
    }
}

fn end_words(end: &End) -> (&'static str, Option<&str>) {
    match end {
        End::Answered => ("answered", None),
        End::Told { why } => ("told", Some(why)),
        End::Declined(declined) => (declined.as_str(), None),
        End::Suspended(_) => ("suspended", None),
    }
}

/// Adds a call: the tool, and the arguments as they are kept.
fn add_call(rules: &AuditRules, tool: &str, arguments: &str, fields: &mut BTreeMap<&'static str, Field>) {
    fields.insert("tool", Field::text(start_of(tool, 256)));
    let kept = rules.redact.arguments(tool, arguments);
    let start = start_of(&kept, MAX_ARGUMENT_BYTES);
    if start.len() < kept.len() {
        let bytes = u64::try_from(kept.len()).unwrap_or(u64::MAX);
        fields.insert("arguments_cut_from_bytes", Field::Number(bytes));
    }
    fields.insert("arguments", Field::text(start));
}

/// By the click: the same one that comes again is the same act.
fn decision_key(word: &str, number: u32, decision: &Decision) -> String {
    let by = decision.by.as_deref().unwrap_or_default();
    format!("{word}#{number:04}#{}", mark(&[&decision.click, decision.verdict.as_str(), by]))
}

fn call_key(word: &str, number: u32, by: &Token, tool: &str, arguments: &str) -> String {
    format!("{word}#{number:04}#{}", mark(&[by.as_str(), tool, arguments]))
}

/// A question that starts over has another `since`, so the same text again is another act.
fn answer_key(word: &str, record: &Record, text: Option<&str>, end: &End) -> String {
    let (becomes, why) = end_words(end);
    let since = format!("{}:{}", record.since.as_millis(), record.attempts);
    let said = if text.is_some() { "text" } else { "" };
    let parts = [&*since, becomes, why.unwrap_or_default(), said, text.unwrap_or_default()];
    format!("{word}#{}", mark(&parts))
}

/// What tells an act from others of its word. Who reads the trail learns no token by it.
fn mark(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    let mut mark = hex::encode(digest.finalize());
    mark.truncate(24);
    mark
}

/// Where the trail is.
pub trait AuditStore: Send + Sync {
    /// Writes an entry if none stands under its key; one that stands there stays as it is.
    ///
    /// # Errors
    /// When it is unknown whether the entry stands.
    fn put_audit(&self, entry: &AuditEntry) -> impl Future<Output = Result<(), StoreError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::question::SlackTs;
    use crate::work::record::Declined;

    const NOW: UnixMillis = UnixMillis::from_millis(1_531_420_618_500);

    fn rules(redact: &str, texts: bool) -> AuditRules {
        AuditRules { days: 10, redact: Redact::read(redact).unwrap(), texts }
    }

    fn place() -> Place {
        Place {
            tenant: Some("E1".to_owned()),
            api_app_id: Some("A1".to_owned()),
            team_id: Some("T1".to_owned()),
            channel: "C1".to_owned(),
            thread_ts: Some("1.1".to_owned()),
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse("1531420618.000200").unwrap(),
            response_url: Some("https://hooks.slack.com/secret".to_owned()),
        }
    }

    fn entry(rules: &AuditRules, act: &Act<'_>) -> AuditEntry {
        AuditEntry::of(rules, &RecordKey::of_question("A1:C1:1.1"), Some(&place()), act, NOW)
    }

    fn token(bits: u128) -> Token {
        Token::from_bits(bits)
    }

    fn text<'a>(entry: &'a AuditEntry, name: &str) -> Option<&'a str> {
        match entry.fields.get(name)? {
            Field::Text(text) => Some(text),
            Field::Number(_) => None,
        }
    }

    #[test]
    fn an_entry_says_who_asked_and_where_and_when_it_goes() {
        let by = token(7);
        let entry = entry(&rules("", true), &Act::Asked { attempt: 2, by: &by });
        assert_eq!((entry.question_id.as_str(), entry.word()), ("A1:C1:1.1", "asked"));
        for (name, value) in [("person", "E1:U1"), ("channel", "C1"), ("thread_ts", "1.1"), ("team_id", "T1")]
        {
            assert_eq!(text(&entry, name), Some(value));
        }
        assert_eq!(entry.fields["attempt"], Field::Number(2));
        assert_eq!(entry.fields["expires_at"], Field::Number(1_531_420_618 + 10 * 86_400));
        // By neither could anybody who reads the trail act in Slack or for the question.
        let all = format!("{entry:?}");
        assert!(!all.contains("hooks.slack.com") && !all.contains(by.as_str()), "{all}");
    }

    #[test]
    fn the_same_act_has_the_same_key_and_another_act_another() {
        let rules = rules("", true);
        let (by, other) = (token(7), token(8));
        let call =
            |number, arguments, by| entry(&rules, &Act::Call { number, tool: "t___a", arguments, by }).act;
        assert_eq!(call(3, "{}", &by), call(3, "{}", &by));
        assert!(call(3, "{}", &by).starts_with("call#0003#"));
        for another in [call(4, "{}", &by), call(3, "{\"a\":1}", &by), call(3, "{}", &other)] {
            assert_ne!(another, call(3, "{}", &by));
        }
        let record = Record::new(Some(place()), NOW);
        let again = Record { since: NOW.after(std::time::Duration::from_secs(1)), ..record.clone() };
        let answer = |record, text, end| entry(&rules, &Act::Answer { record, text, end }).act;
        let answered = End::Answered;
        let stands = answer(&record, Some("42"), &answered);
        assert_eq!(answer(&record, Some("42"), &answered), stands);
        for another in [
            answer(&record, Some("43"), &answered),
            answer(&record, None, &answered),
            answer(&record, Some("42"), &End::Declined(Declined::Asker)),
            // It was told that there will be no answer, and asked once more.
            answer(&again, Some("42"), &answered),
        ] {
            assert_ne!(another, stands);
        }
        let end = End::Answered;
        let not_posted =
            entry(&rules, &Act::NotPosted { record: &record, text: Some("42"), end: &end, why: "gone" });
        assert_eq!(not_posted.act.split_once('#').unwrap().1, stands.split_once('#').unwrap().1);
    }

    #[test]
    fn what_came_of_a_call_belongs_to_its_call() {
        let rules = rules("", true);
        let (by, arguments) = (token(7), r#"{"name":"a"}"#);
        let call = entry(&rules, &Act::Call { number: 1, tool: "t___a", arguments, by: &by });
        for (end, outcome, why) in [
            (ToolEnd::Answered { result: "{}".to_owned() }, "called", None),
            (ToolEnd::NotCalled { why: "refused".to_owned() }, "not called", Some("refused")),
            (ToolEnd::Unknown { why: "died".to_owned(), result: None }, "unknown", Some("died")),
        ] {
            let act = Act::Called { number: 1, tool: "t___a", arguments, by: &by, end: &end };
            let called = entry(&rules, &act);
            assert_eq!(called.act, call.act.replace("call#", "called#"));
            assert_eq!((text(&called, "outcome"), text(&called, "why")), (Some(outcome), why));
            assert_eq!(text(&called, "arguments"), None);
        }
    }

    #[test]
    fn a_text_is_left_out_where_the_rule_says_so_and_its_length_stays() {
        let record = Record::new(Some(place()), NOW);
        let end = End::Told { why: "gave_up".to_owned() };
        let act = Act::Answer { record: &record, text: Some("Sorry."), end: &end };
        let whole = entry(&rules("", true), &act);
        assert_eq!((text(&whole, "text"), text(&whole, "becomes")), (Some("Sorry."), Some("told")));
        let without = entry(&rules("", false), &act);
        assert_eq!((text(&without, "text"), text(&without, "why")), (None, Some("gave_up")));
        assert_eq!(without.fields["text_bytes"], Field::Number(6));
        assert_eq!(without.act, whole.act);
    }

    /// DynamoDB takes 400 KB.
    #[test]
    fn long_arguments_are_cut_after_they_were_redacted_and_the_entry_says_so() {
        let by = token(7);
        let long = format!(r#"{{"password":"hidden","text":"{}"}}"#, "\u{1f642}".repeat(20_000));
        let entry =
            entry(&rules("password", true), &Act::Call { number: 1, tool: "t", arguments: &long, by: &by });
        let kept = text(&entry, "arguments").unwrap();
        assert!(kept.len() <= MAX_ARGUMENT_BYTES && kept.len() > MAX_ARGUMENT_BYTES - 4);
        assert!(!kept.contains("hidden"));
        assert!(matches!(entry.fields["arguments_cut_from_bytes"], Field::Number(80_000..=81_000)));
    }
}
