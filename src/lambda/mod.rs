//! Lambda's side of the functions. With the binaries the only user of `lambda_http` and `lambda_runtime`.
//!
//! In reading order: [`serve`] runs a function; `features` says in the program what is built into it; [`untrusted`] reduces
//! an HTTP event to what we need, before the library reads it; [`http`] turns the library's request into what the steps read,
//! and their outcome into an answer.
//!
//! This room imports `ingress` (what its steps read), `slack` (attempt, encoding, rejection), `telemetry` (the report, the log) and
//! `time`.

mod features;
pub mod http;
pub mod serve;
pub mod untrusted;
