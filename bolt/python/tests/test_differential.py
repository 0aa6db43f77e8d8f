"""The same app with Bolt's own HTTP dispatch of a signed request, and with ours behind the queue."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time

import pytest
from apps import SIGNING_SECRET, Heard, async_app, listen, listen_async, sync_app
from messages import Context, Sample, event, failures, record, samples
from slack import Slack
from slack_bolt import BoltRequest, BoltResponse
from slack_bolt.request.async_request import AsyncBoltRequest

from slack_ingress_bolt import SqsHandler

RETRY = {"retry_num": "2", "retry_reason": "http_timeout"}


def signed(it: Sample) -> dict[str, str]:
    body, content_type = it.http()
    timestamp = str(int(time.time()))
    mac = hmac.new(SIGNING_SECRET.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256)
    return {
        "content-type": content_type, "x-slack-request-timestamp": timestamp,
        "x-slack-signature": f"v0={mac.hexdigest()}",
    } | {f"x-slack-{name.replace('_', '-')}": value for name, value in RETRY.items()}


def shown(it: Sample, response: BoltResponse) -> list[dict]:
    """What Slack shows of an answer: behind a queue it comes by the response_url."""
    if response.status != 200 or not response.body or it.type not in ("/weather", "/deploy", "interactive_message"):
        return []
    is_json = response.headers["content-type"][0].startswith("application/json")
    message = json.loads(response.body) if is_json else {"text": response.body}
    return [message | ({"replace_original": True} if it.type == "interactive_message" else {})]


def calls(slack: Slack) -> list[tuple[str, str, dict]]:
    return sorted(((it.what, it.token, it.values) for it in slack.calls()), key=str)


def by_http(it: Sample, heard: Heard, slack: Slack, is_async: bool, **settings) -> BoltResponse:
    body, _ = it.http()
    if not is_async:
        app, executor = sync_app(slack.api_url, **settings)
        listen(app, heard)
        response = app.dispatch(BoltRequest(body=body, headers=signed(it)))
        executor.shutdown(wait=True)
        return response

    async def dispatch() -> BoltResponse:
        app = async_app(slack.api_url, **settings)
        listen_async(app, heard)
        response = await app.async_dispatch(AsyncBoltRequest(body=body, headers=signed(it)))
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        return response

    return asyncio.run(dispatch())


@pytest.mark.parametrize("process_before_response", [False, True])
@pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])
@pytest.mark.parametrize("it", samples(), ids=lambda it: it.name)
def test_a_payload_reaches_the_listener_that_bolt_itself_calls(
    it: Sample, is_async: bool, process_before_response: bool, slack: Slack, lines
) -> None:
    it = it.at(slack.url)
    expected, got = Heard(), Heard()
    response = by_http(it, expected, slack, is_async, process_before_response=process_before_response)
    expected_calls = calls(slack)
    expected_calls = sorted(
        [*expected_calls, *(("response_url", "", message) for message in shown(it, response))], key=str)
    slack.forget()

    if is_async:
        app = async_app(slack.api_url, process_before_response=process_before_response)
        listen_async(app, got)
    else:
        app, _ = sync_app(slack.api_url, process_before_response=process_before_response)
        listen(app, got)
    answer = SqsHandler(app, response_origins=[slack.url])(event(record(it, **RETRY)), Context())

    assert failures(answer) == []
    # One after the other here, beside each other there.
    assert sorted(got.calls) == sorted(expected.calls)
    assert calls(slack) == expected_calls
    [line] = lines()
    assert (line["outcome"] == "nobody_listens") == (response.status == 404)
    assert (line["kind"], line["type"], line["event_id"]) == (it.kind, it.type, it.event_id)


def test_the_samples_reach_each_listener_of_the_app() -> None:
    """The comparison above would be content with an app that hears nothing."""
    with Slack() as slack:
        heard, heard_async = Heard(), Heard()
        app, _ = sync_app(slack.api_url)
        listen(app, heard)
        listen_async(its_async := async_app(slack.api_url), heard_async)
        for handler in (SqsHandler(app, response_origins=[slack.url]), SqsHandler(its_async, response_origins=[slack.url])):
            for it in samples():
                assert failures(handler(event(record(it.at(slack.url))), Context())) == []
        assert set(heard.names) == {
            "middleware", "mention", "prosper", "message", "deleted", "reaction", "home", "uninstalled", "summarize",
            "weather", "weather, lazily", "weather, told", "deploy", "approve", "game", "submitted", "cancelled", "step",
            "order", "ticket", "ordered", "closed", "started", "asked",
        }
        assert set(heard_async.names) == set(heard.names)
