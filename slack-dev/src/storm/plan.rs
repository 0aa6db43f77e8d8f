//! What is sent: events and forgeries, by dice that fall the same way for the same seed.

use serde_json::json;
use slack_ingress::time::clock::{Clock, SystemClock};

use crate::slack::Forgery;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// Of the events, sent again though nothing asked for it.
    pub(super) repeats: f64,
    /// Of the events, the messages that come under several ids.
    pub(super) duplicates: f64,
    /// Forgeries, for each event.
    pub(super) forgeries: f64,
}

/// When Slack sends an event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// While its first attempt is still running, as after three seconds.
    Meanwhile,
    /// Though it was acknowledged, so many times: the answer did not reach Slack.
    Afterwards(u32),
}

/// One message, and how it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) n: u64,
    /// Event ids that it comes under.
    pub(super) copies: u8,
    pub(super) repeat: Option<Repeat>,
    /// Beside it, a request that must be refused.
    pub(super) forgery: Option<Forgery>,
}

/// The messages of a run.
#[derive(Clone, Debug)]
pub(super) struct Plans {
    seed: u64,
    shares: Shares,
    /// Sets this run's ids apart from those of every other, of the same seed too: an ingress remembers.
    run: String,
}

const CHANNELS: u64 = 200;
const MOST_COPIES: u8 = 4;
const FORGED: u8 = 9;

impl Plans {
    pub(super) fn new(seed: u64, shares: Shares) -> Self {
        let now = SystemClock.now().as_millis();
        Self { seed, shares, run: format!("Ev{now:X}") }
    }

    /// The `n`th message; the same one whoever asks and when.
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

    /// The id of a message's copy.
    pub(super) fn event_id(&self, n: u64, copy: u8) -> String {
        format!("{}Z{n:07}{copy}", self.run)
    }

    /// The id of the forgery beside a message.
    pub(super) fn forged_id(&self, n: u64) -> String {
        self.event_id(n, FORGED)
    }

    /// What an id stands for, if it is one of this run's.
    pub(super) fn find(&self, event_id: &str) -> Option<(u64, u8)> {
        let digits = event_id.strip_prefix(&self.run)?.strip_prefix('Z')?;
        let (n, copy) = digits.split_at_checked(digits.len().checked_sub(1)?)?;
        Some((n.parse().ok()?, copy.parse().ok()?))
    }

    pub(super) fn is_forged(copy: u8) -> bool {
        copy == FORGED
    }

    /// The event: a mention; every other copy is the same message as an app sees it that listens to the channel too.
    pub(super) fn body(&self, n: u64, copy: u8) -> Vec<u8> {
        self.body_of(&self.event_id(n, copy), n, copy)
    }

    /// The same under another id.
    pub(super) fn body_of(&self, event_id: &str, n: u64, copy: u8) -> Vec<u8> {
        let ts = format!("{}.{:06}", 1_500_000_000 + n / 1_000_000, n % 1_000_000);
        // Absent in a mention.
        let channel_type = (!copy.is_multiple_of(2)).then_some("channel");
        let mut event = json!({
            "type": if channel_type.is_some() { "message" } else { "app_mention" },
            "user": "U02RA9C6T1K",
            "text": format!("<@U05L0GQ7BFD> Größe der Warteschlange {n}? 東京 🚀"),
            "ts": ts,
            // Run by run another one, so that one message is not that of an earlier run.
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
    fn the_shares_are_what_was_asked_for() {
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
    fn an_id_says_what_it_stands_for() {
        let plans = Plans::new(1, SHARES);
        assert_eq!(plans.find(&plans.event_id(12_345_678, 2)), Some((12_345_678, 2)));
        let forged = plans.find(&plans.forged_id(3));
        assert!(forged.is_some_and(|(n, copy)| n == 3 && Plans::is_forged(copy)));
        for foreign in ["", "Ev07MENTION1", "Ev0Z00000011"] {
            assert_eq!(plans.find(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn copies_are_one_message_under_several_ids() {
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
