"""The X-Ray trace that a question belongs to: the one of Slack's request, which the dispatcher hands over in the payload.

It is in the context of whatever works on the question. From there it gets into each log line (`trace_id`) and into each call
of agent-settle, whose own log lines and segments then belong to the same trace. It needs no OpenTelemetry. Where OpenTelemetry
instruments botocore, its header goes in the place of this one, and names the span that the call was made in.
"""

from __future__ import annotations

import contextvars
import re
from dataclasses import dataclass
from typing import Any

HEADER = "X-Amzn-Trace-Id"
# As agent-dispatch writes it.
WELL_FORMED = re.compile(r"Root=(?P<id>1-[0-9a-f]{8}-[0-9a-f]{24})(;(Parent|Sampled|Lineage)=[A-Za-z0-9:|._-]{1,256}){0,3}")


@dataclass(frozen=True)
class Trace:
    id: str
    """Such as 1-5759e988-bd862e3fe1be46a994272793."""
    header: str


_current: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("trace", default=None)


def parse(header: Any) -> Trace | None:
    """None for whatever is not well-formed: no question fails because of its trace."""
    found = WELL_FORMED.fullmatch(header) if isinstance(header, str) else None
    return None if found is None else Trace(found["id"], header)


def begin(trace: Trace | None) -> None:
    """What this thread does from now on, and what is started from it, belongs to this trace."""
    _current.set(trace)


def current() -> Trace | None:
    return _current.get()


def carry(client: Any) -> None:
    """Sees to it that each call of this botocore client says to which trace it belongs."""

    def add(request: Any, **_: Any) -> None:
        # X-Ray's header is no part of what is signed. OpenTelemetry's has been added by now, if it is to be.
        if (trace := current()) is not None and HEADER not in request.headers:
            request.headers[HEADER] = trace.header

    client.meta.events.register_last("before-send", add)
