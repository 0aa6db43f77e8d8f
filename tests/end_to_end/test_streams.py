"""What is shown of an answer while it is being thought, and that the answer takes its place."""

from __future__ import annotations

import pytest
from expect import AFTER_A_LEASE, QUICKLY, answered_once, send, told_once
from stand_ins.events import PERSON, mention, stop_in
from stand_ins.slack_api import Fault
from stand_ins.slack_streams import Stream
from stand_ins.world import Event, World


def streams_of(world: World, event: Event) -> list[Stream]:
    return [it for it in world.slack_api.streams if (it.channel, it.thread_ts) == (event.channel, event.thread)]


def shown(world: World, event: Event, words: str) -> Stream:
    """Waits until these words are shown, and returns the message."""
    world.eventually(f"{words!r} is shown", lambda: any(words in "".join(it.pieces) for it in streams_of(world, event)), QUICKLY)
    return streams_of(world, event)[0]


@pytest.mark.world("stream")
def test_an_answer_takes_the_place_of_what_was_shown_in_one_message(world: World) -> None:
    event = send(world, mention("[show 12]"))
    stream = shown(world, event, "piece 1")
    assert stream.answer is None and stream.recipient == PERSON
    post = answered_once(world, event)
    assert post.ts == stream.ts and streams_of(world, event) == [stream]
    assert stream.text == post.text


@pytest.mark.world("stream")
@pytest.mark.parametrize("orders", ["[step 1] [show 8]", "[show 8] [step 1]", "[show 4] [step 2] [show 4]"])
def test_steps_and_words_stand_in_one_message_whichever_comes_first(world: World, orders: str) -> None:
    event = send(world, mention(f"{orders} [sleep 3]"))
    shown(world, event, "piece 1")
    world.eventually("a step is shown", lambda: streams_of(world, event)[0].steps, QUICKLY)
    post = answered_once(world, event)
    [stream] = streams_of(world, event)
    assert (post.ts, stream.text) == (stream.ts, post.text)
    assert [it["title"] for it in stream.steps] == [f"step {number}" for number in range(len(stream.steps))]
    assert "piece 3" in "".join(stream.pieces), "the other kind was refused"


@pytest.mark.world("stream")
@pytest.mark.parametrize("error", ["block_mismatch", "an_error_of_tomorrow"])
def test_of_a_message_that_slack_does_not_change_the_answer_is_posted_at_once(world: World, error: str) -> None:
    event = mention("[show 4]")
    world.slack_api.inject(Fault(1, "chat.update", event.channel, error))
    send(world, event)
    post = answered_once(world, event, QUICKLY)
    [stream] = streams_of(world, event)
    assert stream.is_deleted and post.ts != stream.ts


@pytest.mark.lease
@pytest.mark.world("stream")
def test_after_a_death_the_next_attempt_goes_on_in_the_same_message(world: World) -> None:
    event = send(world, mention("[show 20]"))
    stream = shown(world, event, "piece 1")
    [call] = world.agentcore.invocations(event.event_id)
    call.machine.kill()
    post = answered_once(world, event, AFTER_A_LEASE)
    assert post.ts == stream.ts and streams_of(world, event) == [stream]
    pieces = "".join(stream.pieces)
    assert pieces.count("piece 0 ") == 2 and "\n\n---\n\n" in pieces


@pytest.mark.world("stream")
def test_a_stop_on_the_message_is_an_end_and_nothing_is_posted(world: World) -> None:
    event = send(world, mention("[show 15]"))
    stream = shown(world, event, "piece 1")
    assert world.slack_api.press_stop(event.channel, event.thread) == [stream.ts]
    send(world, stop_in(event))
    world.eventually("it is stopped", lambda: world.state(event) == "told", QUICKLY)
    assert world.record(event)["why"]["S"] == "stopped"
    world.eventually("the stop is answered", lambda: any(
        post.text == "Stopped: 1 question." for post in world.posts(event)), QUICKLY)
    assert stream.answer is None and "You said" not in stream.text


@pytest.mark.world("stream")
def test_what_cannot_be_shown_keeps_no_answer_back(world: World) -> None:
    event = mention("[show 2]")
    world.slack_api.inject(Fault(1, "chat.startStream", event.channel, "missing_scope"))
    send(world, event)
    answered_once(world, event)
    assert streams_of(world, event) == []


@pytest.mark.world("stream")
def test_an_answer_whose_message_somebody_has_deleted_is_posted_as_any_other(world: World) -> None:
    event = send(world, mention("[show 12]"))
    stream = shown(world, event, "piece 1")
    world.slack_api.delete_message(stream.ts)
    assert answered_once(world, event).ts != stream.ts


@pytest.mark.world("stream")
def test_of_an_update_whose_answer_was_lost_nothing_is_doubled_and_nobody_waits_for_a_minute(world: World) -> None:
    event = mention("[show 3]")
    world.slack_api.inject(Fault(1, "chat.update", event.channel, lost=True))
    send(world, event)
    assert answered_once(world, event, QUICKLY).ts == streams_of(world, event)[0].ts


@pytest.mark.world("stream")
def test_that_there_is_no_answer_takes_the_place_of_what_was_shown(world: World) -> None:
    event = send(world, mention("[show 12] [fail]"))
    stream = shown(world, event, "piece 0")
    post = told_once(world, event, "thinking_failed")
    assert (post.ts, stream.text) == (stream.ts, post.text)
