"""Whatever becomes of the dispatcher and of its calls, each question is answered once, in the order of its conversation."""

from __future__ import annotations

import json
import time

import pytest
from expect import (
    AFTER_A_LEASE, agent_answers, answered_once, at_work, attributes, dead_letter_of, operations, outcomes, pauses, send, stays,
    thoughts,
)
from stand_ins.agentcore import CONFLICT, INTERNAL, NO_ACCESS, NOT_FOUND, OVER_QUOTA, THROTTLED, Fault, invalid
from stand_ins.events import mention
from stand_ins.world import World

# The dispatcher puts a question off for 5 s, then for 10 s, each shortened by up to a quarter, in whole seconds.
SHORTEST_PAUSES = [3, 7]


@pytest.mark.parametrize("error", [THROTTLED, OVER_QUOTA, NO_ACCESS, NOT_FOUND, invalid("no such field")],
                         ids=lambda error: error.name)
def test_a_question_that_certainly_did_not_reach_the_agent_is_put_off_and_uses_no_attempt(world: World, error) -> None:
    event = mention(f"patience, {error.name}")
    world.agentcore.inject(Fault(2, event.event_id, error))
    answered_once(world, send(world, event))
    assert outcomes(world, event) == [error.name, error.name, "answered"]
    waits = pauses(world.agentcore.invocations(event.event_id))
    assert all(wait >= least for wait, least in zip(waits, SHORTEST_PAUSES)), f"the pauses are too short: {waits}"
    assert world.record(event)["attempts"]["N"] == "1"
    assert not world.dead_letters_of(event.event_id)


def test_a_session_that_is_being_torn_down_is_asked_again_at_once(world: World) -> None:
    event = mention("between two sessions")
    world.agentcore.inject(Fault(2, event.event_id, CONFLICT))
    answered_once(world, send(world, event))
    assert outcomes(world, event) == [CONFLICT.name] * 2 + ["answered"]
    assert max(pauses(world.agentcore.invocations(event.event_id))) < 3


@pytest.mark.lease
def test_an_error_of_agentcores_own_leaves_the_question_to_its_lease(world: World) -> None:
    event = mention("who knows")
    world.agentcore.fail(1, event.event_id)
    answered_once(world, send(world, event), AFTER_A_LEASE)
    assert outcomes(world, event) == [INTERNAL.name, "answered"]


@pytest.mark.lease
def test_a_kill_before_the_agent_has_the_question(world: World) -> None:
    event = mention("killed before the agent had it")
    hold = world.agentcore.inject(
        Fault(event_id=event.event_id, hold_before_seconds=world.settings.agent_timeout, lost=True))
    send(world, event)
    world.eventually("AgentCore is asked", lambda: world.agentcore.invocations(event.event_id))
    assert kill_dispatcher(world, event) == 1
    hold.release.set()
    answered_once(world, event, AFTER_A_LEASE)
    assert (outcomes(world, event), thoughts(world, event)) == (["lost", "answered"], 1)


def test_a_kill_after_the_agent_has_the_question_changes_nothing(world: World) -> None:
    event = mention("[sleep 3] killed after the agent had it")
    hold = world.agentcore.inject(Fault(event_id=event.event_id, hold_after_seconds=world.settings.agent_timeout))
    send(world, event)
    world.eventually("the agent works", lambda: agent_answers(world, event) == ["working"])
    assert kill_dispatcher(world, event) == 1
    hold.release.set()
    answered_once(world, event)
    assert (agent_answers(world, event), thoughts(world, event)) == (["working"], 1)


@pytest.mark.lease
def test_a_dispatcher_that_stands_still_is_ended_by_its_time_out_and_changes_nothing(world: World) -> None:
    event = mention("[sleep 3] the dispatcher stands still")
    hold = world.agentcore.inject(Fault(event_id=event.event_id, hold_after_seconds=world.settings.agent_timeout))
    send(world, event)
    world.eventually("the agent works", lambda: agent_answers(world, event) == ["working"])
    assert world.dispatcher.pause_where(lambda batch: holds(batch, event), AFTER_A_LEASE) == 1
    hold.release.set()
    answered_once(world, event)
    assert thoughts(world, event) == 1


