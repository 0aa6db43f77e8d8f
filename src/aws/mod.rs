//! Calls to AWS's services: [`clients`] makes the SDK's clients, and `shortcut` makes the calls that every event makes at a
//! third of the SDK's CPU time.

pub mod clients;
pub(crate) mod shortcut;
