"""AgentCore's managed loop (a harness: model, instructions and tools by configuration) behind `slack_agent`.

The harness thinks, and `slack_agent` sees to it that each question is answered once: it claims, beats, shows the words as they
come, and hands the answer over. It runs as `python examples/agents/harness.py`, with the settings of agent/README.md and
`HARNESS_ARN`, where the package `slack_agent` is installed (`pip install ./agent`). docs/agent.md says what it does not have.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

import slack_agent
from slack_agent.files import unread

# Nothing may come while a tool of the harness's is at work. To repeat a call would be to ask twice.
CLIENT = Config(read_timeout=900, retries={"mode": "standard", "total_max_attempts": 1})
# Whatever else a harness says of why it has stopped, it has not said all that it wanted to.
ENDS = ("end_turn", "stop_sequence")


class NotFinished(Exception):
    """The harness has stopped for another reason than that it was done."""


class Harness:
    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._client = boto3.client("bedrock-agentcore", region_name=os.environ["AWS_REGION"], config=CLIENT)

    def think(self, question: slack_agent.Question) -> str:
        """A harness keeps what was said in a session, so it is told the question alone. It takes no files."""
        files = unread(question)
        asked: list[dict[str, Any]] = files.put_before(slack_agent.messages((), question, max_tokens=0))
        stream = self._client.invoke_harness(
            harnessArn=self._arn, runtimeSessionId=question.session_id, messages=asked)["stream"]
        text, why = "", None
        for event in stream:
            if question.cancelled.is_set():
                stream.close()
                return ""
            if "messageStart" in event:
                # What it says before it calls a tool is not the answer.
                text = ""
            elif piece := event.get("contentBlockDelta", {}).get("delta", {}).get("text"):
                text += piece
                question.show(piece)
            elif "messageStop" in event:
                why = event["messageStop"]["stopReason"]
                question.show("\n\n")
        if why not in ENDS:
            raise NotFinished(why)
        return files.with_note(text)


if __name__ == "__main__":
    slack_agent.run(Harness(os.environ["HARNESS_ARN"]).think)
