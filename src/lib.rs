//! slack-ingress: the front door for Slack apps that do slow work on AWS.
//!
//! **A 200 means that the event is durably on the queue, and it is put there once.**
//!
//! The crate is the library behind three Lambda binaries: the one of the same name; `redrive`, which sends what the
//! queue did not take; and `agent-dispatch` (cargo feature `dispatch`), which takes from the queue what an agent is to do. Data flows one way, from the request down to the store and the sink:
//!
//! ```text
//! main ─▶ wiring ─▶ config
//!   │        └────▶ ingress ─▶ signature, slack, message ─▶ dedup::*  (records)
//!   └────▶ runtime, http ─┘└─▶ report, outcome           ─▶ sink::*   (the queue)
//!
//!                               dedup::dynamodb, sink::sqs, sink::sns ─▶ shortcut (calls to AWS)
//!
//! bin/redrive        ─▶ wiring ─▶ redrive  ─▶ message ─▶ dedup::*, sink::*
//! bin/agent-dispatch ─▶ wiring ─▶ dispatch ─▶ slack, message ─▶ dedup::*, dispatch::{agent, visibility}, sink::sqs
//! ```
//!
//! [`ingress`] is the only place that knows the sequence of the steps, [`redrive`] that of a run; what decides something is pure
//! ([`signature`], [`slack`], [`message`], [`dedup::Record::verdict`], [`budget`]); only [`clock`] reads a clock.

pub mod aws;
pub mod config;
pub mod dedup;
#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod lambda;
pub mod redrive;
pub mod sink;
pub mod slack;
pub mod telemetry;
pub mod time;
pub mod wiring;
