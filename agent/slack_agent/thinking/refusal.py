"""Whether a model refuses a request because of the files in it, which not every model takes."""

from __future__ import annotations

from botocore.exceptions import ClientError


def is_refusal(error: BaseException) -> bool:
    """Whether Bedrock finds the request itself wrong: it has a format or a kind of content that the model does not take, or is
    too long for it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ClientError):
            return seen.response.get("Error", {}).get("Code") == "ValidationException"
        # Strands has a name of its own for a request that is too long.
        if type(seen).__name__ == "ContextWindowOverflowException":
            return True
        seen = seen.__cause__
    return False
