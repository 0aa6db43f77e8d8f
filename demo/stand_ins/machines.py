"""Plays AgentCore's machines: runs the agent's processes, one for each session.

A machine begins at a session's first call and ends as on AWS: the process gets SIGTERM, and after 15 seconds SIGKILL. It may
also be killed without a word, or be paused, which is what a machine that stands still looks like from outside. After its end
the next call of the session gets a new machine.

Assumed: how long a cold start takes. AWS promises nothing; people report a few seconds, and up to a minute when the first
start also unpacks the package. `cold_start_seconds` is added to the process's own start. A session that is idle is ended
after `idle_seconds`, if that is set: it is idle when no call is open and /ping does not say HealthyBusy.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import itertools
import json
import pathlib
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stand_ins.processes import HOST, START_LIMIT_SECONDS, Program, eventually, free_port, tail

AGENT_LIMIT_SECONDS = 15 * 60
GRACE_SECONDS = 15
PING_LIMIT_SECONDS = 5


@dataclass(frozen=True)
class AgentProgram:
    """How the agent's process is started. Its port is added to the environment as PORT."""

    command: Sequence[str]
    env: Mapping[str, str]
    logs: pathlib.Path


class Machine:
    """One process of the agent, from its start to its end."""

    def __init__(self, program: AgentProgram, session_id: str, number: int, cold_start_seconds: float) -> None:
        self.session_id, self.number = session_id, number
        self.port = free_port()
        self.log = program.logs / f"agent-{number}.log"
        self.calls = 0
        self.last_call = time.monotonic()
        self.is_paused = self._is_to_end = self._is_being_ended = False
        self._program: Program | None = None
        self._started, self._ended = threading.Event(), threading.Event()
        self._warm = threading.Event()
        self._lock = threading.Lock()
        self._cold_start_seconds = cold_start_seconds
        # The process is a child of this thread and ends when the thread ends.
        threading.Thread(target=self._live, args=(program,), name=f"agent-{number}", daemon=True).start()

    def _live(self, program: AgentProgram) -> None:
        try:
            self._run(program)
            # Somebody else may have taken the port between our look and the start.
            while not self._is_to_end and "address already in use" in tail(self.log, 5):
                self.log.unlink()
                self.port = free_port()
                self._run(program)
        finally:
            self._started.set()
            self._ended.set()

    def _run(self, program: AgentProgram) -> None:
        env = dict(program.env) | {"PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self._program = Program(f"agent-{self.number}", list(program.command), env, self.log)
        self._started.set()
        if self._is_to_end:
            self._program.kill()
        self._program.process.wait()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    @property
    def is_torn_down(self) -> bool:
        """Whether the session is being ended, and the process is still there."""
        return self._is_being_ended and not self.has_ended

    def wait_until_it_is_warm(self) -> None:
        """The rest of the cold start. Raises OSError if the process ends meanwhile."""
        if self._warm.is_set():
            return
        self._started.wait(START_LIMIT_SECONDS)

        def is_up() -> bool:
            if self.has_ended:
                raise ConnectionError(f"the agent ended at its start:\n{tail(self.log)}")
            with contextlib.suppress(OSError, ValueError):
                return bool(self.ping())
            return False

        eventually("the agent answers", is_up, START_LIMIT_SECONDS, lambda: tail(self.log))
        self._ended.wait(self._cold_start_seconds)
        self._warm.set()

    def ping(self) -> str:
        """What /ping says: Healthy or HealthyBusy. Raises OSError."""
        url = f"http://{HOST}:{self.port}/ping"
        with urllib.request.urlopen(url, timeout=PING_LIMIT_SECONDS) as response:
            return str(json.load(response)["status"])

    @contextlib.contextmanager
    def invocation(self, body: bytes, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """Posts to /invocations as soon as the machine is warm. Raises OSError and HTTPException."""
        self.wait_until_it_is_warm()
        with self._lock:
            self.calls += 1
        connection = http.client.HTTPConnection(HOST, self.port, timeout=AGENT_LIMIT_SECONDS)
        try:
            connection.request("POST", "/invocations", body, dict(headers))
            yield connection.getresponse()
        finally:
            connection.close()
            with self._lock:
                self.calls -= 1
                self.last_call = time.monotonic()

    def is_busy(self) -> bool:
        """Whether the process works on something. One that does not answer counts as busy."""
        if self.has_ended:
            return False
        try:
            return self.calls > 0 or self.ping() != "Healthy"
        except (OSError, ValueError):
            return not self.has_ended

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends the session as AgentCore does. Returns at once."""
        self._is_being_ended = True
        if self._program is not None:
            self._program.terminate()
        killer = threading.Timer(grace_seconds, self.kill)
        killer.daemon = True
        killer.start()

    def kill(self) -> None:
        self._is_to_end = True
        if self._program is not None:
            self._program.kill()

    def pause(self, seconds: float | None = None) -> None:
        """Stops the process where it is, for `seconds` or until `resume`."""
        if self._program is None:
            return
        self.is_paused = True
        self._program.pause()
        if seconds is not None:
            timer = threading.Timer(seconds, self.resume)
            timer.daemon = True
            timer.start()

    def resume(self) -> None:
        if self._program is not None:
            self._program.resume()
        self.is_paused = False

    def wait_for_its_end(self, seconds: float) -> bool:
        return self._ended.wait(seconds)


class Machines:
    """The machines of all sessions. So many `spares` are started before there is a session for them; on this machine a
    process takes a second to start, or more beside others."""

    def __init__(self, program: AgentProgram, cold_start_seconds: float = 0,
                 idle_seconds: float | None = None, spares: int = 0) -> None:
        self.program = program
        self.cold_start_seconds = cold_start_seconds
        self.all: list[Machine] = []
        self._of_session: dict[str, Machine] = {}
        self._spares: collections.deque[Machine] = collections.deque()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        for _ in range(spares):
            self._spares.append(self._start())
        if idle_seconds is not None:
            threading.Thread(target=self._end_idle_ones, args=(idle_seconds,), daemon=True).start()

    def of_session(self, session_id: str) -> Machine:
        """The session's machine. There is a new one if it has none, or if its machine has ended."""
        with self._lock:
            machine = self._of_session.get(session_id)
            if machine is None or machine.has_ended:
                machine = self._of_session[session_id] = self._new(session_id)
        return machine

    def forget(self, session_id: str) -> None:
        """The next call of the session gets another machine, while this one goes on. People have seen that in production,
        when a call comes while an earlier one is open."""
        with self._lock:
            self._of_session.pop(session_id, None)

    def another(self, session_id: str) -> Machine:
        """A second machine of the same session, which only the invocation gets that asks for it."""
        with self._lock:
            return self._new(session_id)

    def running(self) -> list[Machine]:
        with self._lock:
            return [machine for machine in self.all if not machine.has_ended]

    def are_at_rest(self) -> bool:
        return not any(machine.is_busy() for machine in self.running())

    def starts(self) -> int:
        """How many machines there have been."""
        return len(self.all)

    def _new(self, session_id: str) -> Machine:
        if self._spares:
            self._spares.append(self._start())
            machine = self._spares.popleft()
        else:
            machine = self._start()
        machine.session_id, machine.last_call = session_id, time.monotonic()
        self.all.append(machine)
        return machine

    def _start(self) -> Machine:
        return Machine(self.program, "", next(self._numbers), self.cold_start_seconds)

    def _end_idle_ones(self, idle_seconds: float) -> None:
        while not self._stopping.wait(min(1, idle_seconds / 4)):
            for machine in self.running():
                if time.monotonic() - machine.last_call > idle_seconds and not machine.is_busy():
                    machine.end()

    def stop(self) -> None:
        self._stopping.set()
        machines = [*self.running(), *self._spares]
        for machine in machines:
            machine.kill()
        for machine in machines:
            machine.wait_for_its_end(START_LIMIT_SECONDS)
