"""The guard's record, in DynamoDB Local."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from slack_ingress_bolt.guard import KEPT_SECONDS, DynamoDbGuard, GuardUnavailable, State

SOON = 60_000


def now() -> int:
    return int(time.time() * 1000)


class Wrapped:
    """The real client, but for some calls: what `before` and `after` raise, is raised."""

    def __init__(self, client, before=(), after=()) -> None:
        self._client, self._before, self._after = client, list(before), list(after)
        self.calls = 0

    def __getattr__(self, name):
        def call(**arguments):
            self.calls += 1
            if self._before:
                raise self._before.pop(0)
            answer = getattr(self._client, name)(**arguments)
            if self._after:
                raise self._after.pop(0)
            return answer

        return call


def lost() -> Exception:
    return ConnectTimeoutError(endpoint_url="https://dynamodb")


def refused(code: str, status: int) -> Exception:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutItem")


@pytest.fixture
def guard(table, dynamodb) -> DynamoDbGuard:
    return DynamoDbGuard(table, dynamodb)


def test_the_item_is_what_the_javascript_package_reads(guard, item) -> None:
    lease_until, seconds = now() + SOON, int(time.time())
    claim = guard.begin("A0F7YS25R:Ev1", lease_until)
    found = item("A0F7YS25R:Ev1")
    expires_at = int(found.pop("expires_at")["N"])
    assert found == {
        "event_id": {"S": "bolt#A0F7YS25R:Ev1"}, "state": {"S": "running"}, "owner": {"S": claim.owner},
        "lease_until": {"N": str(lease_until)},
    }
    assert len(bytes.fromhex(claim.owner)) == 16
    assert 0 <= expires_at - seconds - KEPT_SECONDS <= 5
    assert guard.finish(claim)
    found = item("A0F7YS25R:Ev1")
    assert (found["state"], found["owner"]) == ({"S": "done"}, {"S": claim.owner})
    assert int(found["expires_at"]["N"]) - seconds >= 14 * 24 * 3600


def test_who_is_first_runs_and_the_others_are_told_until_when(guard) -> None:
    lease_until = now() + SOON
    assert guard.begin("Ev1", lease_until).state is State.MINE
    other = guard.begin("Ev1", lease_until + 1)
    assert (other.state, other.lease_until) == (State.RUNNING, lease_until)
    assert guard.begin("Ev2", lease_until).state is State.MINE


def test_of_many_at_once_one_runs(guard) -> None:
    with ThreadPoolExecutor(16) as pool:
        for round in range(5):
            claims = list(pool.map(lambda _, it=f"Ev{round}": guard.begin(it, now() + SOON), range(16)))
            assert [it.state for it in claims].count(State.MINE) == 1


def test_done_stays_done(guard) -> None:
    guard.finish(guard.begin("Ev1", now() - 1))
    assert guard.begin("Ev1", now() + SOON).state is State.DONE


def test_a_lease_that_is_over_is_taken_over_and_its_owner_changes_nothing_any_more(guard, item) -> None:
    late = guard.begin("Ev1", now() - 1)
    taker = guard.begin("Ev1", now() + SOON)
    assert taker.state is State.MINE
    assert not guard.renew(late, now() + 2 * SOON)
    assert not guard.finish(late)
    assert not guard.release(late, False)
    assert not guard.release(late, True)
    assert item("Ev1")["owner"] == {"S": taker.owner}
    assert item("Ev1")["state"] == {"S": "running"}


def test_a_renewed_lease_holds(guard) -> None:
    claim = guard.begin("Ev1", now() - 1)
    assert guard.renew(claim, now() + SOON)
    assert guard.begin("Ev1", now() + SOON).state is State.RUNNING


def test_what_failed_is_free_at_once(guard, item) -> None:
    guard.release(guard.begin("Ev1", now() + SOON), False)
    assert item("Ev1") is None
    assert guard.begin("Ev1", now() + SOON).state is State.MINE


def test_that_an_acks_text_was_posted_outlives_the_failure(guard, item) -> None:
    failed = guard.begin("Ev1", now() + SOON)
    guard.release(failed, True)
    assert not guard.renew(failed, now() + SOON)  # a renewal that is late does not bring the lease back
    again = guard.begin("Ev1", now() + SOON)
    assert (again.state, again.is_ack_sent) == (State.MINE, True)
    guard.finish(again)
    assert item("Ev1")["state"] == {"S": "done"}


def test_that_an_acks_text_was_posted_outlives_a_process_that_is_killed(table, dynamodb, guard, item) -> None:
    guard.release(guard.begin("Ev1", now() + SOON), True)
    # It claims, and is never heard of again.
    killed = DynamoDbGuard(table, Wrapped(dynamodb, after=[lost()]), sleep=lambda _: None).begin("Ev1", now() - 1)
    assert killed.is_ack_sent
    again = guard.begin("Ev1", now() + SOON)
    assert (again.state, again.is_ack_sent, item("Ev1")["ack"]) == (State.MINE, True, {"S": "sent"})
    guard.finish(again)
    assert set(item("Ev1")) == {"event_id", "state", "owner", "expires_at"}


def test_a_renewal_is_one_attempt(table, dynamodb) -> None:
    """The worker renews in thirds of a lease: three attempts for a message would keep the others waiting."""
    claim = DynamoDbGuard(table, dynamodb).begin("Ev1", now() + SOON)
    client = Wrapped(dynamodb, before=[lost()] * 3)
    with pytest.raises(GuardUnavailable):
        DynamoDbGuard(table, client, sleep=lambda _: None).renew(claim, now() + SOON)
    assert client.calls == 1


def test_an_item_whose_time_is_over_is_free_though_ttl_has_not_deleted_it(table, dynamodb) -> None:
    DynamoDbGuard(table, dynamodb, now=lambda: time.time() - KEPT_SECONDS - 5).finish(
        DynamoDbGuard(table, dynamodb, now=lambda: time.time() - KEPT_SECONDS - 5).begin("Ev1", 0))
    assert DynamoDbGuard(table, dynamodb).begin("Ev1", now() + SOON).state is State.MINE


def test_a_claim_whose_answer_was_lost_is_mine(table, dynamodb) -> None:
    client = Wrapped(dynamodb, after=[lost()])
    guard = DynamoDbGuard(table, client, sleep=lambda _: None)
    assert guard.begin("Ev1", now() + SOON).state is State.MINE
    assert client.calls == 2
    assert guard.begin("Ev1", now() + SOON).state is State.RUNNING


def test_done_is_written_again_when_it_failed(table, dynamodb, item) -> None:
    claim = DynamoDbGuard(table, dynamodb).begin("Ev1", now() + SOON)
    client = Wrapped(dynamodb, before=[lost(), refused("ThrottlingException", 400)])
    assert DynamoDbGuard(table, client, sleep=lambda _: None).finish(claim)
    assert (client.calls, item("Ev1")["state"]) == (3, {"S": "done"})


@pytest.mark.parametrize(("errors", "calls"), [
    ([lost()] * 9, 3), ([refused("InternalServerError", 500)] * 9, 3), ([refused("AccessDeniedException", 400)] * 9, 1),
    ([refused("ResourceNotFoundException", 400)] * 9, 1),
])
def test_a_table_that_does_not_answer_is_said_to_be_unavailable(table, dynamodb, errors, calls) -> None:
    client = Wrapped(dynamodb, before=errors)
    with pytest.raises(GuardUnavailable):
        DynamoDbGuard(table, client, sleep=lambda _: None).begin("Ev1", now() + SOON)
    assert client.calls == calls
