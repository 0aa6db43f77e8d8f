//! Slack by the tools of an [AgentCore
//! Gateway](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway.html), which holds the bot's token and calls
//! Slack's Web API.

use aws_config::SdkConfig;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::installations::Installations;
use super::prompts::Prompts;
use super::search::{Page, has_more, next_cursor, oldest, page};
use super::slack_answer::{code, refusal};
use super::slack_files::{self, SlackFiles};
use super::tool_call::{Called, HEADERS, is_complete, meaning, request};
use super::{
    Conversation, EVENT_TYPE, FileOutcome, FindOutcome, MembersOutcome, Pane, PersonOutcome, Post,
    PostOutcome, ReadOutcome, Retry, Search, SessionStatus, SlackTools, StatusOutcome, StatusPlace,
    response_url,
};
use crate::aws::signed_call::{self, SignedCalls, TimeLimits};
use crate::slack::asker::Person;
use crate::slack::question::File;
use crate::slack::token_secrets::NO_TOKEN_FOR_TENANT;
use crate::slack::{feedback, payload};
use crate::time::clock::Moment;

/// Where a `response_url` of Slack's leads to.
pub const SLACK_HOOKS: &str = "https://hooks.slack.com";

/// How long a call may take; so may a search or a reading with all of its pages, and a status that is set in two ways. Slack
/// answers within a few seconds.
pub const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_millis(2500), call: Duration::from_secs(14) };

/// The service that the Gateway's calls are signed for.
pub(super) const SERVICE: &str = "bedrock-agentcore";

/// How many pages of messages a search looks at.
const MAX_PAGES: usize = 20;
/// How many messages a page has, of which Slack recommends no more than 200. One has a few kilobytes.
const PAGE: usize = 100;
/// How many messages a page has after one was too long to be read.
const SHORT_PAGE: usize = 10;

/// What is shown in an app that is no agent while it works. The status of a thread is shown behind the app's name.
const WORKING: &str = "is working on it…";

/// The errors by which Slack says that the app is not declared an agent, or that the workspace knows no agents.
const NO_AGENT: [&str; 2] = ["not_authorized", "unknown_method"];

/// Slack, by a Gateway that has these tools under a target for each installation of the app: `post_to_slack` (`chat.postMessage`), `read_thread`
/// (`conversations.replies`), `read_channel` (`conversations.history`), `set_session_status` (`agents.sessions.setStatus`),
/// `set_thread_status` (`assistant.threads.setStatus`), `set_thread_title` (`assistant.threads.setTitle`),
/// `set_suggested_prompts` (`assistant.threads.setSuggestedPrompts`), `read_file_info` (`files.info`), `read_user` (`users.info`), `list_group_members` (`usergroups.users.list`), and for [streams](super::stream) `start_stream`,
/// `append_to_stream`, `stop_stream` (`chat.startStream` and so on), `update_message` (`chat.update`) and `delete_message`
/// (`chat.delete`).
#[derive(Debug)]
pub struct AgentCoreGateway {
    calls: SignedCalls,
    url: String,
    installations: Installations,
    hooks_base: String,
    /// `None` if there is no token for files.
    files: Option<SlackFiles>,
    /// The targets of which Slack has said that the app is no agent there. It is not asked again as long as the process lives.
    /// One workspace may know agents, and another one not.
    no_agents: Mutex<BTreeSet<String>>,
}

