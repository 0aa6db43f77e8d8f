"""An agent as people write them first, and as the example here was before: it says at once that it has the event, thinks in
the background, and posts by itself, again if it hears no answer. `make answers PROTOCOL=none` shows what that loses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.request
from typing import Any

import botocore.session
from bedrock_agentcore.runtime import BedrockAgentCoreApp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

app = BedrockAgentCoreApp()
TRIES = 5
session = botocore.session.get_session()
tasks: set[asyncio.Task[None]] = set()


@app.entrypoint
async def invoke(payload: dict[str, Any]) -> dict[str, str]:
    busy = app.add_async_task("answer")
    task = asyncio.create_task(answer(payload["question"], busy))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    # The dispatcher takes this for the end of its own part, as it once took "accepted".
    return {"status": "ignored"}


async def answer(question: dict[str, Any], busy: int) -> None:
    try:
        if found := re.search(r"\[sleep ([\d.]+)\]", question["text"]):
            await asyncio.sleep(float(found[1]))
        for _ in range(TRIES):
            try:
                await asyncio.to_thread(post, question)
                return
            except OSError:
                await asyncio.sleep(1)
    finally:
        app.complete_async_task(busy)


def post(question: dict[str, Any]) -> None:
    place = question["place"]
    arguments = {"channel": place["channel"], "thread_ts": place["thread_ts"], "text": f"You said: {question['text']}"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": {"name": "slack___post_to_slack", "arguments": arguments}}).encode()
    url = os.environ["GATEWAY_URL"]
    request = AWSRequest("POST", url, data=body, headers={
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18"})
    SigV4Auth(session.get_credentials(), "bedrock-agentcore", os.environ["AWS_REGION"]).add_auth(request)
    with urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers)), timeout=20) as response:
        result = json.load(response)["result"]
    if result.get("isError"):
        raise OSError("the post failed")


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), host="127.0.0.1")
