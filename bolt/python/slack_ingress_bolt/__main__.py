"""`python -m slack_ingress_bolt app:app`"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from . import wiring
from .log import Log
from .worker import Settings, Worker


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = load(options.app)
    settings = Settings(options.queue_url, options.concurrency, options.lease_seconds, options.poll_seconds,
                        options.retry_seconds)
    guard = wiring.guard(options.table, None)
    consumer = wiring.consumer(app, guard, options.response_origin)
    polling = wiring.aws_client("sqs", read_timeout=settings.poll_seconds + 10)
    sqs = wiring.aws_client("sqs", max_pool_connections=settings.concurrency + 2)
    log = Log(with_metrics=options.metrics == "on")
    worker = Worker(consumer, guard, sqs, log, settings, polling=polling)
    worker.stop_at_signals()
    logging.getLogger("slack_ingress_bolt").info("Polling %s", settings.queue_url)
    worker.run()
    return 0


def load(name: str) -> Any:
    """`package.module:attribute`, found from the current directory as `python -m` finds modules."""
    module, _, attribute = name.partition(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), attribute or "app")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m slack_ingress_bolt", description="Runs a Bolt app's listeners for the messages of a queue.",
        epilog="Region and credentials are those of boto3. SIGTERM: what runs is finished, nothing new is begun.",
    )
    environment = os.environ.get
    try:
        metrics = "on" if wiring.metrics_from_environment() else "off"
    except ValueError as error:
        parser.error(str(error))
    parser.add_argument("app", help="where the App or AsyncApp is: module:attribute")
    queue_url = environment("BOLT_QUEUE_URL")
    parser.add_argument(
        "--queue-url", default=queue_url, required=queue_url is None, help="the queue (BOLT_QUEUE_URL)")
    parser.add_argument("--table", default=None, help="the guard's table in DynamoDB (BOLT_TABLE)")
    parser.add_argument("--concurrency", type=_from(1), default=environment("BOLT_CONCURRENCY", "10"),
                        help="how many messages at a time (BOLT_CONCURRENCY, 10)")
    parser.add_argument("--lease-seconds", type=_from(3, 36_000), default=environment("BOLT_LEASE_SECONDS", "90"),
                        help="after how long without a sign another worker takes a message over (BOLT_LEASE_SECONDS, 90)")
    parser.add_argument("--poll-seconds", type=_from(1, 20), default=environment("BOLT_POLL_SECONDS", "10"),
                        help="how long one call waits for messages (BOLT_POLL_SECONDS, 10)")
    parser.add_argument("--retry-seconds", type=_from(0, 900), default=environment("BOLT_RETRY_SECONDS", "10"),
                        help="after how long what failed comes again for the first time (BOLT_RETRY_SECONDS, 10)")
    parser.add_argument("--metrics", choices=("on", "off"), default=metrics,
                        help="whether log lines are CloudWatch metrics too (BOLT_METRICS, on)")
    parser.add_argument("--response-origin", action="append", default=[], metavar="ORIGIN",
                        help="where a response_url may lead besides Slack, for a stand-in: http://127.0.0.1:3000")
    return parser.parse_args(arguments)


def _from(least: int, most: int = 43_200) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
