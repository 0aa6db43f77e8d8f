"""Bolt's own `ack`, which also tells what it was told. It is put into a request's context, where Bolt looks for it."""

from __future__ import annotations

import asyncio
from typing import Any

from slack_bolt import Ack, BoltResponse
from slack_bolt.context.ack.async_ack import AsyncAck

from .acknowledgement import Acknowledgement


class QueueAck(Ack):
    def __init__(self, acknowledgement: Acknowledgement) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._acknowledgement = acknowledgement

    def __call__(self, *args: Any, **kwargs: Any) -> BoltResponse:
        response = super().__call__(*args, **kwargs)
        message = self._acknowledgement.take(response)
        if message is not None:
            self._acknowledgement.send(message)
        return response

    def __deepcopy__(self, memo: dict[int, Any]) -> QueueAck:
        """A lazy listener gets a deep copy of its request; what was acknowledged is known in one place all the same."""
        return self


class AsyncQueueAck(AsyncAck):
    def __init__(self, acknowledgement: Acknowledgement) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._acknowledgement = acknowledgement

    async def __call__(self, *args: Any, **kwargs: Any) -> BoltResponse:
        response = await super().__call__(*args, **kwargs)
        message = self._acknowledgement.take(response)
        if message is not None:
            await asyncio.to_thread(self._acknowledgement.send, message)
        return response

    def __deepcopy__(self, memo: dict[int, Any]) -> AsyncQueueAck:
        return self
