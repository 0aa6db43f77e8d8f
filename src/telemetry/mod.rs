//! What the functions say about their work: in the log, and as CloudWatch metrics.
//!
//! In reading order:
//! 1. [`report`]: what is known of one request, one run or one message when it is over. The sequences fill a report in as they
//!    go.
//! 2. [`metrics`]: one log line from each report. The line is also the metrics, so no call to CloudWatch is needed.
//! 3. [`logging`]: how a line gets to standard error, and which lines of our own and of the libraries are kept.
//!
//! ```text
//! ingress, redrive, dispatch ──fill in──▶ report ──▶ metrics ──a line──▶ logging ──▶ standard error
//! ```
//!
//! Each binary takes the report that its sequence has filled in, makes the line of it, and writes the line. This room imports
//! `slack` (what is signed, what is malformed) and `time`, and no sequence, store or sink.

pub mod logging;
pub mod metrics;
pub mod report;
