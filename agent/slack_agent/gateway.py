"""Posts messages through AgentCore Gateway: an MCP client that signs its requests, and posts a message at most once.

Slack's chat.postMessage has no idempotency key. After a failure it therefore matters whether the message may be posted:

    not posted, a later attempt may succeed   connection refused, rate limited    pauses, tries again   NotYet
    not posted, no attempt will succeed       Slack's error, no permission        gives up              NotPosted
    nobody knows                              time-out, connection lost, a 5xx    does not try again    OutcomeUnknown

Every failure before the call of the tool is of the first two kinds.
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
# Longer than the Gateway waits for Slack. Slack itself answers within a few seconds.
CALL_LIMIT_SECONDS = 60
MAX_PAGES = 20

RATE_LIMITED = ("ratelimited", "rate_limited")
# With these errors, according to Slack, the message may have been posted.
ERRORS_WITH_UNKNOWN_OUTCOME = ("internal_error", "fatal_error")
INVALID_PARAMS, METHOD_NOT_FOUND = -32602, -32601


class NotPosted(Exception):
    """The message was not posted, and another attempt would not succeed."""


class OutcomeUnknown(Exception):
    """The message may or may not have been posted."""


class NotYet(Exception):
    """The message was not posted, and a later attempt may succeed. `retry_after`: the seconds to wait, if known."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Gateway:
    def __init__(self, url: str, auth: httpx2.Auth, patience_seconds: float = PATIENCE_SECONDS,
                 call_limit_seconds: float = CALL_LIMIT_SECONDS) -> None:
        self._url, self._auth = url, auth
        self._patience_seconds, self._call_limit_seconds = patience_seconds, call_limit_seconds

    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        """Posts a message and returns its ts. Raises NotPosted or OutcomeUnknown, and no other exception."""
        arguments = {"channel": channel, "text": text}
        if thread_ts is not None:
            arguments["thread_ts"] = thread_ts
        deadline = time.monotonic() + self._patience_seconds
        pauses = back_off()
        while True:
            try:
                return await self._attempt(arguments)
            except NotYet as reason:
                pause = next(pauses) if reason.retry_after is None else max(reason.retry_after, SHORTEST_PAUSE_SECONDS)
                if time.monotonic() + pause > deadline:
                    raise NotPosted(f"given up: {reason}") from reason
                log.warning("not posted yet, the next try is in %g s: %s", pause, reason)
                await asyncio.sleep(pause)

    async def _attempt(self, arguments: dict[str, str]) -> str:
        transport = ObservedTransport()
        try:
            result = await self._call(arguments, transport)
        except Exception as error:
            # The tasks of `mcp` raise exception groups, or end the call with an error of their own. What the failure
            # means therefore depends on what was sent and received.
            raise meaning_of_failure(transport, without_groups(error)) from error
        return ts_of(result)

    async def _call(self, arguments: dict[str, str], transport: ObservedTransport) -> mcp_types.CallToolResult:
        """Connects, calls the tool once and disconnects. An agent posts rarely, and a connection that it kept would
        mostly be closed by the other side when it is needed."""
        timeout = httpx2.Timeout(self._call_limit_seconds, connect=CONNECT_LIMIT_SECONDS)
        result = None
        try:
            async with (
                httpx2.AsyncClient(auth=self._auth, transport=transport, timeout=timeout) as http,
                # "legacy" is the handshake that AWS documents for the Gateway.
                Client(streamable_http_client(self._url, http_client=http), mode="legacy",
                       read_timeout_seconds=self._call_limit_seconds + 5) as client,
            ):
                tool = await find_tool(client)
                params = mcp_types.CallToolRequestParams(name=tool, arguments=dict(arguments))
                # `client.call_tool` would also check the result against the tool's schema, and would raise an exception
                # although the message is posted.
                result = await client.session.send_request(
                    mcp_types.CallToolRequest(params=params), mcp_types.CallToolResult
                )
        except Exception:
            # If the result has arrived, a failure while closing the connection does not matter.
            if result is None:
                raise
        return result