impl AgentCoreGateway {
    /// The Gateway at `url`, whose tools are called `<target>___<operation>`, with the target of the installation that is acted
    /// for. It is in the region of the configuration, and called with its credentials. `hooks_base` is [`SLACK_HOOKS`], but for
    /// tests.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(
        aws: &SdkConfig,
        url: &str,
        installations: Installations,
        hooks_base: &str,
    ) -> Result<Self, &'static str> {
        Ok(Self {
            calls: SignedCalls::new(aws, TIME_LIMITS)?,
            url: url.to_owned(),
            installations,
            hooks_base: hooks_base.trim_end_matches('/').to_owned(),
            files: None,
            no_agents: Mutex::default(),
        })
    }

    /// The same, which also reads files.
    #[must_use]
    pub fn with_files(self, files: Option<SlackFiles>) -> Self {
        Self { files, ..self }
    }

    /// The same with other limits than [`TIME_LIMITS`].
    #[must_use]
    pub fn with_time_limits(self, limits: TimeLimits) -> Self {
        Self { calls: self.calls.with_limits(limits), ..self }
    }

    /// When a call is over that may last until then.
    pub(super) fn deadline(&self, until: Moment) -> Moment {
        self.calls.deadline(until)
    }

    pub(super) async fn call(
        &self,
        tenant: Option<&str>,
        operation: &str,
        arguments: &Map<String, Value>,
        until: Moment,
    ) -> Called {
        let Some(target) = self.installations.target(tenant) else {
            // Its token may be put while the question waits.
            let reason = NO_TOKEN_FOR_TENANT.to_owned();
            return Called::NotDone { reason, retry: Retry::AfterChange, retry_after: None };
        };
        let body = request(&format!("{target}___{operation}"), arguments);
        let post =
            signed_call::Post { url: &self.url, service: Some(SERVICE), headers: &HEADERS, body: &body };
        meaning(self.calls.post(post, until, is_complete).await)
    }

    /// What it comes to when a status is set; Slack's error by its own name.
    async fn set(
        &self,
        tenant: Option<&str>,
        operation: &str,
        arguments: &Map<String, Value>,
        until: Moment,
    ) -> Result<(), Failure> {
        done(self.call(tenant, operation, arguments, until).await).map(|_| ())
    }

    /// What Slack says of a file by its id. Of a file of Slack Connect an event has nothing else.
    async fn file_info(
        &self,
        tenant: Option<&str>,
        id: &str,
        until: Moment,
    ) -> Result<File, (String, Retry)> {
        let arguments = arguments([("file", Some(id.into()))]);
        let answer = done(self.call(tenant, "read_file_info", &arguments, until).await)
            .map_err(|Failure { reason, retry, .. }| (reason, retry))?;
        let file = answer.get("file").and_then(File::read).filter(|file| file.id == id);
        file.ok_or_else(|| ("gateway_unreadable".to_owned(), Retry::AfterChange))
    }

    /// Whether Slack has said that the app is no agent in this installation.
    fn is_no_agent(&self, tenant: Option<&str>) -> bool {
        let targets = self.no_agents.lock().unwrap_or_else(PoisonError::into_inner);
        self.installations.target(tenant).is_some_and(|target| targets.contains(target))
    }

    fn note_no_agent(&self, tenant: Option<&str>) {
        if let Some(target) = self.installations.target(tenant) {
            self.no_agents.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned());
        }
    }
}

impl SlackTools for AgentCoreGateway {
    async fn post(&self, post: &Post<'_>, until: Moment) -> PostOutcome {
        let metadata = json!({ "event_type": EVENT_TYPE, "event_payload": { "nonce": post.nonce } });
        let arguments = arguments([
            ("channel", Some(post.channel.into())),
            ("thread_ts", post.thread_ts.map(Value::from)),
            ("text", Some(post.text.into())),
            (
                "blocks",
                post.blocks.cloned().or_else(|| {
                    post.feedback_for.map(|question_id| feedback::blocks(post.text, question_id))
                }),
            ),
            ("metadata", Some(metadata)),
            // Slack would fetch a page that the text has a link to, and tell its server so what somebody made the agent write.
            ("unfurl_links", Some(false.into())),
            ("unfurl_media", Some(false.into())),
        ]);
        match done(self.call(post.tenant, "post_to_slack", &arguments, self.calls.deadline(until)).await) {
            Ok(answer) => {
                PostOutcome::Posted { ts: answer.get("ts").and_then(Value::as_str).map(str::to_owned) }
            }
            Err(Failure { is_certain: false, reason, .. }) => PostOutcome::Unknown { reason },
            Err(Failure { reason, retry, retry_after, .. }) => {
                PostOutcome::Refused { reason, retry, retry_after }
            }
        }
    }

    async fn find(&self, search: &Search<'_>, until: Moment) -> FindOutcome {
        let cannot_ask = |reason: &str, retry| FindOutcome::CannotAsk {
            reason: reason.to_owned(),
            retry,
            retry_after: None,
        };
        let until = self.calls.deadline(until);
        let operation = if search.thread_ts.is_some() { "read_thread" } else { "read_channel" };
        let (mut limit, mut cursor) = (PAGE, None);
        for _ in 0..MAX_PAGES {
            let arguments = arguments([
                ("channel", Some(search.channel.into())),
                ("ts", search.thread_ts.map(Value::from)),
                ("oldest", Some(oldest(search.since).into())),
                ("cursor", cursor.clone()),
                ("limit", Some(limit.into())),
                ("include_all_metadata", Some(true.into())),
            ]);
            match done(self.call(search.tenant, operation, &arguments, until).await) {
                Ok(answer) => match page(&answer, search.nonce) {
                    Page::Found(ts) => return FindOutcome::Found { ts },
                    Page::Last => return FindOutcome::NotFound,
                    Page::More(next) => cursor = Some(Value::from(next)),
                    Page::Unreadable => return cannot_ask("gateway_unreadable", Retry::Later),
                },
                Err(Failure { reason, .. }) if reason == signed_call::ANSWER_TOO_LONG && limit == PAGE => {
                    limit = SHORT_PAGE;
                }
                Err(Failure { reason, retry, retry_after, .. }) => {
                    return FindOutcome::CannotAsk { reason, retry, retry_after };
                }
            }
        }
        cannot_ask("too_many_messages", Retry::Never)
    }

