//! How long what failed is put off.

use sha2::{Digest, Sha256};
use std::time::Duration;

/// The back-off after the first failure.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest back-off.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// How long a message is put off whose question was put off `deferrals` times in a row: 5 seconds after the first time, then
/// twice as long after each, up to 15 minutes. The message's id takes up to a quarter off that, so that messages that were
/// refused at the same moment do not come again at the same moment.
pub fn back_off(deferrals: u32, message_id: &str) -> Duration {
    let doubled =
        FIRST_DELAY.saturating_mul(2_u32.saturating_pow(deferrals.saturating_sub(1))).min(LONGEST_DELAY);
    let spread = Sha256::digest(message_id).first().copied().map_or(0, u32::from);
    doubled - doubled * spread / (4 * 255)
}

/// The same, but no shorter than somebody `asked` for, as far as that is no more than 15 minutes.
pub fn back_off_as_asked(asked: Option<Duration>, deferrals: u32, message_id: &str) -> Duration {
    asked.unwrap_or_default().clamp(back_off(deferrals, message_id), LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_doubles_the_delay_up_to_a_quarter_of_an_hour() {
        for (deferrals, seconds) in
            [(0, 5), (1, 5), (2, 10), (3, 20), (7, 320), (8, 640), (9, 900), (10, 900), (u32::MAX, 900)]
        {
            let longest = Duration::from_secs(seconds);
            for id in ["a", "b", "c", "d", "e"] {
                let delay = back_off(deferrals, id);
                assert!(delay <= longest && delay >= longest * 3 / 4, "{deferrals} {id}: {delay:?}");
            }
        }
    }

    #[test]
    fn what_was_refused_together_does_not_come_together() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|n| back_off(8, &format!("message {n}")).as_secs()).collect();
        assert!(delays.len() > 50, "{}", delays.len());
        assert_eq!(back_off(8, "message 1"), back_off(8, "message 1"));
    }
}
