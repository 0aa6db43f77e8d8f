"""A proxy between the agent and the stand-in for the Gateway, which fails when a test tells it to."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Proxy:
    """Passes requests on unchanged, with their signatures. Each fault is for one request of one MCP method."""

    def __init__(self, target: str) -> None:
        self.target = urllib.parse.urlsplit(target).netloc
        self.seen: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mcp"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail_next(self, method: str, *faults: Fault) -> None:
        self.faults.setdefault(method, []).extend(faults)


class Fault:
    """What goes wrong with a request. `change`: bytes of the body that are reversed before the request is passed on.
    `mcp_error`: the code of an MCP error to answer with. `status`, `headers`, `body`: the answer. Otherwise the
    connection is closed without an answer; with `forward`, the request is passed on before that."""

    def __init__(self, status: int | None = None, headers: dict[str, str] | None = None, forward: bool = False,
                 body: bytes = b"{}", change: bytes | None = None, mcp_error: int | None = None) -> None:
        self.status, self.headers, self.forward, self.body = status, headers or {}, forward, body
        self.change, self.mcp_error = change, mcp_error


LOSE_ANSWER = Fault(forward=True)
"""The request takes effect, but the connection is closed without an answer."""
LOSE_REQUEST = Fault()
"""The connection is closed, and the request has no effect."""


def handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = json.loads(body)
            method = message["method"]
            proxy.seen.append(method)
            faults = proxy.faults.get(method)
            fault = faults.pop(0) if faults else None
            if fault is None:
                self._send(*self._forward(body))
            elif fault.change is not None:
                self._send(*self._forward(body.replace(fault.change, fault.change[::-1])))
            elif fault.mcp_error is not None:
                error = {"code": fault.mcp_error, "message": "made up"}
                answer = {"jsonrpc": "2.0", "id": message["id"], "error": error}
                self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
            elif fault.status is not None:
                self._send(fault.status, {"Content-Type": "application/json"} | fault.headers, fault.body)
            else:
                if fault.forward:
                    self._forward(body)
                self.close_connection = True

        def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(proxy.target, timeout=10)
            try:
                connection.request("POST", self.path, body, dict(self.headers))
                response = connection.getresponse()
                headers = {"Content-Type": response.headers["Content-Type"] or "text/plain"}
                return response.status, headers, response.read()
            finally:
                connection.close()

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
