"""The same as respond.py, for `AsyncApp`."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncRespond
from slack_sdk.webhook import WebhookResponse


class AsyncNotedRespond(AsyncRespond):
    was_called = False

    async def __call__(self, *args: Any, **kwargs: Any) -> WebhookResponse:
        self.was_called = True
        return await super().__call__(*args, **kwargs)
