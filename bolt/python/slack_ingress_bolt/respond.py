"""Bolt's own `respond`, which also notes that it was called. By that one knows that Bolt has told a user that the app is not
installed: it says so in no other way where there is a `response_url`."""

from __future__ import annotations

from typing import Any

from slack_bolt import Respond
from slack_sdk.webhook import WebhookResponse


class NotedRespond(Respond):
    was_called = False

    def __call__(self, *args: Any, **kwargs: Any) -> WebhookResponse:
        self.was_called = True
        return super().__call__(*args, **kwargs)
