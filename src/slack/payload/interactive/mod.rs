//! [Slash commands](https://docs.slack.dev/interactivity/implementing-slash-commands/) and
//! [interactions](https://docs.slack.dev/interactivity/handling-user-interaction/): what a person did in Slack, as a form.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::form::Form;
use super::json::Slice;
use super::{
    Author, Conversation, Delivery, Fields, Kind, Malformed, Payload, Place, first, form, is_direct,
    is_organisation, object,
};

/// Reads a form. An interaction has one field, `payload`, which is JSON; any other form is a slash command.
pub(super) fn classify(body: &[u8]) -> Result<Payload, Malformed> {
    // This is JSON that an unsigned header calls a form. Its fields would be what somebody typed into a message.
    if body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed::Unsupported);
    }
    let mut form = form::parse(body)?;
    // A `trigger_id` does not tell two of them apart: Slack has sent different clicks with the same one.
    let id = hex::encode(Sha256::digest(body));
    if let Some(payload) = form.remove("payload") {
        return classify_interaction(payload, id);
    }
    let field = |name: &str| field(&form, name);
    let Place { conversation, direct_message } = command_place(&form, Some(id.clone()));
    let delivery = Delivery {
        kind: Kind::Command,
        event_type: field("command").ok_or(Malformed::Unsupported)?,
        subtype: None,
        id,
        message_key: None,
        team_id: field("team_id").filter(|team| !is_organisation(team)),
        api_app_id: field("api_app_id"),
        author: Author::Person,
        conversation,
        direct_message,
        is_control: false,
        body: serde_json::to_string(&form).map_err(|_| Malformed::Json)?,
    };
    Ok(Payload::Delivery(Box::new(delivery)))
}

/// All fields of a form.
pub(super) fn fields(body: &[u8]) -> Option<Fields> {
    let mut form = form::parse(body).ok()?;
    match form.remove("payload") {
        Some(payload) => {
            serde_json::from_str(&payload).ok().filter(Value::is_object).map(Fields::Interaction)
        }
        None => serde_json::to_value(&form).ok().map(Fields::Command),
    }
}

fn field(form: &Form, name: &str) -> Option<String> {
    form.get(name).filter(|value| !value.is_empty()).cloned()
}

fn command_place(form: &Form, id: Option<String>) -> Place {
    let field = |name: &str| field(form, name);
    let [team, organisation] = [field("team_id"), field("enterprise_id")];
    let is_enterprise = field("is_enterprise_install").as_deref() == Some("true");
    let tenant = if is_enterprise { organisation.or(team) } else { team.or(organisation) };
    let tenant = tenant.or_else(|| field("api_app_id"));
    match field("channel_id") {
        Some(channel) => {
            let is_direct = is_direct(&channel);
            Place::in_channel(tenant, channel, is_direct, field("thread_ts"), None)
        }
        None => Place::of_subject(tenant, field("user_id").or(id)),
    }
}

pub(super) fn queued_command_conversation(body: &str) -> Result<Conversation, Malformed> {
    Ok(command_place(&object(body)?, None).conversation)
}

pub(super) fn queued_interaction_conversation(body: &str) -> Result<Conversation, Malformed> {
    let interaction: Interaction<'_> = object(body)?;
    let view = interaction.view();
    Ok(interaction.place(&view, None).conversation)
}

#[derive(Deserialize)]
struct Interaction<'a> {
    #[serde(borrow, default, rename = "type")]
    interaction_type: Slice<'a>,
    #[serde(borrow, default)]
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    team: Slice<'a>,
    #[serde(borrow, default)]
    enterprise: Slice<'a>,
    #[serde(borrow, default)]
    is_enterprise_install: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    container: Slice<'a>,
    /// The message that the button or menu is part of.
    #[serde(borrow, default)]
    message: Slice<'a>,
    /// In an `interactive_message`: the same message, which is not there if only one person saw it, and its `ts`, which is.
    #[serde(borrow, default)]
    original_message: Slice<'a>,
    #[serde(borrow, default)]
    message_ts: Slice<'a>,
    /// The modal or the Home tab that it happened in.
    #[serde(borrow, default)]
    view: Slice<'a>,
    /// What was pressed or chosen. An `interactive_message` that has a `name` in its place asks for a menu's options.
    #[serde(borrow, default)]
    actions: Slice<'a>,
    #[serde(borrow, default)]
    name: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct Team<'a> {
    /// The organisation that the workspace belongs to.
    #[serde(borrow, default)]
    enterprise_id: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct User<'a> {
    #[serde(borrow, default)]
    team_id: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    ts: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct Container<'a> {
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    #[serde(borrow, default)]
    message_ts: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct View<'a> {
    #[serde(borrow, default)]
    team_id: Slice<'a>,
    /// The workspace of the installation, also where the person is another company's.
    #[serde(borrow, default)]
    app_installed_team_id: Slice<'a>,
    /// What the app wrote into the view when it opened it.
    #[serde(borrow, default)]
    private_metadata: Slice<'a>,
}

