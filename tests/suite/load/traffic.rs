//! What Slack and others send, in which order: events, retries, duplicates, forgeries.

use slack_ingress::time::clock::{Clock, SystemClock};
use std::sync::Mutex;
use std::time::Duration;
use test_support::slack::{Request, mention_in};
use tokio::time::Instant;

/// How long after a 503 the next retry comes. Slack waits not at all, then a minute, then five. Here the last
/// one waits until a lease is over: where an emulator was too slow for once, the event is not lost.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(8)];

/// So many conversations go on at the same time.
const CONVERSATIONS: usize = 1000;

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) event: usize,
    pub(crate) retry: u8,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Slacks,
    /// Somebody else's, who knows the id that an event will have, and comes before it.
    Forged,
}

impl Delivery {
    fn of(event: usize, retry: u8) -> Self {
        Self { event, retry, kind: Kind::Slacks }
    }

    pub(crate) fn request(self) -> Request {
        match self.kind {
            Kind::Forged => {
                let now = SystemClock.now().as_secs();
                let body = body(self.event, "forged");
                Request::signed_with("not the secret", now, "application/json", body)
            }
            Kind::Slacks if self.retry == 0 => Request::json(body(self.event, "hello")),
            Kind::Slacks => Request::json(body(self.event, "hello")).retry(self.retry.into(), "http_timeout"),
        }
    }
}

/// What the queue must hold for this event.
pub(crate) fn true_body(event: usize) -> Vec<u8> {
    body(event, "hello")
}

fn body(event: usize, text: &str) -> Vec<u8> {
    let channel = format!("C{:04}", event % CONVERSATIONS);
    mention_in(&channel, "1515449522.000016", &format!("Ev{event}"), text)
}

/// The deliveries of all events, before it is known what is answered to them.
///
/// A third of the events is sent again without waiting for the first answer. Before every tenth there is a
/// forgery of it. Every tenth of the first half comes again when half of the run is over, as if Slack had never
/// got its answer.
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

/// Slack, from which each execution environment takes its next delivery.
pub(crate) struct Slack(Mutex<State>);

struct State {
    plan: Box<dyn Iterator<Item = Delivery> + Send>,
    /// Deliveries that are due later.
    again: Vec<(Instant, Delivery)>,
    /// Deliveries whose answer is not there yet.
    running: usize,
    /// Of each event, its last retry.
    retries: Vec<u8>,
}

impl Slack {
    pub(crate) fn with(events: usize) -> Self {
        let plan = Box::new(plan(events));
        Self(Mutex::new(State { plan, again: Vec::new(), running: 0, retries: vec![0; events] }))
    }

    /// The next delivery; none when everything has its answer.
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

    /// The delivery was answered with this status. Who is told to ask again does so, but for the last retry.
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
