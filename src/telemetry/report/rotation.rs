//! What is known of one run of the token rotation when it is over.

use std::time::Duration;

use super::Errors;

/// What one run did.
#[derive(Clone, Debug, Default)]
pub struct RotationReport {
    /// Each token, in the order of the configuration.
    pub tokens: Vec<TokenReport>,
    /// How long the run took.
    pub total: Duration,
    /// The calls of AWS's that failed.
    pub errors: Errors,
}

/// What became of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReport {
    /// The ARN or the name of its secret.
    pub secret: String,
    /// What became of it.
    pub outcome: TokenOutcome,
    /// How long it is good after the run; absent if it does not expire, or nobody knows when.
    pub left: Option<Duration>,
    /// Whether it expires soon, or may have.
    pub is_expiring: bool,
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// It does not expire.
    Plain,
    /// It has time.
    Fresh,
    /// There is a new one.
    Refreshed,
    /// An earlier run had got the new one and died; this run made it the current one.
    Finished,
    /// Somebody put a token meanwhile, and that one stays.
    Overtaken,
    /// Nothing was done, and nothing is wrong.
    Waits {
        /// What it waits for.
        why: &'static str,
    },
    /// There is no bot token in the secret.
    NoToken {
        /// What is there.
        why: String,
    },
    /// There is no new token or will be none, and the refresh token is good as before: the next run tries again.
    Failed {
        /// Why.
        why: String,
    },
    /// There is no new token, and no refresh token that may be used, or that Slack takes: somebody has to install the app again.
    Lost {
        /// Why.
        why: String,
    },
}

impl TokenOutcome {
    /// The outcome's name in the log, and why it came to that.
    pub fn words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Plain => ("plain", None),
            Self::Fresh => ("fresh", None),
            Self::Refreshed => ("refreshed", None),
            Self::Finished => ("finished", None),
            Self::Overtaken => ("overtaken", None),
            Self::Waits { why } => ("waits", Some(why)),
            Self::NoToken { why } => ("no_token", Some(why)),
            Self::Failed { why } => ("failed", Some(why)),
            Self::Lost { why } => ("lost", Some(why)),
        }
    }
}
