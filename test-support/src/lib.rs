//! What stands in for the world around slack-ingress: Lambda, Slack, AWS, AgentCore. Each stand-in is here once. The tests
//! of the functions (`tests/suite`, `tests/simulation`), the tests of `slack-dev` and the benchmark
//! (`benches/functions`) share them.
//!
//! In this order they are easiest to read:
//!
//! 1. [`wait`] and [`servers`]: waiting for a condition; where the emulators are that `tests/servers.py` starts.
//! 2. [`http`]: the one loop that accepts connections. Every server below is a handler that it calls.
//! 3. [`slack`]: requests as Slack sends them, signed, and the files in `tests/fixtures`.
//! 4. [`lambda`]: the Lambda Runtime API, a function's process behind it, the events that API Gateway makes of
//!    requests, and the answers to compare with.
//! 5. [`aws`]: a table and a queue as the stacks create them, on an emulator; and before an emulator a proxy that fails
//!    calls and checks their signatures, or a meter that counts them.
//! 6. [`agentcore`] and [`redis`]: the agent's side, and a Redis server.
//! 7. [`gateway`], and behind it [`slack::api`]: how an answer gets into Slack. [`plan`]: what is to go wrong there.
//!
//! Some code looks like a copy of what is here, and is not: an independent second opinion, which must not share code
//! with what it judges. These are `fuzz/fuzz_targets/signature.rs`, `tests/slack_sdk_verdicts.py` (Slack's own SDK) and
//! `benches/functions/peers` (what others write today). The stand-ins in `demo/stand_ins` are in Python: they
//! play the same parts to people, with a real agent behind them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a stand-in that cannot go on has failed its test"
)]

pub mod agentcore;
pub mod aws;
pub mod gateway;
pub mod http;
pub mod lambda;
pub mod plan;
pub mod redis;
pub mod servers;
pub mod slack;
pub mod wait;
