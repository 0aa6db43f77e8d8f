//! The tool as a process of its own: against endpoints that misbehave, against the real ingress, and against a stand-in
//! for Slack's side of Socket Mode. One test program: each one more is another link of the whole SDK.
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

#[cfg(unix)] // signals
mod audit;
mod bridge;
mod capture;
mod cost;
mod doctor;
mod fast_path;
mod install;
mod play;
mod storm;
mod support;
mod trace;
