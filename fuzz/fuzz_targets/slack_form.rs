//! Checks commands and interactions: a signed form is read as the URL standard says or is refused, and its message is one that SQS
//! accepts.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;
use sha2::{Digest, Sha256};
use slack_ingress::slack::payload::{Delivery, Encoding, Kind, Malformed, Payload, is_ssl_check};
use slack_ingress_fuzz::{
    assert_sendable, bounded, classify, hex, id_of, message, mutate, recorded, unambiguous, without_arrays,
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
    // A delivery without an id is recorded under the hash of its bytes, which differ between two spellings.
    let hash = |data: &[u8]| hex(&Sha256::digest(data));
    let has_id = match &payload {
        Ok(Payload::Delivery(delivery)) => delivery.id != hash(data),
        _ => true,
    };
    if form.contains_key("payload") {
        assert_interaction(&form["payload"], &payload, &hash(data));
    } else {
        assert_command(&form, &payload, &hash(data));
    }
    let same_id = |payload| match payload {
        Ok(Payload::Delivery(delivery)) if !has_id => {
            Ok(Payload::Delivery(Box::new(Delivery { id: String::new(), ..*delivery })))
        }
        other => other,
    };
    let spelled = spell(&form);
    assert_eq!(same_id(payload), same_id(classify(spelled.as_bytes(), Encoding::Form)), "{spelled}");
});

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
    assert_eq!(delivery.id, field("trigger_id").map_or_else(|| hash.to_owned(), recorded));
    assert_eq!(delivery.team_id.as_deref(), field("team_id"));
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
        (Some("block_suggestion"), payload) => {
            return assert_eq!(*payload, Ok(Payload::Suggestion { api_app_id }));
        }
        (Some(event_type), Ok(Payload::Delivery(delivery))) => {
            assert_eq!(delivery.event_type, event_type);
            assert_eq!(delivery.id, id("trigger_id").map_or_else(|| hash.to_owned(), recorded));
            assert_eq!(delivery.team_id.as_deref(), id("team"));
            assert_eq!(delivery.api_app_id, api_app_id);
        }
        (Some(_), payload) => panic!("{payload:?}"),
    }

    // An array where none is expected counts as absent.
    let conversation = |payload: &Payload| match payload {
        Payload::Delivery(delivery) => format!("{:?}", delivery.conversation),
        _ => String::new(),
    };
    let plain = without_arrays(value);
    let form = spell(&Form::from([("payload".to_owned(), Value::to_string(&plain))]));
    let plain = classify(form.as_bytes(), Encoding::Form);
    assert_eq!(payload.as_ref().map(conversation), plain.as_ref().map(conversation));
}
