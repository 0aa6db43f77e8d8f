"""Payloads as agent-dispatch sends them, around whole events as Slack sends them."""

from __future__ import annotations

import copy
import itertools
import json
import pathlib
from typing import Any

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/invocation.schema.json").read_text())
SESSION = "slack-" + "0" * 64
_numbers = itertools.count(1)


def slack_event(name: str) -> dict[str, Any]:
    """Reads an event from demo/events or from the fixtures of the Rust tests."""
    for folder in ("demo/events", "tests/fixtures/events", "tests/fixtures/forms"):
        path = ROOT / folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
    raise FileNotFoundError(name)


def new_record() -> str:
    """The key of the record of a question that has not been asked yet."""
    return f"dispatch#A0APP:C0AGENT:1793613655.{next(_numbers):06}"


def asked(record: str, token: str, text: str = "how long is the queue?", *, receives: int = 1,
          trace_header: str | None = None, files: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The invocation for a mention."""
    _, channel, ts = record.removeprefix("dispatch#").split(":")
    body = slack_event("app_mention")
    body["event"] |= {"channel": channel, "text": f"<@U05L0GQ7BFD> {text}", "ts": ts}
    place = {"tenant": None, "api_app_id": "A0APP", "team_id": "T0TEAM", "channel": channel, "thread_ts": ts,
             "user": "U0ASKS", "asked_at": ts, "response_url": None}
    question = {"id": record.removeprefix("dispatch#"), "text": text, "place": place}
    if files is not None:
        question["files"] = files
    traced = {} if trace_header is None else {"trace_header": trace_header}
    return checked(payload(body, "app_mention", question, {"record": record, "token": token}, receives) | traced)


def no_question(name: str = "reaction_added") -> dict[str, Any]:
    return checked(payload(slack_event(name), name, None, {"record": new_record(), "token": "0" * 32}, 1))


def payload(body: dict[str, Any], kind: str, question: Any, work: Any, receives: int) -> dict[str, Any]:
    event_id = f"Ev{next(_numbers):06}"
    attributes = {"kind": "event", "type": kind, "event_id": event_id, "received_at": "1793613655000"}
    return {"version": 2, "event_id": event_id, "attempt": receives, "attributes": attributes, "body": body,
            "question": question, "work": work}


def checked(payload: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(payload, SCHEMA)
    return payload


def without(payload: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """A copy in which the field of this path is gone, or has this value."""
    changed = copy.deepcopy(payload)
    *parents, name = path.split(".")
    inner = changed
    for parent in parents:
        inner = inner[parent]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return changed
