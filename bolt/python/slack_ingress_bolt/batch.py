"""In which order the messages of a batch are taken, and what a failure among them does to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .message import Message
from .outcome import Outcome, Report


def sequences(messages: Iterable[Message], is_fifo: bool) -> list[list[Message]]:
    """The messages that wait for each other: those of one group of a FIFO queue, in their order. On a standard queue none
    does; its messages have a group as well, for fairness."""
    if not is_fifo:
        return [[message] for message in messages]
    groups: dict[str, list[Message]] = {}
    for message in messages:
        groups.setdefault(message.group or message.message_id, []).append(message)
    return list(groups.values())


def in_order(
    messages: Iterable[Message], process: Callable[[Message], Report]
) -> Iterator[tuple[Message, Report]]:
    """Processes them until one is not done. Those behind it are held back."""
    before: Outcome | None = None
    for message in messages:
        if before is not None:
            yield message, Report(Outcome.HELD_BACK, error=f"after {before.value}")
            continue
        report = process(message)
        if not report.outcome.is_done:
            before = report.outcome
        yield message, report
