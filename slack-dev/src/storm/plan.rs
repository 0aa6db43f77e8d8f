//! Decides by a seed which events and forgeries a storm sends. The same seed gives the same events and forgeries.

use serde_json::json;
use slack_ingress::time::clock::{Clock, SystemClock};

use crate::slack::Forgery;

/// How many of the messages are repeated, duplicated or accompanied by a forgery, each from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// The share of the messages whose events are sent again although no attempt failed.
    pub(super) repeats: f64,
    /// The share of the messages that are sent under several event ids.
    pub(super) duplicates: f64,
    /// The share of the messages beside which a forged request is sent.
    pub(super) forgeries: f64,
}

/// When Slack sends an event again although no attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// At the same time as the first attempt, as when Slack has given up waiting and the app has not.
    Meanwhile,
    /// This many times after the app has acknowledged it, as when the answer did not reach Slack.
    Afterwards(u32),
}

/// One message, and how it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) n: u64,
    /// The number of event ids under which the message is sent.
    pub(super) copies: u8,
    pub(super) repeat: Option<Repeat>,
    /// A forged request that is sent beside the message. The app must refuse it.
    pub(super) forgery: Option<Forgery>,
}

/// The messages of a run.
#[derive(Clone, Debug)]
pub(super) struct Plans {
    seed: u64,
    shares: Shares,
    /// The beginning of every event id of this run. Another run of the same seed has other ids, because an ingress remembers
    /// the ids that it has seen.
    run: String,
}

/// The messages are spread over this many channels.
const CHANNELS: u64 = 200;
/// The most event ids of one message.
const MOST_COPIES: u8 = 4;
/// Stands in place of the copy's number in the event id of a forgery.
const FORGED: u8 = 9;

impl Plans {
    pub(super) fn new(seed: u64, shares: Shares) -> Self {
        let now = SystemClock.now().as_millis();
        Self { seed, shares, run: format!("Ev{now:X}") }
    }

