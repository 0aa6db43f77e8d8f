"""Plays AgentCore Gateway: an MCP server (streamable HTTP) that lets in signed requests and calls Slack with a bearer
token.

There are two of them, each with its own callers and its own document, which the CDK deploys too: the agent's has the tools
of cdk/tools/slack.openapi.json, agent-settle's own those of cdk/tools/settle.openapi.json. The stand-in for Slack's Web
API takes the place of https://slack.com/api. As with the real Gateway, a tool is called `<target>___<operationId>`, a
caller must have signed the request (SigV4, service `bedrock-agentcore`), and only the Gateway knows the bot token. One POST
of `tools/call` is enough; no session has to be begun.

AWS's documentation says: the names of the tools; that a tool that failed returns a result with `isError`; that the text
of this result gives the cause if the Gateway's exception level is DEBUG, and otherwise says only that an internal error
occurred. It does not say, and is guessed here: the wording of that text (here it has the status and the body of Slack's
answer but not the headers, so Retry-After is lost); that a name that is no tool's is such a result too; that `ok: false` with status 200 is a result like any other; the
body of a 403. Not checked here: policies, the session token, limits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pathlib
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx2
import uvicorn
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import ToolResult
from starlette.middleware import Middleware as HttpMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stand_ins.sigv4 import Request, Verifier

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "cdk/tools/slack.openapi.json"
SETTLE_DOCUMENT = ROOT / "cdk/tools/settle.openapi.json"
TARGET = "slack"
START_LIMIT_SECONDS = 20
TARGET_LIMIT_SECONDS = 60
INTERNAL_ERROR = "An internal error occurred. Please retry later."


class Gateway:
    """`with Gateway(slack.url, bot_token) as gateway:` serves the Gateway at `gateway.url`. A caller must sign with the
    credentials in `gateway.env`. `bot_token` may be changed at any time."""

    def __init__(
        self,
        slack_url: str,
        bot_token: str = "xoxb-made-up",
        document: pathlib.Path = DOCUMENT,
        access_key: str = "AKIAEXAMPLE000000000",
        secret_key: str = "made-up-secret",
        region: str = "us-east-1",
        exception_level: str | None = "DEBUG",
        port: int = 0,
    ) -> None:
        self.bot_token = bot_token
        self._slack = httpx2.AsyncClient(
            base_url=slack_url, timeout=TARGET_LIMIT_SECONDS,
            event_hooks={"request": [self._add_token], "response": [only_success]},
            limits=httpx2.Limits(max_connections=None),
        )
        self._calls: list[str] = []
        self._guard = Guard(access_key, secret_key, region)
        server = FastMCP.from_openapi(
            openapi(document, slack_url), self._slack, name="gateway", mcp_component_fn=prefix, validate_output=False,
            middleware=[Calls(self._calls, exception_level)],
        )
        # The server has no sessions, and its answers are JSON.
        guard = HttpMiddleware(self._guard)
        app = server.http_app(path="/mcp", stateless_http=True, json_response=True, middleware=[guard])
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        self.env = {"AWS_REGION": region, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the gateway stand-in did not start")
            self._thread.join(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_LIMIT_SECONDS)
        self._socket.close()

    @property
    def calls(self) -> list[str]:
        """The names of the tools that were called, in order."""
        return list(self._calls)

    @property
    def refused(self) -> int:
        """The number of requests that were refused because of their signature."""
        return self._guard.refused

    async def _add_token(self, request: httpx2.Request) -> None:
        request.headers["Authorization"] = f"Bearer {self.bot_token}"

    def _run(self) -> None:
        # These would print lost connections and Slack's errors, which the tests cause on purpose.
        for name in ("fastmcp", "mcp", "httpx2", "uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        logging.getLogger("fastmcp").setLevel(logging.CRITICAL)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with self._slack:
            await self._server.serve([self._socket])


def openapi(document: pathlib.Path, slack_url: str) -> dict[str, Any]:
    tools: dict[str, Any] = json.loads(document.read_text())
    return tools | {"servers": [{"url": slack_url}]}


def prefix(_route: Any, tool: Any) -> None:
    # FastMCP's parameter `mcp_names` would turn the three underscores into one.
    tool.name = f"{TARGET}___{tool.name}"


class Calls(Middleware):
    """Keeps the names of the tools that are called, and turns an exception into the result that the Gateway would
    return."""

    def __init__(self, calls: list[str], exception_level: str | None) -> None:
        self._calls, self._exception_level = calls, exception_level

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: CallNext[Any, ToolResult]) -> ToolResult:
        self._calls.append(context.message.name)
        try:
            return await call_next(context)
        except Exception as error:
            cause = str(error) if self._exception_level == "DEBUG" else INTERNAL_ERROR
            return ToolResult(content=cause, is_error=True)


async def only_success(response: httpx2.Response) -> None:
    if not response.is_success:
        body = (await response.aread()).decode(errors="replace")
        raise ToolError(f"The target answered with HTTP status {response.status_code}: {body}")


class Guard:
    """ASGI middleware that lets in requests with a valid signature, as IAM would for a single user."""

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self._verifier = Verifier({access_key: secret_key}, region)
        self.refused = 0

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            body = await whole_body(receive)
            if refusal := self._verifier.refusal(request_of(scope, body)):
                self.refused += 1
                await forbid(send, refusal.message)
            else:
                await app(scope, again(body, receive), send)

        return guarded


def request_of(scope: Scope, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return Request(scope["method"], path, query, headers, body)


async def whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that gives the app the body that was read already."""
    first = True

    async def receive_again() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def forbid(send: Send, message: str) -> None:
    content = json.dumps({"message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": content})
