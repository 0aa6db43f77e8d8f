"""Posting a text to a command's or a button's `response_url`."""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from enum import Enum
from ssl import SSLContext
from typing import Any

# Slack's, and that of its service for the US government. Each `response_url` is `https://hooks.…/commands/…` or the like.
SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
# A `response_url` is valid for 30 minutes. One less, for the way there and a clock that is slow.
VALID_FOR_MILLIS = 29 * 60 * 1000
TIMEOUT_SECONDS = 5
# Between one attempt and the next. The listener waits meanwhile.
PAUSES_SECONDS = (0.5, 1.5)


class Sent(str, Enum):
    """What became of the text."""

    YES = "sent"
    REFUSED = "refused"
    """Slack answered that it does not take it, or was not reached at all: certainly nothing was shown."""
    UNKNOWN = "unknown"
    """The connection broke, the time was over, or Slack had a fault of its own (5xx): nobody knows whether it was shown."""
    EXPIRED = "expired"
    FOREIGN_HOST = "foreign_host"
    """The URL is not one of Slack's."""


def is_of_slack(url: str, more_origins: Sequence[str] = ()) -> bool:
    """Whether Slack gave this URL. `more_origins`: where a stand-in of Slack listens, as `http://127.0.0.1:3000`."""
    if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if "@" in parts.netloc:
        return False
    if f"{parts.scheme}://{parts.netloc}" in more_origins:
        return True
    return parts.scheme == "https" and port in (None, 443) and parts.hostname in SLACK_HOSTS


def post(
    url: str, message: dict[str, Any], logger: logging.Logger, *, timeout: float = TIMEOUT_SECONDS,
    proxy: str | None = None, ssl: SSLContext | None = None, sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Posts it once. It is tried again only if it was certainly not taken. The URL is never logged: whoever has it may post
    to it."""
    outcome = Sent.UNKNOWN
    for pause in (*PAUSES_SECONDS, None):
        try:
            status = _post(url, message, timeout, proxy, ssl)
            outcome, is_worth_another = _read(status)
            level = logging.DEBUG if outcome is Sent.YES else logging.WARNING
            logger.log(level, "The response_url answered an ack's text with status %s", status)
        except Exception as error:  # whatever it is, the listener goes on
            outcome = Sent.REFUSED if was_not_reached(error) else Sent.UNKNOWN
            is_worth_another = outcome is Sent.REFUSED
            logger.warning("An ack's text could not be posted to its response_url (%s)", type(error).__name__)
        if pause is None or not is_worth_another:
            break
        sleep(pause)
    return outcome


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would lead to where nobody has looked at the host. slack_sdk's client follows them."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, message: dict[str, Any], timeout: float, proxy: str | None, ssl: SSLContext | None) -> int:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects(), urllib.request.HTTPSHandler(context=ssl)]
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    headers = {"Content-Type": "application/json;charset=utf-8"}
    request = urllib.request.Request(url, json.dumps(message).encode(), headers, method="POST")
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _read(status: int) -> tuple[Sent, bool]:
    if 200 <= status < 300:
        return Sent.YES, False
    # A fault of Slack's may have come after the text was shown.
    return (Sent.UNKNOWN if status >= 500 else Sent.REFUSED), status == 429


def was_not_reached(error: BaseException) -> bool:
    """Whether there was no connection over which Slack could have got anything."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, ConnectionRefusedError) or type(reason).__name__ == "gaierror"
