//! How AWS's services are called.
//!
//! In reading order: [`clients`] makes the SDK's clients; `shortcut` makes the calls that every event makes, out of the SDK's
//! own parts and with less CPU time than the SDK takes (`DESIGN.md` says how much less, and why it is done); `signed_call` makes
//! a call for which the SDK has no client, or none that is linked; `sigv4` signs, for both; `event_stream` reads the answers
//! that are streams of events (`dispatch`, too); `download` gets a file that is not AWS's, by the
//! same HTTP client (`dispatch`, too).
//!
//! This room imports `time` (the time-outs of a call).

pub mod clients;
#[cfg(feature = "dispatch")]
pub mod download;
#[cfg(feature = "dispatch")]
pub mod event_stream;
pub(crate) mod shortcut;
pub mod signed_call;
mod sigv4;
