"""Plays Slack's messages that are being written: chat.startStream, chat.appendStream and chat.stopStream, and what chat.update
and chat.delete do to them.

As Slack does, it refuses to change a message that is being written (`streaming_state_conflict`), and to append to one that is
not (`message_not_in_streaming_state`), or on which somebody has pressed stop (`stopped_by_user`). The first addition says whether
a message is written by `markdown_text` or by `chunks`, and it refuses the other from then on (`streaming_mode_mismatch`). The five minutes after which
Slack ends the writing by itself are not documented; people have measured 306 seconds. Guessed is what stopping says after a
stop of a person's: the same as appending.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LIFE_SECONDS = 306
PIECE_LIMIT = 12_000


@dataclass
class Stream:
    """A message that is being written, or was."""

    channel: str
    thread_ts: str
    ts: str
    recipient: str
    begun: float = field(default_factory=time.monotonic)
    pieces: list[str] = field(default_factory=list)
    steps: list[Mapping[str, Any]] = field(default_factory=list)
    mode: str | None = None
    """How it is written: by `markdown_text` or by `chunks`. None before the first addition."""
    is_stopped: bool = False
    is_stopped_by_user: bool = False
    is_deleted: bool = False
    answer: str | None = None
    """The text that has taken the place of the pieces."""

    @property
    def text(self) -> str:
        """What people see."""
        return "".join(self.pieces) if self.answer is None else self.answer

    @property
    def is_written(self) -> bool:
        over = self.is_stopped or self.is_stopped_by_user or self.is_deleted
        return not over and time.monotonic() < self.begun + LIFE_SECONDS

    def append(self, fields: Mapping[str, Any]) -> str | None:
        """Returns the error, if there is one."""
        if self.is_stopped_by_user:
            return "stopped_by_user"
        if not self.is_written:
            return "message_not_in_streaming_state"
        modes = [mode for mode in ("markdown_text", "chunks") if fields.get(mode) is not None]
        if len(modes) != 1:
            return "cannot_provide_both_markdown_text_and_chunks" if modes else "invalid_arguments"
        if self.mode not in (None, *modes):
            return "streaming_mode_mismatch"
        [mode] = modes
        chunks = fields[mode] if mode == "chunks" else [{"type": "markdown_text", "text": fields[mode]}]
        if not isinstance(chunks, list) or not chunks or not all(is_text(it) or is_step(it) for it in chunks):
            return "invalid_chunks"
        texts = [chunk["text"] for chunk in chunks if is_text(chunk)]
        if any(len(text) > PIECE_LIMIT for text in texts):
            return "msg_too_long"
        self.mode = mode
        self.pieces += texts
        self.steps += [chunk for chunk in chunks if is_step(chunk)]
        return None

    def stop(self, fields: Mapping[str, Any]) -> str | None:
        """Returns the error, if there is one."""
        if self.is_stopped_by_user:
            return "stopped_by_user"
        if not self.is_written:
            return "message_not_in_streaming_state"
        has_words = any(fields.get(mode) is not None for mode in ("markdown_text", "chunks"))
        if has_words and (error := self.append(fields)) is not None:
            return error
        self.is_stopped = True
        return None


def is_text(chunk: Any) -> bool:
    return isinstance(chunk, dict) and chunk.get("type") == "markdown_text" and isinstance(chunk.get("text"), str)


def is_step(chunk: Any) -> bool:
    return isinstance(chunk, dict) and chunk.get("type") == "task_update" \
        and all(isinstance(chunk.get(name), str) and chunk[name] for name in ("id", "title", "status")) \
        and len(chunk["title"]) <= 256 and chunk["status"] in ("pending", "in_progress", "complete", "error")
