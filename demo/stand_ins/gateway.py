"""Plays AgentCore Gateway: an MCP server (streamable HTTP) that lets in signed requests and calls other APIs, each with its
own credential.

There are two of them, and a third one with several workspaces, each with its own callers and its own targets, from the
documents in cdk/tools that the CDK deploys too. The agent's has the targets `slack` and `canvases`, which
have the bot token, and if it is asked for `trello`; agent-settle's has one of its own, also called `slack`. The stand-ins for Slack's Web API and for Trello's REST API take the
place of the servers in the documents. As with the real Gateway, a tool is called `<target>___<operationId>`, a caller must
have signed the request (SigV4, service `bedrock-agentcore`), and only the Gateway knows the credentials. One POST of
`tools/call` is enough; no session has to be begun.

AWS's documentation says: the names of the tools; that a tool that failed returns a result with `isError`; that the text
of this result gives the cause if the Gateway's exception level is DEBUG, and otherwise says only that an internal error
occurred. It does not say, and is guessed here: the wording of that text (here it has the status and the body of the API's
answer but not the headers, so Retry-After is lost); that a name that is no tool's is such a result too; that `ok: false`
with status 200 is a result like any other; that the parameters of path, query and body are one list of arguments; how a
result that is a list looks; that there is one space between a credential and its prefix; the body of a 403. Not checked
here: policies, the session token, limits, whether the arguments fit the document.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx2
import uvicorn
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers.openapi import OpenAPIProvider
from fastmcp.tools import ToolResult
from starlette.middleware import Middleware as HttpMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stand_ins.sigv4 import Request, Verifier

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "cdk/tools"
START_LIMIT_SECONDS = 20
TARGET_LIMIT_SECONDS = 60
INTERNAL_ERROR = "An internal error occurred. Please retry later."


@dataclass
class Credential:
    """What the Gateway adds to each call of an API: the header `Authorization: <prefix> <secret>`. `secret` may be changed
    at any time, as in the real Gateway's secret."""

    secret: str
    prefix: str = "Bearer"

    async def add_to(self, request: httpx2.Request) -> None:
        request.headers["Authorization"] = f"{self.prefix} {self.secret}"


@dataclass(frozen=True)
class Target:
    """An API whose operations are tools."""

    name: str
    document: pathlib.Path
    url: str
    """Takes the place of the server in the document."""
    credential: Credential


def agent_targets(slack_url: str, bot_token: Credential, trello_url: str | None = None,
                  trello: Credential | None = None) -> list[Target]:
    """The targets of the agent's Gateway, as cdk/lib/agent/stack.ts deploys them: with those for Trello only if they are
    asked for."""
    targets = [Target("slack", DOCUMENTS / "slack.openapi.json", slack_url, bot_token),
               Target("canvases", DOCUMENTS / "slack_canvases.openapi.json", slack_url, bot_token)]
    if trello_url is not None and trello is not None:
        targets.append(Target("trello", DOCUMENTS / "trello.openapi.json", trello_url, trello))
    return targets


def settle_targets(slack_url: str, bot_token: Credential,
                   more: Mapping[str, Credential] = MappingProxyType({})) -> list[Target]:
    """The targets of agent-settle's Gateway: one for the first installation, and one for each of `more`."""
    tokens = {"slack": bot_token} | {f"slack-{tenant.lower()}": token for tenant, token in more.items()}
    return [Target(name, DOCUMENTS / "settle.openapi.json", slack_url, token) for name, token in tokens.items()]


def workspace_targets(slack_url: str, tokens: Mapping[str, Credential]) -> list[Target]:
    """The targets of the Gateway with the model's tools in each workspace, as cdk/lib/agent/workspaces.ts deploys them."""
    return [Target(f"{it.name}-{tenant.lower()}", it.document, it.url, token)
            for tenant, token in tokens.items() for it in agent_targets(slack_url, token)]


class Gateway:
    """`with Gateway(targets) as gateway:` serves the Gateway at `gateway.url`. A caller must sign with the credentials in
    `gateway.env`."""

    def __init__(
        self,
        targets: Sequence[Target],
        access_key: str = "AKIAEXAMPLE000000000",
        secret_key: str = "made-up-secret",
        region: str = "us-east-1",
        exception_level: str | None = "DEBUG",
        port: int = 0,
        others: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`others` may call it, too: their access keys and secret keys."""
        self._clients = {target.name: client_of(target) for target in targets}
        self._calls: list[str] = []
        self._guard = Guard({access_key: secret_key} | dict(others), region)
        server = FastMCP("gateway", middleware=[Calls(self._calls, exception_level)], providers=[
            OpenAPIProvider(openapi(target), self._clients[target.name], mcp_component_fn=prefix(target.name),
                            validate_output=False)
            for target in targets
        ])
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

    def _run(self) -> None:
        # These would print lost connections and the APIs' errors, which the tests cause on purpose.
        for name in ("fastmcp", "mcp", "httpx2", "uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        logging.getLogger("fastmcp").setLevel(logging.CRITICAL)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for client in self._clients.values():
                await stack.enter_async_context(client)
            await self._server.serve([self._socket])


def client_of(target: Target) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=target.url, timeout=TARGET_LIMIT_SECONDS,
        event_hooks={"request": [target.credential.add_to], "response": [only_success]},
        limits=httpx2.Limits(max_connections=None),
    )


def openapi(target: Target) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(target.document.read_text())
    return document | {"servers": [{"url": target.url}]}


def prefix(target: str) -> Callable[[Any, Any], None]:
    def rename(_route: Any, tool: Any) -> None:
        # FastMCP's parameter `mcp_names` would turn the three underscores into one.
        tool.name = f"{target}___{tool.name}"

    return rename


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

    def __init__(self, keys: Mapping[str, str], region: str) -> None:
        self._verifier = Verifier(keys, region)
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
