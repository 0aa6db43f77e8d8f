//! Slack's types of interactions, each with a short payload of its shape, and to which conversation it belongs.
//! `docs/events.md` shows the table.

/// A type of interaction.
pub(super) struct InteractionType {
    pub(super) name: &'static str,
    /// The fields beside `type`, without the braces.
    pub(super) fields: &'static str,
    /// What stands behind the tenant in the id of its conversation; `None` if it asks for options and is not forwarded.
    pub(super) place: Option<&'static str>,
    /// The same in words, as on the page.
    pub(super) conversation: &'static str,
}

const fn row(
    name: &'static str,
    fields: &'static str,
    place: Option<&'static str>,
    conversation: &'static str,
) -> InteractionType {
    InteractionType { name, fields, place, conversation }
}

pub(super) const INTERACTION_TYPES: &[InteractionType] = &[
    row(
        "block_actions",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"container":{"type":"message","channel_id":"C0TEAM","message_ts":"1790000060.000200","thread_ts":"1790000000.000100"},"message":{"ts":"1790000060.000200","thread_ts":"1790000000.000100"},"actions":[{"action_id":"a"}]"#,
        Some("C0TEAM:1790000000.000100"),
        "of a message, its thread; in a modal or in the App Home, as for `view_submission`",
    ),
    row(
        "interactive_message",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"message_ts":"1790000060.000200","original_message":{"ts":"1790000060.000200","thread_ts":"1790000000.000100"},"actions":[{"name":"yes"}],"callback_id":"c""#,
        Some("C0TEAM:1790000000.000100"),
        "the message's thread; without `actions` it asks for options",
    ),
    row(
        "message_action",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"message_ts":"1790000060.000200","message":{"ts":"1790000060.000200","thread_ts":"1790000000.000100"},"callback_id":"c""#,
        Some("C0TEAM:1790000000.000100"),
        "the message's thread",
    ),
    row(
        "view_submission",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","view":{"id":"V1","team_id":"T0ACME","private_metadata":"{\"channel_id\":\"C0TEAM\",\"thread_ts\":\"1790000000.000100\"}"}"#,
        Some("C0TEAM:1790000000.000100"),
        "what its `private_metadata` says ([how](reference.md#modals)), or else the user",
    ),
    row(
        "view_closed",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","view":{"id":"V1","team_id":"T0ACME","private_metadata":""}"#,
        Some("U0ANNA"),
        "as for `view_submission`",
    ),
    row(
        "shortcut",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","callback_id":"c""#,
        Some("U0ANNA"),
        "the user",
    ),
    row(
        "workflow_step_edit",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","callback_id":"c","workflow_step":{"workflow_id":"Wf0FLOW","step_id":"s"}"#,
        Some("U0ANNA"),
        "the user",
    ),
    row(
        "dialog_submission",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"submission":{},"callback_id":"c","state":"""#,
        Some("C0TEAM"),
        "the channel",
    ),
    row(
        "dialog_cancellation",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"callback_id":"c","state":"""#,
        Some("C0TEAM"),
        "the channel",
    ),
    row(
        "block_suggestion",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"action_id":"a","value":"x""#,
        None,
        "none: it is answered with no options and not forwarded",
    ),
    row(
        "dialog_suggestion",
        r#""team":{"id":"T0ACME"},"user":{"id":"U0ANNA","team_id":"T0ACME"},"api_app_id":"A0APP","channel":{"id":"C0TEAM"},"name":"city","value":"x","callback_id":"c""#,
        None,
        "none: it is answered with no options and not forwarded",
    ),
];
