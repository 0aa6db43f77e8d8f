"""What we rely on in Bolt and its documentation does not promise. A version that changes one of these fails here, with the
name of what has changed, and pyproject.toml's range has to end before it."""

from __future__ import annotations

import inspect

import pytest
from apps import async_app, sync_app
from slack import Slack
from slack_bolt import BoltRequest
from slack_bolt.kwargs_injection import build_required_kwargs
from slack_bolt.kwargs_injection.async_utils import build_async_required_kwargs
from slack_bolt.lazy_listener import LazyListenerRunner
from slack_bolt.lazy_listener.async_runner import AsyncLazyListenerRunner
from slack_bolt.listener.async_listener_error_handler import AsyncListenerErrorHandler
from slack_bolt.listener.async_listener_start_handler import AsyncListenerStartHandler
from slack_bolt.listener.listener_error_handler import ListenerErrorHandler
from slack_bolt.listener.listener_start_handler import ListenerStartHandler
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.util.utils import get_arg_names_of_callable

from slack_ingress_bolt.ack import QueueAck
from slack_ingress_bolt.listeners import is_ours
from slack_ingress_bolt.respond import NotedRespond

both = pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])


def app(slack: Slack, is_async: bool):
    return async_app(slack.api_url) if is_async else sync_app(slack.api_url)[0]


@both
def test_the_listener_runner_has_the_parts_that_are_replaced(is_async, slack: Slack) -> None:
    runner = app(slack, is_async).listener_runner
    assert isinstance(runner.process_before_response, bool)
    assert isinstance(runner.lazy_listener_runner, AsyncLazyListenerRunner if is_async else LazyListenerRunner)
    assert isinstance(runner.listener_start_handler, AsyncListenerStartHandler if is_async else ListenerStartHandler)
    assert isinstance(runner.listener_error_handler, AsyncListenerErrorHandler if is_async else ListenerErrorHandler)


@both
def test_app_error_sets_a_handler_whose_function_is_ours_to_recognise(is_async, slack: Slack) -> None:
    it = app(slack, is_async)
    if is_async:
        from slack_ingress_bolt.async_listeners import install
    else:
        from slack_ingress_bolt.listeners import install
    assert not is_ours(it.listener_runner.listener_error_handler)
    install(it)
    installed = vars(it.listener_runner).copy()
    assert is_ours(installed["listener_error_handler"])
    install(it)
    assert vars(it.listener_runner) == installed


def test_the_parts_are_called_by_these_names() -> None:
    def names(function) -> list[str]:
        return list(inspect.signature(function).parameters)

    for it in (LazyListenerRunner, AsyncLazyListenerRunner):
        assert names(it.start) == ["self", "function", "request"]
    for it in (ListenerStartHandler, AsyncListenerStartHandler):
        assert names(it.handle) == ["self", "request", "response"]
    for it in (ListenerErrorHandler, AsyncListenerErrorHandler):
        assert names(it.handle) == ["self", "error", "request", "response"]
    for it in (build_required_kwargs, build_async_required_kwargs):
        assert {"logger", "required_arg_names", "request", "response", "this_func"} <= set(names(it))
    assert get_arg_names_of_callable(lambda ack, body: None) == ["ack", "body"]


@pytest.mark.parametrize("request_type", [BoltRequest, AsyncBoltRequest])
def test_an_ack_in_the_context_is_the_one_that_listeners_get(request_type) -> None:
    ack = QueueAck(None)
    request = request_type(mode="socket_mode", body={"command": "/a"}, context={"ack": ack})
    assert request.context.ack is ack
    assert request.context.get("authorize_result") is None
    respond = NotedRespond(response_url=None)
    request.context["respond"] = respond
    assert request.context.respond is respond
