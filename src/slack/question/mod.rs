//! What a message on the queue asks of the agent's side: a question, in which words and where; a stop; a deletion; the prompts of
//! a pane that was opened; a decision, by a click; nothing, as a click that says how good an answer was. It is worked out here and nowhere else, and nothing is ever posted in another place. All of it is pure.
//!
//! In reading order:
//! 1. This page: [`read`], and what it tells apart.
//! 2. `event`: messages, mentions, stops, deletions and opened panes; `interactive`: commands, buttons, menus and shortcuts.
//! 3. `said`: what a message says, with its attachments and blocks; `plain_text`: from Slack's mrkdwn to plain text.
//! 4. `files`: the files that came with a message.
//! 5. `standing`: the questions that stand in a conversation.
//! 6. `ts`: Slack's points in time; `title`: the title of a question.
//!
//! What is read here came through the ingress, so Slack has signed it. Fields of another shape than Slack's count as absent.

#![allow(
    clippy::indexing_slicing,
    reason = "what is read here is a `Value`, in which what is not there is null"
)]

mod event;
mod files;
mod interactive;
mod plain_text;
mod said;
mod standing;
mod title;
mod ts;

pub use files::{File, Files, MAX_FILES};
pub use standing::Standing;
pub use title::title;
pub use ts::SlackTs;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::approval::ApprovalButton;
use super::asker::{Asker, Home};
use super::feedback::Rating;
use super::payload::{self, Author, DmConversation, Kind, Malformed};
use super::scope::Scope;

/// What a message on the queue asks of the agent's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Somebody wants an answer.
    Question(Box<Question>),
    /// Somebody pressed stop in a thread.
    Stop(Box<Stop>),
    /// A message was deleted, and what was asked in it is withdrawn.
    Deletion {
        /// The id of the question that it asked, if it asked one.
        question_id: String,
    },
    /// Somebody opened the app's pane, where prompts may be suggested.
    Pane(Pane),
    /// Somebody decided whether a tool may be called.
    Click(Box<ApprovalClick>),
    /// Somebody said how good an answer was. Nobody wants an answer to that.
    Feedback(Feedback),
    /// Nobody wants an answer.
    Nothing,
}

/// The app's pane in Slack: its direct message with one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// The installation of the app, as in a question's [place](Place::tenant).
    pub tenant: Option<String>,
    /// The direct message.
    pub channel: String,
    /// The thread that was started in it, in an app with the older `assistant_view`; absent in any other.
    pub thread_ts: Option<String>,
}

/// A click on the buttons under an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// What the click says.
    pub rating: Rating,
    /// Where the message with the buttons stands.
    pub channel: Option<String>,
    /// The `ts` of that message.
    pub message_ts: Option<String>,
}

/// A click on the buttons of a message that asks whether a tool may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalClick {
    /// What the click says.
    pub click: ApprovalButton,
    /// Who clicked.
    pub user: String,
    /// The installation of the app, as in a question's [place](Place::tenant).
    pub tenant: Option<String>,
    /// Where the message with the buttons stands.
    pub channel: String,
    /// The `ts` of the message with the buttons.
    pub message_ts: Option<String>,
    /// Where whoever clicked can be told something alone.
    pub response_url: Option<String>,
}

/// What somebody wants an answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is known by. Of a message `<api_app_id>:<channel>:<ts>`, so that all events that tell of one message ask one
    /// question, and an edit asks the question of its message. Of everything else the id that the ingress recorded.
    pub id: String,
    /// What is asked, as plain text, at most 100 KB; empty if nothing but the app was mentioned. Of an upload without a text it is
    /// the names of the files.
    pub text: String,
    /// The files that came with it.
    pub files: Files,
    /// Where it was asked.
    pub place: Place,
    /// What the message says of who asked.
    pub asker: Asker,
    /// The app's own users, as the message names them; a command or a click names none.
    pub app_users: Vec<String>,
}

