"""What is put into the app, so that a failure is seen and everything has ended when a dispatch returns.

Of the app's `listener_runner`, by its public attributes:
- `process_before_response` becomes True. Otherwise `dispatch` returns before the listener has done anything.
- the error handler is put into one that notes the exception first, by `app.error`. It sees the middleware's errors too.
- the start handler is put into one that notes that there is a listener at all.
- lazy listeners are collected, and run after the listener (dispatch.py).

Outside of our dispatch all of it, but for `process_before_response`, is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.lazy_listener import LazyListenerRunner
from slack_bolt.listener.listener_error_handler import ListenerErrorHandler
from slack_bolt.listener.listener_start_handler import ListenerStartHandler

from .run import current

_OURS = "_is_of_slack_ingress_bolt"


def install(app: App) -> None:
    """Before each dispatch, because an app may get its error handler late, or another adapter its lazy runner."""
    runner = app.listener_runner
    runner.process_before_response = True
    if not isinstance(runner.lazy_listener_runner, Collecting):
        runner.lazy_listener_runner = Collecting(runner.lazy_listener_runner)
    if not isinstance(runner.listener_start_handler, Starting):
        runner.listener_start_handler = Starting(runner.listener_start_handler)
    if not is_ours(runner.listener_error_handler):
        app.error(_watching(runner.listener_error_handler))


def is_ours(handler: object) -> bool:
    return hasattr(getattr(handler, "func", None), _OURS)


def mark(function: Callable[..., Any]) -> None:
    setattr(function, _OURS, True)


def note(error: Exception) -> None:
    """An exception, unless it only says that nobody listens (`raise_error_for_unhandled_request`)."""
    run = current.get()
    if run is not None and not isinstance(error, BoltUnhandledRequestError):
        run.fail(error)


def _watching(inner: ListenerErrorHandler) -> Callable[..., None]:
    # Bolt gives the arguments by their names.
    def watch(error: Exception, request: BoltRequest, response: BoltResponse | None) -> None:
        note(error)
        inner.handle(error=error, request=request, response=response)

    mark(watch)
    return watch


class Starting(ListenerStartHandler):
    def __init__(self, inner: ListenerStartHandler) -> None:
        self._inner = inner

    def handle(self, request: BoltRequest, response: BoltResponse | None) -> None:
        run = current.get()
        if run is not None:
            run.has_listener = True
        self._inner.handle(request=request, response=response)


class Collecting(LazyListenerRunner):
    def __init__(self, inner: LazyListenerRunner) -> None:
        self._inner = inner
        self.logger = inner.logger

    def start(self, function: Callable[..., None], request: BoltRequest) -> None:
        run = current.get()
        if run is None:
            self._inner.start(function=function, request=request)
        else:
            run.lazy.append((function, request))
