"""Keeps what a worker has begun: extends a message's visibility and renews its lease, until it is over.

The two have a thread each, so that a table that does not answer cannot make a message visible, nor SQS a lease end: either
would have another worker run a listener that runs here. Each renewal is one attempt, because the next third brings another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .guard import SKEW_MILLIS, Claim, Guard, GuardUnavailable
from .message import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger("slack_ingress_bolt")


@dataclass
class Held:
    message: Message
    claim: Claim | None = None


class Keeper:
    def __init__(self, sqs: SQSClient, queue_url: str, guard: Guard, lease_seconds: int) -> None:
        self._sqs, self._queue_url, self._guard, self._lease_seconds = sqs, queue_url, guard, lease_seconds
        self._lock = threading.Lock()
        self._held: dict[int, Held] = {}
        self._is_over = threading.Event()
        # A message comes again when its record's lease is over, also by a clock that is slow.
        self.hidden_seconds = lease_seconds + SKEW_MILLIS // 1000
        self._threads = [
            threading.Thread(target=self._run, args=(renew,), name=name, daemon=True)
            for name, renew in (("visibility", self._hide), ("leases", self._renew))
        ]

    def __enter__(self) -> Keeper:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def lease_until(self) -> int:
        return int((time.time() + self._lease_seconds) * 1000)

    def hold(self, messages: Iterable[Message]) -> None:
        with self._lock:
            self._held |= {id(message): Held(message) for message in messages}

    def claimed(self, message: Message) -> Callable[[Claim | None], None]:
        def on_claim(claim: Claim | None) -> None:
            with self._lock:
                if id(message) in self._held:
                    self._held[id(message)].claim = claim

        return on_claim

    def let_go(self, message: Message) -> None:
        with self._lock:
            self._held.pop(id(message), None)

    def _run(self, renew: Callable[[Held], None]) -> None:
        # Two renewals may fail before the third is too late.
        while not self._is_over.wait(self._lease_seconds / 3):
            with self._lock:
                held = list(self._held.values())
            for it in held:
                try:
                    renew(it)
                except Exception:
                    logger.exception("A message could not be kept")

    def _hide(self, it: Held) -> None:
        if self._is_held(it):
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=it.message.receipt_handle, VisibilityTimeout=self.hidden_seconds
            )

    def _renew(self, it: Held) -> None:
        claim = it.claim
        if claim is None:
            return
        try:
            if not self._guard.renew(claim, self.lease_until()) and it.claim is not None:
                # A listener cannot be stopped. When it ends, its message is done all the same.
                logger.error("The lease on %s ended while its listener runs", claim.key)
        except GuardUnavailable as error:
            logger.warning("The lease on %s could not be renewed (%s)", claim.key, error)

    def _is_held(self, it: Held) -> bool:
        with self._lock:
            return id(it.message) in self._held