/// What an app writes into the `private_metadata` of a modal, so that it belongs to the conversation that it was opened from.
/// `docs/reference.md` has it as part of the contract.
#[derive(Deserialize)]
struct OpenedFrom<'a> {
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
    #[serde(borrow, default)]
    message_ts: Slice<'a>,
    #[serde(borrow, default)]
    ts: Slice<'a>,
}

fn classify_interaction(payload: String, id: String) -> Result<Payload, Malformed> {
    let interaction: Interaction<'_> = object(&payload)?;
    let event_type = interaction.interaction_type.to_text().ok_or(Malformed::Unsupported)?;
    let api_app_id = interaction.api_app_id.to_text();
    if interaction.wants_options(&event_type) {
        return Ok(Payload::Suggestion { api_app_id });
    }
    let view = interaction.view();
    let Place { conversation, direct_message } = interaction.place(&view, Some(id.clone()));
    let delivery = Delivery {
        kind: Kind::Interaction,
        event_type,
        subtype: None,
        id,
        message_key: None,
        team_id: interaction.teams(&view).find(|team| !is_organisation(team)),
        api_app_id,
        author: Author::Person,
        conversation,
        direct_message,
        is_control: false,
        body: String::new(),
    };
    Ok(Payload::Delivery(Box::new(Delivery { body: payload, ..delivery })))
}

impl<'a> Interaction<'a> {
    fn view(&self) -> View<'a> {
        self.view.object().unwrap_or_default()
    }

    /// Whether a menu asks for its options and waits for them.
    fn wants_options(&self, event_type: &str) -> bool {
        match event_type {
            "block_suggestion" | "dialog_suggestion" => true,
            "interactive_message" => self.name.is_some() && !self.actions.is_some(),
            _ => false,
        }
    }

    /// The workspaces that it may belong to, the likeliest first. If the app is installed in a whole organisation, then `team`
    /// is `null` and only the person has a workspace.
    fn teams(&self, view: &View<'a>) -> impl Iterator<Item = String> {
        let user: User<'_> = self.user.object().unwrap_or_default();
        [view.app_installed_team_id, self.team, user.team_id, view.team_id]
            .into_iter()
            .filter_map(Slice::to_text)
    }

    fn tenant(&self, view: &View<'a>) -> Option<String> {
        let of_team: Team<'_> = self.team.object().unwrap_or_default();
        let [team, organisation] =
            [self.teams(view).next(), first(&[self.enterprise, of_team.enterprise_id])];
        let is_enterprise = self.is_enterprise_install.is_true();
        let tenant = if is_enterprise { organisation.or(team) } else { team.or(organisation) };
        tenant.or_else(|| self.api_app_id.to_text())
    }

    fn place(&self, view: &View<'a>, id: Option<String>) -> Place {
        let tenant = self.tenant(view);
        let container: Container<'_> = self.container.object().unwrap_or_default();
        let [message, original]: [Message<'_>; 2] =
            [self.message, self.original_message].map(|message| message.object().unwrap_or_default());
        if let Some(channel) = first(&[self.channel, container.channel_id]) {
            let is_direct = is_direct(&channel);
            let thread = first(&[message.thread_ts, container.thread_ts, original.thread_ts]);
            let starts = first(&[message.ts, container.message_ts, self.message_ts, original.ts]);
            return Place::in_channel(tenant, channel, is_direct, thread, starts);
        }
        let metadata = view.private_metadata.string();
        let opened_from = metadata.as_deref().and_then(|metadata| object::<OpenedFrom<'_>>(metadata).ok());
        let channel = opened_from.as_ref().and_then(|from| first(&[from.channel_id, from.channel]));
        if let (Some(from), Some(channel)) = (opened_from, channel) {
            let is_direct = is_direct(&channel);
            let starts = first(&[from.message_ts, from.ts]);
            return Place::in_channel(tenant, channel, is_direct, from.thread_ts.to_text(), starts);
        }
        // A modal is in no channel. If its app did not write from where it was opened, it is the user's.
        Place::of_subject(tenant, self.user.to_text().or(id))
    }
}

#[cfg(test)]
mod tests;
