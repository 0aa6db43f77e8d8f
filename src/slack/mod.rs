//! Everything that Slack dictates: how a request is signed, what its bytes mean, how long Slack waits and when it asks again.
//!
//! In reading order:
//! 1. [`signature`]: whether Slack sent these bytes. Only this file can make a [`signature::Verified`].
//! 2. [`payload`]: what the bytes are. It reads nothing but a `Verified`, so nobody parses what Slack did not sign.
//! 3. [`secrets`]: where the signing secrets come from, and how they change without a deploy.
//! 4. [`apps`]: whether one app or several stand behind the function.
//! 5. [`retries`]: Slack's limit, its schedule, its reasons.
//! 6. `question` (cargo feature `dispatch`): what a message on the queue asks, in which words and where.
//! 7. `answer_text` (cargo feature `dispatch`): how an answer is made safe and divided into messages, and the apologies;
//!    `feedback`: the buttons under it, and what a click on them says; `approval`: the message that asks a person whether a
//!    tool may be called.
//! 8. `asker` (cargo feature `dispatch`): who asks, and who may; `scope`: whose use is counted together.
//! 9. [`token_secrets`]: the bot tokens that a function reads itself; `bot_token` and `oauth` (cargo feature `dispatch`): the token of an installation, and how Slack grants one.
//!
//! ```text
//! secrets ──▶ signature::verify ──Verified──▶ payload::classify ──▶ Payload
//! ```
//!
//! This room imports `time`, and the SDK of Secrets Manager.

#[cfg(feature = "dispatch")]
pub mod answer_text;
#[cfg(feature = "dispatch")]
pub mod approval;
pub mod apps;
#[cfg(feature = "dispatch")]
pub mod asker;
#[cfg(feature = "dispatch")]
pub mod bot_token;
#[cfg(feature = "dispatch")]
pub mod feedback;
#[cfg(feature = "dispatch")]
pub mod oauth;
pub mod payload;
#[cfg(feature = "dispatch")]
pub mod question;
pub mod retries;
#[cfg(feature = "dispatch")]
pub mod scope;
pub mod secrets;
pub mod signature;
pub mod token_secrets;
