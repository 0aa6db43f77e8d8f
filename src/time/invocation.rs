//! One invocation of a Lambda function, as far as a function's steps care.

use crate::time::clock::UnixMillis;
use std::time::Duration;

/// Who is asked to do something, and until when.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id, unique to the invocation. It is the fencing token of the leases that the invocation takes.
    pub request_id: String,
    /// When Lambda kills the invocation, by the wall clock.
    pub deadline: UnixMillis,
    /// The X-Ray trace header (`Root=1-…`), absent where tracing is off.
    pub trace_header: Option<String>,
}

/// The deadline in Lambda's header `Lambda-Runtime-Deadline-Ms`, which is a point in time in milliseconds since the epoch.
/// `cargo lambda watch` sends a duration there instead, always 600,000: read as a point in time it would lie in 1970, and
/// every step would count as too late.
pub fn deadline(header_millis: u64, now: UnixMillis) -> UnixMillis {
    const IN_2001: u64 = 1_000_000_000_000;
    if header_millis < IN_2001 {
        now.after(Duration::from_millis(header_millis))
    } else {
        UnixMillis::from_millis(header_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_point_in_time_and_cargo_lambdas_a_duration() {
        let now = UnixMillis::from_millis(1_800_000_000_000);
        let at = UnixMillis::from_millis;
        assert_eq!(deadline(1_800_000_005_000, now), at(1_800_000_005_000));
        assert_eq!(deadline(1_799_999_999_000, now), at(1_799_999_999_000), "it is over");
        assert_eq!(deadline(600_000, now), at(1_800_000_600_000));
    }
}
