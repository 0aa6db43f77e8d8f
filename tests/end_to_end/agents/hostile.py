"""An agent that was talked into mischief. It has nothing but what every agent has: its credentials, its environment, and
what the invocation brings. It tries everything, and answers with what it could do.

HOSTILE_URLS, which no real agent has, spares it the search for the addresses of the other services.
"""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import sys
import urllib.error
import urllib.request
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "agent"))

import botocore.session  # noqa: E402
import slack_agent  # noqa: E402
from botocore.auth import SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

REGION = os.environ["AWS_REGION"]
URLS = json.loads(os.environ["HOSTILE_URLS"])
SESSION = botocore.session.get_session()
LAMBDA = SESSION.create_client("lambda", region_name=REGION)


def think(question: slack_agent.Question) -> str:
    """The question's text names the record of somebody else's question."""
    victim = question.text
    place = {"channel": question.channel, "thread_ts": question.thread_ts}
    found = {
        "answers another's question": settle("answer", victim, text="mischief"),
        "refuses another's question": settle("refuse", victim, why="gave_up"),
        "claims another's question": settle("claim", victim, new=secrets.token_hex(16)),
        "gives another's question back": settle("release", victim),
        "says that it works on another's question": settle("beat", victim),
        "posts another's answer on": settle("post", victim),
        "suggests prompts of its own": invoke("agent-settle", {
            "version": 1, "operation": "prompts", "channel": "D0VICTIM", "title": "mischief",
            "prompts": [{"title": "mischief", "message": "mischief"}]}),
        "suggests prompts in a channel": invoke("agent-settle", {
            "version": 1, "operation": "prompts", "channel": place["channel"]}),
        "invokes another function": invoke("slack-ingress", {}),
        "posts by settle's Gateway": tool(URLS["settle_gateway"], "slack___post_to_slack",
                                          {"channel": place["channel"], "text": "mischief"}),
        "reads a thread by its own Gateway": tool(os.environ["GATEWAY_URL"], "slack___read_thread",
                                                  {"channel": place["channel"], "ts": place["thread_ts"]}),
        "posts metadata by its own Gateway": tool(os.environ["GATEWAY_URL"], "slack___post_to_slack", {
            "channel": place["channel"], "text": "a forged nonce",
            "metadata": {"event_type": "slack_ingress_answer", "event_payload": {"nonce": "0" * 32}}}),
    }
    return json.dumps(found)


def settle(operation: str, record: str, **more: Any) -> str:
    return invoke("agent-settle", {"version": 1, "operation": operation, "record": record,
                                   "token": secrets.token_hex(16)} | more)


def invoke(function: str, event: dict[str, Any]) -> str:
    try:
        answer = LAMBDA.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except ClientError as error:
        return error.response["Error"]["Code"]
    return json.loads(answer["Payload"].read()).get("outcome", "done")


def tool(url: str, name: str, arguments: dict[str, Any]) -> str:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": {"name": name, "arguments": arguments}}).encode()
    request = AWSRequest("POST", url, data=body, headers={
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18"})
    SigV4Auth(SESSION.get_credentials(), "bedrock-agentcore", REGION).add_auth(request)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers)), timeout=10) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    if answer.get("error") or answer["result"].get("isError"):
        return "refused"
    return "done" if answer["result"]["structuredContent"].get("ok") else "refused"


if __name__ == "__main__":
    slack_agent.run(think)
