//! Plays SQS. A FIFO queue refuses a handle once its visibility is over, received again or not, and gives out no message of a
//! group while one of it is invisible. A standard queue may give out a message twice, and an old handle may still delete or put
//! off a message there, or say OK and do nothing.

use slack_ingress::dispatch::message::QueueMessage;
use slack_ingress::sink::message::Message;
use slack_ingress::work::lapse::{KIND, Lapse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::faults::Fault;
use super::settings::Settings;
use crate::chance::Chance;

/// SQS's limit on how long a receive may be put off.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// For how long a FIFO queue drops a message with an id that it has had.
const DEDUPLICATION: Duration = Duration::from_secs(300);

/// What a message is, whatever becomes of it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) group: String,
    deduplication_id: String,
}

impl Content {
    pub(crate) fn of(message: &Message, fifo: bool) -> Arc<Self> {
        let group = if fifo { &message.conversation_group } else { &message.team_group };
        Arc::new(Self {
            body: message.body.clone(),
            attributes: message
                .attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            group: group.clone(),
            deduplication_id: message.deduplication_id.clone(),
        })
    }

    /// What the schedule of a lapse sends: on a FIFO queue in the conversation of its question.
    pub(crate) fn of_lapse(lapse: &Lapse, conversation: Option<&str>) -> Arc<Self> {
        let id = lapse.event_id();
        let attributes =
            BTreeMap::from([("kind".to_owned(), KIND.to_owned()), ("event_id".to_owned(), id.clone())]);
        let body = lapse.to_json().to_string();
        let group = conversation.unwrap_or(&id).to_owned();
        Arc::new(Self { body, attributes, group, deduplication_id: id })
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

#[derive(Debug)]
struct Held {
    content: Arc<Content>,
    sent_at: Duration,
    visible_at: Duration,
    received_at: Duration,
    receives: u32,
    is_in_flight: bool,
}

/// What a call about a handle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Ok,
    /// The handle no longer counts.
    Refused,
}

/// What became of messages that left the queue by SQS's own limits.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) by_retention: Vec<Arc<Content>>,
    pub(crate) by_receive_count: Vec<Arc<Content>>,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct SimulatedQueue {
    messages: BTreeMap<u64, Held>,
    sent: u64,
    deduplicated: BTreeMap<String, Duration>,
}

fn message_id(number: u64) -> String {
    format!("m{number}")
}

/// The message and the receive that a handle is of.
fn parse(handle: &str) -> Option<(u64, u32)> {
    let (message, receive) = handle.strip_prefix('h')?.split_once('.')?;
    Some((message.parse().ok()?, receive.parse().ok()?))
}

impl SimulatedQueue {
    pub(crate) fn send(&mut self, content: Arc<Content>, at: Duration, fifo: bool) {
        if fifo {
            let last = self.deduplicated.get(&content.deduplication_id);
            if last.is_some_and(|last| at < *last + DEDUPLICATION) {
                return;
            }
            self.deduplicated.insert(content.deduplication_id.clone(), at);
        }
        self.put(content, at);
    }

