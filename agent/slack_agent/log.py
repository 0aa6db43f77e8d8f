"""The log: JSON lines with the ids of the session, of the request and of the trace. No line contains what was said, or a secret."""

from __future__ import annotations

import json
import logging
import pathlib
import traceback

from bedrock_agentcore.runtime.app import RequestContextFormatter
from botocore.exceptions import ClientError

from slack_agent import trace

log = logging.getLogger("slack_agent")

# These libraries log what they could not parse or send, which includes messages.
SILENCED = ("botocore", "boto3", "urllib3", "asyncio", "strands", "mcp", "httpx", "httpx2", "opentelemetry")


class Formatter(RequestContextFormatter):
    """AgentCore's own, with the trace that the line belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        its_trace = trace.current()
        return line if its_trace is None else json.dumps(json.loads(line) | {"trace_id": its_trace.id}, ensure_ascii=False)


def set_up() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    for name in SILENCED:
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


def kind_of(error: BaseException) -> str:
    """The kind of an error. Its message is left out, because it may quote the question or the answer."""
    # Most errors of AWS have the same class, and their code says more.
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__


def describe(error: BaseException) -> str:
    """The kind of an error and the places in the code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{frame.name} ({pathlib.Path(frame.filename).name}:{frame.lineno})" for frame in reversed(frames)]
    return f"{kind_of(error)} in {' < '.join(places)}" if places else kind_of(error)
