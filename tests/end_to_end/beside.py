"""Runs all tests that need a world beside each other, because many of them mostly wait: a lease holds for 90 seconds.

pytest still reports them one after the other. When the first of them is due, all are begun, each in a thread of its own; when
one is due, it waits for its end. Those that are marked with `lease`, because they wait for as long as one holds, are begun
first; of the others, only a few run at a time. A test has its own conversations, and causes faults for its own events or in its
own channel only. A world comes to rest and ends after the last of its tests: its processes take time even when nothing happens.

A machine that has too much to do makes everything slow at once, and then what a test waits for comes too late. So a world or a
test begins only when some of the processors' time is idle, however quick the machine is.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from stand_ins.world import Settings, World, world

# The share of the processors' time that is idle when something begins, how long it is looked at, and after how long something
# begins all the same.
IDLE_SHARE = 0.2
LOOK_SECONDS = 0.5
BUSY_LIMIT_SECONDS = 5
# How many of the other tests run at a time, of which most have a process of the agent's at work.
OTHERS_AT_A_TIME = 5
# A world starts when those before it have.
START_LIMIT_SECONDS = 600


@dataclass
class _OneWorld:
    """A world, from the moment that the first of its tests asks for it."""

    # How many of its tests are not over, and whether one of them has failed.
    tests: int
    has_failed: bool = False
    started: Future[World] = field(default_factory=Future)
    all_over: threading.Event = field(default_factory=threading.Event)
    # What its parts logged last, taken at its end.
    report: str = ""


class Worlds:
    """The worlds that tests ask for, by name. Each lives in a thread of its own: the kernel ends the processes of a thread that
    ends. `at_the_end` is called with each world before it is stopped."""

    def __init__(self, settings: Mapping[str, Settings], at_the_end: Callable[[World], None]) -> None:
        self._settings, self._at_the_end = settings, at_the_end
        self._worlds: dict[str, _OneWorld] = {}
        self._threads: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        # Two dozen processes are started for each world. Worlds that start beside each other would be slow all at once.
        self._one_starts = threading.Lock()
        self._pool = ThreadPoolExecutor(max(1, len(settings)), "world")

    def expect(self, names: Iterable[str]) -> None:
        """Says which world each test will ask for, before the first does."""
        for name, tests in collections.Counter(names).items():
            self._worlds[name] = _OneWorld(tests)

    def get(self, name: str) -> World:
        it = self._worlds[name]
        with self._lock:
            if name not in self._threads:
                self._threads[name] = self._pool.submit(self._live, self._settings[name], it)
        return it.started.result(START_LIMIT_SECONDS)

    def done(self, name: str, has_failed: bool) -> None:
        """One of the world's tests is over."""
        with self._lock:
            it = self._worlds[name]
            it.tests -= 1
            it.has_failed |= has_failed
            if it.tests == 0:
                it.all_over.set()

    def _live(self, settings: Settings, it: _OneWorld) -> None:
        try:
            with contextlib.ExitStack() as stack:
                with self._one_starts:
                    wait_for_idle_time()
                    if it.all_over.is_set():
                        raise RuntimeError("the tests were interrupted before the world began")
                    running = stack.enter_context(world(settings))
                it.started.set_result(running)
                it.all_over.wait()
                try:
                    # After a failure, or when somebody has interrupted the tests, something may well be left.
                    if it.tests == 0 and not it.has_failed:
                        self._at_the_end(running)
                finally:
                    it.report = running.report()
        except BaseException as error:
            if not it.started.done():
                it.started.set_exception(error)
            raise

    def report(self, name: str) -> str:
        """What the world's parts logged last, now or at its end; empty if there is no such world."""
        it = self._worlds.get(name)
        if it is None or not it.started.done() or it.started.exception():
            return ""
        return it.report or it.started.result().report()

    def ends(self) -> dict[str, Future[None]]:
        """For each world that has been asked for, what came of its end."""
        return dict(self._threads)

    def stop(self) -> None:
        for it in self._worlds.values():
            it.all_over.set()
        self._pool.shutdown()
        # test_world_at_rest.py asks too, and is not always among the tests that run.
        ends = {name: end.exception() for name, end in self._threads.items() if self._worlds[name].tests == 0}
        if bad := {name: error for name, error in ends.items() if error is not None}:
            raise AssertionError(f"these worlds did not start, come to rest or end: {bad}")


