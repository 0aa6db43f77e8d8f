//! The tests of the real binaries and of the services' protocols. They are one test binary, because linking the whole SDK once
//! more takes long.
//!
//! A test that needs servers is marked `#[ignore]`, so that `cargo test` says that it was left out;
//! `make test` starts the servers (`tests/servers.py`) and runs those too.
//!
//! The emulators, and therefore these tests, do not check IAM, throughput limits, and (MiniStack) the size of attributes. Request
//! signatures are checked where a proxy stands before the emulator (`sigv4.rs` of test-support).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed"
)]

mod answers;
#[cfg(target_os = "linux")] // where a library can be preloaded
mod clocks;
mod cost;
mod dedup_key;
#[cfg(all(feature = "dispatch", feature = "sns"))]
mod dispatch;
mod edges;
mod fast_path;
mod faults;
mod features;
mod field_cases;
#[cfg(feature = "dispatch")]
mod files;
mod forms;
#[cfg(feature = "dispatch")]
mod gateway;
mod guarantee;
mod init;
mod kills;
#[cfg(target_os = "linux")] // where /proc tells what a process holds
mod load;
mod log;
mod panics;
mod parking;
#[cfg(feature = "dispatch")]
mod rotation;
mod secrets;
mod shortcut;
mod sinks;
mod slack_sdk;
mod stores;
#[cfg(feature = "dispatch")]
mod streams;
mod support;
mod threat_model;
mod wire;
#[cfg(feature = "dispatch")]
mod work_stores;
