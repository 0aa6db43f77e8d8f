"""Runs `think`, stops it, and leaves behind what cannot be stopped.

A coroutine function runs on an event loop that all questions share, so that they can share a client that belongs to a
loop. Any other function runs in a thread of its own. Neither is on the loop that takes invocations nor in the thread
that beats, so a `think` that blocks is in nobody's way.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from slack_agent.payload import Question

Think = Callable[[Question], str | None | Awaitable[str | None]]

# A loop that has not answered for this long is blocked.
LOOP_LIMIT_SECONDS = 1.0


class Exited(Exception):
    """`think` tried to end the process."""


class Thinker:
    def __init__(self, think: Think) -> None:
        self._think = think
        self._is_async = is_async(think)
        self._loops = Loops()

    def begin(self, question: Question, on_end: Callable[[], None]) -> Thought:
        """Starts to think. `on_end` is called in some other thread when it has ended, whatever the end."""
        thought = Thought(question, on_end)
        if self._is_async:
            thought.run_on(self._loops.current(), lambda: self._think(question))
        else:
            thought.run_in_thread(self._think, self._loops)
        return thought


class Thought:
    """One run of `think`."""

    def __init__(self, question: Question, on_end: Callable[[], None]) -> None:
        self.ended = False
        self.value: Any = None
        """What `think` returned."""
        self.error: BaseException | None = None
        """What it raised."""
        self._question, self._on_end = question, on_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Asks the thought to end: a coroutine gets asyncio's cancellation, and a thread sees `question.cancelled`."""
        with self._lock:
            self._question.cancelled.set()
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._cancel_task)

    def run_on(self, loop: asyncio.AbstractEventLoop, start: Callable[[], Any]) -> None:
        async def run() -> Any:
            try:
                return await start()
            except (SystemExit, KeyboardInterrupt) as error:
                # Out of a task, either would end the loop, and all that runs on it.
                raise Exited() from error

        def create() -> None:
            self._task = loop.create_task(run())
            self._task.add_done_callback(self._task_ended)
            if self._question.cancelled.is_set():
                self._task.cancel()

        with self._lock:
            self._loop = loop
        loop.call_soon_threadsafe(create, context=contextvars.copy_context())

    def run_in_thread(self, think: Think, loops: Loops) -> None:
        def run() -> None:
            try:
                value = think(self._question)
            except BaseException as error:
                self._end(None, error)
                return
            # A function that returns a coroutine, such as a lambda around a coroutine function.
            if inspect.isawaitable(value):
                self.run_on(loops.current(), lambda: value)
            else:
                self._end(value, None)

        # As a daemon, it does not keep the process from ending.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="think", daemon=True)
        thread.start()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._end(None if error else task.result(), error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        self.value, self.error, self.ended = value, error, True
        self._on_end()


class Loops:
    """An event loop in a thread of its own. If something blocks it, whoever needs a loop next gets another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def current(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or not responds(self._loop):
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=run_forever, args=(self._loop,), name="thinking-loop", daemon=True).start()
            return self._loop


def run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def responds(loop: asyncio.AbstractEventLoop) -> bool:
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    return answered.wait(LOOP_LIMIT_SECONDS)


def is_async(think: Any) -> bool:
    while isinstance(think, functools.partial):
        think = think.func
    return inspect.iscoroutinefunction(think) or inspect.iscoroutinefunction(getattr(think, "__call__", None))
