//! A delivery in a file: the attributes and the body of one message of the queue.
//!
//! Each line of the file is one JSON object:
//!
//! ```json
//! {"version":1,"received_at":1793613655482,"attributes":{"kind":"event","event_id":"Ev…"},"body":"{…}"}
//! ```
//!
//! `version` is 1. `received_at`, in milliseconds since the Unix epoch, is the message's attribute of that name; if the message
//! has none, it is the time at which the queue accepted the message; without a queue it is absent. `attributes` are the
//! message's attributes, all strings. `body` is the message's body as text, unchanged. `redacted` is true if what people wrote
//! was replaced by placeholders. A reader ignores further keys.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use slack_ingress::sink::message::{Arrival, Message};
use slack_ingress::slack::payload::{self, Author, ControlEvents, Kind};
use slack_ingress::time::clock::UnixMillis;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use crate::CommandError;
use crate::slack::{FORM, JSON};

const VERSION: u32 = 1;

/// One line of a file of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) received_at: Option<u64>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) body: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) redacted: bool,
    /// The value of a form field `new_id` that is sent beside the payload of an interaction. The ingress knows an interaction by
    /// the hash of its bytes. If it has no `trigger_id` that could be replaced, a further field makes it a new one.
    #[serde(skip)]
    beside_payload: Option<String>,
}

impl Delivery {
    pub(crate) fn new(attributes: BTreeMap<String, String>, body: String, queued_at: Option<u64>) -> Self {
        let received_at = attributes.get("received_at").and_then(|at| at.parse().ok()).or(queued_at);
        Self { version: VERSION, received_at, attributes, body, redacted: false, beside_payload: None }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Event, command or interaction, by the attribute `kind`.
    ///
    /// # Errors
    /// If the attribute is missing or has another value.
    pub(crate) fn kind(&self) -> Result<Kind, CommandError> {
        let kind = self.attribute("kind").ok_or("it has no attribute `kind`")?;
        Kind::parse(kind).ok_or_else(|| format!("its kind is `{kind}`").into())
    }

    /// The type and the id, for the lines that are printed.
    pub(crate) fn name(&self) -> String {
        let of = |name| self.attribute(name).unwrap_or("?");
        format!("{} {}", of("type"), of("event_id"))
    }

    /// The content type and the body of the request as Slack made it: an event is JSON, a command and an interaction are
    /// forms.
    pub(crate) fn request(&self) -> Result<(&'static str, Vec<u8>), CommandError> {
        let form = match self.kind()? {
            Kind::Event => return Ok((JSON, self.body.clone().into_bytes())),
            Kind::Interaction => {
                let beside = self.beside_payload.iter().map(|id| format!("&new_id={}", encoded(id)));
                format!("payload={}{}", encoded(&self.body), beside.collect::<String>())
            }
            Kind::Command => {
                let fields: BTreeMap<String, String> = serde_json::from_str(&self.body)?;
                let fields =
                    fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
                fields.collect::<Vec<_>>().join("&")
            }
        };
        Ok((FORM, form.into_bytes()))
    }

    /// The message as the ingress would send it to a queue: it has the same message group and de-duplication id, and exactly
    /// this delivery's body and attributes. An ingress with other `CONTROL_EVENTS` than the default gives some events another
    /// message group.
    pub(crate) fn message(&self) -> Result<Message, CommandError> {
        let kind = self.kind()?;
        let conversation = payload::conversation(kind, &self.body)
            .map_err(|malformed| format!("its body is {}", malformed.as_str()))?;
        let text = |name| self.attribute(name).map(str::to_owned);
        let delivery = payload::Delivery {
            kind,
            event_type: text("type").unwrap_or_default(),
            subtype: None,
            id: text("event_id").ok_or("it has no attribute `event_id`")?,
            message_key: None,
            team_id: text("team_id"),
            api_app_id: text("api_app_id"),
            author: Author::Person,
            conversation,
            direct_message: None,
            is_control: false,
            body: self.body.clone(),
        };
        let received_at = UnixMillis::from_millis(self.received_at.unwrap_or_default());
        let arrival = Arrival { received_at, retry_num: None, retry_reason: None, trace_header: None };
        let attributes = self.attributes.iter().filter(|(_, value)| !value.is_empty());
        let attributes = attributes.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect();
        let delivery = delivery.controlled_by(&ControlEvents::default());
        let is_control = delivery.is_control;
        let message = Message::new(delivery, arrival);
        let conversation_group = match self.attribute("conversation") {
            Some(conversation) if is_control => format!("{conversation}:control"),
            Some(conversation) => conversation.to_owned(),
            None => message.conversation_group,
        };
        Ok(Message { attributes, conversation_group, ..message })
    }

    /// The same delivery under another id, so that an ingress treats it as a new one. Nothing else in the body changes. An
    /// interaction without a `trigger_id` keeps its whole body, and a further form field makes it a new one.
    pub(crate) fn with_id(mut self, id: &str) -> Result<Self, CommandError> {
        let kind = self.kind()?;
        let field = match kind {
            Kind::Event => "event_id",
            Kind::Command | Kind::Interaction => "trigger_id",
        };
        match with_field(&self.body, field, id) {
            Ok(body) => self.body = body,
            Err(_) if kind == Kind::Interaction => self.beside_payload = Some(id.to_owned()),
            Err(error) => return Err(error),
        }
        self.attributes.insert("event_id".to_owned(), id.to_owned());
        Ok(self)
    }
}

/// Replaces the value of one field of the outermost object of `json` by the string `value`, and keeps every other byte.
///
/// # Errors
/// If `json` is no object or has no such field.
pub(crate) fn with_field(json: &str, field: &str, value: &str) -> Result<String, CommandError> {
    let fields: BTreeMap<Cow<'_, str>, &serde_json::value::RawValue> = serde_json::from_str(json)?;
    let old = fields.get(field).ok_or_else(|| format!("its body has no `{field}`"))?.get();
    // `old` is a slice of `json`, so the difference of the two addresses is its offset.
    let start = old.as_ptr().addr() - json.as_ptr().addr();
    let (before, rest) = json.split_at(start);
    let after = rest.get(old.len()..).unwrap_or_default();
    Ok(format!("{before}{}{after}", serde_json::to_string(value)?))
}

/// A random id in the shape of Slack's event ids: `Ev` and 14 digits or capital letters.
pub(crate) fn fresh_id(dice: &mut fastrand::Rng) -> String {
    let digits = (0..14).map(|_| char::from_digit(dice.u32(0..36), 36).unwrap_or('0').to_ascii_uppercase());
    format!("Ev{}", digits.collect::<String>())
}

/// The bytes that are encoded in a form are those that Slack encodes, so that a request's bytes, and thus their hash, stay the
/// same.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b' ');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string().replace(' ', "+")
}

