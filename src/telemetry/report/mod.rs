//! What is known of a piece of work when it is over. The sequences fill these in as they go, and
//! [`crate::telemetry::metrics`] writes them down.
//!
//! A file for each sequence: [`ingress`] has the report of a request, [`redrive`] of a run, and `dispatch` of a message that
//! an agent was to get. What they share is here: how errors are kept for the log.

#[cfg(feature = "dispatch")]
pub mod dispatch;
pub mod ingress;
pub mod redrive;
#[cfg(feature = "dispatch")]
pub mod rotation;
#[cfg(feature = "dispatch")]
pub mod settle;

use std::error::Error;
use std::ops::Deref;

/// What failed during a piece of work, a line for each failure, in the order in which they happened. They are for the log, and
/// no caller sees them. A failure does not have to change the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<String>);

impl Errors {
    /// Adds a line such as `send: SQS SendMessage: dispatch failure: connection refused`: the step, the error, its causes.
    pub fn add(&mut self, step: &str, error: &(dyn Error + 'static)) {
        self.0.push(format!("{step}: {}", with_causes(error)));
    }
}

impl From<Vec<String>> for Errors {
    /// The lines as they are.
    fn from(lines: Vec<String>) -> Self {
        Self(lines)
    }
}

impl Deref for Errors {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// An error and all its causes in one line, separated by `: `. Every error says only its own part, so nothing stands twice.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::StoreError;

    #[test]
    fn an_error_is_kept_with_its_step_and_every_cause_once() {
        let inner = StoreError::new("connect", "refused");
        let mut errors = Errors::default();
        errors.add("record", &StoreError::new("DynamoDB PutItem", inner));
        errors.add("send", &std::fmt::Error);
        assert_eq!(
            *errors,
            [
                "record: DynamoDB PutItem: connect: refused",
                "send: an error occurred when formatting an argument"
            ]
        );
    }
}
