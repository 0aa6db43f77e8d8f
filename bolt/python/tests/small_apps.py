"""One behaviour in an `App` and in an `AsyncApp`: a test says it once, as a plain function, and runs in both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from apps import async_app, sync_app
from slack import Slack


class Either:
    """Makes listeners of plain functions; what they call of Bolt's is awaited where it is to be."""

    def __init__(self, slack: Slack, is_async: bool, **settings: Any) -> None:
        self.is_async = is_async
        self.app: Any = async_app(slack.api_url, **settings) if is_async else sync_app(slack.api_url, **settings)[0]

    def function(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`plain` may be a generator: what it yields is awaited in an AsyncApp, and left as it is in an App."""
        async def listener(**arguments: Any) -> Any:
            result = plain(**arguments)
            if inspect.isgenerator(result):
                for step in result:
                    if inspect.isawaitable(step):
                        await step
                return None
            return await result if inspect.isawaitable(result) else result

        def sync_listener(**arguments: Any) -> Any:
            result = plain(**arguments)
            if inspect.isgenerator(result):
                return [*result] and None
            return result

        made = listener if self.is_async else sync_listener
        made.__name__ = plain.__name__
        # Bolt looks at the names of a listener's arguments to know what it wants.
        made.__signature__ = inspect.signature(plain)
        return made

    def event(self, name: str, *plain: Callable[..., Any]) -> None:
        self._register(self.app.event(name), plain)

    def command(self, name: str, *plain: Callable[..., Any]) -> None:
        self._register(self.app.command(name), plain)

    def action(self, constraints: Any, *plain: Callable[..., Any]) -> None:
        self._register(self.app.action(constraints), plain)

    def view(self, name: str, *plain: Callable[..., Any]) -> None:
        self._register(self.app.view(name), plain)

    def _register(self, register: Any, plain: tuple[Callable[..., Any], ...]) -> None:
        first, *lazy = map(self.function, plain)
        if lazy:
            register(ack=first, lazy=lazy)
        else:
            register(first)
