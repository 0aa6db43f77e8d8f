"""Messages that come while the agent works, with TURNS=together: one answer answers all that stand in the thread when a turn begins,
and each of them is in exactly one answer."""

from __future__ import annotations

import time

import pytest
from expect import AFTER_A_LEASE, CertainlyWrong, QUICKLY, at_work, send, stays
from stand_ins.events import BOT, PERSON, deletion_of, mention, stop_in
from stand_ins.world import Event, World

SAID_LIMIT_SECONDS = 120


def asks(world: World, text: str, before: Event | None = None) -> Event:
    """Somebody asks in a new thread, or in that of an earlier question, where Slack shows it from then on."""
    event = mention(text) if before is None else mention(text, before.channel, before.thread)
    world.slack_api.say(event.channel, event.ts, f"<@{BOT}> {text}", event.thread, PERSON)
    return send(world, event)


def answers_to(world: World, *events: Event) -> list[str]:
    """The answers with the text of any of these questions."""
    return [post.text for post in world.posts(events[0]) if any(event.text in post.text for event in events)]


def joined_to(world: World, event: Event) -> str | None:
    record = world.record(event)
    return record.get("joined_to", {}).get("S") if record.get("state", {}).get("S") == "joined" else None


def each_once(world: World, *events: Event, limit_seconds: float = QUICKLY) -> None:
    """Waits until each of these questions of a thread is in an answer that stands, and checks that none is in two."""
    def are_answered() -> bool:
        return all(world.state(event) in ("answered", "joined") and answers_to(world, event) for event in events)

    world.eventually(f"each of {[event.text for event in events]} is answered", are_answered, limit_seconds)
    for event in events:
        if len(answers_to(world, event)) > 1:
            raise CertainlyWrong(f"{event.text!r} is in several answers: {answers_to(world, event)}")
    assert all(post.thread_ts == events[0].thread for post in world.posts(events[0]))


@pytest.mark.world("together")
def test_what_came_while_it_worked_is_answered_by_one_answer(world: World) -> None:
    first = asks(world, "[sleep 5] the first")
    at_work(world, first)
    second, third = asks(world, "and the second", first), asks(world, "and the third", first)
    each_once(world, first, second, third)
    assert answers_to(world, first) == ["You said: [sleep 5] the first"]
    assert answers_to(world, second, third) == ["You said: and the second\n\nand the third"]
    assert joined_to(world, third) == second.question_id
    # Its own message has led to nothing.
    assert len(world.agentcore.invocations(second.event_id)) == 1 and not world.agentcore.invocations(third.event_id)


@pytest.mark.world("together")
def test_a_turn_of_several_questions_outlives_its_agent(world: World) -> None:
    first = asks(world, "[sleep 4] in front")
    at_work(world, first)
    second, third = asks(world, "[sleep 12] it dies at this", first), asks(world, "or at this", first)
    world.eventually("the first is answered", lambda: world.state(first) == "answered", QUICKLY)
    at_work(world, second)
    world.agentcore.invocations(second.event_id)[-1].machine.kill()
    each_once(world, first, second, third, limit_seconds=AFTER_A_LEASE)


@pytest.mark.world("together")
def test_a_stop_ends_all_that_was_asked_before_it(world: World) -> None:
    first = asks(world, "[sleep 4] before")
    at_work(world, first)
    second, third = asks(world, "[sleep 19] far too long", first), asks(world, "and more", first)
    at_work(world, second)
    send(world, stop_in(first))

    def is_stopped(event: Event) -> bool:
        return (world.state(event), world.record(event).get("why", {}).get("S")) == ("told", "stopped")

    world.eventually("both are stopped", lambda: is_stopped(second) and is_stopped(third), SAID_LIMIT_SECONDS)
    later = asks(world, "asked afterwards", first)
    each_once(world, first, later, limit_seconds=SAID_LIMIT_SECONDS)
    stays(world, "something of them is answered", lambda: not answers_to(world, second, third), 3)


@pytest.mark.world("together")
def test_what_is_deleted_meanwhile_is_in_no_answer(world: World) -> None:
    first = asks(world, "[sleep 4] here")
    at_work(world, first)
    second, third = asks(world, "[sleep 8] this stays", first), asks(world, "this does not", first)
    at_work(world, second)
    # On a FIFO queue the deletion comes after what it deletes, unless it is in another conversation.
    deletion = deletion_of(third)
    world.enqueue(deletion.body.decode(), deletion.event_id, f"{deletion.group}-other", deletion.event_id)
    each_once(world, first, second, limit_seconds=SAID_LIMIT_SECONDS)
    assert answers_to(world, second) == ["You said: [sleep 8] this stays"]
    world.eventually("the other is withdrawn", lambda: world.state(third) == "told", QUICKLY)
    assert not answers_to(world, third)
    # It was thought about twice, and the attempt that came to nothing does not count.
    assert world.record(second)["attempts"]["N"] == "1"


@pytest.mark.world("together, standard")
def test_on_a_standard_queue_each_is_in_one_answer_too(world: World) -> None:
    first = asks(world, "[sleep 6] without an order")
    at_work(world, first)
    others = [asks(world, f"number {number}", first) for number in range(3)]
    began = time.monotonic()
    each_once(world, first, *others, limit_seconds=SAID_LIMIT_SECONDS)
    assert time.monotonic() - began < SAID_LIMIT_SECONDS
