//! Every type of event and interaction: to which conversation it belongs, and whose act it is.

mod event_types;
mod interaction_types;

use super::tests::{classify_text, delivery_of, verified};
use super::*;
use crate::sink::message::conversation_key;
use event_types::EVENT_TYPES;
use interaction_types::INTERACTION_TYPES;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../../docs/events.md");
const THREAD: &str = "T0ACME:C0TEAM:1790000000.000100";
const TS: &str = "1790000000.000100";
const LATER: &str = "1790000060.000200";

/// An event of this type with these fields, of the app A0APP with the bot user U0BOT.
fn event(name: &str, fields: &str) -> Value {
    let comma = if fields.is_empty() { "" } else { "," };
    let event = format!(r#"{{"type":"{name}","event_ts":"{LATER}"{comma}{fields}}}"#);
    let event: Value = serde_json::from_str(&event).expect(name);
    json!({
        "type": "event_callback", "event_id": "Ev0EVENT", "team_id": "T0ACME", "api_app_id": "A0APP", "event": event,
        "authorizations": [{ "team_id": "T0ACME", "user_id": "U0BOT", "is_bot": true, "is_enterprise_install": false }],
    })
}

fn interaction(fields: &Value) -> Result<Payload, Malformed> {
    let encoded =
        percent_encoding::utf8_percent_encode(&fields.to_string(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    classify(verified(format!("payload={encoded}")), Some(Encoding::Form))
}

fn interaction_delivery(fields: &Value) -> Delivery {
    match interaction(fields) {
        Ok(Payload::Delivery(delivery)) => *delivery,
        other => panic!("no delivery: {other:?}"),
    }
}

fn of_event(event: &Value) -> String {
    conversation_key(&delivery_of(&event.to_string()).conversation)
}

fn of_interaction(fields: &Value) -> String {
    conversation_key(&interaction_delivery(fields).conversation)
}

fn author_of(event: &Value) -> Author {
    delivery_of(&event.to_string()).author
}

#[test]
fn every_event_type_belongs_to_the_conversation_of_the_table() {
    for row in EVENT_TYPES {
        let event = event(row.name, row.fields);
        assert_eq!(of_event(&event), format!("T0ACME:{}", row.place), "{}", row.name);
        let again = conversation(Kind::Event, &event.to_string()).unwrap();
        assert_eq!(again, delivery_of(&event.to_string()).conversation, "{}: from the body", row.name);
    }
}

#[test]
fn every_event_type_is_the_apps_own_act_where_the_table_says_so_and_a_persons_otherwise() {
    for row in EVENT_TYPES {
        assert_eq!(author_of(&event(row.name, row.fields)), Author::Person, "{}", row.name);
        let by_the_app = event(row.name, &row.fields.replace("U0ANNA", "U0BOT"));
        let own = if row.can_be_own { Author::ThisApp } else { Author::Person };
        assert_eq!(author_of(&by_the_app), own, "{}", row.name);
        let by_slackbot = event(row.name, &row.fields.replace("U0ANNA", "USLACKBOT"));
        let slackbots = if row.can_be_own { Author::OtherBot } else { Author::Person };
        assert_eq!(author_of(&by_slackbot), slackbots, "{}", row.name);
    }
}

#[test]
fn every_interaction_type_belongs_to_the_conversation_of_the_table_or_gets_no_options() {
    for row in INTERACTION_TYPES {
        let fields: Value =
            serde_json::from_str(&format!(r#"{{"type":"{}",{}}}"#, row.name, row.fields)).unwrap();
        match row.place {
            Some(place) => {
                assert_eq!(of_interaction(&fields), format!("T0ACME:{place}"), "{}", row.name);
                let again = conversation(Kind::Interaction, &fields.to_string()).unwrap();
                assert_eq!(again, interaction_delivery(&fields).conversation, "{}: from the body", row.name);
            }
            None => {
                let suggestion = Payload::Suggestion { api_app_id: Some("A0APP".to_owned()) };
                assert_eq!(interaction(&fields), Ok(suggestion), "{}", row.name);
            }
        }
    }
}

#[test]
fn the_page_and_the_tables_agree() {
    let on_page: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    let yes_or_no = |can_be_own| if can_be_own { "yes" } else { "no" };
    let events = EVENT_TYPES
        .iter()
        .map(|row| format!("| `{}` | {} | {} |", row.name, row.conversation, yes_or_no(row.can_be_own)));
    let interactions =
        INTERACTION_TYPES.iter().map(|row| format!("| `{}` | {} |", row.name, row.conversation));
    assert_eq!(on_page, events.chain(interactions).collect::<Vec<_>>());
}

#[test]
fn the_words_of_the_event_table_mean_its_places() {
    for row in EVENT_TYPES {
        let words = match row.place.split_once(':') {
            Some(_) => "the thread",
            None if row.place.starts_with(['C', 'D']) => "the channel",
            None if row.place == "Ev0EVENT" => "the event itself",
            None if row.place.starts_with('U') => "the user",
            None if row.place.starts_with('F') && !row.place.starts_with("Fx") => "the file",
            None => "the ",
        };
        assert!(row.conversation.starts_with(words), "{}: {}", row.name, row.conversation);
    }
}

#[test]
fn no_two_events_without_a_channel_or_a_subject_wait_for_each_other() {
    let mut one = event("emoji_changed", "");
    let mut other = one.clone();
    other["event_id"] = json!("Ev0OTHER");
    assert_ne!(of_event(&one), of_event(&other));
    // A message that names no channel, and a type of tomorrow, are no exception.
    for name in ["message", "type_of_tomorrow"] {
        one["event"] = json!({ "type": name, "ts": TS });
        assert_eq!(of_event(&one), "T0ACME:Ev0EVENT", "{name}");
    }
    let bare = interaction_delivery(&json!({ "type": "shortcut", "team": { "id": "T0ACME" } }));
    assert_eq!(bare.conversation.channel, Some(bare.id));
    let command = match classify(verified("command=%2Fx&team_id=T0ACME"), Some(Encoding::Form)) {
        Ok(Payload::Delivery(delivery)) => delivery,
        other => panic!("{other:?}"),
    };
    assert_eq!(command.conversation.channel, Some(command.id));
}

#[test]
fn what_has_no_channel_has_its_subject_also_where_the_table_has_a_channel() {
    for (name, fields, expected) in [
        ("link_shared", json!({ "channel": "COMPOSER", "message_ts": "2f6b", "user": "U0ANNA" }), "U0ANNA"),
        ("link_shared", json!({ "channel": "COMPOSER", "message_ts": "2f6b", "thread_ts": TS }), "Ev0EVENT"),
        ("entity_details_requested", json!({ "user": "U0ANNA" }), "U0ANNA"),
        (
            "reaction_added",
            json!({ "user": "U0ANNA", "item": { "type": "file", "file": "F0FILE" } }),
            "F0FILE",
        ),
        (
            "star_added",
            json!({ "user": "U0ANNA", "item": { "type": "file", "file": { "id": "F0FILE" } } }),
            "F0FILE",
        ),
        (
            "shared_channel_invite_received",
            json!({ "channel": null, "invite": { "id": "I0INVITE" } }),
            "I0INVITE",
        ),
        ("call_rejected", json!({ "call_id": "R0CALL", "user_id": "U0ANNA" }), "R0CALL"),
        ("file_shared", json!({ "file_id": "F0FILE", "user_id": "U0ANNA" }), "F0FILE"),
        ("app_context_changed", json!({ "context": {} }), "Ev0EVENT"),
        ("channel_history_changed", json!({ "latest": TS, "ts": LATER }), "Ev0EVENT"),
        // The id of the app that did something is no subject: all that it does would wait in one line.
        ("type_of_tomorrow", json!({ "app_id": "A0APP" }), "Ev0EVENT"),
    ] {
        let mut event = event(name, "");
        event["event"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(of_event(&event), format!("T0ACME:{expected}"), "{event}");
    }
    let public = event("file_public", r#""file_id":"F0FILE","channel_id":"C0TEAM""#);
    assert_eq!(of_event(&public), "T0ACME:C0TEAM");
}

#[test]
fn one_thread_is_one_conversation_for_a_message_a_button_a_modal_and_a_link() {
    let in_thread = [
        event("message", &format!(r#""channel":"C0TEAM","user":"U0ANNA","ts":"{TS}""#)),
        event("message", &format!(r#""channel":"C0TEAM","user":"U0ANNA","ts":"{LATER}","thread_ts":"{TS}""#)),
        event("link_shared", &format!(r#""channel":"C0TEAM","user":"U0ANNA","message_ts":"{TS}""#)),
        event("link_shared", &format!(r#""channel":"C0TEAM","message_ts":"{LATER}","thread_ts":"{TS}""#)),
        event("message_metadata_posted", &format!(r#""channel_id":"C0TEAM","message_ts":"{TS}""#)),
        event(
            "message",
            &format!(
                r#""channel":"C0TEAM","hidden":true,"ts":"{LATER}","message":{{"ts":"{TS}","thread_ts":"{TS}"}}"#
            ),
        ),
    ];
    for event in in_thread {
        assert_eq!(of_event(&event), THREAD, "{event}");
    }
    let from = |fields: Value| {
        let mut interaction = json!({ "type": "x", "team": { "id": "T0ACME" }, "user": { "id": "U0ANNA" } });
        interaction.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        of_interaction(&interaction)
    };
    let modal = |metadata: Value| from(json!({ "view": { "private_metadata": metadata.to_string() } }));
    let channel = json!({ "id": "C0TEAM" });
    for conversation in [
        from(json!({ "channel": channel, "message": { "ts": LATER, "thread_ts": TS } })),
        from(json!({ "channel": channel, "message_ts": TS })),
        from(
            json!({ "channel": channel, "message_ts": LATER, "original_message": { "ts": LATER, "thread_ts": TS } }),
        ),
        from(json!({ "channel": channel, "original_message": { "ts": TS } })),
        modal(json!({ "channel_id": "C0TEAM", "thread_ts": TS })),
        modal(json!({ "channel": "C0TEAM", "thread_ts": TS, "ts": LATER, "more": [1] })),
        modal(json!({ "channel_id": "C0TEAM", "message_ts": TS })),
        modal(json!({ "channel": "C0TEAM", "ts": TS })),
    ] {
        assert_eq!(conversation, THREAD);
    }
    assert_eq!(modal(json!({ "channel_id": "C0TEAM" })), "T0ACME:C0TEAM");
    assert_eq!(modal(json!({ "channel_id": "D0ANNA", "ts": TS })), "T0ACME:D0ANNA");
    assert_eq!(modal(json!({ "channel_id": "D0ANNA", "thread_ts": TS })), format!("T0ACME:D0ANNA:{TS}"));
    // What the app writes for other purposes changes nothing, and what names its channel itself needs no metadata.
    for other in
        [json!({}), json!([]), json!("C0TEAM"), json!({ "thread_ts": TS }), json!({ "channel_id": 7 })]
    {
        assert_eq!(modal(other.clone()), "T0ACME:U0ANNA", "{other}");
    }
    let fields =
        json!({ "channel": channel, "view": { "private_metadata": "{\"channel_id\":\"C0OTHER\"}" } });
    assert_eq!(from(fields), "T0ACME:C0TEAM");
}

#[test]
fn the_tenant_is_the_installation_and_not_the_authors_workspace() {
    let with = |fields: Value| {
        let mut event = event("message", r#""channel":"C0TEAM""#);
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let delivery = delivery_of(&event.to_string());
        (delivery.conversation.team.unwrap_or_default(), delivery.team_id.unwrap_or_default())
    };
    let of_workspace =
        json!([{ "team_id": "T0ACME", "enterprise_id": "E0ORG", "is_enterprise_install": false }]);
    let of_organisation =
        |flag: Value| json!([{ "team_id": null, "enterprise_id": "E0ORG", "is_enterprise_install": flag }]);
    for (fields, tenant, team_id) in [
        (json!({ "authorizations": of_workspace, "team_id": "T0OTHER" }), "T0ACME", "T0ACME"),
        (
            json!({ "authorizations": [], "team_id": "T0OTHER", "context_team_id": "T0ACME" }),
            "T0ACME",
            "T0ACME",
        ),
        (json!({ "authorizations": [], "team_id": "T0ACME" }), "T0ACME", "T0ACME"),
        (json!({ "authorizations": of_organisation(json!(true)), "team_id": "T0ACME" }), "E0ORG", "T0ACME"),
        (json!({ "authorizations": of_organisation(json!("true")), "team_id": "T0ACME" }), "E0ORG", "T0ACME"),
        (
            json!({ "authorizations": of_organisation(json!(true)), "team_id": "T0OTHER", "context_team_id": "T0ACME" }),
            "E0ORG",
            "T0ACME",
        ),
        (
            json!({ "authorizations": of_organisation(json!(true)), "team_id": "T0ACME", "context_team_id": "E0ORG" }),
            "E0ORG",
            "T0ACME",
        ),
        (
            json!({ "authorizations": [{ "is_enterprise_install": true }], "context_enterprise_id": "E0ORG", "enterprise_id": "E0OTHER" }),
            "E0ORG",
            "T0ACME",
        ),
        (
            json!({ "authorizations": [{ "is_enterprise_install": true }], "enterprise_id": "E0ORG" }),
            "E0ORG",
            "T0ACME",
        ),
        (json!({ "authorizations": [{ "is_enterprise_install": true }] }), "T0ACME", "T0ACME"),
        (json!({ "authorizations": null, "team_id": null, "enterprise_id": "E0ORG" }), "E0ORG", ""),
        (json!({ "authorizations": null, "team_id": null }), "A0APP", ""),
    ] {
        assert_eq!(with(fields.clone()), (tenant.to_owned(), team_id.to_owned()), "{fields}");
    }
}

#[test]
fn the_tenant_of_an_interaction_and_of_a_command_is_the_installation() {
    let of = |fields: Value| {
        let mut interaction = json!({ "type": "x", "api_app_id": "A0APP" });
        interaction.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let delivery = interaction_delivery(&interaction);
        (delivery.conversation.team.unwrap_or_default(), delivery.team_id.unwrap_or_default())
    };
    let user = json!({ "id": "U0ANNA", "team_id": "T0ACME" });
    let organisation = json!({ "id": "E0ORG" });
    for (fields, tenant, team_id) in [
        (
            json!({ "team": { "id": "T0ACME" }, "enterprise": organisation, "is_enterprise_install": false }),
            "T0ACME",
            "T0ACME",
        ),
        (
            json!({ "team": null, "enterprise": organisation, "is_enterprise_install": true, "user": user }),
            "E0ORG",
            "T0ACME",
        ),
        (
            json!({ "team": null, "enterprise": organisation, "is_enterprise_install": "true", "user": user }),
            "E0ORG",
            "T0ACME",
        ),
        (
            json!({ "team": { "id": "T0ACME" }, "enterprise": organisation, "is_enterprise_install": "false" }),
            "T0ACME",
            "T0ACME",
        ),
        (
            json!({ "team": { "id": "T0OTHER" }, "view": { "app_installed_team_id": "T0ACME", "team_id": "T0OTHER" } }),
            "T0ACME",
            "T0ACME",
        ),
        (
            json!({ "team": null, "is_enterprise_install": true, "enterprise": organisation, "user": user, "view": { "app_installed_team_id": "E0ORG" } }),
            "E0ORG",
            "T0ACME",
        ),
        (json!({ "user": user }), "T0ACME", "T0ACME"),
        (json!({ "view": { "team_id": "T0ACME" } }), "T0ACME", "T0ACME"),
        (
            json!({ "is_enterprise_install": true, "team": { "id": "T0ACME", "enterprise_id": "E0ORG" } }),
            "E0ORG",
            "T0ACME",
        ),
        (json!({ "team": { "id": "T0ACME", "enterprise_id": "E0ORG" } }), "T0ACME", "T0ACME"),
        (json!({ "enterprise": organisation }), "E0ORG", ""),
        (json!({}), "A0APP", ""),
    ] {
        assert_eq!(of(fields.clone()), (tenant.to_owned(), team_id.to_owned()), "{fields}");
    }
    for (form, tenant, team_id) in [
        ("team_id=T0ACME&enterprise_id=E0ORG&is_enterprise_install=false", "T0ACME", Some("T0ACME")),
        ("team_id=T0ACME&enterprise_id=E0ORG&is_enterprise_install=true", "E0ORG", Some("T0ACME")),
        ("team_id=T0ACME&is_enterprise_install=true", "T0ACME", Some("T0ACME")),
        ("team_id=&enterprise_id=E0ORG", "E0ORG", None),
        ("team_id=E0ORG&enterprise_id=E0ORG&is_enterprise_install=true", "E0ORG", None),
        ("api_app_id=A0APP", "A0APP", None),
    ] {
        let command =
            classify(verified(format!("command=%2Fx&channel_id=C0TEAM&{form}")), Some(Encoding::Form));
        let Ok(Payload::Delivery(command)) = command else { panic!("{form}") };
        assert_eq!(
            (command.conversation.team.as_deref(), command.team_id.as_deref()),
            (Some(tenant), team_id),
            "{form}"
        );
    }
}

#[test]
fn with_several_apps_each_has_its_own_ids_and_conversations() {
    let mention = |app: &str| {
        let mut event = event("app_mention", &format!(r#""channel":"C0TEAM","ts":"{TS}""#));
        event["api_app_id"] = json!(app);
        delivery_of(&event.to_string())
    };
    assert_eq!(mention("A0APP").of_apps(Apps::One), mention("A0APP"));
    for app in ["A0APP", "A0OTHER"] {
        let delivery = mention(app).of_apps(Apps::Several);
        assert_eq!(delivery.id, format!("{app}:Ev0EVENT"));
        assert_eq!(conversation_key(&delivery.conversation), format!("{app}:{THREAD}"));
        let keyed = delivery.keyed_by(DedupKey::Message);
        assert_eq!(keyed.id, format!("{app}:C0TEAM:{TS}"), "it begins with the app already");
    }
    let button = json!({ "type": "block_actions", "api_app_id": "A0APP", "team": { "id": "T0ACME" }, "channel": { "id": "C0TEAM" } });
    let hash = interaction_delivery(&button).id;
    assert_eq!(interaction_delivery(&button).of_apps(Apps::Several).id, format!("A0APP:{hash}"));
    let from_outside =
        interaction_delivery(&button).identified_by(Some("envelope".to_owned())).of_apps(Apps::Several);
    assert_eq!(from_outside.id, "A0APP:envelope");
    // What is in no channel and about nothing waits for nothing, and is still the app's.
    let alone = delivery_of(&event("team_rename", "").to_string()).of_apps(Apps::Several);
    assert_eq!(conversation_key(&alone.conversation), "A0APP:T0ACME:Ev0EVENT");
}

#[test]
fn nobody_can_claim_the_key_of_another_app() {
    for claimed in ["A0OTHER:Ev1", "Ev1#", "A0APP:C0TEAM:1.2"] {
        let mut event = event("team_rename", "");
        event["event_id"] = json!(claimed);
        for apps in [Apps::One, Apps::Several] {
            let id = delivery_of(&event.to_string()).of_apps(apps).id;
            let hash = id.strip_prefix("A0APP:").unwrap_or(&id);
            assert!(hash.len() == 64 && !hash.contains([':', '#']), "{id}");
            assert_eq!(id.starts_with("A0APP:"), apps == Apps::Several);
        }
    }
}

#[test]
fn a_direct_message_is_its_channel_or_with_the_setting_each_message_starts_a_conversation() {
    let said =
        |fields: &str| delivery_of(&event("message", &format!(r#""channel":"D0ANNA",{fields}"#)).to_string());
    let pressed = |fields: Value| {
        let mut fields = fields;
        fields["type"] = json!("block_actions");
        fields["team"] = json!({ "id": "T0ACME" });
        fields["channel"] = json!({ "id": "D0ANNA" });
        interaction_delivery(&fields)
    };
    let root = || said(&format!(r#""ts":"{TS}""#));
    let reply = || said(&format!(r#""ts":"{LATER}","thread_ts":"{TS}""#));
    let stop = || {
        let fields = format!(r#""channel":"D0ANNA","thread_ts":"{TS}","user":"U0ANNA""#);
        delivery_of(&event("agent_session_stopped", &fields).to_string())
    };
    let button = || pressed(json!({ "message": { "ts": LATER, "thread_ts": TS } }));
    let on_the_root = || pressed(json!({ "container": { "message_ts": TS } }));
    let opened =
        || delivery_of(&event("app_home_opened", r#""channel":"D0ANNA","user":"U0ANNA""#).to_string());
    let thread = format!("T0ACME:D0ANNA:{TS}");
    let of =
        |delivery: Delivery, setting| conversation_key(&delivery.in_direct_messages(setting).conversation);
    for delivery in [root(), reply(), stop(), button(), on_the_root()] {
        assert_eq!(of(delivery, DmConversation::Thread), thread);
    }
    for (delivery, expected) in
        [(root(), "T0ACME:D0ANNA"), (on_the_root(), "T0ACME:D0ANNA"), (reply(), &thread), (stop(), &thread)]
    {
        assert_eq!(of(delivery, DmConversation::Channel), expected);
    }
    assert_eq!(of(opened(), DmConversation::Thread), "T0ACME:D0ANNA", "it names no message");
    let in_a_channel =
        delivery_of(&event("message", &format!(r#""channel":"C0TEAM","ts":"{TS}""#)).to_string());
    assert_eq!(of(in_a_channel, DmConversation::Thread), THREAD);
    let edit = said(&format!(r#""subtype":"message_changed","ts":"{LATER}","message":{{"ts":"{TS}"}}"#));
    assert_eq!(of(edit, DmConversation::Thread), thread);
}

#[test]
fn an_event_is_a_control_by_its_type_or_as_a_message_by_its_subtype() {
    let is_control = |event: Value, types: &[&str]| {
        let types = ControlEvents::new(types.iter().copied());
        delivery_of(&event.to_string()).controlled_by(&types).is_control
    };
    let stop = || event("agent_session_stopped", "");
    let deletion = || event("message", r#""subtype":"message_deleted""#);
    let emoji = event("emoji_changed", r#""subtype":"message_deleted""#);
    assert!(delivery_of(&stop().to_string()).controlled_by(&ControlEvents::default()).is_control);
    assert!(!delivery_of(&deletion().to_string()).controlled_by(&ControlEvents::default()).is_control);
    assert!(is_control(deletion(), &["x", "message_deleted"]));
    assert!(is_control(deletion(), &["message"]));
    assert!(!is_control(stop(), &[]) && !is_control(stop(), &["message_deleted"]));
    assert!(!is_control(emoji, &["message_deleted"]), "only a message's subtype counts");
    let changed =
        |inner: &str| event("message", &format!(r#""subtype":"message_changed","message":{inner}"#));
    assert!(
        is_control(changed(r#"{"subtype":"tombstone"}"#), &["message_deleted"]),
        "a thread's first message"
    );
    assert!(!is_control(changed(r#"{"text":"<@U1> and?"}"#), &["message_deleted"]));
    assert!(is_control(event("message", r#""deleted_ts":"1.2""#), &["message_deleted"]), "it has no subtype");
    let button = interaction_delivery(&json!({ "type": "agent_session_stopped" }));
    assert!(!button.controlled_by(&ControlEvents::default()).is_control, "it is no event");
}

#[test]
fn an_event_that_names_the_app_is_its_own_only_where_the_app_is_who_did_it() {
    let metadata = r#""channel_id":"C0TEAM","message_ts":"1.2","app_id":"A0APP","bot_id":"B0BOT""#;
    assert_eq!(author_of(&event("message_metadata_posted", metadata)), Author::ThisApp);
    assert_eq!(author_of(&event("app_deleted", r#""app_id":"A0APP""#)), Author::Person);
    let of_person = event("file_shared", r#""user":{"id":"U0BOT"},"user_id":"U0ANNA""#);
    assert_eq!(author_of(&of_person), Author::ThisApp, "the user, as an object");
    let object = event("file_shared", r#""user_id":{"id":"U0BOT"}"#);
    assert_eq!(author_of(&object), Author::ThisApp);
    let mention_by_slackbot = event("message", r#""channel":"D0ANNA","user":"USLACKBOT","ts":"1.2""#);
    assert_eq!(author_of(&mention_by_slackbot), Author::OtherBot);
    let edit =
        event("message", r#""channel":"D0ANNA","subtype":"message_changed","message":{"user":"USLACKBOT"}"#);
    assert_eq!(author_of(&edit), Author::OtherBot);
}

#[test]
fn a_menu_that_asks_for_options_is_no_delivery_and_one_that_was_chosen_from_is() {
    let legacy = |fields: Value| {
        let mut fields = fields;
        fields["type"] = json!("interactive_message");
        interaction(&fields)
    };
    assert_eq!(legacy(json!({ "name": "city", "value": "x" })), Ok(Payload::Suggestion { api_app_id: None }));
    assert!(matches!(legacy(json!({ "name": "city", "actions": [{}] })), Ok(Payload::Delivery(_))));
    assert!(matches!(legacy(json!({ "actions": [{}] })), Ok(Payload::Delivery(_))));
    assert!(matches!(legacy(json!({})), Ok(Payload::Delivery(_))));
    assert!(classify_text("{}").is_err());
}
