"""Agents that know nothing of work records (AGENT_PROTOCOL=plain): the dispatcher keeps the record for them."""

from __future__ import annotations

import json

import pytest
from expect import AFTER_A_LEASE, answered_once, send, thoughts, told_once
from stand_ins.events import mention
from stand_ins.world import World

pytestmark = pytest.mark.world("plain")


def test_the_text_of_a_stream_is_the_answer(world: World) -> None:
    answered_once(world, send(world, mention("[sleep 1] piece by piece")))


@pytest.mark.lease
@pytest.mark.world("plain and impatient")
def test_an_error_in_a_stream_of_status_200_is_a_failure(world: World) -> None:
    """So it is tried again when the lease ends, and given up in the end."""
    event = send(world, mention("[fail] after the first words"))
    told_once(world, event, "gave_up", AFTER_A_LEASE)
    [call] = world.agentcore.invocations(event.event_id)
    assert call.agent_status == 200 and '"error"' in call.agent_answer


@pytest.mark.lease
def test_a_dispatcher_that_dies_while_the_agent_thinks_has_it_think_again(world: World) -> None:
    """Nothing is posted twice all the same: the text of the first thought has no token."""
    event = send(world, mention("[sleep 10] twice if need be"))
    world.eventually("the agent thinks", lambda: thoughts(world, event))
    assert world.dispatcher.kill_where(lambda batch: event.event_id in json.dumps(batch)) == 1
    answered_once(world, event, AFTER_A_LEASE)
    assert thoughts(world, event) == 2
