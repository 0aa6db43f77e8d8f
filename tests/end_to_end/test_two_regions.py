"""One event reaches both of two regions, which is what a switch between them does to some (docs/two-regions.md).

Each region has functions, an agent, a queue and a table of events of its own, and the app and its Slack are the same. A region
that dies is played by its end: nobody receives from its queue any more, and its agent is killed. The table that both share is
one table of MiniStack's; what a strongly consistent global table does while regions are cut off from each other is not shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from beside import wait_for_idle_time
from conftest import WORK
from expect import AFTER_A_LEASE, QUICKLY, answered_once, answers_to, at_work, outcomes, send, stays, thoughts
from slack import Retry
from stand_ins.events import Event, mention
from stand_ins.functions import EventSourceMapping
from stand_ins.world import World, world

REGION = replace(WORK, spares=1, ingresses=1, dispatchers=2, settlers=3)
RETRY = Retry(1, "http_timeout")


@contextlib.contextmanager
def two_worlds(shares_records: bool) -> Iterator[tuple[World, World]]:
    """Starts the active region and the standby, when the tests in other worlds leave the machine the time for it."""
    wait_for_idle_time()
    with world(REGION) as active:
        wait_for_idle_time()
        with world(REGION, region_of=active, shares_records=shares_records) as standby:
            yield active, standby


@dataclass
class Regions:
    """Two regions whose consumers share their records."""

    active: World
    standby: World
    # What the active region has answered although the standby has it too.
    answered: list[Event] = field(default_factory=list)


@pytest.fixture(scope="module")
def regions() -> Iterator[Regions]:
    with two_worlds(shares_records=True) as (active, standby):
        yield Regions(active, standby)


def retried(standby: World, event: Event) -> None:
    """Slack has got no answer from the active region, and sends the event again, after the switch."""
    assert standby.send(event, RETRY) == 200

    def outcome() -> str | None:
        return next((it["outcome"] for it in standby.lines("slack-ingress") if it.get("event_id") == event.event_id), None)

    # The standby's own table does not know the event, so it is forwarded. The line comes after the answer.
    assert standby.eventually("the standby says what it did", outcome) == "accepted"


def test_what_one_region_has_answered_the_other_one_does_not_answer_again(regions: Regions) -> None:
    active, standby = regions.active, regions.standby
    event = send(active, mention("answered, and the 200 was lost"))
    answered_once(active, event)
    retried(standby, event)
    standby.eventually("the standby's message is done", lambda: not standby.depth(), QUICKLY)
    assert not outcomes(standby, event), "the standby's agent was called"
    answered_once(active, event)
    regions.answered.append(event)


def test_what_both_regions_have_at_the_same_time_is_worked_on_in_one(regions: Regions) -> None:
    active, standby = regions.active, regions.standby
    event = send(active, mention("[sleep 6] in both regions"))
    at_work(active, event)
    received = len(standby.mapping.batches)
    retried(standby, event)
    standby.eventually("the standby has received it", lambda: len(standby.mapping.batches) > received, QUICKLY)
    answered_once(active, event)
    # Its message waits for the end of the lease that it found. The last test sees what becomes of it.
    assert standby.depth() == 1
    regions.answered.append(event)


def test_what_a_region_died_of_is_answered_in_the_other_and_not_again_when_it_is_back(regions: Regions) -> None:
    """After those that need the active region, because it ends its mapping."""
    active, standby = regions.active, regions.standby
    event = send(active, mention("[sleep 5] the region dies"))
    machine = at_work(active, event)
    active.mapping.stop()
    machine.kill()
    retried(standby, event)
    answered_once(standby, event, AFTER_A_LEASE)
    assert (thoughts(active, event), thoughts(standby, event)) == (1, 1)

    assert active.depth() == 1, "what is on the queue of a region that is down waits there"
    back = EventSourceMapping(active.dispatcher, active.sqs, active.queue_url, active.mapping.queue_arn, REGION.batch_size)
    active.mapping = back
    try:
        active.eventually("the message of the region that is back is done", lambda: not active.depth(), AFTER_A_LEASE)
    finally:
        back.stop()
    assert (thoughts(active, event), outcomes(active, event)) == (1, ["answered"])
    answered_once(standby, event)


def test_when_all_leases_are_over_nothing_is_left_to_do_and_nothing_was_answered_again(regions: Regions) -> None:
    active, standby = regions.active, regions.standby
    standby.eventually("the standby's queue is empty", lambda: not standby.depth(), AFTER_A_LEASE)
    assert len(regions.answered) == 2, "a test before this one has failed"
    for event in regions.answered:
        assert not outcomes(standby, event), f"the standby's agent was called for {event.text!r}"
        answered_once(active, event)


def test_without_the_shared_table_both_regions_answer() -> None:
    """What the table is for, and what a consumer without a guard does."""
    with two_worlds(shares_records=False) as (active, standby):
        event = send(active, mention("answered in both"))
        answered_once(active, event)
        retried(standby, event)
        standby.eventually("the standby answers too", lambda: len(answers_to(standby, event)) == 2, QUICKLY)
        stays(standby, "there are two answers, and no third", lambda: len(answers_to(standby, event)) == 2, 2)
        assert (outcomes(active, event), outcomes(standby, event)) == (["answered"], ["answered"])
