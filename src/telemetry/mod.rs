//! What is said about an invocation.

pub mod logging;
pub mod metrics;
pub mod report;
