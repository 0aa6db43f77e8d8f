//! slack-ingress: the front door for Slack apps that do slow work on AWS.
//!
//! **A 200 to an event that is to be forwarded means that the event is durably on the queue, or durably stored to be put there
//! (parked), or a duplicate of one that is. One event is put there once.**
//!
//! Slack sends events, slash commands and interactions by HTTP and waits three seconds for an answer. This crate verifies the
//! signature, records the event so that Slack's retries are recognized, puts it on a queue, and answers.
//!
//! # The five binaries
//! The crate is the library behind five Lambda functions. Each has a sequence of steps of its own:
//!
//! - `slack-ingress` takes Slack's requests: [`ingress`].
//! - `redrive` sends, once a minute, the events that the queue did not take: [`redrive`].
//! - `agent-dispatch` takes messages from the queue and hands their questions to an agent (cargo feature `dispatch`): `dispatch`.
//! - `agent-settle` acts for whoever works on a question: it posts the answer, once (cargo feature `dispatch`): `settle`.
//! - `token-rotation` gets new bot tokens before the old ones expire (cargo feature `dispatch`): `rotation`.
//!
//! # The rooms
//! Each module at this level is a room. Its page says what is in the room, in which order to read it, and what it imports. A
//! room imports rooms of any of the layers below it, and none of its own layer. (The tests of a room may import more.)
//!
//! ```text
//!                main.rs        bin/redrive.rs      bin/agent-dispatch.rs, agent-settle.rs, …  each sets up once, then serves
//!             ─────────────────────────────────────────────────────────────────
//!                lambda                    wiring                                   a request in, an answer out │ what makes a function
//!             ─────────────────────────────────────────────────────────────────
//!                                          config                                   environment variables
//!             ─────────────────────────────────────────────────────────────────
//!  a request ─▶  ingress     redrive     dispatch ─▶ an agent     settle ─▶ Slack     rotation   the sequences: only they know an order
//!             ─────────────────────────────────────────────────────────────────
//!                fast_path                                                          what Slack is answered at once
//!             ─────────────────────────────────────────────────────────────────
//!                telemetry      work       gateway      sink  ─▶ the queue          reports, the log │ a question's work │ tools │ messages
//!             ─────────────────────────────────────────────────────────────────
//!                dedup                                                              records of events
//!             ─────────────────────────────────────────────────────────────────
//!                slack                     aws                                      what Slack dictates │ how AWS is called
//!             ─────────────────────────────────────────────────────────────────
//!                               time                                                clock, budget, deadline
//! ```
//!
//! # In which order to read
//! This is the order of the rooms; `ARCHITECTURE.md` gives the same order by files.
//!
//! 1. [`ingress`]: what happens to a request, step by step.
//! 2. [`dedup`] and [`dedup::record`]: what a record is, and who wins it.
//! 3. [`slack`]: how a request is signed, and what its bytes mean.
//! 4. [`sink`] and [`sink::message`]: what is put on the queue.
//! 5. [`time`]: how the time of an invocation is shared among the steps.
//! 6. [`lambda`], [`config`] and [`wiring`]: how it becomes a Lambda function; then `src/main.rs`.
//! 7. [`redrive`]: the same record, used behind the ingress.
//! 8. With an agent: `slack::question`, `work`, `dispatch`, `settle`; with tokens that expire, `rotation`.
//! 9. [`fast_path`]: what Slack is answered at once, by rules.
//! 10. [`telemetry`] and [`aws`]: what is logged, and how AWS is called.
//!
//! What decides something is a pure function beside the sequence: [`slack::signature::verify`], [`slack::payload::classify`],
//! [`sink::message::Message::new`], [`dedup::record::Record::verdict`], [`time::budget::Budget`]. Only [`time::clock`] reads a
//! clock. `ARCHITECTURE.md` says which change goes to which file, and `DESIGN.md` why it is so.

// The sequences.
#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod redrive;
#[cfg(feature = "dispatch")]
pub mod rotation;
#[cfg(feature = "dispatch")]
pub mod settle;

// What the sequences use.
pub mod aws;
pub mod dedup;
pub mod fast_path;
#[cfg(feature = "dispatch")]
pub mod gateway;
pub mod sink;
pub mod slack;
pub mod telemetry;
pub mod time;
#[cfg(feature = "dispatch")]
pub mod work;

// What makes Lambda functions of the sequences.
pub mod config;
pub mod lambda;
pub mod wiring;