/// Where a question was asked, and where alone its answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The installation: the organisation, if the app is installed in all of it, or else the workspace.
    pub tenant: Option<String>,
    /// The app.
    pub api_app_id: Option<String>,
    /// The workspace of the installation.
    pub team_id: Option<String>,
    /// The channel or direct message.
    pub channel: String,
    /// The thread of the answer; absent if the answer goes into the channel itself.
    pub thread_ts: Option<String>,
    /// Who asked.
    pub user: Option<String>,
    /// When it was asked, by Slack's clock where Slack says so.
    pub asked_at: SlackTs,
    /// Where a command or an interaction may be answered for half an hour also if the app is no member of the channel.
    pub response_url: Option<String>,
}

/// A stop: whatever was asked in its thread until then is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The id that the ingress recorded.
    pub id: String,
    /// The thread, where it is said that it was stopped.
    pub place: Place,
    /// When it was pressed.
    pub stopped_at: SlackTs,
}

impl Place {
    /// What the last stop in the question's thread is known by: `stop:<app>:<channel>:<thread>`; `None` where there is no thread.
    pub fn stop_key(&self) -> Option<String> {
        let app = self.api_app_id.as_deref().unwrap_or_default();
        let parts =
            [app, &self.channel, self.thread_ts.as_deref()?].map(|part| payload::record_id(part.to_owned()));
        Some(payload::record_key(format!("stop:{}", parts.join(":"))))
    }

    /// What the person who asked is known by: `asker:<app>:<tenant>:<user>`; `None` if nobody is named.
    pub fn asker_key(&self) -> Option<String> {
        let user = self.user.as_deref()?;
        let [app, tenant] = [&self.api_app_id, &self.tenant].map(|id| id.as_deref().unwrap_or_default());
        let parts = [app, tenant, user].map(|part| payload::record_id(part.to_owned()));
        Some(payload::record_key(format!("asker:{}", parts.join(":"))))
    }

    /// What people who look for somebody know them by: `<tenant>:<user>`; `None` if nobody is named.
    pub fn person_key(&self) -> Option<String> {
        Some(person_key(self.tenant.as_deref().unwrap_or_default(), self.user.as_deref()?))
    }

    /// By what the use of the agent is counted in this scope: `<app>:<tenant>`, and for a person or a channel its id; `None` if the
    /// place does not say.
    pub fn counted_by(&self, scope: Scope) -> Option<String> {
        let installation = [&self.api_app_id, &self.tenant].map(|id| id.clone().unwrap_or_default());
        let of_scope = match scope {
            Scope::Person => Some(self.user.clone()?),
            Scope::Channel => Some(self.channel.clone()),
            Scope::Workspace => None,
        };
        let parts: Vec<String> = installation.into_iter().chain(of_scope).map(payload::record_id).collect();
        Some(payload::record_key(parts.join(":")))
    }

    /// The thread by which Slack knows the session that the question belongs to. Without a thread, as in a direct message with
    /// `DM_CONVERSATION=channel`, there is none, and no sign is shown.
    pub fn session_thread(&self) -> Option<String> {
        self.thread_ts.clone()
    }

    /// The place as the agent may see it: without the `response_url`, by which anybody could post.
    #[must_use]
    pub fn shown_to_the_agent(&self) -> Self {
        Self { response_url: None, ..self.clone() }
    }
}

/// What a person in an installation of the app is known by to people who look for them: `<tenant>:<user>`.
pub fn person_key(tenant: &str, user: &str) -> String {
    let [tenant, user] = [tenant, user].map(|id| payload::record_id(id.to_owned()));
    payload::record_key(format!("{tenant}:{user}"))
}

/// What a message asks. `attributes` are the queue message's, and `dm_conversation` is the ingress's setting.
///
/// # Errors
/// [`Malformed`], when the ingress did not put this body on the queue.
pub fn read(
    kind: Kind,
    body: &str,
    attributes: &BTreeMap<String, String>,
    dm_conversation: DmConversation,
) -> Result<Meaning, Malformed> {
    let json: Value = serde_json::from_str(body).map_err(|_| Malformed::Json)?;
    if !json.is_object() {
        return Err(Malformed::Json);
    }
    let context =
        Context { json: &json, attributes, tenant: payload::conversation(kind, body)?.team, dm_conversation };
    Ok(match kind {
        Kind::Event => event::asked(&context, payload::author(body)?),
        Kind::Command => interactive::of_command(&context),
        Kind::Interaction => interactive::of_interaction(&context),
    })
}

