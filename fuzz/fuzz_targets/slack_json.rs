//! Checks the Events API: a signed body is classified as its JSON says, and its message is one that SQS accepts, with the body
//! unchanged.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;
use slack_ingress::slack::payload::{Delivery, Encoding, Kind, Malformed, Payload};
use slack_ingress_fuzz::{
    assert_sendable, bounded, classify, id_of, in_another_context, message, mutate, recorded, unambiguous,
    without_arrays,
};

/// An authorization, `{}` and its comma, is three bytes of the input and becomes five slices of 16 bytes. The list of them grows by
/// doubling, and for a moment the old and the new list both exist: three times 80 bytes for three of the input. Measured: 65.
const BYTES_PER_BYTE: usize = 88;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let sent = bounded(data.len(), BYTES_PER_BYTE, || {
        classify(data, Encoding::Json).map(|payload| match payload {
            Payload::Delivery(delivery) => (delivery.body == text(data), Some(message(*delivery))),
            _ => (true, None),
        })
    });
    let json = std::str::from_utf8(data);
    assert_eq!(json.is_err(), sent == Err(Malformed::Utf8));
    let Ok(json) = json else { return };
    if let Ok((body_is_input, message)) = &sent {
        assert!(body_is_input);
        if let Some(message) = message {
            assert_sendable(message);
        }
    }

    // The checks below are only for JSON that has one meaning.
    let Some(value) = unambiguous(json) else { return };
    let payload = classify(data, Encoding::Json);
    assert_payload(&value, &payload);
    if let Ok((_, Some(message))) = sent {
        assert_eq!(unambiguous(&message.body).as_ref(), Some(&value), "the message says something else");
    }

    // The same JSON in another spelling must be classified the same.
    assert_eq!(but_body(payload), but_body(classify(value.to_string().as_bytes(), Encoding::Json)));

    // An array where none is expected counts as absent.
    let payload = classify(data, Encoding::Json);
    if !value["event"].is_array() {
        let plain = plain(value).to_string();
        assert_eq!(but_body(payload), but_body(classify(plain.as_bytes(), Encoding::Json)), "{plain}");
    }

    // SQS also accepts the message that is recorded under the key of its Slack message.
    if let Ok(Payload::Delivery(delivery)) = classify(data, Encoding::Json) {
        assert_sendable(&message(in_another_context(*delivery)));
    }
});

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).expect("what is classified is UTF-8")
}

fn but_body(payload: Result<Payload, Malformed>) -> Result<Payload, Malformed> {
    payload.map(|payload| match payload {
        Payload::Delivery(delivery) => {
            Payload::Delivery(Box::new(Delivery { body: String::new(), ..*delivery }))
        }
        other => other,
    })
}

fn plain(mut value: Value) -> Value {
    let authorizations = value.get_mut("authorizations").map(Value::take);
    let mut value = without_arrays(value);
    match authorizations {
        Some(Value::Array(list)) => {
            value["authorizations"] = list.into_iter().map(without_arrays).collect();
        }
        Some(other) => value["authorizations"] = without_arrays(other),
        None => {}
    }
    value
}

fn assert_payload(value: &Value, payload: &Result<Payload, Malformed>) {
    let string = |name: &str| value[name].as_str().filter(|string| !string.is_empty());
    let id = |name: &str| id_of(&value[name]);
    let event = value.get("event");
    if !value.is_object() || event.is_some_and(|event| !event.is_object()) {
        return assert_eq!(*payload, Err(Malformed::Json));
    }
    match (string("type"), payload) {
        (Some("event_callback"), Ok(Payload::Delivery(delivery))) => {
            assert_eq!(delivery.kind, Kind::Event);
            assert_eq!(delivery.id, recorded(string("event_id").expect("an event has an id")));
            let event_type = event.and_then(|event| id_of(&event["type"]));
            assert_eq!(delivery.event_type, event_type.unwrap_or("unknown"));
            let (tenant, team_id) = installation(value);
            assert_eq!(delivery.team_id.as_deref(), team_id);
            assert_eq!(delivery.conversation.team.as_deref(), tenant);
            assert!(delivery.conversation.channel.is_some(), "no group holds a whole workspace");
            assert_eq!(delivery.api_app_id.as_deref(), id("api_app_id"));
            let is_message = matches!(event_type, Some("message" | "app_mention"));
            assert!(is_message || delivery.message_key.is_none());
        }
        (Some("event_callback"), refused) => {
            assert_eq!(*refused, Err(Malformed::MissingEventId));
            assert_eq!(string("event_id"), None);
        }
        (Some("url_verification"), payload) => {
            let challenge = string("challenge").map(|challenge| Payload::Challenge(challenge.to_owned()));
            assert_eq!(*payload, challenge.ok_or(Malformed::MissingChallenge));
        }
        (Some("app_rate_limited"), payload) => {
            let (team_id, api_app_id) = (id("team_id"), id("api_app_id"));
            let held = Payload::RateLimited {
                team_id: team_id.map(str::to_owned),
                api_app_id: api_app_id.map(str::to_owned),
            };
            assert_eq!(*payload, Ok(held));
        }
        (_, payload) => assert_eq!(*payload, Err(Malformed::Unsupported)),
    }
}

/// The tenant and the workspace of the installation that an event is for, read without the code under test.
fn installation(value: &Value) -> (Option<&str>, Option<&str>) {
    static NONE: Value = Value::Null;
    fn first<'a>(ids: [Option<&'a str>; 3]) -> Option<&'a str> {
        ids.into_iter().flatten().next()
    }
    let list = value["authorizations"].as_array().filter(|list| list.iter().all(Value::is_object));
    let authorization = list.and_then(|list| list.first()).unwrap_or(&NONE);
    let organisation =
        [&authorization["enterprise_id"], &value["context_enterprise_id"], &value["enterprise_id"]];
    let organisation = organisation.into_iter().find_map(id_of);
    let [authorized, context, outer] =
        [&authorization["team_id"], &value["context_team_id"], &value["team_id"]].map(id_of);
    let flag = &authorization["is_enterprise_install"];
    let is_enterprise = *flag == true || *flag == "true";
    let teams = if is_enterprise { [context, outer, authorized] } else { [authorized, context, outer] };
    let tenant = if is_enterprise { organisation.or(first(teams)) } else { first(teams).or(organisation) };
    let team_id = teams.into_iter().flatten().find(|team| !team.starts_with('E'));
    (tenant.or(id_of(&value["api_app_id"])), team_id)
}