    /// The `n`th message. Every call with the same `n` returns the same message.
    pub(super) fn get(&self, n: u64) -> Plan {
        let mut dice = fastrand::Rng::with_seed(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut hits = |share: f64| dice.f64() < share;
        let (is_repeated, is_duplicated, is_forged) =
            (hits(self.shares.repeats), hits(self.shares.duplicates), hits(self.shares.forgeries));
        let repeat = match dice.u32(0..4) {
            0 | 1 => Repeat::Meanwhile,
            2 => Repeat::Afterwards(1),
            _ => Repeat::Afterwards(2),
        };
        let copies = dice.u8(2..=MOST_COPIES);
        let forgery = dice.choice(Forgery::ALL);
        Plan {
            n,
            copies: if is_duplicated { copies } else { 1 },
            repeat: is_repeated.then_some(repeat),
            forgery: forgery.filter(|_| is_forged),
        }
    }

    /// The event id of a message's copy.
    pub(super) fn event_id(&self, n: u64, copy: u8) -> String {
        format!("{}Z{n:07}{copy}", self.run)
    }

    /// The event id of the forgery beside a message.
    pub(super) fn forged_id(&self, n: u64) -> String {
        self.event_id(n, FORGED)
    }

    /// The numbers of the message and of its copy that an event id stands for; `None` for an id of somebody else's.
    pub(super) fn find(&self, event_id: &str) -> Option<(u64, u8)> {
        let digits = event_id.strip_prefix(&self.run)?.strip_prefix('Z')?;
        let (n, copy) = digits.split_at_checked(digits.len().checked_sub(1)?)?;
        Some((n.parse().ok()?, copy.parse().ok()?))
    }

    pub(super) fn is_forged(copy: u8) -> bool {
        copy == FORGED
    }

    /// The event about a message: `app_mention` for even copies, `message` for odd ones, because Slack sends both to an app
    /// that also listens to the channel.
    pub(super) fn body(&self, n: u64, copy: u8) -> Vec<u8> {
        self.body_of(&self.event_id(n, copy), n, copy)
    }

    /// The event about a message under any event id.
    pub(super) fn body_of(&self, event_id: &str, n: u64, copy: u8) -> Vec<u8> {
        let ts = format!("{}.{:06}", 1_500_000_000 + n / 1_000_000, n % 1_000_000);
        // An `app_mention` has no `channel_type`.
        let channel_type = (!copy.is_multiple_of(2)).then_some("channel");
        let mut event = json!({
            "type": if channel_type.is_some() { "message" } else { "app_mention" },
            "user": "U02RA9C6T1K",
            "text": format!("<@U05L0GQ7BFD> Größe der Warteschlange {n}? 東京 🚀"),
            "ts": ts,
            // Each run has its own channels, so that no message is one of an earlier run.
            "channel": format!("C{}{:03}", self.run.trim_start_matches("Ev"), n % CHANNELS),
            "event_ts": ts,
        });
        if let (Some(channel_type), Some(event)) = (channel_type, event.as_object_mut()) {
            event.insert("channel_type".to_owned(), json!(channel_type));
        }
        json!({
            "token": "ZZZZZZWSxiZZZ2yIvs3peJ",
            "team_id": "T02QX7L8E",
            "api_app_id": "A05KD3N1W",
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": 1_500_000_000 + n / 1_000_000,
            "authorizations": [{
                "enterprise_id": null,
                "team_id": "T02QX7L8E",
                "user_id": "U05L0GQ7BFD",
                "is_bot": true,
                "is_enterprise_install": false
            }],
            "is_ext_shared_channel": false,
        })
        .to_string()
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { repeats: 0.33, duplicates: 0.2, forgeries: 0.1 };

    #[test]
    fn the_same_seed_gives_the_same_messages() {
        let (one, same, other) = (Plans::new(7, SHARES), Plans::new(7, SHARES), Plans::new(8, SHARES));
        let all = |plans: &Plans| (0..1_000).map(|n| plans.get(n)).collect::<Vec<_>>();
        assert_eq!(all(&one), all(&same));
        assert_ne!(all(&one), all(&other));
    }

    #[test]
    fn as_many_messages_are_repeated_duplicated_and_forged_as_was_asked_for() {
        let plans = Plans::new(1, SHARES);
        let all: Vec<_> = (0..10_000).map(|n| plans.get(n)).collect();
        let share = |hits: &dyn Fn(&&Plan) -> bool| all.iter().filter(hits).count() as f64 / 10_000.0;
        assert!((share(&|plan| plan.repeat.is_some()) - 0.33).abs() < 0.02);
        assert!((share(&|plan| plan.copies > 1) - 0.2).abs() < 0.02);
        assert!((share(&|plan| plan.forgery.is_some()) - 0.1).abs() < 0.02);
        for forgery in Forgery::ALL {
            assert!(all.iter().any(|plan| plan.forgery == Some(forgery)), "{forgery:?}");
        }
        let none = Plans::new(1, Shares { repeats: 0.0, duplicates: 0.0, forgeries: 0.0 });
        assert_eq!(none.get(3), Plan { n: 3, copies: 1, repeat: None, forgery: None });
    }

    #[test]
    fn an_event_id_tells_the_message_and_the_copy_it_stands_for() {
        let plans = Plans::new(1, SHARES);
        assert_eq!(plans.find(&plans.event_id(12_345_678, 2)), Some((12_345_678, 2)));
        let forged = plans.find(&plans.forged_id(3));
        assert!(forged.is_some_and(|(n, copy)| n == 3 && Plans::is_forged(copy)));
        for foreign in ["", "Ev07MENTION1", "Ev0Z00000011"] {
            assert_eq!(plans.find(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_copies_are_events_about_one_message_under_several_event_ids() {
        let plans = Plans::new(1, SHARES);
        let key = |copy| {
            let body: serde_json::Value = serde_json::from_slice(&plans.body(5, copy)).unwrap();
            (body["event"]["channel"].clone(), body["event"]["ts"].clone(), body["event_id"].clone())
        };
        let ((channel, ts, id), (other_channel, other_ts, other_id)) = (key(0), key(1));
        assert_eq!((channel, ts), (other_channel, other_ts));
        assert_ne!(id, other_id);
    }
}
