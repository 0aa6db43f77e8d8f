"""Runs all tests that need a world beside each other, because many of them mostly wait: a lease holds for 90 seconds.

pytest still reports them one after the other. When the first of them is due, all are begun, each in a thread of its own; when
one is due, it waits for its end. Those that are marked with `lease`, because they wait for the end of one, are begun first;
of the others, only a few run at a time. A test has its own conversations, and causes faults for its own events or in its
own channel only.

A machine that has too much to do makes everything slow at once, and then what a test waits for comes too late. So a world or a
test begins only when some of the processors' time is idle, however quick the machine is.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from stand_ins.world import Settings, World, world

# The share of the processors' time that is idle when something begins, how long it is looked at, and after how long something
# begins all the same.
IDLE_SHARE = 0.2
LOOK_SECONDS = 0.5
BUSY_LIMIT_SECONDS = 15
# How many of the other tests run at a time, of which most have a process of the agent's at work.
OTHERS_AT_A_TIME = 5
# A world starts when those before it have.
START_LIMIT_SECONDS = 600


class Worlds:
    """The worlds that tests ask for, by name. Each is started once, in a thread that lives as long as it does: the kernel
    ends the processes of a thread that ends."""

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        self._settings = settings
        self._worlds: dict[str, Future[World]] = {}
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        # Two dozen processes are started for each world. Worlds that start beside each other would be slow all at once.
        self._one_starts = threading.Lock()

    def get(self, name: str) -> World:
        with self._lock:
            if name not in self._worlds:
                future = self._worlds[name] = Future()
                thread = threading.Thread(target=self._live, args=(self._settings[name], future), name=name)
                self._threads.append(thread)
                thread.start()
        return self._worlds[name].result(START_LIMIT_SECONDS)

    def _live(self, settings: Settings, future: Future[World]) -> None:
        try:
            with contextlib.ExitStack() as stack:
                with self._one_starts:
                    wait_for_idle_time()
                    it = stack.enter_context(world(settings))
                future.set_result(it)
                self._over.wait()
        except BaseException as error:
            if not future.done():
                future.set_exception(error)

    def running(self) -> dict[str, World]:
        return {name: it.result() for name, it in self._worlds.items() if it.done() and not it.exception()}

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Beside:
    """The tests that run beside each other."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self._futures: dict[str, Future[None]] = {}
        self._others = threading.Semaphore(OTHERS_AT_A_TIME)
        self._one_begins = threading.Lock()

    def begin(self, items: list[pytest.Item]) -> None:
        """Begins all tests among these that need a world, unless they have begun."""
        if self._futures:
            return
        items = sorted((item for item in items if needs_world(item)), key=lambda item: not waits_for_lease(item))
        pool = ThreadPoolExecutor(max(1, len(items)), "test")
        for item in items:
            run = self._run_late if waits_for_lease(item) else self._run_in_turn
            self._futures[item.nodeid] = pool.submit(run, item)
        pool.shutdown(wait=False)

    def _run_late(self, item: Any) -> None:
        it = self.worlds.get(world_of(item))
        self._run(item, it)

    def _run_in_turn(self, item: Any) -> None:
        it = self.worlds.get(world_of(item))
        with self._others:
            self._run(item, it)

    def _run(self, item: Any, it: World) -> None:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        with self._one_begins:
            wait_for_idle_time()
        item.obj(world=it, **parameters)

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
def beside(settings: Mapping[str, Settings]) -> Iterator[Beside]:
    worlds = Worlds(settings)
    try:
        yield Beside(worlds)
    finally:
        worlds.stop()
