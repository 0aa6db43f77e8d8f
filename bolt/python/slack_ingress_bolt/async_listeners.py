"""The same as listeners.py, for `AsyncApp`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.lazy_listener.async_runner import AsyncLazyListenerRunner
from slack_bolt.listener.async_listener_error_handler import AsyncListenerErrorHandler
from slack_bolt.listener.async_listener_start_handler import AsyncListenerStartHandler

from .listeners import is_ours, mark, note
from .run import current


def install(app: AsyncApp) -> None:
    runner = app.listener_runner
    runner.process_before_response = True
    if not isinstance(runner.lazy_listener_runner, Collecting):
        runner.lazy_listener_runner = Collecting(runner.lazy_listener_runner)
    if not isinstance(runner.listener_start_handler, Starting):
        runner.listener_start_handler = Starting(runner.listener_start_handler)
    if not is_ours(runner.listener_error_handler):
        app.error(_watching(runner.listener_error_handler))


def _watching(inner: AsyncListenerErrorHandler) -> Callable[..., Awaitable[None]]:
    async def watch(error: Exception, request: AsyncBoltRequest, response: BoltResponse | None) -> None:
        note(error)
        await inner.handle(error=error, request=request, response=response)

    mark(watch)
    return watch


class Starting(AsyncListenerStartHandler):
    def __init__(self, inner: AsyncListenerStartHandler) -> None:
        self._inner = inner

    async def handle(self, request: AsyncBoltRequest, response: BoltResponse | None) -> None:
        run = current.get()
        if run is not None:
            run.has_listener = True
        await self._inner.handle(request=request, response=response)


class Collecting(AsyncLazyListenerRunner):
    def __init__(self, inner: AsyncLazyListenerRunner) -> None:
        self._inner = inner
        self.logger = inner.logger

    def start(self, function: Callable[..., Awaitable[None]], request: AsyncBoltRequest) -> None:
        run = current.get()
        if run is None:
            self._inner.start(function=function, request=request)
        else:
            run.lazy.append((function, request))
