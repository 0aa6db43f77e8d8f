//! Asks the agent a question, and waits for the answer in Slack: the whole way, from the front door to the thread.
//!
//! ```text
//! a message that says that it is a test ─▶ a signed app_mention of it, to the request URL ─▶ … ─▶ the answer in its thread
//! ```
//!
//! The bot posts the message itself, so that the question has a place in Slack. Slack tells an app of no mention in the app's own
//! message, so the event of the mention is made here, in the name of the person who is given. The answer is looked for in the thread,
//! and, if the table is known, in the question's work record, which also says when a person was told that there will be none.

use aws_sdk_dynamodb::Client;
use serde_json::{Value, json};
use slack_ingress::slack::answer_text;
use slack_ingress::slack::asker::AskerKind;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};
use slack_ingress::work::dynamodb::DynamoDbWork;
use slack_ingress::work::record::{Declined, Record, State};
use slack_ingress::work::{RecordKey, WorkStore};
use std::time::Duration;
use tokio::time::Instant;

use super::report::Check;
use super::slack::{NotDone, Reply, SlackApi};
use super::token::Bot;
use crate::slack::{AppSecrets, AttemptResult, JSON, Post, Slack};
use crate::trace;

pub(super) const CHECK: &str = "question";

/// Slack lets an internal app read a thread fifty times a minute.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER_SHOWN: usize = 80;

/// What stands in the channel for everybody to read.
const MESSAGE: &str = ":stethoscope: *This is a test.* `slack-dev doctor` has asked the app a question here, to see whether its answer \
                       arrives in this thread. Nobody has to do anything.";
/// What the agent is asked.
const QUESTION: &str = "This is a test of the connection, by slack-dev doctor. Please answer with the one word pong, and use no tools.";

/// What is asked, of whom.
pub(super) struct Question<'a> {
    pub(super) url: &'a str,
    pub(super) secrets: &'a [SigningSecret],
    pub(super) slack: &'a SlackApi,
    pub(super) bot: &'a Bot,
    /// The channel, and the person in whose name it is asked.
    pub(super) channel: &'a str,
    pub(super) user: &'a str,
    /// The table with the work records, if it is known.
    pub(super) table: Option<(Client, String)>,
    pub(super) limit: Duration,
}

const OVER_LIMIT: &str = "The thread says whether to ask again later or tomorrow; see docs/agent.md, \"What may be used in a day\"";
const MAY_ASK: &str = "Ask as a member of the workspace, or see docs/agent.md, \"Who may ask\"";

/// The message that the question is about.
struct Asked {
    app_id: String,
    team_id: String,
    channel: String,
    ts: String,
}

