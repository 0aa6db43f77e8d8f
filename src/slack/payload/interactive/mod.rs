//! [Slash commands](https://docs.slack.dev/interactivity/implementing-slash-commands/) and
//! [interactions](https://docs.slack.dev/interactivity/handling-user-interaction/): what a person did in Slack, as a form.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::form::Form;
use super::json::Slice;
use super::{Author, Conversation, Delivery, Kind, Malformed, Payload, form, is_direct, object, record_id};

/// Reads a form. An interaction has one field, `payload`, which is JSON; any other form is a slash command.
pub(super) fn classify(body: &[u8]) -> Result<Payload, Malformed> {
    // This is JSON that an unsigned header calls a form. Its fields would be what somebody typed into a message.
    if body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed::Unsupported);
    }
    let mut form = form::parse(body)?;
    let hash = || hex::encode(Sha256::digest(body));
    if let Some(payload) = form.remove("payload") {
        return classify_interaction(payload, hash);
    }
    let field = |name: &str| field(&form, name);
    let delivery = Delivery {
        kind: Kind::Command,
        event_type: field("command").ok_or(Malformed::Unsupported)?,
        id: field("trigger_id").map_or_else(hash, record_id),
        message_key: None,
        team_id: field("team_id"),
        api_app_id: field("api_app_id"),
        author: Author::Person,
        conversation: command_conversation(&form),
        body: serde_json::to_string(&form).map_err(|_| Malformed::Json)?,
    };
    Ok(Payload::Delivery(Box::new(delivery)))
}

fn field(form: &Form, name: &str) -> Option<String> {
    form.get(name).filter(|value| !value.is_empty()).cloned()
}

fn command_conversation(form: &Form) -> Conversation {
    let field = |name: &str| field(form, name);
    Conversation {
        team: field("team_id").or_else(|| field("enterprise_id")).or_else(|| field("api_app_id")),
        channel: field("channel_id"),
        thread: field("thread_ts"),
    }
}

pub(super) fn queued_command_conversation(body: &str) -> Result<Conversation, Malformed> {
    Ok(command_conversation(&object(body)?))
}

pub(super) fn queued_interaction_conversation(body: &str) -> Result<Conversation, Malformed> {
    Ok(interaction_conversation(&object(body)?))
}

#[derive(Deserialize)]
struct Interaction<'a> {
    #[serde(borrow, default, rename = "type")]
    interaction_type: Slice<'a>,
    #[serde(borrow, default)]
    trigger_id: Slice<'a>,
    #[serde(borrow, default)]
    api_app_id: Slice<'a>,
    #[serde(borrow, default)]
    team: Slice<'a>,
    #[serde(borrow, default)]
    enterprise: Slice<'a>,
    #[serde(borrow, default)]
    user: Slice<'a>,
    #[serde(borrow, default)]
    channel: Slice<'a>,
    #[serde(borrow, default)]
    container: Slice<'a>,
    /// The message that the button or menu is part of.
    #[serde(borrow, default)]
    message: Slice<'a>,
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

fn classify_interaction(payload: String, hash: impl FnOnce() -> String) -> Result<Payload, Malformed> {
    let interaction: Interaction<'_> = object(&payload)?;
    let event_type = interaction.interaction_type.to_text().ok_or(Malformed::Unsupported)?;
    let api_app_id = interaction.api_app_id.to_text();
    if event_type == "block_suggestion" {
        return Ok(Payload::Suggestion { api_app_id });
    }
    let delivery = Delivery {
        kind: Kind::Interaction,
        event_type,
        id: interaction.trigger_id.to_text().map_or_else(hash, record_id),
        message_key: None,
        team_id: interaction.team.to_text(),
        api_app_id,
        author: Author::Person,
        conversation: interaction_conversation(&interaction),
        body: String::new(),
    };
    Ok(Payload::Delivery(Box::new(Delivery { body: payload, ..delivery })))
}

fn interaction_conversation(interaction: &Interaction<'_>) -> Conversation {
    let message: Message<'_> = interaction.message.object().unwrap_or_default();
    let container: Container<'_> = interaction.container.object().unwrap_or_default();
    let first = |slices: &[Slice<'_>]| slices.iter().copied().find_map(Slice::to_text);
    // A modal is in no channel, so its conversation is the user's.
    let channel = first(&[interaction.channel, container.channel_id, interaction.user]);
    Conversation {
        team: first(&[interaction.team, interaction.enterprise, interaction.api_app_id]),
        thread: first(&[message.thread_ts, container.thread_ts]).or_else(|| {
            let starts_thread = !channel.as_deref().is_some_and(is_direct);
            starts_thread.then(|| first(&[message.ts, container.message_ts])).flatten()
        }),
        channel,
    }
}

#[cfg(test)]
mod tests;
