"""How a message ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    DONE = "done"
    NOBODY_LISTENS = "nobody_listens"
    DUPLICATE = "duplicate"
    """A delivery before was done."""
    IN_FLIGHT = "in_flight"
    """Another consumer has a live lease."""
    FAILED = "failed"
    HELD_BACK = "held_back"
    """Not begun: a message before it in its group was not done, or there was no time left."""
    MALFORMED = "malformed"

    @property
    def is_done(self) -> bool:
        """Whether the queue may delete the message."""
        return self in (Outcome.DONE, Outcome.NOBODY_LISTENS, Outcome.DUPLICATE)


@dataclass(frozen=True)
class Report:
    outcome: Outcome
    error: str | None = None
    duration_ms: float = 0.0
    ack: str | None = None
    """What became of the text of an ack, or `too_late` for what only an answer could have said."""
    again_in_millis: int | None = None
    """When another consumer's lease ends."""
