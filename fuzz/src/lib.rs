//! What the targets share: the limit on memory, and a second way to read JSON and to compute signatures that does not use the code
//! under test.

mod memory;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use slack_ingress::sink::message::{Arrival, Message};
use slack_ingress::slack::apps::Apps;
use slack_ingress::slack::payload::{
    self, Context, ControlEvents, DedupKey, Delivery, DmConversation, Encoding, Malformed, Payload,
};
use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, Verified, verify};
use slack_ingress::time::clock::UnixMillis;
use std::fmt;

pub use memory::bounded;

/// The signing secret in the example of Slack's documentation. [`NOW`] is the example's time, in seconds.
pub const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub const NOW: u64 = 1_531_420_618;

pub fn at(seconds: u64) -> UnixMillis {
    UnixMillis::from_millis(seconds.saturating_mul(1000))
}

/// HMAC-SHA256, written from RFC 2104. It uses the same SHA-256 as the code under test.
pub fn hmac(key: &str, message: &[u8]) -> String {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key.as_bytes());
    }
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
    let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat());
    hex(&outer)
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// Verifies a body with a correct signature.
fn verified(body: &[u8]) -> Verified {
    let secret = SigningSecret::new(SECRET);
    let timestamp = NOW.to_string();
    let signature = secret.sign(&timestamp, body);
    let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(&timestamp) };
    verify(headers, body.to_vec(), &[secret], at(NOW)).expect("what the secret signed verifies")
}

/// Verifies a body with a correct signature, and classifies it as the function does.
pub fn classify(body: &[u8], encoding: Encoding) -> Result<Payload, Malformed> {
    payload::classify(verified(body), Some(encoding))
}

/// The delivery where several apps stand behind the function, and all settings are other than by default.
pub fn in_another_context(delivery: Delivery) -> Delivery {
    delivery.in_context(Context {
        signer: verified(b"").signer(),
        apps: Apps::Several,
        delivery_id: None,
        dedup_key: DedupKey::Message,
        dm_conversation: DmConversation::Thread,
        control_events: &ControlEvents::new(["app_mention"]),
    })
}

/// The message for a delivery, with the largest number of attributes.
pub fn message(delivery: Delivery) -> Message {
    let arrival = Arrival {
        received_at: at(NOW),
        retry_num: Some(3),
        retry_reason: Some("http\u{ffff}timeout\0".to_owned()),
        trace_header: None,
    };
    Message::new(delivery, arrival).unguarded(usize::MAX)
}

/// Checks that SQS would accept the message, and that its body is JSON, which the consumer reads.
pub fn assert_sendable(message: &Message) {
    let Message { body, attributes, .. } = message;
    assert!(serde_json::from_str::<&RawValue>(body).is_ok(), "the body is not JSON");
    assert!(!body.contains(refused), "the body has a character that SQS refuses");
    assert!(attributes.len() <= 10, "{} attributes", attributes.len());
    for (n, (name, value)) in attributes.iter().enumerate() {
        assert!(!value.is_empty(), "{name} is empty");
        assert!(!value.contains(refused), "{name} has a character that SQS refuses");
        assert!(attributes[..n].iter().all(|(other, _)| other != name), "{name} is there twice");
    }
    for id in [&message.deduplication_id, &message.conversation_group, &message.team_group] {
        let accepted = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(accepted, "SQS takes no such id: {id:?}");
    }
}

/// Whether SQS refuses the character: it accepts only those of XML 1.0.
fn refused(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The value of this JSON, if it has only one meaning: no object has a key twice. `None` also if it is nested deeper than
/// `serde_json` allows, or has a number that `serde_json` cannot read.
pub fn unambiguous(json: &str) -> Option<Value> {
    serde_json::from_str::<Unambiguous>(json).ok().map(|Unambiguous(value)| value)
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Tree;

        impl<'de> Visitor<'de> for Tree {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Unambiguous(value)) = seq.next_element()? {
                    values.push(value);
                }
                Ok(values.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut object = serde_json::Map::new();
                while let Some((name, Unambiguous(value))) = map.next_entry::<String, _>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name twice"));
                    }
                }
                Ok(object.into())
            }
        }

        input.deserialize_any(Tree).map(Self)
    }
}

/// The id in a value of Slack's: a string that is not empty, or an object whose `id` is one.
pub fn id_of(value: &Value) -> Option<&str> {
    let id = if value.is_object() { &value["id"] } else { value };
    id.as_str().filter(|id| !id.is_empty())
}

/// The key under which a delivery with this id is recorded.
pub fn recorded(id: &str) -> String {
    let is_slacks = id.len() <= 1024 && !id.contains([':', '#']);
    if is_slacks { id.to_owned() } else { hex(&Sha256::digest(id)) }
}

/// The same value with `false` in place of every array. The function reads no array but the event's `authorizations`. `serde` would
/// also accept an array of an object's values, in the order of its fields, in place of the object.
pub fn without_arrays(value: Value) -> Value {
    match value {
        Value::Array(_) => Value::Bool(false),
        Value::Object(object) => {
            object.into_iter().map(|(name, value)| (name, without_arrays(value))).collect()
        }
        other => other,
    }
}

/// Mutates an input as libFuzzer does, and in the run of long inputs also by repeating one element of a list up to the longest
/// input allowed. libFuzzer's own mutations never make such an input.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    const LONG: usize = 64 << 10;
    let seed = seed as usize;
    let element = if max_size < LONG || seed % 4 != 0 { None } else { element(&data[..size], seed / 4) };
    let Some((start, end)) = element else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    let copies = (max_size - size) / (end - start);
    let repeated = data[start..end].repeat(copies);
    data.copy_within(end..size, end + repeated.len());
    data[end..end + repeated.len()].copy_from_slice(&repeated);
    size + repeated.len()
}

/// The range from one separator to the next: an element of a JSON list, a field of a form, or a line.
fn element(data: &[u8], seed: usize) -> Option<(usize, usize)> {
    let ends: Vec<_> = (0..data.len()).filter(|&at| b",&\n[".contains(&data[at])).map(|at| at + 1).collect();
    let pairs: Vec<_> = ends.windows(2).filter(|pair| data[pair[1] - 1] != b'[').collect();
    pairs.get(seed.checked_rem(pairs.len())?).map(|pair| (pair[0], pair[1]))
}
