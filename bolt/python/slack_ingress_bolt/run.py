"""What is seen of one dispatch while it goes on. It travels in a context variable, so that one app can serve several
threads or tasks at a time, and what is not ours in the same app is left alone."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Run:
    has_listener: bool = False
    """Whether a listener was started."""
    failure: BaseException | None = None
    """The first exception of a listener or a middleware, whatever the app's own error handler made of it."""
    lazy: list[tuple[Callable[..., Any], Any]] = field(default_factory=list)
    """The lazy listeners that the listener asked for, each with its request."""

    def fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error


current: ContextVar[Run | None] = ContextVar("slack_ingress_bolt_run", default=None)
