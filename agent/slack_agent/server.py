"""The server of AgentCore Runtime around a worker, and what happens at SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from types import FrameType
from typing import Any, NoReturn

from bedrock_agentcore.runtime import BedrockAgentCoreApp, RequestContext
from starlette.exceptions import HTTPException

from slack_agent import log
from slack_agent.payload import InvalidPayload
from slack_agent.settings import Settings, WrongSetting
from slack_agent.settle import Settle
from slack_agent.thought import Think
from slack_agent.work import Timing
from slack_agent.worker import OnEvent, Unclaimed, Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long requests that have come in may take once the process must end. The questions are given back meanwhile.
REQUESTS_LIMIT_SECONDS = 8


def run(think: Think, *, on_event: OnEvent | None = None) -> NoReturn:
    """Runs the agent until SIGTERM or SIGINT, with the settings from the environment (agent/README.md). Then it gives
    back every question that it works on, and ends the process with status 0."""
    log.set_up()
    try:
        settings = Settings.of(os.environ)
        server = app(think, on_event=on_event, settings=settings)
    except WrongSetting as problem:
        sys.exit(f"the agent cannot start: {problem}")
    # At its end, uvicorn raises the signal once more for whoever handled it before. By default, that would end the
    # process with a signal's status, and as process 1 of a container it would not end it.
    for number in SIGNALS:
        signal.signal(number, leave)
    server.run(port=settings.port, host=settings.host, timeout_graceful_shutdown=REQUESTS_LIMIT_SECONDS)
    leave()


def leave(*_: Any) -> NoReturn:
    """Ends the process with status 0. An ordinary exit would wait for threads, also for one in which a library of
    `think` still waits for an answer."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def app(think: Think, *, on_event: OnEvent | None = None, settings: Settings | None = None) -> BedrockAgentCoreApp:
    """The server of the agent. Raises WrongSetting; without `settings`, they are read from the environment."""
    settings = settings or Settings.of(os.environ)
    settle = Settle(settings.settle_function, settings.region)
    worker = Worker(think, settle, on_event=on_event, timing=Timing(thinking=settings.thinking_limit_seconds),
                    shows=settings.answer == "stream", together=settings.turns == "together")
    server = BedrockAgentCoreApp(lifespan=lifespan(worker))
    attach(worker, server)
    return server


def attach(worker: Worker, server: BedrockAgentCoreApp) -> None:
    """Makes the worker the entry point of a server, which must have been made with `lifespan(worker)`. While the worker
    has a question, `/ping` answers HealthyBusy, and AgentCore keeps the session alive."""
    worker.begin_busy, worker.end_busy = server.add_async_task, server.complete_async_task

    # Not a coroutine: the SDK then calls it in a thread.
    @server.entrypoint
    def invoke(payload: Any, context: RequestContext) -> dict[str, str]:
        try:
            return worker.invoke(payload, context.session_id)
        except InvalidPayload as problem:
            raise HTTPException(400, str(problem)) from problem
        except Unclaimed as problem:
            raise HTTPException(503, str(problem)) from problem


def lifespan(worker: Worker) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """A lifespan for Starlette: gives back the worker's questions when the server ends, and already when SIGTERM comes.
    The server waits for its open requests before it ends, and that could take all the time that there is."""

    @contextlib.asynccontextmanager
    async def live(_: Any) -> AsyncIterator[None]:
        with stopping_at_a_signal(worker):
            yield
            await asyncio.to_thread(worker.stop)

    return live


@contextlib.contextmanager
def stopping_at_a_signal(worker: Worker) -> Any:
    # Signals are handled in the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # uvicorn has set its own handlers by now, and they must run too.
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def stop() -> None:
        threading.Thread(target=worker.stop, name="stop", daemon=True).start()

    def handle(number: int, frame: FrameType | None) -> None:
        worker.refuse_more()
        # A handler interrupts the main thread anywhere, and must not wait for a lock that this thread may hold.
        loop.call_soon_threadsafe(stop)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
