//! Commands, buttons, menus and shortcuts.

use serde_json::Value;

use super::{
    ApprovalClick, Context, Feedback, Files, Meaning, Place, Question, SlackTs, is_direct, said, text,
};
use crate::slack::payload::Author;
use crate::slack::{approval, feedback};

/// A slash command: what was typed behind its name.
pub(super) fn of_command(context: &Context<'_>) -> Meaning {
    let fields = context.json;
    let Some(channel) = text(&fields["channel_id"]) else { return Meaning::Nothing };
    // A command is no message, so it starts no thread.
    let place =
        context.place(channel, text(&fields["thread_ts"]), text(&fields["user_id"]), context.received_at());
    let typed = fields["text"].as_str().unwrap_or_default();
    let asks = said::by(&serde_json::json!({ "text": typed }), &[]);
    question(context, asks, Files::default(), place, text(&fields["team_id"]))
}

/// A button, a menu, another choice; or a shortcut on a message.
pub(super) fn of_interaction(context: &Context<'_>) -> Meaning {
    let interaction = context.json;
    if let Some(feedback) = given_feedback(interaction) {
        return Meaning::Feedback(feedback);
    }
    if let Some(decision) = made_decision(context) {
        return Meaning::Click(Box::new(decision));
    }
    let asks = match interaction["type"].as_str() {
        Some("block_actions" | "interactive_message") => chosen(&interaction["actions"]),
        Some("message_action") => Some(said::by(&interaction["message"], &[])),
        _ => None,
    };
    // A modal and a global shortcut belong to no channel, so there is no place for an answer.
    let channel =
        text(&interaction["channel"]["id"]).or_else(|| text(&interaction["container"]["channel_id"]));
    let (Some(asks), Some(channel)) = (asks, channel) else { return Meaning::Nothing };
    let (message, container) = (&interaction["message"], &interaction["container"]);
    // A message that only one person sees cannot start a thread.
    let is_ephemeral = container["is_ephemeral"].as_bool() == Some(true);
    let ts = text(&message["ts"]).or_else(|| text(&container["message_ts"])).filter(|_| !is_ephemeral);
    let thread_ts = text(&message["thread_ts"]).or_else(|| text(&container["thread_ts"]));
    let thread_ts = context.thread(is_direct(&channel, None), thread_ts, ts);
    let action_ts = interaction["actions"][0]["action_ts"].as_str().or(interaction["action_ts"].as_str());
    let asked_at = action_ts.and_then(SlackTs::parse).unwrap_or_else(|| context.received_at());
    let place = context.place(channel, thread_ts, text(&interaction["user"]["id"]), asked_at);
    // A shortcut on a message asks about it and its files. Who presses a button does not ask about what stands beside it.
    let is_about_message = interaction["type"].as_str() == Some("message_action");
    let files = if is_about_message { Files::of(message) } else { Files::default() };
    question(context, asks, files, place, text(&interaction["user"]["team_id"]))
}

/// The click on the buttons under an answer, if this is one. Slack sends each click by itself.
fn given_feedback(interaction: &Value) -> Option<Feedback> {
    if interaction["type"].as_str() != Some("block_actions") {
        return None;
    }
    let rating = interaction["actions"].as_array()?.iter().find_map(feedback::rating)?;
    let container = &interaction["container"];
    let channel = text(&interaction["channel"]["id"]).or_else(|| text(&container["channel_id"]));
    let message_ts = text(&container["message_ts"]).or_else(|| text(&interaction["message"]["ts"]));
    Some(Feedback { rating, channel, message_ts })
}

/// The click that decides whether a tool may be called, if this is one.
fn made_decision(context: &Context<'_>) -> Option<ApprovalClick> {
    let interaction = context.json;
    if interaction["type"].as_str() != Some("block_actions") {
        return None;
    }
    let click = interaction["actions"].as_array()?.iter().find_map(approval::click)?;
    let container = &interaction["container"];
    // Our buttons stand in a channel. A modal has none, and no message of ours is in one.
    let channel = text(&interaction["channel"]["id"]).or_else(|| text(&container["channel_id"]))?;
    let message_ts = text(&container["message_ts"]);
    Some(ApprovalClick {
        click,
        user: text(&interaction["user"]["id"])?,
        tenant: context.tenant.clone(),
        channel,
        message_ts: message_ts.or_else(|| text(&interaction["message"]["ts"])),
        response_url: text(&interaction["response_url"]),
    })
}

/// `team` is the workspace of whoever asks. Slack does not say here whether the channel is shared.
fn question(
    context: &Context<'_>,
    text: String,
    files: Files,
    place: Place,
    team: Option<String>,
) -> Meaning {
    // Whoever posts there sees to it that it is Slack's.
    let response_url = self::text(&context.json["response_url"]);
    let place = Place { response_url, ..place };
    let asker = context.asker(Author::Person, team.map(|team| (team, true)), None);
    let (id, app_users) = (context.recorded_id(), Vec::new());
    Meaning::Question(Box::new(Question { id, text, files, place, asker, app_users }))
}

/// What was chosen; `None` if nothing was that asks for an answer.
fn chosen(actions: &Value) -> Option<String> {
    let chosen: Vec<String> = actions.as_array()?.iter().filter_map(of_action).collect();
    (!chosen.is_empty()).then(|| said::within_limit(&chosen.join(", ")))
}

/// What an element was set to. Feedback on an answer, also by buttons that are not ours, asks for none, and neither does a button that only opens a link.
fn of_action(action: &Value) -> Option<String> {
    if matches!(action["type"].as_str(), Some("feedback_buttons" | "icon_button" | "workflow_button")) {
        return None;
    }
    let value = |of: &Value| {
        text(&of["value"]).or_else(|| of.as_str().filter(|id| !id.is_empty()).map(str::to_owned))
    };
    let one = ["selected_option", "selected_user", "selected_channel", "selected_conversation"]
        .iter()
        .find_map(|name| value(&action[*name]));
    let many = [
        "selected_options",
        "selected_users",
        "selected_channels",
        "selected_conversations",
        "selected_files",
    ]
    .iter()
    .find_map(|name| {
        let all: Vec<String> = action[*name].as_array()?.iter().filter_map(value).collect();
        (!all.is_empty()).then(|| all.join(", "))
    });
    let moment = ["selected_date", "selected_time"].iter().find_map(|name| text(&action[*name]));
    let seconds = action["selected_date_time"].as_u64().map(|seconds| seconds.to_string());
    let rich = (!action["rich_text_value"].is_null()).then(|| said::rich_text(&action["rich_text_value"]));
    let typed =
        text(&action["value"]).or_else(|| action["value"].as_f64().map(|_| action["value"].to_string()));
    one.or(many).or(moment).or(seconds).or(rich.filter(|text| !text.is_empty())).or(typed)
}
