"""The client of AgentCore Gateway against a stand-in: what is posted, and how often."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import mcp_types
import pytest
from botocore.credentials import Credentials
from stand_ins.gateway import Gateway as GatewayStandIn
from proxy import LOSE_REQUEST, LOSE_ANSWER, Fault, Proxy
from stand_ins.slack_api import SlackApi

from slack_agent import gateway as module
from slack_agent.gateway import Gateway, NotPosted, NotYet, OutcomeUnknown
from slack_agent.signature import SigV4

_numbers = itertools.count(1)


@pytest.fixture
def channel() -> str:
    return f"C0GATEWAY{next(_numbers)}"


@pytest.fixture(scope="module")
def proxy(gateway: GatewayStandIn) -> Iterator[Proxy]:
    with Proxy(gateway.url) as proxy:
        yield proxy


def client(url: str, secret_key: str = "made-up-secret", patience: float = 10, call_limit: float = 10,
           region: str = "us-east-1") -> Gateway:
    return Gateway(url, SigV4(Credentials("AKIAEXAMPLE000000000", secret_key), region), patience, call_limit)


def post(gateway: Gateway, channel: str, text: str = "Grüße 🚀", thread_ts: str | None = "1.2") -> str:
    return asyncio.run(gateway.post(channel, text, thread_ts))


def posts_in(slack: SlackApi, channel: str) -> list[tuple[str, str | None]]:
    return [(post.text, post.thread_ts) for post in slack.posts if post.channel == channel]


def test_it_posts_and_returns_the_messages_ts(slack: SlackApi, gateway: GatewayStandIn, channel: str) -> None:
    assert post(client(gateway.url), channel) == slack.posts[-1].ts
    post(client(gateway.url), channel, thread_ts=None)
    assert posts_in(slack, channel) == [("Grüße 🚀", "1.2"), ("Grüße 🚀", None)]
    assert gateway.calls[-1] == "slack___post_to_slack"


@pytest.mark.parametrize("wrong", [{"secret_key": "another-secret"}, {"region": "eu-west-1"}])
def test_a_request_with_a_wrong_signature_is_refused_and_not_repeated(
    slack: SlackApi, gateway: GatewayStandIn, channel: str, wrong: dict[str, str]
) -> None:
    refused = gateway.refused
    with pytest.raises(NotPosted, match="refused the connection with status 403"):
        post(client(gateway.url, **wrong), channel)
    assert gateway.refused == refused + 1
    assert posts_in(slack, channel) == []


def test_the_signature_covers_the_body(slack: SlackApi, proxy: Proxy, gateway: GatewayStandIn, channel: str) -> None:
    refused = gateway.refused
    proxy.fail_next("tools/call", Fault(change=channel.encode()))
    with pytest.raises(NotPosted, match="refused the call with status 403"):
        post(client(proxy.url), channel)
    assert gateway.refused == refused + 1


@pytest.mark.parametrize("error", ["not_in_channel", "invalid_auth", "msg_too_long"])
def test_a_post_that_slack_answers_with_an_error_is_not_repeated(
    slack: SlackApi, gateway: GatewayStandIn, channel: str, error: str
) -> None:
    calls = slack.calls
    slack.fail_next(error)
    with pytest.raises(NotPosted, match=f"Slack's error is {error}"):
        post(client(gateway.url), channel)
    assert (slack.calls, posts_in(slack, channel)) == (calls + 1, [])


@pytest.mark.parametrize("error", ["internal_error", "fatal_error"])
def test_slacks_internal_errors_leave_the_outcome_unknown(
    slack: SlackApi, gateway: GatewayStandIn, channel: str, error: str
) -> None:
    calls = slack.calls
    slack.fail_next(error)
    with pytest.raises(OutcomeUnknown):
        post(client(gateway.url), channel)
    assert slack.calls == calls + 1


def test_it_pauses_while_slack_limits_the_rate_and_posts_once(
    slack: SlackApi, gateway: GatewayStandIn, channel: str
) -> None:
    slack.rate_limit_next(2)
    start = time.monotonic()
    post(client(gateway.url), channel)
    # The Gateway does not pass Retry-After on, so the client pauses for 1 s and then for 2 s.
    assert time.monotonic() - start >= 3
    assert len(posts_in(slack, channel)) == 1


def test_it_gives_up_if_the_rate_is_limited_for_too_long(
    slack: SlackApi, gateway: GatewayStandIn, channel: str
) -> None:
    slack.rate_limit_next(100)
    try:
        with pytest.raises(NotPosted, match="given up: rate limited by Slack"):
            post(client(gateway.url, patience=1.5), channel)
    finally:
        slack.rate_limit_next(0)
    assert posts_in(slack, channel) == []


def test_it_pauses_as_long_as_the_gateway_says_if_the_gateway_limits_the_rate(
    slack: SlackApi, proxy: Proxy, channel: str
) -> None:
    proxy.fail_next("tools/call", Fault(429, {"Retry-After": "2"}))
    start = time.monotonic()
    post(client(proxy.url), channel)
    assert time.monotonic() - start >= 2
    assert len(posts_in(slack, channel)) == 1


@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_ANSWER, Fault(502), Fault(503), Fault(504)])
def test_a_call_whose_outcome_is_unknown_is_not_repeated(
    slack: SlackApi, proxy: Proxy, channel: str, fault: Fault
) -> None:
    proxy.fail_next("tools/call", fault)
    seen = proxy.seen.count("tools/call")
    with pytest.raises(OutcomeUnknown, match="was sent, but brought no result"):
        post(client(proxy.url), channel)
    assert proxy.seen.count("tools/call") == seen + 1
    assert len(posts_in(slack, channel)) == fault.forward


def test_a_call_whose_answer_cannot_be_read_is_not_repeated(slack: SlackApi, proxy: Proxy, channel: str) -> None:
    proxy.fail_next("tools/call", Fault(200, body=b"<html>"))
    with pytest.raises(OutcomeUnknown):
        post(client(proxy.url), channel)


def test_a_call_that_times_out_is_not_repeated(slack: SlackApi, gateway: GatewayStandIn, channel: str) -> None:
    slack.hold_answers()
    try:
        with pytest.raises(OutcomeUnknown, match="was sent, but brought no result"):
            post(client(gateway.url, call_limit=0.5), channel)
    finally:
        slack.release_answers()
    assert len(posts_in(slack, channel)) == 1


def test_a_connection_that_slack_closes_without_an_answer_leaves_the_outcome_unknown(
    slack: SlackApi, gateway: GatewayStandIn, channel: str
) -> None:
    slack.drop_answers_next()
    with pytest.raises(OutcomeUnknown, match="without Slack's answer"):
        post(client(gateway.url), channel)
    assert len(posts_in(slack, channel)) == 1


@pytest.mark.parametrize("method", ["initialize", "tools/list"])
@pytest.mark.parametrize("fault", [LOSE_ANSWER, Fault(503), Fault(429)])
def test_a_failure_before_the_call_is_followed_by_another_attempt(
    slack: SlackApi, proxy: Proxy, channel: str, method: str, fault: Fault
) -> None:
    proxy.fail_next(method, fault)
    post(client(proxy.url), channel)
    assert len(posts_in(slack, channel)) == 1


def test_it_waits_for_a_gateway_that_starts_later(slack: SlackApi, channel: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    late = GatewayStandIn.__new__(GatewayStandIn)

    def start() -> None:
        late.__init__(slack.url, slack.token, port=port)
        late.start()

    timer = threading.Timer(0.5, start)
    timer.start()
    try:
        post(client(f"http://127.0.0.1:{port}/mcp"), channel)
    finally:
        timer.join()
        late.stop()
    assert len(posts_in(slack, channel)) == 1


def test_a_call_without_a_connection_was_not_sent() -> None:
    transport = module.ObservedTransport()

    async def call() -> None:
        async with httpx2.AsyncClient(transport=transport) as http:
            await http.post("http://127.0.0.1:1/mcp", json={"method": "tools/call"})

    with pytest.raises(httpx2.ConnectError) as caught:
        asyncio.run(call())
    assert isinstance(module.meaning_of_failure(transport, [caught.value]), NotYet)


def test_a_gateway_that_hides_its_errors_leaves_the_outcome_unknown(slack: SlackApi, channel: str) -> None:
    with GatewayStandIn(slack.url, slack.token, exception_level=None) as silent:
        slack.rate_limit_next(1)
        with pytest.raises(OutcomeUnknown):
            post(client(silent.url), channel)


def test_a_gateway_with_a_wrong_token_causes_an_error_of_slacks(slack: SlackApi, channel: str) -> None:
    with GatewayStandIn(slack.url, "xoxb-another") as wrong, pytest.raises(NotPosted, match="invalid_auth"):
        post(client(wrong.url), channel)


def test_it_gives_up_if_the_tool_is_missing(
    gateway: GatewayStandIn, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOOL", "post_to_teams")
    with pytest.raises(NotPosted, match="^the Gateway has no tool post_to_teams"):
        post(client(gateway.url), channel)


def test_it_gives_up_if_the_gateway_refuses_the_arguments(proxy: Proxy, channel: str) -> None:
    proxy.fail_next("tools/call", Fault(mcp_error=-32602))
    with pytest.raises(NotPosted, match="refused the call with MCP error -32602"):
        post(client(proxy.url), channel)


def test_an_internal_error_of_the_gateways_leaves_the_outcome_unknown(proxy: Proxy, channel: str) -> None:
    proxy.fail_next("tools/call", Fault(mcp_error=-32603))
    with pytest.raises(OutcomeUnknown, match="MCP error -32603"):
        post(client(proxy.url), channel)


def result(text: str, is_error: bool = True, meta: dict[str, object] | None = None) -> mcp_types.CallToolResult:
    content = [mcp_types.TextContent(type="text", text=text)]
    return mcp_types.CallToolResult(content=content, is_error=is_error, _meta=meta)


@pytest.mark.parametrize("limited, retry_after", [
    (result('429: {"ok": false, "error": "ratelimited"}'), None),
    (result('{"ok": false, "error": "rate_limited"}', is_error=False), None),
    (result("HTTP status 429, headers {'Retry-After': '17'}"), 17),
    (result("Too Many Requests", meta={"debug": {"retry_after": 5}}), 5),
    (result('{"ok":false,"error":"ratelimited","retry-after":3}'), 3),
])
def test_slacks_rate_limit_is_recognised_in_each_of_these_texts(
    limited: mcp_types.CallToolResult, retry_after: float | None
) -> None:
    with pytest.raises(NotYet) as caught:
        module.ts_of(limited)
    assert caught.value.retry_after == retry_after


def test_a_message_counts_as_posted_only_if_slack_says_so() -> None:
    assert module.ts_of(result('{"ok": true, "ts": "1.2"}', is_error=False)) == "1.2"
    for text in ("done", '{"posted": true}', '{"ok": "yes"}', ""):
        with pytest.raises(OutcomeUnknown):
            module.ts_of(result(text, is_error=False))


def test_the_pauses_double_up_to_half_a_minute() -> None:
    assert list(itertools.islice(module.back_off(), 7)) == [1, 2, 4, 8, 16, 30, 30]
