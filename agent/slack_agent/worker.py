"""Takes invocations: claims each question, and gives all of them back when the process must end.

The memory of what has been done is the work record, which agent-settle keeps. What is kept here is only what this
process works on right now.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from slack_agent import payload as payloads
from slack_agent import trace
from slack_agent.log import describe, log
from slack_agent.patience import ask
from slack_agent.payload import Event, InvalidPayload, Invocation
from slack_agent.settle import Claimed, Invalid, OutcomeUnknown, Settle
from slack_agent.thought import Think, Thinker
from slack_agent.turns import Turns
from slack_agent.usage import Usage
from slack_agent.work import Timing, Work

OnEvent = Callable[[Event], None | Awaitable[None]]


class Unclaimed(Exception):
    """Nothing is known of the claim, or the event could not be handled: the invocation has failed, and the queue brings
    the message again."""


class Worker:
    """Works on questions with `think`. `on_event` is called for what is no question."""

    def __init__(self, think: Think, settle: Settle, *, on_event: OnEvent | None = None,
                 timing: Timing = Timing(), shows: bool = False, together: bool = False) -> None:
        """`shows`: whether something of an answer is shown while it is being thought. `together`: whether the questions that stand in
        a thread are answered together."""
        self._settle, self._on_event, self._timing, self._shows = settle, on_event, timing, shows
        self._together = together
        self._thinker, self._turns = Thinker(think), Turns()
        self.begin_busy: Callable[[str], Any] = lambda name: None
        self.end_busy: Callable[[Any], object] = lambda task: None
        """`begin_busy` is called when the work on a question begins, and `end_busy`, with what that returned, when it
        ends. In between, AgentCore must not take the process for idle."""
        self._claims = KeyedLocks()
        # Guards the fields below, and is notified when there is less of them.
        self._changed = threading.Condition()
        self._at_work: dict[str, Work] = {}
        self._works: dict[Work, Any] = {}
        self._invocations = 0
        self._stopping = False
        self._stop_by: float | None = None

    def invoke(self, payload: Any, session_id: str | None) -> dict[str, str]:
        """The entry point: claims the question and starts the work on it. Returns the answer to the invocation.

        Blocks until agent-settle has answered, usually for some milliseconds; it must not be called on an event loop.
        Raises InvalidPayload (HTTP 400) and Unclaimed (HTTP 503).
        """
        invocation = payloads.parse(payload)
        trace.begin(invocation.trace)
        if not session_id:
            raise InvalidPayload("the header with the session id is missing")
        with self._changed:
            if self._stopping:
                return {"status": "later"}
            self._invocations += 1
        try:
            if invocation.question is None:
                self._handle(invocation.event(session_id))
                return {"status": "ignored"}
            return {"status": self._take(invocation, session_id)}
        finally:
            with self._changed:
                self._invocations -= 1
                self._changed.notify_all()

    def refuse_more(self) -> None:
        """From now on, invocations are answered with `later`. Takes no lock, so a signal handler may call it."""
        self._stopping = True

    def stop(self) -> None:
        """Takes no more invocations, gives back every question, and waits for that, for `Timing.stop` seconds from the
        first call."""
        with self._changed:
            self._stopping = True
            if self._stop_by is None:
                self._stop_by = time.monotonic() + self._timing.stop
                if self._works:
                    log.info("the process must end: %d questions are given back", len(self._works))
            by, works = self._stop_by, list(self._works)
        for work in works:
            work.stop(by)
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._works and not self._invocations, by - time.monotonic())
        if not ended:
            log.error("the process ends, and %d questions are left to their lease", len(self._works))

    def _handle(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            result = self._on_event(event)
            if inspect.isawaitable(result):
                asyncio.run(wait_for(result))
        except Exception as error:
            log.error("%s: on_event failed: %s", event.event_id, describe(error))
            raise Unclaimed("on_event failed") from error

    def _take(self, invocation: Invocation, session_id: str) -> str:
        """Claims the question. If questions are answered together and another one of its session has its turn, this one is not claimed:
        whoever works on that one may answer this one too, which agent-settle allows only for a question that nobody has."""
        if not self._together:
            return self._claim(invocation, session_id)
        assert invocation.question is not None and invocation.work is not None
        # On a FIFO queue the next question comes as soon as the answer stands, before this process has heard of that.
        deadline = time.monotonic() + self._timing.ending
        while True:
            with self._turns.entering(session_id, invocation.work.record) as may_enter:
                if may_enter:
                    return self._claim(invocation, session_id)
            with self._changed:
                is_ending = any(work.is_ending_in(session_id, invocation.question["id"]) for work in self._works)
            if not is_ending or self._stopping or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        log.info("%s: later: another question of its session has its turn", invocation.question["id"])
        return "later"

    def _claim(self, invocation: Invocation, session_id: str) -> str:
        assert invocation.question is not None and invocation.work is not None
        record, question_id = invocation.work.record, invocation.question["id"]
        # Claims of one record come one after another, so that only the first of them starts a work.
        with self._claims.hold(record):
            token = secrets.token_hex(16)
            with self._claim_under_way(record):
                claimed = self._ask_for(question_id, record, invocation.work.token, token)
                if claimed is None:
                    log.info("%s: duplicate", question_id)
                    return "duplicate"
                with self._changed:
                    under_way = self._at_work.get(record)
                    before = None if under_way is None else under_way.go_on_with(token, claimed.tool_calls)
                    if before is None and not self._stopping:
                        self._begin(invocation, session_id, token, claimed)
                        log.info("%s: working (attempt %d)", question_id, claimed.attempt)
                        return "working"
            if before is not None:
                log.info("%s: goes on (attempt %d)", question_id, claimed.attempt)
                if claimed.most_tokens is not None:
                    # What the work uses is said by its new token, which has taken as much as the one before.
                    self._give_back(question_id, record, before)
                return "working"
            self._give_back(question_id, record, token)
            return "duplicate"

    def _ask_for(self, question_id: str, record: str, token: str, new: str) -> Claimed | None:
        try:
            return ask(question_id, lambda: self._settle.claim(record, token, new), self._timing.claim)
        except (OutcomeUnknown, Invalid) as reason:
            log.error("%s: not known whether it is claimed: %s", question_id, reason)
            raise Unclaimed("the claim failed") from reason

    def _begin(self, invocation: Invocation, session_id: str, token: str, claimed: Claimed) -> None:
        assert invocation.work is not None
        question = invocation.asked(session_id, claimed.attempt)
        work = Work(question, invocation.work.record, token, claimed, self._settle, self._thinker, self._turns,
                    self._timing, self._over, self._shows, invocation.payload, self._together)
        self._at_work[work.record] = work
        self._works[work] = self.begin_busy("question")
        try:
            work.start()
        except RuntimeError as reason:
            log.error("%s: no thread for it, left to its lease: %s", question.id, reason)
            raise Unclaimed("no thread can be started") from reason

    def _over(self, work: Work) -> None:
        with self._changed:
            if self._at_work.get(work.record) is work:
                del self._at_work[work.record]
            self.end_busy(self._works.pop(work))
            self._changed.notify_all()

    def _claim_under_way(self, record: str) -> contextlib.AbstractContextManager[None]:
        with self._changed:
            work = self._at_work.get(record)
        return contextlib.nullcontext() if work is None else work.claim_under_way()

    def _give_back(self, question_id: str, record: str, token: str) -> None:
        """Releases what was claimed while the process began to end; or says that nothing was used by a token that is not the record's
        any more."""
        try:
            ask(question_id, lambda: self._settle.release(record, token, Usage()), self._timing.stop / 2)
        except (OutcomeUnknown, Invalid) as reason:
            log.error("%s: not given back, and left to its lease: %s", question_id, reason)


class KeyedLocks:
    """A lock for each key, which exists as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        with self._lock:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = (lock, users - 1)


async def wait_for(result: Awaitable[None]) -> None:
    await result