async def find_tool(client: Client) -> str:
    """The full name of the tool: the target's name, three underscores, and the operation's name."""
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.session.list_tools(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        for tool in page.tools:
            if tool.name.rpartition(TARGET_SEPARATOR)[2] == TOOL:
                return tool.name
        cursor = page.next_cursor
        if cursor is None:
            break
    raise NotPosted(f"the Gateway has no tool {TOOL}")


class ObservedTransport(httpx2.AsyncBaseTransport):
    """Observes the requests: whether the call of the tool was sent, and the status and Retry-After of the last
    answer."""

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
            # There was no connection, so the request was not sent.
            self.called = False
            raise
        self.status, self.retry_after = response.status_code, seconds(response.headers.get("retry-after"))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def without_groups(error: BaseException) -> list[BaseException]:
    """The exceptions in an exception group, at any depth."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for one in error.exceptions for inner in without_groups(one)]
    return [error]


def meaning_of_failure(
    transport: ObservedTransport, errors: list[BaseException]
) -> NotYet | NotPosted | OutcomeUnknown:
    """What is known about the message after an attempt that returned no result."""
    known = next((error for error in errors if isinstance(error, NotPosted)), None)
    if known is not None:
        return known
    step = "the call" if transport.called else "the connection"
    match transport.status:
        case 429:
            return NotYet("rate limited by the Gateway", transport.retry_after)
        case int(status) if 400 <= status < 500:
            return NotPosted(f"the Gateway refused {step} with status {status}")
    codes = [error.code for error in errors if isinstance(error, MCPError)]
    # With these two codes, the Gateway understood the request and refused it. Other codes leave the outcome open.
    if transport.status == 200 and codes and codes[0] in (INVALID_PARAMS, METHOD_NOT_FOUND):
        return NotPosted(f"the Gateway refused {step} with MCP error {codes[0]}")
    is_status_the_cause = transport.status and transport.status != 200
    cause = f"status {transport.status}" if is_status_the_cause else ", ".join(map(cause_of, errors))
    if transport.called:
        return OutcomeUnknown(f"the call was sent, but brought no result: {cause}")
    return NotYet(f"no connection to the Gateway: {cause}")


def cause_of(error: BaseException) -> str:
    return f"MCP error {error.code}" if isinstance(error, MCPError) else describe(error)


def ts_of(result: mcp_types.CallToolResult) -> str:
    """The message's ts, if Slack says that the message is posted. Otherwise raises NotYet, NotPosted or
    OutcomeUnknown."""
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
    if error in ERRORS_WITH_UNKNOWN_OUTCOME:
        raise OutcomeUnknown(f"Slack's error is {error}")
    raise NotPosted(f"Slack's error is {error}")


def slack_answer(result: mcp_types.CallToolResult) -> dict[str, Any] | None:
    """Slack's JSON answer. It may be the result itself, the result's text, or a part of the text of an error."""
    candidates = [result.structured_content, *objects_in(text_of(result))]
    return next((one for one in candidates if isinstance(one, dict) and isinstance(one.get("ok"), bool)), None)


def text_of(result: mcp_types.CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, mcp_types.TextContent))


def objects_in(text: str) -> Iterator[Any]:
    """The JSON objects that occur in a text."""
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
    """The seconds to wait. AWS does not document whether and where the Gateway passes Slack's header on, so the whole
    result is searched for it."""
    everything = f"{text_of(result)} {json.dumps(result.structured_content)} {json.dumps(result.meta, default=str)}"
    match = re.search(r"retry[-_ ]?after\W{1,6}(\d{1,4})\b", everything, re.IGNORECASE)
    return float(match[1]) if match else None


def seconds(header: str | None) -> float | None:
    return float(header) if header is not None and re.fullmatch(r"\d{1,4}", header) else None


def back_off() -> Iterator[float]:
    """The seconds to wait before each further attempt."""
    pause: float = SHORTEST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
