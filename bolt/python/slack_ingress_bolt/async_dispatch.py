"""The same as dispatch.py, for `AsyncApp`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from ssl import SSLContext
from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.kwargs_injection.async_utils import build_async_required_kwargs
from slack_bolt.util.utils import get_arg_names_of_callable

from . import async_listeners
from .ack import AsyncQueueAck
from .acknowledgement import Acknowledgement
from .async_respond import AsyncNotedRespond
from .dispatch import Ended, Headers, context_of, ended, escaped, is_unauthorized, returned
from .payload import Malformed
from .run import Run, current


class AsyncDispatch:
    """Has an event loop of its own, in a thread of its own, for as long as the process lives: what a listener keeps from
    one message to the next (a session, a pool) belongs to one loop, and a function of Lambda's is not asynchronous."""

    def __init__(self, app: AsyncApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        async_listeners.install(app)

    @property
    def proxy(self) -> str | None:
        return self._app.client.proxy

    @property
    def ssl(self) -> SSLContext | None:
        return self._app.client.ssl

    def run(
        self, payload: dict[str, Any], headers: Headers, acknowledgement: Acknowledgement, event_id: str | None
    ) -> Ended:
        running = asyncio.run_coroutine_threadsafe(
            self._run(payload, headers, acknowledgement, event_id), self._started()
        )
        try:
            return running.result()
        except concurrent.futures.CancelledError as error:  # a listener that waits for a task that is cancelled is, too
            return escaped(error, self._app)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="slack-ingress-bolt", daemon=True).start()
            return self._loop

    async def _run(
        self, payload: dict[str, Any], headers: Headers, acknowledgement: Acknowledgement, event_id: str | None
    ) -> Ended:
        async_listeners.install(self._app)
        ack = AsyncQueueAck(acknowledgement)
        context = context_of(ack, event_id)
        try:
            request = AsyncBoltRequest(mode="socket_mode", body=payload, headers=headers, context=context)
        except Exception as error:
            raise Malformed("Bolt cannot read the body") from error
        respond = AsyncNotedRespond(response_url=request.context.response_url, proxy=self.proxy, ssl=self.ssl)
        request.context["respond"] = respond
        run = Run()
        token = current.set(run)
        try:
            response = await self._app.async_dispatch(request)
            message = returned(run, response, ack, acknowledgement)
            if message is not None:
                await asyncio.to_thread(acknowledgement.send, message)
            if run.failure is None:
                for function, its_request in run.lazy:
                    await function(
                        **build_async_required_kwargs(
                            logger=self._app.logger, required_arg_names=get_arg_names_of_callable(function),
                            request=its_request, response=None, this_func=function,
                        )
                    )
        except (Exception, SystemExit) as error:  # SystemExit would end the loop, and with it every later message
            return escaped(error, self._app)
        finally:
            current.reset(token)
        return ended(run, response, ack.response, is_unauthorized(response, request.context, respond.was_called))