    async fn read(&self, conversation: &Conversation<'_>, until: Moment) -> ReadOutcome {
        let until = self.calls.deadline(until);
        let unreadable =
            |reason: &str| ReadOutcome::Unreadable { reason: reason.to_owned(), retry: Retry::Never };
        let operation = if conversation.thread_ts.is_some() { "read_thread" } else { "read_channel" };
        let (mut messages, mut limit, mut cursor) = (Vec::new(), PAGE, None);
        for _ in 0..MAX_PAGES {
            let arguments = arguments([
                ("channel", Some(conversation.channel.into())),
                ("ts", conversation.thread_ts.map(Value::from)),
                ("cursor", cursor.clone()),
                ("limit", Some(limit.into())),
                ("include_all_metadata", Some(true.into())),
            ]);
            let mut answer = match done(self.call(conversation.tenant, operation, &arguments, until).await) {
                Ok(answer) => answer,
                Err(Failure { reason, .. }) if reason == signed_call::ANSWER_TOO_LONG && limit == PAGE => {
                    limit = SHORT_PAGE;
                    continue;
                }
                Err(Failure { reason, retry, .. }) => return ReadOutcome::Unreadable { reason, retry },
            };
            if let Some(Value::Array(page)) = answer.get_mut("messages").map(Value::take) {
                messages.extend(page);
            }
            let is_whole = !has_more(&answer);
            if conversation.thread_ts.is_none() {
                // A channel comes newest first, and one page of it is enough.
                messages.reverse();
                return ReadOutcome::Read { messages, is_whole };
            }
            // A thread comes oldest first, and its end is what matters: a part of it is nothing.
            match next_cursor(&answer) {
                _ if is_whole => return ReadOutcome::Read { messages, is_whole },
                Some(next) => cursor = Some(Value::from(next)),
                None => return unreadable("gateway_unreadable"),
            }
        }
        unreadable("too_many_messages")
    }

    async fn set_status(
        &self,
        place: &StatusPlace<'_>,
        status: SessionStatus,
        until: Moment,
    ) -> StatusOutcome {
        let thread = match status {
            SessionStatus::Processing => WORKING,
            SessionStatus::Active | SessionStatus::Suspended => "",
        };
        let arguments = |name, value: Option<&str>, title: Option<&str>| {
            arguments([
                ("channel_id", Some(place.channel.into())),
                ("thread_ts", Some(place.thread_ts.into())),
                (name, value.map(Value::from)),
                ("title", title.map(Value::from)),
            ])
        };
        let until = self.calls.deadline(until);
        let mut outcome = Ok(());
        if !self.is_no_agent(place.tenant) {
            let arguments = arguments("status", Some(status.as_str()), place.title);
            outcome = self.set(place.tenant, "set_session_status", &arguments, until).await;
            let is_no_agent = |failure: &Failure| NO_AGENT.iter().any(|error| failure.reason == code(error));
            if outcome.as_ref().is_err_and(is_no_agent) {
                self.note_no_agent(place.tenant);
            }
        }
        if self.is_no_agent(place.tenant) {
            outcome = self
                .set(place.tenant, "set_thread_status", &arguments("status", Some(thread), None), until)
                .await;
            // Only a direct message has threads with titles there.
            if let Some(title) = place.title.filter(|_| payload::is_direct(place.channel)) {
                let titled = self
                    .set(place.tenant, "set_thread_title", &arguments("title", Some(title), None), until)
                    .await;
                if let (Ok(()), Err(Failure { reason, .. })) = (&outcome, titled) {
                    tracing::warn!(reason, "a thread has no title");
                }
            }
        }
        match outcome {
            Ok(()) => StatusOutcome::Shown,
            Err(Failure { reason, .. }) => StatusOutcome::NotShown { reason },
        }
    }

    async fn suggest(&self, pane: &Pane<'_>, prompts: &Prompts, until: Moment) -> StatusOutcome {
        let arguments = arguments([
            ("channel_id", Some(pane.channel.into())),
            ("thread_ts", pane.thread_ts.map(Value::from)),
            ("title", prompts.title.as_deref().map(Value::from)),
            ("prompts", Some(prompts.to_json())),
        ]);
        match self.set(pane.tenant, "set_suggested_prompts", &arguments, self.calls.deadline(until)).await {
            Ok(()) => StatusOutcome::Shown,
            Err(Failure { reason, .. }) => StatusOutcome::NotShown { reason },
        }
    }

