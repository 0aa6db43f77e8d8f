//! How far our clock is from others', by the `Date` of their answers.

use aws_smithy_types::date_time::{DateTime, Format};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;

use super::report::Check;
use crate::bridge::{API_URL, API_VARIABLE};

/// Slack's signature is good for 300 s either way; a fifth of that is odd, and beyond four fifths it is a matter of luck.
const ODD_SECONDS: i64 = 60;
const BAD_SECONDS: i64 = 240;
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Ours minus the other's, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skew(pub(super) i64);

impl Skew {
    /// By a `Date` that has just arrived.
    pub(super) fn of_date(date: &str) -> Option<Self> {
        let other = DateTime::from_str(date, Format::HttpDate).ok()?.secs();
        Some(Self(i64::try_from(SystemClock.now().as_secs()).ok()? - other))
    }
}

/// Why there is nothing to compare with.
#[derive(Debug)]
pub(super) enum Unknown {
    NotAsked(String),
    NoAnswer(String),
}

pub(super) async fn of_slack(lookup: &impl Fn(&str) -> Option<String>) -> Result<Skew, Unknown> {
    let base =
        lookup(API_VARIABLE).filter(|base| !base.trim().is_empty()).unwrap_or_else(|| API_URL.to_owned());
    let no_answer = |error: reqwest::Error| Unknown::NoAnswer(crate::with_causes(&error.without_url()));
    let client = reqwest::Client::builder().timeout(TIME_LIMIT).build().map_err(no_answer)?;
    let answer = client
        .get(format!("{}/api.test", base.trim().trim_end_matches('/')))
        .send()
        .await
        .map_err(no_answer)?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    date.and_then(Skew::of_date).ok_or_else(|| Unknown::NoAnswer("the answer has no Date".to_owned()))
}

pub(super) fn check(name: &'static str, skew: Result<Skew, Unknown>) -> Check {
    let Skew(seconds) = match skew {
        Ok(skew) => skew,
        Err(Unknown::NotAsked(why)) => return Check::skip(name, why),
        Err(Unknown::NoAnswer(why)) => {
            return Check::warn(
                name,
                format!("it does not tell: {why}"),
                "Look at this machine's way to the internet",
            );
        }
    };
    let found = match seconds {
        0 => "the same as this machine's".to_owned(),
        1.. => format!("this machine is {seconds} s ahead"),
        _ => format!("this machine is {} s behind", seconds.unsigned_abs()),
    };
    let todo = "Have this machine's clock set by NTP: a signature that is 300 s off, in either direction, is refused";
    match seconds.abs() {
        off if off > BAD_SECONDS => Check::fail(name, found, todo),
        off if off > ODD_SECONDS => Check::warn(name, found, todo),
        _ => Check::ok(name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn over_a_minute_is_to_be_looked_at_and_over_four_fails_either_way() {
        for (seconds, status) in
            [(0, Status::Ok), (60, Status::Ok), (61, Status::Warn), (240, Status::Warn), (241, Status::Fail)]
        {
            for skew in [seconds, -seconds] {
                assert_eq!(check("clock", Ok(Skew(skew))).status, status, "{skew}");
            }
        }
        assert_eq!(check("clock", Err(Unknown::NotAsked(String::new()))).status, Status::Skip);
        assert_eq!(check("clock", Err(Unknown::NoAnswer(String::new()))).status, Status::Warn);
    }

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let Skew(seconds) = Skew::of_date("Thu, 01 Jan 1970 00:01:40 GMT").unwrap();
        let now = i64::try_from(SystemClock.now().as_secs()).unwrap();
        assert!((now - 101..=now - 99).contains(&seconds));
        assert_eq!(Skew::of_date("1970-01-01T00:01:40Z"), None);
    }
}
