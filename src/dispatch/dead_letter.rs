//! What goes to the dead-letter queue: the message as it was, and why. Pure.

use std::borrow::Cow;

use super::batch::QueueMessage;
use crate::sink::message::{Attribute, Message, replace_refused_characters};

/// The attribute that says why.
pub const REASON: &str = "dead_letter_reason";

/// So many attributes SQS takes.
const MAX_ATTRIBUTES: usize = 10;

/// A longer one says nothing new, and the message may be as long as SQS takes already.
const MAX_REASON_CHARS: usize = 400;

/// `message` with the `reason`; without it where the two are more than `max_bytes` together: the log has it, too.
pub fn of(message: &QueueMessage, reason: &str, max_bytes: usize) -> Message {
    let mut reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
    replace_refused_characters(&mut reason);
    // All that the ingress sends have a place beside the reason; of another sender's ten, the last gives way.
    let others = message.attributes.iter().filter(|(name, _)| *name != REASON).take(MAX_ATTRIBUTES - 1);
    let mut attributes: Vec<Attribute> =
        others.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect();
    attributes.push((Cow::Borrowed(REASON), reason));

    let group = message.group.clone().unwrap_or_else(|| message.message_id.clone());
    let mut letter = Message {
        body: message.body.clone(),
        attributes,
        // As SQS's own redrive has it. By the one that it came with, a letter that was sent back and fails again would count
        // as the first one for five minutes, and be lost.
        deduplication_id: message.message_id.clone(),
        conversation_group: group.clone(),
        team_group: group,
        trace_header: message.trace_header.clone(),
    };
    if letter.size() > max_bytes {
        letter.attributes.pop();
    }
    letter
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

    fn names(letter: &Message) -> Vec<&str> {
        letter.attributes.iter().map(|(name, _)| name.as_ref()).collect()
    }

    #[test]
    fn a_letter_is_the_message_with_the_reason() {
        let letter = of(&message(), "no\u{1}use", usize::MAX);
        assert_eq!((letter.body.as_str(), letter.deduplication_id.as_str()), ("{}", "m1"));
        assert_eq!(letter.conversation_group, "T1:C1");
        let reason = ("dead_letter_reason".into(), "no\u{fffd}use".to_owned());
        assert_eq!(letter.attributes, [("kind".into(), "event".to_owned()), reason]);
    }

    #[test]
    fn of_two_reasons_the_last_stays_and_a_long_one_is_cut() {
        let mut message = message();
        message.attributes.insert(REASON.to_owned(), "an earlier one".to_owned());
        let letter = of(&message, &"ü".repeat(1000), usize::MAX);
        assert_eq!(names(&letter), ["kind", REASON]);
        assert_eq!(letter.attributes.last().unwrap().1, "ü".repeat(400));
    }

    #[test]
    fn there_are_never_more_attributes_than_sqs_takes() {
        let mut message = message();
        message.attributes = (0..10).map(|n| (format!("a{n}"), "x".to_owned())).collect();
        let letter = of(&message, "r", usize::MAX);
        assert_eq!(letter.attributes.len(), 10);
        assert_eq!(letter.attributes.last().unwrap().0, REASON);
    }

    #[test]
    fn a_message_that_leaves_no_room_goes_without_the_reason() {
        let with_reason = of(&message(), "r", usize::MAX).size();
        assert_eq!(names(&of(&message(), "r", with_reason)), ["kind", REASON]);
        assert_eq!(names(&of(&message(), "r", with_reason - 1)), ["kind"]);
    }

    #[test]
    fn what_has_no_group_goes_by_its_own_id() {
        let letter = of(&QueueMessage { group: None, ..message() }, "r", usize::MAX);
        assert_eq!([&letter.conversation_group, &letter.team_group], ["m1"; 2]);
    }
}
