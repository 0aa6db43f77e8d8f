"""Plays hooks.slack.com: the `response_url` of a command or an interaction.

Such a URL takes five posts within 30 minutes, without a token, also in a channel that the bot is no member of. Slack
documents the two limits. It does not document the answers after them; here they have status 404, and the names `used_url`
and `expired_url` that are known from reports.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from stand_ins.processes import HOST, Handler, serving

USES = 5
LIFE_SECONDS = 30 * 60


@dataclass(frozen=True)
class Response:
    """One post to a `response_url`."""

    url: str
    text: str
    response_type: str
    at: float
    """When it arrived, by `time.monotonic()`."""
    replaces: bool = False
    """Whether it takes the place of the message that somebody has clicked in."""


@dataclass
class SlackHooks:
    """`with SlackHooks().serve():` serves it at `url`."""

    url: str = ""
    responses: list[Response] = field(default_factory=list)
    # How many of the next posts are made without an answer.
    to_lose: int = 0
    _born: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serve(self) -> Iterator[SlackHooks]:
        hooks = self

        class HooksHandler(Handler):
            def do_POST(self) -> None:
                answer = hooks.answer(f"{hooks.url}{self.path}", self.body())
                if answer is None:
                    self.close_connection = True
                else:
                    self.answer(answer[0], answer[1].encode(), {"Content-Type": "text/plain"})

        with serving(HooksHandler) as port:
            self.url = f"http://{HOST}:{port}"
            yield self

    def new(self, age_seconds: float = 0, of: str = "commands") -> str:
        """A `response_url` that Slack made up `age_seconds` ago, of a command or, with `actions`, of a click."""
        url = f"{self.url}/{of}/T02QX7L8E/{secrets.randbelow(10**12)}/{secrets.token_urlsafe(18)}"
        self._born[url] = time.monotonic() - age_seconds
        return url

    def of(self, url: str) -> list[Response]:
        with self._lock:
            return [it for it in self.responses if it.url == url]

    def answer(self, url: str, body: bytes) -> tuple[int, str] | None:
        try:
            fields = json.loads(body)
            text, response_type = str(fields["text"]), str(fields.get("response_type", "ephemeral"))
            replaces = str(fields.get("replace_original", False)).lower() == "true"
        except (ValueError, KeyError, TypeError, AttributeError):
            return 400, "invalid_payload"
        with self._lock:
            if url not in self._born:
                return 404, "no_service"
            if time.monotonic() - self._born[url] > LIFE_SECONDS:
                return 404, "expired_url"
            if sum(it.url == url for it in self.responses) >= USES:
                return 404, "used_url"
            self.responses.append(Response(url, text, response_type, time.monotonic(), replaces))
            loses = self.to_lose > 0
            self.to_lose -= loses
        return None if loses else (200, "ok")
