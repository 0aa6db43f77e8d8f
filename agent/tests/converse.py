"""Plays Amazon Bedrock's Converse API. The real boto3 calls it."""

from __future__ import annotations

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Converse:
    """Answers for every model with `answer` or, if it is set, with `error` (status, name of the exception, message)."""

    def __init__(self) -> None:
        self.answer: list[dict[str, Any]] = [{"text": "Forty-two."}]
        self.error: tuple[int, str, str] | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.env = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{self._server.server_address[1]}",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000", "AWS_SECRET_ACCESS_KEY": "made-up-secret",
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def handler(converse: Converse) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            converse.requests.append((urllib.parse.unquote(self.path), body))
            if converse.error:
                status, name, message = converse.error
                self._send(status, {"message": message}, {"x-amzn-ErrorType": name})
            else:
                message = {"role": "assistant", "content": converse.answer}
                usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
                self._send(200, {"output": {"message": message}, "stopReason": "end_turn", "usage": usage,
                                 "metrics": {"latencyMs": 1}}, {})

        def _send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