/// Reads a line of a file of deliveries.
///
/// # Errors
/// If the line is no delivery, or has another version of the format.
pub(crate) fn parse(line: &str) -> Result<Delivery, CommandError> {
    let delivery: Delivery = serde_json::from_str(line)?;
    if delivery.version == VERSION {
        Ok(delivery)
    } else {
        Err(format!("version {} of the format is not known here", delivery.version).into())
    }
}

/// Whether the first line that is not empty is a delivery.
pub(crate) fn is_file_of_deliveries(content: &[u8]) -> bool {
    let first = content.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let first = first.and_then(|line| std::str::from_utf8(line).ok());
    first.is_some_and(|line| serde_json::from_str::<Delivery>(line).is_ok())
}

/// The deliveries of a file, one after another. For a line that is no delivery the iterator yields an error with the line's
/// number.
pub(crate) fn read(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Delivery, CommandError>>, CommandError> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let path = path.display().to_string();
    let lines = std::io::BufReader::new(file).lines().enumerate();
    Ok(lines.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty())).map(
        move |(n, line)| {
            let delivery = line.map_err(CommandError::from).and_then(|line| parse(&line));
            delivery.map_err(|error| format!("{path}, line {}: {error}", n + 1).into())
        },
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use slack_ingress::slack::payload::{Encoding, Payload, classify};
    use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, verify};

    /// The message that the ingress makes of a request; `None` for a request that it does not forward.
    pub(crate) fn queued(content_type: &str, body: &[u8]) -> Option<Message> {
        let secret = SigningSecret::new("secret");
        let signature = secret.sign("1793613655", body);
        let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some("1793613655") };
        let now = UnixMillis::from_millis(1_793_613_655_482);
        let verified = verify(headers, body.to_vec(), &[secret], now).expect("it is signed");
        let Payload::Delivery(delivery) =
            classify(verified, Encoding::of(Some(content_type))).expect("it is Slack's")
        else {
            return None;
        };
        let arrival = Arrival { received_at: now, retry_num: None, retry_reason: None, trace_header: None };
        Some(Message::new(*delivery, arrival))
    }

    pub(crate) fn delivery(message: &Message) -> Delivery {
        let attributes = message.attributes.iter().map(|(name, value)| (name.to_string(), value.clone()));
        Delivery::new(attributes.collect(), message.body.clone(), None)
    }

    /// Every request of the project's fixtures that the ingress sends to the queue.
    pub(crate) fn fixtures() -> Vec<(String, &'static str, Vec<u8>)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let mut fixtures = Vec::new();
        for (folder, ending, content_type) in [("events", "json", JSON), ("forms", "txt", FORM)] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == ending) {
                    let body = std::fs::read(&path).unwrap();
                    let body = body.trim_ascii_end().to_vec();
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    if !name.starts_with("ssl_check") && queued(content_type, &body).is_some() {
                        fixtures.push((name, content_type, body));
                    }
                }
            }
        }
        assert!(fixtures.len() > 30, "{}", fixtures.len());
        fixtures
    }

    #[test]
    fn a_delivery_that_is_sent_to_the_ingress_again_becomes_the_same_message() {
        for (name, content_type, body) in fixtures() {
            let message = queued(content_type, &body).unwrap();
            let kept = delivery(&message);
            assert_eq!(parse(&serde_json::to_string(&kept).unwrap()).unwrap(), kept);
            let (again_as, again) = kept.request().unwrap();
            assert_eq!(again_as, content_type, "{name}");
            let mut resent = queued(again_as, &again).unwrap();
            if kept.kind().unwrap() == Kind::Command {
                // The ingress knows a command by its bytes, and on the queue its fields are in another order.
                resent.deduplication_id.clone_from(&message.deduplication_id);
                resent.attributes.clone_from(&message.attributes);
            }
            assert_eq!(resent, message, "{name}");
        }
    }

    #[test]
    fn a_delivery_that_is_sent_straight_to_a_queue_is_the_same_message() {
        for (name, content_type, body) in fixtures() {
            let mut message = queued(content_type, &body).unwrap();
            let mut again = delivery(&message).message().unwrap();
            message.attributes.sort();
            again.attributes.sort();
            assert_eq!(again, message, "{name}");
        }
    }

    #[test]
    fn attributes_that_the_dispatcher_added_are_kept() {
        let (_, content_type, body) = fixtures().remove(0);
        let mut kept = delivery(&queued(content_type, &body).unwrap());
        kept.attributes.insert("dead_letter_reason".to_owned(), "the agent refused it".to_owned());
        let message = kept.message().unwrap();
        assert!(message.attributes.iter().any(|(name, _)| name == "dead_letter_reason"));
    }

    #[test]
    fn a_new_id_changes_nothing_else_in_the_delivery() {
        for (name, content_type, body) in fixtures() {
            let kept = delivery(&queued(content_type, &body).unwrap());
            let recorded = kept.attributes["event_id"].clone();
            let body: serde_json::Value = serde_json::from_str(&kept.body).unwrap();
            let old = ["event_id", "trigger_id"].into_iter().find_map(|field| body[field].as_str());
            let old = old.unwrap_or_default();
            let renamed = kept.clone().with_id("EvNEW").unwrap();
            assert_eq!(renamed.message().unwrap().deduplication_id, "EvNEW", "{name}");
            assert_eq!(renamed.body.replace("\"EvNEW\"", &format!("\"{old}\"")), kept.body, "{name}");
            let (content_type, body) = renamed.request().unwrap();
            let resent = queued(content_type, &body).unwrap();
            assert_eq!(resent.body, renamed.body, "{name}");
            assert_ne!(resent.deduplication_id, recorded, "{name}");
        }
    }

    #[test]
    fn only_the_outermost_field_is_changed() {
        let json = "{ \"event\": {\"event_id\":\"old\"}, \"event_id\" : \"\\u006fld\", \"x\":\"old\"}";
        assert_eq!(
            with_field(json, "event_id", "n\"w").unwrap(),
            "{ \"event\": {\"event_id\":\"old\"}, \"event_id\" : \"n\\\"w\", \"x\":\"old\"}"
        );
        assert!(with_field("{}", "event_id", "new").is_err());
    }

    #[test]
    fn a_delivery_of_another_version_of_the_format_is_refused() {
        let line = r#"{"version":2,"attributes":{},"body":"{}"}"#;
        assert!(parse(line).unwrap_err().to_string().contains("version 2"));
        assert!(parse(r#"{"version":1,"attributes":{},"body":"{}","later":1}"#).is_ok());
    }

    #[test]
    fn the_first_line_says_whether_a_file_has_deliveries() {
        assert!(is_file_of_deliveries(b"\n{\"version\":1,\"attributes\":{},\"body\":\"{}\"}\n"));
        assert!(!is_file_of_deliveries(b"{\"type\":\"event_callback\"}"));
        assert!(!is_file_of_deliveries(b"payload=%7B%7D"));
    }
}
