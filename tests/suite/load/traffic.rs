//! Decides what is sent, and in which order: events, their retries, duplicates, and forgeries.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::sync::Mutex;
use std::time::Duration;
use test_support::slack::{Request, mention_in};
use tokio::time::Instant;

/// How long after a 503 the next retry is sent. These pauses are shorter than Slack's. The last one is longer than a lease, so that
/// an event is not lost if an emulator was too slow once.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(8)];

/// The number of conversations, over which the events are spread.
const CONVERSATIONS: usize = 1000;

/// A request for one event: an attempt of Slack's, or a forgery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) event: usize,
    pub(crate) retry: u8,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is signed with the app's secret.
    Genuine,
    /// It has the id of an event that follows, but is signed with another secret.
    Forged,
}

impl Delivery {
    fn of(event: usize, retry: u8) -> Self {
        Self { event, retry, kind: Kind::Genuine }
    }

    pub(crate) fn request(self) -> Request {
        match self.kind {
            Kind::Forged => {
                let now = SystemClock.now().as_secs();
                let body = body(self.event, "forged");
                Request::signed_with("not the secret", now, "application/json", body)
            }
            Kind::Genuine if self.retry == 0 => Request::json(body(self.event, "hello")),
            Kind::Genuine => {
                Request::json(body(self.event, "hello")).retry(self.retry.into(), "http_timeout")
            }
        }
    }
}

/// The body that the message for this event must have.
pub(crate) fn true_body(event: usize) -> Vec<u8> {
    body(event, "hello")
}

fn body(event: usize, text: &str) -> Vec<u8> {
    let channel = format!("C{:04}", event % CONVERSATIONS);
    mention_in(&channel, "1515449522.000016", &format!("Ev{event}"), text)
}

/// The deliveries of all events that do not depend on the answers.
///
/// A third of the events is sent a second time without waiting for the first answer. Before every tenth event a forgery of it is
/// sent. Every tenth event of the first half is sent again after half of the run, as if its answer had not reached Slack.
fn plan(events: usize) -> impl Iterator<Item = Delivery> + Send {
    let long_after = events / 2;
    (0..events).flat_map(move |event| {
        let forged = Delivery { kind: Kind::Forged, ..Delivery::of(event, 0) };
        let late = event.checked_sub(long_after).filter(|event| event % 10 == 0);
        [
            (event % 10 == 0).then_some(forged),
            Some(Delivery::of(event, 0)),
            (event % 3 == 0).then_some(Delivery::of(event, 1)),
            late.map(|event| Delivery::of(event, 2)),
        ]
        .into_iter()
        .flatten()
    })
}

/// The simulated Slack, which gives each execution environment its next delivery.
pub(crate) struct Slack(Mutex<State>);

struct State {
    plan: Box<dyn Iterator<Item = Delivery> + Send>,
    /// Retries, and when each is due.
    again: Vec<(Instant, Delivery)>,
    /// The number of deliveries that have not been answered yet.
    running: usize,
    /// For each event, the number of its latest retry.
    retries: Vec<u8>,
}

impl Slack {
    pub(crate) fn with(events: usize) -> Self {
        let plan = Box::new(plan(events));
        Self(Mutex::new(State { plan, again: Vec::new(), running: 0, retries: vec![0; events] }))
    }

    /// The next delivery; `None` when every delivery has been answered and no retry is due.
    pub(crate) async fn next(&self) -> Option<Delivery> {
        loop {
            {
                let mut state = self.0.lock().expect("not poisoned");
                if let Some(delivery) = state.next() {
                    return Some(delivery);
                }
                if state.running == 0 && state.again.is_empty() {
                    return None;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Records the status of a delivery's answer. After a 503 it plans the next retry, unless this was the last one.
    pub(crate) fn answered(&self, delivery: Delivery, status: u64) {
        let state = &mut *self.0.lock().expect("not poisoned");
        state.running -= 1;
        let is_latest = state.retries[delivery.event] == delivery.retry;
        if status == 503
            && is_latest
            && let Some(pause) = PAUSES.get(usize::from(delivery.retry))
        {
            let due = SystemClock.instant() + *pause;
            state.again.push((due, Delivery { retry: delivery.retry + 1, ..delivery }));
        }
    }
}

impl State {
    fn next(&mut self) -> Option<Delivery> {
        let now = SystemClock.instant();
        let due = self.again.iter().position(|(due, _)| *due <= now);
        let next = due.map(|index| self.again.swap_remove(index).1).or_else(|| self.plan.next());
        if let Some(delivery) = next {
            self.running += 1;
            let retries = &mut self.retries[delivery.event];
            *retries = delivery.retry.max(*retries);
        }
        next
    }
}
