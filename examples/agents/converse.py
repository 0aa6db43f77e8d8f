"""An agent of your own without a framework: Bedrock's Converse API, one tool, what was said in the thread, and the question's files.

Any other framework goes in the same way: make what it needs once, and use it for each question in `think`. This one runs as
`python examples/agents/converse.py`, with the settings of agent/README.md and `MODEL`, where the package `slack_agent` is
installed (`pip install ./agent`). The model must take images and documents; what to do about one that refuses them is in
slack_agent/thinking/bedrock.py.
"""

from __future__ import annotations

import datetime
import os
from typing import Any

import boto3

import slack_agent
from slack_agent.files import shown

TURNS = 5
CLOCK = {"name": "clock", "description": "Tells the date and the time in UTC.",
         "inputSchema": {"json": {"type": "object", "properties": {}}}}


class Agent:
    def __init__(self, model: str) -> None:
        self._model = model
        self._client = boto3.client("bedrock-runtime", region_name=os.environ["AWS_REGION"])

    def think(self, question: slack_agent.Question) -> str:
        """Runs in a thread of its own, so it may block."""
        files = shown(question)
        messages: list[dict[str, Any]] = files.put_before(slack_agent.messages(question.history(), question, max_tokens=8000))
        for _ in range(TURNS):
            response = self._client.converse(
                modelId=self._model, messages=messages, toolConfig={"tools": [{"toolSpec": CLOCK}]},
            )
            said, usage = response["output"]["message"], response["usage"]
            # Nothing is put into a cache here; what is would not be in inputTokens.
            question.used(usage["inputTokens"], usage["outputTokens"])
            calls = [block["toolUse"]["toolUseId"] for block in said["content"] if "toolUse" in block]
            if not calls or question.cancelled.is_set():
                return files.with_note("".join(block.get("text", "") for block in said["content"]))
            messages += [said, {"role": "user", "content": [result(call) for call in calls]}]
        return files.with_note("I stopped here: the question took too many steps.")


def result(call: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"toolResult": {"toolUseId": call, "content": [{"text": now}]}}


if __name__ == "__main__":
    slack_agent.run(Agent(os.environ["MODEL"]).think)
