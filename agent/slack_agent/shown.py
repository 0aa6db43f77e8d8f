"""What is shown of an answer while it is being thought: agent-settle appends it to a message, and the answer takes its place.

Nothing depends on it. What is lost on the way is not sent again, because it may have been shown, and whoever thinks never
waits for it.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from slack_agent.log import describe, log
from slack_agent.settle import Invalid, OutcomeUnknown

# About one call a second, as Slack recommends.
PAUSE_SECONDS = 1.0
# agent-settle takes so much in one piece.
PIECE_CHARACTERS = 2_000
# What one message of an answer holds. The rest of a longer one is posted behind it, and not shown before.
SHOWN_CHARACTERS = 4_000
MORE = " …"
# agent-settle closes the message when it is four and a half minutes old, before Slack does it with an error. It must be
# called for that, also when there is nothing new.
IDLE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 20.0
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
NOTHING_NEW = Text("", False)


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
        self._has_begun = False
        # Whether a piece was refused. No more are sent then, but a message may stand, and is still to be closed.
        self._is_refused = False
        self._sent_at = time.monotonic()
        self._over = threading.Event()

    def text(self, more: str) -> None:
        """Shows more of the text, in a moment."""
        with self._lock:
            if self._over.is_set() or self._is_refused or not more or self._left == 0:
                return
            self._text += more[:self._left]
            self._left -= min(len(more), self._left)
            if self._left == 0:
                self._text += MORE
            self._begin()

    def step(self, id: str, title: str, status: Status) -> None:
        """Shows a step of the work, in a moment."""
        with self._lock:
            if not self._over.is_set() and not self._is_refused and id and title:
                self._steps.append(Step(id[:STEP_CHARACTERS], title[:STEP_CHARACTERS], status))
                self._begin()

    def end(self) -> None:
        """Shows nothing more. What is under way may still be shown: the answer takes its place all the same."""
        self._over.set()

    def begin(self) -> None:
        """An earlier attempt may have left a message that will have to be closed, although nothing new is shown."""
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        # The log has the ids of the session and of the request from the context.
        run = contextvars.copy_context().run
        try:
            threading.Thread(target=run, args=(self._run,), name="shown", daemon=True).start()
        except RuntimeError as error:
            log.warning("%s: nothing is shown: %s", self._question_id, describe(error))
            self._over.set()

    def _run(self) -> None:
        pause = self._pause
        # An answer that is there at once needs no preview.
        while not self._over.wait(pause):
            piece = self._next()
            outcome = self._bring(piece) if piece is not None else "shown"
            if outcome == "not shown" and piece != NOTHING_NEW:
                self._refuse_more()
            elif outcome not in ("shown", "later"):
                self._over.set()
            # Slack takes no more calls for now, of this question and of all others.
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS) if outcome == "later" else self._pause

    def _refuse_more(self) -> None:
        """Drops what was to be shown. Whether there is a message to be closed is known by agent-settle: it refuses a piece without
        words, too, if there is none."""
        with self._lock:
            self._is_refused, self._text, self._steps = True, "", []

    def _next(self) -> Piece | None:
        with self._lock:
            if self._steps and not self._text.strip():
                return self._steps.pop(0)
            # What is blank has nothing to see, and what follows it brings it along.
            if self._text.strip():
                piece, self._text = self._text[:PIECE_CHARACTERS], self._text[PIECE_CHARACTERS:]
                first, self._is_first = self._is_first, False
                return Text(piece, first)
        is_idle = time.monotonic() > self._sent_at + IDLE_SECONDS
        return NOTHING_NEW if is_idle else None

    def _bring(self, piece: Piece) -> Outcome:
        self._sent_at = time.monotonic()
        try:
            outcome = self._send(piece)
        except OutcomeUnknown:
            return "shown"
        except Invalid as reason:
            log.error("%s: cannot be shown: %s", self._question_id, reason)
            return "not shown"
        except Exception as error:
            log.error("%s: cannot be shown: %s", self._question_id, describe(error))
            return "not shown"
        if outcome == "later":
            self._put_back(piece)
        if outcome == "cancel":
            self._on_stop()
        return outcome

    def _put_back(self, piece: Piece) -> None:
        with self._lock:
            if isinstance(piece, Step):
                self._steps.insert(0, piece)
            else:
                self._text = piece.text + self._text
                self._is_first |= piece.first
            if piece == NOTHING_NEW:
                # The message was to be closed now, and Slack does it with an error before another half minute is over.
                self._sent_at -= IDLE_SECONDS