impl Question<'_> {
    pub(super) async fn ask(&self) -> Check {
        match self.try_to_ask().await {
            Ok(check) | Err(check) => check,
        }
    }

    async fn try_to_ask(&self) -> Result<Check, Check> {
        let posted = self.slack.post(self.channel, MESSAGE).await.map_err(|why| not_posted(&why))?;
        let asked = self.asked(&posted)?;
        let start = Instant::now();
        self.send(&asked).await?;
        self.wait(&asked, start).await
    }

    fn asked(&self, posted: &Reply) -> Result<Asked, Check> {
        let app_id = posted.text("message/app_id").or(posted.text("message/bot_profile/app_id"));
        let team_id = posted.text("message/team").or(self.bot.team_id.as_deref());
        let (Some(app_id), Some(team_id), Some(ts)) = (app_id, team_id, posted.text("ts")) else {
            let found = "Slack has posted the message, and did not say of which app and in which workspace";
            return Err(Check::fail(CHECK, found, "Mention the bot in the channel yourself"));
        };
        let channel = posted.text("channel").unwrap_or(self.channel).to_owned();
        Ok(Asked { app_id: app_id.to_owned(), team_id: team_id.to_owned(), channel, ts: ts.to_owned() })
    }

    /// Posts the event to the request URL, as Slack does.
    async fn send(&self, asked: &Asked) -> Result<(), Check> {
        let look_at_the_endpoint = "See the checks of the endpoint and of the signature";
        let slack = Slack::new(self.url, AppSecrets::new(self.secrets.to_vec()))
            .map_err(|error| Check::fail(CHECK, crate::with_causes(error.as_ref()), look_at_the_endpoint))?;
        let body = mention(asked, self.bot, self.user).to_string();
        let attempt = slack.post(Post { content_type: JSON, body: body.as_bytes(), retry: None }).await;
        if attempt.is_acknowledged() {
            return Ok(());
        }
        let why = match attempt.result {
            AttemptResult::Answered(answer) => format!("it answered {}", answer.status),
            AttemptResult::Failed { why, .. } => why,
        };
        Err(Check::fail(CHECK, format!("the endpoint did not take it: {why}"), look_at_the_endpoint))
    }

    /// Waits until the answer stands.
    async fn wait(&self, asked: &Asked, start: Instant) -> Result<Check, Check> {
        let mut unread = None;
        loop {
            let mut pause = PAUSE;
            let answer = match self.slack.replies(&asked.channel, &asked.ts).await {
                Ok(thread) => answer_in(&thread, &asked.ts),
                Err(NotDone::RateLimited(after)) => {
                    pause = after;
                    None
                }
                Err(why) => {
                    unread = Some(why.words());
                    None
                }
            };
            let took = start.elapsed().as_secs_f64();
            let record = match self.record(asked).await {
                Ok(record) => record,
                Err(why) => return Err(unread_record(answer.as_deref(), took, &why)),
            };
            match (answer, record) {
                (_, Some(Record { state: State::Told { why, .. }, .. })) => {
                    let found = format!("no answer: the asker was told so after {took:.1} s ({why})");
                    return Err(Check::fail(CHECK, found, self.look_at_the_trace(asked)));
                }
                (_, Some(Record { declined: Some(Declined::OverLimit), .. })) => {
                    let found = format!(
                        "no answer: too little is left of what may be used today (after {took:.1} s)"
                    );
                    return Err(Check::fail(CHECK, found, OVER_LIMIT));
                }
                (_, Some(Record { declined: Some(Declined::Asker), .. })) => {
                    let found = format!(
                        "no answer: whoever --as names may not ask, or is not known to Slack (after {took:.1} s)"
                    );
                    return Err(Check::fail(CHECK, found, MAY_ASK));
                }
                (Some(answer), None) if says_may_not_ask(&answer) => {
                    return Err(Check::fail(
                        CHECK,
                        format!("no answer, after {took:.1} s: {answer}"),
                        MAY_ASK,
                    ));
                }
                (Some(answer), Some(Record { state: State::Answered { .. }, .. }) | None) => {
                    return Ok(Check::ok(
                        CHECK,
                        format!("answered in its thread after {took:.1} s: {answer}"),
                    ));
                }
                (None, Some(Record { state: State::Answered { .. }, .. })) if unread.is_some() => {
                    let found = format!(
                        "answered after {took:.1} s by its work record; the thread cannot be read: {}",
                        unread.unwrap_or_default()
                    );
                    return Ok(Check::ok(CHECK, found));
                }
                (_, None) if self.table.is_none() && unread.is_some() => {
                    let found =
                        format!("asked, and the thread cannot be read: {}", unread.unwrap_or_default());
                    let todo = "Look into the thread yourself; with DEDUP_STORE the doctor reads the work record instead";
                    return Err(Check::warn(CHECK, found, todo));
                }
                (_, record) if start.elapsed() + pause > self.limit => {
                    return Err(self.unanswered(asked, record.as_ref()));
                }
                _ => tokio::time::sleep(pause).await,
            }
        }
    }

    fn unanswered(&self, asked: &Asked, record: Option<&Record>) -> Check {
        let state = match record {
            Some(record) => trace::state(record, SystemClock.now()),
            None if self.table.is_some() => {
                "the dispatcher has not received it: look at its log, and at the queue".to_owned()
            }
            None => "with DEDUP_STORE the doctor would say where it is".to_owned(),
        };
        let found = format!("no answer within {} s: {state}", self.limit.as_secs());
        Check::fail(CHECK, found, self.look_at_the_trace(asked))
    }

    fn look_at_the_trace(&self, Asked { app_id, channel, ts, .. }: &Asked) -> String {
        let base = self.bot.url.as_deref().unwrap_or("https://app.slack.com/");
        let link = format!("{base}archives/{channel}/p{}", ts.replace('.', ""));
        format!("See slack-dev trace {link} --app {app_id}, and docs/operate.md, Unanswered")
    }

    /// The question's work record; absent if there is none, or the table is not known.
    async fn record(&self, asked: &Asked) -> Result<Option<Record>, String> {
        let Some((client, table)) = self.table.clone() else { return Ok(None) };
        let key = RecordKey::of_question(&format!("{}:{}:{}", asked.app_id, asked.channel, asked.ts));
        let read = DynamoDbWork::new(client, table).read(&key, SystemClock.now()).await;
        read.map(|seen| seen.record).map_err(|error| crate::with_causes(&error))
    }
}

/// Without its record nobody can tell an answer from words that there will be none.
fn unread_record(answer: Option<&str>, took: f64, why: &str) -> Check {
    let stands = answer.map_or_else(
        || "asked".to_owned(),
        |answer| format!("after {took:.1} s there is in its thread: {answer}"),
    );
    let todo =
        "You need dynamodb:GetItem on the table of DEDUP_STORE. Look into the thread yourself meanwhile";
    Check::warn(CHECK, format!("{stands}; its work record cannot be read: {why}"), todo)
}

