"""Posts through AgentCore Gateway: an MCP client that signs what it sends, and posts once or not at all.

Slack's chat.postMessage has no idempotency key. So what matters about a failure is whether the message may be out:

    certainly not, and may work later   connection refused, rate limited      waits, tries again     (NotYet)
    certainly not, and never will       Slack's error, no permission          gives up               NotPosted
    nobody knows                        time-out, connection lost, a 5xx      does not try again     OutcomeUnknown

Until the tool is called, every failure is of the first two kinds.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import mcp_types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from slack_agent.log import describe, log

TOOL = "post_to_slack"
TARGET_SEPARATOR = "___"
PATIENCE_SECONDS = 300
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1, 30
CONNECT_LIMIT_SECONDS = 10
# Longer than the Gateway gives its target; Slack itself answers within a few seconds.
CALL_LIMIT_SECONDS = 60
MOST_PAGES = 20

RATE_LIMITED = ("ratelimited", "rate_limited")
# Slack says of these that part of the work may have been done.
UNKNOWN_TO_SLACK = ("internal_error", "fatal_error")
INVALID_PARAMS, METHOD_NOT_FOUND = -32602, -32601


class NotPosted(Exception):
    """It is certain that nothing was posted, and of no use to try again."""


class OutcomeUnknown(Exception):
    """Perhaps it is posted."""


class NotYet(Exception):
    """It is certain that nothing was posted; it may work later."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Gateway:
    def __init__(self, url: str, auth: httpx2.Auth, patience_seconds: float = PATIENCE_SECONDS,
                 call_limit_seconds: float = CALL_LIMIT_SECONDS) -> None:
        self._url, self._auth = url, auth
        self._patience_seconds, self._call_limit_seconds = patience_seconds, call_limit_seconds

    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        """Returns the message's ts. Raises NotPosted or OutcomeUnknown, and nothing else."""
        arguments = {"channel": channel, "text": text}
        if thread_ts is not None:
            arguments["thread_ts"] = thread_ts
        deadline = time.monotonic() + self._patience_seconds
        pauses = back_off()
        while True:
            try:
                return await self._try(arguments)
            except NotYet as reason:
                pause = next(pauses) if reason.retry_after is None else max(reason.retry_after, SHORTEST_PAUSE_SECONDS)
                if time.monotonic() + pause > deadline:
                    raise NotPosted(f"given up: {reason}") from reason
                log.warning("not posted yet, the next try is in %g s: %s", pause, reason)
                await asyncio.sleep(pause)

    async def _try(self, arguments: dict[str, str]) -> str:
        watch = Watch()
        try:
            result = await self._call(arguments, watch)
        except Exception as error:
            # mcp's own tasks fail in an exception group, or end the call with an error that they made up: so we go by
            # what we saw on the wire.
            raise verdict_on_failure(watch, leaves(error)) from error
        return ts_of(result)

    async def _call(self, arguments: dict[str, str], watch: Watch) -> mcp_types.CallToolResult:
        """One connection, one call. An agent posts seldom: a connection kept would mostly be found dead."""
        timeout = httpx2.Timeout(self._call_limit_seconds, connect=CONNECT_LIMIT_SECONDS)
        result = None
        try:
            async with (
                httpx2.AsyncClient(auth=self._auth, transport=watch, timeout=timeout) as http,
                # "legacy": the handshake that the Gateway documents.
                Client(streamable_http_client(self._url, http_client=http), mode="legacy",
                       read_timeout_seconds=self._call_limit_seconds + 5) as client,
            ):
                tool = await find_tool(client)
                params = mcp_types.CallToolRequestParams(name=tool, arguments=dict(arguments))
                # Not `client.call_tool`: it would also hold the answer to the tool's schema, and fail after the fact.
                result = await client.session.send_request(
                    mcp_types.CallToolRequest(params=params), mcp_types.CallToolResult
                )
        except Exception:
            # Once it is there, closing the connection may fail as it likes.
            if result is None:
                raise
        return result