    async fn person(&self, tenant: Option<&str>, user: &str, until: Moment) -> PersonOutcome {
        let arguments = arguments([("user", Some(user.into()))]);
        match done(self.call(tenant, "read_user", &arguments, self.calls.deadline(until)).await) {
            Ok(answer) => {
                let person = answer.get("user").and_then(Value::as_object);
                match person.map(Person::read) {
                    Some(person) => PersonOutcome::Known(person),
                    None => PersonOutcome::Unknown {
                        reason: "gateway_unreadable".to_owned(),
                        retry: Retry::AfterChange,
                    },
                }
            }
            // Slack knows nobody of that id, or does not let the app see them.
            Err(Failure { reason, .. })
                if ["slack_user_not_found", "slack_user_not_visible"].contains(&reason.as_str()) =>
            {
                PersonOutcome::Unknown { reason, retry: Retry::Never }
            }
            Err(Failure { reason, retry, .. }) => PersonOutcome::Unknown { reason, retry },
        }
    }

    async fn members(
        &self,
        tenant: Option<&str>,
        team: Option<&str>,
        group: &str,
        until: Moment,
    ) -> MembersOutcome {
        let team = team.filter(|_| tenant.is_some_and(payload::is_organisation));
        let arguments = arguments([("usergroup", Some(group.into())), ("team_id", team.map(Value::from))]);
        match done(self.call(tenant, "list_group_members", &arguments, self.calls.deadline(until)).await) {
            Ok(answer) => match answer.get("users").and_then(Value::as_array) {
                Some(users) => {
                    MembersOutcome::Known(users.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                None => MembersOutcome::Unknown {
                    reason: "gateway_unreadable".to_owned(),
                    retry: Retry::AfterChange,
                },
            },
            // There is no such group, so nobody is in it.
            Err(Failure { reason, .. }) if reason == code("no_such_subteam") => {
                MembersOutcome::Known(Vec::new())
            }
            Err(Failure { reason, retry, .. }) => MembersOutcome::Unknown { reason, retry },
        }
    }

    async fn read_file(&self, tenant: Option<&str>, file: &File, until: Moment) -> FileOutcome {
        let Some(files) = &self.files else {
            return slack_files::unreadable("files_are_off", Retry::AfterChange);
        };
        let is_too_large = |file: &File| file.size.is_some_and(|size| size > slack_files::MAX_BYTES as u64);
        let mut file = file.clone();
        if !is_too_large(&file) && file.url.is_none() {
            file = match self.file_info(tenant, &file.id, self.calls.deadline(until)).await {
                Ok(file) => file,
                Err((reason, retry)) => return slack_files::unreadable(&reason, retry),
            };
        }
        if is_too_large(&file) {
            return slack_files::unreadable("too_large", Retry::Never);
        }
        files.read(&file, tenant, &self.installations, until).await
    }

    async fn respond(&self, response_url: &str, text: &str, until: Moment) -> PostOutcome {
        if !response_url::is_slacks(response_url, &self.hooks_base) {
            let reason = "response_url_not_slacks".to_owned();
            return PostOutcome::Refused { reason, retry: Retry::Never, retry_after: None };
        }
        let body = response_url::request(text);
        let headers = [("content-type", "application/json; charset=utf-8")];
        let post = signed_call::Post { url: response_url, service: None, headers: &headers, body: &body };
        response_url::meaning(self.calls.post(post, self.calls.deadline(until), |_, _| false).await)
    }
}

/// The arguments of a tool, without those that are absent.
pub(super) fn arguments<const N: usize>(arguments: [(&str, Option<Value>); N]) -> Map<String, Value> {
    arguments.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Why Slack has not done what it was asked for, or may not have.
pub(super) struct Failure {
    /// Whether it was certainly not done.
    pub(super) is_certain: bool,
    pub(super) reason: String,
    pub(super) retry: Retry,
    pub(super) retry_after: Option<Duration>,
}

/// Slack's answer with `ok: true`, or what another outcome means.
pub(super) fn done(called: Called) -> Result<Map<String, Value>, Failure> {
    match called {
        Called::Answered { answer, .. } if answer.get("ok") == Some(&Value::Bool(true)) => Ok(answer),
        Called::Answered { answer, retry_after } => {
            let error = answer.get("error").and_then(Value::as_str);
            // An `ok: false` that does not say why says nothing.
            let retry = error.and_then(refusal);
            Err(Failure {
                is_certain: retry.is_some(),
                reason: code(error.unwrap_or_default()),
                retry: retry.unwrap_or(Retry::Later),
                retry_after,
            })
        }
        Called::NotDone { reason, retry, retry_after } => {
            Err(Failure { is_certain: true, reason, retry, retry_after })
        }
        Called::Unknown { reason } => {
            Err(Failure { is_certain: false, reason, retry: Retry::Later, retry_after: None })
        }
    }
}
