"""What is shown of an answer while it is being thought: agent-settle appends it to a message, and the answer takes its place.

Nothing depends on it. What is lost on the way is not sent again, because it may have been shown, and whoever thinks never
waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from slack_agent.log import log
from slack_agent.settle import Invalid, OutcomeUnknown

# About one call a second, as Slack recommends.
PAUSE_SECONDS = 1.0
# agent-settle takes so much in one piece.
PIECE_CHARACTERS = 2_000
# What one message of an answer holds. The rest of a longer one is posted behind it, and not shown before.
SHOWN_CHARACTERS = 4_000
MORE = " …"
# agent-settle closes the message when it is four and a half minutes old, before Slack does it with an error. It must be
# called for that.
CLOSED_AFTER_SECONDS = 4.5 * 60 + 5
STEP_CHARACTERS = 100

Status = Literal["in_progress", "complete", "error"]
Outcome = Literal["shown", "later", "not shown", "cancel", "gone"]


@dataclass(frozen=True)
class Step:
    """A step of the work, such as a call of a tool. The same id again changes its line."""

    id: str
    title: str
    status: Status


@dataclass(frozen=True)
class Text:
    text: str
    first: bool


Piece = Text | Step


class Shown:
    """May be used from several threads."""

    def __init__(self, question_id: str, send: Callable[[Piece], Outcome], on_stop: Callable[[], None],
                 pause: float = PAUSE_SECONDS) -> None:
        """`send` brings a piece to agent-settle. `on_stop` is called if somebody has pressed stop on the message."""
        self._question_id, self._send, self._on_stop, self._pause = question_id, send, on_stop, pause
        self._lock = threading.Lock()
        self._text = ""
        self._steps: list[Step] = []
        self._left = SHOWN_CHARACTERS
        self._is_first = True
        self._begun: float | None = None
        self._over = threading.Event()

    def text(self, more: str) -> None:
        """Shows more of the text, in a moment."""
        with self._lock:
            if self._over.is_set() or not more or self._left == 0:
                return
            self._text += more[:self._left]
            self._left -= min(len(more), self._left)
            if self._left == 0:
                self._text += MORE
            self._begin()

    def step(self, id: str, title: str, status: Status) -> None:
        """Shows a step of the work, in a moment."""
        with self._lock:
            if not self._over.is_set() and id and title:
                self._steps.append(Step(id[:STEP_CHARACTERS], title[:STEP_CHARACTERS], status))
                self._begin()

    def end(self) -> None:
        """Shows nothing more. What is under way may still be shown: the answer takes its place all the same."""
        self._over.set()

    def _begin(self) -> None:
        if self._begun is None:
            self._begun = time.monotonic()
            threading.Thread(target=self._run, name="shown", daemon=True).start()

    def _run(self) -> None:
        while not self._over.is_set():
            piece = self._next()
            if piece is not None and not self._bring(piece):
                self._over.set()
            self._over.wait(self._pause)

    def _next(self) -> Piece | None:
        with self._lock:
            if self._steps and not self._text:
                return self._steps.pop(0)
            # What is blank has nothing to see, and what follows it brings it along.
            if self._text.strip():
                piece, self._text = self._text[:PIECE_CHARACTERS], self._text[PIECE_CHARACTERS:]
                first, self._is_first = self._is_first, False
                return Text(piece, first)
        is_old = self._begun is not None and time.monotonic() > self._begun + CLOSED_AFTER_SECONDS
        return Text("", False) if is_old else None

    def _bring(self, piece: Piece) -> bool:
        """Returns false if nothing more will be shown."""
        try:
            outcome = self._send(piece)
        except OutcomeUnknown:
            return True
        except Invalid as reason:
            log.error("%s: cannot be shown: %s", self._question_id, reason)
            return False
        if outcome == "later":
            self._put_back(piece)
        if outcome == "cancel":
            self._on_stop()
        return outcome in ("shown", "later")

    def _put_back(self, piece: Piece) -> None:
        with self._lock:
            if isinstance(piece, Step):
                self._steps.insert(0, piece)
            else:
                self._text = piece.text + self._text
                self._is_first |= piece.first
