//! Slack's `ts`: a point in time that is also the name of a message.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A point in time as Slack writes it, such as `1795554000.000100`: seconds since the Unix epoch, and microseconds. It is written
/// with six digits after the point, however it came, and ordered as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlackTs {
    seconds: u64,
    micros: u32,
}

impl SlackTs {
    /// Reads a `ts`. `None` if it is not digits, or digits with up to six more behind a point.
    pub fn parse(ts: &str) -> Option<Self> {
        let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, ""));
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if seconds.is_empty()
            || seconds.len() > 12
            || fraction.len() > 6
            || !is_digits(seconds)
            || !is_digits(fraction)
        {
            return None;
        }
        Some(Self { seconds: seconds.parse().ok()?, micros: format!("{fraction:0<6}").parse().ok()? })
    }

    /// The point in time that is so many milliseconds after the epoch.
    pub fn from_millis(millis: u64) -> Self {
        let micros = u32::try_from(millis % 1000 * 1000).unwrap_or_default();
        Self { seconds: (millis / 1000).min(999_999_999_999), micros }
    }

    /// The number of whole milliseconds since the epoch.
    pub fn as_millis(&self) -> u64 {
        self.seconds.saturating_mul(1000).saturating_add(u64::from(self.micros / 1000))
    }

    /// The point in time that comes after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        if self.micros < 999_999 {
            Self { micros: self.micros + 1, ..*self }
        } else {
            Self { seconds: self.seconds.saturating_add(1), micros: 0 }
        }
    }
}

impl fmt::Display for SlackTs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.seconds, self.micros)
    }
}

impl Serialize for SlackTs {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SlackTs {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let ts = String::deserialize(input)?;
        Self::parse(&ts).ok_or_else(|| de::Error::custom("no ts of Slack's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_slack_writes_is_read_and_nothing_else() {
        for (written, read) in [
            ("1795554000.000100", "1795554000.000100"),
            ("1795554000.1", "1795554000.100000"),
            ("1795554000", "1795554000.000000"),
            ("1.000100", "1.000100"),
        ] {
            assert_eq!(SlackTs::parse(written).map(|ts| ts.to_string()).as_deref(), Some(read));
        }
        for wrong in ["", ".1", "-1.0", "1.0000001", "1.x", "x", "1 ", "1234567890123.0", "1.2.3"] {
            assert_eq!(SlackTs::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn it_is_ordered_as_a_number_and_read_as_it_was_written(a in 0_u64..2_000_000_000_000, b in 0_u64..2_000_000_000_000) {
            let [x, y] = [a, b].map(SlackTs::from_millis);
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.as_millis(), a);
            prop_assert!(x.next() > x && x.next().as_millis() - a <= 1);
            prop_assert_eq!(SlackTs::parse(&x.to_string()), Some(x.clone()));
            prop_assert_eq!(serde_json::from_str::<SlackTs>(&serde_json::to_string(&x).unwrap()).unwrap(), x);
        }
    }
}
