"""Runs the listeners of a Bolt app behind slack-ingress's queue.

In which order to read it: `consumer.py`, what happens to a message; `dispatch.py` with `listeners.py`, how Bolt runs it;
`acknowledgement.py`, what is left of an `ack`; `guard.py`; then `handler.py` for Lambda and `worker.py` for everything
else.
"""

from .acknowledgement import FastPathWarning
from .handler import SqsHandler

__all__ = ["FastPathWarning", "SqsHandler"]
__version__ = "0.1.0"
