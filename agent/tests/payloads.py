"""Payloads as agent-dispatch sends them, around whole events as Slack sends them."""

from __future__ import annotations

import itertools
import json
import pathlib
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


def slack_event(name: str) -> dict[str, Any]:
    """Reads an event from demo/events or from the fixtures of the Rust tests."""
    for folder in ("demo/events", "tests/fixtures/events", "tests/fixtures/forms"):
        path = ROOT / folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
    raise FileNotFoundError(name)


def payload(body: dict[str, Any], kind: str = "event", /, **changed: Any) -> dict[str, Any]:
    event_id = f"Ev{next(_numbers):06}"
    attributes = {"kind": kind, "type": "a_type", "event_id": event_id, "received_at": "1793613655000"}
    return {"version": 1, "event_id": event_id, "attempt": 1, "attributes": attributes, "body": body} | changed


def mention(channel: str, text: str = "how long is the queue?", **changed: Any) -> dict[str, Any]:
    body = slack_event("app_mention")
    body["event"] |= {"channel": channel, "text": f"<@U05L0GQ7BFD> {text}"}
    return payload(body, **changed)