/// Whether the text is what somebody reads who may not ask.
fn says_may_not_ask(text: &str) -> bool {
    let kinds = [Some(AskerKind::Guest), Some(AskerKind::External), None];
    kinds.into_iter().filter_map(answer_text::turned_away).any(|refusal| refusal == text.trim())
}

/// What Slack sends when a person mentions the app in this message.
fn mention(asked: &Asked, bot: &Bot, user: &str) -> Value {
    let enterprise_id = bot.enterprise_id.as_deref();
    let team_id = (!bot.is_enterprise_install).then_some(asked.team_id.as_str());
    let text = format!("<@{}> {QUESTION}", bot.user_id);
    json!({
        "type": "event_callback",
        "token": "none",
        "team_id": asked.team_id,
        "enterprise_id": enterprise_id,
        "api_app_id": asked.app_id,
        "event": {
            "type": "app_mention",
            "user": user,
            "text": text,
            "ts": asked.ts,
            "event_ts": asked.ts,
            "channel": asked.channel,
        },
        "event_id": format!("EvDOCTOR{:016X}", fastrand::u64(..)),
        "event_time": SystemClock.now().as_secs(),
        "authorizations": [{
            "enterprise_id": enterprise_id,
            "team_id": team_id,
            "user_id": bot.user_id,
            "is_bot": true,
            "is_enterprise_install": bot.is_enterprise_install,
        }],
    })
}

fn not_posted(why: &NotDone) -> Check {
    let todo = match why {
        NotDone::Error(error) if error == "not_in_channel" => "Invite the bot into the channel: /invite @…",
        NotDone::Error(error) if error == "channel_not_found" => {
            "Give the channel's id (C…), as the channel's details show it; the bot must be a member of a private one"
        }
        NotDone::Error(_) => "See the checks of the bot token",
        NotDone::RateLimited(_) | NotDone::NoAnswer(_) => "Try again",
    };
    Check::fail(CHECK, format!("its message could not be posted: {}", why.words()), todo)
}

/// The text of the app's own message in the thread that is not the first one; `None` if there is none yet.
fn answer_in(thread: &Reply, root: &str) -> Option<String> {
    let messages = thread.body.get("messages")?.as_array()?;
    let text = |message: &Value, name: &str| {
        message.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let first = messages.iter().find(|message| text(message, "ts").as_deref() == Some(root))?;
    let is_own = |message: &&Value| {
        ["app_id", "bot_id"]
            .iter()
            .any(|name| text(message, name).is_some_and(|id| text(first, name) == Some(id)))
    };
    let answer =
        messages.iter().filter(|message| text(message, "ts").as_deref() != Some(root)).find(is_own)?;
    let answer = text(answer, "text")?;
    let shown: String = answer.chars().take(LONGEST_ANSWER_SHOWN).collect();
    Some(if shown == answer { shown } else { shown + "…" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slack_ingress::slack::payload::{DmConversation, Kind};
    use slack_ingress::slack::question::{Meaning, read};
    use std::collections::BTreeMap;

    /// What the functions make of the mention, for a bot of a workspace or of all of an organisation.
    fn question(is_enterprise_install: bool) -> slack_ingress::slack::question::Question {
        let bot = Bot {
            user_id: "U0BOT".to_owned(),
            team_id: Some("T0TEAM".to_owned()),
            enterprise_id: Some("E0ORG".to_owned()),
            is_enterprise_install,
            url: None,
        };
        let asked = Asked {
            app_id: "A0APP".to_owned(),
            team_id: "T0TEAM".to_owned(),
            channel: "C0CHANNEL".to_owned(),
            ts: "1515449522.000016".to_owned(),
        };
        let body = mention(&asked, &bot, "U0PERSON").to_string();
        match read(Kind::Event, &body, &BTreeMap::new(), DmConversation::Thread) {
            Ok(Meaning::Question(question)) => *question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_mention_is_a_persons_question_in_the_messages_own_thread() {
        let question = question(false);
        assert_eq!(
            (question.id.as_str(), question.text.as_str()),
            ("A0APP:C0CHANNEL:1515449522.000016", QUESTION)
        );
        let place = question.place;
        assert_eq!(place.user.as_deref(), Some("U0PERSON"));
        assert_eq!(place.thread_ts.as_deref(), Some("1515449522.000016"));
        assert_eq!(place.tenant.as_deref(), Some("T0TEAM"));
    }

    #[test]
    fn in_an_organisation_it_is_asked_of_the_organisations_installation() {
        assert_eq!(question(true).place.tenant.as_deref(), Some("E0ORG"));
    }
}
