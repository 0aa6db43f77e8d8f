"""The calls of tools that change something: agent-settle makes them, and keeps a journal of them for the next attempt."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["called", "not called", "unknown", "under way"]

MAX_ARGUMENT_BYTES = 64 * 1024


class NoLongerOurs(Exception):
    """Others work on the question, or nobody does any more. What `think` returns is not used."""


class CannotCall(Exception):
    """Such a call cannot be made: the arguments are none, or too long, or agent-settle has no Gateway of tools."""


@dataclass(frozen=True)
class Call:
    """A call that stands in the journal. What it said and was told is left out of `repr`, so that it does not get into a
    log."""

    n: int
    """Its number; the question's first is 1."""
    tool: str
    """The Gateway's name: `<target>___<operation>`."""
    arguments: dict[str, Any] = field(repr=False)
    outcome: Outcome
    """`called`: the tool has done it, or says that it has not. `not called`: certainly not. `unknown`: nobody knows whether
    it took effect. `under way`: nobody knows yet."""
    result: dict[str, Any] | None = field(default=None, repr=False)
    """MCP's result, if the tool has answered. With `unknown` it is an error that does not say what was done."""
    why: str | None = None
    """A code, if it was not called or its outcome is unknown."""

    def is_of(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        return self.tool == tool and canonical(self.arguments) == canonical(arguments)

    @property
    def is_uncertain(self) -> bool:
        return self.outcome in ("unknown", "under way")


def canonical(arguments: Mapping[str, Any]) -> str:
    """The arguments as agent-settle gets and keeps them. Raises CannotCall."""
    if not isinstance(arguments, Mapping):
        raise CannotCall("the arguments are no object")
    try:
        text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise CannotCall("the arguments cannot be written as JSON") from error
    if size > MAX_ARGUMENT_BYTES:
        raise CannotCall(f"the arguments have more than {MAX_ARGUMENT_BYTES} bytes")
    return text


# With a number, the tool's name, and the arguments as text.
Make = Callable[[int, str, str], Call]
Read = Callable[[], Sequence[Call]]


class Journal:
    """Numbers the calls of one question. It may be used from several threads; one call is made after another."""

    def __init__(self, make: Make, read: Read, begun: int) -> None:
        """`begun` calls were begun by earlier attempts, which `read` reads. `make` makes one with a number."""
        self._make, self._read, self._begun = make, read, begun
        self._lock = threading.Lock()
        self._next = 1
        self._uncertain: list[Call] = []

    def calls(self) -> tuple[Call, ...]:
        """What earlier attempts have called. After this, `call` goes on behind it."""
        with self._lock:
            calls = tuple(self._read()) if self._begun else ()
            self._next = max(self._next, self._begun + 1)
            self._uncertain += [call for call in calls if call.is_uncertain]
            return calls

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Call:
        """Makes the call, or returns what stands in the journal under its number: an agent that does the same again from
        the beginning gets the same results. What stands there may be another call, of an earlier attempt. A call whose
        outcome is unknown is not made again. Raises CannotCall and NoLongerOurs."""
        text = canonical(arguments)
        with self._lock:
            for call in self._uncertain:
                if call.is_of(tool, arguments):
                    return call
            while True:
                call = self._make(self._next, tool, text)
                self._next += 1
                if call.is_uncertain:
                    self._uncertain.append(call)
                # Under a number where an earlier attempt's call was not made, there is nothing to go on from.
                if call.outcome != "not called" or call.is_of(tool, arguments):
                    return call
