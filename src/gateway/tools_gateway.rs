//! The tools that the agent's model may use, by the Gateway that has them. It is another one than that of agent-settle's own tools.

use aws_config::SdkConfig;
use serde_json::{Map, Value};
use std::time::Duration;

use super::agent_core::SERVICE;
use super::tool_call::{HEADERS, Reached, is_complete, reached, request};
use super::{AgentTools, ToolOutcome};
use crate::aws::signed_call::{self, SignedCalls, TimeLimits};
use crate::time::clock::Moment;

/// How long a call may take. agent-settle's own end comes a little later.
pub const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_millis(2500), call: Duration::from_secs(28) };

/// The tools of one Gateway.
#[derive(Debug)]
pub struct ToolsGateway {
    calls: SignedCalls,
    url: String,
}

impl ToolsGateway {
    /// The Gateway at `url`. It is in the region of the configuration, and called with its credentials.
    ///
    /// # Errors
    /// When the configuration has no region or no credentials; the text says which.
    pub fn new(aws: &SdkConfig, url: &str) -> Result<Self, &'static str> {
        Ok(Self { calls: SignedCalls::new(aws, TIME_LIMITS)?, url: url.to_owned() })
    }
}

impl AgentTools for ToolsGateway {
    async fn call(&self, tool: &str, arguments: &Map<String, Value>, until: Moment) -> ToolOutcome {
        let body = request(tool, arguments);
        let post =
            signed_call::Post { url: &self.url, service: Some(SERVICE), headers: &HEADERS, body: &body };
        match reached(self.calls.post(post, self.calls.deadline(until), is_complete).await) {
            Reached::Tool(result) => ToolOutcome::Answered(result),
            Reached::NotTheTool { reason, .. } => ToolOutcome::NotCalled { reason },
            Reached::Unknown { reason } => ToolOutcome::Unknown { reason },
        }
    }
}
