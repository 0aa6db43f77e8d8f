"""Plays Slack's Web API: chat.postMessage and reactions.add, on a free port of the loopback interface.

It answers as Slack documents: an error has status 200 and `ok` false; only `ratelimited` has status 429. It does not
check members, scopes or blocks, and it limits the rate of posts only when a test tells it to.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Collection
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

HOLD_LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Post:
    channel: str
    text: str
    thread_ts: str | None
    ts: str
    at: float
    """When the post arrived, by `time.monotonic()`."""


@dataclass(frozen=True)
class Reaction:
    channel: str
    name: str
    timestamp: str


@dataclass(frozen=True)
class Reply:
    body: dict[str, Any]
    status: int = 200
    retry_after: int | None = None


def failure(error: str) -> Reply:
    return Reply({"ok": False, "error": error})


class SlackApi:
    """`with SlackApi(token) as slack:` serves the API. The methods ending in `_next` change the answers to the next
    calls."""

    def __init__(self, token: str = "xoxb-made-up", unknown_channels: Collection[str] = (), port: int = 0) -> None:
        self.token = token
        self._unknown_channels = frozenset(unknown_channels)
        self._changed = threading.Condition()
        self._posts: list[Post] = []
        self._reactions: list[Reaction] = []
        self._calls = 0
        self._to_limit, self._retry_after = 0, 1
        self._failures: list[str] = []
        self._to_drop = 0
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._server = Server(("127.0.0.1", port), handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="slack-api", daemon=True).start()

    def stop(self) -> None:
        self.release_answers()
        self._server.shutdown()
        self._server.server_close()

    @property
    def posts(self) -> list[Post]:
        with self._changed:
            return list(self._posts)

    @property
    def reactions(self) -> list[Reaction]:
        with self._changed:
            return list(self._reactions)

    @property
    def calls(self) -> int:
        """The number of calls, including those that were refused."""
        with self._changed:
            return self._calls

    def wait_for_posts(self, count: int, seconds: float = 10) -> list[Post]:
        """Returns all posts as soon as there are `count` of them."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._posts) >= count, seconds)
            assert came, f"{len(self._posts)} posts arrived within {seconds:g} s, expected {count}"
            return list(self._posts)

    def rate_limit_next(self, calls: int, retry_after: int = 1) -> None:
        with self._changed:
            self._to_limit, self._retry_after = calls, retry_after

    def fail_next(self, error: str, calls: int = 1) -> None:
        with self._changed:
            self._failures += [error] * calls

    def drop_answers_next(self, calls: int = 1) -> None:
        """The next calls take effect, but the connection is closed without an answer."""
        with self._changed:
            self._to_drop = calls

    def hold_answers(self) -> None:
        """From now on calls take effect, but their answers are sent only after `release_answers`."""
        self._may_answer.clear()

    def release_answers(self) -> None:
        self._may_answer.set()

    def answer(self, method: str, authorization: str | None, fields: dict[str, Any]) -> Reply | None:
        """The reply to a call; None if the connection is to be closed without an answer."""
        with self._changed:
            self._calls += 1
            reply = self._refusal(authorization) or self._take_effect(method, fields)
            drops = self._to_drop > 0 and reply.body["ok"]
            self._to_drop -= drops
            self._changed.notify_all()
        self._may_answer.wait(HOLD_LIMIT_SECONDS)
        return None if drops else reply

    def _refusal(self, authorization: str | None) -> Reply | None:
        if authorization is None:
            return failure("not_authed")
        if authorization != f"Bearer {self.token}":
            return failure("invalid_auth")
        if self._to_limit > 0:
            self._to_limit -= 1
            return Reply({"ok": False, "error": "ratelimited"}, 429, self._retry_after)
        return failure(self._failures.pop(0)) if self._failures else None

    def _take_effect(self, method: str, fields: dict[str, Any]) -> Reply:
        channel = fields.get("channel")
        if method not in ("chat.postMessage", "reactions.add"):
            return failure("unknown_method")
        if not isinstance(channel, str) or not channel or channel in self._unknown_channels:
            return failure("channel_not_found")
        if method == "chat.postMessage":
            return self._post(channel, fields)
        name, timestamp = fields.get("name"), fields.get("timestamp")
        if not isinstance(name, str) or not name:
            return failure("invalid_name")
        if not isinstance(timestamp, str):
            return failure("bad_timestamp")
        reaction = Reaction(channel, name, timestamp)
        if reaction in self._reactions:
            return failure("already_reacted")
        self._reactions.append(reaction)
        return Reply({"ok": True})

    def _post(self, channel: str, fields: dict[str, Any]) -> Reply:
        text, thread_ts = fields.get("text"), fields.get("thread_ts")
        if not isinstance(text, str) or not text:
            return failure("no_text")
        if thread_ts is not None and not isinstance(thread_ts, str):
            return failure("invalid_thread_ts")
        ts = f"{int(time.time())}.{len(self._posts) + 1:06}"
        self._posts.append(Post(channel, text, thread_ts, ts, time.monotonic()))
        message = {"type": "message", "user": "U0STANDIN", "bot_id": "B0STANDIN", "text": text, "ts": ts}
        if thread_ts is not None:
            message["thread_ts"] = thread_ts
        return Reply({"ok": True, "channel": channel, "ts": ts, "message": message})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # With the default of 5, connections are refused when many conversations are answered at the same time.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: a client that did not wait for the answer is no error of the server."""


def handler(slack: SlackApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is written as a whole. Otherwise its body would wait until the client has acknowledged the headers.
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            method = self.path.removeprefix("/api/")
            fields = parse(self.headers.get_content_type(), body)
            if fields is None:
                reply: Reply | None = failure("invalid_json")
            else:
                reply = slack.answer(method, self.headers.get("Authorization"), fields)
            if reply is None:
                self.close_connection = True
                return
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            content = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            if reply.retry_after is not None:
                self.send_header("Retry-After", str(reply.retry_after))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def parse(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The fields of a call, from JSON or from a form, as Slack accepts both. None if the JSON is not an object."""
    if content_type != "application/json":
        return dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
    try:
        fields = json.loads(body)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
