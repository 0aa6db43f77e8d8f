"""Slack, as far as an app's request URL can tell: it signs a body and posts it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import select
import time
from collections.abc import Callable
from dataclasses import dataclass

PATH = "/slack/events"
# After this long Slack hangs up and tries again.
SLACK_LIMIT_SECONDS = 3.0


@dataclass(frozen=True)
class Retry:
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
    """The v0 signature. The secret looks like hex, but its characters themselves are the key."""
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Slack:
    port: int
    secret: str

    def post(
        self,
        body: bytes,
        retry: Retry | None = None,
        age_seconds: int = 0,
        limit_seconds: float = SLACK_LIMIT_SECONDS,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Sends `body` as if it had been signed `age_seconds` ago; `meanwhile` is called while we wait."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SLACK_LIMIT_SECONDS)
        start = time.monotonic()
        try:
            connection.request("POST", PATH, body, self._headers(body, retry, age_seconds))
            while not select.select([connection.sock], [], [], 0.1)[0]:
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

    def _headers(self, body: bytes, retry: Retry | None, age_seconds: int) -> dict[str, str]:
        timestamp = int(time.time()) - age_seconds
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": str(timestamp),
            "X-Slack-Signature": sign(self.secret, timestamp, body),
        }
        if retry:
            headers["X-Slack-Retry-Num"] = str(retry.num)
            headers["X-Slack-Retry-Reason"] = retry.reason
        return headers
