//! Checks commands and interactions: a signed form is read as the URL standard says or is refused, and its message is one that SQS
//! accepts.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;
use sha2::{Digest, Sha256};
use slack_ingress::slack::payload::{Encoding, Kind, Malformed, Payload, is_ssl_check};
use slack_ingress_fuzz::{
    assert_sendable, bounded, classify, hex, id_of, message, mutate, unambiguous, without_arrays,
};
use std::collections::BTreeMap;

/// A field is at least two bytes of the input, `a` and its ampersand. It becomes two `String`s of 24 bytes each, in a tree whose nodes
/// are at worst half full. Measured: 42; and 15 for control characters, each of which becomes six bytes of JSON.
const BYTES_PER_BYTE: usize = 64;

type Form = BTreeMap<String, String>;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let message = bounded(data.len(), BYTES_PER_BYTE, || {
        is_ssl_check(Some(Encoding::Form), data);
        match classify(data, Encoding::Form) {
            Ok(Payload::Delivery(delivery)) => Some(message(*delivery)),
            _ => None,
        }
    });
    if let Some(message) = message {
        assert_sendable(&message);
    }

    let payload = classify(data, Encoding::Form);
    let form = match read(data) {
        Ok(form) => form,
        Err(malformed) => return assert_eq!(payload, Err(malformed)),
    };
    // A delivery is recorded under the hash of its bytes, which differ between two spellings. What is in no channel and of no user
    // also has it in its conversation.
    let hash = hex(&Sha256::digest(data));
    if form.contains_key("payload") {
        assert_interaction(&form["payload"], &payload, &hash);
    } else {
        assert_command(&form, &payload, &hash);
    }
    let spelled = spell(&form);
    assert_eq!(
        without_hash(payload),
        without_hash(classify(spelled.as_bytes(), Encoding::Form)),
        "{spelled}"
    );
});

fn without_hash(payload: Result<Payload, Malformed>) -> Result<Payload, Malformed> {
    payload.map(|payload| match payload {
        Payload::Delivery(mut delivery) => {
            let id = std::mem::take(&mut delivery.id);
            if delivery.conversation.channel.as_ref() == Some(&id) {
                delivery.conversation.channel = Some(String::new());
            }
            Payload::Delivery(delivery)
        }
        other => other,
    })
}

/// Reads the fields of a form, byte by byte, without the code under test.
fn read(body: &[u8]) -> Result<Form, Malformed> {
    // A body that begins with a brace is JSON, whatever its content type says.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return Err(Malformed::Unsupported);
    }
    let mut form = Form::new();
    for field in body.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
        let equals = field.iter().position(|&byte| byte == b'=').unwrap_or(field.len());
        let (name, value) = (decode(&field[..equals])?, decode(field.get(equals + 1..).unwrap_or_default())?);
        if form.insert(name, value).is_some() {
            return Err(Malformed::RepeatedField);
        }
    }
    Ok(form)
}

fn decode(text: &[u8]) -> Result<String, Malformed> {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (byte, len) = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) => (b' ', 1),
            _ => (byte, 1),
        };
        decoded.push(byte);
        at += len;
    }
    String::from_utf8(decoded).map_err(|_| Malformed::Utf8)
}

/// Writes the form with every byte percent-encoded.
fn spell(form: &Form) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let encode = |text: &str| -> String {
        let digits = text
            .bytes()
            .flat_map(|byte| [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        digits.map(char::from).collect()
    };
    let fields = form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

fn assert_command(form: &Form, payload: &Result<Payload, Malformed>, hash: &str) {
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let Ok(Payload::Delivery(delivery)) = payload else {
        assert_eq!(*payload, Err(Malformed::Unsupported));
        return assert_eq!(field("command"), None);
    };
    assert_eq!(delivery.kind, Kind::Command);
    assert_eq!(Some(delivery.event_type.as_str()), field("command"));
    assert_eq!(delivery.id, hash);
    assert_eq!(delivery.team_id.as_deref(), field("team_id").filter(|team| !team.starts_with('E')));
    assert!(delivery.conversation.channel.is_some(), "no group holds a whole workspace");
    assert_eq!(delivery.api_app_id.as_deref(), field("api_app_id"));
    assert_eq!(serde_json::from_str::<Form>(&delivery.body).ok().as_ref(), Some(form));
}

fn assert_interaction(json: &str, payload: &Result<Payload, Malformed>, hash: &str) {
    if let Ok(Payload::Delivery(delivery)) = payload {
        assert_eq!(delivery.body, json);
        assert_eq!(delivery.kind, Kind::Interaction);
    }
    let Some(value) = unambiguous(json) else { return };
    if !value.is_object() {
        return assert_eq!(*payload, Err(Malformed::Json));
    }
    let id = |name: &str| id_of(&value[name]);
    let api_app_id = id("api_app_id").map(str::to_owned);
    match (id("type"), payload) {
        (None, payload) => return assert_eq!(*payload, Err(Malformed::Unsupported)),
        (Some(event_type), payload) if wants_options(event_type, &value) => {
            return assert_eq!(*payload, Ok(Payload::Suggestion { api_app_id }));
        }
        (Some(event_type), Ok(Payload::Delivery(delivery))) => {
            assert_eq!(delivery.event_type, event_type);
            assert_eq!(delivery.id, hash);
            let teams = [
                id_of(&value["view"]["app_installed_team_id"]),
                id("team"),
                id_of(&value["user"]["team_id"]),
                id_of(&value["view"]["team_id"]),
            ];
            let team_id = teams.into_iter().flatten().find(|team| !team.starts_with('E'));
            assert_eq!(delivery.team_id.as_deref(), team_id);
            assert!(delivery.conversation.channel.is_some(), "no group holds a whole workspace");
            assert_eq!(delivery.api_app_id, api_app_id);
        }
        (Some(_), payload) => panic!("{payload:?}"),
    }

    // An array where none is expected counts as absent.
    let conversation = |payload: Result<Payload, Malformed>| {
        without_hash(payload).map(|payload| match payload {
            Payload::Delivery(delivery) => format!("{:?}", delivery.conversation),
            _ => String::new(),
        })
    };
    let plain = without_arrays(value);
    let spelled = |json: String| spell(&Form::from([("payload".to_owned(), json)]));
    let of = |json: String| conversation(classify(spelled(json).as_bytes(), Encoding::Form));
    assert_eq!(of(json.to_owned()), of(plain.to_string()));
}

/// Whether a menu asks for its options.
fn wants_options(event_type: &str, value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some_and(|field| !field.is_null());
    matches!(event_type, "block_suggestion" | "dialog_suggestion")
        || event_type == "interactive_message" && has("name") && !has("actions")
}
