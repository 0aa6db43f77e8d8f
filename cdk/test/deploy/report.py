"""Prints what is checked, and stops at the first check that fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class Failed(Exception):
    """A check or a command failed. The message says which one."""


def step(text: str) -> None:
    """Prints a heading."""
    print(f"\n── {text}", flush=True)


def check(what: str, actual: Any, expected: Any) -> None:
    """Prints `what` if the two values are equal, and raises Failed if they are not."""
    if actual != expected:
        raise Failed(f"{what}: got {actual!r}, expected {expected!r}")
    print(f"   ok  {what}", flush=True)


def eventually(what: str, look: Callable[[], Any], expected: Any, limit_seconds: float = 15) -> None:
    """Calls `look` until it returns the expected value; after the limit the check fails."""
    deadline = time.monotonic() + limit_seconds
    while (actual := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    check(what, actual, expected)
