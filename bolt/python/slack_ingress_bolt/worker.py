"""Polls the queue without Lambda: on ECS, on Kubernetes, on a laptop.

The main thread polls and takes no more than there are free threads for; each message has a thread. SIGTERM: what runs is
finished, nothing new is begun.

Of a FIFO queue it takes one message at a time. SQS gives out up to ten messages of one group together, and counts a receive
for each of them, also for those that have to wait: a first one that fails again and again would take the others to the
dead-letter queue with it, although none of them has run. And SQS gives out nothing of a group while a message of it is out.
Where messages wait, a receive is as short as the way to SQS and back, so one after the other keeps the threads busy.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .consumer import Consumer
from .guard import Guard
from .keeper import Keeper
from .log import Log
from .message import Message, from_sqs
from .outcome import Outcome, Report

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SQS's limit for a call.
MOST_MESSAGES = 10
LONGEST_AGAIN_SECONDS = 900

logger = logging.getLogger("slack_ingress_bolt")


@dataclass(frozen=True)
class Settings:
    queue_url: str
    concurrency: int = 10
    """How many messages are worked on at a time."""
    lease_seconds: int = 90
    """After how long without a sign another worker takes a message over. Renewed after each third of it."""
    poll_seconds: int = 10
    """How long a call waits for messages; so long may SIGTERM take although nothing runs."""

    retry_seconds: int = 10
    """After how long a message that failed comes again for the first time; each further time it is three times as long."""

    @property
    def is_fifo(self) -> bool:
        return self.queue_url.endswith(".fifo")


class Worker:
    def __init__(
        self, consumer: Consumer, guard: Guard, sqs: SQSClient, log: Log, settings: Settings, *, polling: SQSClient
    ) -> None:
        """`polling`: a client that waits as long as a poll does. No other call may take so long."""
        self._consumer, self._sqs, self._log, self._settings = consumer, sqs, log, settings
        self._polling = polling
        self._keeper = Keeper(sqs, settings.queue_url, guard, settings.lease_seconds)
        self._is_stopping = threading.Event()
        self._free = settings.concurrency
        self._changed = threading.Condition()

    def stop(self) -> None:
        self._is_stopping.set()

    def stop_at_signals(self) -> None:
        """The second one, whichever it is, ends the process at once. An exception would not: it would be raised where the
        main thread waits for the listeners, and Python waits for their threads before it ends."""

        is_asked = False

        def stop(number: int, _: object) -> None:
            nonlocal is_asked
            if is_asked:
                os._exit(128 + number)
            is_asked = True
            self.stop()
            logger.info("Stopping: what runs is finished, nothing new is begun")

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def run(self) -> None:
        """Until `stop`. Raises what the first call to SQS raises, because that is a fault of the set-up."""
        pool = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="listener")
        with self._keeper:
            is_first, pause = True, 1.0
            try:
                while not self._is_stopping.is_set():
                    free = self._wait_for_a_free_thread()
                    if not free:
                        continue
                    try:
                        messages = self._receive(1 if self._settings.is_fifo else min(free, MOST_MESSAGES))
                    except Exception:
                        if is_first:
                            raise
                        logger.exception("The queue could not be polled")
                        self._is_stopping.wait(pause)
                        pause = min(pause * 2, 30)
                        continue
                    is_first, pause = False, 1.0
                    self._begin(pool, messages)
            finally:
                pool.shutdown(wait=True)

    def _wait_for_a_free_thread(self) -> int:
        with self._changed:
            # With a limit, because a signal does not wake it.
            self._changed.wait_for(lambda: self._free > 0, timeout=0.5)
            return self._free

    def _receive(self, most: int) -> list[Message]:
        answer = self._polling.receive_message(
            QueueUrl=self._settings.queue_url, MaxNumberOfMessages=most, WaitTimeSeconds=self._settings.poll_seconds,
            VisibilityTimeout=self._keeper.hidden_seconds, MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId", "ApproximateReceiveCount", "SentTimestamp"],
        )
        return [from_sqs(message) for message in answer.get("Messages", [])]

    def _begin(self, pool: ThreadPoolExecutor, messages: Sequence[Message]) -> None:
        self._keeper.hold(messages)
        with self._changed:
            self._free -= len(messages)
        for message in messages:
            pool.submit(self._work, message)

    def _work(self, message: Message) -> None:
        try:
            try:
                report = self._process(message)
            finally:
                self._keeper.let_go(message)
            self._log.write(message, report)
            self._settle(message, report)
        except BaseException:
            logger.exception("A message could not be processed")
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _process(self, message: Message) -> Report:
        # What the last poll has brought goes back to the queue.
        if self._is_stopping.is_set():
            return Report(Outcome.HELD_BACK, error="stopping")
        return self._consumer.process(message, self._keeper.lease_until(), self._keeper.claimed(message))

    def _settle(self, message: Message, report: Report) -> None:
        if not report.outcome.is_done:
            self._bring_again(message, again_in(message, report, self._settings.retry_seconds))
            return
        try:
            self._sqs.delete_message(QueueUrl=self._settings.queue_url, ReceiptHandle=message.receipt_handle)
        except Exception:
            # It comes again, and the guard knows it.
            logger.exception("A message that is done could not be deleted")

    def _bring_again(self, message: Message, seconds: int) -> None:
        try:
            self._sqs.change_message_visibility(
                QueueUrl=self._settings.queue_url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=seconds
            )
        except Exception:
            logger.warning("A message could not be given back; it comes again when its visibility ends", exc_info=True)


def again_in(message: Message, report: Report, retry_seconds: int) -> int:
    """After how many seconds the message is to come again."""
    if report.outcome is Outcome.HELD_BACK:
        return 0
    if report.outcome is Outcome.IN_FLIGHT and report.again_in_millis is not None:
        return min(report.again_in_millis // 1000 + 1, LONGEST_AGAIN_SECONDS)
    return int(min(retry_seconds * 3 ** min(message.receive_count - 1, 10), LONGEST_AGAIN_SECONDS))
