"""An agent that gets Slack events from agent-dispatch, finds an answer, and posts it through AgentCore Gateway.

In reading order:
    event.py      the payload of an invocation, and the question in it
    work.py       accepts each event once, and works on it in the background
    thinking.py   how the agent finds its answer: the part to replace with your own
    gateway.py    posts the answer through AgentCore Gateway, at most once
    signature.py  signs the requests to the Gateway
    log.py        the log, in which no line contains what was said
"""
