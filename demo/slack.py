"""Plays the side of Slack that an app's request URL sees: signs a body and posts it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

PATH = "/slack/events"
# Slack waits this long for an answer. Then it closes the connection and sends the event again.
SLACK_LIMIT_SECONDS = 3.0


@dataclass(frozen=True)
class Retry:
    """What Slack says in the headers of a retry."""

    num: int
    reason: str


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    millis: float


class NoAnswer(Exception):
    """The connection broke, or the answer took too long."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Slack's v0 signature. The secret looks like hexadecimal digits, but it is used as text, not decoded."""
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def signed_headers(secret: str, body: bytes, content_type: str = "application/json", retry: Retry | None = None,
                   age_seconds: int = 0) -> dict[str, str]:
    """The headers of a request that Slack signed `age_seconds` ago."""
    timestamp = int(time.time()) - age_seconds
    headers = {
        "Content-Type": content_type,
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": str(timestamp),
        "X-Slack-Signature": sign(secret, timestamp, body),
    }
    if retry:
        headers["X-Slack-Retry-Num"] = str(retry.num)
        headers["X-Slack-Retry-Reason"] = retry.reason
    return headers


@dataclass(frozen=True)
class Slack:
    """Posts to a function on this machine."""

    port: int
    secret: str

    def post(
        self,
        body: bytes,
        retry: Retry | None = None,
        age_seconds: int = 0,
        limit_seconds: float = SLACK_LIMIT_SECONDS,
        meanwhile: Callable[[], None] = lambda: None,
        content_type: str = "application/json",
    ) -> Answer:
        """Posts `body` as if it had been signed `age_seconds` ago. Calls `meanwhile` again and again until the answer
        arrives. Raises NoAnswer if there is none within the limit."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SLACK_LIMIT_SECONDS)
        headers = signed_headers(self.secret, body, content_type, retry, age_seconds)
        start = time.monotonic()
        try:
            connection.request("POST", PATH, body, headers)
            # Not `select`, which takes no descriptor above 1023: the tests of many worlds have more.
            with selectors.DefaultSelector() as selector:
                selector.register(connection.sock, selectors.EVENT_READ)
                while not selector.select(0.1):
                    meanwhile()
                    if time.monotonic() - start > limit_seconds:
                        raise NoAnswer(f"no answer within {limit_seconds:g} s")
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        return Answer(response.status, answer, (time.monotonic() - start) * 1000)
