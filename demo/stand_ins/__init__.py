"""Stand-ins for everything around the functions and the agent, on this machine. The demo and the tests use them.

In reading order:
    world.py        the whole way from Slack's event to the answer in Slack: starts and connects all of the parts
    bolt_world.py   a Bolt app that answers Slack itself, and one behind the queue
    aws.py          starts MiniStack, which plays SQS and DynamoDB, and creates what the stacks create
    events.py       makes what Slack sends: mentions, edits, deletions, stops, commands
    interactions.py makes what Slack sends when somebody uses a Bolt app: buttons, shortcuts, menus, modals
    what_people_see.py  what people see in Slack of such an app
    functions.py    plays Lambda: runs the release binaries, behind an HTTP API and behind a queue
    lambda_api.py   plays Lambda's Invoke API: functions and the agent call agent-settle by it
    agentcore.py    plays AgentCore Runtime: passes invocations on to the agent
    machines.py     plays AgentCore's machines: runs the agent's processes
    gateway.py      plays AgentCore Gateway: an MCP server with tools, one for the agent and one for agent-settle
    slack_api.py    plays Slack's Web API: takes posts, shows them, shows who is at work
    slack_views.py  plays modals and home tabs, for slack_api.py
    in_process/     is loaded into a Bolt app's process: leads it to the stand-ins of Slack, plays Lambda's Node.js runtime
    harness.py      plays a harness, AgentCore's managed loop
    scheduler_api.py  plays EventBridge Scheduler: takes one-time schedules, and puts their messages on the queue
    memory_api.py   plays AgentCore Memory: takes events, finds records
    slack_hooks.py  plays hooks.slack.com: takes posts to a `response_url`
    sigv4.py        verifies AWS's signatures, for all of these
    processes.py    starts processes and HTTP servers that end with us

demo/slack.py plays the other side of Slack, the one that posts events.
"""
