//! To which conversation an event belongs.

use serde::Deserialize;

use super::super::json::Slice;
use super::{Event, Inner, Place, first, is_direct};

/// What `link_shared` has in the place of a channel while somebody is still writing the message.
const COMPOSER: &str = "COMPOSER";

#[derive(Default, Deserialize)]
struct AssistantThread<'a> {
    #[serde(borrow, default)]
    user_id: Slice<'a>,
    #[serde(borrow, default)]
    channel_id: Slice<'a>,
    #[serde(borrow, default)]
    thread_ts: Slice<'a>,
}

#[derive(Default, Deserialize)]
struct WorkflowStep<'a> {
    #[serde(borrow, default)]
    workflow_step_execute_id: Slice<'a>,
}

/// The place of an event: the channel and thread, or else its subject, or else its own `id`.
pub(super) fn place(event: &Event<'_>, tenant: Option<String>, id: Option<String>) -> Place {
    let inner = event.message.object().or_else(|| event.previous_message.object());
    // In a message that says that something was pinned, `item` is what was pinned; the message has a place of its own.
    let item = || if event.is_message() { None } else { event.item.object() };
    let inner: Inner<'_> = inner.or_else(item).unwrap_or_default();
    let assistant: AssistantThread<'_> = event.assistant_thread.object().unwrap_or_default();

    let channel =
        [event.channel, event.channel_id, inner.channel, assistant.channel_id, event.new_channel_id];
    let Some(channel) = first(&channel).filter(|channel| channel != COMPOSER) else {
        return Place::of_subject(tenant, subject(event, &inner, &assistant).or(id));
    };
    let is_direct = event.channel_type.text().as_deref() == Some("im") || is_direct(&channel);
    let thread = first(&[event.thread_ts, inner.thread_ts, assistant.thread_ts]);
    // In `channel_history_changed` and its like, `ts` is the time of the change and no message's.
    let is_about_all_of_it = event.event_type.text().is_some_and(|name| name.ends_with("_history_changed"));
    let starts = if is_about_all_of_it {
        None
    } else {
        first(&[inner.ts, event.deleted_ts, event.ts, event.message_ts])
    };
    Place::in_channel(tenant, channel, is_direct, thread, starts)
}

/// The id of what an event in no channel is about.
fn subject(event: &Event<'_>, inner: &Inner<'_>, assistant: &AssistantThread<'_>) -> Option<String> {
    let step: WorkflowStep<'_> = event.workflow_step.object().unwrap_or_default();
    // In other events `app_id` is the app that did it. If they were ordered by that, they would all wait for each other.
    let app = match event.event_type.text().as_deref() {
        Some("app_installed" | "app_deleted" | "app_uninstalled_team") => event.app_id,
        _ => Slice::default(),
    };
    first(&[
        event.function_execution_id,
        step.workflow_step_execute_id,
        event.workflow_id,
        event.call_id,
        event.file_id,
        event.file,
        inner.file,
        event.subteam_id,
        event.subteam,
        event.app_request,
        event.invite_request,
        event.invite,
        app,
        event.user,
        event.user_id,
        assistant.user_id,
    ])
}
