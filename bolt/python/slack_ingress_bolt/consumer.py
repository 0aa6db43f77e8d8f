"""What happens to one message: the only file that knows the order of guard, dispatch and guard.

A death between the listener's end and the write of `done` runs the listener again, as for every consumer without a
transaction around its work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from .acknowledgement import Acknowledgement
from .dispatch import Dispatch, Ended
from .guard import Claim, Guard, GuardUnavailable, State
from .message import Message
from .outcome import Outcome, Report
from .payload import Malformed, payload, retry_headers

logger = logging.getLogger("slack_ingress_bolt")


class Consumer:
    def __init__(
        self, dispatch: Dispatch, guard: Guard, *, response_origins: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._dispatch, self._guard, self._response_origins, self._now = dispatch, guard, response_origins, now
        self._has_warned_of_ids = False

    def process(
        self, message: Message, lease_until: int, on_claim: Callable[[Claim | None], None] = lambda _: None
    ) -> Report:
        """Never raises because of a message. `lease_until`: until when nobody else is to run it, in milliseconds since
        the epoch. `on_claim` is told of the claim when the listener begins, and None when it has ended, for who renews
        it."""
        began = time.monotonic()

        def report(outcome: Outcome, error: str | None = None, **more: Any) -> Report:
            return Report(outcome, error, duration_ms=(time.monotonic() - began) * 1000, **more)

        try:
            body = payload(message)
        except Malformed as error:
            return report(Outcome.MALFORMED, str(error))
        try:
            claim = self._guard.begin(self._id_of(message), lease_until)
        except GuardUnavailable as error:
            # Without the guard nothing runs: the message comes again, and nothing is lost but time.
            logger.warning("The guard's table could not be asked (%s)", error)
            return report(Outcome.FAILED, f"guard: {error}")
        if claim.state is State.DONE:
            return report(Outcome.DUPLICATE)
        if claim.state is State.RUNNING:
            until = claim.lease_until
            return report(
                Outcome.IN_FLIGHT, again_in_millis=None if until is None else max(0, until - int(self._now() * 1000))
            )
        on_claim(claim)
        acknowledgement = Acknowledgement(
            body, received_at=message.received_at, was_sent_before=claim.is_ack_sent,
            more_origins=self._response_origins, proxy=self._dispatch.proxy, ssl=self._dispatch.ssl, logger=logger,
            now_millis=lambda: int(self._now() * 1000),
        )
        try:
            try:
                ended = self._dispatch.run(body, retry_headers(message), acknowledgement, message.event_id)
            finally:
                on_claim(None)
        except Malformed as error:
            self._release(claim, acknowledgement)
            return report(Outcome.MALFORMED, str(error))
        except BaseException:
            # The process is to end (KeyboardInterrupt). The next delivery need not wait for the lease.
            self._release(claim, acknowledgement)
            raise
        ack = _ack(acknowledgement)
        if ended.error is not None:
            self._release(claim, acknowledgement)
            return report(Outcome.FAILED, ended.error, ack=ack)
        self._finish(claim)
        return report(_outcome(ended), ack=ack)

    def _id_of(self, message: Message) -> str:
        if message.event_id is not None:
            return message.event_id
        if not self._has_warned_of_ids:
            self._has_warned_of_ids = True
            logger.warning(
                "A message has no attribute `event_id`, so it is guarded by SQS's own id: what is sent twice runs twice. "
                "Does the queue's subscription to a topic have raw message delivery?"
            )
        return message.message_id

    def _finish(self, claim: Claim) -> None:
        """The message counts as done whatever becomes of this write: the work is done, and to bring the message again would
        run it again. What is lost if the write fails: a second copy of the message that comes after the lease runs too."""
        try:
            if not self._guard.finish(claim):
                logger.error("The lease on %s ended before its listener: another consumer has run it too", claim.key)
        except GuardUnavailable as error:
            logger.error("That %s is done could not be recorded (%s)", claim.key, error)

    def _release(self, claim: Claim, acknowledgement: Acknowledgement) -> None:
        try:
            self._guard.release(claim, acknowledgement.is_sent)
        except GuardUnavailable as error:
            logger.warning("%s could not be released (%s): it is free when its lease ends", claim.key, error)


def _outcome(ended: Ended) -> Outcome:
    return Outcome.DONE if ended.is_heard else Outcome.NOBODY_LISTENS


def _ack(acknowledgement: Acknowledgement) -> str | None:
    if acknowledgement.lost is not None:
        return "too_late"
    return acknowledgement.sent.value if acknowledgement.sent is not None else None
