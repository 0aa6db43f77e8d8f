//! What is put on the queue: the body as Slack sent it, and the attributes by which a consumer can filter and de-duplicate.
//! `docs/reference.md` describes it for consumers.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

use crate::slack::payload::{Conversation, Delivery};
use crate::time::clock::UnixMillis;

/// SQS and SNS take group ids and de-duplication ids of up to this many characters
/// ([message quotas](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)).
const MAX_ID_LEN: usize = 128;

/// The name of a string attribute, and its value.
pub type Attribute = (Cow<'static, str>, String);

/// One message, the same for every sink.
///
/// While an event is parked, the store keeps the message as JSON, and a later version of this program may read it. A new field
/// therefore needs a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// [`Delivery::body`], byte for byte, but for the two characters that SQS refuses (U+FFFE and U+FFFF): they are written as
    /// JSON escapes.
    pub body: String,
    /// The string attributes. None of them is empty, and there are ten at the most, which is SQS's limit.
    pub attributes: Vec<Attribute>,
    /// The id that the event is recorded under. A FIFO queue drops a second message with the same id for five minutes.
    pub deduplication_id: String,
    /// The conversation, such as `T061EG9R6:C0LAN2Q65:1515449522.000016`; with `:control` behind it for what never waits behind
    /// its conversation. A FIFO queue keeps the order of its messages.
    pub conversation_group: String,
    /// The tenant, such as `T061EG9R6`. A standard queue hands out the messages of a tenant with few of them first
    /// ([fair queues](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html)).
    pub team_group: String,
    /// The X-Ray trace header of the invocation that received the event; absent where tracing is off.
    pub trace_header: Option<String>,
}

/// When and how a delivery arrived: what an attempt of Slack's adds to the delivery itself.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the ingress received the request.
    pub received_at: UnixMillis,
    /// The number of Slack's retry (`X-Slack-Retry-Num`); absent on the first attempt.
    pub retry_num: Option<u32>,
    /// Why the attempt before failed (`X-Slack-Retry-Reason`); absent on the first attempt.
    pub retry_reason: Option<String>,
    /// The X-Ray trace header of the invocation; absent where tracing is off.
    pub trace_header: Option<String>,
}

impl Message {
    /// Makes the message of a delivery.
    ///
    /// ```
    /// use slack_ingress::sink::message::{Arrival, Message};
    /// use slack_ingress::slack::payload::{Encoding, Payload, classify};
    /// use slack_ingress::slack::signature::{SignatureHeaders, SigningSecret, verify};
    /// use slack_ingress::time::clock::UnixMillis;
    ///
    /// // A request as Slack sends it.
    /// let body = br#"{"type":"event_callback","event_id":"Ev0LAN670R","team_id":"T061EG9R6",
    ///     "event":{"type":"app_mention","channel":"C0LAN2Q65","ts":"1515449522.000016"}}"#;
    /// let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5");
    /// let signature = secret.sign("1515449522", body);
    /// let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some("1515449522") };
    ///
    /// // It is verified, classified, and made a message.
    /// let received_at = UnixMillis::from_millis(1_515_449_522_016);
    /// let verified = verify(headers, body.to_vec(), &[secret], received_at).unwrap();
    /// let Ok(Payload::Delivery(delivery)) = classify(verified, Some(Encoding::Json)) else { panic!() };
    /// let arrival = Arrival { received_at, retry_num: None, retry_reason: None, trace_header: None };
    /// let message = Message::new(*delivery, arrival);
    ///
    /// assert_eq!(message.body.as_bytes(), body);
    /// assert_eq!(message.deduplication_id, "Ev0LAN670R");
    /// assert_eq!(message.conversation_group, "T061EG9R6:C0LAN2Q65:1515449522.000016");
    /// assert!(message.attributes.contains(&("type".into(), "app_mention".to_owned())));
    /// ```
    pub fn new(delivery: Delivery, arrival: Arrival) -> Self {
        let team_group = queue_id(team(&delivery.conversation));
        let conversation = conversation_key(&delivery.conversation);
        let conversation_group =
            if delivery.is_control { control_group(&delivery.conversation) } else { conversation.clone() };
        let deduplication_id = queue_id(&delivery.id);

        let attributes = [
            ("kind", Some(delivery.kind.as_str().to_owned())),
            ("type", Some(delivery.event_type)),
            ("event_id", Some(delivery.id)),
            ("received_at", Some(arrival.received_at.as_millis().to_string())),
            ("team_id", delivery.team_id),
            ("api_app_id", delivery.api_app_id),
            ("conversation", Some(conversation)),
            ("retry_num", arrival.retry_num.map(|num| num.to_string())),
            ("retry_reason", arrival.retry_reason),
        ];
        let mut attributes: Vec<Attribute> = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(name), value.filter(|value| !value.is_empty())?)))
            .collect();
        for (_, value) in &mut attributes {
            replace_refused_characters(value);
        }

        Self {
            body: escape_noncharacters(delivery.body),
            attributes,
            deduplication_id,
            conversation_group,
            team_group,
            trace_header: arrival.trace_header,
        }
    }

    /// The message with at most `max_bytes`, as [`Message::size`] counts them. As far as needed it leaves out the attributes that
    /// are there for convenience only: `retry_reason`, then `retry_num`. `None` if it is too large without them, too. So a message
    /// that fits at Slack's first attempt also fits at every retry.
    #[must_use]
    pub fn fit(mut self, max_bytes: usize) -> Option<Self> {
        self.leave_out_conveniences(max_bytes);
        (self.size() <= max_bytes).then_some(self)
    }

    fn leave_out_conveniences(&mut self, max_bytes: usize) {
        for convenience in CONVENIENCES {
            if self.size() > max_bytes {
                self.attributes.retain(|(name, _)| name != convenience);
            }
        }
    }

    /// The message with the attribute `unguarded`, which marks that it is sent without a record and may be on the queue twice. To
    /// keep within `max_bytes` it takes the place of what is there for convenience; if it does not fit even so, it is left out.
    #[must_use]
    pub fn unguarded(self, max_bytes: usize) -> Self {
        let (name, value) = UNGUARDED;
        let of_conveniences: usize = self
            .attributes
            .iter()
            .filter(|(name, _)| CONVENIENCES.contains(&name.as_ref()))
            .map(|(name, value)| attribute_size(name, value))
            .sum();
        let left = max_bytes.saturating_sub(attribute_size(name, value));
        if self.size() - of_conveniences > left {
            return self;
        }
        let mut marked = self;
        marked.attributes.push((Cow::Borrowed(name), value.to_owned()));
        marked.leave_out_conveniences(max_bytes);
        marked
    }

    /// The message as JSON, for `Store::park`.
    ///
    /// # Errors
    /// When the message cannot be written as JSON. No such message is known, because all its fields are strings.
    pub fn to_parked(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The message that [`Message::to_parked`] wrote, perhaps in an earlier version of this program.
    ///
    /// # Errors
    /// When the text is no such message. The error may quote the text, so nobody should log it.
    pub fn from_parked(parked: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(parked)
    }

    /// The size in bytes as SQS and SNS count it: the body, and the name, type and value of every attribute.
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| attribute_size(name, value));
        self.body.len() + attributes.sum::<usize>()
    }
}

