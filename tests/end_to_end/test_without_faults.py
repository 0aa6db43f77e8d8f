"""Nothing fails here, but an event may come twice: neither Slack nor SQS promises to deliver it only once."""

from __future__ import annotations

import json
import pathlib
import re
import threading

import jsonschema
from expect import agent_answers, answered_once, outcomes, send
from slack import Retry
from stand_ins.agentcore import Fault
from stand_ins.world import World, mention

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/invocation.schema.json").read_text())


def test_a_mention_is_answered_in_its_thread(world: World) -> None:
    calls, refused = len(world.gateway.calls), world.gateway.refused
    event = send(world, mention("Wie groß ist die Warteschlange? 東京 🚀"))
    answered_once(world, event)

    [call] = world.agentcore.invocations(event.event_id)
    assert re.fullmatch(r"slack-[0-9a-f]{64}", call.session_id)
    assert (call.qualifier, agent_answers(world, event)) == ("DEFAULT", ["accepted"])
    jsonschema.validate(call.payload, SCHEMA)
    assert call.payload.pop("attributes").keys() == {
        "kind", "type", "event_id", "received_at", "team_id", "api_app_id", "conversation"}
    assert call.payload == {"version": 1, "event_id": event.event_id, "attempt": 1, "body": json.loads(event.body)}
    assert world.gateway.calls[calls:] == ["slack___post_to_slack"]
    assert world.gateway.refused == refused
    assert not world.dead_letters_of(event.event_id)


def test_a_reply_is_answered_in_its_thread_and_in_the_same_session(world: World) -> None:
    first = send(world, mention("the first"))
    answered_once(world, first)
    second = send(world, mention("the second", first.channel, first.thread))
    assert answered_once(world, second).thread_ts == first.ts

    sessions = {call.session_id for event in (first, second) for call in world.agentcore.invocations(event.event_id)}
    assert len(sessions) == 1


def test_another_conversation_has_another_session(world: World) -> None:
    events = [send(world, mention(text)) for text in ("here", "there")]
    for event in events:
        answered_once(world, event)
    assert len({call.session_id for event in events for call in world.agentcore.invocations(event.event_id)}) == 2


def test_an_event_that_slack_retries_while_the_agent_works_is_answered_once(world: World) -> None:
    event = send(world, mention("so slow"))
    for retry in (Retry(1, "http_timeout"), Retry(2, "http_timeout"), Retry(3, "http_timeout")):
        assert world.send(event, retry) == 200
    assert not world.posts(event), "the agent must still be at work when the last retry arrives"
    answered_once(world, event)
    assert outcomes(world, event) == ["answered"]


def test_a_message_that_is_on_the_queue_twice_causes_one_invocation(world: World) -> None:
    event = send(world, mention("twice"))
    answered_once(world, event)
    world.enqueue(event.body.decode(), event.event_id, event.group, f"{event.event_id}-again")
    answered_once(world, event)
    assert outcomes(world, event) == ["answered"]


def test_a_message_that_is_twice_in_one_batch_causes_one_invocation(world: World) -> None:
    event = mention("twice in one batch")
    with world.mapping.paused():
        for group in (event.group, f"{event.group}-other"):
            world.enqueue(event.body.decode(), event.event_id, group, group)
    answered_once(world, event)
    assert outcomes(world, event) == ["answered"]


def test_a_message_that_two_functions_receive_at_once_causes_one_invocation(world: World) -> None:
    event = mention("twice at once")
    fault = world.agentcore.inject(Fault(event_id=event.event_id, hold_before_seconds=4))
    world.enqueue(event.body.decode(), event.event_id, event.group, "one")
    world.eventually("AgentCore has the first one", lambda: world.agentcore.invocations(event.event_id))
    batches = len(world.mapping.batches)
    world.enqueue(event.body.decode(), event.event_id, f"{event.group}-other", "another")
    # The first message is still held, so the next batch that ends can only be the second message's.
    world.eventually("the second message is put off", lambda: len(world.mapping.batches) > batches, 4)
    assert world.mapping.batches[-1].failures and world.mapping.batches[-1].error is None
    fault.release.set()
    answered_once(world, event)
    assert outcomes(world, event) == ["answered"]


def test_thirty_mentions_at_once_are_answered_once_each(world: World) -> None:
    events = [mention(f"number {number:03}") for number in range(30)]
    threads = [threading.Thread(target=world.send, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.eventually("all mentions are answered", lambda: all(world.posts(event) for event in events))
    for event in events:
        answered_once(world, event)
        assert outcomes(world, event) == ["answered"]
