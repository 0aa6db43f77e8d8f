"""What an `ack(…)` says, and what is still possible of it behind a queue.

The ingress has answered Slack when a listener calls `ack()`. So an `ack()` without anything is what Slack has heard
already; the text of a command or of an old-style button goes to the `response_url` instead, at once and not when the
listener ends, because people write `ack("On it …")` before the work; and what only the answer itself could have done is
lost, with a warning that names the ingress's fast path.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from slack_bolt.response import BoltResponse

from .response_url import TIMEOUT_SECONDS, VALID_FOR_MILLIS, Sent, is_of_slack, post

# What Slack reads in the answer itself, and nowhere else (a menu's options, what becomes of a modal, a dialog's errors), and
# the fields by which a rule of the ingress's fast path gives such an answer.
NEEDED_AT_ONCE = {
    "options": ("options", "source", "function"),
    "option_groups": ("source", "function"),
    "response_action": ("answer", "checks", "function"),
    "errors": ("function",),
}
# The field for a command's answer.
SHOWN_TO_ALL = ("answer",)
SHOWN = ("text", "blocks", "attachments")


class FastPathWarning(UserWarning):
    """A listener answered with something that Slack reads only in the answer to its request."""


def answer_of(response: BoltResponse) -> dict[str, Any]:
    """What Slack would have read. A plain text is a message with this text."""
    body: Any = response.body or ""
    if body and response.headers.get("content-type", [""])[0].startswith("application/json"):
        try:
            body = json.loads(body)
        except ValueError:
            return {"text": body}
        return body if isinstance(body, dict) else {}
    return {"text": body} if body else {}


@dataclass(frozen=True)
class Lost:
    """What of an answer cannot be said any more, and the fields by which a rule of the fast path says it."""

    what: str
    fields: tuple[str, ...]


def lost_of(payload: Mapping[str, Any], answer: Mapping[str, Any]) -> Lost | None:
    for name, fields in NEEDED_AT_ONCE.items():
        if name in answer:
            return Lost(f"response_action={answer[name]!r}" if name == "response_action" else f"{name}=…", fields)
    # In an answer without a text it makes Slack show the command to everybody in the channel.
    if "command" in payload and answer.get("response_type") == "in_channel" and not shows_something(answer):
        return Lost("response_type='in_channel'", SHOWN_TO_ALL)
    return None


def message_of(payload: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message that Slack would have shown, as a `response_url` takes it; None if it would have shown none."""
    if not shows_something(answer):
        return None
    if "command" in payload:
        return dict(answer)
    if payload.get("type") == "interactive_message":
        # In the answer to a click such a message replaces the one that was clicked. At a response_url one has to say so.
        is_said = "replace_original" in answer or "response_type" in answer or answer.get("delete_original")
        return dict(answer) if is_said else {**answer, "replace_original": True}
    # Of every other interaction Slack ignores a text in the answer, and so do we.
    return None


def shows_something(answer: Mapping[str, Any]) -> bool:
    return any(answer.get(name) for name in SHOWN) or bool(answer.get("delete_original"))


class Acknowledgement:
    """What became of the acks of one message."""

    def __init__(
        self, payload: Mapping[str, Any], *, received_at: int | None, was_sent_before: bool, more_origins: Sequence[str],
        proxy: str | None, ssl: SSLContext | None, logger: logging.Logger,
        now_millis: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._payload, self._received_at, self._more_origins = payload, received_at, more_origins
        self._proxy, self._ssl, self._logger, self._now_millis = proxy, ssl, logger, now_millis
        self._was_sent_before = was_sent_before
        self._last: BoltResponse | None = None
        self.sent: Sent | None = None
        """What became of the text; None if there was none."""
        self.lost: str | None = None
        """What Slack would have needed at once."""

    @property
    def is_sent(self) -> bool:
        """Whether the text was shown by this delivery of the message or one before, or may have been. It is not posted
        again then: people would read it twice, and a response_url is good for five posts, which the listener may need."""
        return self._was_sent_before or self.sent in (Sent.YES, Sent.UNKNOWN)

    def take(self, response: BoltResponse, stack_level: int = 2) -> dict[str, Any] | None:
        """What `send` is to post of an ack's answer, if anything. Warns of what can no more be said."""
        if response is self._last:
            return None
        self._last = response
        answer = answer_of(response)
        lost = lost_of(self._payload, answer)
        if lost is not None:
            self._warn(lost, stack_level + 1)
            return None
        # As in Bolt, where Slack hears one answer: the first one that says something.
        if self.sent is not None or self._was_sent_before:
            return None
        return message_of(self._payload, answer)

    def send(self, message: dict[str, Any]) -> None:
        """Posts the text, and notes what became of it. It blocks meanwhile, and never fails: as in Bolt, an ack that does
        not reach Slack is no reason against the work."""
        self.sent = self._post(message)

    def _post(self, message: dict[str, Any]) -> Sent:
        url = self._payload.get("response_url")
        if not isinstance(url, str) or not is_of_slack(url, self._more_origins):
            self._logger.warning("An ack's text is not posted: the response_url is not one of Slack's")
            return Sent.FOREIGN_HOST
        if self._received_at is not None and self._now_millis() - self._received_at > VALID_FOR_MILLIS:
            self._logger.warning("An ack's text is not posted: the response_url was valid for 30 minutes")
            return Sent.EXPIRED
        return post(url, message, self._logger, timeout=TIMEOUT_SECONDS, proxy=self._proxy, ssl=self._ssl)

    def _warn(self, lost: Lost, stack_level: int) -> None:
        self.lost = lost.what
        text = (
            f"ack({lost.what}) comes too late: Slack reads it only in the answer to its request, which the ingress has "
            f"given already. For {_named(self._payload)}, give this answer by a rule of the ingress's fast path (FAST_PATH, "
            f"docs/fast-path.md) with {_listed(lost.fields)}, or use the Web API here (views.update, views.publish, "
            f"chat.postEphemeral)."
        )
        self._logger.warning(text)
        warnings.warn(text, FastPathWarning, stacklevel=stack_level + 1)


def _listed(fields: Sequence[str]) -> str:
    *others, last = [f"`{it}`" for it in fields]
    return f"{', '.join(others)} or {last}" if others else last


def _named(payload: Mapping[str, Any]) -> str:
    view = payload.get("view")
    callback_id = payload.get("callback_id") or (view.get("callback_id") if isinstance(view, Mapping) else None)
    name = str(payload.get("command") or payload.get("type"))
    return f"{name} `{callback_id}`" if callback_id else name
