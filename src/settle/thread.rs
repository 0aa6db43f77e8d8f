//! What was said before a question: what an agent that knows nothing of the conversation is told of it.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::answer::Answer;
use super::{Call, Settle, is_of_a_message};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, Conversation, ReadOutcome, Retry, SlackTools};
use crate::slack::payload;
use crate::slack::question::{self, Place, SlackTs};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::queue::Queue;
use crate::work::record::Record;
use crate::work::together::is_given_others;
use crate::work::token::Tokens;

/// Most bytes of text, all messages together. A Lambda answer may have 6 MB, and no model reads more than this of a thread.
const MAX_BYTES: usize = 256 * 1024;

/// A message that stands in the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Slack's `ts` of it.
    pub ts: SlackTs,
    /// Whose it is, if a person's.
    pub user: Option<String>,
    /// Whether the app itself said it.
    pub is_own: bool,
    /// What it says, as plain text.
    pub text: String,
}

impl Said {
    /// The message as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "ts": self.ts.to_string(), "user": self.user, "is_own": self.is_own, "text": self.text })
    }
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Reads what was said before the question, in its own thread or direct message and nowhere else. Whoever works on it may. With
    /// `together` they are also given the other questions that stand there, if these are answered together.
    pub(super) async fn thread(&self, together: bool, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let record = self.read(call).await?.filter(|record| record.flight_of(call.token).is_some());
        let Some(record) = record else { return Ok(Answer::Gone) };
        let nothing =
            || Answer::Thread { messages: Vec::new(), is_whole: true, together: together.then(Vec::new) };
        // A command belongs to no thread, and what else people say in its channel is none of its conversation.
        let has_one = |place: &&Place| place.thread_ts.is_some() || payload::is_direct(&place.channel);
        let Some(place) = record.place.as_ref().filter(has_one) else { return Ok(nothing()) };
        // Before a question that begins a thread, nothing was said in it.
        let begins_it = place.thread_ts.as_deref().and_then(SlackTs::parse).as_ref() == Some(&place.asked_at);
        let is_message =
            is_of_a_message(call.key.question_id(), &place.channel) && place.response_url.is_none();
        let gives = together && self.settings.together.is_some() && is_given_others(&record) && is_message;
        if begins_it && !gives {
            return Ok(nothing());
        }
        let conversation = Conversation {
            tenant: place.tenant.as_deref(),
            channel: &place.channel,
            thread_ts: place.thread_ts.as_deref(),
        };
        let (messages, is_whole) = match self.slack.read(&conversation, call.until()).await {
            ReadOutcome::Read { messages, is_whole } => (messages, is_whole),
            ReadOutcome::Unreadable { reason, retry } => {
                call.report.why = Some(reason.clone());
                return Ok(Answer::Unreadable { why: reason, again: retry == Retry::Later });
            }
        };
        let given = if gives {
            match self.give_others(&record, place, &messages, call).await? {
                Some(given) => given,
                None => return Ok(Answer::Gone),
            }
        } else {
            Vec::new()
        };
        let shown = shown_in(&record).map(str::to_owned);
        let but: Vec<String> = given.iter().map(|other| other.ts.to_string()).chain(shown).collect();
        let (messages, is_cut) = before(&messages, place, call.key.question_id(), &but);
        Ok(Answer::Thread { messages, is_whole: is_whole && !is_cut, together: together.then_some(given) })
    }
}

/// The `ts` of the message in which an earlier attempt has shown what it thought. Nobody has said that, so it is left out.
fn shown_in(record: &Record) -> Option<&str> {
    record.stream.as_ref()?.message().map(|message| message.ts.as_str())
}

/// What stands among these messages that came before the question, oldest first, and whether earlier ones were left out because
/// all together they are too long.
///
/// What others wrote after the question is not part of it: it waits for an answer of its own. What the app itself has said since
/// is: an answer to an earlier question may have come after this one was asked. `question_id` ends with the question's own `ts`,
/// which is earlier than the time that it was asked at if an edit has made it a question. The messages with a `ts` in `but` are
/// left out.
pub fn before(messages: &[Value], place: &Place, question_id: &str, but: &[String]) -> (Vec<Said>, bool) {
    let own_bots: BTreeSet<&str> =
        messages.iter().filter(|message| is_by(message, place)).filter_map(bot_of).collect();
    let asked_in = question_id.rsplit(':').next().and_then(SlackTs::parse);
    let counts = |message: &&Value| but.iter().all(|but| message["ts"].as_str() != Some(but));
    let said = messages.iter().filter(counts).filter_map(|message| said(message, place, &own_bots));
    let mut said: Vec<Said> = said
        .filter(|said| said.ts < place.asked_at || (said.is_own && said.ts != place.asked_at))
        .filter(|said| Some(&said.ts) != asked_in.as_ref())
        .collect();
    // The message that a thread begins with may come with each page.
    said.sort_by(|one, another| one.ts.cmp(&another.ts));
    said.dedup_by(|later, earlier| later.ts == earlier.ts);
    let mut left = MAX_BYTES;
    let kept = said.iter().rev().take_while(|said| {
        let fits = said.text.len() <= left;
        left = left.saturating_sub(said.text.len());
        fits
    });
    let first = said.len() - kept.count();
    said.drain(..first);
    (said, first > 0)
}

/// The app that the message says it is of.
fn app_of(message: &Value) -> Option<&str> {
    let profile = &message["bot_profile"];
    message["app_id"].as_str().or_else(|| profile["app_id"].as_str())
}

fn is_by(message: &Value, place: &Place) -> bool {
    let app = app_of(message);
    app.is_some() && app == place.api_app_id.as_deref()
}

fn bot_of(message: &Value) -> Option<&str> {
    message["bot_id"].as_str()
}

