//! Everything that Slack dictates: how a request is signed, and what its bytes mean.

pub mod payload;
pub mod retries;
pub mod secrets;
pub mod signature;
