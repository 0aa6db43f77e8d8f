"""An agent that takes Slack events from agent-dispatch, thinks, and answers through AgentCore Gateway."""
