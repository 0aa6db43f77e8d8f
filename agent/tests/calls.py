"""Calls of tools without agent-settle: straight at the Gateway's stand-in, and kept in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import botocore.session
import httpx

from slack_agent import Call, Question
from slack_agent.journal import Journal
from slack_agent.thinking.gateway import Signature

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}


def with_calls(question: Question, gateway_url: str, earlier: tuple[Call, ...] = ()) -> Question:
    """The question as a worker gives it to `think`."""
    def make(n: int, tool: str, arguments: str) -> Call:
        asked = json.loads(arguments)
        return Call(n, tool, asked, "called", call_tool(gateway_url, tool, asked))

    journal = Journal(make, lambda: earlier, max((call.n for call in earlier), default=0))
    return replace(question, call=journal.call, calls=journal.calls)


def call_tool(gateway_url: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    params = {"name": tool, "arguments": dict(arguments)}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    signature = Signature(botocore.session.get_session(), "us-east-1")
    response = httpx.post(gateway_url, json=request, headers=HEADERS, auth=signature)
    assert response.status_code == 200, response.text
    data = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
    result = json.loads(data[-1] if data else response.text)["result"]
    assert isinstance(result, dict)
    return result
