//! One invocation of a Lambda function, as far as the sequences need to know it.

use crate::time::clock::UnixMillis;
use crate::time::trace::TraceHeader;
use std::time::Duration;

/// Which invocation this is, and until when it may work. `lambda` makes it from what the Runtime API says.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The id that Lambda gave to the invocation, such as `8476a536-e9f4-11e8-9739-2dfe598c3fcd`. It is the fencing token of
    /// the leases that the invocation takes, so no other invocation may have it.
    pub request_id: String,
    /// When Lambda kills the invocation, by the wall clock.
    pub deadline: UnixMillis,
    /// The trace that the invocation belongs to; absent if Lambda names none, or none that is well-formed.
    pub trace_header: Option<TraceHeader>,
}

/// The point in time that Lambda's header `Lambda-Runtime-Deadline-Ms` names, in milliseconds since the epoch ([Runtime
/// API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html)). `cargo lambda watch` sends a duration in its place,
/// always 600,000 ms: as a point in time that would be in 1970, and no step would have any time left.
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