/// The attributes without which a message says as much, in the order in which they give way.
const CONVENIENCES: [&str; 2] = ["retry_reason", "retry_num"];

const UNGUARDED: (&str, &str) = ("unguarded", "true");

fn attribute_size(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
}

fn team(conversation: &Conversation) -> &str {
    conversation.team.as_deref().unwrap_or("none")
}

/// The id of a conversation, such as `T061EG9R6:C0LAN2Q65:1515449522.000016`: the attribute `conversation`, the message group of a
/// FIFO queue, and what an agent's session is made from. Where several apps stand behind the function, the app is in front. Two
/// conversations never have the same id.
pub fn conversation_key(conversation: &Conversation) -> String {
    queue_id(&unbounded_key(conversation))
}

/// The group of what never waits behind `conversation`. No conversation has the same id: none ends in `:control`.
fn control_group(conversation: &Conversation) -> String {
    let key = unbounded_key(conversation);
    let group = format!("{key}{CONTROL}");
    if is_queue_id(&group) { group } else { format!("{}{CONTROL}", sha256(&key)) }
}

const CONTROL: &str = ":control";

/// The parts of a conversation with colons between them. A part that has a colon itself, or would make the id that of a control
/// group, is replaced by its SHA-256. Slack's ids stay as they are.
fn unbounded_key(conversation: &Conversation) -> String {
    let Conversation { app, team: _, channel, thread } = conversation;
    let parts = [app.as_deref(), Some(team(conversation)), channel.as_deref(), thread.as_deref()];
    let part =
        |part: &str| if part.contains(':') || part == "control" { sha256(part) } else { part.to_owned() };
    parts.into_iter().flatten().map(part).collect::<Vec<_>>().join(":")
}

/// An id as SQS and SNS take it: up to 128 letters, digits and punctuation marks. An id that has anything else is replaced by
/// its SHA-256, so that different ids stay different. Slack's ids stay as they are.
fn queue_id(id: &str) -> String {
    if is_queue_id(id) { id.to_owned() } else { sha256(id) }
}

fn is_queue_id(id: &str) -> bool {
    (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

const NONCHARACTERS: [(char, &str); 2] = [('\u{fffe}', "\\ufffe"), ('\u{ffff}', "\\uffff")];

/// The body with JSON escapes in the place of U+FFFE and U+FFFF, which SQS refuses in a
/// [message](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html). In JSON they can only
/// be inside of strings, where an escape means the same. (SQS refuses other characters, too, but JSON always has those
/// escaped.)
fn escape_noncharacters(body: String) -> String {
    NONCHARACTERS.into_iter().fold(body, |body, (character, escape)| {
        if body.contains(character) { body.replace(character, escape) } else { body }
    })
}

/// Writes U+FFFD, the replacement character, in the place of every character that SQS refuses. It is for attributes, which are
/// not JSON and have no escapes.
pub(crate) fn replace_refused_characters(value: &mut String) {
    let refused = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}' | '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}');
    if value.contains(refused) {
        *value = value.replace(refused, "\u{fffd}");
    }
}

#[cfg(test)]
mod tests;