async def find_tool(client: Client) -> str:
    """Its name is the target's, three underscores, and the operation's."""
    cursor = None
    for _ in range(MOST_PAGES):
        page = await client.session.list_tools(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        for tool in page.tools:
            if tool.name.rpartition(TARGET_SEPARATOR)[2] == TOOL:
                return tool.name
        cursor = page.next_cursor
        if cursor is None:
            break
    raise NotPosted(f"the Gateway has no tool {TOOL}")


class Watch(httpx2.AsyncBaseTransport):
    """Sees how far we came: whether the tool was called, and the status of the last answer."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self.called = False
        self.status: int | None = None
        self.retry_after: float | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST":
            return await self._inner.handle_async_request(request)
        self.status = self.retry_after = None
        self.called = json.loads(await request.aread()).get("method") == "tools/call"
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            # It did not leave.
            self.called = False
            raise
        self.status, self.retry_after = response.status_code, seconds(response.headers.get("retry-after"))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def leaves(error: BaseException) -> list[BaseException]:
    """The errors themselves, out of their exception groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def verdict_on_failure(watch: Watch, errors: list[BaseException]) -> NotYet | NotPosted | OutcomeUnknown:
    """What a call means that brought no result."""
    ours = next((error for error in errors if isinstance(error, NotPosted)), None)
    if ours is not None:
        return ours
    step = "the call" if watch.called else "the connection"
    match watch.status:
        case 429:
            return NotYet("rate limited by the Gateway", watch.retry_after)
        case int(status) if 400 <= status < 500:
            return NotPosted(f"the Gateway refused {step} with status {status}")
    codes = [error.code for error in errors if isinstance(error, MCPError)]
    # A request that was understood and refused; other errors are as good as none.
    if watch.status == 200 and codes and codes[0] in (INVALID_PARAMS, METHOD_NOT_FOUND):
        return NotPosted(f"the Gateway refused {step} with MCP error {codes[0]}")
    cause = f"status {watch.status}" if watch.status and watch.status != 200 else ", ".join(map(cause_of, errors))
    if watch.called:
        return OutcomeUnknown(f"the call was sent, but brought no result: {cause}")
    return NotYet(f"no connection to the Gateway: {cause}")


def cause_of(error: BaseException) -> str:
    return f"MCP error {error.code}" if isinstance(error, MCPError) else describe(error)


def ts_of(result: mcp_types.CallToolResult) -> str:
    """The message's ts, if Slack says that it is posted."""
    answer = slack_answer(result)
    if answer is None:
        if result.is_error and is_rate_limited(text_of(result)):
            raise NotYet("rate limited by Slack", retry_after_in(result))
        raise OutcomeUnknown("the tool failed without Slack's answer" if result.is_error else "no answer of Slack's")
    if answer["ok"] is True:
        return str(answer.get("ts"))
    error = str(answer.get("error"))
    if error in RATE_LIMITED:
        raise NotYet("rate limited by Slack", retry_after_in(result))
    if error in UNKNOWN_TO_SLACK:
        raise OutcomeUnknown(f"Slack's error is {error}")
    raise NotPosted(f"Slack's error is {error}")


def slack_answer(result: mcp_types.CallToolResult) -> dict[str, Any] | None:
    """Slack's JSON: it is the result, its text, or somewhere in the text of an error."""
    candidates = [result.structured_content, *objects_in(text_of(result))]
    return next((one for one in candidates if isinstance(one, dict) and isinstance(one.get("ok"), bool)), None)


def text_of(result: mcp_types.CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, mcp_types.TextContent))


def objects_in(text: str) -> Iterator[Any]:
    position = text.find("{")
    while position != -1:
        try:
            value, end = json.JSONDecoder().raw_decode(text, position)
        except ValueError:
            end = position + 1
        else:
            yield value
        position = text.find("{", end)


def is_rate_limited(text: str) -> bool:
    return re.search(r"\b429\b|\brate[-_ ]?limit|too many requests", text, re.IGNORECASE) is not None


def retry_after_in(result: mcp_types.CallToolResult) -> float | None:
    """Whether the Gateway passes the header on, and where, is not documented: we take it from wherever it is."""
    everything = f"{text_of(result)} {json.dumps(result.structured_content)} {json.dumps(result.meta, default=str)}"
    match = re.search(r"retry[-_ ]?after\W{1,6}(\d{1,4})\b", everything, re.IGNORECASE)
    return float(match[1]) if match else None


def seconds(header: str | None) -> float | None:
    return float(header) if header is not None and re.fullmatch(r"\d{1,4}", header) else None


def back_off() -> Iterator[float]:
    pause: float = SHORTEST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
