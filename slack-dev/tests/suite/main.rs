//! The tool as a process of its own, against endpoints that misbehave and against the real ingress.
//!
//! Tests that need servers (DynamoDB, SQS) are ignored, unless `tests/servers.py` of the project runs them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod capture;
mod play;
mod storm;
mod support;
