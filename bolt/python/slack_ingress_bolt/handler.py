"""Lambda's side: an event of SQS in, a partial batch response out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slack_bolt import App

from . import batch, wiring
from .guard import SKEW_MILLIS
from .log import Log
from .message import Message, from_lambda
from .outcome import Outcome, Report

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from slack_bolt.async_app import AsyncApp

# Where there is no deadline (a call by hand), Lambda's longest.
LONGEST_MILLIS = 15 * 60 * 1000
# With less than this left, a message is not begun. SQS brings it again.
LEAST_MILLIS = 2_000

logger = logging.getLogger("slack_ingress_bolt")


class SqsHandler:
    """Runs a Bolt app's listeners for the messages of slack-ingress's queue.

        app = App(token=…)
        handler = SqsHandler(app)     # the function's handler

    The event source mapping must have `ReportBatchItemFailures`. The app belongs to the handler from now on:
    `process_before_response` is set.
    """

    def __init__(
        self,
        app: App | AsyncApp,
        *,
        table: str | None = None,
        metrics: bool | None = None,
        dynamodb: DynamoDBClient | None = None,
        response_origins: Sequence[str] = (),
    ) -> None:
        """
        Args:
            app: Bolt's `App` or `AsyncApp`, with its listeners.
            table: The guard's table in DynamoDB; the environment variable BOLT_TABLE if absent. Without either there is no
                guard, and a warning.
            metrics: Whether the log lines are CloudWatch metrics too; as BOLT_METRICS says if absent, which is `on`.
            dynamodb: A boto3 client of one's own.
            response_origins: Where a `response_url` may lead besides Slack, for a stand-in: `http://127.0.0.1:3000`.
        """
        self._consumer = wiring.consumer(app, wiring.guard(table, dynamodb), response_origins)
        self._log = Log(with_metrics=wiring.metrics_from_environment() if metrics is None else metrics)

    def __call__(self, event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
        records = event.get("Records")
        if not isinstance(records, Sequence) or any(it.get("eventSource") != "aws:sqs" for it in records):
            raise ValueError("this is no event of SQS: the function belongs behind the queue, and not behind a URL")
        remaining = getattr(context, "get_remaining_time_in_millis", lambda: LONGEST_MILLIS)
        deadline = int(time.time() * 1000) + remaining()
        # A queue's name ends so if and only if it is a FIFO queue. A batch is of one queue.
        is_fifo = any(str(it.get("eventSourceARN", "")).endswith(".fifo") for it in records)

        def process(message: Message) -> Report:
            if remaining() < LEAST_MILLIS:
                return Report(Outcome.HELD_BACK, error="no time left")
            return self._consumer.process(message, deadline + SKEW_MILLIS)

        failures = []
        for sequence in batch.sequences(map(from_lambda, records), is_fifo):
            for message, report in batch.in_order(sequence, process):
                self._log.write(message, report)
                if not report.outcome.is_done:
                    failures.append({"itemIdentifier": message.message_id})
        return {"batchItemFailures": failures}
