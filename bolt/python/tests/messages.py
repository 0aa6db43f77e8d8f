"""Slack's payloads, as Slack would send them to Bolt and as the ingress puts them on the queue."""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
import time
import urllib.parse
from dataclasses import dataclass, replace
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parents[2] / "tests/fixtures"
# What the ingress answers by itself, and never puts on the queue.
NOT_ON_THE_QUEUE = {"app_rate_limited", "url_verification", "ssl_check", "ssl_check_of_a_command", "block_suggestion"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sample:
    name: str
    kind: str
    body: dict[str, Any]

    @property
    def type(self) -> str:
        if self.kind == "event":
            return self.body["event"]["type"]
        return self.body["command"] if self.kind == "command" else self.body["type"]

    @property
    def text(self) -> str:
        return json.dumps(self.body, ensure_ascii=False)

    def http(self) -> tuple[str, str]:
        """The request's body and content type."""
        if self.kind == "event":
            return self.text, "application/json"
        fields = self.body if self.kind == "command" else {"payload": self.text}
        return urllib.parse.urlencode(fields), "application/x-www-form-urlencoded"

    def at(self, slack_url: str) -> Sample:
        """With response URLs that lead to the stand-in of Slack."""
        return replace(self, body=json.loads(self.text.replace("https://hooks.slack.com", slack_url)))

    def changed(self, **fields: Any) -> Sample:
        return replace(self, body=self.body | fields)

    @property
    def event_id(self) -> str:
        return self.body.get("event_id") or hashlib.sha256(self.text.encode()).hexdigest()


def samples() -> list[Sample]:
    found = []
    for folder, kind in ((FIXTURES / "events", "event"), (FIXTURES / "forms", ""), (HERE / "payloads", "")):
        for file in sorted(folder.glob("*.json")):
            if file.stem not in NOT_ON_THE_QUEUE:
                body = json.loads(file.read_text())
                found.append(Sample(file.stem, kind or ("command" if "command" in body else "interaction"), body))
    assert len(found) > 35
    return found


def sample(name: str) -> Sample:
    return next(it for it in samples() if it.name == name)


def attributes(it: Sample, **changes: str | None) -> dict[str, str]:
    """As docs/reference.md says."""
    all_of_them = {
        "kind": it.kind, "type": it.type, "event_id": it.event_id, "received_at": str(int(time.time() * 1000)),
        "api_app_id": it.body.get("api_app_id"),
    } | changes
    return {name: value for name, value in all_of_them.items() if value is not None}


def record(it: Sample, *, fifo: str | None = None, body: str | None = None, receive_count: int = 1,
           **changes: str | None) -> dict[str, Any]:
    """A record of Lambda's event. `fifo`: the message group on a FIFO queue."""
    system = {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": str(int(time.time() * 1000)),
              "MessageGroupId": fifo or "T061EG9R6"}
    return {
        "messageId": f"00000000-0000-4000-8000-{next(_numbers):012}", "receiptHandle": "a-handle",
        "body": it.text if body is None else body, "attributes": system,
        "messageAttributes": {name: {"stringValue": value, "dataType": "String", "stringListValues": []}
                              for name, value in attributes(it, **changes).items()},
        "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:events{'.fifo' if fifo else ''}",
    }


def event(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def failures(answer: dict[str, Any]) -> list[str]:
    return [it["itemIdentifier"] for it in answer["batchItemFailures"]]


class Context:
    """Lambda's context, as far as the handler looks at it."""

    def __init__(self, seconds: float = 60) -> None:
        self._until = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._until - time.monotonic()) * 1000))
