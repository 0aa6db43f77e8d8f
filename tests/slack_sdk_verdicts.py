"""Verifies requests with Slack's own SDK: reads one JSON object a line, and prints `good` or `bad` for each."""

import json
import sys

from slack_sdk.signature import Clock, SignatureVerifier


class StoppedClock(Clock):
    def __init__(self, now: float) -> None:
        self.stopped_at = now

    def now(self) -> float:
        return self.stopped_at


def is_good(request: dict) -> bool:
    verifier = SignatureVerifier(request["secret"], StoppedClock(request["now"]))
    headers = {
        "X-Slack-Request-Timestamp": request["timestamp"],
        "X-Slack-Signature": request["signature"],
    }
    try:
        return verifier.is_valid_request(request["body"], headers)
    except (TypeError, ValueError):
        return False  # the SDK cannot read a header, and so it does not accept the request


for line in sys.stdin:
    print("good" if is_good(json.loads(line)) else "bad")
