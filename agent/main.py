"""The example agent: `python main.py`. AgentCore Runtime runs it so when this directory is deployed as code."""

import os
import sys

import slack_agent
from slack_agent.thinking import thinking

if __name__ == "__main__":
    try:
        think = thinking(os.environ)
    except slack_agent.WrongSetting as problem:
        sys.exit(f"the agent cannot start: {problem}")
    slack_agent.run(think)
