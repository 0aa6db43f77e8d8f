"""How many tokens of a model an attempt has used. agent-settle counts that in the place of all that it might have used, where limits
of a day are set."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from slack_agent.log import log

# agent-settle takes no number above this. No model reads as much in a day.
MOST_TOKENS = 10**12


@dataclass(frozen=True)
class Usage:
    """Tokens."""

    input_tokens: int = 0
    """What a model has read, those of a cache included."""
    output_tokens: int = 0
    """What it has written."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Meter:
    """Adds up what is reported, from whichever thread. It raises nothing: an answer is not lost because of its price. After a report
    that is not two whole numbers nobody knows what was used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage: Usage | None = None
        self._is_unknown = False

    def add(self, input_tokens: int, output_tokens: int) -> None:
        with self._lock:
            so_far = self._usage or Usage()
            if is_count(input_tokens) and is_count(output_tokens):
                sums = so_far.input_tokens + input_tokens, so_far.output_tokens + output_tokens
                if max(sums) <= MOST_TOKENS:
                    self._usage = Usage(*sums)
                    return
            self._is_unknown = True
        log.error("used() takes two whole numbers from 0 to 10^12: what this question has used is not known")

    @property
    def usage(self) -> Usage | None:
        """All of it; None if nothing was ever reported, or something that is no number."""
        return None if self._is_unknown else self._usage


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
