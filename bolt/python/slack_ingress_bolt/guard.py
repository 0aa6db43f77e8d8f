"""The record of each message in DynamoDB, so that a redelivery does not run a finished listener again.

An item is free, `running` under a lease, or `done`. Whoever's conditional write takes it runs the listener. An item whose
time is over counts as free by the clock; DynamoDB's TTL is housekeeping. Clocks may differ by SKEW_MILLIS.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PREFIX = "bolt#"
SKEW_MILLIS = 5_000
# SQS keeps a message for 14 days at the most. One hour more, for the last receive.
KEPT_SECONDS = 14 * 24 * 3600 + 3600
PAUSES_SECONDS = (0.1, 0.4)

# In expressions with a `#`, because they are words of DynamoDB's own.
_STATE, _OWNER = {"#state": "state"}, {"#owner": "owner"}
_IS_FREE = (
    "attribute_not_exists(event_id) OR expires_at < :seconds OR (#state = :running AND lease_until < :millis)"
)
_IS_MINE = "#owner = :owner"


class State(Enum):
    MINE = "mine"
    DONE = "done"
    RUNNING = "running"
    """Another consumer has a live lease."""


@dataclass(frozen=True)
class Claim:
    key: str
    owner: str
    state: State
    lease_until: int | None = None
    """Until when the other consumer has it, in milliseconds since the epoch."""
    is_ack_sent: bool = False
    """Whether a delivery before, which failed, has posted the text of its ack, or may have."""


class GuardUnavailable(Exception):
    """DynamoDB did not answer, or refused. What the call did is unknown."""


class Guard(Protocol):
    def begin(self, event_id: str, lease_until: int) -> Claim: ...

    def renew(self, claim: Claim, lease_until: int) -> bool: ...

    def finish(self, claim: Claim) -> bool: ...

    def release(self, claim: Claim, is_ack_sent: bool) -> bool: ...


class NoGuard:
    """Every delivery runs."""

    def begin(self, event_id: str, lease_until: int) -> Claim:  # noqa: ARG002
        return Claim(PREFIX + event_id, "", State.MINE)

    def renew(self, claim: Claim, lease_until: int) -> bool:  # noqa: ARG002
        return True

    def finish(self, claim: Claim) -> bool:  # noqa: ARG002
        return True

    def release(self, claim: Claim, is_ack_sent: bool) -> bool:  # noqa: ARG002
        return True


class DynamoDbGuard:
    def __init__(
        self, table: str, client: DynamoDBClient, *, now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table, self._client, self._now, self._sleep = table, client, now, sleep

    def begin(self, event_id: str, lease_until: int) -> Claim:
        key, owner = PREFIX + event_id, secrets.token_hex(16)
        now = self._now()
        # An update, which leaves `ack` as it is: a process that is killed after this must not make it forgotten.
        update: Any = {
            "TableName": self._table,
            "Key": {"event_id": {"S": key}},
            "UpdateExpression": "SET #state = :running, #owner = :owner, lease_until = :until, expires_at = :expires",
            "ConditionExpression": _IS_FREE,
            "ExpressionAttributeNames": _STATE | _OWNER,
            "ExpressionAttributeValues": {
                ":seconds": {"N": str(int(now))}, ":millis": {"N": str(int(now * 1000))}, ":running": {"S": "running"},
                ":owner": {"S": owner}, ":until": {"N": str(lease_until)}, ":expires": {"N": str(int(now) + KEPT_SECONDS)},
            },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        is_free, found = self._write(lambda: self._client.update_item(**update))
        if is_free or text(found, "owner") == owner:  # the latter: an attempt whose answer was lost has taken it
            return Claim(key, owner, State.MINE, is_ack_sent=text(found, "ack") == "sent")
        if text(found, "state") == "done":
            return Claim(key, owner, State.DONE)
        until = found.get("lease_until", {}).get("N")
        return Claim(key, owner, State.RUNNING, lease_until=int(until) if until else None)

    def renew(self, claim: Claim, lease_until: int) -> bool:
        """False if another consumer has it by now, or it is over. In one attempt, because another renewal comes soon."""
        return self._update(
            claim, "SET lease_until = :until", {":until": {"N": str(lease_until)}, ":running": {"S": "running"}}, _STATE,
            condition=f"{_IS_MINE} AND #state = :running", pauses=(),
        )

    def finish(self, claim: Claim) -> bool:
        """False if another consumer has it by now."""
        expires_at = int(self._now()) + KEPT_SECONDS
        return self._update(
            claim, "SET #state = :done, expires_at = :expires REMOVE lease_until, ack",
            {":done": {"S": "done"}, ":expires": {"N": str(expires_at)}}, _STATE,
        )

    def release(self, claim: Claim, is_ack_sent: bool) -> bool:
        """The next delivery runs it at once. If the ack's text was posted, or may have been, the item stays, with a lease
        that is over, so that the next delivery knows. Nobody owns it then, so that a renewal that is late does not bring it
        back."""
        if is_ack_sent:
            values = {":zero": {"N": "0"}, ":sent": {"S": "sent"}}
            return self._update(claim, "SET lease_until = :zero, ack = :sent REMOVE #owner", values)
        return self._write(
            lambda: self._client.delete_item(
                TableName=self._table, Key={"event_id": {"S": claim.key}}, ConditionExpression=_IS_MINE,
                ExpressionAttributeNames=_OWNER, ExpressionAttributeValues={":owner": {"S": claim.owner}},
            )
        )[0]

    def _update(
        self, claim: Claim, expression: str, values: dict[str, Any], names: dict[str, str] | None = None,
        condition: str = _IS_MINE, pauses: Sequence[float] = PAUSES_SECONDS,
    ) -> bool:
        return self._write(
            lambda: self._client.update_item(
                TableName=self._table, Key={"event_id": {"S": claim.key}}, UpdateExpression=expression,
                ConditionExpression=condition, ExpressionAttributeNames=_OWNER | (names or {}),
                ExpressionAttributeValues={":owner": {"S": claim.owner}, **values},
            ),
            pauses,
        )[0]

    def _write(
        self, call: Callable[[], Any], pauses: Sequence[float] = PAUSES_SECONDS
    ) -> tuple[bool, dict[str, Any]]:
        """Whether the condition held, and the item that the answer has. Each of our writes may be made twice: it names its
        owner."""
        from botocore.exceptions import BotoCoreError, ClientError

        for pause in (*pauses, None):
            try:
                return True, call().get("Attributes", {})
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    return False, error.response.get("Item", {})  # type: ignore[return-value]
                if pause is None or not _may_pass(error.response):
                    raise GuardUnavailable(error.response["Error"]["Code"]) from error
            except BotoCoreError as error:
                if pause is None:
                    raise GuardUnavailable(type(error).__name__) from error
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def _may_pass(response: Any) -> bool:
    """Whether another attempt may succeed: DynamoDB's own failure, or too much at once."""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= 500 or response["Error"]["Code"] in (
        "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
        "TransactionConflictException",
    )


def text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name, {}).get("S")
    return value if isinstance(value, str) else None
