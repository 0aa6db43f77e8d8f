//! What goes to the dead-letter queue: the message as it was, and the reason. All of it is pure.

use std::borrow::Cow;

use super::message::{DEAD_LETTER_REASON, QueueMessage};
use crate::sink::message::{Attribute, Message, replace_refused_characters};
use crate::time::trace::TraceHeader;

/// SQS's limit on message attributes.
const MAX_ATTRIBUTES: usize = 10;

/// A longer reason is cut to this many characters.
const MAX_REASON_CHARS: usize = 400;

/// The message for the dead-letter queue: `message` as it was, with `reason` as the attribute [`DEAD_LETTER_REASON`]. If that
/// is more than `max_bytes`, the reason is left out; the log has it, too.
pub fn of(message: &QueueMessage, reason: &str, max_bytes: usize) -> Message {
    let mut reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
    replace_refused_characters(&mut reason);
    let others = message.attributes.iter().filter(|(name, _)| *name != DEAD_LETTER_REASON);
    let mut attributes: Vec<Attribute> =
        others.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect();
    // The ingress may have used all ten. Why Slack asked again matters least of them. If another sender used all ten, the last
    // one is dropped.
    if attributes.len() >= MAX_ATTRIBUTES {
        attributes.retain(|(name, _)| name != "retry_reason");
        attributes.truncate(MAX_ATTRIBUTES - 1);
    }
    attributes.push((Cow::Borrowed(DEAD_LETTER_REASON), reason));

    let group = message.group.clone().unwrap_or_else(|| message.message_id.clone());
    let mut dead_letter = Message {
        body: message.body.clone(),
        attributes,
        // This is SQS's id of the message. By the de-duplication id that the message came with, SQS would drop a message that
        // somebody sent back and that fails again within five minutes.
        deduplication_id: message.message_id.clone(),
        conversation_group: group.clone(),
        team_group: group,
        trace_header: message.trace.as_ref().map(TraceHeader::header),
    };
    if dead_letter.size() > max_bytes {
        dead_letter.attributes.pop();
    }
    dead_letter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> QueueMessage {
        QueueMessage {
            message_id: "m1".to_owned(),
            group: Some("T1:C1".to_owned()),
            body: "{}".to_owned(),
            attributes: [("kind".to_owned(), "event".to_owned())].into(),
            ..QueueMessage::default()
        }
    }

    fn names(dead_letter: &Message) -> Vec<&str> {
        dead_letter.attributes.iter().map(|(name, _)| name.as_ref()).collect()
    }

    #[test]
    fn of_ten_attributes_of_the_ingress_the_reason_of_the_retry_gives_way() {
        let eight =
            ["api_app_id", "conversation", "event_id", "kind", "received_at", "retry_num", "team_id", "type"];
        let ten = eight.into_iter().chain(["retry_reason", "unguarded"]);
        let attributes = ten.map(|name| (name.to_owned(), "x".to_owned())).collect();
        let dead_letter = of(&QueueMessage { attributes, ..message() }, "why", usize::MAX);
        assert_eq!(names(&dead_letter), [&eight[..], &["unguarded", DEAD_LETTER_REASON]].concat());
    }

    #[test]
    fn a_dead_letter_is_the_message_with_the_reason() {
        let dead_letter = of(&message(), "no\u{1}use", usize::MAX);
        assert_eq!((dead_letter.body.as_str(), dead_letter.deduplication_id.as_str()), ("{}", "m1"));
        assert_eq!(dead_letter.conversation_group, "T1:C1");
        let reason = ("dead_letter_reason".into(), "no\u{fffd}use".to_owned());
        assert_eq!(dead_letter.attributes, [("kind".into(), "event".to_owned()), reason]);
    }

    #[test]
    fn of_two_reasons_the_last_stays_and_a_long_one_is_cut() {
        let mut message = message();
        message.attributes.insert(DEAD_LETTER_REASON.to_owned(), "an earlier one".to_owned());
        let dead_letter = of(&message, &"ü".repeat(1000), usize::MAX);
        assert_eq!(names(&dead_letter), ["kind", DEAD_LETTER_REASON]);
        assert_eq!(dead_letter.attributes.last().unwrap().1, "ü".repeat(400));
    }

    #[test]
    fn there_are_never_more_attributes_than_sqs_takes() {
        let mut message = message();
        message.attributes = (0..10).map(|n| (format!("a{n}"), "x".to_owned())).collect();
        let dead_letter = of(&message, "r", usize::MAX);
        assert_eq!(dead_letter.attributes.len(), 10);
        assert_eq!(dead_letter.attributes.last().unwrap().0, DEAD_LETTER_REASON);
    }

    #[test]
    fn a_message_that_leaves_no_room_goes_without_the_reason() {
        let with_reason = of(&message(), "r", usize::MAX).size();
        assert_eq!(names(&of(&message(), "r", with_reason)), ["kind", DEAD_LETTER_REASON]);
        assert_eq!(names(&of(&message(), "r", with_reason - 1)), ["kind"]);
    }

    #[test]
    fn what_has_no_group_goes_by_its_own_id() {
        let dead_letter = of(&QueueMessage { group: None, ..message() }, "r", usize::MAX);
        assert_eq!([&dead_letter.conversation_group, &dead_letter.team_group], ["m1"; 2]);
    }
}
