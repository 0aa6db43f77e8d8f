"""A stand-in of Slack's Web API and of its response URLs, over HTTP, that notes who called what with which token.

Any method is answered with `ok`, and with the ids that callers read from it. It checks no arguments and no scopes: the tests
compare what an app sends by one way with what it sends by another.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

BOT_ID, BOT_USER = "B0LAN0Z90", "U0LAN0Z89"  # those of the fixtures


@dataclass(frozen=True, order=True)
class Call:
    what: str
    token: str
    fields: str

    @property
    def values(self) -> dict[str, Any]:
        return json.loads(self.fields)


@dataclass
class Fault:
    status: int = 200
    body: dict[str, Any] | None = None
    hold_seconds: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class Slack:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._faults: dict[str, Fault] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def api_url(self) -> str:
        return self.url + "/api/"

    def __enter__(self) -> Slack:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, what: str, fault: Fault) -> None:
        with self._lock:
            self._faults[what] = fault

    def calls(self, what: str | None = None) -> list[Call]:
        """In the order of their arrival; without `auth.test`, which Bolt calls as it likes."""
        with self._lock:
            return [it for it in self._calls if it.what == what or (what is None and it.what != "auth.test")]

    def forget(self) -> None:
        with self._lock:
            self._calls.clear()

    def answer(self, path: str, token: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        path = path.partition("?")[0]
        what = path.removeprefix("/api/") if path.startswith("/api/") else "response_url"
        fields.pop("token", None)
        with self._lock:
            self._calls.append(Call(what, token, json.dumps(fields, sort_keys=True)))
            fault = self._faults.get(what)
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    del self._faults[what]
        if fault is not None:
            time.sleep(fault.hold_seconds)
            if fault.status != 200 or fault.body is not None:
                return fault.status, fault.body or {"ok": False}, fault.headers
        ids = {"ok": True, "ts": "1515449999.000001", "channel": fields.get("channel"), "view": {"id": "V0NEW"}}
        if what == "auth.test":
            ids |= {"url": "https://example.slack.com/", "team_id": "T061EG9R6", "bot_id": BOT_ID, "user_id": BOT_USER}
        return 200, ids, {}


def _handler(slack: Slack) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            is_json = self.headers.get_content_type() == "application/json"
            fields = json.loads(body or "{}") if is_json else dict(urllib.parse.parse_qsl(body))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or fields.get("token", "")
            status, answer, headers = slack.answer(self.path, token, fields)
            # A response_url answers "ok" as text, which nobody reads.
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    return Handler
