"""Whatever fails, each message is answered once or ends up in the dead-letter queue."""

from __future__ import annotations

import json
import time

import pytest
from expect import (
    agent_answers, answered_once, attributes, dead_letter_of, is_forwarded, outcomes, pauses, send,
)
from stand_ins.agentcore import BUSY, INTERNAL, THROTTLED, Fault, agent_error
from stand_ins.world import World, mention

# The dispatcher puts an event off for 5 s, 10 s and 20 s, each shortened by up to a quarter, in whole seconds.
SHORTEST_PAUSES = [3, 7, 15]


@pytest.mark.parametrize("error", [INTERNAL, agent_error("Received error (500) from runtime.")],
                         ids=lambda error: error.name)
def test_an_event_that_fails_twice_is_answered_once(world: World, error) -> None:
    event = mention("third time lucky")
    world.agentcore.inject(Fault(2, event.event_id, error))
    answered_once(world, send(world, event))
    assert outcomes(world, event) == [error.name, error.name, "answered"]
    assert not world.dead_letters_of(event.event_id)


def test_a_throttled_event_is_put_off_and_never_given_up(world: World) -> None:
    event = mention("patience")
    # As often as the agent may fail. If throttling counted as a failure, the event would be given up.
    world.agentcore.throttle(world.settings.max_attempts, event.event_id)
    answered_once(world, send(world, event), 90)

    assert outcomes(world, event) == [THROTTLED.name] * world.settings.max_attempts + ["answered"]
    waits = pauses(world.agentcore.invocations(event.event_id))
    assert all(wait >= least for wait, least in zip(waits, SHORTEST_PAUSES)), f"the pauses are too short: {waits}"
    assert not world.dead_letters_of(event.event_id)


def test_an_event_survives_a_kill_before_the_agent_has_it(world: World) -> None:
    done, held = [mention("done before one"), mention("done before two")], mention("killed before the agent had it")
    fault = world.agentcore.inject(
        Fault(event_id=held.event_id, hold_before_seconds=world.settings.agent_timeout, lost=True))
    kill_in_the_middle_of_a_batch(world, done, held, lambda: bool(world.agentcore.invocations(held.event_id)), fault)

    assert outcomes(world, held) == ["lost", "answered"]
    assert agent_answers(world, held) == ["accepted"]


def test_an_event_survives_a_kill_after_the_agent_has_it(world: World) -> None:
    done, held = [mention("done before one"), mention("done before two")], mention("killed after the agent had it")
    fault = world.agentcore.inject(Fault(event_id=held.event_id, hold_after_seconds=world.settings.agent_timeout))
    kill_in_the_middle_of_a_batch(world, done, held, lambda: agent_answers(world, held) == ["accepted"], fault)

    # The dispatcher cannot know whether the agent has the event. It asks again, and the agent answers that it has.
    assert agent_answers(world, held) == ["accepted", "duplicate"]


def kill_in_the_middle_of_a_batch(world: World, done: list, held, is_time, fault: Fault) -> None:
    starts = world.dispatcher.starts()
    with world.mapping.paused():
        for event in [*done, held]:
            send(world, event)
    world.eventually("the held event is at the place where the kill should meet it", is_time)
    world.eventually("the other events are recorded as forwarded",
                     lambda: all(is_forwarded(world, it) for it in done), 4)
    killed = world.dispatcher.kill_where(lambda batch: held.event_id in json.dumps(batch))
    assert killed == 1
    world.eventually("the kill is noticed", lambda: world.mapping.batches and world.mapping.batches[-1].error)
    fault.release.set()
    assert len(world.mapping.batches[-1].message_ids) == 3, "all three events must be in one batch"

    for event in [held, *done]:
        answered_once(world, event)
    for event in done:
        assert outcomes(world, event) == ["answered"], "an event recorded as forwarded must not be dispatched again"
    assert world.dispatcher.starts() == starts + 1


def test_an_answer_after_the_agents_time_out_causes_no_second_answer(world: World) -> None:
    event = mention("too late")
    world.agentcore.inject(Fault(event_id=event.event_id, hold_after_seconds=world.settings.agent_timeout + 2))
    answered_once(world, send(world, event))
    assert agent_answers(world, event) == ["accepted", "duplicate"]


def test_the_agent_waits_as_long_as_slack_limits_the_rate(world: World) -> None:
    """The Gateway does not pass Retry-After on, so the agent guesses how long to wait, and may be refused several
    times."""
    event = mention("not so fast")
    calls = world.slack_api.calls
    world.slack_api.rate_limit_next(1000, retry_after=3)
    send(world, event)
    world.eventually("Slack refuses", lambda: world.slack_api.calls > calls)
    over = time.monotonic() + 3
    world.eventually("the time that Slack asked for is over", lambda: time.monotonic() > over)
    assert not world.posts(event)
    world.slack_api.rate_limit_next(0)
    answered_once(world, event)
    assert world.slack_api.calls - calls <= 5, "the agent must pause between its attempts"
    assert agent_answers(world, event) == ["accepted"]


