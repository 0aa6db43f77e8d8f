"""What a message says, and the headers of Slack's retry, as Bolt's requests take them.

A command's body is the form's fields as one JSON object, an interaction's is its `payload`, an event's is the event:
each is what Bolt's own parser would have made of Slack's request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .message import Message

KINDS = ("event", "command", "interaction")


class Malformed(Exception):
    """The message is nothing that the ingress puts on a queue. The text quotes nothing of it."""


def payload(message: Message) -> dict[str, Any]:
    if message.kind not in KINDS:
        raise Malformed(f"the message attribute `kind` is none of {', '.join(KINDS)}")
    try:
        body = json.loads(message.body)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON that Python can read") from error
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object")
    return body


def retry_headers(message: Message) -> dict[str, str | Sequence[str]]:
    """As in Bolt's own Socket Mode: only on one of Slack's retries. Not to be confused with SQS's redeliveries."""
    found = {f"x-slack-{name.replace('_', '-')}": message.attributes.get(name) for name in ("retry_num", "retry_reason")}
    return {name: value for name, value in found.items() if value}
