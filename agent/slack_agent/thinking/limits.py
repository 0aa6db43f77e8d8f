"""How much a model may use for one question: the settings, their defaults and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slack_agent.settings import whole_number


@dataclass(frozen=True)
class Limits:
    turns: int = 20
    """Calls of the model. The last one is without tools, so there is an answer."""
    tool_calls: int = 30
    tokens: int = 4096
    """What the model may write in one call."""
    history_tokens: int = 8000
    """How much of what was said before the question the model sees, by an estimate."""
    question_tokens: int = 200_000
    """What the model may read and write for a question in all its calls, where agent-settle says nothing of that."""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Limits:
        """Raises WrongSetting."""
        return cls(
            whole_number(env, "MAX_TURNS", cls.turns, 2, 100),
            whole_number(env, "MAX_TOOL_CALLS", cls.tool_calls, 1, 200),
            whole_number(env, "MAX_TOKENS", cls.tokens, 1, 64_000),
            whole_number(env, "HISTORY_TOKENS", cls.history_tokens, 0, 200_000),
            whole_number(env, "MAX_QUESTION_TOKENS", cls.question_tokens, 1_000, 10_000_000),
        )