class Beside:
    """The tests that run beside each other."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self._futures: dict[str, Future[None]] = {}
        self._others = threading.Semaphore(OTHERS_AT_A_TIME)
        self._one_begins = threading.Lock()
        self._is_interrupted = False

    def begin(self, items: list[pytest.Item]) -> None:
        """Begins all tests among these that need a world, unless they have begun."""
        if self._futures:
            return
        items = sorted((item for item in items if needs_world(item)), key=lambda item: not waits_for_lease(item))
        self.worlds.expect(map(world_of, items))
        pool = ThreadPoolExecutor(max(1, len(items)), "test")
        for item in items:
            run = self._run_late if waits_for_lease(item) else self._run_in_turn
            self._futures[item.nodeid] = pool.submit(run, item)
        pool.shutdown(wait=False)

    def _run_late(self, item: Any) -> None:
        self._run(item, contextlib.nullcontext())

    def _run_in_turn(self, item: Any) -> None:
        self._run(item, self._others)

    def _run(self, item: Any, its_turn: contextlib.AbstractContextManager[Any]) -> None:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        has_failed = True
        try:
            it = self.worlds.get(world_of(item))
            with its_turn:
                with self._one_begins:
                    wait_for_idle_time()
                    self._refuse_if_interrupted()
                item.obj(world=it, **parameters)
            has_failed = False
        finally:
            self.worlds.done(world_of(item), has_failed)

    def stop(self) -> None:
        """Ends the worlds. Raises what came of the end of one that nobody has asked about."""
        self._is_interrupted = True
        self.worlds.stop()

    def _refuse_if_interrupted(self) -> None:
        if self._is_interrupted:
            raise RuntimeError("the tests were interrupted before this one began")

    def finish(self, item: pytest.Item) -> None:
        self._futures[item.nodeid].result()

    def finish_all(self) -> None:
        for future in self._futures.values():
            with contextlib.suppress(BaseException):
                future.result()


def wait_for_idle_time() -> None:
    """Waits until the processors are not busy all the time."""
    until = time.monotonic() + BUSY_LIMIT_SECONDS
    while idle_share() < IDLE_SHARE and time.monotonic() < until:
        pass


def idle_share() -> float:
    """The idle share of the processors' time, looked at for a while. All of it where nobody can say, as on a Mac."""
    try:
        idle, total = processor_times()
        time.sleep(LOOK_SECONDS)
        later_idle, later_total = processor_times()
    except OSError:
        time.sleep(LOOK_SECONDS)
        return 1.0
    return (later_idle - idle) / max(1, later_total - total)


def processor_times() -> tuple[int, int]:
    """The time that the processors were idle, or at work for what is nice and gives way, and all of their time."""
    with open("/proc/stat") as file:
        _user, nice, _system, idle, waiting, *_ = fields = [int(field) for field in file.readline().split()[1:9]]
    return nice + idle + waiting, sum(fields)


def needs_world(item: pytest.Item) -> bool:
    return "world" in getattr(item, "fixturenames", ())


def waits_for_lease(item: pytest.Item) -> bool:
    return item.get_closest_marker("lease") is not None


def world_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("world")
    return marker.args[0] if marker else "work"


@contextlib.contextmanager
def beside(settings: Mapping[str, Settings], at_the_end: Callable[[World], None]) -> Iterator[Beside]:
    it = Beside(Worlds(settings, at_the_end))
    try:
        yield it
    finally:
        it.stop()
