//! Calls to AWS.

pub(crate) mod shortcut;