def test_a_rate_limit_does_not_change_the_order_of_a_conversation(world: World) -> None:
    calls = world.slack_api.calls
    # Twice, because after the second refusal the agent pauses for longer than the second message takes.
    world.slack_api.rate_limit_next(2, retry_after=3)
    first = send(world, mention("first"))
    world.eventually("Slack refuses twice", lambda: world.slack_api.calls == calls + 2)
    second = send(world, mention("second", first.channel, first.thread))
    assert answered_once(world, first).at < answered_once(world, second).at


def test_an_answer_that_slack_did_not_confirm_is_not_posted_again(world: World) -> None:
    """Slack's API cannot tell whether a message was posted, so the agent does not post it again."""
    event = mention("did you hear me?")
    world.slack_api.drop_answers_next(1)
    answered_once(world, send(world, event))
    assert agent_answers(world, event) == ["accepted"]


def test_an_event_that_always_fails_becomes_a_dead_letter_and_can_be_redriven(world: World) -> None:
    event = mention("not today")
    world.agentcore.inject(
        Fault(world.settings.max_attempts, event.event_id, agent_error("Received error (500) from runtime.")))
    send(world, event)
    dead_letter = dead_letter_of(world, event.event_id, 40)
    world.settle()

    assert dead_letter["Body"].encode() == event.body
    found = attributes(dead_letter)
    assert "RuntimeClientError" in found.pop("dead_letter_reason")
    assert int(found.pop("received_at")) == pytest.approx(time.time() * 1000, abs=120_000)
    assert found == {"kind": "event", "type": "app_mention", "event_id": event.event_id, "team_id": "T02QX7L8E",
                     "api_app_id": "A05KD3N1W", "conversation": event.group}
    assert dead_letter["Attributes"]["MessageGroupId"] == event.group
    assert len(world.agentcore.invocations(event.event_id)) == world.settings.max_attempts
    assert not world.posts(event)

    world.redrive(dead_letter)
    world.eventually("the event is answered", lambda: world.posts(event), 15)
    answered_once(world, event)
    assert not world.dead_letters_of(event.event_id)


@pytest.mark.parametrize("body", ["no JSON at all", '{"half": ', "[1, 2]"])
def test_a_body_that_is_no_json_object_becomes_a_dead_letter_at_once(world: World, body: str) -> None:
    event = mention("never seen")
    world.enqueue(body, event.event_id, event.group, event.event_id)
    dead_letter = dead_letter_of(world, event.event_id, 5)
    assert dead_letter["Body"] == body
    assert attributes(dead_letter)["dead_letter_reason"]
    world.settle(10)
    assert not world.agentcore.invocations(event.event_id)


def test_a_dead_letter_that_is_redriven_and_fails_again_becomes_one_again(world: World) -> None:
    event = mention("never seen")
    world.enqueue("no JSON", event.event_id, event.group, event.event_id)
    world.redrive(dead_letter_of(world, event.event_id, 5))
    assert dead_letter_of(world, event.event_id, 5)["Body"] == "no JSON"


def test_a_conversation_keeps_its_order_and_delays_no_other(world: World) -> None:
    first = mention("first")
    second = mention("second", first.channel, first.thread)
    other = mention("of another conversation")
    world.agentcore.fail(2, first.event_id)
    batches = len(world.mapping.batches)
    with world.mapping.paused():
        for event in (first, second, other):
            send(world, event)
    at = {event.text: answered_once(world, event).at for event in (first, second, other)}

    assert at["of another conversation"] < at["first"] < at["second"]
    tries, [follower] = (world.agentcore.invocations(event.event_id) for event in (first, second))
    assert [call.outcome for call in tries] == [INTERNAL.name, INTERNAL.name, "answered"]
    assert follower.at > tries[-1].at, "the agent must not get the second message before the first"
    [other_one] = world.agentcore.invocations(other.event_id)
    assert other_one.at < tries[1].at, "the other conversation must not wait for the next attempt of the first"
    batch = world.mapping.batches[batches]
    reported = (len(batch.message_ids), batch.failures)
    assert reported == (3, frozenset(batch.message_ids[:2])), "two failures in a partial batch response"


def test_a_message_for_a_busy_session_is_put_off(world: World) -> None:
    world.agentcore.refuses_when_busy = True
    first = mention("first")
    second = mention("second", first.channel, first.thread)
    send(world, first)
    world.eventually("the agent works on the first message", lambda: agent_answers(world, first))
    send(world, second)
    assert answered_once(world, first).at < answered_once(world, second).at
    assert BUSY.name in outcomes(world, second) and outcomes(world, second)[-1] == "answered"
    assert not world.dead_letters_of(second.event_id)
