//! Compares this machine's clock with Slack's and AWS's clocks, by the `Date` of their answers.

use aws_smithy_types::date_time::{DateTime, Format};
use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;

use super::report::Check;
use crate::bridge::{API_URL, API_VARIABLE};

/// Above this skew the check warns. Slack's signature is valid for 300 seconds in either direction.
const WARN_ABOVE_SECONDS: i64 = 60;
/// Above this skew the check fails: too little of the 300 seconds is left for the request's way.
const FAIL_ABOVE_SECONDS: i64 = 240;
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// This machine's time minus the other clock's, in seconds: positive if this machine is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockSkew(pub(super) i64);

impl ClockSkew {
    /// The skew by a `Date` header that has just arrived; `None` if it is no HTTP date.
    pub(super) fn of_date(date: &str) -> Option<Self> {
        let other = DateTime::from_str(date, Format::HttpDate).ok()?.secs();
        Some(Self(i64::try_from(SystemClock.now().as_secs()).ok()? - other))
    }
}

/// Why the skew of a clock is not known.
#[derive(Debug)]
pub(super) enum UnknownSkew {
    NotAsked(String),
    NoAnswer(String),
}

pub(super) async fn of_slack(lookup: &impl Fn(&str) -> Option<String>) -> Result<ClockSkew, UnknownSkew> {
    let base =
        lookup(API_VARIABLE).filter(|base| !base.trim().is_empty()).unwrap_or_else(|| API_URL.to_owned());
    let no_answer = |error: reqwest::Error| UnknownSkew::NoAnswer(crate::with_causes(&error.without_url()));
    let client = reqwest::Client::builder().timeout(TIME_LIMIT).build().map_err(no_answer)?;
    let answer = client
        .get(format!("{}/api.test", base.trim().trim_end_matches('/')))
        .send()
        .await
        .map_err(no_answer)?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    date.and_then(ClockSkew::of_date)
        .ok_or_else(|| UnknownSkew::NoAnswer("the answer has no Date".to_owned()))
}

pub(super) fn check(name: &'static str, skew: Result<ClockSkew, UnknownSkew>) -> Check {
    let ClockSkew(seconds) = match skew {
        Ok(skew) => skew,
        Err(UnknownSkew::NotAsked(why)) => return Check::skip(name, why),
        Err(UnknownSkew::NoAnswer(why)) => {
            return Check::warn(
                name,
                format!("its time is not known: {why}"),
                "Look at this machine's connection to the internet",
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
        off if off > FAIL_ABOVE_SECONDS => Check::fail(name, found, todo),
        off if off > WARN_ABOVE_SECONDS => Check::warn(name, found, todo),
        _ => Check::ok(name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_skew_over_a_minute_warns_and_over_four_minutes_fails_in_both_directions() {
        for (seconds, status) in
            [(0, Status::Ok), (60, Status::Ok), (61, Status::Warn), (240, Status::Warn), (241, Status::Fail)]
        {
            for skew in [seconds, -seconds] {
                assert_eq!(check("clock", Ok(ClockSkew(skew))).status, status, "{skew}");
            }
        }
        assert_eq!(check("clock", Err(UnknownSkew::NotAsked(String::new()))).status, Status::Skip);
        assert_eq!(check("clock", Err(UnknownSkew::NoAnswer(String::new()))).status, Status::Warn);
    }

    #[test]
    fn only_a_date_in_the_form_of_http_is_read() {
        let ClockSkew(seconds) = ClockSkew::of_date("Thu, 01 Jan 1970 00:01:40 GMT").unwrap();
        let now = i64::try_from(SystemClock.now().as_secs()).unwrap();
        assert!((now - 101..=now - 99).contains(&seconds));
        assert_eq!(ClockSkew::of_date("1970-01-01T00:01:40Z"), None);
    }
}