    /// Puts a message on the queue, whatever was there before.
    pub(crate) fn put(&mut self, content: Arc<Content>, at: Duration) {
        self.sent += 1;
        let held =
            Held { content, sent_at: at, visible_at: at, received_at: at, receives: 0, is_in_flight: false };
        self.messages.insert(self.sent, held);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn left(&self) -> impl Iterator<Item = &Arc<Content>> {
        self.messages.values().map(|held| &held.content)
    }

    /// When a message that is invisible now can be received next.
    pub(crate) fn next_visible(&self, at: Duration) -> Option<Duration> {
        self.messages.values().map(|held| held.visible_at).filter(|visible| *visible > at).min()
    }

    /// Gives out up to `max` messages.
    pub(crate) fn receive(
        &mut self,
        at: Duration,
        max: usize,
        settings: &Settings,
        twice: bool,
        chance: &mut Chance,
        dropped: &mut Dropped,
    ) -> Vec<QueueMessage> {
        let over: Vec<u64> = self
            .messages
            .iter()
            .filter(|(_, held)| at >= held.sent_at + settings.retention)
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            dropped.by_retention.extend(self.messages.remove(&number).map(|held| held.content));
        }
        let mut blocked = BTreeSet::new();
        let mut chosen = Vec::new();
        for (number, held) in &self.messages {
            let is_visible = held.visible_at <= at;
            if settings.fifo && (!is_visible || blocked.contains(&held.content.group)) {
                blocked.insert(held.content.group.clone());
            } else if is_visible {
                chosen.push(*number);
            }
        }
        if !settings.fifo {
            for place in (1..chosen.len()).rev() {
                let other = usize::try_from(chance.number(0..=place as u64)).unwrap();
                chosen.swap(place, other);
            }
            if twice {
                // Another of the servers that keep the message has not heard that it was given out.
                let copies = self.messages.iter().filter(|(_, held)| held.is_in_flight);
                chosen.extend(copies.map(|(number, _)| *number).next());
            }
        }
        chosen.truncate(max);
        let mut received = Vec::new();
        for number in chosen {
            // The same message may be chosen twice, and gone by then.
            let Some(held) = self.messages.get_mut(&number) else { continue };
            held.receives += 1;
            if held.receives > settings.max_receive_count {
                dropped.by_receive_count.extend(self.messages.remove(&number).map(|held| held.content));
                continue;
            }
            held.is_in_flight = true;
            held.received_at = at;
            held.visible_at = at + settings.visibility;
            received.push(QueueMessage {
                message_id: message_id(number),
                receipt_handle: format!("h{number}.{}", held.receives),
                receive_count: held.receives,
                group: Some(held.content.group.clone()),
                trace: None,
                body: held.content.body.clone(),
                attributes: held.content.attributes.clone(),
                notification: None,
            });
        }
        received
    }

    /// What a FIFO queue says of a handle, and what a standard queue says of one that is not the last.
    fn check(
        &self,
        handle: &str,
        at: Duration,
        fifo: bool,
        chance: &mut Chance,
        faults: &mut Vec<Fault>,
    ) -> Result<u64, Changed> {
        let (number, receive) = parse(handle).unwrap();
        let Some(held) = self.messages.get(&number) else { return Err(Changed::Refused) };
        let is_last = held.receives == receive;
        let is_over = at >= held.visible_at;
        if fifo && is_last && is_over {
            let late = at - held.visible_at;
            let is_a_second = late <= Duration::from_secs(1);
            faults.push(if is_a_second { Fault::FifoHandleDeadASecondLate } else { Fault::FifoHandleDead });
        } else if fifo && !is_last {
            faults.push(Fault::FifoHandleDead);
        }
        match (fifo, is_last) {
            (true, true) if !is_over => Ok(number),
            (true, _) => Err(Changed::Refused),
            (false, true) => Ok(number),
            (false, false) => match chance.number(0..=2) {
                0 => {
                    faults.push(Fault::OldHandleStillWorks);
                    Ok(number)
                }
                1 => {
                    faults.push(Fault::OldHandleSaysOkAndDoesNothing);
                    Err(Changed::Ok)
                }
                _ => Err(Changed::Refused),
            },
        }
    }

    pub(crate) fn put_off(
        &mut self,
        handle: &str,
        delay: Duration,
        at: Duration,
        fifo: bool,
        chance: &mut Chance,
        faults: &mut Vec<Fault>,
    ) -> Changed {
        let number = match self.check(handle, at, fifo, chance, faults) {
            Ok(number) => number,
            Err(changed) => return changed,
        };
        let held = self.messages.get_mut(&number).unwrap();
        let is_not_in_flight = at >= held.visible_at;
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let visible_at = at + Duration::from_secs(seconds);
        if is_not_in_flight || visible_at > held.received_at + MAX_VISIBILITY {
            return Changed::Refused;
        }
        held.visible_at = visible_at;
        Changed::Ok
    }

    pub(crate) fn delete(
        &mut self,
        handle: &str,
        at: Duration,
        fifo: bool,
        chance: &mut Chance,
        faults: &mut Vec<Fault>,
    ) -> Changed {
        match self.check(handle, at, fifo, chance, faults) {
            Ok(number) => {
                self.messages.remove(&number);
                Changed::Ok
            }
            Err(changed) => changed,
        }
    }
}
