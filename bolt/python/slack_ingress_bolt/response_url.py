"""Posting a text to a command's or a button's `response_url`."""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from slack_sdk.webhook import WebhookClient, WebhookResponse

# Slack's, and that of its service for the US government. Each `response_url` is `https://hooks.…/commands/…` or the like.
SLACK_DOMAINS = ("slack.com", "slack-gov.com")
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
    """The connection broke or the time was over: nobody knows whether it was shown."""
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
    host = parts.hostname or ""
    return (
        parts.scheme == "https"
        and port in (None, 443)
        and any(host == domain or host.endswith(f".{domain}") for domain in SLACK_DOMAINS)
    )


def post(
    client: WebhookClient, message: dict[str, Any], logger: logging.Logger, sleep: Callable[[float], None] = time.sleep
) -> Sent:
    """Posts it once. It is tried again only if it was certainly not taken."""
    outcome = Sent.UNKNOWN
    for pause in (*PAUSES_SECONDS, None):
        try:
            response = client.send_dict(message)
            outcome, is_worth_another = _read(response)
            logger.log(
                logging.DEBUG if outcome is Sent.YES else logging.WARNING,
                "The response_url answered an ack's text with status %s", response.status_code,
            )
        except Exception as error:  # whatever it is, the listener goes on
            outcome = Sent.REFUSED if was_not_reached(error) else Sent.UNKNOWN
            is_worth_another = outcome is Sent.REFUSED
            logger.warning("An ack's text could not be posted to its response_url (%s)", type(error).__name__)
        if pause is None or not is_worth_another:
            break
        sleep(pause)
    return outcome


def _read(response: WebhookResponse) -> tuple[Sent, bool]:
    if response.status_code == 200:
        return Sent.YES, False
    return Sent.REFUSED, response.status_code == 429 or response.status_code >= 500


def was_not_reached(error: BaseException) -> bool:
    """Whether there was no connection over which Slack could have got anything."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, ConnectionRefusedError) or type(reason).__name__ == "gaierror"
