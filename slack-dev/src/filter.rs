//! Selects deliveries by type, workspace and time.

use aws_sdk_sqs::primitives::{DateTime, DateTimeFormat};

use crate::delivery::Delivery;

/// The conditions of the command line. A delivery must meet every condition that is given.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only this type (`app_mention`, `/deploy`, `block_actions`); may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Only this workspace, by its id; may be given several times
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,

    /// Only deliveries that were received at this time or later: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,

    /// Only deliveries that were received before this time: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
}

impl Filter {
    pub(crate) fn matches(&self, delivery: &Delivery) -> bool {
        let is_one_of = |wanted: &[String], name: &str| {
            wanted.is_empty()
                || delivery.attribute(name).is_some_and(|value| wanted.iter().any(|one| one == value))
        };
        // A delivery without a time does not match a condition on the time.
        let since = self.since.is_none_or(|since| delivery.received_at.is_some_and(|at| at >= since));
        let until = self.until.is_none_or(|until| delivery.received_at.is_some_and(|at| at < until));
        is_one_of(&self.types, "type") && is_one_of(&self.teams, "team_id") && since && until
    }
}

fn time(text: &str) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| "too large".to_owned());
    }
    let time = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).map_err(|_| {
        "neither RFC 3339, such as 2026-11-24T21:00:00Z, nor milliseconds since 1970".to_owned()
    })?;
    let millis = time.to_millis().map_err(|error| error.to_string())?;
    u64::try_from(millis).map_err(|_| "before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(attributes: &[(&str, &str)]) -> Delivery {
        let attributes = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Delivery::new(attributes.collect(), "{}".to_owned(), None)
    }

    #[test]
    fn times_are_rfc_3339_or_milliseconds() {
        assert_eq!(time("1793613655482"), Ok(1_793_613_655_482));
        assert_eq!(time("2026-11-02T00:00:55Z"), Ok(1_793_577_655_000));
        assert_eq!(time("2026-11-02T01:00:55.5+01:00"), Ok(1_793_577_655_500));
        for bad in ["", "yesterday", "2026-11-02", "1960-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delivery_must_meet_every_condition() {
        let one = delivery(&[("type", "message"), ("team_id", "T1"), ("received_at", "1000")]);
        let timeless = delivery(&[("type", "message")]);
        let types = |types: &[&str]| types.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        assert!(Filter::default().matches(&timeless));
        assert!(Filter { types: types(&["app_mention", "message"]), ..Filter::default() }.matches(&one));
        assert!(!Filter { types: types(&["app_mention"]), ..Filter::default() }.matches(&one));
        assert!(Filter { teams: types(&["T1"]), since: Some(1000), ..Filter::default() }.matches(&one));
        assert!(!Filter { teams: types(&["T1"]), until: Some(1000), ..Filter::default() }.matches(&one));
        assert!(!Filter { since: Some(1001), ..Filter::default() }.matches(&one));
        assert!(!Filter { teams: types(&["T1"]), ..Filter::default() }.matches(&timeless));
        assert!(!Filter { since: Some(0), ..Filter::default() }.matches(&timeless));
    }
}
