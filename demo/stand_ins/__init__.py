"""Stand-ins for everything around the functions and the agent, on this machine. The demo and the tests use them.

In reading order:
    world.py      the whole way from Slack's event to the answer in Slack: starts and connects all of the parts
    functions.py  plays Lambda: runs the release binaries, behind an HTTP API and behind a queue
    agentcore.py  plays AgentCore Runtime: passes invocations on to the agent
    gateway.py    plays AgentCore Gateway: an MCP server with the agent's tools
    slack_api.py  plays Slack's Web API: accepts the agent's answers
    sigv4.py      verifies AWS's signatures, for agentcore.py and gateway.py
    processes.py  starts processes and HTTP servers that end with us

demo/slack.py plays the other side of Slack, the one that posts events. MiniStack stands in for SQS and DynamoDB.
"""
