"""Asks again when nobody knows what came of a call."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from slack_agent.log import log
from slack_agent.settle import OutcomeUnknown

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0

T = TypeVar("T")


def ask(what: str, call: Callable[[], T], patience_seconds: float) -> T:
    """Calls until the outcome is known, and raises OutcomeUnknown if no other call could begin within the seconds. The
    last call may end later than that. `what` is for the log."""
    deadline = time.monotonic() + patience_seconds
    for pause in pauses():
        try:
            return call()
        except OutcomeUnknown as reason:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("%s: not known what came of it, the next try is in %.1f s: %s", what, pause, reason)
        time.sleep(pause)
    raise AssertionError("the pauses do not end")


def pauses() -> Iterator[float]:
    """They double, and are up to a quarter shorter, so that what failed together is not repeated together."""
    pause = SHORTEST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.75, 1)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
