"""A stand-in for AgentCore Gateway: an MCP server (streamable HTTP) with IAM in front and a bearer token behind.

Its tools are made from cdk/tools/slack.openapi.json, the document that the CDK deploys, with the Slack stand-in in
place of https://slack.com/api. As with the real one, a tool is called `<target>___<operationId>`; who calls must
have signed the request (SigV4, service `bedrock-agentcore`); and only the gateway knows the bot token.

Known from AWS's documentation: the tools' names; that a tool's failure is a result with `isError`, whose text says
the cause if the gateway's exception level is DEBUG, and else only that an internal error occurred. Guessed, for no
document says it: the wording of that text, which here has the status and body of Slack's answer, but not its headers,
so that Retry-After is lost; that Slack's `ok: false` with status 200 is a result like any other; and the body of
a 403. Not checked: policies, the session token, limits.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import pathlib
import re
import socket
import threading
import urllib.parse
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "cdk/tools/slack.openapi.json"
TARGET = "slack"
SERVICE = "bedrock-agentcore"
START_LIMIT_SECONDS = 20
TARGET_LIMIT_SECONDS = 60
INTERNAL_ERROR = "An internal error occurred. Please retry later."
CLOCK_SKEW = timedelta(minutes=5)
CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class Gateway:
    """`with Gateway(slack.url, bot_token) as gateway:` serves it at `gateway.url`, to who signs with `gateway.env`."""

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
        self._slack = httpx2.AsyncClient(
            base_url=slack_url, headers={"Authorization": f"Bearer {bot_token}"}, timeout=TARGET_LIMIT_SECONDS,
            event_hooks={"response": [only_success]},
        )
        self._calls: list[str] = []
        self._guard = Guard(access_key, secret_key, region)
        server = FastMCP.from_openapi(
            openapi(document, slack_url), self._slack, name="gateway", mcp_component_fn=prefix, validate_output=False,
            middleware=[Calls(self._calls, exception_level)],
        )
        # No sessions, and answers in JSON.
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
        deadline = datetime.now() + timedelta(seconds=START_LIMIT_SECONDS)
        while not self._server.started:
            if not self._thread.is_alive() or datetime.now() > deadline:
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
        """How many requests were refused because of their signature."""
        return self._guard.refused

    def _run(self) -> None:
        # What these would say (of lost connections, of Slack's errors) is for the tests to see, not for the terminal.
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
    # `mcp_names` would make one underscore of the three.
    tool.name = f"{TARGET}___{tool.name}"


class Calls(Middleware):
    """Notes the calls, and turns an error of Slack's HTTP into what the Gateway makes of it."""

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
    """ASGI middleware: IAM's part, for one made-up user."""

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self._access_key, self._secret_key, self._region = access_key, secret_key, region
        self.refused = 0

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            body = await whole_body(receive)
            request = Request.of(scope, body)
            if problem := self.problem(request):
                self.refused += 1
                await forbid(send, problem)
            else:
                await app(scope, again(body, receive), send)

        return guarded

    def problem(self, request: Request) -> str | None:
        """Why the request is refused, if it is."""
        match = CREDENTIAL.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            return "Missing Authentication Token"
        date = request.headers.get("x-amz-date", "")
        signed_headers = match["headers"].split(";")
        if match["key"] != self._access_key:
            return "The security token included in the request is invalid."
        if (match["service"], match["region"]) != (SERVICE, self._region) or not date.startswith(match["date"]):
            return "Credential should be scoped to a valid region and to the service."
        if "host" not in signed_headers or "x-amz-date" not in signed_headers:
            return "'Host' and 'X-Amz-Date' must be signed."
        if not is_recent(date):
            return "Signature expired."
        if not hmac.compare_digest(match["signature"], self._signature(request, signed_headers, date)):
            return "The request signature we calculated does not match the signature you provided."
        return None

    def _signature(self, request: Request, signed_headers: list[str], date: str) -> str:
        """What it must be, reckoned by hand from the request as it came: the signer's library is not asked."""
        headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed_headers)
        body = hashlib.sha256(request.body).hexdigest()
        canonical = "\n".join([request.method, request.path, request.query, headers, ";".join(signed_headers), body])
        scope = f"{date[:8]}/{self._region}/{SERVICE}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self._secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, to_sign.encode(), "sha256").hex()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, scope: Scope, body: bytes) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = urllib.parse.quote(scope["path"], safe="/~")
        return cls(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)


def is_recent(date: str) -> bool:
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return abs(datetime.now(timezone.utc) - signed) <= CLOCK_SKEW


async def whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """Gives the app the body that was read."""
    first = True

    async def receive_again() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def forbid(send: Send, problem: str) -> None:
    content = json.dumps({"message": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": content})
