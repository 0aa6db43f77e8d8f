"""One message of the queue, whether Lambda or `ReceiveMessage` brought it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    message_id: str
    body: str
    attributes: Mapping[str, str]
    """The message attributes that the ingress set, as text."""
    group: str | None
    """The message group. A standard queue's messages have one as well, for fairness and not for order."""
    receive_count: int
    sent_at: int | None
    """When SQS took the message, in milliseconds since the epoch."""
    receipt_handle: str = ""

    @property
    def kind(self) -> str:
        return self.attributes.get("kind", "")

    @property
    def type(self) -> str:
        return self.attributes.get("type", "")

    @property
    def event_id(self) -> str | None:
        """The id under which the ingress recorded it."""
        return self.attributes.get("event_id") or None

    @property
    def received_at(self) -> int | None:
        """When the ingress got it from Slack, or else when SQS took it, in milliseconds since the epoch."""
        return number(self.attributes.get("received_at")) or self.sent_at


def from_lambda(record: Mapping[str, Any]) -> Message:
    """A record of the event that Lambda's event source mapping hands to a function."""
    return _message(
        record, record.get("messageAttributes"), record.get("attributes"), "stringValue", "messageId", "body",
        "receiptHandle",
    )


def from_sqs(message: Mapping[str, Any]) -> Message:
    """A message as `ReceiveMessage` returns it."""
    return _message(
        message, message.get("MessageAttributes"), message.get("Attributes"), "StringValue", "MessageId", "Body",
        "ReceiptHandle",
    )


def _message(
    it: Mapping[str, Any], attributes: Mapping[str, Any] | None, system: Mapping[str, Any] | None, value: str,
    message_id: str, body: str, handle: str,
) -> Message:
    texts = {name: attribute.get(value) for name, attribute in (attributes or {}).items()}
    system = system or {}
    return Message(
        message_id=it[message_id],
        body=it.get(body) or "",
        attributes={name: text for name, text in texts.items() if isinstance(text, str)},
        group=system.get("MessageGroupId"),
        receive_count=number(system.get("ApproximateReceiveCount")) or 1,
        sent_at=number(system.get("SentTimestamp")),
        receipt_handle=it.get(handle) or "",
    )


def number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 20 else None
