"""Whatever becomes of the agent's process, the question is answered once, or its asker is told."""

from __future__ import annotations

import pytest
from expect import (
    AFTER_A_LEASE, QUICKLY, agent_answers, answered_once, answers_to, at_work, attributes, dead_letter_of, operations,
    outcomes, send, stays, thoughts, told_once,
)
from stand_ins.agentcore import Fault, agent_error
from stand_ins.events import mention
from stand_ins.world import World


def attempts(world: World, event) -> str:
    return world.record(event)["attempts"]["N"]


def test_a_process_that_is_asked_to_end_gives_its_question_back(world: World) -> None:
    """AgentCore ends every session after eight hours. Another process takes the question up at once, and no attempt is
    used."""
    event = send(world, mention("[sleep 4] the session ends"))
    at_work(world, event).end()
    answered_once(world, event)
    assert operations(world, event).count("release") == 1
    assert (thoughts(world, event), attempts(world, event)) == (2, "1")


@pytest.mark.lease
def test_a_process_that_dies_loses_its_question_until_the_lease_ends(world: World) -> None:
    event = send(world, mention("[sleep 4] out of memory"))
    at_work(world, event).kill()
    answered_once(world, event, AFTER_A_LEASE)
    assert (thoughts(world, event), attempts(world, event)) == (2, "2")


@pytest.mark.lease
def test_a_process_that_stood_still_finds_that_its_question_is_anothers(world: World) -> None:
    event = send(world, mention("[sleep 4] a machine stands still"))
    machine = at_work(world, event)
    machine.pause()
    [call] = world.agentcore.invocations(event.event_id)
    world.machines.forget(call.session_id)
    answered_once(world, event, AFTER_A_LEASE)
    machine.resume()
    world.eventually("the first process has noticed", lambda: not machine.is_busy())
    answered_once(world, event)


@pytest.mark.lease
def test_a_process_that_stood_still_for_less_than_its_lease_goes_on(world: World) -> None:
    event = send(world, mention("[sleep 2] a short pause"))
    # It may think for 20 seconds here, and the clock goes on while it stands still.
    at_work(world, event).pause(12)
    answered_once(world, event, AFTER_A_LEASE)
    assert thoughts(world, event) == 1


def test_a_thought_that_hangs_ends_and_so_does_the_wait_of_the_next_question(world: World) -> None:
    first = send(world, mention("[hang] never"))
    second = send(world, mention("next, please", first.channel, first.thread))
    world.eventually("the asker is told", lambda: world.state(first) == "told")
    assert attributes(dead_letter_of(world, first))["dead_letter_reason"].startswith("took_too_long")
    answered_once(world, second)
    assert len(world.posts(first)) == 2 and not answers_to(world, first)


@pytest.mark.parametrize(("order", "why"), [("[fail]", "thinking_failed"), ("[nothing]", "no_answer")])
def test_who_gets_no_answer_is_told(world: World, order: str, why: str) -> None:
    event = send(world, mention(f"{order} please"))
    told_once(world, event, why)
    assert thoughts(world, event) == 1


def test_a_process_that_was_told_twice_does_it_once(world: World) -> None:
    """A message that is on the queue once more, when the process that answered has gone."""
    event = send(world, mention("once is enough"))
    machine = at_work(world, event)
    answered_once(world, event)
    machine.kill()
    world.enqueue(event.body.decode(), event.event_id, event.group, f"{event.event_id}-again")
    stays(world, "the question is answered again", lambda: outcomes(world, event) == ["answered"], 5)
    answered_once(world, event)


def test_one_invocation_in_two_machines_is_answered_once(world: World) -> None:
    event = mention("[sleep 2] in two places")
    world.agentcore.inject(Fault(event_id=event.event_id, doubled=True))
    answered_once(world, send(world, event))
    [call] = world.agentcore.invocations(event.event_id)
    world.eventually("the second machine has answered", lambda: call.second_answer)
    assert sorted([call.agent_answer["status"], call.second_answer["status"]]) == ["duplicate", "working"]
    assert thoughts(world, event) == 1


def test_an_invocation_that_comes_late_is_worked_on_if_nobody_else_does(world: World) -> None:
    event = mention("a little late")
    hold = world.settings.agent_timeout + 3
    world.agentcore.inject(Fault(event_id=event.event_id, hold_before_seconds=hold))
    answered_once(world, send(world, event))
    assert agent_answers(world, event) == ["working"]


@pytest.mark.lease
def test_an_invocation_that_comes_too_late_finds_its_token_gone(world: World) -> None:
    event = mention("much too late")
    late = world.agentcore.inject(Fault(event_id=event.event_id, hold_before_seconds=AFTER_A_LEASE * 2))
    answered_once(world, send(world, event), AFTER_A_LEASE)
    late.release.set()
    world.eventually("the late invocation arrives", lambda: len(agent_answers(world, event)) == 2)
    assert sorted(agent_answers(world, event)) == ["duplicate", "working"]
    answered_once(world, event)


def test_an_agents_answer_that_is_lost_changes_nothing(world: World) -> None:
    event = mention("[sleep 2] unheard")
    world.agentcore.inject(Fault(event_id=event.event_id, answer_lost=True))
    answered_once(world, send(world, event))
    assert (outcomes(world, event), thoughts(world, event)) == (["answer lost"], 1)


@pytest.mark.lease
def test_an_error_of_the_container_leaves_the_question_to_its_lease(world: World) -> None:
    """Nobody knows whether the container has begun."""
    event = mention("after an error")
    error = agent_error("Received error (500) from runtime.")
    world.agentcore.inject(Fault(1, event.event_id, error))
    answered_once(world, send(world, event), AFTER_A_LEASE)
    assert outcomes(world, event) == [error.name, "answered"]
    assert attempts(world, event) == "1"


@pytest.mark.lease
@pytest.mark.world("impatient")
def test_a_question_that_is_given_up_is_told_and_becomes_a_dead_letter_that_may_be_sent_back(world: World) -> None:
    event = send(world, mention("[sleep 4] the only attempt"))
    at_work(world, event).kill()
    told_once(world, event, "gave_up", AFTER_A_LEASE)
    letter = dead_letter_of(world, event)
    assert letter["Body"].encode() == event.body

    world.redrive(letter)
    world.eventually("it is answered now", lambda: answers_to(world, event), QUICKLY)
    world.eventually("it counts as answered", lambda: world.state(event) == "answered")
    assert len(answers_to(world, event)) == 1