/// What a message of a conversation says, as plain text: its own text, attachments and blocks, and its files' names.
pub fn text_of(message: &Value) -> String {
    said::with_files(message)
}

/// The id of the question that a message asks. A part with a colon in it is hashed, so that no two have one id.
fn id_of_message(app: &str, channel: &str, ts: &str) -> String {
    let parts = [app, channel, ts].map(|part| payload::record_id(part.to_owned()));
    payload::record_key(parts.join(":"))
}

/// What is known of a message beside what it asks.
struct Context<'a> {
    json: &'a Value,
    attributes: &'a BTreeMap<String, String>,
    tenant: Option<String>,
    dm_conversation: DmConversation,
}

impl Context<'_> {
    /// The attribute with this name.
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The id that the ingress recorded.
    fn recorded_id(&self) -> String {
        payload::record_key(self.attribute("event_id").unwrap_or_default())
    }

    fn app(&self) -> Option<String> {
        self.attribute("api_app_id").or_else(|| text(&self.json["api_app_id"]))
    }

    /// When the ingress received it, as a `ts`.
    fn received_at(&self) -> SlackTs {
        let millis = self.attribute("received_at").and_then(|millis| millis.parse().ok());
        SlackTs::from_millis(millis.unwrap_or_default())
    }

    /// The id of the question that a message asks.
    fn question_id(&self, channel: &str, ts: &str) -> String {
        id_of_message(&self.app().unwrap_or_default(), channel, ts)
    }

    /// Who asked. `team` is the workspace that the asker is in, or its organisation, and whether that is certain; `is_shared` is whether
    /// another company is in the channel, if the message says.
    ///
    /// Of the ids in a message only some are certainly of the installation: in a shared channel, the envelope of an event may name
    /// the other company's workspace and organisation.
    fn asker(&self, author: Author, team: Option<(String, bool)>, is_shared: Option<bool>) -> Asker {
        let authorization = &self.json["authorizations"][0];
        let of_interaction = [&self.json["team"]["id"], &self.json["enterprise"]["id"]];
        let named =
            [&authorization["team_id"], &authorization["enterprise_id"]].into_iter().chain(of_interaction);
        let mut named: BTreeSet<String> = named.filter_map(text).collect();
        // Where an interaction names no workspace, its tenant is that of whoever clicked.
        let of_asker = text(&self.json["user"]["team_id"]);
        named.extend(self.tenant.iter().filter(|tenant| of_asker.as_ref() != Some(*tenant)).cloned());
        let installation: Vec<String> = named.into_iter().collect();
        let is_of_organisation = installation.iter().any(|id| payload::is_organisation(id));
        let home = match team {
            Some((team, is_certain)) if installation.contains(&team) => {
                if is_certain {
                    Home::Ours
                } else {
                    Home::Unknown
                }
            }
            // Another workspace may be of the same organisation, if there is one.
            Some(_) if is_shared == Some(true) && !is_of_organisation => Home::Another,
            None if is_shared == Some(false) => Home::Ours,
            _ => Home::Unknown,
        };
        Asker { is_bot: author == Author::OtherBot, home, installation }
    }

    fn place(
        &self,
        channel: String,
        thread_ts: Option<String>,
        user: Option<String>,
        asked_at: SlackTs,
    ) -> Place {
        Place {
            tenant: self.tenant.clone(),
            api_app_id: self.app(),
            team_id: self.attribute("team_id"),
            channel,
            thread_ts,
            user,
            asked_at,
            response_url: None,
        }
    }

    /// The thread of an answer. `thread_ts` is the one that the message is in, `ts` the message itself.
    fn thread(&self, is_direct: bool, thread_ts: Option<String>, ts: Option<String>) -> Option<String> {
        let starts_one = !is_direct || self.dm_conversation == DmConversation::Thread;
        thread_ts.or(if starts_one { ts } else { None })
    }
}

/// A string that is not empty.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whether a channel is a direct message between a person and the app.
fn is_direct(channel: &str, channel_type: Option<&str>) -> bool {
    channel_type == Some("im") || payload::is_direct(channel)
}

#[cfg(test)]
mod tests;
