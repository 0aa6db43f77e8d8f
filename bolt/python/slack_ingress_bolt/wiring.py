"""From an app and settings to a consumer, for the Lambda handler and the worker."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slack_bolt import App

from .consumer import Consumer
from .dispatch import Dispatch, SyncDispatch
from .guard import DynamoDbGuard, Guard, NoGuard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from slack_bolt.async_app import AsyncApp

logger = logging.getLogger("slack_ingress_bolt")


def consumer(app: App | AsyncApp, guard: Guard, response_origins: Sequence[str]) -> Consumer:
    return Consumer(_dispatch(app), guard, response_origins=response_origins)


def metrics_from_environment() -> bool:
    metrics = os.environ.get("BOLT_METRICS") or "on"
    if metrics not in ("on", "off"):
        raise ValueError('BOLT_METRICS is neither "on" nor "off"')
    return metrics == "on"


def aws_client(service: str, **settings: Any) -> Any:
    """Short time-outs and one attempt: what is worth another one, the caller says."""
    try:
        import boto3
        from botocore.config import Config

        session: Any = boto3
    except ImportError as error:
        raise RuntimeError("boto3 is not installed: pip install 'slack-ingress-bolt[aws]'") from error
    defaults: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 3, "retries": {"total_max_attempts": 1}}
    return session.client(service, config=Config(**(defaults | settings)))


def _dispatch(app: App | AsyncApp) -> Dispatch:
    if isinstance(app, App):
        return SyncDispatch(app)
    # Not imported for an App: it needs aiohttp.
    if hasattr(app, "async_dispatch"):
        from .async_dispatch import AsyncDispatch

        return AsyncDispatch(app)
    raise TypeError(f"an App or AsyncApp of slack_bolt is needed, not {type(app).__name__}")


def guard(table: str | None, dynamodb: DynamoDBClient | None) -> Guard:
    table = table or os.environ.get("BOLT_TABLE") or None
    if table is None:
        logger.warning(
            "BOLT_TABLE is not set, so there is no guard: a message that SQS brings again, because a consumer died or "
            "because SQS may at any time, runs a finished listener again"
        )
        return NoGuard()
    return DynamoDbGuard(table, dynamodb or aws_client("dynamodb"))
