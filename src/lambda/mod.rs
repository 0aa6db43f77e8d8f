//! Lambda's side.

pub mod http;
pub mod process;
pub mod runtime;
