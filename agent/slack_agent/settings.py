"""The environment variables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

AGENTCORE_PORT = 8080
THINKING_LIMIT_SECONDS = 15 * 60
# AgentCore ends a session after eight hours.
LONGEST_THINKING_LIMIT_SECONDS = 8 * 60 * 60


class WrongSetting(Exception):
    """A setting is missing or wrong. The message names it and quotes no value."""


@dataclass(frozen=True)
class Settings:
    settle_function: str
    """The name or the ARN of agent-settle."""
    region: str
    thinking_limit_seconds: float = THINKING_LIMIT_SECONDS
    port: int = AGENTCORE_PORT
    answer: str = "post"
    """`stream`: something of an answer is shown while it is being thought. `post`: it is posted when it is there."""
    turns: str = "each"
    """`together`: all questions that stand in a thread when a turn begins are answered by one answer. `each`: each question has a turn
    of its own."""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Settings:
        """Raises WrongSetting."""
        return cls(
            required(env, "SETTLE_FUNCTION"),
            region(env),
            number(env, "THINKING_LIMIT_SECONDS", THINKING_LIMIT_SECONDS, LONGEST_THINKING_LIMIT_SECONDS),
            int(number(env, "PORT", AGENTCORE_PORT, 65535)),
            one_of(env, "ANSWER", "post", "stream"),
            one_of(env, "TURNS", "each", "together"),
        )

    @property
    def host(self) -> str:
        """The address to listen on. AgentCore calls port 8080 from outside. Any other port is used on a developer's
        machine, and is open to that machine only."""
        return "0.0.0.0" if self.port == AGENTCORE_PORT else "127.0.0.1"


def region(env: Mapping[str, str]) -> str:
    """AWS_REGION, or else the region that the ARN of agent-settle names: nobody has seen yet that AgentCore sets the
    variable."""
    parts = env.get("SETTLE_FUNCTION", "").split(":")
    of_arn = parts[3] if len(parts) >= 7 and parts[0] == "arn" else ""
    return env.get("AWS_REGION") or of_arn or required(env, "AWS_REGION")


def required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise WrongSetting(f"{name} is not set")
    return value


def one_of(env: Mapping[str, str], name: str, *values: str) -> str:
    """The first of the values is the default."""
    value = env.get(name) or values[0]
    if value not in values:
        raise WrongSetting(f"{name} must be {' or '.join(values)}")
    return value


def number(env: Mapping[str, str], name: str, default: float, largest: float) -> float:
    """A number above zero."""
    try:
        value = float(env.get(name) or default)
    except ValueError:
        value = math.nan
    if not 0 < value <= largest:
        raise WrongSetting(f"{name} must be a number above 0 and at most {largest}")
    return value


def whole_number(env: Mapping[str, str], name: str, default: int, smallest: int, largest: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not smallest <= int(text) <= largest:
        raise WrongSetting(f"{name} must be a whole number from {smallest} to {largest}")
    return int(text)
