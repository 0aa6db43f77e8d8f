"""One line of JSON for each message, which is also its metrics (CloudWatch's embedded metric format)."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from .message import Message
from .outcome import Outcome, Report

NAMESPACE = "SlackIngressBolt"


def line(message: Message, report: Report, *, with_metrics: bool, now: float, function: str) -> dict[str, Any]:
    """Nothing of it is from the body: only the ingress's attributes, and the name of an exception's type."""
    fields: dict[str, Any] = {
        "event_id": message.event_id or message.message_id,
        "kind": message.kind,
        "type": message.type,
        "outcome": report.outcome.value,
        "duration_ms": round(report.duration_ms, 3),
        "receive_count": message.receive_count,
    }
    if report.error is not None:
        fields["error"] = report.error
    if report.ack is not None:
        fields["ack"] = report.ack
    if with_metrics:
        counts = [metric_of(report.outcome)]
        if report.ack not in (None, "sent"):
            counts.append("AckLost")
        metrics = [{"Name": name, "Unit": "Count"} for name in counts]
        metrics.append({"Name": "Duration", "Unit": "Milliseconds"})
        fields |= dict.fromkeys(counts, 1)
        fields |= {"Duration": fields["duration_ms"], "FunctionName": function}
        directive = {"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics}
        fields["_aws"] = {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}
    return fields


def metric_of(outcome: Outcome) -> str:
    return "".join(word.capitalize() for word in outcome.value.split("_"))


class Log:
    def __init__(self, *, with_metrics: bool) -> None:
        self._with_metrics = with_metrics
        self._function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "slack-ingress-bolt")

    def write(self, message: Message, report: Report) -> None:
        fields = line(message, report, with_metrics=self._with_metrics, now=time.time(), function=self._function)
        # In one call: several threads of a worker write lines.
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
