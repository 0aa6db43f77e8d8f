//! The questions that stand in a conversation, as Slack shows it when it is read.

use serde_json::Value;

use super::event::WRITTEN;
use super::{Files, Place, SlackTs, id_of_message, said, text};
use crate::slack::payload;
use crate::slack::payload::event::author::SLACKBOT;

/// A question that stands in the conversation of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id, as the message on the queue has it.
    pub id: String,
    /// When its message was written.
    pub ts: SlackTs,
    /// Who asked.
    pub user: String,
    /// What is asked, as plain text.
    pub text: String,
    /// The files that came with it.
    pub files: Files,
}

impl Standing {
    /// Reads a message of the conversation that a question was asked in. `None` if it asks nothing, or belongs to another thread.
    ///
    /// In a direct message everything asks that a person writes; elsewhere what mentions the app, which is known by its `app_users`. A
    /// bot's message is none, even if it mentions the app: what Slack shows here does not say as much of it as the event does.
    pub fn read(message: &Value, place: &Place, app_users: &[String]) -> Option<Self> {
        let (ts, user) = (message["ts"].as_str()?, text(&message["user"])?);
        let is_by_an_app = message["bot_id"].is_string()
            || message["app_id"].is_string()
            || message["bot_profile"].is_object()
            || user == SLACKBOT;
        let is_written = message["subtype"].as_str().is_none_or(|subtype| WRITTEN.contains(&subtype));
        let is_hidden = message["hidden"].as_bool() == Some(true);
        let thread_ts = message["thread_ts"].as_str();
        let is_of_the_thread = match &place.thread_ts {
            Some(of) => thread_ts.unwrap_or(ts) == of,
            None => thread_ts.is_none_or(|of| of == ts),
        };
        let asks = payload::is_direct(&place.channel) || mentions(message, app_users);
        if is_by_an_app || !is_written || is_hidden || !is_of_the_thread || !asks {
            return None;
        }
        Some(Self {
            id: id_of_message(place.api_app_id.as_deref().unwrap_or_default(), &place.channel, ts),
            ts: SlackTs::parse(ts)?,
            user,
            text: said::by(message, app_users),
            files: Files::of(message),
        })
    }
}

/// Whether the text of a message mentions one of these users.
fn mentions(message: &Value, users: &[String]) -> bool {
    let text = message["text"].as_str().unwrap_or_default();
    users
        .iter()
        .any(|user| text.split(&format!("<@{user}")).skip(1).any(|behind| behind.starts_with(['>', '|'])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(channel: &str, thread_ts: Option<&str>) -> Place {
        Place {
            tenant: Some("T1".to_owned()),
            api_app_id: Some("A1".to_owned()),
            team_id: None,
            channel: channel.to_owned(),
            thread_ts: thread_ts.map(str::to_owned),
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse("100.000001").unwrap(),
            response_url: None,
        }
    }

    fn read(message: &Value, place: &Place) -> Option<Standing> {
        Standing::read(message, place, &["UAPP".to_owned()])
    }

    #[test]
    fn a_mention_in_the_thread_is_a_question_with_the_id_that_its_event_has() {
        let message = json!({
            "ts": "101.000000", "thread_ts": "100.000001", "user": "U2", "text": "<@UAPP> and &lt;then&gt;?",
            "files": [{ "id": "F1", "name": "a.pdf" }],
        });
        let standing = read(&message, &place("C1", Some("100.000001"))).unwrap();
        assert_eq!((standing.id.as_str(), standing.text.as_str()), ("A1:C1:101.000000", "and <then>?"));
        assert_eq!((standing.user.as_str(), standing.files.listed.len()), ("U2", 1));
    }

    #[test]
    fn what_asks_nothing_or_stands_elsewhere_is_none() {
        let good = json!({ "ts": "101.000000", "thread_ts": "100.000001", "user": "U2", "text": "so, <@UAPP|app>?" });
        let place = place("C1", Some("100.000001"));
        assert!(read(&good, &place).is_some());
        for (name, value) in [
            ("text", json!("no mention")),
            ("text", json!("<@UAPPLE> is another one")),
            ("user", json!(null)),
            ("bot_id", json!("B1")),
            ("app_id", json!("A1")),
            ("subtype", json!("channel_join")),
            ("hidden", json!(true)),
            ("thread_ts", json!("99.000000")),
            ("thread_ts", json!(null)),
            ("ts", json!("yesterday")),
        ] {
            let mut message = good.clone();
            message[name] = value;
            assert_eq!(read(&message, &place), None, "{message}");
        }
    }

    #[test]
    fn in_a_direct_message_everything_asks_that_a_person_writes_in_the_same_thread() {
        let direct = place("D1", None);
        let message = json!({ "ts": "101.000000", "user": "U1", "text": "and this?" });
        assert!(read(&message, &direct).is_some());
        let begins_a_thread =
            json!({ "ts": "101.000000", "thread_ts": "101.000000", "user": "U1", "text": "and this?" });
        assert!(read(&begins_a_thread, &direct).is_some());
        let of_a_thread =
            json!({ "ts": "101.000000", "thread_ts": "90.000000", "user": "U1", "text": "there" });
        assert_eq!(read(&of_a_thread, &direct), None);
        let first = json!({ "ts": "100.000001", "user": "U1", "text": "the first of the thread" });
        assert!(read(&first, &place("D1", Some("100.000001"))).is_some());
    }
}
