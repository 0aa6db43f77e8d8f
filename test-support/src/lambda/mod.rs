//! Lambda: [`RuntimeApi`] is its side of the Runtime API, [`Lambda`] a function's process behind one, [`http_api`] has the
//! events that API Gateway makes of requests, [`invoke_api`] the API by which functions invoke each other, [`answers`] what the ingress is to answer.

pub mod answers;
mod environment;
pub mod http_api;
pub mod invoke_api;
mod runtime_api;

pub use environment::{Lambda, Reply, output, reply};
pub use runtime_api::{Ended, Invoked, RuntimeApi};

use std::collections::HashMap;
use std::time::Duration;

/// The function's time-out, as it is deployed: a little above Slack's 3 seconds.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The X-Ray header that an invocation has, unless a test gives it another one.
pub const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// What Lambda puts into the environment of a function, whatever its runtime: AWS's runtime for Rust does not start
/// without its name, its version and its memory.
pub fn function_variables(name: &str, memory_mb: u32) -> impl Iterator<Item = (String, String)> + use<> {
    [
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// The environment of an ingress under test: the signing secret is [`SECRET`](crate::slack::SECRET), the credentials are
/// the emulators'. `more` is added to it, or replaces what is there.
#[must_use]
pub fn variables<const N: usize>(more: [(&str, &str); N]) -> HashMap<String, String> {
    let mut variables: HashMap<_, _> = function_variables("slack-ingress", 256).collect();
    let secret = [("SLACK_SIGNING_SECRET", crate::slack::SECRET)];
    let others = crate::aws::VARIABLES.into_iter().chain(secret).chain(more);
    variables.extend(others.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}
