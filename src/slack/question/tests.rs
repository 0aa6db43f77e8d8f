use super::*;
use proptest::prelude::*;
use serde_json::json;

const TS: &str = "1795554000.000100";

fn attributes() -> BTreeMap<String, String> {
    [("event_id", "Ev1"), ("team_id", "T1"), ("api_app_id", "A1"), ("received_at", "1795554001500")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn asked_in(kind: Kind, body: &Value, dm_conversation: DmConversation) -> Meaning {
    read(kind, &body.to_string(), &attributes(), dm_conversation).unwrap()
}

fn asked(kind: Kind, body: &Value) -> Meaning {
    asked_in(kind, body, DmConversation::Channel)
}

fn envelope(event: &Value) -> Value {
    json!({
        "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1", "event": event,
        "authorizations": [{ "team_id": "T1", "user_id": "UBOT", "is_bot": true }]
    })
}

fn event(event: &Value) -> Meaning {
    asked(Kind::Event, &envelope(event))
}

fn mention() -> Value {
    json!({
        "type": "app_mention", "user": "U1", "channel": "C1", "ts": TS, "event_ts": TS,
        "text": "<@UBOT> how far are we?"
    })
}

/// The JSON with these fields, or without those that are null.
fn with(mut json: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
    }
    json
}

fn question(asked: Meaning) -> Question {
    match asked {
        Meaning::Question(question) => *question,
        other => panic!("no question: {other:?}"),
    }
}

#[test]
fn a_mention_asks_in_its_thread() {
    let expected = Question {
        id: format!("A1:C1:{TS}"),
        text: "how far are we?".to_owned(),
        files: Files::default(),
        place: Place {
            tenant: Some("T1".to_owned()),
            api_app_id: Some("A1".to_owned()),
            team_id: Some("T1".to_owned()),
            channel: "C1".to_owned(),
            thread_ts: Some(TS.to_owned()),
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse(TS).unwrap(),
            response_url: None,
        },
        // The mention does not say whether its channel is shared, nor whose workspace its author is in.
        asker: Asker { is_bot: false, home: Home::Unknown, installation: vec!["T1".to_owned()] },
        app_users: vec!["UBOT".to_owned()],
    };
    assert_eq!(question(event(&mention())), expected);
    let in_thread = question(event(&with(mention(), &json!({ "thread_ts": "1.000200" }))));
    assert_eq!(in_thread.place.thread_ts.as_deref(), Some("1.000200"));
}

#[test]
fn all_events_of_one_message_ask_one_question_and_an_edit_asks_it_later() {
    let asked = question(event(&mention()));
    let as_message =
        question(event(&with(mention(), &json!({ "type": "message", "channel_type": "channel" }))));
    assert_eq!(as_message, asked);
    let edited = json!({ "edited": { "user": "U1", "ts": "1795554090.000000" } });
    let edited = question(event(&with(mention(), &edited)));
    assert_eq!(edited.id, asked.id, "answered before, it is not answered again");
    assert_eq!(edited.place.asked_at.to_string(), "1795554090.000000");
}

#[test]
fn a_direct_message_is_answered_where_the_setting_says() {
    let direct = with(mention(), &json!({ "type": "message", "channel": "D1", "channel_type": "im" }));
    let thread = |dm| question(asked_in(Kind::Event, &envelope(&direct), dm)).place.thread_ts;
    assert_eq!(thread(DmConversation::Channel), None);
    assert_eq!(thread(DmConversation::Thread).as_deref(), Some(TS));
    let in_thread = with(direct.clone(), &json!({ "thread_ts": "1.000200" }));
    assert_eq!(question(event(&in_thread)).place.thread_ts.as_deref(), Some("1.000200"));
}

#[test]
fn what_nobody_wrote_to_be_answered_is_no_question() {
    for changes in [
        json!({ "type": "message", "subtype": "channel_join" }),
        json!({ "type": "message", "subtype": "bot_message" }),
        json!({ "type": "message", "bot_id": "B1" }),
        json!({ "type": "message", "user": "UBOT" }),
        json!({ "type": "message", "user": "USLACKBOT" }),
        json!({ "type": "message", "subtype": "message_changed", "message": { "text": "x", "ts": "1.0" } }),
        // Slack has been seen to leave out the subtype of `message_replied`.
        json!({ "type": "message", "hidden": true, "message": { "text": "q", "ts": "1.0", "reply_count": 1 } }),
        json!({ "type": "message", "hidden": true }),
        json!({ "type": "reaction_added" }),
        json!({ "type": "app_home_opened", "tab": "home", "channel": "D1" }),
        json!({ "type": "app_home_opened", "channel": "D1" }),
        json!({ "type": "app_home_opened", "tab": "messages", "channel": null }),
        json!({ "type": "assistant_thread_started" }),
        json!({ "type": "assistant_thread_context_changed", "assistant_thread": { "channel_id": "D1" } }),
        json!({ "channel": null }),
        json!({ "ts": 7 }),
    ] {
        assert_eq!(event(&with(mention(), &changes)), Meaning::Nothing, "{changes}");
    }
    for subtype in ["file_share", "thread_broadcast", "me_message"] {
        let written = with(mention(), &json!({ "type": "message", "subtype": subtype }));
        assert_eq!(question(event(&written)).id, format!("A1:C1:{TS}"), "{subtype}");
    }
}

#[test]
fn an_opened_pane_is_the_direct_message_and_only_with_an_assistant_view_a_thread() {
    let fixture = |name: &str| -> Value {
        let path = format!("{}/tests/fixtures/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let mut opened = fixture("app_home_opened");
    assert_eq!(asked(Kind::Event, &opened), Meaning::Nothing, "the home tab has no prompts");
    opened["event"]["tab"] = json!("messages");
    let pane = |tenant: &str, thread_ts: Option<&str>| {
        Meaning::Pane(Pane {
            tenant: Some(tenant.to_owned()),
            channel: "D024BE91L".to_owned(),
            thread_ts: thread_ts.map(str::to_owned),
        })
    };
    assert_eq!(asked(Kind::Event, &opened), pane("T061EG9R6", None));
    let started = fixture("assistant_thread_started");
    assert_eq!(asked(Kind::Event, &started), pane("T061EG9R6", Some("1729999327.187299")));
}

#[test]
fn a_click_under_an_answer_is_no_question_and_other_buttons_beside_it_do_not_make_it_one() {
    let clicked = |more: Value| {
        let click = json!({
            "type": "block_actions", "user": { "id": "U1" }, "channel": { "id": "C1" },
            "container": { "type": "message", "message_ts": "1795554009.000100", "channel_id": "C1", "thread_ts": TS },
            "message": { "ts": "1795554009.000100", "thread_ts": TS, "text": "It is 42." },
            "response_url": "https://hooks.slack.com/actions/T1/1/x",
            "actions": [{
                "type": "feedback_buttons", "action_id": "slack_ingress_feedback", "block_id": "b",
                "value": "bad A1:C1:1795554000.000100", "text": { "type": "plain_text", "text": "👎" },
                "action_ts": "1795554010.000100",
            }],
        });
        asked(Kind::Interaction, &with(click, &more))
    };
    let expected = Feedback {
        rating: Rating { is_good: false, question_id: Some(format!("A1:C1:{TS}")) },
        channel: Some("C1".to_owned()),
        message_ts: Some("1795554009.000100".to_owned()),
    };
    assert_eq!(clicked(json!({})), Meaning::Feedback(expected.clone()));
    assert_eq!(clicked(json!({ "message": null, "channel": null })), Meaning::Feedback(expected));
    let button = json!({ "type": "button", "action_id": "mine", "value": "x" });
    assert_eq!(question(clicked(json!({ "actions": [button] }))).text, "x");
    let foreign = json!({ "type": "feedback_buttons", "action_id": "theirs", "value": "bad" });
    assert_eq!(clicked(json!({ "actions": [foreign] })), Meaning::Nothing);
}

#[test]
fn a_deletion_names_the_question_of_its_message() {
    let id = || Meaning::Deletion { question_id: format!("A1:C1:{TS}") };
    let base = json!({ "type": "message", "channel": "C1", "ts": "9.9", "event_ts": "9.9", "hidden": true });
    for changes in [
        json!({ "subtype": "message_deleted", "deleted_ts": TS }),
        json!({ "deleted_ts": TS }),
        json!({ "subtype": "message_deleted", "previous_message": { "ts": TS, "user": "U1" } }),
        json!({ "subtype": "message_changed", "message": { "subtype": "tombstone", "ts": TS, "user": "USLACKBOT" } }),
    ] {
        assert_eq!(event(&with(base.clone(), &changes)), id(), "{changes}");
    }
    let changed = json!({ "subtype": "message_changed", "message": { "ts": TS, "text": "x", "user": "U1" } });
    assert_eq!(event(&with(base, &changed)), Meaning::Nothing);
}

#[test]
fn a_stop_is_of_its_thread_and_everything_asked_there_has_its_key() {
    let stop = json!({
        "type": "agent_session_stopped", "channel": "C1", "thread_ts": TS, "user": "U1",
        "streaming_message_ts": [], "event_ts": "1795554090.000200"
    });
    let Meaning::Stop(stop) = event(&stop) else { panic!("no stop") };
    assert_eq!((stop.id.as_str(), stop.stopped_at.to_string().as_str()), ("Ev1", "1795554090.000200"));
    let key = format!("stop:A1:C1:{TS}");
    assert_eq!(stop.place.stop_key(), Some(key.clone()));
    assert_eq!(question(event(&mention())).place.stop_key(), Some(key));
    let no_thread = json!({ "type": "agent_session_stopped", "channel": "C1", "event_ts": "1.0" });
    assert_eq!(event(&no_thread), Meaning::Nothing);
}

#[test]
fn a_command_asks_what_was_typed_and_may_be_answered_by_its_url() {
    let command = json!({
        "command": "/ask", "text": "how &lt;far&gt;?", "channel_id": "D9", "user_id": "U1", "team_id": "T1",
        "api_app_id": "A1", "response_url": "https://hooks.slack.com/commands/T1/1/x"
    });
    let first = question(asked(Kind::Command, &command));
    assert_eq!((first.id.as_str(), first.text.as_str()), ("Ev1", "how <far>?"));
    assert_eq!(first.place.asked_at.to_string(), "1795554001.500000");
    assert_eq!(first.place.response_url.as_deref(), Some("https://hooks.slack.com/commands/T1/1/x"));
    assert_eq!(first.place.shown_to_the_agent().response_url, None);
    assert_eq!(asked(Kind::Command, &json!({ "command": "/ask" })), Meaning::Nothing);
}

fn click(action: &Value) -> Meaning {
    let interaction = json!({
        "type": "block_actions", "api_app_id": "A1", "team": { "id": "T1" }, "user": { "id": "U1" },
        "channel": { "id": "C1" }, "message": { "ts": TS }, "container": { "type": "message" }, "actions": [action]
    });
    asked(Kind::Interaction, &interaction)
}

#[test]
fn every_kind_of_choice_is_a_question_and_feedback_is_none() {
    for (action, text) in [
        (json!({ "type": "button", "value": "yes" }), "yes"),
        (json!({ "type": "static_select", "selected_option": { "value": "a" } }), "a"),
        (
            json!({ "type": "multi_static_select", "selected_options": [{ "value": "a" }, { "value": "b" }] }),
            "a, b",
        ),
        (json!({ "type": "users_select", "selected_user": "U9" }), "U9"),
        (json!({ "type": "multi_users_select", "selected_users": ["U8", "U9"] }), "U8, U9"),
        (json!({ "type": "channels_select", "selected_channel": "C9" }), "C9"),
        (json!({ "type": "multi_channels_select", "selected_channels": ["C8", "C9"] }), "C8, C9"),
        (json!({ "type": "conversations_select", "selected_conversation": "D9" }), "D9"),
        (json!({ "type": "multi_conversations_select", "selected_conversations": ["D9"] }), "D9"),
        (json!({ "type": "datepicker", "selected_date": "2026-11-27" }), "2026-11-27"),
        (json!({ "type": "timepicker", "selected_time": "09:30" }), "09:30"),
        (json!({ "type": "datetimepicker", "selected_date_time": 1_795_554_000 }), "1795554000"),
        (json!({ "type": "plain_text_input", "value": "typed" }), "typed"),
        (
            json!({ "type": "rich_text_input", "rich_text_value": { "type": "rich_text", "elements": [
                { "type": "rich_text_section", "elements": [{ "type": "text", "text": "rich" }] }
            ] } }),
            "rich",
        ),
    ] {
        let asked = question(click(&action));
        assert_eq!((asked.id.as_str(), asked.text.as_str()), ("Ev1", text), "{action}");
        assert_eq!(asked.place.thread_ts.as_deref(), Some(TS));
    }
    for action in [
        json!({ "type": "feedback_buttons", "value": "good" }),
        json!({ "type": "icon_button", "value": "delete" }),
        json!({ "type": "button", "url": "https://a.example" }),
        json!({ "type": "multi_users_select", "selected_users": [] }),
    ] {
        assert_eq!(click(&action), Meaning::Nothing, "{action}");
    }
}

#[test]
fn a_shortcut_asks_about_its_message_and_what_has_no_channel_asks_nothing() {
    let shortcut = json!({
        "type": "message_action", "team": { "id": "T1" }, "user": { "id": "U1" }, "channel": { "id": "C1" },
        "message": { "ts": TS, "text": "a &amp; b" }, "action_ts": "1795554002.000000"
    });
    let about = question(asked(Kind::Interaction, &shortcut));
    assert_eq!(
        (about.text.as_str(), about.place.asked_at.to_string().as_str()),
        ("a & b", "1795554002.000000")
    );
    for interaction in [
        json!({ "type": "view_submission", "user": { "id": "U1" } }),
        json!({ "type": "shortcut", "user": { "id": "U1" } }),
        json!({ "type": "block_actions", "view": { "id": "V1" }, "actions": [{ "type": "button", "value": "x" }] }),
    ] {
        assert_eq!(asked(Kind::Interaction, &interaction), Meaning::Nothing, "{interaction}");
    }
    let ephemeral = json!({
        "type": "block_actions", "channel": { "id": "C1" }, "container": { "is_ephemeral": true, "message_ts": TS },
        "actions": [{ "type": "button", "value": "x" }]
    });
    let alone = question(asked(Kind::Interaction, &ephemeral));
    assert_eq!(alone.place.thread_ts, None, "what one person alone sees starts no thread");
}

#[test]
fn no_two_messages_have_one_id_whatever_is_in_their_names() {
    let id = |channel: &str, ts: &str| {
        question(event(&with(mention(), &json!({ "channel": channel, "ts": ts, "event_ts": null })))).id
    };
    assert_ne!(id("C1:2", "3.0"), id("C1", "2:3.0"));
    assert!(!id("C1", "#").contains('#'));
}

#[test]
fn what_is_no_json_object_is_malformed() {
    for (kind, body) in
        [(Kind::Event, "no JSON"), (Kind::Event, "[]"), (Kind::Command, "7"), (Kind::Interaction, "")]
    {
        assert!(read(kind, body, &attributes(), DmConversation::Channel).is_err(), "{body}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        "[A-Za-z0-9<>|@!.:]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["message", "app_mention", "block_actions", "rich_text_section", "im", TS])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let names = prop::sample::select(vec![
            "event",
            "type",
            "subtype",
            "channel",
            "ts",
            "text",
            "user",
            "blocks",
            "elements",
            "attachments",
            "actions",
            "message",
            "files",
            "thread_ts",
            "authorizations",
            "container",
            "id",
            "selected_options",
            "value",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_without_a_panic(body in any_json(), event in any_json()) {
        for kind in [Kind::Event, Kind::Command, Kind::Interaction] {
            for body in [&body, &json!({ "event": event })] {
                let _ = read(kind, &body.to_string(), &attributes(), DmConversation::Thread);
            }
        }
    }
}

/// Slack's ids of channels are one for all workspaces that share a channel, so neither the id of a question nor that of a stop
/// names a tenant: one message is one question, and a stop ends what was asked in its thread, whichever installation Slack names
/// in the event. The place says whose the question is.
#[test]
fn a_message_in_a_shared_channel_is_one_question_whichever_installation_its_event_names() {
    let of = |team: &str| {
        let authorizations = json!([{ "team_id": team, "user_id": "UBOT", "is_bot": true }]);
        question(asked(
            Kind::Event,
            &with(envelope(&mention()), &json!({ "authorizations": authorizations })),
        ))
    };
    let (first, second) = (of("T1"), of("T2"));
    assert_eq!((&first.id, first.place.stop_key()), (&second.id, second.place.stop_key()));
    assert_eq!([first, second].map(|it| it.place.tenant.unwrap()), ["T1", "T2"]);
}

#[test]
fn an_upload_is_a_question_about_its_files_also_without_a_text() {
    let hosted = json!({
        "id": "F04EEHX1EES", "name": "notes.txt", "title": "Notes", "mimetype": "text/plain", "filetype": "text",
        "mode": "snippet", "size": 12, "is_external": false,
        "url_private": "https://files.slack.com/files-pri/T1-F04EEHX1EES/notes.txt",
        "url_private_download": "https://files.slack.com/files-pri/T1-F04EEHX1EES/download/notes.txt",
    });
    let shared = json!({ "type": "message", "subtype": "file_share", "channel": "D1", "channel_type": "im", "upload": true });
    let upload = with(with(mention(), &shared), &json!({ "text": "", "files": [hosted] }));
    let asked = question(event(&upload));
    assert_eq!((asked.text.as_str(), asked.id), ("(file: Notes)", format!("A1:D1:{TS}")));
    let [file] = asked.files.listed.try_into().unwrap();
    assert_eq!(
        (file.id.as_str(), file.name.as_deref(), file.size),
        ("F04EEHX1EES", Some("notes.txt"), Some(12))
    );

    // A mention has the files without a subtype.
    let mentioned = question(event(&with(mention(), &json!({ "files": [hosted], "upload": false }))));
    assert_eq!(
        (mentioned.text.as_str(), mentioned.files.listed.as_slice()),
        ("how far are we?", &[file][..])
    );

    let connect = json!({
        "id": "F12345678", "mode": "file_access", "file_access": "check_file_info", "created": 0, "timestamp": 0,
        "user": ""
    });
    let foreign = question(event(&with(upload, &json!({ "files": [connect] }))));
    assert_eq!((foreign.text.as_str(), foreign.files.listed.len()), ("(file: without a name)", 1));
    assert_eq!(foreign.files.listed[0].url, None);
}

#[test]
fn a_shortcut_on_a_message_asks_about_its_files_and_a_button_beside_them_does_not() {
    let file = json!({ "id": "F1", "name": "a.pdf" });
    let message = json!({ "ts": TS, "text": "the report", "files": [file] });
    let shortcut = json!({
        "type": "message_action", "user": { "id": "U1" }, "channel": { "id": "C1" }, "message": message,
        "action_ts": "1795554010.000100"
    });
    assert_eq!(question(asked(Kind::Interaction, &shortcut)).files.listed[0].id, "F1");
    let button = with(
        shortcut,
        &json!({ "type": "block_actions", "actions": [{ "type": "button", "value": "go", "action_ts": "1.000001" }] }),
    );
    assert_eq!(question(asked(Kind::Interaction, &button)).files, Files::default());
}

#[test]
fn what_was_said_before_names_its_files_beside_its_words() {
    let message = json!({ "text": "have a look", "files": [{ "id": "F1", "title": "Plan" }, { "id": "F2", "mode": "tombstone" }] });
    assert_eq!(text_of(&message), "have a look\n(file: Plan)");
}

#[test]
fn a_message_says_whose_workspace_its_author_is_in() {
    let asker = |envelope_changes: &Value, event_changes: &Value| {
        let body = with(envelope(&with(mention(), event_changes)), envelope_changes);
        question(asked(Kind::Event, &body)).asker
    };
    let of_grid = json!([{ "team_id": "T1", "enterprise_id": "E1", "user_id": "UBOT", "is_bot": true }]);
    for (envelope_changes, event_changes, home) in [
        (json!({ "is_ext_shared_channel": false }), json!({}), Home::Ours),
        (json!({ "is_ext_shared_channel": false }), json!({ "team": "T3" }), Home::Unknown),
        (json!({ "is_ext_shared_channel": true }), json!({ "team": "T1" }), Home::Unknown),
        (json!({ "is_ext_shared_channel": true }), json!({ "user_team": "T1" }), Home::Ours),
        (json!({ "is_ext_shared_channel": true }), json!({ "user_team": "T2", "team": "T1" }), Home::Another),
        (json!({ "is_ext_shared_channel": true }), json!({}), Home::Unknown),
        (json!({}), json!({ "team": "T2" }), Home::Unknown),
        (json!({}), json!({ "team": "T1" }), Home::Ours),
        // Another workspace may be of the same organisation.
        (
            json!({ "is_ext_shared_channel": true, "authorizations": of_grid }),
            json!({ "team": "T2" }),
            Home::Unknown,
        ),
        (
            json!({ "is_ext_shared_channel": true, "authorizations": of_grid }),
            json!({ "user_team": "E1" }),
            Home::Ours,
        ),
    ] {
        assert_eq!(asker(&envelope_changes, &event_changes).home, home, "{envelope_changes} {event_changes}");
    }
    // In a shared channel the envelope may name the author's workspace and organisation in the place of ours (slackapi/bolt-js#935).
    let of_one_workspace =
        json!([{ "team_id": "T1", "enterprise_id": null, "user_id": "UBOT", "is_bot": true }]);
    let foreign = json!({
        "team_id": "T2", "enterprise_id": "E2", "is_ext_shared_channel": true, "authorizations": of_one_workspace,
    });
    let theirs = asker(&foreign, &json!({ "team": "T2" }));
    assert_eq!((theirs.home, theirs.installation), (Home::Another, vec!["T1".to_owned()]));
    let of_all =
        json!([{ "team_id": null, "enterprise_id": "E1", "is_enterprise_install": true, "user_id": "UBOT" }]);
    let foreign = json!({
        "team_id": "T2", "context_team_id": null, "is_ext_shared_channel": true, "authorizations": of_all,
    });
    let theirs = asker(&foreign, &json!({ "team": "T2" }));
    assert_eq!((theirs.home, theirs.installation), (Home::Unknown, vec!["E1".to_owned()]));
    // A click in an organisation's installation, where Slack names no workspace: the clicker's own is not ours.
    let click = json!({
        "type": "block_actions", "team": null, "enterprise": { "id": "E1" }, "is_enterprise_install": true,
        "user": { "id": "U1", "team_id": "T2" }, "channel": { "id": "C1" },
        "actions": [{ "type": "button", "value": "go", "action_ts": TS }],
    });
    let theirs = question(asked(Kind::Interaction, &click)).asker;
    assert_eq!((theirs.home, theirs.installation), (Home::Unknown, vec!["E1".to_owned()]));
    // And where it names no organisation either, nobody is ours.
    let click = with(click, &json!({ "enterprise": null, "is_enterprise_install": false }));
    let theirs = question(asked(Kind::Interaction, &click)).asker;
    assert_eq!((theirs.home, theirs.installation), (Home::Unknown, vec![]));
    let click = json!({
        "type": "block_actions", "team": { "id": "T1" }, "user": { "id": "U1", "team_id": "T2" },
        "channel": { "id": "C1" }, "actions": [{ "type": "button", "value": "go", "action_ts": TS }],
    });
    assert_eq!(question(asked(Kind::Interaction, &click)).asker.home, Home::Unknown);
    let own = with(click, &json!({ "user": { "id": "U1", "team_id": "T1" } }));
    assert_eq!(question(asked(Kind::Interaction, &own)).asker.home, Home::Ours);
}

#[test]
fn a_bot_asks_only_by_a_mention() {
    let bot = json!({ "subtype": "bot_message", "bot_id": "B2", "user": null });
    assert!(question(event(&with(mention(), &bot))).asker.is_bot);
    assert_eq!(event(&with(with(mention(), &bot), &json!({ "type": "message" }))), Meaning::Nothing);
}