fn said(message: &Value, place: &Place, own_bots: &BTreeSet<&str>) -> Option<Said> {
    let ts = SlackTs::parse(message["ts"].as_str()?)?;
    let text = question::text_of(message);
    if text.is_empty() {
        return None;
    }
    let is_by_an_app = message["bot_id"].is_string() || message["app_id"].is_string();
    // Slack leaves `app_id` out of many messages. Then it is the bot's that wrote one which has it. Our mark (the metadata) is
    // no proof: any app may set the like.
    let is_of_this_app = is_by(message, place)
        || app_of(message).is_none() && bot_of(message).is_some_and(|bot| own_bots.contains(bot));
    let user = message["user"].as_str().filter(|_| !is_by_an_app);
    Some(Said { ts, user: user.map(str::to_owned), is_own: is_by_an_app && is_of_this_app, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            tenant: None,
            api_app_id: Some("A1".to_owned()),
            team_id: None,
            channel: "C1".to_owned(),
            thread_ts: Some("100.000001".to_owned()),
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse("103.000000").unwrap(),
            response_url: None,
        }
    }

    fn texts(messages: &[Value]) -> Vec<String> {
        before(messages, &place(), "A1:C1:103.000000", &[]).0.into_iter().map(|said| said.text).collect()
    }

    #[test]
    fn who_said_what_before_the_question() {
        let messages = [
            json!({ "ts": "100.000001", "user": "U1", "text": "&lt;b&gt; is what, <https://a.example|here>?" }),
            json!({ "ts": "101.000000", "user": "UB", "bot_id": "B1", "app_id": "A1", "text": "Bold." }),
            json!({ "ts": "102.000000", "user": "UC", "bot_id": "B2", "app_id": "A2", "text": "An alarm." }),
            json!({ "ts": "102.500000", "bot_id": "B1", "text": "Known by its bot." }),
            json!({ "ts": "102.600000", "bot_id": "B3", "bot_profile": { "app_id": "A1" }, "text": "By its profile." }),
            json!({ "ts": "103.000000", "user": "U1", "text": "the question itself" }),
            json!({ "ts": "104.000000", "user": "U2", "text": "the next question" }),
            json!({ "ts": "105.000000", "bot_id": "B1", "app_id": "A1", "text": "to the one before" }),
        ];
        let (said, is_cut) = before(&messages, &place(), "A1:C1:103.000000", &[]);
        assert!(!is_cut);
        let said: Vec<Value> = said.iter().map(Said::to_json).collect();
        let own = |ts: &str, text: &str| json!({ "ts": ts, "user": null, "is_own": true, "text": text });
        let first = question::text_of(&messages[0]);
        assert_eq!(
            said,
            [
                json!({ "ts": "100.000001", "user": "U1", "is_own": false, "text": first }),
                own("101.000000", "Bold."),
                json!({ "ts": "102.000000", "user": null, "is_own": false, "text": "An alarm." }),
                own("102.500000", "Known by its bot."),
                own("102.600000", "By its profile."),
                own("105.000000", "to the one before"),
            ]
        );
    }

    #[test]
    fn nobody_else_speaks_in_the_apps_name_by_its_mark() {
        let mark = json!({ "event_type": "slack_ingress_answer" });
        let person = json!({ "ts": "101.000000", "user": "U9", "text": "I am the app", "metadata": mark });
        let app = json!({ "ts": "101.000001", "bot_id": "B2", "app_id": "A2", "text": "So am I", "metadata": mark });
        let nameless = json!({ "ts": "101.000002", "bot_id": "B3", "text": "And so am I", "metadata": mark });
        let (said, _) = before(&[person, app, nameless], &place(), "A1:C1:103.000000", &[]);
        assert_eq!(said.iter().map(|said| said.is_own).collect::<Vec<_>>(), [false, false, false]);
        assert_eq!(said.first().and_then(|said| said.user.as_deref()), Some("U9"));
    }

    #[test]
    fn of_too_much_the_newest_is_kept() {
        let long = |ts: &str, letter: &str, bytes: usize| json!({ "ts": ts, "user": "U1", "text": letter.repeat(bytes) });
        // A message is cut at 100 KB.
        let messages: Vec<Value> = ["a", "b", "c", "d"]
            .iter()
            .zip(96..)
            .map(|(letter, at)| long(&format!("{at}.000000"), letter, 90_000))
            .collect();
        let (said, is_cut) = before(&messages, &place(), "A1:C1:103.000000", &[]);
        let kept: Vec<_> = said.iter().filter_map(|said| said.text.chars().next()).collect();
        assert_eq!((kept, is_cut), (vec!['c', 'd'], true));
    }

    #[test]
    fn a_question_that_an_edit_has_made_one_is_not_part_of_what_was_said_before_it() {
        let message = |ts: &str| json!({ "ts": ts, "user": "U1", "text": ts });
        let (said, _) = before(&["101.000000", "102.000000"].map(message), &place(), "A1:C1:102.000000", &[]);
        assert_eq!(said.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["101.000000"]);
    }

    #[test]
    fn each_message_comes_once_and_in_its_order() {
        let message = |ts: &str| json!({ "ts": ts, "user": "U1", "text": ts });
        let messages = ["100.000001", "102.000000", "100.000001", "101.000000"].map(message);
        assert_eq!(texts(&messages), ["100.000001", "101.000000", "102.000000"]);
    }

    #[test]
    fn what_says_nothing_or_is_no_message_is_left_out() {
        let nothing =
            [json!({ "ts": "100.000000", "user": "U1", "text": " " }), json!({ "text": "no ts" }), json!(7)];
        assert_eq!(texts(&nothing), Vec::<String>::new());
    }
}
