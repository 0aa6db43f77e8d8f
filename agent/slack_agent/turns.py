"""The questions of a session come one after another, those of different sessions at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator


class Turns:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, deque[Turn]] = {}
        # The sessions and the records of those that are about to get in line.
        self._entering: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def entering(self, session_id: str, record: str) -> Iterator[bool]:
        """Whether the record may get in line if only one of a session may be in it: it is in line already, or no other one is in
        line or about to be. If it may, it counts as about to be until the block ends. Waits for nothing."""
        with self._lock:
            line = {turn.record for turn in self._sessions.get(session_id, ())}
            others = line | {entering for session, entering in self._entering if session == session_id}
            may = record in line or others <= {record}
            if may:
                self._entering.append((session_id, record))
        try:
            yield may
        finally:
            if may:
                with self._lock:
                    self._entering.remove((session_id, record))

    def join(self, session_id: str, record: str, on_turn: Callable[[], None]) -> Turn:
        """Gets in line. `on_turn` is called when the turn comes, unless it has come at once."""
        turn = Turn(self, session_id, record, on_turn)
        with self._lock:
            line = self._sessions.setdefault(session_id, deque())
            line.append(turn)
            turn.has_come = len(line) == 1
        return turn

    def leave(self, turn: Turn) -> None:
        """Ends a turn, or leaves the line. It may be called again."""
        with self._lock:
            line = self._sessions.get(turn.session_id, deque())
            if turn not in line:
                return
            line.remove(turn)
            if not line:
                del self._sessions[turn.session_id]
                return
            following = line[0]
            if following.has_come:
                return
            following.has_come = True
        following.on_turn()

    def __len__(self) -> int:
        """How many sessions have somebody in line."""
        return len(self._sessions)


class Turn:
    def __init__(self, turns: Turns, session_id: str, record: str, on_turn: Callable[[], None]) -> None:
        self.session_id, self.record, self.on_turn = session_id, record, on_turn
        self.has_come = False
        self._turns = turns

    def leave(self) -> None:
        self._turns.leave(self)