def holds(batch: dict, event) -> bool:
    return event.event_id in json.dumps(batch)


def kill_dispatcher(world: World, event) -> int:
    return world.dispatcher.kill_where(lambda batch: holds(batch, event))


def test_a_receive_that_is_run_twice_is_worked_on_once(world: World) -> None:
    """Lambda may do that."""
    event = mention("[sleep 2] run twice")
    world.mapping.run_twice(lambda body: event.event_id in body)
    answered_once(world, send(world, event))
    world.eventually("both runs are over", world.mapping.has_run_twice)
    assert (outcomes(world, event), thoughts(world, event)) == (["answered"], 1)


@pytest.mark.world("standard")
def test_a_receive_that_is_run_twice_on_a_standard_queue_is_worked_on_once(world: World) -> None:
    event = mention("[sleep 2] run twice")
    world.mapping.run_twice(lambda body: event.event_id in body)
    answered_once(world, send(world, event))
    world.eventually("both runs are over", world.mapping.has_run_twice)
    assert (outcomes(world, event), thoughts(world, event)) == (["answered"], 1)


@pytest.mark.world("standard")
def test_two_messages_of_one_question_at_the_same_time_are_worked_on_once(world: World) -> None:
    event = mention("[sleep 3] two messages")
    for number in range(2):
        world.enqueue(event.body.decode(), event.event_id, event.group, str(number))
    answered_once(world, event)
    stays(world, "it is worked on again", lambda: thoughts(world, event) == 1, 3)


@pytest.mark.lease
@pytest.mark.world("standard")
def test_a_process_that_dies_on_a_standard_queue(world: World) -> None:
    event = send(world, mention("[sleep 4] out of memory"))
    at_work(world, event).kill()
    answered_once(world, event, AFTER_A_LEASE)


def test_a_message_that_is_on_the_queue_twice_is_worked_on_once(world: World) -> None:
    event = mention("[sleep 2] twice in two groups")
    for group in (event.group, f"{event.group}-other"):
        world.enqueue(event.body.decode(), event.event_id, group, group)
    answered_once(world, event)
    assert (operations(world, event).count("claim"), thoughts(world, event)) == (1, 1)


def test_the_message_is_on_the_queue_until_the_answer_stands(world: World) -> None:
    event = mention("[sleep 5] not yet")
    send(world, event)
    world.eventually("the dispatcher is done with it", lambda: agent_answers(world, event) == ["working"])
    time.sleep(1)
    record = world.record(event)
    assert record["state"]["S"] == "in_flight"
    [batch] = [it for it in world.mapping.batches if record["message_id"]["S"] in it.message_ids]
    assert record["message_id"]["S"] in batch.failures, "the dispatcher reports the message as not done"
    answered_once(world, event)


@pytest.mark.parametrize("body", ["no JSON at all", '{"half": ', "[1, 2]"])
def test_a_body_that_is_no_json_object_becomes_a_dead_letter_at_once(world: World, body: str) -> None:
    event = mention("never seen")
    world.enqueue(body, event.event_id, event.group, event.event_id)
    letter = dead_letter_of(world, event)
    assert letter["Body"] == body and attributes(letter)["dead_letter_reason"]
    assert not world.agentcore.invocations(event.event_id)

    world.redrive(letter)
    again = dead_letter_of(world, event)
    assert again is not letter and again["Body"] == body


def test_a_conversation_keeps_its_order_and_delays_no_other(world: World) -> None:
    first = mention("the first of two")
    second = mention("the second of two", first.channel, first.thread)
    other = mention("of another conversation")
    world.agentcore.throttle(2, first.event_id)
    for event in (first, second, other):
        send(world, event)
    at = {event.text: answered_once(world, event).at for event in (first, second, other)}
    assert at[other.text] < at[first.text] < at[second.text]
    tries, [follower] = (world.agentcore.invocations(event.event_id) for event in (first, second))
    assert follower.at > tries[-1].at, "the agent must not get the second message before the first"
