"""The calls of tools that change something: agent-settle makes them, and keeps a journal of them for the next attempt."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Outcome = Literal["called", "not called", "unknown", "under way"]
Approval = Literal["approved", "refused", "lapsed", "cannot ask", "never asked"]

MAX_ARGUMENT_BYTES = 64 * 1024


class NoLongerOurs(Exception):
    """Others work on the question, nobody does any more, or a person is asked first. What `think` returns is not used."""


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
    approval: Approval | None = None
    """Of a call that a person decides about first: what was decided. `lapsed`: nobody decided in time. `cannot ask`: nobody could
    be asked. `never asked`: an earlier attempt ended before it asked, so somebody would be asked about the same call now. None if the
    call needs no approval. What was not approved is `not called`."""
    approved_by: str | None = None
    """Who approved it: the id of a person in Slack."""

    def is_of(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        return self.tool == tool and canonical(self.arguments) == canonical(arguments)

    @property
    def is_uncertain(self) -> bool:
        return self.outcome in ("unknown", "under way")

    @property
    def is_declined(self) -> bool:
        """Whether a person would be asked in vain for the same again."""
        return self.approval in ("refused", "lapsed", "cannot ask")


@dataclass(frozen=True)
class Approved:
    """A call that a person has approved, and that was not made yet. Whoever reads it makes it, before a model thinks again."""

    n: int
    tool: str
    letters: str = field(repr=False)
    """The arguments to the letter, as they stand in the journal: what a person has approved are these letters."""
    by: str | None
    """Who approved it: the id of a person in Slack."""


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


# With a number, the tool's name, and the arguments as text. `Approved` is another call, which stands under the number.
Make = Callable[[int, str, str], Call | Approved]
Read = Callable[[], Sequence[Call | Approved]]


class Journal:
    """Numbers the calls of one question. It may be used from several threads; one call is made after another."""

    def __init__(self, make: Make, read: Read, begun: int) -> None:
        """`begun` calls were begun by earlier attempts, which `read` reads. `make` makes one with a number."""
        self._make, self._read, self._begun = make, read, begun
        self._lock = threading.Lock()
        self._next = 1
        self.last = begun
        """The highest number that this journal knows of: of an earlier attempt's call, or of one that was asked for here."""
        self._settled: list[Call] = []
        """Calls that are not asked for again: nobody knows what came of them, or a person has declined them."""

    def calls(self) -> tuple[Call, ...]:
        """What earlier attempts have called. After this, `call` goes on behind it. A call that a person has approved meanwhile is
        made now, and is among them with what came of it."""
        with self._lock:
            calls = tuple(self._made(call) for call in (self._read() if self._begun else ()))
            self._next = max(self._next, self._begun + 1)
            for call in calls:
                self._remember(call)
            return calls

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Call:
        """Makes the call, or returns what stands in the journal under its number: an agent that does the same again from
        the beginning gets the same results. What stands there may be another call, of an earlier attempt. A call whose
        outcome is unknown, or which a person has declined, is not asked for again. Raises CannotCall and NoLongerOurs; the latter
        also if a person is asked first, which ends this attempt."""
        text = canonical(arguments)
        with self._lock:
            for call in self._settled:
                if call.is_of(tool, arguments):
                    return call
            while True:
                self.last = max(self.last, self._next)
                call = self._made(self._make(self._next, tool, text))
                self._next += 1
                self._remember(call)
                # Under a number where an earlier attempt's call was not made, there is nothing to go on from.
                if call.outcome != "not called" or call.is_of(tool, arguments):
                    return call

    def _remember(self, call: Call) -> None:
        if call.is_uncertain or call.is_declined:
            self._settled.append(call)

    def _made(self, call: Call | Approved) -> Call:
        """The call; if it is one that was approved and not made yet, it is made now."""
        if isinstance(call, Call):
            return call
        made = Call(call.n, call.tool, json.loads(call.letters), "not called", why="cannot_be_called")
        with contextlib.suppress(CannotCall):
            answer = self._make(call.n, call.tool, call.letters)
            if isinstance(answer, Call):
                made = answer
        if made.approval is not None:
            return made
        return replace(made, approval="approved", approved_by=call.by)
